/* SPDX-License-Identifier: Apache-2.0
 *
 * The checker against a JSON library: canonical is what the library reads and writes again as the same bytes,
 * numbers being integers.
 */
#include "scratch.h"

#include <jansson.h>

#include "audit/canonical.h"

static bool only_integers(const json_t *value) {
    size_t index = 0;
    const char *key = NULL;
    json_t *item = NULL;
    if (json_is_object(value)) {
        json_object_foreach((json_t *)(uintptr_t)value, key, item) {
            if (!only_integers(item)) {
                return false;
            }
        }
    } else if (json_is_array(value)) {
        json_array_foreach(value, index, item) {
            if (!only_integers(item)) {
                return false;
            }
        }
    }
    return !json_is_real(value);
}

static bool library_says(const char *text, size_t size) {
    json_error_t error;
    json_t *object = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
    char *again = json_is_object(object) ? json_dumps(object, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    bool same =
        again != NULL && only_integers(object) && strlen(again) == size && memcmp(again, text, size) == 0;
    free(again);
    json_decref(object);
    return same;
}

static bool checker_says(const char *text, size_t size) {
    /* an exact allocation, so that a sanitizer sees a read of one byte too many */
    char *exact = malloc(size > 0 ? size : 1);
    assert_non_null(exact);
    memcpy(exact, text, size);
    bool fine = canonical_check(exact, size, NULL, NULL) == NULL;
    free(exact);
    return fine;
}

static void expect_same(const char *text, size_t size) {
    if (checker_says(text, size) != library_says(text, size)) {
        fail_msg("checker %d, library %d: %.*s", checker_says(text, size), library_says(text, size),
                 (int)size, text);
    }
}

static const char *const samples[] = {
    "{}",
    "{\"\":0}",
    "{\"a\":1,\"b\":[1,-2,9223372036854775807,-9223372036854775808],\"c\":{\"x\":null,\"y\":true}}",
    "{\"a\":\"\\\"\\\\\\b\\f\\n\\r\\t\\u0001\\u001F/\xc3\xa9\xf0\x9f\x98\x80\x7f\"}",
    "{\"\\n\":1,\"\\u0001\":2}",
    "{\"\\u0001\":1,\"\\n\":2,\"\\\"\":3,\"a\":4,\"a\\\\\":5,\"a\\\\b\":6}",
    "{\"a\":[],\"aa\":{},\"b\":[[[{\"c\":[0,false]}]]]}",
};

static void test_agrees_with_the_library_on_good_samples_and_each_cut_of_them(void **state) {
    (void)state;
    unsigned good = 0;
    for (size_t i = 0; i < sizeof samples / sizeof samples[0]; i++) {
        for (size_t size = 0; size <= strlen(samples[i]); size++) {
            expect_same(samples[i], size);
            good += checker_says(samples[i], size);
        }
    }
    assert_int_equal(good, 6); /* all but the one whose keys are in the wrong order */
}

static void test_agrees_with_the_library_on_every_byte_put_everywhere(void **state) {
    (void)state;
    char text[256];
    for (size_t i = 0; i < sizeof samples / sizeof samples[0]; i++) {
        size_t size = strlen(samples[i]);
        for (size_t at = 0; at < size; at++) {
            for (unsigned byte = 0; byte < 256; byte++) {
                memcpy(text, samples[i], size);
                text[at] = (char)byte; /* replaced */
                expect_same(text, size);
                memcpy(text + at + 1, samples[i] + at, size - at); /* put in */
                expect_same(text, size + 1);
            }
        }
    }
}

static void test_agrees_with_the_library_on_numbers(void **state) {
    (void)state;
    static const char *const numbers[] = {"0",
                                          "-0",
                                          "00",
                                          "01",
                                          "-1",
                                          "1.0",
                                          "1e2",
                                          "1E2",
                                          "-",
                                          "+1",
                                          ".5",
                                          "0x1",
                                          "1.",
                                          "9223372036854775807",
                                          "9223372036854775808",
                                          "-9223372036854775808",
                                          "-9223372036854775809",
                                          "18446744073709551616",
                                          "99999999999999999999999"};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        char text[64];
        int size = snprintf(text, sizeof text, "{\"a\":%s}", numbers[i]);
        expect_same(text, (size_t)size);
        size = snprintf(text, sizeof text, "{\"a\":[%s]}", numbers[i]);
        expect_same(text, (size_t)size);
    }
}

static void test_agrees_with_the_library_on_every_code_point_in_a_string(void **state) {
    (void)state;
    for (unsigned long point = 0; point < 0x300; point++) {
        char text[64];
        int size = snprintf(text, sizeof text, "{\"a\":\"\\u%04lX\"}", point);
        expect_same(text, (size_t)size);
        size = snprintf(text, sizeof text, "{\"a\":\"\\u%04lx\"}", point);
        expect_same(text, (size_t)size);
        size = snprintf(text, sizeof text, "{\"a\":\"\\%c\"}", (int)(point & 0xff));
        expect_same(text, (size_t)size);
        size =
            snprintf(text, sizeof text, "{\"a\":\"%c%c\"}", (int)(point & 0xff), (int)(0x80 + point % 0x60));
        expect_same(text, (size_t)size);
    }
}

static void test_refuses_what_is_nested_too_deeply(void **state) {
    (void)state;
    char text[300];
    for (size_t depth = 1; depth < 100; depth++) {
        size_t at = 0;
        memcpy(text, "{\"a\":", 5);
        at = 5;
        memset(text + at, '[', depth);
        memset(text + at + depth, ']', depth);
        text[at + 2 * depth] = '}';
        assert_int_equal(checker_says(text, at + 2 * depth + 1), depth < CANONICAL_MAX_DEPTH);
    }
}

struct members {
    unsigned count;
    char keys[4][8];
};

static void on_member(void *user, const struct canonical_member *m) {
    struct members *members = user;
    assert_true(members->count < 4 && m->key_size < 8);
    memcpy(members->keys[members->count], m->key, m->key_size);
    members->keys[members->count++][m->key_size] = '\0';
}

static void test_shows_the_outermost_members_only(void **state) {
    (void)state;
    static const char text[] = "{\"a\":{\"b\":1},\"c\":[{\"d\":2}],\"e\":\"f\"}";
    struct members members = {0};
    assert_null(canonical_check(text, sizeof text - 1, on_member, &members));
    assert_int_equal(members.count, 3);
    assert_string_equal(members.keys[1], "c");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_agrees_with_the_library_on_good_samples_and_each_cut_of_them),
        cmocka_unit_test(test_agrees_with_the_library_on_every_byte_put_everywhere),
        cmocka_unit_test(test_agrees_with_the_library_on_numbers),
        cmocka_unit_test(test_agrees_with_the_library_on_every_code_point_in_a_string),
        cmocka_unit_test(test_refuses_what_is_nested_too_deeply),
        cmocka_unit_test(test_shows_the_outermost_members_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
