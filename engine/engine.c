/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/engine.h"

#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "engine/graph/model.h"
#include "engine/graph/schedule.h"

enum {
    DEFAULT_QUEUE_JOBS = 1024,
    DEFAULT_STEP_TOKENS = 512,
    DEFAULT_KV_TOKENS = 8192,
    MAX_THREADS = 256,
    MAX_QUEUE_JOBS = 1 << 20,
    MAX_STEP_TOKENS = 1 << 16,
    MAX_KV_TOKENS = 1 << 24,
};

struct engine {
    struct model_settings settings;
    struct scheduler *scheduler;
};

static unsigned usable_cores(void) {
    cpu_set_t set;

    if (sched_getaffinity(0, sizeof set, &set) != 0) {
        return 1;
    }
    int count = CPU_COUNT(&set);
    return count < 1 ? 1 : count > MAX_THREADS ? MAX_THREADS : (unsigned)count;
}

static void drop_engine(struct engine **engine) {
    *engine = engine_free(*engine);
}

int engine_open(const struct engine_options *options, struct engine **ret_engine, struct error *reterr) {
    CLEANUP(drop_engine) struct engine *e = calloc(1, sizeof *e);
    unsigned queue_jobs = options->queue_jobs == 0 ? DEFAULT_QUEUE_JOBS : options->queue_jobs;

    if (e == NULL) {
        return error_errno(reterr, ENOMEM, "cannot start the engine");
    }
    e->settings = (struct model_settings){
        .kernels = kernel_choose(options->instruction_set),
        .workers = options->threads == 0 ? usable_cores() : options->threads,
        .step_tokens = options->step_tokens == 0 ? DEFAULT_STEP_TOKENS : options->step_tokens,
        .kv_tokens = options->kv_tokens == 0 ? DEFAULT_KV_TOKENS : options->kv_tokens,
        .reference = options->reference,
    };
    if (e->settings.kernels == NULL) {
        return error_set(reterr, ENGINE_E_UNSUPPORTED,
                         "the instruction set \"%s\" is unknown or not of this processor",
                         options->instruction_set == NULL ? "" : options->instruction_set);
    }
    if (e->settings.workers > MAX_THREADS || queue_jobs > MAX_QUEUE_JOBS ||
        e->settings.step_tokens > MAX_STEP_TOKENS || e->settings.kv_tokens > MAX_KV_TOKENS) {
        return error_set(reterr, ENGINE_E_INVALID,
                         "an engine has at most %d threads, %d jobs, %d tokens a step and %d KV tokens",
                         MAX_THREADS, MAX_QUEUE_JOBS, MAX_STEP_TOKENS, MAX_KV_TOKENS);
    }
    int r = scheduler_new(e->settings.workers, queue_jobs, &e->scheduler, reterr);
    if (r != 0) {
        return r;
    }
    *ret_engine = steal(e);
    return 0;
}

struct engine *engine_free(struct engine *engine) {
    if (engine != NULL) {
        scheduler_free(engine->scheduler);
        free(engine);
    }
    return NULL;
}

const char *engine_instruction_set(const struct engine *engine) {
    return engine->settings.kernels->name;
}

unsigned engine_threads(const struct engine *engine) {
    return engine->settings.workers;
}

int engine_model_open(struct engine *engine, const char *path, struct engine_model **ret_model,
                      struct error *reterr) {
    return model_open(path, &engine->settings, ret_model, reterr);
}

int engine_adapter_open(struct engine *engine, struct engine_model *base, const char *path,
                        struct engine_model **ret_model, struct error *reterr) {
    return model_open_adapter(base, path, &engine->settings, ret_model, reterr);
}

const struct engine_model_info *engine_model_info(const struct engine_model *model) {
    return &model->info;
}

int engine_inspect(const char *path, struct engine_model_info *ret_info, struct error *reterr) {
    struct model_settings settings = {.kernels = kernel_choose(NULL),
                                      .workers = usable_cores(),
                                      .step_tokens = DEFAULT_STEP_TOKENS,
                                      .kv_tokens = DEFAULT_KV_TOKENS};

    return model_inspect(path, &settings, ret_info, reterr);
}

int engine_verify(const char *path, void (*progress)(void *user, uint64_t done, uint64_t total), void *user,
                  struct error *reterr) {
    return model_verify(path, progress, user, reterr);
}

int engine_tokenize(const struct engine_model *model, const char *text, size_t size, unsigned flags,
                    uint32_t **ret_tokens, uint32_t **ret_offsets, size_t *ret_count, struct error *reterr) {
    if (model->tokenizer == NULL) {
        return error_set(reterr, ENGINE_E_INVALID, "the model has no tokenizer");
    }
    return tokenizer_encode(model->tokenizer, text, size, (flags & ENGINE_TOKENIZE_BOS) != 0,
                            (flags & ENGINE_TOKENIZE_CONTROL) != 0, ret_tokens, ret_offsets, ret_count,
                            reterr);
}

const char *engine_piece(const struct engine_model *model, uint32_t id, size_t *ret_size) {
    return model->tokenizer == NULL ? NULL : tokenizer_piece(model->tokenizer, id, ret_size);
}

int64_t engine_token_id(const struct engine_model *model, const char *text) {
    return model->tokenizer == NULL ? -1 : tokenizer_id(model->tokenizer, text);
}

int engine_submit(struct engine *engine, struct engine_job *job, struct error *reterr) {
    return scheduler_submit(engine->scheduler, job, reterr);
}

void engine_cancel(struct engine *engine, struct engine_job *job) {
    (void)engine; /* the driver looks at the flag before every step */
    atomic_store(&job->cancelled, true);
}

int engine_eventfd(const struct engine *engine) {
    return scheduler_eventfd(engine->scheduler);
}

struct engine_job *engine_reap(struct engine *engine) {
    return scheduler_reap(engine->scheduler);
}

int engine_run(struct engine *engine, struct engine_job *job) {
    int r = scheduler_submit(engine->scheduler, job, &job->error);

    if (r != 0) {
        job->status = r;
        return r;
    }
    scheduler_wait(engine->scheduler, job);
    return job->status;
}

int engine_run_path(struct engine *engine, struct engine_model *model, const uint32_t *tokens, uint32_t count,
                    struct engine_readout readout, struct error *reterr) {
    struct engine_segment segment = {.parent = -1, .tokens = tokens, .count = count};
    struct engine_job job = {.kind = ENGINE_JOB_FOREST,
                             .model = model,
                             .segments = &segment,
                             .segment_count = 1,
                             .readouts = &readout,
                             .readout_count = 1};
    readout.segment = 0;
    readout.position = count - 1; /* of no tokens there is no last one, and submitting refuses them */
    int r = engine_run(engine, &job);
    if (r != 0) {
        *reterr = job.error;
    }
    return r;
}
