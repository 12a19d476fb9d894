/* SPDX-License-Identifier: Apache-2.0
 *
 * The keys of a connection: from the caller, else from the environment. Inside clients/c only.
 */
#ifndef BUCKLER_CLIENTS_C_KEYS_H
#define BUCKLER_CLIENTS_C_KEYS_H

#include "clients/c/buckler.h"

struct buckler_keys {
    char server_key[BUCKLER_KEY_SIZE], public_key[BUCKLER_KEY_SIZE], secret_key[BUCKLER_KEY_SIZE];
};

/* All empty when neither names a server key. `options` may be NULL. 0 or BUCKLER_E_INVALID. */
int buckler_keys_find(const char *server, const struct buckler_options *options, struct buckler_keys *ret);

#endif
