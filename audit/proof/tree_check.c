/* SPDX-License-Identifier: Apache-2.0
 *
 * Checking, as RFC 9162 section 2.1.3.2 and 2.1.4.2 say it. The number of hashes is fixed by the sizes alone;
 * it is compared first, so that a wrong length is told from a wrong hash.
 */
#include "audit/proof/tree.h"

#include <errno.h>

static unsigned bit_length(uint64_t value) {
    return value == 0 ? 0 : 64 - (unsigned)__builtin_clzll(value);
}

/* Levels at which the path of leaf `index` still has the right edge beside it, and below them those at which
 * the edge itself joins a left sibling. */
size_t tree_inclusion_length(uint64_t index, uint64_t size) {
    unsigned inner = bit_length(index ^ (size - 1));
    return inner + (size_t)__builtin_popcountll(index >> inner);
}

static size_t consistency_length(uint64_t old_size, uint64_t size) {
    if (old_size == 0 || old_size == size) {
        return 0;
    }
    unsigned shift = (unsigned)__builtin_ctzll(old_size);
    bool power = (old_size & (old_size - 1)) == 0;
    return tree_inclusion_length((old_size - 1) >> shift, ((size - 1) >> shift) + 1) + (power ? 0 : 1);
}

static int check_length(size_t expected, size_t count, struct error *reterr) {
    return expected == count
               ? 0
               : error_set(reterr, PROOF_E_MALFORMED, "the proof has %zu hashes where these sizes need %zu",
                           count, expected);
}

int tree_check_inclusion(const struct tree_hash *leaf, uint64_t index, uint64_t size,
                         const struct tree_hash *hashes, size_t count, const struct tree_hash *root,
                         struct error *reterr) {
    if (size > TREE_MAX_SIZE || index >= size) {
        return error_set(reterr, PROOF_E_RANGE, "a tree of %llu leaves has no leaf %llu",
                         (unsigned long long)size, (unsigned long long)index);
    }
    int rc = check_length(tree_inclusion_length(index, size), count, reterr);
    if (rc != 0) {
        return rc;
    }
    struct tree_hash hash = *leaf;
    uint64_t at = index;
    uint64_t last = size - 1;
    for (size_t i = 0; i < count; i++) {
        bool from_left = (at & 1) != 0 || at == last;
        rc = from_left ? tree_node(&hashes[i], &hash, &hash) : tree_node(&hash, &hashes[i], &hash);
        if (rc < 0) {
            return error_errno(reterr, -rc, "a proof cannot be checked");
        }
        while (from_left && (at & 1) == 0 && at != 0) {
            at >>= 1;
            last >>= 1;
        }
        at >>= 1;
        last >>= 1;
    }
    return tree_hash_equal(&hash, root)
               ? 0
               : error_set(reterr, PROOF_E_MISMATCH, "the proof leads to another root");
}

/* Folds the proof from `first` up to the old root and to the new one at the same time. */
static int fold_both(uint64_t at, uint64_t last, const struct tree_hash *first,
                     const struct tree_hash *hashes, size_t count, struct tree_hash *ret_old,
                     struct tree_hash *ret_new) {
    struct tree_hash older = *first;
    struct tree_hash newer = *first;
    for (size_t i = 0; i < count; i++) {
        bool from_left = (at & 1) != 0 || at == last;
        int rc = from_left ? tree_node(&hashes[i], &older, &older) : 0;
        if (rc == 0) {
            rc = from_left ? tree_node(&hashes[i], &newer, &newer) : tree_node(&newer, &hashes[i], &newer);
        }
        if (rc < 0) {
            return rc;
        }
        while (from_left && (at & 1) == 0 && at != 0) {
            at >>= 1;
            last >>= 1;
        }
        at >>= 1;
        last >>= 1;
    }
    *ret_old = older;
    *ret_new = newer;
    return 0;
}

int tree_check_consistency(uint64_t old_size, const struct tree_hash *old_root, uint64_t size,
                           const struct tree_hash *root, const struct tree_hash *hashes, size_t count,
                           struct error *reterr) {
    if (size > TREE_MAX_SIZE || old_size > size) {
        return error_set(reterr, PROOF_E_RANGE, "a tree of %llu leaves does not begin with one of %llu",
                         (unsigned long long)size, (unsigned long long)old_size);
    }
    int rc = check_length(consistency_length(old_size, size), count, reterr);
    if (rc != 0 || old_size == 0) {
        return rc;
    }
    struct tree_hash older = *old_root;
    struct tree_hash newer = *old_root;
    if (old_size < size) {
        unsigned shift = (unsigned)__builtin_ctzll(old_size);
        bool power = (old_size & (old_size - 1)) == 0;
        size_t skip = power ? 0 : 1;
        rc = fold_both((old_size - 1) >> shift, (size - 1) >> shift, power ? old_root : hashes, hashes + skip,
                       count - skip, &older, &newer);
        if (rc < 0) {
            return error_errno(reterr, -rc, "a proof cannot be checked");
        }
    }
    if (!tree_hash_equal(&older, old_root)) {
        return error_set(reterr, PROOF_E_MISMATCH, "the proof leads to another old root");
    }
    return tree_hash_equal(&newer, root)
               ? 0
               : error_set(reterr, PROOF_E_MISMATCH, "the proof leads to another new root");
}
