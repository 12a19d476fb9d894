/* SPDX-License-Identifier: Apache-2.0
 *
 * Replies that judge nothing: hello, ping, cancel. They leave no audit record. Like every reply they carry a
 * verdict, deny with moderated false, so that a client that mixes them up lets nothing through.
 */
#ifndef BUCKLER_DAEMON_CONTROL_H
#define BUCKLER_DAEMON_CONTROL_H

#include <stdbool.h>
#include <stdint.h>

#include "ipc/ipc.h"

struct daemon;

void control_reply(struct daemon *d, uint64_t front_id, const struct ipc_request *in); /* hello, ping */
void control_reply_cancel(struct daemon *d, uint64_t front_id, const struct ipc_request *in, bool found);
void control_reply_out_of_memory(struct daemon *d, uint64_t front_id, const struct ipc_request *in);

#endif
