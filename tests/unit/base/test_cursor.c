/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/cursor.h"

static void test_reads_little_endian_to_the_exact_end(void **state) {
    static const uint8_t bytes[] = {1,  2, 3, 4,    5,    6, 7, 8, 9, 10, 11, 12, 13,  14,
                                    15, 0, 0, 0xc0, 0x3f, 0, 0, 0, 0, 0,  0,  4,  0xc0};
    struct cursor c;
    (void)state;
    cursor_init(&c, bytes, sizeof bytes);
    assert_int_equal(cursor_u8(&c), 1);
    assert_int_equal(cursor_u16(&c), 0x0302);
    assert_int_equal(cursor_u32(&c), 0x07060504);
    assert_int_equal(cursor_u64(&c), 0x0f0e0d0c0b0a0908);
    assert_true(cursor_f32(&c) == 1.5f);
    assert_false(cursor_done(&c));
    assert_int_equal(cursor_left(&c), 8);
    assert_true(cursor_f64(&c) == -2.5);
    assert_true(cursor_done(&c));
}

static void test_a_short_read_fails_for_good_and_moves_nothing(void **state) {
    (void)state;
    for (size_t size = 0; size < 8; size++) {
        uint8_t *bytes = malloc(size + (size == 0)); /* exact, for the sanitizer */
        struct cursor c;
        assert_non_null(bytes);
        memset(bytes, 0xff, size);
        cursor_init(&c, bytes, size);
        assert_int_equal(cursor_u64(&c), 0);
        assert_true(c.failed);
        assert_int_equal(c.at, 0);
        assert_int_equal(cursor_left(&c), 0);
        assert_int_equal(cursor_u8(&c), 0);
        assert_null(cursor_take(&c, 0));
        assert_true(cursor_f32(&c) == 0);
        assert_false(cursor_done(&c));
        free(bytes);
    }
}

static void test_a_count_near_the_limit_of_size_t_is_refused(void **state) {
    struct cursor c;
    (void)state;
    cursor_init(&c, "abcd", 4);
    assert_non_null(cursor_take(&c, 2));
    assert_null(cursor_take(&c, SIZE_MAX));
    cursor_init(&c, "abcd", 4);
    assert_non_null(cursor_take(&c, 2));
    assert_null(cursor_take(&c, SIZE_MAX - 1));
    assert_true(c.failed);
}

static void test_reads_a_string_that_fits(void **state) {
    struct cursor c;
    char out[4];
    (void)state;
    cursor_init(&c, "\3\0\0\0abc\0\0\0\0", 11);
    cursor_string(&c, out, sizeof out);
    assert_string_equal(out, "abc");
    cursor_string(&c, out, sizeof out);
    assert_string_equal(out, "");
    assert_true(cursor_done(&c));
}

static void test_refuses_strings_too_long_cut_or_with_a_nul(void **state) {
    static const struct {
        const char *bytes;
        size_t size;
    } bad[] = {{"\4\0\0\0abcd", 8},
               {"\3\0\0\0ab", 6},
               {"\3\0\0\0a\0b", 7},
               {"\xff\xff\xff\xff"
                "abc",
                7},
               {"\3\0\0", 3}};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct cursor c;
        char out[4] = "xyz";
        cursor_init(&c, bad[i].bytes, bad[i].size);
        cursor_string(&c, out, sizeof out);
        assert_true(c.failed);
        assert_string_equal(out, "");
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_little_endian_to_the_exact_end),
        cmocka_unit_test(test_a_short_read_fails_for_good_and_moves_nothing),
        cmocka_unit_test(test_a_count_near_the_limit_of_size_t_is_refused),
        cmocka_unit_test(test_reads_a_string_that_fits),
        cmocka_unit_test(test_refuses_strings_too_long_cut_or_with_a_nul),
    };
    return cmocka_run_group_tests_name("base/cursor", tests, NULL, NULL);
}
