/* SPDX-License-Identifier: Apache-2.0
 *
 * Gemma 1 (spec gemma-models 1.2, 2.1; CodeGemma has the same shapes): two norms a layer, both in front of
 * their block, full attention everywhere, one rope base, no soft caps, tied head.
 */
#include "engine/models/generation.h"

static int configure(const struct tensor_file *file, struct text_config *ret_config, struct error *reterr) {
    const struct hyper h = {file, text_gemma1.name};
    struct text_config c = {0};
    int r = hyper_common(&h, &c, reterr);

    r = r == 0 ? hyper_rope(&h, 1e4, 1e4, &c, reterr) : r;
    r = r == 0 ? hyper_scores(&h, false, 0, 0, &c, reterr) : r;
    if (r == 0) {
        *ret_config = c;
    }
    return r;
}

static const struct weight_row weights[] = {
    NORM(attn_norm, DIM_HIDDEN),
    NORM(ffn_norm, DIM_HIDDEN),
    MATRICES,
};

const struct text_architecture text_gemma1 = {.name = "gemma",
                                              .configure = configure,
                                              .weights = weights,
                                              .weight_count = sizeof weights / sizeof weights[0],
                                              .forward = text_decode};
