/* SPDX-License-Identifier: Apache-2.0
 *
 * The policy file as it was written, with the place of everything that a check across fields may complain
 * about. Inside policies/ only; load.c turns it into the constant struct policy.
 */
#ifndef BUCKLER_POLICIES_SCHEMA_H
#define BUCKLER_POLICIES_SCHEMA_H

#include "policies/policy.h"

enum source_use { USE_INVALID, USE_HEAD, USE_YES_NO, USE_LISTS, USE_OPEN_NSFW, USE_COUNT };

/* What the kinds of classifiers take and can do; index: enum source_use. */
struct source_use_info {
    const char *name;
    uint32_t kinds; /* bits (1 << enum content_kind) */
    bool takes_model, takes_guidelines, takes_files;
};
extern const struct source_use_info source_uses[USE_COUNT];

struct source_name {
    char name[POLICY_NAME_SIZE];
    struct config_where where;
};

struct source_path {
    char *path;
    char *resolved;           /* relative to the policy's folder; set and owned by load.c, as is the list */
    struct policy_list *list; /* NULL: could not be loaded, and the report says why */
    struct config_where where;
};

struct source_guideline {
    char category[POLICY_NAME_SIZE];
    char *text;
    struct config_where where;
};

struct source_classifier {
    char id[POLICY_NAME_SIZE];
    enum source_use use;
    char model[256];
    struct source_guideline *guidelines;
    struct source_path *files;
    struct source_name *categories;
    size_t guideline_count, file_count, category_count;
    struct config_where where, id_where, use_where, model_where, guidelines_where, files_where,
        categories_where;
};

struct source_rule {
    char id[POLICY_NAME_SIZE];
    char reason[POLICY_NAME_SIZE];
    enum action action;
    char category[POLICY_NAME_SIZE]; /* "any" */
    int32_t min_ppm, max_ppm;
    uint32_t flags, scopes, kinds;
    struct config_where where, id_where, action_where, when_where, category_where, min_where, max_where,
        flags_where, scopes_where, kinds_where;
};

enum source_expect { EXPECT_INVALID, EXPECT_ALLOW, EXPECT_DENY, EXPECT_FLAG, EXPECT_REDACT, EXPECT_REVIEW };

struct source_example {
    char *text;
    enum content_scope scope; /* SCOPE_INVALID: the policy's first */
    enum source_expect expect;
    struct config_where where, scope_where, expect_where;
};

struct policy_source {
    int schema;
    char name[POLICY_NAME_SIZE];
    char description[512];
    uint32_t scopes, kinds;
    struct source_classifier *classifiers;
    struct source_rule *rules;
    struct source_example *examples;
    size_t classifier_count, rule_count, example_count;
    enum action default_action;
    enum action on_error[FAILURE_COUNT]; /* ACTION_INVALID: as `default` */
    enum action uncovered;
    uint32_t deadline_ms;
    bool replace_invalid_utf8;
    enum policy_audit_content audit_content;
    uint64_t audit_retention_ns;
    struct config_where classifiers_where, kinds_where;
};

extern const struct config_row policy_rows[];
extern const struct config_row policy_list_rows[]; /* of list files; the struct is list.c's own */

/* Everything that only several keys together can get wrong; load.c has loaded the list files before. */
void policy_check(const struct policy_source *source, const char *file, struct config_report *report);

/* The policy's categories in their order: the built-in ones, then those of guidelines and lists as they
 * appear. Stores at most POLICY_MAX_CATEGORIES names and returns how many there are. */
size_t source_category_names(const struct policy_source *source,
                             const char *ret_names[POLICY_MAX_CATEGORIES]);

/* Half sentences for rows' `check`, shared with list files. */
const char *source_check_name(const void *field);     /* a-z 0-9 . _ - */
const char *source_check_id(const void *field);       /* also A-Z */
const char *source_check_category(const void *field); /* a-z 0-9 . _, a letter first, nothing reserved */

#endif
