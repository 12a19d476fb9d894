/* SPDX-License-Identifier: Apache-2.0
 *
 * Is a score a probability? Platt's refit (1999, with the targets of that paper) on the log-odds of the
 * score: refitted = 1 / (1 + exp(-(slope · log(s / (1 - s)) + offset))). Slope 1 and offset 0 leave it as it
 * is.
 */
#ifndef BUCKLER_TOOLS_EVAL_REFIT_H
#define BUCKLER_TOOLS_EVAL_REFIT_H

#include "tools/eval/metrics.h"

enum { REFIT_FOLDS = 5 };

struct refit {
    double slope, offset;
};

/* NaN unless there are both classes. The refit is monotone when the slope is above 0. */
struct refit refit_platt(const struct metrics_sample *samples, size_t count);
double refit_apply(const struct refit *refit, double score);

/* Expected calibration error when every sample is refitted by a fit to the other folds, so that the figure is
 * not flattered by fitting what it is measured on. Fold of a sample: its place modulo REFIT_FOLDS; sort the
 * samples first, so that the folds are alike. NaN when a fold leaves one class only. 0 or -ENOMEM. */
int refit_ece(const struct metrics_sample *samples, size_t count, double *ret_ece);

#endif
