/* SPDX-License-Identifier: Apache-2.0 */
#include "base/arena.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { ARENA_ALIGN = 64, ARENA_CHUNK_BYTES = 16384 };

struct arena_chunk {
    struct arena_chunk *next;
    size_t size;
    size_t used;
    _Alignas(ARENA_ALIGN) unsigned char bytes[];
};

void arena_init(struct arena *a, size_t limit_bytes) {
    *a = (struct arena){.limit_bytes = limit_bytes};
}

void arena_deinit(struct arena *a) {
    struct arena_chunk *chunk = a->head;
    while (chunk != NULL) {
        struct arena_chunk *next = chunk->next;
        free(chunk);
        chunk = next;
    }
    *a = (struct arena){0};
}

static struct arena_chunk *chunk_new(size_t wanted) {
    size_t size = wanted > ARENA_CHUNK_BYTES ? wanted : ARENA_CHUNK_BYTES;
    size_t total = 0;
    if (__builtin_add_overflow(size, sizeof(struct arena_chunk) + ARENA_ALIGN, &total)) {
        return NULL;
    }
    total = total / ARENA_ALIGN * ARENA_ALIGN;
    struct arena_chunk *chunk = aligned_alloc(ARENA_ALIGN, total);
    if (chunk != NULL) {
        *chunk = (struct arena_chunk){.size = size};
    }
    return chunk;
}

void *arena_calloc(struct arena *a, size_t count, size_t size) {
    size_t bytes = 0;
    if (__builtin_mul_overflow(count, size, &bytes) ||
        __builtin_add_overflow(bytes, (size_t)ARENA_ALIGN - 1, &bytes)) {
        return NULL;
    }
    bytes = bytes / ARENA_ALIGN * ARENA_ALIGN;
    if (bytes == 0) {
        bytes = ARENA_ALIGN;
    }
    if (bytes > a->limit_bytes - a->used_bytes) {
        return NULL;
    }
    if (a->head == NULL || bytes > a->head->size - a->head->used) {
        struct arena_chunk *chunk = chunk_new(bytes);
        if (chunk == NULL) {
            return NULL;
        }
        chunk->next = a->head;
        a->head = chunk;
    }
    void *p = a->head->bytes + a->head->used;
    a->head->used += bytes;
    a->used_bytes += bytes;
    return memset(p, 0, bytes);
}

char *arena_copy(struct arena *a, const void *bytes, size_t length) {
    if (length == SIZE_MAX) {
        return NULL;
    }
    char *copy = arena_calloc(a, length + 1, 1);
    if (copy != NULL && length > 0) {
        memcpy(copy, bytes, length);
    }
    return copy;
}
