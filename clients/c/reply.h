/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BUCKLER_CLIENTS_C_REPLY_H
#define BUCKLER_CLIENTS_C_REPLY_H

#include "clients/c/buckler.h"

/* The link by which a client keeps replies that nobody asked for yet. */
struct buckler_reply **reply_next(struct buckler_reply *reply);

#endif
