/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/loop.h"

/* Two pipes with a byte waiting in each, and what the callbacks do with them. */
struct scene {
    struct loop *loop;
    int pipes[2][2];
    struct loop_source *sources[2];
    unsigned calls;
    int last_signal;
    unsigned depth;
};

static int setup(void **state) {
    struct scene *s = calloc(1, sizeof *s);
    if (s == NULL) {
        return 1;
    }
    s->loop = loop_new();
    for (int i = 0; i < 2; i++) {
        if (pipe(s->pipes[i]) != 0 || write(s->pipes[i][1], "x", 1) != 1) {
            return 1;
        }
    }
    *state = s;
    return s->loop == NULL;
}

static int teardown(void **state) {
    struct scene *s = *state;
    s->loop = loop_free(s->loop);
    for (int i = 0; i < 2; i++) {
        (void)close(s->pipes[i][0]);
        (void)close(s->pipes[i][1]);
    }
    free(s);
    return 0;
}

static void add_both(struct scene *s, loop_file_fn *fn) {
    for (int i = 0; i < 2; i++) {
        s->sources[i] = loop_add_file(s->loop, s->pipes[i][0], EPOLLIN, fn, s);
        assert_non_null(s->sources[i]);
    }
}

static void count_file(void *user, uint32_t events) {
    struct scene *s = user;
    assert_int_equal(events & EPOLLIN, EPOLLIN);
    s->calls++;
}

static void test_calls_what_is_readable_while_it_is(void **state) {
    struct scene *s = *state;
    char c = 0;
    add_both(s, count_file);
    assert_int_equal(loop_once(s->loop, -1), 0);
    assert_int_equal(s->calls, 2);
    assert_int_equal(loop_once(s->loop, -1), 0); /* level-triggered */
    assert_int_equal(s->calls, 4);
    assert_int_equal(read(s->pipes[0][0], &c, 1), 1);
    assert_int_equal(loop_once(s->loop, -1), 0);
    assert_int_equal(s->calls, 5);
    assert_int_equal(loop_set_events(s->sources[1], 0), 0);
    assert_int_equal(loop_once(s->loop, 0), 0);
    assert_int_equal(s->calls, 5);
    assert_int_equal(loop_set_events(s->sources[1], EPOLLIN), 0);
    assert_int_equal(loop_once(s->loop, 0), 0);
    assert_int_equal(s->calls, 6);
}

static void note_end(void *user, uint32_t events) {
    struct scene *s = user;
    s->calls += (events & EPOLLHUP) != 0;
}

static void test_tells_when_the_other_end_closes(void **state) {
    struct scene *s = *state;
    char c = 0;
    assert_int_equal(read(s->pipes[0][0], &c, 1), 1);
    assert_non_null(loop_add_file(s->loop, s->pipes[0][0], EPOLLIN, note_end, s));
    (void)close(s->pipes[0][1]);
    assert_int_equal(loop_once(s->loop, -1), 0);
    assert_int_equal(s->calls, 1);
    s->pipes[0][1] = dup(s->pipes[0][0]); /* something for the teardown to close */
}

static void remove_both(void *user, uint32_t events) {
    struct scene *s = user;
    (void)events;
    s->calls++;
    for (int i = 0; i < 2; i++) {
        s->sources[i] = loop_remove(s->sources[i]);
    }
}

static void test_a_removed_source_is_not_called_though_its_event_was_fetched(void **state) {
    struct scene *s = *state;
    add_both(s, remove_both);
    assert_int_equal(loop_once(s->loop, -1), 0);
    assert_int_equal(s->calls, 1);
    assert_int_equal(loop_once(s->loop, 0), 0);
    assert_int_equal(s->calls, 1);
}

static void nest(void *user, uint32_t events) {
    struct scene *s = user;
    s->calls++;
    if (s->depth++ == 0) {
        assert_int_equal(loop_once(s->loop, 0), 0);
    } else {
        s->calls--;
        remove_both(s, events);
    }
}

static void test_a_source_removed_in_a_nested_round_is_not_called_by_the_outer(void **state) {
    struct scene *s = *state;
    add_both(s, nest);
    assert_int_equal(loop_once(s->loop, -1), 0);
    assert_int_equal(s->calls, 2); /* once outside, once inside */
}

static void add_another(void *user, uint32_t events) {
    struct scene *s = user;
    (void)events;
    s->sources[0] = loop_remove(s->sources[0]);
    s->sources[1] = loop_add_file(s->loop, s->pipes[1][0], EPOLLIN, count_file, s);
    assert_non_null(s->sources[1]);
}

static void test_a_callback_may_put_another_source_in_its_place(void **state) {
    struct scene *s = *state;
    s->sources[0] = loop_add_file(s->loop, s->pipes[0][0], EPOLLIN, add_another, s);
    assert_int_equal(loop_once(s->loop, -1), 0);
    assert_int_equal(s->calls, 0);
    assert_int_equal(loop_once(s->loop, -1), 0);
    assert_int_equal(s->calls, 1);
}

static void count_timer(void *user) {
    struct scene *s = user;
    s->calls++;
}

static void test_a_timer_fires_once_for_each_arming(void **state) {
    struct scene *s = *state;
    struct loop_source *timer = loop_add_timer(s->loop, count_timer, s);
    assert_non_null(timer);
    assert_int_equal(loop_once(s->loop, 0), 0);
    assert_int_equal(s->calls, 0); /* not armed yet */
    loop_arm(timer, clock_monotonic_ns() + 1000);
    assert_int_equal(loop_once(s->loop, -1), 0);
    assert_int_equal(s->calls, 1);
    assert_int_equal(loop_once(s->loop, 0), 0);
    assert_int_equal(s->calls, 1);
    loop_arm(timer, 1); /* long past: at once */
    assert_int_equal(loop_once(s->loop, -1), 0);
    assert_int_equal(s->calls, 2);
    loop_arm(timer, 1);
    loop_arm(timer, 0);
    assert_int_equal(loop_once(s->loop, 0), 0);
    assert_int_equal(s->calls, 2);
    assert_null(loop_remove(timer));
}

static void note_signal(void *user, int number) {
    struct scene *s = user;
    s->last_signal = number;
    loop_stop(s->loop);
}

static void test_a_signal_is_delivered_here_and_stops_the_loop(void **state) {
    struct scene *s = *state;
    struct loop_source *source = loop_add_signal(s->loop, SIGUSR1, note_signal, s);
    assert_non_null(source);
    assert_int_equal(raise(SIGUSR1), 0); /* blocked: kills nobody */
    assert_int_equal(loop_run(s->loop), 0);
    assert_int_equal(s->last_signal, SIGUSR1);
}

static void test_refuses_descriptors_that_cannot_be_waited_for(void **state) {
    struct scene *s = *state;
    assert_null(loop_add_file(s->loop, -1, EPOLLIN, count_file, s));
    int fd = dup(s->pipes[0][0]);
    (void)close(fd);
    assert_null(loop_add_file(s->loop, fd, EPOLLIN, count_file, s));
    assert_null(loop_remove(NULL));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_calls_what_is_readable_while_it_is, setup, teardown),
        cmocka_unit_test_setup_teardown(test_tells_when_the_other_end_closes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_removed_source_is_not_called_though_its_event_was_fetched,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_source_removed_in_a_nested_round_is_not_called_by_the_outer,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_callback_may_put_another_source_in_its_place, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_timer_fires_once_for_each_arming, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_signal_is_delivered_here_and_stops_the_loop, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refuses_descriptors_that_cannot_be_waited_for, setup, teardown),
    };
    return cmocka_run_group_tests_name("base/loop", tests, NULL, NULL);
}
