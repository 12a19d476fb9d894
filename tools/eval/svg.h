/* SPDX-License-Identifier: Apache-2.0
 *
 * HTML and SVG as text. Colours are classes of the page, so that plots follow its light and dark scheme.
 */
#ifndef BUCKLER_TOOLS_EVAL_SVG_H
#define BUCKLER_TOOLS_EVAL_SVG_H

#include "base/buf.h"
#include "tools/eval/metrics.h"

/* Text as element content or as a quoted attribute. Controls, which HTML does not allow, become U+FFFD. */
void html_escape(struct buf *out, const char *text);

/* Plots over 0 … 1 on both axes. `threshold` is marked unless it is NaN. `label` is for readers who hear the
 * page. */
void svg_precision_recall(struct buf *out, const char *label, const struct metrics_curve *curve,
                          double threshold);
void svg_reliability(struct buf *out, const char *label, const struct metrics_bin bins[METRICS_BINS]);
void svg_thresholds(struct buf *out, const char *label, const struct metrics_curve *curve, double threshold);

#endif
