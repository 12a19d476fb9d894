/* SPDX-License-Identifier: Apache-2.0
 *
 * What several classifiers need: scores that start at zero, coverage that starts complete, the views of a
 * text and the way from their bytes back to the bytes that were sent. Private to classifiers/.
 */
#ifndef BUCKLER_CLASSIFIERS_SUPPORT_H
#define BUCKLER_CLASSIFIERS_SUPPORT_H

#include "classifiers/classifier.h"

/* The order is the order of evidence: of two equal hits the one in the earlier view counts. */
enum view_kind { VIEW_RAW, VIEW_CLEAN, VIEW_HIDDEN, VIEW_FOLDED, VIEW_COUNT };

/* "raw", "clean", … */
const char *view_name(enum view_kind kind);

/* The view, or NULL when the text has none (or it equals raw). */
const struct text_view *view_of(const struct canonical_text *text, enum view_kind kind);

/* Raw bytes of the view's bytes [from, to), widened to whole characters. */
void view_span(const struct canonical_text *text, const struct text_view *view, size_t from, size_t to,
               uint32_t *ret_start, uint32_t *ret_end);

/* True for a part that this kind of classifier scores. */
bool part_is_judged(const struct classifier_part *part, enum content_kind kind);

/* The last thing that a user said, when an answer to it is judged; NULL otherwise. */
const struct canonical_text *context_of(const struct classifier_input *input);

/* Fills task->scores with an executed score of zero for each judged part of the kind and each category, part
 * by part in the order of `categories`. */
int scores_begin(struct classifier_task *task, enum content_kind kind, const uint16_t categories[],
                 size_t count, struct error *reterr) MUST_CHECK;

/* Fills task->coverage with "everything". */
int coverage_begin(struct classifier_task *task, struct error *reterr) MUST_CHECK;

/* Whether `config` lets the classifier score the category (no `categories:` means all). */
bool category_wanted(const struct policy_classifier *config, const char *id);

/* 0 … 1 as parts per million, rounded to nearest; CLASSIFIER_E_NOT_FINITE for NaN, infinity or a value
 * outside. */
int ppm_from(double probability, int32_t *ret_ppm) MUST_CHECK;

double sigmoid(double x);

void score_set_raw(struct score *score, double raw);

/* 0 when every job of the task ended well; else what the first bad one said. */
int jobs_check(const struct classifier_task *task, struct error *reterr) MUST_CHECK;

#endif
