/* SPDX-License-Identifier: Apache-2.0
 *
 * Proofs of single records (C2SP tlog-proof@v1), made from the published files.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "audit/history.h"
#include "audit/log.h"
#include "audit/proof/tlog_proof.h"
#include "base/cleanup.h"
#include "base/digest.h"

static int print(int directory_fd, struct slice bytes, uint64_t index, struct tree_hash *ret_leaf,
                 struct buf *out, struct error *reterr) {
    struct note note;
    struct checkpoint checkpoint;
    struct tree_proof path;
    struct tile_reader *reader = NULL;
    int rc = note_parse(bytes.bytes, bytes.size, &note, reterr);
    rc = rc != 0 ? rc : checkpoint_parse(note.text, &checkpoint, reterr);
    if (rc != 0) {
        return error_recode(reterr, rc, AUDIT_E_TAMPERED);
    }
    if (index >= checkpoint.size) {
        return error_set(reterr, AUDIT_E_GAP, "no checkpoint covers record %llu yet",
                         (unsigned long long)index);
    }
    rc = tile_reader_new(&tile_io_kernel, directory_fd, checkpoint.size, &reader, reterr);
    if (rc != 0) {
        return rc;
    }
    struct tree_source source = tile_reader_source(reader);
    rc = source.subtree(source.user, 0, index, ret_leaf, reterr);
    rc = rc != 0 ? rc : tree_prove_inclusion(&source, index, checkpoint.size, &path, reterr);
    rc = rc != 0 ? rc : tlog_proof_print(NULL, 0, index, &path, bytes, out, reterr);
    reader = tile_reader_free(reader);
    return error_recode(reterr, rc, AUDIT_E_TAMPERED);
}

static int prove(int directory_fd, uint64_t index, struct audit_proof *ret, struct error *reterr) {
    CLEANUP(buf_deinit) struct buf note = {0};
    CLEANUP(buf_deinit) struct buf text = {0};
    struct tree_hash leaf;
    int rc = tile_get(&tile_io_kernel, directory_fd, "checkpoint", HISTORY_MAX_ENTRY_BYTES, &note, reterr);
    if (rc != 0) {
        return error_recode(reterr, rc, AUDIT_E_UNREADABLE);
    }
    rc =
        print(directory_fd, (struct slice){(const char *)note.bytes, note.size}, index, &leaf, &text, reterr);
    if (rc != 0) {
        return rc;
    }
    hex_encode(leaf.bytes, TREE_HASH_BYTES, ret->leaf);
    ret->text = (char *)steal(text.bytes);
    return 0;
}

int audit_prove(const char *directory, uint64_t index, struct audit_proof *ret, struct error *reterr) {
    CLEANUP(close_fd) int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? error_errno(reterr, errno, "%s cannot be opened", directory)
                  : prove(fd, index, ret, reterr);
}

int audit_prove_own(const struct audit_log *log, uint64_t index, struct audit_proof *ret,
                    struct error *reterr) {
    return prove(log->directory_fd, index, ret, reterr);
}

void audit_proof_deinit(struct audit_proof *proof) {
    free(proof->text);
    proof->text = NULL;
}
