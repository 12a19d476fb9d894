/* SPDX-License-Identifier: Apache-2.0
 *
 * The rules of the house: a policy is loaded from YAML, is constant afterwards, and decides with a pure
 * function. Loading reports every mistake at once as file:line:column. Vocabulary: base/vocabulary.h.
 */
#ifndef BUCKLER_POLICIES_POLICY_H
#define BUCKLER_POLICIES_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/vocabulary.h"
#include "config/config.h"

enum policy_error { POLICY_E_INVALID = 1 };

enum {
    POLICY_NAME_SIZE = 65,
    POLICY_MAX_CLASSIFIERS = 16,
    POLICY_MAX_CATEGORIES = 64,
    POLICY_MAX_RULES = 128,
    POLICY_MAX_EXAMPLES = 64,
    POLICY_ANY_CATEGORY = -1,
    POLICY_NO_CATEGORY = -2,
};

/* Categories 0…11 of every policy, in this order (`unsafe`: harm of any kind, whether or not one of the
 * others names it); ids that guidelines, lists or `categories:` define follow. */
extern const char *const policy_builtin_categories[];
enum { POLICY_BUILTIN_CATEGORY_COUNT = 12 };

struct policy_list;

struct policy_guideline {
    char category[POLICY_NAME_SIZE];
    char *text;
};

/* `use:` and what goes with it. Keys that a kind of classifier does not take are errors at load. */
struct policy_classifier {
    char id[POLICY_NAME_SIZE];
    char use[32];    /* "head", "yes_no", "lists", "open_nsfw" */
    char model[256]; /* name or path; "" when the kind takes none */
    size_t guideline_count;
    struct policy_guideline *guidelines;
    size_t file_count;
    char **files;               /* lists; absolute or relative to the policy's directory, resolved at load */
    struct policy_list **lists; /* [file_count]: what the files held when the digest was taken; list.h */
    size_t category_count;
    char (*categories)[POLICY_NAME_SIZE]; /* restricts what it may score; none: all it can */
    uint32_t kinds; /* bit (1 << enum content_kind): what this kind of classifier can look at */
    unsigned line, column;
};

struct policy_rule {
    char id[POLICY_NAME_SIZE];
    char reason[POLICY_NAME_SIZE]; /* "" when none */
    enum action action;
    int category;    /* index, POLICY_ANY_CATEGORY, or POLICY_NO_CATEGORY (flag alone) */
    int32_t min_ppm; /* matches when score >= min … */
    int32_t max_ppm; /* … and score <= max (1,000,000 when not given) */
    uint32_t flags;  /* all of these content flags must be set on the part; 0: none asked */
    uint32_t scopes; /* bit (1 << enum content_scope); 0: every scope */
    uint32_t kinds;  /* bit (1 << enum content_kind); 0: every kind */
    unsigned line, column;
};

struct policy_example {
    char *text;
    enum content_scope scope;
    enum action expect; /* ACTION_INVALID when `expect_verdict` is used (`expect: allow|deny` are verdicts) */
    bool expect_allow;
    unsigned line, column;
};

enum policy_failure { /* keys of on_error; each falls back to `default`, whose default is deny */
                      FAILURE_DEFAULT,
                      FAILURE_OVERLOADED,
                      FAILURE_DECODE_FAILED,
                      FAILURE_DEADLINE,
                      FAILURE_ENGINE_UNAVAILABLE,
                      FAILURE_AUDIT_UNAVAILABLE,
                      FAILURE_INTERNAL,
                      FAILURE_COUNT
};

enum policy_audit_content { AUDIT_CONTENT_INVALID, AUDIT_CONTENT_NONE, AUDIT_CONTENT_ENCRYPTED };

struct policy {
    char name[POLICY_NAME_SIZE];
    char description[512];
    char file[512];
    char digest[65]; /* lower-case hex of SHA-256(SHA-256(file) || SHA-256(list 1) || …), lists in order */
    uint32_t scopes, kinds; /* applies: bits as in rules; 0: all */
    size_t category_count;
    char categories[POLICY_MAX_CATEGORIES][POLICY_NAME_SIZE];
    size_t classifier_count;
    struct policy_classifier classifiers[POLICY_MAX_CLASSIFIERS];
    size_t rule_count;
    struct policy_rule rules[POLICY_MAX_RULES];
    enum action default_action;
    enum action on_error[FAILURE_COUNT];
    enum action uncovered; /* default: review */
    uint32_t deadline_ms;  /* default 2000 */
    bool replace_invalid_utf8;
    enum policy_audit_content audit_content;
    uint64_t audit_retention_ns; /* 0: as long as the log lives */
    size_t example_count;
    struct policy_example examples[POLICY_MAX_EXAMPLES];
};

/* Loads and checks one file. POLICY_E_INVALID: every mistake is in `report` (config/config.h). */
int policy_load(const char *path, struct policy **ret, struct config_report *report) MUST_CHECK;

/* The same from memory; `path` is used in messages and to resolve list files. */
int policy_load_memory(const char *path, const void *bytes, size_t size, struct policy **ret,
                       struct config_report *report) MUST_CHECK;
struct policy *policy_free(struct policy *policy);

/* Index of a category in this policy, or POLICY_NO_CATEGORY. */
int policy_category(const struct policy *policy, const char *id);

/* ---- the decision ---- */

enum score_state { SCORE_STATE_INVALID, SCORE_EXECUTED, SCORE_SKIPPED, SCORE_TIMED_OUT, SCORE_ERROR };

struct score {
    uint16_t category; /* index in the policy */
    uint16_t part;
    uint16_t classifier; /* index in the policy */
    enum score_state state;
    int32_t ppm;       /* calibrated, 0 … 1,000,000; SCORE_NONE unless executed */
    uint64_t raw_bits; /* the classifier's own number, as the bits of a double, for the record */
    bool has_raw;
    uint32_t span_start, span_end; /* raw bytes of the best evidence; 0, 0: the whole part */
    char evidence[64];             /* "list:slurs#12", "window 3 of clean"; "" */
};

struct policy_part {
    enum content_kind kind;
    uint32_t flags;
    bool judged;   /* false: context only */
    bool complete; /* all of it was judged */
};

struct policy_input {
    enum content_scope scope;
    const struct policy_part *parts;
    size_t part_count;
    const struct score *scores;
    size_t score_count;
};

enum { POLICY_BY_DEFAULT = -1, POLICY_BY_UNCOVERED = -2, POLICY_BY_FAILURE = -3 };

struct policy_decision {
    enum action action; /* never ACTION_INVALID */
    int rule;           /* index of the deciding rule; POLICY_BY_DEFAULT, …_UNCOVERED, …_FAILURE */
    int score;          /* index of the deciding score, or -1 */
    int part;           /* of the deciding score or flag, or -1 */
    bool complete;      /* every judged part was covered and every score executed */
};

/* Pure: no clock, no input or output, no allocation, no global. Same arguments, same decision, for ever.
 *
 * All rules are evaluated on the judged parts; the strongest action wins, ties by order of rules, then the
 * higher score, then the lower part index. `default` is the weakest outcome: a rule makes it stronger, never
 * weaker. So one more flag never weakens a decision, nor does one more score of a part that has one.
 *
 * Nothing that was not judged is let through by silence. The decision is at least `uncovered` when no part is
 * judged; when a judged part is not complete, is of a kind or scope that the policy does not apply to, or has
 * no executed score although the policy has classifiers; and when a score is not EXECUTED, out of range, or
 * points outside the policy or the parts. Hence a classifier writes a score for each category it can score
 * and each judged part it looks at, zeros included. */
void policy_decide(const struct policy *policy, const struct policy_input *input,
                   struct policy_decision *ret);

/* The decision when content could not be judged. */
void policy_decide_failure(const struct policy *policy, enum policy_failure failure,
                           struct policy_decision *ret);

const char *policy_failure_name(enum policy_failure failure);

#endif
