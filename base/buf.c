/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void buf_deinit(struct buf *b) {
    free(b->bytes);
    *b = (struct buf){0};
}

void buf_clear(struct buf *b) {
    b->size = 0;
    b->failed = false;
}

static bool reserve(struct buf *b, size_t extra) {
    size_t needed = 0;
    if (b->failed || __builtin_add_overflow(b->size, extra, &needed) ||
        __builtin_add_overflow(needed, (size_t)1, &needed)) {
        b->failed = true;
        return false;
    }
    if (needed <= b->capacity) {
        return true;
    }
    size_t capacity = b->capacity < 256 ? 256 : b->capacity;
    while (capacity < needed) {
        capacity = capacity > SIZE_MAX / 2 ? needed : capacity * 2;
    }
    uint8_t *grown = realloc(b->bytes, capacity);
    if (grown == NULL) {
        b->failed = true;
        return false;
    }
    b->bytes = grown;
    b->capacity = capacity;
    return true;
}

void buf_append(struct buf *b, const void *bytes, size_t size) {
    if (!reserve(b, size)) {
        return;
    }
    if (size > 0) {
        memcpy(b->bytes + b->size, bytes, size);
    }
    b->size += size;
    b->bytes[b->size] = 0;
}

void buf_printf(struct buf *b, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (length < 0 || !reserve(b, (size_t)length)) {
        b->failed = true;
        return;
    }
    va_start(args, format);
    (void)vsnprintf((char *)b->bytes + b->size, (size_t)length + 1, format, args);
    va_end(args);
    b->size += (size_t)length;
}

static void append_le(struct buf *b, uint64_t value, size_t count) {
    uint8_t bytes[8];
    for (size_t i = 0; i < count; i++) {
        bytes[i] = (uint8_t)(value >> (8 * i));
    }
    buf_append(b, bytes, count);
}

void buf_u8(struct buf *b, uint8_t value) {
    append_le(b, value, 1);
}

void buf_u16(struct buf *b, uint16_t value) {
    append_le(b, value, 2);
}

void buf_u32(struct buf *b, uint32_t value) {
    append_le(b, value, 4);
}

void buf_u64(struct buf *b, uint64_t value) {
    append_le(b, value, 8);
}

void buf_string(struct buf *b, const char *text) {
    size_t length = strlen(text);
    buf_u32(b, (uint32_t)length);
    buf_append(b, text, length);
}
