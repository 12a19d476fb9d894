/* SPDX-License-Identifier: Apache-2.0
 *
 * The writer's state, shared by writer.c (append, commit), publish.c (tree and checkpoints) and recover.c.
 */
#ifndef BUCKLER_AUDIT_LOG_H
#define BUCKLER_AUDIT_LOG_H

#include <stdbool.h>

#include "audit/audit.h"
#include "audit/proof/checkpoint.h"
#include "audit/proof/tile.h"
#include "audit/segment.h"
#include "base/buf.h"

struct audit_log {
    char directory[512]; /* for sentences */
    struct audit_options options;
    int directory_fd;
    int lock_fd;
    struct note_signer *signer;
    bool failed;      /* an earlier error was final */
    char repair[256]; /* what was cut when it was opened, "" for nothing */

    /* the last segment */
    int segment_fd; /* -1 before the first commit of a new log */
    uint64_t segment_number, segment_created_ns;
    uint64_t segment_bytes;     /* durable bytes of it */
    uint64_t segment_allocated; /* up to here there are zeros behind them */

    /* records */
    uint64_t next;      /* index of the next one; the batch in memory included */
    uint64_t recovered; /* next, as it was found */
    struct buf batch;   /* frames that are not written yet */
    uint64_t batch_first, batch_time_ns;

    /* the tree */
    struct tile_writer tiles;     /* of what is in tiles already */
    struct buf fresh;             /* payloads from tiles.range.size to next */
    struct buf fresh_sizes;       /* u32 each */
    struct checkpoint checkpoint; /* signed last; valid when history_bytes > 0 */
    int history_fd;
    uint64_t history_bytes;
};

/* ---- writer.c ---- */

/* Marks the log as failed and returns -number with a sentence. */
int log_fail(struct audit_log *log, int number, const char *what, struct error *reterr);

/* Puts a frame into the batch; with `fresh`, its payload goes on to the tree. */
int log_add(struct audit_log *log, const void *payload, size_t size, bool fresh,
            struct error *reterr) MUST_CHECK;

/* ---- publish.c ---- */

/* Remembers a payload for the tree. */
int publish_remember(struct audit_log *log, const void *payload, size_t size,
                     struct error *reterr) MUST_CHECK;

/* Writes tiles and bundles for all durable records. */
int publish_tiles(struct audit_log *log, struct error *reterr) MUST_CHECK;

/* The same when there is enough to be worth it, so that memory stays bounded between two checkpoints. */
int publish_some(struct audit_log *log, struct error *reterr) MUST_CHECK;

/* Opens the history, finds the last signed checkpoint and the tree of that size. */
int publish_open(struct audit_log *log, bool fresh, struct error *reterr) MUST_CHECK;

/* ---- recover.c ---- */

/* Finds out where the log ends, repairs a torn tail and leaves the last segment open. `ret_event` gets the
 * payload of the event that has to be recorded, empty for none. */
int recover_log(struct audit_log *log, struct buf *ret_event, struct error *reterr) MUST_CHECK;

#endif
