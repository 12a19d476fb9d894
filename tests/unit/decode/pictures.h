/* SPDX-License-Identifier: Apache-2.0
 *
 * Image files made by the tests: fixtures from the golden folder, and PNGs written here chunk by chunk, with
 * stored (uncompressed) data so that every byte is under the test's control.
 */
#ifndef BUCKLER_TESTS_UNIT_DECODE_PICTURES_H
#define BUCKLER_TESTS_UNIT_DECODE_PICTURES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"

static inline void picture_load(const char *name, struct buf *out) {
    char path[512];
    uint8_t block[4096];
    (void)snprintf(path, sizeof path, "%s/tests/unit/decode/golden/%s", BUCKLER_SOURCE_DIR, name);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    for (size_t got = fread(block, 1, sizeof block, file); got > 0;
         got = fread(block, 1, sizeof block, file)) {
        buf_append(out, block, got);
    }
    (void)fclose(file);
    assert_false(out->failed);
}

static inline void put_big32(struct buf *out, uint32_t v) {
    buf_u32(out, __builtin_bswap32(v));
}

static inline uint32_t picture_crc(const uint8_t *bytes, size_t size) {
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < size; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
        }
    }
    return ~crc;
}

static inline void png_signature(struct buf *out) {
    buf_append(out, "\x89PNG\r\n\x1a\n", 8);
}

static inline void png_chunk(struct buf *out, const char *type, const void *body, size_t size) {
    put_big32(out, (uint32_t)size);
    size_t from = out->size;
    buf_append(out, type, 4);
    buf_append(out, body, size);
    put_big32(out, picture_crc(out->bytes + from, out->size - from));
}

static inline void png_header(struct buf *out, uint32_t width, uint32_t height, uint8_t depth,
                              uint8_t colour) {
    struct buf body = {0};
    put_big32(&body, width);
    put_big32(&body, height);
    buf_u8(&body, depth);
    buf_u8(&body, colour);
    buf_append(&body, "\0\0\0", 3);
    png_chunk(out, "IHDR", body.bytes, body.size);
    buf_deinit(&body);
}

/* `rows` as PNG wants them (a filter byte before each), at most 65535 bytes. */
static inline void png_data(struct buf *out, const uint8_t *rows, size_t size) {
    struct buf body = {0};
    uint32_t a = 1;
    uint32_t b = 0;
    for (size_t i = 0; i < size; i++) {
        a = (a + rows[i]) % 65521;
        b = (b + a) % 65521;
    }
    assert_true(size <= 65535);
    buf_append(&body, "\x78\x01\x01", 3);
    buf_u16(&body, (uint16_t)size);
    buf_u16(&body, (uint16_t)~size);
    buf_append(&body, rows, size);
    put_big32(&body, b << 16 | a);
    png_chunk(out, "IDAT", body.bytes, body.size);
    buf_deinit(&body);
}

static inline void png_end(struct buf *out) {
    png_chunk(out, "IEND", NULL, 0);
}

/* A whole 8-bit RGB picture whose bytes are `x·3 + y·5 + c·61`. */
static inline void png_picture(struct buf *out, uint32_t width, uint32_t height) {
    struct buf rows = {0};
    for (uint32_t y = 0; y < height; y++) {
        buf_u8(&rows, 0);
        for (uint32_t x = 0; x < width; x++) {
            for (uint32_t c = 0; c < 3; c++) {
                buf_u8(&rows, (uint8_t)(x * 3 + y * 5 + c * 61));
            }
        }
    }
    png_signature(out);
    png_header(out, width, height, 8, 2);
    png_data(out, rows.bytes, rows.size);
    png_end(out);
    buf_deinit(&rows);
}

/* A TIFF structure with one orientation entry, as EXIF holds it. */
static inline void exif_orientation(struct buf *out, bool big, uint16_t orientation) {
    static const uint8_t little_head[] = {'I', 'I', 42, 0, 8, 0, 0, 0, 1, 0, 0x12, 1, 3, 0, 1, 0, 0, 0};
    static const uint8_t big_head[] = {'M', 'M', 0, 42, 0, 0, 0, 8, 0, 1, 1, 0x12, 0, 3, 0, 0, 0, 1};
    buf_append(out, big ? big_head : little_head, sizeof big_head);
    buf_u16(out, big ? __builtin_bswap16(orientation) : orientation);
    buf_append(out, "\0\0\0\0\0\0", 6);
}

#endif
