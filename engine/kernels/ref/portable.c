/* SPDX-License-Identifier: Apache-2.0
 *
 * The reference table: plain C, one scalar after the other.
 */
#include "engine/kernels/ref/lanes.h"

#include "engine/kernels/lane_kernels.h"
#include "engine/kernels/pack.h"
#include "engine/kernels/sets.h"

/* Σ over 4 steps from `first` on of the bytes of panel row p with the activations. */
static int32_t half_dot(uint8_t q[BLOCK_STEPS][PANEL_ROWS][STEP_COLS], int p, const int8_t *x, int first) {
    int32_t sum = 0;

    for (int step = first; step < first + BLOCK_STEPS / 2; step++) {
        for (int c = 0; c < STEP_COLS; c++) {
            sum += (int32_t)q[step][p][c] * x[STEP_COLS * step + c];
        }
    }
    return sum;
}

static float row_dot(uint8_t *panel, enum panel_form form, uint32_t blocks, int p,
                     const struct activation_block *x) {
    float sum = 0;

    for (uint32_t b = 0; b < blocks; b++, panel += panel_block_bytes(form), x++) {
        struct panel_block *plain = (struct panel_block *)(void *)panel;
        struct panel_block_pair *pair = (struct panel_block_pair *)(void *)panel;
        float part;

        if (form == PANEL_SYMMETRIC) {
            int32_t dot = x->offset + half_dot(plain->q, p, x->q, 0) + half_dot(plain->q, p, x->q, 4);
            part = plain->scales[p] * (float)dot;
        } else if (form == PANEL_ASYMMETRIC) {
            int32_t dot = half_dot(pair->q, p, x->q, 0) + half_dot(pair->q, p, x->q, 4);
            part = fmaf(pair->second[p], x->negative_sum, pair->scales[p] * (float)dot);
        } else {
            int32_t low = x->offset_low + half_dot(pair->q, p, x->q, 0);
            int32_t high = x->offset_high + half_dot(pair->q, p, x->q, 4);
            part = fmaf(pair->second[p], (float)high, pair->scales[p] * (float)low);
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
        uint8_t *weights = (uint8_t *)w->data + panel * panel_bytes;

        for (uint32_t r = 0; r < rows; r++) {
            const struct activation_block *x = (const void *)((const uint8_t *)q + r * row_bytes);

            for (uint32_t p = 0; p < count; p++) {
                out[r * out_stride + first + p] = row_dot(weights, form, blocks, (int)p, x);
            }
        }
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
    .dot_f32 = dot_f32,
    .rms_norm = rms_norm,
    .add = add,
    .gelu_mul = gelu_mul,
    .rope = rope,
    .attend = attend,
    .attend_heads = attend_heads,
};
