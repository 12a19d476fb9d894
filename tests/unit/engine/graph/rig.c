/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/engine/graph/rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

void rig_open_written(struct rig *rig, const char *path, struct engine_options options) {
    struct error e = {0};

    if (engine_open(&options, &rig->engine, &e) != 0 ||
        engine_model_open(rig->engine, path, &rig->model, &e) != 0) {
        fail_msg("%s", e.text);
    }
}

void rig_open(struct rig *rig, const struct tiny_options *tiny, struct engine_options options) {
    char path[64];

    tiny_init(&rig->tiny, tiny);
    tiny_write(&rig->tiny, path);
    rig_open_written(rig, path, options);
    assert_int_equal(unlink(path), 0);
}

void rig_close(struct rig *rig) {
    engine_model_unref(rig->model);
    engine_free(rig->engine);
    tiny_deinit(&rig->tiny);
}

void rig_tokens(uint32_t seed, uint32_t *out, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        seed = seed * 1664525u + 1013904223u;
        out[i] = (seed >> 8) % TINY_VOCABULARY;
    }
}

void rig_logits(struct rig *rig, const uint32_t *tokens, uint32_t count, float *out) {
    struct engine_segment segment = {.parent = -1, .tokens = tokens, .count = count};
    struct engine_readout *readouts = calloc(count, sizeof *readouts);

    assert_non_null(readouts);
    for (uint32_t i = 0; i < count; i++) {
        readouts[i] = (struct engine_readout){
            .kind = ENGINE_READ_LOGITS, .position = i, .out = out + (size_t)i * TINY_VOCABULARY};
    }
    struct engine_job job = {.kind = ENGINE_JOB_FOREST,
                             .model = rig->model,
                             .segments = &segment,
                             .segment_count = 1,
                             .readouts = readouts,
                             .readout_count = count};
    if (engine_run(rig->engine, &job) != 0) {
        fail_msg("%s", job.error.text);
    }
    assert_int_equal(job.tokens_computed, count);
    free(readouts);
}

void rig_job_init(struct rig_job *j, struct rig *rig, uint32_t seed, uint32_t count) {
    *j = (struct rig_job){.ids = {seed % TINY_VOCABULARY, 17}};
    rig_tokens(seed, j->tokens, count);
    j->segment = (struct engine_segment){.parent = -1, .tokens = j->tokens, .count = count};
    j->readout = (struct engine_readout){
        .kind = ENGINE_READ_LOGITS, .position = count - 1, .ids = j->ids, .id_count = 2, .out = j->out};
    j->job.kind = ENGINE_JOB_FOREST;
    j->job.model = rig->model;
    j->job.segments = &j->segment;
    j->job.segment_count = 1;
    j->job.readouts = &j->readout;
    j->job.readout_count = 1;
}
