/* SPDX-License-Identifier: Apache-2.0
 *
 * A tiny model in a running engine, and jobs over it, for the tests of this folder.
 */
#ifndef BUCKLER_TESTS_UNIT_ENGINE_GRAPH_RIG_H
#define BUCKLER_TESTS_UNIT_ENGINE_GRAPH_RIG_H

#include "engine/engine.h"
#include "tests/lib/tiny_gguf.h"

struct rig {
    struct engine *engine;
    struct engine_model *model;
    struct tiny_model tiny;
};

void rig_open(struct rig *rig, const struct tiny_options *tiny, struct engine_options options);
void rig_close(struct rig *rig);

/* Opens an engine over a model that is written already. */
void rig_open_written(struct rig *rig, const char *path, struct engine_options options);

/* `count` token ids that look random and depend on `seed` alone. */
void rig_tokens(uint32_t seed, uint32_t *out, uint32_t count);

/* Logits of the whole vocabulary at the first `count` positions of a flat sequence: out [count,
 * TINY_VOCABULARY]. */
void rig_logits(struct rig *rig, const uint32_t *tokens, uint32_t count, float *out);

/* A forest job over one segment with one readout at its end, all inside the struct. */
struct rig_job {
    struct engine_job job;
    struct engine_segment segment;
    struct engine_readout readout;
    uint32_t tokens[256];
    uint32_t ids[2];
    float out[2];
};

void rig_job_init(struct rig_job *j, struct rig *rig, uint32_t seed, uint32_t count);

#endif
