/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/kernels/ref/blocks.h"

#include <string.h>

float float_of_half(uint16_t half) {
    uint32_t sign = (uint32_t)(half & 0x8000) << 16;
    uint32_t exponent = (half >> 10) & 31;
    uint32_t fraction = half & 1023;
    uint32_t bits;
    float value;

    if (exponent == 0) {
        /* Zero and subnormals are multiples of 2^-24, which f32 holds exactly. */
        value = (float)fraction * 0x1p-24F;
        return sign ? -value : value;
    }
    bits = exponent == 31 ? 0x7f800000U | fraction << 13 : (exponent + 112) << 23 | fraction << 13;
    bits |= sign;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

static float half_at(const uint8_t *bytes) {
    return float_of_half((uint16_t)(bytes[0] | bytes[1] << 8));
}

static uint32_t u32_at(const uint8_t *bytes) {
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

/* Value j takes the low nibble of byte j, value j + 16 the high one. */
static void nibbles(const uint8_t *bytes, uint8_t q[BLOCK_COLS]) {
    for (int j = 0; j < 16; j++) {
        q[j] = bytes[j] & 15;
        q[j + 16] = bytes[j] >> 4;
    }
}

static void nibbles_and_fifth(const uint8_t *bytes, uint32_t fifth, uint8_t bias, uint8_t q[BLOCK_COLS]) {
    for (int j = 0; j < 16; j++) {
        q[j] = (uint8_t)(((bytes[j] & 15) | ((fifth >> j) & 1) << 4) + bias);
        q[j + 16] = (uint8_t)(((bytes[j] >> 4) | ((fifth >> (j + 16)) & 1) << 4) + bias);
    }
}

/* The 6-bit scale and minimum number j of the 12 bytes s of Q4_K and Q5_K. */
static void scale_and_minimum(const uint8_t *s, size_t j, uint8_t *ret_scale, uint8_t *ret_minimum) {
    if (j < 4) {
        *ret_scale = s[j] & 63;
        *ret_minimum = s[j + 4] & 63;
    } else {
        *ret_scale = (uint8_t)((s[j + 4] & 15) | (s[j - 4] >> 6) << 4);
        *ret_minimum = (uint8_t)((s[j + 4] >> 4) | (s[j] >> 6) << 4);
    }
}

static void decode_q4_k(const uint8_t *block, size_t j, struct values32 *ret) {
    const uint8_t *bytes = block + 16 + 32 * (j / 2);
    unsigned shift = j % 2 ? 4 : 0;
    uint8_t scale;
    uint8_t minimum;

    scale_and_minimum(block + 4, j, &scale, &minimum);
    ret->scale = half_at(block) * (float)scale;
    ret->second = half_at(block + 2) * (float)minimum;
    for (int i = 0; i < BLOCK_COLS; i++) {
        ret->q[i] = (bytes[i] >> shift) & 15;
    }
}

static void decode_q5_k(const uint8_t *block, size_t j, struct values32 *ret) {
    const uint8_t *fifth = block + 16;
    const uint8_t *bytes = block + 48 + 32 * (j / 2);
    unsigned shift = j % 2 ? 4 : 0;
    uint8_t scale;
    uint8_t minimum;

    scale_and_minimum(block + 4, j, &scale, &minimum);
    ret->scale = half_at(block) * (float)scale;
    ret->second = half_at(block + 2) * (float)minimum;
    for (int i = 0; i < BLOCK_COLS; i++) {
        ret->q[i] = (uint8_t)(((bytes[i] >> shift) & 15) | ((fifth[i] >> j) & 1) << 4);
    }
}

static void decode_q6_k(const uint8_t *block, size_t j, struct values32 *ret) {
    size_t half = j / 4;
    size_t quarter = j % 4;
    const uint8_t *low = block + 64 * half + 32 * (quarter & 1);
    const uint8_t *high = block + 128 + 32 * half;
    unsigned low_shift = quarter < 2 ? 0 : 4;
    unsigned high_shift = 2 * (unsigned)quarter;
    float d = half_at(block + 208);

    ret->scale = d * (float)(int8_t)block[192 + 2 * j];
    ret->second = d * (float)(int8_t)block[193 + 2 * j];
    for (int i = 0; i < BLOCK_COLS; i++) {
        /* The type's zero is 32, the panel's 128. */
        ret->q[i] = (uint8_t)((((low[i] >> low_shift) & 15) | ((high[i] >> high_shift) & 3) << 4) + 96);
    }
}

void values32_decode(enum tensor_type type, const uint8_t *row, size_t index, struct values32 *ret) {
    const struct tensor_type_info *info = tensor_type_info(type);
    size_t per_block = info->block_values / BLOCK_COLS;
    const uint8_t *block = row + index / per_block * info->block_bytes;
    size_t j = index % per_block;

    ret->second = 0;
    switch (type) {
    case TENSOR_Q4_0:
        /* scale · (q − 8) = scale · q − 8 · scale, and all of it is exact. */
        ret->scale = half_at(block);
        ret->second = 8 * ret->scale;
        nibbles(block + 2, ret->q);
        break;
    case TENSOR_Q5_0:
        ret->scale = half_at(block);
        nibbles_and_fifth(block + 6, u32_at(block + 2), 112, ret->q);
        break;
    case TENSOR_Q5_1:
        ret->scale = half_at(block);
        ret->second = -half_at(block + 2);
        nibbles_and_fifth(block + 8, u32_at(block + 4), 0, ret->q);
        break;
    case TENSOR_Q8_0:
        ret->scale = half_at(block);
        for (int i = 0; i < BLOCK_COLS; i++) {
            ret->q[i] = block[2 + i] ^ 0x80;
        }
        break;
    case TENSOR_Q4_K:
        decode_q4_k(block, j, ret);
        break;
    case TENSOR_Q5_K:
        decode_q5_k(block, j, ret);
        break;
    default:
        decode_q6_k(block, j, ret);
        break;
    }
}
