/* SPDX-License-Identifier: Apache-2.0
 *
 * ref/lanes.h in two registers: lanes 0 … 7 and 8 … 15.
 */
#ifndef BUCKLER_ENGINE_KERNELS_X86_AVX2_LANES_H
#define BUCKLER_ENGINE_KERNELS_X86_AVX2_LANES_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Half the tile of the others in each direction: there are only sixteen registers. */
enum { LANES = 16, DOT_TILE = 2, VALUE_TILE = 2 };

struct lanes {
    __m256 low, high;
};

static inline struct lanes lanes_set(float value) {
    return (struct lanes){_mm256_set1_ps(value), _mm256_set1_ps(value)};
}

static inline struct lanes lanes_load(const float *p) {
    return (struct lanes){_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)};
}

static inline void lanes_store(float *p, struct lanes a) {
    _mm256_storeu_ps(p, a.low);
    _mm256_storeu_ps(p + 8, a.high);
}

static inline struct lanes lanes_load_first(const float *p, size_t n) {
    float sixteen[LANES] = {0};

    memcpy(sixteen, p, n * sizeof(float));
    return lanes_load(sixteen);
}

static inline void lanes_store_first(float *p, size_t n, struct lanes a) {
    float sixteen[LANES];

    lanes_store(sixteen, a);
    memcpy(p, sixteen, n * sizeof(float));
}

static inline struct lanes lanes_add(struct lanes a, struct lanes b) {
    return (struct lanes){_mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high)};
}

static inline struct lanes lanes_sub(struct lanes a, struct lanes b) {
    return (struct lanes){_mm256_sub_ps(a.low, b.low), _mm256_sub_ps(a.high, b.high)};
}

static inline struct lanes lanes_mul(struct lanes a, struct lanes b) {
    return (struct lanes){_mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high)};
}

static inline struct lanes lanes_div(struct lanes a, struct lanes b) {
    return (struct lanes){_mm256_div_ps(a.low, b.low), _mm256_div_ps(a.high, b.high)};
}

static inline struct lanes lanes_fma(struct lanes a, struct lanes b, struct lanes c) {
    return (struct lanes){_mm256_fmadd_ps(a.low, b.low, c.low), _mm256_fmadd_ps(a.high, b.high, c.high)};
}

static inline struct lanes lanes_fnma(struct lanes a, struct lanes b, struct lanes c) {
    return (struct lanes){_mm256_fnmadd_ps(a.low, b.low, c.low), _mm256_fnmadd_ps(a.high, b.high, c.high)};
}

static inline struct lanes lanes_max(struct lanes a, struct lanes b) {
    return (struct lanes){_mm256_max_ps(a.low, b.low), _mm256_max_ps(a.high, b.high)};
}

static inline struct lanes lanes_min(struct lanes a, struct lanes b) {
    return (struct lanes){_mm256_min_ps(a.low, b.low), _mm256_min_ps(a.high, b.high)};
}

static inline struct lanes lanes_abs(struct lanes a) {
    __m256 sign = _mm256_set1_ps(-0.0F);
    return (struct lanes){_mm256_andnot_ps(sign, a.low), _mm256_andnot_ps(sign, a.high)};
}

static inline struct lanes lanes_round(struct lanes a) {
    return (struct lanes){_mm256_round_ps(a.low, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC),
                          _mm256_round_ps(a.high, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}

static inline __m256 exp2_whole8(__m256 n) {
    __m256i exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
    return _mm256_castsi256_ps(_mm256_slli_epi32(exponent, 23));
}

static inline struct lanes lanes_exp2_whole(struct lanes n) {
    return (struct lanes){exp2_whole8(n.low), exp2_whole8(n.high)};
}

static inline struct lanes lanes_load_bytes(const int8_t *p) {
    __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)p);
    return (struct lanes){_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes)),
                          _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(bytes, 8)))};
}

static inline void lanes_store_bytes(int8_t *p, struct lanes a) {
    __m256i words = _mm256_packs_epi32(_mm256_cvtps_epi32(a.low), _mm256_cvtps_epi32(a.high));
    /* The pack works within 128-bit halves: put the quarters 0 2 1 3 into order. */
    words = _mm256_permute4x64_epi64(words, 0xd8);
    __m128i bytes = _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
    _mm_storeu_si128((__m128i *)(void *)p, bytes);
}

static inline struct lanes lanes_below(struct lanes a, float limit) {
    __m256 eight = _mm256_set1_ps(limit);
    return (struct lanes){_mm256_and_ps(_mm256_cmp_ps(a.low, eight, _CMP_LT_OQ), a.low),
                          _mm256_and_ps(_mm256_cmp_ps(a.high, eight, _CMP_LT_OQ), a.high)};
}

static inline uint32_t lanes_first_from(struct lanes a, float limit) {
    __m256 eight = _mm256_set1_ps(limit);
    uint32_t low = (uint32_t)_mm256_movemask_ps(_mm256_cmp_ps(a.low, eight, _CMP_GE_OQ));
    uint32_t high = (uint32_t)_mm256_movemask_ps(_mm256_cmp_ps(a.high, eight, _CMP_GE_OQ));
    return (uint32_t)__builtin_ctz(low | high << 8 | 1U << LANES);
}

static inline struct lanes lanes_load_bits(const uint8_t *p, int shift, int mask) {
    const __m256i *words = (const __m256i *)(const void *)p;
    __m128i count = _mm_cvtsi32_si128(shift);
    __m256i ones = _mm256_set1_epi32(mask);
    __m256i low = _mm256_and_si256(_mm256_srl_epi32(_mm256_loadu_si256(words), count), ones);
    __m256i high = _mm256_and_si256(_mm256_srl_epi32(_mm256_loadu_si256(words + 1), count), ones);
    return (struct lanes){_mm256_cvtepi32_ps(low), _mm256_cvtepi32_ps(high)};
}

static inline float lanes_sum(struct lanes a) {
    __m256 eight = _mm256_add_ps(a.low, a.high);
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
}

static inline float lanes_largest(struct lanes a) {
    __m256 eight = _mm256_max_ps(a.low, a.high);
    __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_shuffle_ps(two, two, 1)));
}

/* [a's four sums, b's four sums] of the first two steps of lanes_sum */
static inline __m256 two_to_four(struct lanes a, struct lanes b) {
    __m256 x = _mm256_add_ps(a.low, a.high);
    __m256 y = _mm256_add_ps(b.low, b.high);
    return _mm256_add_ps(_mm256_permute2f128_ps(x, y, 0x20), _mm256_permute2f128_ps(x, y, 0x31));
}

static inline void lanes_sums(const struct lanes a[DOT_TILE * DOT_TILE], float *out) {
    __m256 x = two_to_four(a[0], a[2]);
    __m256 y = two_to_four(a[1], a[3]);
    __m256 two = _mm256_add_ps(_mm256_shuffle_ps(x, y, 0x44), _mm256_shuffle_ps(x, y, 0xee));
    __m256 one = _mm256_add_ps(two, _mm256_shuffle_ps(two, two, 0xf5));
    /* Sums of 0 and 1 are at 0 and 2 of the low half, those of 2 and 3 of the high half. */
    __m256i order = _mm256_setr_epi32(0, 2, 4, 6, 0, 0, 0, 0);
    _mm_storeu_ps(out, _mm256_castps256_ps128(_mm256_permutevar8x32_ps(one, order)));
}

#endif
