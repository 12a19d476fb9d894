/* SPDX-License-Identifier: Apache-2.0
 *
 * The tiny models of tests/golden/tiny in every format that is committed, at every position, against what
 * transformers computed with them (tests/golden/generate.py).
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "engine/engine.h"

struct golden {
    uint32_t count, vocabulary;
    uint32_t *tokens;
    float *logits; /* [count, vocabulary] */
};

static void read_golden(const char *name, struct golden *g) {
    char path[512];

    (void)snprintf(path, sizeof path, BUCKLER_SOURCE_DIR "/tests/golden/tiny/%s.logits", name);
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    assert_int_equal(fread(&g->count, 4, 1, file), 1);
    assert_int_equal(fread(&g->vocabulary, 4, 1, file), 1);
    size_t values = (size_t)g->count * g->vocabulary;
    g->tokens = calloc(g->count, sizeof *g->tokens);
    g->logits = calloc(values, sizeof *g->logits);
    assert_true(g->tokens != NULL && g->logits != NULL);
    assert_int_equal(fread(g->tokens, sizeof *g->tokens, g->count, file), g->count);
    assert_int_equal(fread(g->logits, sizeof *g->logits, values, file), values);
    assert_int_equal(fclose(file), 0);
}

static void run(const char *name, bool reference, const struct golden *g, float *out) {
    struct engine_segment segment = {.parent = -1, .tokens = g->tokens, .count = g->count};
    struct engine_readout *readouts = calloc(g->count, sizeof *readouts);
    struct engine *engine;
    struct engine_model *model;
    struct error e = {0};
    char path[512];

    assert_non_null(readouts);
    for (uint32_t i = 0; i < g->count; i++) {
        readouts[i] = (struct engine_readout){
            .kind = ENGINE_READ_LOGITS, .position = i, .out = out + (size_t)i * g->vocabulary};
    }
    (void)snprintf(path, sizeof path, BUCKLER_SOURCE_DIR "/tests/golden/tiny/%s", name);
    if (engine_open(&(struct engine_options){.threads = 2, .reference = reference}, &engine, &e) != 0 ||
        engine_model_open(engine, path, &model, &e) != 0) {
        fail_msg("%s", e.text);
    }
    assert_int_equal(engine_model_info(model)->vocabulary, g->vocabulary);
    struct engine_job job = {.kind = ENGINE_JOB_FOREST,
                             .model = model,
                             .segments = &segment,
                             .segment_count = 1,
                             .readouts = readouts,
                             .readout_count = g->count};
    assert_int_equal(engine_run(engine, &job), 0);
    engine_model_unref(model);
    engine_free(engine);
    free(readouts);
}

static uint32_t top(const float *logits, uint32_t count) {
    uint32_t best = 0;

    for (uint32_t i = 0; i < count; i++) {
        best = logits[i] > logits[best] ? i : best;
    }
    return best;
}

static void check(const char *name, bool reference, double bound) {
    struct golden g;
    double worst = 0, scale = 0;

    read_golden(name, &g);
    size_t values = (size_t)g.count * g.vocabulary;
    float *out = calloc(values, sizeof *out);
    assert_non_null(out);
    run(name, reference, &g, out);
    for (size_t i = 0; i < values; i++) {
        worst = fmax(worst, fabs(out[i] - g.logits[i]));
        scale = fmax(scale, fabs(g.logits[i]));
    }
    if (!(scale > 1) || !(worst <= bound * scale)) {
        fail_msg("%s is off by %g of %g", name, worst, scale);
    }
    for (uint32_t i = 0; i < g.count; i++) {
        size_t at = (size_t)i * g.vocabulary;
        assert_int_equal(top(out + at, g.vocabulary), top(g.logits + at, g.vocabulary));
    }
    free(out);
    free(g.tokens);
    free(g.logits);
}

static const char *const models[] = {
    "gemma",  "gemma.q8_0.gguf",  "gemma.q4_0.gguf", /* the first of each is a folder */
    "gemma2", "gemma2.q8_0.gguf", "gemma2.q4_0.gguf", "gemma3", "gemma3.q8_0.gguf", "gemma3.q4_0.gguf",
};

static void test_f32_arithmetic_gives_the_logits_of_transformers(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof models / sizeof models[0]; i++) {
        check(models[i], true, 2e-4);
    }
}

static void test_default_arithmetic_stays_within_a_hundredth_of_them(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof models / sizeof models[0]; i++) {
        check(models[i], false, 1e-2);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_f32_arithmetic_gives_the_logits_of_transformers),
        cmocka_unit_test(test_default_arithmetic_stays_within_a_hundredth_of_them),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
