/* SPDX-License-Identifier: Apache-2.0
 *
 * A loop, a pool of real workers and jobs that wait to the end, for the tests of the pool.
 */
#ifndef BUCKLER_TESTS_UNIT_DECODE_HARNESS_H
#define BUCKLER_TESTS_UNIT_DECODE_HARNESS_H

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/loop.h"
#include "decode/decode.h"

struct harness {
    struct loop *loop;
    struct loop_source *children;
    struct loop_source *guard;
    struct decode_pool *pool;
    unsigned ready; /* calls of `ready` */
    unsigned mine;  /* deaths that the pool recognised */
    unsigned not_mine;
    unsigned timed_out;
};

struct harness_job {
    struct decode_job job;
    struct arena arena;
    unsigned done; /* calls */
};

static const struct log harness_log = {.program = "test", .level = LOG_ERROR_LEVEL};
static const struct decode_image_form harness_form = {
    .resize_width = 64, .resize_height = 64, .crop_width = 64, .crop_height = 64};

static inline void harness_ready(void *user) {
    ((struct harness *)user)->ready++;
}

static inline void harness_child(void *user, int signal_number) {
    struct harness *h = user;
    int status = 0;
    (void)signal_number;
    for (pid_t pid = waitpid(-1, &status, WNOHANG); pid > 0; pid = waitpid(-1, &status, WNOHANG)) {
        if (decode_child_died(h->pool, pid, status)) {
            h->mine++;
        } else {
            h->not_mine++;
        }
    }
}

static inline void harness_late(void *user) {
    ((struct harness *)user)->timed_out++;
}

static inline struct decode_options harness_options(unsigned workers) {
    return (struct decode_options){.workers = workers,
                                   .queue_jobs = 64,
                                   .text_bytes = 1 << 20,
                                   .image_pixels = UINT64_C(64) << 20,
                                   .image_side = 16384,
                                   .address_space_bytes = UINT64_C(512) << 20,
                                   .job_ms = 20000,
                                   .jobs_per_worker = 1000,
                                   .log = &harness_log,
                                   .program = BUCKLER_BINARY_DIR "/bin/buckler-decode"};
}

/* Rounds of the loop until the condition holds; a minute is the end of any patience. */
#define harness_until(h, condition)                                                                          \
    do {                                                                                                     \
        loop_arm((h)->guard, clock_monotonic_ns() + UINT64_C(60000000000));                                  \
        while (!(condition) && (h)->timed_out == 0) {                                                        \
            assert_int_equal(loop_once((h)->loop, -1), 0);                                                   \
        }                                                                                                    \
        assert_int_equal((h)->timed_out, 0);                                                                 \
        loop_arm((h)->guard, 0);                                                                             \
    } while (0)

static inline void harness_init(struct harness *h, const struct decode_options *options) {
    struct error error = {0};
    *h = (struct harness){.loop = loop_new()};
    assert_non_null(h->loop);
    h->children = loop_add_signal(h->loop, SIGCHLD, harness_child, h);
    h->guard = loop_add_timer(h->loop, harness_late, h);
    assert_non_null(h->children);
    assert_non_null(h->guard);
    int rc = decode_pool_new(h->loop, options, harness_ready, h, &h->pool, &error);
    if (rc != 0) {
        fail_msg("%s", error.text);
    }
    harness_until(h, h->ready > 0);
}

static inline void harness_deinit(struct harness *h) {
    h->pool = decode_pool_free(h->pool);
    while (waitpid(-1, NULL, 0) > 0) { /* all were killed, retired ones too; none is left for the next test */
    }
    h->loop = loop_free(h->loop);
}

static inline void harness_done(struct decode_job *job) {
    ((struct harness_job *)job->user)->done++;
}

static inline void harness_job_init(struct harness_job *j, enum content_kind kind, const void *bytes,
                                    size_t size) {
    *j = (struct harness_job){.job = {.kind = kind, .size = size, .mime = "", .form = harness_form}};
    arena_init(&j->arena, 256u << 20);
    j->job.arena = &j->arena;
    j->job.done = harness_done;
    j->job.user = j;
    j->job.fd = fd_sealed(bytes, size);
    assert_true(j->job.fd >= 0);
}

static inline void harness_job_deinit(struct harness_job *j) {
    (void)close(j->job.fd);
    arena_deinit(&j->arena);
}

/* Submits and waits; the status. */
static inline int harness_run(struct harness *h, struct harness_job *j) {
    assert_int_equal(decode_submit(h->pool, &j->job), 0);
    assert_int_equal(j->done, 0);
    harness_until(h, j->done > 0);
    assert_int_equal(j->done, 1);
    return j->job.status;
}

#endif
