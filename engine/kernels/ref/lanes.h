/* SPDX-License-Identifier: Apache-2.0
 *
 * Sixteen floats and what one does with them: the portable meaning of every operation that lane_kernels.h
 * uses. x86/avx2_lanes.h and x86/avx512_lanes.h do the same in registers, bit for bit.
 */
#ifndef BUCKLER_ENGINE_KERNELS_REF_LANES_H
#define BUCKLER_ENGINE_KERNELS_REF_LANES_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { LANES = 16, DOT_TILE = 4, VALUE_TILE = 4 };

struct lanes {
    float v[LANES];
};

static inline struct lanes lanes_set(float value) {
    struct lanes r;
    for (int i = 0; i < LANES; i++) {
        r.v[i] = value;
    }
    return r;
}

static inline struct lanes lanes_load(const float *p) {
    struct lanes r;
    memcpy(r.v, p, sizeof(r.v));
    return r;
}

static inline void lanes_store(float *p, struct lanes a) {
    memcpy(p, a.v, sizeof(a.v));
}

/* The first n < 16; the others read as zero and are not written. */
static inline struct lanes lanes_load_first(const float *p, size_t n) {
    struct lanes r = lanes_set(0);
    memcpy(r.v, p, n * sizeof(float));
    return r;
}

static inline void lanes_store_first(float *p, size_t n, struct lanes a) {
    memcpy(p, a.v, n * sizeof(float));
}

static inline struct lanes lanes_add(struct lanes a, struct lanes b) {
    for (int i = 0; i < LANES; i++) {
        a.v[i] += b.v[i];
    }
    return a;
}

static inline struct lanes lanes_sub(struct lanes a, struct lanes b) {
    for (int i = 0; i < LANES; i++) {
        a.v[i] -= b.v[i];
    }
    return a;
}

static inline struct lanes lanes_mul(struct lanes a, struct lanes b) {
    for (int i = 0; i < LANES; i++) {
        a.v[i] *= b.v[i];
    }
    return a;
}

static inline struct lanes lanes_div(struct lanes a, struct lanes b) {
    for (int i = 0; i < LANES; i++) {
        a.v[i] /= b.v[i];
    }
    return a;
}

/* a · b + c and c − a · b, rounded once */
static inline struct lanes lanes_fma(struct lanes a, struct lanes b, struct lanes c) {
    for (int i = 0; i < LANES; i++) {
        c.v[i] = fmaf(a.v[i], b.v[i], c.v[i]);
    }
    return c;
}

static inline struct lanes lanes_fnma(struct lanes a, struct lanes b, struct lanes c) {
    for (int i = 0; i < LANES; i++) {
        c.v[i] = fmaf(-a.v[i], b.v[i], c.v[i]);
    }
    return c;
}

/* b where either is NaN */
static inline struct lanes lanes_max(struct lanes a, struct lanes b) {
    for (int i = 0; i < LANES; i++) {
        a.v[i] = a.v[i] > b.v[i] ? a.v[i] : b.v[i];
    }
    return a;
}

static inline struct lanes lanes_min(struct lanes a, struct lanes b) {
    for (int i = 0; i < LANES; i++) {
        a.v[i] = a.v[i] < b.v[i] ? a.v[i] : b.v[i];
    }
    return a;
}

static inline struct lanes lanes_abs(struct lanes a) {
    for (int i = 0; i < LANES; i++) {
        a.v[i] = fabsf(a.v[i]);
    }
    return a;
}

/* To the nearest integer, ties to even, for |a| < 2^22: adding 1.5 · 2^23 leaves no bit for a fraction. */
static inline struct lanes lanes_round(struct lanes a) {
    for (int i = 0; i < LANES; i++) {
        a.v[i] = (a.v[i] + 0x1.8p23F) - 0x1.8p23F;
    }
    return a;
}

/* 2^n for whole n from −126 to 127; anything (but defined) for a NaN */
static inline struct lanes lanes_exp2_whole(struct lanes n) {
    for (int i = 0; i < LANES; i++) {
        uint32_t bits = n.v[i] == n.v[i] ? (uint32_t)((int32_t)n.v[i] + 127) << 23 : 0;
        memcpy(&n.v[i], &bits, sizeof(bits));
    }
    return n;
}

static inline struct lanes lanes_load_bytes(const int8_t *p) {
    struct lanes r;
    for (int i = 0; i < LANES; i++) {
        r.v[i] = p[i];
    }
    return r;
}

/* Whole numbers of at most seven bits and sign, as bytes */
static inline void lanes_store_bytes(int8_t *p, struct lanes a) {
    for (int i = 0; i < LANES; i++) {
        p[i] = (int8_t)a.v[i];
    }
}

/* What is below the limit; the others are zero. */
static inline struct lanes lanes_below(struct lanes a, float limit) {
    for (int i = 0; i < LANES; i++) {
        a.v[i] = a.v[i] < limit ? a.v[i] : 0;
    }
    return a;
}

/* The number of the first lane that is not below the limit; LANES when there is none. */
static inline uint32_t lanes_first_from(struct lanes a, float limit) {
    uint32_t i = 0;
    while (i < LANES && !(a.v[i] >= limit)) {
        i++;
    }
    return i;
}

/* Sixteen little-endian words of 32 bits, shifted right and masked. */
static inline struct lanes lanes_load_bits(const uint8_t *p, int shift, int mask) {
    struct lanes r;
    for (int i = 0; i < LANES; i++) {
        uint32_t word;
        memcpy(&word, p + 4 * i, sizeof(word));
        r.v[i] = (float)(int)(word >> shift & (uint32_t)mask);
    }
    return r;
}

/* Lane i + 8 is added to lane i, then i + 4, i + 2, i + 1. */
static inline float lanes_sum(struct lanes a) {
    for (int half = LANES / 2; half > 0; half /= 2) {
        for (int i = 0; i < half; i++) {
            a.v[i] += a.v[i + half];
        }
    }
    return a.v[0];
}

static inline float lanes_largest(struct lanes a) {
    for (int i = 1; i < LANES; i++) {
        a.v[0] = a.v[0] > a.v[i] ? a.v[0] : a.v[i];
    }
    return a.v[0];
}

/* out [DOT_TILE²]: lanes_sum of each */
static inline void lanes_sums(const struct lanes a[DOT_TILE * DOT_TILE], float *out) {
    for (int i = 0; i < DOT_TILE * DOT_TILE; i++) {
        out[i] = lanes_sum(a[i]);
    }
}

#endif
