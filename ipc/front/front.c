/* SPDX-License-Identifier: Apache-2.0 */
#include "ipc/front/front.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/fd.h"
#include "ipc/front/core.h"
#include "ipc/front/header.h"
#include "ipc/front/peers.h"
#include "ipc/front/sockets.h"

#define LOG_INTERVAL_NS (10u * 1000000000u)

struct front {
    struct ipc_settings *settings;
    const struct log *log;
    struct loop *loop;
    int core_socket;
    struct core *core;
    struct sockets *sockets;
    struct peers *peers;
    struct front_counters {
        struct sockets_counters sockets;
        uint64_t undeliverable; /* replies whose peer is gone or does not read */
        uint64_t turned_away;   /* refusals that the core never saw */
    } counters, logged;
    uint64_t logged_ns;
    struct buf scratch;
};

/* ---- from the client ---- */

/* For what cannot go through the core: its queue is full, or the client floods it with refusals. */
static void turn_away(struct front *front, const struct peer_route *route, struct ipc_request *request,
                      uint16_t status, const char *code, const char *detail) {
    header_refuse(request, status, code, "%s", detail);
    request->retry_after_ms = FRONT_RETRY_AFTER_MS;
    front->counters.turned_away++;
    buf_clear(&front->scratch);
    header_write_refusal(request, &front->scratch);
    struct sockets_frame frame = {.bytes = front->scratch.bytes, .size = front->scratch.size};
    if (front->scratch.failed || sockets_send(front->sockets, route, &frame, 1) < 0) {
        front->counters.undeliverable++;
    }
}

static int open_request(struct front *front, struct peer *peer, struct ipc_request *request, bool delimited,
                        uint64_t *ret_number) {
    int rc = peers_open(front->peers, peer, request, delimited, ret_number);
    if (rc == PEERS_E_DUPLICATE) {
        header_refuse(request, 409, "duplicate_id", "id: a request with this id is open on this connection");
        return peers_open(front->peers, peer, request, delimited, ret_number);
    }
    if (rc == PEERS_E_WINDOW && request->op == IPC_OP_CLASSIFY) {
        header_refuse(request, 429, "window", "%u requests of this connection are open, more are not taken",
                      front->settings->window);
        request->retry_after_ms = FRONT_RETRY_AFTER_MS;
        return peers_open(front->peers, peer, request, delimited, ret_number);
    }
    return rc;
}

static int copy_payloads(struct ipc_request *request, const struct sockets_message *message) {
    for (uint32_t i = 0; i < request->part_count; i++) {
        int fd = fd_sealed(message->parts[i].bytes, message->parts[i].size);
        if (fd < 0) {
            ipc_request_deinit(request);
            return fd;
        }
        request->parts[i].fd = fd;
    }
    return 0;
}

static void forward(struct front *front, const struct sockets_message *message, struct ipc_request *request,
                    uint64_t number) {
    int rc = copy_payloads(request, message);
    rc = rc == 0 ? core_send_request(front->core, number, request) : rc;
    if (rc != 0) {
        struct peer_route route;
        ipc_request_deinit(request);
        (void)peers_close(front->peers, number, &route);
        turn_away(front, &route, request, 503, "overloaded", "the daemon does not keep up; try again later");
    }
}

static void on_message(void *user, const struct sockets_message *message) {
    struct front *front = user;
    struct ipc_request request;
    struct header_frames frames = {.count = message->part_count,
                                   .part_bytes = front->settings->part_bytes,
                                   .total_bytes = front->settings->total_bytes};
    struct peer *peer = peers_connection(front->peers, &message->route, message->tenant);
    uint64_t number = 0;
    if (peer != NULL) {
        peer_note(peer, message->identity, message->stream);
    }
    memset(&request, 0, sizeof request);
    memcpy(request.tenant, message->tenant, strlen(message->tenant)); /* sockets.c has bounded it */
    request.connection = peer != NULL ? peer_number(peer) : 0;
    for (size_t i = 0; i < IPC_MAX_PARTS; i++) {
        frames.sizes[i] = message->parts[i].size;
    }
    header_read(message->header, message->header_size, &frames, &request);
    int rc =
        peer != NULL ? open_request(front, peer, &request, message->route.delimited, &number) : PEERS_E_FULL;
    if (rc == 0) {
        forward(front, message, &request, number);
    } else if (rc == PEERS_E_WINDOW) {
        turn_away(front, &message->route, &request, 429, "window",
                  "too many refused requests and control requests of this connection are unanswered");
    } else {
        turn_away(front, &message->route, &request, 503, "overloaded",
                  "too many requests are open; try again later");
    }
}

/* ---- from the core ---- */

/* Redacted parts come as sealed descriptors; they are mapped for the time of one send. */
struct mapped {
    size_t count;
    const uint8_t *bytes[IMSG_MAX_FDS];
    size_t sizes[IMSG_MAX_FDS];
};

static int map_parts(const struct imsg *message, struct mapped *ret) {
    for (size_t i = 0; i < message->fd_count; i++) {
        struct stat info;
        if (fstat(message->fds[i], &info) != 0 || info.st_size < 0 || info.st_size > IPC_MAX_TOTAL_BYTES) {
            return -EINVAL;
        }
        int rc = fd_map_sealed(message->fds[i], (size_t)info.st_size, &ret->bytes[i]);
        if (rc < 0) {
            return rc;
        }
        ret->sizes[i] = (size_t)info.st_size;
        ret->count = i + 1;
    }
    return 0;
}

static void on_reply(struct front *front, const struct imsg *message) {
    struct peer_route route;
    struct mapped parts = {0};
    struct sockets_frame frames[IMSG_MAX_FDS + 1] = {{.bytes = message->body, .size = message->body_size}};
    if (!peers_close(front->peers, message->id, &route)) {
        return; /* turned away meanwhile, or a second reply */
    }
    int rc = map_parts(message, &parts);
    for (size_t i = 0; i < parts.count; i++) {
        frames[i + 1] = (struct sockets_frame){.bytes = parts.bytes[i], .size = parts.sizes[i]};
    }
    if (rc < 0 || sockets_send(front->sockets, &route, frames, parts.count + 1) < 0) {
        front->counters.undeliverable++;
    }
    for (size_t i = 0; i < parts.count; i++) {
        fd_unmap(parts.bytes[i], parts.sizes[i]);
    }
}

static bool is_listed(void *user, const char *identity) {
    return sockets_lists(user, identity);
}

/* New lists of uids and keys; endpoints and limits stay. Who is not in them any more loses his connection. */
static void on_configure(struct front *front, const struct imsg *message) {
    struct ipc_settings changed;
    if (ipc_decode_settings(message, &changed) != 0) {
        log_error(front->log, "core-settings", "the core's new settings are malformed; the front ends");
        loop_stop(front->loop);
        return;
    }
    struct ipc_settings *s = front->settings;
    s->uid_count = changed.uid_count;
    memcpy(s->uids, changed.uids, sizeof s->uids);
    s->key_count = changed.key_count;
    memcpy(s->keys, changed.keys, sizeof s->keys);
    explicit_bzero(changed.curve_secret, sizeof changed.curve_secret);
    unsigned cut = peers_cut(front->peers, is_listed, front->sockets);
    if (cut > 0) {
        log_notice(front->log, "revoked", "%u connections ended: their key or uid is no longer listed", cut);
    }
}

static void on_core_message(void *user, struct imsg *message) {
    struct front *front = user;
    if (message->type == IPC_REPLY) {
        on_reply(front, message);
    } else if (message->type == IPC_CONFIGURE) {
        on_configure(front, message);
    } else {
        log_warning(front->log, "core-message", "a message of type 0x%04x from the core was ignored",
                    message->type);
    }
}

/* Counts that moved, at most once in LOG_INTERVAL_NS and only when something happens. */
static void log_counters(struct front *front) {
    uint64_t now = clock_monotonic_ns();
    front->counters.sockets = sockets_counted(front->sockets);
    const struct front_counters *c = &front->counters;
    if (memcmp(c, &front->logged, sizeof *c) == 0 || now - front->logged_ns < LOG_INTERVAL_NS) {
        return;
    }
    front->logged = *c;
    front->logged_ns = now;
    log_notice(front->log, "counts",
               "refused connections %llu, ended for want of descriptors %llu, messages without identity "
               "%llu, of revoked identities %llu, replies lost "
               "%llu, turned away %llu",
               (unsigned long long)c->sockets.strangers, (unsigned long long)c->sockets.crowded,
               (unsigned long long)c->sockets.nameless, (unsigned long long)c->sockets.revoked,
               (unsigned long long)c->undeliverable, (unsigned long long)c->turned_away);
}

static void on_core_round(void *user) {
    struct front *front = user;
    sockets_pump(front->sockets);
    log_counters(front);
}

static void on_core_gone(void *user) {
    struct front *front = user;
    log_notice(front->log, "core-gone", "the core is gone; so is the front");
    loop_stop(front->loop);
}

/* ---- set-up ---- */

int front_new(struct ipc_settings *settings, struct loop *loop, int core_socket, const struct log *log,
              struct front **ret, struct error *reterr) {
    struct front *front = calloc(1, sizeof *front);
    if (front == NULL) {
        return error_errno(reterr, ENOMEM, "no memory for the front");
    }
    struct core_calls calls = {
        .message = on_core_message, .round = on_core_round, .gone = on_core_gone, .user = front};
    front->settings = settings;
    front->log = log;
    front->loop = loop;
    front->core_socket = core_socket;
    front->peers = peers_new(settings->window, FRONT_MAX_CONNECTIONS, FRONT_MAX_OPEN);
    front->core = core_new(loop, core_socket, &calls);
    if (front->peers == NULL || front->core == NULL) {
        (void)front_free(front);
        return error_errno(reterr, ENOMEM, "no memory for the front");
    }
    header_prepare();
    int rc = sockets_new(settings, loop, on_message, front, &front->sockets, reterr);
    if (rc != 0) {
        (void)front_free(front);
        return rc;
    }
    *ret = front;
    return 0;
}

struct front *front_free(struct front *front) {
    if (front != NULL) {
        (void)sockets_free(front->sockets);
        (void)core_free(front->core);
        (void)peers_free(front->peers);
        buf_deinit(&front->scratch);
        free(front);
    }
    return NULL;
}

int front_announce(struct front *front) {
    buf_clear(&front->scratch);
    sockets_endpoints(front->sockets, &front->scratch);
    if (front->scratch.failed) {
        return -ENOMEM;
    }
    return imsg_send(front->core_socket, IPC_READY, 0, front->scratch.bytes, front->scratch.size, NULL, 0);
}
