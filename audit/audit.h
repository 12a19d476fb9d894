/* SPDX-License-Identifier: Apache-2.0
 *
 * The compliance log. buckler-audit alone writes it; the core hands over records (canonical JSON) and is told
 * when they are durable. Records are the leaves of a Merkle tree whose checkpoints are signed, so that
 * whoever has the public key can prove what is in the log and that nothing was left out or changed:
 * buckler-audit(5).
 *
 * Messages (base/imsg.h), id = the core's number of the record.
 *
 * From the core:
 * - AUDIT_CONFIGURE: directory, mode; the first message.
 * - AUDIT_APPEND: one canonical JSON object without the keys index and time.
 * - AUDIT_PROVE: u64 index of a durable record.
 *
 * To the core:
 * - AUDIT_READY: u64 next index, u64 recovered index, string log id. `recovered` is the next index as found
 * on disk, before this start wrote event records of its own.
 * - AUDIT_DURABLE: u64 index, after the fdatasync of its batch.
 * - AUDIT_PROOF: string leaf, string proof, as soon as a checkpoint covers the record; both empty when there
 * is none to be had.
 * - AUDIT_FAILED: sentence; no record is accepted afterwards, the process exits.
 */
#ifndef BUCKLER_AUDIT_AUDIT_H
#define BUCKLER_AUDIT_AUDIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/imsg.h"

enum audit_message {
    AUDIT_CONFIGURE = IMSG_BASE_AUDIT,
    AUDIT_READY,
    AUDIT_APPEND,
    AUDIT_DURABLE,
    AUDIT_FAILED,
    AUDIT_PROVE,
    AUDIT_PROOF,
};

enum audit_error {
    AUDIT_E_LOCKED = 1, /* another writer holds the log */
    AUDIT_E_TAMPERED,   /* something was changed */
    AUDIT_E_TORN_TAIL,  /* an incomplete last batch; repaired by the writer, reported by verify */
    AUDIT_E_GAP,        /* an index is missing */
    AUDIT_E_UNREADABLE,
};

enum {
    AUDIT_MAX_PAYLOAD_BYTES = 61440,
    AUDIT_MAX_BATCH_RECORDS = 256,       /* collected from the socket for one fdatasync */
    AUDIT_MAX_BATCH_BYTES = 1024 * 1024, /* likewise; audit_append refuses only far beyond it */
    AUDIT_SEGMENT_BYTES = 64 * 1024 * 1024,
    AUDIT_CHECKPOINT_MS = 1000, /* from a record to the checkpoint that covers it, when nothing hinders it */
    AUDIT_NAME_SIZE = 256,      /* of a log and its key, with the NUL */
    AUDIT_KEY_SIZE = 320,       /* of a verifier key as text, with the NUL */
};

struct audit_log;

struct audit_proof;

/* ---- writer (inside buckler-audit and tests) ---- */

struct audit_options {
    uint64_t segment_bytes; /* 0: AUDIT_SEGMENT_BYTES */
    bool accept_corruption; /* cut damage like a torn tail; records that were signed come back from the
                               bundles */
};

/* Opens or creates the directory, takes the exclusive lock, loads the signing key (DIRECTORY.key) or makes
 * one for a new log. Nothing of the log is read, so that a process may confine itself after this. */
int audit_open(const char *directory, const struct audit_options *options, struct audit_log **ret,
               struct error *reterr) MUST_CHECK;

/* Finds the end of the log, repairs a torn tail (kept aside as *.torn) and publishes a checkpoint of what is
 * there. Before anything is appended. */
int audit_recover(struct audit_log *log, struct error *reterr) MUST_CHECK;

/* Adds one payload to the batch in memory; *ret_index is final. -EINVAL: the payload is not one canonical
 * JSON object; nothing was added. */
int audit_append(struct audit_log *log, const void *payload, size_t size, uint64_t *ret_index,
                 struct error *reterr) MUST_CHECK;

/* Writes the batch with one write and one fdatasync. Any error is final: close and start again. */
int audit_commit(struct audit_log *log, struct error *reterr) MUST_CHECK;

/* Brings all durable records into the tree and signs a checkpoint when there is news. Errors are final too.
 */
int audit_publish(struct audit_log *log, struct error *reterr) MUST_CHECK;

/* As audit_prove, in the log that is being written. */
int audit_prove_own(const struct audit_log *log, uint64_t index, struct audit_proof *ret,
                    struct error *reterr) MUST_CHECK;

uint64_t audit_next_index(const struct audit_log *log);

/* The next index as it was found (after a torn tail was cut), before the writer added event records of its
 * own. */
uint64_t audit_recovered_index(const struct audit_log *log);
const char *audit_log_id(const struct audit_log *log);

/* A sentence on what audit_recover cut, or NULL. */
const char *audit_repaired(const struct audit_log *log);

/* Publishes, unless the log failed. */
struct audit_log *audit_close(struct audit_log *log);

/* ---- readers (tools, third parties) ---- */

struct audit_proof {
    char leaf[65]; /* of the record, in hexadecimal */
    char *text;    /* C2SP tlog-proof@v1 */
};

/* That record `index` is in the tree of the last checkpoint. AUDIT_E_GAP when that does not cover it yet. */
int audit_prove(const char *directory, uint64_t index, struct audit_proof *ret,
                struct error *reterr) MUST_CHECK;
void audit_proof_deinit(struct audit_proof *proof);

/* The verifier key that the log's writer left in the directory. Whoever could change the log could change it
 * too: keep a copy elsewhere. */
int audit_key(const char *directory, char ret_key[AUDIT_KEY_SIZE], struct error *reterr) MUST_CHECK;

struct audit_check {
    const char *key;  /* verifier key: name+id+base64 */
    uint64_t from;    /* records in [from, to) are read; of the others only the hashes in the tiles */
    uint64_t to;      /* 0: to the end */
    const char *kept; /* file with a checkpoint that was kept elsewhere and has to fit, or NULL */
};

struct audit_report {
    uint64_t records; /* in the log, as far as it was read */
    uint64_t covered; /* by the last checkpoint */
    uint64_t checkpoints;
    char root[65];      /* of the last checkpoint, in hexadecimal */
    uint64_t bad_index; /* of the first bad record, when not sound */
    char file[256];     /* where it is */
    uint64_t offset;
};

/* 0: sound. AUDIT_E_*: what is wrong, with the place in the report. A log that is being written may be read:
 * a last frame still in flight is no error then. */
int audit_verify(const char *directory, const struct audit_check *check, struct audit_report *ret_report,
                 struct error *reterr) MUST_CHECK;

struct audit_record {
    uint64_t index, time_ns;
    const char *json; /* one canonical JSON object, without a newline */
    size_t size;
};

/* Calls fn with each stored record whose index is in [from, to), in order, and stops with fn's result when
 * that is not 0. Frames are checked as they pass, signatures are not; on damage, what stands before it was
 * delivered. */
int audit_each(const char *directory, uint64_t from, uint64_t to,
               int (*fn)(void *user, const struct audit_record *record), void *user,
               struct error *reterr) MUST_CHECK;

#endif
