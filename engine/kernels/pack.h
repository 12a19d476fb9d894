/* SPDX-License-Identifier: Apache-2.0
 *
 * The functions that every table shares, because they run once for each weight or only name sizes.
 */
#ifndef BUCKLER_ENGINE_KERNELS_PACK_H
#define BUCKLER_ENGINE_KERNELS_PACK_H

#include "engine/kernels/kernels.h"

void kernel_dequantize(enum tensor_type type, const void *row, size_t count, float *out);
size_t kernel_packed_bytes(enum tensor_type type, uint32_t rows, uint32_t cols);
void kernel_pack(struct packed_matrix *w, const void *stored, uint32_t first_panel, uint32_t end_panel);
size_t kernel_activation_bytes(uint32_t cols);

#endif
