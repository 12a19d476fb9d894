/* SPDX-License-Identifier: Apache-2.0 */
#include "audit/record.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "audit/audit.h"
#include "audit/canonical.h"
#include "base/clock.h"

static const char format_name[] = "buckler.audit/2";

static void find_taken(void *user, const struct canonical_member *m) {
    static const char *const names[] = {"index", "time"};
    const char **taken = user;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (m->key_size == strlen(names[i]) && memcmp(m->key, names[i], m->key_size) == 0) {
            *taken = names[i];
        }
    }
}

int record_check(const void *payload, size_t size, struct error *reterr) {
    const char *taken = NULL;
    if (size > AUDIT_MAX_PAYLOAD_BYTES) {
        return error_set(reterr, -EINVAL, "a record of %zu bytes is longer than the limit of %d", size,
                         AUDIT_MAX_PAYLOAD_BYTES);
    }
    const char *why = canonical_check(payload, size, find_taken, &taken);
    if (why != NULL) {
        return error_set(reterr, -EINVAL, "a record %s", why);
    }
    return taken == NULL ? 0
                         : error_set(reterr, -EINVAL, "a record has the key %s, which is the log's", taken);
}

void record_created(struct buf *out, const char *log_id, const char *key) {
    buf_printf(out,
               "{\"event\":\"log_created\",\"format\":\"%s\",\"key\":\"%s\",\"log\":\"%s\",\"time_ns\":%llu,"
               "\"type\":\"event\"}",
               format_name, key, log_id, (unsigned long long)clock_unix_ns());
}

void record_cut(struct buf *out, const struct record_cut *cut) {
    buf_printf(out,
               "{\"bytes\":%llu,\"event\":\"%s\",\"file\":\"%s\",\"kept\":\"%s\",\"offset\":%llu,"
               "\"restored\":%llu,\"time_ns\":%llu,\"type\":\"event\"}",
               (unsigned long long)cut->bytes, cut->damage ? "corruption_accepted" : "torn_tail", cut->file,
               cut->kept, (unsigned long long)cut->offset, (unsigned long long)cut->restored,
               (unsigned long long)clock_unix_ns());
}
