/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "base/error.h"

static void test_sets_code_and_sentence(void **state) {
    struct error e = {0};
    (void)state;
    assert_int_equal(error_set(&e, 7, "%s is %d", "x", 3), 7);
    assert_int_equal(e.code, 7);
    assert_string_equal(e.text, "x is 3");
    assert_int_equal(error_set(NULL, 7, "%s", "x"), 7);
}

static void test_appends_the_text_of_an_errno(void **state) {
    struct error e = {0};
    (void)state;
    assert_int_equal(error_errno(&e, ENOENT, "%s cannot be opened", "f"), -ENOENT);
    assert_int_equal(e.code, -ENOENT);
    assert_string_equal(e.text, "f cannot be opened: No such file or directory");
    assert_int_equal(error_errno(NULL, ENOENT, "x"), -ENOENT);
}

static void test_puts_a_prefix_in_front(void **state) {
    struct error e = {0};
    (void)state;
    (void)error_set(&e, 5, "line %d is bad", 2);
    assert_int_equal(error_prefix(&e, "%s: ", "a.yaml"), 5);
    assert_string_equal(e.text, "a.yaml: line 2 is bad");
}

static void test_a_prefix_to_no_error_object_is_still_a_failure(void **state) {
    (void)state;
    assert_int_not_equal(error_prefix(NULL, "a.yaml: "), 0);
}

static void test_gives_only_a_positive_number_another_meaning(void **state) {
    struct error e = {0};
    (void)state;
    (void)error_set(&e, 1, "not a file of this kind");
    assert_int_equal(error_recode(&e, 1, 7), 7);
    assert_int_equal(e.code, 7);
    (void)error_errno(&e, ENOMEM, "it cannot be read");
    assert_int_equal(error_recode(&e, -ENOMEM, 7), -ENOMEM);
    assert_int_equal(e.code, -ENOMEM);
    assert_int_equal(error_recode(NULL, 0, 7), 0);
    assert_int_equal(error_recode(NULL, 3, 7), 7);
}

static void test_cuts_a_long_sentence_and_ends_it(void **state) {
    struct error e = {0};
    char text[1000];
    (void)state;
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    (void)error_set(&e, 1, "%s", text);
    assert_int_equal(strlen(e.text), sizeof e.text - 1);
    assert_int_equal(error_errno(&e, EIO, "%s", text), -EIO);
    assert_int_equal(strlen(e.text), sizeof e.text - 1);
    assert_int_equal(error_prefix(&e, "%s", text), -EIO);
    assert_int_equal(strlen(e.text), sizeof e.text - 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sets_code_and_sentence),
        cmocka_unit_test(test_appends_the_text_of_an_errno),
        cmocka_unit_test(test_puts_a_prefix_in_front),
        cmocka_unit_test(test_a_prefix_to_no_error_object_is_still_a_failure),
        cmocka_unit_test(test_gives_only_a_positive_number_another_meaning),
        cmocka_unit_test(test_cuts_a_long_sentence_and_ends_it),
    };
    return cmocka_run_group_tests_name("base/error", tests, NULL, NULL);
}
