/* SPDX-License-Identifier: Apache-2.0
 *
 * The numbers: against the definition in double precision, and the same bits however the work is cut.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/engine/graph/rig.h"

enum { TOKENS = 40, HIDDEN = 64 };

static float *new_floats(size_t count) {
    float *p = calloc(count, sizeof *p);

    assert_non_null(p);
    return p;
}

/* The largest difference between the engine's logits and the definition's, over TOKENS positions; *ret_scale
 * is the largest logit. */
static double largest_difference(const struct tiny_options *tiny, struct engine_options options,
                                 double *ret_scale) {
    struct rig rig = {0};
    uint32_t tokens[TOKENS];
    double x[TOKENS * HIDDEN], difference = 0, scale = 0;
    size_t count = (size_t)TOKENS * TINY_VOCABULARY;
    double *expected = calloc(count, sizeof *expected);
    float *logits = new_floats(count);

    assert_non_null(expected);
    rig_open(&rig, tiny, options);
    rig_tokens(1, tokens, TOKENS);
    tiny_forward(&rig.tiny, tokens, TOKENS, tiny->layers, x, expected);
    rig_logits(&rig, tokens, TOKENS, logits);
    for (size_t i = 0; i < count; i++) {
        difference = fmax(difference, fabs(logits[i] - expected[i]));
        scale = fmax(scale, fabs(expected[i]));
    }
    *ret_scale = scale;
    rig_close(&rig);
    free(expected);
    free(logits);
    return difference;
}

static void test_logits_are_those_of_the_definition(void **state) {
    (void)state;
    static const char *const sets[] = {"portable", NULL};

    for (size_t i = 0; i < sizeof sets / sizeof sets[0]; i++) {
        struct engine_options options = {.threads = 2, .reference = true, .instruction_set = sets[i]};
        struct tiny_options plain = tiny_default(TINY_F32), mixed = tiny_default(TINY_MIXED);

        for (uint32_t generation = 1; generation <= 3; generation++) {
            double scale;

            plain.generation = mixed.generation = generation;
            assert_true(largest_difference(&plain, options, &scale) < 1e-4);
            assert_true(largest_difference(&mixed, options, &scale) < 1e-4);
            assert_true(scale > 1);
        }
    }
}

static void test_every_shape_of_heads_and_pattern_is_that_of_the_definition(void **state) {
    (void)state;
    struct engine_options options = {.threads = 2, .reference = true};
    struct tiny_options tiny = tiny_default(TINY_F32);
    double scale;

    tiny.period = 3;
    tiny.layers = 4;
    tiny.kv_heads = 1;
    assert_true(largest_difference(&tiny, options, &scale) < 1e-4);
    tiny.kv_heads = 4;
    tiny.head_size = 16;
    tiny.window = 1;
    assert_true(largest_difference(&tiny, options, &scale) < 1e-4);
}

static void test_eight_bit_activations_stay_near_the_definition(void **state) {
    (void)state;
    struct engine_options options = {.threads = 2};
    struct tiny_options q8 = tiny_default(TINY_Q8_0), mixed = tiny_default(TINY_MIXED);

    for (uint32_t generation = 1; generation <= 3; generation++) {
        q8.generation = mixed.generation = generation;
        double scale, difference = largest_difference(&q8, options, &scale);

        assert_true(difference > 1e-5); /* it did take the packed path */
        assert_true(difference < 0.03 * scale);
        assert_true(largest_difference(&mixed, options, &scale) < 0.03 * scale);
    }
}

/* All logits of a flat sequence under given options, from the same file. */
static void logits_under(const char *path, struct engine_options options, float *out, uint32_t count) {
    struct rig rig = {0};
    uint32_t tokens[256];

    rig_open_written(&rig, path, options);
    rig_tokens(2, tokens, count);
    rig_logits(&rig, tokens, count, out);
    engine_model_unref(rig.model);
    engine_free(rig.engine);
}

/* A model of this generation: the same bits with any number of threads, step and cache size. */
static void check_bits(uint32_t generation) {
    const struct engine_options variants[] = {
        {.threads = 2},
        {.threads = 3},
        {.threads = 1, .step_tokens = 16},
        {.threads = 3, .step_tokens = 7},
        {.threads = 2, .step_tokens = 1}, /* single steps, one token after the other */
        {.threads = 2, .kv_tokens = 128},
    };
    enum { COUNT = 100 };
    size_t bytes = COUNT * TINY_VOCABULARY * sizeof(float);
    float *expected = new_floats(COUNT * TINY_VOCABULARY), *out = new_floats(COUNT * TINY_VOCABULARY);
    struct tiny_options options = tiny_default(TINY_MIXED);
    struct tiny_model tiny;
    char path[64];

    options.generation = generation;
    tiny_init(&tiny, &options);
    tiny_write(&tiny, path);
    for (int reference = 0; reference < 2; reference++) {
        logits_under(path, (struct engine_options){.threads = 1, .reference = reference}, expected, COUNT);
        for (size_t i = 0; i < sizeof variants / sizeof variants[0]; i++) {
            struct engine_options variant = variants[i];
            variant.reference = reference;
            logits_under(path, variant, out, COUNT);
            assert_memory_equal(out, expected, bytes);
        }
    }
    assert_int_equal(remove(path), 0);
    tiny_deinit(&tiny);
    free(expected);
    free(out);
}

static void test_bits_depend_on_neither_threads_nor_steps(void **state) {
    (void)state;
    for (uint32_t generation = 1; generation <= 3; generation++) {
        check_bits(generation);
    }
}

/* Leaves of a tree, and the same tokens as flat sequences, have the same bits. */
static void check_leaves(uint32_t generation) {
    enum { LEAVES = 9, CONTENT = 45, LEAF = 11 };
    struct rig rig = {0};
    struct tiny_options options = tiny_default(TINY_MIXED);
    uint32_t content[CONTENT], leaves[LEAVES][LEAF];
    struct engine_segment segments[LEAVES + 2] = {{.parent = -1, .tokens = content, .count = 5},
                                                  {.parent = 0, .tokens = content + 5, .count = CONTENT - 5}};
    struct engine_readout readouts[LEAVES] = {{0}};
    static float out[LEAVES][TINY_VOCABULARY];
    float *flat = new_floats((CONTENT + LEAF) * TINY_VOCABULARY);

    options.generation = generation;
    rig_tokens(3, content, CONTENT);
    for (uint32_t i = 0; i < LEAVES; i++) {
        uint32_t count = LEAF - i;

        rig_tokens(100 + i, leaves[i], LEAF);
        segments[2 + i] = (struct engine_segment){.parent = 1, .tokens = leaves[i], .count = count};
        readouts[i] = (struct engine_readout){
            .kind = ENGINE_READ_LOGITS, .segment = 2 + i, .position = count - 1, .out = out[i]};
    }
    rig_open(&rig, &options, (struct engine_options){.threads = 2, .step_tokens = 32});
    struct engine_job job = {.kind = ENGINE_JOB_FOREST,
                             .model = rig.model,
                             .segments = segments,
                             .segment_count = LEAVES + 2,
                             .readouts = readouts,
                             .readout_count = LEAVES};
    assert_int_equal(engine_run(rig.engine, &job), 0);
    for (uint32_t i = 0; i < LEAVES; i++) {
        uint32_t path[CONTENT + LEAF], count = CONTENT + LEAF - i;

        memcpy(path, content, sizeof content);
        memcpy(path + CONTENT, leaves[i], sizeof leaves[i]);
        rig_logits(&rig, path, count, flat);
        assert_memory_equal(out[i], flat + (size_t)(count - 1) * TINY_VOCABULARY, sizeof out[i]);
    }
    rig_close(&rig);
    free(flat);
}

static void test_leaves_of_a_forest_equal_flat_sequences(void **state) {
    (void)state;
    for (uint32_t generation = 1; generation <= 3; generation++) {
        check_leaves(generation);
    }
}

static void test_a_window_shows_exactly_its_positions(void **state) {
    (void)state;
    enum { COUNT = 30, READ = 29 };
    struct tiny_options options = tiny_default(TINY_F32);
    struct rig rig = {0};
    uint32_t tokens[COUNT];
    float *before = new_floats(COUNT * TINY_VOCABULARY), *after = new_floats(COUNT * TINY_VOCABULARY);
    size_t row = (size_t)READ * TINY_VOCABULARY, bytes = TINY_VOCABULARY * sizeof(float);

    /* Two sliding layers see 2 · (window − 1) positions back, and not one more. */
    options.layers = 2;
    uint32_t reach = 2 * (options.window - 1);
    rig_open(&rig, &options, (struct engine_options){.threads = 1});
    rig_tokens(4, tokens, COUNT);
    rig_logits(&rig, tokens, COUNT, before);
    tokens[READ - reach - 1] ^= 1;
    rig_logits(&rig, tokens, COUNT, after);
    assert_memory_equal(before + row, after + row, bytes);
    tokens[READ - reach] ^= 1;
    rig_logits(&rig, tokens, COUNT, after);
    assert_memory_not_equal(before + row, after + row, bytes);
    rig_close(&rig);
    free(before);
    free(after);
}

static void test_hidden_states_are_those_of_the_definition(void **state) {
    (void)state;
    struct rig rig = {0};
    struct tiny_options options = tiny_default(TINY_F32);
    uint32_t tokens[TOKENS];
    double x[TOKENS * HIDDEN];
    float last[HIDDEN], mean[HIDDEN];
    struct engine_segment segment = {.parent = -1, .tokens = tokens, .count = TOKENS};

    rig_open(&rig, &options, (struct engine_options){.threads = 2, .reference = true});
    rig_tokens(5, tokens, TOKENS);
    for (uint32_t layer = 1; layer <= options.layers; layer += 11) {
        struct engine_readout readouts[2] = {
            {.kind = ENGINE_READ_LAST, .position = 21, .layer = layer, .out = last},
            {.kind = ENGINE_READ_MEAN, .layer = layer, .out = mean},
        };
        struct engine_job job = {.kind = ENGINE_JOB_FOREST,
                                 .model = rig.model,
                                 .segments = &segment,
                                 .segment_count = 1,
                                 .readouts = readouts,
                                 .readout_count = 2};
        assert_int_equal(engine_run(rig.engine, &job), 0);
        tiny_forward(&rig.tiny, tokens, TOKENS, layer, x, NULL);
        for (int c = 0; c < HIDDEN; c++) {
            double sum = 0;
            for (int i = 0; i < TOKENS; i++) {
                sum += x[i * HIDDEN + c];
            }
            assert_true(fabs(last[c] - x[21 * HIDDEN + c]) < 1e-4);
            assert_true(fabs(mean[c] - sum / TOKENS) < 1e-4);
        }
    }
    rig_close(&rig);
}

/* Many readouts of different depth over a small tree, in steps of `step_tokens`, into `out`. */
static void read_mixture(const char *path, uint32_t step_tokens, float *out) {
    struct rig rig = {0};
    uint32_t root[40], leaf[20], ids[3] = {5, 319, 5};
    struct engine_segment segments[3] = {{.parent = -1, .tokens = root, .count = 40},
                                         {.parent = 0, .tokens = leaf, .count = 20},
                                         {.parent = 0, .tokens = leaf + 3, .count = 10}};
    struct engine_readout readouts[] = {
        {.kind = ENGINE_READ_MEAN, .segment = 0, .layer = 3, .out = out},
        {.kind = ENGINE_READ_MEAN, .segment = 1, .layer = 12, .out = out + HIDDEN},
        {.kind = ENGINE_READ_LAST, .segment = 2, .position = 4, .layer = 7, .out = out + 2 * HIDDEN},
        {.kind = ENGINE_READ_LOGITS,
         .segment = 1,
         .position = 19,
         .ids = ids,
         .id_count = 3,
         .out = out + 3 * HIDDEN},
        {.kind = ENGINE_READ_NEXT, .segment = 1, .position = 19, .out = out + 3 * HIDDEN + 3},
        {.kind = ENGINE_READ_LOGITS, .segment = 1, .position = 19, .out = out + 4 * HIDDEN},
        {.kind = ENGINE_READ_NEXT, .segment = 0, .position = 0, .out = out + 3 * HIDDEN + 4},
    };

    rig_tokens(6, root, 40);
    rig_tokens(7, leaf, 20);
    rig_open_written(&rig, path, (struct engine_options){.threads = 2, .step_tokens = step_tokens});
    struct engine_job job = {.kind = ENGINE_JOB_FOREST,
                             .model = rig.model,
                             .segments = segments,
                             .segment_count = 3,
                             .readouts = readouts,
                             .readout_count = sizeof readouts / sizeof readouts[0]};
    assert_int_equal(engine_run(rig.engine, &job), 0);
    assert_int_equal(job.tokens_computed,
                     40 + 20 + 5); /* what follows the last readout of a leaf is not computed */
    engine_model_unref(rig.model);
    engine_free(rig.engine);
}

static void test_readouts_depend_neither_on_each_other_nor_on_steps(void **state) {
    (void)state;
    enum { FLOATS = 4 * HIDDEN + TINY_VOCABULARY };
    static float whole[FLOATS], cut[FLOATS];
    struct tiny_options options = tiny_default(TINY_MIXED);
    struct tiny_model tiny;
    char path[64];

    tiny_init(&tiny, &options);
    tiny_write(&tiny, path);
    read_mixture(path, 512, whole);
    read_mixture(path, 9, cut);
    assert_memory_equal(whole, cut, sizeof whole);
    const float *listed = whole + 3 * HIDDEN, *all = whole + 4 * HIDDEN;
    assert_memory_equal(&listed[0], &all[5], sizeof(float));
    assert_memory_equal(&listed[1], &all[319], sizeof(float));
    assert_memory_equal(&listed[2], &all[5], sizeof(float));
    uint32_t next = (uint32_t)listed[3];
    for (uint32_t id = 0; id < TINY_VOCABULARY; id++) {
        assert_true(all[id] < all[next] || id >= next);
        assert_true(all[id] <= all[next]);
    }
    assert_int_equal(remove(path), 0);
    tiny_deinit(&tiny);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_logits_are_those_of_the_definition),
        cmocka_unit_test(test_every_shape_of_heads_and_pattern_is_that_of_the_definition),
        cmocka_unit_test(test_eight_bit_activations_stay_near_the_definition),
        cmocka_unit_test(test_bits_depend_on_neither_threads_nor_steps),
        cmocka_unit_test(test_leaves_of_a_forest_equal_flat_sequences),
        cmocka_unit_test(test_a_window_shows_exactly_its_positions),
        cmocka_unit_test(test_hidden_states_are_those_of_the_definition),
        cmocka_unit_test(test_readouts_depend_neither_on_each_other_nor_on_steps),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
