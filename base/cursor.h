/* SPDX-License-Identifier: Apache-2.0
 *
 * A bounded reader over foreign bytes, little-endian, with a sticky error: after the first failure every read
 * yields zero and moves nothing, so a parser is straight-line code with one check at its end. Finish with
 * cursor_done() to demand the exact end. `offset` of the failure is kept for the message.
 */
#ifndef BUCKLER_BASE_CURSOR_H
#define BUCKLER_BASE_CURSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cursor {
    const uint8_t *bytes;
    size_t size;
    size_t at;
    bool failed;
};

void cursor_init(struct cursor *c, const void *bytes, size_t size);

/* The next `count` bytes, valid as long as the underlying memory; NULL when fewer are left. */
const uint8_t *cursor_take(struct cursor *c, size_t count);

uint8_t cursor_u8(struct cursor *c);
uint16_t cursor_u16(struct cursor *c);
uint32_t cursor_u32(struct cursor *c);
uint64_t cursor_u64(struct cursor *c);
float cursor_f32(struct cursor *c);
double cursor_f64(struct cursor *c);

/* u32 length and that many bytes, copied with a NUL into `out`; fails when length >= out_size or a NUL is
 * inside. */
void cursor_string(struct cursor *c, char *out, size_t out_size);

static inline size_t cursor_left(const struct cursor *c) {
    return c->failed ? 0 : c->size - c->at;
}

/* True when nothing failed and not one byte is left over. */
static inline bool cursor_done(const struct cursor *c) {
    return !c->failed && c->at == c->size;
}

#endif
