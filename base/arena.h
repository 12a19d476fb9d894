/* SPDX-License-Identifier: Apache-2.0
 *
 * A region: everything that belongs to one request is allocated here and freed in one call. Not thread-safe.
 */
#ifndef BUCKLER_BASE_ARENA_H
#define BUCKLER_BASE_ARENA_H

#include <stddef.h>

struct arena_chunk;

struct arena {
    struct arena_chunk *head;
    size_t used_bytes;  /* handed out so far */
    size_t limit_bytes; /* arena_alloc returns NULL beyond it */
};

void arena_init(struct arena *a, size_t limit_bytes);
void arena_deinit(struct arena *a);

/* Zeroed memory for `count` objects of `size` bytes, aligned to 64; NULL when the product overflows, the
 * limit is reached or memory is out. */
void *arena_calloc(struct arena *a, size_t count, size_t size);

/* A copy of `length` bytes with a NUL behind it; NULL as above. */
char *arena_copy(struct arena *a, const void *bytes, size_t length);

#define arena_new(arena, type, count) ((type *)arena_calloc((arena), (count), sizeof(type)))

#endif
