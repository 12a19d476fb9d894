/* SPDX-License-Identifier: Apache-2.0
 *
 * A power cut for the whole writer. The linker sends its system calls through here (--wrap); they are carried
 * out and written down. Afterwards the list is played into a model of a disk, which knows of each file and
 * each name what has reached the platter, and can be asked at any moment what might be found after a cut: of
 * the unsynced writes any sectors of 512 bytes, of the unsynced names any. Private to the tests of audit/.
 */
#ifndef BUCKLER_TESTS_UNIT_AUDIT_POWER_H
#define BUCKLER_TESTS_UNIT_AUDIT_POWER_H

#include "logs.h"

#include <errno.h>
#include <sys/uio.h>

enum {
    POWER_FDS = 64,
    POWER_NAMES = 256,
    POWER_PATH = 96,
    POWER_SECTOR = 512,
    POWER_DIRECTORY = -2,
    POWER_NONE = -1
};

enum power_kind { POWER_WRITE = 1, POWER_TRUNCATE, POWER_SYNC, POWER_NAME, POWER_ACK, POWER_SIGNED };

struct power_event {
    enum power_kind kind;
    int file;         /* number of the file, or POWER_DIRECTORY */
    uint64_t offset;  /* or size, or index */
    struct buf bytes; /* written, or a signed checkpoint */
    char path[POWER_PATH];
    const void *site; /* the call that synced */
};

struct power_trace {
    bool on;
    struct power_event *events;
    size_t count, room;
    int fds[POWER_FDS]; /* number of the file that is open there */
    char paths[POWER_FDS][POWER_PATH];
    struct {
        char path[POWER_PATH];
        int file;
    } names[POWER_NAMES];
    size_t name_count;
    int file_count;
};

/* ---- the model ---- */

struct power_file {
    struct buf now, safe;
    size_t *pending; /* events since the last sync */
    size_t pending_count;
};

struct power_name {
    char path[POWER_PATH];
    int now, safe;
};

struct power_disk {
    const struct power_trace *trace;
    struct power_file *files;
    struct power_name names[POWER_NAMES];
    size_t name_count;
};

static inline void power_parent(const char *path, char out[POWER_PATH]) {
    const char *slash = strrchr(path, '/');
    (void)snprintf(out, POWER_PATH, "%.*s", slash == NULL ? 1 : (int)(slash - path),
                   slash == NULL ? "." : path);
}

static inline void power_resize(struct buf *b, size_t size) {
    while (b->size < size) {
        buf_append(b, "", 1);
    }
    b->size = size;
}

static inline void power_put(struct buf *b, uint64_t offset, const uint8_t *bytes, size_t size) {
    if (b->size < offset + size) {
        power_resize(b, (size_t)offset + size);
    }
    if (size > 0) {
        memcpy(b->bytes + offset, bytes, size);
    }
}

static inline struct power_name *power_name(struct power_disk *d, const char *path) {
    for (size_t i = 0; i < d->name_count; i++) {
        if (strcmp(d->names[i].path, path) == 0) {
            return &d->names[i];
        }
    }
    assert_true(d->name_count < POWER_NAMES);
    struct power_name *name = &d->names[d->name_count++];
    *name = (struct power_name){.now = POWER_NONE, .safe = POWER_NONE};
    (void)strcpy(name->path, path);
    return name;
}

static inline struct power_disk power_disk(const struct power_trace *trace) {
    struct power_disk d = {.trace = trace, .files = calloc((size_t)trace->file_count + 1, sizeof *d.files)};
    assert_non_null(d.files);
    for (int i = 0; i < trace->file_count; i++) {
        d.files[i].pending = calloc(trace->count + 1, sizeof(size_t));
        assert_non_null(d.files[i].pending);
    }
    return d;
}

static inline void power_disk_deinit(struct power_disk *d) {
    for (int i = 0; i < d->trace->file_count; i++) {
        buf_deinit(&d->files[i].now);
        buf_deinit(&d->files[i].safe);
        free(d->files[i].pending);
    }
    free(d->files);
}

static inline void power_copy(struct buf *to, const struct buf *from) {
    buf_clear(to);
    buf_append(to, from->bytes, from->size);
}

static inline void power_sync(struct power_disk *d, const struct power_event *e) {
    if (e->file >= 0) {
        power_copy(&d->files[e->file].safe, &d->files[e->file].now);
        d->files[e->file].pending_count = 0;
        return;
    }
    for (size_t i = 0; i < d->name_count; i++) {
        char parent[POWER_PATH];
        power_parent(d->names[i].path, parent);
        if (strcmp(parent, e->path) == 0) {
            d->names[i].safe = d->names[i].now;
        }
    }
}

/* What event `number` does; a sync from `skip` does nothing. */
static inline void power_play(struct power_disk *d, size_t number, const void *skip) {
    const struct power_event *e = &d->trace->events[number];
    if (e->kind == POWER_WRITE) {
        power_put(&d->files[e->file].now, e->offset, e->bytes.bytes, e->bytes.size);
    } else if (e->kind == POWER_TRUNCATE) {
        power_resize(&d->files[e->file].now, (size_t)e->offset);
    } else if (e->kind == POWER_NAME) {
        power_name(d, e->path)->now = e->file;
    } else if (e->kind == POWER_SYNC && e->site != skip) {
        power_sync(d, e);
    }
    if (e->kind == POWER_WRITE || e->kind == POWER_TRUNCATE) {
        struct power_file *file = &d->files[e->file];
        file->pending[file->pending_count++] = number;
    }
}

/* ---- the cut ---- */

static inline bool power_bit(uint64_t *seed) {
    if (*seed == 0 || *seed == UINT64_MAX) {
        return *seed != 0; /* lose everything, keep everything */
    }
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed >> 33 & 1;
}

static inline void power_found(const struct power_disk *d, int number, uint64_t *seed, struct buf *out) {
    const struct power_file *file = &d->files[number];
    power_copy(out, &file->safe);
    for (size_t i = 0; i < file->pending_count; i++) {
        const struct power_event *e = &d->trace->events[file->pending[i]];
        if (e->kind == POWER_TRUNCATE) {
            power_resize(out, power_bit(seed) ? (size_t)e->offset : out->size);
            continue;
        }
        for (size_t at = 0; at < e->bytes.size;) {
            size_t sector = POWER_SECTOR - (size_t)((e->offset + at) % POWER_SECTOR);
            size_t size = sector < e->bytes.size - at ? sector : e->bytes.size - at;
            if (power_bit(seed)) {
                power_put(out, e->offset + at, e->bytes.bytes + at, size);
            }
            at += size;
        }
    }
}

/* Makes `directory`, which exists and is empty, what is found after the cut. */
static inline void power_cut(const struct power_disk *d, uint64_t seed, const char *directory) {
    char path[1024];
    struct buf bytes = {0};
    bool there[POWER_NAMES];
    for (size_t i = 0; i < d->name_count;
         i++) { /* names were first used in an order that has parents first */
        const struct power_name *name = &d->names[i];
        char parent[POWER_PATH];
        int file = name->now == name->safe || !power_bit(&seed) ? name->safe : name->now;
        power_parent(name->path, parent);
        there[i] = file != POWER_NONE && strcmp(parent, ".") == 0;
        for (size_t k = 0; k < i && file != POWER_NONE; k++) {
            there[i] = there[i] || (there[k] && strcmp(d->names[k].path, parent) == 0);
        }
        if (!there[i]) {
            continue;
        }
        scratch_path(path, directory, name->path);
        if (file == POWER_DIRECTORY) {
            assert_int_equal(mkdir(path, 0700), 0);
        } else {
            power_found(d, file, &seed, &bytes);
            scratch_write(directory, name->path, bytes.bytes, bytes.size);
        }
    }
    buf_deinit(&bytes);
}

#endif
