/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/integration/front_client.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <zmq.h>

#include <setjmp.h>

#include <cmocka.h>

void *front_client_connect(void *context, int type, const char *endpoint, const char *server_key) {
    void *socket = zmq_socket(context, type);
    int linger = 0;
    assert_non_null(socket);
    assert_int_equal(zmq_setsockopt(socket, ZMQ_LINGER, &linger, sizeof linger), 0);
    if (server_key != NULL) {
        assert_int_equal(zmq_setsockopt(socket, ZMQ_CURVE_SERVERKEY, server_key, 40), 0);
    }
    assert_int_equal(zmq_connect(socket, endpoint), 0);
    return socket;
}

void front_client_send(void *socket, const char *header, const struct front_part *parts, size_t count) {
    size_t size = strlen(header);
    assert_int_equal(zmq_send(socket, header, size, count > 0 ? ZMQ_SNDMORE : 0), (int)size);
    for (size_t i = 0; i < count; i++) {
        int rc = zmq_send(socket, parts[i].bytes, parts[i].size, i + 1 < count ? ZMQ_SNDMORE : 0);
        assert_int_equal(rc, (int)parts[i].size);
    }
}

json_t *front_client_receive(void *socket, int timeout_ms) {
    char space[65536];
    int more = 0;
    size_t size = sizeof more;
    assert_int_equal(zmq_setsockopt(socket, ZMQ_RCVTIMEO, &timeout_ms, sizeof timeout_ms), 0);
    int got = zmq_recv(socket, space, sizeof space, 0);
    if (got < 0) {
        return NULL;
    }
    assert_true((size_t)got < sizeof space);
    assert_int_equal(zmq_getsockopt(socket, ZMQ_RCVMORE, &more, &size), 0);
    assert_int_equal(more, 0);
    json_t *reply = json_loadb(space, (size_t)got, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(reply);
    return reply;
}

json_t *front_client_ask(void *socket, const char *header, const struct front_part *parts, size_t count,
                         int status, const char *code) {
    front_client_send(socket, header, parts, count);
    json_t *reply = front_client_receive(socket, 10000);
    assert_non_null(reply);
    assert_int_equal(json_integer_value(json_object_get(reply, "status")), status);
    assert_string_equal(front_text(reply, "code"), code != NULL ? code : "");
    return reply;
}

const char *front_text(json_t *reply, const char *key) {
    const char *text = json_string_value(json_object_get(reply, key));
    return text != NULL ? text : "";
}

int front_raw_connect(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    strncpy(address.sun_path, path, sizeof address.sun_path - 1);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

static bool put(int fd, const void *bytes, size_t size) {
    const uint8_t *p = bytes;
    while (size > 0) {
        ssize_t sent = send(fd, p, size, MSG_NOSIGNAL);
        if (sent <= 0) {
            return false;
        }
        p += sent;
        size -= (size_t)sent;
    }
    return true;
}

static bool take(int fd, void *out, size_t size) {
    uint8_t *p = out;
    while (size > 0) {
        struct pollfd waiting = {.fd = fd, .events = POLLIN};
        ssize_t got = poll(&waiting, 1, 5000) > 0 ? recv(fd, p, size, 0) : -1;
        if (got <= 0) {
            return false;
        }
        p += got;
        size -= (size_t)got;
    }
    return true;
}

bool front_raw_handshake(int fd) {
    static const char ready[] = "\x04\x19\x05READY\x0bSocket-Type\0\0\0\x06"
                                "DEALER";
    uint8_t greeting[64] = {0xff, [9] = 0x7f, [10] = 3, [11] = 0, [12] = 'N', 'U', 'L', 'L'};
    uint8_t theirs[64];
    uint8_t frame[2 + 255];
    _Static_assert(sizeof ready - 1 == 2 + 6 + 12 + 4 + 6,
                   "the frame has the length that its second byte claims");
    char sized[sizeof ready];
    memcpy(sized, ready, sizeof ready);
    sized[1] = (char)(sizeof ready - 1 - 2);
    return put(fd, greeting, sizeof greeting) && take(fd, theirs, sizeof theirs) &&
           put(fd, sized, sizeof ready - 1) && take(fd, frame, 2) && frame[0] == 4 &&
           take(fd, frame + 2, frame[1]) && memcmp(frame + 2, "\5READY", 6) == 0;
}

bool front_raw_frame(int fd, const void *bytes, size_t size, bool more) {
    uint8_t head[9] = {(uint8_t)(2 | more)};
    for (unsigned i = 0; i < 8; i++) {
        head[1 + i] = (uint8_t)((uint64_t)size >> (56 - 8 * i));
    }
    return put(fd, head, sizeof head) && put(fd, bytes, size);
}

bool front_raw_is_closed(int fd, int timeout_ms) {
    char space[4096];
    struct pollfd waiting = {.fd = fd, .events = POLLIN};
    while (poll(&waiting, 1, timeout_ms) > 0) {
        if (recv(fd, space, sizeof space, 0) <= 0) {
            return true;
        }
    }
    return false;
}
