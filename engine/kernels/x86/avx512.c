/* SPDX-License-Identifier: Apache-2.0
 *
 * The table for AVX-512 with VNNI: 16 rows of weights meet one broadcast of 4 activations in one instruction.
 */
#include "engine/kernels/x86/avx512_lanes.h"

#include "engine/kernels/lane_kernels.h"
#include "engine/kernels/pack.h"
#include "engine/kernels/sets.h"

/* The 8 steps of a block. They and its scales stay in registers while the rows of the tile pass. */
struct block512 {
    __m512i q0, q1, q2, q3, q4, q5, q6, q7;
    __m512 scales, second;
};

static inline __attribute__((always_inline)) void load_block(enum panel_form form, const uint8_t *panel,
                                                             struct block512 *w) {
    const uint8_t *q = panel + panel_block_scale_bytes(form);
    const __m512i low = _mm512_set1_epi8(15);

    w->scales = _mm512_load_ps(panel);
    w->second = form == PANEL_SYMMETRIC ? w->scales : _mm512_load_ps(panel + 64);
    w->q0 = _mm512_load_si512(q);
    w->q1 = _mm512_load_si512(q + 64);
    w->q2 = _mm512_load_si512(q + 128);
    w->q3 = _mm512_load_si512(q + 192);
    if (form == PANEL_NIBBLES) {
        w->q4 = _mm512_and_si512(_mm512_srli_epi16(w->q0, 4), low);
        w->q5 = _mm512_and_si512(_mm512_srli_epi16(w->q1, 4), low);
        w->q6 = _mm512_and_si512(_mm512_srli_epi16(w->q2, 4), low);
        w->q7 = _mm512_and_si512(_mm512_srli_epi16(w->q3, 4), low);
        w->q0 = _mm512_and_si512(w->q0, low);
        w->q1 = _mm512_and_si512(w->q1, low);
        w->q2 = _mm512_and_si512(w->q2, low);
        w->q3 = _mm512_and_si512(w->q3, low);
    } else {
        w->q4 = _mm512_load_si512(q + 256);
        w->q5 = _mm512_load_si512(q + 320);
        w->q6 = _mm512_load_si512(q + 384);
        w->q7 = _mm512_load_si512(q + 448);
    }
}

static inline __attribute__((always_inline)) __m512i broadcast4(const void *p) {
    int32_t four;

    memcpy(&four, p, sizeof(four));
    return _mm512_set1_epi32(four);
}

/* Four rows side by side: one row's sum is a chain, and four chains hide each other's latency. Rows beyond
 * `count` do not exist; all branches are decided by the compiler. */
#define STEP4(half, n)                                                                                       \
    half##0 = _mm512_dpbusd_epi32(half##0, w->q##n, broadcast4(x0->q + STEP_COLS * (n)));                    \
    half##1 =                                                                                                \
        count > 1 ? _mm512_dpbusd_epi32(half##1, w->q##n, broadcast4(x1->q + STEP_COLS * (n))) : half##1;    \
    half##2 =                                                                                                \
        count > 2 ? _mm512_dpbusd_epi32(half##2, w->q##n, broadcast4(x2->q + STEP_COLS * (n))) : half##2;    \
    half##3 = count > 3 ? _mm512_dpbusd_epi32(half##3, w->q##n, broadcast4(x3->q + STEP_COLS * (n))) : half##3

static inline __attribute__((always_inline)) __m512 finish(enum panel_form form, const struct block512 *w,
                                                           __m512i low, __m512i high,
                                                           const struct activation_block *x, __m512 sum) {
    __m512 part = _mm512_mul_ps(w->scales, _mm512_cvtepi32_ps(low));

    if (panel_has_minima(form)) {
        part = _mm512_fmadd_ps(w->second, _mm512_set1_ps(x->negative_sum), part);
    } else if (form == PANEL_HALVES) {
        part = _mm512_fmadd_ps(w->second, _mm512_cvtepi32_ps(high), part);
    }
    return _mm512_fmadd_ps(part, _mm512_set1_ps(x->scale), sum);
}

static inline __attribute__((always_inline)) __m512i start(enum panel_form form,
                                                           const struct activation_block *x) {
    switch (form) {
    case PANEL_SYMMETRIC:
        return _mm512_set1_epi32(x->offset);
    case PANEL_HALVES:
        return _mm512_set1_epi32(x->offset_low);
    default:
        return _mm512_setzero_si512();
    }
}

static inline __attribute__((always_inline)) void four_rows(enum panel_form form, int count,
                                                            const struct block512 *w, const uint8_t *x,
                                                            size_t row_bytes, __m512 *sums) {
    const struct activation_block *x0 = (const void *)x;
    const struct activation_block *x1 = (const void *)(x + row_bytes);
    const struct activation_block *x2 = (const void *)(x + 2 * row_bytes);
    const struct activation_block *x3 = (const void *)(x + 3 * row_bytes);
    __m512i low0 = start(form, x0);
    __m512i low1 = count > 1 ? start(form, x1) : low0;
    __m512i low2 = count > 2 ? start(form, x2) : low0;
    __m512i low3 = count > 3 ? start(form, x3) : low0;
    __m512i high0 = low0;
    __m512i high1 = low1;
    __m512i high2 = low2;
    __m512i high3 = low3;

    STEP4(low, 0);
    STEP4(low, 1);
    STEP4(low, 2);
    STEP4(low, 3);
    if (form == PANEL_HALVES) {
        high0 = _mm512_set1_epi32(x0->offset_high);
        high1 = count > 1 ? _mm512_set1_epi32(x1->offset_high) : high0;
        high2 = count > 2 ? _mm512_set1_epi32(x2->offset_high) : high0;
        high3 = count > 3 ? _mm512_set1_epi32(x3->offset_high) : high0;
        STEP4(high, 4);
        STEP4(high, 5);
        STEP4(high, 6);
        STEP4(high, 7);
    } else {
        STEP4(low, 4);
        STEP4(low, 5);
        STEP4(low, 6);
        STEP4(low, 7);
    }
    sums[0] = finish(form, w, low0, high0, x0, sums[0]);
    sums[1] = count > 1 ? finish(form, w, low1, high1, x1, sums[1]) : sums[1];
    sums[2] = count > 2 ? finish(form, w, low2, high2, x2, sums[2]) : sums[2];
    sums[3] = count > 3 ? finish(form, w, low3, high3, x3, sums[3]) : sums[3];
}

/* One panel, or the columns of it that the caller cut out. */
struct piece {
    const uint8_t *panel;
    uint32_t blocks;
    size_t row_bytes, out_stride;
    __mmask16 mask; /* the panel's rows that exist */
    bool resume;    /* the sums go on from what `out` holds */
};

/* The piece with `count` (1 … 16) rows of activations. The first tile that meets a piece asks for the weights
 * four blocks ahead: while 16 rows pass over a block, the processor's own prefetch falls asleep. A single row
 * reads so fast that asking only gets in its way. */
static inline __attribute__((always_inline)) void
tile(enum panel_form form, int count, bool fetch, const struct piece *piece, const uint8_t *x, float *out) {
    size_t block_bytes = panel_block_bytes(form);
    const uint8_t *panel = piece->panel;
    size_t row_bytes = piece->row_bytes;
    __m512 sums[16];

    for (int r = 0; r < count; r++) {
        sums[r] = piece->resume ? _mm512_maskz_loadu_ps(piece->mask, out + (size_t)r * piece->out_stride)
                                : _mm512_setzero_ps();
    }
    for (uint32_t b = 0; b < piece->blocks; b++) {
        struct block512 w;

        if (fetch) {
            for (size_t line = 0; line < block_bytes; line += 64) {
                _mm_prefetch((const char *)panel + 4 * block_bytes + line, _MM_HINT_T0);
            }
        }
        load_block(form, panel, &w);
        four_rows(form, count, &w, x, row_bytes, sums);
        if (count > 4) {
            four_rows(form, count - 4, &w, x + 4 * row_bytes, row_bytes, sums + 4);
        }
        if (count > 8) {
            four_rows(form, count - 8, &w, x + 8 * row_bytes, row_bytes, sums + 8);
        }
        if (count > 12) {
            four_rows(form, count - 12, &w, x + 12 * row_bytes, row_bytes, sums + 12);
        }
        panel += block_bytes;
        x += sizeof(struct activation_block);
    }
    for (int r = 0; r < count; r++) {
        _mm512_mask_storeu_ps(out + (size_t)r * piece->out_stride, piece->mask, sums[r]);
    }
}

static inline __attribute__((always_inline)) void piece_rows(enum panel_form form, const struct piece *piece,
                                                             const uint8_t *x, uint32_t rows, float *out) {
    bool fetch = true;

    for (; rows >= 16; rows -= 16, x += 16 * piece->row_bytes, out += 16 * piece->out_stride) {
        tile(form, 16, fetch, piece, x, out);
        fetch = false;
    }
    if (rows & 8) {
        tile(form, 8, fetch, piece, x, out);
        x += 8 * piece->row_bytes;
        out += 8 * piece->out_stride;
    }
    if (rows & 4) {
        tile(form, 4, false, piece, x, out);
        x += 4 * piece->row_bytes;
        out += 4 * piece->out_stride;
    }
    if (rows & 2) {
        tile(form, 2, false, piece, x, out);
        x += 2 * piece->row_bytes;
        out += 2 * piece->out_stride;
    }
    if (rows & 1) {
        tile(form, 1, false, piece, x, out);
    }
}

/* One function for each form, so that the compiler sees a constant. */
static void symmetric_rows(const struct piece *piece, const uint8_t *x, uint32_t rows, float *out) {
    piece_rows(PANEL_SYMMETRIC, piece, x, rows, out);
}

static void asymmetric_rows(const struct piece *piece, const uint8_t *x, uint32_t rows, float *out) {
    piece_rows(PANEL_ASYMMETRIC, piece, x, rows, out);
}

static void nibbles_rows(const struct piece *piece, const uint8_t *x, uint32_t rows, float *out) {
    piece_rows(PANEL_NIBBLES, piece, x, rows, out);
}

static void halves_rows(const struct piece *piece, const uint8_t *x, uint32_t rows, float *out) {
    piece_rows(PANEL_HALVES, piece, x, rows, out);
}

typedef void piece_fn(const struct piece *piece, const uint8_t *x, uint32_t rows, float *out);

static piece_fn *piece_fn_of(enum panel_form form) {
    switch (form) {
    case PANEL_SYMMETRIC:
        return symmetric_rows;
    case PANEL_ASYMMETRIC:
        return asymmetric_rows;
    case PANEL_NIBBLES:
        return nibbles_rows;
    default:
        return halves_rows;
    }
}

static void matmul(const struct packed_matrix *w, const void *q, uint32_t rows, uint32_t first_panel,
                   uint32_t end_panel, float *out, size_t out_stride) {
    enum panel_form form = panel_form_of(w->type);
    piece_fn *multiply = piece_fn_of(form);
    uint32_t blocks = w->cols / BLOCK_COLS;
    size_t block_bytes = panel_block_bytes(form);
    struct cut cut = cut_of(rows, w->cols);
    struct piece piece = {.row_bytes = activation_row_bytes(w->cols), .out_stride = out_stride};

    for (uint32_t r = 0; r < rows; r += cut.rows) {
        for (uint32_t b = 0; b < blocks; b += cut.blocks) {
            const uint8_t *x = (const uint8_t *)q + r * piece.row_bytes + b * sizeof(struct activation_block);

            piece.blocks = least(cut.blocks, blocks - b);
            piece.resume = b > 0;
            for (uint32_t p = first_panel; p < end_panel; p++) {
                uint32_t left = w->rows - p * PANEL_ROWS;

                piece.panel = (const uint8_t *)w->data + ((size_t)p * blocks + b) * block_bytes;
                piece.mask = left >= PANEL_ROWS ? 0xffff : (__mmask16)((1U << left) - 1);
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

const struct kernel_set kernel_set_avx512 = {
    .name = "avx512",
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
