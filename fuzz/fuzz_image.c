/* SPDX-License-Identifier: Apache-2.0
 *
 * The image codecs behind their limits, at sizes that keep a run short.
 */
#include <stdlib.h>

#include "decode/worker/image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const struct image_limits limits = {.pixels = 1 << 16, .side = 1024, .memory_bytes = 64 << 20};
    static const struct decode_image_form form = {32, 32, 75, 28, 28};
    static _Alignas(8) uint8_t space[2 * 28 * 28 * 3 + 64];
    struct sink sink = {.bytes = space, .size = sizeof space};
    struct canonical_image image;
    struct error error = {0};
    uint32_t flags = 0;
    int rc = image_canonicalise(&limits, data, size, "image/png", &form, &sink, &image, &flags, &error);
    if (rc < 0 ||
        (rc == 0 && (image.width > limits.side || image.height > limits.side || image.variants < 1 ||
                     image.variants > IMAGE_MAX_VARIANTS || image.pixels[image.variants - 1] == NULL))) {
        abort();
    }
    return 0;
}
