/* SPDX-License-Identifier: Apache-2.0 */
#include "audit/proof/tlog_proof.h"

#include <errno.h>

static const char title[] = "c2sp.org/tlog-proof@v1";

static int refuse(struct error *reterr, const char *sentence) {
    return error_set(reterr, PROOF_E_MALFORMED, "%s", sentence);
}

/* The checkpoint in a note whose signatures are not looked at. */
static int unsigned_checkpoint(struct slice bytes, struct checkpoint *ret, struct error *reterr) {
    struct note note;
    int rc = note_parse(bytes.bytes, bytes.size, &note, reterr);
    return rc != 0 ? rc : checkpoint_parse(note.text, ret, reterr);
}

int tlog_proof_print(const void *extra, size_t extra_size, uint64_t index, const struct tree_proof *path,
                     struct slice note, struct buf *out, struct error *reterr) {
    struct checkpoint checkpoint;
    if (unsigned_checkpoint(note, &checkpoint, reterr) != 0) {
        return error_set(reterr, -EINVAL, "a proof needs a signed checkpoint");
    }
    if (index >= checkpoint.size || path->count != tree_inclusion_length(index, checkpoint.size)) {
        return error_set(reterr, -EINVAL, "a proof's path does not fit its index and checkpoint");
    }
    buf_printf(out, "%s\n", title);
    if (extra != NULL) {
        buf_printf(out, "extra ");
        base64_append(out, extra, extra_size);
        buf_append(out, "\n", 1);
    }
    buf_printf(out, "index %llu\n", (unsigned long long)index);
    for (size_t i = 0; i < path->count; i++) {
        base64_append(out, path->hashes[i].bytes, TREE_HASH_BYTES);
        buf_append(out, "\n", 1);
    }
    buf_append(out, "\n", 1);
    buf_append(out, note.bytes, note.size);
    return out->failed ? error_errno(reterr, ENOMEM, "a proof cannot be written") : 0;
}

static int parse_path(struct cursor *c, struct tree_proof *ret, struct error *reterr) {
    ret->count = 0;
    for (;;) {
        struct slice line = line_take(c);
        if (c->failed) {
            return refuse(reterr, "the proof has no empty line before its checkpoint");
        }
        if (line.size == 0) {
            return 0;
        }
        if (ret->count == TREE_MAX_PROOF) {
            return refuse(reterr, "the proof has more than 64 hashes");
        }
        if (!base64_decode(line, ret->hashes[ret->count].bytes, TREE_HASH_BYTES)) {
            return refuse(reterr, "a hash of the proof is not 32 bytes in base64");
        }
        ret->count++;
    }
}

int tlog_proof_parse(const void *bytes, size_t size, struct tlog_proof *ret, struct error *reterr) {
    struct cursor c;
    ret->has_extra = false;
    ret->extra = (struct slice){"", 0};
    cursor_init(&c, bytes, size);
    if (!slice_is(line_take(&c), title) || c.failed) {
        return refuse(reterr, "the proof does not begin with the line c2sp.org/tlog-proof@v1");
    }
    struct slice line = line_take(&c);
    if (slice_skip(&line, "extra ")) {
        if (!base64_valid(line)) {
            return refuse(reterr, "the proof's extra data is not base64");
        }
        ret->has_extra = true;
        ret->extra = line;
        line = line_take(&c);
    }
    if (!slice_skip(&line, "index ") || !decimal_parse(line, &ret->index)) {
        return refuse(reterr, "the proof has no index line with a decimal number without leading zeros");
    }
    int rc = parse_path(&c, &ret->path, reterr);
    if (rc != 0) {
        return rc;
    }
    size_t left = cursor_left(&c);
    if (left == 0) {
        return refuse(reterr, "the proof has no checkpoint");
    }
    ret->checkpoint = (struct slice){(const char *)cursor_take(&c, left), left};
    return 0;
}

int tlog_proof_verify(const void *bytes, size_t size, const struct tree_hash *leaf,
                      const struct note_key *keys, size_t count, struct note_seen *ret_seen,
                      uint64_t *ret_index, struct checkpoint *ret_checkpoint, struct error *reterr) {
    struct tlog_proof proof;
    struct checkpoint checkpoint;
    int rc = tlog_proof_parse(bytes, size, &proof, reterr);
    if (rc == 0) {
        rc = checkpoint_open(proof.checkpoint.bytes, proof.checkpoint.size, keys, count, ret_seen,
                             &checkpoint, reterr);
    }
    if (rc == 0) {
        rc = tree_check_inclusion(leaf, proof.index, checkpoint.size, proof.path.hashes, proof.path.count,
                                  &checkpoint.root, reterr);
    }
    if (rc != 0) {
        return rc;
    }
    *ret_index = proof.index;
    *ret_checkpoint = checkpoint;
    return 0;
}
