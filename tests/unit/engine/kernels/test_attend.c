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

enum { MOST_KEYS = 100, MOST_HEADS = 9, MOST_SIZE = 512 };

struct attention {
    float *q, *keys, *values, *out, *expected;
    size_t size;
};

static void setup(struct attention *a, size_t head_size, float sharpness) {
    uint64_t seed = head_size;

    a->size = head_size;
    a->q = random_floats(&seed, MOST_HEADS * head_size);
    a->keys = random_floats(&seed, MOST_KEYS * head_size);
    a->values = random_floats(&seed, MOST_KEYS * head_size);
    a->out = calloc(MOST_HEADS * head_size + 1, sizeof(float));
    a->expected = calloc(MOST_HEADS * head_size + 1, sizeof(float));
    assert_true(a->q && a->keys && a->values && a->out && a->expected);
    for (size_t i = 0; i < MOST_HEADS * head_size; i++) {
        a->q[i] *= sharpness;
    }
}

static void teardown(struct attention *a) {
    free(a->q);
    free(a->keys);
    free(a->values);
    free(a->out);
    free(a->expected);
}

static struct kv_run run_of(const struct attention *a, uint32_t first, uint32_t count) {
    return (struct kv_run){a->keys + first * a->size, a->values + first * a->size, count, (uint32_t)a->size};
}

/* Softmax over all keys at once, in double. */
static void attend_double(const struct attention *a, const float *q, uint32_t count, double cap,
                          double *out) {
    double weights[MOST_KEYS];
    double largest = -INFINITY;
    double sum = 0;

    for (uint32_t k = 0; k < count; k++) {
        weights[k] = 0;
        for (size_t i = 0; i < a->size; i++) {
            weights[k] += (double)q[i] * a->keys[k * a->size + i];
        }
        weights[k] = cap > 0 ? cap * tanh(weights[k] / cap) : weights[k];
        largest = fmax(largest, weights[k]);
    }
    memset(out, 0, a->size * sizeof(*out));
    for (uint32_t k = 0; k < count; k++) {
        weights[k] = exp(weights[k] - largest);
        sum += weights[k];
        for (size_t i = 0; i < a->size; i++) {
            out[i] += weights[k] * a->values[k * a->size + i];
        }
    }
    for (size_t i = 0; i < a->size; i++) {
        out[i] /= sum;
    }
}

static void test_is_a_softmax_and_the_same_bits_in_every_set(void **state) {
    static const size_t sizes[] = {16, 64, 80, 256, 512};
    static const uint32_t counts[] = {1, 2, 31, 32, 33, 64, 100};

    (void)state;
    for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
        struct attention a;
        double expected[MOST_SIZE];

        setup(&a, sizes[s], 1);
        for (size_t c = 0; c < sizeof(counts) / sizeof(counts[0]); c++) {
            struct kv_run run = run_of(&a, 0, counts[c]);

            attend_double(&a, a.q, counts[c], 0, expected);
            kernel_choose("portable")->attend(a.q, &run, 1, a.size, 0, a.expected);
            for (size_t i = 0; i < a.size; i++) {
                assert_true(fabs(a.expected[i] - expected[i]) <= 4e-6);
            }
            FOR_EACH_SET(k) {
                k->attend(a.q, &run, 1, a.size, 0, a.out);
                assert_memory_equal(a.out, a.expected, a.size * sizeof(float));
            }
        }
        teardown(&a);
    }
}

static void test_cutting_the_keys_into_runs_changes_nothing(void **state) {
    (void)state;
    FOR_EACH_SET(k) {
        struct attention a;
        struct kv_run whole;
        struct kv_run runs[MOST_KEYS];

        setup(&a, 128, 1);
        whole = run_of(&a, 0, MOST_KEYS);
        k->attend(a.q, &whole, 1, 128, 0, a.expected);
        for (uint32_t cut = 0; cut <= MOST_KEYS; cut += 7) {
            runs[0] = run_of(&a, 0, cut);
            runs[1] = run_of(&a, cut, 0);
            runs[2] = run_of(&a, cut, MOST_KEYS - cut);
            k->attend(a.q, runs, 3, 128, 0, a.out);
            assert_memory_equal(a.out, a.expected, 128 * sizeof(float));
        }
        for (uint32_t i = 0; i < MOST_KEYS; i++) {
            runs[i] = run_of(&a, i, 1);
        }
        k->attend(a.q, runs, MOST_KEYS, 128, 0, a.out);
        assert_memory_equal(a.out, a.expected, 128 * sizeof(float));
        teardown(&a);
    }
}

static void test_heads_together_give_the_bits_of_each_alone(void **state) {
    (void)state;
    FOR_EACH_SET(k) {
        struct attention a;
        struct kv_run run;

        setup(&a, 96, 1);
        run = run_of(&a, 0, 45);
        for (uint32_t h = 0; h < MOST_HEADS; h++) {
            k->attend(a.q + h * 96, &run, 1, 96, 0, a.expected + (size_t)h * 96);
        }
        for (uint32_t heads = 1; heads <= MOST_HEADS; heads++) {
            memset(a.out, 0, MOST_HEADS * 96 * sizeof(float));
            a.out[(size_t)heads * 96] = 12345.0F;
            k->attend_heads(a.q, heads, &run, 1, 96, 0, a.out);
            assert_memory_equal(a.out, a.expected, heads * 96 * sizeof(float));
            assert_true(a.out[(size_t)heads * 96] == 12345.0F);
        }
        teardown(&a);
    }
}

static void test_keys_may_lie_apart(void **state) {
    (void)state;
    FOR_EACH_SET(k) {
        struct attention a;
        struct kv_run dense;
        struct kv_run sparse;

        setup(&a, 64, 1);
        dense = run_of(&a, 0, 40);
        sparse = (struct kv_run){a.keys, a.values, 20, 128};
        k->attend(a.q, &dense, 1, 64, 0, a.expected);
        k->attend(a.q, &sparse, 1, 64, 0, a.out);
        assert_memory_not_equal(a.out, a.expected, 64 * sizeof(float));
        for (int i = 0; i < 20; i++) {
            memmove(a.keys + i * 64, a.keys + (size_t)i * 128, 64 * sizeof(float));
            memmove(a.values + i * 64, a.values + (size_t)i * 128, 64 * sizeof(float));
        }
        dense.count = 20;
        k->attend(a.q, &dense, 1, 64, 0, a.expected);
        assert_memory_equal(a.out, a.expected, 64 * sizeof(float));
        teardown(&a);
    }
}

static void test_huge_scores_neither_overflow_nor_drown(void **state) {
    (void)state;
    FOR_EACH_SET(k) {
        struct attention a;
        struct kv_run run;
        double expected[MOST_SIZE];

        /* Scores of several thousand: the largest key takes all. */
        setup(&a, 256, 1000);
        run = run_of(&a, 0, MOST_KEYS);
        attend_double(&a, a.q, MOST_KEYS, 0, expected);
        k->attend(a.q, &run, 1, 256, 0, a.out);
        for (int i = 0; i < 256; i++) {
            assert_true(fabs(a.out[i] - expected[i]) <= 1e-3);
        }
        teardown(&a);
    }
}

static void test_capped_scores_are_those_of_the_definition_and_the_same_bits_in_every_set(void **state) {
    struct attention a;
    double expected[MOST_SIZE];

    (void)state;
    setup(&a, 64, 8); /* scores of some 60 against a cap of 20 */
    for (uint32_t count = 1; count <= MOST_KEYS; count += 9) {
        struct kv_run run = run_of(&a, 0, count);

        attend_double(&a, a.q, count, 20, expected);
        kernel_choose("portable")->attend(a.q, &run, 1, 64, 20, a.expected);
        for (int i = 0; i < 64; i++) {
            assert_true(fabs(a.expected[i] - expected[i]) <= 5e-5);
        }
        FOR_EACH_SET(k) {
            k->attend_heads(a.q, 3, &run, 1, 64, 20, a.out);
            assert_memory_equal(a.out, a.expected, 64 * sizeof(float));
        }
    }
    a.keys[9] = INFINITY; /* a cap must not make a number of it */
    FOR_EACH_SET(k) {
        struct kv_run run = run_of(&a, 0, 5);

        k->attend(a.q, &run, 1, 64, 20, a.out);
        assert_true(isnan(a.out[0]));
    }
    teardown(&a);
}

static void test_what_is_not_a_number_spreads_to_the_whole_head(void **state) {
    static const uint32_t places[] = {0, 20, 40, 44};

    (void)state;
    FOR_EACH_SET(k) {
        for (size_t p = 0; p < sizeof(places) / sizeof(places[0]); p++) {
            struct attention a;
            struct kv_run run;

            setup(&a, 64, 1);
            run = run_of(&a, 0, 45);
            a.keys[places[p] * 64 + 9] = NAN;
            k->attend(a.q, &run, 1, 64, 0, a.out);
            for (int i = 0; i < 64; i++) {
                assert_true(isnan(a.out[i]));
            }
            a.keys[places[p] * 64 + 9] = 0;
            a.values[places[p] * 64 + 9] = NAN;
            k->attend(a.q, &run, 1, 64, 0, a.out);
            for (int i = 0; i < 64; i++) {
                assert_int_equal(isnan(a.out[i]) != 0, i == 9);
            }
            /* Neither a key behind the last one nor its value is read into the result. */
            a.values[places[p] * 64 + 9] = 0;
            a.keys[45 * 64] = NAN;
            a.values[45 * 64] = NAN;
            k->attend(a.q, &run, 1, 64, 0, a.out);
            for (int i = 0; i < 64; i++) {
                assert_true(isfinite(a.out[i]));
            }
            teardown(&a);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_is_a_softmax_and_the_same_bits_in_every_set),
        cmocka_unit_test(test_cutting_the_keys_into_runs_changes_nothing),
        cmocka_unit_test(test_heads_together_give_the_bits_of_each_alone),
        cmocka_unit_test(test_keys_may_lie_apart),
        cmocka_unit_test(test_huge_scores_neither_overflow_nor_drown),
        cmocka_unit_test(test_capped_scores_are_those_of_the_definition_and_the_same_bits_in_every_set),
        cmocka_unit_test(test_what_is_not_a_number_spreads_to_the_whole_head),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
