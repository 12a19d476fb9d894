/* SPDX-License-Identifier: Apache-2.0
 *
 * From a file to the constant policy: read, check, then copy what was written into what decides.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/digest.h"
#include "policies/list.h"
#include "policies/schema.h"

const char *const policy_builtin_categories[] = {
    "hate_speech", "harassment", "sexually_explicit", "violence", "self_harm", "dangerous_content",
    "illicit",     "jailbreak",  "prompt_injection",  "toxicity", "profanity", "unsafe"};
_Static_assert(sizeof policy_builtin_categories / sizeof *policy_builtin_categories ==
                   POLICY_BUILTIN_CATEGORY_COUNT,
               "a name for each");

static void free_source(struct policy_source *source) {
    for (size_t i = 0; i < source->classifier_count; i++) {
        for (size_t k = 0; k < source->classifiers[i].file_count; k++) {
            free(source->classifiers[i].files[k].resolved);
            policy_list_free(source->classifiers[i].files[k].list);
        }
    }
    config_free(policy_rows, source);
}

/* ---- list files ---- */

static char *resolve(const char *policy_path, const char *file) {
    const char *slash = strrchr(policy_path, '/');
    char *resolved = NULL;
    if (file[0] == '/' || slash == NULL) {
        return strdup(file);
    }
    int folder_length = (int)(slash - policy_path) + 1;
    return asprintf(&resolved, "%.*s%s", folder_length, policy_path, file) < 0 ? NULL : resolved;
}

static int load_file(const char *policy_path, struct source_path *file, struct config_report *report) {
    if (file->path == NULL) {
        return 0;
    }
    file->resolved = resolve(policy_path, file->path);
    if (file->resolved == NULL) {
        return -ENOMEM;
    }
    /* Said at the line that names the file: that is where the mistake is. */
    if (access(file->resolved, R_OK) != 0) {
        config_report_add(report, policy_path, file->where.line, file->where.column,
                          "files: %s cannot be read: %s", file->resolved, strerror(errno));
        return 0;
    }
    int rc = policy_list_load(file->resolved, &file->list, report);
    return rc < 0 ? rc : 0;
}

static int load_lists(const char *policy_path, struct policy_source *source, struct config_report *report) {
    for (size_t i = 0; i < source->classifier_count; i++) {
        struct source_classifier *c = &source->classifiers[i];
        for (size_t k = 0; c->use == USE_LISTS && k < c->file_count; k++) {
            int rc = load_file(policy_path, &c->files[k], report);
            if (rc != 0) {
                return rc;
            }
        }
    }
    return 0;
}

/* The digest of digests: no byte can move from one file to the next unnoticed. */
static int digest_all(const struct policy_source *source, const void *bytes, size_t size,
                      char ret_hex[DIGEST_HEX_SIZE]) {
    CLEANUP(buf_deinit) struct buf all = {0};
    uint8_t digest[DIGEST_BYTES];
    int rc = digest_sha256(bytes, size, digest);
    buf_append(&all, digest, sizeof digest);
    for (size_t i = 0; rc == 0 && i < source->classifier_count; i++) {
        for (size_t k = 0; k < source->classifiers[i].file_count; k++) {
            bool is_hex = hex_decode(source->classifiers[i].files[k].list->digest, digest, sizeof digest);
            buf_append(&all, digest, is_hex ? sizeof digest : 0);
        }
    }
    if (rc == 0) {
        rc = all.failed ? -ENOMEM : digest_sha256(all.bytes, all.size, digest);
    }
    hex_encode(digest, sizeof digest, ret_hex);
    return rc;
}

/* ---- building ---- */

static int take_guidelines(struct source_classifier *from, struct policy_classifier *to) {
    if (from->guideline_count == 0) {
        return 0;
    }
    to->guidelines = calloc(from->guideline_count, sizeof *to->guidelines);
    if (to->guidelines == NULL) {
        return -ENOMEM;
    }
    to->guideline_count = from->guideline_count;
    for (size_t i = 0; i < from->guideline_count; i++) {
        memcpy(to->guidelines[i].category, from->guidelines[i].category, POLICY_NAME_SIZE);
        to->guidelines[i].text = steal(from->guidelines[i].text);
    }
    return 0;
}

static int take_files(struct source_classifier *from, struct policy_classifier *to) {
    if (from->file_count == 0) {
        return 0;
    }
    to->files = calloc(from->file_count, sizeof *to->files);
    to->lists = calloc(from->file_count, sizeof *to->lists);
    if (to->files == NULL || to->lists == NULL) {
        return -ENOMEM;
    }
    to->file_count = from->file_count;
    for (size_t i = 0; i < from->file_count; i++) {
        to->files[i] = steal(from->files[i].resolved);
        to->lists[i] = steal(from->files[i].list);
    }
    return 0;
}

static int take_categories(const struct source_classifier *from, struct policy_classifier *to) {
    if (from->category_count == 0) {
        return 0;
    }
    to->categories = calloc(from->category_count, sizeof *to->categories);
    if (to->categories == NULL) {
        return -ENOMEM;
    }
    to->category_count = from->category_count;
    for (size_t i = 0; i < from->category_count; i++) {
        memcpy(to->categories[i], from->categories[i].name, POLICY_NAME_SIZE);
    }
    return 0;
}

static int take_classifier(struct source_classifier *from, struct policy_classifier *to) {
    memcpy(to->id, from->id, sizeof to->id);
    memcpy(to->model, from->model, sizeof to->model);
    (void)snprintf(to->use, sizeof to->use, "%s", source_uses[from->use].name);
    to->kinds = source_uses[from->use].kinds;
    to->line = from->where.line;
    to->column = from->where.column;
    int rc = take_guidelines(from, to);
    rc = rc != 0 ? rc : take_files(from, to);
    return rc != 0 ? rc : take_categories(from, to);
}

static void take_rule(const struct policy *policy, const struct source_rule *from, struct policy_rule *to) {
    memcpy(to->id, from->id, sizeof to->id);
    memcpy(to->reason, from->reason, sizeof to->reason);
    to->action = from->action;
    to->category = from->category[0] == '\0'            ? POLICY_NO_CATEGORY
                   : strcmp(from->category, "any") == 0 ? POLICY_ANY_CATEGORY
                                                        : policy_category(policy, from->category);
    to->min_ppm = from->min_ppm;
    to->max_ppm = from->max_ppm;
    to->flags = from->flags;
    to->scopes = from->scopes;
    to->kinds = from->kinds;
    to->line = from->where.line;
    to->column = from->where.column;
}

static enum content_scope example_scope(const struct policy_source *source,
                                        const struct source_example *example) {
    if (example->scope != SCOPE_INVALID) {
        return example->scope;
    }
    for (enum content_scope scope = SCOPE_PROMPT; scope < SCOPE_COUNT; scope++) {
        if ((source->scopes >> scope & 1u) != 0) {
            return scope;
        }
    }
    return SCOPE_UPLOAD;
}

static void take_example(const struct policy_source *source, struct source_example *from,
                         struct policy_example *to) {
    static const enum action actions[] = {
        [EXPECT_FLAG] = ACTION_FLAG, [EXPECT_REDACT] = ACTION_REDACT, [EXPECT_REVIEW] = ACTION_REVIEW};
    bool is_verdict = from->expect == EXPECT_ALLOW || from->expect == EXPECT_DENY;
    to->text = steal(from->text);
    to->scope = example_scope(source, from);
    to->expect = is_verdict ? ACTION_INVALID : actions[from->expect];
    to->expect_allow = from->expect == EXPECT_ALLOW || (!is_verdict && action_allows(to->expect));
    to->line = from->where.line;
    to->column = from->where.column;
}

static void take_scalars(const struct policy_source *from, struct policy *to) {
    memcpy(to->name, from->name, sizeof to->name);
    memcpy(to->description, from->description, sizeof to->description);
    to->scopes = from->scopes;
    to->kinds = from->kinds;
    to->default_action = from->default_action;
    to->uncovered = from->uncovered;
    to->deadline_ms = from->deadline_ms;
    to->replace_invalid_utf8 = from->replace_invalid_utf8;
    to->audit_content = from->audit_content;
    to->audit_retention_ns = from->audit_retention_ns;
    enum action fallback = from->on_error[FAILURE_DEFAULT];
    to->on_error[FAILURE_DEFAULT] = fallback != ACTION_INVALID ? fallback : ACTION_DENY;
    for (size_t i = 0; i < FAILURE_COUNT; i++) {
        to->on_error[i] =
            from->on_error[i] != ACTION_INVALID ? from->on_error[i] : to->on_error[FAILURE_DEFAULT];
    }
}

static int build(struct policy_source *source, struct policy *policy) {
    take_scalars(source, policy);
    const char *names[POLICY_MAX_CATEGORIES];
    policy->category_count = source_category_names(source, names);
    for (size_t i = 0; i < policy->category_count; i++) {
        (void)snprintf(policy->categories[i], POLICY_NAME_SIZE, "%s", names[i]);
    }
    policy->classifier_count = source->classifier_count;
    for (size_t i = 0; i < source->classifier_count; i++) {
        int rc = take_classifier(&source->classifiers[i], &policy->classifiers[i]);
        if (rc != 0) {
            return rc;
        }
    }
    policy->rule_count = source->rule_count;
    for (size_t i = 0; i < source->rule_count; i++) {
        take_rule(policy, &source->rules[i], &policy->rules[i]);
    }
    policy->example_count = source->example_count;
    for (size_t i = 0; i < source->example_count; i++) {
        take_example(source, &source->examples[i], &policy->examples[i]);
    }
    return 0;
}

/* ---- the door ---- */

static void free_policy(struct policy **policy) {
    *policy = policy_free(*policy);
}

int policy_load_memory(const char *path, const void *bytes, size_t size, struct policy **ret,
                       struct config_report *report) {
    size_t before = report->found;
    CLEANUP(free_source) struct policy_source source = {0};
    int rc = config_load_partial(path, bytes, size, policy_rows, &source, report);
    if (rc >= 0) {
        rc = load_lists(path, &source, report);
    }
    if (rc < 0) {
        return rc;
    }
    policy_check(&source, path, report);
    if (report->found > before) {
        return POLICY_E_INVALID;
    }
    CLEANUP(free_policy) struct policy *policy = calloc(1, sizeof *policy);
    if (policy == NULL) {
        return -ENOMEM;
    }
    if (snprintf(policy->file, sizeof policy->file, "%s", path) >= (int)sizeof policy->file) {
        config_report_add(report, path, 1, 1, "the path is longer than %zu bytes", sizeof policy->file - 1);
        return POLICY_E_INVALID;
    }
    rc = digest_all(&source, bytes, size, policy->digest);
    rc = rc != 0 ? rc : build(&source, policy);
    if (rc == 0) {
        *ret = steal(policy);
    }
    return rc;
}

int policy_load(const char *path, struct policy **ret, struct config_report *report) {
    CLEANUP(buf_deinit) struct buf bytes = {0};
    int rc = config_read_file(path, &bytes, report);
    if (rc != 0) {
        return rc == CONFIG_E_INVALID ? POLICY_E_INVALID : rc;
    }
    return policy_load_memory(path, bytes.bytes, bytes.size, ret, report);
}

static void free_classifier(struct policy_classifier *c) {
    for (size_t i = 0; i < c->guideline_count; i++) {
        free(c->guidelines[i].text);
    }
    for (size_t i = 0; i < c->file_count; i++) {
        free(c->files[i]);
        policy_list_free(c->lists[i]);
    }
    free(c->guidelines);
    free(c->files);
    free(c->lists);
    free(c->categories);
}

struct policy *policy_free(struct policy *policy) {
    if (policy != NULL) {
        for (size_t i = 0; i < policy->classifier_count; i++) {
            free_classifier(&policy->classifiers[i]);
        }
        for (size_t i = 0; i < policy->example_count; i++) {
            free(policy->examples[i].text);
        }
        free(policy);
    }
    return NULL;
}

int policy_category(const struct policy *policy, const char *id) {
    for (size_t i = 0; i < policy->category_count; i++) {
        if (strcmp(policy->categories[i], id) == 0) {
            return (int)i;
        }
    }
    return POLICY_NO_CATEGORY;
}
