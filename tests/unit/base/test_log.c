/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

static const char *captured(int fd, char *out, size_t size) {
    ssize_t got = pread(fd, out, size - 1, 0);
    out[got > 0 ? got : 0] = '\0';
    return out;
}

static void test_writes_one_line_with_level_program_and_id(void **state) {
    const struct log log = {.program = "test", .level = LOG_NOTICE_LEVEL};
    char out[4096];
    char text[2000];
    int saved = dup(STDERR_FILENO);
    int fd = memfd_create("stderr", MFD_CLOEXEC);
    (void)state;
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    assert_int_equal(dup2(fd, STDERR_FILENO), STDERR_FILENO);
    log_warning(&log, "some-id", "%s has %d\nlines\t\x1b[1m", "this", 2);
    log_notice(&log, "other", "x");
    log_info(&log, "dropped", "x");
    log_debug(&log, "dropped", "x");
    log_error(NULL, "dropped", "x");
    log_error(&log, "long", "%s", text);
    assert_int_equal(dup2(saved, STDERR_FILENO), STDERR_FILENO);
    (void)captured(fd, out, sizeof out);
    static const char first[] =
        "<4>test: some-id: this has 2?lines??[1m\n<5>test: other: x\n<3>test: long: aaa";
    assert_memory_equal(out, first, sizeof first - 1);
    assert_in_range(strlen(out), 1000, 1200);
    assert_int_equal(out[strlen(out) - 1], '\n');
    assert_null(strstr(out, "dropped"));
    (void)close(saved);
    (void)close(fd);
}

static void test_clocks_run_forward(void **state) {
    (void)state;
    uint64_t before = clock_monotonic_ns();
    assert_true(before > 0);
    assert_true(clock_monotonic_ns() >= before);
    assert_true(clock_unix_ns() > 1700000000ull * 1000000000ull);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_writes_one_line_with_level_program_and_id),
        cmocka_unit_test(test_clocks_run_forward),
    };
    return cmocka_run_group_tests_name("base/log", tests, NULL, NULL);
}
