/* SPDX-License-Identifier: Apache-2.0
 *
 * With sockets.c and accepts.c the only file of the front that includes zmq.h. The ZAP handler is a REP
 * socket that the loop watches; libzmq's I/O thread asks it about each connection and lets the client wait
 * meanwhile.
 */
#include "ipc/front/gate.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <unistd.h>
#include <zmq.h>

enum {
    ROUND_QUESTIONS = 64,
    ZAP_FRAMES = 7,
    ZAP_FRAME_BYTES = 256,
    CURVE_KEY_BYTES = 32,
    SELF_TEST_MS = 2000,
    LEAST_SNDHWM = 64,
};

struct gate {
    void *context, *zap;
    struct loop_source *source, *again;
    struct zap_rules rules;
    uint64_t strangers;
};

/* ---- the ZAP handler ---- */

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

static int zap_answer(const struct gate *gate, const struct zap_frames *frames,
                      char ret_identity[IPC_NAME_SIZE]) {
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
    return zap_decide(&gate->rules, &question, ret_identity);
}

/* libzmq takes a missing or late answer for a refusal, so errors of the sends need no care. */
static void zap_reply(void *zap, const struct zap_frames *frames, int status, const char *identity) {
    char code[8];
    const char *text = status == ZAP_OK ? "OK" : "not listed";
    (void)snprintf(code, sizeof code, "%d", status);
    (void)zmq_send(zap, "1.0", 3, ZMQ_SNDMORE);
    (void)zmq_send(zap, frames->bytes[ZAP_ID], frames->sizes[ZAP_ID], ZMQ_SNDMORE);
    (void)zmq_send(zap, code, strlen(code), ZMQ_SNDMORE);
    (void)zmq_send(zap, text, strlen(text), ZMQ_SNDMORE);
    (void)zmq_send(zap, identity, strlen(identity), ZMQ_SNDMORE);
    (void)zmq_send(zap, "", 0, 0);
}

static void zap_pump(void *user) {
    struct gate *gate = user;
    struct zap_frames frames;
    for (unsigned i = 0; i < ROUND_QUESTIONS; i++) {
        char identity[IPC_NAME_SIZE] = "";
        if (!zap_receive(gate->zap, &frames)) {
            return;
        }
        int status = zap_answer(gate, &frames, identity);
        gate->strangers += status != ZAP_OK;
        zap_reply(gate->zap, &frames, status, status == ZAP_OK ? identity : "");
    }
    loop_arm(gate->again, 1);
}

static void on_zap(void *user, uint32_t events) {
    (void)events;
    zap_pump(user);
}

/* ---- options ---- */

int gate_set_int(void *socket, int option, int value, const char *name, struct error *reterr) {
    if (zmq_setsockopt(socket, option, &value, sizeof value) != 0) {
        return error_set(reterr, -errno, "libzmq refuses %s: %s", name, zmq_strerror(errno));
    }
    return 0;
}

static int set_common(void *socket, uint32_t window, struct error *reterr) {
    static const struct {
        int option, value;
        const char *name;
    } table[] = {
        {ZMQ_ROUTER_MANDATORY, 1, "ROUTER_MANDATORY"}, /* a reply to nobody is an error, not silence */
        {ZMQ_ROUTER_HANDOVER, 0, "ROUTER_HANDOVER"},   /* nobody takes over another one's routing id */
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
    /* Room for every reply that a peer may have open, so that a slow reader loses none of them. */
    uint32_t replies = window < (1u << 16) ? 2 * window + LEAST_SNDHWM : 1u << 17;
    int rc = gate_set_int(socket, ZMQ_SNDHWM, (int)replies, "SNDHWM", reterr);
    for (size_t i = 0; i < sizeof table / sizeof *table && rc == 0; i++) {
        rc = gate_set_int(socket, table[i].option, table[i].value, table[i].name, reterr);
    }
    /* libzmq drops the connection of a larger frame without a word; up to here the client gets its 413. */
    int64_t most = IPC_MAX_TOTAL_BYTES;
    if (rc == 0 && zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &most, sizeof most) != 0) {
        rc = error_set(reterr, -errno, "libzmq refuses MAXMSGSIZE: %s", zmq_strerror(errno));
    }
    return rc;
}

int gate_open_router(struct gate *gate, enum endpoint_plane plane, void **ret, struct error *reterr) {
    static const char *const domains[PLANE_COUNT] = {[PLANE_IPC] = ZAP_DOMAIN_IPC,
                                                     [PLANE_LOOPBACK] = ZAP_DOMAIN_LOOPBACK,
                                                     [PLANE_CURVE] = ZAP_DOMAIN_CURVE};
    const struct ipc_settings *settings = gate->rules.settings;
    void *socket = zmq_socket(gate->context, ZMQ_ROUTER);
    if (socket == NULL) {
        return error_set(reterr, -errno, "no ZeroMQ socket: %s", zmq_strerror(errno));
    }
    int rc = set_common(socket, settings->window, reterr);
    if (rc == 0 && zmq_setsockopt(socket, ZMQ_ZAP_DOMAIN, domains[plane], strlen(domains[plane])) != 0) {
        rc = error_set(reterr, -errno, "libzmq refuses ZAP_DOMAIN: %s", zmq_strerror(errno));
    }
    if (rc == 0 && plane == PLANE_CURVE) {
        rc = gate_set_int(socket, ZMQ_CURVE_SERVER, 1, "CURVE_SERVER", reterr);
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

/* ---- the self-test ---- */

/* A client that only tries to connect. */
static int open_stranger(struct gate *gate, enum endpoint_plane plane, const char *endpoint, void **ret) {
    char public_key[IPC_KEY_SIZE];
    char secret_key[IPC_KEY_SIZE];
    char server_key[IPC_KEY_SIZE];
    void *socket = zmq_socket(gate->context, ZMQ_DEALER);
    int linger = 0;
    if (socket == NULL) {
        return -errno;
    }
    int rc = zmq_setsockopt(socket, ZMQ_LINGER, &linger, sizeof linger);
    if (rc == 0 && plane == PLANE_CURVE) {
        rc = zmq_curve_keypair(public_key, secret_key);
        rc = rc != 0 ? rc : zmq_curve_public(server_key, gate->rules.settings->curve_secret);
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

enum {
    HANDSHAKE_EVENTS = ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH |
                       ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL,
};

/* One event: u16 number and u32 value in a frame, the endpoint in a second one. */
static int receive_event(void *monitor) {
    uint8_t event[6];
    char endpoint[256];
    uint16_t number = 0;
    if (zmq_recv(monitor, event, sizeof event, 0) != (int)sizeof event ||
        zmq_recv(monitor, endpoint, sizeof endpoint, 0) < 0) {
        return 0;
    }
    memcpy(&number, event, sizeof number);
    return number;
}

/* The next of these events, answering the ZAP handler's questions meanwhile; 0 after SELF_TEST_MS of silence.
 */
static int wait_for_event(struct gate *gate, void *monitor, int events) {
    zmq_pollitem_t items[2] = {{.socket = monitor, .events = ZMQ_POLLIN},
                               {.socket = gate->zap, .events = ZMQ_POLLIN}};
    while (zmq_poll(items, 2, SELF_TEST_MS) > 0) {
        if ((items[1].revents & ZMQ_POLLIN) != 0) {
            zap_pump(gate);
        }
        int event = (items[0].revents & ZMQ_POLLIN) != 0 ? receive_event(monitor) : 0;
        if ((event & events) != 0) {
            return event;
        }
    }
    return 0;
}

static void *open_monitor(struct gate *gate, enum endpoint_plane plane, void *server) {
    char name[48];
    /* The name of an earlier one becomes free at some later time. */
    (void)snprintf(name, sizeof name, "inproc://front.self-test.%u", (unsigned)plane);
    void *monitor = zmq_socket(gate->context, ZMQ_PAIR);
    if (monitor != NULL &&
        (zmq_socket_monitor(server, name, HANDSHAKE_EVENTS | ZMQ_EVENT_MONITOR_STOPPED) != 0 ||
         zmq_connect(monitor, name) != 0)) {
        (void)zmq_close(monitor);
        monitor = NULL;
    }
    return monitor;
}

/* Lets a stranger connect to a scratch socket of the plane; returns what became of the handshake, 0 for
 * nothing. Waits until the scratch socket is really gone: by then libzmq's I/O thread and its reaper have
 * both worked, so that neither is still starting when the system calls for that are taken away. */
static int try_stranger(struct gate *gate, enum endpoint_plane plane, void *server, const char *scratch) {
    char endpoint[256];
    size_t size = sizeof endpoint;
    void *client = NULL;
    int event = 0;
    void *monitor = open_monitor(gate, plane, server);
    if (monitor != NULL && zmq_bind(server, scratch) == 0 &&
        zmq_getsockopt(server, ZMQ_LAST_ENDPOINT, endpoint, &size) == 0 &&
        open_stranger(gate, plane, endpoint, &client) == 0) {
        event = wait_for_event(gate, monitor, HANDSHAKE_EVENTS);
        (void)zmq_close(client);
    }
    (void)zmq_close(server);
    if (monitor != NULL) {
        event = wait_for_event(gate, monitor, ZMQ_EVENT_MONITOR_STOPPED) != 0 ? event : 0;
        (void)zmq_close(monitor);
    }
    return event;
}

static int refuses_stranger(struct gate *gate, enum endpoint_plane plane, const char *scratch,
                            struct error *reterr) {
    void *server = NULL;
    int rc = gate_open_router(gate, plane, &server, reterr);
    int event = rc == 0 ? try_stranger(gate, plane, server, scratch) : 0;
    if (rc == 0 && event != ZMQ_EVENT_HANDSHAKE_FAILED_AUTH) {
        return error_set(reterr, -EACCES,
                         "self-test: an identity that is not listed was not refused (event 0x%x)",
                         (unsigned)event);
    }
    return rc;
}

int gate_self_test(struct gate *gate, struct error *reterr) {
    const struct zap_rules rules = gate->rules;
    struct ipc_settings strange = *rules.settings;
    char scratch[64];
    uint64_t unique = 0;
    if (getrandom(&unique, sizeof unique, 0) != (ssize_t)sizeof unique) {
        return error_errno(reterr, errno, "self-test: no randomness");
    }
    /* The only listed uid is one that is not ours: now we are the stranger. */
    strange.uid_count = 1;
    strange.uids[0] = (struct ipc_uid){.uid = rules.own_uid + 1};
    strange.key_count = 0;
    gate->rules.settings = &strange;
    (void)snprintf(scratch, sizeof scratch, "ipc://@buckler-front-%016llx", (unsigned long long)unique);
    int rc = refuses_stranger(gate, PLANE_IPC, scratch, reterr);
    if (rc == 0 && strange.curve_secret[0] != '\0') {
        rc = refuses_stranger(gate, PLANE_CURVE, "tcp://127.0.0.1:*", reterr);
    }
    gate->rules.settings = rules.settings;
    gate->strangers = 0;
    return rc;
}

/* ---- set-up ---- */

int gate_watch(struct loop *loop, void *socket, loop_file_fn *on_file, loop_timer_fn *on_timer, void *user,
               struct loop_source **ret_source, struct loop_source **ret_again) {
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

static int open_zap(struct gate *gate, struct loop *loop, struct error *reterr) {
    gate->zap = zmq_socket(gate->context, ZMQ_REP);
    int linger = 0;
    if (gate->zap == NULL || zmq_setsockopt(gate->zap, ZMQ_LINGER, &linger, sizeof linger) != 0 ||
        zmq_bind(gate->zap, "inproc://zeromq.zap.01") != 0) {
        return error_set(reterr, -errno, "the ZAP handler cannot be bound: %s", zmq_strerror(errno));
    }
    int rc = gate_watch(loop, gate->zap, on_zap, zap_pump, gate, &gate->source, &gate->again);
    return rc < 0 ? error_errno(reterr, -rc, "the ZAP handler cannot be watched") : 0;
}

int gate_new(void *context, const struct ipc_settings *settings, struct loop *loop, struct gate **ret,
             struct error *reterr) {
    struct gate *gate = calloc(1, sizeof *gate);
    if (gate == NULL) {
        return error_errno(reterr, ENOMEM, "no memory for the ZAP handler");
    }
    gate->context = context;
    gate->rules = (struct zap_rules){.settings = settings, .own_uid = getuid()};
    int rc = open_zap(gate, loop, reterr);
    if (rc != 0) {
        (void)gate_free(gate);
        return rc;
    }
    *ret = gate;
    return 0;
}

struct gate *gate_free(struct gate *gate) {
    if (gate != NULL) {
        (void)loop_remove(gate->source);
        (void)loop_remove(gate->again);
        if (gate->zap != NULL) {
            (void)zmq_close(gate->zap);
        }
        free(gate);
    }
    return NULL;
}

bool gate_tenant(const struct gate *gate, const char *identity, char ret_tenant[IPC_NAME_SIZE]) {
    return zap_tenant(&gate->rules, identity, ret_tenant);
}

uint64_t gate_strangers(const struct gate *gate) {
    return gate->strangers;
}
