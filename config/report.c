/* SPDX-License-Identifier: Apache-2.0 */
#include "config/config.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char out_of_memory[] = "a problem could not be shown: out of memory";

static size_t kept(const struct config_report *report) {
    return report->found < CONFIG_REPORT_MAX ? report->found : CONFIG_REPORT_MAX;
}

size_t config_report_count(const struct config_report *report) {
    return kept(report) + (report->found > CONFIG_REPORT_MAX ? 1 : 0);
}

const char *config_report_line(const struct config_report *report, size_t index) {
    if (index < kept(report)) {
        const char *text = report->problems[index].text;
        return text != NULL ? text : out_of_memory;
    }
    return report->rest;
}

/* Whether `a` must stand behind `b`: only problems of one file have an order. */
static bool behind(const struct config_problem *a, const struct config_problem *b) {
    if (a->text == NULL || b->text == NULL || a->file_length != b->file_length ||
        memcmp(a->text, b->text, b->file_length) != 0) {
        return false;
    }
    return a->where.line != b->where.line ? a->where.line > b->where.line : a->where.column > b->where.column;
}

void config_report_add(struct config_report *report, const char *file, unsigned line, unsigned column,
                       const char *format, ...) {
    if (report->found >= CONFIG_REPORT_MAX) {
        report->found++;
        (void)snprintf(report->rest, sizeof report->rest, "and %zu more", report->found - CONFIG_REPORT_MAX);
        return;
    }
    struct config_problem problem = {.where = {line, column}, .file_length = strlen(file)};
    char message[512];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(message, sizeof message, format, args); /* a cut message still has its place */
    va_end(args);
    if (asprintf(&problem.text, "%s:%u:%u: %s", file, line, column, message) < 0) {
        problem.text = NULL;
    }
    size_t at = report->found++;
    for (; at > 0 && behind(&report->problems[at - 1], &problem); at--) {
        report->problems[at] = report->problems[at - 1];
    }
    report->problems[at] = problem;
}

void config_report_deinit(struct config_report *report) {
    for (size_t i = 0; i < kept(report); i++) {
        free(report->problems[i].text);
    }
    *report = (struct config_report){0};
}
