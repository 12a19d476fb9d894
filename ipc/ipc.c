/* SPDX-License-Identifier: Apache-2.0
 *
 * Both messages are their structs' fields in order of declaration. The decoder believes nothing: every enum
 * is checked against its table, every count against its bound, and what does not belong to the op is not
 * there.
 */
#include "ipc/ipc.h"

#include <string.h>
#include <unistd.h>

#include "base/cursor.h"

static const char *const op_names[] = {NULL, "hello", "classify", "ping", "cancel", "refused"};
static const char *const want_names[] = {"raw", "spans", "proof", "token", "timing"};

_Static_assert(sizeof op_names / sizeof *op_names == IPC_OP_COUNT, "a name for each op");

enum { WANT_COUNT = sizeof want_names / sizeof *want_names };

const char *ipc_op_name(enum ipc_op op) {
    return op < IPC_OP_COUNT ? op_names[op] : NULL;
}

/* "refused" is a name for logs; on the wire it is as unknown as any other word. */
enum ipc_op ipc_op_from(const char *name) {
    for (unsigned i = IPC_OP_INVALID + 1; i < IPC_OP_REFUSED; i++) {
        if (strcmp(op_names[i], name) == 0) {
            return (enum ipc_op)i;
        }
    }
    return IPC_OP_INVALID;
}

uint32_t ipc_want_from(const char *name) {
    for (unsigned i = 0; i < WANT_COUNT; i++) {
        if (strcmp(want_names[i], name) == 0) {
            return 1u << i;
        }
    }
    return 0;
}

/* ---- requests ---- */

static void encode_part(const struct ipc_part *part, struct buf *out) {
    buf_u8(out, (uint8_t)part->kind);
    buf_u8(out, (uint8_t)part->role);
    buf_u8(out, part->judge);
    buf_string(out, part->mime);
    buf_string(out, part->lang);
    buf_u64(out, part->size);
}

void ipc_encode_request(const struct ipc_request *request, struct buf *out) {
    buf_u8(out, (uint8_t)request->op);
    buf_u64(out, request->connection);
    buf_string(out, request->tenant);
    buf_string(out, request->id);
    if (request->op == IPC_OP_REFUSED) {
        buf_u16(out, request->status);
        buf_string(out, request->code);
        buf_string(out, request->detail);
        buf_u32(out, request->retry_after_ms);
    } else if (request->op == IPC_OP_CANCEL) {
        buf_string(out, request->target);
    } else if (request->op == IPC_OP_CLASSIFY) {
        buf_string(out, request->policy);
        buf_u8(out, (uint8_t)request->scope);
        buf_u8(out, (uint8_t)request->class_);
        buf_u32(out, request->deadline_ms);
        buf_string(out, request->subject);
        buf_string(out, request->idem);
        buf_string(out, request->traceparent);
        buf_u32(out, request->want);
        buf_u32(out, request->part_count);
        for (uint32_t i = 0; i < request->part_count && i < IPC_MAX_PARTS; i++) {
            encode_part(&request->parts[i], out);
        }
    }
}

/* An enum's byte; values from `count` on and the invalid zero fail the cursor. */
static unsigned cursor_enum(struct cursor *c, unsigned count) {
    unsigned value = cursor_u8(c);
    if (value == 0 || value >= count) {
        c->failed = true;
        return 0;
    }
    return value;
}

static bool cursor_bool(struct cursor *c) {
    uint8_t value = cursor_u8(c);
    if (value > 1) {
        c->failed = true;
    }
    return value == 1;
}

static void decode_part(struct cursor *c, struct ipc_part *part) {
    part->kind = (enum content_kind)cursor_enum(c, CONTENT_KIND_COUNT);
    part->role = (enum content_role)cursor_enum(c, ROLE_COUNT);
    part->judge = cursor_bool(c);
    cursor_string(c, part->mime, sizeof part->mime);
    cursor_string(c, part->lang, sizeof part->lang);
    part->size = cursor_u64(c);
    if (part->size > IPC_MAX_PART_BYTES) {
        c->failed = true;
    }
}

static void decode_classify(struct cursor *c, struct ipc_request *request) {
    cursor_string(c, request->policy, sizeof request->policy);
    request->scope = (enum content_scope)cursor_enum(c, SCOPE_COUNT);
    request->class_ = (enum request_class)cursor_enum(c, CLASS_COUNT);
    request->deadline_ms = cursor_u32(c);
    cursor_string(c, request->subject, sizeof request->subject);
    cursor_string(c, request->idem, sizeof request->idem);
    cursor_string(c, request->traceparent, sizeof request->traceparent);
    request->want = cursor_u32(c);
    uint32_t count = cursor_u32(c);
    if (count == 0 || count > IPC_MAX_PARTS || request->want >> WANT_COUNT != 0) {
        c->failed = true;
        return;
    }
    uint64_t left = IPC_MAX_TOTAL_BYTES;
    for (uint32_t i = 0; i < count && !c->failed; i++) {
        decode_part(c, &request->parts[i]);
        if (request->parts[i].size > left) {
            c->failed = true;
        }
        left -= c->failed ? 0 : request->parts[i].size;
    }
    request->part_count = count;
}

static void decode_refused(struct cursor *c, struct ipc_request *request) {
    request->status = cursor_u16(c);
    cursor_string(c, request->code, sizeof request->code);
    cursor_string(c, request->detail, sizeof request->detail);
    request->retry_after_ms = cursor_u32(c);
    if (request->status < 400 || request->status > 599 || request->code[0] == '\0') {
        c->failed = true;
    }
}

int ipc_decode_request(struct imsg *message, struct ipc_request *ret) {
    struct ipc_request request;
    struct cursor c;
    memset(&request, 0, sizeof request);
    for (size_t i = 0; i < IPC_MAX_PARTS; i++) {
        request.parts[i].fd = -1;
    }
    cursor_init(&c, message->body, message->body_size);
    request.op = (enum ipc_op)cursor_enum(&c, IPC_OP_COUNT);
    request.connection = cursor_u64(&c);
    cursor_string(&c, request.tenant, sizeof request.tenant);
    cursor_string(&c, request.id, sizeof request.id);
    if (request.op == IPC_OP_REFUSED) {
        decode_refused(&c, &request);
    } else if (request.id[0] == '\0') {
        c.failed = true;
    } else if (request.op == IPC_OP_CANCEL) {
        cursor_string(&c, request.target, sizeof request.target);
        c.failed = c.failed || request.target[0] == '\0';
    } else if (request.op == IPC_OP_CLASSIFY) {
        decode_classify(&c, &request);
    }
    if (!cursor_done(&c) || request.tenant[0] == '\0' || message->fd_count != request.part_count) {
        return IPC_E_MALFORMED;
    }
    for (uint32_t i = 0; i < request.part_count; i++) {
        request.parts[i].fd = imsg_take_fd(message, i);
    }
    *ret = request;
    return 0;
}

void ipc_request_deinit(struct ipc_request *request) {
    for (uint32_t i = 0; i < request->part_count && i < IPC_MAX_PARTS; i++) {
        if (request->parts[i].fd >= 0) {
            (void)close(request->parts[i].fd);
        }
        request->parts[i].fd = -1;
    }
    request->part_count = 0;
}

/* ---- settings ---- */

void ipc_encode_settings(const struct ipc_settings *settings, struct buf *out) {
    buf_u32(out, settings->endpoint_count);
    for (uint32_t i = 0; i < settings->endpoint_count && i < IPC_MAX_ENDPOINTS; i++) {
        buf_string(out, settings->endpoints[i]);
    }
    buf_u8(out, settings->insecure_loopback);
    buf_u32(out, settings->uid_count);
    for (uint32_t i = 0; i < settings->uid_count && i < IPC_MAX_UIDS; i++) {
        buf_u32(out, settings->uids[i].uid);
        buf_string(out, settings->uids[i].tenant);
    }
    buf_u32(out, settings->window);
    buf_u64(out, settings->part_bytes);
    buf_u64(out, settings->total_bytes);
    buf_string(out, settings->curve_secret);
    buf_u32(out, settings->key_count);
    for (uint32_t i = 0; i < settings->key_count && i < IPC_MAX_KEYS; i++) {
        buf_string(out, settings->keys[i].public_key);
        buf_string(out, settings->keys[i].tenant);
    }
}

/* A count of at most `most`; more fails the cursor and counts as none. */
static uint32_t cursor_count(struct cursor *c, uint32_t most) {
    uint32_t count = cursor_u32(c);
    if (count > most) {
        c->failed = true;
        return 0;
    }
    return count;
}

int ipc_decode_settings(const struct imsg *message, struct ipc_settings *ret) {
    struct ipc_settings settings;
    struct cursor c;
    memset(&settings, 0, sizeof settings);
    cursor_init(&c, message->body, message->body_size);
    settings.endpoint_count = cursor_count(&c, IPC_MAX_ENDPOINTS);
    for (uint32_t i = 0; i < settings.endpoint_count; i++) {
        cursor_string(&c, settings.endpoints[i], sizeof settings.endpoints[i]);
    }
    settings.insecure_loopback = cursor_bool(&c);
    settings.uid_count = cursor_count(&c, IPC_MAX_UIDS);
    for (uint32_t i = 0; i < settings.uid_count; i++) {
        settings.uids[i].uid = cursor_u32(&c);
        cursor_string(&c, settings.uids[i].tenant, sizeof settings.uids[i].tenant);
    }
    settings.window = cursor_u32(&c);
    settings.part_bytes = cursor_u64(&c);
    settings.total_bytes = cursor_u64(&c);
    cursor_string(&c, settings.curve_secret, sizeof settings.curve_secret);
    settings.key_count = cursor_count(&c, IPC_MAX_KEYS);
    for (uint32_t i = 0; i < settings.key_count; i++) {
        cursor_string(&c, settings.keys[i].public_key, sizeof settings.keys[i].public_key);
        cursor_string(&c, settings.keys[i].tenant, sizeof settings.keys[i].tenant);
    }
    if (!cursor_done(&c) || settings.endpoint_count == 0 || settings.window == 0 ||
        settings.part_bytes > IPC_MAX_PART_BYTES || settings.total_bytes > IPC_MAX_TOTAL_BYTES ||
        settings.part_bytes == 0 || settings.total_bytes == 0) {
        return IPC_E_MALFORMED;
    }
    *ret = settings;
    return 0;
}
