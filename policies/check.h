/* SPDX-License-Identifier: Apache-2.0
 *
 * What check.c and check_rules.c share. Inside policies/ only.
 */
#ifndef BUCKLER_POLICIES_CHECK_H
#define BUCKLER_POLICIES_CHECK_H

#include "policies/list.h"
#include "policies/schema.h"

#define CHECK_ALL_KINDS (1u << CONTENT_TEXT | 1u << CONTENT_IMAGE)

struct check {
    const struct policy_source *source;
    const char *file;
    struct config_report *report;
    uint32_t kinds; /* what the policy applies to; never 0 */
};

#define CHECK_PROBLEM(k, at, ...)                                                                            \
    config_report_add((k)->report, (k)->file, (at).line, (at).column, __VA_ARGS__)

uint32_t check_classifier_kinds(const struct source_classifier *c);

/* The kinds of content for which some classifier scores the category ("any": some category); 0 when none
 * does. */
uint32_t check_category_kinds(const struct policy_source *source, const char *category);

const char *check_kind_word(uint32_t kinds);

void check_rules(const struct check *k);

#endif
