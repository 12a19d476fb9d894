/* SPDX-License-Identifier: Apache-2.0
 *
 * ZMQ_FD signals by edges: it may stay quiet although
 * messages wait, once one was taken or something was sent. So every pump receives until EAGAIN, which is when
 * libzmq looks at its mailbox; and when the bound of a round stops it earlier, a timer that is due at once
 * continues.
 *
 * A message is assembled frame by frame, because a client may send a million frames: what is too much is
 * thrown away as it comes, and the round's bound holds inside one message too.
 */
#include "ipc/front/sockets.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <zmq.h>

#include "ipc/front/accepts.h"
#include "ipc/front/endpoint.h"
#include "ipc/front/gate.h"

enum {
    ROUND_FRAMES = 256,
};

enum stage { STAGE_ROUTE = 1, STAGE_FIRST, STAGE_PAYLOAD };

struct assembly {
    enum stage stage;
    struct peer_route route;
    bool named, has_header;
    char tenant[IPC_NAME_SIZE], identity[IPC_NAME_SIZE];
    int stream;
    size_t header_size, part_count, kept;
    zmq_msg_t header;
    zmq_msg_t parts[IPC_MAX_PARTS];
};

struct router {
    struct sockets *sockets;
    void *socket; /* NULL: no endpoint on this plane */
    struct loop_source *source, *again;
    struct accepts *accepts;
    struct assembly assembly;
};

struct sockets {
    const struct ipc_settings *settings;
    void *context;
    struct gate *gate;
    struct router routers[PLANE_COUNT];
    sockets_message_fn *fn;
    void *user;
    uint64_t nameless, revoked;
    struct buf endpoints;
    uint32_t bound; /* so many of the settings' endpoints */
};

/* ---- receiving ---- */

static void drop_parts(struct assembly *a) {
    for (size_t i = 0; i < a->kept; i++) {
        (void)zmq_msg_close(&a->parts[i]);
    }
    a->kept = 0;
}

static void reset(struct assembly *a) {
    drop_parts(a);
    if (a->has_header) {
        (void)zmq_msg_close(&a->header);
    }
    a->has_header = false;
    a->named = false;
    a->route.delimited = false;
    a->header_size = 0;
    a->part_count = 0;
    a->stage = STAGE_ROUTE;
}

static void keep(zmq_msg_t *place, zmq_msg_t *frame) {
    (void)zmq_msg_init(place);
    (void)zmq_msg_move(place, frame);
}

static void take_route(struct router *router, zmq_msg_t *frame) {
    struct assembly *a = &router->assembly;
    size_t size = zmq_msg_size(frame);
    a->route.routing_id_size = size < PEERS_ROUTING_ID_BYTES ? size : PEERS_ROUTING_ID_BYTES;
    memcpy(a->route.routing_id, zmq_msg_data(frame), a->route.routing_id_size);
    a->stage = STAGE_FIRST;
}

/* The first frame behind the route: REQ's empty delimiter, or the header. */
static void take_first(struct router *router, zmq_msg_t *frame) {
    struct assembly *a = &router->assembly;
    size_t size = zmq_msg_size(frame);
    if (size == 0 && !a->route.delimited) {
        a->route.delimited = true; /* alone it is what ZMQ_PROBE_ROUTER sends: ignored */
        return;
    }
    const char *identity = zmq_msg_gets(frame, "User-Id");
    size_t length = identity != NULL ? strlen(identity) : 0;
    a->named = length > 0 && length < sizeof a->identity;
    a->stream = zmq_msg_get(frame, ZMQ_SRCFD);
    if (!a->named) {
        router->sockets->nameless++;
    } else {
        memcpy(a->identity, identity, length + 1);
        a->named = gate_tenant(router->sockets->gate, a->identity, a->tenant);
        if (!a->named) { /* listed when it connected, and not any more */
            router->sockets->revoked++;
            (void)shutdown(a->stream, SHUT_RDWR);
        }
    }
    a->header_size = size;
    a->stage = STAGE_PAYLOAD;
    if (size <= IPC_MAX_HEADER_BYTES) {
        keep(&a->header, frame);
        a->has_header = true;
    }
}

static void take_payload(struct assembly *a, zmq_msg_t *frame) {
    if (a->part_count < IPC_MAX_PARTS && a->named) {
        keep(&a->parts[a->kept++], frame);
    } else {
        drop_parts(a);
    }
    a->part_count++;
}

static void deliver(struct router *router) {
    struct assembly *a = &router->assembly;
    if (a->stage == STAGE_PAYLOAD && a->named) {
        struct sockets_message message = {.route = a->route,
                                          .tenant = a->tenant,
                                          .identity = a->identity,
                                          .stream = a->stream,
                                          .header_size = a->header_size,
                                          .part_count = a->part_count};
        message.header = a->has_header ? zmq_msg_data(&a->header) : NULL;
        for (size_t i = 0; i < a->kept; i++) {
            message.parts[i].bytes = zmq_msg_data(&a->parts[i]);
            message.parts[i].size = zmq_msg_size(&a->parts[i]);
        }
        router->sockets->fn(router->sockets->user, &message);
    }
    reset(a);
}

/* One frame; false when none waits. */
static bool take_frame(struct router *router) {
    zmq_msg_t frame;
    (void)zmq_msg_init(&frame);
    int got = 0;
    do {
        got = zmq_msg_recv(&frame, router->socket, ZMQ_DONTWAIT);
    } while (got < 0 && errno == EINTR);
    if (got < 0) {
        (void)zmq_msg_close(&frame);
        return false;
    }
    bool more = zmq_msg_more(&frame) != 0;
    if (router->assembly.stage == STAGE_ROUTE) {
        take_route(router, &frame);
    } else if (router->assembly.stage == STAGE_FIRST) {
        take_first(router, &frame);
    } else {
        take_payload(&router->assembly, &frame);
    }
    (void)zmq_msg_close(&frame);
    if (!more) {
        deliver(router);
    }
    return true;
}

static void router_pump(void *user) {
    struct router *router = user;
    for (unsigned i = 0; i < ROUND_FRAMES; i++) {
        if (!take_frame(router)) {
            return;
        }
    }
    loop_arm(router->again, 1);
}

static void on_router(void *user, uint32_t events) {
    (void)events;
    router_pump(user);
}

void sockets_pump(struct sockets *sockets) {
    for (unsigned i = 0; i < PLANE_COUNT; i++) {
        if (sockets->routers[i].socket != NULL) {
            router_pump(&sockets->routers[i]);
        }
    }
}

/* ---- sending ---- */

int sockets_send(struct sockets *sockets, const struct peer_route *route, const struct sockets_frame *frames,
                 size_t count) {
    void *socket = route->socket < PLANE_COUNT ? sockets->routers[route->socket].socket : NULL;
    if (socket == NULL || count == 0) {
        return -EINVAL;
    }
    if (zmq_send(socket, route->routing_id, route->routing_id_size, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0 ||
        (route->delimited && zmq_send(socket, "", 0, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0)) {
        return -errno;
    }
    for (size_t i = 0; i < count; i++) {
        int flags = ZMQ_DONTWAIT | (i + 1 < count ? ZMQ_SNDMORE : 0);
        if (zmq_send(socket, frames[i].bytes, frames[i].size, flags) < 0) {
            return -errno;
        }
    }
    return 0;
}

/* ---- set-up ---- */

static int bind_endpoint(struct sockets *sockets, struct loop *loop, const char *endpoint,
                         struct error *reterr) {
    enum endpoint_plane plane = PLANE_INVALID;
    char bound[512];
    size_t size = sizeof bound;
    int rc = endpoint_check(sockets->settings, endpoint, &plane, reterr);
    rc = rc != 0 ? rc : endpoint_clear(endpoint, reterr);
    if (rc != 0) {
        return rc;
    }
    struct router *router = &sockets->routers[plane];
    if (router->socket == NULL) {
        rc = gate_open_router(sockets->gate, plane, &router->socket, reterr);
        if (rc == 0) {
            rc = gate_watch(loop, router->socket, on_router, router_pump, router, &router->source,
                            &router->again);
            rc = rc < 0 ? error_errno(reterr, -rc, "a ZeroMQ socket cannot be watched") : 0;
        }
        rc = rc != 0 ? rc
                     : accepts_watch(sockets->context, router->socket, plane, loop, &router->accepts, reterr);
        if (rc < 0) {
            return rc;
        }
    }
    router->assembly.route.socket = plane;
    rc = gate_set_int(router->socket, ZMQ_IPV6, strchr(endpoint, '[') != NULL, "IPV6", reterr);
    if (rc < 0) {
        return rc;
    }
    mode_t mask = umask(0117); /* the socket file gets mode 0660, from its first moment */
    int failed = zmq_bind(router->socket, endpoint) != 0 ? errno : 0;
    (void)umask(mask);
    if (failed != 0) {
        return error_set(reterr, -failed, "%s cannot be bound: %s", endpoint, zmq_strerror(failed));
    }
    if (zmq_getsockopt(router->socket, ZMQ_LAST_ENDPOINT, bound, &size) != 0) {
        return error_set(reterr, -errno, "%s: libzmq does not say where it is bound", endpoint);
    }
    buf_printf(&sockets->endpoints, "%s%s", sockets->endpoints.size > 0 ? "\n" : "", bound);
    return 0;
}

static int open_context(struct sockets *sockets, struct error *reterr) {
    sockets->context = zmq_ctx_new();
    if (sockets->context == NULL || zmq_ctx_set(sockets->context, ZMQ_IO_THREADS, 1) != 0) {
        return error_set(reterr, -errno, "libzmq does not start: %s", zmq_strerror(errno));
    }
    if (sockets->settings->curve_secret[0] != '\0' && !zmq_has("curve")) {
        return error_set(reterr, -ENOTSUP, "this libzmq was built without CURVE");
    }
    return 0;
}

int sockets_new(const struct ipc_settings *settings, struct loop *loop, sockets_message_fn *fn, void *user,
                struct sockets **ret, struct error *reterr) {
    struct sockets *sockets = calloc(1, sizeof *sockets);
    if (sockets == NULL) {
        return error_errno(reterr, ENOMEM, "no memory for the sockets");
    }
    sockets->settings = settings;
    sockets->fn = fn;
    sockets->user = user;
    for (unsigned i = 0; i < PLANE_COUNT; i++) {
        sockets->routers[i].sockets = sockets;
        sockets->routers[i].assembly.stage = STAGE_ROUTE;
    }
    int rc = open_context(sockets, reterr);
    rc = rc != 0 ? rc : gate_new(sockets->context, settings, loop, &sockets->gate, reterr);
    rc = rc != 0 ? rc : gate_self_test(sockets->gate, reterr);
    for (uint32_t i = 0; i < settings->endpoint_count && rc == 0; i++) {
        rc = bind_endpoint(sockets, loop, settings->endpoints[i], reterr);
        sockets->bound += rc == 0;
    }
    if (rc != 0) {
        (void)sockets_free(sockets);
        return rc;
    }
    *ret = sockets;
    return 0;
}

struct sockets *sockets_free(struct sockets *sockets) {
    if (sockets == NULL) {
        return NULL;
    }
    for (unsigned i = 0; i < PLANE_COUNT; i++) {
        struct router *router = &sockets->routers[i];
        (void)loop_remove(router->source);
        (void)loop_remove(router->again);
        router->accepts = accepts_free(router->accepts);
        reset(&router->assembly);
        if (router->socket != NULL) {
            (void)zmq_close(router->socket);
        }
    }
    (void)gate_free(sockets->gate);
    if (sockets->context != NULL) {
        (void)zmq_ctx_term(sockets->context);
    }
    for (uint32_t i = 0; i < sockets->bound; i++) {
        endpoint_remove(sockets->settings->endpoints[i]);
    }
    buf_deinit(&sockets->endpoints);
    free(sockets);
    return NULL;
}

void sockets_endpoints(const struct sockets *sockets, struct buf *out) {
    buf_append(out, sockets->endpoints.bytes, sockets->endpoints.size);
}

bool sockets_lists(const struct sockets *sockets, const char *identity) {
    char tenant[IPC_NAME_SIZE];
    return gate_tenant(sockets->gate, identity, tenant);
}

struct sockets_counters sockets_counted(const struct sockets *sockets) {
    uint64_t crowded = 0;
    for (unsigned i = 0; i < PLANE_COUNT; i++) {
        crowded += accepts_turned_away(sockets->routers[i].accepts);
    }
    return (struct sockets_counters){.crowded = crowded,
                                     .strangers = gate_strangers(sockets->gate),
                                     .nameless = sockets->nameless,
                                     .revoked = sockets->revoked};
}
