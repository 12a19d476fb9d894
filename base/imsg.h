/* SPDX-License-Identifier: Apache-2.0
 *
 * Internal messages between the core and its roles, after OpenBSD's privsep daemons: one SOCK_SEQPACKET
 * packet is a fixed header, a length-checked body and at most IMSG_MAX_FDS descriptors (SCM_RIGHTS). Between
 * siblings a malformed message means a broken or hostile peer: the receiver drops the connection.
 *
 * The meaning of `type` belongs to the two ends (ipc/ipc.h, decode/decode.h, audit/audit.h); each range
 * starts with its module's base so that a message that went astray is recognised.
 */
#ifndef BUCKLER_BASE_IMSG_H
#define BUCKLER_BASE_IMSG_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum {
    IMSG_MAX_BODY_BYTES = 65536,
    IMSG_MAX_FDS = 8,
    IMSG_BASE_IPC = 0x0100,
    IMSG_BASE_DECODE = 0x0200,
    IMSG_BASE_AUDIT = 0x0300,
};

struct imsg {
    uint16_t type;
    uint64_t id; /* the sender's number for the thing talked about; echoed in the answer */
    const uint8_t *body;
    size_t body_size;
    int fds[IMSG_MAX_FDS]; /* received: owned by the receiver until taken with imsg_take_fd */
    size_t fd_count;
};

/* Sends one message; descriptors stay the caller's. 0, -EAGAIN when the socket is full, -EPIPE when the peer
 * is gone, -EMSGSIZE when the body is too large. Never raises SIGPIPE. */
int imsg_send(int socket, uint16_t type, uint64_t id, const void *body, size_t body_size, const int *fds,
              size_t fd_count) MUST_CHECK;

/* Receives one message; `body` points into `space` (IMSG_MAX_BODY_BYTES + 64 bytes). 0, -EAGAIN, -EPIPE at
 * the end, -EPROTO when malformed (all descriptors are closed then). */
int imsg_receive(int socket, void *space, struct imsg *ret_message) MUST_CHECK;

enum { IMSG_SPACE_BYTES = IMSG_MAX_BODY_BYTES + 64 };

/* Takes descriptor `index` out of the message (-1 when there is none); the rest is closed by imsg_close_fds.
 */
int imsg_take_fd(struct imsg *message, size_t index);
void imsg_close_fds(struct imsg *message);

#endif
