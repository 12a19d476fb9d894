/* SPDX-License-Identifier: Apache-2.0
 *
 * Text models: hyper-parameters, bound weights, and the buffers of a run. A text_model is constant after
 * text_open and shared; a text_state belongs to the driver, which is the only one to change it.
 */
#ifndef BUCKLER_ENGINE_MODELS_TEXT_H
#define BUCKLER_ENGINE_MODELS_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/engine.h"
#include "engine/formats/adapter.h"
#include "engine/formats/tensors.h"
#include "engine/graph/kvcache.h"
#include "engine/graph/pool.h"
#include "engine/graph/step.h"
#include "engine/kernels/kernels.h"

struct text_run;

struct text_config {
    uint32_t layers, hidden, heads, kv_heads, head_size, feed_forward, vocabulary, context, window;
    float eps;
    float attention_scale;
    float embedding_scale;
    float attention_cap, final_cap; /* soft caps of scores and of logits; 0: none */
    double local_base;              /* rope of sliding layers */
    double global_base;             /* rope of the others, positions divided by global_factor */
    double global_factor;
    uint32_t adapter_ranks; /* the widest low_rank of any layer; 0 without an adapter */
    bool sliding[STEP_MAX_LAYERS];
    bool both_ways; /* an embedding model: a segment is one text whose tokens all see each other, or in
                       sliding layers those at most `window` away; no head, the last layer is read normed */
};

/* W [rows, cols]: packed panels, or f32 rows where `values` is not NULL. With an adapter W x + B t, where t
 * is a part of what the low_rank of its input gives. */
struct linear {
    struct packed_matrix packed;
    const float *values;
    uint32_t rows, cols;
    const float *adapter_b; /* B by columns, [adapter_ranks, rows], scaled; NULL: none */
    uint32_t adapter_first, adapter_ranks;
};

/* The A of all adapted matrices that read the same input, one beside the other: t = A x. */
struct low_rank {
    const float *a; /* by columns, [cols, ranks]; NULL: none */
    uint32_t ranks; /* a multiple of 16; what no matrix uses is zero */
};

/* What the generation does not have stays NULL. */
struct text_layer {
    const float *attn_norm, *attn_q_norm, *attn_k_norm, *post_attention_norm, *ffn_norm, *post_ffw_norm;
    struct linear attn_q, attn_k, attn_v, attn_output, ffn_gate, ffn_up, ffn_down;
    struct low_rank attn_low, output_low, ffn_low, down_low; /* for q k v; output; gate and up; down */
};

/* One a generation, chosen by general.architecture. */
struct text_architecture {
    const char *name;
    int (*configure)(const struct tensor_file *file, struct text_config *ret_config, struct error *reterr);
    const struct weight_row *weights; /* of a layer; engine/models/generation.h */
    uint32_t weight_count;
    /* Every member of a pool runs it over the step of the run's state, read-outs included. */
    void (*forward)(struct text_run *run, unsigned worker);
};

struct text_model {
    const struct text_architecture *architecture;
    const struct kernel_set *kernels;
    const struct tensor_file *file;
    struct text_config config;
    struct text_layer *layers;
    const float *output_norm;
    const struct tensor *embedding; /* rows are dequantised as they are read */
    const struct tensor *head;      /* the same tensor when tied */
    void *memory;                   /* norms and panels; of an adapted model its A and B only */
    uint64_t memory_bytes;
    bool packs; /* some matrix is packed: activations have to be quantised */
};

/* NULL when this build does not know the architecture. */
const struct text_architecture *text_architecture_find(const char *name, size_t size);

/* Reads and checks the hyper-parameters and finds the architecture. */
int text_configure(const struct tensor_file *file, const struct text_architecture **ret_architecture,
                   struct text_config *ret_config, struct error *reterr) MUST_CHECK;

extern const struct text_architecture text_gemma1, text_gemma2, text_gemma3, text_embedding;

/* Checks that every tensor is there with its shape and a type that runs; *ret_bytes is the memory that
 * binding takes. Touches no weights. */
int text_weights_plan(const struct tensor_file *file, const struct text_architecture *architecture,
                      const struct text_config *config, const struct kernel_set *kernels, bool reference,
                      uint64_t *ret_bytes, struct error *reterr) MUST_CHECK;

/* `reference`: all matrices as f32. The file must outlive the model. */
int text_open(const struct tensor_file *file, const struct kernel_set *kernels, bool reference,
              struct text_model **ret_model, struct error *reterr) MUST_CHECK;
struct text_model *text_free(struct text_model *model);

/* `base` with a LoRA on top. It points into the base, which must outlive it; the file may go. Every layer,
 * matrix and shape of the file is checked against the base, and every value for being finite. */
int text_adapt(const struct text_model *base, const struct adapter_file *file, struct text_model **ret_model,
               struct error *reterr) MUST_CHECK;

/* ---- run ---- */

/* What was read of one block of the vocabulary for a NEXT readout. */
struct text_best {
    float value;
    uint32_t id;
    bool finite;
};

enum { TEXT_VOCABULARY_BLOCK = 512 };

struct text_worker {
    struct kv_run *runs; /* [page_count] */
    float *embedding;    /* [hidden] */
};

struct text_state {
    struct kvcache kv;
    struct step step;
    uint32_t positions; /* rows of the rope tables; the longest path */
    uint32_t rope_rows; /* rows that are filled */
    float *local_cosines, *local_sines, *global_cosines, *global_sines; /* [positions, head_size / 2] */

    /* [step rows, …] */
    float *x;                        /* residual stream, hidden */
    float *h;                        /* normed input of a block, hidden */
    float *q, *k, *v;                /* heads · head_size, kv_heads · head_size */
    float *attended;                 /* heads · head_size */
    float *gate, *up;                /* feed_forward */
    float *branch;                   /* what a block adds, hidden */
    float *low;                      /* A x of the input in use, adapter_ranks */
    char *h_q, *attended_q, *gate_q; /* h, attended, gate quantised */
    struct text_best *best;          /* [step rows, vocabulary blocks] */
    bool *tap_failed;                /* [step.tap_limit], grown by text_state_prepare */
    uint32_t tap_room;

    struct text_worker *workers;
    void *memory;
    uint64_t memory_bytes;
};

struct text_run {
    const struct text_model *model;
    struct text_state *state;
    struct pool *pool;
};

uint64_t text_state_bytes(const struct text_config *config, const struct kernel_set *kernels,
                          uint32_t step_tokens, uint32_t kv_tokens, unsigned workers);
int text_state_init(struct text_state *state, const struct text_model *model, uint32_t step_tokens,
                    uint32_t kv_tokens, unsigned workers, struct error *reterr) MUST_CHECK;
void text_state_deinit(struct text_state *state); /* accepts a zeroed one */

/* Before the forward pass of an arranged step. */
int text_state_prepare(struct text_state *state, const struct text_config *config) MUST_CHECK;

/* Executes the readouts that read after `layer` layers; ends with a barrier. tap_failed tells which were not
 * finite. */
void text_read(struct text_run *run, unsigned worker, uint32_t layer);

/* The forward pass of Gemma 1 to 3. */
void text_decode(struct text_run *run, unsigned worker);

#endif
