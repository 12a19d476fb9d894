/* SPDX-License-Identifier: Apache-2.0
 *
 * The table for AVX2 with FMA. vpmaddubsw adds two products of an unsigned and a signed byte into 16 bits and
 * saturates there, so each type says how many of these sums fit: with the type's own zero the weights are at
 * most 15, 31 or 63, and 8, 4 or 2 steps can be added before they widen. Eight-bit weights take their sign to
 * the activations instead: 2 · 128 · 127 fits.
 */
#include "engine/kernels/x86/avx2_lanes.h"

#include "engine/kernels/lane_kernels.h"
#include "engine/kernels/pack.h"
#include "engine/kernels/sets.h"

#define INLINE static inline __attribute__((always_inline))

struct weights {
    enum panel_form form;
    int zero;  /* of the stored type; 128 means by sign */
    int steps; /* that fit into 16 bits */
};

enum { TILE = 4 };

/* Sums of 8 rows of the panel with one row of activations. */
struct eights {
    __m256i low, high;
};

INLINE __m256i broadcast4(const int8_t *p) {
    int32_t four;

    memcpy(&four, p, sizeof(four));
    return _mm256_set1_epi32(four);
}

INLINE __m256i load32(const uint8_t *p) {
    return _mm256_load_si256((const __m256i *)(const void *)p);
}

INLINE __m256i products(struct weights t, __m256i w, __m256i x) {
    if (t.zero == 128) {
        return _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w));
    }
    return _mm256_maddubs_epi16(w, x);
}

/* 32 weights of a step, as the type wants them multiplied: rows 0 … 7 of the panel from byte 0 on, 8 … 15
 * from 32. */
INLINE __m256i step_weights(struct weights t, const uint8_t *q, int step, int byte) {
    const __m256i low = _mm256_set1_epi8(15);

    if (t.form == PANEL_NIBBLES) {
        __m256i both = load32(q + 64 * (step % (BLOCK_STEPS / 2)) + byte);
        return _mm256_and_si256(step < BLOCK_STEPS / 2 ? both : _mm256_srli_epi16(both, 4), low);
    }
    __m256i w = load32(q + 64 * step + byte);
    if (t.form == PANEL_ASYMMETRIC) {
        return w;
    }
    if (t.zero == 128) {
        return _mm256_xor_si256(w, _mm256_set1_epi8(-128));
    }
    return _mm256_sub_epi8(w, _mm256_set1_epi8((char)(128 - t.zero)));
}

/* sums[r] += steps `first` to `end` of a block for `count` rows of activations. */
INLINE void add_steps(struct weights t, int count, const uint8_t *q, int first, int end,
                      const struct activation_block *const x[TILE], struct eights sums[TILE]) {
    const __m256i ones = _mm256_set1_epi16(1);

    for (int step = first; step < end; step += t.steps) {
        struct eights words[TILE];

        for (int r = 0; r < count; r++) {
            words[r] = (struct eights){_mm256_setzero_si256(), _mm256_setzero_si256()};
        }
        for (int i = 0; i < t.steps; i++) {
            __m256i low = step_weights(t, q, step + i, 0);
            __m256i high = step_weights(t, q, step + i, 32);

            for (int r = 0; r < count; r++) {
                __m256i four = broadcast4(x[r]->q + STEP_COLS * (step + i));
                __m256i p = products(t, low, four);
                __m256i s = products(t, high, four);
                words[r].low = _mm256_add_epi16(words[r].low, p);
                words[r].high = _mm256_add_epi16(words[r].high, s);
            }
        }
        for (int r = 0; r < count; r++) {
            sums[r].low = _mm256_add_epi32(sums[r].low, _mm256_madd_epi16(words[r].low, ones));
            sums[r].high = _mm256_add_epi32(sums[r].high, _mm256_madd_epi16(words[r].high, ones));
        }
    }
}

/* What the integer sum starts with: −zero · Σq of the activations. */
INLINE struct eights start(struct weights t, int32_t offset) {
    __m256i value = panel_has_minima(t.form) || t.zero == 128 ? _mm256_setzero_si256()
                                                              : _mm256_set1_epi32(offset / 128 * t.zero);
    return (struct eights){value, value};
}

INLINE __m256 finish(struct weights t, const float *scales, __m256i low, __m256i high,
                     const struct activation_block *x, __m256 sum) {
    __m256 part = _mm256_mul_ps(_mm256_load_ps(scales), _mm256_cvtepi32_ps(low));

    if (panel_has_minima(t.form)) {
        part = _mm256_fmadd_ps(_mm256_load_ps(scales + PANEL_ROWS), _mm256_set1_ps(x->negative_sum), part);
    } else if (t.form == PANEL_HALVES) {
        part = _mm256_fmadd_ps(_mm256_load_ps(scales + PANEL_ROWS), _mm256_cvtepi32_ps(high), part);
    }
    return _mm256_fmadd_ps(part, _mm256_set1_ps(x->scale), sum);
}

INLINE void block_rows(struct weights t, int count, const uint8_t *panel, const uint8_t *x, size_t row_bytes,
                       struct lanes out[TILE]) {
    const uint8_t *q = panel + panel_block_scale_bytes(t.form);
    const float *scales = (const float *)(const void *)panel;
    const struct activation_block *rows[TILE];
    struct eights low[TILE];
    struct eights high[TILE];

    for (int r = 0; r < count; r++) {
        rows[r] = (const void *)(x + (size_t)r * row_bytes);
        low[r] = start(t, t.form == PANEL_HALVES ? rows[r]->offset_low : rows[r]->offset);
        high[r] = low[r];
    }
    add_steps(t, count, q, 0, t.form == PANEL_HALVES ? BLOCK_STEPS / 2 : BLOCK_STEPS, rows, low);
    if (t.form == PANEL_HALVES) {
        for (int r = 0; r < count; r++) {
            high[r] = start(t, rows[r]->offset_high);
        }
        add_steps(t, count, q, BLOCK_STEPS / 2, BLOCK_STEPS, rows, high);
    }
    for (int r = 0; r < count; r++) {
        out[r].low = finish(t, scales, low[r].low, high[r].low, rows[r], out[r].low);
        out[r].high = finish(t, scales + 8, low[r].high, high[r].high, rows[r], out[r].high);
    }
}

/* One panel, or the columns of it that the caller cut out. */
struct piece {
    const uint8_t *panel;
    uint32_t blocks;
    size_t row_bytes, out_stride;
    uint32_t panel_rows; /* that exist */
    bool resume;         /* the sums go on from what `out` holds */
};

INLINE void tile(struct weights t, int count, const struct piece *piece, const uint8_t *x, float *out) {
    bool whole = piece->panel_rows == PANEL_ROWS;
    const uint8_t *panel = piece->panel;
    struct lanes sums[TILE];

    for (int r = 0; r < count; r++) {
        const float *from = out + (size_t)r * piece->out_stride;
        sums[r] = !piece->resume ? lanes_set(0)
                  : whole        ? lanes_load(from)
                                 : lanes_load_first(from, piece->panel_rows);
    }
    for (uint32_t b = 0; b < piece->blocks; b++) {
        block_rows(t, count, panel, x, piece->row_bytes, sums);
        panel += panel_block_bytes(t.form);
        x += sizeof(struct activation_block);
    }
    for (int r = 0; r < count; r++) {
        if (whole) {
            lanes_store(out + (size_t)r * piece->out_stride, sums[r]);
        } else {
            lanes_store_first(out + (size_t)r * piece->out_stride, piece->panel_rows, sums[r]);
        }
    }
}

INLINE void all_rows(struct weights t, const struct piece *piece, const uint8_t *x, uint32_t rows,
                     float *out) {
    for (; rows >= TILE; rows -= TILE, x += TILE * piece->row_bytes, out += TILE * piece->out_stride) {
        tile(t, TILE, piece, x, out);
    }
    for (; rows; rows--, x += piece->row_bytes, out += piece->out_stride) {
        tile(t, 1, piece, x, out);
    }
}

typedef void panel_fn(const struct piece *piece, const uint8_t *x, uint32_t rows, float *out);

/* One function for each kind of weights, so that the compiler sees its constants. */
#define PANEL_FN(name, form, zero, steps)                                                                    \
    static void name(const struct piece *piece, const uint8_t *x, uint32_t rows, float *out) {               \
        all_rows((struct weights){form, zero, steps}, piece, x, rows, out);                                  \
    }

PANEL_FN(panel_q5_0, PANEL_SYMMETRIC, 16, 4)
PANEL_FN(panel_q8_0, PANEL_SYMMETRIC, 128, 1)
PANEL_FN(panel_nibbles, PANEL_NIBBLES, 0, 8)
PANEL_FN(panel_q5, PANEL_ASYMMETRIC, 0, 4)
PANEL_FN(panel_q6_k, PANEL_HALVES, 32, 2)

static panel_fn *panel_fn_of(enum tensor_type type) {
    switch (type) {
    case TENSOR_Q5_0:
        return panel_q5_0;
    case TENSOR_Q8_0:
        return panel_q8_0;
    case TENSOR_Q4_0:
    case TENSOR_Q4_K:
        return panel_nibbles;
    case TENSOR_Q6_K:
        return panel_q6_k;
    default: /* Q5_1, Q5_K */
        return panel_q5;
    }
}

static void matmul(const struct packed_matrix *w, const void *q, uint32_t rows, uint32_t first_panel,
                   uint32_t end_panel, float *out, size_t out_stride) {
    panel_fn *multiply = panel_fn_of(w->type);
    uint32_t blocks = w->cols / BLOCK_COLS;
    size_t block_bytes = panel_block_bytes(panel_form_of(w->type));
    struct cut cut = cut_of(rows, w->cols);
    struct piece piece = {.row_bytes = activation_row_bytes(w->cols), .out_stride = out_stride};

    for (uint32_t r = 0; r < rows; r += cut.rows) {
        for (uint32_t b = 0; b < blocks; b += cut.blocks) {
            const uint8_t *x = (const uint8_t *)q + r * piece.row_bytes + b * sizeof(struct activation_block);

            piece.blocks = least(cut.blocks, blocks - b);
            piece.resume = b > 0;
            for (uint32_t p = first_panel; p < end_panel; p++) {
                piece.panel = (const uint8_t *)w->data + ((size_t)p * blocks + b) * block_bytes;
                piece.panel_rows = least(PANEL_ROWS, w->rows - p * PANEL_ROWS);
                multiply(&piece, x, least(cut.rows, rows - r), out + r * out_stride + (size_t)p * PANEL_ROWS);
            }
        }
        for (uint32_t p = first_panel; p < end_panel; p++) {
            add_outliers_of(
                panel_form_of(w->type), (const uint8_t *)w->data + (size_t)p * blocks * block_bytes, blocks,
                least(PANEL_ROWS, w->rows - p * PANEL_ROWS), (const uint8_t *)q + r * piece.row_bytes,
                least(cut.rows, rows - r), out + r * out_stride + (size_t)p * PANEL_ROWS, out_stride);
        }
    }
}

const struct kernel_set kernel_set_avx2 = {
    .name = "avx2",
    .dequantize = dequantize,
    .packed_bytes = kernel_packed_bytes,
    .pack = kernel_pack,
    .activation_bytes = kernel_activation_bytes,
    .quantize_rows = quantize_rows,
    .matmul = matmul,
    .matmul_f32 = matmul_f32,
    .matmul_add = matmul_add,
    .dot_f32 = dot_f32,
    .rms_norm = rms_norm,
    .add = add,
    .gelu_mul = gelu_mul,
    .soft_cap = soft_cap,
    .rope = rope,
    .attend = attend,
    .attend_heads = attend_heads,
};
