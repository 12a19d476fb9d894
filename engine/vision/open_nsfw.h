/* SPDX-License-Identifier: Apache-2.0
 *
 * OpenNSFW, a thin ResNet-50 that tells pictures fit for work from others, from its ONNX file. The network is
 * checked and planned completely at open: every shape, every size, every buffer. A model is constant
 * afterwards and may be run by any number of threads at once, each with its own scratch.
 *
 *   scratch = aligned_alloc(64, open_nsfw_info(model)->scratch_bytes);
 *   open_nsfw_run(model, pixels, count, scratch, scores, &error);
 *
 * Pictures are computed one after another, so that the score of one does not depend on its neighbours. No
 * function here logs, starts threads or keeps state.
 */
#ifndef BUCKLER_ENGINE_VISION_OPEN_NSFW_H
#define BUCKLER_ENGINE_VISION_OPEN_NSFW_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum {
    OPEN_NSFW_SIDE = 224,
    OPEN_NSFW_PIXEL_BYTES = OPEN_NSFW_SIDE * OPEN_NSFW_SIDE * 3,
    OPEN_NSFW_SCORES = 2
};

struct open_nsfw;

struct open_nsfw_info {
    uint64_t parameters;
    uint64_t resident_bytes; /* weights held in memory */
    uint64_t scratch_bytes;  /* what one running thread needs, a multiple of 64; the same for any count */
    uint64_t multiplies;     /* for one picture */
};

/* Reads and checks an ONNX file. ENGINE_E_FORMAT, with the byte offset where there is one, for a damaged file
 * or one whose shapes do not fit; ENGINE_E_UNSUPPORTED for a sound file with other operators or other inputs
 * and outputs; ENGINE_E_MEMORY for one that would need more scratch than is allowed. The file is not needed
 * afterwards. */
int open_nsfw_open(const char *path, struct open_nsfw **ret_model, struct error *reterr) MUST_CHECK;

/* The same over bytes, which are not needed afterwards. */
int open_nsfw_open_memory(const void *bytes, size_t size, struct open_nsfw **ret_model,
                          struct error *reterr) MUST_CHECK;

/* Accepts NULL; returns NULL. */
struct open_nsfw *open_nsfw_free(struct open_nsfw *model);

const struct open_nsfw_info *open_nsfw_info(const struct open_nsfw *model);

/* pixels: RGB8 [count, 224, 224, 3]; scratch: info->scratch_bytes bytes, 64-byte aligned; ret_scores [count,
 * 2]: {sfw, nsfw}, each 0…1. ENGINE_E_NOT_FINITE when a score is not a finite number: ret_scores must not be
 * used then. */
int open_nsfw_run(const struct open_nsfw *model, const uint8_t *pixels, uint32_t count, void *scratch,
                  float *ret_scores, struct error *reterr) MUST_CHECK;

#endif
