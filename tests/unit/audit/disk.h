/* SPDX-License-Identifier: Apache-2.0
 *
 * A disk in memory behind struct tile_io. It knows what has reached the platter: the bytes of a file after
 * its fsync, the names in a directory after the directory's. disk_cut() takes the power away: of everything
 * else, each name and each file's bytes are kept or lost by the bits of a seed, in any order. Calls can be
 * counted, written down, and made to fail from a given one on. Private to the tests of audit/.
 */
#ifndef BUCKLER_TESTS_UNIT_AUDIT_DISK_H
#define BUCKLER_TESTS_UNIT_AUDIT_DISK_H

/* cmocka wants these first */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit/proof/tile.h"

enum { DISK_DIRECTORY = -1, DISK_NOTHING = -2, DISK_FDS = 8, DISK_LOG = 16384 };

struct disk_file {
    struct buf now, safe;
};

struct disk_name {
    char path[TILE_PATH_SIZE];
    int now, safe; /* number of a file, DISK_DIRECTORY or DISK_NOTHING */
};

struct disk_fd {
    bool used;
    char path[TILE_PATH_SIZE];
    int file;
    size_t at;
};

struct disk {
    struct disk_file *files;
    size_t file_count, file_room;
    struct disk_name *names;
    size_t name_count, name_room;
    struct disk_fd fds[DISK_FDS];
    unsigned calls, fail_from, fail_to; /* calls in [from, to) fail with EIO; 0: none */
    bool interrupt;                     /* every other read and write is interrupted or short */
    char *log;                          /* DISK_LOG bytes, or NULL */
};

static inline bool disk_call(struct disk *d, const char *what, const char *path) {
    d->calls++;
    if (d->log != NULL && strlen(d->log) + strlen(what) + strlen(path) + 3 < DISK_LOG) {
        (void)sprintf(d->log + strlen(d->log), "%s %s\n", what, path);
    }
    return d->calls < d->fail_from || d->calls >= d->fail_to;
}

static inline struct disk_name *disk_name(struct disk *d, const char *path) {
    for (size_t i = 0; i < d->name_count; i++) {
        if (strcmp(d->names[i].path, path) == 0) {
            return &d->names[i];
        }
    }
    if (d->name_count == d->name_room) {
        d->name_room = 2 * d->name_room + 64;
        d->names = realloc(d->names, d->name_room * sizeof *d->names);
        assert_non_null(d->names);
    }
    struct disk_name *name = &d->names[d->name_count++];
    assert_true(snprintf(name->path, TILE_PATH_SIZE, "%s", path) < TILE_PATH_SIZE);
    name->now = name->safe = DISK_NOTHING;
    return name;
}

static inline void disk_parent(const char *path, char out[TILE_PATH_SIZE]) {
    const char *slash = strrchr(path, '/');
    (void)snprintf(out, TILE_PATH_SIZE, "%.*s", slash == NULL ? 1 : (int)(slash - path),
                   slash == NULL ? "." : path);
}

/* What the path names, if all directories above it are there. */
static inline int disk_find(struct disk *d, const char *path) {
    char parent[TILE_PATH_SIZE];
    if (strcmp(path, ".") == 0) {
        return DISK_DIRECTORY;
    }
    disk_parent(path, parent);
    return disk_find(d, parent) == DISK_DIRECTORY ? disk_name(d, path)->now : DISK_NOTHING;
}

static inline bool disk_has_parent(struct disk *d, const char *path) {
    char parent[TILE_PATH_SIZE];
    disk_parent(path, parent);
    return disk_find(d, parent) == DISK_DIRECTORY;
}

static inline int disk_new_file(struct disk *d) {
    if (d->file_count == d->file_room) {
        d->file_room = 2 * d->file_room + 64;
        d->files = realloc(d->files, d->file_room * sizeof *d->files);
        assert_non_null(d->files);
    }
    d->files[d->file_count] = (struct disk_file){{0}, {0}};
    return (int)d->file_count++;
}

static inline int disk_open(void *user, int dir_fd, const char *path, int flags, mode_t mode) {
    struct disk *d = user;
    (void)dir_fd;
    (void)mode;
    if (!disk_call(d, (flags & O_CREAT) != 0 ? "create" : "open", path)) {
        return -EIO;
    }
    int found = disk_find(d, path);
    if ((flags & O_CREAT) != 0) {
        assert_true((flags & O_EXCL) != 0);
        if (found != DISK_NOTHING || !disk_has_parent(d, path)) {
            return found != DISK_NOTHING ? -EEXIST : -ENOENT;
        }
        found = disk_new_file(d);
        disk_name(d, path)->now = found;
    }
    if (found == DISK_NOTHING) {
        return -ENOENT;
    }
    for (int fd = 0; fd < DISK_FDS; fd++) {
        if (!d->fds[fd].used) {
            d->fds[fd] = (struct disk_fd){.used = true, .file = found};
            (void)strcpy(d->fds[fd].path, path);
            return fd;
        }
    }
    fail_msg("a descriptor was not closed");
    return -EMFILE;
}

static inline int disk_mkdir(void *user, int dir_fd, const char *path, mode_t mode) {
    struct disk *d = user;
    (void)dir_fd;
    (void)mode;
    if (!disk_call(d, "mkdir", path)) {
        return -EIO;
    }
    if (disk_find(d, path) != DISK_NOTHING || !disk_has_parent(d, path)) {
        return disk_find(d, path) != DISK_NOTHING ? -EEXIST : -ENOENT;
    }
    disk_name(d, path)->now = DISK_DIRECTORY;
    return 0;
}

static inline int disk_rename(void *user, int dir_fd, const char *from, const char *to) {
    struct disk *d = user;
    (void)dir_fd;
    if (!disk_call(d, "rename", to)) {
        return -EIO;
    }
    int file = disk_find(d, from);
    if (file < 0 || !disk_has_parent(d, to)) {
        return -ENOENT;
    }
    disk_name(d, from)->now = DISK_NOTHING;
    disk_name(d, to)->now = file;
    return 0;
}

static inline int disk_unlink(void *user, int dir_fd, const char *path, int flags) {
    struct disk *d = user;
    (void)dir_fd;
    if (!disk_call(d, (flags & AT_REMOVEDIR) != 0 ? "rmdir" : "unlink", path)) {
        return -EIO;
    }
    if (disk_find(d, path) == DISK_NOTHING) {
        return -ENOENT;
    }
    disk_name(d, path)->now = DISK_NOTHING;
    return 0;
}

static inline ssize_t disk_read(void *user, int fd, void *out, size_t size) {
    struct disk *d = user;
    struct disk_fd *open = &d->fds[fd];
    if (!disk_call(d, "read", open->path)) {
        return -EIO;
    }
    if (d->interrupt && d->calls % 2 != 0) {
        return -EINTR;
    }
    struct buf *bytes = &d->files[open->file].now;
    size_t left = bytes->size - open->at;
    size = d->interrupt && size > 100 ? 100 : size;
    size = size < left ? size : left;
    if (size > 0) {
        memcpy(out, bytes->bytes + open->at, size);
    }
    open->at += size;
    return (ssize_t)size;
}

static inline ssize_t disk_write(void *user, int fd, const void *bytes, size_t size) {
    struct disk *d = user;
    if (!disk_call(d, "write", d->fds[fd].path)) {
        return -EIO;
    }
    if (d->interrupt && d->calls % 2 != 0) {
        return -EINTR;
    }
    size = d->interrupt && size > 100 ? 100 : size;
    buf_append(&d->files[d->fds[fd].file].now, bytes, size);
    return (ssize_t)size;
}

static inline void disk_copy(struct buf *to, const struct buf *from) {
    buf_clear(to);
    buf_append(to, from->bytes, from->size);
}

static inline int disk_fsync(void *user, int fd) {
    struct disk *d = user;
    const struct disk_fd *open = &d->fds[fd];
    if (!disk_call(d, "fsync", open->path)) {
        return -EIO;
    }
    if (open->file >= 0) {
        disk_copy(&d->files[open->file].safe, &d->files[open->file].now);
        return 0;
    }
    for (size_t i = 0; i < d->name_count; i++) {
        char parent[TILE_PATH_SIZE];
        disk_parent(d->names[i].path, parent);
        if (strcmp(parent, open->path) == 0) {
            d->names[i].safe = d->names[i].now;
        }
    }
    return 0;
}

static inline int disk_close(void *user, int fd) {
    struct disk *d = user;
    d->fds[fd].used = false;
    return disk_call(d, "close", d->fds[fd].path) ? 0 : -EIO;
}

static inline struct tile_io disk_io(struct disk *d) {
    return (struct tile_io){
        disk_open, disk_mkdir, disk_rename, disk_unlink, disk_read, disk_write, disk_fsync, disk_close, d};
}

static inline bool disk_bit(uint64_t *seed) {
    if (*seed == 0 || *seed == UINT64_MAX) {
        return *seed != 0; /* lose everything, keep everything */
    }
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed >> 33 & 1;
}

static inline void disk_cut(struct disk *d, uint64_t seed) {
    for (size_t i = 0; i < d->name_count; i++) {
        struct disk_name *name = &d->names[i];
        name->now = name->safe = disk_bit(&seed) ? name->now : name->safe;
    }
    for (size_t i = 0; i < d->file_count; i++) {
        struct disk_file *file = &d->files[i];
        if (!disk_bit(&seed)) {
            disk_copy(&file->now, &file->safe);
        }
        disk_copy(&file->safe, &file->now);
    }
    memset(d->fds, 0, sizeof d->fds);
    d->calls = d->fail_from = d->fail_to = 0;
}

static inline struct disk disk_clone(const struct disk *d) {
    struct disk copy = {.file_room = d->file_count, .name_room = d->name_count};
    copy.files = calloc(d->file_count + 1, sizeof *copy.files);
    copy.names = calloc(d->name_count + 1, sizeof *copy.names);
    assert_true(copy.files != NULL && copy.names != NULL);
    for (size_t i = 0; i < d->file_count; i++) {
        disk_copy(&copy.files[i].now, &d->files[i].now);
        disk_copy(&copy.files[i].safe, &d->files[i].safe);
    }
    if (d->name_count > 0) {
        memcpy(copy.names, d->names, d->name_count * sizeof *copy.names);
    }
    copy.file_count = d->file_count;
    copy.name_count = d->name_count;
    return copy;
}

static inline void disk_deinit(struct disk *d) {
    for (size_t i = 0; i < d->file_count; i++) {
        buf_deinit(&d->files[i].now);
        buf_deinit(&d->files[i].safe);
    }
    free(d->files);
    free(d->names);
    free(d->log);
    *d = (struct disk){0};
}

#endif
