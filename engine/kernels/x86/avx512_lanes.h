/* SPDX-License-Identifier: Apache-2.0
 *
 * ref/lanes.h in one register.
 */
#ifndef BUCKLER_ENGINE_KERNELS_X86_AVX512_LANES_H
#define BUCKLER_ENGINE_KERNELS_X86_AVX512_LANES_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

enum { LANES = 16, DOT_TILE = 4, VALUE_TILE = 4 };

struct lanes {
    __m512 v;
};

static inline struct lanes lanes_set(float value) {
    return (struct lanes){_mm512_set1_ps(value)};
}

static inline struct lanes lanes_load(const float *p) {
    return (struct lanes){_mm512_loadu_ps(p)};
}

static inline void lanes_store(float *p, struct lanes a) {
    _mm512_storeu_ps(p, a.v);
}

static inline struct lanes lanes_load_first(const float *p, size_t n) {
    return (struct lanes){_mm512_maskz_loadu_ps((__mmask16)((1U << n) - 1), p)};
}

static inline void lanes_store_first(float *p, size_t n, struct lanes a) {
    _mm512_mask_storeu_ps(p, (__mmask16)((1U << n) - 1), a.v);
}

static inline struct lanes lanes_add(struct lanes a, struct lanes b) {
    return (struct lanes){_mm512_add_ps(a.v, b.v)};
}

static inline struct lanes lanes_sub(struct lanes a, struct lanes b) {
    return (struct lanes){_mm512_sub_ps(a.v, b.v)};
}

static inline struct lanes lanes_mul(struct lanes a, struct lanes b) {
    return (struct lanes){_mm512_mul_ps(a.v, b.v)};
}

static inline struct lanes lanes_div(struct lanes a, struct lanes b) {
    return (struct lanes){_mm512_div_ps(a.v, b.v)};
}

static inline struct lanes lanes_fma(struct lanes a, struct lanes b, struct lanes c) {
    return (struct lanes){_mm512_fmadd_ps(a.v, b.v, c.v)};
}

static inline struct lanes lanes_fnma(struct lanes a, struct lanes b, struct lanes c) {
    return (struct lanes){_mm512_fnmadd_ps(a.v, b.v, c.v)};
}

static inline struct lanes lanes_max(struct lanes a, struct lanes b) {
    return (struct lanes){_mm512_max_ps(a.v, b.v)};
}

static inline struct lanes lanes_min(struct lanes a, struct lanes b) {
    return (struct lanes){_mm512_min_ps(a.v, b.v)};
}

static inline struct lanes lanes_abs(struct lanes a) {
    return (struct lanes){_mm512_abs_ps(a.v)};
}

static inline struct lanes lanes_round(struct lanes a) {
    return (struct lanes){_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}

static inline struct lanes lanes_exp2_whole(struct lanes n) {
    __m512i exponent = _mm512_add_epi32(_mm512_cvtps_epi32(n.v), _mm512_set1_epi32(127));
    return (struct lanes){_mm512_castsi512_ps(_mm512_slli_epi32(exponent, 23))};
}

static inline struct lanes lanes_load_bytes(const int8_t *p) {
    __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)p);
    return (struct lanes){_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes))};
}

static inline void lanes_store_bytes(int8_t *p, struct lanes a) {
    _mm_storeu_si128((__m128i *)(void *)p, _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(a.v)));
}

static inline struct lanes lanes_below(struct lanes a, float limit) {
    return (struct lanes){
        _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(a.v, _mm512_set1_ps(limit), _CMP_LT_OQ), a.v)};
}

static inline uint32_t lanes_first_from(struct lanes a, float limit) {
    __mmask16 found = _mm512_cmp_ps_mask(a.v, _mm512_set1_ps(limit), _CMP_GE_OQ);
    return (uint32_t)__builtin_ctz(found | 1U << LANES);
}

static inline struct lanes lanes_load_bits(const uint8_t *p, int shift, int mask) {
    __m512i words = _mm512_srl_epi32(_mm512_loadu_si512(p), _mm_cvtsi32_si128(shift));
    return (struct lanes){_mm512_cvtepi32_ps(_mm512_and_si512(words, _mm512_set1_epi32(mask)))};
}

static inline float lanes_sum(struct lanes a) {
    __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1));
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
}

static inline float lanes_largest(struct lanes a) {
    return _mm512_reduce_max_ps(a.v);
}

/* Both halves of two vectors added, i + 8 to i: [a's eight sums, b's eight sums]. */
static inline __m512 add_halves(__m512 a, __m512 b) {
    return _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xee));
}

/* From [a a b b] and [c c d d] in quarters, i + 4 to i: [a b c d]. */
static inline __m512 add_quarters(__m512 ab, __m512 cd) {
    return _mm512_add_ps(_mm512_shuffle_f32x4(ab, cd, 0x88), _mm512_shuffle_f32x4(ab, cd, 0xdd));
}

/* Sixteen sums by adding transposed halves: every sum takes the steps of lanes_sum. */
static inline void lanes_sums(const struct lanes a[DOT_TILE * DOT_TILE], float *out) {
    __m512 q[4];
    __m512 two[2];
    __m512 sums;

    for (int i = 0; i < 4; i++) {
        q[i] = add_quarters(add_halves(a[i].v, a[i + 4].v), add_halves(a[i + 8].v, a[i + 12].v));
    }
    /* q[i] holds in quarter k the four partial sums of vector 4k + i. */
    two[0] = _mm512_add_ps(_mm512_shuffle_ps(q[0], q[1], 0x44), _mm512_shuffle_ps(q[0], q[1], 0xee));
    two[1] = _mm512_add_ps(_mm512_shuffle_ps(q[2], q[3], 0x44), _mm512_shuffle_ps(q[2], q[3], 0xee));
    sums = _mm512_add_ps(_mm512_shuffle_ps(two[0], two[1], 0x88), _mm512_shuffle_ps(two[0], two[1], 0xdd));
    _mm512_storeu_ps(out, sums);
}

#endif
