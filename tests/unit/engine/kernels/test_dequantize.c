/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "engine/kernels/kernels.h"
#include "engine/kernels/ref/blocks.h"
#include "tests/unit/engine/kernels/sets_under_test.h"

/* Values of the reference decoder for the block b[k] = (37k + 11) mod 256 with d = 0.0999755859375 and, where
 * there is a second half-precision field, 0.199951171875 there. The weighted sum adds f32 products (i + 1) ·
 * y in f64. */
struct golden {
    enum tensor_type type;
    int first_field, second_field;
    double sum, weighted_sum;
    struct {
        int index;
        float value;
    } values[11];
};

static const struct golden goldens[] = {
    {TENSOR_Q4_0,
     0,
     -1,
     -2.0994873,
     -51.7873535,
     {{0, -0.299926758F},
      {1, 0.199951172F},
      {15, -0.799804688F},
      {16, -0.299926758F},
      {31, 0},
      {17, -0.0999755859F}}},
    {TENSOR_Q5_0,
     0,
     -1,
     1.49963379,
     11.1972656,
     {{0, 0.899780273F},
      {1, -0.199951172F},
      {15, -1.19970703F},
      {16, 1.3996582F},
      {31, 0.0999755859F},
      {17, 0}}},
    {TENSOR_Q5_1,
     0,
     2,
     56.8861084,
     895.481323,
     {{0, 2.0994873F}, {1, 2.59936523F}, {15, 3.19921875F}, {16, 2.0994873F}, {31, 0.699829102F}}},
    {TENSOR_Q8_0,
     0,
     -1,
     -17.5957031,
     -807.802734,
     {{0, 8.4979248F}, {1, 12.1970215F}, {15, -12.796875F}, {16, -9.09777832F}, {31, -4.79882812F}}},
    {TENSOR_Q4_K,
     0,
     2,
     4175.78027,
     614420.358,
     {{0, 23.894165F},
      {1, -10.1975098F},
      {15, 8.39794922F},
      {16, 23.894165F},
      {31, 8.39794922F},
      {32, -2.79931641F},
      {64, 32.8919678F},
      {128, 40.4901123F},
      {200, 11.2972412F},
      {255, -0.399902344F}}},
    {TENSOR_Q5_K,
     0,
     2,
     10351.8721,
     1459674.75,
     {{0, 73.4820557F},
      {1, -10.1975098F},
      {15, 8.39794922F},
      {16, 73.4820557F},
      {31, 8.39794922F},
      {32, 7.59814453F},
      {64, 32.8919678F},
      {128, 102.874878F},
      {200, 11.2972412F},
      {255, 5.59863281F}}},
    {TENSOR_Q6_K,
     208,
     -1,
     461.087402,
     78422.8561,
     {{0, -143.065063F},
      {1, 169.558594F},
      {15, -31.7922363F},
      {16, -43.1894531F},
      {31, -9.59765625F},
      {64, -303.925781F},
      {127, 149.963379F},
      {128, -35.0914307F},
      {200, 108.873413F},
      {255, -5.99853516F}}},
};

static void test_decodes_the_reference_blocks(void **state) {
    (void)state;
    for (size_t g = 0; g < sizeof(goldens) / sizeof(goldens[0]); g++) {
        const struct golden *golden = &goldens[g];
        const struct tensor_type_info *info = tensor_type_info(golden->type);
        uint8_t block[256];
        float y[256];
        double sum = 0;
        double weighted = 0;

        for (uint32_t k = 0; k < info->block_bytes; k++) {
            block[k] = (uint8_t)(37 * k + 11);
        }
        memcpy(block + golden->first_field, "\x66\x2e", 2);
        if (golden->second_field >= 0) {
            memcpy(block + golden->second_field, "\x66\x32", 2);
        }
        kernel_choose("portable")->dequantize(golden->type, block, info->block_values, y);
        FOR_EACH_SET(k) {
            float again[256];

            k->dequantize(golden->type, block, info->block_values, again);
            assert_memory_equal(again, y, info->block_values * sizeof(float));
        }
        for (uint32_t i = 0; i < info->block_values; i++) {
            sum += y[i];
            weighted += (float)(i + 1) * y[i];
        }
        /* The table gives nine digits. */
        assert_true(fabs(sum - golden->sum) <= 1e-8 * fabs(golden->sum) + 1e-9);
        assert_true(fabs(weighted - golden->weighted_sum) <= 1e-8 * fabs(golden->weighted_sum) + 1e-9);
        for (size_t v = 0; v < 11 && (v == 0 || golden->values[v].index > 0); v++) {
            assert_true(y[golden->values[v].index] == golden->values[v].value);
        }
    }
}

static void test_decodes_every_half_to_its_value(void **state) {
    (void)state;
    for (uint32_t half = 0; half < 65536; half++) {
        int exponent = (int)(half >> 10 & 31);
        double fraction = half & 1023;
        double expected = exponent == 0 ? ldexp(fraction, -24) : ldexp(1024 + fraction, exponent - 25);
        float value = float_of_half((uint16_t)half);

        if (exponent == 31) {
            expected = fraction != 0 ? NAN : INFINITY;
        }
        assert_int_equal(signbit(value) != 0, half >> 15);
        assert_true(isnan(expected) ? isnan(value) : fabs((double)value) == expected);
    }
}

static void test_decodes_plain_types(void **state) {
    static const uint8_t halves[] = {0x00, 0x3c, 0x00, 0xc0, 0x01, 0x00}; /* 1, −2, 2^−24 */
    static const uint8_t brains[] = {0x80, 0x3f, 0x00, 0xc0, 0xc0, 0x7f}; /* 1, −2, NaN */
    static const float floats[] = {1.5F, -0.0F, 3e38F};
    const struct kernel_set *k = kernel_choose("portable");
    float y[3];

    (void)state;
    k->dequantize(TENSOR_F16, halves, 3, y);
    assert_true(y[0] == 1.0F && y[1] == -2.0F && y[2] == 0x1p-24F);
    k->dequantize(TENSOR_BF16, brains, 3, y);
    assert_true(y[0] == 1.0F && y[1] == -2.0F && isnan(y[2]));
    k->dequantize(TENSOR_F32, floats, 3, y);
    assert_memory_equal(y, floats, sizeof(floats));
}

static void test_knows_the_block_sizes(void **state) {
    (void)state;
    assert_string_equal(tensor_type_info(TENSOR_Q4_K)->name, "Q4_K");
    assert_int_equal(tensor_type_info(TENSOR_Q6_K)->block_bytes, 210);
    assert_null(tensor_type_info(3));
    assert_null(tensor_type_info(31));
    assert_null(tensor_type_info(UINT32_MAX));
}

static void test_chooses_only_tables_that_exist(void **state) {
    (void)state;
    assert_string_equal(kernel_choose("portable")->name, "portable");
    assert_non_null(kernel_choose(NULL));
    assert_ptr_equal(kernel_choose(NULL), kernel_choose(kernel_choose(NULL)->name));
    assert_null(kernel_choose("mmx"));
    assert_null(kernel_choose(""));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decodes_the_reference_blocks),
        cmocka_unit_test(test_decodes_every_half_to_its_value),
        cmocka_unit_test(test_decodes_plain_types),
        cmocka_unit_test(test_knows_the_block_sizes),
        cmocka_unit_test(test_chooses_only_tables_that_exist),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
