/* SPDX-License-Identifier: Apache-2.0
 *
 * Payloads: one canonical JSON object each (audit/canonical.h), stored as it is.
 */
#ifndef BUCKLER_AUDIT_RECORD_H
#define BUCKLER_AUDIT_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"

/* -EINVAL: the payload is too long, not one canonical JSON object, or has a key that `bucklerctl audit show`
 * puts beside it (index, time). */
int record_check(const void *payload, size_t size, struct error *reterr) MUST_CHECK;

/* Payloads of the events that the writer itself records. */
void record_created(struct buf *out, const char *log_id, const char *key);

/* What was cut off the end of `file`. */
struct record_cut {
    const char *file, *kept;
    uint64_t offset, bytes;
    bool damage;       /* more than an incomplete batch; the operator accepted it */
    uint64_t restored; /* records that were written again from the bundles */
};
void record_cut(struct buf *out, const struct record_cut *cut);

#endif
