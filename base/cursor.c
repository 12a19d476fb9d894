/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cursor.h"

#include <string.h>

void cursor_init(struct cursor *c, const void *bytes, size_t size) {
    *c = (struct cursor){.bytes = bytes, .size = size};
}

const uint8_t *cursor_take(struct cursor *c, size_t count) {
    if (c->failed || count > c->size - c->at) {
        c->failed = true;
        return NULL;
    }
    const uint8_t *p = c->bytes + c->at;
    c->at += count;
    return p;
}

static uint64_t read_le(struct cursor *c, size_t count) {
    const uint8_t *p = cursor_take(c, count);
    uint64_t value = 0;
    if (p != NULL) {
        for (size_t i = 0; i < count; i++) {
            value |= (uint64_t)p[i] << (8 * i);
        }
    }
    return value;
}

uint8_t cursor_u8(struct cursor *c) {
    return (uint8_t)read_le(c, 1);
}

uint16_t cursor_u16(struct cursor *c) {
    return (uint16_t)read_le(c, 2);
}

uint32_t cursor_u32(struct cursor *c) {
    return (uint32_t)read_le(c, 4);
}

uint64_t cursor_u64(struct cursor *c) {
    return read_le(c, 8);
}

float cursor_f32(struct cursor *c) {
    uint32_t bits = cursor_u32(c);
    float value = 0;
    memcpy(&value, &bits, sizeof value);
    return value;
}

double cursor_f64(struct cursor *c) {
    uint64_t bits = cursor_u64(c);
    double value = 0;
    memcpy(&value, &bits, sizeof value);
    return value;
}

void cursor_string(struct cursor *c, char *out, size_t out_size) {
    uint32_t length = cursor_u32(c);
    if (length >= out_size) {
        c->failed = true;
    }
    const uint8_t *p = cursor_take(c, length);
    if (p != NULL && memchr(p, 0, length) != NULL) {
        c->failed = true;
        p = NULL;
    }
    if (p != NULL) {
        memcpy(out, p, length);
    }
    out[p != NULL ? length : 0] = '\0';
}
