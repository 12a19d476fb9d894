/* SPDX-License-Identifier: Apache-2.0
 *
 * What the file of one generation is written with: its hyper-parameters are read with hyper_*, its weights
 * are a table of rows.
 */
#ifndef BUCKLER_ENGINE_MODELS_GENERATION_H
#define BUCKLER_ENGINE_MODELS_GENERATION_H

#include "engine/models/text.h"

/* ---- hyper-parameters: metadata under "architecture.key" ---- */

struct hyper {
    const struct tensor_file *file;
    const char *architecture;
};

/* What every generation has: sizes, context, vocabulary, epsilon, and the scales that follow from them. */
int hyper_common(const struct hyper *h, struct text_config *config, struct error *reterr) MUST_CHECK;

/* The window, and which layers slide: a period (each period-th layer is global), an array with true for
 * sliding ones, or nothing, which means `period`. */
int hyper_windows(const struct hyper *h, uint64_t period, struct text_config *config,
                  struct error *reterr) MUST_CHECK;

/* Rope bases and the linear scaling of global layers. */
int hyper_rope(const struct hyper *h, double global_base, double local_base, struct text_config *config,
               struct error *reterr) MUST_CHECK;

/* Scores are scaled by 1/sqrt(head_size) or, in the one model where `by_heads`, by 1/sqrt(hidden / heads),
 * unless the file names its scale; caps are what the file says, else these. */
int hyper_scores(const struct hyper *h, bool by_heads, double attention_cap, double final_cap,
                 struct text_config *config, struct error *reterr) MUST_CHECK;

/* ---- weights ---- */

enum weight_kind { WEIGHT_INVALID, WEIGHT_NORM, WEIGHT_QUERY_NORM, WEIGHT_LINEAR };
enum weight_dim { DIM_ONE, DIM_HIDDEN, DIM_QUERY, DIM_KEY, DIM_HEAD, DIM_FEED_FORWARD };

struct weight_row {
    const char *name; /* behind "blk.N." */
    enum weight_kind kind;
    size_t offset; /* in struct text_layer */
    enum weight_dim cols, rows;
};

#define NORM(field, dim)                                                                                     \
    { #field ".weight", WEIGHT_NORM, offsetof(struct text_layer, field), dim, DIM_ONE }
#define LINEAR(field, cols, rows)                                                                            \
    { #field ".weight", WEIGHT_LINEAR, offsetof(struct text_layer, field), cols, rows }
/* The attention scale becomes part of this norm, so that queries leave it scaled. */
#define QUERY_NORM(field, dim)                                                                               \
    { #field ".weight", WEIGHT_QUERY_NORM, offsetof(struct text_layer, field), dim, DIM_ONE }

/* The matrices, which are the same in every generation. */
#define MATRICES                                                                                             \
    LINEAR(attn_q, DIM_HIDDEN, DIM_QUERY), LINEAR(attn_k, DIM_HIDDEN, DIM_KEY),                              \
        LINEAR(attn_v, DIM_HIDDEN, DIM_KEY), LINEAR(attn_output, DIM_QUERY, DIM_HIDDEN),                     \
        LINEAR(ffn_gate, DIM_HIDDEN, DIM_FEED_FORWARD), LINEAR(ffn_up, DIM_HIDDEN, DIM_FEED_FORWARD),        \
        LINEAR(ffn_down, DIM_FEED_FORWARD, DIM_HIDDEN)

/* And the norms of Gemma 3. */
#define GEMMA3_NORMS                                                                                         \
    NORM(attn_norm, DIM_HIDDEN), NORM(post_attention_norm, DIM_HIDDEN), NORM(ffn_norm, DIM_HIDDEN),          \
        NORM(post_ffw_norm, DIM_HIDDEN), QUERY_NORM(attn_q_norm, DIM_HEAD), NORM(attn_k_norm, DIM_HEAD)

#endif
