/* SPDX-License-Identifier: Apache-2.0
 *
 * Packed weights and quantised activations to the byte; the same for all instruction sets.
 *
 * A panel holds 16 rows of the matrix, block after block of 32 columns: 16 scales, for most types a second
 * vector of 16, and the weights in 8 steps of [16 rows][4 columns], so that one 64-byte load meets one
 * broadcast of 4 activations. Four forms:
 *
 *   symmetric      W = scale · (q − 128), bytes              Q5_0 Q8_0
 *   asymmetric     W = scale · q − minimum, bytes            Q5_1 Q5_K
 *   nibbles        the same in half bytes                   Q4_0 Q4_K
 *   halves         W = scale of the half · (q − 128), bytes  Q6_K, whose scales hold for 16 columns
 *
 * The zero of 128, whatever the stored type's own is, lets the activations carry −128 · Σq ready to start the
 * integer sum with.
 *
 * An activation row is a sequence of blocks of 32 columns with what the product needs beside the bytes, then
 * its outliers.
 */
#ifndef BUCKLER_ENGINE_KERNELS_LAYOUT_H
#define BUCKLER_ENGINE_KERNELS_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/kernels/kernels.h"

enum { BLOCK_COLS = 32, BLOCK_STEPS = 8, STEP_COLS = 4 };

enum panel_form { PANEL_NONE, PANEL_SYMMETRIC, PANEL_ASYMMETRIC, PANEL_NIBBLES, PANEL_HALVES };

struct panel_block {
    float scales[PANEL_ROWS];
    uint8_t q[BLOCK_STEPS][PANEL_ROWS][STEP_COLS];
};

struct panel_block_pair {
    float scales[PANEL_ROWS];
    float second[PANEL_ROWS]; /* asymmetric: the minima; halves: the scales of columns 16 … 31 */
    uint8_t q[BLOCK_STEPS][PANEL_ROWS][STEP_COLS];
};

struct panel_block_nibbles {
    float scales[PANEL_ROWS];
    float second[PANEL_ROWS]; /* the minima */
    uint8_t q[BLOCK_STEPS / 2][PANEL_ROWS]
             [STEP_COLS]; /* step s in the low halves, step s + 4 in the high ones */
};

struct activation_block {
    int8_t q[BLOCK_COLS]; /* −127 … 127 */
    float scale;          /* NaN when a value of the block was not finite */
    int32_t offset;       /* −128 · Σq */
    int32_t offset_low;   /* the same over columns 0 … 15 */
    int32_t offset_high;  /* and 16 … 31 */
    float negative_sum;   /* −Σq */
};

/* The values of a row that would cost its blocks most precision: they are zero in their block, which so gets
 * a finer scale, and are multiplied in f32. In real models a few columns hold values many times larger than
 * the rest. */
enum { OUTLIERS = 4 };

struct activation_outlier {
    uint32_t col;
    float value; /* 0: none */
};

static inline enum panel_form panel_form_of(enum tensor_type type) {
    switch (type) {
    case TENSOR_Q5_0:
    case TENSOR_Q8_0:
        return PANEL_SYMMETRIC;
    case TENSOR_Q5_1:
    case TENSOR_Q5_K:
        return PANEL_ASYMMETRIC;
    case TENSOR_Q4_0:
    case TENSOR_Q4_K:
        return PANEL_NIBBLES;
    case TENSOR_Q6_K:
        return PANEL_HALVES;
    default:
        return PANEL_NONE;
    }
}

static inline bool panel_has_minima(enum panel_form form) {
    return form == PANEL_ASYMMETRIC || form == PANEL_NIBBLES;
}

static inline size_t panel_block_bytes(enum panel_form form) {
    switch (form) {
    case PANEL_SYMMETRIC:
        return sizeof(struct panel_block);
    case PANEL_NIBBLES:
        return sizeof(struct panel_block_nibbles);
    default:
        return sizeof(struct panel_block_pair);
    }
}

/* Where the weights begin in a block. */
static inline size_t panel_block_scale_bytes(enum panel_form form) {
    return (form == PANEL_SYMMETRIC ? 1 : 2) * PANEL_ROWS * sizeof(float);
}

static inline size_t activation_row_bytes(uint32_t cols) {
    size_t bytes = (size_t)(cols / BLOCK_COLS) * sizeof(struct activation_block);

    bytes += OUTLIERS * sizeof(struct activation_outlier);
    return (bytes + 63) / 64 * 64;
}

/* How the sums are cut so that activations stay in a level-2 cache with a piece of a panel while all panels
 * pass: row chunks, and inside them column chunks whose partial sums wait in `out`. Adding on from an f32
 * that was stored and loaded gives the bits of one that was not, so the cut shows in no result. */
struct cut {
    uint32_t rows;   /* activation rows at once */
    uint32_t blocks; /* blocks of columns at once */
};

static inline struct cut cut_of(uint32_t rows, uint32_t cols) {
    enum { ROOM_BYTES = 384 << 10, LONG_BLOCKS = 80 };
    uint32_t blocks = cols / BLOCK_COLS;
    struct cut cut = {rows, blocks};

    if (rows * activation_row_bytes(cols) > ROOM_BYTES) {
        cut.blocks = blocks < LONG_BLOCKS ? blocks : LONG_BLOCKS;
        cut.rows = ROOM_BYTES / (cut.blocks * (uint32_t)sizeof(struct activation_block)) / 16 * 16;
    }
    return cut;
}

#endif
