/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/vocabulary.h"

/* Each name leads back to its number, the invalid zero has none, and no two share one. */
#define assert_names(count, name_of, from)                                                                   \
    do {                                                                                                     \
        assert_null(name_of(0));                                                                             \
        assert_null(name_of(count));                                                                         \
        for (unsigned i_ = 1; i_ < (count); i_++) {                                                          \
            assert_non_null(name_of(i_));                                                                    \
            assert_int_equal(from(name_of(i_)), i_);                                                         \
        }                                                                                                    \
        assert_int_equal(from(""), 0);                                                                       \
        assert_int_equal(from("nonsense"), 0);                                                               \
    } while (0)

static void test_every_name_leads_back_to_its_number(void **state) {
    (void)state;
    assert_names(CONTENT_KIND_COUNT, content_kind_name, content_kind_from);
    assert_names(SCOPE_COUNT, content_scope_name, content_scope_from);
    assert_names(ROLE_COUNT, content_role_name, content_role_from);
    assert_names(CLASS_COUNT, request_class_name, request_class_from);
    assert_names(ACTION_COUNT, action_name, action_from);
}

static void test_names_are_exact(void **state) {
    (void)state;
    assert_int_equal(action_from("deny"), ACTION_DENY);
    assert_int_equal(action_from("Deny"), ACTION_INVALID);
    assert_int_equal(action_from("deny "), ACTION_INVALID);
    assert_int_equal(content_scope_from("upload"), SCOPE_UPLOAD);
    assert_int_equal(request_class_from("batch"), CLASS_BATCH);
}

static void test_flags_are_single_bits_with_names(void **state) {
    (void)state;
    for (unsigned bit = 0; bit < FLAG_COUNT; bit++) {
        assert_non_null(flag_name(bit));
        assert_int_equal(flag_from(flag_name(bit)), 1u << bit);
    }
    assert_null(flag_name(FLAG_COUNT));
    assert_int_equal(flag_from("nonsense"), 0);
    assert_int_equal(flag_from("tag_characters"), FLAG_TAG_CHARACTERS);
    assert_int_equal(flag_from("encoded_text"), FLAG_ENCODED_TEXT);
}

static void test_only_allow_flag_and_redact_let_content_through(void **state) {
    (void)state;
    assert_false(action_allows(ACTION_INVALID));
    assert_true(action_allows(ACTION_ALLOW));
    assert_true(action_allows(ACTION_FLAG));
    assert_true(action_allows(ACTION_REDACT));
    assert_false(action_allows(ACTION_REVIEW));
    assert_false(action_allows(ACTION_DENY));
    assert_true(ACTION_ALLOW < ACTION_FLAG && ACTION_FLAG < ACTION_REDACT && ACTION_REDACT < ACTION_REVIEW &&
                ACTION_REVIEW < ACTION_DENY);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_name_leads_back_to_its_number),
        cmocka_unit_test(test_names_are_exact),
        cmocka_unit_test(test_flags_are_single_bits_with_names),
        cmocka_unit_test(test_only_allow_flag_and_redact_let_content_through),
    };
    return cmocka_run_group_tests_name("base/vocabulary", tests, NULL, NULL);
}
