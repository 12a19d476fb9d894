/* SPDX-License-Identifier: Apache-2.0
 *
 * Canonical JSON, checked in one pass without building anything: keys sorted by bytes and unique, no space
 * outside strings, integers of 64 bits, the shortest escapes. Exactly the texts that a JSON library writes
 * when it is told to sort keys and to leave out space, and that it reads back to the same bytes; a test holds
 * the two against each other.
 */
#ifndef BUCKLER_AUDIT_CANONICAL_H
#define BUCKLER_AUDIT_CANONICAL_H

#include <stddef.h>

enum { CANONICAL_MAX_DEPTH = 64 };

/* A member of the outermost object, as it stands in the text: the key between its quotes, the value with
 * them. */
struct canonical_member {
    const char *key;
    size_t key_size;
    const char *value;
    size_t value_size;
};

/* Calls `member` (may be NULL) for each member of the outermost object as it is passed. NULL: `text` is one
 * canonical object; else why not, as the end of a sentence ("is not …"). */
const char *canonical_check(const char *text, size_t size,
                            void (*member)(void *user, const struct canonical_member *member), void *user);

#endif
