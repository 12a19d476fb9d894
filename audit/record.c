/* SPDX-License-Identifier: Apache-2.0 */
#include "audit/record.h"

#include <errno.h>
#include <jansson.h>
#include <stdbool.h>
#include <string.h>

#include "base/cleanup.h"

static const char format_name[] = "buckler.audit/1";

static void json_unref(json_t **value) {
    json_decref(*value);
}

/* Also bounds the recursion: jansson stops at depth 2048 before this is called. */
static bool only_integers(const json_t *value) {
    size_t index = 0;
    const char *key = NULL;
    json_t *item = NULL;
    if (json_is_object(value)) {
        json_object_foreach((json_t *)(uintptr_t)value, key, item) {
            if (!only_integers(item)) {
                return false;
            }
        }
    } else if (json_is_array(value)) {
        json_array_foreach(value, index, item) {
            if (!only_integers(item)) {
                return false;
            }
        }
    }
    return !json_is_real(value);
}

static char *dump(const json_t *value) {
    return json_dumps(value, JSON_COMPACT | JSON_SORT_KEYS);
}

/* The object, or NULL with the reason. */
static json_t *load_canonical(const char *text, size_t size, const char **ret_why) {
    json_error_t error;
    CLEANUP(json_unref) json_t *object = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
    *ret_why = "is not JSON";
    if (object == NULL) {
        return NULL;
    }
    *ret_why = "is not a JSON object";
    if (!json_is_object(object)) {
        return NULL;
    }
    *ret_why = "holds a number that is not an integer";
    if (!only_integers(object)) {
        return NULL;
    }
    *ret_why = "is not canonical JSON";
    CLEANUP(free_ptr) char *again = dump(object);
    if (again == NULL || strlen(again) != size || memcmp(again, text, size) != 0) {
        return NULL;
    }
    return steal(object);
}

int record_build(const void *payload, size_t size, const struct record_link *link, struct buf *out,
                 struct error *reterr) {
    static const char *const ours[] = {"batch", "index", "prev", "time_ns"};
    const char *why = NULL;
    if (size > AUDIT_MAX_PAYLOAD_BYTES) {
        return error_set(reterr, -EINVAL, "a record of %zu bytes is longer than the limit of %d", size,
                         AUDIT_MAX_PAYLOAD_BYTES);
    }
    CLEANUP(json_unref) json_t *object = load_canonical(payload, size, &why);
    if (object == NULL) {
        return error_set(reterr, -EINVAL, "a record %s", why);
    }
    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++) {
        if (json_object_get(object, ours[i]) != NULL) {
            return error_set(reterr, -EINVAL, "a record has the key %s, which the log adds", ours[i]);
        }
    }
    if (json_object_set_new(object, "batch", json_integer((json_int_t)link->batch)) != 0 ||
        json_object_set_new(object, "index", json_integer((json_int_t)link->index)) != 0 ||
        json_object_set_new(object, "prev", json_string(link->prev)) != 0 ||
        json_object_set_new(object, "time_ns", json_integer((json_int_t)link->time_ns)) != 0) {
        return error_errno(reterr, ENOMEM, "a record cannot be stored");
    }
    CLEANUP(free_ptr) char *line = dump(object);
    if (line == NULL) {
        return error_errno(reterr, ENOMEM, "a record cannot be stored");
    }
    buf_append(out, line, strlen(line));
    buf_u8(out, '\n');
    return out->failed ? error_errno(reterr, ENOMEM, "a record cannot be stored") : 0;
}

static bool take_number(const json_t *object, const char *key, uint64_t *ret) {
    const json_t *value = json_object_get(object, key);
    if (!json_is_integer(value) || json_integer_value(value) < 0) {
        return false;
    }
    *ret = (uint64_t)json_integer_value(value);
    return true;
}

int record_parse(const char *line, size_t size, struct record_link *ret, char ret_log_id[RECORD_LOG_ID_SIZE],
                 struct error *reterr) {
    const char *why = NULL;
    uint8_t digest[DIGEST_BYTES];
    struct record_link link = {0};
    CLEANUP(json_unref) json_t *object = load_canonical(line, size, &why);
    if (object == NULL) {
        return error_set(reterr, AUDIT_E_TAMPERED, "the line %s", why);
    }
    const char *prev = json_string_value(json_object_get(object, "prev"));
    if (prev == NULL || !take_number(object, "index", &link.index) ||
        !take_number(object, "batch", &link.batch) || !take_number(object, "time_ns", &link.time_ns) ||
        link.batch > link.index || !hex_decode(prev, digest, sizeof digest)) {
        return error_set(reterr, AUDIT_E_TAMPERED, "the line lacks a sound index, batch, prev or time_ns");
    }
    hex_encode(digest, sizeof digest, link.prev);
    if (strcmp(link.prev, prev) != 0) {
        return error_set(reterr, AUDIT_E_TAMPERED, "prev is not in lower case");
    }
    *ret = link;
    if (ret_log_id != NULL) {
        const char *event = json_string_value(json_object_get(object, "event"));
        const char *id = json_string_value(json_object_get(object, "log"));
        const char *format = json_string_value(json_object_get(object, "format"));
        bool created = event != NULL && strcmp(event, "log_created") == 0 && id != NULL && format != NULL &&
                       strcmp(format, format_name) == 0 && strlen(id) < RECORD_LOG_ID_SIZE;
        memset(ret_log_id, 0, RECORD_LOG_ID_SIZE);
        memcpy(ret_log_id, created ? id : "", created ? strlen(id) : 0);
    }
    return 0;
}

void record_created(struct buf *out, const char *log_id) {
    buf_printf(out, "{\"event\":\"log_created\",\"format\":\"%s\",\"log\":\"%s\",\"type\":\"event\"}",
               format_name, log_id);
}

void record_torn(struct buf *out, const char *file, const char *kept, uint64_t offset, uint64_t bytes,
                 uint64_t lost) {
    buf_printf(out,
               "{\"bytes\":%llu,\"event\":\"torn_tail\",\"file\":\"%s\",\"kept\":\"%s\",\"lost\":%llu,"
               "\"offset\":%llu,"
               "\"type\":\"event\"}",
               (unsigned long long)bytes, file, kept, (unsigned long long)lost, (unsigned long long)offset);
}
