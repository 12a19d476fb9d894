/* SPDX-License-Identifier: Apache-2.0
 *
 * Random stored weights and activations, the same in every run, for the tests and the bench.
 */
#ifndef BUCKLER_TESTS_UNIT_ENGINE_KERNELS_STORED_H
#define BUCKLER_TESTS_UNIT_ENGINE_KERNELS_STORED_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "engine/kernels/kernels.h"

static const enum tensor_type packed_types[] = {TENSOR_Q4_0, TENSOR_Q5_0, TENSOR_Q5_1, TENSOR_Q8_0,
                                                TENSOR_Q4_K, TENSOR_Q5_K, TENSOR_Q6_K};
enum { PACKED_TYPES = sizeof(packed_types) / sizeof(packed_types[0]) };

static inline uint32_t random_next(uint64_t *state) {
    *state = *state * 6364136223846793005U + 1442695040888963407U;
    return (uint32_t)(*state >> 33);
}

/* −1 … 1 */
static inline float random_float(uint64_t *state) {
    return (float)random_next(state) * 0x1p-30F - 1.0F;
}

static inline float *random_floats(uint64_t *state, size_t count) {
    float *values = aligned_alloc(64, (count * sizeof(float) + 63) / 64 * 64);

    for (size_t i = 0; values && i < count; i++) {
        values[i] = random_float(state);
    }
    return values;
}

/* Where the f16 fields of a block are: d, and the second one or −1. */
static inline void half_fields(enum tensor_type type, int *ret_first, int *ret_second) {
    *ret_first = type == TENSOR_Q6_K ? 208 : 0;
    *ret_second = type == TENSOR_Q5_1 || type == TENSOR_Q4_K || type == TENSOR_Q5_K ? 2 : -1;
}

/* Blocks of random bytes whose scales are small normal numbers. */
static inline uint8_t *random_stored(uint64_t *state, enum tensor_type type, uint32_t rows, uint32_t cols) {
    const struct tensor_type_info *info = tensor_type_info(type);
    size_t blocks = (size_t)rows * cols / info->block_values;
    uint8_t *stored = malloc(blocks * info->block_bytes);
    int fields[2];

    half_fields(type, &fields[0], &fields[1]);
    for (size_t b = 0; stored && b < blocks; b++) {
        uint8_t *block = stored + b * info->block_bytes;

        for (uint32_t i = 0; i < info->block_bytes; i++) {
            block[i] = (uint8_t)random_next(state);
        }
        for (int f = 0; f < 2; f++) {
            if (fields[f] >= 0) {
                /* sign, exponent of 2^−7 … 2^−4, any fraction */
                uint32_t bits = random_next(state);
                uint32_t half = (bits & 0x83ff) | (8 + (bits >> 16 & 3)) << 10;
                block[fields[f]] = (uint8_t)half;
                block[fields[f] + 1] = (uint8_t)(half >> 8);
            }
        }
    }
    return stored;
}

/* `stored` packed whole; NULL when memory is out. */
static inline void *packed_data(const struct kernel_set *k, enum tensor_type type, const void *stored,
                                uint32_t rows, uint32_t cols, struct packed_matrix *ret) {
    *ret = (struct packed_matrix){.rows = rows, .cols = cols, .type = type};
    ret->data = aligned_alloc(64, k->packed_bytes(type, rows, cols));
    if (ret->data) {
        k->pack(ret, stored, 0, (rows + PANEL_ROWS - 1) / PANEL_ROWS);
    }
    return ret->data;
}

#endif
