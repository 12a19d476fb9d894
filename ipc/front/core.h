/* SPDX-License-Identifier: Apache-2.0
 *
 * The front's end of the socket to the core. What does not fit into the socket waits in a bounded queue; when
 * that is full too, the caller answers "overloaded" itself. One thread.
 */
#ifndef BUCKLER_IPC_FRONT_CORE_H
#define BUCKLER_IPC_FRONT_CORE_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/imsg.h"
#include "base/loop.h"
#include "ipc/ipc.h"

enum {
    CORE_MAX_QUEUED = 512,
    CORE_MAX_QUEUED_BYTES = 128 << 20, /* of payloads, which live in memory descriptors */
};

enum core_error { CORE_E_FULL = 1 };

struct core;

/* Called for each message of the core; descriptors that are not taken are closed afterwards. */
typedef void core_message_fn(void *user, struct imsg *message);
/* The core is gone or broken; nothing is called after this. */
typedef void core_gone_fn(void *user);
/* Called after each round of messages. */
typedef void core_round_fn(void *user);

struct core_calls {
    core_message_fn *message;
    core_round_fn *round;
    core_gone_fn *gone;
    void *user;
};

/* `socket` must be non-blocking and stays the caller's. NULL when memory or descriptors are out. */
struct core *core_new(struct loop *loop, int socket, const struct core_calls *calls);
struct core *core_free(struct core *core);

/* Sends or queues. The request's descriptors are duplicated by the send and stay the caller's when it returns
 * anything but 0; on 0 they are closed or owned by the queue, and the request's are -1. CORE_E_FULL, or
 * -errno. */
int core_send_request(struct core *core, uint64_t number, struct ipc_request *request) MUST_CHECK;

#endif
