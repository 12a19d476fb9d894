/* SPDX-License-Identifier: Apache-2.0
 *
 * Quality against labels: what the policy decides of labelled rows, and how good its scores are.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tools/eval/html.h"
#include "tools/eval/json.h"
#include "tools/eval/session.h"

enum { NAME_WIDTH = 38 };

static void print_figure(double value, int width, int digits) {
    if (isfinite(value)) {
        (void)printf(" %*.*f", width, digits, value);
    } else {
        (void)printf(" %*s", width, "-");
    }
}

static void print_interval(double value, const struct metrics_interval *interval) {
    print_figure(value, 6, 3);
    if (isnan(interval->low)) {
        (void)printf(" %13s", "");
    } else {
        (void)printf(" [%.3f,%.3f]", interval->low, interval->high);
    }
}

static void print_group_name(const struct report_group *group) {
    int kind = printf("  %s", report_kind_name(group->kind));
    if (group->kind == REPORT_ALL) {
        (void)printf("%*s", NAME_WIDTH - kind, "");
        return;
    }
    (void)putchar(' ');
    session_print_name(group->name, NAME_WIDTH - kind - 1);
}

/* A kind with one group says what "all" says. */
static bool kind_is_shown(const struct report *report, enum report_kind kind) {
    size_t groups = 0;
    for (size_t i = 0; i < report->group_count; i++) {
        groups += report->groups[i].kind == kind;
    }
    return kind == REPORT_ALL || groups > 1;
}

static void print_share(size_t part, size_t whole) {
    (void)printf(" %7zu ", part);
    if (whole > 0) {
        (void)printf("%5.1f %%", 100 * (double)part / (double)whole);
    } else {
        (void)printf("%7s", "-");
    }
}

static void print_decisions(const struct report *report) {
    (void)printf(
        "\nDECISION: what the policy denied (deny and review) and flagged\n%*s %8s %15s %15s %9s %15s %15s\n",
        NAME_WIDTH, "", "unsafe", "denied", "flagged", "harmless", "false alarms", "flagged");
    for (size_t i = 0; i < report->group_count; i++) {
        const struct report_group *group = &report->groups[i];
        const struct report_decision *d = &group->decision;
        if (d->unsafe + d->harmless < REPORT_LEAST_ROWS || !kind_is_shown(report, group->kind)) {
            continue;
        }
        print_group_name(group);
        (void)printf(" %8zu", d->unsafe);
        print_share(d->unsafe_denied, d->unsafe);
        print_share(d->unsafe_flagged, d->unsafe);
        (void)printf(" %9zu", d->harmless);
        print_share(d->harmless_denied, d->harmless);
        print_share(d->harmless_flagged, d->harmless);
        (void)putchar('\n');
    }
}

static void print_figures(const struct report_question *q, const struct report_figures *f) {
    (void)printf(" %6zu %6zu", f->positives, f->negatives);
    print_interval(f->ap, &f->ap_interval);
    print_interval(f->auc, &f->auc_interval);
    print_figure(f->best.f1, 6, 3);
    print_figure(f->best.threshold, 6, 3);
    print_figure(f->fpr1.recall, 6, 3);
    print_figure(f->fpr5.recall, 6, 3);
    print_figure(f->ece, 6, 3);
    print_figure(f->brier, 6, 3);
    if (!isnan(q->threshold)) {
        print_figure(f->own.f1, 6, 3);
        print_figure(f->own.precision, 6, 3);
        print_figure(f->own.recall, 6, 3);
        print_figure(f->own.fpr, 6, 3);
    }
    (void)putchar('\n');
}

static void print_question(const struct report *report, size_t number) {
    const struct report_question *q = &report->questions[number];
    (void)putchar('\n');
    session_print_name(q->name, 0);
    if (q->key < 0) {
        (void)printf(": the score is %s",
                     q->category >= 0 ? "that of the category unsafe"
                                      : "the highest of all categories except toxicity and profanity");
    }
    if (!isnan(q->threshold)) {
        (void)printf(": the policy's threshold is %g (rule %s, %s)", q->threshold, q->rule,
                     action_name(q->action));
    }
    (void)printf("\n%*s %6s %6s %-20s %-20s %6s %6s %6s %6s %6s %6s%s\n", NAME_WIDTH, "", "pos", "neg",
                 "AU-PRC [95 %]", "AUC [95 %]", "bestF1", "at", "R@1%", "R@5%", "ECE", "Brier",
                 isnan(q->threshold) ? "" : " pol.F1   prec recall    FPR");
    for (size_t i = 0; i < report->group_count; i++) {
        const struct report_group *group = &report->groups[i];
        const struct report_figures *f = &group->figures[number];
        if (f->positives + f->negatives >= REPORT_LEAST_ROWS && kind_is_shown(report, group->kind)) {
            print_group_name(group);
            print_figures(q, f);
        }
    }
}

static void print_report(const struct session *session) {
    const struct report *report = &session->report;
    session_print_head(session);
    if (!isnan(report->macro_ap)) {
        (void)printf("AU-PRC of unsafe, mean over %zu set%s: %.4f\n", report->macro_sets,
                     report->macro_sets == 1 ? "" : "s", report->macro_ap);
    }
    print_decisions(report);
    for (size_t i = 0; i < report->question_count; i++) {
        print_question(report, i);
    }
}

static int run(int argc, char **argv) {
    struct session_options options = {0};
    const char *html = NULL;
    const struct option_value table[] = {
        SESSION_OPTIONS(&options), {"--html", true, &html}, {NULL, false, NULL}};
    int rest = 0;
    command_options_first(argc, argv, table);
    int rc = command_options(&command_eval, argc, argv, table, &rest);
    if (rc != 0) {
        return rc;
    }
    bool json_out = options.json != NULL && strcmp(options.json, "-") == 0;
    bool html_out = html != NULL && strcmp(html, "-") == 0;
    if (json_out && html_out) {
        return command_fail(EXIT_USAGE, "eval: only one of --json and --html can be standard output");
    }
    rc = session_check_writable("eval", options.json);
    rc = rc != 0 ? rc : session_check_writable("eval", html);
    if (rc != 0) {
        return rc;
    }
    struct session session = {0};
    rc = session_run("eval", &options, argv + rest, argc - rest, &session);
    if (rc == 0 && options.json != NULL) {
        rc = session_write_json("eval", options.json, eval_json(&session));
    }
    if (rc == 0 && html != NULL) {
        rc = eval_html_write(&session, html);
    }
    if (rc == 0 && !json_out && !html_out) {
        print_report(&session);
    }
    session_deinit(&session);
    return rc;
}

const struct command command_eval = {
    "eval", "quality against labelled rows",
    "eval SET.jsonl… [--policy P] [--local [--config FILE] | --server URL] [--html F] [--json F] [--limit "
    "N]\n"
    "                  [--threads N]\n"
    "  rows "
    "{\"id\",\"text\",\"role\":\"user\"|\"assistant\"|\"post\",\"prompt\"?,\"labels\":{category:0|1},\n"
    "        \"unsafe\":0|1|null,\"lang\"?,\"source\"?}; a category that is not in labels is not known\n"
    "  user: scope prompt; assistant: scope response, with the prompt as context; post: scope upload\n"
    "  -             a set from standard input\n"
    "  --html F      a page with curves and tables\n"
    "  --json F      all figures; - for standard output\n"
    "  --limit N     the first N rows of each set\n"
    "  --threads N   requests in flight (16)\n"
    "  --config FILE whose policies are looked through for the one that judged, also with --server",
    run};
