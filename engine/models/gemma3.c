/* SPDX-License-Identifier: Apache-2.0
 *
 * Gemma 3, text part (spec gemma-models 1.4, 2.3): the four norms of Gemma 2, normed queries and keys, five
 * sliding layers to one global layer with their own rope bases, no soft caps, tied head.
 */
#include "engine/models/generation.h"

enum { SLIDING_PERIOD = 6, LAYERS_OF_27B = 62 };

static int configure(const struct tensor_file *file, struct text_config *ret_config, struct error *reterr) {
    const struct hyper h = {file, text_gemma3.name};
    struct text_config c = {0};
    int r = hyper_common(&h, &c, reterr);

    r = r == 0 ? hyper_windows(&h, SLIDING_PERIOD, &c, reterr) : r;
    r = r == 0 ? hyper_rope(&h, 1e6, 1e4, &c, reterr) : r;
    r = r == 0 ? hyper_scores(&h, c.layers == LAYERS_OF_27B, 0, 0, &c, reterr) : r;
    if (r == 0) {
        *ret_config = c;
    }
    return r;
}

static const struct weight_row weights[] = {
    GEMMA3_NORMS,
    MATRICES,
};

const struct text_architecture text_gemma3 = {.name = "gemma3",
                                              .configure = configure,
                                              .weights = weights,
                                              .weight_count = sizeof weights / sizeof weights[0],
                                              .forward = text_decode};
