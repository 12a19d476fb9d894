/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tools/eval/metrics.h"

/* Expected numbers are scikit-learn's and numpy's for the same samples. */
static const double tolerance = 1e-12;

#define assert_near(a, b) assert_true(fabs((a) - (b)) < tolerance)

static const struct metrics_sample mixed[] = {
    {.95, true},  {.9, true},  {.9, false}, {.8, true},  {.7, false}, {.7, true},   {.7, true},
    {.55, false}, {.4, false}, {.4, true},  {.3, false}, {.1, false}, {0.0, false}, {1.0, true}};
enum { MIXED = sizeof mixed / sizeof *mixed, MANY = 100 };

static struct metrics_curve curve_of(struct metrics_sample *samples, size_t count) {
    struct metrics_curve curve;
    assert_int_equal(metrics_curve_new(samples, count, &curve), 0);
    return curve;
}

static void make_many(struct metrics_sample samples[MANY]) {
    for (int i = 0; i < MANY; i++) {
        samples[i].score = (double)(i * 37 % 101) / 100;
        samples[i].positive = i * 37 % 101 + i * 53 % 67 > 85;
    }
}

static void test_ties_are_handled_as_scikit_learn_does(void **state) {
    (void)state;
    struct metrics_sample samples[MIXED];
    memcpy(samples, mixed, sizeof mixed);
    struct metrics_curve curve = curve_of(samples, MIXED);
    assert_int_equal(curve.positives, 7);
    assert_int_equal(curve.count, 10);
    assert_near(metrics_average_precision(&curve), 0.812337662337662338);
    assert_near(metrics_auc(&curve), 0.836734693877551);
    assert_near(metrics_brier(samples, MIXED), 0.175357142857142857);
    assert_near(metrics_ece(samples, MIXED), 0.164285714285714286);
    struct metrics_point best = metrics_best_f1(&curve);
    assert_near(best.f1, 0.8);
    assert_near(best.threshold, 0.7);
    assert_near(metrics_at_fpr(&curve, 0.01).recall, 0.285714285714285714);
    assert_near(metrics_at_fpr(&curve, 0.15).recall, 0.571428571428571429);
    assert_near(metrics_at_fpr(&curve, 0.3).recall, 0.857142857142857143);
    metrics_curve_deinit(&curve);
}

static void test_a_hundred_samples_agree_with_scikit_learn(void **state) {
    (void)state;
    struct metrics_sample samples[MANY];
    make_many(samples);
    struct metrics_curve curve = curve_of(samples, MANY);
    assert_int_equal(curve.positives, 51);
    assert_near(metrics_average_precision(&curve), 0.931238482201235);
    assert_near(metrics_auc(&curve), 0.926770708283313);
    assert_near(metrics_brier(samples, MANY), 0.119454);
    assert_near(metrics_ece(samples, MANY), 0.0938);
    assert_near(metrics_best_f1(&curve).f1, 0.849056603773585);
    assert_near(metrics_best_f1(&curve).threshold, 0.45);
    assert_near(metrics_at_fpr(&curve, 0.05).recall, 0.588235294117647);
    metrics_curve_deinit(&curve);
}

static void test_equal_scores_say_nothing(void **state) {
    (void)state;
    struct metrics_sample samples[10];
    for (int i = 0; i < 10; i++) {
        samples[i] = (struct metrics_sample){0.5, i == 0 || i == 3 || i == 7};
    }
    struct metrics_curve curve = curve_of(samples, 10);
    assert_int_equal(curve.count, 1);
    assert_near(metrics_average_precision(&curve), 0.3);
    assert_near(metrics_auc(&curve), 0.5);
    assert_near(metrics_ece(samples, 10), 0.2);
    assert_near(metrics_best_f1(&curve).f1, 0.461538461538462);
    assert_true(isinf(metrics_at_fpr(&curve, 0.05).threshold));
    assert_near(metrics_at_fpr(&curve, 0.05).recall, 0);
    metrics_curve_deinit(&curve);
}

static void test_one_class_alone_has_no_area(void **state) {
    (void)state;
    for (int positive = 0; positive <= 1; positive++) {
        struct metrics_sample samples[] = {{.2, positive}, {.6, positive}, {.9, positive}};
        struct metrics_curve curve = curve_of(samples, 3);
        assert_true(isnan(metrics_average_precision(&curve)));
        assert_true(isnan(metrics_auc(&curve)));
        assert_int_equal(isnan(metrics_best_f1(&curve).threshold) != 0, !positive);
        struct metrics_point at = metrics_at(&curve, 0.6);
        assert_int_equal(isnan(at.fpr) != 0, positive);
        assert_int_equal(isnan(at.recall) != 0, !positive);
        metrics_curve_deinit(&curve);
    }
}

static void test_refuses_scores_that_are_none(void **state) {
    (void)state;
    const double bad[] = {NAN, -0.001, 1.001, INFINITY};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct metrics_sample samples[] = {{.2, true}, {bad[i], false}};
        struct metrics_curve curve;
        assert_int_equal(metrics_curve_new(samples, 2, &curve), METRICS_E_RANGE);
    }
}

static void test_no_samples_are_no_figures(void **state) {
    (void)state;
    struct metrics_curve curve = curve_of(NULL, 0);
    assert_true(isnan(metrics_auc(&curve)));
    assert_true(isnan(metrics_ece(NULL, 0)));
    assert_true(isnan(metrics_brier(NULL, 0)));
    assert_true(isnan(metrics_best_f1(&curve).threshold));
    metrics_curve_deinit(&curve);
}

static void test_threshold_counts_scores_at_and_above_it(void **state) {
    (void)state;
    struct metrics_sample samples[MIXED];
    memcpy(samples, mixed, sizeof mixed);
    struct metrics_curve curve = curve_of(samples, MIXED);
    struct metrics_point at = metrics_at(&curve, 0.7);
    assert_int_equal(at.true_positives, 6);
    assert_int_equal(at.false_positives, 2);
    assert_int_equal(metrics_at(&curve, 0.700001).true_positives, 4);
    assert_int_equal(metrics_at(&curve, 0).false_positives, 7);
    struct metrics_sample low[] = {{.2, true}, {.1, false}};
    struct metrics_curve other = curve_of(low, 2);
    at = metrics_at(&other, 0.5);
    assert_int_equal(at.true_positives + at.false_positives, 0);
    assert_near(at.precision, 0);
    metrics_curve_deinit(&other);
    metrics_curve_deinit(&curve);
}

static void test_bins_hold_their_lower_edge_and_the_last_one_holds_1(void **state) {
    (void)state;
    const struct metrics_sample samples[] = {{0, false}, {1.0 / 15, true}, {1, true}, {0.999999, false}};
    struct metrics_bin bins[METRICS_BINS];
    metrics_bins(samples, 4, bins);
    assert_int_equal(bins[0].count, 1);
    assert_int_equal(bins[1].count, 1);
    assert_int_equal(bins[METRICS_BINS - 1].count, 2);
    assert_int_equal(bins[METRICS_BINS - 1].positives, 1);
}

static void test_intervals_are_those_of_numpy_over_the_same_resamples(void **state) {
    (void)state;
    struct metrics_sample samples[MANY];
    struct metrics_interval ap, auc;
    make_many(samples);
    struct metrics_curve curve = curve_of(samples, MANY);
    assert_int_equal(metrics_bootstrap(samples, MANY, &ap, &auc), 0);
    assert_near(ap.low, 0.8839377345089066);
    assert_near(ap.high, 0.9707415447959333);
    assert_near(auc.low, 0.8747899159663866);
    assert_near(auc.high, 0.9696178471388556);
    metrics_curve_deinit(&curve);
}

static void test_few_rows_have_no_interval(void **state) {
    (void)state;
    struct metrics_sample samples[MIXED];
    struct metrics_interval ap, auc;
    memcpy(samples, mixed, sizeof mixed);
    assert_int_equal(metrics_bootstrap(samples, MIXED, &ap, &auc), 0);
    assert_true(isnan(ap.low) && isnan(auc.high));
}

static void test_wilson_stays_within_0_and_1(void **state) {
    (void)state;
    assert_near(metrics_wilson(3, 100).low, 0.010254524024038925);
    assert_near(metrics_wilson(3, 100).high, 0.0845193642905276);
    assert_near(metrics_wilson(0, 50).low, 0);
    assert_near(metrics_wilson(0, 50).high, 0.07134759913335872);
    assert_near(metrics_wilson(50, 50).high, 1);
    assert_near(metrics_wilson(0, 0).high, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ties_are_handled_as_scikit_learn_does),
        cmocka_unit_test(test_a_hundred_samples_agree_with_scikit_learn),
        cmocka_unit_test(test_equal_scores_say_nothing),
        cmocka_unit_test(test_one_class_alone_has_no_area),
        cmocka_unit_test(test_refuses_scores_that_are_none),
        cmocka_unit_test(test_no_samples_are_no_figures),
        cmocka_unit_test(test_threshold_counts_scores_at_and_above_it),
        cmocka_unit_test(test_bins_hold_their_lower_edge_and_the_last_one_holds_1),
        cmocka_unit_test(test_intervals_are_those_of_numpy_over_the_same_resamples),
        cmocka_unit_test(test_few_rows_have_no_interval),
        cmocka_unit_test(test_wilson_stays_within_0_and_1),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
