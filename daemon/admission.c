/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/admission.h"

#include <stdlib.h>
#include <string.h>

#define SECOND_NS 1000000000u

/* The rate at which work is done is measured over stretches of this much busy time. */
#define STRETCH_NS (SECOND_NS / 4)

struct tenant {
    struct tenant *chain; /* all of them */
    struct tenant *turn;  /* the ring of those with a queue */
    char name[IPC_NAME_SIZE];
    uint32_t rate, window, weight;
    uint64_t tokens_ns;   /* the bucket, as the time that filled it; a second at most */
    uint64_t refilled_ns; /* when */
    uint32_t open, queued;
    uint64_t queued_cost;
    uint64_t deficit;
    struct admission_ticket *first, *last; /* by deadline */
};

struct admission {
    uint64_t budget;
    uint32_t max_open, open;
    struct tenant *tenants;
    struct tenant *last_turn; /* the ring's end: its `turn` has the turn; NULL when nobody waits */
    bool granted;             /* who has the turn got its quantum */
    uint64_t served_cost;
    uint32_t served;
    uint64_t busy_since_ns; /* while served > 0 */
    uint64_t stretch_ns, stretch_cost;
    uint64_t cost_per_s; /* measured; 0: not yet */
};

struct admission *admission_new(uint64_t budget, uint32_t max_open) {
    struct admission *a = calloc(1, sizeof *a);
    if (a != NULL) {
        a->budget = budget;
        a->max_open = max_open;
    }
    return a;
}

struct admission *admission_free(struct admission *a) {
    while (a != NULL && a->tenants != NULL) {
        struct tenant *next = a->tenants->chain;
        free(a->tenants);
        a->tenants = next;
    }
    free(a);
    return NULL;
}

/* ---- tenants ---- */

static struct tenant *find(struct admission *a, const char *name) {
    struct tenant *t = a->tenants;
    while (t != NULL && strcmp(t->name, name) != 0) {
        t = t->chain;
    }
    return t;
}

static void limit(struct tenant *t, const struct settings_tenant *from) {
    t->rate = from != NULL ? from->rate : 0;
    t->window = from != NULL ? from->window : 0;
    t->weight = from != NULL ? from->weight : 1;
}

/* Names come from lists in the configuration, so that there are never many. */
static struct tenant *find_or_make(struct admission *a, const char *name) {
    struct tenant *t = find(a, name);
    if (t == NULL && (t = calloc(1, sizeof *t)) != NULL) {
        memcpy(t->name, name, strnlen(name, sizeof t->name - 1));
        t->tokens_ns = SECOND_NS;
        limit(t, NULL);
        t->chain = a->tenants;
        a->tenants = t;
    }
    return t;
}

void admission_configure(struct admission *a, const struct settings *settings) {
    struct tenant **link = &a->tenants;
    while (*link != NULL) {
        struct tenant *t = *link;
        limit(t, settings_tenant(settings, t->name));
        if (t->open == 0) { /* it is made again when it comes again, with a full bucket */
            *link = t->chain;
            free(t);
        } else {
            link = &t->chain;
        }
    }
    for (uint32_t i = 0; i < settings->tenant_count; i++) {
        struct tenant *t = find_or_make(a, settings->tenants[i].name);
        if (t != NULL) {
            limit(t, &settings->tenants[i]);
        }
    }
}

/* One request's worth from the bucket; else how long until there is one. */
static bool take_from_bucket(struct tenant *t, uint64_t now_ns, uint32_t *ret_retry_ms) {
    if (t->rate == 0) {
        return true;
    }
    const uint64_t price_ns = SECOND_NS / t->rate;
    uint64_t passed = now_ns - t->refilled_ns;
    t->tokens_ns = passed < SECOND_NS - t->tokens_ns ? t->tokens_ns + passed : SECOND_NS;
    t->refilled_ns = now_ns;
    if (t->tokens_ns < price_ns) {
        *ret_retry_ms = (uint32_t)((price_ns - t->tokens_ns) / 1000000u) + 1;
        return false;
    }
    t->tokens_ns -= price_ns;
    return true;
}

/* ---- time ---- */

/* How long this much work takes, with a fifth more or less so that those who were refused together do not
 * come back together. */
static uint32_t retry_ms(const struct admission *a, uint64_t cost, uint64_t now_ns) {
    uint64_t ms = a->cost_per_s > 0 ? cost * 1000 / a->cost_per_s : 200;
    ms = ms * (80 + now_ns / 1000 % 41) / 100;
    ms = ms > ADMISSION_MOST_RETRY_MS ? ADMISSION_MOST_RETRY_MS : ms;
    return ms < ADMISSION_LEAST_RETRY_MS ? ADMISSION_LEAST_RETRY_MS : (uint32_t)ms;
}

/* The work that is done before a ticket of this tenant and deadline begins: what is being served, its own
 * earlier ones, and of everybody else as much as his weight lets him have meanwhile. */
static uint64_t cost_before(const struct admission *a, const struct tenant *t, uint64_t deadline_ns) {
    uint64_t own = 0;
    for (const struct admission_ticket *k = t->first; k != NULL && k->deadline_ns <= deadline_ns;
         k = k->next) {
        own += k->cost;
    }
    uint64_t all = a->served_cost + own;
    for (const struct tenant *u = a->tenants; u != NULL; u = u->chain) {
        if (u != t && u->queued > 0) {
            uint64_t share = (own + ADMISSION_QUANTUM) * u->weight / t->weight;
            all += share < u->queued_cost ? share : u->queued_cost;
        }
    }
    return all;
}

static void measure(struct admission *a, uint64_t finished_cost, uint64_t now_ns) {
    a->stretch_cost += finished_cost;
    a->stretch_ns += now_ns - a->busy_since_ns;
    a->busy_since_ns = now_ns;
    if (a->stretch_ns < STRETCH_NS) {
        return;
    }
    uint64_t rate = a->stretch_cost * 1000 / (a->stretch_ns / 1000000u);
    a->cost_per_s = a->cost_per_s == 0 ? rate : (a->cost_per_s * 3 + rate) / 4;
    a->stretch_cost = 0;
    a->stretch_ns = 0;
}

/* ---- queues ---- */

static void join_ring(struct admission *a, struct tenant *t) {
    if (a->last_turn == NULL) {
        t->turn = t;
    } else {
        t->turn = a->last_turn->turn;
        a->last_turn->turn = t;
    }
    a->last_turn = t;
}

static void leave_ring(struct admission *a, struct tenant *t) {
    struct tenant *before = a->last_turn;
    while (before->turn != t) {
        before = before->turn;
    }
    if (before == a->last_turn) { /* it had the turn */
        a->granted = false;
    }
    before->turn = t->turn;
    if (a->last_turn == t) {
        a->last_turn = before == t ? NULL : before;
    }
    t->turn = NULL;
    t->deficit = 0; /* who has nothing to do saves nothing up */
}

/* From the back: deadlines mostly come in order. */
static void enqueue(struct admission *a, struct admission_ticket *ticket) {
    struct tenant *t = ticket->tenant;
    struct admission_ticket *before = t->last;
    while (before != NULL && before->deadline_ns > ticket->deadline_ns) {
        before = before->previous;
    }
    ticket->previous = before;
    ticket->next = before != NULL ? before->next : t->first;
    *(ticket->previous != NULL ? &ticket->previous->next : &t->first) = ticket;
    *(ticket->next != NULL ? &ticket->next->previous : &t->last) = ticket;
    ticket->place = ADMISSION_QUEUED;
    t->queued_cost += ticket->cost;
    if (t->queued++ == 0) {
        join_ring(a, t);
    }
}

static void dequeue(struct admission *a, struct admission_ticket *ticket) {
    struct tenant *t = ticket->tenant;
    *(ticket->previous != NULL ? &ticket->previous->next : &t->first) = ticket->next;
    *(ticket->next != NULL ? &ticket->next->previous : &t->last) = ticket->previous;
    ticket->next = ticket->previous = NULL;
    ticket->place = ADMISSION_NOWHERE;
    t->queued_cost -= ticket->cost;
    if (--t->queued == 0) {
        leave_ring(a, t);
    }
}

static bool fits(const struct admission *a, uint64_t cost) {
    return a->served == 0 || (a->served_cost < a->budget && cost <= a->budget - a->served_cost);
}

static void serve(struct admission *a, struct admission_ticket *ticket) {
    ticket->place = ADMISSION_SERVED;
    a->served_cost += ticket->cost;
    a->served++;
}

/* ---- what the daemon calls ---- */

/* The latest deadline of the tenant that holds most for its weight, when that is more than `t` holds. */
static struct admission_ticket *find_victim(const struct admission *a, const struct tenant *t) {
    const struct tenant *most = NULL;
    for (const struct tenant *u = a->tenants; u != NULL; u = u->chain) {
        if (u->queued > 0 &&
            (most == NULL || (uint64_t)u->open * most->weight > (uint64_t)most->open * u->weight)) {
            most = u;
        }
    }
    bool over = most != NULL && (uint64_t)most->open * t->weight > ((uint64_t)t->open + 1) * most->weight;
    return over ? most->last : NULL;
}

int admission_open(struct admission *a, struct admission_ticket *ticket, const char *tenant, uint64_t now_ns,
                   struct admission_ticket **ret_victim, uint32_t *ret_retry_ms) {
    struct tenant *t = find_or_make(a, tenant);
    *ret_victim = NULL;
    *ret_retry_ms = 0;
    if (t == NULL) {
        return ADMISSION_E_MEMORY;
    }
    if (!take_from_bucket(t, now_ns, ret_retry_ms)) {
        return ADMISSION_E_RATE;
    }
    if (t->window > 0 && t->open >= t->window) {
        *ret_retry_ms = retry_ms(a, t->queued_cost / t->window, now_ns);
        return ADMISSION_E_WINDOW;
    }
    if (a->open >= a->max_open) {
        *ret_victim = find_victim(a, t);
        if (*ret_victim == NULL) {
            *ret_retry_ms = retry_ms(a, a->served_cost + t->queued_cost, now_ns);
            return ADMISSION_E_FULL;
        }
    }
    ticket->tenant = t;
    t->open++;
    a->open++;
    return 0;
}

int admission_enter(struct admission *a, struct admission_ticket *ticket, uint64_t now_ns,
                    uint32_t *ret_retry_ms) {
    if (a->served == 0) {
        a->busy_since_ns = now_ns;
    }
    if (a->last_turn == NULL && fits(a, ticket->cost)) {
        serve(a, ticket);
        return 0;
    }
    uint64_t before = cost_before(a, ticket->tenant, ticket->deadline_ns);
    uint64_t left_ms = ticket->deadline_ns > now_ns ? (ticket->deadline_ns - now_ns) / 1000000u : 0;
    if (a->cost_per_s > 0 && before * 1000 / a->cost_per_s > left_ms) {
        *ret_retry_ms = retry_ms(a, before, now_ns);
        return ADMISSION_E_LATE;
    }
    enqueue(a, ticket);
    return 0;
}

struct admission_ticket *admission_next(struct admission *a) {
    while (a->last_turn != NULL) {
        struct tenant *t = a->last_turn->turn;
        struct admission_ticket *ticket = t->first;
        if (!a->granted) {
            t->deficit += (uint64_t)t->weight * ADMISSION_QUANTUM;
            a->granted = true;
        }
        if (t->deficit < ticket->cost) {
            a->last_turn = t;
            a->granted = false;
            continue;
        }
        if (!fits(a, ticket->cost)) {
            return NULL; /* it keeps its turn, or large requests would wait for ever */
        }
        t->deficit -= ticket->cost;
        dequeue(a, ticket);
        serve(a, ticket);
        return ticket;
    }
    return NULL;
}

bool admission_leave(struct admission *a, struct admission_ticket *ticket, uint64_t now_ns) {
    enum admission_place place = ticket->place;
    if (place == ADMISSION_QUEUED) {
        dequeue(a, ticket);
    } else if (place == ADMISSION_SERVED) {
        measure(a, ticket->cost, now_ns);
        a->served_cost -= ticket->cost;
        a->served--;
        ticket->place = ADMISSION_NOWHERE;
    }
    return place != ADMISSION_NOWHERE && a->last_turn != NULL;
}

void admission_close(struct admission *a, struct admission_ticket *ticket) {
    if (ticket->tenant != NULL) {
        ticket->tenant->open--;
        a->open--;
        ticket->tenant = NULL;
    }
}
