/* SPDX-License-Identifier: Apache-2.0 */
#include "clients/c/reply.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct buckler_reply {
    struct buckler_reply *next; /* the client's list of early replies */
    json_t *root;
    char *json;
};

/* A reply without these is no reply, whatever else it says. */
static bool well_formed(const json_t *root) {
    const char *verdict = json_string_value(json_object_get(root, "verdict"));
    return json_is_string(json_object_get(root, "id")) && json_is_integer(json_object_get(root, "status")) &&
           json_is_boolean(json_object_get(root, "moderated")) &&
           json_is_string(json_object_get(root, "action")) && verdict != NULL &&
           (strcmp(verdict, "allow") == 0 || strcmp(verdict, "deny") == 0);
}

int buckler_reply_parse(const void *bytes, size_t size, struct buckler_reply **ret_reply) {
    struct buckler_reply *reply = calloc(1, sizeof *reply);
    if (reply == NULL) {
        return BUCKLER_E_MEMORY;
    }
    reply->root = json_loadb(bytes, size, JSON_REJECT_DUPLICATES, NULL);
    reply->json = strndup(bytes, size);
    if (reply->root == NULL || reply->json == NULL || !well_formed(reply->root)) {
        buckler_reply_free(reply);
        return BUCKLER_E_PROTOCOL;
    }
    *ret_reply = reply;
    return BUCKLER_OK;
}

void buckler_reply_free(struct buckler_reply *reply) {
    if (reply != NULL) {
        json_decref(reply->root);
        free(reply->json);
        free(reply);
    }
}

struct buckler_reply **reply_next(struct buckler_reply *reply) {
    return &reply->next;
}

static const char *text_of(const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL ? text : "";
}

bool buckler_reply_allowed(const struct buckler_reply *reply) {
    return reply != NULL && strcmp(text_of(reply->root, "verdict"), "allow") == 0;
}

const char *buckler_reply_id(const struct buckler_reply *reply) {
    return text_of(reply->root, "id");
}

int buckler_reply_status(const struct buckler_reply *reply) {
    return (int)json_integer_value(json_object_get(reply->root, "status"));
}

const char *buckler_reply_code(const struct buckler_reply *reply) {
    return text_of(reply->root, "code");
}

const char *buckler_reply_action(const struct buckler_reply *reply) {
    return text_of(reply->root, "action");
}

const char *buckler_reply_verdict(const struct buckler_reply *reply) {
    return text_of(reply->root, "verdict");
}

bool buckler_reply_moderated(const struct buckler_reply *reply) {
    return json_is_true(json_object_get(reply->root, "moderated"));
}

const char *buckler_reply_detail(const struct buckler_reply *reply) {
    return text_of(reply->root, "detail");
}

const char *buckler_reply_rule(const struct buckler_reply *reply) {
    return text_of(json_object_get(reply->root, "decided_by"), "rule");
}

const char *buckler_reply_policy(const struct buckler_reply *reply) {
    return text_of(reply->root, "policy");
}

uint32_t buckler_reply_retry_after_ms(const struct buckler_reply *reply) {
    json_int_t value = json_integer_value(json_object_get(reply->root, "retry_after_ms"));
    return value < 0 || value > UINT32_MAX ? 0 : (uint32_t)value;
}

bool buckler_reply_audit_index(const struct buckler_reply *reply, uint64_t *ret_index) {
    const json_t *index = json_object_get(json_object_get(reply->root, "audit"), "index");
    if (!json_is_integer(index) || json_integer_value(index) < 0) {
        return false;
    }
    *ret_index = (uint64_t)json_integer_value(index);
    return true;
}

size_t buckler_reply_score_count(const struct buckler_reply *reply) {
    return json_array_size(json_object_get(reply->root, "scores"));
}

bool buckler_reply_score(const struct buckler_reply *reply, size_t index, struct buckler_score *ret_score) {
    const json_t *one = json_array_get(json_object_get(reply->root, "scores"), index);
    const json_t *score = json_object_get(one, "score");
    if (!json_is_object(one)) {
        return false;
    }
    *ret_score =
        (struct buckler_score){.category = text_of(one, "category"),
                               .classifier = text_of(one, "classifier"),
                               .state = text_of(one, "state"),
                               .part = (unsigned)json_integer_value(json_object_get(one, "part")),
                               .score = json_is_number(score) ? json_number_value(score) : (double)NAN};
    return true;
}

const char *buckler_reply_json(const struct buckler_reply *reply) {
    return reply->json;
}
