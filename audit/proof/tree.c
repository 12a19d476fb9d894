/* SPDX-License-Identifier: Apache-2.0 */
#include "audit/proof/tree.h"

#include <errno.h>
#include <string.h>

#include "audit/proof/crypto.h"
#include "base/digest.h"

bool tree_hash_equal(const struct tree_hash *a, const struct tree_hash *b) {
    return memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

int tree_empty(struct tree_hash *ret) {
    return digest_sha256("", 0, ret->bytes);
}

int tree_leaf(const void *record, size_t size, struct tree_hash *ret) {
    return crypto_sha256(0, record, size, ret->bytes);
}

int tree_node(const struct tree_hash *left, const struct tree_hash *right, struct tree_hash *ret) {
    uint8_t bytes[1 + 2 * TREE_HASH_BYTES] = {1};
    memcpy(bytes + 1, left->bytes, TREE_HASH_BYTES);
    memcpy(bytes + 1 + TREE_HASH_BYTES, right->bytes, TREE_HASH_BYTES);
    return digest_sha256(bytes, sizeof bytes, ret->bytes);
}

int tree_fold(struct tree_hash *hashes, unsigned height, struct tree_hash *ret) {
    for (size_t width = (size_t)1 << height; width > 1; width /= 2) {
        for (size_t i = 0; i < width / 2; i++) {
            int rc = tree_node(&hashes[2 * i], &hashes[2 * i + 1], &hashes[i]);
            if (rc < 0) {
                return rc;
            }
        }
    }
    *ret = hashes[0];
    return 0;
}

/* ---- compact range ---- */

static size_t root_count(uint64_t size) {
    return (size_t)__builtin_popcountll(size);
}

void tree_range_init(struct tree_range *range) {
    memset(range, 0, sizeof *range);
}

int tree_range_append(struct tree_range *range, const struct tree_hash *leaf) {
    if (range->size >= TREE_MAX_SIZE) {
        return -EOVERFLOW;
    }
    size_t count = root_count(range->size);
    struct tree_hash hash = *leaf;
    for (uint64_t bits = range->size; (bits & 1) != 0; bits >>= 1) {
        int rc = tree_node(&range->roots[--count], &hash, &hash);
        if (rc < 0) {
            return rc;
        }
    }
    range->roots[count] = hash;
    range->size++;
    return 0;
}

int tree_range_root(const struct tree_range *range, struct tree_hash *ret) {
    size_t count = root_count(range->size);
    if (count == 0) {
        return tree_empty(ret);
    }
    struct tree_hash hash = range->roots[--count];
    while (count > 0) {
        int rc = tree_node(&range->roots[--count], &hash, &hash);
        if (rc < 0) {
            return rc;
        }
    }
    *ret = hash;
    return 0;
}
