/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/graph/kvcache.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "engine/engine.h"

uint64_t kvcache_bytes(uint32_t layers, uint32_t width, uint32_t tokens) {
    uint64_t bytes = (uint64_t)kvcache_pages_for(tokens) * KV_PAGE_TOKENS * 2 * sizeof(float);

    if (__builtin_mul_overflow(bytes, layers, &bytes) || __builtin_mul_overflow(bytes, width, &bytes)) {
        return UINT64_MAX;
    }
    return bytes;
}

int kvcache_init(struct kvcache *kv, uint32_t layers, uint32_t width, uint32_t tokens, struct error *reterr) {
    uint32_t pages = kvcache_pages_for(tokens);
    uint64_t bytes = kvcache_bytes(layers, width, tokens);

    if (bytes > SIZE_MAX / 2) {
        return error_set(reterr, ENGINE_E_MEMORY, "a KV cache of %u tokens does not fit the address space",
                         tokens);
    }
    *kv = (struct kvcache){.layers = layers, .width = width, .page_count = pages, .bytes = bytes};
    kv->free_pages = calloc(pages, sizeof *kv->free_pages);
    if (kv->free_pages == NULL) {
        return error_errno(reterr, ENOMEM, "cannot reserve the KV cache");
    }
    void *base =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED) {
        int number = errno;
        kvcache_deinit(kv);
        return error_errno(reterr, number, "cannot reserve %llu bytes for the KV cache",
                           (unsigned long long)bytes);
    }
    kv->base = base;
    while (kv->free_count < pages) {
        kvcache_give(kv, pages - 1 - kv->free_count);
    }
    return 0;
}

void kvcache_deinit(struct kvcache *kv) {
    if (kv->base != NULL) {
        (void)munmap(kv->base, kv->bytes);
    }
    free(kv->free_pages);
    *kv = (struct kvcache){0};
}

bool kvcache_take(struct kvcache *kv, uint32_t *ret_page) {
    if (kv->free_count == 0) {
        return false;
    }
    *ret_page = kv->free_pages[--kv->free_count];
    return true;
}

void kvcache_give(struct kvcache *kv, uint32_t page) {
    kv->free_pages[kv->free_count++] = page;
}
