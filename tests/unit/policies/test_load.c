/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/digest.h"
#include "policies/list.h"
#include "policies/policy.h"

#define HERE BUCKLER_SOURCE_DIR "/policies/builtin/p.yaml"

static int load(const char *text, struct policy **ret, struct config_report *report) {
    size_t size = strlen(text);
    char *exact = malloc(size > 0 ? size : 1); /* so that a sanitizer sees a read behind the end */
    assert_non_null(exact);
    memcpy(exact, text, size);
    int rc = policy_load_memory(HERE, exact, size, ret, report);
    free(exact);
    return rc;
}

/* A small policy, one key a line; a mistake takes the place of one line or follows the last. */
static const char *const base[] = {
    "schema: buckler.policy/1",
    "name: p",
    "applies: { modalities: [text], scopes: [prompt, upload] }",
    "classifiers: [{ id: guard, use: head, model: m }]",
    "rules: [{ id: r, when: { category: violence, min: 0.5 }, action: deny }]",
    "default: allow",
};
enum {
    BASE_LINES = sizeof base / sizeof *base,
    SCHEMA = 1,
    NAME,
    APPLIES,
    CLASSIFIERS,
    RULES,
    DEFAULT,
    MORE
};

struct mistake {
    int replaces; /* line of base, or MORE; columns and lines below count in the result */
    const char *text;
    unsigned line, column;
    const char *message;
};

#define RULE(condition) "rules: [{ id: r, when: { " condition " }, action: review }]"
#define TWO_RULES(a, b) "rules:\n  - { id: a, " a " }\n  - { id: b, " b " }"
#define HEAD "{ id: guard, use: head, model: m }"
#define EXAMPLE(more) "examples: [{ text: hello, " more " }]"

/* Each file has exactly one problem. */
static const struct mistake mistakes[] = {
    /* head of the file */
    {SCHEMA, "schema: buckler.policy/2", 1, 9, "schema: \"buckler.policy/2\" is not one of buckler.policy/1"},
    {SCHEMA, "# none", 2, 1, "missing key \"schema\""},
    {NAME, "name: Upper", 2, 7, "name: must consist of a-z"},
    {NAME, "name: .hidden", 2, 7, "name: must consist of a-z"},
    {NAME, "name: a/b", 2, 7, "name: must consist of a-z"},
    {NAME, "name: 7", 2, 7, "name: expected text, found a number (put it in quotes)"},
    {NAME, "name: p\nversion: 3", 3, 1, "unknown key \"version\""},
    {NAME, "name: p\ndescripton: x", 3, 1, "(did you mean \"description\"?)"},
    {DEFAULT, "# none", 1, 1, "missing key \"default\" (the action when no rule matches)"},
    {DEFAULT, "default: alow", 6, 10,
     "default: \"alow\" is not one of allow, flag, review, deny (did you mean \"allow\"?)"},
    {DEFAULT, "default: redact", 6, 10, "is not one of allow, flag, review, deny"},
    {DEFAULT, "default: true", 6, 10, "default: expected text, found a boolean"},
    /* later versions */
    {MORE, "extends: floor", 7, 1, "extends: not supported yet"},
    {MORE, "cascade: [{ run: [guard] }]", 7, 1, "cascade: not supported yet"},
    {MORE, "shadow: [next]", 7, 1, "shadow: not supported yet"},
    {MORE, "audit: { content: encrypted }", 7, 19, "content: encrypted is not supported yet"},
    {CLASSIFIERS, "classifiers: [" HEAD ", { id: o, use: text_in_image }]", 4, 65,
     "text_in_image is not supported yet"},
    {CLASSIFIERS, "classifiers: [{ id: guard, use: head, model: m, then: x }]", 4, 49,
     "then: not supported yet"},
    /* single values */
    {APPLIES, "applies: { modalities: [txt] }", 3, 25,
     "modalities: \"txt\" is not one of text, image (did you mean \"text\"?)"},
    {APPLIES, "applies: { modalities: text, scopes: [chat] }", 3, 39,
     "scopes: \"chat\" is not one of prompt"},
    {APPLIES, "applies: { modalities: [] }", 3, 24, "modalities: an empty list"},
    {MORE, "deadline_ms: 0", 7, 14, "deadline_ms: must be at least 1"},
    {MORE, "deadline_ms: 2s", 7, 14, "deadline_ms: expected a whole number"},
    {MORE, "uncovered: redact", 7, 12, "uncovered: \"redact\" is not one of"},
    {MORE, "replace_invalid_utf8: yes", 7, 23, "expected true or false, found \"yes\""},
    {MORE, "on_error: { timeout: deny }", 7, 13, "unknown key \"timeout\""},
    {MORE, "on_error: { deadline: redact }", 7, 23, "deadline: \"redact\" is not one of"},
    {MORE, "audit: { retention: 180 }", 7, 21, "retention: expected a duration"},
    {MORE, "audit: { retention: 2h }", 7, 21, "retention: must be at least 86400000ms"},
    {RULES, RULE("category: violence, min: 0.8x"), 5, 51, "min: expected a plain decimal number"},
    {RULES, RULE("category: violence, min: nan"), 5, 51, "min: expected a plain decimal number"},
    {RULES, RULE("category: violence, min: 1.01"), 5, 51, "min: expected a plain decimal number from 0 to 1"},
    {RULES, RULE("category: violence, min: 0.5, min: 0.6"), 5, 56, "duplicate key min (first at line 5)"},
    {RULES, RULE("category: violence, min: 0.5, minimum: 0.5"), 5, 56, "unknown key \"minimum\""},
    {RULES, RULE("category: Violence, min: 0.5"), 5, 36, "category: must consist of a-z"},
    {RULES, RULE("category: child_safety, min: 0.5"), 5, 36, "child_safety is reserved for hash lists"},
    {RULES, RULE("flag: zero_widht"), 5, 32, "(did you mean \"zero_width\"?)"},
    {RULES, RULE("kind: audio"), 5, 32, "kind: \"audio\" is not one of text, image"},
    {RULES, "rules: []", 5, 8, "rules: 0 entries, expected at least 1"},
    {RULES, "rules: [{ when: { category: violence, min: 0.5 }, action: deny }]", 5, 9, "missing key \"id\""},
    {RULES, "rules: [{ id: r, when: { category: violence, min: 0.5 } }]", 5, 9, "missing key \"action\""},
    {RULES, "rules: [{ id: r, action: deny }]", 5, 9, "missing key \"when\" (what the rule looks for)"},
    {RULES, "rules: [{ id: \"a b\", when: { flag: bidi }, action: deny }]", 5, 15,
     "id: must consist of letters"},
    {RULES, "rules: [{ id: r, when: { flag: bidi }, action: block }]", 5, 48,
     "action: \"block\" is not one of allow"},
    {RULES, "rules: [{ id: r, when: { flag: bidi }, action: deny, reason: \"a,b\" }]", 5, 62,
     "reason: must consist of"},
    /* classifiers */
    {CLASSIFIERS, "classifiers: [{ id: guard, use: hed, model: m }]", 4, 33, "(did you mean \"head\"?)"},
    {CLASSIFIERS, "classifiers: [{ id: guard, model: m }]", 4, 15, "missing key \"use\""},
    {CLASSIFIERS, "classifiers: [" HEAD ", " HEAD "]", 4, 57,
     "id guard is taken by another classifier (line 4)"},
    {CLASSIFIERS, "classifiers: [{ id: guard, use: head }]", 4, 15, "guard: use: head needs the key model"},
    {CLASSIFIERS, "classifiers: [" HEAD ", { id: y, use: yes_no, guidelines: { a: b } }]", 4, 51,
     "needs the key model"},
    {CLASSIFIERS, "classifiers: [" HEAD ", { id: y, use: yes_no, model: m }]", 4, 51,
     "needs guidelines or categories"},
    {CLASSIFIERS, "classifiers: [{ id: guard, use: head, model: m, guidelines: { a: b } }]", 4, 61,
     "guard: use: head takes no guidelines"},
    {CLASSIFIERS, "classifiers: [{ id: guard, use: head, model: m, files: [../lists/profanity.yaml] }]", 4,
     56, "guard: use: head takes no files"},
    {CLASSIFIERS, "classifiers: [" HEAD ", { id: w, use: lists }]", 4, 51,
     "w: use: lists needs the key files"},
    {CLASSIFIERS,
     "classifiers: [" HEAD ", { id: w, use: lists, model: m, files: [../lists/profanity.yaml] }]", 4, 79,
     "w: use: lists takes no model"},
    {CLASSIFIERS, "classifiers: [" HEAD ", { id: w, use: lists, files: [nowhere.yaml] }]", 4, 80,
     "policies/builtin/nowhere.yaml cannot be read: No such file"},
    {CLASSIFIERS,
     "classifiers: [" HEAD
     ", { id: w, use: lists, files: [../lists/profanity.yaml, ../lists/profanity.yaml] }]",
     4, 105, "files: ../lists/profanity.yaml is named twice"},
    {CLASSIFIERS, "classifiers: [" HEAD ", { id: w, use: lists, files: [{ a: b }] }]", 4, 80,
     "files: expected text, found a map"},
    {CLASSIFIERS, "classifiers: [{ id: guard, use: head, model: m, categories: [violence, spam] }]", 4, 72,
     "categories: guard cannot score spam"},
    {CLASSIFIERS, "classifiers: [{ id: guard, use: head, model: m, categories: [violence, violence] }]", 4,
     72, "categories: violence is named twice"},
    {CLASSIFIERS, "classifiers: [" HEAD ", { id: y, use: yes_no, model: m, categories: [spam] }]", 4, 96,
     "y cannot score spam (write a guideline for it)"},
    {CLASSIFIERS,
     "classifiers: [" HEAD
     ", { id: y, use: yes_no, model: m, categories: [violence], guidelines: { a: b } }]",
     4, 121, "guidelines: a is not in this classifier's categories"},
    {CLASSIFIERS, "classifiers: [" HEAD ", { id: y, use: yes_no, model: m, guidelines: { a: 5 } }]", 4, 100,
     "guidelines: expected text, found a number"},
    {CLASSIFIERS,
     "classifiers: [" HEAD ", { id: y, use: yes_no, model: m, guidelines: { child_safety: b } }]", 4, 97,
     "child_safety is reserved for hash lists"},
    {CLASSIFIERS, "classifiers: [" HEAD ", { id: n, use: open_nsfw }]", 4, 51,
     "n looks only at images, which the policy does not apply to"},
    {APPLIES, "applies: { scopes: [upload] }", 4, 14,
     "no classifier can look at images (add one or set applies: { modalities: [text] })"},
    {APPLIES, "applies: { modalities: [text, image] }", 3, 24, "no classifier can look at images"},
    /* rules across keys */
    {RULES, RULE("category: voilence, min: 0.5"), 5, 36,
     "category: voilence is unknown (did you mean \"violence\"?)"},
    {RULES, RULE("category: weather, min: 0.5"), 5, 36, "category: weather is unknown"},
    {CLASSIFIERS, "classifiers: [{ id: guard, use: head, model: m, categories: [toxicity] }]", 5, 36,
     "no classifier of this policy can score violence"},
    {RULES, RULE("category: violence"), 5, 36, "category: needs min or max"},
    {RULES, RULE("min: 0.5, flag: bidi"), 5, 31, "min and max need a category"},
    {RULES, RULE("category: violence, min: 0.5, max: 0.4"), 5, 61,
     "max is below min: the rule can never match"},
    {RULES, "rules: [{ id: r, when: {}, action: deny }]", 5, 24,
     "when: needs a category, flag, scope or kind"},
    {RULES, RULE("kind: image"), 5, 32,
     "kind: the policy does not apply to images: the rule can never match"},
    {RULES, RULE("flag: [bidi, alpha]"), 5, 32, "flag: some of text and some of images: no part has both"},
    {RULES, RULE("flag: animated"), 5, 32, "flag: the rule can never match"},
    {RULES, RULE("scope: tool"), 5, 33, "scope: outside of what the policy applies to"},
    {RULES, TWO_RULES("when: { flag: bidi }, action: deny", "when: { flag: alpha }, action: deny"), 7, 28,
     "flag: the rule can never match"},
    {RULES, "rules: [{ id: r, when: { flag: bidi }, action: redact }]", 5, 48,
     "action: redact needs a category"},
    {DEFAULT, "default: deny\nrules2: x", 7, 1, "unknown key \"rules2\" (did you mean \"rules\"?)"},
    {RULES,
     TWO_RULES("when: { flag: bidi }, action: deny", "when: { flag: bidi, scope: prompt }, action: review"),
     7, 5, "rule b can never decide: a (line 6) matches whenever it does and wins"},
    {RULES,
     TWO_RULES("when: { category: violence, min: 0.9 }, action: review",
               "when: { category: any, min: 0.5 }, action: deny"),
     6, 5, "rule a can never decide: b (line 7)"},
    {DEFAULT, "default: deny\nname: q", 7, 1, "duplicate key name (first at line 2)"},
    {RULES,
     "rules:\n  - { id: a, when: { flag: bidi }, action: deny }\n  - { id: a, when: { kind: text }, action: "
     "deny }",
     7, 11, "id a is taken by another rule (line 6)"},
    /* examples */
    {MORE, EXAMPLE("expect: block"), 7, 35, "expect: \"block\" is not one of allow, deny"},
    {MORE, "examples: [{ text: hello }]", 7, 12, "missing key \"expect\""},
    {MORE, EXAMPLE("expect: allow, scope: tool"), 7, 49, "the policy does not apply to the scope tool"},
    {MORE, EXAMPLE("expect: flag"), 7, 35, "no rule leads to the action flag"},
    {MORE, "examples: { text: hello }", 7, 11, "examples: expected a list, found a map"},
};

static void assemble(const struct mistake *m, char *out, size_t size) {
    size_t used = 0;
    for (int i = 0; i < BASE_LINES; i++) {
        used += (size_t)snprintf(out + used, size - used, "%s\n", m->replaces == i + 1 ? m->text : base[i]);
    }
    if (m->replaces == MORE) {
        used += (size_t)snprintf(out + used, size - used, "%s\n", m->text);
    }
    assert_true(used < size);
}

static bool says(const struct config_report *report, const struct mistake *m) {
    char place[sizeof HERE + 32];
    (void)snprintf(place, sizeof place, HERE ":%u:%u: ", m->line, m->column);
    const char *line = config_report_count(report) == 1 ? config_report_line(report, 0) : "";
    return strncmp(line, place, strlen(place)) == 0 && strstr(line, m->message) != NULL;
}

static void test_names_line_column_and_reason_of_each_mistake(void **state) {
    (void)state;
    size_t bad = 0;
    for (size_t i = 0; i < sizeof mistakes / sizeof *mistakes; i++) {
        const struct mistake *m = &mistakes[i];
        char text[2048];
        struct policy *policy = NULL;
        struct config_report report = {0};
        assemble(m, text, sizeof text);
        int rc = load(text, &policy, &report);
        if (rc != POLICY_E_INVALID || policy != NULL || !says(&report, m)) {
            bad++;
            print_error("%s\n  expected %u:%u: %s\n", m->text, m->line, m->column, m->message);
        }
        for (size_t k = 0; k < config_report_count(&report) && !says(&report, m); k++) {
            print_error("  found    %s\n", config_report_line(&report, k));
        }
        config_report_deinit(&report);
        policy_free(policy);
    }
    assert_int_equal(bad, 0);
}

static void test_takes_the_policy_that_the_mistakes_are_made_in(void **state) {
    (void)state;
    char text[2048];
    struct policy *policy = NULL;
    struct config_report report = {0};
    const struct mistake none = {.replaces = 0};
    assemble(&none, text, sizeof text);
    assert_int_equal(load(text, &policy, &report), 0);
    assert_int_equal(config_report_count(&report), 0);
    policy_free(policy);
}

#define WHOLE "schema: buckler.policy/1\nname: p\n"
#define NSFW "classifiers: [" HEAD ", { id: n, use: open_nsfw }]\n"

struct whole_mistake {
    const char *text;
    const char *message; /* of the only line, behind the file's name */
};

/* Mistakes that need more than one line of the small policy changed. */
static const struct whole_mistake whole_mistakes[] = {
    {WHOLE NSFW "rules: [{ id: r, when: { category: violence, min: 0.5, kind: image }, action: deny "
                "}]\ndefault: allow\n",
     ":4:62: violence is scored on text only: the rule can never match"},
    {WHOLE NSFW "rules: [{ id: r, when: { category: sexually_explicit, min: 0.5, flag: bidi, kind: image }, "
                "action: deny }]\n"
                "default: allow\n",
     ":4:71: flag: the rule can never match"},
    {WHOLE NSFW
     "rules: [{ id: r, when: { category: sexually_explicit, min: 0.5 }, action: redact }]\ndefault: allow\n",
     ":4:75: action: redact works on text (add kind: text)"},
    {WHOLE NSFW "rules: [{ id: r, when: { kind: image }, action: review }]\ndefault: deny\n",
     ":4:49: action: weaker than default: deny, the rule can never decide"},
    {WHOLE "applies: { modalities: image }\nclassifiers: [{ id: n, use: open_nsfw }]\n"
           "rules: [{ id: r, when: { kind: image }, action: review }]\ndefault: allow\n"
           "examples: [{ text: hi, expect: allow }]\n",
     ":7:12: examples are text, which the policy does not apply to"},
    {WHOLE "classifiers: []\nrules: [{ id: r, when: { category: any, min: 0.5 }, action: review }]\ndefault: "
           "allow\n",
     ":4:36: category: the policy has no classifier that scores anything"},
    {WHOLE "classifiers: [" HEAD
           ", { id: l, use: lists, files: [/nowhere/l.yaml] }, { id: n, use: open_nsfw }]\n"
           "rules: [{ id: r, when: { category: own, min: 0.5 }, action: deny }]\ndefault: allow\n",
     ":3:80: files: /nowhere/l.yaml cannot be read"}, /* and not: own is unknown */
};

static void test_names_mistakes_between_the_parts_of_a_policy(void **state) {
    (void)state;
    size_t bad = 0;
    for (size_t i = 0; i < sizeof whole_mistakes / sizeof *whole_mistakes; i++) {
        struct policy *policy = NULL;
        struct config_report report = {0};
        int rc = load(whole_mistakes[i].text, &policy, &report);
        const char *line =
            config_report_count(&report) == 1 ? config_report_line(&report, 0) : HERE " not one problem";
        if (rc != POLICY_E_INVALID ||
            strncmp(line + strlen(HERE), whole_mistakes[i].message, strlen(whole_mistakes[i].message)) != 0) {
            bad++;
            print_error("%s  expected %s\n  found    %s\n", whole_mistakes[i].text, whole_mistakes[i].message,
                        line);
        }
        config_report_deinit(&report);
        policy_free(policy);
    }
    assert_int_equal(bad, 0);
}

static void test_refuses_more_categories_than_a_policy_holds(void **state) {
    (void)state;
    char text[8192];
    size_t used = (size_t)snprintf(text, sizeof text,
                                   WHOLE "applies: { modalities: text }\nclassifiers:\n"
                                         "  - id: y\n    use: yes_no\n    model: m\n    guidelines:\n");
    for (int i = 0; i < POLICY_MAX_CATEGORIES; i++) {
        used += (size_t)snprintf(text + used, sizeof text - used, "      own%d: The text must not.\n", i);
    }
    (void)snprintf(text + used, sizeof text - used,
                   "rules: [{ id: r, when: { flag: bidi }, action: deny }]\ndefault: allow\n");
    struct policy *policy = NULL;
    struct config_report report = {0};
    assert_int_equal(load(text, &policy, &report), POLICY_E_INVALID);
    assert_int_equal(config_report_count(&report), 1);
    assert_string_equal(config_report_line(&report, 0),
                        HERE ":5:3: 76 categories with the built-in ones, at most 64");
    config_report_deinit(&report);
}

static void test_refuses_a_path_that_it_could_not_show(void **state) {
    (void)state;
    char text[2048];
    char path[600];
    const struct mistake none = {.replaces = 0};
    struct policy *policy = NULL;
    struct config_report report = {0};
    memset(path, 'p', sizeof path - 1);
    path[sizeof path - 1] = '\0';
    assemble(&none, text, sizeof text);
    assert_int_equal(policy_load_memory(path, text, strlen(text), &policy, &report), POLICY_E_INVALID);
    assert_int_equal(config_report_count(&report), 1);
    config_report_deinit(&report);
}

static void test_reports_wrong_values_and_cross_checks_in_one_run(void **state) {
    (void)state;
    static const char text[] = "schema: buckler.policy/1\nname: P\n"
                               "classifiers: [{ id: guard, use: head }]\n"
                               "rules: [{ id: r, when: { category: voilence, min: 2 }, action: deny }]\n"
                               "default: allow\n";
    static const char *const expected[] = {":2:7: name", ":3:14: no classifier can look at images",
                                           ":3:15: guard: use: head needs the key model",
                                           ":4:36: category: voilence", ":4:51: min: expected"};
    struct policy *policy = NULL;
    struct config_report report = {0};
    assert_int_equal(load(text, &policy, &report), POLICY_E_INVALID);
    assert_int_equal(config_report_count(&report), 5);
    for (size_t i = 0; i < 5; i++) {
        assert_non_null(strstr(config_report_line(&report, i), expected[i]));
    }
    config_report_deinit(&report);
}

static const char full[] =
    "schema: buckler.policy/1\n"
    "name: house.rules-1\n"
    "description: All that there is.\n"
    "applies: { scopes: [response, upload], modalities: [text, image] }\n"
    "classifiers:\n"
    "  - { id: guard, use: head, model: buckler-guard }\n"
    "  - id: house\n"
    "    use: yes_no\n"
    "    model: shieldgemma-2b\n"
    "    guidelines:\n"
    "      medical: The text must not give dosage instructions.\n"
    "      violence: The text must not glorify violence.\n"
    "  - { id: words, use: lists, files: [../lists/profanity.yaml] }\n"
    "  - { id: nsfw, use: open_nsfw, categories: [sexually_explicit] }\n"
    "rules:\n"
    "  - { id: a, when: { category: medical, min: 0.8, max: 0.95 }, action: deny, reason: MED }\n"
    "  - { id: b, when: { category: any, min: 0.3, flag: [bidi, combining], scope: upload, kind: text }, "
    "action: review }\n"
    "  - { id: c, when: { flag: animated }, action: flag }\n"
    "  - { id: d, when: { category: profanity, min: 0.5 }, action: redact }\n"
    "default: allow\n"
    "on_error: { default: review, overloaded: deny }\n"
    "uncovered: deny\n"
    "deadline_ms: 1500\n"
    "replace_invalid_utf8: true\n"
    "audit: { content: none, retention: 180d }\n"
    "examples:\n"
    "  - { text: hello, expect: allow }\n"
    "  - { text: bad, scope: upload, expect: deny }\n"
    "  - { text: so so, expect: redact }\n";

static void check_classifiers(const struct policy *p) {
    assert_int_equal(p->classifier_count, 4);
    assert_string_equal(p->classifiers[0].use, "head");
    assert_string_equal(p->classifiers[0].model, "buckler-guard");
    assert_int_equal(p->classifiers[0].line, 6);
    assert_int_equal(p->classifiers[0].column, 5);
    assert_int_equal(p->classifiers[0].kinds, 1u << CONTENT_TEXT);
    assert_int_equal(p->classifiers[1].guideline_count, 2);
    assert_string_equal(p->classifiers[1].guidelines[0].category, "medical");
    assert_string_equal(p->classifiers[1].guidelines[1].text, "The text must not glorify violence.");
    assert_int_equal(p->classifiers[2].file_count, 1);
    assert_string_equal(p->classifiers[2].files[0],
                        BUCKLER_SOURCE_DIR "/policies/builtin/../lists/profanity.yaml");
    assert_string_equal(p->classifiers[2].lists[0]->category, "profanity");
    assert_int_equal(p->classifiers[3].category_count, 1);
    assert_string_equal(p->classifiers[3].categories[0], "sexually_explicit");
    assert_int_equal(p->classifiers[3].kinds, 1u << CONTENT_IMAGE);
}

static void check_rules(const struct policy *p) {
    assert_int_equal(p->rule_count, 4);
    assert_string_equal(p->rules[0].id, "a");
    assert_string_equal(p->rules[0].reason, "MED");
    assert_int_equal(p->rules[0].category, POLICY_BUILTIN_CATEGORY_COUNT);
    assert_int_equal(p->rules[0].min_ppm, 800000);
    assert_int_equal(p->rules[0].max_ppm, 950000);
    assert_int_equal(p->rules[0].action, ACTION_DENY);
    assert_int_equal(p->rules[1].category, POLICY_ANY_CATEGORY);
    assert_int_equal(p->rules[1].max_ppm, SCORE_ONE);
    assert_int_equal(p->rules[1].flags, FLAG_BIDI | FLAG_COMBINING);
    assert_int_equal(p->rules[1].scopes, 1u << SCOPE_UPLOAD);
    assert_int_equal(p->rules[1].kinds, 1u << CONTENT_TEXT);
    assert_int_equal(p->rules[2].category, POLICY_NO_CATEGORY);
    assert_int_equal(p->rules[2].line, 18);
    assert_int_equal(p->rules[3].category, policy_category(p, "profanity"));
}

static void test_fills_every_field(void **state) {
    (void)state;
    struct policy *p = NULL;
    struct config_report report = {0};
    int rc = load(full, &p, &report);
    assert_int_equal(config_report_count(&report), 0);
    assert_int_equal(rc, 0);
    assert_string_equal(p->name, "house.rules-1");
    assert_string_equal(p->description, "All that there is.");
    assert_string_equal(p->file, HERE);
    assert_int_equal(p->scopes, 1u << SCOPE_RESPONSE | 1u << SCOPE_UPLOAD);
    assert_int_equal(p->kinds, 1u << CONTENT_TEXT | 1u << CONTENT_IMAGE);
    assert_int_equal(p->category_count, POLICY_BUILTIN_CATEGORY_COUNT + 1);
    assert_string_equal(p->categories[0], "hate_speech");
    assert_string_equal(p->categories[POLICY_BUILTIN_CATEGORY_COUNT], "medical");
    assert_int_equal(policy_category(p, "medical"), POLICY_BUILTIN_CATEGORY_COUNT);
    assert_int_equal(policy_category(p, "weather"), POLICY_NO_CATEGORY);
    check_classifiers(p);
    check_rules(p);
    assert_int_equal(p->default_action, ACTION_ALLOW);
    assert_int_equal(p->on_error[FAILURE_DEFAULT], ACTION_REVIEW);
    assert_int_equal(p->on_error[FAILURE_OVERLOADED], ACTION_DENY);
    assert_int_equal(p->on_error[FAILURE_INTERNAL], ACTION_REVIEW);
    assert_int_equal(p->uncovered, ACTION_DENY);
    assert_int_equal(p->deadline_ms, 1500);
    assert_true(p->replace_invalid_utf8);
    assert_int_equal(p->audit_content, AUDIT_CONTENT_NONE);
    assert_true(p->audit_retention_ns == UINT64_C(180) * 86400 * 1000000000);
    assert_int_equal(p->example_count, 3);
    assert_string_equal(p->examples[0].text, "hello");
    assert_int_equal(p->examples[0].scope, SCOPE_RESPONSE);
    assert_int_equal(p->examples[0].expect, ACTION_INVALID);
    assert_true(p->examples[0].expect_allow);
    assert_int_equal(p->examples[1].scope, SCOPE_UPLOAD);
    assert_false(p->examples[1].expect_allow);
    assert_int_equal(p->examples[2].expect, ACTION_REDACT);
    assert_true(p->examples[2].expect_allow);
    assert_int_equal(p->examples[2].line, 29);
    policy_free(p);
}

static void test_denies_by_default_when_something_breaks(void **state) {
    (void)state;
    char text[2048];
    struct policy *p = NULL;
    struct config_report report = {0};
    const struct mistake none = {.replaces = 0};
    assemble(&none, text, sizeof text);
    assert_int_equal(load(text, &p, &report), 0);
    for (int i = 0; i < FAILURE_COUNT; i++) {
        assert_int_equal(p->on_error[i], ACTION_DENY);
    }
    assert_int_equal(p->uncovered, ACTION_REVIEW);
    assert_int_equal(p->deadline_ms, 2000);
    assert_false(p->replace_invalid_utf8);
    policy_free(p);
}

static void test_digest_is_that_of_the_digests_of_all_files(void **state) {
    (void)state;
    uint8_t parts[2 * DIGEST_BYTES];
    uint8_t all[DIGEST_BYTES];
    char hex[DIGEST_HEX_SIZE];
    struct policy *p = NULL;
    struct config_report report = {0};
    struct error error = {0};
    assert_int_equal(load(full, &p, &report), 0);
    assert_int_equal(digest_sha256(full, strlen(full), parts), 0);
    assert_int_equal(
        digest_file(BUCKLER_SOURCE_DIR "/policies/lists/profanity.yaml", parts + DIGEST_BYTES, &error), 0);
    assert_int_equal(digest_sha256(parts, sizeof parts, all), 0);
    hex_encode(all, sizeof all, hex);
    assert_string_equal(p->digest, hex);
    policy_free(p);
}

static void test_reports_the_mistakes_of_a_list_file_under_its_own_name(void **state) {
    (void)state;
    static const char folder[] = BUCKLER_BINARY_DIR "/policies-list-test";
    (void)mkdir(folder, 0700);
    FILE *file = fopen(BUCKLER_BINARY_DIR "/policies-list-test/bad.yaml", "w");
    assert_non_null(file);
    assert_true(fputs("schema: buckler.list/1\nname: bad\ncategory: rude\nentries: [5]\n", file) >= 0);
    assert_int_equal(fclose(file), 0);
    static const char text[] =
        "schema: buckler.policy/1\nname: p\napplies: { modalities: text }\n"
        "classifiers: [{ id: w, use: lists, files: [bad.yaml] }]\n"
        "rules: [{ id: r, when: { category: rude, min: 0.5 }, action: deny }]\ndefault: allow\n";
    struct policy *p = NULL;
    struct config_report report = {0};
    char path[sizeof folder + 16];
    (void)snprintf(path, sizeof path, "%s/p.yaml", folder);
    assert_int_equal(policy_load_memory(path, text, strlen(text), &p, &report), POLICY_E_INVALID);
    assert_int_equal(config_report_count(&report), 1);
    assert_non_null(
        strstr(config_report_line(&report, 0), "policies-list-test/bad.yaml:4:11: entries: expected text"));
    config_report_deinit(&report);
}

/* Found by the fuzzer: nothing at all, so no classifiers to walk over. */
static void test_refuses_an_empty_file(void **state) {
    (void)state;
    struct policy *p = NULL;
    struct config_report report = {0};
    assert_int_equal(load("", &p, &report), POLICY_E_INVALID);
    assert_int_equal(config_report_count(&report), 1);
    assert_string_equal(config_report_line(&report, 0), HERE ":1:1: the file holds nothing");
    config_report_deinit(&report);
}

static void test_reports_a_file_that_is_not_there(void **state) {
    (void)state;
    struct policy *p = NULL;
    struct config_report report = {0};
    assert_int_equal(policy_load("/nowhere/p.yaml", &p, &report), POLICY_E_INVALID);
    assert_string_equal(config_report_line(&report, 0),
                        "/nowhere/p.yaml:1:1: cannot be read: No such file or directory");
    config_report_deinit(&report);
}

static void test_loads_every_shipped_policy(void **state) {
    (void)state;
    static const char *const names[] = {"default", "chat-prompt", "chat-response", "uploads", "strict"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[512];
        struct policy *p = NULL;
        struct config_report report = {0};
        (void)snprintf(path, sizeof path, BUCKLER_SOURCE_DIR "/policies/builtin/%s.yaml", names[i]);
        int rc = policy_load(path, &p, &report);
        for (size_t k = 0; k < config_report_count(&report); k++) {
            print_error("%s\n", config_report_line(&report, k));
        }
        assert_int_equal(rc, 0);
        assert_string_equal(p->name, names[i]);
        assert_true(p->example_count >= 2);
        assert_int_equal(p->on_error[FAILURE_INTERNAL], ACTION_DENY);
        assert_false(action_allows(p->uncovered));
        policy_free(p);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_takes_the_policy_that_the_mistakes_are_made_in),
        cmocka_unit_test(test_names_line_column_and_reason_of_each_mistake),
        cmocka_unit_test(test_names_mistakes_between_the_parts_of_a_policy),
        cmocka_unit_test(test_refuses_more_categories_than_a_policy_holds),
        cmocka_unit_test(test_refuses_a_path_that_it_could_not_show),
        cmocka_unit_test(test_reports_wrong_values_and_cross_checks_in_one_run),
        cmocka_unit_test(test_fills_every_field),
        cmocka_unit_test(test_denies_by_default_when_something_breaks),
        cmocka_unit_test(test_digest_is_that_of_the_digests_of_all_files),
        cmocka_unit_test(test_reports_the_mistakes_of_a_list_file_under_its_own_name),
        cmocka_unit_test(test_refuses_an_empty_file),
        cmocka_unit_test(test_reports_a_file_that_is_not_there),
        cmocka_unit_test(test_loads_every_shipped_policy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
