/* SPDX-License-Identifier: Apache-2.0
 *
 * Known answers come from training/guard/ngrams.py, which fits the weights.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "classifiers/head/ngrams.h"

/* A table whose byte says the bucket's number modulo 101, and one in the second column. */
static int8_t *numbered(void) {
    int8_t *table = malloc((size_t)NGRAM_BUCKETS * 2);
    assert_non_null(table);
    for (size_t i = 0; i < NGRAM_BUCKETS; i++) {
        table[i * 2] = (int8_t)(i % 101);
        table[i * 2 + 1] = 1;
    }
    return table;
}

static void test_features_are_those_of_the_training(void **state) {
    (void)state;
    static const struct {
        const char *text;
        size_t buckets;
        int32_t sum;
    } known[] = {
        {"", 0, 0},
        {"!?.", 0, 0},
        {"Hello", 13, 758},
        {"HELLO hello", 14, 805},
        {"kill the process", 38, 1904},
        {"I can't b3lieve it", 38, 1792},
        {"Gr\xc3\xbc"
         "\xc3\x9f"
         "e aus K\xc3\xb6"
         "ln",
         41, 1836},
        {"\xd0\xbd"
         "\xd0\xb0"
         "\xd1\x83"
         "\xd0\xba"
         "\xd0\xb0"
         " \xd0\xb8"
         " \xd0\xb6"
         "\xd0\xb8"
         "\xd0\xb7"
         "\xd0\xbd"
         "\xd1\x8c"
         "",
         62, 3348},
        {"x", 2, 119},
        {"a-b c", 8, 353},
    };
    int8_t *table = numbered();
    struct ngram_marks *marks = malloc(sizeof *marks);
    assert_non_null(marks);
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        int32_t sums[2] = {0};
        size_t buckets = ngrams_sum(known[i].text, strlen(known[i].text), table, 2, marks, sums);
        assert_int_equal(buckets, known[i].buckets);
        assert_int_equal(sums[0], known[i].sum);
        assert_int_equal(sums[1], (int32_t)buckets); /* each bucket once */
    }
    free(marks);
    free(table);
}

static void test_words_beyond_the_limit_are_not_looked_at(void **state) {
    (void)state;
    enum { WORDS = NGRAM_MAX_WORDS + 100 };
    int8_t *table = numbered();
    struct ngram_marks *marks = malloc(sizeof *marks);
    char *text = malloc(WORDS * 2 + 4);
    assert_non_null(marks);
    assert_non_null(text);
    for (size_t i = 0; i < WORDS; i++) {
        memcpy(text + 2 * i, "a ", 2);
    }
    memcpy(text + (size_t)WORDS * 2, "zzz", 3);
    int32_t sums[2] = {0};
    int32_t short_sums[2] = {0};
    size_t all = ngrams_sum(text, WORDS * 2 + 3, table, 2, marks, sums);
    size_t few = ngrams_sum("a a", 3, table, 2, marks, short_sums);
    assert_int_equal(all, few);
    assert_int_equal(sums[0], short_sums[0]);
    free(text);
    free(marks);
    free(table);
}

static void test_no_word_weighs_nothing(void **state) {
    (void)state;
    assert_true(ngrams_weigh(0, 0, 0.5) == 0.0);
    assert_true(ngrams_weigh(8, 4, 0.5) == 2.0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_features_are_those_of_the_training),
        cmocka_unit_test(test_words_beyond_the_limit_are_not_looked_at),
        cmocka_unit_test(test_no_word_weighs_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
