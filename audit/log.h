/* SPDX-License-Identifier: Apache-2.0
 *
 * The writer's state, shared by writer.c (append, commit) and recover.c (open).
 */
#ifndef BUCKLER_AUDIT_LOG_H
#define BUCKLER_AUDIT_LOG_H

#include <stdbool.h>

#include "audit/audit.h"
#include "audit/chain.h"
#include "audit/segment.h"
#include "base/buf.h"

struct audit_log {
    char directory[512]; /* for sentences */
    int directory_fd;
    int lock_fd;
    int head_fd;
    int segment_fd;         /* -1 before the first commit of a new log */
    uint64_t segment_bytes; /* durable bytes of it */
    struct chain chain;     /* the batch in memory included */
    uint64_t recovered;
    struct buf batch;
    uint64_t batch_first; /* index of its first record; valid while batch.size > 0 */
    bool failed;          /* an earlier error was final */
    char repair[256];     /* what was cut at open, "" for nothing */
};

/* Finds out where the log ends, repairs a torn tail and leaves head_fd, segment_fd, segment_bytes, chain,
 * recovered and repair set. `ret_torn` gets the payload of the event that has to be recorded, empty for none.
 */
int recover_log(struct audit_log *log, struct buf *ret_torn, struct error *reterr) MUST_CHECK;

#endif
