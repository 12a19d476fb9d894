/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/kernels/pack.h"

#include <string.h>

#include "engine/kernels/layout.h"
#include "engine/kernels/ref/blocks.h"

const struct tensor_type_info *tensor_type_info(uint32_t type) {
    static const struct tensor_type_info infos[] = {
        [TENSOR_F32] = {"F32", 1, 4},       [TENSOR_F16] = {"F16", 1, 2},
        [TENSOR_Q4_0] = {"Q4_0", 32, 18},   [TENSOR_Q5_0] = {"Q5_0", 32, 22},
        [TENSOR_Q5_1] = {"Q5_1", 32, 24},   [TENSOR_Q8_0] = {"Q8_0", 32, 34},
        [TENSOR_Q4_K] = {"Q4_K", 256, 144}, [TENSOR_Q5_K] = {"Q5_K", 256, 176},
        [TENSOR_Q6_K] = {"Q6_K", 256, 210}, [TENSOR_BF16] = {"BF16", 1, 2},
    };

    if (type >= sizeof(infos) / sizeof(infos[0]) || !infos[type].name) {
        return NULL;
    }
    return &infos[type];
}

static void dequantize_blocks(enum tensor_type type, const uint8_t *row, size_t count, float *out) {
    enum panel_form form = panel_form_of(type);
    struct values32 values;

    for (size_t i = 0; i < count / BLOCK_COLS; i++) {
        float *to = out + i * BLOCK_COLS;

        values32_decode(type, row, i, &values);
        for (int c = 0; c < BLOCK_COLS; c++) {
            if (panel_has_minima(form)) {
                to[c] = values.scale * (float)values.q[c] - values.second;
            } else {
                float scale = form == PANEL_HALVES && c >= BLOCK_COLS / 2 ? values.second : values.scale;
                to[c] = scale * (float)(values.q[c] - 128);
            }
        }
    }
}

void kernel_dequantize(enum tensor_type type, const void *row, size_t count, float *out) {
    const uint8_t *bytes = row;

    switch (type) {
    case TENSOR_F32:
        memcpy(out, row, count * sizeof(float));
        break;
    case TENSOR_F16:
        for (size_t i = 0; i < count; i++) {
            out[i] = float_of_half((uint16_t)(bytes[2 * i] | bytes[2 * i + 1] << 8));
        }
        break;
    case TENSOR_BF16:
        for (size_t i = 0; i < count; i++) {
            uint32_t bits = (uint32_t)bytes[2 * i] << 16 | (uint32_t)bytes[2 * i + 1] << 24;
            memcpy(&out[i], &bits, sizeof(bits));
        }
        break;
    default:
        dequantize_blocks(type, bytes, count, out);
        break;
    }
}

size_t kernel_packed_bytes(enum tensor_type type, uint32_t rows, uint32_t cols) {
    enum panel_form form = panel_form_of(type);
    size_t panels = ((size_t)rows + PANEL_ROWS - 1) / PANEL_ROWS;

    return form == PANEL_NONE ? 0 : panels * (cols / BLOCK_COLS) * panel_block_bytes(form);
}

size_t kernel_activation_bytes(uint32_t cols) {
    return activation_row_bytes(cols);
}

/* Puts one row's block into a panel. */
static void place(enum panel_form form, const struct values32 *values, uint32_t row, uint8_t *block) {
    uint8_t *q = block + panel_block_scale_bytes(form) + STEP_COLS * row;
    size_t step_bytes = PANEL_ROWS * STEP_COLS;

    memcpy(block + row * sizeof(float), &values->scale, sizeof(float));
    if (form != PANEL_SYMMETRIC) {
        memcpy(block + (PANEL_ROWS + row) * sizeof(float), &values->second, sizeof(float));
    }
    if (form == PANEL_NIBBLES) {
        for (size_t i = 0; i < BLOCK_COLS / 2; i++) {
            q[i / STEP_COLS * step_bytes + i % STEP_COLS] =
                (uint8_t)(values->q[i] | values->q[i + BLOCK_COLS / 2] << 4);
        }
        return;
    }
    for (size_t step = 0; step < BLOCK_STEPS; step++) {
        memcpy(q + step * step_bytes, values->q + STEP_COLS * step, STEP_COLS);
    }
}

void kernel_pack(struct packed_matrix *w, const void *stored, uint32_t first_panel, uint32_t end_panel) {
    const struct tensor_type_info *info = tensor_type_info(w->type);
    enum panel_form form = panel_form_of(w->type);
    size_t row_bytes = (size_t)(w->cols / info->block_values) * info->block_bytes;
    uint32_t blocks = w->cols / BLOCK_COLS;
    size_t block_bytes = panel_block_bytes(form);
    struct values32 values;

    for (uint32_t panel = first_panel; panel < end_panel; panel++) {
        uint8_t *to = (uint8_t *)w->data + (size_t)panel * blocks * block_bytes;
        uint32_t row = panel * PANEL_ROWS;
        uint32_t rows = w->rows - row < PANEL_ROWS ? w->rows - row : PANEL_ROWS;

        if (rows < PANEL_ROWS) {
            /* The rows that do not exist weigh nothing. */
            memset(to, 0, blocks * block_bytes);
        }
        for (uint32_t r = 0; r < rows; r++) {
            const uint8_t *from = (const uint8_t *)stored + (row + r) * row_bytes;

            for (uint32_t b = 0; b < blocks; b++) {
                values32_decode(w->type, from, b, &values);
                place(form, &values, r, to + b * block_bytes);
            }
        }
    }
}
