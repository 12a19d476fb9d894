/* SPDX-License-Identifier: Apache-2.0
 *
 * Frame 0 of a reply, as ipc/PROTOCOL.md states it. Written with jansson; scores are parts per million inside
 * and six decimals on the wire.
 */
#include <jansson.h>
#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "daemon/request.h"

enum { REAL_DIGITS = 9 };

static void set(json_t *object, const char *key, json_t *value) {
    /* Only memory can run out; reply_json checks the whole at its end by the keys that must be there. */
    (void)json_object_set_new(object, key, value);
}

static json_t *score_value(int32_t ppm) {
    return json_real((double)ppm / SCORE_ONE);
}

static const char *state_name(enum score_state state) {
    static const char *const names[] = {"error", "executed", "skipped", "timed_out", "error"};
    return names[state <= SCORE_ERROR ? state : 0];
}

static json_t *one_score(const struct request *r, const struct score *s) {
    const struct policy *policy = r->policy->policy;
    json_t *one =
        json_pack("{s:s, s:i, s:s, s:s}", "category", policy->categories[s->category], "part", (int)s->part,
                  "classifier", policy->classifiers[s->classifier].id, "state", state_name(s->state));
    if (one == NULL) {
        return NULL;
    }
    if (s->state == SCORE_EXECUTED) {
        set(one, "score", score_value(s->ppm));
    }
    if (s->has_raw && (r->in.want & IPC_WANT_RAW) != 0) {
        double raw = 0;
        memcpy(&raw, &s->raw_bits, sizeof raw);
        if (isfinite(raw)) {
            set(one, "raw", json_real(raw));
        }
    }
    if ((r->in.want & IPC_WANT_SPANS) != 0 && s->evidence[0] != '\0') {
        set(one, "evidence", json_string(s->evidence));
        if (s->span_end > s->span_start) {
            set(one, "span", json_pack("[i, i]", (int)s->span_start, (int)s->span_end));
        }
    }
    return one;
}

static json_t *decided_by(const struct request *r) {
    const struct policy *policy = r->policy->policy;
    const struct policy_decision *d = &r->decision;
    static const char *const names[] = {"default", "uncovered", "on_error"};
    json_t *by = json_object();
    if (d->rule >= 0) {
        const struct policy_rule *rule = &policy->rules[d->rule];
        set(by, "rule", json_string(rule->id));
        if (rule->reason[0] != '\0') {
            set(by, "reason", json_string(rule->reason));
        }
        set(by, "threshold", score_value(rule->min_ppm));
    } else {
        set(by, "rule", json_string(names[-1 - d->rule]));
    }
    if (d->score >= 0) {
        set(by, "category", json_string(policy->categories[r->scores[d->score].category]));
        set(by, "score", score_value(r->scores[d->score].ppm));
    }
    if (d->part >= 0) {
        set(by, "part", json_integer(d->part));
    }
    return by;
}

static json_t *coverage(const struct request *r) {
    json_t *parts = json_array();
    for (unsigned i = 0; i < r->in.part_count; i++) {
        const struct classifier_coverage *c = &r->coverage[i];
        json_t *one =
            json_pack("{s:[I, I]}", "bytes", (json_int_t)c->bytes_judged, (json_int_t)r->in.parts[i].size);
        if (r->in.parts[i].kind == CONTENT_TEXT) {
            set(one, "tokens",
                json_pack("[I, I]", (json_int_t)c->tokens_judged, (json_int_t)c->tokens_total));
        } else {
            const struct canonical_image *image = &r->decode[i].part.image;
            set(one, "frames", json_pack("[i, i]", (int)image->frames_judged, (int)image->frames_total));
        }
        (void)json_array_append_new(parts, one);
    }
    return json_pack("{s:b, s:o}", "complete", r->decision.complete, "parts", parts);
}

static json_t *flags(const struct request *r) {
    uint32_t all = 0;
    json_t *list = json_array();
    for (unsigned i = 0; i < r->in.part_count; i++) {
        all |= r->decode[i].part.flags;
    }
    for (unsigned bit = 0; bit < FLAG_COUNT; bit++) {
        if ((all & 1u << bit) != 0) {
            (void)json_array_append_new(list, json_string(flag_name(bit)));
        }
    }
    return list;
}

static json_t *timing(const struct request *r) {
    return json_pack("{s:f, s:f, s:f, s:f, s:f}", "decode_ms", (double)r->stage_ns[STAGE_DECODE] / 1e6,
                     "plan_ms", (double)r->stage_ns[STAGE_PLAN] / 1e6, "score_ms",
                     (double)r->stage_ns[STAGE_SCORE] / 1e6, "record_ms",
                     (double)r->stage_ns[STAGE_RECORD] / 1e6, "total_ms",
                     (double)(clock_monotonic_ns() - r->received_ns) / 1e6);
}

static void add_judgement(const struct request *r, json_t *reply) {
    json_t *scores = json_array();
    for (size_t i = 0; i < r->score_count; i++) {
        (void)json_array_append_new(scores, one_score(r, &r->scores[i]));
    }
    set(reply, "scores", scores);
    set(reply, "coverage", coverage(r));
    set(reply, "flags", flags(r));
}

static void add_policy(const struct request *r, json_t *reply) {
    const struct policy *policy = r->policy->policy;
    char name[POLICY_NAME_SIZE + 16];
    (void)snprintf(name, sizeof name, "%s@%.12s", policy->name, policy->digest);
    set(reply, "policy", json_string(name));
    set(reply, "generation", json_integer(r->generation->number));
    set(reply, "decided_by", decided_by(r));
}

/* The first reply again, under this request's id; `audit` stays that of the first record. */
static char *replay_json(const struct request *r) {
    json_t *reply = json_loads(r->replay, 0, NULL);
    set(reply, "id", json_string(r->in.id));
    set(reply, "replayed", json_true());
    char *text = json_dumps(reply, JSON_COMPACT | JSON_REAL_PRECISION(REAL_DIGITS));
    json_decref(reply);
    return text;
}

char *reply_json(const struct request *r) {
    if (r->replay != NULL && !r->failed) {
        return replay_json(r);
    }
    json_t *reply =
        json_pack("{s:s, s:i, s:s, s:s, s:b, s:s}", "id", r->in.id, "status", (int)r->status, "code", r->code,
                  "verdict", action_allows(r->decision.action) ? "allow" : "deny", "moderated", !r->failed,
                  "action", action_name(r->decision.action));
    if (reply == NULL) {
        return NULL;
    }
    set(reply, "tenant", json_string(r->in.tenant));
    if (r->policy != NULL) {
        add_policy(r, reply);
    }
    if (r->failed) {
        set(reply, "detail", json_string(r->detail));
    } else {
        add_judgement(r, reply);
    }
    if (r->retry_after_ms > 0) {
        set(reply, "retry_after_ms", json_integer(r->retry_after_ms));
    }
    if (r->in.traceparent[0] != '\0') {
        set(reply, "traceparent", json_string(r->in.traceparent));
    }
    if ((r->in.want & IPC_WANT_TIMING) != 0) {
        set(reply, "timing", timing(r));
    }
    set(reply, "audit",
        r->durable ? json_pack("{s:I, s:b}", "index", (json_int_t)r->audit_index, "durable", 1)
                   : json_pack("{s:b}", "durable", 0));
    if (r->proof != NULL) {
        json_t *audit = json_object_get(reply, "audit");
        set(audit, "leaf", json_string(r->proof_leaf));
        set(audit, "proof", json_string(r->proof));
    }
    char *text = json_dumps(reply, JSON_COMPACT | JSON_REAL_PRECISION(REAL_DIGITS));
    json_decref(reply);
    return text;
}
