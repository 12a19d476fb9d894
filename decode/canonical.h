/* SPDX-License-Identifier: Apache-2.0
 *
 * What everything behind the decode workers may rely on. Text: valid UTF-8 with lengths (NUL is data).
 * Images: RGB8 of exactly the size that was asked for. All sizes were re-checked by the parent; the worker is
 * not trusted either.
 */
#ifndef BUCKLER_DECODE_CANONICAL_H
#define BUCKLER_DECODE_CANONICAL_H

#include <stddef.h>
#include <stdint.h>

#include "base/vocabulary.h"

/* One reading of a text. `map` [size + 1] gives for each byte of `text` the byte of the raw view it came from
 * (non-decreasing; map[size] = raw size); NULL in the raw view itself. */
struct text_view {
    const char *text;
    size_t size;
    const uint32_t *map;
};

struct canonical_text {
    struct text_view raw; /* as sent, validated */
    struct text_view
        clean; /* NFKC, hidden and bidi characters removed, confusables in mixed-script words
                * folded, spaced letters joined, leet and odd case undone; size 0 and text NULL when it
                * differs from raw in nothing but typography (spaces, ellipses, superscripts …) */
    struct text_view
        hidden; /* what tag characters, variation selectors or encodings spelled; NULL when there is none */
    struct text_view folded; /* for list matching: clean, case-folded, confusable skeleton, leet digits read
                              * as letters; never NULL unless the text is empty */
};

enum { IMAGE_MAX_VARIANTS = 2 };

struct canonical_image {
    uint32_t width, height; /* of the original, after EXIF orientation */
    uint32_t frames_total, frames_judged;
    uint32_t variants;                         /* 1, or 2: alpha composed on white and on black */
    const uint8_t *pixels[IMAGE_MAX_VARIANTS]; /* RGB8 [out_height, out_width, 3] each */
    uint32_t out_width, out_height;
    char format[8]; /* "jpeg", "png", "webp", "gif" */
};

struct canonical_part {
    enum content_kind kind;
    uint32_t flags; /* enum content_flag */
    uint64_t bytes; /* as sent */
    union {
        struct canonical_text text;
        struct canonical_image image;
    };
};

#endif
