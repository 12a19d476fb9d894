/* SPDX-License-Identifier: Apache-2.0
 *
 * A message of a client on its way to the core and the reply on its way back. The front keeps no content:
 * payloads are copied once, from libzmq's frame into a sealed memory descriptor, and logs hold counts.
 */
#ifndef BUCKLER_IPC_FRONT_FRONT_H
#define BUCKLER_IPC_FRONT_FRONT_H

#include "base/error.h"
#include "base/log.h"
#include "base/loop.h"
#include "ipc/ipc.h"

enum {
    FRONT_MAX_CONNECTIONS =
        8192, /* with open requests or lately seen; more than this many idle ones are forgotten */
    FRONT_MAX_OPEN = 16384,
    FRONT_RETRY_AFTER_MS = 100,
};

struct front;

/* Binds everything. `settings` and `log` are borrowed; the core may change the lists in `settings` later. */
int front_new(struct ipc_settings *settings, struct loop *loop, int core_socket, const struct log *log,
              struct front **ret, struct error *reterr) MUST_CHECK;
struct front *front_free(struct front *front);

/* Tells the core where the front listens. */
int front_announce(struct front *front) MUST_CHECK;

#endif
