/* SPDX-License-Identifier: Apache-2.0
 *
 * EmbeddingGemma (spec gemma-models 1.5, 2.4): the layers of Gemma 3, in which the tokens of a text see each
 * other both ways. It is a backbone: what is read is the mean over the text of the normed last layer. The two
 * dense layers that make the published embedding of that mean are not run.
 */
#include "engine/models/generation.h"

enum { SLIDING_PERIOD = 6 };

static int configure(const struct tensor_file *file, struct text_config *ret_config, struct error *reterr) {
    const struct hyper h = {file, text_embedding.name};
    struct text_config c = {.both_ways = true};
    int r = hyper_common(&h, &c, reterr);

    r = r == 0 ? hyper_windows(&h, SLIDING_PERIOD, &c, reterr) : r;
    r = r == 0 ? hyper_rope(&h, 1e6, 1e4, &c, reterr) : r;
    r = r == 0 ? hyper_scores(&h, false, 0, 0, &c, reterr) : r;
    if (r == 0) {
        c.window /= 2; /* files have the whole width */
        *ret_config = c;
    }
    return r;
}

static const struct weight_row weights[] = {
    GEMMA3_NORMS,
    MATRICES,
};

const struct text_architecture text_embedding = {.name = "gemma-embedding",
                                                 .configure = configure,
                                                 .weights = weights,
                                                 .weight_count = sizeof weights / sizeof weights[0],
                                                 .forward = text_decode};
