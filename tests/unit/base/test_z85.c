/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/z85.h"

/* From the libzmq manual, zmq_curve(7). */
#define KEY_A "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"
#define KEY_B "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID"

static void test_takes_keys(void **state) {
    (void)state;
    assert_true(z85_is_key(KEY_A));
    assert_true(z85_is_key(KEY_B));
    assert_true(z85_is_key("0000000000000000000000000000000000000000"));
}

static void test_refuses_what_is_no_key(void **state) {
    (void)state;
    static const char *const table[] = {
        "",
        "0",
        "000000000000000000000000000000000000000",   /* 39 */
        "00000000000000000000000000000000000000000", /* 41 */
        "000000000000000000000000000000000000000 ",
        "00000000000000000000000000000000000000\"0",
        "0000000000000000000000000000000000000\xc3\xa4-",
        "#####00000000000000000000000000000000000", /* five characters above 2^32 */
        "00000000000000000000000000000000000%nSc1",
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        assert_false(z85_is_key(table[i]));
    }
}

static void test_reads_one_key_a_line(void **state) {
    (void)state;
    char key[Z85_KEY_SIZE];
    const char *text = "\n" KEY_A "\n\n" KEY_B;
    assert_int_equal(z85_next_key(&text, key), 1);
    assert_string_equal(key, KEY_A);
    assert_int_equal(z85_next_key(&text, key), 1);
    assert_string_equal(key, KEY_B);
    assert_int_equal(z85_next_key(&text, key), 0);
}

static void test_stops_at_a_line_that_is_no_key(void **state) {
    (void)state;
    static const char *const table[] = {KEY_A " \n", KEY_A KEY_B, "x\n", "# a remark", KEY_A "\r\n"};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        char key[Z85_KEY_SIZE];
        const char *text = table[i];
        assert_int_equal(z85_next_key(&text, key), -EINVAL);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_takes_keys),
        cmocka_unit_test(test_refuses_what_is_no_key),
        cmocka_unit_test(test_reads_one_key_a_line),
        cmocka_unit_test(test_stops_at_a_line_that_is_no_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
