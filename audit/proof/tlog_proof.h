/* SPDX-License-Identifier: Apache-2.0
 *
 * One file that proves to anybody, offline, that a record is in the log (C2SP tlog-proof@v1, extension
 * `.tlog-proof`): the record's index, the hashes from its leaf to the root, and the checkpoint that signs
 * that root. Who checks it needs the record and the log's verifier key.
 */
#ifndef BUCKLER_AUDIT_PROOF_TLOG_PROOF_H
#define BUCKLER_AUDIT_PROOF_TLOG_PROOF_H

#include "audit/proof/checkpoint.h"
#include "audit/proof/tree.h"

struct tlog_proof {
    bool has_extra;
    struct slice extra; /* base64, checked; what it says is signed by nobody */
    uint64_t index;
    struct tree_proof path;
    struct slice checkpoint; /* a signed note, not looked into yet */
};

/* `extra` may be NULL: none. `note` is a signed checkpoint. -EINVAL when that is not one, or when the path is
 * not as long as index and size say. */
int tlog_proof_print(const void *extra, size_t extra_size, uint64_t index, const struct tree_proof *path,
                     struct slice note, struct buf *out, struct error *reterr) MUST_CHECK;

/* Form only. The slices point into `bytes`. */
int tlog_proof_parse(const void *bytes, size_t size, struct tlog_proof *ret, struct error *reterr) MUST_CHECK;

/* 0: the record with this leaf hash is in the log that ret_checkpoint names, at ret_index. The keys are as
 * for checkpoint_open; ret_seen may be NULL. Any proof_error else. */
int tlog_proof_verify(const void *bytes, size_t size, const struct tree_hash *leaf,
                      const struct note_key *keys, size_t count, struct note_seen *ret_seen,
                      uint64_t *ret_index, struct checkpoint *ret_checkpoint,
                      struct error *reterr) MUST_CHECK;

#endif
