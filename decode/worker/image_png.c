/* SPDX-License-Identifier: Apache-2.0
 *
 * PNG by libspng. The chunks are walked here first, for what the library does not tell before it allocates:
 * the size, whether there can be transparency, frames of an APNG, EXIF, the amount of metadata, and bytes
 * behind the end.
 */
#include <stdlib.h>
#include <string.h>

#include <spng.h>

#include "base/cleanup.h"
#include "base/cursor.h"
#include "decode/worker/image_steps.h"

enum { MAX_CHUNK_BYTES = 4 << 20, COLOUR_ALPHA = 4 };

struct chunks {
    uint32_t width, height;
    bool transparent; /* an alpha channel or a tRNS chunk */
    bool ended;
    size_t metadata;
    size_t cut_at; /* where the IDAT chunk starts that the file ends in; 0: none */
};

static uint32_t big32(struct cursor *c) {
    return __builtin_bswap32(cursor_u32(c));
}

static bool is(const uint8_t *type, const char *name) {
    return memcmp(type, name, 4) == 0;
}

static void take_chunk(const uint8_t *type, const uint8_t *body, uint32_t length, struct chunks *found,
                       struct picture *picture) {
    struct cursor c;
    cursor_init(&c, body, length);
    if (is(type, "IHDR") && found->width == 0) { /* a second one is the library's to refuse */
        found->width = big32(&c);
        found->height = big32(&c);
        (void)cursor_u8(&c);
        found->transparent |= (cursor_u8(&c) & COLOUR_ALPHA) != 0;
    } else if (is(type, "tRNS")) {
        found->transparent = true;
    } else if (is(type, "acTL")) {
        picture->frames_total = big32(&c);
    } else if (is(type, "eXIf")) {
        picture->orientation = image_exif_orientation(body, length);
    }
    if ((type[0] & 0x20) != 0 && !is(type, "fdAT")) { /* ancillary */
        found->metadata += length;
    }
}

static int walk_chunks(const struct image_source *source, struct chunks *found, struct picture *picture,
                       struct error *reterr) {
    struct cursor c;
    cursor_init(&c, source->bytes, source->size);
    (void)cursor_take(&c, 8);
    while (cursor_left(&c) >= 8 && !found->ended) {
        size_t start = c.at;
        uint32_t length = big32(&c);
        const uint8_t *type = cursor_take(&c, 4);
        const uint8_t *body = cursor_take(&c, length);
        (void)cursor_u32(&c); /* the check sum is the library's to check */
        if (c.failed || type == NULL || body == NULL) {
            found->cut_at = type != NULL && is(type, "IDAT") ? start : 0;
            break;
        }
        take_chunk(type, body, length, found, picture);
        found->ended = is(type, "IEND");
    }
    if (found->ended && cursor_left(&c) > 0) {
        picture->flags |= FLAG_TRAILING_DATA;
    }
    if (found->metadata > IMAGE_MAX_METADATA_BYTES) {
        return error_set(reterr, DECODE_E_BOMB, "the image carries more than 4 MiB of metadata");
    }
    if (picture->frames_total > IMAGE_MAX_FRAMES) {
        return error_set(reterr, DECODE_E_BOMB, "the image has more than %d frames", IMAGE_MAX_FRAMES);
    }
    picture->frames_total = picture->frames_total == 0 ? 1 : picture->frames_total;
    return 0;
}

static int broken(int code, struct error *reterr) {
    switch (code) {
    case SPNG_EMEM:
        return error_set(reterr, DECODE_E_TOO_LARGE, "the image needs more memory than its limit allows");
    case SPNG_ECHUNK_LIMITS:
        return error_set(reterr, DECODE_E_BOMB, "a chunk of the PNG unpacks to more than its limit");
    default:
        return error_set(reterr, DECODE_E_FAILED, "the PNG is broken (libspng error %d)", code);
    }
}

/* Rows until the end or the first error; *ret_rows counts what came out. */
static int read_rows(spng_ctx *ctx, struct picture *picture, uint32_t *ret_rows) {
    size_t pitch = (size_t)picture->width * picture->channels;
    int rc = 0;
    while (rc == 0) {
        struct spng_row_info row;
        rc = spng_get_row_info(ctx, &row);
        if (rc == 0) {
            rc = spng_decode_row(ctx, picture->pixels + row.row_num * pitch, pitch);
        }
        *ret_rows += rc == 0 || rc == SPNG_EOI;
    }
    return rc == SPNG_EOI ? 0 : rc;
}

/* The library gives no row of a chunk that is not complete. This copy of a cut file ends its last chunk where
 * the file ends; the check sum that is then wrong is not looked at. NULL when memory is out. */
static uint8_t *close_last_chunk(const struct image_source *source, const struct chunks *found,
                                 size_t *ret_size) {
    size_t there = source->size - found->cut_at;
    uint32_t length = __builtin_bswap32(there < 12 ? 0 : (uint32_t)(there - 8));
    uint8_t *copy = calloc(source->size + 12, 1);
    if (copy != NULL) {
        memcpy(copy, source->bytes, source->size);
        memcpy(copy + found->cut_at, &length, sizeof length);
        *ret_size = source->size + 4;
    }
    return copy;
}

static int decode(spng_ctx *ctx, const struct image_source *source, struct picture *picture,
                  const struct chunks *found, struct error *reterr) {
    int format = found->transparent ? SPNG_FMT_RGBA8 : SPNG_FMT_RGB8;
    int critical = found->cut_at > 0 ? SPNG_CRC_USE : SPNG_CRC_ERROR;
    struct spng_ihdr header;
    uint32_t rows = 0;
    int rc = spng_set_image_limits(ctx, source->limits->side, source->limits->side);
    rc = rc != 0 ? rc : spng_set_chunk_limits(ctx, MAX_CHUNK_BYTES, MAX_CHUNK_BYTES);
    rc = rc != 0 ? rc : spng_set_crc_action(ctx, critical, SPNG_CRC_DISCARD);
    rc = rc != 0 ? rc : spng_set_png_buffer(ctx, source->bytes, source->size);
    rc = rc != 0 ? rc : spng_get_ihdr(ctx, &header);
    if (rc == 0 && (header.width != picture->width || header.height != picture->height)) {
        rc = SPNG_EINTERNAL; /* two headers: the one we measured is not the one that counts */
    }
    rc = rc != 0 ? rc : spng_decode_image(ctx, NULL, 0, format, SPNG_DECODE_TRNS | SPNG_DECODE_PROGRESSIVE);
    rc = rc != 0 ? rc : read_rows(ctx, picture, &rows);
    if (rc == 0) {
        /* The last data's check sum and the chunks behind it; the picture is there whatever they are like. */
        picture->flags |= spng_decode_chunks(ctx) != 0 ? FLAG_TRUNCATED : 0;
        return 0;
    }
    /* Viewers show the top of a picture whose end is missing; so what is there is judged. */
    bool cut =
        rc == SPNG_IO_EOF || rc == SPNG_EIDAT_TOO_SHORT || (found->cut_at > 0 && rc == SPNG_EIDAT_STREAM);
    if (cut && rows > 0) {
        picture->flags |= FLAG_TRUNCATED;
        return 0;
    }
    return broken(rc, reterr);
}

int image_decode_png(const struct image_source *source, struct picture *ret, struct error *reterr) {
    struct chunks found = {0};
    int rc = walk_chunks(source, &found, ret, reterr);
    rc = rc != 0 ? rc : image_check_size(source, found.width, found.height, reterr);
    rc = rc != 0 ? rc
                 : image_allocate(source, found.width, found.height, found.transparent ? 4 : 3,
                                  UINT64_C(8) << 20, ret, reterr);
    if (rc != 0) {
        return rc;
    }
    CLEANUP(free_ptr) uint8_t *closed = NULL;
    struct image_source whole = *source;
    if (!found.ended) {
        ret->flags |= FLAG_TRUNCATED;
    }
    if (found.cut_at > 0) {
        closed = close_last_chunk(source, &found, &whole.size);
        if (closed == NULL) {
            return broken(SPNG_EMEM, reterr);
        }
        whole.bytes = closed;
    }
    spng_ctx *ctx = spng_ctx_new(0);
    rc = ctx == NULL ? broken(SPNG_EMEM, reterr) : decode(ctx, &whole, ret, &found, reterr);
    spng_ctx_free(ctx);
    return rc;
}
