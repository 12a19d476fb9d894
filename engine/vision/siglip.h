/* SPDX-License-Identifier: Apache-2.0
 *
 * SigLIP with the projector of Gemma 3, from an mmproj GGUF (spec gemma-models 3.1, 6.8): one picture to the
 * embedding rows that a text model takes in place of tokens. Weights stay in the mapped file, in the type
 * that they have there; a stage unpacks what it multiplies with to f32, so that memory holds one layer.
 *
 * A picture passes `stages` stages: patches, one for each layer, projector. All members of a pool execute one
 * stage together, so that an engine can do other things between two stages. The rows are the same bits for
 * any number of members and any instruction set.
 */
#ifndef BUCKLER_ENGINE_VISION_SIGLIP_H
#define BUCKLER_ENGINE_VISION_SIGLIP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "engine/formats/tensors.h"
#include "engine/graph/pool.h"
#include "engine/kernels/kernels.h"

enum {
    SIGLIP_STAGE_TENSORS = 16,
    SIGLIP_MAX_LAYERS = 128,
    SIGLIP_BLOCK_ROWS = 64, /* rows that a member takes at a time */
};

/* What a stage multiplies with. */
enum siglip_patch_tensor { PATCH_WEIGHT, PATCH_BIAS, PATCH_TENSORS };
enum siglip_layer_tensor {
    LN1_WEIGHT,
    LN1_BIAS,
    Q_WEIGHT,
    Q_BIAS,
    K_WEIGHT,
    K_BIAS,
    V_WEIGHT,
    V_BIAS,
    OUT_WEIGHT,
    OUT_BIAS,
    LN2_WEIGHT,
    LN2_BIAS,
    UP_WEIGHT,
    UP_BIAS,
    DOWN_WEIGHT,
    DOWN_BIAS,
    LAYER_TENSORS
};
enum siglip_end_tensor { END_WEIGHT, END_BIAS, END_NORM, END_PROJECTION, END_TENSORS };

struct siglip_stage {
    const struct tensor *tensors[SIGLIP_STAGE_TENSORS];
    uint32_t count;
};

struct siglip {
    const struct kernel_set *kernels;
    uint32_t side;         /* of the picture, in pixels */
    uint32_t patch;        /* side of a patch, in pixels */
    uint32_t patches_side; /* patches in a row and in a column */
    uint32_t pool;         /* side of the square of patches that becomes one row */
    uint32_t layers, width, heads, head_size, feed_forward;
    uint32_t rows, hidden; /* of the result */
    float eps;
    float pixel_values[3][256]; /* what a byte of a channel stands for */
    const struct tensor *positions;
    struct siglip_stage *stages; /* [layers + 2] */
};

/* Buffers of one picture; the driver's. */
struct siglip_state {
    float *x;                        /* [patches, width] residual stream */
    float *q, *k, *v;                /* [heads, patches, padded head] */
    float *attended;                 /* [patches, width] */
    float *weights;                  /* of the stage, one tensor behind the other */
    float *ones;                     /* [feed_forward] */
    float *tiles;                    /* [workers][tile_floats]: two blocks of rows */
    size_t tile_floats, second_tile; /* of one worker; where its second block begins */
    uint32_t padded_head;            /* head_size and zeros up to what kernels need */
    void *memory;
    uint64_t memory_bytes;
};

struct siglip_run {
    const struct siglip *model;
    struct siglip_state *state;
    struct pool *pool;
    uint32_t stage;
    const uint8_t *pixels; /* RGB8 [side, side, 3]; read in the first stage */
    float *out;            /* [rows, hidden]; written in the last stage */
    _Atomic(bool) not_finite;
};

/* Whether the metadata say that the file is a vision projector, sound or not. */
bool siglip_is_projector(const struct tensor_file *file);

/* Checks all metadata and tensors. The file must outlive the model. ENGINE_E_FORMAT names the key or tensor,
 * ENGINE_E_UNSUPPORTED for projectors of other models and types that this build does not run. */
int siglip_open(const struct tensor_file *file, const struct kernel_set *kernels, struct siglip **ret_model,
                struct error *reterr) MUST_CHECK;
struct siglip *siglip_free(struct siglip *model);

static inline uint32_t siglip_stages(const struct siglip *model) {
    return model->layers + 2;
}

/* Floats that one tensor takes when it is unpacked. */
static inline uint64_t siglip_tensor_room(const struct tensor *t) {
    return (t->dims[0] * t->dims[1] * t->dims[2] * t->dims[3] + 15) / 16 * 16;
}

/* What a state takes. */
uint64_t siglip_state_bytes(const struct siglip *model, unsigned workers);

/* ENGINE_E_MEMORY over 4 GiB. */
int siglip_state_init(struct siglip_state *state, const struct siglip *model, unsigned workers,
                      struct error *reterr) MUST_CHECK;
void siglip_state_deinit(struct siglip_state *state); /* accepts a zeroed one */

/* Every member of the pool runs it; stages in order, each once. After the last one `not_finite` tells whether
 * a value of `out` is not a number. */
void siglip_stage(struct siglip_run *run, unsigned worker);

#endif
