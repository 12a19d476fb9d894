/* SPDX-License-Identifier: Apache-2.0
 *
 * The keys of a policy file. policies/schema/policy.schema.json says the same to editors; a test compares the
 * two.
 */
#include "policies/schema.h"

#include <string.h>

const struct source_use_info source_uses[USE_COUNT] = {
    [USE_HEAD] = {.name = "head", .kinds = 1u << CONTENT_TEXT, .takes_model = true},
    [USE_YES_NO] = {.name = "yes_no",
                    .kinds = 1u << CONTENT_TEXT | 1u << CONTENT_IMAGE,
                    .takes_model = true,
                    .takes_guidelines = true},
    [USE_LISTS] = {.name = "lists", .kinds = 1u << CONTENT_TEXT, .takes_files = true},
    [USE_OPEN_NSFW] = {.name = "open_nsfw", .kinds = 1u << CONTENT_IMAGE},
};

static const char lower[] = "abcdefghijklmnopqrstuvwxyz";

const char *source_check_name(const void *field) {
    const char *name = field;
    bool fine = name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789._-")] == '\0' &&
                strchr("._-", name[0]) == NULL;
    return fine ? NULL : "must consist of a-z 0-9 . _ - and begin with a letter or digit";
}

const char *source_check_id(const void *field) {
    const char *id = field;
    bool fine = id[strspn(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")] == '\0' &&
                strchr("._-", id[0]) == NULL;
    return fine ? NULL : "must consist of letters a-z A-Z, digits, . _ - and begin with a letter or digit";
}

const char *source_check_category(const void *field) {
    const char *id = field;
    if (id[strspn(id, "abcdefghijklmnopqrstuvwxyz0123456789._")] != '\0' || strspn(id, lower) == 0) {
        return "must consist of a-z 0-9 . _ and begin with a letter";
    }
    if (strcmp(id, "any") == 0) {
        return "any is not a category (it stands for all of them in rules)";
    }
    return strcmp(id, "child_safety") == 0 ? "child_safety is reserved for hash lists" : NULL;
}

static const char *check_rule_category(const void *field) {
    return strcmp(field, "any") == 0 ? NULL : source_check_category(field);
}

#define ROW(key_, type_, struct_, member) key_, type_, CONFIG_FIELD(struct struct_, member)

static const struct config_choice schema_choices[] = {{"buckler.policy/1", 1, false}, {0}};
static const struct config_choice use_choices[] = {
    {"head", USE_HEAD, false},           {"yes_no", USE_YES_NO, false}, {"lists", USE_LISTS, false},
    {"open_nsfw", USE_OPEN_NSFW, false}, {"text_in_image", 0, true},    {0}};
static const struct config_choice rule_action_choices[] = {
    {"allow", ACTION_ALLOW, false},   {"flag", ACTION_FLAG, false}, {"redact", ACTION_REDACT, false},
    {"review", ACTION_REVIEW, false}, {"deny", ACTION_DENY, false}, {0}};
/* Without a score there is nothing to redact. */
static const struct config_choice plain_action_choices[] = {{"allow", ACTION_ALLOW, false},
                                                            {"flag", ACTION_FLAG, false},
                                                            {"review", ACTION_REVIEW, false},
                                                            {"deny", ACTION_DENY, false},
                                                            {0}};
static const struct config_choice expect_choices[] = {
    {"allow", EXPECT_ALLOW, false},   {"deny", EXPECT_DENY, false},     {"flag", EXPECT_FLAG, false},
    {"redact", EXPECT_REDACT, false}, {"review", EXPECT_REVIEW, false}, {0}};
static const struct config_choice scope_choices[] = {
    {"prompt", SCOPE_PROMPT, false},     {"response", SCOPE_RESPONSE, false}, {"upload", SCOPE_UPLOAD, false},
    {"document", SCOPE_DOCUMENT, false}, {"tool", SCOPE_TOOL, false},         {0}};
static const struct config_choice scope_bits[] = {
    {"prompt", 1 << SCOPE_PROMPT, false}, {"response", 1 << SCOPE_RESPONSE, false},
    {"upload", 1 << SCOPE_UPLOAD, false}, {"document", 1 << SCOPE_DOCUMENT, false},
    {"tool", 1 << SCOPE_TOOL, false},     {0}};
static const struct config_choice kind_bits[] = {
    {"text", 1 << CONTENT_TEXT, false}, {"image", 1 << CONTENT_IMAGE, false}, {0}};
static const struct config_choice flag_bits[] = {{"zero_width", FLAG_ZERO_WIDTH, false},
                                                 {"bidi", FLAG_BIDI, false},
                                                 {"tag_characters", FLAG_TAG_CHARACTERS, false},
                                                 {"mixed_script", FLAG_MIXED_SCRIPT, false},
                                                 {"compatibility", FLAG_COMPATIBILITY, false},
                                                 {"combining", FLAG_COMBINING, false},
                                                 {"control_token", FLAG_CONTROL_TOKEN, false},
                                                 {"spaced_letters", FLAG_SPACED_LETTERS, false},
                                                 {"invalid_utf8", FLAG_INVALID_UTF8, false},
                                                 {"mime_mismatch", FLAG_MIME_MISMATCH, false},
                                                 {"trailing_data", FLAG_TRAILING_DATA, false},
                                                 {"animated", FLAG_ANIMATED, false},
                                                 {"truncated", FLAG_TRUNCATED, false},
                                                 {"alpha", FLAG_ALPHA, false},
                                                 {"extreme_aspect", FLAG_EXTREME_ASPECT, false},
                                                 {"encoded_text", FLAG_ENCODED_TEXT, false},
                                                 {0}};
static const struct config_choice content_choices[] = {
    {"none", AUDIT_CONTENT_NONE, false}, {"encrypted", 0, true}, {0}};

static const struct config_row applies_rows[] = {
    {ROW("scopes", CONFIG_FLAGS, policy_source, scopes), .choices = scope_bits},
    {ROW("modalities", CONFIG_FLAGS, policy_source, kinds), .choices = kind_bits,
     CONFIG_WHERE(struct policy_source, kinds_where)},
    CONFIG_END,
};

static const struct config_row guideline_rows[] = {
    {ROW("category", CONFIG_KEY, source_guideline, category), .min = 1, .check = source_check_category,
     CONFIG_WHERE(struct source_guideline, where)},
    {ROW("", CONFIG_STRING, source_guideline, text), .min = 1, .max = 4096},
    CONFIG_END,
};

static const struct config_row path_rows[] = {
    {ROW("", CONFIG_STRING, source_path, path), .min = 1, .max = 511,
     CONFIG_WHERE(struct source_path, where)},
    CONFIG_END,
};

static const struct config_row name_rows[] = {
    {ROW("", CONFIG_TEXT, source_name, name), .min = 1, .check = source_check_category,
     CONFIG_WHERE(struct source_name, where)},
    CONFIG_END,
};

static const struct config_row classifier_rows[] = {
    {ROW("id", CONFIG_TEXT, source_classifier, id), .required = true, .min = 1, .check = source_check_id,
     CONFIG_WHERE(struct source_classifier, id_where), .help = "a name of your own"},
    {ROW("use", CONFIG_ENUM, source_classifier, use), .required = true, .choices = use_choices,
     CONFIG_WHERE(struct source_classifier, use_where), .help = "head, yes_no, lists or open_nsfw"},
    {ROW("model", CONFIG_TEXT, source_classifier, model), .min = 1,
     CONFIG_WHERE(struct source_classifier, model_where)},
    {"guidelines", CONFIG_TABLE, CONFIG_ITEMS(struct source_classifier, guidelines, guideline_count),
     .rows = guideline_rows, .min = 1, .max = POLICY_MAX_CATEGORIES,
     CONFIG_WHERE(struct source_classifier, guidelines_where)},
    {"files", CONFIG_LIST, CONFIG_ITEMS(struct source_classifier, files, file_count), .rows = path_rows,
     .min = 1, .max = 64, CONFIG_WHERE(struct source_classifier, files_where)},
    {"categories", CONFIG_LIST, CONFIG_ITEMS(struct source_classifier, categories, category_count),
     .rows = name_rows, .min = 1, .max = POLICY_MAX_CATEGORIES,
     CONFIG_WHERE(struct source_classifier, categories_where)},
    {.key = "then", .type = CONFIG_LATER},
    CONFIG_END_AT(struct source_classifier, where),
};

static const struct config_row when_rows[] = {
    {ROW("category", CONFIG_TEXT, source_rule, category), .min = 1, .check = check_rule_category,
     CONFIG_WHERE(struct source_rule, category_where)},
    {ROW("min", CONFIG_FRACTION, source_rule, min_ppm), .fallback = "0",
     CONFIG_WHERE(struct source_rule, min_where)},
    {ROW("max", CONFIG_FRACTION, source_rule, max_ppm), .fallback = "1",
     CONFIG_WHERE(struct source_rule, max_where)},
    {ROW("flag", CONFIG_FLAGS, source_rule, flags), .choices = flag_bits,
     CONFIG_WHERE(struct source_rule, flags_where)},
    {ROW("scope", CONFIG_FLAGS, source_rule, scopes), .choices = scope_bits,
     CONFIG_WHERE(struct source_rule, scopes_where)},
    {ROW("kind", CONFIG_FLAGS, source_rule, kinds), .choices = kind_bits,
     CONFIG_WHERE(struct source_rule, kinds_where)},
    CONFIG_END,
};

static const struct config_row rule_rows[] = {
    {ROW("id", CONFIG_TEXT, source_rule, id), .required = true, .min = 1, .check = source_check_id,
     CONFIG_WHERE(struct source_rule, id_where), .help = "a name of your own, shown with each decision"},
    {.key = "when",
     .type = CONFIG_STRUCT,
     .rows = when_rows,
     .required = true,
     CONFIG_WHERE(struct source_rule, when_where),
     .help = "what the rule looks for"},
    {ROW("action", CONFIG_ENUM, source_rule, action), .required = true, .choices = rule_action_choices,
     CONFIG_WHERE(struct source_rule, action_where), .help = "allow, flag, redact, review or deny"},
    {ROW("reason", CONFIG_TEXT, source_rule, reason), .min = 1, .check = source_check_id},
    CONFIG_END_AT(struct source_rule, where),
};

#define FAILURE_ROW(key_, failure)                                                                           \
    { ROW(key_, CONFIG_ENUM, policy_source, on_error[failure]), .choices = plain_action_choices }
static const struct config_row on_error_rows[] = {
    FAILURE_ROW("default", FAILURE_DEFAULT),
    FAILURE_ROW("overloaded", FAILURE_OVERLOADED),
    FAILURE_ROW("decode_failed", FAILURE_DECODE_FAILED),
    FAILURE_ROW("deadline", FAILURE_DEADLINE),
    FAILURE_ROW("engine_unavailable", FAILURE_ENGINE_UNAVAILABLE),
    FAILURE_ROW("audit_unavailable", FAILURE_AUDIT_UNAVAILABLE),
    FAILURE_ROW("internal", FAILURE_INTERNAL),
    CONFIG_END,
};

static const struct config_row audit_rows[] = {
    {ROW("content", CONFIG_ENUM, policy_source, audit_content), .choices = content_choices,
     .fallback = "none"},
    {ROW("retention", CONFIG_DURATION, policy_source, audit_retention_ns), .min = UINT64_C(86400000000000),
     .max = UINT64_C(36500) * UINT64_C(86400000000000)},
    CONFIG_END,
};

static const struct config_row example_rows[] = {
    {ROW("text", CONFIG_STRING, source_example, text), .required = true, .help = "what someone might write"},
    {ROW("scope", CONFIG_ENUM, source_example, scope), .choices = scope_choices,
     CONFIG_WHERE(struct source_example, scope_where)},
    {ROW("expect", CONFIG_ENUM, source_example, expect), .required = true, .choices = expect_choices,
     CONFIG_WHERE(struct source_example, expect_where),
     .help = "the verdict allow or deny, or the action flag, redact or review"},
    CONFIG_END_AT(struct source_example, where),
};

const struct config_row policy_rows[] = {
    {ROW("schema", CONFIG_ENUM, policy_source, schema), .required = true, .choices = schema_choices,
     .help = "schema: buckler.policy/1"},
    {ROW("name", CONFIG_TEXT, policy_source, name), .required = true, .min = 1, .check = source_check_name,
     .help = "what requests call this policy"},
    {ROW("description", CONFIG_TEXT, policy_source, description)},
    {.key = "extends", .type = CONFIG_LATER},
    {.key = "applies", .type = CONFIG_STRUCT, .rows = applies_rows},
    {"classifiers", CONFIG_LIST, CONFIG_ITEMS(struct policy_source, classifiers, classifier_count),
     .rows = classifier_rows, .required = true, .max = POLICY_MAX_CLASSIFIERS,
     CONFIG_WHERE(struct policy_source, classifiers_where), .help = "who looks at the content"},
    {.key = "cascade", .type = CONFIG_LATER},
    {"rules", CONFIG_LIST, CONFIG_ITEMS(struct policy_source, rules, rule_count), .rows = rule_rows,
     .required = true, .min = 1, .max = POLICY_MAX_RULES, .help = "what follows from what was found"},
    {ROW("default", CONFIG_ENUM, policy_source, default_action), .required = true,
     .choices = plain_action_choices, .help = "the action when no rule matches"},
    {.key = "on_error", .type = CONFIG_STRUCT, .rows = on_error_rows},
    {ROW("uncovered", CONFIG_ENUM, policy_source, uncovered), .choices = plain_action_choices,
     .fallback = "review"},
    {ROW("deadline_ms", CONFIG_U32, policy_source, deadline_ms), .min = 1, .max = 600000, .fallback = "2000"},
    {ROW("replace_invalid_utf8", CONFIG_BOOL, policy_source, replace_invalid_utf8), .fallback = "false"},
    {.key = "audit", .type = CONFIG_STRUCT, .rows = audit_rows},
    {.key = "shadow", .type = CONFIG_LATER},
    {"examples", CONFIG_LIST, CONFIG_ITEMS(struct policy_source, examples, example_count),
     .rows = example_rows, .max = POLICY_MAX_EXAMPLES},
    CONFIG_END,
};
