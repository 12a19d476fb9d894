/* SPDX-License-Identifier: Apache-2.0
 *
 * The gate in front of every ROUTER socket: the ZAP handler inproc://zeromq.zap.01 and the proof that it is
 * asked. libzmq serves everybody when no handler is bound; so the gate comes first, and gate_self_test must
 * have held before an endpoint is bound. One thread.
 */
#ifndef BUCKLER_IPC_FRONT_GATE_H
#define BUCKLER_IPC_FRONT_GATE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/loop.h"
#include "ipc/front/endpoint.h"
#include "ipc/front/zap.h"

struct gate;

/* Binds the handler. `context` is libzmq's; it and `settings` are borrowed. */
int gate_new(void *context, const struct ipc_settings *settings, struct loop *loop, struct gate **ret,
             struct error *reterr) MUST_CHECK;
struct gate *gate_free(struct gate *gate);

/* Lets an identity that is not listed connect to a scratch socket of each plane in use, and fails unless
 * libzmq reports that the handler refused it. */
int gate_self_test(struct gate *gate, struct error *reterr) MUST_CHECK;

/* A ROUTER of a plane with all its options: libzmq asks the handler about every connection. */
int gate_open_router(struct gate *gate, enum endpoint_plane plane, void **ret,
                     struct error *reterr) MUST_CHECK;

/* An option of a ZeroMQ socket; `name` is for the sentence. */
int gate_set_int(void *socket, int option, int value, const char *name, struct error *reterr) MUST_CHECK;

/* Puts ZMQ_FD into the loop, with a timer that the pump arms when it stops before the socket is drained. */
int gate_watch(struct loop *loop, void *socket, loop_file_fn *on_file, loop_timer_fn *on_timer, void *user,
               struct loop_source **ret_source, struct loop_source **ret_again) MUST_CHECK;

/* The tenant of a connection's identity under the lists in force. */
bool gate_tenant(const struct gate *gate, const char *identity, char ret_tenant[IPC_NAME_SIZE]) MUST_CHECK;

/* Connections that were refused. */
uint64_t gate_strangers(const struct gate *gate);

#endif
