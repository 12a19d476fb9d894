/* SPDX-License-Identifier: Apache-2.0
 *
 * `checkpoints`: every checkpoint that was signed, oldest first, each followed by an empty line. A signed
 * note has exactly one empty line inside, so an entry ends at its second one.
 */
#ifndef BUCKLER_AUDIT_HISTORY_H
#define BUCKLER_AUDIT_HISTORY_H

#include "audit/proof/encoding.h"
#include "base/error.h"

enum { HISTORY_MAX_ENTRY_BYTES = 16384 };

#define HISTORY_FILE "checkpoints"

/* The note at the beginning of `bytes`, without the empty line behind it. 0: there is no whole entry. Else
 * the bytes that the entry takes. */
size_t history_entry(struct slice bytes, struct slice *ret_note);

/* ---- reading a file from its beginning ---- */

enum { HISTORY_END = 1, HISTORY_TORN };

struct history_reader {
    int fd;          /* borrowed */
    uint64_t offset; /* of the entry that was returned last */
    uint64_t next_offset;
    size_t begin, end;
    char space[4 * HISTORY_MAX_ENTRY_BYTES];
};

void history_reader_init(struct history_reader *reader, int fd);

/* 0: a note, valid until the next call. HISTORY_END; HISTORY_TORN: what follows is no whole entry; -errno. */
int history_reader_next(struct history_reader *reader, struct slice *ret_note) MUST_CHECK;

#endif
