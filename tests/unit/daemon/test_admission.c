/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/admission.h"

enum { TICKETS = 1024, BUDGET = 1000, MAX_OPEN = 600 };

static const uint64_t second = 1000000000u;
static const uint64_t far = UINT64_MAX;

struct world {
    struct admission *a;
    struct settings *settings;
    struct admission_ticket tickets[TICKETS];
    size_t count;
};

static int set_up(void **state) {
    struct world *w = calloc(1, sizeof *w);
    w->settings = calloc(1, sizeof *w->settings);
    w->a = admission_new(BUDGET, MAX_OPEN);
    *state = w;
    return 0;
}

static int tear_down(void **state) {
    struct world *w = *state;
    admission_free(w->a);
    free(w->settings);
    free(w);
    return 0;
}

static void configure(struct world *w, const char *name, uint32_t rate, uint32_t window, uint32_t weight) {
    struct settings_tenant *t = &w->settings->tenants[w->settings->tenant_count++];
    *t = (struct settings_tenant){.rate = rate, .window = window, .weight = weight};
    (void)snprintf(t->name, sizeof t->name, "%s", name);
    admission_configure(w->a, w->settings);
}

static int open_at(struct world *w, const char *tenant, uint64_t now, struct admission_ticket **ret) {
    struct admission_ticket *victim = NULL;
    uint32_t retry = 0;
    *ret = &w->tickets[w->count++];
    int rc = admission_open(w->a, *ret, tenant, now, &victim, &retry);
    assert_true(rc == 0 || rc == ADMISSION_E_MEMORY || retry > 0);
    assert_null(victim);
    return rc;
}

/* A request that is open and has asked for its turn. */
static struct admission_ticket *enter(struct world *w, const char *tenant, uint64_t cost, uint64_t deadline) {
    struct admission_ticket *ticket = NULL;
    uint32_t retry = 0;
    assert_int_equal(open_at(w, tenant, 1, &ticket), 0);
    ticket->cost = cost;
    ticket->deadline_ns = deadline;
    assert_int_equal(admission_enter(w->a, ticket, 1, &retry), 0);
    return ticket;
}

static void finish(struct world *w, struct admission_ticket *ticket, uint64_t now) {
    (void)admission_leave(w->a, ticket, now);
    admission_close(w->a, ticket);
}

/* Fills what can be served at once. */
static struct admission_ticket *occupy(struct world *w) {
    struct admission_ticket *ticket = enter(w, "occupier", BUDGET, far);
    assert_int_equal(ticket->place, ADMISSION_SERVED);
    return ticket;
}

/* Serves one after another, always the whole queue's choice, until `total` of cost went out; the cost that
 * tenants "a" and "b" got, told apart by their costs. */
static void serve_in_turn(struct world *w, uint64_t total, uint64_t cost_a, uint64_t *ret_a,
                          uint64_t *ret_b) {
    *ret_a = *ret_b = 0;
    while (*ret_a + *ret_b < total) {
        struct admission_ticket *ticket = admission_next(w->a);
        assert_non_null(ticket);
        *(ticket->cost == cost_a ? ret_a : ret_b) += ticket->cost;
        finish(w, ticket, 1);
    }
}

static void test_starts_at_once_what_fits_and_queues_the_rest(void **state) {
    struct world *w = *state;
    struct admission_ticket *first = enter(w, "a", 600, far);
    struct admission_ticket *second_one = enter(w, "a", 400, far);
    struct admission_ticket *third = enter(w, "a", 1, far);
    assert_int_equal(first->place, ADMISSION_SERVED);
    assert_int_equal(second_one->place, ADMISSION_SERVED);
    assert_int_equal(third->place, ADMISSION_QUEUED);
    assert_null(admission_next(w->a));
    assert_true(admission_leave(w->a, first, 1));
    assert_false(admission_leave(w->a, first, 1));
    assert_ptr_equal(admission_next(w->a), third);
    assert_null(admission_next(w->a));
}

static void test_a_request_larger_than_everything_is_served_alone(void **state) {
    struct world *w = *state;
    struct admission_ticket *small = enter(w, "a", 1, far);
    struct admission_ticket *giant = enter(w, "a", 100 * BUDGET, far);
    struct admission_ticket *other = enter(w, "b", 1, far);
    assert_int_equal(giant->place, ADMISSION_QUEUED);
    assert_int_equal(other->place, ADMISSION_QUEUED); /* nobody overtakes on a free place */
    finish(w, small, 1);
    struct admission_ticket *one = admission_next(w->a);
    assert_non_null(one);
    finish(w, one, 1);
    struct admission_ticket *two = admission_next(w->a);
    assert_non_null(two);
    assert_true((one == giant && two == other) || (one == other && two == giant));
}

static void test_equal_tenants_get_equal_cost_whatever_their_sizes(void **state) {
    struct world *w = *state;
    uint64_t a = 0;
    uint64_t b = 0;
    struct admission_ticket *first = occupy(w);
    for (int i = 0; i < 250; i++) {
        (void)enter(w, "a", 700, far);
        (void)enter(w, "b", 610, far);
    }
    finish(w, first, 1);
    serve_in_turn(w, 200000, 700, &a, &b);
    assert_in_range(a * 100 / b, 95, 105);
}

static void test_a_flood_of_small_requests_gains_nothing(void **state) {
    struct world *w = *state;
    uint64_t a = 0;
    uint64_t b = 0;
    struct admission_ticket *first = occupy(w);
    for (int i = 0; i < 500; i++) {
        (void)enter(w, "a", 40, far);
    }
    for (int i = 0; i < 40; i++) {
        (void)enter(w, "b", 500, far);
    }
    finish(w, first, 1);
    serve_in_turn(w, 30000, 40, &a, &b);
    assert_in_range(a * 100 / b, 93, 107);
}

static void test_cost_goes_by_weight(void **state) {
    struct world *w = *state;
    uint64_t a = 0;
    uint64_t b = 0;
    configure(w, "a", 0, 0, 3);
    configure(w, "b", 0, 0, 1);
    struct admission_ticket *first = occupy(w);
    for (int i = 0; i < 250; i++) {
        (void)enter(w, "a", 100, far);
        (void)enter(w, "b", 101, far);
    }
    finish(w, first, 1);
    serve_in_turn(w, 24000, 100, &a, &b);
    assert_in_range(a * 100 / b, 270, 330); /* it ends in the middle of a turn */
}

static void test_the_earliest_deadline_of_a_tenant_goes_first(void **state) {
    struct world *w = *state;
    static const uint64_t deadlines[] = {50, 20, 90, 20, 10, 70};
    static const uint64_t sorted[] = {10, 20, 20, 50, 70, 90};
    struct admission_ticket *first = occupy(w);
    for (size_t i = 0; i < 6; i++) {
        (void)enter(w, "a", 100, deadlines[i]);
    }
    finish(w, first, 1);
    for (size_t i = 0; i < 6; i++) {
        struct admission_ticket *ticket = admission_next(w->a);
        assert_non_null(ticket);
        assert_int_equal(ticket->deadline_ns, sorted[i]);
        finish(w, ticket, 1);
    }
}

static void test_what_leaves_the_queue_is_never_served(void **state) {
    struct world *w = *state;
    struct admission_ticket *first = occupy(w);
    struct admission_ticket *tickets[4];
    for (int i = 0; i < 4; i++) {
        tickets[i] = enter(w, i < 3 ? "a" : "b", 10, far);
    }
    finish(w, tickets[1], 1);
    finish(w, tickets[3], 1);
    finish(w, first, 1);
    assert_ptr_equal(admission_next(w->a), tickets[0]);
    assert_ptr_equal(admission_next(w->a), tickets[2]);
    assert_null(admission_next(w->a));
}

static void test_the_rate_is_a_bucket_that_refills(void **state) {
    struct world *w = *state;
    struct admission_ticket *ticket = NULL;
    configure(w, "a", 10, 0, 1);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(open_at(w, "a", 5 * second, &ticket), 0);
    }
    assert_int_equal(open_at(w, "a", 5 * second, &ticket), ADMISSION_E_RATE);
    assert_int_equal(open_at(w, "a", 5 * second + second / 20, &ticket), ADMISSION_E_RATE);
    assert_int_equal(open_at(w, "b", 5 * second, &ticket), 0);
    assert_int_equal(open_at(w, "a", 5 * second + second / 10, &ticket), 0);
    assert_int_equal(open_at(w, "a", 5 * second + second / 10, &ticket), ADMISSION_E_RATE);
    for (int i = 0; i < 10; i++) { /* an hour of silence saves up no more than a second */
        assert_int_equal(open_at(w, "a", 3600 * second, &ticket), 0);
    }
    assert_int_equal(open_at(w, "a", 3600 * second, &ticket), ADMISSION_E_RATE);
}

static void test_the_retry_time_of_the_rate_is_enough(void **state) {
    struct world *w = *state;
    struct admission_ticket *victim = NULL;
    uint32_t retry = 0;
    uint64_t now = second;
    configure(w, "a", 7, 0, 1);
    for (int i = 0; i < 50; i++) {
        struct admission_ticket *ticket = &w->tickets[w->count++];
        int rc = admission_open(w->a, ticket, "a", now, &victim, &retry);
        if (rc == ADMISSION_E_RATE) {
            now += (uint64_t)retry * 1000000u;
            assert_int_equal(admission_open(w->a, ticket, "a", now, &victim, &retry), 0);
        }
    }
}

static void test_the_window_counts_over_everything_that_is_open(void **state) {
    struct world *w = *state;
    struct admission_ticket *tickets[4];
    configure(w, "a", 0, 3, 1);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(open_at(w, "a", 1, &tickets[i]), 0);
    }
    assert_int_equal(open_at(w, "a", 1, &tickets[3]), ADMISSION_E_WINDOW);
    admission_close(w->a, tickets[1]);
    assert_int_equal(open_at(w, "a", 1, &tickets[3]), 0);
}

static void test_a_full_house_makes_room_for_who_has_less_than_his_share(void **state) {
    struct world *w = *state;
    struct admission_ticket *victim = NULL;
    struct admission_ticket *latest = NULL;
    uint32_t retry = 0;
    (void)occupy(w);
    for (int i = 1; i < MAX_OPEN; i++) {
        latest = enter(w, "greedy", 10, (uint64_t)i);
    }
    struct admission_ticket *polite = &w->tickets[w->count++];
    assert_int_equal(admission_open(w->a, polite, "polite", 1, &victim, &retry), 0);
    assert_ptr_equal(victim, latest);
    finish(w, victim, 1);
    struct admission_ticket *more = &w->tickets[w->count++];
    assert_int_equal(admission_open(w->a, more, "greedy", 1, &victim, &retry), ADMISSION_E_FULL);
    assert_null(victim);
    assert_true(retry >= ADMISSION_LEAST_RETRY_MS && retry <= ADMISSION_MOST_RETRY_MS);
}

static void test_refuses_what_would_not_begin_in_time(void **state) {
    struct world *w = *state;
    struct admission_ticket *ticket = NULL;
    uint32_t retry = 0;
    /* A thousand of cost takes a second: that is learnt here. */
    struct admission_ticket *first = enter(w, "a", BUDGET, far);
    finish(w, first, 1 + second);
    first = occupy(w);
    uint64_t now = second;
    assert_int_equal(open_at(w, "a", now, &ticket), 0);
    ticket->cost = 1;
    ticket->deadline_ns = now + second / 2;
    assert_int_equal(admission_enter(w->a, ticket, now, &retry), ADMISSION_E_LATE);
    assert_true(retry >= 700 && retry <= 1300);
    ticket->deadline_ns = now + 2 * second;
    assert_int_equal(admission_enter(w->a, ticket, now, &retry), 0);
    assert_int_equal(ticket->place, ADMISSION_QUEUED);
}

static void test_another_tenants_queue_makes_nobody_late_beyond_its_share(void **state) {
    struct world *w = *state;
    struct admission_ticket *ticket = NULL;
    uint32_t retry = 0;
    finish(w, enter(w, "a", BUDGET, far), 1 + second);
    (void)occupy(w);
    for (int i = 0; i < 100; i++) {
        (void)enter(w, "greedy", BUDGET, far);
    }
    assert_int_equal(open_at(w, "polite", 1, &ticket), 0);
    ticket->cost = 100;
    ticket->deadline_ns = 1 + 2 * second; /* 100 s of work wait, but not before this one */
    assert_int_equal(admission_enter(w->a, ticket, 1, &retry), 0);
    assert_int_equal(open_at(w, "greedy", 1, &ticket), 0);
    ticket->cost = 100;
    ticket->deadline_ns = far - 1;
    assert_int_equal(admission_enter(w->a, ticket, 1, &retry), 0);
}

static void test_new_limits_hold_for_tenants_that_are_busy(void **state) {
    struct world *w = *state;
    struct admission_ticket *ticket = NULL;
    configure(w, "a", 0, 0, 1);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(open_at(w, "a", 1, &ticket), 0);
    }
    w->settings->tenants[0].window = 2;
    admission_configure(w->a, w->settings);
    assert_int_equal(open_at(w, "a", 1, &ticket), ADMISSION_E_WINDOW);
    w->settings->tenant_count = 0;
    admission_configure(w->a, w->settings);
    assert_int_equal(open_at(w, "a", 1, &ticket), 0);
}

int main(void) {
#define in_world(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        in_world(test_starts_at_once_what_fits_and_queues_the_rest),
        in_world(test_a_request_larger_than_everything_is_served_alone),
        in_world(test_equal_tenants_get_equal_cost_whatever_their_sizes),
        in_world(test_a_flood_of_small_requests_gains_nothing),
        in_world(test_cost_goes_by_weight),
        in_world(test_the_earliest_deadline_of_a_tenant_goes_first),
        in_world(test_what_leaves_the_queue_is_never_served),
        in_world(test_the_rate_is_a_bucket_that_refills),
        in_world(test_the_retry_time_of_the_rate_is_enough),
        in_world(test_the_window_counts_over_everything_that_is_open),
        in_world(test_a_full_house_makes_room_for_who_has_less_than_his_share),
        in_world(test_refuses_what_would_not_begin_in_time),
        in_world(test_another_tenants_queue_makes_nobody_late_beyond_its_share),
        in_world(test_new_limits_hold_for_tenants_that_are_busy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
