/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/crc32c.h"

static void test_gives_the_published_answers(void **state) {
    (void)state;
    uint8_t bytes[32] = {0};
    assert_int_equal(crc32c(0, "", 0), 0);
    assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283);
    /* RFC 3720 B.4 */
    assert_int_equal(crc32c(0, bytes, sizeof bytes), 0x8a9136aa);
    memset(bytes, 0xff, sizeof bytes);
    assert_int_equal(crc32c(0, bytes, sizeof bytes), 0x62a8ab43);
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (uint8_t)i;
    }
    assert_int_equal(crc32c(0, bytes, sizeof bytes), 0x46dd794e);
}

static void test_goes_on_where_it_was_left(void **state) {
    (void)state;
    static const char text[] = "The quick brown fox";
    uint32_t whole = crc32c(0, text, sizeof text);
    for (size_t at = 0; at <= sizeof text; at++) {
        assert_int_equal(crc32c(crc32c(0, text, at), text + at, sizeof text - at), whole);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gives_the_published_answers),
        cmocka_unit_test(test_goes_on_where_it_was_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
