/* SPDX-License-Identifier: Apache-2.0
 *
 * What is wrong with rules: conditions that say nothing, that can never be true, or that can never decide.
 */
#include <stdio.h>
#include <string.h>

#include "policies/check.h"

enum {
    FLAGS_OF_TEXT = FLAG_ZERO_WIDTH | FLAG_BIDI | FLAG_TAG_CHARACTERS | FLAG_MIXED_SCRIPT |
                    FLAG_COMPATIBILITY | FLAG_COMBINING | FLAG_CONTROL_TOKEN | FLAG_SPACED_LETTERS |
                    FLAG_INVALID_UTF8 | FLAG_ENCODED_TEXT,
    FLAGS_OF_IMAGES = FLAG_TRAILING_DATA | FLAG_ANIMATED | FLAG_TRUNCATED | FLAG_ALPHA | FLAG_EXTREME_ASPECT,
};

static bool is_given(struct config_where where) {
    return where.line != 0;
}

static void check_rule_id(const struct check *k, const struct source_rule *r) {
    for (const struct source_rule *other = k->source->rules; other < r; other++) {
        if (r->id[0] != '\0' && strcmp(other->id, r->id) == 0) {
            CHECK_PROBLEM(k, r->id_where, "id %s is taken by another rule (line %u)", r->id,
                          other->id_where.line);
            return;
        }
    }
}

static void check_says_something(const struct check *k, const struct source_rule *r) {
    bool anything = is_given(r->category_where) || is_given(r->flags_where) || is_given(r->scopes_where) ||
                    is_given(r->kinds_where);
    if (is_given(r->when_where) && !anything) {
        CHECK_PROBLEM(k, r->when_where, "when: needs a category, flag, scope or kind");
    }
}

static void check_bounds(const struct check *k, const struct source_rule *r) {
    bool bounded = is_given(r->min_where) || is_given(r->max_where);
    if (bounded && !is_given(r->category_where)) {
        CHECK_PROBLEM(k, is_given(r->min_where) ? r->min_where : r->max_where,
                      "min and max need a category (or category: any)");
    } else if (!bounded && is_given(r->category_where)) {
        CHECK_PROBLEM(k, r->category_where, "category: needs min or max (without them every score matches)");
    }
    if (is_given(r->min_where) && is_given(r->max_where) && r->min_ppm > r->max_ppm) {
        CHECK_PROBLEM(k, r->max_where, "max is below min: the rule can never match");
    }
}

static bool is_known(const struct policy_source *source, const char *category, const char **names,
                     size_t *ret_count) {
    *ret_count = source_category_names(source, names);
    *ret_count = *ret_count < POLICY_MAX_CATEGORIES ? *ret_count : POLICY_MAX_CATEGORIES;
    for (size_t i = 0; i < *ret_count; i++) {
        if (strcmp(names[i], category) == 0) {
            return true;
        }
    }
    return false;
}

static void check_category(const struct check *k, const struct source_rule *r) {
    const char *names[POLICY_MAX_CATEGORIES];
    size_t count = 0;
    if (r->category[0] == '\0' || check_category_kinds(k->source, r->category) != 0) {
        return;
    }
    if (strcmp(r->category, "any") == 0) {
        CHECK_PROBLEM(k, r->category_where, "category: the policy has no classifier that scores anything");
    } else if (is_known(k->source, r->category, names, &count)) {
        CHECK_PROBLEM(k, r->category_where, "category: no classifier of this policy can score %s",
                      r->category);
    } else {
        char scratch[128];
        CHECK_PROBLEM(k, r->category_where, "category: %s is unknown%s", r->category,
                      config_nearest(r->category, names, count, scratch, sizeof scratch));
    }
}

/* The kinds of content on which the rule could match; 0 only for a reason that is reported elsewhere. */
static uint32_t reachable_kinds(const struct check *k, const struct source_rule *r) {
    uint32_t kinds = k->kinds & (r->kinds != 0 ? r->kinds : CHECK_ALL_KINDS);
    if ((r->flags & FLAGS_OF_TEXT) != 0) {
        kinds &= 1u << CONTENT_TEXT;
    }
    if ((r->flags & FLAGS_OF_IMAGES) != 0) {
        kinds &= 1u << CONTENT_IMAGE;
    }
    uint32_t scored = r->category[0] != '\0' ? check_category_kinds(k->source, r->category) : CHECK_ALL_KINDS;
    return scored != 0 ? kinds & scored : kinds;
}

static void check_reachable(const struct check *k, const struct source_rule *r) {
    if (r->kinds != 0 && (r->kinds & k->kinds) == 0) {
        CHECK_PROBLEM(k, r->kinds_where, "kind: the policy does not apply to %s: the rule can never match",
                      check_kind_word(r->kinds));
    } else if ((r->flags & FLAGS_OF_TEXT) != 0 && (r->flags & FLAGS_OF_IMAGES) != 0) {
        CHECK_PROBLEM(k, r->flags_where, "flag: some of text and some of images: no part has both");
    } else if (r->flags != 0 && (reachable_kinds(k, r) == 0)) {
        CHECK_PROBLEM(k, r->flags_where,
                      "flag: the rule can never match (text flags and image flags need such parts)");
    } else if (reachable_kinds(k, r) == 0) {
        struct config_where at = is_given(r->kinds_where) ? r->kinds_where : r->category_where;
        CHECK_PROBLEM(k, at, "%s is scored on %s only: the rule can never match", r->category,
                      check_kind_word(check_category_kinds(k->source, r->category)));
    }
    if (r->scopes != 0 && k->source->scopes != 0 && (r->scopes & k->source->scopes) == 0) {
        CHECK_PROBLEM(k, r->scopes_where,
                      "scope: outside of what the policy applies to: the rule can never match");
    }
}

static void check_redact(const struct check *k, const struct source_rule *r) {
    if (r->action != ACTION_REDACT) {
        return;
    }
    if (!is_given(r->category_where)) {
        CHECK_PROBLEM(k, r->action_where,
                      "action: redact needs a category (its evidence is what is blacked out)");
    } else if ((reachable_kinds(k, r) & 1u << CONTENT_IMAGE) != 0) {
        CHECK_PROBLEM(k, r->action_where, "action: redact works on text (add kind: text)");
    }
}

static void check_stronger_than_default(const struct check *k, const struct source_rule *r) {
    if (r->action != ACTION_INVALID && k->source->default_action != ACTION_INVALID &&
        r->action < k->source->default_action) {
        CHECK_PROBLEM(k, r->action_where, "action: weaker than default: %s, the rule can never decide",
                      action_name(k->source->default_action));
    }
}

static bool contains(uint32_t outer, uint32_t inner) {
    return outer == 0 || (inner != 0 && (inner & ~outer) == 0);
}

/* Whether `a` matches whatever `b` matches. */
static bool matches_all_of(const struct source_rule *a, const struct source_rule *b) {
    bool category =
        strcmp(a->category, b->category) == 0 || (strcmp(a->category, "any") == 0 && b->category[0] != '\0');
    return category && a->min_ppm <= b->min_ppm && a->max_ppm >= b->max_ppm && (a->flags & ~b->flags) == 0 &&
           contains(a->scopes, b->scopes) && contains(a->kinds, b->kinds);
}

static void check_overtaken(const struct check *k, const struct source_rule *r) {
    const struct source_rule *end = k->source->rules + k->source->rule_count;
    for (const struct source_rule *other = k->source->rules; other < end; other++) {
        bool wins = other->action > r->action || (other->action == r->action && other < r);
        if (other != r && r->action != ACTION_INVALID && wins && matches_all_of(other, r)) {
            CHECK_PROBLEM(k, r->where,
                          "rule %s can never decide: %s (line %u) matches whenever it does and wins", r->id,
                          other->id, other->where.line);
            return;
        }
    }
}

void check_rules(const struct check *k) {
    for (size_t i = 0; i < k->source->rule_count; i++) {
        const struct source_rule *r = &k->source->rules[i];
        size_t before = k->report->found;
        check_rule_id(k, r);
        check_says_something(k, r);
        check_bounds(k, r);
        check_category(k, r);
        check_reachable(k, r);
        check_redact(k, r);
        check_stronger_than_default(k, r);
        if (k->report->found == before) {
            check_overtaken(k, r);
        }
    }
}
