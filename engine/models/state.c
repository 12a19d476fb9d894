/* SPDX-License-Identifier: Apache-2.0
 *
 * The buffers of a run: one reservation, touched only where a step is large enough to use it.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "engine/models/text.h"

/* Hands out the parts of the reservation; with `base` NULL it only counts. */
struct carver {
    char *base;
    uint64_t bytes;
};

static void *carve(struct carver *c, uint64_t count, uint64_t size) {
    void *p = c->base == NULL ? NULL : c->base + c->bytes;

    c->bytes += (count * size + 63) & ~UINT64_C(63);
    return p;
}

static uint32_t vocabulary_blocks(const struct text_config *c) {
    return (c->vocabulary + TEXT_VOCABULARY_BLOCK - 1) / TEXT_VOCABULARY_BLOCK;
}

static void carve_all(struct carver *c, const struct text_config *config, const struct kernel_set *k,
                      uint32_t rows, uint32_t positions, unsigned workers, struct text_state *s) {
    uint64_t query = (uint64_t)config->heads * config->head_size;
    uint64_t key = (uint64_t)config->kv_heads * config->head_size;
    uint64_t half = config->head_size / 2, f = sizeof(float);

    s->local_cosines = carve(c, positions * half, f);
    s->local_sines = carve(c, positions * half, f);
    s->global_cosines = carve(c, positions * half, f);
    s->global_sines = carve(c, positions * half, f);
    s->x = carve(c, rows * (uint64_t)config->hidden, f);
    s->h = carve(c, rows * (uint64_t)config->hidden, f);
    s->q = carve(c, rows * query, f);
    s->k = carve(c, rows * key, f);
    s->v = carve(c, rows * key, f);
    s->attended = carve(c, rows * query, f);
    s->gate = carve(c, rows * (uint64_t)config->feed_forward, f);
    s->up = carve(c, rows * (uint64_t)config->feed_forward, f);
    s->branch = carve(c, rows * (uint64_t)config->hidden, f);
    s->low = carve(c, rows * (uint64_t)config->adapter_ranks, f);
    s->h_q = carve(c, rows, k->activation_bytes(config->hidden));
    s->attended_q = carve(c, rows, k->activation_bytes((uint32_t)query));
    s->gate_q = carve(c, rows, k->activation_bytes(config->feed_forward));
    s->best = carve(c, rows * (uint64_t)vocabulary_blocks(config), sizeof *s->best);
    s->workers = carve(c, workers, sizeof *s->workers);
    for (unsigned w = 0; w < workers; w++) {
        struct kv_run *runs = carve(c, kvcache_pages_for(positions), sizeof *runs);
        float *embedding = carve(c, config->hidden, f);

        if (s->workers != NULL) {
            s->workers[w] = (struct text_worker){.runs = runs, .embedding = embedding};
        }
    }
}

uint64_t text_state_bytes(const struct text_config *config, const struct kernel_set *kernels,
                          uint32_t step_tokens, uint32_t kv_tokens, unsigned workers) {
    struct text_state unused = {0};
    struct carver c = {0};

    carve_all(&c, config, kernels, step_tokens, kvcache_pages_for(kv_tokens) * KV_PAGE_TOKENS, workers,
              &unused);
    return c.bytes;
}

int text_state_init(struct text_state *s, const struct text_model *model, uint32_t step_tokens,
                    uint32_t kv_tokens, unsigned workers, struct error *reterr) {
    const struct text_config *config = &model->config;

    *s = (struct text_state){.positions = kvcache_pages_for(kv_tokens) * KV_PAGE_TOKENS};
    s->memory_bytes = text_state_bytes(config, model->kernels, step_tokens, kv_tokens, workers);
    void *memory = mmap(NULL, s->memory_bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
        return error_set(reterr, ENGINE_E_MEMORY, "cannot take %llu bytes for the buffers of the model",
                         (unsigned long long)s->memory_bytes);
    }
    s->memory = memory;
    struct carver c = {.base = memory};
    carve_all(&c, config, model->kernels, step_tokens, s->positions, workers, s);
    int r = kvcache_init(&s->kv, config->layers, config->kv_heads * config->head_size, kv_tokens, reterr);
    if (r == 0 && step_init(&s->step, step_tokens) != 0) {
        r = error_errno(reterr, ENOMEM, "cannot prepare the steps of the model");
    }
    if (r != 0) {
        text_state_deinit(s);
    }
    return r;
}

void text_state_deinit(struct text_state *s) {
    kvcache_deinit(&s->kv);
    step_deinit(&s->step);
    free(s->tap_failed);
    if (s->memory != NULL) {
        (void)munmap(s->memory, s->memory_bytes);
    }
    *s = (struct text_state){0};
}

/* Angles are formed and reduced in double precision, so that long positions are exact (spec 2.0.3). */
static void fill_rope(float *cosines, float *sines, uint32_t half, uint32_t position, double base,
                      double factor) {
    for (uint32_t i = 0; i < half; i++) {
        double angle = position / factor * pow(base, -(double)i / half);

        cosines[i] = (float)cos(angle);
        sines[i] = (float)sin(angle);
    }
}

int text_state_prepare(struct text_state *s, const struct text_config *config) {
    uint32_t half = config->head_size / 2, end = 0;

    for (uint32_t i = 0; i < s->step.row_count; i++) {
        end = s->step.rows[i].position + 1 > end ? s->step.rows[i].position + 1 : end;
    }
    for (; s->rope_rows < end; s->rope_rows++) {
        size_t at = (size_t)s->rope_rows * half;

        fill_rope(s->local_cosines + at, s->local_sines + at, half, s->rope_rows, config->local_base, 1.0);
        fill_rope(s->global_cosines + at, s->global_sines + at, half, s->rope_rows, config->global_base,
                  config->global_factor);
    }
    if (s->step.tap_count > s->tap_room) {
        bool *failed = realloc(s->tap_failed, s->step.tap_count * sizeof *failed);
        if (failed == NULL) {
            return -ENOMEM;
        }
        s->tap_failed = failed;
        s->tap_room = s->step.tap_count;
    }
    for (uint32_t t = 0; t < s->step.tap_count; t++) {
        s->tap_failed[t] = false;
    }
    return 0;
}
