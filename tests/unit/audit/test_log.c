/* SPDX-License-Identifier: Apache-2.0
 *
 * The writer and its recovery. Time stands in the hands of the tests (--wrap=clock_unix_ns).
 */
#include "logs.h"

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>

#include "audit/audit.h"

static uint64_t clock_offset_ns; /* set by the test that turns a day */

uint64_t __wrap_clock_unix_ns(void);
uint64_t __real_clock_unix_ns(void);

uint64_t __wrap_clock_unix_ns(void) {
    return __real_clock_unix_ns() + clock_offset_ns;
}

static char work[512]; /* a copy of the log that a test may damage again and again */

static void work_on(const char *directory) {
    (void)snprintf(work, sizeof work, "%s.copy", directory);
    scratch_copy(directory, work);
}

static void test_a_new_log_begins_with_its_creation_and_a_checkpoint(void **state) {
    struct audit_report report;
    char key[AUDIT_KEY_SIZE];
    make_log(*state, 0, 1);
    assert_int_equal(verify(*state, &report), 0);
    assert_int_equal(report.records, 1);
    assert_int_equal(report.covered, 1);
    struct bytes file = scratch_read(*state, FIRST);
    assert_int_equal(audit_key(*state, key, NULL), 0);
    const char *payload = file.data + SEGMENT_HEADER_BYTES + FRAME_HEADER_BYTES;
    assert_non_null(strstr(payload, "\"event\":\"log_created\",\"format\":\"buckler.audit/2\",\"key\":\""));
    assert_non_null(strstr(payload, key));
    free(file.data);
}

static void test_the_key_is_for_its_owner_alone_and_not_in_the_folder(void **state) {
    char path[1024];
    struct stat info;
    make_log(*state, 0, 1);
    (void)snprintf(path, sizeof path, "%s.key", (char *)*state);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 07777, 0600);
    assert_int_equal(scratch_has(*state, ".key"), 0);
}

static void test_appended_records_verify_and_reopening_goes_on(void **state) {
    struct audit_report first;
    struct audit_report second;
    make_log(*state, 3, 4);
    assert_int_equal(verify(*state, &first), 0);
    assert_int_equal(first.records, 13);
    struct audit_log *log = open_log(*state);
    assert_int_equal(audit_recovered_index(log), 13);
    assert_int_equal(audit_next_index(log), 13);
    assert_null(audit_repaired(log));
    append(log, 99);
    commit(log);
    log = audit_close(log);
    assert_int_equal(verify(*state, &second), 0);
    assert_int_equal(second.records, 14);
    assert_int_equal(second.covered, 14);
    assert_int_equal(second.checkpoints, first.checkpoints + 1);
    assert_string_not_equal(second.root, first.root);
}

static void test_what_was_not_committed_is_not_in_the_log(void **state) {
    struct audit_report report;
    struct audit_log *log = open_log(*state);
    append(log, 1);
    log = audit_close(log);
    assert_int_equal(verify(*state, &report), 0);
    assert_int_equal(report.records, 1);
}

static void test_a_refused_payload_leaves_the_log_usable(void **state) {
    struct audit_report report;
    uint64_t index = 0;
    struct error error;
    struct audit_log *log = open_log(*state);
    append(log, 1);
    assert_int_equal(audit_append(log, "{\"a\":1.5}", 9, &index, &error), -EINVAL);
    append(log, 2);
    commit(log);
    log = audit_close(log);
    assert_int_equal(verify(*state, &report), 0);
    assert_int_equal(report.records, 3);
}

static void test_what_was_not_signed_is_signed_at_the_next_start(void **state) {
    struct audit_report report;
    make_unsigned(*state, 3, 2);
    assert_int_equal(verify(*state, &report), 0);
    assert_int_equal(report.records, 7);
    assert_int_equal(report.covered, 1);
    struct audit_log *log = open_log(*state);
    assert_int_equal(audit_recovered_index(log), 7);
    assert_int_equal(verify(*state, &report), 0);
    assert_int_equal(report.covered, 7);
    log = audit_close(log);
}

/* More records than are kept in memory between two checkpoints. */
static void test_a_large_tree_is_written_in_pieces(void **state) {
    struct audit_report report;
    make_unsigned(*state, 20, 500);
    assert_int_equal(verify(*state, &report), 0);
    assert_int_equal(report.records, 10001);
    struct audit_log *log = open_log(*state);
    log = audit_close(log);
    assert_int_equal(verify(*state, &report), 0);
    assert_int_equal(report.covered, 10001);
    log = open_log(*state);
    append(log, 1);
    commit(log);
    log = audit_close(log);
    assert_int_equal(verify(*state, &report), 0);
    assert_int_equal(report.covered, 10002);
}

/* ---- recovery ---- */

static void test_a_torn_tail_is_repaired_at_each_byte(void **state) {
    size_t begins[8];
    make_log(*state, 1, 1);
    make_unsigned(*state, 1, 1);
    struct bytes file = scratch_read(*state, FIRST);
    assert_int_equal(split(&file, begins, 7), 3);
    for (size_t size = begins[2] + 1; size < file.size; size++) {
        struct audit_report report;
        work_on(*state);
        scratch_write(work, FIRST, file.data, size);
        assert_int_equal(verify(work, &report), AUDIT_E_TORN_TAIL);
        assert_int_equal(report.bad_index, 2);
        assert_int_equal(report.offset, begins[2]);

        struct audit_log *log = open_log(work);
        assert_non_null(audit_repaired(log));
        assert_int_equal(audit_recovered_index(log), 2);
        assert_int_equal(audit_next_index(log), 3);
        append(log, 3);
        commit(log);
        log = audit_close(log);
        assert_int_equal(verify(work, &report), 0);
        assert_int_equal(report.records, 4);
        struct bytes torn = scratch_read(work, FIRST ".2.torn");
        assert_int_equal(torn.size, size - begins[2]);
        assert_memory_equal(torn.data, file.data + begins[2], torn.size);
        struct bytes repaired = scratch_read(work, FIRST);
        assert_non_null(memmem(repaired.data, repaired.size, "\"event\":\"torn_tail\"", 19));
        free(torn.data);
        free(repaired.data);
    }
    free(file.data);
}

/* A power failure may bring any pages of the last batch to the disk and not others. */
static void test_a_hole_in_the_last_batch_is_torn_and_one_in_an_earlier_batch_is_damage(void **state) {
    size_t begins[16];
    make_log(*state, 0, 1);
    make_unsigned(*state, 2, 4);
    struct bytes file = scratch_read(*state, FIRST);
    assert_int_equal(split(&file, begins, 15), 9);
    for (size_t hole = 1; hole < 9; hole++) {
        for (int zeros = 0; zeros < 2; zeros++) {
            struct audit_report report;
            struct audit_log *log = NULL;
            struct error error = {0};
            struct bytes damaged = {malloc(file.size), file.size};
            memcpy(damaged.data, file.data, file.size);
            memset(damaged.data + begins[hole], zeros ? 0 : 0x5a, begins[hole + 1] - begins[hole]);
            work_on(*state);
            scratch_write(work, FIRST, damaged.data, damaged.size);
            int rc = verify(work, &report);
            assert_true(rc == 0 || report.bad_index == hole);
            if (hole < 5) {
                assert_int_equal(rc, AUDIT_E_TAMPERED);
                assert_int_equal(try_open(work, &small_segments, &log, &error), AUDIT_E_TAMPERED);
                assert_non_null(strstr(error.text, "a later batch follows"));
            } else if (zeros && hole == 8) {
                assert_int_equal(rc, 0); /* nothing is left of it */
            } else {
                assert_int_equal(rc, AUDIT_E_TORN_TAIL);
                log = open_log(work);
                assert_int_equal(audit_recovered_index(log), hole); /* what stands before the hole stays */
                log = audit_close(log);
                assert_int_equal(verify(work, &report), 0);
            }
            free(damaged.data);
        }
    }
    free(file.data);
}

static void test_accepted_damage_costs_no_signed_record(void **state) {
    static const struct audit_options accept = {.segment_bytes = 256 * 1024, .accept_corruption = true};
    size_t begins[16];
    struct audit_report report;
    struct audit_report before;
    make_log(*state, 4, 2);
    assert_int_equal(verify(*state, &before), 0);
    struct bytes file = scratch_read(*state, FIRST);
    assert_int_equal(split(&file, begins, 15), 9);
    for (size_t hole = 0; hole < 9; hole++) {
        struct audit_log *log = NULL;
        struct error error = {0};
        work_on(*state);
        file.data[begins[hole] + 40] ^= 1;
        scratch_write(work, FIRST, file.data, file.size);
        file.data[begins[hole] + 40] ^= 1;
        assert_int_equal(try_open(work, &small_segments, &log, &error), AUDIT_E_TAMPERED);
        log = open_with(work, &accept);
        assert_non_null(strstr(audit_repaired(log), "was damaged"));
        assert_int_equal(audit_recovered_index(log), 9);
        log = audit_close(log);
        struct error why = {0};
        char kept[1024];
        scratch_path(kept, *state, "checkpoint"); /* what was signed before the damage still holds */
        assert_int_equal(verify_with(work, (struct audit_check){.kept = kept}, &report, &why), 0);
        assert_int_equal(report.records, 10);
        struct bytes repaired = scratch_read(work, FIRST);
        assert_non_null(memmem(repaired.data, repaired.size, "\"event\":\"corruption_accepted\"", 29));
        free(repaired.data);
    }
    free(file.data);
}

static void test_a_checkpoint_ahead_of_the_data_is_refused(void **state) {
    size_t begins[16];
    make_log(*state, 3, 1);
    struct bytes file = scratch_read(*state, FIRST);
    assert_int_equal(split(&file, begins, 15), 4);
    for (size_t records = 0; records < 4; records++) {
        struct audit_report report;
        struct audit_log *log = NULL;
        struct error error = {0};
        work_on(*state);
        scratch_write(work, FIRST, file.data, begins[records]);
        assert_int_equal(try_open(work, &small_segments, &log, &error), AUDIT_E_GAP);
        assert_non_null(strstr(error.text, "records were lost"));
        assert_int_equal(verify(work, &report), AUDIT_E_GAP);
        assert_int_equal(report.bad_index, records);
    }
    free(file.data);
}

static void test_refuses_to_sign_again_what_it_cannot_know(void **state) {
    char path[1024];
    struct audit_log *log = NULL;
    struct error error = {0};
    make_log(*state, 1, 1);
    struct bytes old = scratch_read(*state, "checkpoint");
    make_log(*state, 1, 1);
    make_log(*state, 1, 1);
    /* An older checkpoint was put back. */
    work_on(*state);
    scratch_write(work, "checkpoint", old.data, old.size);
    assert_int_equal(try_open(work, &small_segments, &log, &error), AUDIT_E_TAMPERED);
    assert_non_null(strstr(error.text, "older than the end of checkpoints"));
    /* The history was emptied. */
    work_on(*state);
    scratch_write(work, "checkpoints", "", 0);
    assert_int_equal(try_open(work, &small_segments, &log, &error), AUDIT_E_TAMPERED);
    /* The tiles are another tree's. */
    work_on(*state);
    struct bytes tile = scratch_read(work, "tile/0/000.p/4");
    tile.data[40] ^= 1;
    scratch_write(work, "tile/0/000.p/4", tile.data, tile.size);
    assert_int_equal(try_open(work, &small_segments, &log, &error), AUDIT_E_TAMPERED);
    assert_non_null(strstr(error.text, "tiles"));
    /* The segments are gone. */
    work_on(*state);
    scratch_path(path, work, FIRST);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(try_open(work, &small_segments, &log, &error), AUDIT_E_GAP);
    free(tile.data);
    free(old.data);
}

/* The writer ended between the history and `checkpoint`, or within the history. */
static void test_an_interrupted_checkpoint_is_made_good(void **state) {
    struct audit_report report;
    make_log(*state, 1, 1);
    struct bytes old = scratch_read(*state, "checkpoint");
    struct bytes old_history = scratch_read(*state, "checkpoints");
    make_log(*state, 1, 1);
    struct bytes history = scratch_read(*state, "checkpoints");
    for (size_t size = old_history.size; size <= history.size; size++) {
        work_on(*state);
        scratch_write(work, "checkpoint", old.data, old.size);
        scratch_write(work, "checkpoints", history.data, size);
        int rc = verify(work, &report);
        assert_int_equal(rc, size == old_history.size || size == history.size ? 0 : AUDIT_E_TORN_TAIL);
        struct audit_log *log = open_log(work);
        log = audit_close(log);
        assert_int_equal(verify(work, &report), 0);
        assert_int_equal(report.checkpoints, 3);
        struct bytes again = scratch_read(work, "checkpoints"); /* Ed25519 gives the same signature again */
        assert_int_equal(again.size, history.size);
        assert_memory_equal(again.data, history.data, history.size);
        free(again.data);
    }
    free(old.data);
    free(old_history.data);
    free(history.data);
}

static void test_the_key_of_another_log_is_refused(void **state) {
    struct audit_log *log = NULL;
    struct error error = {0};
    char command[2048];
    make_log(*state, 1, 1);
    work_on(*state);
    (void)snprintf(command, sizeof command, "rm -rf '%s'", work);
    assert_int_equal(system(command), 0);
    make_log(work, 1, 1); /* a new log there: the old key is put aside */
    (void)snprintf(command, sizeof command, "test $(ls '%s'.key.* | wc -l) = 1 && cp '%s.key' '%s.key'", work,
                   (char *)*state, work);
    assert_int_equal(system(command), 0);
    assert_int_equal(try_open(work, &small_segments, &log, &error), AUDIT_E_TAMPERED);
    (void)snprintf(command, sizeof command, "rm '%s.key'", work);
    assert_int_equal(system(command), 0);
    assert_true(try_open(work, &small_segments, &log, &error) < 0);
}

/* ---- the rest ---- */

static void test_refuses_a_second_writer(void **state) {
    struct audit_log *second = NULL;
    struct error error;
    struct audit_log *first = open_log(*state);
    assert_int_equal(try_open(*state, &small_segments, &second, &error), AUDIT_E_LOCKED);
    assert_null(second);
    first = audit_close(first);
    second = open_log(*state);
    second = audit_close(second);
}

static void test_a_frame_in_flight_is_no_error_while_the_writer_lives(void **state) {
    struct audit_report report;
    char path[1024];
    struct audit_log *log = open_log(*state);
    scratch_path(path, *state, FIRST);
    int fd = open(path, O_WRONLY | O_APPEND);
    assert_int_equal(write(fd, "\4\0\0\0bcd", 7), 7);
    (void)close(fd);
    assert_int_equal(verify(*state, &report), 0);
    assert_int_equal(report.records, 1);
    log = audit_close(log);
    assert_int_equal(verify(*state, &report), AUDIT_E_TORN_TAIL);
}

static void test_a_full_disk_is_final_and_leaves_a_sound_log(void **state) {
    struct audit_report report;
    struct rlimit old;
    struct error error = {0};
    uint64_t index = 0;
    struct audit_log *log = open_log(*state);
    append(log, 1);
    commit(log);
    struct bytes file = scratch_read(*state, FIRST);
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    struct rlimit small = {.rlim_cur = file.size + 50, .rlim_max = old.rlim_max};
    append(log, 2);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    int rc = audit_commit(log, &error);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_int_equal(rc, -EFBIG);
    assert_non_null(strstr(error.text, "no space left for the audit log"));
    assert_int_equal(audit_commit(log, &error), -EIO);
    assert_int_equal(audit_publish(log, &error), -EIO);
    assert_int_equal(audit_append(log, "{}", 2, &index, &error), -EIO);
    log = audit_close(log);
    assert_int_equal(verify(*state, &report), 0);
    assert_int_equal(report.records, 2);
    log = open_log(*state);
    assert_null(audit_repaired(log));
    assert_int_equal(audit_next_index(log), 2);
    log = audit_close(log);
    free(file.data);
}

static void test_space_is_allocated_ahead_and_given_back(void **state) {
    static const struct audit_options large = {.segment_bytes = 3 << 20};
    struct audit_report report;
    struct audit_log *log = open_with(*state, &large);
    append_batches(log, 3, 1);
    struct bytes file = scratch_read(*state, FIRST);
    assert_int_equal(file.size, 1 << 20);
    free(file.data);
    assert_int_equal(verify(*state, &report), 0);
    log = audit_close(log);
    log = open_with(*state, &large);
    assert_null(audit_repaired(log));
    assert_int_equal(audit_next_index(log), 4);
    clock_offset_ns += 86400ull * 1000000000u;
    append_batches(log, 1, 1);
    log = audit_close(log);
    file = scratch_read(*state, FIRST);
    size_t begins[8];
    assert_int_equal(split(&file, begins, 8), 4);
    assert_int_equal(begins[4], file.size);
    free(file.data);
    assert_int_equal(verify(*state, &report), 0);
    assert_int_equal(report.covered, 5);
}

static void test_a_new_day_begins_a_new_segment(void **state) {
    struct audit_report report;
    struct audit_log *log = open_log(*state);
    for (unsigned day = 0; day < 3; day++) {
        append_batches(log, 2, 2);
        clock_offset_ns += 86400ull * 1000000000u;
    }
    log = audit_close(log);
    assert_int_equal(scratch_has(*state, ".seg"), 3);
    assert_int_equal(verify(*state, &report), 0);
    assert_int_equal(report.records, 13);
    assert_int_equal(report.checkpoints, 4); /* creation, two rotations, the end */
}

struct seen {
    uint64_t next, count, stop_at;
};

static int on_record(void *user, const struct audit_record *record) {
    struct seen *seen = user;
    assert_int_equal(record->index, seen->next);
    assert_int_equal(record->json[0], '{');
    assert_int_equal(record->json[record->size - 1], '}');
    assert_true(record->time_ns > 1600000000000000000u);
    seen->next++;
    seen->count++;
    return record->index == seen->stop_at ? 7 : 0;
}

static void test_each_gives_the_asked_range_and_stops_when_told(void **state) {
    make_log(*state, 5, 2);
    struct seen seen = {.next = 3, .stop_at = 1000};
    assert_int_equal(audit_each(*state, 3, 8, on_record, &seen, NULL), 0);
    assert_int_equal(seen.count, 5);
    seen = (struct seen){.next = 0, .stop_at = 1000};
    assert_int_equal(audit_each(*state, 0, UINT64_MAX, on_record, &seen, NULL), 0);
    assert_int_equal(seen.count, 11);
    seen = (struct seen){.next = 2, .stop_at = 4};
    assert_int_equal(audit_each(*state, 2, 8, on_record, &seen, NULL), 7);
    assert_int_equal(seen.count, 3);
    seen = (struct seen){.stop_at = 1000};
    assert_int_equal(audit_each(*state, 50, 60, on_record, &seen, NULL), 0);
    assert_int_equal(seen.count, 0);
}

static void test_each_delivers_what_stands_before_the_damage(void **state) {
    struct error error = {0};
    make_log(*state, 5, 2);
    struct bytes file = scratch_read(*state, FIRST);
    size_t begins[16];
    assert_int_equal(split(&file, begins, 15), 11);
    file.data[begins[6] + 33] = '[';
    scratch_write(*state, FIRST, file.data, file.size);
    struct seen seen = {.next = 0, .stop_at = 1000};
    assert_int_equal(audit_each(*state, 0, 100, on_record, &seen, &error), AUDIT_E_TAMPERED);
    assert_int_equal(seen.count, 6);
    assert_non_null(strstr(error.text, "index 6"));
    free(file.data);
}

static void test_reads_no_log_where_there_is_none(void **state) {
    struct error error = {0};
    struct audit_report report;
    const struct audit_check check = {
        .key = "host.example/buckler+ab1131d5+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4"};
    assert_int_equal(audit_verify(*state, &check, &report, &error), AUDIT_E_UNREADABLE);
    assert_int_equal(audit_verify("/nonexistent/log", &check, &report, &error), AUDIT_E_UNREADABLE);
    assert_int_not_equal(audit_each(*state, 0, 1, on_record, NULL, &error), 0);
}

/* Big records, so that a few batches fill a file. */
static void test_segments_are_rotated_and_the_tree_goes_through(void **state) {
    enum { PAYLOAD = 60000, BATCHES = 19 };
    struct audit_report report;
    struct error error = {0};
    char *payload = malloc(PAYLOAD + 1);
    assert_non_null(payload);
    memset(payload, 'x', PAYLOAD);
    memcpy(payload, "{\"a\":\"", 6);
    memcpy(payload + PAYLOAD - 2, "\"}", 2);
    struct audit_log *log = open_log(*state);
    for (unsigned batch = 0; batch < BATCHES; batch++) {
        uint64_t index = 0;
        assert_int_equal(audit_append(log, payload, PAYLOAD, &index, &error), 0);
        commit(log);
    }
    log = audit_close(log);
    assert_int_equal(scratch_has(*state, ".seg"), 5);
    assert_int_equal(verify(*state, &report), 0);
    assert_int_equal(report.records, 1 + BATCHES);
    assert_int_equal(report.covered, 1 + BATCHES);
    log = open_log(*state);
    assert_int_equal(audit_next_index(log), 1 + BATCHES);
    log = audit_close(log);
    struct seen seen = {.next = 11, .stop_at = 100000};
    assert_int_equal(audit_each(*state, 11, UINT64_MAX, on_record, &seen, NULL), 0);
    assert_int_equal(seen.next, report.records);

    /* Parts of it can be checked when other segments are elsewhere. */
    char path[1024];
    struct error why = {0};
    scratch_path(path, *state, FIRST);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(verify(*state, &report), AUDIT_E_GAP);
    assert_int_equal(report.bad_index, 0);
    assert_int_equal(verify_with(*state, (struct audit_check){.from = 10, .to = 15}, &report, &why), 0);
    assert_int_equal(report.records, 15);
    free(payload);
}

static int setup(void **state) {
    clock_offset_ns = 0;
    *state = scratch_new();
    return 0;
}

static int teardown(void **state) {
    char command[1024];
    (void)snprintf(command, sizeof command, "rm -rf '%s.copy' '%s.copy'.key*", (char *)*state,
                   (char *)*state);
    scratch_free(*state);
    return system(command);
}

#define LOG_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        LOG_TEST(test_a_new_log_begins_with_its_creation_and_a_checkpoint),
        LOG_TEST(test_the_key_is_for_its_owner_alone_and_not_in_the_folder),
        LOG_TEST(test_appended_records_verify_and_reopening_goes_on),
        LOG_TEST(test_what_was_not_committed_is_not_in_the_log),
        LOG_TEST(test_a_refused_payload_leaves_the_log_usable),
        LOG_TEST(test_what_was_not_signed_is_signed_at_the_next_start),
        LOG_TEST(test_a_large_tree_is_written_in_pieces),
        LOG_TEST(test_a_torn_tail_is_repaired_at_each_byte),
        LOG_TEST(test_a_hole_in_the_last_batch_is_torn_and_one_in_an_earlier_batch_is_damage),
        LOG_TEST(test_accepted_damage_costs_no_signed_record),
        LOG_TEST(test_a_checkpoint_ahead_of_the_data_is_refused),
        LOG_TEST(test_refuses_to_sign_again_what_it_cannot_know),
        LOG_TEST(test_an_interrupted_checkpoint_is_made_good),
        LOG_TEST(test_the_key_of_another_log_is_refused),
        LOG_TEST(test_refuses_a_second_writer),
        LOG_TEST(test_a_frame_in_flight_is_no_error_while_the_writer_lives),
        LOG_TEST(test_a_full_disk_is_final_and_leaves_a_sound_log),
        LOG_TEST(test_space_is_allocated_ahead_and_given_back),
        LOG_TEST(test_a_new_day_begins_a_new_segment),
        LOG_TEST(test_each_gives_the_asked_range_and_stops_when_told),
        LOG_TEST(test_each_delivers_what_stands_before_the_damage),
        LOG_TEST(test_reads_no_log_where_there_is_none),
        LOG_TEST(test_segments_are_rotated_and_the_tree_goes_through),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
