/* SPDX-License-Identifier: Apache-2.0
 *
 * Many rows through a daemon: several requests are in flight, and a ring of slots puts the replies back into
 * the order of the rows. Rows that the daemon is too busy for are sent again; every other reply is handed on
 * as it came.
 */
#ifndef BUCKLER_TOOLS_FLIGHT_H
#define BUCKLER_TOOLS_FLIGHT_H

#include <stdbool.h>
#include <stdint.h>

#include "tools/server.h"

enum { FLIGHT_MOST = 256 };
#define FLIGHT_USUAL "16" /* --threads when it is not given */

struct flight_row {
    struct server_content content;
    char *scope; /* owned; NULL: the daemon's default */
    void *note;  /* the owner's; freed with the row */
};

/* Where rows come from and replies go to. Both return 0, or an exit code after printing why. */
struct flight_ends {
    /* Fills the zeroed row `number`, or sets *ret_end. What was filled is freed by the flight. */
    int (*next)(void *owner, uint64_t number, struct flight_row *row, bool *ret_end);
    /* Called once for each row, in order. */
    int (*take)(void *owner, uint64_t number, const struct flight_row *row,
                const struct buckler_reply *reply);
    void *owner;
};

struct flight_plan {
    const char *what;   /* for messages: "batch" */
    const char *policy; /* NULL: the tenant's default */
    uint64_t first;     /* number of the first row */
    uint64_t open;      /* most requests in flight, 1 … FLIGHT_MOST */
};

int flight_run(struct server *server, const struct flight_plan *plan, const struct flight_ends *ends);

#endif
