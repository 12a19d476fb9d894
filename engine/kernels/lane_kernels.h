/* SPDX-License-Identifier: Apache-2.0
 *
 * Every kernel that computes in f32, written once over struct lanes. A table's file includes its lanes first
 * and then this; as all lanes agree bit for bit, so do the tables. Sums run in 16 lanes over the index, then
 * across the lanes.
 */
#ifndef BUCKLER_ENGINE_KERNELS_LANE_KERNELS_H
#define BUCKLER_ENGINE_KERNELS_LANE_KERNELS_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "engine/kernels/kernels.h"
#include "engine/kernels/layout.h"
#include "engine/kernels/outliers.h"
#include "engine/kernels/pack.h"
#include "engine/kernels/ref/blocks.h"

/* e^x within 1e-7; below −87 it stays at e^−87 and above 88 at e^88. NaN stays NaN. */
static inline struct lanes lanes_exp(struct lanes x) {
    struct lanes n;
    struct lanes r;
    struct lanes p;

    x = lanes_max(lanes_set(-87.0F), x);
    x = lanes_min(lanes_set(88.0F), x);
    n = lanes_round(lanes_mul(x, lanes_set(0x1.715476p+0F)));
    /* ln 2 in two parts: the first has so few bits that n times it is exact. */
    r = lanes_fnma(n, lanes_set(0x1.62e4p-1F), x);
    r = lanes_fnma(n, lanes_set(0x1.7f7d1cp-20F), r);
    /* |r| < 0.347: the series to r^7 leaves less than 6e-9. */
    p = lanes_fma(r, lanes_set(0x1.a01a02p-13F), lanes_set(0x1.6c16c2p-10F));
    p = lanes_fma(r, p, lanes_set(0x1.111112p-7F));
    p = lanes_fma(r, p, lanes_set(0x1.555556p-5F));
    p = lanes_fma(r, p, lanes_set(0x1.555556p-3F));
    p = lanes_fma(r, p, lanes_set(0.5F));
    p = lanes_fma(r, p, lanes_set(1.0F));
    p = lanes_fma(r, p, lanes_set(1.0F));
    return lanes_mul(p, lanes_exp2_whole(n));
}

/* Q8_0 by lanes, because whole vocabularies are stored so and read row by row; the others need no speed. */
static void dequantize(enum tensor_type type, const void *row, size_t count, float *out) {
    const uint8_t *block = row;

    if (type != TENSOR_Q8_0) {
        kernel_dequantize(type, row, count, out);
        return;
    }
    for (size_t at = 0; at < count; at += BLOCK_COLS, block += 2 + BLOCK_COLS) {
        struct lanes scale = lanes_set(float_of_half((uint16_t)(block[0] | block[1] << 8)));

        lanes_store(out + at, lanes_mul(scale, lanes_load_bytes((const int8_t *)block + 2)));
        lanes_store(out + at + LANES, lanes_mul(scale, lanes_load_bytes((const int8_t *)block + 2 + LANES)));
    }
}

enum { BLOCKS_TOGETHER = 8 };

/* One block from its rounded values; the sums are NaN when a value was not finite. */
static void write_block(struct activation_block *to, struct lanes low, struct lanes high, float scale,
                        float sum_low, float sum_high) {
    float sum = sum_low + sum_high;

    if (sum != sum) {
        memset(to, 0, sizeof(*to));
        to->scale = NAN;
        return;
    }
    lanes_store_bytes(to->q, low);
    lanes_store_bytes(to->q + LANES, high);
    to->scale = scale;
    to->offset = -128 * (int32_t)sum;
    to->offset_low = -128 * (int32_t)sum_low;
    to->offset_high = -128 * (int32_t)sum_high;
    to->negative_sum = 0.0F - sum; /* never −0: an empty block is all zero bytes */
}

/* `count` blocks side by side: each is a chain of reductions that would wait for itself. */
static void quantize_blocks(const float *x, uint32_t count, struct activation_block *to) {
    struct lanes values[2 * BLOCKS_TOGETHER];
    struct lanes *low = values;
    struct lanes *high = values + BLOCKS_TOGETHER;
    float largest[LANES] = {0};
    float inverses[LANES];
    float scales[LANES];
    float sums[2 * BLOCKS_TOGETHER];

    for (uint32_t b = 0; b < BLOCKS_TOGETHER; b++) {
        size_t at = (size_t)(b < count ? b : 0) * BLOCK_COLS;

        low[b] = lanes_load(x + at);
        high[b] = lanes_load(x + at + LANES);
        largest[b] = lanes_largest(lanes_max(lanes_abs(low[b]), lanes_abs(high[b])));
    }
    lanes_store(inverses, lanes_div(lanes_set(127.0F), lanes_load(largest)));
    lanes_store(scales, lanes_div(lanes_load(largest), lanes_set(127.0F)));
    for (uint32_t b = 0; b < BLOCKS_TOGETHER; b++) {
        /* Zero times infinity or NaN is NaN, so that these survive a block of tiny values too. */
        struct lanes inverse = lanes_set(largest[b] < 1e-30F ? 0 : inverses[b]);

        scales[b] = largest[b] < 1e-30F ? 0 : scales[b];
        low[b] = lanes_round(lanes_mul(low[b], inverse));
        high[b] = lanes_round(lanes_mul(high[b], inverse));
    }
    for (uint32_t i = 0; i < 2 * BLOCKS_TOGETHER; i += DOT_TILE * DOT_TILE) {
        lanes_sums(values + i, sums + i);
    }
    for (uint32_t b = 0; b < count; b++) {
        write_block(&to[b], low[b], high[b], scales[b], sums[b], sums[b + BLOCKS_TOGETHER]);
    }
}

/* The row's outliers, and the blocks that lost one once more. */
static void quantize_outliers(const float *x, uint32_t blocks, struct activation_block *to) {
    struct activation_outlier *outliers = (struct activation_outlier *)(void *)(to + blocks);
    struct activation_block again[OUTLIERS];
    float patched[OUTLIERS][BLOCK_COLS];
    uint32_t numbers[OUTLIERS];
    uint32_t count = take_outliers(x, blocks, outliers, numbers, patched);

    if (count > 0) {
        quantize_blocks(patched[0], count, again);
    }
    for (uint32_t i = 0; i < count; i++) {
        to[numbers[i]] = again[i];
    }
}

static void quantize_rows(const float *x, size_t x_stride, uint32_t rows, uint32_t cols, void *q) {
    size_t row_bytes = activation_row_bytes(cols);
    uint32_t blocks = cols / BLOCK_COLS;

    for (uint32_t r = 0; r < rows; r++) {
        struct activation_block *to = (struct activation_block *)(void *)((uint8_t *)q + r * row_bytes);
        const float *from = x + r * x_stride;

        for (uint32_t b = 0; b < blocks; b += BLOCKS_TOGETHER) {
            uint32_t count = blocks - b < BLOCKS_TOGETHER ? blocks - b : BLOCKS_TOGETHER;
            quantize_blocks(from + (size_t)b * BLOCK_COLS, count, &to[b]);
        }
        quantize_outliers(from, blocks, to);
    }
}

enum { DOTS = DOT_TILE * DOT_TILE, ADD_ROWS = 8 };

/* out[count_b · i + j] = Σ a[i] · b[j] over n, each in one accumulator of lanes; count_a · count_b = DOTS,
 * and both are constants, so that the accumulators are registers. */
static inline __attribute__((always_inline)) void dot_tile(int count_a, int count_b, const float *const *a,
                                                           const float *const *b, size_t n, float out[DOTS]) {
    struct lanes sums[DOTS];
    struct lanes left[DOT_TILE];
    size_t at = 0;

    for (int i = 0; i < DOTS; i++) {
        sums[i] = lanes_set(0);
    }
    for (; at + LANES <= n; at += LANES) {
        for (int i = 0; i < count_a; i++) {
            left[i] = lanes_load(a[i] + at);
        }
        for (int j = 0; j < count_b; j++) {
            struct lanes right = lanes_load(b[j] + at);
            for (int i = 0; i < count_a; i++) {
                sums[count_b * i + j] = lanes_fma(left[i], right, sums[count_b * i + j]);
            }
        }
    }
    if (at < n) {
        for (int i = 0; i < count_a; i++) {
            left[i] = lanes_load_first(a[i] + at, n - at);
        }
        for (int j = 0; j < count_b; j++) {
            struct lanes right = lanes_load_first(b[j] + at, n - at);
            for (int i = 0; i < count_a; i++) {
                sums[count_b * i + j] = lanes_fma(left[i], right, sums[count_b * i + j]);
            }
        }
    }
    lanes_sums(sums, out);
}

static inline uint32_t least(uint32_t a, uint32_t b) {
    return a < b ? a : b;
}

static void matmul_f32(const float *w, uint32_t cols, const float *x, size_t x_stride, uint32_t rows,
                       uint32_t first_row, uint32_t end_row, float *out, size_t out_stride) {
    const float *a[DOT_TILE];
    const float *b[DOT_TILE];
    float sums[DOTS];

    /* 128 rows of x at a time stay in the cache while the weights pass; a tile at the edge repeats its last
     * row. */
    for (uint32_t r0 = 0; r0 < rows; r0 += 128) {
        uint32_t r_end = r0 + least(128, rows - r0);

        for (uint32_t p = first_row; p < end_row; p += DOT_TILE) {
            uint32_t p_count = least(DOT_TILE, end_row - p);

            for (uint32_t j = 0; j < DOT_TILE; j++) {
                b[j] = w + (size_t)(p + least(j, p_count - 1)) * cols;
            }
            for (uint32_t r = r0; r < r_end; r += DOT_TILE) {
                uint32_t r_count = least(DOT_TILE, r_end - r);

                for (uint32_t i = 0; i < DOT_TILE; i++) {
                    a[i] = x + (size_t)(r + least(i, r_count - 1)) * x_stride;
                }
                dot_tile(DOT_TILE, DOT_TILE, a, b, cols, sums);
                for (uint32_t i = 0; i < r_count; i++) {
                    memcpy(out + (r + i) * out_stride + p, sums + DOT_TILE * i, p_count * sizeof(float));
                }
            }
        }
    }
}

/* One tile of matmul_add: `count` rows by `width` lanes, both constants, so that the sums are registers. */
static inline __attribute__((always_inline)) void add_tile(uint32_t count, uint32_t width, const float *w,
                                                           size_t w_stride, const float *const *x,
                                                           uint32_t cols, float *const *out) {
    struct lanes sums[ADD_ROWS * VALUE_TILE];
    struct lanes right[VALUE_TILE];

    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t j = 0; j < width; j++) {
            sums[width * i + j] = lanes_load(out[i] + (size_t)j * LANES);
        }
    }
    for (uint32_t c = 0; c < cols; c++) {
        for (uint32_t j = 0; j < width; j++) {
            right[j] = lanes_load(w + c * w_stride + (size_t)j * LANES);
        }
        for (uint32_t i = 0; i < count; i++) {
            struct lanes left = lanes_set(x[i][c]);
            for (uint32_t j = 0; j < width; j++) {
                sums[width * i + j] = lanes_fma(left, right[j], sums[width * i + j]);
            }
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t j = 0; j < width; j++) {
            lanes_store(out[i] + (size_t)j * LANES, sums[width * i + j]);
        }
    }
}

/* All rows of one strip of `width` lanes, `count` at a time. A tile at the edge repeats its last row, which
 * is loaded as often before it is stored; a row alone is not worth that. */
static inline __attribute__((always_inline)) void add_strip(uint32_t count, uint32_t width, const float *w,
                                                            size_t w_stride, const float *x, size_t x_stride,
                                                            uint32_t rows, uint32_t cols, float *out,
                                                            size_t out_stride) {
    const float *left[ADD_ROWS];
    float *to[ADD_ROWS];

    for (uint32_t r = 0; r < rows; r += count) {
        uint32_t r_count = least(count, rows - r);

        for (uint32_t i = 0; i < count; i++) {
            left[i] = x + (size_t)(r + least(i, r_count - 1)) * x_stride;
            to[i] = out + (size_t)(r + least(i, r_count - 1)) * out_stride;
        }
        if (r_count == 1) {
            add_tile(1, width, w, w_stride, left, cols, to);
        } else {
            add_tile(count, width, w, w_stride, left, cols, to);
        }
    }
}

static void matmul_add(const float *w, size_t w_stride, uint32_t width, const float *x, size_t x_stride,
                       uint32_t rows, uint32_t cols, float *out, size_t out_stride) {
    enum { SUMS = DOT_TILE * VALUE_TILE, ONE = SUMS < ADD_ROWS ? SUMS : ADD_ROWS };
    uint32_t p = 0;

    for (; p + VALUE_TILE * LANES <= width; p += VALUE_TILE * LANES) {
        add_strip(SUMS / VALUE_TILE, VALUE_TILE, w + p, w_stride, x, x_stride, rows, cols, out + p,
                  out_stride);
    }
    for (; p + 2 * LANES <= width; p += 2 * LANES) {
        add_strip(SUMS / 2, 2, w + p, w_stride, x, x_stride, rows, cols, out + p, out_stride);
    }
    for (; p < width; p += LANES) {
        add_strip(ONE, 1, w + p, w_stride, x, x_stride, rows, cols, out + p, out_stride);
    }
}

static float dot_f32(const float *a, const float *b, size_t n) {
    struct lanes sums[4] = {lanes_set(0), lanes_set(0), lanes_set(0), lanes_set(0)};
    size_t at = 0;

    for (; at + 4 * LANES <= n; at += 4 * LANES) {
        for (size_t i = 0; i < 4; i++) {
            sums[i] = lanes_fma(lanes_load(a + at + i * LANES), lanes_load(b + at + i * LANES), sums[i]);
        }
    }
    for (; at + LANES <= n; at += LANES) {
        sums[0] = lanes_fma(lanes_load(a + at), lanes_load(b + at), sums[0]);
    }
    if (at < n) {
        sums[0] = lanes_fma(lanes_load_first(a + at, n - at), lanes_load_first(b + at, n - at), sums[0]);
    }
    return lanes_sum(lanes_add(lanes_add(sums[0], sums[1]), lanes_add(sums[2], sums[3])));
}

static void rms_norm(const float *x, const float *weight, size_t n, float eps, float *out) {
    float mean = dot_f32(x, x, n) / (float)n;
    struct lanes factor = lanes_set(1.0F / sqrtf(mean + eps));
    size_t at = 0;

    for (; at + LANES <= n; at += LANES) {
        struct lanes y = lanes_mul(lanes_load(x + at), factor);
        lanes_store(out + at, weight ? lanes_mul(y, lanes_load(weight + at)) : y);
    }
    if (at < n) {
        struct lanes y = lanes_mul(lanes_load_first(x + at, n - at), factor);
        y = weight ? lanes_mul(y, lanes_load_first(weight + at, n - at)) : y;
        lanes_store_first(out + at, n - at, y);
    }
}

static void add(float *x, const float *y, size_t n) {
    size_t at = 0;

    for (; at + LANES <= n; at += LANES) {
        lanes_store(x + at, lanes_add(lanes_load(x + at), lanes_load(y + at)));
    }
    for (; at < n; at++) {
        x[at] += y[at];
    }
}

/* x · (1 + tanh u) / 2 = x / (1 + e^−2u): nothing cancels, and e^88 is as good as infinity. */
static inline struct lanes lanes_gelu(struct lanes x) {
    struct lanes cube = lanes_mul(lanes_mul(x, x), x);
    struct lanes u = lanes_fma(cube, lanes_set(0.044715F), x);
    struct lanes e = lanes_exp(lanes_mul(u, lanes_set(-2.0F * 0.7978845608F)));

    return lanes_div(x, lanes_add(lanes_set(1.0F), e));
}

static void gelu_mul(float *gate, const float *up, size_t n) {
    size_t at = 0;

    for (; at + LANES <= n; at += LANES) {
        lanes_store(gate + at, lanes_mul(lanes_gelu(lanes_load(gate + at)), lanes_load(up + at)));
    }
    if (at < n) {
        struct lanes g = lanes_gelu(lanes_load_first(gate + at, n - at));
        lanes_store_first(gate + at, n - at, lanes_mul(g, lanes_load_first(up + at, n - at)));
    }
}

/* cap · tanh(x / cap) = cap − 2 · cap / (1 + e^(2x / cap)). What is not finite becomes NaN: a cap would hide
 * it. */
static inline struct lanes lanes_soft_cap(struct lanes x, float cap) {
    struct lanes e = lanes_exp(lanes_mul(x, lanes_set(2.0F / cap)));
    struct lanes low = lanes_div(lanes_set(2.0F * cap), lanes_add(lanes_set(1.0F), e));

    return lanes_add(lanes_sub(lanes_set(cap), low), lanes_sub(x, x));
}

static void soft_cap(float *x, size_t n, float cap) {
    for (size_t at = 0; at < n; at += LANES) {
        size_t count = n - at < LANES ? n - at : LANES;

        lanes_store_first(x + at, count, lanes_soft_cap(lanes_load_first(x + at, count), cap));
    }
}

static void rope(float *x, const float *cosines, const float *sines, size_t n) {
    size_t half = n / 2;

    for (size_t at = 0; at < half; at += LANES) {
        size_t count = half - at < LANES ? half - at : LANES;
        bool whole = count == LANES;
        struct lanes a = whole ? lanes_load(x + at) : lanes_load_first(x + at, count);
        struct lanes b = whole ? lanes_load(x + half + at) : lanes_load_first(x + half + at, count);
        struct lanes c = whole ? lanes_load(cosines + at) : lanes_load_first(cosines + at, count);
        struct lanes s = whole ? lanes_load(sines + at) : lanes_load_first(sines + at, count);
        struct lanes first = lanes_fnma(b, s, lanes_mul(a, c));
        struct lanes second = lanes_fma(a, s, lanes_mul(b, c));

        lanes_store_first(x + at, count, first);
        lanes_store_first(x + half + at, count, second);
    }
}

/* ---- attention: up to DOT_TILE heads and 32 keys at a time, counted from the first key, so that neither the
 * cutting into runs nor the number of heads changes a sum. `heads` is a constant wherever it is a parameter.
 * ---- */

#define ATTEND_INLINE static inline __attribute__((always_inline))
enum { ATTEND_KEYS = 32 };

struct attend_state {
    const float *queries[DOT_TILE];
    float *out[DOT_TILE];
    float largest[DOT_TILE];
    struct lanes weight_sums[DOT_TILE];
    size_t head_size;
    float cap; /* 0: none */
};

/* One block of keys; beyond `count` they repeat the last. */
struct attend_keys {
    const float *keys[ATTEND_KEYS];
    const float *values[ATTEND_KEYS];
    uint32_t count;
};

ATTEND_INLINE void attend_scores(int heads, const struct attend_state *s, const struct attend_keys *block,
                                 float scores[DOT_TILE][ATTEND_KEYS]) {
    const uint32_t together = DOTS / (uint32_t)heads;
    float tile[DOTS];

    for (uint32_t k = 0; k < block->count; k += together) {
        dot_tile(heads, (int)together, s->queries, block->keys + k, s->head_size, tile);
        for (int h = 0; h < heads; h++) {
            memcpy(&scores[h][k], tile + (uint32_t)h * together, together * sizeof(float));
        }
    }
}

/* Scores become e^(score − largest so far); ret_old is what the sums up to here are to be multiplied by. */
ATTEND_INLINE void attend_weights(int heads, struct attend_state *s, uint32_t count,
                                  float scores[DOT_TILE][ATTEND_KEYS], float ret_old[LANES]) {
    float before[LANES] = {0};
    float after[LANES] = {0};

    for (int h = 0; h < heads; h++) {
        struct lanes low;
        struct lanes high;
        float largest;

        if (s->cap > 0) {
            soft_cap(scores[h], count, s->cap);
        }
        for (uint32_t k = count; k < ATTEND_KEYS; k++) {
            scores[h][k] = -INFINITY;
        }
        low = lanes_load(scores[h]);
        high = lanes_load(scores[h] + LANES);
        largest = lanes_largest(lanes_max(low, high));
        before[h] = s->largest[h];
        after[h] = before[h] > largest ? before[h] : largest;
        s->largest[h] = after[h];
        lanes_store(scores[h], lanes_exp(lanes_sub(low, lanes_set(after[h]))));
        lanes_store(scores[h] + LANES, lanes_exp(lanes_sub(high, lanes_set(after[h]))));
        for (uint32_t k = count; k < ATTEND_KEYS; k++) {
            scores[h][k] = 0;
        }
    }
    lanes_store(ret_old, lanes_exp(lanes_sub(lanes_load(before), lanes_load(after))));
    for (int h = 0; h < heads; h++) {
        struct lanes sum = lanes_mul(s->weight_sums[h], lanes_set(ret_old[h]));
        sum = lanes_add(sum, lanes_load(scores[h]));
        s->weight_sums[h] = lanes_add(sum, lanes_load(scores[h] + LANES));
    }
}

/* out = out · old + Σ weight · value, in key order, for `width` lanes of each head from column `at` on. */
ATTEND_INLINE void attend_columns(int heads, int width, const struct attend_state *s,
                                  const struct attend_keys *block, float weights[DOT_TILE][ATTEND_KEYS],
                                  const float *old, size_t at) {
    struct lanes sums[DOT_TILE][VALUE_TILE];

    for (int h = 0; h < heads; h++) {
        for (int i = 0; i < width; i++) {
            sums[h][i] = lanes_mul(lanes_load(s->out[h] + at + (size_t)i * LANES), lanes_set(old[h]));
        }
    }
    for (uint32_t k = 0; k < block->count; k++) {
        for (int i = 0; i < width; i++) {
            struct lanes value = lanes_load(block->values[k] + at + (size_t)i * LANES);
            for (int h = 0; h < heads; h++) {
                sums[h][i] = lanes_fma(lanes_set(weights[h][k]), value, sums[h][i]);
            }
        }
    }
    for (int h = 0; h < heads; h++) {
        for (int i = 0; i < width; i++) {
            lanes_store(s->out[h] + at + (size_t)i * LANES, sums[h][i]);
        }
    }
}

ATTEND_INLINE void attend_block(int heads, struct attend_state *s, const struct attend_keys *block) {
    float weights[DOT_TILE][ATTEND_KEYS];
    float old[LANES];
    size_t at = 0;

    attend_scores(heads, s, block, weights);
    attend_weights(heads, s, block->count, weights, old);
    for (; at + VALUE_TILE * LANES <= s->head_size; at += VALUE_TILE * LANES) {
        attend_columns(heads, VALUE_TILE, s, block, weights, old, at);
    }
    for (; at < s->head_size; at += LANES) {
        attend_columns(heads, 1, s, block, weights, old, at);
    }
}

/* One function for each number of heads, so that the compiler sees a constant. */
static void attend_block_one(struct attend_state *s, const struct attend_keys *block) {
    attend_block(1, s, block);
}

static void attend_block_two(struct attend_state *s, const struct attend_keys *block) {
    attend_block(2, s, block);
}

static void attend_block_tile(struct attend_state *s, const struct attend_keys *block) {
    attend_block(DOT_TILE, s, block);
}

typedef void attend_block_fn(struct attend_state *s, const struct attend_keys *block);

static void attend_runs(attend_block_fn *attend_one_block, struct attend_state *s, const struct kv_run *runs,
                        size_t run_count) {
    struct attend_keys block = {.count = 0};

    for (size_t r = 0; r < run_count; r++) {
        for (uint32_t i = 0; i < runs[r].count; i++) {
            block.keys[block.count] = runs[r].keys + (size_t)i * runs[r].stride;
            block.values[block.count] = runs[r].values + (size_t)i * runs[r].stride;
            if (++block.count == ATTEND_KEYS) {
                attend_one_block(s, &block);
                block.count = 0;
            }
        }
    }
    if (block.count) {
        for (uint32_t k = block.count; k < ATTEND_KEYS; k++) {
            block.keys[k] = block.keys[block.count - 1];
        }
        attend_one_block(s, &block);
    }
}

static void attend_heads(const float *q, uint32_t heads, const struct kv_run *runs, size_t run_count,
                         size_t head_size, float cap, float *out) {
    uint32_t together;

    for (uint32_t first = 0; first < heads; first += together) {
        struct attend_state s = {.head_size = head_size, .cap = cap};

        together = heads - first >= DOT_TILE ? DOT_TILE : heads - first >= 2 ? 2 : 1;
        memset(out + first * head_size, 0, together * head_size * sizeof(float));
        for (uint32_t h = 0; h < together; h++) {
            s.queries[h] = q + (first + h) * head_size;
            s.out[h] = out + (first + h) * head_size;
            s.largest[h] = -INFINITY;
            s.weight_sums[h] = lanes_set(0);
        }
        attend_runs(together == DOT_TILE ? attend_block_tile
                    : together == 2      ? attend_block_two
                                         : attend_block_one,
                    &s, runs, run_count);
        for (uint32_t h = 0; h < together; h++) {
            struct lanes inverse = lanes_set(1.0F / lanes_sum(s.weight_sums[h]));
            for (size_t at = 0; at < head_size; at += LANES) {
                lanes_store(s.out[h] + at, lanes_mul(lanes_load(s.out[h] + at), inverse));
            }
        }
    }
}

static void attend(const float *q, const struct kv_run *runs, size_t run_count, size_t head_size, float cap,
                   float *out) {
    attend_heads(q, 1, runs, run_count, head_size, cap, out);
}

#endif
