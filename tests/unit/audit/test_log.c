/* SPDX-License-Identifier: Apache-2.0 */
#include "scratch.h"

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>

#include "audit/audit.h"

#define FIRST "audit-000000000000.jsonl"

static struct audit_log *open_log(const char *directory) {
    struct audit_log *log = NULL;
    struct error error = {0};
    if (audit_open(directory, &log, &error) != 0) {
        fail_msg("%s", error.text);
    }
    return log;
}

static void append(struct audit_log *log, unsigned number) {
    char payload[64];
    uint64_t index = 0;
    struct error error = {0};
    (void)snprintf(payload, sizeof payload, "{\"n\":%u,\"type\":\"verdict\"}", number);
    if (audit_append(log, payload, strlen(payload), &index, &error) != 0) {
        fail_msg("%s", error.text);
    }
}

static void commit(struct audit_log *log) {
    struct error error = {0};
    if (audit_commit(log, &error) != 0) {
        fail_msg("%s", error.text);
    }
}

/* A log with a creation record and `batches` batches of `each` records. */
static void make_log(const char *directory, unsigned batches, unsigned each) {
    struct audit_log *log = open_log(directory);
    for (unsigned i = 0; i < batches * each; i++) {
        append(log, i);
        if ((i + 1) % each == 0) {
            commit(log);
        }
    }
    log = audit_close(log);
}

static int verify(const char *directory, struct audit_report *report) {
    struct error error = {0};
    int rc = audit_verify(directory, report, &error);
    assert_true(rc >= 0);
    assert_true((rc == 0) == (error.text[0] == '\0'));
    return rc;
}

static void test_a_new_log_begins_with_its_creation(void **state) {
    struct audit_report report;
    make_log(*state, 0, 1);
    assert_int_equal(verify(*state, &report), 0);
    assert_int_equal(report.records, 1);
    assert_int_equal(report.next_index, 1);
    assert_int_equal(strlen(report.log_id), 32);
    struct bytes file = scratch_read(*state, FIRST);
    assert_non_null(
        strstr(file.data, "\"event\":\"log_created\",\"format\":\"buckler.audit/1\",\"index\":0,\"log\":\""));
    assert_non_null(strstr(file.data, report.log_id));
    free(file.data);
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
    assert_string_equal(audit_log_id(log), first.log_id);
    assert_null(audit_repaired(log));
    append(log, 99);
    commit(log);
    log = audit_close(log);
    assert_int_equal(verify(*state, &second), 0);
    assert_int_equal(second.records, 14);
    assert_string_equal(second.log_id, first.log_id);
    assert_string_not_equal(second.last_hash, first.last_hash);
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

/* Lines of the file as (begin, size with newline). */
static size_t split(const struct bytes *file, size_t begins[], size_t most) {
    size_t count = 0;
    for (size_t at = 0; at < file->size && count < most; count++) {
        begins[count] = at;
        at = (size_t)((char *)memchr(file->data + at, '\n', file->size - at) - file->data) + 1;
    }
    begins[count] = file->size;
    return count;
}

static void test_every_flipped_bit_is_found_and_located(void **state) {
    make_log(*state, 2, 2);
    struct bytes file = scratch_read(*state, FIRST);
    size_t begins[8];
    size_t count = split(&file, begins, 7);
    assert_int_equal(count, 5);
    for (size_t at = 0; at < file.size; at++) {
        struct audit_report report;
        size_t line = 0;
        while (begins[line + 1] <= at) {
            line++;
        }
        for (unsigned bit = 0; bit < 8; bit++) {
            file.data[at] ^= (char)(1 << bit);
            scratch_write(*state, FIRST, file.data, file.size);
            int rc = verify(*state, &report);
            assert_true(rc == AUDIT_E_TAMPERED || rc == AUDIT_E_GAP || rc == AUDIT_E_TORN_TAIL);
            assert_true(rc != AUDIT_E_TORN_TAIL || at == file.size - 1);
            assert_int_equal(report.bad_index, line);
            assert_int_equal(report.offset, begins[line]);
            assert_string_equal(report.file, FIRST);
            file.data[at] ^= (char)(1 << bit);
        }
    }
    scratch_write(*state, FIRST, file.data, file.size);
    struct audit_report report;
    assert_int_equal(verify(*state, &report), 0);
    free(file.data);
}

static void test_every_flipped_bit_of_the_head_is_found(void **state) {
    make_log(*state, 1, 2);
    struct bytes head = scratch_read(*state, "head");
    assert_int_equal(head.size, 86);
    for (size_t at = 0; at < head.size; at++) {
        struct audit_report report;
        struct audit_log *log = NULL;
        head.data[at] ^= 1;
        scratch_write(*state, "head", head.data, head.size);
        /* A smaller index with the hash of another record is a mismatch, a larger one a loss. */
        int rc = verify(*state, &report);
        assert_true(rc == AUDIT_E_TAMPERED || rc == AUDIT_E_GAP);
        assert_int_equal(audit_open(*state, &log, NULL), rc);
        head.data[at] ^= 1;
    }
    free(head.data);
}

static void test_the_writer_refuses_what_was_changed_with_file_line_and_offset(void **state) {
    make_log(*state, 3, 2);
    struct bytes file = scratch_read(*state, FIRST);
    size_t begins[9];
    assert_int_equal(split(&file, begins, 8), 7);
    for (size_t line = 0; line < 7; line++) {
        struct audit_log *log = NULL;
        struct error error = {0};
        char expected[96];
        char *n = strstr(file.data + begins[line], line == 0 ? "\"log\":\"" : "\"n\":");
        char *target = n + (line == 0 ? 7 : 4);
        char old = *target;
        *target = old == '5' ? '4' : '5';
        scratch_write(*state, FIRST, file.data, file.size);
        assert_int_equal(audit_open(*state, &log, &error), AUDIT_E_TAMPERED);
        (void)snprintf(expected, sizeof expected, "%s line %zu (byte %zu, index %zu)", FIRST, line + 1,
                       begins[line], line);
        assert_non_null(strstr(error.text, expected));
        *target = old;
    }
    free(file.data);
}

static void write_lines(const char *directory, const struct bytes *file, const size_t begins[],
                        const size_t order[], size_t count) {
    char *out = malloc(4 * file->size);
    size_t size = 0;
    assert_non_null(out);
    for (size_t i = 0; i < count; i++) {
        size_t length = begins[order[i] + 1] - begins[order[i]];
        memcpy(out + size, file->data + begins[order[i]], length);
        size += length;
    }
    scratch_write(directory, FIRST, out, size);
    free(out);
}

static void test_dropped_duplicated_and_swapped_lines_are_found(void **state) {
    make_log(*state, 2, 2);
    struct bytes file = scratch_read(*state, FIRST);
    size_t begins[8];
    assert_int_equal(split(&file, begins, 7), 5);
    for (size_t line = 0; line < 5; line++) {
        struct audit_report report;
        struct audit_log *log = NULL;
        size_t order[8];
        size_t count = 0;
        for (size_t i = 0; i < 5; i++) { /* dropped */
            order[count] = i;
            count += i != line;
        }
        write_lines(*state, &file, begins, order, count);
        assert_int_equal(verify(*state, &report), AUDIT_E_GAP);
        assert_int_equal(report.bad_index, line);
        assert_int_equal(audit_open(*state, &log, NULL), AUDIT_E_GAP);

        count = 0;
        for (size_t i = 0; i < 5; i++) { /* duplicated */
            order[count++] = i;
            if (i == line) {
                order[count++] = i;
            }
        }
        write_lines(*state, &file, begins, order, count);
        assert_int_equal(verify(*state, &report), AUDIT_E_TAMPERED);
        assert_int_equal(report.bad_index, line + 1);
        assert_int_equal(audit_open(*state, &log, NULL), AUDIT_E_TAMPERED);

        if (line < 4) { /* swapped */
            for (size_t i = 0; i < 5; i++) {
                order[i] = i == line ? line + 1 : i == line + 1 ? line : i;
            }
            write_lines(*state, &file, begins, order, 5);
            assert_int_equal(verify(*state, &report), AUDIT_E_GAP);
            assert_int_equal(report.bad_index, line);
        }
    }
    free(file.data);
}

static void test_a_log_cut_anywhere_is_found(void **state) {
    make_log(*state, 2, 2);
    struct bytes file = scratch_read(*state, FIRST);
    for (size_t size = 0; size < file.size; size++) {
        struct audit_report report;
        scratch_write(*state, FIRST, file.data, size);
        int rc = verify(*state, &report);
        bool whole_lines = size == 0 || file.data[size - 1] == '\n';
        assert_int_equal(rc, whole_lines ? AUDIT_E_GAP : AUDIT_E_TORN_TAIL);
    }
    free(file.data);
}

static void test_a_missing_file_or_head_is_found(void **state) {
    struct audit_report report;
    struct audit_log *log = NULL;
    char path[1024];
    make_log(*state, 1, 1);
    struct bytes head = scratch_read(*state, "head");
    scratch_path(path, *state, "head");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(verify(*state, &report), AUDIT_E_TAMPERED);
    assert_string_equal(report.file, "head");
    assert_int_equal(audit_open(*state, &log, NULL), AUDIT_E_TAMPERED);
    scratch_write(*state, "head", head.data, head.size);
    scratch_path(path, *state, FIRST);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(verify(*state, &report), AUDIT_E_UNREADABLE);
    assert_int_equal(audit_open(*state, &log, NULL), AUDIT_E_GAP);
    free(head.data);
}

/* The last record cut at each of its bytes; `acknowledged`: the head already knew it. */
static void cut_at_each_byte(const char *directory, bool acknowledged) {
    struct audit_log *log = open_log(directory);
    append(log, 1);
    commit(log);
    struct bytes old_head = scratch_read(directory, "head");
    struct bytes old = scratch_read(directory, FIRST);
    size_t before = old.size;
    free(old.data);
    append(log, 2);
    commit(log);
    log = audit_close(log);
    struct bytes file = scratch_read(directory, FIRST);
    struct bytes head = scratch_read(directory, "head");
    for (size_t size = before + 1; size < file.size; size++) {
        struct audit_report report;
        char lost[32];
        scratch_empty(directory);
        scratch_write(directory, FIRST, file.data, size);
        scratch_write(directory, "head", acknowledged ? head.data : old_head.data, head.size);
        assert_int_equal(verify(directory, &report), AUDIT_E_TORN_TAIL);
        assert_int_equal(report.bad_index, 2);
        assert_int_equal(report.offset, before);

        log = open_log(directory);
        assert_non_null(audit_repaired(log));
        assert_int_equal(audit_recovered_index(log), 2);
        assert_int_equal(audit_next_index(log), 3);
        append(log, 3);
        commit(log);
        log = audit_close(log);
        assert_int_equal(verify(directory, &report), 0);
        assert_int_equal(report.records, 4);
        struct bytes torn = scratch_read(directory, FIRST ".2.torn");
        assert_int_equal(torn.size, size - before);
        assert_memory_equal(torn.data, file.data + before, torn.size);
        struct bytes repaired = scratch_read(directory, FIRST);
        assert_non_null(strstr(repaired.data, "\"event\":\"torn_tail\""));
        (void)snprintf(lost, sizeof lost, "\"lost\":%d", acknowledged);
        assert_non_null(strstr(repaired.data, lost));
        free(torn.data);
        free(repaired.data);
    }
    free(file.data);
    free(head.data);
    free(old_head.data);
}

static void test_a_torn_tail_is_repaired_at_each_byte(void **state) {
    cut_at_each_byte(*state, false);
}

static void test_a_cut_acknowledged_record_is_repaired_and_counted_as_lost(void **state) {
    cut_at_each_byte(*state, true);
}

static void test_a_torn_creation_record_starts_the_log_again(void **state) {
    struct audit_report report;
    make_log(*state, 0, 1);
    struct bytes file = scratch_read(*state, FIRST);
    struct bytes head = scratch_read(*state, "head");
    memset(head.data, '0', 20);
    memset(head.data + 21, '0', 64);
    scratch_write(*state, FIRST, file.data, 40);
    scratch_write(*state, "head", head.data, head.size);
    struct audit_log *log = open_log(*state);
    assert_int_equal(audit_recovered_index(log), 0);
    assert_int_equal(audit_next_index(log), 2);
    log = audit_close(log);
    assert_int_equal(verify(*state, &report), 0);
    assert_int_equal(scratch_has(*state, ".torn"), 1);
    free(file.data);
    free(head.data);
}

/* A power failure may bring any pages of the last batch to the disk and not others. */
static void test_a_hole_in_the_last_batch_is_torn_and_one_in_an_earlier_batch_is_damage(void **state) {
    struct audit_report report;
    struct audit_log *log = open_log(*state);
    struct bytes old_head = scratch_read(*state, "head");
    for (unsigned i = 0; i < 4; i++) {
        append(log, i);
    }
    commit(log);
    log = audit_close(log);
    struct bytes one = scratch_read(*state, FIRST);
    size_t begins[16];
    assert_int_equal(split(&one, begins, 8), 5);
    memset(one.data + begins[2], 0, begins[3] - begins[2]);
    scratch_write(*state, FIRST, one.data, one.size);
    assert_int_equal(verify(*state, &report), AUDIT_E_TAMPERED); /* all of it was acknowledged */
    scratch_write(*state, "head", old_head.data, old_head.size);
    assert_int_equal(verify(*state, &report), AUDIT_E_TORN_TAIL);
    assert_int_equal(report.bad_index, 2);
    log = open_log(*state);
    assert_int_equal(audit_recovered_index(log), 2); /* the whole line before the hole stays */
    for (unsigned i = 0; i < 2; i++) {
        append(log, i);
        commit(log);
    }
    log = audit_close(log);
    free(one.data);

    one = scratch_read(*state, FIRST);
    assert_int_equal(split(&one, begins, 8), 5);
    memset(one.data + begins[3], 0, begins[4] - begins[3] - 1);
    scratch_write(*state, FIRST, one.data, one.size);
    scratch_write(*state, "head", old_head.data, old_head.size);
    assert_int_equal(verify(*state, &report), AUDIT_E_TAMPERED);
    assert_int_equal(audit_open(*state, &log, NULL), AUDIT_E_TAMPERED);
    assert_int_equal(report.bad_index, 3);
    free(one.data);
    free(old_head.data);
}

static void test_refuses_a_second_writer(void **state) {
    struct audit_log *second = NULL;
    struct error error;
    struct audit_log *first = open_log(*state);
    assert_int_equal(audit_open(*state, &second, &error), AUDIT_E_LOCKED);
    assert_null(second);
    first = audit_close(first);
    second = open_log(*state);
    second = audit_close(second);
}

static void test_a_line_in_flight_is_no_error_while_the_writer_lives(void **state) {
    struct audit_report report;
    char path[1024];
    struct audit_log *log = open_log(*state);
    scratch_path(path, *state, FIRST);
    int fd = open(path, O_WRONLY | O_APPEND);
    assert_int_equal(write(fd, "{\"batch\":1,", 11), 11);
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

struct seen {
    uint64_t next, count, stop_at;
};

static int on_record(void *user, uint64_t index, const char *json, size_t size) {
    struct seen *seen = user;
    char key[32];
    (void)snprintf(key, sizeof key, "\"index\":%llu,", (unsigned long long)index);
    assert_int_equal(index, seen->next);
    assert_non_null(memmem(json, size, key, strlen(key)));
    seen->next++;
    seen->count++;
    return index == seen->stop_at ? 7 : 0;
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
    assert_int_equal(split(&file, begins, 12), 11);
    file.data[begins[6]] = '[';
    scratch_write(*state, FIRST, file.data, file.size);
    struct seen seen = {.next = 0, .stop_at = 1000};
    assert_int_equal(audit_each(*state, 0, 100, on_record, &seen, &error), AUDIT_E_TAMPERED);
    assert_int_equal(seen.count, 6);
    assert_non_null(strstr(error.text, "line 7"));
    free(file.data);
}

static void test_reads_no_log_where_there_is_none(void **state) {
    struct audit_report report;
    struct error error;
    assert_int_equal(verify(*state, &report), AUDIT_E_UNREADABLE);
    assert_int_equal(audit_verify("/nonexistent/log", &report, &error), AUDIT_E_UNREADABLE);
}

/* Big records, so that a few hundred batches fill a file of 64 MiB. */
static void test_files_are_rotated_and_the_chain_goes_through(void **state) {
    enum { PAYLOAD = 60000, PER_BATCH = 64, BATCHES = 19 };
    struct audit_report report;
    struct error error = {0};
    char *payload = malloc(PAYLOAD + 1);
    assert_non_null(payload);
    memset(payload, 'x', PAYLOAD);
    memcpy(payload, "{\"a\":\"", 6);
    memcpy(payload + PAYLOAD - 2, "\"}", 2);
    struct audit_log *log = open_log(*state);
    for (unsigned batch = 0; batch < BATCHES; batch++) {
        for (unsigned i = 0; i < PER_BATCH; i++) {
            uint64_t index = 0;
            assert_int_equal(audit_append(log, payload, PAYLOAD, &index, &error), 0);
        }
        commit(log);
    }
    log = audit_close(log);
    assert_int_equal(scratch_has(*state, ".jsonl"), 2);
    assert_int_equal(verify(*state, &report), 0);
    assert_int_equal(report.records, 1 + PER_BATCH * BATCHES);
    log = open_log(*state); /* the chain goes on from the file before */
    assert_int_equal(audit_next_index(log), report.next_index);
    assert_string_equal(audit_log_id(log), report.log_id);
    log = audit_close(log);

    struct seen seen = {.next = 1100, .stop_at = 100000};
    assert_int_equal(audit_each(*state, 1100, UINT64_MAX, on_record, &seen, NULL), 0);
    assert_int_equal(seen.next, report.next_index);

    /* A changed last record of the first file is found by the reader and by the writer. */
    char path[1024];
    scratch_path(path, *state, FIRST);
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    int fd = open(path, O_RDWR);
    assert_int_equal(pwrite(fd, "y", 1, info.st_size - 30000), 1);
    assert_int_equal(verify(*state, &report), AUDIT_E_TAMPERED);
    assert_string_equal(report.file, FIRST);
    assert_int_equal(audit_open(*state, &log, &error), AUDIT_E_TAMPERED);
    assert_non_null(strstr(error.text, FIRST));

    /* And a missing first file. */
    (void)close(fd);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(verify(*state, &report), AUDIT_E_GAP);
    assert_int_equal(audit_open(*state, &log, &error), AUDIT_E_GAP);
    free(payload);
}

static int setup(void **state) {
    *state = scratch_new();
    return 0;
}

static int teardown(void **state) {
    scratch_free(*state);
    return 0;
}

#define LOG_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        LOG_TEST(test_a_new_log_begins_with_its_creation),
        LOG_TEST(test_appended_records_verify_and_reopening_goes_on),
        LOG_TEST(test_what_was_not_committed_is_not_in_the_log),
        LOG_TEST(test_a_refused_payload_leaves_the_log_usable),
        LOG_TEST(test_every_flipped_bit_is_found_and_located),
        LOG_TEST(test_every_flipped_bit_of_the_head_is_found),
        LOG_TEST(test_the_writer_refuses_what_was_changed_with_file_line_and_offset),
        LOG_TEST(test_dropped_duplicated_and_swapped_lines_are_found),
        LOG_TEST(test_a_log_cut_anywhere_is_found),
        LOG_TEST(test_a_missing_file_or_head_is_found),
        LOG_TEST(test_a_torn_tail_is_repaired_at_each_byte),
        LOG_TEST(test_a_cut_acknowledged_record_is_repaired_and_counted_as_lost),
        LOG_TEST(test_a_torn_creation_record_starts_the_log_again),
        LOG_TEST(test_a_hole_in_the_last_batch_is_torn_and_one_in_an_earlier_batch_is_damage),
        LOG_TEST(test_refuses_a_second_writer),
        LOG_TEST(test_a_line_in_flight_is_no_error_while_the_writer_lives),
        LOG_TEST(test_a_full_disk_is_final_and_leaves_a_sound_log),
        LOG_TEST(test_each_gives_the_asked_range_and_stops_when_told),
        LOG_TEST(test_each_delivers_what_stands_before_the_damage),
        LOG_TEST(test_reads_no_log_where_there_is_none),
        LOG_TEST(test_files_are_rotated_and_the_chain_goes_through),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
