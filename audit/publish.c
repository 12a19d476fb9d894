/* SPDX-License-Identifier: Apache-2.0
 *
 * From durable records to a signed checkpoint, always in this order: tiles and entry bundles, the history,
 * `checkpoint`. A crash anywhere in between is made good at the next start from the records. What is signed
 * is the root of the range that grew, record by record, from the checkpoint signed before.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "audit/history.h"
#include "audit/log.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/cursor.h"
#include "base/fd.h"

enum { WORTH_RECORDS = 4096, WORTH_BYTES = 8 * 1024 * 1024, TAIL_BYTES = 2 * HISTORY_MAX_ENTRY_BYTES };

int publish_remember(struct audit_log *log, const void *payload, size_t size, struct error *reterr) {
    buf_append(&log->fresh, payload, size);
    buf_u32(&log->fresh_sizes, (uint32_t)size);
    return log->fresh.failed || log->fresh_sizes.failed ? log_fail(log, ENOMEM, "a record", reterr) : 0;
}

/* The first `count` remembered records are in the tree now. */
static void forget(struct audit_log *log, size_t count, size_t bytes) {
    log->fresh.size -= bytes;
    log->fresh_sizes.size -= 4 * count;
    memmove(log->fresh.bytes, log->fresh.bytes + bytes, log->fresh.size);
    memmove(log->fresh_sizes.bytes, log->fresh_sizes.bytes + 4 * count, log->fresh_sizes.size);
}

int publish_tiles(struct audit_log *log, struct error *reterr) {
    uint64_t durable = log->batch.size > 0 ? log->batch_first : log->next;
    uint64_t old = log->tiles.range.size;
    size_t count = durable > old ? (size_t)(durable - old) : 0;
    if (count == 0) {
        return 0;
    }
    CLEANUP(free_ptr) struct slice *records = calloc(count, sizeof *records);
    if (records == NULL) {
        return log_fail(log, ENOMEM, "the tree", reterr);
    }
    size_t bytes = 0;
    struct cursor sizes;
    cursor_init(&sizes, log->fresh_sizes.bytes, log->fresh_sizes.size);
    for (size_t i = 0; i < count; i++) {
        records[i] = (struct slice){(const char *)log->fresh.bytes + bytes, cursor_u32(&sizes)};
        bytes += records[i].size;
    }
    if (tile_append(&log->tiles, records, count, reterr) != 0) {
        log->failed = true;
        (void)error_prefix(reterr, "%s: ", log->directory);
        return -EIO;
    }
    forget(log, count, bytes);
    return 0;
}

int publish_some(struct audit_log *log, struct error *reterr) {
    return log->fresh.size >= WORTH_BYTES || log->fresh_sizes.size >= 4 * WORTH_RECORDS
               ? publish_tiles(log, reterr)
               : 0;
}

static int append_history(struct audit_log *log, const struct buf *note, struct error *reterr) {
    CLEANUP(buf_deinit) struct buf entry = {0};
    buf_append(&entry, note->bytes, note->size);
    buf_append(&entry, "\n", 1);
    int rc = entry.failed ? -ENOMEM : 0;
    for (size_t done = 0; rc == 0 && done < entry.size;) {
        ssize_t put = pwrite(log->history_fd, entry.bytes + done, entry.size - done,
                             (off_t)(log->history_bytes + done));
        if (put <= 0 && !(put < 0 && errno == EINTR)) {
            rc = put < 0 ? -errno : -ENOSPC;
        }
        done += put > 0 ? (size_t)put : 0;
    }
    if (rc == 0 && fdatasync(log->history_fd) != 0) {
        rc = -errno;
    }
    if (rc != 0) {
        return log_fail(log, -rc, "the write of " HISTORY_FILE, reterr);
    }
    log->history_bytes += entry.size;
    return 0;
}

static int put_checkpoint(struct audit_log *log, const void *note, size_t size, struct error *reterr) {
    if (tile_put(&tile_io_kernel, log->directory_fd, "checkpoint", note, size, reterr) != 0) {
        log->failed = true;
        (void)error_prefix(reterr, "%s: ", log->directory);
        return -EIO;
    }
    return 0;
}

static int sign(struct audit_log *log, struct buf *note, struct checkpoint *ret, struct error *reterr) {
    const struct checkpoint *last = log->history_bytes > 0 ? &log->checkpoint : NULL;
    struct checkpoint next = {.size = log->tiles.range.size};
    (void)memcpy(next.origin, note_signer_key(log->signer)->name, sizeof next.origin);
    int rc = tree_range_root(&log->tiles.range, &next.root);
    rc = rc != 0 ? error_errno(reterr, -rc, "a root")
                 : checkpoint_may_follow(last, &next, &log->tiles.range, reterr);
    rc = rc != 0 ? rc : checkpoint_sign(&next, &log->signer, 1, clock_unix_ns() / 1000000000u, note, reterr);
    if (rc != 0) {
        log->failed = true;
        (void)error_prefix(reterr, "%s: nothing is signed: ", log->directory);
        return rc < 0 ? rc : -EIO;
    }
    *ret = next;
    return 0;
}

int audit_publish(struct audit_log *log, struct error *reterr) {
    CLEANUP(buf_deinit) struct buf note = {0};
    struct checkpoint next;
    uint64_t old = log->history_bytes > 0 ? log->checkpoint.size : 0;
    if (log->failed) {
        return error_errno(reterr, EIO, "%s: the log failed before", log->directory);
    }
    int rc = publish_tiles(log, reterr);
    if (rc != 0 || log->tiles.range.size == old) {
        return rc;
    }
    rc = sign(log, &note, &next, reterr);
    rc = rc != 0 ? rc : append_history(log, &note, reterr);
    rc = rc != 0 ? rc : put_checkpoint(log, note.bytes, note.size, reterr);
    if (rc == 0) {
        log->checkpoint = next;
        tile_clean(&tile_io_kernel, log->directory_fd, old, next.size);
    }
    return rc;
}

/* ---- at the start ---- */

/* The last entry of the history: the one that `checkpoint` repeats, or the one behind it when the writer
 * ended between the two. What follows was being written when it ended. */
static int find_last(struct audit_log *log, struct slice published, struct slice tail, uint64_t tail_offset,
                     struct slice *ret_note, struct error *reterr) {
    const char *at = published.size == 0 ? (tail_offset == 0 ? tail.bytes : NULL)
                     : tail.size == 0    ? NULL
                                         : memmem(tail.bytes, tail.size, published.bytes, published.size);
    struct slice note = published;
    size_t end = at == NULL ? 0 : (size_t)(at - tail.bytes) + published.size + (published.size > 0);
    if (at == NULL || end > tail.size || (published.size > 0 && tail.bytes[end - 1] != '\n')) {
        return error_set(reterr, AUDIT_E_TAMPERED, "checkpoint is not at the end of " HISTORY_FILE);
    }
    size_t used = history_entry((struct slice){tail.bytes + end, tail.size - end}, &note);
    end += used;
    if (used > 0 && history_entry((struct slice){tail.bytes + end, tail.size - end}, ret_note) > 0) {
        return error_set(reterr, AUDIT_E_TAMPERED, "checkpoint is older than the end of " HISTORY_FILE);
    }
    *ret_note = note;
    log->history_bytes = tail_offset + end;
    return 0;
}

static int read_last(struct audit_log *log, struct buf *published, char *space, struct slice *ret_note,
                     struct error *reterr) {
    struct stat info;
    struct error why = {0};
    int rc =
        tile_get(&tile_io_kernel, log->directory_fd, "checkpoint", HISTORY_MAX_ENTRY_BYTES, published, &why);
    if (rc != 0 && rc != PROOF_E_MISSING) {
        return error_set(reterr, rc < 0 ? rc : AUDIT_E_TAMPERED, "%s", why.text);
    }
    if (fstat(log->history_fd, &info) != 0) {
        return error_errno(reterr, errno, HISTORY_FILE " cannot be read");
    }
    uint64_t size = (uint64_t)info.st_size;
    size_t want = size < TAIL_BYTES ? (size_t)size : TAIL_BYTES;
    if (pread(log->history_fd, space, want, (off_t)(size - want)) != (ssize_t)want) {
        return error_errno(reterr, EIO, HISTORY_FILE " cannot be read");
    }
    return find_last(log, (struct slice){(const char *)published->bytes, published->size},
                     (struct slice){space, want}, size - want, ret_note, reterr);
}

/* The roots of the subtrees that make up the tree of the checkpoint. */
static int load_range(struct audit_log *log, struct tree_range *ret, struct error *reterr) {
    const struct checkpoint *last = &log->checkpoint;
    struct tile_reader *reader = NULL;
    struct tree_hash root;
    size_t count = 0;
    int rc = tile_reader_new(&tile_io_kernel, log->directory_fd, last->size, &reader, reterr);
    if (rc != 0) {
        return rc;
    }
    struct tree_source source = tile_reader_source(reader);
    tree_range_init(ret);
    for (unsigned height = TREE_MAX_HEIGHT + 1; rc == 0 && height-- > 0;) {
        if ((last->size >> height & 1) != 0) {
            rc =
                source.subtree(source.user, height, (last->size >> height) - 1, &ret->roots[count++], reterr);
        }
    }
    ret->size = last->size;
    reader = tile_reader_free(reader);
    rc = rc != 0 ? rc : tree_range_root(ret, &root);
    if (rc != 0) {
        return rc < 0 ? rc : AUDIT_E_TAMPERED;
    }
    return tree_hash_equal(&root, &last->root)
               ? 0
               : error_set(reterr, AUDIT_E_TAMPERED, "the tiles are not those of the last checkpoint");
}

static int cut_history(struct audit_log *log, struct error *reterr) {
    struct stat info;
    if (fstat(log->history_fd, &info) != 0 ||
        ((uint64_t)info.st_size > log->history_bytes &&
         (ftruncate(log->history_fd, (off_t)log->history_bytes) != 0 || fsync(log->history_fd) != 0))) {
        return error_errno(reterr, errno, HISTORY_FILE " cannot be cut");
    }
    return 0;
}

int publish_open(struct audit_log *log, bool fresh, struct error *reterr) {
    char space[TAIL_BYTES];
    CLEANUP(buf_deinit) struct buf published = {0};
    struct slice last = {0};
    struct tree_range range;
    tree_range_init(&range);
    log->history_fd = segment_open(log->directory_fd, HISTORY_FILE, O_RDWR | O_CREAT, reterr);
    if (log->history_fd < 0) {
        return log->history_fd;
    }
    int rc = read_last(log, &published, space, &last, reterr);
    if (rc == 0 && last.size > 0) { /* the name of a new file becomes durable when that of the tiles does */
        rc = checkpoint_open(last.bytes, last.size, note_signer_key(log->signer), 1, NULL, &log->checkpoint,
                             reterr);
        rc = rc > 0 ? AUDIT_E_TAMPERED : rc;
        rc = rc != 0 ? rc : load_range(log, &range, reterr);
    }
    if (rc == 0 && fresh && last.size > 0) {
        rc = error_set(reterr, AUDIT_E_GAP, "checkpoints are there, but the log's segments are gone");
    }
    rc = rc != 0 ? rc : cut_history(log, reterr);
    if (rc == 0 && last.size > 0 && last.bytes != (const char *)published.bytes) {
        /* The writer that ended between the two perhaps did not sync the history. */
        rc = fdatasync(log->history_fd) != 0 ? error_errno(reterr, errno, HISTORY_FILE ": fdatasync failed")
                                             : put_checkpoint(log, last.bytes, last.size, reterr);
    }
    tile_writer_init(&log->tiles, &tile_io_kernel, log->directory_fd, &range);
    return rc;
}
