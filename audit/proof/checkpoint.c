/* SPDX-License-Identifier: Apache-2.0 */
#include "audit/proof/checkpoint.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "audit/proof/note_key.h"
#include "base/cleanup.h"

static int refuse(struct error *reterr, const char *sentence) {
    return error_set(reterr, PROOF_E_MALFORMED, "%s", sentence);
}

/* A tree without leaves has one root only. */
static int check_empty(const struct checkpoint *checkpoint, struct error *reterr) {
    struct tree_hash empty;
    int rc = checkpoint->size == 0 ? tree_empty(&empty) : 0;
    if (rc < 0) {
        return error_errno(reterr, -rc, "a root cannot be computed");
    }
    return checkpoint->size > 0 || tree_hash_equal(&checkpoint->root, &empty)
               ? 0
               : refuse(reterr, "the checkpoint of an empty tree has another root than the empty one");
}

int checkpoint_print(const struct checkpoint *checkpoint, struct buf *out, struct error *reterr) {
    struct slice origin = {checkpoint->origin, strnlen(checkpoint->origin, NOTE_NAME_SIZE)};
    if (origin.size == NOTE_NAME_SIZE || !note_name_valid(origin) || checkpoint->size > TREE_MAX_SIZE ||
        check_empty(checkpoint, NULL) != 0) {
        return error_set(reterr, -EINVAL, "a checkpoint needs an origin and the root of a tree");
    }
    buf_printf(out, "%s\n%llu\n", checkpoint->origin, (unsigned long long)checkpoint->size);
    base64_append(out, checkpoint->root.bytes, TREE_HASH_BYTES);
    buf_append(out, "\n", 1);
    return out->failed ? error_errno(reterr, ENOMEM, "a checkpoint cannot be written") : 0;
}

int checkpoint_parse(struct slice text, struct checkpoint *ret, struct error *reterr) {
    struct checkpoint checkpoint = {0};
    struct cursor c;
    cursor_init(&c, text.bytes, text.size);
    struct slice origin = line_take(&c);
    struct slice size = line_take(&c);
    struct slice root = line_take(&c);
    if (c.failed) {
        return refuse(reterr, "the checkpoint has fewer than three lines");
    }
    if (origin.size >= NOTE_NAME_SIZE || !note_name_valid(origin)) {
        return refuse(reterr, "the checkpoint's origin is no valid name");
    }
    if (!decimal_parse(size, &checkpoint.size)) {
        return refuse(reterr, "the checkpoint's size is not a decimal number without leading zeros");
    }
    if (!base64_decode(root, checkpoint.root.bytes, TREE_HASH_BYTES)) {
        return refuse(reterr, "the checkpoint's root is not 32 bytes in base64");
    }
    if (!cursor_done(&c)) {
        return refuse(reterr, "the checkpoint has extension lines");
    }
    int rc = check_empty(&checkpoint, reterr);
    if (rc != 0) {
        return rc;
    }
    memcpy(checkpoint.origin, origin.bytes, origin.size);
    *ret = checkpoint;
    return 0;
}

static bool is_log_key(const struct note_key *key, const struct checkpoint *checkpoint) {
    return key->kind == NOTE_ED25519 && strcmp(key->name, checkpoint->origin) == 0;
}

int checkpoint_sign(const struct checkpoint *checkpoint, struct note_signer *const *signers, size_t count,
                    uint64_t time, struct buf *out, struct error *reterr) {
    CLEANUP(buf_deinit) struct buf text = {0};
    bool named = false;
    for (size_t i = 0; i < count; i++) {
        named = named || is_log_key(note_signer_key(signers[i]), checkpoint);
    }
    if (!named) {
        return error_set(reterr, -EINVAL, "none of the keys is named after the log's origin");
    }
    int rc = checkpoint_print(checkpoint, &text, reterr);
    return rc != 0 ? rc
                   : note_sign((struct slice){(const char *)text.bytes, text.size}, signers, count, time, out,
                               reterr);
}

int checkpoint_open(const void *bytes, size_t size, const struct note_key *keys, size_t count,
                    struct note_seen *ret_seen, struct checkpoint *ret, struct error *reterr) {
    struct note note;
    struct checkpoint checkpoint;
    bool by_log = false;
    int rc = note_parse(bytes, size, &note, reterr);
    if (rc == 0) {
        rc = checkpoint_parse(note.text, &checkpoint, reterr);
    }
    if (rc != 0) {
        return rc;
    }
    CLEANUP(free_ptr) struct note_seen *seen = calloc(count + 1, sizeof *seen);
    if (seen == NULL) {
        return error_errno(reterr, ENOMEM, "a checkpoint cannot be verified");
    }
    rc = note_verify(&note, keys, count, seen, reterr);
    if (rc != 0) {
        return rc;
    }
    for (size_t i = 0; i < count; i++) {
        by_log = by_log || (seen[i].verified && is_log_key(&keys[i], &checkpoint));
    }
    if (!by_log) {
        return error_set(reterr, PROOF_E_UNSIGNED, "no trusted key of the log itself signed the checkpoint");
    }
    if (ret_seen != NULL) {
        memcpy(ret_seen, seen, count * sizeof *seen);
    }
    *ret = checkpoint;
    return 0;
}

int checkpoint_may_follow(const struct checkpoint *last, const struct checkpoint *next,
                          const struct tree_range *range, struct error *reterr) {
    struct tree_hash root;
    int rc = tree_range_root(range, &root);
    if (rc < 0) {
        return error_errno(reterr, -rc, "a root cannot be computed");
    }
    if (range->size != next->size || !tree_hash_equal(&root, &next->root)) {
        return error_set(reterr, PROOF_E_MISMATCH, "the checkpoint is not that of the signer's own tree");
    }
    if (last == NULL) {
        return 0;
    }
    if (strcmp(last->origin, next->origin) != 0) {
        return error_set(reterr, PROOF_E_MISMATCH, "the checkpoint belongs to another log");
    }
    if (next->size < last->size) {
        return error_set(reterr, PROOF_E_MISMATCH, "the tree is smaller than the one that was signed last");
    }
    return next->size > last->size || tree_hash_equal(&last->root, &next->root)
               ? 0
               : error_set(reterr, PROOF_E_MISMATCH,
                           "the tree has another root than the one that was signed last");
}
