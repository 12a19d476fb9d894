/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/engine/kernels/sets_under_test.h"
#include "tests/unit/engine/kernels/stored.h"

enum { COUNT = 700 };

static const size_t lengths[] = {1, 2, 15, 16, 17, 31, 64, 80, 100, 640, 699};
enum { LENGTHS = sizeof(lengths) / sizeof(lengths[0]) };

struct vectors {
    float a[COUNT], b[COUNT], expected[COUNT], out[COUNT];
};

static void fill(struct vectors *v, uint64_t seed, float size) {
    for (size_t i = 0; i < COUNT; i++) {
        v->a[i] = size * random_float(&seed);
        v->b[i] = size * random_float(&seed);
        v->out[i] = v->expected[i] = 12345.0F;
    }
}

static void test_dot_is_near_the_double_sum_and_the_same_in_every_set(void **state) {
    struct vectors v;

    (void)state;
    fill(&v, 1, 3);
    for (size_t l = 0; l < LENGTHS; l++) {
        double sum = 0;
        double magnitude = 0;
        float expected = kernel_choose("portable")->dot_f32(v.a, v.b, lengths[l]);

        for (size_t i = 0; i < lengths[l]; i++) {
            sum += (double)v.a[i] * v.b[i];
            magnitude += fabs((double)v.a[i] * v.b[i]);
        }
        assert_true(fabs(expected - sum) <= 1e-6 * magnitude);
        FOR_EACH_SET(k) {
            float dot = k->dot_f32(v.a, v.b, lengths[l]);
            assert_memory_equal(&dot, &expected, sizeof(dot));
        }
    }
    FOR_EACH_SET(k) {
        assert_true(k->dot_f32(v.a, v.b, 0) == 0);
        v.a[99] = NAN;
        assert_true(isnan(k->dot_f32(v.a, v.b, 100)));
        assert_true(isfinite(k->dot_f32(v.a, v.b, 99)));
    }
}

static void test_rms_norm_divides_by_the_root_of_the_mean_square(void **state) {
    struct vectors v;

    (void)state;
    for (size_t l = 0; l < LENGTHS; l++) {
        size_t n = lengths[l];
        double mean = 0;

        fill(&v, l + 2, 5);
        for (size_t i = 0; i < n; i++) {
            mean += (double)v.a[i] * v.a[i] / (double)n;
        }
        kernel_choose("portable")->rms_norm(v.a, v.b, n, 1e-6F, v.expected);
        for (size_t i = 0; i < n; i++) {
            double y = v.a[i] / sqrt(mean + 1e-6) * v.b[i];
            assert_true(fabs(v.expected[i] - y) <= 1e-6 * fabs(y));
        }
        assert_true(v.expected[n] == 12345.0F);
        FOR_EACH_SET(k) {
            k->rms_norm(v.a, v.b, n, 1e-6F, v.out);
            assert_memory_equal(v.out, v.expected, sizeof(v.out));
        }
    }
}

static void test_rms_norm_works_in_place_and_without_a_weight(void **state) {
    struct vectors v;

    (void)state;
    FOR_EACH_SET(k) {
        float ones[100];

        fill(&v, 3, 2);
        for (int i = 0; i < 100; i++) {
            ones[i] = 1.0F;
        }
        k->rms_norm(v.a, ones, 100, 1e-6F, v.expected);
        k->rms_norm(v.a, NULL, 100, 1e-6F, v.a);
        assert_memory_equal(v.a, v.expected, 100 * sizeof(float));
        memset(v.a, 0, sizeof(v.a));
        k->rms_norm(v.a, v.b, 100, 1e-6F, v.out);
        assert_true(v.out[0] == 0 && v.out[99] == 0);
        v.a[50] = NAN;
        k->rms_norm(v.a, v.b, 100, 1e-6F, v.out);
        assert_true(isnan(v.out[0]) && isnan(v.out[99]));
    }
}

static void test_adds_exactly_the_asked_count(void **state) {
    struct vectors v;

    (void)state;
    FOR_EACH_SET(k) {
        for (size_t l = 0; l < LENGTHS; l++) {
            fill(&v, 4, 1);
            memcpy(v.expected, v.a, sizeof(v.a));
            for (size_t i = 0; i < lengths[l]; i++) {
                v.expected[i] = v.a[i] + v.b[i];
            }
            k->add(v.a, v.b, lengths[l]);
            assert_memory_equal(v.a, v.expected, sizeof(v.a));
        }
    }
}

/* The tanh form in double, without the cancellation that 1 + tanh has on the left. */
static double gelu(double x) {
    double u = sqrt(2 / M_PI) * (x + 0.044715 * x * x * x);
    return x / (1 + exp(-2 * u));
}

static void test_gelu_meets_the_reference_values(void **state) {
    static const float x[] = {-3, -1, -0.5F, 0.5F, 1, 2, 3};
    static const float y[] = {-0.003637392F, -0.158808009F, -0.154285990F, 0.345714010F,
                              0.841191991F,  1.954597694F,  2.996362608F};

    (void)state;
    FOR_EACH_SET(k) {
        float gate[7];
        float up[7];

        for (int i = 0; i < 7; i++) {
            gate[i] = x[i];
            up[i] = 2;
        }
        k->gelu_mul(gate, up, 7);
        for (int i = 0; i < 7; i++) {
            assert_true(fabsf(gate[i] - 2 * y[i]) <= 2e-6F * fabsf(y[i]) + 1e-9F);
        }
    }
}

static void test_gelu_is_accurate_everywhere_and_the_same_in_every_set(void **state) {
    const struct kernel_set *portable = kernel_choose("portable");

    (void)state;
    for (float start = -12; start < 12; start += 0.125F) {
        float expected[129];
        float up[129];

        for (int i = 0; i < 129; i++) {
            expected[i] = start + (float)i / 1024;
            up[i] = 1;
        }
        portable->gelu_mul(expected, up, 129);
        for (int i = 0; i < 129; i++) {
            double x = start + i / 1024.0;
            double y = gelu(x);
            /* On the left the result is e^2u, and the rounding of the exponent is its relative error. */
            double exponent = x < 0 ? fabs(2 * sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)) : 0;
            assert_true(fabs(expected[i] - y) <= (2.5e-7 + 2e-7 * exponent) * fabs(y) + 1e-36);
        }
        FOR_EACH_SET(k) {
            float gate[129];

            for (int i = 0; i < 129; i++) {
                gate[i] = start + (float)i / 1024;
            }
            k->gelu_mul(gate, up, 129);
            assert_memory_equal(gate, expected, sizeof(gate));
        }
    }
}

static void test_gelu_saturates_and_keeps_what_is_not_a_number(void **state) {
    (void)state;
    FOR_EACH_SET(k) {
        float gate[20] = {1e30F, -1e30F, NAN, INFINITY, 65504.0F * 4, -65504.0F, 0, -0.0F};
        float up[20];

        for (int i = 0; i < 20; i++) {
            up[i] = 1;
        }
        up[19] = NAN;
        k->gelu_mul(gate, up, 20);
        assert_true(gate[0] == 1e30F);
        assert_true(fabsf(gate[1]) < 1e-6F);
        assert_true(isnan(gate[2]));
        assert_true(gate[3] == INFINITY);
        assert_true(gate[4] == 65504.0F * 4);
        assert_true(fabsf(gate[5]) < 1e-30F);
        assert_true(gate[6] == 0 && gate[7] == 0);
        assert_true(isnan(gate[19]));
    }
}

static void test_a_soft_cap_is_a_tanh_and_the_same_bits_in_every_set(void **state) {
    float expected[COUNT];

    (void)state;
    for (int i = 0; i < COUNT; i++) {
        expected[i] = (float)(i - 350) * 0.37F;
    }
    kernel_choose("portable")->soft_cap(expected, COUNT, 30);
    for (int i = 0; i < COUNT; i++) {
        assert_true(fabs(expected[i] - 30 * tanh((i - 350) * (double)0.37F / 30)) <= 30 * 4e-7);
    }
    FOR_EACH_SET(k) {
        float x[COUNT + 1];
        float bad[4] = {INFINITY, -INFINITY, NAN, 1e30F};

        for (int i = 0; i < COUNT; i++) {
            x[i] = (float)(i - 350) * 0.37F;
        }
        x[COUNT] = 77;
        k->soft_cap(x, COUNT, 30);
        assert_memory_equal(x, expected, COUNT * sizeof(float));
        assert_true(x[COUNT] == 77);
        k->soft_cap(bad, 4, 30);
        assert_true(isnan(bad[0]) && isnan(bad[1]) && isnan(bad[2]));
        assert_true(fabsf(bad[3] - 30) <= 1e-5F);
    }
}

static void test_rope_turns_pairs_half_a_head_apart(void **state) {
    static const size_t heads[] = {2, 16, 64, 72, 256};

    (void)state;
    for (size_t h = 0; h < sizeof(heads) / sizeof(heads[0]); h++) {
        size_t n = heads[h];
        float x[257];
        float expected[257];
        float c[128];
        float s[128];
        uint64_t seed = n;

        for (size_t i = 0; i < n; i++) {
            x[i] = random_float(&seed);
        }
        for (size_t i = 0; i < n / 2; i++) {
            double angle = 100 * pow(1e4, -2.0 * (double)i / (double)n);
            c[i] = (float)cos(angle);
            s[i] = (float)sin(angle);
        }
        memcpy(expected, x, sizeof(x));
        expected[n] = 12345.0F;
        kernel_choose("portable")->rope(expected, c, s, n);
        for (size_t i = 0; i < n / 2; i++) {
            double a = x[i];
            double b = x[i + n / 2];
            assert_true(fabs(expected[i] - (a * c[i] - b * s[i])) <= 2e-7);
            assert_true(fabs(expected[i + n / 2] - (b * c[i] + a * s[i])) <= 2e-7);
        }
        assert_true(expected[n] == 12345.0F);
        FOR_EACH_SET(k) {
            float y[257];

            memcpy(y, x, sizeof(x));
            k->rope(y, c, s, n);
            assert_memory_equal(y, expected, n * sizeof(float));
        }
    }
}

static void test_f32_product_is_accurate_and_independent_of_its_company(void **state) {
    enum { W_ROWS = 13, ROWS = 9 };
    static const uint32_t widths[] = {1, 15, 16, 100, 640};

    (void)state;
    for (size_t c = 0; c < sizeof(widths) / sizeof(widths[0]); c++) {
        uint32_t cols = widths[c];
        uint64_t seed = cols;
        float *w = random_floats(&seed, W_ROWS * cols);
        float *x = random_floats(&seed, (ROWS * (cols + 3)));
        float expected[ROWS * W_ROWS];

        assert_true(w && x);
        kernel_choose("portable")->matmul_f32(w, cols, x, cols + 3, ROWS, 0, W_ROWS, expected, W_ROWS);
        for (uint32_t r = 0; r < ROWS; r++) {
            for (uint32_t p = 0; p < W_ROWS; p++) {
                double sum = 0;
                for (uint32_t i = 0; i < cols; i++) {
                    sum += (double)w[p * cols + i] * x[r * (cols + 3) + i];
                }
                assert_true(fabs(expected[r * W_ROWS + p] - sum) <= 1e-6 * cols);
            }
        }
        FOR_EACH_SET(k) {
            float out[ROWS * W_ROWS] = {0};

            k->matmul_f32(w, cols, x, cols + 3, ROWS, 0, W_ROWS, out, W_ROWS);
            assert_memory_equal(out, expected, sizeof(out));
            memset(out, 0, sizeof(out));
            k->matmul_f32(w, cols, x, cols + 3, ROWS, 5, W_ROWS, out, W_ROWS);
            assert_true(out[4] == 0);
            k->matmul_f32(w, cols, x, cols + 3, ROWS, 0, 5, out, W_ROWS);
            assert_memory_equal(out, expected, sizeof(out));
            for (uint32_t r = 0; r < ROWS; r++) {
                k->matmul_f32(w, cols, x + (size_t)r * (cols + 3), cols + 3, 1, 0, W_ROWS, out, W_ROWS);
                assert_memory_equal(out, expected + (size_t)r * W_ROWS, W_ROWS * sizeof(float));
            }
        }
        free(w);
        free(x);
    }
}

static void test_a_product_by_columns_adds_term_by_term_to_what_is_there(void **state) {
    enum { ROWS = 19, COLS = 37, W_STRIDE = 7 * 16 + 5, X_STRIDE = COLS + 3, OUT_STRIDE = 7 * 16 + 2 };
    uint64_t seed = 5;
    float *w = random_floats(&seed, (size_t)COLS * W_STRIDE);
    float *x = random_floats(&seed, (size_t)ROWS * X_STRIDE);
    float *start = random_floats(&seed, (size_t)ROWS * OUT_STRIDE);
    size_t bytes = sizeof(float) * ROWS * OUT_STRIDE;
    float *expected = malloc(bytes);
    float *out = malloc(bytes);

    (void)state;
    assert_true(w && x && start && expected && out);
    for (uint32_t width = 16; width <= 7 * 16; width += 16) {
        memcpy(expected, start, bytes);
        for (uint32_t r = 0; r < ROWS; r++) {
            for (uint32_t p = 0; p < width; p++) {
                float *sum = &expected[r * OUT_STRIDE + p];
                for (uint32_t c = 0; c < COLS; c++) {
                    *sum = fmaf(x[r * X_STRIDE + c], w[c * W_STRIDE + p], *sum);
                }
            }
        }
        FOR_EACH_SET(k) {
            memcpy(out, start, bytes);
            k->matmul_add(w, W_STRIDE, width, x, X_STRIDE, ROWS, COLS, out, OUT_STRIDE);
            assert_memory_equal(out, expected, bytes);
            /* In pieces of any number of rows and columns of the result. */
            memcpy(out, start, bytes);
            for (uint32_t r = 0, count = 1; r < ROWS; r += count++) {
                uint32_t some = ROWS - r < count ? ROWS - r : count;
                float *to = out + (size_t)r * OUT_STRIDE;
                const float *from = x + (size_t)r * X_STRIDE;

                k->matmul_add(w + 16, W_STRIDE, width - 16, from, X_STRIDE, some, COLS, to + 16, OUT_STRIDE);
                k->matmul_add(w, W_STRIDE, 16, from, X_STRIDE, some, COLS, to, OUT_STRIDE);
            }
            assert_memory_equal(out, expected, bytes);
        }
    }
    free(w);
    free(x);
    free(start);
    free(expected);
    free(out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dot_is_near_the_double_sum_and_the_same_in_every_set),
        cmocka_unit_test(test_rms_norm_divides_by_the_root_of_the_mean_square),
        cmocka_unit_test(test_rms_norm_works_in_place_and_without_a_weight),
        cmocka_unit_test(test_adds_exactly_the_asked_count),
        cmocka_unit_test(test_gelu_meets_the_reference_values),
        cmocka_unit_test(test_gelu_is_accurate_everywhere_and_the_same_in_every_set),
        cmocka_unit_test(test_gelu_saturates_and_keeps_what_is_not_a_number),
        cmocka_unit_test(test_a_soft_cap_is_a_tanh_and_the_same_bits_in_every_set),
        cmocka_unit_test(test_rope_turns_pairs_half_a_head_apart),
        cmocka_unit_test(test_f32_product_is_accurate_and_independent_of_its_company),
        cmocka_unit_test(test_a_product_by_columns_adds_term_by_term_to_what_is_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
