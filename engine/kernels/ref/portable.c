/* SPDX-License-Identifier: Apache-2.0
 *
 * The reference table: plain C, one scalar after the other.
 */
#include "engine/kernels/ref/lanes.h"

#include "engine/kernels/lane_kernels.h"
#include "engine/kernels/pack.h"
#include "engine/kernels/sets.h"

/* Σ over steps 0 … 3 or 4 … 7 of the weights of panel row p with the activations. */
static int32_t half_dot(enum panel_form form, const uint8_t *block, uint32_t p, const int8_t *x, int half) {
    const uint8_t *q = block + panel_block_scale_bytes(form) + STEP_COLS * p;
    int32_t sum = 0;

    for (int step = 0; step < BLOCK_STEPS / 2; step++) {
        int at = form == PANEL_NIBBLES ? step : step + half * (BLOCK_STEPS / 2);
        const uint8_t *four = q + (size_t)at * PANEL_ROWS * STEP_COLS;

        for (int c = 0; c < STEP_COLS; c++) {
            int32_t weight = form != PANEL_NIBBLES ? four[c] : half ? four[c] >> 4 : four[c] & 15;
            sum += weight * x[STEP_COLS * (step + half * (BLOCK_STEPS / 2)) + c];
        }
    }
    return sum;
}

static float row_dot(enum panel_form form, const uint8_t *panel, uint32_t blocks, uint32_t p,
                     const struct activation_block *x) {
    float sum = 0;

    for (uint32_t b = 0; b < blocks; b++, panel += panel_block_bytes(form), x++) {
        const float *scales = (const float *)(const void *)panel;
        int32_t low = half_dot(form, panel, p, x->q, 0);
        int32_t high = half_dot(form, panel, p, x->q, 1);
        float part;

        if (form == PANEL_SYMMETRIC) {
            part = scales[p] * (float)(x->offset + low + high);
        } else if (form == PANEL_HALVES) {
            part = scales[p] * (float)(x->offset_low + low);
            part = fmaf(scales[PANEL_ROWS + p], (float)(x->offset_high + high), part);
        } else {
            part = scales[p] * (float)(low + high);
            part = fmaf(scales[PANEL_ROWS + p], x->negative_sum, part);
        }
        sum = fmaf(part, x->scale, sum);
    }
    return sum;
}

static void matmul(const struct packed_matrix *w, const void *q, uint32_t rows, uint32_t first_panel,
                   uint32_t end_panel, float *out, size_t out_stride) {
    enum panel_form form = panel_form_of(w->type);
    uint32_t blocks = w->cols / BLOCK_COLS;
    size_t panel_bytes = blocks * panel_block_bytes(form);
    size_t row_bytes = activation_row_bytes(w->cols);

    for (uint32_t panel = first_panel; panel < end_panel; panel++) {
        uint32_t first = panel * PANEL_ROWS;
        uint32_t count = least(PANEL_ROWS, w->rows - first);
        const uint8_t *weights = (const uint8_t *)w->data + panel * panel_bytes;

        for (uint32_t r = 0; r < rows; r++) {
            const struct activation_block *x = (const void *)((const uint8_t *)q + r * row_bytes);

            for (uint32_t p = 0; p < count; p++) {
                out[r * out_stride + first + p] = row_dot(form, weights, blocks, p, x);
            }
        }
        add_outliers_of(form, weights, blocks, count, q, rows, out + first, out_stride);
    }
}

const struct kernel_set kernel_set_portable = {
    .name = "portable",
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
