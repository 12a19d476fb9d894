/* SPDX-License-Identifier: Apache-2.0
 *
 * What only several keys together can get wrong, about classifiers, the policy and its examples;
 * check_rules.c has the rules. One small function each. They run also when single keys were wrong, so every
 * one keeps silent about a value that is missing because it was refused before.
 */
#include "policies/check.h"

#include <stdio.h>
#include <string.h>

static bool is_builtin(const char *category) {
    for (size_t i = 0; i < POLICY_BUILTIN_CATEGORY_COUNT; i++) {
        if (strcmp(policy_builtin_categories[i], category) == 0) {
            return true;
        }
    }
    return false;
}

static bool has_guideline(const struct source_classifier *c, const char *category) {
    for (size_t i = 0; i < c->guideline_count; i++) {
        if (strcmp(c->guidelines[i].category, category) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_listed(const struct source_classifier *c, const char *category) {
    for (size_t i = 0; i < c->category_count; i++) {
        if (strcmp(c->categories[i].name, category) == 0) {
            return true;
        }
    }
    return false;
}

static bool has_list(const struct source_classifier *c, const char *category) {
    bool unknown = c->file_count == 0;
    for (size_t i = 0; i < c->file_count; i++) {
        if (c->files[i].list == NULL) {
            unknown = true; /* a list that could not be loaded may have held anything */
        } else if (strcmp(c->files[i].list->category, category) == 0) {
            return true;
        }
    }
    return unknown;
}

/* Whether this kind of classifier knows the category, `categories` aside. */
static bool can_know(const struct source_classifier *c, const char *category) {
    switch (c->use) {
    case USE_HEAD:
        return is_builtin(category);
    case USE_YES_NO:
        return has_guideline(c, category) || (is_listed(c, category) && is_builtin(category));
    case USE_LISTS:
        return has_list(c, category);
    case USE_OPEN_NSFW:
        return strcmp(category, "sexually_explicit") == 0;
    default:
        return true;
    }
}

static bool can_score(const struct source_classifier *c, const char *category) {
    return can_know(c, category) && (c->category_count == 0 || is_listed(c, category));
}

uint32_t check_classifier_kinds(const struct source_classifier *c) {
    return c->use != USE_INVALID ? source_uses[c->use].kinds : CHECK_ALL_KINDS;
}

uint32_t check_category_kinds(const struct policy_source *source, const char *category) {
    bool any = strcmp(category, "any") == 0;
    uint32_t kinds = 0;
    for (size_t i = 0; i < source->classifier_count; i++) {
        if (any || can_score(&source->classifiers[i], category)) {
            kinds |= check_classifier_kinds(&source->classifiers[i]);
        }
    }
    return kinds;
}

/* ---- categories ---- */

static size_t add_name(const char **names, size_t count, const char *name) {
    for (size_t i = 0; i < count && i < POLICY_MAX_CATEGORIES; i++) {
        if (strcmp(names[i], name) == 0) {
            return count;
        }
    }
    if (count < POLICY_MAX_CATEGORIES) {
        names[count] = name;
    }
    return count + 1;
}

size_t source_category_names(const struct policy_source *source,
                             const char *ret_names[POLICY_MAX_CATEGORIES]) {
    size_t count = POLICY_BUILTIN_CATEGORY_COUNT;
    memcpy(ret_names, policy_builtin_categories, count * sizeof *ret_names);
    for (size_t i = 0; i < source->classifier_count; i++) {
        const struct source_classifier *c = &source->classifiers[i];
        for (size_t k = 0; k < c->guideline_count; k++) {
            count = c->guidelines[k].category[0] != '\0'
                        ? add_name(ret_names, count, c->guidelines[k].category)
                        : count;
        }
        for (size_t k = 0; k < c->file_count; k++) {
            count = c->files[k].list != NULL ? add_name(ret_names, count, c->files[k].list->category) : count;
        }
    }
    return count;
}

static void check_category_count(const struct check *k) {
    const char *names[POLICY_MAX_CATEGORIES];
    size_t count = source_category_names(k->source, names);
    if (count > POLICY_MAX_CATEGORIES) {
        CHECK_PROBLEM(k, k->source->classifiers_where, "%zu categories with the built-in ones, at most %d",
                      count, POLICY_MAX_CATEGORIES);
    }
}

/* ---- classifiers ---- */

static void check_classifier_id(const struct check *k, const struct source_classifier *c) {
    for (const struct source_classifier *other = k->source->classifiers; other < c; other++) {
        if (c->id[0] != '\0' && strcmp(other->id, c->id) == 0) {
            CHECK_PROBLEM(k, c->id_where, "id %s is taken by another classifier (line %u)", c->id,
                          other->id_where.line);
            return;
        }
    }
}

/* A key that the kind of classifier needs or does not take. */
static void check_key(const struct check *k, const struct source_classifier *c, const char *key, bool takes,
                      struct config_where where) {
    const char *use = source_uses[c->use].name;
    if (takes && where.line == 0) {
        CHECK_PROBLEM(k, c->where, "%s: use: %s needs the key %s", c->id, use, key);
    } else if (!takes && where.line != 0) {
        CHECK_PROBLEM(k, where, "%s: use: %s takes no %s", c->id, use, key);
    }
}

static void check_classifier_keys(const struct check *k, const struct source_classifier *c) {
    if (c->use == USE_INVALID) {
        return;
    }
    const struct source_use_info *info = &source_uses[c->use];
    check_key(k, c, "model", info->takes_model, c->model_where);
    check_key(k, c, "files", info->takes_files, c->files_where);
    if (info->takes_guidelines && c->guidelines_where.line == 0 && c->categories_where.line == 0) {
        CHECK_PROBLEM(k, c->where, "%s: use: %s needs guidelines or categories", c->id, info->name);
    } else if (!info->takes_guidelines) {
        check_key(k, c, "guidelines", false, c->guidelines_where);
    }
}

static void check_restriction(const struct check *k, const struct source_classifier *c) {
    for (size_t i = 0; i < c->category_count; i++) {
        const struct source_name *category = &c->categories[i];
        if (category->name[0] == '\0') {
            continue;
        }
        for (size_t j = 0; j < i; j++) {
            if (strcmp(c->categories[j].name, category->name) == 0) {
                CHECK_PROBLEM(k, category->where, "categories: %s is named twice", category->name);
            }
        }
        if (!can_know(c, category->name)) {
            CHECK_PROBLEM(k, category->where, "categories: %s cannot score %s%s", c->id, category->name,
                          c->use == USE_YES_NO ? " (write a guideline for it)" : "");
        }
    }
}

static void check_guidelines_listed(const struct check *k, const struct source_classifier *c) {
    for (size_t i = 0; c->category_count > 0 && i < c->guideline_count; i++) {
        if (c->guidelines[i].category[0] != '\0' && !is_listed(c, c->guidelines[i].category)) {
            CHECK_PROBLEM(k, c->guidelines[i].where, "guidelines: %s is not in this classifier's categories",
                          c->guidelines[i].category);
        }
    }
}

static void check_files(const struct check *k, const struct source_classifier *c) {
    for (size_t i = 0; i < c->file_count; i++) {
        for (size_t j = 0; j < i; j++) {
            if (c->files[i].path != NULL && c->files[j].path != NULL &&
                strcmp(c->files[i].path, c->files[j].path) == 0) {
                CHECK_PROBLEM(k, c->files[i].where, "files: %s is named twice", c->files[i].path);
            }
        }
    }
}

static void check_classifier_has_work(const struct check *k, const struct source_classifier *c) {
    if ((check_classifier_kinds(c) & k->kinds) == 0) {
        CHECK_PROBLEM(k, c->where, "%s looks only at %s, which the policy does not apply to", c->id,
                      check_kind_word(check_classifier_kinds(c)));
    }
}

/* ---- the policy ---- */

static void check_kinds_judged(const struct check *k) {
    bool kinds_refused = k->source->kinds_where.line != 0 && k->source->kinds == 0;
    if (k->source->classifiers_where.line == 0 || k->source->classifier_count == 0 || kinds_refused) {
        return;
    }
    uint32_t missing = k->kinds & ~check_category_kinds(k->source, "any");
    if (missing != 0) {
        bool restricted = k->source->kinds_where.line != 0;
        CHECK_PROBLEM(k, restricted ? k->source->kinds_where : k->source->classifiers_where,
                      "no classifier can look at %s (add one or set applies: { modalities: [%s] })",
                      check_kind_word(missing), missing == 1u << CONTENT_IMAGE ? "text" : "image");
    }
}

/* ---- examples ---- */

static bool leads_to(const struct policy_source *source, enum action action) {
    if (source->default_action == action || source->uncovered == action) {
        return true;
    }
    for (size_t i = 0; i < source->rule_count; i++) {
        if (source->rules[i].action == action || source->rules[i].action == ACTION_INVALID) {
            return true;
        }
    }
    return source->default_action == ACTION_INVALID;
}

static void check_example_scope(const struct check *k, const struct source_example *e) {
    if (e->scope != SCOPE_INVALID && k->source->scopes != 0 && (k->source->scopes >> e->scope & 1u) == 0) {
        CHECK_PROBLEM(k, e->scope_where, "the policy does not apply to the scope %s",
                      content_scope_name(e->scope));
    }
}

static void check_example_expectation(const struct check *k, const struct source_example *e) {
    static const enum action actions[] = {
        [EXPECT_FLAG] = ACTION_FLAG, [EXPECT_REDACT] = ACTION_REDACT, [EXPECT_REVIEW] = ACTION_REVIEW};
    if (e->expect >= EXPECT_FLAG && !leads_to(k->source, actions[e->expect])) {
        CHECK_PROBLEM(k, e->expect_where, "no rule leads to the action %s", action_name(actions[e->expect]));
    }
}

static void check_examples_apply(const struct check *k) {
    if (k->source->example_count > 0 && (k->kinds & 1u << CONTENT_TEXT) == 0) {
        CHECK_PROBLEM(k, k->source->examples[0].where,
                      "examples are text, which the policy does not apply to");
    }
}

const char *check_kind_word(uint32_t kinds) {
    return kinds == 1u << CONTENT_TEXT ? "text" : kinds == 1u << CONTENT_IMAGE ? "images" : "text and images";
}

void policy_check(const struct policy_source *source, const char *file, struct config_report *report) {
    const struct check k = {.source = source,
                            .file = file,
                            .report = report,
                            .kinds = source->kinds != 0 ? source->kinds : CHECK_ALL_KINDS};
    for (size_t i = 0; i < source->classifier_count; i++) {
        const struct source_classifier *c = &source->classifiers[i];
        check_classifier_id(&k, c);
        check_classifier_keys(&k, c);
        check_restriction(&k, c);
        check_guidelines_listed(&k, c);
        check_files(&k, c);
        check_classifier_has_work(&k, c);
    }
    check_category_count(&k);
    check_kinds_judged(&k);
    check_rules(&k);
    check_examples_apply(&k);
    for (size_t i = 0; i < source->example_count; i++) {
        check_example_scope(&k, &source->examples[i]);
        check_example_expectation(&k, &source->examples[i]);
    }
}
