/* SPDX-License-Identifier: Apache-2.0
 *
 * Figures of a score against labels. Pure functions: the same samples give the same bytes, resampling
 * included. A figure that the samples do not define (the AUC of one class, say) is NaN.
 */
#ifndef BUCKLER_TOOLS_EVAL_METRICS_H
#define BUCKLER_TOOLS_EVAL_METRICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum metrics_error { METRICS_E_RANGE = 1 }; /* a score is NaN or outside 0 … 1 */

enum { METRICS_BINS = 15, METRICS_RESAMPLES = 200, METRICS_LEAST_FOR_INTERVAL = 20 };

struct metrics_sample {
    double score; /* 0 … 1 */
    bool positive;
};

/* What lies at or above a threshold, for each distinct score, highest first. */
struct metrics_step {
    double threshold;
    size_t true_positives, false_positives;
};

struct metrics_curve {
    struct metrics_step *steps;
    size_t count;
    size_t positives, negatives;
};

/* Sorts the samples. METRICS_E_RANGE, or -ENOMEM. */
int metrics_curve_new(struct metrics_sample *samples, size_t count, struct metrics_curve *ret);
void metrics_curve_deinit(struct metrics_curve *curve);

/* Average precision: sum of (recall step × precision), tied scores being one step. NaN unless there are both
 * classes. */
double metrics_average_precision(const struct metrics_curve *curve);

/* The chance that a positive scores above a negative, ties being half. NaN unless there are both classes. */
double metrics_auc(const struct metrics_curve *curve);

/* The decision `score >= threshold`. F1, precision and recall are 0 where their denominators are, recall NaN
 * without positives, false-alarm rate NaN without negatives. */
struct metrics_point {
    double threshold;
    size_t true_positives, false_positives;
    double precision, recall, f1, fpr;
};
struct metrics_point metrics_at(const struct metrics_curve *curve, double threshold);

/* The point of the highest F1; of equal ones that of the highest threshold. Threshold NaN without positives.
 */
struct metrics_point metrics_best_f1(const struct metrics_curve *curve);

/* The lowest threshold among the scores that keeps false alarms at or under `fpr`; threshold infinite, recall
 * 0, when even the highest score does not. NaN fields as in metrics_at. */
struct metrics_point metrics_at_fpr(const struct metrics_curve *curve, double fpr);

/* Equal-width bins over 0 … 1: bin i holds i/15 <= score < (i+1)/15, the last one 1 as well. */
struct metrics_bin {
    size_t count, positives;
    double score_sum;
};
void metrics_bins(const struct metrics_sample *samples, size_t count, struct metrics_bin ret[METRICS_BINS]);

/* Expected calibration error over these bins, and the mean squared error; NaN without samples. */
double metrics_ece(const struct metrics_sample *samples, size_t count);
double metrics_brier(const struct metrics_sample *samples, size_t count);

struct metrics_interval {
    double low, high;
};

/* 95 % percentile intervals of average precision and AUC over METRICS_RESAMPLES resamples with a fixed seed,
 * positives and negatives drawn apart. `samples` as metrics_curve_new sorted them. NaN with fewer than
 * METRICS_LEAST_FOR_INTERVAL of a class. 0 or -ENOMEM. */
int metrics_bootstrap(const struct metrics_sample *samples, size_t count, struct metrics_interval *ret_ap,
                      struct metrics_interval *ret_auc);

/* Wilson's 95 % interval of a rate; 0 … 1 without trials. */
struct metrics_interval metrics_wilson(size_t hits, size_t trials);

#endif
