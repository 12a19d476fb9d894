/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/eval/json.h"

#include <math.h>

static json_t *interval(const struct metrics_interval *i) {
    return isnan(i->low) ? json_null() : json_pack("[o, o]", session_figure(i->low), session_figure(i->high));
}

static json_t *point(const struct metrics_point *p) {
    return json_pack("{s:o, s:o, s:o, s:o, s:o}", "threshold", session_figure(p->threshold), "f1",
                     session_figure(p->f1), "precision", session_figure(p->precision), "recall",
                     session_figure(p->recall), "fpr", session_figure(p->fpr));
}

static json_t *figures(const struct report_question *q, const struct report_figures *f) {
    json_t *out =
        json_pack("{s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "positives",
                  (json_int_t)f->positives, "negatives", (json_int_t)f->negatives, "auprc",
                  session_figure(f->ap), "auprc_95", interval(&f->ap_interval), "auc", session_figure(f->auc),
                  "auc_95", interval(&f->auc_interval), "best_f1", point(&f->best), "recall_at_fpr_0.01",
                  session_figure(f->fpr1.recall), "recall_at_fpr_0.05", session_figure(f->fpr5.recall), "ece",
                  session_figure(f->ece), "brier", session_figure(f->brier));
    if (out != NULL && !isnan(q->threshold)) {
        (void)json_object_set_new(out, "at_policy", point(&f->own));
    }
    return out;
}

static json_t *decision(const struct report_decision *d) {
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "unsafe", (json_int_t)d->unsafe, "unsafe_denied",
                     (json_int_t)d->unsafe_denied, "unsafe_flagged", (json_int_t)d->unsafe_flagged,
                     "harmless", (json_int_t)d->harmless, "harmless_denied", (json_int_t)d->harmless_denied,
                     "harmless_flagged", (json_int_t)d->harmless_flagged);
}

static json_t *question(const struct report_question *q) {
    const char *score = q->category >= 0 ? q->name : "highest except toxicity and profanity";
    json_t *out = json_pack("{s:s, s:s, s:o}", "name", q->name, "score", score, "threshold",
                            session_figure(q->threshold));
    if (out != NULL && !isnan(q->threshold)) {
        (void)json_object_set_new(out, "rule", json_string(q->rule));
        (void)json_object_set_new(out, "action", json_string(action_name(q->action)));
    }
    return out;
}

static json_t *group(const struct report *report, const struct report_group *g) {
    json_t *answers = json_object();
    for (size_t i = 0; i < report->question_count; i++) {
        const struct report_figures *f = &g->figures[i];
        if (f->positives + f->negatives > 0) {
            (void)json_object_set_new(answers, report->questions[i].name, figures(&report->questions[i], f));
        }
    }
    return json_pack("{s:s, s:s, s:I, s:I, s:o, s:o}", "by", report_kind_name(g->kind), "name", g->name,
                     "rows", (json_int_t)g->rows, "errors", (json_int_t)g->errors, "decision",
                     decision(&g->decision), "questions", answers);
}

json_t *eval_json(const struct session *session) {
    const struct report *report = &session->report;
    json_t *questions = json_array();
    json_t *groups = json_array();
    json_t *unscored = json_array();
    for (size_t i = 0; i < report->question_count; i++) {
        (void)json_array_append_new(questions, question(&report->questions[i]));
    }
    for (size_t i = 0; i < report->group_count; i++) {
        (void)json_array_append_new(groups, group(report, &report->groups[i]));
    }
    for (size_t i = 0; i < report->unscored.count; i++) {
        (void)json_array_append_new(unscored, json_string(report->unscored.items[i]));
    }
    return json_pack("{s:s, s:o, s:o, s:I, s:o, s:o, s:o}", "schema", "buckler.eval/1", "run",
                     session_provenance(session), "macro_auprc_unsafe", session_figure(report->macro_ap),
                     "macro_sets", (json_int_t)report->macro_sets, "questions", questions, "unscored",
                     unscored, "groups", groups);
}
