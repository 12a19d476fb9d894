/* SPDX-License-Identifier: Apache-2.0 */
#include "audit/proof/tree.h"

#include <errno.h>
#include <string.h>

#include "audit/proof/crypto.h"
#include "base/cursor.h"
#include "base/digest.h"

static const char magic[8] = {'B', 'K', 'L', 'R', 'T', 'R', 'E', 'E'};

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

void tree_range_save(const struct tree_range *range, struct buf *out) {
    size_t begin = out->size;
    uint8_t checksum[DIGEST_BYTES];
    buf_append(out, magic, sizeof magic);
    buf_u64(out, range->size);
    buf_append(out, range->roots, root_count(range->size) * TREE_HASH_BYTES);
    if (out->failed || digest_sha256(out->bytes + begin, out->size - begin, checksum) < 0) {
        out->failed = true;
        return;
    }
    buf_append(out, checksum, sizeof checksum);
}

int tree_range_restore(const void *bytes, size_t size, struct tree_range *ret, struct error *reterr) {
    struct tree_range range;
    struct cursor c;
    uint8_t checksum[DIGEST_BYTES];
    tree_range_init(&range);
    cursor_init(&c, bytes, size);
    const uint8_t *begin = cursor_take(&c, sizeof magic);
    if (begin == NULL || memcmp(begin, magic, sizeof magic) != 0) {
        return error_set(reterr, PROOF_E_MALFORMED, "the state of the tree does not begin with its magic");
    }
    range.size = cursor_u64(&c);
    if (range.size > TREE_MAX_SIZE) {
        return error_set(reterr, PROOF_E_MALFORMED, "the state of the tree has an impossible size");
    }
    size_t length = root_count(range.size) * TREE_HASH_BYTES;
    const uint8_t *roots = cursor_take(&c, length);
    size_t covered = c.at;
    const uint8_t *stored = cursor_take(&c, sizeof checksum);
    if (stored == NULL || !cursor_done(&c)) {
        return error_set(reterr, PROOF_E_MALFORMED, "the state of the tree is %zu bytes long, not %zu", size,
                         sizeof magic + 8 + length + sizeof checksum);
    }
    int rc = digest_sha256(bytes, covered, checksum);
    if (rc < 0) {
        return error_errno(reterr, -rc, "the state of the tree cannot be checked");
    }
    if (memcmp(stored, checksum, sizeof checksum) != 0) {
        return error_set(reterr, PROOF_E_MALFORMED, "the state of the tree does not match its checksum");
    }
    memcpy(range.roots, roots, length);
    *ret = range;
    return 0;
}
