/* SPDX-License-Identifier: Apache-2.0
 *
 * The pool with the real worker program: what it promises when workers die, hang or lie idle.
 */
#include <signal.h>
#include <sys/mman.h>

#include "harness.h"

static void test_gives_the_views_of_a_text(void **state) {
    static const char text[] = "I will k\xd1\x96ll you"; /* Cyrillic i */
    struct harness *h = *state;
    struct harness_job j;
    harness_job_init(&j, CONTENT_TEXT, text, strlen(text));
    assert_int_equal(harness_run(h, &j), 0);
    const struct canonical_part *part = &j.job.part;
    assert_int_equal(part->kind, CONTENT_TEXT);
    assert_int_equal(part->bytes, strlen(text));
    assert_int_equal(part->flags, FLAG_MIXED_SCRIPT);
    assert_string_equal(part->text.raw.text, text);
    assert_null(part->text.raw.map);
    assert_string_equal(part->text.clean.text, "I will kill you");
    assert_string_equal(part->text.folded.text, "i will kill you");
    assert_int_equal(part->text.clean.map[part->text.clean.size], strlen(text));
    assert_null(part->text.hidden.text);
    harness_job_deinit(&j);
}

static void test_gives_an_empty_text_back_empty(void **state) {
    struct harness *h = *state;
    struct harness_job j;
    harness_job_init(&j, CONTENT_TEXT, "", 0);
    assert_int_equal(harness_run(h, &j), 0);
    assert_int_equal(j.job.part.text.raw.size, 0);
    assert_int_equal(j.job.part.text.folded.size, 0);
    harness_job_deinit(&j);
}

static void test_does_many_jobs_in_order_of_their_workers(void **state) {
    enum { JOBS = 60 };
    struct harness *h = *state;
    struct harness_job *jobs = calloc(JOBS, sizeof *jobs);
    unsigned done = 0;
    assert_non_null(jobs);
    for (int i = 0; i < JOBS; i++) {
        char text[32];
        int size = snprintf(text, sizeof text, "text number %d", i);
        harness_job_init(&jobs[i], CONTENT_TEXT, text, (size_t)size);
        assert_int_equal(decode_submit(h->pool, &jobs[i].job), 0);
    }
    for (int i = 0; i < JOBS; i++) {
        char text[32];
        (void)snprintf(text, sizeof text, "text number %d", i);
        harness_until(h, jobs[i].done > 0);
        assert_int_equal(jobs[i].done, 1);
        assert_int_equal(jobs[i].job.status, 0);
        assert_string_equal(jobs[i].job.part.text.raw.text, text);
        done += jobs[i].done;
        harness_job_deinit(&jobs[i]);
    }
    assert_int_equal(done, JOBS);
    free(jobs);
}

static void test_refuses_a_text_over_its_limit_without_asking_a_worker(void **state) {
    struct harness *h = *state;
    struct harness_job j;
    harness_job_init(&j, CONTENT_TEXT, "abc", 3);
    j.job.size = (1 << 20) + 1;
    assert_int_equal(harness_run(h, &j), DECODE_E_TEXT_TOO_LARGE);
    assert_string_not_equal(j.job.error.text, "");
    harness_job_deinit(&j);
}

static void test_refuses_an_unsealed_descriptor(void **state) {
    struct harness *h = *state;
    struct harness_job j;
    harness_job_init(&j, CONTENT_TEXT, "abc", 3);
    (void)close(j.job.fd);
    j.job.fd = memfd_create("open", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_int_equal(fd_write_all(j.job.fd, "abc", 3), 0);
    assert_int_equal(harness_run(h, &j), DECODE_E_FAILED);
    harness_job_deinit(&j);
}

static void test_refuses_a_descriptor_of_another_size(void **state) {
    struct harness *h = *state;
    struct harness_job j;
    harness_job_init(&j, CONTENT_TEXT, "abc", 3);
    j.job.size = 5000;
    assert_int_equal(harness_run(h, &j), DECODE_E_FAILED);
    harness_job_deinit(&j);
}

static void test_fails_a_job_whose_descriptor_is_closed(void **state) {
    struct harness *h = *state;
    struct harness_job j;
    harness_job_init(&j, CONTENT_TEXT, "abc", 3);
    (void)close(j.job.fd);
    j.job.fd = -1;
    assert_true(harness_run(h, &j) != 0);
    arena_deinit(&j.arena);
}

static void test_fails_when_the_arena_is_too_small(void **state) {
    struct harness *h = *state;
    struct harness_job j;
    harness_job_init(&j, CONTENT_TEXT, "some text", 9);
    j.arena.limit_bytes = 64;
    assert_int_equal(harness_run(h, &j), -ENOMEM);
    assert_null(j.job.part.text.raw.text);
    harness_job_deinit(&j);
}

static void test_reports_invalid_utf8_or_replaces_it(void **state) {
    struct harness *h = *state;
    struct harness_job j;
    harness_job_init(&j, CONTENT_TEXT, "ab\xc3(", 4);
    assert_int_equal(harness_run(h, &j), DECODE_E_INVALID_UTF8);
    harness_job_deinit(&j);
    harness_job_init(&j, CONTENT_TEXT, "ab\xc3(", 4);
    j.job.replace_invalid_utf8 = true;
    assert_int_equal(harness_run(h, &j), 0);
    assert_string_equal(j.job.part.text.raw.text, "ab\xef\xbf\xbd(");
    assert_int_equal(j.job.part.flags, FLAG_INVALID_UTF8);
    harness_job_deinit(&j);
}

static void test_finishes_a_job_once_when_its_worker_is_killed(void **state) {
    struct harness h;
    struct harness_job j;
    int before = 0;
    int after = 0;
    struct decode_options options = harness_options(1);
    (void)state;
    harness_init(&h, &options);
    assert_int_equal(decode_worker_pids(h.pool, &before, 1), 1);
    assert_int_equal(kill(before, SIGSTOP), 0);
    harness_job_init(&j, CONTENT_TEXT, "abc", 3);
    assert_int_equal(decode_submit(h.pool, &j.job), 0);
    assert_int_equal(kill(before, SIGKILL), 0);
    harness_until(&h, j.done > 0 && h.mine == 1);
    assert_int_equal(j.job.status, DECODE_E_FAILED);
    harness_job_deinit(&j);
    /* The successor works. */
    harness_job_init(&j, CONTENT_TEXT, "abc", 3);
    assert_int_equal(harness_run(&h, &j), 0);
    assert_int_equal(decode_worker_pids(h.pool, &after, 1), 1);
    assert_int_not_equal(before, after);
    assert_int_equal(h.not_mine, 0);
    harness_job_deinit(&j);
    harness_deinit(&h);
}

/* Kills at random moments: an answer may be in the socket already, or half a job done. */
static void test_never_loses_or_doubles_a_job_under_kills(void **state) {
    enum { JOBS = 200 };
    struct harness h;
    unsigned failed = 0;
    struct decode_options options = harness_options(2);
    (void)state;
    options.queue_jobs = JOBS;
    harness_init(&h, &options);
    struct harness_job *jobs = calloc(JOBS, sizeof *jobs);
    assert_non_null(jobs);
    for (int i = 0; i < JOBS; i++) {
        harness_job_init(&jobs[i], CONTENT_TEXT, "some text", 9);
        assert_int_equal(decode_submit(h.pool, &jobs[i].job), 0);
    }
    for (int i = 0; i < JOBS; i++) {
        int pids[2];
        unsigned count = decode_worker_pids(h.pool, pids, 2);
        if (i % 20 == 5 && count > 0) {
            assert_int_equal(kill(pids[(unsigned)i / 20 % count], SIGKILL), 0);
        }
        harness_until(&h, jobs[i].done > 0);
    }
    for (int i = 0; i < JOBS; i++) {
        assert_int_equal(jobs[i].done, 1);
        assert_true(jobs[i].job.status == 0 || jobs[i].job.status == DECODE_E_FAILED);
        failed += jobs[i].job.status != 0;
        harness_job_deinit(&jobs[i]);
    }
    assert_true(failed <= JOBS / 20);
    free(jobs);
    harness_deinit(&h);
}

static void test_kills_and_replaces_a_worker_that_overruns(void **state) {
    struct harness h;
    struct harness_job j;
    int pid = 0;
    struct decode_options options = harness_options(1);
    (void)state;
    options.job_ms = 300;
    harness_init(&h, &options);
    assert_int_equal(decode_worker_pids(h.pool, &pid, 1), 1);
    assert_int_equal(kill(pid, SIGSTOP), 0);
    harness_job_init(&j, CONTENT_TEXT, "abc", 3);
    assert_int_equal(harness_run(&h, &j), DECODE_E_FAILED);
    assert_non_null(strstr(j.job.error.text, "too long"));
    harness_job_deinit(&j);
    harness_until(&h, h.mine == 1); /* it was really killed: SIGKILL ends stopped processes too */
    harness_job_init(&j, CONTENT_TEXT, "abc", 3);
    assert_int_equal(harness_run(&h, &j), 0);
    harness_job_deinit(&j);
    harness_deinit(&h);
}

static void test_replaces_a_worker_that_dies_idle(void **state) {
    struct harness h;
    struct harness_job j;
    int pid = 0;
    int next = 0;
    struct decode_options options = harness_options(1);
    (void)state;
    harness_init(&h, &options);
    assert_int_equal(decode_worker_pids(h.pool, &pid, 1), 1);
    assert_int_equal(kill(pid, SIGKILL), 0);
    harness_until(&h, h.mine == 1);
    harness_until(&h, decode_worker_pids(h.pool, &next, 1) == 1 && next != pid);
    harness_job_init(&j, CONTENT_TEXT, "abc", 3);
    assert_int_equal(harness_run(&h, &j), 0);
    harness_job_deinit(&j);
    assert_int_equal(h.ready, 1);
    harness_deinit(&h);
}

static void test_says_overloaded_when_the_queue_is_full(void **state) {
    struct harness h;
    struct harness_job j[3];
    int pid = 0;
    struct decode_options options = harness_options(1);
    (void)state;
    options.queue_jobs = 1;
    harness_init(&h, &options);
    assert_int_equal(decode_worker_pids(h.pool, &pid, 1), 1);
    assert_int_equal(kill(pid, SIGSTOP), 0);
    for (int i = 0; i < 3; i++) {
        harness_job_init(&j[i], CONTENT_TEXT, "abc", 3);
    }
    assert_int_equal(decode_submit(h.pool, &j[0].job), 0);
    assert_int_equal(decode_submit(h.pool, &j[1].job), 0);
    assert_int_equal(decode_submit(h.pool, &j[2].job), DECODE_E_OVERLOADED);
    assert_int_equal(kill(pid, SIGCONT), 0);
    harness_until(&h, j[0].done == 1 && j[1].done == 1);
    assert_int_equal(j[0].job.status, 0);
    assert_int_equal(j[1].job.status, 0);
    assert_int_equal(j[2].done, 0);
    for (int i = 0; i < 3; i++) {
        harness_job_deinit(&j[i]);
    }
    harness_deinit(&h);
}

static void test_forgets_cancelled_jobs_and_goes_on(void **state) {
    struct harness h;
    struct harness_job j[3];
    int pid = 0;
    struct decode_options options = harness_options(1);
    (void)state;
    harness_init(&h, &options);
    assert_int_equal(decode_worker_pids(h.pool, &pid, 1), 1);
    assert_int_equal(kill(pid, SIGSTOP), 0);
    for (int i = 0; i < 3; i++) {
        harness_job_init(&j[i], CONTENT_TEXT, "abc", 3);
        assert_int_equal(decode_submit(h.pool, &j[i].job), 0);
    }
    decode_cancel(h.pool, &j[0].job); /* running */
    decode_cancel(h.pool, &j[1].job); /* waiting */
    assert_int_equal(kill(pid, SIGCONT), 0);
    harness_until(&h, j[2].done == 1);
    assert_int_equal(j[2].job.status, 0);
    assert_int_equal(j[0].done, 0);
    assert_int_equal(j[1].done, 0);
    for (int i = 0; i < 3; i++) {
        harness_job_deinit(&j[i]);
    }
    harness_deinit(&h);
}

static void test_retires_a_worker_after_its_number_of_jobs(void **state) {
    struct harness h;
    int first = 0;
    int last = 0;
    struct decode_options options = harness_options(1);
    (void)state;
    options.jobs_per_worker = 3;
    harness_init(&h, &options);
    assert_int_equal(decode_worker_pids(h.pool, &first, 1), 1);
    for (int i = 0; i < 3; i++) {
        struct harness_job j;
        assert_int_equal(decode_worker_pids(h.pool, &last, 1), 1);
        assert_int_equal(first, last);
        harness_job_init(&j, CONTENT_TEXT, "abc", 3);
        assert_int_equal(harness_run(&h, &j), 0);
        harness_job_deinit(&j);
    }
    assert_int_equal(decode_worker_pids(h.pool, &last, 1), 1);
    assert_int_not_equal(first, last);
    harness_until(&h, h.mine == 1);
    harness_deinit(&h);
}

/* A program that never gets ready is started again and again, ever slower; jobs wait, and nothing else
 * breaks. */
static void test_lives_with_a_program_that_dies_at_once(void **state) {
    struct harness h = {.loop = loop_new()};
    struct harness_job j;
    struct error error = {0};
    struct decode_options options = harness_options(1);
    (void)state;
    options.program = "/bin/true";
    h.children = loop_add_signal(h.loop, SIGCHLD, harness_child, &h);
    h.guard = loop_add_timer(h.loop, harness_late, &h);
    assert_int_equal(decode_pool_new(h.loop, &options, harness_ready, &h, &h.pool, &error), 0);
    harness_job_init(&j, CONTENT_TEXT, "abc", 3);
    assert_int_equal(decode_submit(h.pool, &j.job), 0);
    harness_until(&h, h.mine >= 3);
    assert_int_equal(h.ready, 0);
    assert_int_equal(h.not_mine, 0);
    assert_int_equal(j.done, 0);
    harness_deinit(&h);
    assert_int_equal(j.done, 0);
    harness_job_deinit(&j);
}

/* Each way to break the word of the pool costs the worker its life and the job its result; the next job is
 * fine. */
static void test_replaces_workers_that_break_their_word(void **state) {
    static const struct {
        const char *does;
        int status;
    } rows[] = {
        {"sound", 0}, {"wrong-id", DECODE_E_FAILED}, {"lie", DECODE_E_FAILED}, {"garbage", DECODE_E_FAILED},
        {"twice", 0}, {"answer-and-die", 0}};
    struct harness h;
    struct decode_options options = harness_options(1);
    (void)state;
    options.program = BUCKLER_BINARY_DIR "/tests/decode_fake_worker";
    harness_init(&h, &options);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct harness_job j;
        int before = 0;
        int after = 0;
        unsigned deaths = h.mine;
        assert_int_equal(decode_worker_pids(h.pool, &before, 1), 1);
        harness_job_init(&j, CONTENT_TEXT, "x", 1);
        j.job.mime = rows[i].does;
        assert_int_equal(harness_run(&h, &j), rows[i].status);
        harness_job_deinit(&j);
        if (i > 0) {
            harness_until(&h, h.mine == deaths + 1);
        }
        harness_job_init(&j, CONTENT_TEXT, "x", 1);
        j.job.mime = "sound";
        assert_int_equal(harness_run(&h, &j), 0);
        assert_string_equal(j.job.part.text.folded.text, "x");
        harness_job_deinit(&j);
        assert_int_equal(decode_worker_pids(h.pool, &after, 1), 1);
        assert_int_equal(before == after, i == 0);
    }
    harness_deinit(&h);
}

static void test_flags_a_text_that_was_declared_a_picture(void **state) {
    struct harness *h = *state;
    struct harness_job j;
    harness_job_init(&j, CONTENT_TEXT, "abc", 3);
    j.job.mime = "image/png";
    assert_int_equal(harness_run(h, &j), 0);
    assert_int_equal(j.job.part.flags, FLAG_MIME_MISMATCH);
    harness_job_deinit(&j);
    harness_job_init(&j, CONTENT_TEXT, "abc", 3);
    j.job.mime = "text/plain; charset=utf-8; and a tail that is longer than any type that we know of is";
    assert_int_equal(harness_run(h, &j), 0);
    assert_int_equal(j.job.part.flags, 0);
    harness_job_deinit(&j);
}

static void test_refuses_limits_that_do_not_fit_the_address_space(void **state) {
    struct decode_pool *pool = NULL;
    struct error error = {0};
    struct harness *h = *state;
    struct decode_options options = harness_options(1);
    options.text_bytes = 64 << 20;
    assert_int_equal(decode_pool_new(h->loop, &options, NULL, NULL, &pool, &error), -EINVAL);
    assert_non_null(strstr(error.text, "address space"));
    options = harness_options(0);
    assert_int_equal(decode_pool_new(h->loop, &options, NULL, NULL, &pool, &error), -EINVAL);
    options = harness_options(1);
    options.program = "/nonexistent/buckler-decode";
    assert_true(decode_pool_new(h->loop, &options, NULL, NULL, &pool, &error) < 0);
    assert_null(pool);
}

static void test_does_not_know_foreign_children(void **state) {
    struct harness *h = *state;
    assert_false(decode_child_died(h->pool, getpid(), 0));
}

static int set_up(void **state) {
    static struct harness shared;
    struct decode_options options = harness_options(2);
    harness_init(&shared, &options);
    *state = &shared;
    return 0;
}

static int tear_down(void **state) {
    harness_deinit(*state);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gives_the_views_of_a_text),
        cmocka_unit_test(test_gives_an_empty_text_back_empty),
        cmocka_unit_test(test_does_many_jobs_in_order_of_their_workers),
        cmocka_unit_test(test_refuses_a_text_over_its_limit_without_asking_a_worker),
        cmocka_unit_test(test_refuses_an_unsealed_descriptor),
        cmocka_unit_test(test_refuses_a_descriptor_of_another_size),
        cmocka_unit_test(test_fails_a_job_whose_descriptor_is_closed),
        cmocka_unit_test(test_fails_when_the_arena_is_too_small),
        cmocka_unit_test(test_reports_invalid_utf8_or_replaces_it),
        cmocka_unit_test(test_refuses_limits_that_do_not_fit_the_address_space),
        cmocka_unit_test(test_does_not_know_foreign_children),
        cmocka_unit_test(test_flags_a_text_that_was_declared_a_picture),
    };
    const struct CMUnitTest own_pools[] = {
        cmocka_unit_test(test_finishes_a_job_once_when_its_worker_is_killed),
        cmocka_unit_test(test_never_loses_or_doubles_a_job_under_kills),
        cmocka_unit_test(test_kills_and_replaces_a_worker_that_overruns),
        cmocka_unit_test(test_replaces_a_worker_that_dies_idle),
        cmocka_unit_test(test_says_overloaded_when_the_queue_is_full),
        cmocka_unit_test(test_forgets_cancelled_jobs_and_goes_on),
        cmocka_unit_test(test_retires_a_worker_after_its_number_of_jobs),
        cmocka_unit_test(test_lives_with_a_program_that_dies_at_once),
        cmocka_unit_test(test_replaces_workers_that_break_their_word),
    };
    int bad = cmocka_run_group_tests_name("one pool", tests, set_up, tear_down);
    return bad + cmocka_run_group_tests_name("own pools", own_pools, NULL, NULL);
}
