/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/eval/html.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tools/eval/style.h"
#include "tools/eval/svg.h"

static void put(struct buf *out, const char *html) {
    buf_append(out, html, strlen(html));
}

/* A cell with a figure, or a dash where it is not defined. */
static void cell(struct buf *out, double value) {
    if (isfinite(value)) {
        buf_printf(out, "<td>%.3f</td>", value);
    } else {
        put(out, "<td>–</td>");
    }
}

static void cell_interval(struct buf *out, double value, const struct metrics_interval *interval) {
    if (isnan(value) || isnan(interval->low)) {
        cell(out, value);
    } else {
        buf_printf(out, "<td>%.3f <small>%.3f–%.3f</small></td>", value, interval->low, interval->high);
    }
}

static void cell_share(struct buf *out, size_t part, size_t whole) {
    if (whole == 0) {
        put(out, "<td>–</td>");
        return;
    }
    double percent = 100 * (double)part / (double)whole;
    buf_printf(
        out,
        "<td>%zu <small>of %zu</small> %.1f %%<span class=\"bar\"><i style=\"width:%.1f%%\"></i></span></td>",
        part, whole, percent, percent);
}

static void card(struct buf *out, const char *figure, const char *what, bool bad) {
    buf_printf(out, "<div class=\"card\"><b%s>%s</b><span>%s</span></div>\n", bad ? " class=\"bad\"" : "",
               figure, what);
}

static void card_share(struct buf *out, size_t part, size_t whole, const char *what) {
    char figure[32];
    if (whole > 0) {
        (void)snprintf(figure, sizeof figure, "%.1f %%", 100 * (double)part / (double)whole);
        card(out, figure, what, false);
    }
}

static void put_head(struct buf *out, const struct session *s) {
    const struct judged *j = &s->judged;
    const struct report_decision *d = &s->report.groups[0].decision; /* all */
    char text[64];
    time_t now = time(NULL);
    struct tm utc;
    put(out, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
             "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n"
             "<title>Content safety: quality against labels</title>\n<style>\n");
    put(out, page_style);
    put(out, "</style></head><body><main>\n<h1>Content safety: quality against labels</h1>\n<p "
             "class=\"soft\">Policy <code>");
    for (size_t i = 0; i < j->policies.count; i++) {
        put(out, i > 0 ? ", " : "");
        html_escape(out, j->policies.items[i]);
    }
    put(out, "</code> · ");
    const char *server = json_string_value(json_object_get(j->hello, "server"));
    html_escape(out, server != NULL ? server : "");
    if (gmtime_r(&now, &utc) != NULL && strftime(text, sizeof text, "%Y-%m-%d %H:%M UTC", &utc) > 0) {
        buf_printf(out, " · %s", text);
    }
    buf_printf(out, " · %.1f s, %.1f rows/s</p>\n<div class=\"cards\">\n", j->seconds,
               (double)j->count / j->seconds);
    (void)snprintf(text, sizeof text, "%zu", j->errors);
    card(out, text, "rows with an error, in no figure", j->errors > 0);
    (void)snprintf(text, sizeof text, "%zu", j->count);
    card(out, text, "rows judged", false);
    card_share(out, d->unsafe_denied, d->unsafe, "of harmful rows denied");
    card_share(out, d->harmless_denied, d->harmless, "of harmless rows denied: false alarms");
    if (!isnan(s->report.macro_ap)) {
        (void)snprintf(text, sizeof text, "%.3f", s->report.macro_ap);
        card(out, text, "AU-PRC of unsafe, mean over the sets", false);
    }
    put(out, "</div>\n");
    if (j->policies.count > 1) {
        put(out,
            "<p class=\"bad\">The daemon loaded another policy during the run; the figures mix them.</p>\n");
    }
}

static void put_columns(struct buf *out, const char *first, bool own) {
    buf_printf(
        out,
        "<div class=\"wide\"><table><thead><tr><th>%s</th><th>harmful</th><th>harmless</th><th>AU-PRC "
        "<small>95 "
        "%%</small></th><th>AUC <small>95 %%</small></th><th>best F1</th><th>recall at 1 %% FPR</th><th>at 5 "
        "%%</th><th>ECE</th><th>Brier</th>",
        first);
    put(out, own ? "<th>policy: F1</th><th>precision</th><th>recall</th><th>FPR</th>" : "");
    put(out, "</tr></thead><tbody>\n");
}

static void put_figures(struct buf *out, const struct report_question *q, const struct report_figures *f,
                        bool own) {
    buf_printf(out, "<td>%zu</td><td>%zu</td>", f->positives, f->negatives);
    cell_interval(out, f->ap, &f->ap_interval);
    cell_interval(out, f->auc, &f->auc_interval);
    cell(out, f->best.f1);
    cell(out, f->fpr1.recall);
    cell(out, f->fpr5.recall);
    cell(out, f->ece);
    cell(out, f->brier);
    if (own) {
        bool known = !isnan(q->threshold);
        cell(out, known ? f->own.f1 : NAN);
        cell(out, known ? f->own.precision : NAN);
        cell(out, known ? f->own.recall : NAN);
        cell(out, known ? f->own.fpr : NAN);
    }
    put(out, "</tr>\n");
}

static void put_summary(struct buf *out, const struct report *report) {
    put(out, "<section><h2>Summary</h2><p class=\"soft\">All rows. A category is measured on the rows whose "
             "label for it is "
             "known.</p>\n");
    put_columns(out, "question", true);
    for (size_t i = 0; i < report->question_count; i++) {
        put(out, "<tr><td>");
        html_escape(out, report->questions[i].name);
        put(out, "</td>");
        put_figures(out, &report->questions[i], &report->groups[0].figures[i], true);
    }
    put(out, "</tbody></table></div></section>\n");
}

static void put_decisions(struct buf *out, const struct report *report) {
    put(out,
        "<section><h2>Decisions</h2><p class=\"soft\">What the policy itself decided. Denied holds review as "
        "well; "
        "flagged content was let through with a mark.</p>\n<div class=\"wide\"><table><thead><tr><th>set</th>"
        "<th>harmful: denied</th><th>flagged</th><th>harmless: denied (false "
        "alarms)</th><th>flagged</th></tr>"
        "</thead><tbody>\n");
    for (size_t i = 0; i < report->group_count; i++) {
        const struct report_group *group = &report->groups[i];
        const struct report_decision *d = &group->decision;
        if (group->kind <= REPORT_SET && d->unsafe + d->harmless >= REPORT_LEAST_ROWS) {
            put(out, "<tr><td>");
            html_escape(out, group->kind == REPORT_ALL ? "all rows" : group->name);
            put(out, "</td>");
            cell_share(out, d->unsafe_denied, d->unsafe);
            cell_share(out, d->unsafe_flagged, d->unsafe);
            cell_share(out, d->harmless_denied, d->harmless);
            cell_share(out, d->harmless_flagged, d->harmless);
            put(out, "</tr>\n");
        }
    }
    put(out, "</tbody></table></div></section>\n");
}

static bool is_shown(const struct report_group *group, enum report_kind kind, size_t question) {
    const struct report_figures *f = &group->figures[question];
    return group->kind == kind && f->positives + f->negatives >= REPORT_LEAST_ROWS;
}

static void put_groups(struct buf *out, const struct report *report, size_t question, enum report_kind kind) {
    static const char *const titles[] = {"", "By set", "By source", "By language",
                                         "By length of the text in bytes"};
    const struct report_question *q = &report->questions[question];
    size_t shown = 0;
    for (size_t i = 0; i < report->group_count; i++) {
        shown += is_shown(&report->groups[i], kind, question);
    }
    if (shown == 0) {
        return;
    }
    buf_printf(out, "<details%s><summary>%s</summary>\n", kind == REPORT_LANG && shown > 1 ? " open" : "",
               titles[kind]);
    put_columns(out, report_kind_name(kind), !isnan(q->threshold));
    for (size_t i = 0; i < report->group_count; i++) {
        if (is_shown(&report->groups[i], kind, question)) {
            put(out, "<tr><td>");
            html_escape(out, report->groups[i].name);
            put(out, "</td>");
            put_figures(out, q, &report->groups[i].figures[question], !isnan(q->threshold));
        }
    }
    put(out, "</tbody></table></div></details>\n");
}

static int put_plots(struct buf *out, const struct report *report, const struct report_question *q) {
    struct metrics_sample *samples = NULL;
    struct metrics_curve curve;
    struct metrics_bin bins[METRICS_BINS];
    size_t count = 0;
    char label[ROWS_NAME_SIZE + 64];
    int rc = report_samples(report, q, NULL, &samples, &count, &curve);
    if (rc != 0) {
        return rc;
    }
    put(out, "<div class=\"plots\">\n<div><h3>Precision and recall</h3>\n");
    (void)snprintf(label, sizeof label, "%s: precision against recall", q->name);
    svg_precision_recall(out, label, &curve, q->threshold);
    put(out, "</div>\n<div><h3>Reliability</h3>\n");
    (void)snprintf(label, sizeof label, "%s: share of harmful rows against score", q->name);
    metrics_bins(samples, count, bins);
    svg_reliability(out, label, bins);
    put(out, "</div>\n<div><h3>Threshold</h3>\n");
    (void)snprintf(label, sizeof label, "%s: recall and false-alarm rate against threshold", q->name);
    svg_thresholds(out, label, &curve, q->threshold);
    put(out, "</div>\n</div>\n");
    metrics_curve_deinit(&curve);
    free(samples);
    return 0;
}

static int put_question(struct buf *out, const struct report *report, size_t number) {
    const struct report_question *q = &report->questions[number];
    put(out, "<section><h2>");
    html_escape(out, q->name);
    put(out, "</h2><p class=\"soft\">");
    if (q->key < 0) {
        put(out, q->category >= 0
                     ? "The score is that of the category unsafe. "
                     : "The score is the highest of all categories except toxicity and profanity. ");
    }
    if (!isnan(q->threshold)) {
        buf_printf(out, "The policy's threshold is %g (rule <code>%s</code>, action %s).", q->threshold,
                   q->rule, action_name(q->action));
    }
    put(out, "</p>\n");
    int rc = put_plots(out, report, q);
    for (int kind = REPORT_SET; kind < REPORT_KIND_COUNT && rc == 0; kind++) {
        put_groups(out, report, number, (enum report_kind)kind);
    }
    put(out, "</section>\n");
    return rc;
}

static void put_legend(struct buf *out) {
    put(out,
        "<section><h2>How to read the figures</h2><dl>"
        "<dt>AU-PRC</dt><dd>Area under the curve of precision against recall (average precision); 1 is "
        "perfect, the "
        "share of harmful rows is chance.</dd>"
        "<dt>AUC</dt><dd>How often a harmful row scores above a harmless one; 0.5 is chance.</dd>"
        "<dt>F1</dt><dd>Balance of precision and recall at a threshold: the best one, and the policy's "
        "own.</dd>"
        "<dt>FPR</dt><dd>False-alarm rate: the share of harmless rows at or above the threshold.</dd>"
        "<dt>ECE</dt><dd>How far scores are from being probabilities, on average, in 15 bins; 0 is "
        "perfect.</dd>"
        "<dt>Brier</dt><dd>Mean squared distance of score and label; 0 is perfect.</dd>"
        "<dt>95 %</dt><dd>Bootstrap interval, where there are at least 20 rows of each class.</dd>"
        "</dl><p class=\"soft\">Groups of fewer than 10 labelled rows are left out here.</p></section>\n");
}

int eval_html(const struct session *session, struct buf *out) {
    const struct report *report = &session->report;
    put_head(out, session);
    put_summary(out, report);
    put_decisions(out, report);
    int rc = 0;
    for (size_t i = 0; i < report->question_count && rc == 0; i++) {
        rc = put_question(out, report, i);
    }
    put_legend(out);
    put(out, "</main></body></html>\n");
    return rc != 0 ? rc : out->failed ? -ENOMEM : 0;
}

int eval_html_write(const struct session *session, const char *path) {
    struct buf page = {0};
    int rc = eval_html(session, &page);
    rc = rc != 0 ? command_fail(EXIT_FAILED, "eval: --html: %s", strerror(-rc))
                 : session_write("eval", path, (const char *)page.bytes, page.size);
    buf_deinit(&page);
    return rc;
}
