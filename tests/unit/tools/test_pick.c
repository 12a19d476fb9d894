/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tools/eval/pick.h"

static int32_t picked(struct metrics_sample *samples, size_t count, double max_fpr) {
    struct metrics_curve curve;
    int32_t ppm = -1;
    assert_int_equal(metrics_curve_new(samples, count, &curve), 0);
    if (!pick_for_fpr(&curve, max_fpr, &ppm)) {
        ppm = -1;
    }
    metrics_curve_deinit(&curve);
    return ppm;
}

static void test_threshold_lies_between_with_few_digits(void **state) {
    (void)state;
    struct metrics_sample wide[] = {{.9, true}, {.8, true}, {.3, false}, {.2, true}, {.1, false}};
    assert_int_equal(picked(wide, 5, 0), 550000);
    assert_int_equal(picked(wide, 5, 0.5), 150000);
    struct metrics_sample narrow[] = {{.700003, true}, {.700001, false}};
    assert_int_equal(picked(narrow, 2, 0), 700002);
    struct metrics_sample touching[] = {{.700002, true}, {.700001, false}};
    assert_int_equal(picked(touching, 2, 0), 700002);
}

static void test_every_threshold_keeps_the_target(void **state) {
    (void)state;
    enum { COUNT = 200 };
    struct metrics_sample samples[COUNT];
    struct metrics_curve curve;
    for (int i = 0; i < COUNT; i++) {
        samples[i] = (struct metrics_sample){(double)(i * 37 % 101) / 100, i * 7 % 11 > 4};
    }
    assert_int_equal(metrics_curve_new(samples, COUNT, &curve), 0);
    for (int i = 1; i <= 100; i++) {
        int32_t ppm = 0;
        double target = i / 100.0;
        if (pick_for_fpr(&curve, target, &ppm)) {
            struct metrics_point at = metrics_at(&curve, (double)ppm / 1000000);
            assert_true(at.fpr <= target);
            assert_true(at.recall == metrics_at_fpr(&curve, target).recall);
        } else {
            assert_true(i < 10); /* a tenth of the negatives is more than the tie at the top */
        }
    }
    metrics_curve_deinit(&curve);
}

static void test_says_when_harmless_rows_score_highest(void **state) {
    (void)state;
    struct metrics_sample samples[] = {{.9, false}, {.9, true}, {.5, true}, {.1, false}};
    assert_int_equal(picked(samples, 4, 0.1), -1);
    assert_int_equal(picked(samples, 4, 1), 100000);
}

static void test_threshold_for_recall_is_the_highest_that_reaches_it(void **state) {
    (void)state;
    struct metrics_sample samples[] = {{.9, true}, {.8, false}, {.7, true}, {.6, true}, {.5, true}};
    struct metrics_curve curve;
    int32_t ppm = 0;
    assert_int_equal(metrics_curve_new(samples, 5, &curve), 0);
    assert_true(pick_for_recall(&curve, 0.5, &ppm));
    assert_int_equal(ppm, 700000);
    assert_true(pick_for_recall(&curve, 1, &ppm));
    assert_int_equal(ppm, 500000);
    metrics_curve_deinit(&curve);
    struct metrics_sample harmless[] = {{.9, false}};
    assert_int_equal(metrics_curve_new(harmless, 1, &curve), 0);
    assert_false(pick_for_recall(&curve, 0.5, &ppm));
    metrics_curve_deinit(&curve);
}

static void test_rule_of_three(void **state) {
    (void)state;
    assert_int_equal(pick_least_negatives(0.01), 300);
    assert_int_equal(pick_least_negatives(0.07), 43);
    assert_true(pick_least_negatives(0) == SIZE_MAX);
}

static void test_numbers_are_plain_decimals(void **state) {
    (void)state;
    const struct {
        int32_t ppm;
        const char *text;
    } cases[] = {{800000, "0.8"}, {12, "0.000012"}, {1000000, "1.0"}, {0, "0.0"}, {812300, "0.8123"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[PICK_TEXT_SIZE];
        pick_format(cases[i].ppm, text);
        assert_string_equal(text, cases[i].text);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_threshold_lies_between_with_few_digits),
        cmocka_unit_test(test_every_threshold_keeps_the_target),
        cmocka_unit_test(test_says_when_harmless_rows_score_highest),
        cmocka_unit_test(test_threshold_for_recall_is_the_highest_that_reaches_it),
        cmocka_unit_test(test_rule_of_three),
        cmocka_unit_test(test_numbers_are_plain_decimals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
