/* SPDX-License-Identifier: Apache-2.0
 *
 * The ZeroMQ side: one ROUTER socket a plane (ipc, loopback tcp, CURVE tcp), the ZAP handler that all of them
 * ask, and their places in the loop. Whole messages go out of here; a message without an authenticated
 * identity never does. Everything runs on the loop's thread; libzmq's own threads start in sockets_new and no
 * later.
 */
#ifndef BUCKLER_IPC_FRONT_SOCKETS_H
#define BUCKLER_IPC_FRONT_SOCKETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/loop.h"
#include "ipc/front/peers.h"
#include "ipc/ipc.h"

/* A complete message; all of it is valid during the callback only. */
struct sockets_message {
    struct peer_route route;
    const char *tenant, *identity;
    int stream;         /* the connection's descriptor, libzmq's */
    const void *header; /* frame 0; NULL when it is larger than a header may be */
    size_t header_size;
    size_t part_count; /* payload frames that came, more than IPC_MAX_PARTS of them too */
    struct sockets_part {
        const void *bytes; /* NULL once the message has too many frames */
        size_t size;
    } parts[IPC_MAX_PARTS];
};

typedef void sockets_message_fn(void *user, const struct sockets_message *message);

struct sockets;

/* Starts libzmq and the ZAP handler, proves that the handler refuses an unlisted identity, then binds every
 * endpoint. Nothing is bound when it fails. `settings` is borrowed. */
int sockets_new(const struct ipc_settings *settings, struct loop *loop, sockets_message_fn *fn, void *user,
                struct sockets **ret, struct error *reterr) MUST_CHECK;

/* Waits up to two seconds for replies that are still on their way. */
struct sockets *sockets_free(struct sockets *sockets);

/* The endpoints as bound, one a line, with the real number where the port was left open. */
void sockets_endpoints(const struct sockets *sockets, struct buf *out);

/* Frame 0 and further frames to the peer. -EHOSTUNREACH: the peer is gone; -EAGAIN: it does not read, or is
 * gone with a full pipe. Both mean that the reply is lost. */
struct sockets_frame {
    const void *bytes;
    size_t size;
};
int sockets_send(struct sockets *sockets, const struct peer_route *route, const struct sockets_frame *frames,
                 size_t count) MUST_CHECK;

/* Must follow a round of sends that was not started by a message callback: sending can swallow the edge that
 * announces new messages. */
void sockets_pump(struct sockets *sockets);

/* Whether an identity is in the lists in force. */
bool sockets_lists(const struct sockets *sockets, const char *identity);

struct sockets_counters {
    uint64_t crowded;   /* connections that were ended for want of descriptors */
    uint64_t strangers; /* connections that the ZAP handler refused */
    uint64_t nameless;  /* messages without an identity, dropped */
    uint64_t revoked;   /* messages of an identity that is no longer listed, dropped; the connection ends */
};
struct sockets_counters sockets_counted(const struct sockets *sockets);

#endif
