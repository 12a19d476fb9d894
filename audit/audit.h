/* SPDX-License-Identifier: Apache-2.0
 *
 * The compliance log. buckler-audit alone writes it; the core hands over records (canonical JSON, see
 * audit-record in docs) and is told when they are durable. Records are hash-linked: each stored line carries
 * its index, the SHA-256 of the line before it, and its own payload, so that a change, a gap or a reordering
 * is found by `audit_verify`.
 *
 * Messages (base/imsg.h), id = the core's number of the record:
 *   core → audit  AUDIT_CONFIGURE  directory, mode
 *   audit → core  AUDIT_READY      u64 next index, u64 recovered index, string log id. `recovered` is the
 * next index as found on disk, before this start wrote event records of its own core → audit  AUDIT_APPEND
 * payload: one canonical JSON object without index, prev, time (added here) audit → core  AUDIT_DURABLE u64
 * index                       after the fdatasync of its batch audit → core  AUDIT_FAILED     sentence; no
 * record is accepted afterwards, the process exits
 */
#ifndef BUCKLER_AUDIT_AUDIT_H
#define BUCKLER_AUDIT_AUDIT_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"
#include "base/imsg.h"

enum audit_message {
    AUDIT_CONFIGURE = IMSG_BASE_AUDIT,
    AUDIT_READY,
    AUDIT_APPEND,
    AUDIT_DURABLE,
    AUDIT_FAILED
};

enum audit_error {
    AUDIT_E_LOCKED = 1, /* another writer holds the log */
    AUDIT_E_TAMPERED,   /* damage in the middle */
    AUDIT_E_TORN_TAIL,  /* an incomplete last batch; repaired by the writer, reported by verify */
    AUDIT_E_GAP,        /* an index is missing */
    AUDIT_E_UNREADABLE,
};

enum {
    AUDIT_MAX_PAYLOAD_BYTES = 61440,
    AUDIT_MAX_BATCH_RECORDS = 256,       /* collected from the socket for one fdatasync */
    AUDIT_MAX_BATCH_BYTES = 1024 * 1024, /* likewise; audit_append refuses only far beyond it */
    AUDIT_SEGMENT_BYTES = 64 * 1024 * 1024,
};

struct audit_log;

/* ---- writer (inside buckler-audit and tests) ---- */

/* Opens or creates the log in `directory`, takes the exclusive lock, repairs a torn tail (kept aside as
 * *.torn). */
int audit_open(const char *directory, struct audit_log **ret, struct error *reterr) MUST_CHECK;

/* Adds one payload to the batch in memory; *ret_index is final. -EINVAL: the payload is not one canonical
 * JSON object; nothing was added. */
int audit_append(struct audit_log *log, const void *payload, size_t size, uint64_t *ret_index,
                 struct error *reterr) MUST_CHECK;

/* Writes the batch with one write and one fdatasync. Any error is final: close and start again. */
int audit_commit(struct audit_log *log, struct error *reterr) MUST_CHECK;

uint64_t audit_next_index(const struct audit_log *log);

/* The next index as it was found (after a torn tail was cut), before the writer added event records of its
 * own. */
uint64_t audit_recovered_index(const struct audit_log *log);
const char *audit_log_id(const struct audit_log *log);

/* A sentence on the torn tail that audit_open cut, or NULL. */
const char *audit_repaired(const struct audit_log *log);
struct audit_log *audit_close(struct audit_log *log);

/* ---- readers (tools, third parties) ---- */

struct audit_report {
    uint64_t records, first_index, next_index;
    char log_id[65];
    char last_hash[65];
    uint64_t bad_index; /* of the first bad record, when not sound */
    char file[256];     /* where it is */
    uint64_t offset;
};

/* 0: sound. AUDIT_E_*: what is wrong, with the place in the report. A log that is being written may be read:
 * a last line still in flight is no error then. */
int audit_verify(const char *directory, struct audit_report *ret_report, struct error *reterr) MUST_CHECK;

/* Calls fn with each stored record (one JSON line without newline) whose index is in [from, to), in order,
 * and stops with fn's result when that is not 0. Lines are checked as they pass; on damage, what stands
 * before it was delivered. */
int audit_each(const char *directory, uint64_t from, uint64_t to,
               int (*fn)(void *user, uint64_t index, const char *json, size_t size), void *user,
               struct error *reterr) MUST_CHECK;

#endif
