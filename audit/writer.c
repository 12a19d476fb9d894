/* SPDX-License-Identifier: Apache-2.0
 *
 * Append and commit. A batch is one write behind the durable bytes of the last segment and one fdatasync.
 * Nothing is retried after an error of the disk: the kernel reports a failed write-back once and then calls
 * the pages clean, so the only honest way on is to stop and to read back what is there.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "audit/history.h"
#include "audit/log.h"
#include "audit/record.h"
#include "audit/signer.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"

enum {
    MAX_PENDING_BYTES = 8 * AUDIT_MAX_BATCH_BYTES,
    ALLOCATION_BYTES = 1024 * 1024,
};

#define DAY_NS (86400ull * 1000000000ull)

static int open_directory(struct audit_log *log, const char *directory, struct error *reterr) {
    if (snprintf(log->directory, sizeof log->directory, "%s", directory) >= (int)sizeof log->directory) {
        return error_errno(reterr, ENAMETOOLONG, "the audit directory");
    }
    bool made = mkdir(directory, 0750) == 0;
    if (!made && errno != EEXIST) {
        return error_errno(reterr, errno, "%s cannot be created", directory);
    }
    log->directory_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CLEANUP(close_fd)
    int parent = made ? openat(log->directory_fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (log->directory_fd < 0 || (made && (parent < 0 || fsync(parent) != 0))) {
        return error_errno(reterr, errno, "%s cannot be opened", directory);
    }
    return 0;
}

/* flock keeps writers apart; the range lock beside it can be asked for without being taken, so that a reader
 * never stands in a writer's way. */
static int take_lock(struct audit_log *log, struct error *reterr) {
    log->lock_fd = openat(log->directory_fd, "LOCK", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0640);
    struct flock range = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (log->lock_fd < 0) {
        return error_errno(reterr, errno, "LOCK cannot be opened");
    }
    if (flock(log->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        return errno == EWOULDBLOCK ? error_set(reterr, AUDIT_E_LOCKED, "another writer holds the log")
                                    : error_errno(reterr, errno, "LOCK cannot be taken");
    }
    return fcntl(log->lock_fd, F_OFD_SETLK, &range) != 0 ? error_errno(reterr, errno, "LOCK cannot be taken")
                                                         : 0;
}

/* The log's own key, for whoever has no better copy of it. */
static int put_key(struct audit_log *log, const struct buf *key, struct error *reterr) {
    CLEANUP(buf_deinit) struct buf old = {0};
    int rc = tile_get(&tile_io_kernel, log->directory_fd, KEY_FILE, AUDIT_KEY_SIZE, &old, NULL);
    if (rc == 0 && old.size == key->size && memcmp(old.bytes, key->bytes, key->size) == 0) {
        return 0;
    }
    return tile_put(&tile_io_kernel, log->directory_fd, KEY_FILE, key->bytes, key->size, reterr);
}

static int record_opening(struct audit_log *log, const struct buf *event, struct error *reterr) {
    CLEANUP(buf_deinit) struct buf key = {0};
    CLEANUP(buf_deinit) struct buf created = {0};
    int rc = 0;
    note_key_print(note_signer_key(log->signer), &key);
    if (log->next == 0 && !key.failed) {
        record_created(&created, audit_log_id(log), (const char *)key.bytes);
        rc = log_add(log, created.bytes, created.size, true, reterr);
    }
    buf_append(&key, "\n", 1);
    if (key.failed || created.failed) {
        return error_errno(reterr, ENOMEM, "no memory");
    }
    rc = rc == 0 && event->size > 0 ? log_add(log, event->bytes, event->size, true, reterr) : rc;
    rc = rc != 0 ? rc : audit_commit(log, reterr);
    rc = rc != 0 ? rc : audit_publish(log, reterr);
    return rc != 0 ? rc : put_key(log, &key, reterr);
}

int audit_open(const char *directory, const struct audit_options *options, struct audit_log **ret,
               struct error *reterr) {
    CLEANUP(segment_list_deinit) struct segment_list list = {0};
    struct audit_log *log = calloc(1, sizeof *log);
    if (log == NULL) {
        return error_errno(reterr, ENOMEM, "the audit log cannot be opened");
    }
    log->directory_fd = log->lock_fd = log->segment_fd = log->history_fd = -1;
    log->failed = true; /* until it was recovered */
    log->options = *options;
    if (log->options.segment_bytes == 0) {
        log->options.segment_bytes = AUDIT_SEGMENT_BYTES;
    }
    int rc = open_directory(log, directory, reterr);
    if (rc == 0) {
        rc = take_lock(log, reterr);
        rc = rc != 0 ? rc : segment_list_read(log->directory_fd, &list, reterr);
        bool fresh = list.count == 0 && faccessat(log->directory_fd, HISTORY_FILE, F_OK, 0) != 0;
        rc = rc != 0 ? rc
                     : error_recode(reterr, signer_open(directory, fresh, &log->signer, reterr),
                                    AUDIT_E_UNREADABLE);
        if (rc != 0) {
            (void)error_prefix(reterr, "%s: ", directory);
        }
    }
    if (rc != 0) {
        (void)audit_close(log);
        return rc;
    }
    *ret = log;
    return 0;
}

int audit_recover(struct audit_log *log, struct error *reterr) {
    CLEANUP(buf_deinit) struct buf event = {0};
    int rc = recover_log(log, &event, reterr);
    if (rc != 0) {
        (void)error_prefix(reterr, "%s: ", log->directory);
        return rc;
    }
    log->failed = false;
    rc = record_opening(log, &event, reterr);
    log->failed = rc != 0;
    return rc < 0 || rc == 0 ? rc : -EIO;
}

int log_fail(struct audit_log *log, int number, const char *what, struct error *reterr) {
    log->failed = true;
    if (number == ENOSPC || number == EDQUOT || number == EFBIG) {
        (void)error_errno(reterr, number,
                          "%s: no space left for the audit log (free space or raise the limit; until then no "
                          "verdict can be recorded)",
                          log->directory);
        return -number;
    }
    return error_errno(reterr, number, "%s: %s failed", log->directory, what);
}

int log_add(struct audit_log *log, const void *payload, size_t size, bool fresh, struct error *reterr) {
    uint64_t now = clock_unix_ns();
    if (log->batch.size == 0) {
        log->batch_first = log->next;
        log->batch_time_ns = now;
    }
    const struct frame frame = {log->next, log->batch_first, now, payload, (uint32_t)size};
    frame_build(&frame, &log->batch);
    if (log->batch.failed) {
        return log_fail(log, ENOMEM, "a record", reterr);
    }
    log->next++;
    return fresh ? publish_remember(log, payload, size, reterr) : 0;
}

int audit_append(struct audit_log *log, const void *payload, size_t size, uint64_t *ret_index,
                 struct error *reterr) {
    if (log->failed) {
        return error_errno(reterr, EIO, "%s: the log failed before", log->directory);
    }
    if (log->batch.size > MAX_PENDING_BYTES) {
        return error_errno(reterr, ENOBUFS, "%s: the batch is too large", log->directory);
    }
    int rc = record_check(payload, size, reterr);
    *ret_index = log->next;
    return rc != 0 ? rc : log_add(log, payload, size, true, reterr);
}

/* What is finished is covered by a checkpoint, ends with its last frame, and is never written again. */
static int finish_segment(struct audit_log *log, struct error *reterr) {
    int rc = audit_publish(log, reterr);
    if (rc != 0) {
        return rc;
    }
    /* Not synced: zeros that come back behind the data mean nothing. */
    if (ftruncate(log->segment_fd, (off_t)log->segment_bytes) != 0) {
        return log_fail(log, errno, "ftruncate", reterr);
    }
    close_fd(&log->segment_fd);
    log->segment_number++;
    return 0;
}

/* The file is durable under its name, with its header, before the first record goes into it. */
static int new_segment(struct audit_log *log, struct error *reterr) {
    static const char aside[] = "segment.new";
    char name[SEGMENT_NAME_SIZE];
    uint8_t bytes[SEGMENT_HEADER_BYTES];
    const struct note_key *key = note_signer_key(log->signer);
    struct segment_header header = {.number = log->segment_number,
                                    .first = log->batch_first,
                                    .created_ns = log->batch_time_ns,
                                    .key_count = 1,
                                    .keys = {key->id}};
    memcpy(header.log_id, key->name, sizeof header.log_id);
    int rc = tree_range_root(&log->tiles.range, &header.root);
    if (rc != 0) {
        return log_fail(log, -rc, "a root", reterr);
    }
    segment_header_build(&header, bytes);
    segment_name(log->batch_first, name);
    log->segment_fd = segment_open(log->directory_fd, aside, O_RDWR | O_CREAT | O_TRUNC, reterr);
    if (log->segment_fd < 0) {
        return log_fail(log, -log->segment_fd, "creation of a file", reterr);
    }
    rc = fd_write_all(log->segment_fd, bytes, sizeof bytes);
    if (rc != 0 || fsync(log->segment_fd) != 0 ||
        renameat(log->directory_fd, aside, log->directory_fd, name) != 0 || fsync(log->directory_fd) != 0) {
        return log_fail(log, rc != 0 ? -rc : errno, "fsync", reterr);
    }
    log->segment_created_ns = header.created_ns;
    log->segment_bytes = log->segment_allocated = sizeof bytes;
    return 0;
}

/* Zeros in front of the writer, so that the next fdatasyncs have no metadata to bring along. A file system
 * that cannot or has no room is no error here: the batch may still fit. */
static void allocate(struct audit_log *log) {
    static const uint8_t zeros[65536];
    uint64_t end = log->segment_bytes + log->batch.size;
    if (end <= log->segment_allocated) {
        return;
    }
    uint64_t target = (end / ALLOCATION_BYTES + 1) * ALLOCATION_BYTES;
    uint64_t at = log->segment_allocated;
    if (target > log->options.segment_bytes ||
        fallocate(log->segment_fd, 0, (off_t)at, (off_t)(target - at)) != 0) {
        return;
    }
    while (at < target) {
        size_t want = target - at < sizeof zeros ? (size_t)(target - at) : sizeof zeros;
        ssize_t put = pwrite(log->segment_fd, zeros, want, (off_t)at);
        if (put <= 0) {
            return;
        }
        at += (uint64_t)put;
    }
    log->segment_allocated = target;
}

static int write_batch(struct audit_log *log) {
    size_t done = 0;
    allocate(log);
    while (done < log->batch.size) {
        struct iovec part = {log->batch.bytes + done, log->batch.size - done};
        ssize_t put = pwritev(log->segment_fd, &part, 1, (off_t)(log->segment_bytes + done));
        if (put < 0 && errno == EINTR) {
            continue;
        }
        if (put <= 0) {
            return put < 0 ? -errno : -ENOSPC;
        }
        done += (size_t)put;
    }
    return 0;
}

static bool must_rotate(const struct audit_log *log) {
    bool full = log->segment_bytes > SEGMENT_HEADER_BYTES &&
                log->segment_bytes + log->batch.size > log->options.segment_bytes;
    bool next_day = log->batch_time_ns / DAY_NS > log->segment_created_ns / DAY_NS;
    /* Records that come back from the bundles are in the tree already: no segment can begin among them. */
    return (full || next_day) && log->batch_first >= log->tiles.range.size;
}

int audit_commit(struct audit_log *log, struct error *reterr) {
    int rc = 0;
    if (log->failed) {
        return error_errno(reterr, EIO, "%s: the log failed before", log->directory);
    }
    if (log->batch.size == 0) {
        return 0;
    }
    if (log->segment_fd >= 0 && must_rotate(log)) {
        rc = finish_segment(log, reterr);
    }
    if (rc == 0 && log->segment_fd < 0) {
        rc = new_segment(log, reterr);
    }
    if (rc != 0) {
        return rc;
    }
    rc = write_batch(log);
    if (rc != 0) {
        /* Nothing of it was acknowledged: take the part that was written back, so that no torn tail is left.
         * When even that fails, the next start cuts it. */
        (void)!ftruncate(log->segment_fd, (off_t)log->segment_bytes);
        return log_fail(log, -rc, "the write", reterr);
    }
    if (fdatasync(log->segment_fd) != 0) {
        return log_fail(log, errno, "fdatasync", reterr);
    }
    log->segment_bytes += log->batch.size;
    if (log->segment_allocated < log->segment_bytes) {
        log->segment_allocated = log->segment_bytes;
    }
    buf_clear(&log->batch);
    return publish_some(log, reterr);
}

uint64_t audit_next_index(const struct audit_log *log) {
    return log->next;
}

uint64_t audit_recovered_index(const struct audit_log *log) {
    return log->recovered;
}

const char *audit_log_id(const struct audit_log *log) {
    return note_signer_key(log->signer)->name;
}

const char *audit_repaired(const struct audit_log *log) {
    return log->repair[0] == '\0' ? NULL : log->repair;
}

struct audit_log *audit_close(struct audit_log *log) {
    if (log != NULL) {
        if (!log->failed) {
            (void)!audit_publish(log, NULL); /* the next start signs what was left */
        }
        close_fd(&log->segment_fd);
        close_fd(&log->history_fd);
        close_fd(&log->lock_fd);
        close_fd(&log->directory_fd);
        log->signer = note_signer_free(log->signer);
        buf_deinit(&log->batch);
        buf_deinit(&log->fresh);
        buf_deinit(&log->fresh_sizes);
        free(log);
    }
    return NULL;
}
