/* SPDX-License-Identifier: Apache-2.0
 *
 * Keeps descriptors in reserve. libzmq aborts the process when accept finds none left for an ipc listener; so
 * a connection whose descriptor lies in the last fifth of the table is ended as soon as it is accepted.
 * Connections that stand are not touched; whoever was turned away tries again, and half-open ones are gone
 * after the handshake's time. A burst that fills the last fifth before this thread runs still ends the
 * process; it is replaced. One thread.
 */
#ifndef BUCKLER_IPC_FRONT_ACCEPTS_H
#define BUCKLER_IPC_FRONT_ACCEPTS_H

#include <stdint.h>

#include "base/error.h"
#include "base/loop.h"

struct accepts;

/* Watches a ROUTER before it is bound. `number` tells apart the routers of one context, which is libzmq's. */
int accepts_watch(void *context, void *router, unsigned number, struct loop *loop, struct accepts **ret,
                  struct error *reterr) MUST_CHECK;

/* Before the router is closed. Accepts NULL; returns NULL. */
struct accepts *accepts_free(struct accepts *accepts);

/* Connections that were ended for want of descriptors. */
uint64_t accepts_turned_away(const struct accepts *accepts);

#endif
