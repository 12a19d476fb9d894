/* SPDX-License-Identifier: Apache-2.0
 *
 * The Merkle tree of RFC 6962 over SHA-256. A record's leaf is SHA-256(00 ‖ record), a node is
 * SHA-256(01 ‖ left ‖ right), and a tree of n > 1 leaves splits at the largest power of two below n.
 *
 * Three parties use it. The writer keeps a `tree_range`, some 2 KiB that stand for the whole tree, and
 * appends. Whoever serves proofs has a `tree_source` that knows the hashes of full subtrees
 * (audit/proof/tile.h has one over files) and asks it for what a proof needs. Who checks has two roots and a
 * list of hashes, nothing else. No function here does I/O or holds state of its own; all may be called from
 * any thread.
 */
#ifndef BUCKLER_AUDIT_PROOF_TREE_H
#define BUCKLER_AUDIT_PROOF_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* What every function of audit/proof/ can answer beside 0 and -errno. */
enum proof_error {
    PROOF_E_MALFORMED = 1, /* bytes that are not what they should be: notes, paths, proofs, tiles, states */
    PROOF_E_RANGE,         /* a question outside the tree */
    PROOF_E_MISMATCH,      /* well-formed, and proves something else */
    PROOF_E_SIGNATURE,     /* a trusted key's signature is wrong */
    PROOF_E_UNSIGNED,      /* no signature by a trusted key */
    PROOF_E_MISSING,       /* a tile that the tree of this size has is not there */
};

enum {
    TREE_HASH_BYTES = 32,
    TREE_MAX_HEIGHT = 62, /* of a full subtree: sizes are at most INT64_MAX */
    TREE_MAX_PROOF = 64,  /* hashes in any proof */
};

#define TREE_MAX_SIZE ((uint64_t)INT64_MAX)

struct tree_hash {
    uint8_t bytes[TREE_HASH_BYTES];
};

bool tree_hash_equal(const struct tree_hash *a, const struct tree_hash *b);

/* Negative only when OpenSSL cannot allocate. */
int tree_empty(struct tree_hash *ret) MUST_CHECK; /* the root of no leaves */
int tree_leaf(const void *record, size_t size, struct tree_hash *ret) MUST_CHECK;
int tree_node(const struct tree_hash *left, const struct tree_hash *right, struct tree_hash *ret) MUST_CHECK;

/* The root of 2^height hashes that stand side by side; `hashes` is used up. */
int tree_fold(struct tree_hash *hashes, unsigned height, struct tree_hash *ret) MUST_CHECK;

/* ---- the writer's state: roots of the full subtrees of which the tree consists, largest first ---- */

struct tree_range {
    uint64_t size;                               /* leaves */
    struct tree_hash roots[TREE_MAX_HEIGHT + 1]; /* the first popcount(size) of them */
};

void tree_range_init(struct tree_range *range);

/* On failure the range is as before. */
int tree_range_append(struct tree_range *range, const struct tree_hash *leaf) MUST_CHECK;
int tree_range_root(const struct tree_range *range, struct tree_hash *ret) MUST_CHECK;

/* ---- making proofs ---- */

struct tree_source {
    /* The root of the full subtree over leaves [index·2^height, (index + 1)·2^height). Only subtrees that lie
     * whole inside the tree are asked for. */
    int (*subtree)(void *user, unsigned height, uint64_t index, struct tree_hash *ret, struct error *reterr);
    void *user;
};

struct tree_proof {
    size_t count;
    struct tree_hash hashes[TREE_MAX_PROOF];
};

/* The root of the first `size` leaves. */
int tree_source_root(const struct tree_source *source, uint64_t size, struct tree_hash *ret,
                     struct error *reterr) MUST_CHECK;

/* That leaf `index` is in the tree of the first `size` leaves; its sibling comes first. */
int tree_prove_inclusion(const struct tree_source *source, uint64_t index, uint64_t size,
                         struct tree_proof *ret, struct error *reterr) MUST_CHECK;

/* That the tree of `old_size` leaves is the beginning of the tree of `size`. */
int tree_prove_consistency(const struct tree_source *source, uint64_t old_size, uint64_t size,
                           struct tree_proof *ret, struct error *reterr) MUST_CHECK;

/* Hashes in the proof of leaf `index` in `size` leaves, which must have it. */
size_t tree_inclusion_length(uint64_t index, uint64_t size);

/* ---- checking proofs: `count` hashes are read and no more, whatever the sizes say ---- */

/* 0, PROOF_E_RANGE, PROOF_E_MALFORMED (another number of hashes than such a proof has) or PROOF_E_MISMATCH.
 */
int tree_check_inclusion(const struct tree_hash *leaf, uint64_t index, uint64_t size,
                         const struct tree_hash *hashes, size_t count, const struct tree_hash *root,
                         struct error *reterr) MUST_CHECK;
int tree_check_consistency(uint64_t old_size, const struct tree_hash *old_root, uint64_t size,
                           const struct tree_hash *root, const struct tree_hash *hashes, size_t count,
                           struct error *reterr) MUST_CHECK;

#endif
