/* SPDX-License-Identifier: Apache-2.0
 *
 * Keys are written in the order of PROTOCOL.md and only when the caller set them, so that every client
 * produces the same bytes.
 */
#include "clients/c/wire.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool set_text(json_t *object, const char *key, const char *text) {
    return text == NULL || json_object_set_new(object, key, json_string(text)) == 0;
}

static json_t *encode_part(const struct buckler_part *part) {
    json_t *object = json_object();
    if (!set_text(object, "kind", part->kind) || !set_text(object, "mime", part->mime) ||
        !set_text(object, "lang", part->lang) || !set_text(object, "role", part->role) ||
        (part->context_only && json_object_set_new(object, "judge", json_false()) != 0)) {
        json_decref(object);
        return NULL;
    }
    return object;
}

static bool set_parts(json_t *root, const struct buckler_request *request) {
    json_t *parts = json_array();
    bool fine = json_object_set_new(root, "parts", parts) == 0;
    for (size_t i = 0; i < request->part_count && fine; i++) {
        fine = json_array_append_new(parts, encode_part(&request->parts[i])) == 0;
    }
    return fine;
}

static bool set_want(json_t *root, const char *const *want) {
    json_t *array = json_array();
    bool fine = json_object_set_new(root, "want", array) == 0;
    for (size_t i = 0; want[i] != NULL && fine; i++) {
        fine = json_array_append_new(array, json_string(want[i])) == 0;
    }
    return fine;
}

static bool set_classify(json_t *root, const struct buckler_request *request) {
    return set_text(root, "policy", request->policy) && set_text(root, "scope", request->scope) &&
           set_parts(root, request) &&
           (request->deadline_ms == 0 ||
            json_object_set_new(root, "deadline_ms", json_integer(request->deadline_ms)) == 0) &&
           set_text(root, "class", request->class_) && set_text(root, "subject", request->subject) &&
           set_text(root, "idem", request->idem) && set_text(root, "traceparent", request->traceparent) &&
           (request->want == NULL || set_want(root, request->want));
}

char *buckler_wire_encode(const char *op, const char *id, const struct buckler_request *request,
                          const char *target) {
    json_t *root = json_object();
    char *text = NULL;
    if (set_text(root, "op", op) && set_text(root, "id", id) &&
        (request == NULL || set_classify(root, request)) && set_text(root, "target", target)) {
        text = json_dumps(root, JSON_COMPACT);
    }
    json_decref(root);
    return text;
}

const char *buckler_wire_check(const struct buckler_request *request) {
    size_t left = BUCKLER_MAX_TOTAL_BYTES;
    if (request->part_count < 1 || request->part_count > BUCKLER_MAX_PARTS) {
        return "a request has 1 to 8 parts";
    }
    for (size_t i = 0; i < request->part_count; i++) {
        const struct buckler_part *part = &request->parts[i];
        if (part->kind == NULL || (part->bytes == NULL && part->size > 0)) {
            return "a part has no kind or no bytes";
        }
        if (part->size > BUCKLER_MAX_PART_BYTES) {
            return "a part has more than 20 MiB";
        }
        if (part->size > left) {
            return "the parts have more than 32 MiB in all";
        }
        left -= part->size;
    }
    return NULL;
}

/* ---- replies ---- */

static const char *text_of(const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL ? text : "";
}

/* A missing or odd verdict must never pass for one of the two. */
static bool is_reply(const json_t *root) {
    const char *verdict = text_of(root, "verdict");
    json_t *status = json_object_get(root, "status");
    return json_is_string(json_object_get(root, "id")) && json_is_integer(status) &&
           json_integer_value(status) >= 100 && json_integer_value(status) <= 599 &&
           (strcmp(verdict, "allow") == 0 || strcmp(verdict, "deny") == 0);
}

int buckler_decode(const void *json, size_t size, struct buckler_reply **ret) {
    json_t *root = json_loadb(json, size, JSON_REJECT_DUPLICATES, NULL);
    if (!is_reply(root)) {
        json_decref(root);
        return BUCKLER_E_PROTOCOL;
    }
    struct buckler_reply *reply = calloc(1, sizeof *reply);
    char *copy = malloc(size + 1);
    if (reply == NULL || copy == NULL) {
        free(reply);
        free(copy);
        json_decref(root);
        return BUCKLER_E_MEMORY;
    }
    memcpy(copy, json, size);
    copy[size] = '\0';
    reply->json = copy;
    reply->json_size = size;
    reply->root = root;
    *ret = reply;
    return 0;
}

int buckler_encode(const struct buckler_request *request, char **ret_json) {
    if (buckler_wire_check(request) != NULL) {
        return BUCKLER_E_INVALID;
    }
    char *json = buckler_wire_encode("classify", request->id != NULL ? request->id : "1", request, NULL);
    if (json == NULL) {
        return BUCKLER_E_INVALID;
    }
    *ret_json = json;
    return 0;
}

void buckler_reply_free(struct buckler_reply *reply) {
    if (reply != NULL) {
        for (size_t i = 0; i < reply->part_count; i++) {
            free(reply->parts[i].bytes);
        }
        json_decref(reply->root);
        free(reply->json);
        free(reply);
    }
}

bool buckler_reply_allowed(const struct buckler_reply *reply) {
    return reply != NULL && strcmp(text_of(reply->root, "verdict"), "allow") == 0;
}

bool buckler_reply_moderated(const struct buckler_reply *reply) {
    return json_is_true(json_object_get(reply->root, "moderated"));
}

int buckler_reply_status(const struct buckler_reply *reply) {
    return (int)json_integer_value(json_object_get(reply->root, "status"));
}

unsigned buckler_reply_retry_after_ms(const struct buckler_reply *reply) {
    json_int_t ms = json_integer_value(json_object_get(reply->root, "retry_after_ms"));
    return ms > 0 && ms <= 3600000 ? (unsigned)ms : 0;
}

const char *buckler_reply_id(const struct buckler_reply *reply) {
    return text_of(reply->root, "id");
}

const char *buckler_reply_verdict(const struct buckler_reply *reply) {
    return text_of(reply->root, "verdict");
}

const char *buckler_reply_action(const struct buckler_reply *reply) {
    return text_of(reply->root, "action");
}

const char *buckler_reply_code(const struct buckler_reply *reply) {
    return text_of(reply->root, "code");
}

const char *buckler_reply_detail(const struct buckler_reply *reply) {
    return text_of(reply->root, "detail");
}

const char *buckler_reply_policy(const struct buckler_reply *reply) {
    return text_of(reply->root, "policy");
}

const char *buckler_reply_rule(const struct buckler_reply *reply) {
    return text_of(json_object_get(reply->root, "decided_by"), "rule");
}

int64_t buckler_reply_audit_index(const struct buckler_reply *reply) {
    json_t *index = json_object_get(json_object_get(reply->root, "audit"), "index");
    return json_is_integer(index) ? json_integer_value(index) : -1;
}

size_t buckler_reply_score_count(const struct buckler_reply *reply) {
    return json_array_size(json_object_get(reply->root, "scores"));
}

bool buckler_reply_score(const struct buckler_reply *reply, size_t index, struct buckler_score *ret) {
    json_t *score = json_array_get(json_object_get(reply->root, "scores"), index);
    json_t *value = json_object_get(score, "score");
    json_t *part = json_object_get(score, "part");
    if (!json_is_object(score)) {
        return false;
    }
    *ret = (struct buckler_score){.category = text_of(score, "category"),
                                  .classifier = text_of(score, "classifier"),
                                  .state = text_of(score, "state"),
                                  .part = json_is_integer(part) ? (int)json_integer_value(part) : -1,
                                  .score = json_is_number(value) ? json_number_value(value) : NAN};
    return true;
}

const char *buckler_reply_json(const struct buckler_reply *reply, size_t *ret_size) {
    if (ret_size != NULL) {
        *ret_size = reply->json_size;
    }
    return reply->json;
}

size_t buckler_reply_part_count(const struct buckler_reply *reply) {
    return reply->part_count;
}

const void *buckler_reply_part(const struct buckler_reply *reply, size_t index, size_t *ret_size) {
    if (index >= reply->part_count) {
        return NULL;
    }
    *ret_size = reply->parts[index].size;
    return reply->parts[index].bytes;
}
