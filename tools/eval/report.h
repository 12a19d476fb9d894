/* SPDX-License-Identifier: Apache-2.0
 *
 * Figures of judged rows: for each question, over all rows and for each group of them.
 */
#ifndef BUCKLER_TOOLS_EVAL_REPORT_H
#define BUCKLER_TOOLS_EVAL_REPORT_H

#include "tools/eval/judged.h"
#include "tools/eval/metrics.h"

enum { REPORT_LEAST_ROWS = 10 }; /* groups of fewer rows are left out where people read */

enum report_kind {
    REPORT_ALL,
    REPORT_SET,
    REPORT_SOURCE,
    REPORT_LANG,
    REPORT_LENGTH,
    REPORT_KIND_COUNT,
};
const char *report_kind_name(enum report_kind kind);

/* A category that has labels and scores, or `unsafe`. */
struct report_question {
    const char *name;
    int key;          /* number of the label's key; -1: the field `unsafe` */
    int category;     /* number of the scored category; -1: the highest but toxicity and profanity */
    double threshold; /* the policy's own; NaN when it has none */
    char rule[POLICY_NAME_SIZE];
    enum action action; /* of that rule */
};

/* With rows of one class only, counts, ECE, Brier and the policy's recall or false-alarm rate remain; the
 * rest is NaN. */
struct report_figures {
    size_t positives, negatives;
    double ap, auc, ece, brier;
    struct metrics_interval ap_interval, auc_interval;
    struct metrics_point best, own, fpr1, fpr5; /* own: at the policy's threshold, when there is one */
};

/* The verdicts of rows whose `unsafe` is known and that were judged. */
struct report_decision {
    size_t unsafe, unsafe_denied, unsafe_flagged;
    size_t harmless, harmless_denied, harmless_flagged;
};

struct report_group {
    enum report_kind kind;
    const char *name;
    int order; /* before the name, where names do not sort by themselves */
    size_t rows, errors;
    struct report_decision decision;
    struct report_figures *figures; /* [question_count] */
};

struct report {
    const struct rows *rows;
    const struct judged *judged;
    size_t question_count;
    struct report_question *questions; /* `unsafe` first where it can be asked, then by name */
    size_t group_count;
    struct report_group *groups; /* all, then by kind in the order of names */
    struct names unscored;       /* keys of labels that the policy does not score */
    double macro_ap;             /* of `unsafe`, mean over the sets that have both classes; NaN */
    size_t macro_sets;
};

/* `policy` may be NULL: then no question has a threshold. 0, -ENOMEM. */
int report_new(const struct rows *rows, const struct judged *judged, const struct policy *policy,
               struct report *ret);
void report_deinit(struct report *report);

/* The samples of a question, sorted, and their curve; the caller frees both. `group` NULL: all rows. */
int report_samples(const struct report *report, const struct report_question *question,
                   const struct report_group *group, struct metrics_sample **ret_samples, size_t *ret_count,
                   struct metrics_curve *ret_curve);

/* The lowest `min` of the policy's rules on a category of text that lead to verdict deny, else of any; false
 * when no rule is on it. Rules that ask for more than a score are left out. */
bool report_threshold(const struct policy *policy, const char *category, struct report_question *question);

#endif
