/* SPDX-License-Identifier: Apache-2.0
 *
 * Pictures among tokens: a tiny Gemma 3 that sees, against the logits of transformers at every position
 * (tests/golden/vision.py), however the work is cut into steps.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "engine/engine.h"

#define FOLDER BUCKLER_SOURCE_DIR "/tests/golden/vision/"

enum { ROWS = 9, HIDDEN = 32, PICTURES = 2, MOST_TOKENS = 64, MOST_SEGMENTS = 5 };

static const uint32_t picture_mark = UINT32_MAX;

struct rig {
    struct engine *engine;
    struct engine_model *model;
};

static void rig_open(struct rig *rig, struct engine_options options) {
    struct error error = {0};

    assert_int_equal(engine_open(&options, &rig->engine, &error), 0);
    if (engine_model_open(rig->engine, FOLDER "text.gguf", &rig->model, &error) != 0) {
        fail_msg("%s", error.text);
    }
}

static void rig_close(struct rig *rig) {
    engine_model_unref(rig->model);
    engine_free(rig->engine);
}

static void read_exactly(const char *name, void *out, size_t size) {
    FILE *file = fopen(name, "rbe");

    assert_non_null(file);
    assert_int_equal(fread(out, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

/* A sequence, as segments one below the other, with the logits of every position asked. */
struct sequence {
    uint32_t count, vocabulary;
    uint32_t tokens[MOST_TOKENS];
    float rows[PICTURES][ROWS * HIDDEN];
    float *expected, *got; /* [count, vocabulary] */
    struct engine_segment segments[MOST_SEGMENTS];
    struct engine_readout readouts[MOST_TOKENS];
    struct engine_job job;
};

static void cut(struct sequence *s) {
    uint32_t parts = 0, pictures = 0;

    for (uint32_t at = 0; at < s->count; parts++) {
        struct engine_segment *segment = &s->segments[parts];
        uint32_t first = at;
        bool picture = s->tokens[at] == picture_mark;

        assert_true(parts < MOST_SEGMENTS);
        *segment = (struct engine_segment){.parent = (int32_t)parts - 1};
        while (at < s->count && (s->tokens[at] == picture_mark) == picture) {
            s->readouts[at] = (struct engine_readout){.kind = ENGINE_READ_LOGITS,
                                                      .segment = parts,
                                                      .position = at - first,
                                                      .out = s->got + (size_t)at * s->vocabulary};
            at++;
        }
        segment->count = at - first;
        segment->tokens = picture ? NULL : s->tokens + first;
        segment->rows = picture ? s->rows[pictures++] : NULL;
    }
    s->job.segment_count = parts;
}

static void sequence_init(struct sequence *s, struct rig *rig, unsigned pictures) {
    static uint8_t file[1 << 16];
    char name[256];
    uint32_t head[2];

    *s = (struct sequence){0};
    (void)snprintf(name, sizeof name, "%slogits-%u.bin", FOLDER, pictures);
    read_exactly(name, head, sizeof head);
    s->count = head[0];
    s->vocabulary = head[1];
    assert_true(s->count <= MOST_TOKENS);
    assert_int_equal(s->vocabulary, engine_model_info(rig->model)->vocabulary);
    size_t tokens = s->count * sizeof *s->tokens;
    size_t logits = (size_t)s->count * s->vocabulary * sizeof(float);
    assert_true(sizeof head + tokens + logits <= sizeof file);
    read_exactly(name, file, sizeof head + tokens + logits);
    memcpy(s->tokens, file + sizeof head, tokens);
    s->expected = malloc(logits);
    s->got = calloc(1, logits);
    assert_non_null(s->expected);
    assert_non_null(s->got);
    memcpy(s->expected, file + sizeof head + tokens, logits);
    read_exactly(FOLDER "rows.f32", s->rows, sizeof s->rows);
    cut(s);
    s->job.kind = ENGINE_JOB_FOREST;
    s->job.model = rig->model;
    s->job.segments = s->segments;
    s->job.readouts = s->readouts;
    s->job.readout_count = s->count;
}

static void sequence_deinit(struct sequence *s) {
    free(s->expected);
    free(s->got);
}

static void test_gives_the_logits_of_transformers(void **state) {
    static struct sequence s;
    struct rig rig;
    (void)state;

    rig_open(&rig, (struct engine_options){.threads = 2, .reference = true});
    for (unsigned pictures = 1; pictures <= PICTURES; pictures++) {
        float largest = 0, worst = 0;

        sequence_init(&s, &rig, pictures);
        assert_int_equal(engine_run(rig.engine, &s.job), 0);
        for (size_t i = 0; i < (size_t)s.count * s.vocabulary; i++) {
            largest = fmaxf(largest, fabsf(s.expected[i]));
            worst = fmaxf(worst, fabsf(s.expected[i] - s.got[i]));
        }
        print_message("%u pictures: %.1e of the largest logit\n", pictures, (double)(worst / largest));
        assert_true(worst <= 2e-4F * largest);
        sequence_deinit(&s);
    }
    rig_close(&rig);
}

/* Steps that hold one picture and no token more, a cache for one path, and a second job between. */
static void test_gives_the_same_bits_however_it_is_cut_into_steps(void **state) {
    static const struct engine_options options[] = {{.threads = 1},
                                                    {.threads = 2, .step_tokens = ROWS},
                                                    {.threads = 2, .step_tokens = ROWS + 4},
                                                    {.threads = 2, .step_tokens = 16, .kv_tokens = 160}};
    static struct sequence wide, s, other;
    (void)state;

    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
        struct rig rig;
        struct error error = {0};

        rig_open(&rig, options[i]);
        sequence_init(&s, &rig, 2);
        sequence_init(&other, &rig, 1);
        assert_int_equal(engine_submit(rig.engine, &other.job, &error), 0);
        assert_int_equal(engine_run(rig.engine, &s.job), 0);
        if (i == 0) {
            sequence_init(&wide, &rig, 2);
            memcpy(wide.got, s.got, (size_t)s.count * s.vocabulary * sizeof *s.got);
        }
        assert_memory_equal(s.got, wide.got, (size_t)s.count * s.vocabulary * sizeof *s.got);
        rig_close(&rig);
        sequence_deinit(&s);
        sequence_deinit(&other);
    }
    sequence_deinit(&wide);
}

/* Every row of a picture sees its last row, also where only its first row is read. */
static void test_a_later_row_changes_an_earlier_one(void **state) {
    static struct sequence s;
    struct rig rig;
    float before[HIDDEN], after[HIDDEN];
    (void)state;

    rig_open(&rig, (struct engine_options){.threads = 1});
    sequence_init(&s, &rig, 1);
    s.job.readout_count = 1;
    s.readouts[0] = (struct engine_readout){
        .kind = ENGINE_READ_LAST, .segment = 1, .position = 0, .layer = 1, .out = before};
    assert_int_equal(engine_run(rig.engine, &s.job), 0);
    s.rows[0][(ROWS - 1) * HIDDEN] += 1.0F;
    s.readouts[0].out = after;
    assert_int_equal(engine_run(rig.engine, &s.job), 0);
    assert_memory_not_equal(before, after, sizeof before);
    rig_close(&rig);
    sequence_deinit(&s);
}

static void test_refuses_pictures_that_do_not_fit_a_step_and_segments_of_both_kinds(void **state) {
    static struct sequence s;
    struct rig rig;
    struct error error = {0};
    (void)state;

    rig_open(&rig, (struct engine_options){.threads = 1, .step_tokens = ROWS - 1});
    sequence_init(&s, &rig, 1);
    assert_int_equal(engine_submit(rig.engine, &s.job, &error), ENGINE_E_TOO_LONG);
    s.segments[1].tokens = s.tokens;
    assert_int_equal(engine_submit(rig.engine, &s.job, &error), ENGINE_E_INVALID);
    s.segments[1].tokens = NULL;
    s.segments[1].rows = NULL;
    assert_int_equal(engine_submit(rig.engine, &s.job, &error), ENGINE_E_INVALID);
    rig_close(&rig);
    sequence_deinit(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gives_the_logits_of_transformers),
        cmocka_unit_test(test_gives_the_same_bits_however_it_is_cut_into_steps),
        cmocka_unit_test(test_a_later_row_changes_an_earlier_one),
        cmocka_unit_test(test_refuses_pictures_that_do_not_fit_a_step_and_segments_of_both_kinds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
