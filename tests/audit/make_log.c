/* SPDX-License-Identifier: Apache-2.0
 *
 * Writes a log for the tests, or goes on with one: segments of 16 KiB, batches of 7 records, a checkpoint
 * every 50.
 *
 *   make_log DIRECTORY SEED RECORDS UNSIGNED
 *
 * The last UNSIGNED records are written as by a process that ended before it signed them.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "audit/audit.h"

enum { SEGMENT_BYTES = 16384, PER_BATCH = 7, PER_CHECKPOINT = 50 };

static void must(int rc, const struct error *error) {
    if (rc != 0) {
        (void)fprintf(stderr, "make_log: %s\n", error->text);
        exit(EXIT_FAILURE);
    }
}

static void append(struct audit_log *log, unsigned seed, unsigned number, struct error *error) {
    char payload[256];
    uint64_t index = 0;
    (void)snprintf(payload, sizeof payload, "{\"n\":%u,\"pad\":\"%.*s\",\"seed\":%u,\"type\":\"verdict\"}",
                   number, (int)(number * 7 % 60),
                   "................................................................", seed);
    must(audit_append(log, payload, strlen(payload), &index, error), error);
}

int main(int argc, char **argv) {
    static const struct audit_options options = {.segment_bytes = SEGMENT_BYTES};
    struct error error = {0};
    struct audit_log *log = NULL;
    if (argc != 5) {
        (void)fprintf(stderr, "usage: make_log DIRECTORY SEED RECORDS UNSIGNED\n");
        return 64;
    }
    unsigned seed = (unsigned)atoi(argv[2]);
    unsigned records = (unsigned)atoi(argv[3]);
    unsigned signed_records = records - (unsigned)atoi(argv[4]);
    must(audit_open(argv[1], &options, &log, &error), &error);
    must(audit_recover(log, &error), &error);
    for (unsigned i = 0; i < records; i++) {
        if (i == signed_records || (i > 0 && i < signed_records && i % PER_CHECKPOINT == 0)) {
            must(audit_commit(log, &error), &error);
            must(audit_publish(log, &error), &error);
        }
        append(log, seed, i, &error);
        if (i % PER_BATCH == PER_BATCH - 1) {
            must(audit_commit(log, &error), &error);
        }
    }
    must(audit_commit(log, &error), &error);
    if (signed_records < records) {
        _exit(EXIT_SUCCESS);
    }
    log = audit_close(log);
    return EXIT_SUCCESS;
}
