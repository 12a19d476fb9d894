/* SPDX-License-Identifier: Apache-2.0
 *
 * Proofs from a source of full subtrees. Every subtree that a proof names begins at a multiple of a power of
 * two that is no smaller than it, so it falls apart into full subtrees from the left, largest first.
 */
#include "audit/proof/tree.h"

#include <errno.h>

static unsigned log2_floor(uint64_t value) {
    return 63 - (unsigned)__builtin_clzll(value);
}

/* The largest power of two below `size`, which is at least 2. */
static uint64_t split(uint64_t size) {
    return (uint64_t)1 << log2_floor(size - 1);
}

/* The root over leaves [from, to), where `from` is a multiple of the largest power of two in to - from. */
static int span_root(const struct tree_source *source, uint64_t from, uint64_t to, struct tree_hash *ret,
                     struct error *reterr) {
    struct tree_hash roots[TREE_MAX_HEIGHT + 1];
    size_t count = 0;
    while (from < to) {
        unsigned height = log2_floor(to - from);
        int rc = source->subtree(source->user, height, from >> height, &roots[count], reterr);
        if (rc != 0) {
            return rc;
        }
        count++;
        from += (uint64_t)1 << height;
    }
    struct tree_hash hash = roots[--count];
    while (count > 0) {
        int rc = tree_node(&roots[--count], &hash, &hash);
        if (rc < 0) {
            return error_errno(reterr, -rc, "a proof cannot be made");
        }
    }
    *ret = hash;
    return 0;
}

int tree_source_root(const struct tree_source *source, uint64_t size, struct tree_hash *ret,
                     struct error *reterr) {
    if (size > TREE_MAX_SIZE) {
        return error_set(reterr, PROOF_E_RANGE, "no tree has that many leaves");
    }
    if (size == 0) {
        int rc = tree_empty(ret);
        return rc == 0 ? 0 : error_errno(reterr, -rc, "a root cannot be computed");
    }
    return span_root(source, 0, size, ret, reterr);
}

/* Roots were collected on the way down; a proof has them from the bottom up. */
static void reverse(struct tree_proof *proof) {
    for (size_t i = 0; i < proof->count / 2; i++) {
        struct tree_hash swap = proof->hashes[i];
        proof->hashes[i] = proof->hashes[proof->count - 1 - i];
        proof->hashes[proof->count - 1 - i] = swap;
    }
}

/* One step down in the subtree of leaves [from, to), to the half in which the first `size` leaves of the tree
 * end; the root of the other half goes into the proof. */
static int descend(const struct tree_source *source, uint64_t size, uint64_t *from, uint64_t *to,
                   struct tree_proof *proof, struct error *reterr) {
    uint64_t middle = *from + split(*to - *from);
    bool left = size <= middle;
    int rc = left ? span_root(source, middle, *to, &proof->hashes[proof->count], reterr)
                  : span_root(source, *from, middle, &proof->hashes[proof->count], reterr);
    if (rc == 0) {
        proof->count++;
        *from = left ? *from : middle;
        *to = left ? middle : *to;
    }
    return rc;
}

int tree_prove_inclusion(const struct tree_source *source, uint64_t index, uint64_t size,
                         struct tree_proof *ret, struct error *reterr) {
    struct tree_proof proof = {0};
    uint64_t from = 0;
    uint64_t to = size;
    if (size > TREE_MAX_SIZE || index >= size) {
        return error_set(reterr, PROOF_E_RANGE, "a tree of %llu leaves has no leaf %llu",
                         (unsigned long long)size, (unsigned long long)index);
    }
    while (to - from > 1) {
        int rc = descend(source, index + 1, &from, &to, &proof, reterr);
        if (rc != 0) {
            return rc;
        }
    }
    reverse(&proof);
    *ret = proof;
    return 0;
}

int tree_prove_consistency(const struct tree_source *source, uint64_t old_size, uint64_t size,
                           struct tree_proof *ret, struct error *reterr) {
    struct tree_proof proof = {0};
    uint64_t from = 0;
    uint64_t to = size;
    if (size > TREE_MAX_SIZE || old_size > size) {
        return error_set(reterr, PROOF_E_RANGE, "a tree of %llu leaves does not begin with one of %llu",
                         (unsigned long long)size, (unsigned long long)old_size);
    }
    /* The old tree's right edge is followed down to the subtree that ends with it. As long as the way leads
     * left only, that subtree is the old tree itself, whose root the checker has. */
    while (old_size > 0 && old_size < to) {
        int rc = descend(source, old_size, &from, &to, &proof, reterr);
        if (rc != 0) {
            return rc;
        }
    }
    if (old_size > 0 && from > 0) {
        int rc = span_root(source, from, to, &proof.hashes[proof.count], reterr);
        if (rc != 0) {
            return rc;
        }
        proof.count++;
    }
    reverse(&proof);
    *ret = proof;
    return 0;
}
