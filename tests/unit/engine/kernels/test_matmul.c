/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/kernels/layout.h"
#include "tests/unit/engine/kernels/sets_under_test.h"
#include "tests/unit/engine/kernels/stored.h"

enum { MOST_ROWS = 37 };

/* One matrix with its activations. */
struct product {
    struct packed_matrix w;
    uint8_t *stored;
    float *x;
    void *q;
    uint32_t rows, panels;
};

static void setup(struct product *p, const struct kernel_set *k, enum tensor_type type, uint32_t w_rows,
                  uint32_t cols) {
    uint64_t seed = type * 1000U + w_rows + cols;

    p->rows = MOST_ROWS;
    p->panels = (w_rows + PANEL_ROWS - 1) / PANEL_ROWS;
    p->stored = random_stored(&seed, type, w_rows, cols);
    p->x = random_floats(&seed, (size_t)MOST_ROWS * cols);
    p->q = aligned_alloc(64, MOST_ROWS * k->activation_bytes(cols));
    assert_non_null(p->stored);
    assert_non_null(p->x);
    assert_non_null(p->q);
    assert_non_null(packed_data(k, type, p->stored, w_rows, cols, &p->w));
    k->quantize_rows(p->x, cols, MOST_ROWS, cols, p->q);
}

static void teardown(struct product *p) {
    free(p->stored);
    free(p->x);
    free(p->q);
    free(p->w.data);
}

static float *multiply(const struct kernel_set *k, const struct product *p) {
    float *out = calloc((size_t)p->rows * p->w.rows, sizeof(float));

    assert_non_null(out);
    k->matmul(&p->w, p->q, p->rows, 0, p->panels, out, p->w.rows);
    return out;
}

static const struct activation_outlier *outliers_of(const struct activation_block *x, uint32_t cols) {
    return (const void *)(x + cols / BLOCK_COLS);
}

/* Against the dequantised weights and the dequantised activations in double: only the f32 sums may differ. */
static void check_against_double(const struct kernel_set *k, const struct product *p) {
    const struct tensor_type_info *info = tensor_type_info(p->w.type);
    uint32_t cols = p->w.cols;
    size_t stored_row = cols / info->block_values * info->block_bytes;
    float *weights = malloc(cols * sizeof(float));
    float *out = multiply(k, p);

    assert_non_null(weights);
    for (uint32_t r = 0; r < p->w.rows; r++) {
        k->dequantize(p->w.type, p->stored + r * stored_row, cols, weights);
        for (uint32_t i = 0; i < p->rows; i++) {
            const struct activation_block *x =
                (const void *)((const uint8_t *)p->q + i * k->activation_bytes(cols));
            double sum = 0;
            double magnitude = 0;

            for (uint32_t c = 0; c < cols; c++) {
                const struct activation_block *block = &x[c / BLOCK_COLS];
                double term = (double)weights[c] * block->q[c % BLOCK_COLS] * (double)block->scale;
                sum += term;
                magnitude += fabs(term);
            }
            for (int o = 0; o < OUTLIERS; o++) {
                const struct activation_outlier *outlier = outliers_of(x, cols) + o;
                double term = (double)weights[outlier->col] * (double)outlier->value;
                sum += term;
                magnitude += fabs(term);
            }
            assert_true(fabs(out[(size_t)i * p->w.rows + r] - sum) <= 1e-6 * magnitude);
        }
    }
    free(weights);
    free(out);
}

static void test_multiplies_what_the_stored_values_say(void **state) {
    static const uint32_t shapes[][2] = {{16, 256}, {33, 512}, {5, 768}};

    (void)state;
    FOR_EACH_SET(k) {
        for (size_t t = 0; t < PACKED_TYPES; t++) {
            for (size_t s = 0; s < sizeof(shapes) / sizeof(shapes[0]); s++) {
                struct product p;

                setup(&p, k, packed_types[t], shapes[s][0], shapes[s][1]);
                check_against_double(k, &p);
                teardown(&p);
            }
        }
    }
}

static void test_gives_the_same_bits_in_every_set(void **state) {
    const struct kernel_set *portable = kernel_choose("portable");

    (void)state;
    for (size_t t = 0; t < PACKED_TYPES; t++) {
        uint32_t cols = tensor_type_info(packed_types[t])->block_values == 32 ? 640 : 1024;
        struct product p;

        setup(&p, portable, packed_types[t], 47, cols);
        float *expected = multiply(portable, &p);
        FOR_EACH_SET(k) {
            size_t q_bytes = MOST_ROWS * k->activation_bytes(cols);
            void *q = calloc(1, q_bytes);
            float *out = multiply(k, &p);

            assert_non_null(q);
            k->quantize_rows(p.x, cols, MOST_ROWS, cols, q);
            for (uint32_t r = 0; r < MOST_ROWS; r++) {
                size_t at = r * k->activation_bytes(cols);
                assert_memory_equal((uint8_t *)q + at, (uint8_t *)p.q + at,
                                    cols / BLOCK_COLS * sizeof(struct activation_block));
            }
            assert_memory_equal(out, expected, (size_t)MOST_ROWS * 47 * sizeof(float));
            free(q);
            free(out);
        }
        free(expected);
        teardown(&p);
    }
}

static void test_extreme_bytes_do_not_saturate(void **state) {
    static const uint8_t bytes[] = {0x00, 0xff, 0x80, 0x7f, 0x0f, 0xf0};

    (void)state;
    FOR_EACH_SET(k) {
        for (size_t t = 0; t < PACKED_TYPES; t++) {
            const struct tensor_type_info *info = tensor_type_info(packed_types[t]);

            for (size_t b = 0; b < sizeof(bytes); b++) {
                struct product p;
                int fields[2];

                setup(&p, k, packed_types[t], 16, 256);
                memset(p.stored, bytes[b], 16 * 256 / info->block_values * info->block_bytes);
                half_fields(packed_types[t], &fields[0], &fields[1]);
                for (size_t i = 0; i < 16 * 256 / info->block_values; i++) {
                    uint8_t *block = p.stored + i * info->block_bytes;
                    memcpy(block + fields[0], "\x00\x3c", 2);
                    memcpy(block + (fields[1] < 0 ? fields[0] : fields[1]), "\x00\x3c", 2);
                }
                for (size_t i = 0; i < (size_t)MOST_ROWS * 256; i++) {
                    p.x[i] = i / 256 % 3 == 0 ? 1.0F : i / 256 % 3 == 1 ? -1.0F : i % 2 ? 1.0F : -1.0F;
                }
                k->pack(&p.w, p.stored, 0, 1);
                k->quantize_rows(p.x, 256, MOST_ROWS, 256, p.q);
                check_against_double(k, &p);
                teardown(&p);
            }
        }
    }
}

static void test_a_row_does_not_depend_on_its_company(void **state) {
    (void)state;
    FOR_EACH_SET(k) {
        for (size_t t = 0; t < PACKED_TYPES; t++) {
            struct product p;
            float alone[64];

            setup(&p, k, packed_types[t], 64, 512);
            float *together = multiply(k, &p);
            for (uint32_t first = 0; first < MOST_ROWS; first++) {
                const uint8_t *q = (const uint8_t *)p.q + first * k->activation_bytes(512);
                k->matmul(&p.w, q, 1, 0, p.panels, alone, 64);
                assert_memory_equal(alone, together + (size_t)first * 64, sizeof(alone));
            }
            for (uint32_t count = 2; count <= MOST_ROWS; count++) {
                float *some = calloc((size_t)count * 64, sizeof(float));
                assert_non_null(some);
                k->matmul(&p.w, p.q, count, 0, p.panels, some, 64);
                assert_memory_equal(some, together, (size_t)count * 64 * sizeof(float));
                free(some);
            }
            free(together);
            teardown(&p);
        }
    }
}

static void test_panels_may_be_split_at_will(void **state) {
    (void)state;
    FOR_EACH_SET(k) {
        struct product p;

        setup(&p, k, TENSOR_Q4_K, 75, 256);
        float *whole = multiply(k, &p);
        float *parts = calloc((size_t)MOST_ROWS * 75, sizeof(float));
        assert_non_null(parts);
        k->matmul(&p.w, p.q, MOST_ROWS, 3, 5, parts, 75);
        k->matmul(&p.w, p.q, MOST_ROWS, 0, 1, parts, 75);
        k->matmul(&p.w, p.q, MOST_ROWS, 1, 1, parts, 75);
        k->matmul(&p.w, p.q, MOST_ROWS, 1, 3, parts, 75);
        assert_memory_equal(parts, whole, (size_t)MOST_ROWS * 75 * sizeof(float));

        struct packed_matrix again = p.w;
        again.data = aligned_alloc(64, k->packed_bytes(TENSOR_Q4_K, 75, 256));
        assert_non_null(again.data);
        k->pack(&again, p.stored, 2, 5);
        k->pack(&again, p.stored, 0, 2);
        assert_memory_equal(again.data, p.w.data, k->packed_bytes(TENSOR_Q4_K, 75, 256));
        free(again.data);
        free(parts);
        free(whole);
        teardown(&p);
    }
}

static void test_more_rows_than_pass_at_once_change_nothing(void **state) {
    uint32_t cols = 4096;
    uint32_t rows = cut_of(512, cols).rows + 19;

    (void)state;
    assert_true(cut_of(rows, cols).rows < rows && cut_of(rows, cols).blocks < cols / BLOCK_COLS);
    FOR_EACH_SET(k) {
        uint64_t seed = 7;
        struct packed_matrix w;
        uint8_t *stored = random_stored(&seed, TENSOR_Q8_0, 21, cols);
        float *x = random_floats(&seed, (size_t)rows * cols);
        uint8_t *q = aligned_alloc(64, rows * k->activation_bytes(cols));
        float *out = calloc(rows, 21 * sizeof(float));
        float alone[21];

        assert_true(stored && x && q && out);
        assert_non_null(packed_data(k, TENSOR_Q8_0, stored, 21, cols, &w));
        k->quantize_rows(x, cols, rows, cols, q);
        k->matmul(&w, q, rows, 0, 2, out, 21);
        for (uint32_t r = 0; r < rows; r++) {
            k->matmul(&w, q + r * k->activation_bytes(cols), 1, 0, 2, alone, 21);
            assert_memory_equal(alone, out + (size_t)r * 21, sizeof(alone));
        }
        free(stored);
        free(x);
        free(q);
        free(out);
        free(w.data);
    }
}

static void test_writes_only_the_rows_that_exist(void **state) {
    (void)state;
    FOR_EACH_SET(k) {
        struct product p;
        float out[MOST_ROWS][20];

        setup(&p, k, TENSOR_Q6_K, 18, 256);
        for (int i = 0; i < MOST_ROWS * 20; i++) {
            out[i / 20][i % 20] = 12345.0F;
        }
        k->matmul(&p.w, p.q, MOST_ROWS, 0, p.panels, &out[0][0], 20);
        for (int r = 0; r < MOST_ROWS; r++) {
            assert_true(out[r][17] != 12345.0F);
            assert_true(out[r][18] == 12345.0F && out[r][19] == 12345.0F);
        }
        teardown(&p);
    }
}

static void test_not_a_number_is_never_lost(void **state) {
    static const float bad[] = {NAN, INFINITY, -INFINITY};

    (void)state;
    FOR_EACH_SET(k) {
        for (size_t t = 0; t < PACKED_TYPES; t++) {
            for (size_t v = 0; v < 3; v++) {
                struct product p;

                setup(&p, k, packed_types[t], 16, 256);
                p.x[5 * 256 + 77 + v] = bad[v];
                k->quantize_rows(p.x, 256, MOST_ROWS, 256, p.q);
                float *out = multiply(k, &p);
                for (uint32_t i = 0; i < MOST_ROWS * 16; i++) {
                    assert_int_equal(isnan(out[i]) != 0, i / 16 == 5);
                }
                free(out);
                teardown(&p);
            }
        }
    }
}

static void test_a_broken_scale_of_a_weight_is_never_lost(void **state) {
    static const uint8_t bad[][2] = {{0x00, 0x7c}, {0x00, 0x7e}}; /* infinity, NaN */

    (void)state;
    FOR_EACH_SET(k) {
        for (size_t t = 0; t < PACKED_TYPES; t++) {
            for (size_t v = 0; v < 2; v++) {
                struct product p;
                int first;
                int second;

                setup(&p, k, packed_types[t], 16, 256);
                half_fields(packed_types[t], &first, &second);
                memcpy(p.stored + first, bad[v], 2);
                k->pack(&p.w, p.stored, 0, 1);
                float *out = multiply(k, &p);
                for (uint32_t i = 0; i < MOST_ROWS * 16; i++) {
                    assert_int_equal(isfinite(out[i]) != 0, i % 16 != 0);
                }
                free(out);
                teardown(&p);
            }
        }
    }
}

static void test_quantizes_to_nearest_even_with_one_scale_a_block(void **state) {
    (void)state;
    FOR_EACH_SET(k) {
        _Alignas(64) float x[64] = {0};
        _Alignas(64) struct activation_block q[4];
        struct activation_block expected = {.scale = 0};

        assert_true(k->activation_bytes(64) <= sizeof(q));
        x[0] = -127.0F; /* leaves the block, but its equal keeps the scale */
        x[1] = 0.5F;
        x[2] = 1.5F;
        x[3] = -2.5F;
        x[4] = 126.6F;
        x[5] = 127.0F;
        x[20] = 3.0F;
        k->quantize_rows(x, 64, 1, 64, q);
        assert_true(q[0].scale == 1.0F);
        assert_int_equal(q[0].q[0], 0);
        assert_int_equal(q[0].q[1], 0);
        assert_int_equal(q[0].q[2], 2);
        assert_int_equal(q[0].q[3], -2);
        assert_int_equal(q[0].q[4], 127);
        assert_int_equal(q[0].q[5], 127);
        assert_int_equal(q[0].q[20], 3);
        assert_int_equal(q[0].offset_low, -254 * 128);
        assert_int_equal(q[0].offset_high, -3 * 128);
        assert_int_equal(q[0].offset, -257 * 128);
        assert_true(q[0].negative_sum == -257.0F);
        assert_memory_equal(&q[1], &expected, sizeof(expected));
    }
}

static void test_the_values_that_cost_most_leave_their_blocks(void **state) {
    static const uint32_t cols[] = {5, 40, 70, 120, 140}; /* a block each */
    static const float values[] = {50, -80, 20, 70, -60}; /* 20 is the one that stays */

    (void)state;
    FOR_EACH_SET(k) {
        _Alignas(64) float x[160];
        _Alignas(64) struct activation_block q[8];
        unsigned found = 0;

        for (int c = 0; c < 160; c++) {
            x[c] = c % 2 ? 1.0F : -1.0F;
        }
        for (int i = 0; i < 5; i++) {
            x[cols[i]] = values[i];
        }
        assert_true(k->activation_bytes(160) <= sizeof(q));
        k->quantize_rows(x, 160, 1, 160, q);
        for (int i = 0; i < 5; i++) {
            const struct activation_block *block = &q[cols[i] / BLOCK_COLS];

            assert_int_equal(block->q[cols[i] % BLOCK_COLS], i == 2 ? 127 : 0);
            assert_true(block->scale == (i == 2 ? 20.0F : 1.0F) / 127.0F);
            for (int o = 0; o < OUTLIERS; o++) {
                const struct activation_outlier *outlier = outliers_of(q, 160) + o;
                found += outlier->col == cols[i] && outlier->value == values[i];
            }
        }
        assert_int_equal(found, OUTLIERS);
    }
}

static void test_values_too_small_for_a_scale_count_as_zero(void **state) {
    (void)state;
    FOR_EACH_SET(k) {
        _Alignas(64) float x[32] = {0};
        _Alignas(64) struct activation_block q[2];

        x[3] = 0x1p-140F;
        k->quantize_rows(x, 32, 1, 32, q);
        assert_true(q[0].scale == 0 && q[0].q[3] == 0);
        x[3] = -1e-29F;
        k->quantize_rows(x, 32, 1, 32, q);
        assert_true(q[0].scale > 0 && q[0].q[3] == -127);
        x[3] = 3e38F;
        k->quantize_rows(x, 32, 1, 32, q);
        assert_true(isfinite(q[0].scale) && q[0].q[3] == 127);
    }
}

static void test_says_how_much_memory_a_panel_takes(void **state) {
    (void)state;
    FOR_EACH_SET(k) {
        assert_int_equal(k->packed_bytes(TENSOR_F32, 16, 256), 0);
        assert_int_equal(k->packed_bytes(TENSOR_F16, 16, 256), 0);
        assert_int_equal(k->packed_bytes(TENSOR_BF16, 16, 256), 0);
        assert_int_equal(k->packed_bytes(TENSOR_Q5_0, 16, 32), 576);
        assert_int_equal(k->packed_bytes(TENSOR_Q5_0, 17, 64), 4 * 576);
        assert_int_equal(k->packed_bytes(TENSOR_Q4_K, 16, 256), 8 * 384);
        assert_int_equal(k->packed_bytes(TENSOR_Q5_K, 16, 256), 8 * 640);
        /* Nothing wraps at the size of a vocabulary of a large model. */
        assert_true(k->packed_bytes(TENSOR_Q8_0, 262144, 5376) > 1500000000);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_multiplies_what_the_stored_values_say),
        cmocka_unit_test(test_gives_the_same_bits_in_every_set),
        cmocka_unit_test(test_extreme_bytes_do_not_saturate),
        cmocka_unit_test(test_a_row_does_not_depend_on_its_company),
        cmocka_unit_test(test_panels_may_be_split_at_will),
        cmocka_unit_test(test_more_rows_than_pass_at_once_change_nothing),
        cmocka_unit_test(test_writes_only_the_rows_that_exist),
        cmocka_unit_test(test_not_a_number_is_never_lost),
        cmocka_unit_test(test_a_broken_scale_of_a_weight_is_never_lost),
        cmocka_unit_test(test_quantizes_to_nearest_even_with_one_scale_a_block),
        cmocka_unit_test(test_the_values_that_cost_most_leave_their_blocks),
        cmocka_unit_test(test_values_too_small_for_a_scale_count_as_zero),
        cmocka_unit_test(test_says_how_much_memory_a_panel_takes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
