/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/proof/tile_edge.h"

/* One writer, so one name: at most one such file is ever left over, and the next write takes it. */
static const char temporary[] = ".tile.new";

enum { DIRECTORY_MODE = 0750, FILE_MODE = 0640 };

static int kernel_open(void *user, int dir_fd, const char *path, int flags, mode_t mode) {
    (void)user;
    int fd = openat(dir_fd, path, flags, mode);
    return fd >= 0 ? fd : -errno;
}

static int kernel_mkdir(void *user, int dir_fd, const char *path, mode_t mode) {
    (void)user;
    return mkdirat(dir_fd, path, mode) == 0 ? 0 : -errno;
}

static int kernel_rename(void *user, int dir_fd, const char *from, const char *to) {
    (void)user;
    return renameat(dir_fd, from, dir_fd, to) == 0 ? 0 : -errno;
}

static int kernel_unlink(void *user, int dir_fd, const char *path, int flags) {
    (void)user;
    return unlinkat(dir_fd, path, flags) == 0 ? 0 : -errno;
}

static ssize_t kernel_read(void *user, int fd, void *out, size_t size) {
    (void)user;
    ssize_t got = read(fd, out, size);
    return got >= 0 ? got : -errno;
}

static ssize_t kernel_write(void *user, int fd, const void *bytes, size_t size) {
    (void)user;
    ssize_t put = write(fd, bytes, size);
    return put >= 0 ? put : -errno;
}

static int kernel_fsync(void *user, int fd) {
    (void)user;
    return fsync(fd) == 0 ? 0 : -errno;
}

static int kernel_close(void *user, int fd) {
    (void)user;
    return close(fd) == 0 ? 0 : -errno;
}

const struct tile_io tile_io_kernel = {kernel_open,  kernel_mkdir, kernel_rename, kernel_unlink, kernel_read,
                                       kernel_write, kernel_fsync, kernel_close,  NULL};

static int sync_directory(const struct tile_io *io, int dir_fd, const char *path) {
    int fd = io->open(io->user, dir_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    if (fd < 0) {
        return fd;
    }
    int rc = io->fsync(io->user, fd);
    int closed = io->close(io->user, fd);
    return rc < 0 ? rc : closed;
}

/* The part of `path` before its last slash, or the log's directory itself. */
static void parent_of(const char *path, char out[TILE_PATH_SIZE]) {
    const char *slash = strrchr(path, '/');
    (void)snprintf(out, TILE_PATH_SIZE, "%.*s", slash != NULL ? (int)(slash - path) : 1,
                   slash != NULL ? path : ".");
}

static bool is_durable(const struct tile_durable *durable, const char *directory) {
    for (size_t i = 0; durable != NULL && i < TILE_DURABLE_PATHS; i++) {
        if (strcmp(durable->paths[i], directory) == 0) {
            return true;
        }
    }
    return false;
}

static void remember(struct tile_durable *durable, const char *directory) {
    if (durable != NULL) {
        (void)snprintf(durable->paths[durable->next], TILE_PATH_SIZE, "%s", directory);
        durable->next = (durable->next + 1) % TILE_DURABLE_PATHS;
    }
}

/* A directory that is already there was perhaps made by a writer that ended before its parent was synced, so
 * the parent is synced either way, unless this writer did it before. */
static int make_directories(const struct tile_io *io, int dir_fd, const char *path,
                            struct tile_durable *durable) {
    for (const char *slash = strchr(path, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        char directory[TILE_PATH_SIZE];
        char parent[TILE_PATH_SIZE];
        (void)snprintf(directory, sizeof directory, "%.*s", (int)(slash - path), path);
        if (is_durable(durable, directory)) {
            continue;
        }
        parent_of(directory, parent);
        int rc = io->mkdir(io->user, dir_fd, directory, DIRECTORY_MODE);
        if (rc == 0 || rc == -EEXIST) {
            rc = sync_directory(io, dir_fd, parent);
        }
        if (rc < 0) {
            return rc;
        }
        remember(durable, directory);
    }
    return 0;
}

static int write_all(const struct tile_io *io, int fd, const void *bytes, size_t size) {
    const uint8_t *p = bytes;
    while (size > 0) {
        ssize_t put = io->write(io->user, fd, p, size);
        if (put == -EINTR) {
            continue;
        }
        if (put <= 0) {
            return put < 0 ? (int)put : -EIO;
        }
        p += put;
        size -= (size_t)put;
    }
    return 0;
}

/* A file that was left over is removed and never reused: after a power cut it may be a second name of a tile.
 */
static int open_temporary(const struct tile_io *io, int dir_fd) {
    int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    int fd = io->open(io->user, dir_fd, temporary, flags, FILE_MODE);
    if (fd == -EEXIST) {
        int rc = io->unlink(io->user, dir_fd, temporary, 0);
        fd = rc < 0 ? rc : io->open(io->user, dir_fd, temporary, flags, FILE_MODE);
    }
    return fd;
}

static int write_temporary(const struct tile_io *io, int dir_fd, const void *bytes, size_t size) {
    int fd = open_temporary(io, dir_fd);
    if (fd < 0) {
        return fd;
    }
    int rc = write_all(io, fd, bytes, size);
    if (rc == 0) {
        rc = io->fsync(io->user, fd);
    }
    int closed = io->close(io->user, fd);
    return rc < 0 ? rc : closed;
}

int tile_put_near(const struct tile_io *io, int dir_fd, struct tile_durable *durable, const char *path,
                  const void *bytes, size_t size, struct error *reterr) {
    char parent[TILE_PATH_SIZE];
    if (strlen(path) >= TILE_PATH_SIZE) {
        return error_errno(reterr, ENAMETOOLONG, "a file of the log cannot be written");
    }
    parent_of(path, parent);
    int rc = make_directories(io, dir_fd, path, durable);
    if (rc == 0) {
        rc = write_temporary(io, dir_fd, bytes, size);
    }
    if (rc == 0) {
        rc = io->rename(io->user, dir_fd, temporary, path);
    }
    if (rc == 0) {
        rc = sync_directory(io, dir_fd, parent);
    }
    return rc == 0 ? 0 : error_errno(reterr, -rc, "%s: cannot be written", path);
}

int tile_put(const struct tile_io *io, int dir_fd, const char *path, const void *bytes, size_t size,
             struct error *reterr) {
    return tile_put_near(io, dir_fd, NULL, path, bytes, size, reterr);
}

static int read_all(const struct tile_io *io, int fd, size_t limit, struct buf *out) {
    uint8_t chunk[16384];
    size_t total = 0;
    for (;;) {
        ssize_t got = io->read(io->user, fd, chunk, sizeof chunk);
        if (got == -EINTR) {
            continue;
        }
        if (got <= 0) {
            return (int)got;
        }
        if ((size_t)got > limit - total) {
            return PROOF_E_MALFORMED;
        }
        total += (size_t)got;
        buf_append(out, chunk, (size_t)got);
        if (out->failed) {
            return -ENOMEM;
        }
    }
}

int tile_get(const struct tile_io *io, int dir_fd, const char *path, size_t limit, struct buf *out,
             struct error *reterr) {
    int fd = io->open(io->user, dir_fd, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0);
    if (fd == -ENOENT) {
        return error_set(reterr, PROOF_E_MISSING, "%s: is missing", path);
    }
    if (fd < 0) {
        return error_errno(reterr, -fd, "%s: cannot be opened", path);
    }
    int rc = read_all(io, fd, limit, out);
    (void)io->close(io->user, fd);
    if (rc > 0) {
        return error_set(reterr, rc, "%s: is longer than %zu bytes", path, limit);
    }
    return rc == 0 ? 0 : error_errno(reterr, -rc, "%s: cannot be read", path);
}
