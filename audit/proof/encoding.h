/* SPDX-License-Identifier: Apache-2.0
 *
 * The three small grammars that notes, proofs and paths share. Each value has exactly one spelling here, so
 * that a text which parses is the text that would be printed again.
 */
#ifndef BUCKLER_AUDIT_PROOF_ENCODING_H
#define BUCKLER_AUDIT_PROOF_ENCODING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/cursor.h"

/* Bytes inside somebody else's memory. */
struct slice {
    const char *bytes;
    size_t size;
};

/* Standard base64 with padding (RFC 4648 section 4), without line breaks. */
void base64_append(struct buf *out, const void *bytes, size_t size);

/* Number of bytes that `text` stands for, or false when its length or padding cannot be right. */
bool base64_size(struct slice text, size_t *ret_size);

/* Decodes exactly `size` bytes. False: another length, a foreign character, or bits set behind the end. */
bool base64_decode(struct slice text, void *ret_bytes, size_t size);

/* True when base64_decode would take it; looks at every character, keeps nothing. */
bool base64_valid(struct slice text);

/* Decimal digits without leading zeros, at most INT64_MAX: what a size, an index and a time may be. */
bool decimal_parse(struct slice text, uint64_t *ret_value);

/* The bytes up to the next newline, which is taken too; fails the cursor when there is none. */
struct slice line_take(struct cursor *c);

bool slice_is(struct slice text, const char *literal);

/* True and cut off when `text` begins with `prefix`. */
bool slice_skip(struct slice *text, const char *prefix);

#endif
