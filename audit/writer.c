/* SPDX-License-Identifier: Apache-2.0
 *
 * Append and commit. A batch is one write behind the durable bytes of the last segment and one fdatasync;
 * then the head moves. Nothing is retried after an error of the disk: the kernel reports a failed write-back
 * once and then calls the pages clean, so the only honest way on is to stop and to read back what is there.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "audit/log.h"
#include "base/cleanup.h"
#include "base/clock.h"

enum { MAX_PENDING_BYTES = 8 * AUDIT_MAX_BATCH_BYTES };

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

static int record_opening(struct audit_log *log, const struct buf *torn, struct error *reterr) {
    uint64_t index = 0;
    int rc = 0;
    if (log->chain.next == 0) {
        uint8_t random[16];
        char id[2 * sizeof random + 1];
        CLEANUP(buf_deinit) struct buf payload = {0};
        if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random) {
            return error_errno(reterr, errno, "no random numbers");
        }
        hex_encode(random, sizeof random, id);
        record_created(&payload, id);
        rc = payload.failed ? error_errno(reterr, ENOMEM, "no memory")
                            : audit_append(log, payload.bytes, payload.size, &index, reterr);
        memcpy(log->chain.log_id, id, sizeof id);
    }
    if (rc == 0 && torn->size > 0) {
        rc = audit_append(log, torn->bytes, torn->size, &index, reterr);
    }
    return rc != 0 ? rc : audit_commit(log, reterr);
}

int audit_open(const char *directory, struct audit_log **ret, struct error *reterr) {
    CLEANUP(buf_deinit) struct buf torn = {0};
    struct audit_log *log = calloc(1, sizeof *log);
    if (log == NULL) {
        return error_errno(reterr, ENOMEM, "the audit log cannot be opened");
    }
    log->directory_fd = log->lock_fd = log->head_fd = log->segment_fd = -1;
    int rc = open_directory(log, directory, reterr);
    if (rc == 0) {
        rc = take_lock(log, reterr);
        rc = rc != 0 ? rc : recover_log(log, &torn, reterr);
        rc = rc != 0 ? rc : record_opening(log, &torn, reterr);
        if (rc != 0 && !log->failed) {
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

int audit_append(struct audit_log *log, const void *payload, size_t size, uint64_t *ret_index,
                 struct error *reterr) {
    if (log->failed) {
        return error_errno(reterr, EIO, "%s: the log failed before", log->directory);
    }
    if (log->batch.size > MAX_PENDING_BYTES) {
        return error_errno(reterr, ENOBUFS, "%s: the batch is too large", log->directory);
    }
    size_t before = log->batch.size;
    uint64_t index = log->chain.next;
    struct record_link link = {
        .index = index, .batch = before == 0 ? index : log->batch_first, .time_ns = clock_unix_ns()};
    memcpy(link.prev, log->chain.prev, sizeof link.prev);
    int rc = record_build(payload, size, &link, &log->batch, reterr);
    uint8_t digest[DIGEST_BYTES];
    if (rc == 0) {
        rc = digest_sha256(log->batch.bytes + before, log->batch.size - before - 1, digest);
        rc = rc < 0 ? error_errno(reterr, -rc, "%s", log->directory) : 0;
    }
    if (rc != 0) {
        log->batch.size = before;
        log->batch.failed = false;
        return rc;
    }
    log->batch_first = link.batch;
    log->chain.next = index + 1;
    log->chain.batch = link.batch;
    hex_encode(digest, sizeof digest, log->chain.prev);
    *ret_index = index;
    return 0;
}

static int fail(struct audit_log *log, int number, const char *what, struct error *reterr) {
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

/* The file is durable under its name before the first record goes into it. */
static int new_segment(struct audit_log *log, struct error *reterr) {
    char name[SEGMENT_NAME_SIZE];
    segment_name(log->batch_first, name);
    if (log->segment_fd >= 0 && fdatasync(log->head_fd) != 0) {
        return fail(log, errno, "fdatasync of head", reterr);
    }
    close_fd(&log->segment_fd);
    log->segment_fd = segment_open(log->directory_fd, name, O_RDWR | O_CREAT | O_EXCL, reterr);
    if (log->segment_fd < 0) {
        return fail(log, -log->segment_fd, "creation of a file", reterr);
    }
    log->segment_bytes = 0;
    if (fsync(log->segment_fd) != 0 || fsync(log->directory_fd) != 0) {
        return fail(log, errno, "fsync", reterr);
    }
    return 0;
}

static int write_batch(struct audit_log *log) {
    size_t done = 0;
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

int audit_commit(struct audit_log *log, struct error *reterr) {
    if (log->failed) {
        return error_errno(reterr, EIO, "%s: the log failed before", log->directory);
    }
    if (log->batch.size == 0) {
        return 0;
    }
    if (log->segment_fd < 0 ||
        (log->segment_bytes > 0 && log->segment_bytes + log->batch.size > AUDIT_SEGMENT_BYTES)) {
        int rc = new_segment(log, reterr);
        if (rc != 0) {
            return rc;
        }
    }
    int rc = write_batch(log);
    if (rc != 0) {
        /* Nothing of it was acknowledged: take the part that was written back, so that no torn tail is left.
         * When even that fails, the next start cuts it. */
        (void)!ftruncate(log->segment_fd, (off_t)log->segment_bytes);
        return fail(log, -rc, "the write", reterr);
    }
    if (fdatasync(log->segment_fd) != 0) {
        return fail(log, errno, "fdatasync", reterr);
    }
    log->segment_bytes += log->batch.size;
    buf_clear(&log->batch);
    rc = head_write(log->head_fd, &log->chain);
    return rc != 0 ? fail(log, -rc, "the write of head", reterr) : 0;
}

uint64_t audit_next_index(const struct audit_log *log) {
    return log->chain.next;
}

uint64_t audit_recovered_index(const struct audit_log *log) {
    return log->recovered;
}

const char *audit_log_id(const struct audit_log *log) {
    return log->chain.log_id;
}

const char *audit_repaired(const struct audit_log *log) {
    return log->repair[0] == '\0' ? NULL : log->repair;
}

struct audit_log *audit_close(struct audit_log *log) {
    if (log != NULL) {
        if (log->head_fd >= 0 && !log->failed) {
            (void)fdatasync(log->head_fd); /* an old head is legal; a newer one finds more */
        }
        close_fd(&log->segment_fd);
        close_fd(&log->head_fd);
        close_fd(&log->lock_fd);
        close_fd(&log->directory_fd);
        buf_deinit(&log->batch);
        free(log);
    }
    return NULL;
}
