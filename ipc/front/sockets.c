/* SPDX-License-Identifier: Apache-2.0
 *
 * The only file of the front that includes zmq.h. ZMQ_FD signals by edges: it may stay quiet although
 * messages wait, once one was taken or something was sent. So every pump receives until EAGAIN, which is when
 * libzmq looks at its mailbox; and when the bound of a round stops it earlier, a timer that is due at once
 * continues.
 *
 * A message is assembled frame by frame, because a client may send a million frames: what is too much is
 * thrown away as it comes, and the round's bound holds inside one message too.
 */
#include "ipc/front/sockets.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zmq.h>

#include "ipc/front/endpoint.h"
#include "ipc/front/zap.h"

enum {
    ROUND_FRAMES = 256,
    ROUND_QUESTIONS = 64,
    ZAP_FRAMES = 7,
    ZAP_FRAME_BYTES = 256,
    CURVE_KEY_BYTES = 32,
    SELF_TEST_MS = 2000,
};

enum stage { STAGE_ROUTE = 1, STAGE_FIRST, STAGE_PAYLOAD };

struct assembly {
    enum stage stage;
    struct peer_route route;
    bool named, has_header;
    char tenant[IPC_NAME_SIZE];
    size_t header_size, part_count, kept;
    zmq_msg_t header;
    zmq_msg_t parts[IPC_MAX_PARTS];
};

struct router {
    struct sockets *sockets;
    void *socket; /* NULL: no endpoint on this plane */
    struct loop_source *source, *again;
    struct assembly assembly;
};

struct sockets {
    void *context, *zap;
    struct loop_source *zap_source, *zap_again;
    struct zap_rules rules;
    struct router routers[PLANE_COUNT];
    sockets_message_fn *fn;
    void *user;
    struct sockets_counters counters;
    struct buf endpoints;
    uint32_t bound; /* so many of the settings' endpoints */
};

/* ---- the ZAP handler
 * ------------------------------------------------------------------------------------------- */

struct zap_frames {
    size_t count;
    size_t sizes[ZAP_FRAMES];
    char bytes[ZAP_FRAMES][ZAP_FRAME_BYTES]; /* each with a NUL behind it */
};

enum zap_frame { ZAP_VERSION, ZAP_ID, ZAP_DOMAIN, ZAP_ADDRESS, ZAP_IDENTITY, ZAP_MECHANISM, ZAP_CREDENTIALS };

/* One whole question; false when none waits. Frames that are too long or too many make it invalid (count 0).
 */
static bool zap_receive(void *zap, struct zap_frames *ret) {
    bool valid = true;
    int more = 1;
    size_t size = sizeof more;
    memset(ret, 0, sizeof *ret);
    while (more != 0) {
        char space[ZAP_FRAME_BYTES];
        int got = zmq_recv(zap, space, sizeof space, ZMQ_DONTWAIT);
        if (got < 0) {
            return false;
        }
        if (ret->count < ZAP_FRAMES && (size_t)got < sizeof space) {
            memcpy(ret->bytes[ret->count], space, (size_t)got);
            ret->sizes[ret->count++] = (size_t)got;
        } else {
            valid = false;
        }
        if (zmq_getsockopt(zap, ZMQ_RCVMORE, &more, &size) != 0) {
            return false;
        }
    }
    ret->count = valid ? ret->count : 0;
    return true;
}

static int zap_answer(const struct sockets *sockets, const struct zap_frames *frames,
                      char ret_tenant[IPC_NAME_SIZE]) {
    char key[IPC_KEY_SIZE] = "";
    bool has_key = frames->count == ZAP_FRAMES && frames->sizes[ZAP_CREDENTIALS] == CURVE_KEY_BYTES;
    if (frames->count <= ZAP_MECHANISM || strcmp(frames->bytes[ZAP_VERSION], "1.0") != 0) {
        return ZAP_REFUSED;
    }
    if (has_key &&
        zmq_z85_encode(key, (const uint8_t *)frames->bytes[ZAP_CREDENTIALS], CURVE_KEY_BYTES) == NULL) {
        return ZAP_REFUSED;
    }
    struct zap_question question = {.domain = frames->bytes[ZAP_DOMAIN],
                                    .address = frames->bytes[ZAP_ADDRESS],
                                    .mechanism = frames->bytes[ZAP_MECHANISM],
                                    .public_key = has_key ? key : NULL};
    return zap_decide(&sockets->rules, &question, ret_tenant);
}

/* libzmq takes a missing or late answer for a refusal, so errors of the sends need no care. */
static void zap_reply(void *zap, const struct zap_frames *frames, int status, const char *tenant) {
    char code[8];
    const char *text = status == ZAP_OK ? "OK" : "not listed";
    (void)snprintf(code, sizeof code, "%d", status);
    (void)zmq_send(zap, "1.0", 3, ZMQ_SNDMORE);
    (void)zmq_send(zap, frames->bytes[ZAP_ID], frames->sizes[ZAP_ID], ZMQ_SNDMORE);
    (void)zmq_send(zap, code, strlen(code), ZMQ_SNDMORE);
    (void)zmq_send(zap, text, strlen(text), ZMQ_SNDMORE);
    (void)zmq_send(zap, tenant, strlen(tenant), ZMQ_SNDMORE);
    (void)zmq_send(zap, "", 0, 0);
}

static void zap_pump(void *user) {
    struct sockets *sockets = user;
    struct zap_frames frames;
    for (unsigned i = 0; i < ROUND_QUESTIONS; i++) {
        char tenant[IPC_NAME_SIZE] = "";
        if (!zap_receive(sockets->zap, &frames)) {
            return;
        }
        int status = zap_answer(sockets, &frames, tenant);
        sockets->counters.strangers += status != ZAP_OK;
        zap_reply(sockets->zap, &frames, status, status == ZAP_OK ? tenant : "");
    }
    loop_arm(sockets->zap_again, 1);
}

static void on_zap(void *user, uint32_t events) {
    (void)events;
    zap_pump(user);
}

/* ---- receiving
 * ------------------------------------------------------------------------------------------------- */

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
    const char *tenant = zmq_msg_gets(frame, "User-Id");
    size_t length = tenant != NULL ? strlen(tenant) : 0;
    a->named = length > 0 && length < sizeof a->tenant;
    if (a->named) {
        memcpy(a->tenant, tenant, length + 1);
    } else {
        router->sockets->counters.nameless++;
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

/* ---- sending
 * --------------------------------------------------------------------------------------------------- */

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

/* ---- options
 * --------------------------------------------------------------------------------------------------- */

static int set_int(void *socket, int option, int value, const char *name, struct error *reterr) {
    if (zmq_setsockopt(socket, option, &value, sizeof value) != 0) {
        return error_set(reterr, -errno, "libzmq refuses %s: %s", name, zmq_strerror(errno));
    }
    return 0;
}

static int set_common(void *socket, struct error *reterr) {
    static const struct {
        int option, value;
        const char *name;
    } table[] = {
        {ZMQ_ROUTER_MANDATORY, 1, "ROUTER_MANDATORY"}, /* a reply to nobody is an error, not silence */
        {ZMQ_ROUTER_HANDOVER, 0, "ROUTER_HANDOVER"},   /* nobody takes over another one's routing id */
        {ZMQ_SNDHWM, 256, "SNDHWM"},
        {ZMQ_RCVHWM, 64, "RCVHWM"},
        {ZMQ_LINGER, 2000, "LINGER"},
        {ZMQ_BACKLOG, 1024, "BACKLOG"},
        {ZMQ_HANDSHAKE_IVL, 2000, "HANDSHAKE_IVL"}, /* half-open connections cost descriptors */
        {ZMQ_HEARTBEAT_IVL, 5000, "HEARTBEAT_IVL"},
        {ZMQ_HEARTBEAT_TIMEOUT, 15000, "HEARTBEAT_TIMEOUT"},
        {ZMQ_HEARTBEAT_TTL, 15000, "HEARTBEAT_TTL"},
        {ZMQ_TCP_KEEPALIVE, 1, "TCP_KEEPALIVE"},
        {ZMQ_TCP_KEEPALIVE_IDLE, 60, "TCP_KEEPALIVE_IDLE"},
        {ZMQ_TCP_KEEPALIVE_INTVL, 10, "TCP_KEEPALIVE_INTVL"},
        {ZMQ_TCP_KEEPALIVE_CNT, 3, "TCP_KEEPALIVE_CNT"},
    };
    int rc = 0;
    for (size_t i = 0; i < sizeof table / sizeof *table && rc == 0; i++) {
        rc = set_int(socket, table[i].option, table[i].value, table[i].name, reterr);
    }
    /* libzmq drops the connection of a larger frame without a word; up to here the client gets its 413. */
    int64_t most = IPC_MAX_TOTAL_BYTES;
    if (rc == 0 && zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &most, sizeof most) != 0) {
        rc = error_set(reterr, -errno, "libzmq refuses MAXMSGSIZE: %s", zmq_strerror(errno));
    }
    return rc;
}

/* A ROUTER of a plane: with the domain set, libzmq asks the ZAP handler about every connection. */
static int open_router(struct sockets *sockets, enum endpoint_plane plane, void **ret, struct error *reterr) {
    static const char *const domains[PLANE_COUNT] = {[PLANE_IPC] = ZAP_DOMAIN_IPC,
                                                     [PLANE_LOOPBACK] = ZAP_DOMAIN_LOOPBACK,
                                                     [PLANE_CURVE] = ZAP_DOMAIN_CURVE};
    const struct ipc_settings *settings = sockets->rules.settings;
    void *socket = zmq_socket(sockets->context, ZMQ_ROUTER);
    if (socket == NULL) {
        return error_set(reterr, -errno, "no ZeroMQ socket: %s", zmq_strerror(errno));
    }
    int rc = set_common(socket, reterr);
    if (rc == 0 && zmq_setsockopt(socket, ZMQ_ZAP_DOMAIN, domains[plane], strlen(domains[plane])) != 0) {
        rc = error_set(reterr, -errno, "libzmq refuses ZAP_DOMAIN: %s", zmq_strerror(errno));
    }
    if (rc == 0 && plane == PLANE_CURVE) {
        rc = set_int(socket, ZMQ_CURVE_SERVER, 1, "CURVE_SERVER", reterr);
        if (rc == 0 &&
            zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, settings->curve_secret, IPC_KEY_SIZE - 1) != 0) {
            rc = error_set(reterr, -errno, "the server's CURVE key is not a valid Z85 key of 40 characters");
        }
    }
    if (rc < 0) {
        (void)zmq_close(socket);
        return rc;
    }
    *ret = socket;
    return 0;
}

/* ---- the self-test
 * --------------------------------------------------------------------------------------------- */

/* A client that only tries to connect. */
static int open_stranger(struct sockets *sockets, enum endpoint_plane plane, const char *endpoint,
                         void **ret) {
    char public_key[IPC_KEY_SIZE];
    char secret_key[IPC_KEY_SIZE];
    char server_key[IPC_KEY_SIZE];
    void *socket = zmq_socket(sockets->context, ZMQ_DEALER);
    int linger = 0;
    if (socket == NULL) {
        return -errno;
    }
    int rc = zmq_setsockopt(socket, ZMQ_LINGER, &linger, sizeof linger);
    if (rc == 0 && plane == PLANE_CURVE) {
        rc = zmq_curve_keypair(public_key, secret_key);
        rc = rc != 0 ? rc : zmq_curve_public(server_key, sockets->rules.settings->curve_secret);
        rc = rc != 0 ? rc : zmq_setsockopt(socket, ZMQ_CURVE_SERVERKEY, server_key, IPC_KEY_SIZE - 1);
        rc = rc != 0 ? rc : zmq_setsockopt(socket, ZMQ_CURVE_PUBLICKEY, public_key, IPC_KEY_SIZE - 1);
        rc = rc != 0 ? rc : zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, secret_key, IPC_KEY_SIZE - 1);
    }
    rc = rc != 0 ? rc : zmq_connect(socket, endpoint);
    if (rc != 0) {
        rc = -errno;
        (void)zmq_close(socket);
        return rc;
    }
    *ret = socket;
    return 0;
}

/* The first event of the monitor within SELF_TEST_MS, answering the ZAP handler's questions meanwhile; 0:
 * none. */
static int wait_for_event(struct sockets *sockets, void *monitor) {
    zmq_pollitem_t items[2] = {{.socket = monitor, .events = ZMQ_POLLIN},
                               {.socket = sockets->zap, .events = ZMQ_POLLIN}};
    uint8_t event[6]; /* u16 event, u32 value; the endpoint follows in a second frame */
    while (zmq_poll(items, 2, SELF_TEST_MS) > 0) {
        if ((items[1].revents & ZMQ_POLLIN) != 0) {
            zap_pump(sockets);
        }
        if ((items[0].revents & ZMQ_POLLIN) != 0) {
            uint16_t number = 0;
            if (zmq_recv(monitor, event, sizeof event, 0) != (int)sizeof event) {
                return 0;
            }
            memcpy(&number, event, sizeof number);
            return number;
        }
    }
    return 0;
}

/* Binds a scratch socket of the plane, lets an identity connect that is not listed, and returns 0 only when
 * libzmq reports that the handler refused it: libzmq serves everybody when the handler is not asked. */
static int refuses_stranger(struct sockets *sockets, enum endpoint_plane plane, const char *scratch,
                            struct error *reterr) {
    static const char monitor_name[] = "inproc://front.self-test";
    char endpoint[256];
    size_t size = sizeof endpoint;
    void *server = NULL;
    void *client = NULL;
    int event = 0;
    int rc = open_router(sockets, plane, &server, reterr);
    if (rc < 0) {
        return rc;
    }
    void *monitor = zmq_socket(sockets->context, ZMQ_PAIR);
    if (monitor != NULL &&
        zmq_socket_monitor(server, monitor_name,
                           ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH |
                               ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL) ==
            0 &&
        zmq_connect(monitor, monitor_name) == 0 && zmq_bind(server, scratch) == 0 &&
        zmq_getsockopt(server, ZMQ_LAST_ENDPOINT, endpoint, &size) == 0 &&
        open_stranger(sockets, plane, endpoint, &client) == 0) {
        event = wait_for_event(sockets, monitor);
        (void)zmq_close(client);
    }
    (void)zmq_socket_monitor(server, NULL, 0);
    if (monitor != NULL) {
        (void)zmq_close(monitor);
    }
    (void)zmq_close(server);
    if (event != ZMQ_EVENT_HANDSHAKE_FAILED_AUTH) {
        return error_set(reterr, -EACCES,
                         "self-test: an identity that is not listed was not refused (event 0x%x)",
                         (unsigned)event);
    }
    return 0;
}

static int self_test(struct sockets *sockets, struct error *reterr) {
    const struct zap_rules rules = sockets->rules;
    struct ipc_settings strange = *rules.settings;
    char scratch[64];
    uint64_t unique = 0;
    if (getrandom(&unique, sizeof unique, 0) != (ssize_t)sizeof unique) {
        return error_errno(reterr, errno, "self-test: no randomness");
    }
    /* The only listed uid is one that is not ours: now we are the stranger. */
    strange.uid_count = 1;
    strange.uids[0] = rules.own_uid + 1;
    strange.key_count = 0;
    sockets->rules.settings = &strange;
    (void)snprintf(scratch, sizeof scratch, "ipc://@buckler-front-%016llx", (unsigned long long)unique);
    int rc = refuses_stranger(sockets, PLANE_IPC, scratch, reterr);
    if (rc == 0 && strange.curve_secret[0] != '\0') {
        rc = refuses_stranger(sockets, PLANE_CURVE, "tcp://127.0.0.1:*", reterr);
    }
    sockets->rules.settings = rules.settings;
    sockets->counters = (struct sockets_counters){0};
    return rc;
}

/* ---- set-up
 * ---------------------------------------------------------------------------------------------------- */

static int add_to_loop(struct loop *loop, void *socket, loop_file_fn *on_file, loop_timer_fn *on_timer,
                       void *user, struct loop_source **ret_source, struct loop_source **ret_again) {
    int fd = -1;
    size_t size = sizeof fd;
    if (zmq_getsockopt(socket, ZMQ_FD, &fd, &size) != 0) {
        return -errno;
    }
    *ret_source = loop_add_file(loop, fd, EPOLLIN, on_file, user);
    *ret_again = loop_add_timer(loop, on_timer, user);
    if (*ret_source == NULL || *ret_again == NULL) {
        return -ENOMEM;
    }
    loop_arm(*ret_again, 1); /* what came before the descriptor was watched */
    return 0;
}

static int open_zap(struct sockets *sockets, struct loop *loop, struct error *reterr) {
    sockets->zap = zmq_socket(sockets->context, ZMQ_REP);
    int linger = 0;
    if (sockets->zap == NULL || zmq_setsockopt(sockets->zap, ZMQ_LINGER, &linger, sizeof linger) != 0 ||
        zmq_bind(sockets->zap, "inproc://zeromq.zap.01") != 0) {
        return error_set(reterr, -errno, "the ZAP handler cannot be bound: %s", zmq_strerror(errno));
    }
    int rc =
        add_to_loop(loop, sockets->zap, on_zap, zap_pump, sockets, &sockets->zap_source, &sockets->zap_again);
    return rc < 0 ? error_errno(reterr, -rc, "the ZAP handler cannot be watched") : 0;
}

static int bind_endpoint(struct sockets *sockets, struct loop *loop, const char *endpoint,
                         struct error *reterr) {
    enum endpoint_plane plane = PLANE_INVALID;
    char bound[512];
    size_t size = sizeof bound;
    int rc = endpoint_check(sockets->rules.settings, endpoint, &plane, reterr);
    rc = rc != 0 ? rc : endpoint_clear(endpoint, reterr);
    if (rc != 0) {
        return rc;
    }
    struct router *router = &sockets->routers[plane];
    if (router->socket == NULL) {
        rc = open_router(sockets, plane, &router->socket, reterr);
        if (rc == 0) {
            rc = add_to_loop(loop, router->socket, on_router, router_pump, router, &router->source,
                             &router->again);
            rc = rc < 0 ? error_errno(reterr, -rc, "a ZeroMQ socket cannot be watched") : 0;
        }
        if (rc < 0) {
            return rc;
        }
    }
    router->assembly.route.socket = plane;
    rc = set_int(router->socket, ZMQ_IPV6, strchr(endpoint, '[') != NULL, "IPV6", reterr);
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
    if (sockets->rules.settings->curve_secret[0] != '\0' && !zmq_has("curve")) {
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
    sockets->rules = (struct zap_rules){.settings = settings, .own_uid = getuid()};
    sockets->fn = fn;
    sockets->user = user;
    for (unsigned i = 0; i < PLANE_COUNT; i++) {
        sockets->routers[i].sockets = sockets;
        sockets->routers[i].assembly.stage = STAGE_ROUTE;
    }
    int rc = open_context(sockets, reterr);
    rc = rc != 0 ? rc : open_zap(sockets, loop, reterr);
    rc = rc != 0 ? rc : self_test(sockets, reterr);
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
        reset(&router->assembly);
        if (router->socket != NULL) {
            (void)zmq_close(router->socket);
        }
    }
    (void)loop_remove(sockets->zap_source);
    (void)loop_remove(sockets->zap_again);
    if (sockets->zap != NULL) {
        (void)zmq_close(sockets->zap);
    }
    if (sockets->context != NULL) {
        (void)zmq_ctx_term(sockets->context);
    }
    for (uint32_t i = 0; i < sockets->bound; i++) {
        endpoint_remove(sockets->rules.settings->endpoints[i]);
    }
    buf_deinit(&sockets->endpoints);
    free(sockets);
    return NULL;
}

void sockets_endpoints(const struct sockets *sockets, struct buf *out) {
    buf_append(out, sockets->endpoints.bytes, sockets->endpoints.size);
}

struct sockets_counters sockets_counted(const struct sockets *sockets) {
    return sockets->counters;
}
