/* SPDX-License-Identifier: Apache-2.0
 *
 * What may be bound. libzmq unlinks whatever lies at an ipc path and binds tcp without asking for keys; so
 * both are checked before it sees them.
 */
#ifndef BUCKLER_IPC_FRONT_ENDPOINT_H
#define BUCKLER_IPC_FRONT_ENDPOINT_H

#include "base/error.h"
#include "ipc/ipc.h"

enum endpoint_plane { PLANE_INVALID, PLANE_IPC, PLANE_LOOPBACK, PLANE_CURVE, PLANE_COUNT };

/* The plane of `endpoint` under these settings, or why it must not be bound. */
int endpoint_check(const struct ipc_settings *settings, const char *endpoint, enum endpoint_plane *ret_plane,
                   struct error *reterr) MUST_CHECK;

/* Makes the path of an ipc endpoint free: nothing there, or a socket nobody listens on, which is removed.
 * Anything else is refused and left alone. Abstract names (ipc://@…) need nothing. */
int endpoint_clear(const char *endpoint, struct error *reterr) MUST_CHECK;

/* Removes the socket file of an endpoint that was bound and is closed now; libzmq leaves it. */
void endpoint_remove(const char *endpoint);

#endif
