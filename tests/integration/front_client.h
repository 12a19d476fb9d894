/* SPDX-License-Identifier: Apache-2.0
 *
 * Clients for tests of buckler-front: a libzmq socket, and a raw one that writes ZMTP bytes itself (RFC 23).
 */
#ifndef BUCKLER_TESTS_FRONT_CLIENT_H
#define BUCKLER_TESTS_FRONT_CLIENT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A DEALER or REQ connected to `endpoint`; CURVE when `server_key` is given. */
void *front_client_connect(void *context, int type, const char *endpoint, const char *server_key);

/* Sends frame 0 and `count` parts. */
struct front_part {
    const void *bytes;
    size_t size;
};
void front_client_send(void *socket, const char *header, const struct front_part *parts, size_t count);

/* The next reply's frame 0, or NULL after `timeout_ms`. Further frames are an error of the test. */
json_t *front_client_receive(void *socket, int timeout_ms);

/* Sends, receives, and checks status and code (NULL: none). The reply is the caller's. */
json_t *front_client_ask(void *socket, const char *header, const struct front_part *parts, size_t count,
                         int status, const char *code);

const char *front_text(json_t *reply, const char *key);

/* A raw stream connected to a unix socket path; -1 when refused. */
int front_raw_connect(const char *path);

/* Greeting (NULL mechanism) and READY as a DEALER; true when the server's own READY came back. */
bool front_raw_handshake(int fd);

/* One ZMTP frame, as a MORE frame or the last. False when the connection is gone. */
bool front_raw_frame(int fd, const void *bytes, size_t size, bool more);

/* Reads until the peer closes or `timeout_ms` of silence; true when it closed. */
bool front_raw_is_closed(int fd, int timeout_ms);

#endif
