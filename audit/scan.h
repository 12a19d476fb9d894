/* SPDX-License-Identifier: Apache-2.0
 *
 * Reads segments in order against the chain and the head, and says what is wrong and where. Verification
 * scans all of them, the writer only the last one; both judge by the same rules:
 *
 * - A batch is written only after the one before was synced. So bytes that are no record, with nothing behind
 * them that was written in a later batch and nothing acknowledged among them, are an incomplete last batch: a
 * torn tail. An incomplete last line is one in any case.
 * - Everything else that does not fit was changed afterwards.
 */
#ifndef BUCKLER_AUDIT_SCAN_H
#define BUCKLER_AUDIT_SCAN_H

#include "audit/segment.h"

struct scan_place {
    char file[SEGMENT_NAME_SIZE];
    uint64_t offset, line, index;
};

struct scan {
    struct chain chain;
    struct head head;
    struct scan_place last; /* of the last sound line */
    struct scan_place bad;  /* when the result is not 0 */
    uint64_t sound_bytes;   /* of the segment scanned last */
};

/* 0, AUDIT_E_TAMPERED, AUDIT_E_GAP, AUDIT_E_TORN_TAIL (only when `final`), or -errno. */
int scan_segment(struct scan *scan, int directory_fd, const struct segment *segment, bool final,
                 struct error *reterr) MUST_CHECK;

/* After the last segment: whether all that was acknowledged is there. 0 or AUDIT_E_GAP. */
int scan_finish(struct scan *scan, struct error *reterr) MUST_CHECK;

#endif
