/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/buf.h"

static void test_appends_and_keeps_a_nul_behind(void **state) {
    struct buf b = {0};
    (void)state;
    buf_append(&b, "ab", 2);
    buf_append(&b, NULL, 0);
    buf_printf(&b, "%d-%s", 7, "x");
    assert_false(b.failed);
    assert_int_equal(b.size, 5);
    assert_string_equal((char *)b.bytes, "ab7-x");
    buf_clear(&b);
    assert_int_equal(b.size, 0);
    buf_printf(&b, "%s", "");
    buf_append(&b, "c", 1);
    assert_string_equal((char *)b.bytes, "c");
    buf_deinit(&b);
    assert_null(b.bytes);
}

static void test_writes_little_endian(void **state) {
    struct buf b = {0};
    (void)state;
    buf_u8(&b, 1);
    buf_u16(&b, 0x0302);
    buf_u32(&b, 0x07060504);
    buf_u64(&b, 0x0f0e0d0c0b0a0908);
    buf_string(&b, "ab");
    assert_int_equal(b.size, 15 + 6);
    for (size_t i = 0; i < 15; i++) {
        assert_int_equal(b.bytes[i], i + 1);
    }
    assert_memory_equal(b.bytes + 15, "\2\0\0\0ab", 6);
    buf_deinit(&b);
}

static void test_grows_to_any_size(void **state) {
    struct buf b = {0};
    (void)state;
    for (unsigned i = 0; i < 100000; i++) {
        buf_u8(&b, (uint8_t)i);
    }
    assert_false(b.failed);
    assert_int_equal(b.size, 100000);
    for (unsigned i = 0; i < 100000; i++) {
        assert_int_equal(b.bytes[i], (uint8_t)i);
    }
    buf_deinit(&b);
}

static void test_a_failure_sticks_and_keeps_what_was_there(void **state) {
    struct buf b = {0};
    (void)state;
    buf_append(&b, "ab", 2);
    buf_append(&b, "x", SIZE_MAX - 2);
    assert_true(b.failed);
    buf_append(&b, "c", 1);
    buf_u32(&b, 1);
    buf_printf(&b, "x");
    assert_true(b.failed);
    assert_int_equal(b.size, 2);
    assert_string_equal((char *)b.bytes, "ab");
    buf_clear(&b);
    assert_false(b.failed);
    buf_deinit(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_appends_and_keeps_a_nul_behind),
        cmocka_unit_test(test_writes_little_endian),
        cmocka_unit_test(test_grows_to_any_size),
        cmocka_unit_test(test_a_failure_sticks_and_keeps_what_was_there),
    };
    return cmocka_run_group_tests_name("base/buf", tests, NULL, NULL);
}
