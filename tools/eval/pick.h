/* SPDX-License-Identifier: Apache-2.0
 *
 * A threshold for a wanted rate of false alarms, in the parts per million that policies count in.
 */
#ifndef BUCKLER_TOOLS_EVAL_PICK_H
#define BUCKLER_TOOLS_EVAL_PICK_H

#include "tools/eval/metrics.h"

/* The threshold with the highest recall that keeps false alarms at or under `max_fpr`. Between the scores
 * that it lies between it is near the middle, with as few digits as do, for it is meant for other rows than
 * these. False when not even the highest score is above the false alarms. */
bool pick_for_fpr(const struct metrics_curve *curve, double max_fpr, int32_t *ret_ppm);

/* The highest threshold that has at least this recall; false without positives. */
bool pick_for_recall(const struct metrics_curve *curve, double min_recall, int32_t *ret_ppm);

/* How many negatives there must be before none of them above a threshold says that the rate is under the
 * target, at 95 % ("rule of three"). */
size_t pick_least_negatives(double max_fpr);

/* A plain decimal, as policies take it: "0.8", "0.000012", "1.0". */
enum { PICK_TEXT_SIZE = 16 };
void pick_format(int32_t ppm, char out[PICK_TEXT_SIZE]);

#endif
