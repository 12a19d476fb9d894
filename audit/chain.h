/* SPDX-License-Identifier: Apache-2.0
 *
 * The rule that makes lines a log, without files: each line's index is one more than the last, and its prev
 * is the SHA-256 of the bytes of the line before it. Writer, recovery and readers all hold the same state.
 */
#ifndef BUCKLER_AUDIT_CHAIN_H
#define BUCKLER_AUDIT_CHAIN_H

#include <stdint.h>

#include "audit/record.h"

struct chain {
    uint64_t next;              /* index that the next line must have */
    uint64_t batch;             /* of the last line; a batch never spans two files */
    char prev[DIGEST_HEX_SIZE]; /* hash of the last line; 64 zeros before the first; "" accepts any (a reader
                                 * that starts in the middle) */
    char log_id[RECORD_LOG_ID_SIZE];
};

/* Beside AUDIT_E_*; readers turn them into those when they know what follows. */
enum {
    CHAIN_E_PREV = 100, /* a record that does not name the line before it: one of the two was changed */
    CHAIN_E_LINE,       /* no record at all */
};

void chain_start(struct chain *chain);

/* Checks one line (without newline) and takes it in. Nothing changes on failure: AUDIT_E_TAMPERED (an index
 * that was there already, a wrong batch), AUDIT_E_GAP (an index further on), CHAIN_E_*, or -ENOMEM. */
int chain_accept(struct chain *chain, const char *line, size_t size, struct error *reterr) MUST_CHECK;

#endif
