/* SPDX-License-Identifier: Apache-2.0
 *
 * Numbers only: pure functions on pointers with shapes, one table of functions for each instruction set,
 * chosen once. The portable table is the reference; every other one is tested against it. No function
 * allocates, logs or can fail; sizes are preconditions. Each output value is summed in an order that depends
 * on the shape alone, so it does not depend on how many rows are computed together or by how many threads.
 * All tables take the same steps in the same order with the same fused multiply-adds: their results are the
 * same bits.
 */
#ifndef BUCKLER_ENGINE_KERNELS_KERNELS_H
#define BUCKLER_ENGINE_KERNELS_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Types of stored tensors, numbered as in GGUF. */
enum tensor_type {
    TENSOR_F32 = 0,
    TENSOR_F16 = 1,
    TENSOR_Q4_0 = 2,
    TENSOR_Q5_0 = 6,
    TENSOR_Q5_1 = 7,
    TENSOR_Q8_0 = 8,
    TENSOR_Q4_K = 12,
    TENSOR_Q5_K = 13,
    TENSOR_Q6_K = 14,
    TENSOR_BF16 = 30,
};

struct tensor_type_info {
    const char *name; /* "Q4_K" */
    uint32_t block_values;
    uint32_t block_bytes;
};

/* NULL for a type that this build does not know. */
const struct tensor_type_info *tensor_type_info(uint32_t type);

/* ---- packed weights
 * -------------------------------------------------------------------------------------------- A matrix W
 * [rows, cols] repacked at load into panels of PANEL_ROWS rows whose values are unsigned bytes with an f32
 * scale (and, for asymmetric types, an f32 minimum) for each block of `block` columns: W = scale · (q − zero)
 * − min.
 */
enum { PANEL_ROWS = 16 };

struct packed_matrix {
    uint32_t rows, cols;
    enum tensor_type type; /* the stored type it came from */
    void *data;            /* 64-byte aligned, kernel_packed_bytes() long, owned by whoever allocated it */
};

/* `count` consecutive keys and values of one kv head: key i at keys + i · stride floats. */
struct kv_run {
    const float *keys;
    const float *values;
    uint32_t count;
    uint32_t stride;
};

/* Activations quantised for the product: signed bytes with an f32 scale for each block of 32 columns, and
 * block sums. */
struct kernel_set {
    const char *name; /* "portable", "avx2", "avx512" */

    /* out [count] = the first `count` values of a stored row, as f32 (spec gemma-models 7); `row` points to a
     * block and count is a multiple of the block size. */
    void (*dequantize)(enum tensor_type type, const void *row, size_t count, float *out);

    /* bytes of `data` for a matrix of this type and shape, `cols` a multiple of 32; 0 when this type has no
     * packed form (F32 F16 BF16) */
    size_t (*packed_bytes)(enum tensor_type type, uint32_t rows, uint32_t cols);

    /* fills data for the panels [first_panel, end_panel) from the stored rows; panels are independent
     * (threads) */
    void (*pack)(struct packed_matrix *w, const void *stored, uint32_t first_panel, uint32_t end_panel);

    /* bytes of one quantised activation row of `cols` values (64-byte multiple) */
    size_t (*activation_bytes)(uint32_t cols);

    /* x [rows, cols] f32 with a stride of x_stride floats → q, rows of activation_bytes(cols). A block of 32
     * columns with a NaN or an infinity makes every product of its row NaN; a block that stays below 1e-30
     * counts as zero. */
    void (*quantize_rows)(const float *x, size_t x_stride, uint32_t rows, uint32_t cols, void *q);

    /* out[r · out_stride + p] = Σ_c W[p][c] · x[r][c] for the panels [first_panel, end_panel), all `rows` of
     * q; panel n holds the p from n · PANEL_ROWS on */
    void (*matmul)(const struct packed_matrix *w, const void *q, uint32_t rows, uint32_t first_panel,
                   uint32_t end_panel, float *out, size_t out_stride);

    /* the same from f32 weights w [w_rows, cols] and f32 x [rows, cols]; w rows [first_row, end_row) */
    void (*matmul_f32)(const float *w, uint32_t cols, const float *x, size_t x_stride, uint32_t rows,
                       uint32_t first_row, uint32_t end_row, float *out, size_t out_stride);

    /* out[r · out_stride + p] += Σ_c x[r · x_stride + c] · w[c · w_stride + p] for p below `width`, a
     * multiple of 16: a small matrix that is stored by columns. Terms are added to out one after the other, c
     * rising. */
    void (*matmul_add)(const float *w, size_t w_stride, uint32_t width, const float *x, size_t x_stride,
                       uint32_t rows, uint32_t cols, float *out, size_t out_stride);

    /* Σ a·b over n */
    float (*dot_f32)(const float *a, const float *b, size_t n);

    /* out [n] = weight ⊙ x / sqrt(mean(x²) + eps) (spec 2.0.1); out may be x; weight NULL: all ones */
    void (*rms_norm)(const float *x, const float *weight, size_t n, float eps, float *out);

    /* x [n] += y [n] */
    void (*add)(float *x, const float *y, size_t n);

    /* gate [n] = gelu_tanh(gate) ⊙ up (spec 2.0.4) */
    void (*gelu_mul)(float *gate, const float *up, size_t n);

    /* x [n] = cap · tanh(x / cap), within 4e-7 · cap; what is not finite becomes NaN */
    void (*soft_cap)(float *x, size_t n, float cap);

    /* half-split rotation of one head x [n] by cos, sin [n/2], n even (spec 2.0.3) */
    void (*rope)(float *x, const float *cosines, const float *sines, size_t n);

    /* Attention of one query head over a list of key/value runs (pages), online softmax, f32.
     * q [head_size] (already scaled), a multiple of 16; runs in path order; out [head_size]. At least one
     * key. `cap`: scores go through soft_cap; 0: they do not. */
    void (*attend)(const float *q, const struct kv_run *runs, size_t run_count, size_t head_size, float cap,
                   float *out);

    /* The same for `heads` query heads that share the kv head, at q + h · head_size and out + h · head_size:
     * the bits of `attend` for each, faster. Keys are taken in path order, however the runs are cut. */
    void (*attend_heads)(const float *q, uint32_t heads, const struct kv_run *runs, size_t run_count,
                         size_t head_size, float cap, float *out);
};

/* The table for `name`, or the best this processor runs when name is NULL; NULL when unknown or not runnable
 * here. */
const struct kernel_set *kernel_choose(const char *name);

#endif
