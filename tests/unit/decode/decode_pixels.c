/* SPDX-License-Identifier: Apache-2.0
 *
 * decode_pixels WIDTH HEIGHT QUALITY CROP_WIDTH CROP_HEIGHT FILE: the worker's pixels of an image file on
 * standard output, for tests/golden/decode_parity.py. "0" for width and height keeps the picture's size. On
 * standard error: width height frames variants flags.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "decode/worker/image.h"

enum { MOST_BYTES = 64 << 20 };

static unsigned number(const char *text) {
    return (unsigned)strtoul(text, NULL, 10);
}

int main(int argc, char **argv) {
    if (argc != 7) {
        return 2;
    }
    CLEANUP(free_ptr) uint8_t *bytes = malloc(MOST_BYTES);
    CLEANUP(free_ptr) uint8_t *space = malloc(MOST_BYTES);
    FILE *file = fopen(argv[6], "rb");
    if (bytes == NULL || space == NULL || file == NULL) {
        return 2;
    }
    size_t size = fread(bytes, 1, MOST_BYTES, file);
    (void)fclose(file);
    const struct image_limits limits = {
        .pixels = UINT64_C(64) << 20, .side = 16384, .memory_bytes = UINT64_C(1) << 30};
    struct decode_image_form form = {number(argv[1]), number(argv[2]), number(argv[3]), number(argv[4]),
                                     number(argv[5])};
    struct canonical_image image;
    struct error error = {0};
    uint32_t flags = 0;
    if (form.resize_width == 0) { /* a first run tells the size */
        const struct decode_image_form any = {8, 8, 0, 8, 8};
        struct sink sink = {.bytes = space, .size = MOST_BYTES};
        if (image_canonicalise(&limits, bytes, size, "", &any, &sink, &image, &flags, &error) != 0) {
            (void)fprintf(stderr, "error %d: %s\n", error.code, error.text);
            return 1;
        }
        form.resize_width = form.crop_width = image.width;
        form.resize_height = form.crop_height = image.height;
    }
    struct sink sink = {.bytes = space, .size = MOST_BYTES};
    if (image_canonicalise(&limits, bytes, size, "", &form, &sink, &image, &flags, &error) != 0) {
        (void)fprintf(stderr, "error %d: %s\n", error.code, error.text);
        return 1;
    }
    (void)fprintf(stderr, "%u %u %u %u %u\n", image.width, image.height, image.frames_total, image.variants,
                  flags);
    size_t pixels = (size_t)image.out_width * image.out_height * 3;
    for (uint32_t i = 0; i < image.variants; i++) {
        if (fwrite(image.pixels[i], 1, pixels, stdout) != pixels) {
            return 1;
        }
    }
    return fflush(stdout) == 0 ? 0 : 1;
}
