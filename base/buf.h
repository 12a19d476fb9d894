/* SPDX-License-Identifier: Apache-2.0
 *
 * Growable bytes with a sticky error, and the little-endian writers that mirror base/cursor.h. After a failed
 * allocation every append is ignored and `failed` is true: check once, at the end.
 */
#ifndef BUCKLER_BASE_BUF_H
#define BUCKLER_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf {
    uint8_t *bytes; /* always followed by a NUL that is not counted, once something was appended */
    size_t size;
    size_t capacity;
    bool failed;
};

void buf_deinit(struct buf *b);
void buf_clear(struct buf *b); /* keeps the memory */
void buf_append(struct buf *b, const void *bytes, size_t size);
void buf_printf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
void buf_u8(struct buf *b, uint8_t value);
void buf_u16(struct buf *b, uint16_t value);
void buf_u32(struct buf *b, uint32_t value);
void buf_u64(struct buf *b, uint64_t value);
void buf_string(struct buf *b, const char *text); /* u32 length and the bytes */

#endif
