/* SPDX-License-Identifier: Apache-2.0
 *
 * A DEALER socket without a routing id of its own. A reply that arrives while another one is waited for is kept; one whose
 * waiter gave up is dropped by its id.
 */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zmq.h>

#include "clients/c/reply.h"

enum { MAX_ABANDONED = 256, LINGER_MS = 0, HEARTBEAT_MS = 5000 };

struct buckler_client {
    void *context, *socket;
    uint64_t number;                              /* of the next id that is made here */
    struct buckler_reply *early, **early_tail;
    char abandoned[MAX_ABANDONED][BUCKLER_ID_SIZE]; /* ring of ids whose waiter gave up */
    size_t abandoned_next;
};

static int set_int(void *socket, int option, int value) {
    return zmq_setsockopt(socket, option, &value, sizeof value);
}

static int open_socket(struct buckler_client *client, const char *server) {
    client->context = zmq_ctx_new();
    client->socket = client->context != NULL ? zmq_socket(client->context, ZMQ_DEALER) : NULL;
    if (client->socket == NULL) {
        return BUCKLER_E_MEMORY;
    }
    /* IMMEDIATE is left off: requests sent before the connection stands are queued, bounded by the high-water mark. */
    if (set_int(client->socket, ZMQ_LINGER, LINGER_MS) != 0 || set_int(client->socket, ZMQ_RECONNECT_IVL, 50) != 0 ||
        set_int(client->socket, ZMQ_RECONNECT_IVL_MAX, 2000) != 0 ||
        set_int(client->socket, ZMQ_HEARTBEAT_IVL, HEARTBEAT_MS) != 0 ||
        set_int(client->socket, ZMQ_HEARTBEAT_TIMEOUT, 3 * HEARTBEAT_MS) != 0) {
        return BUCKLER_E_MEMORY;
    }
    return zmq_connect(client->socket, server) == 0 ? BUCKLER_OK : BUCKLER_E_SERVER;
}

int buckler_client_new(const char *server, struct buckler_client **ret_client) {
    if (server == NULL) {
        server = getenv("BUCKLER_SERVER");
    }
    if (server == NULL || server[0] == '\0') {
        server = "ipc:///run/buckler/front.sock";
    }
    struct buckler_client *client = calloc(1, sizeof *client);
    if (client == NULL) {
        return BUCKLER_E_MEMORY;
    }
    client->early_tail = &client->early;
    int rc = open_socket(client, server);
    if (rc != BUCKLER_OK) {
        buckler_client_free(client);
        return rc;
    }
    *ret_client = client;
    return BUCKLER_OK;
}

void buckler_client_free(struct buckler_client *client) {
    if (client == NULL) {
        return;
    }
    while (client->early != NULL) {
        struct buckler_reply *next = *reply_next(client->early);
        buckler_reply_free(client->early);
        client->early = next;
    }
    if (client->socket != NULL) {
        (void)zmq_close(client->socket);
    }
    if (client->context != NULL) {
        (void)zmq_ctx_term(client->context);
    }
    free(client);
}

int buckler_fd(const struct buckler_client *client) {
    int fd = -1;
    size_t size = sizeof fd;
    return zmq_getsockopt(client->socket, ZMQ_FD, &fd, &size) == 0 ? fd : -1;
}

/* ---- sending ---------------------------------------------------------------------------------------------------- */

static void set_text(json_t *object, const char *key, const char *value) {
    if (value != NULL) {
        (void)json_object_set_new(object, key, json_string(value)); /* a missing key is found by the caller's dump */
    }
}

static json_t *part_header(const struct buckler_part *part) {
    json_t *one = json_pack("{s:s}", "kind", part->kind == BUCKLER_IMAGE ? "image" : "text");
    set_text(one, "mime", part->mime);
    set_text(one, "lang", part->lang);
    set_text(one, "role", part->role);
    if (part->context_only) {
        (void)json_object_set_new(one, "judge", json_false());
    }
    return one;
}

static json_t *header_of(const struct buckler_request *request, const char *id) {
    json_t *header = json_pack("{s:s, s:s, s:[]}", "op", "classify", "id", id, "parts");
    set_text(header, "policy", request->policy);
    set_text(header, "scope", request->scope);
    set_text(header, "class", request->class_);
    set_text(header, "subject", request->subject);
    set_text(header, "idem", request->idem);
    set_text(header, "traceparent", request->traceparent);
    if (request->deadline_ms > 0) {
        (void)json_object_set_new(header, "deadline_ms", json_integer(request->deadline_ms));
    }
    if (request->want_count > 0) {
        json_t *want = json_array();
        for (size_t i = 0; i < request->want_count; i++) {
            (void)json_array_append_new(want, json_string(request->want[i]));
        }
        (void)json_object_set_new(header, "want", want);
    }
    json_t *parts = json_object_get(header, "parts");
    for (size_t i = 0; i < request->part_count; i++) {
        if (json_array_append_new(parts, part_header(&request->parts[i])) != 0) {
            json_decref(header);
            return NULL;
        }
    }
    return header;
}

static int write_header(const struct buckler_request *request, const char *id, char **ret_json) {
    bool sound = request->part_count > 0 && request->part_count <= BUCKLER_MAX_PARTS && strlen(id) < BUCKLER_ID_SIZE &&
                 id[0] != '\0';
    for (size_t i = 0; sound && i < request->part_count; i++) {
        sound = request->parts[i].kind == BUCKLER_TEXT || request->parts[i].kind == BUCKLER_IMAGE;
    }
    if (!sound) {
        return BUCKLER_E_REQUEST;
    }
    json_t *header = header_of(request, id);
    *ret_json = header != NULL ? json_dumps(header, JSON_COMPACT) : NULL;
    json_decref(header);
    return *ret_json != NULL ? BUCKLER_OK : BUCKLER_E_REQUEST; /* jansson refuses text that is not UTF-8 */
}

int buckler_request_header(const struct buckler_request *request, char **ret_json) {
    return write_header(request, request->id != NULL ? request->id : "1", ret_json);
}

static int send_frames(struct buckler_client *client, const char *json, const struct buckler_part *parts, size_t count) {
    if (zmq_send(client->socket, json, strlen(json), ZMQ_DONTWAIT | (count > 0 ? ZMQ_SNDMORE : 0)) < 0) {
        return BUCKLER_E_TIMEOUT;
    }
    for (size_t i = 0; i < count; i++) {
        /* The first frame was accepted, so the others of the message are. */
        if (zmq_send(client->socket, parts[i].bytes, parts[i].size, i + 1 < count ? ZMQ_SNDMORE : 0) < 0) {
            return BUCKLER_E_PROTOCOL;
        }
    }
    return BUCKLER_OK;
}

int buckler_send(struct buckler_client *client, const struct buckler_request *request, char ret_id[BUCKLER_ID_SIZE]) {
    char made[BUCKLER_ID_SIZE];
    char *json = NULL;
    (void)snprintf(made, sizeof made, "%s", request->id != NULL ? request->id : "");
    if (request->id == NULL) {
        (void)snprintf(made, sizeof made, "c%llu", (unsigned long long)++client->number);
    }
    int rc = write_header(request, request->id != NULL ? request->id : made, &json);
    rc = rc == BUCKLER_OK ? send_frames(client, json, request->parts, request->part_count) : rc;
    free(json);
    if (rc == BUCKLER_OK && ret_id != NULL) {
        memcpy(ret_id, made, sizeof made);
    }
    return rc;
}

/* ---- receiving -------------------------------------------------------------------------------------------------- */

static int64_t now_ms(void) {
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* One message off the socket; frames behind the first are redacted parts and not used yet. */
static int read_message(struct buckler_client *client, int64_t until_ms, struct buckler_reply **ret_reply) {
    zmq_pollitem_t item = {.socket = client->socket, .events = ZMQ_POLLIN};
    int64_t left = until_ms < 0 ? -1 : until_ms - now_ms();
    int ready = 0;
    do {
        ready = zmq_poll(&item, 1, left < 0 && until_ms >= 0 ? 0 : (long)left);
    } while (ready < 0 && errno == EINTR);
    if (ready <= 0) {
        return BUCKLER_E_TIMEOUT;
    }
    int rc = BUCKLER_E_PROTOCOL;
    int more = 1;
    for (int frame = 0; more != 0; frame++) {
        zmq_msg_t message;
        (void)zmq_msg_init(&message);
        if (zmq_msg_recv(&message, client->socket, 0) < 0) {
            (void)zmq_msg_close(&message);
            return BUCKLER_E_PROTOCOL;
        }
        if (frame == 0) {
            rc = buckler_reply_parse(zmq_msg_data(&message), zmq_msg_size(&message), ret_reply);
        }
        more = zmq_msg_more(&message);
        (void)zmq_msg_close(&message);
    }
    return rc;
}

static bool was_abandoned(const struct buckler_client *client, const char *id) {
    for (size_t i = 0; i < MAX_ABANDONED; i++) {
        if (id[0] != '\0' && strcmp(client->abandoned[i], id) == 0) {
            return true;
        }
    }
    return false;
}

int buckler_receive(struct buckler_client *client, int timeout_ms, struct buckler_reply **ret_reply) {
    if (client->early != NULL) {
        *ret_reply = client->early;
        client->early = *reply_next(client->early);
        if (client->early == NULL) {
            client->early_tail = &client->early;
        }
        return BUCKLER_OK;
    }
    int64_t until = timeout_ms < 0 ? -1 : now_ms() + timeout_ms;
    for (;;) {
        int rc = read_message(client, until, ret_reply);
        if (rc != BUCKLER_OK || !was_abandoned(client, buckler_reply_id(*ret_reply))) {
            return rc;
        }
        buckler_reply_free(*ret_reply);
    }
}

/* Waits for the reply with this id; keeps the others. */
static int wait_for(struct buckler_client *client, const char *id, int timeout_ms, struct buckler_reply **ret_reply) {
    int64_t until = timeout_ms < 0 ? -1 : now_ms() + timeout_ms;
    for (;;) {
        struct buckler_reply *reply = NULL;
        int rc = read_message(client, until, &reply);
        if (rc != BUCKLER_OK) {
            (void)snprintf(client->abandoned[client->abandoned_next++ % MAX_ABANDONED], BUCKLER_ID_SIZE, "%s", id);
            return rc;
        }
        if (strcmp(buckler_reply_id(reply), id) == 0) {
            *ret_reply = reply;
            return BUCKLER_OK;
        }
        if (was_abandoned(client, buckler_reply_id(reply))) {
            buckler_reply_free(reply);
            continue;
        }
        *client->early_tail = reply;
        client->early_tail = reply_next(reply);
    }
}

int buckler_classify(struct buckler_client *client, const struct buckler_request *request, int timeout_ms,
                     struct buckler_reply **ret_reply) {
    char id[BUCKLER_ID_SIZE];
    int rc = buckler_send(client, request, id);
    return rc == BUCKLER_OK ? wait_for(client, id, timeout_ms, ret_reply) : rc;
}

static int control(struct buckler_client *client, const char *op, const char *target, int timeout_ms,
                   struct buckler_reply **ret_reply) {
    char id[BUCKLER_ID_SIZE];
    (void)snprintf(id, sizeof id, "c%llu", (unsigned long long)++client->number);
    json_t *header = json_pack("{s:s, s:s}", "op", op, "id", id);
    set_text(header, "target", target);
    char *json = header != NULL ? json_dumps(header, JSON_COMPACT) : NULL;
    json_decref(header);
    int rc = json != NULL ? send_frames(client, json, NULL, 0) : BUCKLER_E_MEMORY;
    free(json);
    return rc == BUCKLER_OK ? wait_for(client, id, timeout_ms, ret_reply) : rc;
}

int buckler_hello(struct buckler_client *client, int timeout_ms, struct buckler_reply **ret_reply) {
    return control(client, "hello", NULL, timeout_ms, ret_reply);
}

int buckler_ping(struct buckler_client *client, int timeout_ms, struct buckler_reply **ret_reply) {
    return control(client, "ping", NULL, timeout_ms, ret_reply);
}

int buckler_cancel(struct buckler_client *client, const char *target, int timeout_ms, struct buckler_reply **ret_reply) {
    return control(client, "cancel", target, timeout_ms, ret_reply);
}

const char *buckler_error_text(int error) {
    switch (error) {
    case BUCKLER_OK:
        return "success";
    case BUCKLER_E_MEMORY:
        return "out of memory";
    case BUCKLER_E_SERVER:
        return "the server's URL is not one";
    case BUCKLER_E_TIMEOUT:
        return "no reply in time";
    case BUCKLER_E_REQUEST:
        return "the request cannot be sent as it is";
    case BUCKLER_E_PROTOCOL:
        return "the answer is not a reply";
    default:
        return "unknown error";
    }
}
