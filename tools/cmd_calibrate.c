/* SPDX-License-Identifier: Apache-2.0
 *
 * Thresholds for a wanted rate of false alarms, from labelled rows, as rules to paste into a policy.
 */
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "tools/eval/pick.h"
#include "tools/eval/refit.h"
#include "tools/eval/session.h"

enum { NAME_WIDTH = 20, WARNING_SIZE = 160, MOST_WARNINGS = 4, LEAST_POSITIVES = 20 };

struct wish {
    double max_fpr, min_recall; /* min_recall NaN: none */
    const char **categories;    /* none: all */
    size_t category_count;
};

struct proposal {
    const struct report_question *question;
    size_t positives, negatives;
    bool found;  /* a threshold keeps the target; else the rest of this block says nothing */
    bool wanted; /* and reaches --min-recall */
    int32_t ppm;
    struct metrics_point point;
    struct metrics_interval fpr, recall;
    struct refit refit;
    double ece, ece_refitted;
    size_t warning_count;
    char warnings[MOST_WARNINGS][WARNING_SIZE];
};

static void warn(struct proposal *p, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void warn(struct proposal *p, const char *format, ...) {
    va_list args;
    va_start(args, format);
    if (p->warning_count < MOST_WARNINGS) {
        (void)vsnprintf(p->warnings[p->warning_count++], WARNING_SIZE, format, args);
    }
    va_end(args);
}

static void warn_of_few(struct proposal *p, double max_fpr) {
    size_t least = pick_least_negatives(max_fpr);
    if (p->negatives < least) {
        warn(p, "%zu negatives are too few for a target of %g %%: at least %zu are wanted", p->negatives,
             100 * max_fpr, least);
    }
    if (p->positives < LEAST_POSITIVES) {
        warn(p, "%zu positives say little of the recall: at least %d are wanted", p->positives,
             LEAST_POSITIVES);
    }
}

static void choose(const struct metrics_curve *curve, const struct wish *wish, struct proposal *p) {
    p->found = curve->negatives > 0 && curve->positives > 0 && pick_for_fpr(curve, wish->max_fpr, &p->ppm);
    if (!p->found) {
        warn(p, "%s",
             curve->negatives == 0   ? "no labelled negatives: no threshold"
             : curve->positives == 0 ? "no labelled positives: no threshold"
                                     : "negatives have the highest scores: no threshold keeps the target");
        return;
    }
    p->point = metrics_at(curve, (double)p->ppm / SCORE_ONE);
    p->fpr = metrics_wilson(p->point.false_positives, curve->negatives);
    p->recall = metrics_wilson(p->point.true_positives, curve->positives);
    p->wanted = isnan(wish->min_recall) || p->point.recall >= wish->min_recall;
    int32_t needed = 0;
    if (!p->wanted && pick_for_recall(curve, wish->min_recall, &needed)) {
        struct metrics_point at = metrics_at(curve, (double)needed / SCORE_ONE);
        warn(p,
             "recall %.3f is under the wanted %g; that takes a threshold of %.6f, with false alarms of %.2f "
             "%%",
             p->point.recall, wish->min_recall, at.threshold, 100 * at.fpr);
    }
}

static int propose(const struct report *report, const struct report_question *question,
                   const struct wish *wish, struct proposal *ret) {
    struct metrics_sample *samples = NULL;
    struct metrics_curve curve;
    size_t count = 0;
    int rc = report_samples(report, question, NULL, &samples, &count, &curve);
    if (rc != 0) {
        return rc;
    }
    *ret =
        (struct proposal){.question = question, .positives = curve.positives, .negatives = curve.negatives};
    choose(&curve, wish, ret);
    warn_of_few(ret, wish->max_fpr);
    ret->refit = refit_platt(samples, count);
    ret->ece = metrics_ece(samples, count);
    rc = refit_ece(samples, count, &ret->ece_refitted);
    if (ret->refit.slope <= 0) {
        warn(ret, "scores fall where labels rise (slope %.3f): a threshold cannot help", ret->refit.slope);
    }
    metrics_curve_deinit(&curve);
    free(samples);
    return rc;
}

/* ---- output ---- */

static void put_rules(struct buf *out, const struct session *session, const struct wish *wish,
                      const struct proposal *proposals, size_t count) {
    buf_printf(out, "# Thresholds that keep false alarms at or under %g %% on %zu labelled rows, judged by",
               100 * wish->max_fpr, session->rows.count);
    for (size_t i = 0; i < session->judged.policies.count; i++) {
        buf_printf(out, " %s", session->judged.policies.items[i]);
    }
    bool any = false;
    for (size_t i = 0; i < count; i++) {
        any = any || (proposals[i].found && proposals[i].wanted);
    }
    buf_printf(out, ".\n%srules:\n", any ? "" : "# no rule reaches what is wanted\n# ");
    for (size_t i = 0; i < count; i++) {
        const struct proposal *p = &proposals[i];
        const char *name = p->question->name;
        char min[PICK_TEXT_SIZE];
        if (!p->found) {
            buf_printf(out, "  # %s: %s\n", name, p->warnings[0]);
            continue;
        }
        pick_format(p->ppm, min);
        buf_printf(
            out,
            "  %s- { id: %.53s.calibrated, when: { category: %s, min: %s }, action: %s } # recall %.3f%s\n",
            p->wanted ? "" : "# ", name, name, min,
            action_name(isnan(p->question->threshold) ? ACTION_REVIEW : p->question->action), p->point.recall,
            p->wanted ? "" : ", less than wanted");
    }
}

static void print_rate(double value, const struct metrics_interval *interval) {
    (void)printf("  %7.4f [%.4f, %.4f]", value, interval->low, interval->high);
}

static void print_proposal(const struct proposal *p) {
    char min[PICK_TEXT_SIZE] = "-";
    session_print_name(p->question->name, NAME_WIDTH);
    if (p->found) {
        pick_format(p->ppm, min);
    }
    (void)printf(" %7zu %7zu %9s", p->positives, p->negatives, min);
    if (p->found) {
        print_rate(p->point.fpr, &p->fpr);
        print_rate(p->point.recall, &p->recall);
    } else {
        (void)printf("%52s", "");
    }
    if (isnan(p->ece_refitted)) {
        (void)printf("  %6.4f\n", p->ece);
    } else {
        (void)printf("  %6.4f  %6.4f  %6.2f %6.2f\n", p->ece, p->ece_refitted, p->refit.slope,
                     p->refit.offset);
    }
    for (size_t i = 0; i < p->warning_count; i++) {
        (void)printf("  warning: %s\n", p->warnings[i]);
    }
}

static void print_all(const struct session *session, const struct wish *wish,
                      const struct proposal *proposals, size_t count, const struct buf *rules) {
    session_print_head(session);
    (void)printf("\nfalse alarms at or under %g %%\n%-*s %7s %7s %9s  %-24s  %-24s  %6s  %6s  %13s\n",
                 100 * wish->max_fpr, NAME_WIDTH, "category", "pos", "neg", "min", "false alarms [95 %]",
                 "recall [95 %]", "ECE", "refit", "slope  offset");
    for (size_t i = 0; i < count; i++) {
        print_proposal(&proposals[i]);
    }
    (void)printf("\n%s", (const char *)rules->bytes);
}

static json_t *pair(const struct metrics_interval *i) {
    return json_pack("[o, o]", session_figure(i->low), session_figure(i->high));
}

static json_t *proposal_json(const struct proposal *p) {
    const struct report_question *q = p->question;
    json_t *warnings = json_array();
    for (size_t i = 0; i < p->warning_count; i++) {
        (void)json_array_append_new(warnings, json_string(p->warnings[i]));
    }
    return json_pack(
        "{s:s, s:I, s:I, s:o, s:b, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "category", q->name,
        "positives", (json_int_t)p->positives, "negatives", (json_int_t)p->negatives, "min",
        p->found ? session_figure((double)p->ppm / SCORE_ONE) : json_null(), "reached", p->wanted, "fpr",
        p->found ? session_figure(p->point.fpr) : json_null(), "fpr_95",
        p->found ? pair(&p->fpr) : json_null(), "recall",
        p->found ? session_figure(p->point.recall) : json_null(), "recall_95",
        p->found ? pair(&p->recall) : json_null(), "policy_threshold", session_figure(q->threshold), "ece",
        session_figure(p->ece), "ece_refitted", session_figure(p->ece_refitted), "slope",
        session_figure(p->refit.slope), "offset", session_figure(p->refit.offset), "warnings", warnings);
}

static json_t *all_json(const struct session *session, const struct wish *wish,
                        const struct proposal *proposals, size_t count, const struct buf *rules) {
    json_t *categories = json_array();
    for (size_t i = 0; i < count; i++) {
        (void)json_array_append_new(categories, proposal_json(&proposals[i]));
    }
    return json_pack("{s:s, s:o, s:o, s:o, s:o, s:s}", "schema", "buckler.calibrate/1", "run",
                     session_provenance(session), "max_fpr", session_figure(wish->max_fpr), "min_recall",
                     session_figure(wish->min_recall), "categories", categories, "rules",
                     (const char *)rules->bytes);
}

/* ---- the command ---- */

static bool is_asked(const struct wish *wish, const struct report_question *question) {
    for (size_t i = 0; i < wish->category_count; i++) {
        if (strcmp(wish->categories[i], question->name) == 0) {
            return true;
        }
    }
    return wish->category_count == 0;
}

static int check_asked(const struct report *report, const struct wish *wish) {
    for (size_t i = 0; i < wish->category_count; i++) {
        bool known = false;
        for (size_t k = 0; k < report->question_count; k++) {
            known = known || (report->questions[k].category >= 0 &&
                              strcmp(report->questions[k].name, wish->categories[i]) == 0);
        }
        if (!known) {
            return command_fail(EXIT_FAILED, "calibrate: %s: has no labels, or the policy does not score it",
                                wish->categories[i]);
        }
    }
    return 0;
}

static int write_out(const struct session *session, const struct wish *wish, const char *json,
                     const struct proposal *proposals, size_t count) {
    CLEANUP(buf_deinit) struct buf rules = {0};
    put_rules(&rules, session, wish, proposals, count);
    if (rules.failed) {
        return command_fail(EXIT_FAILED, "calibrate: out of memory");
    }
    if (json == NULL || strcmp(json, "-") != 0) {
        print_all(session, wish, proposals, count, &rules);
    }
    return json == NULL
               ? 0
               : session_write_json("calibrate", json, all_json(session, wish, proposals, count, &rules));
}

static int propose_all(const struct session *session, const struct wish *wish, const char *json) {
    const struct report *report = &session->report;
    CLEANUP(free_ptr) struct proposal *proposals = calloc(report->question_count + 1, sizeof *proposals);
    size_t count = 0;
    int rc = check_asked(report, wish);
    if (rc != 0) {
        return rc;
    }
    rc = proposals != NULL ? 0 : -ENOMEM;
    for (size_t i = 0; i < report->question_count && rc == 0; i++) {
        if (report->questions[i].category >= 0 && is_asked(wish, &report->questions[i])) {
            rc = propose(report, &report->questions[i], wish, &proposals[count++]);
        }
    }
    if (rc != 0) {
        return command_fail(EXIT_FAILED, "calibrate: the figures: %s", strerror(-rc));
    }
    return write_out(session, wish, json, proposals, count);
}

/* --category may be given several times, so it is taken out of the arguments before the table sees them. */
static void take_categories(int *argc, char **argv, struct wish *wish) {
    int kept = 1;
    for (int i = 1; i < *argc; i++) {
        if (strcmp(argv[i], "--category") == 0 && i + 1 < *argc) {
            wish->categories[wish->category_count++] = argv[++i];
        } else {
            argv[kept++] = argv[i];
        }
    }
    *argc = kept;
}

static int run(int argc, char **argv) {
    struct session_options options = {0};
    const char *max_fpr = "0.01", *min_recall = NULL, *lone = NULL;
    CLEANUP(free_ptr) const char **categories = calloc((size_t)argc + 1, sizeof *categories);
    struct wish wish = {.categories = categories, .min_recall = NAN};
    /* --category stands in the table for the one that has no value behind it. */
    const struct option_value table[] = {SESSION_OPTIONS(&options),
                                         {"--max-fpr", true, &max_fpr},
                                         {"--min-recall", true, &min_recall},
                                         {"--category", true, &lone},
                                         {NULL, false, NULL}};
    int rest = 0;
    if (categories == NULL) {
        return command_fail(EXIT_FAILED, "calibrate: out of memory");
    }
    take_categories(&argc, argv, &wish);
    command_options_first(argc, argv, table);
    int rc = command_options(&command_calibrate, argc, argv, table, &rest);
    if (rc == 0 &&
        (!command_decimal("--max-fpr", max_fpr, 0, 1, &wish.max_fpr) ||
         (min_recall != NULL && !command_decimal("--min-recall", min_recall, 0, 1, &wish.min_recall)))) {
        rc = EXIT_USAGE;
    }
    rc = rc != 0 ? rc : session_check_writable("calibrate", options.json);
    if (rc != 0) {
        return rc;
    }
    struct session session = {0};
    rc = session_run("calibrate", &options, argv + rest, argc - rest, &session);
    rc = rc != 0 ? rc : propose_all(&session, &wish, options.json);
    session_deinit(&session);
    return rc;
}

const struct command command_calibrate = {
    "calibrate", "thresholds from labelled rows, as rules for a policy",
    "calibrate SET.jsonl… [--policy P] [--max-fpr 0.01] [--min-recall R] [--category C]… [--json F] [--limit "
    "N]\n"
    "                       [--local [--config FILE] | --server URL] [--threads N]\n"
    "  rows as `bucklerctl eval --help` says\n"
    "  --max-fpr F     most false alarms among the labelled negatives of a category (0.01)\n"
    "  --min-recall R  a category that reaches less gets its rule as a comment only\n"
    "  --category C    this category; may be repeated (all that have labels)\n"
    "  --json F        all figures; - for standard output",
    run};
