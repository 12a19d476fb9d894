/* SPDX-License-Identifier: Apache-2.0
 *
 * policy + scores → decision. Pure: an audit repeats it years later with the same code.
 */
#include "policies/policy.h"

static bool has_bit(uint32_t set, unsigned index) {
    return set == 0 || (index < 32 && (set >> index & 1u) != 0);
}

/* A number that may be compared with thresholds, about something that exists. */
static bool score_is_sound(const struct policy *policy, const struct policy_input *input,
                           const struct score *score) {
    return score->state == SCORE_EXECUTED && score->ppm >= 0 && score->ppm <= SCORE_ONE &&
           score->category < policy->category_count && score->part < input->part_count &&
           score->classifier < policy->classifier_count;
}

static bool rule_takes_part(const struct policy_rule *rule, const struct policy_input *input, size_t part) {
    const struct policy_part *p = &input->parts[part];
    return p->judged && has_bit(rule->kinds, p->kind) && (p->flags & rule->flags) == rule->flags;
}

static bool rule_takes_score(const struct policy_rule *rule, const struct score *score) {
    return (rule->category == POLICY_ANY_CATEGORY || rule->category == score->category) &&
           score->ppm >= rule->min_ppm && score->ppm <= rule->max_ppm;
}

/* The matching score that is reported: the highest, then the lowest part, then the first. Returns -1 when
 * none matches. */
static int best_score(const struct policy *policy, const struct policy_rule *rule,
                      const struct policy_input *input) {
    int best = -1;
    for (size_t i = 0; i < input->score_count; i++) {
        const struct score *score = &input->scores[i];
        if (!score_is_sound(policy, input, score) || !rule_takes_part(rule, input, score->part) ||
            !rule_takes_score(rule, score)) {
            continue;
        }
        const struct score *held = best >= 0 ? &input->scores[best] : NULL;
        if (held == NULL || score->ppm > held->ppm || (score->ppm == held->ppm && score->part < held->part)) {
            best = (int)i;
        }
    }
    return best;
}

static int first_part(const struct policy_rule *rule, const struct policy_input *input) {
    for (size_t i = 0; i < input->part_count; i++) {
        if (rule_takes_part(rule, input, i)) {
            return (int)i;
        }
    }
    return -1;
}

static bool rule_matches(const struct policy *policy, const struct policy_rule *rule,
                         const struct policy_input *input, int *ret_score, int *ret_part) {
    if (!has_bit(rule->scopes, input->scope)) {
        return false;
    }
    *ret_score = -1;
    if (rule->category == POLICY_NO_CATEGORY) {
        *ret_part = first_part(rule, input);
    } else {
        *ret_score = best_score(policy, rule, input);
        *ret_part = *ret_score >= 0 ? (int)input->scores[*ret_score].part : -1;
    }
    return *ret_part >= 0;
}

/* Asked when all scores of judged parts are known to be sound. */
static bool part_is_scored(const struct policy_input *input, size_t part) {
    for (size_t i = 0; i < input->score_count; i++) {
        if (input->scores[i].part == part) {
            return true;
        }
    }
    return false;
}

static bool part_is_covered(const struct policy *policy, const struct policy_input *input, size_t part) {
    const struct policy_part *p = &input->parts[part];
    return p->complete && has_bit(policy->kinds, p->kind) && p->kind != CONTENT_INVALID &&
           (policy->classifier_count == 0 || part_is_scored(input, part));
}

static bool is_complete(const struct policy *policy, const struct policy_input *input) {
    if (!has_bit(policy->scopes, input->scope) || input->scope == SCOPE_INVALID) {
        return false;
    }
    for (size_t i = 0; i < input->score_count; i++) {
        const struct score *score = &input->scores[i];
        bool is_context = score->part < input->part_count && !input->parts[score->part].judged;
        if (!is_context && !score_is_sound(policy, input, score)) {
            return false;
        }
    }
    bool anything_judged = false;
    for (size_t i = 0; i < input->part_count; i++) {
        anything_judged = anything_judged || input->parts[i].judged;
        if (input->parts[i].judged && !part_is_covered(policy, input, i)) {
            return false;
        }
    }
    return anything_judged;
}

/* An action that nobody set, or that memory damage made up, denies. */
static enum action sane(enum action action) {
    return action > ACTION_INVALID && action < ACTION_COUNT ? action : ACTION_DENY;
}

void policy_decide(const struct policy *policy, const struct policy_input *input,
                   struct policy_decision *ret) {
    struct policy_decision d = {
        .action = sane(policy->default_action), .rule = POLICY_BY_DEFAULT, .score = -1, .part = -1};
    for (size_t i = 0; i < policy->rule_count; i++) {
        const struct policy_rule *rule = &policy->rules[i];
        enum action action = sane(rule->action);
        int score = -1;
        int part = -1;
        /* A rule takes over from the default also when it is as strong: it names the reason. */
        bool stronger = action > d.action || (action == d.action && d.rule == POLICY_BY_DEFAULT);
        if (stronger && rule_matches(policy, rule, input, &score, &part)) {
            d.action = action;
            d.rule = (int)i;
            d.score = score;
            d.part = part;
        }
    }
    d.complete = is_complete(policy, input);
    enum action uncovered = sane(policy->uncovered);
    if (!d.complete && uncovered > d.action) {
        d.action = uncovered;
        d.rule = POLICY_BY_UNCOVERED;
        d.score = -1;
        d.part = -1;
    }
    *ret = d;
}

void policy_decide_failure(const struct policy *policy, enum policy_failure failure,
                           struct policy_decision *ret) {
    enum policy_failure known = failure < FAILURE_COUNT ? failure : FAILURE_DEFAULT;
    *ret = (struct policy_decision){.action = sane(policy->on_error[known]),
                                    .rule = POLICY_BY_FAILURE,
                                    .score = -1,
                                    .part = -1,
                                    .complete = false};
}

const char *policy_failure_name(enum policy_failure failure) {
    static const char *const names[FAILURE_COUNT] = {"default",  "overloaded",         "decode_failed",
                                                     "deadline", "engine_unavailable", "audit_unavailable",
                                                     "internal"};
    return failure < FAILURE_COUNT ? names[failure] : NULL;
}
