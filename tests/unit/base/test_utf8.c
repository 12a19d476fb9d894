/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/utf8.h"

static void test_every_code_point_survives_a_round_trip(void **state) {
    (void)state;
    for (uint32_t point = 0; point <= 0x110010; point++) {
        char bytes[4];
        uint32_t back = UINT32_MAX;
        size_t size = utf8_encode(point, bytes);
        bool legal = point <= 0x10ffff && (point < 0xd800 || point > 0xdfff);
        assert_int_equal(size, !legal ? 0 : point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4);
        if (legal) {
            assert_int_equal(utf8_decode(bytes, size, &back), size);
            assert_int_equal(back, point);
            assert_int_equal(utf8_decode(bytes, size - 1, &back), 0);
        }
    }
}

/* Every well-formed three-byte sequence is what an encoder makes; no other is accepted. */
static void test_accepts_only_the_shortest_form(void **state) {
    size_t accepted = 0;
    (void)state;
    for (uint32_t n = 0; n < 1u << 24; n += 1) {
        uint8_t bytes[3] = {(uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n};
        uint32_t point = 0;
        if (utf8_decode(bytes, 3, &point) == 3) {
            accepted++;
            assert_in_range(point, 0x800, 0xffff);
        }
    }
    assert_int_equal(accepted, 0x10000 - 0x800 - 0x800);
}

static void test_refuses_what_the_standard_forbids_and_says_where(void **state) {
    static const struct {
        const char *bytes;
        size_t bad_at;
    } bad[] = {{"\x80", 0},
               {"a\xc0\x80", 1},
               {"\xc1\xbf", 0},
               {"ab\xe0\x9f\xbf", 2},
               {"\xed\xa0\x80", 0},
               {"\xed\xbf\xbf", 0},
               {"\xf0\x8f\xbf\xbf", 0},
               {"\xf4\x90\x80\x80", 0},
               {"\xf5\x80\x80\x80", 0},
               {"\xff", 0},
               {"\xc3\xa9\xc3", 2},
               {"\xe2\x82", 0},
               {"\xc3(", 0},
               {"\xf0\x9f\xa6z", 0},
               {"\xe2\x82\xac\xfe", 3}};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        size_t offset = 99;
        assert_false(utf8_valid(bad[i].bytes, strlen(bad[i].bytes), &offset));
        assert_int_equal(offset, bad[i].bad_at);
        assert_false(utf8_valid(bad[i].bytes, strlen(bad[i].bytes), NULL));
    }
}

static void test_accepts_text_with_nul_and_noncharacters(void **state) {
    (void)state;
    assert_true(utf8_valid("", 0, NULL));
    assert_true(utf8_valid("a\0b", 3, NULL));
    assert_true(utf8_valid("\xef\xbf\xbf\xf4\x8f\xbf\xbf", 7, NULL));
    assert_true(utf8_valid("\xc3\xa9 \xe6\xbc\xa2 \xf0\x9f\xa6\x99", 12, NULL));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_code_point_survives_a_round_trip),
        cmocka_unit_test(test_accepts_only_the_shortest_form),
        cmocka_unit_test(test_refuses_what_the_standard_forbids_and_says_where),
        cmocka_unit_test(test_accepts_text_with_nul_and_noncharacters),
    };
    return cmocka_run_group_tests_name("base/utf8", tests, NULL, NULL);
}
