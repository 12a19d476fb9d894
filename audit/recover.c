/* SPDX-License-Identifier: Apache-2.0
 *
 * Opening an existing log. From the last checkpoint on, records are read from the segments and remembered for
 * the tree. What is incomplete at the end and was never acknowledged is cut off and kept aside; damage to
 * anything else is refused, for the writer must never make tampering look like a crash.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "audit/log.h"
#include "audit/record.h"
#include "base/cleanup.h"
#include "base/fd.h"

enum { COPY_BYTES = 65536 };

/* Copies everything from `offset` on into `name` and makes the copy durable. */
static int keep_aside(struct audit_log *log, const char *name, uint64_t offset, uint64_t bytes,
                      struct error *reterr) {
    CLEANUP(free_ptr) uint8_t *space = malloc(COPY_BYTES);
    CLEANUP(close_fd) int out = segment_open(log->directory_fd, name, O_WRONLY | O_CREAT | O_TRUNC, reterr);
    if (out < 0 || space == NULL) {
        return out < 0 ? out : error_errno(reterr, ENOMEM, "%s cannot be written", name);
    }
    for (uint64_t done = 0; done < bytes;) {
        size_t want = bytes - done < COPY_BYTES ? (size_t)(bytes - done) : COPY_BYTES;
        ssize_t got = pread(log->segment_fd, space, want, (off_t)(offset + done));
        int rc = got < 0 ? -errno : got == 0 ? -EIO : fd_write_all(out, space, (size_t)got);
        if (rc != 0) {
            return error_errno(reterr, -rc, "%s cannot be written", name);
        }
        done += (uint64_t)got;
    }
    if (fsync(out) != 0 || fsync(log->directory_fd) != 0) {
        return error_errno(reterr, errno, "%s cannot be written", name);
    }
    return 0;
}

/* Records that were signed are in the bundles too; each is proved before it is written again. */
static int restore(struct audit_log *log, uint64_t *ret_count, struct error *reterr) {
    struct tile_reader *reader = NULL;
    const struct checkpoint *signed_tree = &log->checkpoint;
    int rc = tile_reader_new(&tile_io_kernel, log->directory_fd, signed_tree->size, &reader, reterr);
    if (rc != 0) {
        return rc;
    }
    struct tree_source source = tile_reader_source(reader);
    uint64_t first = log->next;
    log->failed = false;
    while (rc == 0 && log->next < signed_tree->size) {
        CLEANUP(buf_deinit) struct buf payload = {0};
        struct tree_hash leaf;
        struct tree_proof proof;
        rc = tile_reader_entry(reader, log->next, &payload, reterr);
        rc = rc != 0 ? rc : tree_prove_inclusion(&source, log->next, signed_tree->size, &proof, reterr);
        rc = rc != 0 ? rc : tree_leaf(payload.bytes, payload.size, &leaf);
        rc = rc != 0 ? rc
                     : tree_check_inclusion(&leaf, log->next, signed_tree->size, proof.hashes, proof.count,
                                            &signed_tree->root, reterr);
        rc = rc != 0 ? rc : log_add(log, payload.bytes, payload.size, false, reterr);
        if (rc == 0 && log->batch.size >= AUDIT_MAX_BATCH_BYTES) {
            rc = audit_commit(log, reterr);
        }
    }
    reader = tile_reader_free(reader);
    rc = rc != 0 ? rc : audit_commit(log, reterr);
    log->failed = true; /* again, until all of the opening is done */
    *ret_count = log->next - first;
    return rc > 0 ? AUDIT_E_TAMPERED : rc;
}

static int cut(struct audit_log *log, const char *file, bool damage, struct buf *ret_event,
               struct error *reterr) {
    char kept[SEGMENT_NAME_SIZE + 32];
    struct stat info;
    if (fstat(log->segment_fd, &info) != 0) {
        return error_errno(reterr, errno, "%s cannot be read", file);
    }
    uint64_t bytes = (uint64_t)info.st_size - log->segment_bytes;
    (void)snprintf(kept, sizeof kept, "%s.%llu.torn", file, (unsigned long long)log->next);
    struct record_cut event = {file, kept, log->segment_bytes, bytes, damage, 0};
    int rc = keep_aside(log, kept, log->segment_bytes, bytes, reterr);
    if (rc == 0 &&
        (ftruncate(log->segment_fd, (off_t)log->segment_bytes) != 0 || fsync(log->segment_fd) != 0)) {
        rc = error_errno(reterr, errno, "%s cannot be cut", file);
    }
    log->segment_allocated = log->segment_bytes;
    rc = rc == 0 && damage ? restore(log, &event.restored, reterr) : rc;
    if (rc != 0) {
        return rc;
    }
    record_cut(ret_event, &event);
    (void)snprintf(
        log->repair, sizeof log->repair,
        damage ? "%s was damaged: %llu bytes were cut and kept in %s; %llu signed records were restored"
               : "%s ended in an incomplete batch: %llu bytes were cut and kept in %s",
        file, (unsigned long long)bytes, kept, (unsigned long long)event.restored);
    return ret_event->failed ? error_errno(reterr, ENOMEM, "%s cannot be cut", file) : 0;
}

/* Where a frame is missing in the last segment: 5.4's rule. */
static int judge_hole(struct audit_log *log, struct segment_reader *reader, const char *file, const char *why,
                      struct buf *ret_event, struct error *reterr) {
    int damage = segment_reader_is_damage(reader, log->next);
    if (damage < 0) {
        return error_errno(reterr, -damage, "%s cannot be read", file);
    }
    bool signed_before = log->history_bytes > 0 && log->next < log->checkpoint.size;
    if ((damage == 1 || signed_before) && !log->options.accept_corruption) {
        return error_set(
            reterr, AUDIT_E_TAMPERED,
            "%s byte %llu (index %llu): %s, and it is not an incomplete batch: %s (buckler-audit "
            "--accept-corruption cuts it off, keeps it aside and records that)",
            file, (unsigned long long)log->segment_bytes, (unsigned long long)log->next, why,
            signed_before ? "a checkpoint was signed for it" : "a later batch follows");
    }
    return cut(log, file, damage == 1 || signed_before, ret_event, reterr);
}

static int check_header(struct audit_log *log, struct segment_reader *reader, const struct segment *segment,
                        struct error *reterr) {
    struct segment_header header;
    const char *why = NULL;
    int rc = segment_reader_header(reader, &header, &why);
    if (rc < 0) {
        return error_errno(reterr, -rc, "%s cannot be read", segment->name);
    }
    if (why == NULL && header.first != segment->first) {
        why = "has another first index in its header than in its name";
    }
    if (why == NULL && strcmp(header.log_id, audit_log_id(log)) != 0) {
        why = "belongs to another log than the signing key";
    }
    log->segment_number = header.number;
    log->segment_created_ns = header.created_ns;
    log->segment_bytes = SEGMENT_HEADER_BYTES;
    return why == NULL ? 0 : error_set(reterr, AUDIT_E_TAMPERED, "%s %s", segment->name, why);
}

/* Reads frames until something else comes: 0 or SEGMENT_BAD with a reason, or an error. */
static int read_frames(struct audit_log *log, struct segment_reader *reader, const char *file,
                       const char **ret_why, struct error *reterr) {
    for (;;) {
        struct frame frame;
        int rc = segment_reader_next(reader, &frame, ret_why);
        if (rc == 0 && frame.seq != log->next) {
            *ret_why = "another record stands there";
            rc = SEGMENT_BAD;
        }
        if (rc < 0) {
            return error_errno(reterr, -rc, "%s cannot be read", file);
        }
        if (rc != 0) {
            return rc == SEGMENT_END ? 0 : SEGMENT_BAD;
        }
        if (log->next >= log->tiles.range.size) {
            rc = publish_remember(log, frame.payload, frame.size, reterr);
        }
        log->next++;
        log->segment_bytes = reader->next_offset;
        rc = rc != 0 ? rc : publish_some(log, reterr);
        if (rc != 0) {
            return rc;
        }
    }
}

static int read_segment(struct audit_log *log, const struct segment *segment, bool last,
                        struct buf *ret_event, struct error *reterr) {
    struct segment_reader reader;
    const char *why = NULL;
    struct stat info;
    close_fd(&log->segment_fd);
    log->next = segment->first;
    log->segment_fd = segment_open(log->directory_fd, segment->name, O_RDWR, reterr);
    if (log->segment_fd < 0) {
        return log->segment_fd;
    }
    /* What the writer before left in memory only becomes durable first, and is then read from the disk and
     * not from memory: whole records are about to be called durable, and pages whose writing failed look
     * clean. */
    if (fdatasync(log->segment_fd) != 0 || fstat(log->segment_fd, &info) != 0) {
        return error_errno(reterr, errno, "%s: fdatasync failed", segment->name);
    }
    (void)posix_fadvise(log->segment_fd, 0, 0, POSIX_FADV_DONTNEED); /* a file system may not know it */
    log->segment_allocated = (uint64_t)info.st_size;
    int rc = segment_reader_open(&reader, log->segment_fd);
    if (rc != 0) {
        return error_errno(reterr, -rc, "%s cannot be read", segment->name);
    }
    rc = check_header(log, &reader, segment, reterr);
    rc = rc != 0 ? rc : read_frames(log, &reader, segment->name, &why, reterr);
    if (rc == SEGMENT_BAD && why != NULL) {
        rc = last ? judge_hole(log, &reader, segment->name, why, ret_event, reterr)
                  : error_set(reterr, AUDIT_E_TAMPERED, "%s byte %llu (index %llu): %s", segment->name,
                              (unsigned long long)log->segment_bytes, (unsigned long long)log->next, why);
    }
    segment_reader_close(&reader);
    return rc;
}

/* The checkpoint says that there were more records: they are gone from the end of the last segment. */
static int missing_end(struct audit_log *log, const char *file, struct buf *ret_event, struct error *reterr) {
    uint64_t size = log->history_bytes > 0 ? log->checkpoint.size : 0;
    if (log->next >= size) {
        return 0;
    }
    if (!log->options.accept_corruption) {
        return error_set(
            reterr, AUDIT_E_GAP,
            "records were lost: the log ends before index %llu, but a checkpoint of %llu records was "
            "signed (buckler-audit --accept-corruption writes them again from the bundles)",
            (unsigned long long)log->next, (unsigned long long)size);
    }
    return cut(log, file, true, ret_event, reterr);
}

static int read_segments(struct audit_log *log, const struct segment_list *list, struct buf *ret_event,
                         struct error *reterr) {
    size_t at = list->count - 1;
    uint64_t size = log->tiles.range.size;
    while (at > 0 && list->items[at].first > size) {
        at--;
    }
    if (list->items[0].first != 0) {
        return error_set(reterr, AUDIT_E_GAP, "segments are missing before %s", list->items[0].name);
    }
    if (list->count > 1 && log->history_bytes == 0) {
        return error_set(reterr, AUDIT_E_TAMPERED, "no checkpoint is there, but several segments are");
    }
    int rc = 0;
    for (; rc == 0 && at < list->count; at++) {
        rc = read_segment(log, &list->items[at], at + 1 == list->count, ret_event, reterr);
        if (rc == 0 && at + 1 < list->count && log->next != list->items[at + 1].first) {
            rc = error_set(reterr, AUDIT_E_GAP, "%s does not begin where the segment before ends",
                           list->items[at + 1].name);
        }
    }
    return rc != 0 ? rc : missing_end(log, list->items[list->count - 1].name, ret_event, reterr);
}

int recover_log(struct audit_log *log, struct buf *ret_event, struct error *reterr) {
    CLEANUP(segment_list_deinit) struct segment_list list = {0};
    int rc = segment_list_read(log->directory_fd, &list, reterr);
    rc = rc != 0 ? rc : publish_open(log, list.count == 0, reterr);
    if (rc == 0 && list.count > 0) {
        rc = read_segments(log, &list, ret_event, reterr);
    }
    log->recovered = log->next;
    return rc;
}
