/* SPDX-License-Identifier: Apache-2.0
 *
 * Disks that fail. The linker sends the writer's calls through here (--wrap): each can be made to fail, once,
 * at its n-th use, and what was written and synced is counted in order.
 */
#include "logs.h"

#include <errno.h>
#include <sys/uio.h>

static struct {
    int fail_sync_in, fail_write_in; /* 0: never */
    size_t most;                     /* bytes that one write takes; 0: all */
    char order[4096]; /* W a write of records, S fdatasync, F fsync, P another write at an offset */
    size_t at;
} disk;

ssize_t __wrap_pwritev(int fd, const struct iovec *parts, int count, off_t offset);
ssize_t __real_pwritev(int fd, const struct iovec *parts, int count, off_t offset);
ssize_t __wrap_pwrite(int fd, const void *bytes, size_t size, off_t offset);
ssize_t __real_pwrite(int fd, const void *bytes, size_t size, off_t offset);
int __wrap_fdatasync(int fd);
int __real_fdatasync(int fd);
int __wrap_fsync(int fd);
int __real_fsync(int fd);

static void note(char what) {
    if (disk.at + 1 < sizeof disk.order) {
        disk.order[disk.at++] = what;
        disk.order[disk.at] = '\0';
    }
}

static bool fails(int *countdown) {
    return *countdown > 0 && --*countdown == 0;
}

ssize_t __wrap_pwritev(int fd, const struct iovec *parts, int count, off_t offset) {
    note('W');
    if (fails(&disk.fail_write_in)) {
        errno = ENOSPC;
        return -1;
    }
    if (disk.most > 0 && parts[0].iov_len > disk.most) {
        struct iovec some = {parts[0].iov_base, disk.most};
        return __real_pwritev(fd, &some, 1, offset);
    }
    return __real_pwritev(fd, parts, count, offset);
}

ssize_t __wrap_pwrite(int fd, const void *bytes, size_t size, off_t offset) {
    note('P');
    return __real_pwrite(fd, bytes, size, offset);
}

int __wrap_fdatasync(int fd) {
    note('S');
    if (fails(&disk.fail_sync_in)) {
        errno = EIO;
        return -1;
    }
    return __real_fdatasync(fd);
}

int __wrap_fsync(int fd) {
    note('F');
    if (fails(&disk.fail_sync_in)) {
        errno = EIO;
        return -1;
    }
    return __real_fsync(fd);
}

static int append_and_commit(struct audit_log *log, unsigned records, struct error *error) {
    uint64_t index = 0;
    int rc = 0;
    for (unsigned i = 0; i < records && rc == 0; i++) {
        rc = audit_append(log, "{\"type\":\"verdict\"}", 18, &index, error);
    }
    return rc != 0 ? rc : audit_commit(log, error);
}

static void forget(void) {
    memset(&disk, 0, sizeof disk);
}

static void test_a_batch_is_one_write_and_one_sync(void **state) {
    struct error error = {0};
    struct audit_log *log = open_log(*state);
    forget();
    assert_int_equal(append_and_commit(log, 50, &error), 0);
    assert_string_equal(disk.order, "WS");
    forget();
    assert_int_equal(audit_commit(log, &error), 0); /* nothing to do */
    assert_string_equal(disk.order, "");
    log = audit_close(log);
}

/* Bundle and tile, each with its directory, then the history, then the checkpoint and its directory. */
static void test_tiles_are_durable_before_the_history_and_that_before_the_checkpoint(void **state) {
    struct error error = {0};
    struct audit_log *log = open_log(*state);
    assert_int_equal(append_and_commit(log, 1, &error), 0);
    forget();
    assert_int_equal(audit_publish(log, &error), 0);
    assert_string_equal(disk.order, "FFFFPSFF");
    forget();
    assert_int_equal(audit_publish(log, &error), 0); /* no news */
    assert_string_equal(disk.order, "");
    log = audit_close(log);
    assert_string_equal(disk.order, "");
}

/* Zeros ahead of the data need no sync of their own. */
static void test_most_batches_find_their_space_allocated(void **state) {
    static const struct audit_options large = {0};
    struct error error = {0};
    struct audit_log *log = open_with(*state, &large);
    forget();
    for (unsigned i = 0; i < 10; i++) {
        assert_int_equal(append_and_commit(log, 10, &error), 0);
    }
    assert_string_equal(disk.order, "WSWSWSWSWSWSWSWSWSWS");
    log = audit_close(log);
}

static void test_files_and_folder_are_durable_before_the_first_record(void **state) {
    forget();
    struct audit_log *log = open_log(*state);
    /* the key and its folder, the segment and its name, the record, … */
    assert_true(strncmp(disk.order, "FFFFWS", 6) == 0);
    log = audit_close(log);
}

/* A writer that died may have left whole records in memory only; the next one calls them durable. */
static void test_what_is_found_is_durable_before_it_is_reported(void **state) {
    struct audit_log *log = open_log(*state);
    log = audit_close(log);
    forget();
    log = open_log(*state);
    assert_string_equal(disk.order, "S");
    log = audit_close(log);
}

static void test_a_checkpoint_that_is_made_good_is_durable_in_the_history_first(void **state) {
    make_log(*state, 1, 1);
    struct bytes old = scratch_read(*state, "checkpoint");
    make_log(*state, 1, 1);
    scratch_write(*state, "checkpoint", old.data, old.size);
    forget();
    struct audit_log *log = open_log(*state);
    assert_string_equal(disk.order, "SFFS"); /* history, checkpoint and its folder, segment */
    log = audit_close(log);
    free(old.data);
}

static void test_writes_that_take_only_some_bytes_are_continued(void **state) {
    struct error error = {0};
    struct audit_report report;
    struct audit_log *log = open_log(*state);
    forget();
    disk.most = 100;
    assert_int_equal(append_and_commit(log, 5, &error), 0);
    assert_true(strncmp(disk.order, "WWW", 3) == 0);
    log = audit_close(log);
    forget();
    assert_int_equal(verify(*state, &report), 0);
    assert_int_equal(report.records, 6);
}

static void test_a_failed_sync_is_final_and_not_tried_again(void **state) {
    struct error error = {0};
    uint64_t index = 0;
    struct audit_log *log = open_log(*state);
    forget();
    disk.fail_sync_in = 1;
    assert_int_equal(append_and_commit(log, 1, &error), -EIO);
    assert_non_null(strstr(error.text, "fdatasync"));
    assert_string_equal(disk.order, "WS");
    assert_int_equal(audit_commit(log, &error), -EIO);
    assert_int_equal(audit_publish(log, &error), -EIO);
    assert_int_equal(audit_append(log, "{}", 2, &index, &error), -EIO);
    log = audit_close(log);
    assert_string_equal(disk.order, "WS"); /* nothing is signed, no second attempt */
}

static void test_every_sync_of_a_checkpoint_must_succeed(void **state) {
    for (int n = 1; n <= 7; n++) {
        struct error error = {0};
        struct audit_report report;
        struct audit_log *log = open_log(*state);
        assert_int_equal(append_and_commit(log, 1, &error), 0);
        uint64_t records = audit_next_index(log);
        forget();
        disk.fail_sync_in = n;
        assert_int_equal(audit_publish(log, &error), -EIO);
        size_t calls = strlen(disk.order);
        assert_int_equal(audit_publish(log, &error), -EIO);
        log = audit_close(log);
        assert_int_equal(strlen(disk.order), calls);
        forget();
        log = open_log(*state); /* signs what was left */
        log = audit_close(log);
        assert_int_equal(verify(*state, &report), 0);
        assert_int_equal(report.covered, records);
    }
}

static void test_a_full_disk_gives_back_what_was_written(void **state) {
    struct error error = {0};
    struct audit_report report;
    struct audit_log *log = open_log(*state);
    forget();
    disk.most = 40;
    disk.fail_write_in = 2;
    assert_int_equal(append_and_commit(log, 1, &error), -ENOSPC);
    assert_non_null(strstr(error.text, "no space left for the audit log"));
    log = audit_close(log);
    forget();
    assert_int_equal(verify(*state, &report), 0);
    assert_int_equal(report.records, 1);
}

static void test_every_sync_of_the_opening_must_succeed(void **state) {
    unsigned failed = 0;
    for (int n = 1; n <= 24; n++) {
        struct audit_log *log = NULL;
        struct audit_report report;
        struct error error = {0};
        forget();
        disk.fail_sync_in = n;
        int rc = try_open(*state, &small_segments, &log, &error);
        if (rc != 0) {
            assert_int_equal(rc, -EIO);
            failed++;
        }
        forget();
        log = rc == 0 ? audit_close(log) : NULL;
        /* what it left behind opens again */
        log = open_log(*state);
        log = audit_close(log);
        assert_int_equal(verify(*state, &report), 0);
        scratch_empty(*state);
    }
    /* key 2, segment 2, record, five new directories, bundle 2, tile 2, history, checkpoint
     * 2, verifier key 2 */
    assert_int_equal(failed, 19);
}

static void test_every_sync_of_a_repair_must_succeed(void **state) {
    unsigned failed = 0;
    make_log(*state, 1, 1);
    char copy[512];
    (void)snprintf(copy, sizeof copy, "%s.copy", (char *)*state);
    struct bytes file = scratch_read(*state, FIRST);
    file.data = realloc(file.data, file.size + 8);
    memcpy(file.data + file.size, "\7\0\0\0abcd", 8);
    for (int n = 1; n <= 20; n++) {
        struct audit_log *log = NULL;
        struct error error = {0};
        struct audit_report report;
        scratch_copy(*state, copy);
        scratch_write(copy, FIRST, file.data, file.size + 8);
        forget();
        disk.fail_sync_in = n;
        int rc = try_open(copy, &small_segments, &log, &error);
        failed += rc != 0;
        forget();
        log = rc == 0 ? audit_close(log) : NULL;
        log = open_log(copy);
        log = audit_close(log);
        assert_int_equal(verify(copy, &report), 0);
        assert_int_equal(scratch_has(copy, ".torn"), 1);
    }
    /* what was there, the copy, its name, the cut file, the event; five directories, bundle 2, tile 2,
     * history, checkpoint 2 */
    assert_int_equal(failed, 17);
    char command[2048];
    (void)snprintf(command, sizeof command, "rm -rf '%s' '%s.key'", copy, copy);
    assert_int_equal(system(command), 0);
    free(file.data);
}

static int setup(void **state) {
    forget();
    *state = scratch_new();
    return 0;
}

static int teardown(void **state) {
    scratch_free(*state);
    return 0;
}

#define FAULT_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        FAULT_TEST(test_a_batch_is_one_write_and_one_sync),
        FAULT_TEST(test_tiles_are_durable_before_the_history_and_that_before_the_checkpoint),
        FAULT_TEST(test_most_batches_find_their_space_allocated),
        FAULT_TEST(test_files_and_folder_are_durable_before_the_first_record),
        FAULT_TEST(test_what_is_found_is_durable_before_it_is_reported),
        FAULT_TEST(test_a_checkpoint_that_is_made_good_is_durable_in_the_history_first),
        FAULT_TEST(test_writes_that_take_only_some_bytes_are_continued),
        FAULT_TEST(test_a_failed_sync_is_final_and_not_tried_again),
        FAULT_TEST(test_every_sync_of_a_checkpoint_must_succeed),
        FAULT_TEST(test_a_full_disk_gives_back_what_was_written),
        FAULT_TEST(test_every_sync_of_the_opening_must_succeed),
        FAULT_TEST(test_every_sync_of_a_repair_must_succeed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
