/* SPDX-License-Identifier: Apache-2.0 */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "engine/graph/pool.h"

enum { TASKS = 100, PHASES = 50, MOST_WORKERS = 5 };

struct course {
    struct pool *pool;
    unsigned char taken[PHASES][TASKS]; /* written without atomics: every task belongs to one member */
    _Atomic(unsigned) members;
    _Atomic(unsigned) early; /* members that met an unfinished task of the phase before */
};

static void run_course(void *user, unsigned worker) {
    struct course *c = user;
    size_t task;

    atomic_fetch_add(&c->members, 1u << 4 * worker);
    for (int phase = 0; phase < PHASES; phase++) {
        for (int i = 0; phase > 0 && i < TASKS; i++) {
            if (c->taken[phase - 1][i] != 1) {
                atomic_fetch_add(&c->early, 1);
            }
        }
        while (pool_claim(c->pool, TASKS, &task)) {
            c->taken[phase][task]++;
        }
        pool_barrier(c->pool, worker);
    }
}

static void test_every_task_is_done_once_and_before_the_next_phase(void **state) {
    (void)state;
    static struct course c;
    struct error e;

    for (unsigned workers = 1; workers <= MOST_WORKERS; workers++) {
        struct pool *pool;

        assert_int_equal(pool_new(workers, &pool, &e), 0);
        assert_int_equal(pool_workers(pool), workers);
        for (int round = 0; round < 20; round++) {
            memset(&c, 0, sizeof c);
            c.pool = pool;
            pool_run(pool, run_course, &c);
            assert_int_equal(c.early, 0);
            assert_int_equal(c.members, 0x11111u & ((1u << 4 * workers) - 1));
            for (int i = 0; i < PHASES * TASKS; i++) {
                assert_int_equal(c.taken[i / TASKS][i % TASKS], 1);
            }
        }
        assert_null(pool_free(pool));
    }
}

static void *read_affinity(void *user) {
    (void)sched_getaffinity(0, sizeof(cpu_set_t), user);
    return NULL;
}

static void test_a_pool_leaves_the_allowed_processors_alone(void **state) {
    (void)state;
    static struct course c;
    cpu_set_t before, after;
    pthread_t thread;
    struct pool *pool;
    struct error e;

    assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
    assert_int_equal(pool_new(3, &pool, &e), 0);
    for (int round = 0; round < 20; round++) {
        memset(&c, 0, sizeof c);
        c.pool = pool;
        pool_run(pool, run_course, &c);
    }
    pool_free(pool);
    assert_int_equal(thread_start(&thread, "test", read_affinity, &after, &e), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(CPU_EQUAL(&before, &after));
    assert_int_equal(sched_getaffinity(0, sizeof after, &after), 0);
    assert_true(CPU_EQUAL(&before, &after));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_task_is_done_once_and_before_the_next_phase),
        cmocka_unit_test(test_a_pool_leaves_the_allowed_processors_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
