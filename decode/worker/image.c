/* SPDX-License-Identifier: Apache-2.0
 *
 * From the magic bytes to the asked pixels: choose the codec, decode, turn and resize, round trip, crop. A
 * picture with transparency comes out twice, on white and on black, since content can hide in what one ground
 * swallows.
 */
#include "decode/worker/image.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "decode/worker/image_steps.h"

enum { EXTREME_RATIO = 10 };

/* Decoded bytes for one encoded byte that no honest picture of some size has. Small ones are exempt: a page
 * of one colour compresses better than that, and costs little. */
static const uint64_t bomb_ratio = 5000;
static const uint64_t bomb_free_bytes = UINT64_C(16) << 20;

static const struct format {
    const char *name;
    int (*decode)(const struct image_source *source, struct picture *ret, struct error *reterr);
} formats[] = {{"jpeg", image_decode_jpeg},
               {"png", image_decode_png},
               {"webp", image_decode_webp},
               {"gif", image_decode_gif}};

static const struct format *find_format(const uint8_t *b, size_t size) {
    if (size >= 3 && memcmp(b, "\xff\xd8\xff", 3) == 0) {
        return &formats[0];
    }
    if (size >= 8 && memcmp(b, "\x89PNG\r\n\x1a\n", 8) == 0) {
        return &formats[1];
    }
    if (size >= 12 && memcmp(b, "RIFF", 4) == 0 && memcmp(b + 8, "WEBP", 4) == 0) {
        return &formats[2];
    }
    return size >= 6 && (memcmp(b, "GIF87a", 6) == 0 || memcmp(b, "GIF89a", 6) == 0) ? &formats[3] : NULL;
}

/* Whether the declared type fits; nothing declared, or only "some image" or "some bytes", fits everything. */
static bool mime_agrees(const char *mime, const char *name) {
    size_t length = strcspn(mime, "; \t");
    const char *sub = mime + 6;
    if (length == 0 || (length == 24 && strncasecmp(mime, "application/octet-stream", length) == 0)) {
        return true;
    }
    if (length <= 6 || strncasecmp(mime, "image/", 6) != 0) {
        return false;
    }
    length -= 6;
    if (length == 1 && *sub == '*') {
        return true;
    }
    if (strcmp(name, "jpeg") == 0 && ((length == 3 && strncasecmp(sub, "jpg", 3) == 0) ||
                                      (length == 5 && strncasecmp(sub, "pjpeg", 5) == 0))) {
        return true;
    }
    if (strcmp(name, "png") == 0 && length == 4 && strncasecmp(sub, "apng", 4) == 0) {
        return true;
    }
    return length == strlen(name) && strncasecmp(sub, name, length) == 0;
}

int image_check_size(const struct image_source *source, uint64_t width, uint64_t height,
                     struct error *reterr) {
    const struct image_limits *limits = source->limits;
    if (width == 0 || height == 0) {
        return error_set(reterr, DECODE_E_FAILED, "the image has no pixels");
    }
    if (width > limits->side || height > limits->side) {
        return error_set(reterr, DECODE_E_TOO_LARGE, "the image has a side of %llu pixels, the limit is %u",
                         (unsigned long long)(width > height ? width : height), limits->side);
    }
    if (width * height > limits->pixels) {
        return error_set(reterr, DECODE_E_TOO_LARGE, "the image has %llu pixels, the limit is %llu",
                         (unsigned long long)(width * height), (unsigned long long)limits->pixels);
    }
    if (width < IMAGE_MIN_SIDE || height < IMAGE_MIN_SIDE) {
        return error_set(reterr, DECODE_E_UNSUPPORTED,
                         "the image is too small to be judged (a side below %d pixels)", IMAGE_MIN_SIDE);
    }
    if (width * height * 3 > bomb_free_bytes && width * height * 3 / bomb_ratio > source->size) {
        return error_set(reterr, DECODE_E_BOMB, "the image unpacks to more than %llu times its size",
                         (unsigned long long)bomb_ratio);
    }
    return 0;
}

int image_allocate(const struct image_source *source, uint32_t width, uint32_t height, unsigned channels,
                   uint64_t codec_bytes, struct picture *picture, struct error *reterr) {
    uint64_t bytes = (uint64_t)width * height * channels; /* sides passed image_check_size */
    uint64_t limit = source->limits->memory_bytes;
    if (bytes <= limit && codec_bytes <= limit - bytes) {
        picture->pixels = calloc(bytes, 1);
    }
    if (picture->pixels == NULL) {
        return error_set(reterr, DECODE_E_TOO_LARGE, "the image needs more memory than its limit allows");
    }
    picture->width = width;
    picture->height = height;
    picture->channels = channels;
    return 0;
}

static bool has_transparency(const struct picture *picture) {
    if (picture->channels != 4) {
        return false;
    }
    size_t pixels = (size_t)picture->width * picture->height;
    for (size_t i = 0; i < pixels; i++) {
        if (picture->pixels[i * 4 + 3] != 255) {
            return true;
        }
    }
    return false;
}

static void crop(const uint8_t *from, const struct decode_image_form *form, uint8_t *to) {
    size_t left = (form->resize_width - form->crop_width) / 2;
    size_t top = (form->resize_height - form->crop_height) / 2;
    for (size_t y = 0; y < form->crop_height; y++) {
        memcpy(to + y * form->crop_width * 3, from + ((top + y) * form->resize_width + left) * 3,
               (size_t)form->crop_width * 3);
    }
}

static int bring_to_form(const struct picture *picture, uint8_t background,
                         const struct decode_image_form *form, struct sink *out, const uint8_t **ret_pixels,
                         struct error *reterr) {
    CLEANUP(free_ptr) uint8_t *resized = malloc((size_t)form->resize_width * form->resize_height * 3);
    uint8_t *pixels = sink_take(out, (size_t)form->crop_width * form->crop_height * 3);
    if (resized == NULL || pixels == NULL) {
        return error_set(reterr, DECODE_E_TOO_LARGE, "the image needs more memory than its limit allows");
    }
    int rc = image_resize(picture, background, form->resize_width, form->resize_height, resized, reterr);
    if (rc == 0 && form->jpeg_quality > 0) {
        rc = image_jpeg_round_trip(resized, form->resize_width, form->resize_height, form->jpeg_quality,
                                   reterr);
    }
    if (rc != 0) {
        return rc;
    }
    crop(resized, form, pixels);
    *ret_pixels = pixels;
    return 0;
}

static int finish(const struct picture *picture, const struct decode_image_form *form, struct sink *out,
                  struct canonical_image *ret, uint32_t *ret_flags, struct error *reterr) {
    static const uint8_t backgrounds[IMAGE_MAX_VARIANTS] = {255, 0};
    bool turned = picture->orientation >= 5;
    bool transparent = has_transparency(picture);
    struct canonical_image image = {.width = turned ? picture->height : picture->width,
                                    .height = turned ? picture->width : picture->height,
                                    .frames_total = picture->frames_total,
                                    .frames_judged = 1,
                                    .variants = transparent ? 2 : 1,
                                    .out_width = form->crop_width,
                                    .out_height = form->crop_height};
    for (uint32_t i = 0; i < image.variants; i++) {
        int rc = bring_to_form(picture, backgrounds[i], form, out, &image.pixels[i], reterr);
        if (rc != 0) {
            return rc;
        }
    }
    uint64_t longer = image.width > image.height ? image.width : image.height;
    uint64_t shorter = image.width > image.height ? image.height : image.width;
    *ret_flags = picture->flags | (transparent ? FLAG_ALPHA : 0) |
                 (picture->frames_total > 1 ? FLAG_ANIMATED : 0) |
                 (longer > shorter * EXTREME_RATIO ? FLAG_EXTREME_ASPECT : 0);
    *ret = image;
    return 0;
}

int image_canonicalise(const struct image_limits *limits, const uint8_t *bytes, size_t size, const char *mime,
                       const struct decode_image_form *form, struct sink *out, struct canonical_image *ret,
                       uint32_t *ret_flags, struct error *reterr) {
    const struct format *format = find_format(bytes, size);
    if (format == NULL) {
        return error_set(reterr, DECODE_E_UNSUPPORTED, "the content is none of JPEG, PNG, WebP and GIF");
    }
    struct image_source source = {.bytes = bytes, .size = size, .limits = limits};
    struct picture picture = {.orientation = 1, .frames_total = 1};
    int rc = format->decode(&source, &picture, reterr);
    if (rc == 0) {
        rc = finish(&picture, form, out, ret, ret_flags, reterr);
    }
    free(picture.pixels);
    if (rc == 0) {
        memset(ret->format, 0, sizeof ret->format);
        memcpy(ret->format, format->name, strlen(format->name));
        *ret_flags |= mime_agrees(mime, format->name) ? 0 : FLAG_MIME_MISMATCH;
    }
    return rc;
}
