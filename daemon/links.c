/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/links.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "audit/audit.h"
#include "base/buf.h"
#include "base/cursor.h"
#include "daemon/daemon.h"
#include "daemon/request.h"
#include "ipc/ipc.h"

/* ---- buckler-front ---- */

void links_configure_front(struct daemon *d) {
    const struct settings *s = &d->settings;
    struct ipc_settings out = {.endpoint_count = s->endpoint_count,
                               .insecure_loopback = s->insecure_loopback,
                               .uid_count = s->uid_count,
                               .key_count = s->key_count,
                               .window = s->connection_window,
                               .part_bytes = s->part_bytes,
                               .total_bytes = s->total_bytes};
    memcpy(out.endpoints, s->endpoints, sizeof out.endpoints);
    memcpy(out.uids, s->uids, sizeof out.uids);
    memcpy(out.keys, s->keys, sizeof out.keys);
    memcpy(out.curve_secret, d->curve_secret, sizeof out.curve_secret);
    struct buf body = {0};
    ipc_encode_settings(&out, &body);
    if (body.failed || !role_send(&d->front, IPC_CONFIGURE, 0, body.bytes, body.size)) {
        log_error(&d->log, "front-configure", "buckler-front could not be told its settings");
        if (d->front.pid > 0) { /* its successor is told; this one would go on serving revoked keys */
            (void)kill(d->front.pid, SIGKILL);
        }
    }
    explicit_bzero(out.curve_secret, sizeof out.curve_secret);
    if (!body.failed) {
        explicit_bzero(body.bytes, body.size);
    }
    buf_deinit(&body);
}

static void front_started(struct daemon *d, struct role *role) {
    (void)role;
    links_configure_front(d);
}

static void front_request(struct daemon *d, struct imsg *message) {
    struct ipc_request request;
    if (ipc_decode_request(message, &request) != 0) {
        log_error(&d->log, "front-malformed", "buckler-front sent a malformed request; it is replaced");
        (void)kill(d->front.pid, SIGKILL);
        return;
    }
    request_start(d, message->id, &request);
}

static void front_message(struct daemon *d, struct role *role, struct imsg *message) {
    if (message->type == IPC_REQUEST) {
        front_request(d, message);
    } else if (message->type == IPC_READY) {
        role->ready = true;
        log_info(&d->log, "front-ready", "listening on %.*s", (int)message->body_size,
                 (const char *)message->body);
        daemon_advance(d);
    } else if (message->type == IPC_FAILED) {
        char sentence[512];
        (void)snprintf(sentence, sizeof sentence, "%.*s", (int)message->body_size,
                       (const char *)message->body);
        if (d->state == DAEMON_STARTING) {
            daemon_fail(d, DAEMON_EXIT_CONFIG, "front-failed", sentence);
        } else {
            log_error(&d->log, "front-failed", "%s", sentence);
        }
    } else {
        log_error(&d->log, "front-unknown", "buckler-front sent message %u", message->type);
    }
}

static void front_died(struct daemon *d, struct role *role) {
    (void)role; /* requests finish and are recorded; `reply` sees by the epoch that their client is gone */
    d->counters.front_restarts++;
    if (d->state == DAEMON_STARTING) {
        daemon_fail(d, DAEMON_EXIT_UNAVAILABLE, "front-died", "buckler-front ended before it was ready");
    }
}

const struct role_type front_role = {"buckler-front", front_started, front_message, front_died};

/* ---- buckler-audit ---- */

enum { AUDIT_GIVE_UP_MS = 4000 };

static void audit_started(struct daemon *d, struct role *role) {
    struct buf body = {0};
    buf_string(&body, d->settings.audit_dir);
    buf_string(&body, d->settings.audit_mode == SETTINGS_AUDIT_ASYNC ? "async" : "before_reply");
    if (body.failed || !role_send(role, AUDIT_CONFIGURE, 0, body.bytes, body.size)) {
        log_error(&d->log, "audit-configure", "buckler-audit could not be told its settings");
    }
    buf_deinit(&body);
}

static void audit_ready(struct daemon *d, struct role *role, struct imsg *message) {
    struct cursor c;
    char log_id[65];
    cursor_init(&c, message->body, message->body_size);
    uint64_t next = cursor_u64(&c);
    uint64_t recovered = cursor_u64(&c);
    cursor_string(&c, log_id, sizeof log_id);
    if (!cursor_done(&c)) {
        daemon_fail(d, DAEMON_EXIT_UNAVAILABLE, "audit-malformed", "buckler-audit sent a malformed message");
        return;
    }
    role->ready = true;
    log_info(&d->log, "audit-ready", "log %s, next index %llu", log_id, (unsigned long long)next);
    request_audit_back(d, recovered);
    d->audit_next_index = next;
    daemon_advance(d);
}

static void audit_proof(struct daemon *d, struct imsg *message) {
    struct cursor c;
    char leaf[65];
    char proof[8192];
    cursor_init(&c, message->body, message->body_size);
    cursor_string(&c, leaf, sizeof leaf);
    cursor_string(&c, proof, sizeof proof);
    request_proof(d, message->id, cursor_done(&c) ? leaf : "", cursor_done(&c) ? proof : "");
}

static void audit_message(struct daemon *d, struct role *role, struct imsg *message) {
    if (message->type == AUDIT_READY) {
        audit_ready(d, role, message);
    } else if (message->type == AUDIT_DURABLE) {
        struct cursor c;
        cursor_init(&c, message->body, message->body_size);
        uint64_t index = cursor_u64(&c);
        if (cursor_done(&c)) {
            request_durable(d, message->id, index);
        }
    } else if (message->type == AUDIT_PROOF) {
        audit_proof(d, message);
    } else if (message->type == AUDIT_FAILED) {
        char sentence[512];
        (void)snprintf(sentence, sizeof sentence, "%.*s", (int)message->body_size,
                       (const char *)message->body);
        log_error(&d->log, "audit-failed", "%s", sentence);
        if (d->state == DAEMON_STARTING) {
            daemon_fail(d, DAEMON_EXIT_UNAVAILABLE, "audit-failed", sentence);
        }
    } else {
        log_error(&d->log, "audit-unknown", "buckler-audit sent message %u", message->type);
    }
}

static void audit_died(struct daemon *d, struct role *role) {
    d->counters.audit_restarts++;
    if (d->state == DAEMON_STARTING) {
        daemon_fail(d, DAEMON_EXIT_UNAVAILABLE, "audit-died", "buckler-audit ended before it was ready");
        return;
    }
    /* Records wait for the next life. When lives keep ending at once, clients get 503 and not silence. */
    if (role->delay_ms >= AUDIT_GIVE_UP_MS) {
        request_audit_lost(d);
    }
}

const struct role_type audit_role = {"buckler-audit", audit_started, audit_message, audit_died};
