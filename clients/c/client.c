/* SPDX-License-Identifier: Apache-2.0
 *
 * With keys.c the only file of the client that includes zmq.h. A DEALER socket and its monitor: the monitor
 * tells of a broken connection, whose requests nobody will answer, and of a refused identity, after which
 * libzmq never tries again, so that the socket must be made anew (with a pause that doubles, so that a client
 * in a loop does not hammer).
 *
 * Ids are "r" and a counter for buckler_send and "~" and a counter for the waiting calls: a late reply to a
 * waiting call that gave up is known by its "~" and dropped.
 */
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zmq.h>

#include "clients/c/buckler.h"
#include "clients/c/keys.h"
#include "clients/c/wire.h"

enum {
    KEY_CHARACTERS = BUCKLER_KEY_SIZE - 1,
    FIRST_PAUSE_MS = 250,
    LAST_PAUSE_MS = 4000,
    MOST_ATTEMPTS = 3,
};

struct kept {
    struct kept *next;
    struct buckler_reply *reply;
};

struct buckler_client {
    void *context, *socket, *monitor;
    char *server;
    struct buckler_keys keys;
    uint64_t next_id, monitors;
    uint64_t breaks;          /* connections that broke so far */
    uint64_t breaks_at_send;  /* as of the last message that went out */
    uint64_t breaks_reported; /* by buckler_receive */
    bool connected;           /* as far as the monitor told */
    bool refused;
    int64_t retry_at_ms;
    int pause_ms;
    struct kept *first, **last; /* replies for buckler_receive that a waiting call met */
    char error[256];
};

static int fail(struct buckler_client *client, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static int fail(struct buckler_client *client, int code, const char *format, ...) {
    va_list args;
    va_start(args, format);
    (void)vsnprintf(client->error, sizeof client->error, format, args);
    va_end(args);
    return code;
}

static int64_t now_ms(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- the connection ---- */

static bool set_int(void *socket, int option, int value) {
    return zmq_setsockopt(socket, option, &value, sizeof value) == 0;
}

static bool set_options(struct buckler_client *client, void *socket) {
    bool curve = client->keys.server_key[0] != '\0';
    /* ZMQ_IMMEDIATE stays 0: with 1 a connection that breaks takes replies along that have arrived already.
     */
    return set_int(socket, ZMQ_LINGER, 0) && set_int(socket, ZMQ_SNDHWM, 1000) &&
           set_int(socket, ZMQ_RCVHWM, 1000) && set_int(socket, ZMQ_RECONNECT_IVL, 50) &&
           set_int(socket, ZMQ_RECONNECT_IVL_MAX, 2000) && set_int(socket, ZMQ_HEARTBEAT_IVL, 5000) &&
           set_int(socket, ZMQ_HEARTBEAT_TIMEOUT, 15000) &&
           set_int(socket, ZMQ_IPV6, strchr(client->server, '[') != NULL) &&
           (!curve ||
            (zmq_setsockopt(socket, ZMQ_CURVE_SERVERKEY, client->keys.server_key, KEY_CHARACTERS) == 0 &&
             zmq_setsockopt(socket, ZMQ_CURVE_PUBLICKEY, client->keys.public_key, KEY_CHARACTERS) == 0 &&
             zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, client->keys.secret_key, KEY_CHARACTERS) == 0));
}

static void disconnect(struct buckler_client *client) {
    if (client->socket != NULL) {
        (void)zmq_close(client->socket);
    }
    if (client->monitor != NULL) {
        (void)zmq_close(client->monitor);
    }
    client->socket = NULL;
    client->monitor = NULL;
}

static int do_connect(struct buckler_client *client) {
    char name[64];
    client->socket = zmq_socket(client->context, ZMQ_DEALER);
    client->monitor = zmq_socket(client->context, ZMQ_PAIR);
    (void)snprintf(name, sizeof name, "inproc://monitor.%llu", (unsigned long long)client->monitors++);
    if (client->socket == NULL || client->monitor == NULL || !set_options(client, client->socket) ||
        !set_int(client->monitor, ZMQ_LINGER, 0) ||
        zmq_socket_monitor(client->socket, name,
                           ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_HANDSHAKE_SUCCEEDED |
                               ZMQ_EVENT_HANDSHAKE_FAILED_AUTH) != 0 ||
        zmq_connect(client->monitor, name) != 0 || zmq_connect(client->socket, client->server) != 0) {
        int number = errno;
        disconnect(client);
        return fail(client, BUCKLER_E_INVALID, "%s cannot be used: %s", client->server, zmq_strerror(number));
    }
    client->connected = false;
    client->refused = false;
    return 0;
}

/* Takes in what the monitor has to say. */
static void hear_monitor(struct buckler_client *client) {
    uint8_t event[6];
    char endpoint[256];
    uint16_t number = 0;
    while (zmq_recv(client->monitor, event, sizeof event, ZMQ_DONTWAIT) == (int)sizeof event) {
        (void)zmq_recv(client->monitor, endpoint, sizeof endpoint, 0);
        memcpy(&number, event, sizeof number);
        if (number == ZMQ_EVENT_DISCONNECTED) {
            client->breaks++;
            client->connected = false;
        } else if (number == ZMQ_EVENT_HANDSHAKE_SUCCEEDED) {
            client->connected = true;
            client->pause_ms = 0;
        } else if (number == ZMQ_EVENT_HANDSHAKE_FAILED_AUTH) {
            client->refused = true;
            client->pause_ms = client->pause_ms == 0 ? FIRST_PAUSE_MS : client->pause_ms * 2;
            client->pause_ms = client->pause_ms > LAST_PAUSE_MS ? LAST_PAUSE_MS : client->pause_ms;
            client->retry_at_ms = now_ms() + client->pause_ms;
        }
    }
}

/* A socket that can be used, made anew when the last one was refused long enough ago. */
static int revive(struct buckler_client *client) {
    if (client->socket != NULL && !client->refused) {
        return 0;
    }
    if (now_ms() < client->retry_at_ms) {
        return fail(client, BUCKLER_E_REFUSED, "%s does not know this client: its uid or key is not listed",
                    client->server);
    }
    disconnect(client);
    return do_connect(client);
}

static bool readable(struct buckler_client *client) {
    zmq_pollitem_t item = {.socket = client->socket, .events = ZMQ_POLLIN};
    return zmq_poll(&item, 1, 0) == 1;
}

/* Waits until the socket can be read (or written; 0: until there is a connection), more connections broke
 * than `*known` (NULL: whatever breaks), or the time is over. */
static int wait_for(struct buckler_client *client, short events, const uint64_t *known, int64_t until_ms) {
    for (;;) {
        zmq_pollitem_t items[2] = {{.socket = client->socket, .events = events},
                                   {.socket = client->monitor, .events = ZMQ_POLLIN}};
        int64_t left = until_ms < 0 ? -1 : until_ms - now_ms();
        int ready = zmq_poll(items, 2, until_ms >= 0 && left < 0 ? 0 : (long)left);
        if (ready > 0 && (items[1].revents & ZMQ_POLLIN) != 0) {
            hear_monitor(client);
        }
        if ((ready > 0 && (items[0].revents & events) != 0) || (events == 0 && client->connected)) {
            return 0;
        }
        if (client->refused) {
            return fail(client, BUCKLER_E_REFUSED,
                        "%s does not know this client: its uid or key is not listed", client->server);
        }
        if (known != NULL && client->breaks != *known) {
            if (events == ZMQ_POLLIN && readable(client)) {
                return 0; /* what arrived before the break */
            }
            return fail(client, BUCKLER_E_DISCONNECTED, "the connection to %s broke", client->server);
        }
        if (ready == 0) {
            return fail(client, BUCKLER_E_TIMEOUT, "%s did not answer in time", client->server);
        }
        if (ready < 0 && errno != EINTR) {
            return fail(client, BUCKLER_E_MEMORY, "waiting failed: %s", zmq_strerror(errno));
        }
    }
}

int buckler_client_new(const char *server, const struct buckler_options *options,
                       struct buckler_client **ret) {
    const char *environment = getenv("BUCKLER_SERVER");
    struct buckler_client *client = calloc(1, sizeof *client);
    if (client == NULL) {
        return BUCKLER_E_MEMORY;
    }
    server = server != NULL ? server : environment;
    client->last = &client->first;
    client->server = strdup(server != NULL && server[0] != '\0' ? server : "ipc:///run/buckler/front.sock");
    client->context = zmq_ctx_new();
    int rc = client->server != NULL && client->context != NULL ? 0 : BUCKLER_E_MEMORY;
    rc = rc != 0 ? rc : buckler_keys_find(client->server, options, &client->keys);
    rc = rc != 0 ? rc : do_connect(client);
    if (rc != 0) {
        buckler_client_free(client);
        return rc;
    }
    *ret = client;
    return 0;
}

void buckler_client_free(struct buckler_client *client) {
    if (client == NULL) {
        return;
    }
    disconnect(client);
    if (client->context != NULL) {
        (void)zmq_ctx_term(client->context);
    }
    while (client->first != NULL) {
        struct kept *kept = client->first;
        client->first = kept->next;
        buckler_reply_free(kept->reply);
        free(kept);
    }
    explicit_bzero(client->keys.secret_key, sizeof client->keys.secret_key);
    free(client->server);
    free(client);
}

const char *buckler_client_error(const struct buckler_client *client) {
    return client->error;
}

int buckler_fd(const struct buckler_client *client) {
    int fd = -1;
    size_t size = sizeof fd;
    if (client->socket == NULL || zmq_getsockopt(client->socket, ZMQ_FD, &fd, &size) != 0) {
        return -1;
    }
    return fd;
}

/* ---- sending ---- */

static int send_frames(struct buckler_client *client, const char *json, const struct buckler_request *request,
                       int64_t until_ms) {
    size_t parts = request != NULL ? request->part_count : 0;
    size_t size = strlen(json);
    int rc = revive(client);
    while (rc == 0) {
        hear_monitor(client);
        client->breaks_at_send = client->breaks; /* what broke before does not concern this message */
        /* A socket whose connection has just broken still takes messages for a moment, and loses them. */
        if (!client->connected) {
            rc = wait_for(client, 0, NULL, until_ms);
            continue;
        }
        if (zmq_send(client->socket, json, size, ZMQ_DONTWAIT | (parts > 0 ? ZMQ_SNDMORE : 0)) >= 0) {
            break;
        }
        if (errno != EAGAIN && errno != EINTR) {
            return fail(client, BUCKLER_E_MEMORY, "sending failed: %s", zmq_strerror(errno));
        }
        rc = wait_for(client, ZMQ_POLLOUT, NULL, until_ms);
    }
    for (size_t i = 0; i < parts && rc == 0; i++) {
        /* Once the first frame is taken the rest of the message is, too. */
        if (zmq_send(client->socket, request->parts[i].bytes, request->parts[i].size,
                     i + 1 < parts ? ZMQ_SNDMORE : 0) < 0) {
            return fail(client, BUCKLER_E_MEMORY, "sending failed: %s", zmq_strerror(errno));
        }
    }
    return rc;
}

static int send_op(struct buckler_client *client, const char *op, const char *id,
                   const struct buckler_request *request, const char *target, int64_t until_ms) {
    const char *wrong = request != NULL ? buckler_wire_check(request) : NULL;
    if (wrong != NULL) {
        return fail(client, BUCKLER_E_INVALID, "%s", wrong);
    }
    char *json = buckler_wire_encode(op, id, request, target);
    if (json == NULL) {
        return fail(client, BUCKLER_E_INVALID, "a string of the request is not UTF-8, or memory is out");
    }
    int rc = send_frames(client, json, request, until_ms);
    free(json);
    return rc;
}

static int64_t until(int timeout_ms) {
    return timeout_ms < 0 ? -1 : now_ms() + timeout_ms;
}

int buckler_send(struct buckler_client *client, const struct buckler_request *request, int timeout_ms,
                 char ret_id[BUCKLER_ID_SIZE]) {
    char id[BUCKLER_ID_SIZE];
    int size = request->id != NULL ? snprintf(id, sizeof id, "%s", request->id)
                                   : snprintf(id, sizeof id, "r%llu", (unsigned long long)client->next_id++);
    if (size < 1 || (size_t)size >= sizeof id || id[0] == '~') {
        return fail(client, BUCKLER_E_INVALID, "an id has 1 to 64 characters and does not begin with ~");
    }
    int rc = send_op(client, "classify", id, request, NULL, until(timeout_ms));
    if (rc == 0) {
        memcpy(ret_id, id, sizeof id);
    }
    return rc;
}

/* ---- receiving ---- */

static bool add_part(struct buckler_reply *reply, zmq_msg_t *frame) {
    size_t size = zmq_msg_size(frame);
    void *bytes = reply->part_count < BUCKLER_WIRE_MAX_REPLY_PARTS ? malloc(size > 0 ? size : 1) : NULL;
    if (bytes == NULL) {
        return false;
    }
    if (size > 0) {
        memcpy(bytes, zmq_msg_data(frame), size);
    }
    reply->parts[reply->part_count++] = (struct buckler_reply_part){bytes, size};
    return true;
}

/* One whole message that is there already. */
static int take_message(struct buckler_client *client, struct buckler_reply **ret) {
    struct buckler_reply *reply = NULL;
    bool first = true;
    bool more = true;
    int rc = 0;
    while (more) {
        zmq_msg_t frame;
        (void)zmq_msg_init(&frame);
        if (zmq_msg_recv(&frame, client->socket, ZMQ_DONTWAIT) < 0) {
            (void)zmq_msg_close(&frame);
            rc = first ? BUCKLER_E_TIMEOUT : BUCKLER_E_PROTOCOL;
            break;
        }
        more = zmq_msg_more(&frame) != 0;
        if (first) {
            rc = buckler_decode(zmq_msg_data(&frame), zmq_msg_size(&frame), &reply);
        } else if (rc == 0 && !add_part(reply, &frame)) {
            rc = BUCKLER_E_PROTOCOL;
        }
        first = false;
        (void)zmq_msg_close(&frame);
    }
    if (rc != 0) {
        buckler_reply_free(reply);
        return rc == BUCKLER_E_TIMEOUT
                   ? rc
                   : fail(client, rc, "a reply of %s cannot be understood", client->server);
    }
    *ret = reply;
    return 0;
}

static int next_reply(struct buckler_client *client, const uint64_t *known, int64_t until_ms,
                      struct buckler_reply **ret) {
    int rc = take_message(client, ret);
    while (rc == BUCKLER_E_TIMEOUT) {
        rc = wait_for(client, ZMQ_POLLIN, known, until_ms);
        if (rc != 0) {
            return rc;
        }
        rc = take_message(client, ret);
    }
    return rc;
}

int buckler_receive(struct buckler_client *client, int timeout_ms, struct buckler_reply **ret) {
    int64_t until_ms = until(timeout_ms);
    if (client->first != NULL) {
        struct kept *kept = client->first;
        client->first = kept->next;
        client->last = client->first != NULL ? client->last : &client->first;
        *ret = kept->reply;
        free(kept);
        return 0;
    }
    int rc = revive(client);
    while (rc == 0) {
        struct buckler_reply *reply = NULL;
        rc = next_reply(client, &client->breaks_reported, until_ms, &reply);
        if (rc == 0 && buckler_reply_id(reply)[0] != '~') {
            *ret = reply;
            return 0;
        }
        buckler_reply_free(reply); /* the late reply to a waiting call that gave up */
    }
    if (rc == BUCKLER_E_DISCONNECTED) {
        client->breaks_reported = client->breaks;
    }
    return rc;
}

static int keep(struct buckler_client *client, struct buckler_reply *reply) {
    struct kept *kept = malloc(sizeof *kept);
    if (kept == NULL) {
        buckler_reply_free(reply);
        return fail(client, BUCKLER_E_MEMORY, "memory is out");
    }
    *kept = (struct kept){.reply = reply};
    *client->last = kept;
    client->last = &kept->next;
    return 0;
}

/* ---- one at a time ---- */

static int receive_own(struct buckler_client *client, const char *id, int64_t until_ms,
                       struct buckler_reply **ret) {
    const uint64_t known = client->breaks_at_send;
    for (;;) {
        struct buckler_reply *reply = NULL;
        int rc = next_reply(client, &known, until_ms, &reply);
        if (rc != 0) {
            return rc;
        }
        const char *found = buckler_reply_id(reply);
        if (strcmp(found, id) == 0) {
            *ret = reply;
            return 0;
        }
        if (found[0] == '\0') {
            rc = fail(client, BUCKLER_E_PROTOCOL, "the daemon could not read the request: %s",
                      buckler_reply_detail(reply));
            buckler_reply_free(reply);
            return rc;
        }
        if (found[0] == '~') {
            buckler_reply_free(reply);
        } else if ((rc = keep(client, reply)) != 0) {
            return rc;
        }
    }
}

static int ask(struct buckler_client *client, const char *op, const struct buckler_request *request,
               const char *target, int timeout_ms, struct buckler_reply **ret) {
    int64_t until_ms = until(timeout_ms);
    int rc = BUCKLER_E_DISCONNECTED;
    /* A request that breaks each connection it is sent on is not sent for ever. */
    for (int attempt = 0; attempt < MOST_ATTEMPTS && rc == BUCKLER_E_DISCONNECTED; attempt++) {
        char id[BUCKLER_ID_SIZE];
        (void)snprintf(id, sizeof id, "~%llu", (unsigned long long)client->next_id++);
        rc = send_op(client, op, id, request, target, until_ms);
        rc = rc != 0 ? rc : receive_own(client, id, until_ms, ret);
    }
    return rc;
}

int buckler_classify(struct buckler_client *client, const struct buckler_request *request, int timeout_ms,
                     struct buckler_reply **ret) {
    return ask(client, "classify", request, NULL, timeout_ms, ret);
}

int buckler_hello(struct buckler_client *client, int timeout_ms, struct buckler_reply **ret) {
    return ask(client, "hello", NULL, NULL, timeout_ms, ret);
}

int buckler_ping(struct buckler_client *client, int timeout_ms, struct buckler_reply **ret) {
    return ask(client, "ping", NULL, NULL, timeout_ms, ret);
}

int buckler_cancel(struct buckler_client *client, const char *id, int timeout_ms,
                   struct buckler_reply **ret) {
    return ask(client, "cancel", NULL, id, timeout_ms, ret);
}
