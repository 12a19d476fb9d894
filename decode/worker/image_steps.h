/* SPDX-License-Identifier: Apache-2.0
 *
 * Between image.c and the codecs: what a codec gets, what it gives back, and the checks that all of them
 * make.
 */
#ifndef BUCKLER_DECODE_WORKER_IMAGE_STEPS_H
#define BUCKLER_DECODE_WORKER_IMAGE_STEPS_H

#include "decode/worker/image.h"

enum {
    IMAGE_MIN_SIDE = 8,
    IMAGE_MAX_SCANS = 64,     /* of a progressive JPEG */
    IMAGE_MAX_FRAMES = 10000, /* counted, not decoded */
    IMAGE_MAX_METADATA_BYTES = 4 << 20,
};

struct image_source {
    const uint8_t *bytes;
    size_t size;
    const struct image_limits *limits;
};

/* What a codec found. `pixels` is malloc'ed: RGB8 or RGBA8 (straight alpha), rows without gaps. */
struct picture {
    uint8_t *pixels;
    uint32_t width, height;
    unsigned channels;    /* 3 or 4 */
    unsigned orientation; /* EXIF 1 … 8 */
    uint32_t frames_total;
    uint32_t flags;
};

/* Holds the size from a header against the limits: DECODE_E_FAILED (zero), _UNSUPPORTED (too small to judge),
 * _TOO_LARGE or _BOMB (out of proportion to the encoded size). */
int image_check_size(const struct image_source *source, uint64_t width, uint64_t height,
                     struct error *reterr) MUST_CHECK;

/* Memory for the pixels of a size that passed, zeroed, if they and the codec's own `codec_bytes` fit the
 * limit. */
int image_allocate(const struct image_source *source, uint32_t width, uint32_t height, unsigned channels,
                   uint64_t codec_bytes, struct picture *picture, struct error *reterr) MUST_CHECK;

int image_decode_jpeg(const struct image_source *source, struct picture *ret,
                      struct error *reterr) MUST_CHECK;
int image_decode_png(const struct image_source *source, struct picture *ret, struct error *reterr) MUST_CHECK;
int image_decode_webp(const struct image_source *source, struct picture *ret,
                      struct error *reterr) MUST_CHECK;
int image_decode_gif(const struct image_source *source, struct picture *ret, struct error *reterr) MUST_CHECK;

/* Encodes RGB8 as a JPEG of that quality the way Pillow saves it (4:2:0, standard tables) and decodes it
 * again, in place. */
int image_jpeg_round_trip(uint8_t *rgb, uint32_t width, uint32_t height, unsigned quality,
                          struct error *reterr) MUST_CHECK;

/* Orientation (1 … 8) from a TIFF structure, as EXIF holds it; 1 when it says nothing valid. An "Exif\0\0"
 * before it is skipped. */
unsigned image_exif_orientation(const uint8_t *bytes, size_t size);

/* Turned by `orientation`, alpha over `background` (grey level), resized like Pillow's bilinear to out
 * [out_height, out_width, 3]. 0 or DECODE_E_TOO_LARGE when memory is out. */
int image_resize(const struct picture *picture, uint8_t background, uint32_t out_width, uint32_t out_height,
                 uint8_t *out, struct error *reterr) MUST_CHECK;

#endif
