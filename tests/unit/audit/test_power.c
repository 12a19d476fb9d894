/* SPDX-License-Identifier: Apache-2.0
 *
 * The power fails at any moment of a writer's life, and the disk had reordered and torn what was not synced:
 * the log opens again, nothing acknowledged is missing, and what was signed still holds. And each sync is
 * needed: without it some of these cuts loses something.
 *
 * BUCKLER_POWER_IMAGES: how many cuts are made at each moment (4 unless set).
 */
#include "power.h"

#include "audit/log.h"

/* A new log, and one whose last batch was written but not synced, and whose tree was never begun. */
static struct power_trace lives[2];
static struct power_trace *now = &lives[0];

int __wrap_openat(int dir_fd, const char *path, int flags, ...);
int __real_openat(int dir_fd, const char *path, int flags, ...);
int __wrap_mkdirat(int dir_fd, const char *path, mode_t mode);
int __real_mkdirat(int dir_fd, const char *path, mode_t mode);
int __wrap_renameat(int from_fd, const char *from, int to_fd, const char *to);
int __real_renameat(int from_fd, const char *from, int to_fd, const char *to);
int __wrap_unlinkat(int dir_fd, const char *path, int flags);
int __real_unlinkat(int dir_fd, const char *path, int flags);
ssize_t __wrap_write(int fd, const void *bytes, size_t size);
ssize_t __real_write(int fd, const void *bytes, size_t size);
ssize_t __wrap_pwrite(int fd, const void *bytes, size_t size, off_t offset);
ssize_t __real_pwrite(int fd, const void *bytes, size_t size, off_t offset);
ssize_t __wrap_pwritev(int fd, const struct iovec *parts, int count, off_t offset);
ssize_t __real_pwritev(int fd, const struct iovec *parts, int count, off_t offset);
int __wrap_ftruncate(int fd, off_t size);
int __real_ftruncate(int fd, off_t size);
int __wrap_fallocate(int fd, int mode, off_t offset, off_t size);
int __real_fallocate(int fd, int mode, off_t offset, off_t size);
int __wrap_fsync(int fd);
int __real_fsync(int fd);
int __wrap_fdatasync(int fd);
int __real_fdatasync(int fd);

/* ---- writing down ---- */

static struct power_event *note(enum power_kind kind, int file) {
    if (now->count == now->room) {
        now->room = 2 * now->room + 64;
        now->events = realloc(now->events, now->room * sizeof *now->events);
        assert_non_null(now->events);
    }
    now->events[now->count] = (struct power_event){.kind = kind, .file = file};
    return &now->events[now->count++];
}

static int *named(const char *path) {
    for (size_t i = 0; i < now->name_count; i++) {
        if (strcmp(now->names[i].path, path) == 0) {
            return &now->names[i].file;
        }
    }
    assert_true(now->name_count < POWER_NAMES);
    (void)snprintf(now->names[now->name_count].path, POWER_PATH, "%s", path);
    now->names[now->name_count].file = POWER_NONE;
    return &now->names[now->name_count++].file;
}

static void name(const char *path, int file) {
    *named(path) = file;
    (void)snprintf(note(POWER_NAME, file)->path, POWER_PATH, "%s", path);
}

static void note_write(int fd, const void *bytes, ssize_t size, off_t offset) {
    if (now->on && size > 0) {
        struct power_event *e = note(POWER_WRITE, now->fds[fd]);
        e->offset = (uint64_t)offset;
        buf_append(&e->bytes, bytes, (size_t)size);
    }
}

int __wrap_openat(int dir_fd, const char *path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = (flags & O_CREAT) != 0 ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    int fd = __real_openat(dir_fd, path, flags, mode);
    if (!now->on || fd < 0) {
        return fd;
    }
    assert_true(fd < POWER_FDS);
    (void)snprintf(now->paths[fd], POWER_PATH, "%s", path);
    if ((flags & O_DIRECTORY) != 0) {
        now->fds[fd] = POWER_DIRECTORY;
        return fd;
    }
    int file = *named(path);
    if (file == POWER_NONE && (flags & O_CREAT) != 0) {
        file = now->file_count++;
        name(path, file);
    }
    now->fds[fd] = file;
    if ((flags & O_TRUNC) != 0) {
        note(POWER_TRUNCATE, file)->offset = 0;
    }
    return fd;
}

int __wrap_mkdirat(int dir_fd, const char *path, mode_t mode) {
    int rc = __real_mkdirat(dir_fd, path, mode);
    if (now->on && rc == 0) {
        name(path, POWER_DIRECTORY);
    }
    return rc;
}

int __wrap_renameat(int from_fd, const char *from, int to_fd, const char *to) {
    int rc = __real_renameat(from_fd, from, to_fd, to);
    if (now->on && rc == 0) {
        name(to, *named(from));
        name(from, POWER_NONE);
    }
    return rc;
}

int __wrap_unlinkat(int dir_fd, const char *path, int flags) {
    int rc = __real_unlinkat(dir_fd, path, flags);
    if (now->on && rc == 0) {
        name(path, POWER_NONE);
    }
    return rc;
}

ssize_t __wrap_write(int fd, const void *bytes, size_t size) {
    off_t offset = now->on ? lseek(fd, 0, SEEK_CUR) : 0;
    ssize_t put = __real_write(fd, bytes, size);
    note_write(fd, bytes, put, offset);
    return put;
}

ssize_t __wrap_pwrite(int fd, const void *bytes, size_t size, off_t offset) {
    ssize_t put = __real_pwrite(fd, bytes, size, offset);
    note_write(fd, bytes, put, offset);
    return put;
}

ssize_t __wrap_pwritev(int fd, const struct iovec *parts, int count, off_t offset) {
    ssize_t put = __real_pwritev(fd, parts, count, offset);
    assert_true(!now->on || count == 1);
    note_write(fd, parts[0].iov_base, put, offset);
    return put;
}

static void note_size(int fd, uint64_t size) {
    note(POWER_TRUNCATE, now->fds[fd])->offset = size;
}

int __wrap_ftruncate(int fd, off_t size) {
    int rc = __real_ftruncate(fd, size);
    if (now->on && rc == 0) {
        note_size(fd, (uint64_t)size);
    }
    return rc;
}

int __wrap_fallocate(int fd, int mode, off_t offset, off_t size) {
    int rc = __real_fallocate(fd, mode, offset, size);
    if (now->on && rc == 0) {
        note_size(fd, (uint64_t)(offset + size));
    }
    return rc;
}

static void note_sync(int fd, const void *site) {
    if (now->on) {
        struct power_event *e = note(POWER_SYNC, now->fds[fd]);
        (void)strcpy(e->path, now->paths[fd]);
        e->site = site;
    }
}

int __wrap_fsync(int fd) {
    int rc = __real_fsync(fd);
    note_sync(fd, __builtin_return_address(0));
    return rc;
}

int __wrap_fdatasync(int fd) {
    int rc = __real_fdatasync(fd);
    note_sync(fd, __builtin_return_address(0));
    return rc;
}

/* ---- a writer's life ---- */

static void acknowledged(const struct audit_log *log) {
    note(POWER_ACK, POWER_NONE)->offset = audit_next_index(log);
}

static void signed_now(const char *directory) {
    now->on = false;
    struct bytes checkpoint = scratch_read(directory, "checkpoint");
    struct power_event *e = note(POWER_SIGNED, POWER_NONE);
    buf_append(&e->bytes, checkpoint.data, checkpoint.size);
    free(checkpoint.data);
    now->on = true;
}

static void live(const char *directory) {
    static const struct audit_options options = {.segment_bytes = 5000};
    struct error error = {0};
    struct audit_log *log = NULL;
    assert_int_equal(audit_open(directory, &options, &log, &error), 0);
    now->fds[log->directory_fd] = POWER_DIRECTORY;
    (void)strcpy(now->paths[log->directory_fd], ".");
    now->on = true;
    assert_int_equal(audit_recover(log, &error), 0);
    acknowledged(log);
    signed_now(directory);
    for (unsigned i = 0; i < 6; i++) {
        append_batches(log, 1, 1 + i % 3 * 4);
        acknowledged(log);
        if (i % 2 == 1) {
            publish(log);
            signed_now(directory);
        }
    }
    now->on = false;
    log = audit_close(log);
}

static void note_found(const char *directory) {
    static const char before[] = "before";
    size_t begins[8];
    struct bytes file = scratch_read(directory, FIRST);
    size_t count = split(&file, begins, 7);
    int number = now->file_count++;
    name(FIRST, number);
    for (int synced = 1; synced >= 0; synced--) {
        struct power_event *e = note(POWER_WRITE, number);
        e->offset = synced ? 0 : begins[count - 2]; /* a batch of two */
        buf_append(&e->bytes, file.data + e->offset, synced ? begins[count - 2] : file.size - e->offset);
        if (synced) {
            note(POWER_SYNC, number)->site = before;
            e = note(POWER_SYNC, POWER_DIRECTORY);
            (void)strcpy(e->path, ".");
            e->site = before;
        }
    }
    free(file.data);
}

/* ---- after the cut ---- */

static char image[512];
static struct bytes keys[2]; /* of the two logs */

static void put_key(size_t life) {
    char path[600];
    (void)snprintf(path, sizeof path, "%s.key", image);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(keys[life].data, 1, keys[life].size, file), keys[life].size);
    (void)fclose(file);
}

/* True when the log that is found keeps its promises. */
static bool survives(size_t life, const struct power_disk *disk, uint64_t seed, uint64_t promised,
                     const struct buf *checkpoint) {
    struct audit_log *log = NULL;
    struct audit_report report;
    struct error error = {0};
    char kept[1024];
    scratch_empty(image);
    put_key(life);
    power_cut(disk, seed, image);
    if (try_open(image, &small_segments, &log, &error) != 0) {
        return false;
    }
    bool whole = audit_recovered_index(log) >= promised;
    log = audit_close(log);
    (void)snprintf(kept, sizeof kept, "%s/kept", image);
    scratch_write(image, "kept", checkpoint->bytes, checkpoint->size);
    struct audit_check check = {.kept = checkpoint->size > 0 ? kept : NULL};
    return verify_with(image, check, &report, &error) == 0 && whole;
}

/* The number of cuts that lost something; stops at the first one when a sync is left out. */
static size_t losses(size_t life, const void *skip, unsigned images, size_t *ret_cuts) {
    static const struct buf nothing;
    const struct power_trace *trace = &lives[life];
    struct power_disk disk = power_disk(trace);
    const struct buf *checkpoint = &nothing;
    uint64_t promised = 0;
    size_t lost = 0;
    for (size_t at = 0; at < trace->count && (skip == NULL || lost == 0); at++) {
        const struct power_event *e = &trace->events[at];
        power_play(&disk, at, skip);
        promised = e->kind == POWER_ACK ? e->offset : promised;
        checkpoint = e->kind == POWER_SIGNED ? &e->bytes : checkpoint;
        if (at < 5 && life == 1) {
            continue; /* what was there before */
        }
        for (unsigned i = 0; i < images; i++) {
            uint64_t seed = i == 0 ? 0 : i == 1 ? UINT64_MAX : 0x9e3779b97f4a7c15u * (at * images + i);
            lost += !survives(life, &disk, seed, promised, checkpoint);
            ++*ret_cuts;
        }
    }
    power_disk_deinit(&disk);
    return lost;
}

static void test_no_power_cut_loses_what_was_acknowledged_or_signed(void **state) {
    const char *text = getenv("BUCKLER_POWER_IMAGES");
    unsigned images = text == NULL ? 4 : (unsigned)atoi(text);
    size_t cuts = 0;
    (void)state;
    assert_int_equal(losses(0, NULL, images, &cuts), 0);
    assert_int_equal(losses(1, NULL, images, &cuts), 0);
    print_message("%zu cuts\n", cuts);
}

static void test_every_sync_is_needed(void **state) {
    const void *sites[64];
    size_t count = 0;
    size_t cuts = 0;
    (void)state;
    for (size_t at = 0; at < lives[0].count + lives[1].count; at++) {
        const struct power_event *e =
            at < lives[0].count ? &lives[0].events[at] : &lives[1].events[at - lives[0].count];
        bool known = e->kind != POWER_SYNC || (at >= lives[0].count && at < lives[0].count + 5);
        for (size_t i = 0; i < count; i++) {
            known = known || sites[i] == e->site;
        }
        if (!known) {
            sites[count++] = e->site;
        }
    }
    assert_true(count >= 6);
    for (size_t i = 0; i < count; i++) {
        if (losses(0, sites[i], 6, &cuts) == 0 && losses(1, sites[i], 6, &cuts) == 0) {
            fail_msg("nothing is lost without the sync at %p", sites[i]);
        }
    }
}

static int setup(void **state) {
    char command[2048];
    char key[1024];
    char *directory = scratch_new();
    *state = directory;
    (void)snprintf(image, sizeof image, "%s.image", directory);
    live(directory);
    (void)snprintf(key, sizeof key, "../%s.key", strrchr(directory, '/') + 1);
    keys[0] = scratch_read(directory, key);
    (void)snprintf(command, sizeof command, "rm -rf '%s' '%s.key' && mkdir '%s' '%s'", directory, directory,
                   directory, image);
    assert_int_equal(system(command), 0);

    now = &lives[1];
    make_log(directory, 2, 2);
    keys[1] = scratch_read(directory, key);
    (void)snprintf(command, sizeof command, "cd '%s' && rm -r checkpoint checkpoints tile vkey", directory);
    assert_int_equal(system(command), 0);
    note_found(directory);
    live(directory);
    return 0;
}

static int teardown(void **state) {
    for (size_t life = 0; life < 2; life++) {
        for (size_t i = 0; i < lives[life].count; i++) {
            buf_deinit(&lives[life].events[i].bytes);
        }
        free(lives[life].events);
        free(keys[life].data);
    }
    char command[2048];
    (void)snprintf(command, sizeof command, "rm -rf '%s' '%s'.key*", image, image);
    scratch_free(*state);
    return system(command);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_power_cut_loses_what_was_acknowledged_or_signed),
        cmocka_unit_test(test_every_sync_is_needed),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
