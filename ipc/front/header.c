/* SPDX-License-Identifier: Apache-2.0
 *
 * The id is read first, so that every later refusal can be matched to its request. Each field is one call
 * that returns false once it has refused; header_read is the list of those calls in the order of
 * ipc/PROTOCOL.md.
 */
#include "ipc/front/header.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"

enum charset { CHARSET_INVALID, CHARSET_ASCII, CHARSET_UTF8 };

static void json_free(json_t **value) {
    json_decref(*value);
}

void header_prepare(void) {
    json_object_seed(0);
}

void header_refuse(struct ipc_request *request, uint16_t status, const char *code, const char *format, ...) {
    struct ipc_request refusal = {.op = IPC_OP_REFUSED, .connection = request->connection, .status = status};
    va_list args;
    memcpy(refusal.tenant, request->tenant, sizeof refusal.tenant);
    memcpy(refusal.id, request->id, sizeof refusal.id);
    (void)snprintf(refusal.code, sizeof refusal.code, "%s", code);
    va_start(args, format);
    (void)vsnprintf(refusal.detail, sizeof refusal.detail, format, args);
    va_end(args);
    for (size_t i = 0; i < IPC_MAX_PARTS; i++) {
        refusal.parts[i].fd = -1;
    }
    *request = refusal;
}

#define refuse_field(request, ...) (header_refuse((request), 400, "bad_field", __VA_ARGS__), false)

/* ---- JSON ---- */

/* Whether brackets nest deeper than IPC_MAX_DEPTH. Runs before the parser, which recurses. Brackets in
 * strings do not count; what is not JSON at all is left for the parser to refuse. */
static bool too_deep(const char *bytes, size_t size) {
    size_t depth = 0;
    bool quoted = false;
    for (size_t i = 0; i < size; i++) {
        if (quoted) {
            if (bytes[i] == '\\') {
                i++;
            } else if (bytes[i] == '"') {
                quoted = false;
            }
        } else if (bytes[i] == '"') {
            quoted = true;
        } else if (bytes[i] == '{' || bytes[i] == '[') {
            if (++depth > IPC_MAX_DEPTH) {
                return true;
            }
        } else if ((bytes[i] == '}' || bytes[i] == ']') && depth > 0) {
            depth--;
        }
    }
    return false;
}

static json_t *parse(const void *bytes, size_t size, struct ipc_request *ret) {
    if (size > IPC_MAX_HEADER_BYTES) {
        header_refuse(ret, 400, "bad_header", "frame 0: the header has %zu bytes, at most %d are allowed",
                      size, IPC_MAX_HEADER_BYTES);
        return NULL;
    }
    if (too_deep(bytes, size)) {
        header_refuse(ret, 400, "bad_header", "frame 0: the header nests deeper than %d levels",
                      IPC_MAX_DEPTH);
        return NULL;
    }
    json_error_t error;
    json_t *root = json_loadb(bytes, size, JSON_REJECT_DUPLICATES, &error);
    if (root == NULL) {
        /* jansson's own text quotes the input. */
        header_refuse(ret, 400, "bad_header", "frame 0: %s at byte %d",
                      json_error_code(&error) == json_error_duplicate_key ? "a key stands twice in one object"
                                                                          : "the header is not valid JSON",
                      error.position);
        return NULL;
    }
    if (!json_is_object(root)) {
        json_decref(root);
        header_refuse(ret, 400, "bad_header", "frame 0: the header must be a JSON object");
        return NULL;
    }
    return root;
}

/* A key that begins with `!` says "refuse me unless you understand this"; so far there is none to understand.
 * The recursion is as deep as the header, at most IPC_MAX_DEPTH. */
static bool has_critical(json_t *value) {
    const char *key = NULL;
    json_t *child = NULL;
    size_t index = 0;
    json_object_foreach(value, key, child) {
        if (key[0] == '!' || has_critical(child)) {
            return true;
        }
    }
    json_array_foreach(value, index, child) {
        if (has_critical(child)) {
            return true;
        }
    }
    return false;
}

static bool is_printable(const char *text, size_t length) {
    for (size_t i = 0; i < length; i++) {
        if (text[i] < 0x20 || text[i] > 0x7e) {
            return false;
        }
    }
    return true;
}

/* ---- fields ---- */

/* Copies the string `key` of `object`, 1 to out_size - 1 bytes; an absent key leaves `out` as it is. */
static bool read_text(struct ipc_request *ret, json_t *object, const char *prefix, const char *key,
                      enum charset charset, char *out, size_t out_size) {
    json_t *value = json_object_get(object, key);
    if (value == NULL) {
        return true;
    }
    if (!json_is_string(value)) {
        return refuse_field(ret, "%s%s: must be a string", prefix, key);
    }
    size_t length = json_string_length(value);
    const char *text = json_string_value(value);
    if (length == 0 || length >= out_size) {
        return refuse_field(ret, "%s%s: must have 1 to %zu bytes", prefix, key, out_size - 1);
    }
    if (charset == CHARSET_ASCII && !is_printable(text, length)) {
        return refuse_field(ret, "%s%s: must be printable ASCII", prefix, key);
    }
    memcpy(out, text, length + 1);
    return true;
}

/* A word of a fixed list, found by `from` (0: unknown). An absent key leaves *out as it is. */
static bool read_word(struct ipc_request *ret, json_t *object, const char *prefix, const char *key,
                      unsigned (*from)(const char *), const char *allowed, unsigned *out) {
    json_t *value = json_object_get(object, key);
    if (value == NULL) {
        return true;
    }
    unsigned found = json_is_string(value) ? from(json_string_value(value)) : 0;
    if (found == 0) {
        return refuse_field(ret, "%s%s: must be one of %s", prefix, key, allowed);
    }
    *out = found;
    return true;
}

static unsigned scope_from(const char *name) {
    return content_scope_from(name);
}

static unsigned class_from(const char *name) {
    return request_class_from(name);
}

static unsigned kind_from(const char *name) {
    return content_kind_from(name);
}

static unsigned role_from(const char *name) {
    return content_role_from(name);
}

static bool read_id(struct ipc_request *ret, json_t *root) {
    char id[IPC_ID_SIZE] = "";
    if (!read_text(ret, root, "", "id", CHARSET_ASCII, id, sizeof id)) {
        return false;
    }
    if (id[0] == '\0') {
        return refuse_field(ret, "id: is missing");
    }
    memcpy(ret->id, id, sizeof id);
    return true;
}

static bool read_op(struct ipc_request *ret, json_t *root) {
    json_t *value = json_object_get(root, "op");
    if (value == NULL) {
        return refuse_field(ret, "op: is missing");
    }
    if (!json_is_string(value)) {
        return refuse_field(ret, "op: must be a string");
    }
    ret->op = ipc_op_from(json_string_value(value));
    if (ret->op == IPC_OP_INVALID) {
        header_refuse(ret, 404, "unknown_op", "op: is not one of hello, classify, ping, cancel");
        return false;
    }
    return true;
}

static bool read_deadline(struct ipc_request *ret, json_t *root) {
    json_t *value = json_object_get(root, "deadline_ms");
    if (value == NULL) {
        return true;
    }
    json_int_t ms = json_is_integer(value) ? json_integer_value(value) : 0;
    if (ms < 1 || ms > HEADER_MAX_DEADLINE_MS) {
        return refuse_field(ret, "deadline_ms: must be an integer from 1 to %d", HEADER_MAX_DEADLINE_MS);
    }
    ret->deadline_ms = (uint32_t)ms;
    return true;
}

static bool read_want(struct ipc_request *ret, json_t *root) {
    json_t *want = json_object_get(root, "want");
    json_t *value = NULL;
    size_t index = 0;
    if (want == NULL) {
        return true;
    }
    if (!json_is_array(want)) {
        return refuse_field(ret, "want: must be an array of strings");
    }
    json_array_foreach(want, index, value) {
        uint32_t bit = json_is_string(value) ? ipc_want_from(json_string_value(value)) : 0;
        if (bit == 0) {
            return refuse_field(ret, "want[%zu]: must be one of raw, spans, proof, token, timing", index);
        }
        ret->want |= bit;
    }
    return true;
}

/* `00-` 32 hexadecimal digits `-` 16 `-` 2, lower case, trace and parent not all zero (W3C Trace Context,
 * level 1). */
static bool is_traceparent(const char *text) {
    static const char shape[] = "00-hhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhh-hhhhhhhhhhhhhhhh-hh";
    _Static_assert(sizeof shape == HEADER_TRACEPARENT_BYTES + 1, "the shape has the length of a traceparent");
    if (strlen(text) != HEADER_TRACEPARENT_BYTES) {
        return false;
    }
    for (size_t i = 0; i < HEADER_TRACEPARENT_BYTES; i++) {
        if (shape[i] == 'h' ? strchr("0123456789abcdef", text[i]) == NULL : text[i] != shape[i]) {
            return false;
        }
    }
    return strspn(text + 3, "0") < 32 && strspn(text + 36, "0") < 16;
}

static bool read_traceparent(struct ipc_request *ret, json_t *root) {
    if (!read_text(ret, root, "", "traceparent", CHARSET_ASCII, ret->traceparent, sizeof ret->traceparent)) {
        return false;
    }
    if (ret->traceparent[0] != '\0' && !is_traceparent(ret->traceparent)) {
        return refuse_field(ret, "traceparent: must have the form of W3C Trace Context, version 00");
    }
    return true;
}

static bool read_part(struct ipc_request *ret, json_t *value, size_t index, struct ipc_part *part) {
    char prefix[32];
    unsigned kind = CONTENT_INVALID;
    unsigned role = ROLE_USER;
    (void)snprintf(prefix, sizeof prefix, "parts[%zu].", index);
    if (!json_is_object(value)) {
        return refuse_field(ret, "parts[%zu]: must be an object", index);
    }
    if (!read_word(ret, value, prefix, "kind", kind_from, "text, image", &kind) ||
        !read_word(ret, value, prefix, "role", role_from, "user, assistant, system", &role) ||
        !read_text(ret, value, prefix, "mime", CHARSET_ASCII, part->mime, sizeof part->mime) ||
        !read_text(ret, value, prefix, "lang", CHARSET_ASCII, part->lang, sizeof part->lang)) {
        return false;
    }
    if (kind == CONTENT_INVALID) {
        return refuse_field(ret, "parts[%zu].kind: is missing", index);
    }
    json_t *judge = json_object_get(value, "judge");
    if (judge != NULL && !json_is_boolean(judge)) {
        return refuse_field(ret, "parts[%zu].judge: must be true or false", index);
    }
    part->kind = (enum content_kind)kind;
    part->role = (enum content_role)role;
    part->judge = judge == NULL || json_is_true(judge);
    return true;
}

static bool read_parts(struct ipc_request *ret, json_t *root) {
    json_t *parts = json_object_get(root, "parts");
    json_t *value = NULL;
    size_t index = 0;
    bool judged = false;
    size_t count = json_array_size(parts);
    if (parts == NULL) {
        return refuse_field(ret, "parts: is missing");
    }
    if (count < 1 || count > IPC_MAX_PARTS) {
        return refuse_field(ret, "parts: must be an array of 1 to %d objects", IPC_MAX_PARTS);
    }
    json_array_foreach(parts, index, value) {
        if (!read_part(ret, value, index, &ret->parts[index])) {
            return false;
        }
        judged = judged || ret->parts[index].judge;
    }
    if (!judged) {
        return refuse_field(ret, "parts: no part is to be judged, every one has judge false");
    }
    ret->part_count = (uint32_t)count;
    return true;
}

/* ---- frames ---- */

static bool check_frames(struct ipc_request *ret, const struct header_frames *frames) {
    uint64_t left = frames->total_bytes;
    if (frames->count != ret->part_count) {
        header_refuse(ret, 400, "bad_frames", "the header names %u parts, but %zu payload frames follow it",
                      ret->part_count, frames->count);
        return false;
    }
    for (uint32_t i = 0; i < ret->part_count; i++) {
        uint64_t size = frames->sizes[i];
        if (size > frames->part_bytes) {
            header_refuse(ret, 413, "part_too_large", "parts[%u]: has %llu bytes, at most %llu are allowed",
                          i, (unsigned long long)size, (unsigned long long)frames->part_bytes);
            return false;
        }
        if (size > left) {
            header_refuse(ret, 413, "total_too_large", "the parts have more than %llu bytes in all",
                          (unsigned long long)frames->total_bytes);
            return false;
        }
        left -= size;
        ret->parts[i].size = size;
    }
    return true;
}

/* ---- header ---- */

static bool read_classify(struct ipc_request *ret, json_t *root) {
    unsigned scope = SCOPE_UPLOAD;
    unsigned class_ = CLASS_STANDARD;
    if (!read_text(ret, root, "", "policy", CHARSET_ASCII, ret->policy, sizeof ret->policy) ||
        !read_word(ret, root, "", "scope", scope_from, "prompt, response, upload, document, tool", &scope) ||
        !read_parts(ret, root) || !read_deadline(ret, root) ||
        !read_word(ret, root, "", "class", class_from, "interactive, standard, batch", &class_) ||
        !read_text(ret, root, "", "subject", CHARSET_UTF8, ret->subject, sizeof ret->subject) ||
        !read_text(ret, root, "", "idem", CHARSET_ASCII, ret->idem, sizeof ret->idem) ||
        !read_traceparent(ret, root)) {
        return false;
    }
    ret->scope = (enum content_scope)scope;
    ret->class_ = (enum request_class)class_;
    return read_want(ret, root);
}

static bool read_cancel(struct ipc_request *ret, json_t *root) {
    if (!read_text(ret, root, "", "target", CHARSET_ASCII, ret->target, sizeof ret->target)) {
        return false;
    }
    return ret->target[0] != '\0' || refuse_field(ret, "target: is missing");
}

static void start_clean(struct ipc_request *ret) {
    struct ipc_request clean = {.connection = ret->connection};
    memcpy(clean.tenant, ret->tenant, sizeof clean.tenant);
    for (size_t i = 0; i < IPC_MAX_PARTS; i++) {
        clean.parts[i].fd = -1;
    }
    *ret = clean;
}

void header_read(const void *bytes, size_t size, const struct header_frames *frames,
                 struct ipc_request *ret) {
    start_clean(ret);
    CLEANUP(json_free) json_t *root = parse(bytes, size, ret);
    if (root == NULL || !read_id(ret, root)) {
        return;
    }
    if (has_critical(root)) {
        header_refuse(ret, 400, "unknown_critical",
                      "the header has a key beginning with ! that is not understood");
        return;
    }
    if (frames->count > IPC_MAX_PARTS) {
        header_refuse(ret, 400, "bad_frames", "%zu payload frames follow the header, at most %d are allowed",
                      frames->count, IPC_MAX_PARTS);
        return;
    }
    if (read_op(ret, root) && (ret->op != IPC_OP_CLASSIFY || read_classify(ret, root)) &&
        (ret->op != IPC_OP_CANCEL || read_cancel(ret, root))) {
        (void)check_frames(ret, frames);
    }
}

void header_write_refusal(const struct ipc_request *request, struct buf *out) {
    CLEANUP(json_free)
    json_t *reply = json_pack("{s:s, s:i, s:s, s:s, s:s, s:b, s:s}", "id", request->id, "status",
                              (int)request->status, "code", request->code, "detail", request->detail,
                              "verdict", "deny", "moderated", 0, "action", "deny");
    if (reply != NULL && request->retry_after_ms > 0) {
        (void)json_object_set_new(reply, "retry_after_ms", json_integer(request->retry_after_ms));
    }
    CLEANUP(free_ptr) char *text = reply != NULL ? json_dumps(reply, JSON_COMPACT) : NULL;
    if (text == NULL) {
        out->failed = true;
        return;
    }
    buf_append(out, text, strlen(text));
}
