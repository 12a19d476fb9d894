/* SPDX-License-Identifier: Apache-2.0
 *
 * Whose turn it is. Every tenant has a bucket for its rate, a count of open requests and a queue; what is
 * being judged at once is bounded by its cost, and what does not fit waits here and nowhere else.
 *
 * Between tenants: deficit round robin (Shreedhar, Varghese 1995). A turn gives a tenant ADMISSION_QUANTUM of
 * cost times its weight, so that tenants who always have work get cost in proportion to their weights,
 * whatever the size of their requests. Within a tenant: earliest deadline first.
 *
 * Pure of requests, sockets and clocks: the caller says what time it is. One thread.
 */
#ifndef BUCKLER_DAEMON_ADMISSION_H
#define BUCKLER_DAEMON_ADMISSION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "daemon/settings.h"

enum { ADMISSION_QUANTUM = 64, ADMISSION_LEAST_RETRY_MS = 50, ADMISSION_MOST_RETRY_MS = 10000 };

enum admission_error {
    ADMISSION_E_RATE = 1, /* the tenant asks too often */
    ADMISSION_E_WINDOW,   /* it has too many requests open */
    ADMISSION_E_FULL,     /* everybody together has, and this tenant its share of them */
    ADMISSION_E_LATE,     /* the request would not be begun before its deadline */
    ADMISSION_E_MEMORY,
};

struct admission;
struct tenant;

enum admission_place { ADMISSION_NOWHERE, ADMISSION_QUEUED, ADMISSION_SERVED };

/* A request, as far as this module knows it; part of the request. */
struct admission_ticket {
    struct tenant *tenant; /* set by admission_open, NULL before and after */
    enum admission_place place;
    uint64_t cost, deadline_ns;
    struct admission_ticket *next, *previous; /* the tenant's queue */
    void *user;
};

/* At most `budget` of cost is judged at once (one request at least), at most `max_open` are open. */
struct admission *admission_new(uint64_t budget, uint32_t max_open);
struct admission *
admission_free(struct admission *a); /* all tickets are closed; accepts NULL, returns NULL */

/* Counts the request for its tenant, or says why not with the milliseconds until a retry helps. With
 * *ret_victim set the request was taken in the place of that queued one, which the caller must end. */
int admission_open(struct admission *a, struct admission_ticket *ticket, const char *tenant, uint64_t now_ns,
                   struct admission_ticket **ret_victim, uint32_t *ret_retry_ms) MUST_CHECK;

/* Asks for a turn, with cost and deadline filled in. The place says whether it may start at once or waits.
 * ADMISSION_E_LATE: it waits for nothing. */
int admission_enter(struct admission *a, struct admission_ticket *ticket, uint64_t now_ns,
                    uint32_t *ret_retry_ms) MUST_CHECK;

/* The next one that may start now, or NULL. It is being served when this returns. */
struct admission_ticket *admission_next(struct admission *a);

/* It is judged, or will not be. True when others may start for that. Does nothing when called again. */
bool admission_leave(struct admission *a, struct admission_ticket *ticket, uint64_t now_ns);

/* The request is gone. */
void admission_close(struct admission *a, struct admission_ticket *ticket);

/* Limits as configured now; tenants that are not named have none and weight 1. `settings` is copied from. */
void admission_configure(struct admission *a, const struct settings *settings);

#endif
