/* SPDX-License-Identifier: Apache-2.0
 *
 * Logs for tests. Private to the tests of audit/.
 */
#ifndef BUCKLER_TESTS_UNIT_AUDIT_LOGS_H
#define BUCKLER_TESTS_UNIT_AUDIT_LOGS_H

#include "scratch.h"

#include <sys/wait.h>

#include "audit/audit.h"
#include "audit/segment.h"

#define FIRST "audit-000000000000.seg"

/* Too small to be allocated ahead, so that a file ends with its last frame. */
static const struct audit_options small_segments = {.segment_bytes = 256 * 1024};

static inline int try_open(const char *directory, const struct audit_options *options, struct audit_log **ret,
                           struct error *error) {
    int rc = audit_open(directory, options, ret, error);
    if (rc == 0) {
        rc = audit_recover(*ret, error);
        if (rc != 0) {
            *ret = audit_close(*ret);
        }
    }
    return rc;
}

static inline struct audit_log *open_with(const char *directory, const struct audit_options *options) {
    struct audit_log *log = NULL;
    struct error error = {0};
    if (try_open(directory, options, &log, &error) != 0) {
        fail_msg("%s", error.text);
    }
    return log;
}

static inline struct audit_log *open_log(const char *directory) {
    return open_with(directory, &small_segments);
}

static inline void append(struct audit_log *log, unsigned number) {
    char payload[64];
    uint64_t index = 0;
    struct error error = {0};
    (void)snprintf(payload, sizeof payload, "{\"n\":%u,\"type\":\"verdict\"}", number);
    if (audit_append(log, payload, strlen(payload), &index, &error) != 0) {
        fail_msg("%s", error.text);
    }
}

static inline void commit(struct audit_log *log) {
    struct error error = {0};
    if (audit_commit(log, &error) != 0) {
        fail_msg("%s", error.text);
    }
}

static inline void publish(struct audit_log *log) {
    struct error error = {0};
    if (audit_publish(log, &error) != 0) {
        fail_msg("%s", error.text);
    }
}

static inline void append_batches(struct audit_log *log, unsigned batches, unsigned each) {
    for (unsigned i = 0; i < batches * each; i++) {
        append(log, i);
        if ((i + 1) % each == 0) {
            commit(log);
        }
    }
}

/* A log with a creation record and `batches` batches of `each` records, all of them signed. */
static inline void make_log(const char *directory, unsigned batches, unsigned each) {
    struct audit_log *log = open_log(directory);
    append_batches(log, batches, each);
    log = audit_close(log);
}

/* The same, written by a process that ended before it signed them. */
static inline void make_unsigned(const char *directory, unsigned batches, unsigned each) {
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        append_batches(open_log(directory), batches, each);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static inline int verify_with(const char *directory, struct audit_check check, struct audit_report *report,
                              struct error *error) {
    char key[AUDIT_KEY_SIZE];
    if (check.key == NULL) {
        assert_int_equal(audit_key(directory, key, NULL), 0);
        check.key = key;
    }
    int rc = audit_verify(directory, &check, report, error);
    assert_true(rc >= 0);
    assert_true((rc == 0) == (error->text[0] == '\0'));
    return rc;
}

static inline int verify(const char *directory, struct audit_report *report) {
    struct error error = {0};
    return verify_with(directory, (struct audit_check){0}, report, &error);
}

/* Offsets of the frames of a segment; the end behind them. */
static inline size_t split(const struct bytes *file, size_t begins[], size_t most) {
    size_t count = 0;
    for (size_t at = SEGMENT_HEADER_BYTES; at < file->size && count < most; count++) {
        uint32_t length = 0;
        begins[count] = at;
        memcpy(&length, file->data + at, 4);
        at += frame_bytes(length);
        begins[count + 1] = at;
    }
    return count;
}

#endif
