/* SPDX-License-Identifier: Apache-2.0
 *
 * One decoder of stored blocks for both users: 32 values as unsigned bytes with their scales, in the
 * convention of layout.h. Every product scale · q is rounded once, as in the reference decoder.
 */
#ifndef BUCKLER_ENGINE_KERNELS_REF_BLOCKS_H
#define BUCKLER_ENGINE_KERNELS_REF_BLOCKS_H

#include "engine/kernels/layout.h"

struct values32 {
    uint8_t q[BLOCK_COLS];
    float scale;
    float second; /* asymmetric: the minimum; halves: the scale of values 16 … 31 */
};

/* Values 32 · index … of a stored row of a type with a packed form. */
void values32_decode(enum tensor_type type, const uint8_t *row, size_t index, struct values32 *ret);

float float_of_half(uint16_t half);

#endif
