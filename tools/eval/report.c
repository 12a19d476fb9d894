/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/eval/report.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LENGTH_CLASSES = 4 };
static const char *const length_names[LENGTH_CLASSES] = {"under 64 bytes", "64 to 255", "256 to 1023",
                                                         "1024 and more"};

const char *report_kind_name(enum report_kind kind) {
    static const char *const names[] = {"all", "set", "source", "lang", "length"};
    return names[kind];
}

/* ---- questions ---- */

static bool rule_fits(const struct policy_rule *rule, int category) {
    return (rule->category == category || rule->category == POLICY_ANY_CATEGORY) && rule->flags == 0 &&
           rule->max_ppm == SCORE_ONE && (rule->kinds == 0 || (rule->kinds & 1u << CONTENT_TEXT) != 0);
}

bool report_threshold(const struct policy *policy, const char *category, struct report_question *question) {
    int number = policy_category(policy, category);
    const struct policy_rule *best = NULL;
    for (size_t i = 0; i < policy->rule_count && number >= 0; i++) {
        const struct policy_rule *rule = &policy->rules[i];
        if (!rule_fits(rule, number)) {
            continue;
        }
        bool denies = !action_allows(rule->action);
        bool best_denies = best != NULL && !action_allows(best->action);
        if (best == NULL || (denies && !best_denies) ||
            (denies == best_denies && rule->min_ppm < best->min_ppm)) {
            best = rule;
        }
    }
    if (best != NULL) {
        question->threshold = (double)best->min_ppm / SCORE_ONE;
        question->action = best->action;
        memcpy(question->rule, best->id, sizeof question->rule);
    }
    return best != NULL;
}

static enum rows_label label_of(const struct rows_row *row, const struct report_question *q) {
    return q->key < 0 ? row->unsafe : (enum rows_label)row->labels[q->key];
}

static int32_t score_of(const struct judged *judged, size_t row, const struct report_question *q) {
    const struct judged_row *r = &judged->rows[row];
    int32_t best = SCORE_NONE;
    if (r->error || q->category >= 0) {
        return r->error ? SCORE_NONE : r->ppm[q->category];
    }
    for (size_t i = 0; i < judged->categories.count; i++) {
        const char *name = judged->categories.items[i];
        if (strcmp(name, "toxicity") != 0 && strcmp(name, "profanity") != 0 && r->ppm[i] > best) {
            best = r->ppm[i];
        }
    }
    return best;
}

static bool has_labels(const struct rows *rows, const struct report_question *q) {
    for (size_t i = 0; i < rows->count; i++) {
        if (label_of(&rows->items[i], q) != ROWS_UNKNOWN) {
            return true;
        }
    }
    return false;
}

static int by_name(const void *a, const void *b) {
    const struct report_question *x = a;
    const struct report_question *y = b;
    return (y->key < 0) - (x->key < 0) != 0 ? (y->key < 0) - (x->key < 0) : strcmp(x->name, y->name);
}

static int find_questions(struct report *report, const struct policy *policy) {
    const struct rows *rows = report->rows;
    const struct names *scored = &report->judged->categories;
    report->questions = calloc(rows->keys.count + 1, sizeof *report->questions);
    if (report->questions == NULL) {
        return -ENOMEM;
    }
    for (int key = -1; key < (int)rows->keys.count; key++) {
        const char *name = key < 0 ? "unsafe" : rows->keys.items[key];
        struct report_question q = {
            .name = name, .key = key, .category = names_find(scored, name), .threshold = NAN};
        if ((key >= 0 && strcmp(name, "unsafe") == 0) || !has_labels(rows, &q)) {
            continue;
        }
        if (key >= 0 && q.category < 0) {
            if (names_add(&report->unscored, name) < 0) {
                return -ENOMEM;
            }
            continue;
        }
        if (policy != NULL && q.category >= 0) {
            (void)report_threshold(policy, name, &q);
        }
        report->questions[report->question_count++] = q;
    }
    qsort(report->questions, report->question_count, sizeof *report->questions, by_name);
    return 0;
}

/* ---- groups ---- */

static int length_class(size_t size) {
    return size < 64 ? 0 : size < 256 ? 1 : size < 1024 ? 2 : 3;
}

static int place_of(const struct rows_row *row, enum report_kind kind) {
    const int places[] = {0, row->set, row->source, row->lang, length_class(row->text_size)};
    return places[kind];
}

static bool in_group(const struct report *report, size_t row, const struct report_group *group) {
    if (group == NULL || group->kind == REPORT_ALL) {
        return true;
    }
    const struct rows *rows = report->rows;
    int place = place_of(&rows->items[row], group->kind);
    const char *const names[] = {
        "all", rows->sets.items[rows->items[row].set], rows->sources.items[rows->items[row].source],
        rows->langs.items[rows->items[row].lang], length_names[group->kind == REPORT_LENGTH ? place : 0]};
    return names[group->kind] == group->name; /* one copy of each name */
}

int report_samples(const struct report *report, const struct report_question *question,
                   const struct report_group *group, struct metrics_sample **ret_samples, size_t *ret_count,
                   struct metrics_curve *ret_curve) {
    const struct rows *rows = report->rows;
    size_t most = group != NULL ? group->rows : rows->count;
    struct metrics_sample *samples = calloc(most > 0 ? most : 1, sizeof *samples);
    size_t count = 0;
    if (samples == NULL) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < rows->count && count < most; i++) {
        enum rows_label label = label_of(&rows->items[i], question);
        int32_t ppm = score_of(report->judged, i, question);
        if (label != ROWS_UNKNOWN && ppm != SCORE_NONE && in_group(report, i, group)) {
            samples[count++] = (struct metrics_sample){(double)ppm / SCORE_ONE, label == ROWS_HARMFUL};
        }
    }
    int rc = metrics_curve_new(samples, count, ret_curve);
    if (rc != 0) {
        free(samples);
        return rc;
    }
    *ret_samples = samples;
    *ret_count = count;
    return 0;
}

/* What one class alone would make look perfect, or hopeless, is not a figure. */
static void drop_undefined(struct report_figures *f) {
    if (f->positives == 0 || f->negatives == 0) {
        f->best = (struct metrics_point){NAN, 0, 0, NAN, NAN, NAN, NAN};
        f->fpr1.recall = f->fpr5.recall = NAN;
        f->own.precision = f->own.f1 = NAN;
    }
}

static int compute(const struct report *report, const struct report_question *q,
                   const struct report_group *group, struct report_figures *ret) {
    struct metrics_sample *samples = NULL;
    struct metrics_curve curve;
    size_t count = 0;
    int rc = report_samples(report, q, group, &samples, &count, &curve);
    if (rc != 0) {
        return rc;
    }
    *ret = (struct report_figures){.positives = curve.positives,
                                   .negatives = curve.negatives,
                                   .ap = metrics_average_precision(&curve),
                                   .auc = metrics_auc(&curve),
                                   .ece = metrics_ece(samples, count),
                                   .brier = metrics_brier(samples, count),
                                   .best = metrics_best_f1(&curve),
                                   .own = metrics_at(&curve, q->threshold),
                                   .fpr1 = metrics_at_fpr(&curve, 0.01),
                                   .fpr5 = metrics_at_fpr(&curve, 0.05)};
    drop_undefined(ret);
    rc = metrics_bootstrap(samples, count, &ret->ap_interval, &ret->auc_interval);
    metrics_curve_deinit(&curve);
    free(samples);
    return rc;
}

static void count_row(struct report *report, size_t row, struct report_group *group) {
    const struct judged_row *judged = &report->judged->rows[row];
    struct report_decision *d = &group->decision;
    group->rows++;
    group->errors += judged->error;
    enum rows_label unsafe = judged->error ? ROWS_UNKNOWN : report->rows->items[row].unsafe;
    if (unsafe == ROWS_HARMFUL) {
        d->unsafe++;
        d->unsafe_denied += judged->denied;
        d->unsafe_flagged += judged->flagged;
    } else if (unsafe == ROWS_HARMLESS) {
        d->harmless++;
        d->harmless_denied += judged->denied;
        d->harmless_flagged += judged->flagged;
    }
}

static int by_group(const void *a, const void *b) {
    const struct report_group *x = a;
    const struct report_group *y = b;
    if (x->kind != y->kind) {
        return x->kind < y->kind ? -1 : 1;
    }
    return x->order != y->order ? x->order - y->order : strcmp(x->name, y->name);
}

static int find_groups(struct report *report) {
    const struct rows *rows = report->rows;
    const size_t counts[] = {1, rows->sets.count, rows->sources.count, rows->langs.count, LENGTH_CLASSES};
    static const char *const all_name[] = {"all"};
    const char *const *const names[] = {all_name, rows->sets.items, rows->sources.items, rows->langs.items,
                                        length_names};
    size_t starts[REPORT_KIND_COUNT];
    size_t total = 0;
    for (int kind = 0; kind < REPORT_KIND_COUNT; kind++) {
        starts[kind] = total;
        total += counts[kind];
    }
    report->groups = calloc(total, sizeof *report->groups);
    if (report->groups == NULL) {
        return -ENOMEM;
    }
    for (int kind = 0; kind < REPORT_KIND_COUNT; kind++) {
        for (size_t i = 0; i < counts[kind]; i++) {
            report->groups[starts[kind] + i] =
                (struct report_group){.kind = (enum report_kind)kind,
                                      .name = names[kind][i],
                                      .order = kind == REPORT_LENGTH ? (int)i : 0};
        }
    }
    for (size_t row = 0; row < rows->count; row++) {
        for (int kind = 0; kind < REPORT_KIND_COUNT; kind++) {
            int place = place_of(&rows->items[row], (enum report_kind)kind);
            count_row(report, row, &report->groups[starts[kind] + (size_t)place]);
        }
    }
    /* Names of files and rows behind --limit may have no rows. */
    for (size_t i = 0; i < total; i++) {
        if (report->groups[i].rows > 0) {
            report->groups[report->group_count++] = report->groups[i];
        }
    }
    qsort(report->groups, report->group_count, sizeof *report->groups, by_group);
    return 0;
}

static void macro_mean(struct report *report) {
    double sum = 0;
    for (size_t i = 0; i < report->group_count; i++) {
        const struct report_group *group = &report->groups[i];
        if (group->kind == REPORT_SET && report->question_count > 0 && report->questions[0].key < 0 &&
            !isnan(group->figures[0].ap)) {
            sum += group->figures[0].ap;
            report->macro_sets++;
        }
    }
    report->macro_ap = report->macro_sets > 0 ? sum / (double)report->macro_sets : NAN;
}

int report_new(const struct rows *rows, const struct judged *judged, const struct policy *policy,
               struct report *ret) {
    *ret = (struct report){.rows = rows, .judged = judged, .macro_ap = NAN};
    int rc = find_questions(ret, policy);
    rc = rc != 0 ? rc : find_groups(ret);
    for (size_t g = 0; g < ret->group_count && rc == 0; g++) {
        struct report_group *group = &ret->groups[g];
        group->figures = calloc(ret->question_count + 1, sizeof *group->figures);
        rc = group->figures != NULL ? 0 : -ENOMEM;
        for (size_t q = 0; q < ret->question_count && rc == 0; q++) {
            rc = compute(ret, &ret->questions[q], group, &group->figures[q]);
        }
    }
    if (rc == 0) {
        macro_mean(ret);
    } else {
        report_deinit(ret);
    }
    return rc;
}

void report_deinit(struct report *report) {
    for (size_t i = 0; i < report->group_count; i++) {
        free(report->groups[i].figures);
    }
    free(report->groups);
    free(report->questions);
    names_deinit(&report->unscored);
    *report = (struct report){0};
}
