/* SPDX-License-Identifier: Apache-2.0
 *
 * The life of jobs: every one that was taken is reaped exactly once, whatever happens to it.
 */
#include <poll.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "tests/unit/engine/graph/rig.h"

static void open_default(struct rig *rig, struct engine_options options) {
    struct tiny_options tiny = tiny_default(TINY_MIXED);

    rig_open(rig, &tiny, options);
}

/* The next finished job, waited for on the eventfd as the daemon does. */
static struct engine_job *reap(struct rig *rig) {
    struct pollfd p = {.fd = engine_eventfd(rig->engine), .events = POLLIN};

    assert_int_equal(poll(&p, 1, 60000), 1);
    return engine_reap(rig->engine);
}

/* A call that waits until the test lets it go. */
struct gate_call {
    struct engine_job job;
    sem_t entered, leave;
    int result;
};

static int wait_at_gate(void *user, struct error *reterr) {
    struct gate_call *call = user;

    sem_post(&call->entered);
    while (sem_wait(&call->leave) != 0) {
    }
    return call->result == 0 ? 0 : error_set(reterr, call->result, "the gate says no");
}

static void gate_init(struct gate_call *call, int result) {
    *call = (struct gate_call){.result = result};
    sem_init(&call->entered, 0, 0);
    sem_init(&call->leave, 0, 0);
    call->job.kind = ENGINE_JOB_CALL;
    call->job.call = wait_at_gate;
    call->job.user = call;
}

static void test_packed_jobs_have_the_bits_of_lonely_ones(void **state) {
    (void)state;
    enum { JOBS = 40 };
    struct rig rig = {0};
    static struct rig_job lonely[JOBS], packed[JOBS];
    bool seen[JOBS] = {false};
    struct error e;

    /* A small cache, so that jobs have to wait for pages too. */
    open_default(&rig, (struct engine_options){.threads = 2, .step_tokens = 48, .kv_tokens = 512});
    for (uint32_t i = 0; i < JOBS; i++) {
        rig_job_init(&lonely[i], &rig, 50 + i, 1 + i * 37 % 150);
        rig_job_init(&packed[i], &rig, 50 + i, 1 + i * 37 % 150);
        assert_int_equal(engine_run(rig.engine, &lonely[i].job), 0);
    }
    for (uint32_t i = 0; i < JOBS; i++) {
        assert_int_equal(engine_submit(rig.engine, &packed[i].job, &e), 0);
    }
    for (uint32_t i = 0; i < JOBS; i++) {
        struct engine_job *job = reap(&rig);
        size_t at = (size_t)((struct rig_job *)(void *)job - packed);

        assert_non_null(job);
        assert_int_equal(job->status, 0);
        assert_false(seen[at]);
        seen[at] = true;
        assert_memory_equal(packed[at].out, lonely[at].out, sizeof packed[at].out);
    }
    assert_null(engine_reap(rig.engine));
    struct pollfd p = {.fd = engine_eventfd(rig.engine), .events = POLLIN};
    assert_int_equal(poll(&p, 1, 0), 0);
    rig_close(&rig);
}

static void test_refuses_jobs_that_cannot_run(void **state) {
    (void)state;
    struct rig rig = {0};
    struct rig_job j;
    struct error e;
    struct engine_segment two[2];

    open_default(&rig, (struct engine_options){.threads = 1, .kv_tokens = 128});
#define REFUSES(number)                                                                                      \
    assert_int_equal(engine_submit(rig.engine, &j.job, &e), number);                                         \
    assert_int_equal(e.code, number);                                                                        \
    rig_job_init(&j, &rig, 1, 20)
    rig_job_init(&j, &rig, 1, 20);
    j.tokens[7] = TINY_VOCABULARY;
    REFUSES(ENGINE_E_INVALID);
    j.ids[1] = TINY_VOCABULARY;
    REFUSES(ENGINE_E_INVALID);
    j.readout.position = 20;
    REFUSES(ENGINE_E_INVALID);
    j.readout.segment = 1;
    REFUSES(ENGINE_E_INVALID);
    j.readout.out = NULL;
    REFUSES(ENGINE_E_INVALID);
    j.readout.kind = ENGINE_READ_INVALID;
    REFUSES(ENGINE_E_INVALID);
    j.readout.kind = ENGINE_READ_MEAN; /* layer 0 */
    REFUSES(ENGINE_E_INVALID);
    j.readout.kind = ENGINE_READ_LAST;
    j.readout.layer = 13;
    REFUSES(ENGINE_E_INVALID);
    j.readout.id_count = 0;
    REFUSES(ENGINE_E_INVALID);
    j.segment.parent = 0;
    REFUSES(ENGINE_E_INVALID);
    j.segment.count = 0;
    REFUSES(ENGINE_E_INVALID);
    j.job.readout_count = 0;
    REFUSES(ENGINE_E_INVALID);
    j.job.segment_count = 4097;
    REFUSES(ENGINE_E_INVALID);
    j.job.model = NULL;
    REFUSES(ENGINE_E_INVALID);
    j.job.kind = ENGINE_JOB_INVALID;
    REFUSES(ENGINE_E_INVALID);
    j.job.kind = ENGINE_JOB_IMAGES;
    REFUSES(ENGINE_E_INVALID);
    j.job.kind = ENGINE_JOB_CALL;
    REFUSES(ENGINE_E_INVALID);
    j.segment.count = 256; /* more than the cache */
    j.readout.position = 255;
    REFUSES(ENGINE_E_TOO_LONG);
    two[0] = (struct engine_segment){.parent = -1, .tokens = j.tokens, .count = 200};
    two[1] =
        (struct engine_segment){.parent = 0, .tokens = j.tokens, .count = 57}; /* beyond the context of 256 */
    j.job.segments = two;
    j.job.segment_count = 2;
    REFUSES(ENGINE_E_TOO_LONG);
#undef REFUSES
    assert_int_equal(engine_run(rig.engine, &j.job), 0);
    rig_close(&rig);
}

static void test_a_full_queue_is_busy(void **state) {
    (void)state;
    struct rig rig = {0};
    struct gate_call call;
    struct rig_job first, second;
    struct error e;

    open_default(&rig, (struct engine_options){.threads = 1, .queue_jobs = 2});
    gate_init(&call, 0);
    rig_job_init(&first, &rig, 1, 10);
    rig_job_init(&second, &rig, 2, 10);
    assert_int_equal(engine_submit(rig.engine, &call.job, &e), 0);
    assert_int_equal(engine_submit(rig.engine, &first.job, &e), 0);
    assert_ptr_equal(reap(&rig), &first.job);
    assert_int_equal(engine_submit(rig.engine, &first.job, &e), 0);
    struct engine_job *job = reap(&rig);
    assert_ptr_equal(job, &first.job);
    struct gate_call other;
    gate_init(&other, 0);
    assert_int_equal(engine_submit(rig.engine, &other.job, &e), 0);
    assert_int_equal(engine_submit(rig.engine, &second.job, &e), ENGINE_E_BUSY);
    sem_post(&call.leave);
    sem_post(&other.leave);
    assert_ptr_equal(reap(&rig), &call.job);
    assert_ptr_equal(reap(&rig), &other.job);
    assert_int_equal(engine_run(rig.engine, &second.job), 0);
    rig_close(&rig);
}

static void test_a_slow_call_does_not_stop_scoring(void **state) {
    (void)state;
    struct rig rig = {0};
    struct gate_call call;
    struct rig_job j;
    struct error e;

    open_default(&rig, (struct engine_options){.threads = 1});
    gate_init(&call, 77);
    assert_int_equal(engine_submit(rig.engine, &call.job, &e), 0);
    sem_wait(&call.entered);
    rig_job_init(&j, &rig, 3, 30);
    assert_int_equal(engine_run(rig.engine, &j.job), 0);
    sem_post(&call.leave);
    assert_ptr_equal(reap(&rig), &call.job);
    assert_int_equal(call.job.status, 77);
    assert_string_equal(call.job.error.text, "the gate says no");
    rig_close(&rig);
}

static void test_cancelled_and_late_work_is_dropped_before_it_is_computed(void **state) {
    (void)state;
    struct rig rig = {0};
    struct gate_call first, queued;
    struct rig_job late, cancelled;
    struct error e;

    open_default(&rig, (struct engine_options){.threads = 1});
    rig_job_init(&late, &rig, 1, 100);
    late.job.deadline_ns = clock_monotonic_ns() - 1;
    assert_int_equal(engine_run(rig.engine, &late.job), ENGINE_E_DEADLINE);
    assert_int_equal(late.job.tokens_computed, 0);
    rig_job_init(&cancelled, &rig, 1, 100);
    engine_cancel(rig.engine, &cancelled.job);
    assert_int_equal(engine_run(rig.engine, &cancelled.job), ENGINE_E_CANCELLED);
    assert_int_equal(cancelled.job.tokens_computed, 0);
    late.job.deadline_ns = clock_monotonic_ns() + 60000000000u;
    assert_int_equal(engine_run(rig.engine, &late.job), 0);

    /* A call that waits behind another one is never entered. */
    gate_init(&first, 0);
    gate_init(&queued, 0);
    assert_int_equal(engine_submit(rig.engine, &first.job, &e), 0);
    assert_int_equal(engine_submit(rig.engine, &queued.job, &e), 0);
    sem_wait(&first.entered);
    engine_cancel(rig.engine, &queued.job);
    sem_post(&first.leave);
    assert_ptr_equal(reap(&rig), &first.job);
    assert_ptr_equal(reap(&rig), &queued.job);
    assert_int_equal(queued.job.status, ENGINE_E_CANCELLED);
    assert_int_equal(sem_trywait(&queued.entered), -1);
    rig_close(&rig);
}

static void test_cancelled_jobs_give_their_pages_back(void **state) {
    (void)state;
    enum { JOBS = 60 };
    struct rig rig = {0};
    static struct rig_job jobs[JOBS];
    struct error e;
    unsigned ended = 0;

    open_default(&rig, (struct engine_options){.threads = 2, .step_tokens = 16, .kv_tokens = 256});
    for (uint32_t i = 0; i < JOBS; i++) {
        rig_job_init(&jobs[i], &rig, i, 200);
        assert_int_equal(engine_submit(rig.engine, &jobs[i].job, &e), 0);
        if (i % 2 == 0) {
            engine_cancel(rig.engine, &jobs[i].job);
        }
    }
    while (ended < JOBS) {
        const struct engine_job *job = reap(&rig);
        size_t at = (size_t)((const struct rig_job *)(const void *)job - jobs);

        assert_true(job->status == 0 || (at % 2 == 0 && job->status == ENGINE_E_CANCELLED));
        ended++;
    }
    rig_job_init(&jobs[0], &rig, 9, 250); /* needs all pages */
    assert_int_equal(engine_run(rig.engine, &jobs[0].job), 0);
    rig_close(&rig);
}

static void test_free_cancels_everything(void **state) {
    (void)state;
    enum { JOBS = 20 };
    struct rig rig = {0};
    static struct rig_job jobs[JOBS];
    struct gate_call call, queued;
    struct error e;

    open_default(&rig, (struct engine_options){.threads = 2, .step_tokens = 4});
    gate_init(&call, 0);
    gate_init(&queued, 0);
    assert_int_equal(engine_submit(rig.engine, &call.job, &e), 0);
    assert_int_equal(engine_submit(rig.engine, &queued.job, &e), 0);
    sem_wait(&call.entered);
    for (uint32_t i = 0; i < JOBS; i++) {
        rig_job_init(&jobs[i], &rig, i, 200);
        assert_int_equal(engine_submit(rig.engine, &jobs[i].job, &e), 0);
    }
    sem_post(&call.leave);
    sem_post(&queued.leave);
    rig_close(&rig);
    for (uint32_t i = 0; i < JOBS; i++) {
        assert_true(jobs[i].job.status == ENGINE_E_CANCELLED || jobs[i].job.status == 0);
    }
    assert_int_equal(jobs[JOBS - 1].job.status, ENGINE_E_CANCELLED);
    assert_int_equal(call.job.status, 0);
    assert_true(queued.job.status == ENGINE_E_CANCELLED || queued.job.status == 0);
}

/* Many small trees in one job that has far more segments than the cache has pages. */
static void test_a_job_larger_than_the_cache_comes_to_its_end(void **state) {
    (void)state;
    enum { TREES = 60, LEAVES = 5, SEGMENTS = TREES * (LEAVES + 1) };
    struct rig rig = {0};
    uint32_t tokens[64], id = 5;
    static struct engine_segment segments[SEGMENTS];
    static struct engine_readout readouts[TREES * LEAVES];
    static float out[TREES * LEAVES], once[LEAVES];

    rig_tokens(1, tokens, 64);
    /* All roots first, then all leaves: the order in which they cannot be computed. */
    for (int32_t i = 0; i < TREES; i++) {
        segments[i] = (struct engine_segment){.parent = -1, .tokens = tokens, .count = 33};
        for (int32_t k = 0; k < LEAVES; k++) {
            uint32_t at = (uint32_t)(i * LEAVES + k);

            segments[TREES + at] =
                (struct engine_segment){.parent = i, .tokens = tokens + 33 + k, .count = (uint32_t)k + 1};
            readouts[at] = (struct engine_readout){.kind = ENGINE_READ_LOGITS,
                                                   .segment = TREES + at,
                                                   .position = (uint32_t)k,
                                                   .ids = &id,
                                                   .id_count = 1,
                                                   .out = &out[at]};
        }
    }
    open_default(&rig, (struct engine_options){.threads = 2, .kv_tokens = 160});
    struct engine_job job = {.kind = ENGINE_JOB_FOREST,
                             .model = rig.model,
                             .segments = segments,
                             .segment_count = SEGMENTS,
                             .readouts = readouts,
                             .readout_count = TREES * LEAVES};
    assert_int_equal(engine_run(rig.engine, &job), 0);
    memcpy(once, out, sizeof once);
    for (uint32_t i = 0; i < TREES; i++) {
        assert_memory_equal(out + (size_t)i * LEAVES, once, sizeof once);
    }
    assert_int_equal(job.tokens_computed, TREES * (33 + LEAVES * (LEAVES + 1) / 2));
    rig_close(&rig);
}

static void test_nan_is_an_error_and_not_a_number(void **state) {
    (void)state;
    static const enum engine_readout_kind kinds[] = {ENGINE_READ_LOGITS, ENGINE_READ_MEAN, ENGINE_READ_LAST,
                                                     ENGINE_READ_NEXT};
    static const char *const tensors[] = {"blk.2.ffn_down.weight", "blk.0.attn_norm.weight",
                                          "blk.3.attn_v.weight"};
    static float out[TINY_VOCABULARY];

    for (size_t t = 0; t < sizeof tensors / sizeof tensors[0]; t++) {
        for (int reference = 0; reference < 2; reference++) {
            struct tiny_options options = tiny_default(TINY_F32);
            struct rig rig = {0};
            struct tiny_model tiny;
            struct rig_job j;
            char path[64];

            tiny_init(&tiny, &options);
            tiny_find(&tiny, tensors[t])->values[11] = __builtin_nanf("");
            tiny_write(&tiny, path);
            rig_open_written(&rig, path, (struct engine_options){.threads = 1, .reference = reference});
            for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
                rig_job_init(&j, &rig, 5, 12);
                j.readout.kind = kinds[i];
                j.readout.layer = 12;
                j.readout.out = out;
                assert_int_equal(engine_run(rig.engine, &j.job), ENGINE_E_NOT_FINITE);
                j.readout.ids = NULL;
                j.readout.kind = ENGINE_READ_LOGITS;
                assert_int_equal(engine_run(rig.engine, &j.job), ENGINE_E_NOT_FINITE);
            }
            assert_int_equal(remove(path), 0);
            rig_close(&rig);
            tiny_deinit(&tiny);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_packed_jobs_have_the_bits_of_lonely_ones),
        cmocka_unit_test(test_refuses_jobs_that_cannot_run),
        cmocka_unit_test(test_a_full_queue_is_busy),
        cmocka_unit_test(test_a_slow_call_does_not_stop_scoring),
        cmocka_unit_test(test_cancelled_and_late_work_is_dropped_before_it_is_computed),
        cmocka_unit_test(test_cancelled_jobs_give_their_pages_back),
        cmocka_unit_test(test_free_cancels_everything),
        cmocka_unit_test(test_a_job_larger_than_the_cache_comes_to_its_end),
        cmocka_unit_test(test_nan_is_an_error_and_not_a_number),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
