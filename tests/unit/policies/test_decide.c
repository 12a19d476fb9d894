/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "policies/policy.h"

enum { MAX_PARTS = 4, MAX_SCORES = 16 };

/* A policy that allows what no rule matches, with one text classifier and the built-in categories. */
static struct policy *new_policy(void) {
    struct policy *p = calloc(1, sizeof *p);
    assert_non_null(p);
    p->category_count = POLICY_BUILTIN_CATEGORY_COUNT;
    p->classifier_count = 1;
    p->default_action = ACTION_ALLOW;
    p->uncovered = ACTION_REVIEW;
    for (int i = 0; i < FAILURE_COUNT; i++) {
        p->on_error[i] = ACTION_DENY;
    }
    return p;
}

static struct policy_rule *add_rule(struct policy *p, int category, int32_t min_ppm, enum action action) {
    struct policy_rule *rule = &p->rules[p->rule_count++];
    *rule = (struct policy_rule){
        .category = category, .min_ppm = min_ppm, .max_ppm = SCORE_ONE, .action = action};
    return rule;
}

static struct policy_part text_part(void) {
    return (struct policy_part){.kind = CONTENT_TEXT, .judged = true, .complete = true};
}

static struct score executed(uint16_t category, uint16_t part, int32_t ppm) {
    return (struct score){.category = category, .part = part, .state = SCORE_EXECUTED, .ppm = ppm};
}

static struct policy_decision decide(const struct policy *p, const struct policy_part *parts,
                                     size_t part_count, const struct score *scores, size_t score_count) {
    struct policy_input input = {.scope = SCOPE_UPLOAD,
                                 .parts = parts,
                                 .part_count = part_count,
                                 .scores = scores,
                                 .score_count = score_count};
    struct policy_decision d;
    policy_decide(p, &input, &d);
    return d;
}

static void test_falls_back_to_the_default(void **state) {
    (void)state;
    struct policy *p = new_policy();
    struct policy_part part = text_part();
    struct score score = executed(0, 0, 100000);
    add_rule(p, 0, 500000, ACTION_DENY);
    struct policy_decision d = decide(p, &part, 1, &score, 1);
    assert_int_equal(d.action, ACTION_ALLOW);
    assert_int_equal(d.rule, POLICY_BY_DEFAULT);
    assert_int_equal(d.score, -1);
    assert_int_equal(d.part, -1);
    assert_true(d.complete);
    free(p);
}

struct threshold_case {
    int32_t min, max, ppm;
    bool matches;
};

static void test_compares_with_both_bounds_inclusive(void **state) {
    (void)state;
    static const struct threshold_case cases[] = {
        {800000, SCORE_ONE, 799999, false},   {800000, SCORE_ONE, 800000, true},
        {800000, SCORE_ONE, SCORE_ONE, true}, {0, 200000, 200000, true},
        {0, 200000, 200001, false},           {0, SCORE_ONE, 0, true},
        {SCORE_ONE, SCORE_ONE, 999999, false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct policy *p = new_policy();
        struct policy_part part = text_part();
        struct score score = executed(3, 0, cases[i].ppm);
        add_rule(p, 3, cases[i].min, ACTION_DENY)->max_ppm = cases[i].max;
        struct policy_decision d = decide(p, &part, 1, &score, 1);
        assert_int_equal(d.action, cases[i].matches ? ACTION_DENY : ACTION_ALLOW);
        free(p);
    }
}

static void test_the_strongest_action_wins_whatever_the_order(void **state) {
    (void)state;
    struct policy *p = new_policy();
    struct policy_part part = text_part();
    struct score score = executed(0, 0, 900000);
    add_rule(p, 0, 100000, ACTION_FLAG);
    add_rule(p, 0, 200000, ACTION_DENY);
    add_rule(p, 0, 300000, ACTION_REVIEW);
    add_rule(p, 0, 400000, ACTION_REDACT);
    struct policy_decision d = decide(p, &part, 1, &score, 1);
    assert_int_equal(d.action, ACTION_DENY);
    assert_int_equal(d.rule, 1);
    free(p);
}

static void test_ties_go_to_the_first_rule(void **state) {
    (void)state;
    struct policy *p = new_policy();
    struct policy_part part = text_part();
    struct score scores[] = {executed(1, 0, 990000), executed(0, 0, 600000)};
    add_rule(p, 0, 500000, ACTION_DENY);
    add_rule(p, 1, 500000, ACTION_DENY);
    struct policy_decision d = decide(p, &part, 1, scores, 2);
    assert_int_equal(d.rule, 0);
    assert_int_equal(d.score, 1);
    free(p);
}

static void test_ties_in_a_rule_go_to_the_higher_score_then_the_lower_part(void **state) {
    (void)state;
    struct policy *p = new_policy();
    struct policy_part parts[] = {text_part(), text_part(), text_part()};
    struct score scores[] = {executed(0, 2, 700000), executed(0, 1, 800000), executed(0, 0, 800000),
                             executed(0, 0, 800000)};
    add_rule(p, 0, 500000, ACTION_REVIEW);
    struct policy_decision d = decide(p, parts, 3, scores, 4);
    assert_int_equal(d.score, 2);
    assert_int_equal(d.part, 0);
    free(p);
}

static void test_any_matches_every_category(void **state) {
    (void)state;
    struct policy *p = new_policy();
    struct policy_part part = text_part();
    struct score score = executed(10, 0, 400000);
    add_rule(p, POLICY_ANY_CATEGORY, 300000, ACTION_REVIEW);
    assert_int_equal(decide(p, &part, 1, &score, 1).rule, 0);
    free(p);
}

static void test_a_rule_asks_for_all_of_its_flags_on_the_same_part(void **state) {
    (void)state;
    struct policy *p = new_policy();
    struct policy_part parts[] = {text_part(), text_part()};
    struct score scores[] = {executed(0, 0, 900000), executed(0, 1, 100000)};
    add_rule(p, 0, 500000, ACTION_DENY)->flags = FLAG_BIDI | FLAG_COMBINING;
    parts[0].flags = FLAG_BIDI;
    parts[1].flags = FLAG_BIDI | FLAG_COMBINING;
    assert_int_equal(decide(p, parts, 2, scores, 2).action, ACTION_ALLOW);
    parts[0].flags |= FLAG_COMBINING | FLAG_ZERO_WIDTH;
    assert_int_equal(decide(p, parts, 2, scores, 2).action, ACTION_DENY);
    free(p);
}

static void test_a_rule_without_category_matches_the_part_alone(void **state) {
    (void)state;
    struct policy *p = new_policy();
    struct policy_part parts[] = {text_part(), text_part()};
    struct score scores[] = {executed(0, 0, 0), executed(0, 1, 0)};
    add_rule(p, POLICY_NO_CATEGORY, 0, ACTION_DENY)->flags = FLAG_TAG_CHARACTERS;
    assert_int_equal(decide(p, parts, 2, scores, 2).action, ACTION_ALLOW);
    parts[1].flags = FLAG_TAG_CHARACTERS;
    struct policy_decision d = decide(p, parts, 2, scores, 2);
    assert_int_equal(d.action, ACTION_DENY);
    assert_int_equal(d.part, 1);
    assert_int_equal(d.score, -1);
    free(p);
}

static void test_a_rule_keeps_to_its_scopes_and_kinds(void **state) {
    (void)state;
    struct policy *p = new_policy();
    struct policy_part part = text_part();
    struct score score = executed(0, 0, 900000);
    struct policy_rule *rule = add_rule(p, 0, 500000, ACTION_DENY);
    rule->scopes = 1u << SCOPE_PROMPT;
    assert_int_equal(decide(p, &part, 1, &score, 1).action, ACTION_ALLOW);
    rule->scopes = 1u << SCOPE_PROMPT | 1u << SCOPE_UPLOAD;
    assert_int_equal(decide(p, &part, 1, &score, 1).action, ACTION_DENY);
    rule->kinds = 1u << CONTENT_IMAGE;
    assert_int_equal(decide(p, &part, 1, &score, 1).action, ACTION_ALLOW);
    part.kind = CONTENT_IMAGE;
    assert_int_equal(decide(p, &part, 1, &score, 1).action, ACTION_DENY);
    free(p);
}

static void test_context_is_not_judged(void **state) {
    (void)state;
    struct policy *p = new_policy();
    struct policy_part parts[] = {text_part(), text_part()};
    struct score scores[] = {executed(0, 0, 900000), executed(0, 1, 0)};
    add_rule(p, 0, 500000, ACTION_DENY);
    parts[0].judged = false;
    parts[0].complete = false;
    struct policy_decision d = decide(p, parts, 2, scores, 2);
    assert_int_equal(d.action, ACTION_ALLOW);
    assert_true(d.complete);
    free(p);
}

static void test_default_is_the_weakest_outcome(void **state) {
    (void)state;
    struct policy *p = new_policy();
    struct policy_part part = text_part();
    struct score score = executed(0, 0, 900000);
    p->default_action = ACTION_REVIEW;
    add_rule(p, 0, 500000, ACTION_FLAG);
    struct policy_decision d = decide(p, &part, 1, &score, 1);
    assert_int_equal(d.action, ACTION_REVIEW);
    assert_int_equal(d.rule, POLICY_BY_DEFAULT);
    add_rule(p, 0, 500000, ACTION_REVIEW);
    assert_int_equal(decide(p, &part, 1, &score, 1).rule, 1);
    free(p);
}

/* ---- nothing unjudged passes ---- */

static void expect_uncovered(const struct policy *p, const struct policy_part *part,
                             const struct score *score) {
    struct policy_decision d = decide(p, part, 1, score, score != NULL ? 1 : 0);
    assert_false(d.complete);
    assert_int_equal(d.action, ACTION_REVIEW);
    assert_int_equal(d.rule, POLICY_BY_UNCOVERED);
    assert_int_equal(d.score, -1);
    assert_int_equal(d.part, -1);
}

static void test_a_score_that_is_none_never_allows(void **state) {
    (void)state;
    struct policy *p = new_policy();
    struct policy_part part = text_part();
    static const enum score_state states[] = {SCORE_STATE_INVALID, SCORE_SKIPPED, SCORE_TIMED_OUT,
                                              SCORE_ERROR, (enum score_state)77};
    static const int32_t values[] = {SCORE_NONE, INT32_MIN, SCORE_ONE + 1, INT32_MAX};
    add_rule(p, POLICY_ANY_CATEGORY, 0, ACTION_FLAG); /* matches whatever counts as a score */
    for (size_t i = 0; i < sizeof states / sizeof *states; i++) {
        struct score score = executed(0, 0, 0);
        score.state = states[i];
        expect_uncovered(p, &part, &score);
    }
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        struct score score = executed(0, 0, values[i]);
        expect_uncovered(p, &part, &score);
    }
    free(p);
}

static void test_a_score_of_nothing_known_never_allows(void **state) {
    (void)state;
    struct policy *p = new_policy();
    struct policy_part part = text_part();
    struct score category = executed(POLICY_BUILTIN_CATEGORY_COUNT, 0, 0);
    struct score other_part = executed(0, 1, 0);
    struct score classifier = executed(0, 0, 0);
    classifier.classifier = 1;
    expect_uncovered(p, &part, &category);
    expect_uncovered(p, &part, &other_part);
    expect_uncovered(p, &part, &classifier);
    free(p);
}

static void test_one_bad_score_beside_good_ones_is_enough(void **state) {
    (void)state;
    struct policy *p = new_policy();
    struct policy_part part = text_part();
    struct score scores[] = {executed(0, 0, 10), executed(1, 0, SCORE_NONE), executed(2, 0, 10)};
    struct policy_decision d = decide(p, &part, 1, scores, 3);
    assert_int_equal(d.rule, POLICY_BY_UNCOVERED);
    assert_int_equal(d.action, ACTION_REVIEW);
    free(p);
}

static void test_a_part_that_was_not_judged_in_full_never_allows(void **state) {
    (void)state;
    struct policy *p = new_policy();
    struct policy_part part = text_part();
    struct score score = executed(0, 0, 0);
    expect_uncovered(p, &part, NULL); /* no score at all */
    part.complete = false;
    expect_uncovered(p, &part, &score);
    part = text_part();
    part.kind = CONTENT_INVALID;
    expect_uncovered(p, &part, &score);
    part = text_part();
    p->kinds = 1u << CONTENT_IMAGE;
    expect_uncovered(p, &part, &score);
    part.kind = (enum content_kind)40; /* beyond every bit */
    expect_uncovered(p, &part, &score);
    part = text_part();
    p->kinds = 0;
    p->scopes = 1u << SCOPE_TOOL;
    expect_uncovered(p, &part, &score);
    free(p);
}

static void test_a_request_without_scope_never_allows(void **state) {
    (void)state;
    struct policy *p = new_policy();
    struct policy_part part = text_part();
    struct score score = executed(0, 0, 0);
    const struct policy_input input = {
        .scope = SCOPE_INVALID, .parts = &part, .part_count = 1, .scores = &score, .score_count = 1};
    struct policy_decision d;
    policy_decide(p, &input, &d);
    assert_int_equal(d.rule, POLICY_BY_UNCOVERED);
    assert_int_equal(d.action, ACTION_REVIEW);
    free(p);
}

static void test_nothing_judged_never_allows(void **state) {
    (void)state;
    struct policy *p = new_policy();
    struct policy_part part = text_part();
    part.judged = false;
    expect_uncovered(p, &part, NULL);
    struct policy_decision d = decide(p, NULL, 0, NULL, 0);
    assert_int_equal(d.rule, POLICY_BY_UNCOVERED);
    free(p);
}

static void test_a_policy_without_classifiers_decides_by_flags(void **state) {
    (void)state;
    struct policy *p = new_policy();
    struct policy_part part = text_part();
    p->classifier_count = 0;
    add_rule(p, POLICY_NO_CATEGORY, 0, ACTION_DENY)->flags = FLAG_BIDI;
    struct policy_decision d = decide(p, &part, 1, NULL, 0);
    assert_int_equal(d.action, ACTION_ALLOW);
    assert_true(d.complete);
    part.flags = FLAG_BIDI;
    assert_int_equal(decide(p, &part, 1, NULL, 0).action, ACTION_DENY);
    free(p);
}

static void test_a_stronger_rule_stays_when_content_is_uncovered(void **state) {
    (void)state;
    struct policy *p = new_policy();
    struct policy_part parts[] = {text_part(), text_part()};
    struct score score = executed(0, 0, 900000);
    add_rule(p, 0, 500000, ACTION_DENY);
    struct policy_decision d = decide(p, parts, 2, &score, 1);
    assert_int_equal(d.action, ACTION_DENY);
    assert_int_equal(d.rule, 0);
    assert_false(d.complete);
    free(p);
}

static void test_an_action_that_nobody_set_denies(void **state) {
    (void)state;
    struct policy *p = new_policy();
    struct policy_part part = text_part();
    struct score score = executed(0, 0, 900000);
    struct policy_decision d;
    p->default_action = ACTION_INVALID;
    assert_int_equal(decide(p, &part, 1, &score, 1).action, ACTION_DENY);
    p->default_action = ACTION_ALLOW;
    add_rule(p, 0, 500000, (enum action)99);
    assert_int_equal(decide(p, &part, 1, &score, 1).action, ACTION_DENY);
    p->on_error[FAILURE_INTERNAL] = ACTION_INVALID;
    policy_decide_failure(p, FAILURE_INTERNAL, &d);
    assert_int_equal(d.action, ACTION_DENY);
    free(p);
}

static void test_failures_take_the_policys_choice(void **state) {
    (void)state;
    struct policy *p = new_policy();
    struct policy_decision d;
    p->on_error[FAILURE_DEFAULT] = ACTION_REVIEW;
    p->on_error[FAILURE_OVERLOADED] = ACTION_ALLOW;
    policy_decide_failure(p, FAILURE_OVERLOADED, &d);
    assert_int_equal(d.action, ACTION_ALLOW);
    assert_int_equal(d.rule, POLICY_BY_FAILURE);
    assert_int_equal(d.score, -1);
    assert_int_equal(d.part, -1);
    assert_false(d.complete);
    policy_decide_failure(p, FAILURE_COUNT, &d);
    assert_int_equal(d.action, ACTION_REVIEW);
    assert_string_equal(policy_failure_name(FAILURE_DECODE_FAILED), "decode_failed");
    assert_null(policy_failure_name(FAILURE_COUNT));
    free(p);
}

/* ---- properties, on random policies and inputs from a fixed sequence ---- */

static uint32_t next_random(uint64_t *sequence) {
    *sequence = *sequence * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(*sequence >> 33);
}

static uint32_t below(uint64_t *sequence, uint32_t bound) {
    return next_random(sequence) % bound;
}

static void random_policy(uint64_t *q, struct policy *p) {
    memset(p, 0, sizeof *p);
    p->category_count = 3;
    p->classifier_count = 2;
    p->default_action = (enum action)(ACTION_ALLOW + below(q, 5));
    p->uncovered = (enum action)(ACTION_ALLOW + below(q, 5));
    p->kinds = below(q, 3) == 0 ? 1u << CONTENT_TEXT : 0;
    for (uint32_t rules = below(q, 6); rules > 0; rules--) {
        struct policy_rule *rule =
            add_rule(p, (int)below(q, 5) - 2, 0, (enum action)(ACTION_ALLOW + below(q, 5)));
        rule->min_ppm = (int32_t)below(q, SCORE_ONE + 1);
        rule->max_ppm = below(q, 2) == 0 ? SCORE_ONE : rule->min_ppm + (int32_t)below(q, 300000);
        rule->flags = below(q, 3) == 0 ? 1u << below(q, 3) : 0;
        rule->kinds = below(q, 4) == 0 ? 1u << (1 + below(q, 2)) : 0;
        rule->scopes = below(q, 6) == 0 ? 1u << (1 + below(q, 5)) : 0;
    }
}

static struct score random_score(uint64_t *q) {
    struct score score = executed((uint16_t)below(q, 3), (uint16_t)below(q, MAX_PARTS), 0);
    score.classifier = (uint16_t)below(q, 2);
    score.ppm = (int32_t)below(q, SCORE_ONE + 1);
    if (below(q, 16) == 0) {
        score.state = (enum score_state)below(q, 6);
    }
    if (below(q, 32) == 0) {
        score.ppm = below(q, 2) == 0 ? SCORE_NONE : SCORE_ONE + 1;
    }
    return score;
}

struct world {
    struct policy policy;
    struct policy_part parts[MAX_PARTS];
    struct score scores[MAX_SCORES];
    size_t score_count;
};

static void random_world(uint64_t *q, struct world *w) {
    random_policy(q, &w->policy);
    for (int i = 0; i < MAX_PARTS; i++) {
        w->parts[i] = (struct policy_part){.kind = (enum content_kind)(1 + below(q, 2)),
                                           .flags = below(q, 8),
                                           .judged = below(q, 4) != 0,
                                           .complete = below(q, 8) != 0};
    }
    w->score_count = below(q, MAX_SCORES);
    for (size_t i = 0; i < w->score_count; i++) {
        w->scores[i] = random_score(q);
    }
}

static struct policy_decision decide_world(const struct world *w) {
    return decide(&w->policy, w->parts, MAX_PARTS, w->scores, w->score_count);
}

enum { ROUNDS = 100000 };

/* A part gets its first score at some point: judged at last, it is no longer `uncovered`. All later scores
 * may only make a decision stronger. */
static void test_one_more_score_never_weakens_a_decision_about_scored_parts(void **state) {
    (void)state;
    uint64_t q = 1;
    struct world *w = calloc(1, sizeof *w);
    assert_non_null(w);
    size_t stronger = 0;
    for (int round = 0; round < ROUNDS; round++) {
        random_world(&q, w);
        w->score_count =
            w->score_count > MAX_SCORES - 1 - MAX_PARTS ? MAX_SCORES - 1 - MAX_PARTS : w->score_count;
        for (uint16_t part = 0; part < MAX_PARTS; part++) {
            w->scores[w->score_count++] = executed(0, part, 0);
        }
        struct policy_decision before = decide_world(w);
        w->scores[w->score_count++] = random_score(&q);
        struct policy_decision after = decide_world(w);
        assert_true(after.action >= before.action);
        stronger += after.action > before.action;
    }
    assert_true(stronger > ROUNDS / 100);
    free(w);
}

static void test_one_more_flag_never_weakens_a_decision(void **state) {
    (void)state;
    uint64_t q = 2;
    struct world *w = calloc(1, sizeof *w);
    assert_non_null(w);
    for (int round = 0; round < ROUNDS; round++) {
        random_world(&q, w);
        struct policy_decision before = decide_world(w);
        w->parts[below(&q, MAX_PARTS)].flags |= 1u << below(&q, 3);
        assert_true(decide_world(w).action >= before.action);
    }
    free(w);
}

static void test_incomplete_is_never_weaker_than_uncovered_and_names_what_decided(void **state) {
    (void)state;
    uint64_t q = 3;
    struct world *w = calloc(1, sizeof *w);
    assert_non_null(w);
    size_t incomplete = 0;
    size_t complete = 0;
    for (int round = 0; round < ROUNDS; round++) {
        random_world(&q, w);
        struct policy_decision d = decide_world(w);
        assert_true(d.action > ACTION_INVALID && d.action < ACTION_COUNT);
        assert_true(d.complete || d.action >= w->policy.uncovered);
        assert_true(d.action >= w->policy.default_action);
        if (d.rule >= 0) {
            const struct policy_rule *rule = &w->policy.rules[d.rule];
            assert_int_equal(rule->action, d.action);
            assert_true(d.part >= 0 && w->parts[d.part].judged);
            assert_int_equal(d.score >= 0, rule->category != POLICY_NO_CATEGORY);
            assert_true(d.score < 0 || w->scores[d.score].ppm >= rule->min_ppm);
        } else {
            assert_true(d.score == -1 && d.part == -1);
        }
        incomplete += !d.complete;
        complete += d.complete;
    }
    assert_true(incomplete > ROUNDS / 100 && complete > ROUNDS / 1000);
    free(w);
}

static void test_the_same_arguments_give_the_same_decision_in_any_order_of_scores(void **state) {
    (void)state;
    uint64_t q = 4;
    struct world *w = calloc(1, sizeof *w);
    assert_non_null(w);
    for (int round = 0; round < ROUNDS; round++) {
        random_world(&q, w);
        struct policy_decision before = decide_world(w);
        for (size_t i = w->score_count; i > 1; i--) {
            size_t k = below(&q, (uint32_t)i);
            struct score held = w->scores[i - 1];
            w->scores[i - 1] = w->scores[k];
            w->scores[k] = held;
        }
        struct policy_decision after = decide_world(w);
        assert_int_equal(after.action, before.action);
        assert_int_equal(after.rule, before.rule);
        assert_int_equal(after.part, before.part);
        assert_int_equal(after.complete, before.complete);
    }
    free(w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_falls_back_to_the_default),
        cmocka_unit_test(test_compares_with_both_bounds_inclusive),
        cmocka_unit_test(test_the_strongest_action_wins_whatever_the_order),
        cmocka_unit_test(test_ties_go_to_the_first_rule),
        cmocka_unit_test(test_ties_in_a_rule_go_to_the_higher_score_then_the_lower_part),
        cmocka_unit_test(test_any_matches_every_category),
        cmocka_unit_test(test_a_rule_asks_for_all_of_its_flags_on_the_same_part),
        cmocka_unit_test(test_a_rule_without_category_matches_the_part_alone),
        cmocka_unit_test(test_a_rule_keeps_to_its_scopes_and_kinds),
        cmocka_unit_test(test_context_is_not_judged),
        cmocka_unit_test(test_default_is_the_weakest_outcome),
        cmocka_unit_test(test_a_score_that_is_none_never_allows),
        cmocka_unit_test(test_a_score_of_nothing_known_never_allows),
        cmocka_unit_test(test_one_bad_score_beside_good_ones_is_enough),
        cmocka_unit_test(test_a_part_that_was_not_judged_in_full_never_allows),
        cmocka_unit_test(test_a_request_without_scope_never_allows),
        cmocka_unit_test(test_nothing_judged_never_allows),
        cmocka_unit_test(test_a_policy_without_classifiers_decides_by_flags),
        cmocka_unit_test(test_a_stronger_rule_stays_when_content_is_uncovered),
        cmocka_unit_test(test_an_action_that_nobody_set_denies),
        cmocka_unit_test(test_failures_take_the_policys_choice),
        cmocka_unit_test(test_one_more_score_never_weakens_a_decision_about_scored_parts),
        cmocka_unit_test(test_one_more_flag_never_weakens_a_decision),
        cmocka_unit_test(test_incomplete_is_never_weaker_than_uncovered_and_names_what_decided),
        cmocka_unit_test(test_the_same_arguments_give_the_same_decision_in_any_order_of_scores),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
