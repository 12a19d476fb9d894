/* SPDX-License-Identifier: Apache-2.0
 *
 * The n-th allocation fails, for every n: loading says so, leaves nothing behind and never gives a policy
 * that is incomplete. The linker puts the functions below in the place of libc's (see CMakeLists.txt).
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "policies/policy.h"

void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
char *__real_strdup(const char *text);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
char *__wrap_strdup(const char *text);

static size_t left = SIZE_MAX; /* allocations until the one that fails */

static bool fails(void) {
    return left != SIZE_MAX && left-- == 0;
}

void *__wrap_calloc(size_t count, size_t size) {
    return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size) {
    return fails() ? NULL : __real_realloc(old, size);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size) {
    return fails() ? NULL : __real_aligned_alloc(alignment, size);
}

char *__wrap_strdup(const char *text) {
    return fails() ? NULL : __real_strdup(text);
}

/* How many allocations it takes; every one of them is made to fail once. */
static size_t fail_each(const char *path) {
    for (size_t n = 0; n < 100000; n++) {
        struct policy *policy = NULL;
        struct config_report report = {0};
        left = n;
        int rc = policy_load(path, &policy, &report);
        bool failed = left == SIZE_MAX; /* counted below zero: the failure happened */
        left = SIZE_MAX;
        if (!failed) {
            assert_int_equal(rc, 0);
            assert_non_null(policy);
            policy_free(policy);
            return n;
        }
        assert_int_equal(rc, -ENOMEM);
        assert_null(policy);
        config_report_deinit(&report);
    }
    return 0;
}

static void test_says_so_whichever_allocation_fails(void **state) {
    (void)state;
    assert_true(fail_each(BUCKLER_SOURCE_DIR "/policies/builtin/chat-response.yaml") > 50);
    assert_true(fail_each(BUCKLER_SOURCE_DIR "/fuzz/seeds/yaml/all-keys.yaml") > 10);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_says_so_whichever_allocation_fails)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
