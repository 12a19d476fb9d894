/* SPDX-License-Identifier: Apache-2.0
 *
 * Inside libbuckler: JSON on one side, structs on the other. wire.c is the only file of the client that
 * includes jansson.
 */
#ifndef BUCKLER_CLIENT_WIRE_H
#define BUCKLER_CLIENT_WIRE_H

#include "clients/c/buckler.h"

enum { BUCKLER_WIRE_MAX_REPLY_PARTS = 8 };

struct buckler_reply {
    char *json;
    size_t json_size;
    void *root; /* json_t, owned */
    size_t part_count;
    struct buckler_reply_part {
        void *bytes;
        size_t size;
    } parts[BUCKLER_WIRE_MAX_REPLY_PARTS];
};

/* Frame 0 for an op with this id; `request` for classify, `target` for cancel, else NULL. NULL when memory is
 * out or a string is not UTF-8. free() it. */
char *buckler_wire_encode(const char *op, const char *id, const struct buckler_request *request,
                          const char *target);

/* What is wrong with a request, or NULL. */
const char *buckler_wire_check(const struct buckler_request *request);

#endif
