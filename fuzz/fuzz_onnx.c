/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as an ONNX file; a network that is small enough is also run, because every offset of its steps
 * was planned from the file.
 */
#include <stdint.h>
#include <stdlib.h>

#include "engine/vision/open_nsfw.h"

enum { MOST_MULTIPLIES = 4000000, MOST_SCRATCH_BYTES = 4 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct open_nsfw *model = NULL;
    if (open_nsfw_open_memory(data, size, &model, NULL) == 0) {
        const struct open_nsfw_info *info = open_nsfw_info(model);
        if (info->multiplies <= MOST_MULTIPLIES && info->scratch_bytes <= MOST_SCRATCH_BYTES) {
            float scores[OPEN_NSFW_SCORES];
            void *scratch = aligned_alloc(64, info->scratch_bytes);
            uint8_t *pixels = calloc(1, OPEN_NSFW_PIXEL_BYTES);
            if (scratch != NULL && pixels != NULL &&
                open_nsfw_run(model, pixels, 1, scratch, scores, NULL) == 0 &&
                !(scores[0] >= 0 && scores[1] >= 0)) {
                abort(); /* a score that is none must have been an error */
            }
            free(scratch);
            free(pixels);
        }
    }
    model = open_nsfw_free(model);
    return 0;
}
