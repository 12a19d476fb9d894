/* SPDX-License-Identifier: Apache-2.0
 *
 * The audit record of a verdict: canonical JSON (keys sorted by bytes, no insignificant space, integers
 * only), content as keyed commitments, never in clear. buckler-audit(5) states the fields.
 */
#include <inttypes.h>
#include <jansson.h>
#include <string.h>

#include "daemon/request.h"

static void set(json_t *object, const char *key, json_t *value) {
    (void)json_object_set_new(object, key, value); /* record_json fails as a whole when a key is missing */
}

static json_t *flag_list(uint32_t flags) {
    json_t *list = json_array();
    for (unsigned bit = 0; bit < FLAG_COUNT; bit++) {
        if ((flags & 1u << bit) != 0) {
            (void)json_array_append_new(list, json_string(flag_name(bit)));
        }
    }
    return list;
}

static json_t *part_list(const struct request *r) {
    json_t *list = json_array();
    for (unsigned i = 0; i < r->in.part_count; i++) {
        const struct ipc_part *in = &r->in.parts[i];
        json_t *one =
            json_pack("{s:s, s:s, s:b, s:I}", "kind", content_kind_name(in->kind), "role",
                      content_role_name(in->role), "judge", in->judge, "bytes", (json_int_t)in->size);
        if (r->committed) {
            set(one, "commitment", json_string(r->commitments[i]));
        }
        if (!r->failed) {
            set(one, "flags", flag_list(r->decode[i].part.flags));
            set(one, "complete", json_boolean(r->policy_parts[i].complete));
            set(one, "bytes_judged", json_integer((json_int_t)r->coverage[i].bytes_judged));
            set(one, "tokens_judged", json_integer((json_int_t)r->coverage[i].tokens_judged));
            set(one, "tokens_total", json_integer((json_int_t)r->coverage[i].tokens_total));
        }
        (void)json_array_append_new(list, one);
    }
    return list;
}

static json_t *score_list(const struct request *r) {
    json_t *list = json_array();
    for (size_t i = 0; i < r->score_count; i++) {
        const struct score *s = &r->scores[i];
        json_t *one =
            json_pack("{s:s, s:i, s:i, s:i}", "category", r->policy->policy->categories[s->category], "part",
                      (int)s->part, "classifier", (int)s->classifier, "state", (int)s->state);
        if (s->state == SCORE_EXECUTED) {
            set(one, "ppm", json_integer(s->ppm));
        }
        if (s->has_raw) {
            char bits[17];
            (void)snprintf(bits, sizeof bits, "%016" PRIx64, s->raw_bits);
            set(one, "raw", json_string(bits));
        }
        if (s->ppm > 0 && s->evidence[0] != '\0') {
            set(one, "evidence", json_string(s->evidence));
        }
        (void)json_array_append_new(list, one);
    }
    return list;
}

static json_t *classifier_list(const struct request *r) {
    json_t *list = json_array();
    for (size_t i = 0; i < r->policy->policy->classifier_count; i++) {
        const struct bound_classifier *bound = &r->policy->classifiers[i];
        (void)json_array_append_new(list,
                                    json_pack("{s:s, s:s, s:b}", "id", r->policy->policy->classifiers[i].id,
                                              "provenance", bound->type->provenance(bound->instance), "ran",
                                              !r->failed && r->task_planned[i]));
    }
    return list;
}

static const char *rule_id(const struct request *r) {
    static const char *const names[] = {"default", "uncovered", "on_error"};
    return r->decision.rule >= 0 ? r->policy->policy->rules[r->decision.rule].id
                                 : names[-1 - r->decision.rule];
}

static void add_policy(const struct request *r, json_t *record) {
    set(record, "policy", json_string(r->policy->policy->name));
    set(record, "policy_digest", json_string(r->policy->policy->digest));
    set(record, "generation", json_integer(r->generation->number));
    set(record, "classifiers", classifier_list(r));
}

char *record_json(const struct request *r) {
    json_t *record = json_pack(
        "{s:s, s:s, s:s, s:I, s:I, s:i, s:s, s:s, s:s, s:b, s:s, s:s, s:I, s:o}", "type", "verdict", "tenant",
        r->in.tenant, "request", r->in.id, "number", (json_int_t)r->number, "received_ns",
        (json_int_t)r->received_unix_ns, "status", (int)r->status, "code", r->code, "action",
        action_name(r->decision.action), "verdict", action_allows(r->decision.action) ? "allow" : "deny",
        "moderated", !r->failed, "rule", rule_id(r), "instruction_set",
        engine_instruction_set(r->daemon->engine), "deadline_ms",
        (json_int_t)(r->deadline_ns == UINT64_MAX ? 0 : (r->deadline_ns - r->received_ns) / 1000000u),
        "parts", part_list(r));
    if (record == NULL) {
        return NULL;
    }
    if (r->in.scope != SCOPE_INVALID) {
        set(record, "scope", json_string(content_scope_name(r->in.scope)));
        set(record, "class", json_string(request_class_name(r->in.class_)));
    }
    if (r->subject_commitment[0] != '\0') {
        set(record, "subject", json_string(r->subject_commitment));
    }
    if (r->in.traceparent[0] != '\0') {
        set(record, "traceparent", json_string(r->in.traceparent));
    }
    if (r->policy != NULL) {
        add_policy(r, record);
    }
    if (r->failed) {
        set(record, "detail", json_string(r->detail));
    } else if (r->replay != NULL) {
        set(record, "type", json_string("replay"));
        set(record, "replay_of", json_integer((json_int_t)r->replay_of));
    } else {
        set(record, "complete", json_boolean(r->decision.complete));
        set(record, "scores", score_list(r));
    }
    set(record, "stage_us",
        json_pack("{s:I, s:I, s:I}", "decode", (json_int_t)(r->stage_ns[STAGE_DECODE] / 1000), "plan",
                  (json_int_t)(r->stage_ns[STAGE_PLAN] / 1000), "score",
                  (json_int_t)(r->stage_ns[STAGE_SCORE] / 1000)));
    char *text = json_dumps(record, JSON_COMPACT | JSON_SORT_KEYS);
    json_decref(record);
    return text;
}
