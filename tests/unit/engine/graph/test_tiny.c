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
#include <string.h>

#include <cmocka.h>

#include "engine/engine.h"

struct golden {
    uint32_t count, vocabulary; /* of an embedding model its width */
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
    (void)snprintf(path, sizeof path, BUCKLER_SOURCE_DIR "/tests/golden/tiny/%s", name);
    if (engine_open(&(struct engine_options){.threads = 2, .reference = reference}, &engine, &e) != 0 ||
        engine_model_open(engine, path, &model, &e) != 0) {
        fail_msg("%s", e.text);
    }
    const struct engine_model_info *info = engine_model_info(model);
    assert_int_equal(info->embeds ? info->hidden : info->vocabulary, g->vocabulary);
    for (uint32_t i = 0; i < g->count; i++) {
        readouts[i] = (struct engine_readout){.kind = info->embeds ? ENGINE_READ_LAST : ENGINE_READ_LOGITS,
                                              .position = i,
                                              .layer = info->layers,
                                              .out = out + (size_t)i * g->vocabulary};
    }
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
    "gemma",           "gemma.q8_0.gguf",           "gemma.q4_0.gguf", /* the first of each is a folder */
    "gemma2",          "gemma2.q8_0.gguf",          "gemma2.q4_0.gguf",
    "gemma3",          "gemma3.q8_0.gguf",          "gemma3.q4_0.gguf",
    "gemma-embedding", "gemma-embedding.q8_0.gguf", "gemma-embedding.q4_0.gguf",
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

enum { TEXTS = 5, LONGEST = 40, HIDDEN = 32 };

/* Means of TEXTS texts of different lengths as one job, or each as a job of its own. */
static void read_means(struct engine_options options, bool together, float out[TEXTS][HIDDEN]) {
    static const char path[] = BUCKLER_SOURCE_DIR "/tests/golden/tiny/gemma-embedding.q8_0.gguf";
    struct engine_segment segments[TEXTS];
    struct engine_readout readouts[TEXTS];
    uint32_t tokens[TEXTS][LONGEST];
    struct engine *engine;
    struct engine_model *model;
    struct error e = {0};

    assert_int_equal(engine_open(&options, &engine, &e), 0);
    assert_int_equal(engine_model_open(engine, path, &model, &e), 0);
    assert_int_equal(engine_model_info(model)->hidden, HIDDEN);
    for (uint32_t t = 0; t < TEXTS; t++) {
        for (uint32_t i = 0; i < LONGEST; i++) {
            tokens[t][i] = (t * 131 + i * i * 17 + 5) % 448;
        }
        segments[t] = (struct engine_segment){.parent = -1, .tokens = tokens[t], .count = LONGEST - 9 * t};
        readouts[t] = (struct engine_readout){.kind = ENGINE_READ_MEAN,
                                              .segment = together ? t : 0,
                                              .layer = engine_model_info(model)->layers,
                                              .out = out[t]};
    }
    for (uint32_t t = 0; t < TEXTS; t += together ? TEXTS : 1) {
        struct engine_job job = {.kind = ENGINE_JOB_FOREST,
                                 .model = model,
                                 .segments = segments + t,
                                 .segment_count = together ? TEXTS : 1,
                                 .readouts = readouts + t,
                                 .readout_count = together ? TEXTS : 1};
        if (engine_run(engine, &job) != 0) {
            fail_msg("%s", job.error.text);
        }
    }
    engine_model_unref(model);
    engine_free(engine);
}

static void test_a_mean_has_the_same_bits_in_any_company(void **state) {
    (void)state;
    const struct engine_options variants[] = {
        {.threads = 3},
        {.threads = 2, .step_tokens = 41},
        {.threads = 1, .step_tokens = 64, .kv_tokens = 64},
    };
    static float alone[TEXTS][HIDDEN], out[TEXTS][HIDDEN];

    read_means((struct engine_options){.threads = 1}, false, alone);
    for (size_t i = 0; i < sizeof variants / sizeof variants[0]; i++) {
        read_means(variants[i], true, out);
        assert_memory_equal(out, alone, sizeof alone);
    }
}

static void test_an_embedding_model_refuses_what_it_has_not(void **state) {
    (void)state;
    static const char path[] = BUCKLER_SOURCE_DIR "/tests/golden/tiny/gemma-embedding.q8_0.gguf";
    uint32_t tokens[LONGEST] = {2};
    struct engine_segment segments[2] = {{.parent = -1, .tokens = tokens, .count = 8},
                                         {.parent = 0, .tokens = tokens, .count = 8}};
    float out[HIDDEN];
    struct engine_readout readout = {.kind = ENGINE_READ_MEAN, .layer = 1, .out = out};
    struct engine *engine;
    struct engine_model *model;
    struct error e = {0};

    assert_int_equal(engine_open(&(struct engine_options){.threads = 1, .step_tokens = 32}, &engine, &e), 0);
    assert_int_equal(engine_model_open(engine, path, &model, &e), 0);
    struct engine_job job = {.kind = ENGINE_JOB_FOREST,
                             .model = model,
                             .segments = segments,
                             .segment_count = 2,
                             .readouts = &readout,
                             .readout_count = 1};
    assert_int_equal(engine_submit(engine, &job, &e), ENGINE_E_INVALID);
    assert_non_null(strstr(e.text, "segment 1 has a parent"));
    job.segment_count = 1;
    readout.kind = ENGINE_READ_NEXT;
    assert_int_equal(engine_submit(engine, &job, &e), ENGINE_E_INVALID);
    assert_non_null(strstr(e.text, "logits"));
    readout.kind = ENGINE_READ_MEAN;
    segments[0].count = LONGEST;
    assert_int_equal(engine_submit(engine, &job, &e), ENGINE_E_TOO_LONG);
    engine_model_unref(model);
    engine_free(engine);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_f32_arithmetic_gives_the_logits_of_transformers),
        cmocka_unit_test(test_default_arithmetic_stays_within_a_hundredth_of_them),
        cmocka_unit_test(test_a_mean_has_the_same_bits_in_any_company),
        cmocka_unit_test(test_an_embedding_model_refuses_what_it_has_not),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
