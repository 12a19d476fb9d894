/* SPDX-License-Identifier: Apache-2.0
 *
 * Checkpoints (C2SP tlog-checkpoint): a signed note whose text is three lines, the log's origin, the number
 * of leaves, and the root in base64. Our logs write no extension lines, so a checkpoint with some is none of
 * ours and is refused. The key of a log is named after its origin.
 */
#ifndef BUCKLER_AUDIT_PROOF_CHECKPOINT_H
#define BUCKLER_AUDIT_PROOF_CHECKPOINT_H

#include "audit/proof/note.h"
#include "audit/proof/tree.h"

struct checkpoint {
    char origin[NOTE_NAME_SIZE];
    uint64_t size;
    struct tree_hash root;
};

/* The three lines. -EINVAL when they could not be read back. */
int checkpoint_print(const struct checkpoint *checkpoint, struct buf *out, struct error *reterr) MUST_CHECK;
int checkpoint_parse(struct slice text, struct checkpoint *ret, struct error *reterr) MUST_CHECK;

/* The whole signed note. -EINVAL when no signer is an Ed25519 key with the origin's name. */
int checkpoint_sign(const struct checkpoint *checkpoint, struct note_signer *const *signers, size_t count,
                    uint64_t time, struct buf *out, struct error *reterr) MUST_CHECK;

/* Parses and verifies. Witnesses may be among the keys and ret_seen (may be NULL) tells which of them signed;
 * 0 only when a trusted Ed25519 key named after the origin did: PROOF_E_UNSIGNED else, however many witnesses
 * there are. */
int checkpoint_open(const void *bytes, size_t size, const struct note_key *keys, size_t count,
                    struct note_seen *ret_seen, struct checkpoint *ret, struct error *reterr) MUST_CHECK;

/* For the signer: 0 when a log that last signed `last` may sign `next`, whose tree is `range`. It may when
 * the range is `next` to the byte and holds no fewer leaves; the same size needs the same root. The signer
 * grows its range by appending to that of `last`, so a larger tree extends the old one by construction.
 * PROOF_E_MISMATCH else. `last` may be NULL: nothing was signed so far. */
int checkpoint_may_follow(const struct checkpoint *last, const struct checkpoint *next,
                          const struct tree_range *range, struct error *reterr) MUST_CHECK;

#endif
