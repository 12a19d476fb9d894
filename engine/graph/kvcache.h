/* SPDX-License-Identifier: Apache-2.0
 *
 * Keys and values of one text model: a fixed pool of pages, reserved once and touched only when used. A page
 * holds KV_PAGE_TOKENS tokens of one segment in every layer, as f32. Pages are handed out last-in first-out,
 * so that a busy daemon works on memory that is already warm. Used by the driver thread alone.
 */
#ifndef BUCKLER_ENGINE_GRAPH_KVCACHE_H
#define BUCKLER_ENGINE_GRAPH_KVCACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum { KV_PAGE_TOKENS = 32 };

struct kvcache {
    float *base; /* [layers][page_count][keys, values][KV_PAGE_TOKENS][width] */
    uint64_t bytes;
    uint32_t layers;
    uint32_t width; /* kv_heads · head_size */
    uint32_t page_count;
    uint32_t free_count;
    uint32_t *free_pages; /* a stack */
};

static inline uint32_t kvcache_pages_for(uint32_t tokens) {
    return tokens / KV_PAGE_TOKENS + (tokens % KV_PAGE_TOKENS != 0);
}

/* Bytes when all pages are in use; UINT64_MAX when that does not fit 64 bits. */
uint64_t kvcache_bytes(uint32_t layers, uint32_t width, uint32_t tokens);

int kvcache_init(struct kvcache *kv, uint32_t layers, uint32_t width, uint32_t tokens,
                 struct error *reterr) MUST_CHECK;
void kvcache_deinit(struct kvcache *kv); /* accepts a zeroed one */

bool kvcache_take(struct kvcache *kv, uint32_t *ret_page);
void kvcache_give(struct kvcache *kv, uint32_t page);

/* [KV_PAGE_TOKENS][width] of one page in one layer. */
static inline float *kvcache_keys(const struct kvcache *kv, uint32_t layer, uint32_t page) {
    return kv->base + ((size_t)layer * kv->page_count + page) * 2 * KV_PAGE_TOKENS * kv->width;
}

static inline float *kvcache_values(const struct kvcache *kv, uint32_t layer, uint32_t page) {
    return kvcache_keys(kv, layer, page) + (size_t)KV_PAGE_TOKENS * kv->width;
}

#endif
