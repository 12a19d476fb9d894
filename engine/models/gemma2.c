/* SPDX-License-Identifier: Apache-2.0
 *
 * Gemma 2 and ShieldGemma 1 (spec gemma-models 1.3, 2.2): four norms a layer with the branch normed before it
 * is added, sliding and global layers in turn with the same rope, soft caps on scores and logits, tied head.
 */
#include "engine/models/generation.h"

enum { SLIDING_PERIOD = 2, LAYERS_OF_27B = 46 };

static int configure(const struct tensor_file *file, struct text_config *ret_config, struct error *reterr) {
    const struct hyper h = {file, text_gemma2.name};
    struct text_config c = {0};
    int r = hyper_common(&h, &c, reterr);

    r = r == 0 ? hyper_windows(&h, SLIDING_PERIOD, &c, reterr) : r;
    r = r == 0 ? hyper_rope(&h, 1e4, 1e4, &c, reterr) : r;
    r = r == 0 ? hyper_scores(&h, c.layers == LAYERS_OF_27B, 50, 30, &c, reterr) : r;
    c.local_base = c.global_base;
    if (r == 0) {
        *ret_config = c;
    }
    return r;
}

static const struct weight_row weights[] = {
    NORM(attn_norm, DIM_HIDDEN),
    NORM(post_attention_norm, DIM_HIDDEN),
    NORM(ffn_norm, DIM_HIDDEN),
    NORM(post_ffw_norm, DIM_HIDDEN),
    MATRICES,
};

const struct text_architecture text_gemma2 = {.name = "gemma2",
                                              .configure = configure,
                                              .weights = weights,
                                              .weight_count = sizeof weights / sizeof weights[0],
                                              .forward = text_decode};
