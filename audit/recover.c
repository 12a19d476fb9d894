/* SPDX-License-Identifier: Apache-2.0
 *
 * Opening an existing log: the last file is read against the chain and the head. What was written but never
 * acknowledged and is incomplete is cut off and kept aside; damage to anything else is refused, for the
 * writer must never make tampering look like a crash.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "audit/log.h"
#include "audit/scan.h"
#include "base/cleanup.h"
#include "base/fd.h"

static int open_head(struct audit_log *log, bool fresh, struct head *ret, struct error *reterr) {
    int rc = head_read(log->directory_fd, ret, reterr);
    if (!fresh) {
        if (rc == -ENOENT) {
            return error_set(reterr, AUDIT_E_TAMPERED,
                             "head is missing: nothing says how far the log was acknowledged");
        }
        log->head_fd = rc != 0 ? -1 : segment_open(log->directory_fd, "head", O_RDWR, reterr);
        return rc != 0 ? rc : log->head_fd < 0 ? log->head_fd : 0;
    }
    if (rc == 0 && ret->next > 0) {
        return error_set(reterr, AUDIT_E_GAP, "head acknowledges %llu records, but the log's files are gone",
                         (unsigned long long)ret->next);
    }
    /* A head that is empty or half written without any log is a crash during the first start. */
    *ret = (struct head){0};
    log->head_fd = segment_open(log->directory_fd, "head", O_RDWR | O_CREAT, reterr);
    if (log->head_fd < 0) {
        return log->head_fd;
    }
    rc = ftruncate(log->head_fd, 0) != 0 ? -errno : head_write(log->head_fd, &log->chain);
    if (rc != 0 || fsync(log->head_fd) != 0 || fsync(log->directory_fd) != 0) {
        return error_errno(reterr, rc != 0 ? -rc : errno, "head cannot be written");
    }
    return 0;
}

/* The hash of the last line of a file, and its place. */
static int last_line(int directory_fd, const struct segment *segment, uint64_t next, struct scan *scan,
                     struct error *reterr) {
    CLEANUP(free_ptr) char *tail = malloc(RECORD_MAX_LINE_BYTES + 2);
    CLEANUP(close_fd) int fd = segment_open(directory_fd, segment->name, O_RDONLY, reterr);
    struct stat info;
    if (fd < 0 || tail == NULL || fstat(fd, &info) != 0) {
        return fd < 0 ? fd : error_errno(reterr, ENOMEM, "%s cannot be read", segment->name);
    }
    size_t want = info.st_size > RECORD_MAX_LINE_BYTES + 2 ? RECORD_MAX_LINE_BYTES + 2 : (size_t)info.st_size;
    if (pread(fd, tail, want, info.st_size - (off_t)want) != (ssize_t)want) {
        return error_errno(reterr, EIO, "%s cannot be read", segment->name);
    }
    char *before = want < 2 || tail[want - 1] != '\n' ? NULL : memrchr(tail, '\n', want - 1);
    size_t begin = before == NULL ? 0 : (size_t)(before - tail) + 1;
    uint8_t digest[DIGEST_BYTES];
    struct record_link link;
    if (want < 2 || tail[want - 1] != '\n' ||
        record_parse(tail + begin, want - 1 - begin, &link, NULL, NULL) != 0 || link.index + 1 != next ||
        digest_sha256(tail + begin, want - 1 - begin, digest) != 0) {
        return error_set(reterr, AUDIT_E_TAMPERED, "%s does not end with the record before index %llu",
                         segment->name, (unsigned long long)next);
    }
    hex_encode(digest, sizeof digest, scan->chain.prev);
    scan->last = (struct scan_place){.offset = (uint64_t)info.st_size - want + begin, .index = link.index};
    memcpy(scan->last.file, segment->name, sizeof scan->last.file);
    return 0;
}

static int read_log_id(struct audit_log *log, const struct segment *first, struct error *reterr) {
    struct lines lines;
    const char *line = NULL;
    size_t size = 0;
    struct chain chain;
    chain_start(&chain);
    if (first->first != 0) {
        return error_set(reterr, AUDIT_E_GAP, "the files before %s are missing", first->name);
    }
    CLEANUP(close_fd) int fd = segment_open(log->directory_fd, first->name, O_RDONLY, reterr);
    int rc = fd < 0 ? fd : lines_open(&lines, fd);
    if (rc != 0) {
        return rc;
    }
    if (lines_next(&lines, &line, &size) != 0 || chain_accept(&chain, line, size, NULL) != 0) {
        rc = error_set(reterr, AUDIT_E_TAMPERED, "%s does not begin with the creation of a log", first->name);
    }
    memcpy(log->chain.log_id, chain.log_id, sizeof log->chain.log_id);
    lines_close(&lines);
    return rc;
}

/* Copies everything from `offset` on into `name` and makes the copy durable. */
static int keep_aside(struct audit_log *log, const char *name, uint64_t offset, uint64_t bytes,
                      struct error *reterr) {
    CLEANUP(free_ptr) uint8_t *space = malloc(65536);
    CLEANUP(close_fd) int out = segment_open(log->directory_fd, name, O_WRONLY | O_CREAT | O_TRUNC, reterr);
    if (out < 0 || space == NULL) {
        return out < 0 ? out : error_errno(reterr, ENOMEM, "%s cannot be written", name);
    }
    for (uint64_t done = 0; done < bytes;) {
        size_t want = bytes - done < 65536 ? (size_t)(bytes - done) : 65536;
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

static int cut_tail(struct audit_log *log, const struct scan *scan, const char *file, uint64_t bytes,
                    struct buf *ret_torn, struct error *reterr) {
    char kept[SEGMENT_NAME_SIZE + 32];
    uint64_t lost = scan->head.next > log->chain.next ? scan->head.next - log->chain.next : 0;
    (void)snprintf(kept, sizeof kept, "%s.%llu.torn", file, (unsigned long long)log->chain.next);
    int rc = keep_aside(log, kept, log->segment_bytes, bytes, reterr);
    if (rc != 0) {
        return rc;
    }
    /* The head goes back before the file does: between the two it may be old, never ahead of the log. */
    rc = lost > 0 ? head_write(log->head_fd, &log->chain) : 0;
    if (rc != 0 || (lost > 0 && fdatasync(log->head_fd) != 0) ||
        ftruncate(log->segment_fd, (off_t)log->segment_bytes) != 0 || fsync(log->segment_fd) != 0) {
        return error_errno(reterr, rc != 0 ? -rc : errno, "%s cannot be cut", file);
    }
    record_torn(ret_torn, file, kept, log->segment_bytes, bytes, lost);
    (void)snprintf(log->repair, sizeof log->repair,
                   "%s ended in an incomplete batch: %llu bytes were cut and kept in %s; %llu acknowledged "
                   "records are lost",
                   file, (unsigned long long)bytes, kept, (unsigned long long)lost);
    return ret_torn->failed ? error_errno(reterr, ENOMEM, "%s cannot be cut", file) : 0;
}

/* What the writer before left in memory only becomes durable first, and is then read from the disk and not
 * from memory: whole records are about to be called durable, and pages whose writing failed look clean. */
static int open_last(struct audit_log *log, const struct segment *last, struct error *reterr) {
    log->segment_fd = segment_open(log->directory_fd, last->name, O_RDWR, reterr);
    if (log->segment_fd < 0) {
        return log->segment_fd;
    }
    if (fdatasync(log->segment_fd) != 0) {
        return error_errno(reterr, errno, "%s: fdatasync failed", last->name);
    }
    (void)posix_fadvise(log->segment_fd, 0, 0, POSIX_FADV_DONTNEED); /* a file system may not know it */
    return 0;
}

static int recover_last(struct audit_log *log, const struct segment_list *list, struct scan *scan,
                        struct buf *ret_torn, struct error *reterr) {
    const struct segment *last = &list->items[list->count - 1];
    scan->chain = log->chain;
    int rc = 0;
    if (list->count > 1) {
        rc = read_log_id(log, &list->items[0], reterr);
        scan->chain = log->chain;
        scan->chain.next = scan->chain.batch = last->first;
        rc = rc != 0 ? rc
                     : last_line(log->directory_fd, &list->items[list->count - 2], last->first, scan, reterr);
    }
    if (rc != 0) {
        return rc;
    }
    rc = open_last(log, last, reterr);
    if (rc != 0) {
        return rc;
    }
    rc = scan_segment(scan, log->directory_fd, last, true, reterr);
    bool torn = rc == AUDIT_E_TORN_TAIL;
    rc = torn ? 0 : rc;
    rc = rc == 0 && !torn ? scan_finish(scan, reterr) : rc;
    if (rc != 0) {
        return rc;
    }
    log->chain = scan->chain;
    log->segment_bytes = scan->sound_bytes;
    struct stat info;
    if (fstat(log->segment_fd, &info) != 0) {
        return error_errno(reterr, errno, "%s cannot be read", last->name);
    }
    if (torn) {
        return cut_tail(log, scan, last->name, (uint64_t)info.st_size - scan->sound_bytes, ret_torn, reterr);
    }
    rc = head_write(log->head_fd, &log->chain);
    return rc != 0 ? error_errno(reterr, -rc, "head cannot be written") : 0;
}

int recover_log(struct audit_log *log, struct buf *ret_torn, struct error *reterr) {
    CLEANUP(segment_list_deinit) struct segment_list list = {0};
    struct scan scan = {0};
    chain_start(&log->chain);
    int rc = segment_list_read(log->directory_fd, &list, reterr);
    rc = rc != 0 ? rc : open_head(log, list.count == 0, &scan.head, reterr);
    if (rc == 0 && list.count > 0) {
        rc = recover_last(log, &list, &scan, ret_torn, reterr);
    }
    log->recovered = log->chain.next;
    return rc;
}
