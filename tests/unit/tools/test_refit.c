/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tools/eval/refit.h"

enum { MANY = 100 };

/* Expected numbers: scipy.optimize on the same loss. */
#define assert_near(a, b) assert_true(fabs((a) - (b)) < 1e-6)

static void make_many(struct metrics_sample samples[MANY]) {
    struct metrics_curve curve;
    for (int i = 0; i < MANY; i++) {
        samples[i].score = (double)(i * 37 % 101) / 100;
        samples[i].positive = i * 37 % 101 + i * 53 % 67 > 85;
    }
    assert_int_equal(metrics_curve_new(samples, MANY, &curve), 0);
    metrics_curve_deinit(&curve);
}

static void test_refit_is_the_minimum_of_the_loss(void **state) {
    (void)state;
    struct metrics_sample samples[MANY];
    make_many(samples);
    struct refit refit = refit_platt(samples, MANY);
    assert_near(refit.slope, 1.58753676);
    assert_near(refit.offset, 0.09719294);
}

static void test_refit_of_extreme_scores_is_finite(void **state) {
    (void)state;
    const struct metrics_sample samples[] = {{.95, true}, {.9, true},  {.9, false},  {.8, true},  {.7, false},
                                             {.7, true},  {.7, true},  {.55, false}, {.4, false}, {.4, true},
                                             {.3, false}, {.1, false}, {0.0, false}, {1.0, true}};
    struct refit refit = refit_platt(samples, sizeof samples / sizeof *samples);
    assert_near(refit.slope, 0.21008409);
    assert_near(refit.offset, -0.12992242);
    const struct metrics_sample apart[] = {{0, false}, {0, false}, {1, true}, {1, true}};
    refit = refit_platt(apart, 4);
    assert_true(isfinite(refit.slope) && refit.slope > 0);
    assert_true(refit_apply(&refit, 1) > 0.7 && refit_apply(&refit, 0) < 0.3);
}

static void test_error_is_measured_on_what_was_not_fitted(void **state) {
    (void)state;
    struct metrics_sample samples[MANY];
    double ece = 0;
    make_many(samples);
    assert_int_equal(refit_ece(samples, MANY, &ece), 0);
    assert_near(ece, 0.07176104988925569);
}

static void test_one_class_has_no_refit(void **state) {
    (void)state;
    const struct metrics_sample samples[] = {{.2, true}, {.6, true}, {.9, true}};
    double ece = 0;
    assert_true(isnan(refit_platt(samples, 3).slope));
    assert_int_equal(refit_ece(samples, 3, &ece), 0);
    assert_true(isnan(ece));
    assert_int_equal(refit_ece(samples, 0, &ece), 0);
    assert_true(isnan(ece));
}

static void test_slope_1_leaves_scores_as_they_are(void **state) {
    (void)state;
    const struct refit same = {1, 0};
    assert_near(refit_apply(&same, 0.2), 0.2);
    assert_near(refit_apply(&same, 0.999), 0.999);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refit_is_the_minimum_of_the_loss),
        cmocka_unit_test(test_refit_of_extreme_scores_is_finite),
        cmocka_unit_test(test_error_is_measured_on_what_was_not_fitted),
        cmocka_unit_test(test_one_class_has_no_refit),
        cmocka_unit_test(test_slope_1_leaves_scores_as_they_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
