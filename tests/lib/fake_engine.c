/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/fake_engine.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/digest.h"

struct engine {
    int event;
    bool poison;
    uint64_t jobs, tokens;
    struct engine_job *done;
};

struct engine_model {
    struct engine_model_info info;
    unsigned refs;
    bool bare;
};

int engine_open(const struct engine_options *options, struct engine **ret_engine, struct error *reterr) {
    (void)options;
    struct engine *engine = calloc(1, sizeof *engine);
    if (engine == NULL || (engine->event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC | EFD_SEMAPHORE)) < 0) {
        free(engine);
        return error_errno(reterr, ENOMEM, "fake engine");
    }
    *ret_engine = engine;
    return 0;
}

struct engine *engine_free(struct engine *engine) {
    if (engine != NULL) {
        (void)close(engine->event);
        free(engine);
    }
    return NULL;
}

const char *engine_instruction_set(const struct engine *engine) {
    (void)engine;
    return "fake";
}

unsigned engine_threads(const struct engine *engine) {
    (void)engine;
    return 1;
}

void fake_engine_poison(struct engine *engine, bool poison) {
    engine->poison = poison;
}

uint64_t fake_engine_jobs(const struct engine *engine) {
    return engine->jobs;
}

uint64_t fake_engine_tokens(const struct engine *engine) {
    return engine->tokens;
}

/* ---- models ---- */

int engine_inspect(const char *path, struct engine_model_info *ret_info, struct error *reterr) {
    const char *slash = strrchr(path, '/');
    const char *name = slash == NULL ? path : slash + 1;
    size_t length = strlen(name);
    uint8_t digest[DIGEST_BYTES];
    if (digest_sha256(name, length, digest) != 0) {
        return error_errno(reterr, ENOMEM, "fake engine");
    }
    *ret_info = (struct engine_model_info){.kind = ENGINE_MODEL_TEXT,
                                           .layers = 3,
                                           .hidden = FAKE_HIDDEN,
                                           .vocabulary = 200000,
                                           .context = 32768,
                                           .bos = FAKE_BOS};
    if (length > 5 && strcmp(name + length - 5, ".onnx") == 0) {
        *ret_info = (struct engine_model_info){
            .kind = ENGINE_MODEL_IMAGE_CLASSIFIER, .image_width = 224, .image_height = 224};
    }
    hex_encode(digest, sizeof digest, ret_info->digest);
    hex_encode(digest, sizeof digest, ret_info->tokenizer_digest);
    return 0;
}

int engine_model_open(struct engine *engine, const char *path, struct engine_model **ret_model,
                      struct error *reterr) {
    (void)engine;
    struct engine_model *model = calloc(1, sizeof *model);
    if (model == NULL) {
        return error_errno(reterr, ENOMEM, "fake engine");
    }
    int rc = engine_inspect(path, &model->info, reterr);
    if (rc != 0) {
        free(model);
        return rc;
    }
    model->refs = 1;
    model->bare = strstr(path, "bare") != NULL;
    *ret_model = model;
    return 0;
}

int engine_adapter_open(struct engine *engine, struct engine_model *base, const char *path,
                        struct engine_model **ret_model, struct error *reterr) {
    (void)engine;
    struct engine_model *model = calloc(1, sizeof *model);
    uint8_t digest[DIGEST_BYTES];
    const char *slash = strrchr(path, '/');
    const char *name = slash != NULL ? slash + 1 : path;
    if (model == NULL || digest_sha256(name, strlen(name), digest) != 0) {
        free(model);
        return error_errno(reterr, ENOMEM, "fake engine");
    }
    *model = *base;
    model->refs = 1;
    hex_encode(digest, sizeof digest, model->info.adapter_digest);
    *ret_model = model;
    return 0;
}

struct engine_model *engine_model_ref(struct engine_model *model) {
    model->refs++;
    return model;
}

struct engine_model *engine_model_unref(struct engine_model *model) {
    if (model != NULL && --model->refs == 0) {
        free(model);
    }
    return NULL;
}

const struct engine_model_info *engine_model_info(const struct engine_model *model) {
    return &model->info;
}

/* ---- tokens ---- */

static const struct {
    const char *text;
    uint32_t id;
} named[] = {
    {"<start_of_turn>", FAKE_START}, {"<end_of_turn>", FAKE_END}, {"Yes", FAKE_YES}, {"No", FAKE_NO}};

int64_t engine_token_id(const struct engine_model *model, const char *text) {
    for (size_t i = 0; i < sizeof named / sizeof named[0]; i++) {
        if (strcmp(named[i].text, text) == 0) {
            return model->bare && text[0] == '<' ? -1 : (int64_t)named[i].id;
        }
    }
    return -1;
}

const char *engine_piece(const struct engine_model *model, uint32_t id, size_t *ret_size) {
    (void)model;
    (void)id;
    *ret_size = 0;
    return NULL;
}

static bool is_space(char c) {
    return c == ' ' || c == '\n';
}

static size_t token_length(const char *text, size_t size) {
    size_t end = text[0] == ' ' || text[0] == '\n';
    size_t most = end + 8;
    if (text[0] == '\n') {
        return 1;
    }
    while (end < size && end < most && !is_space(text[end])) {
        end++;
    }
    while (end < size && end > 1 && ((unsigned char)text[end] & 0xc0u) == 0x80u) {
        end--;
    }
    return end;
}

static uint32_t token_of(const char *text, size_t size) {
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < size; i++) {
        hash = (hash ^ (unsigned char)text[i]) * 16777619u;
        if (i + 3 <= size && memcmp(text + i, "bad", 3) == 0) {
            return FAKE_BAD;
        }
    }
    return 1000 + hash % 100000;
}

int engine_tokenize(const struct engine_model *model, const char *text, size_t size, unsigned flags,
                    uint32_t **ret_tokens, uint32_t **ret_offsets, size_t *ret_count, struct error *reterr) {
    (void)model;
    uint32_t *tokens = malloc((size + 2) * sizeof *tokens);
    uint32_t *offsets = malloc((size + 2) * sizeof *offsets);
    size_t count = 0;
    if (tokens == NULL || offsets == NULL) {
        free(tokens);
        free(offsets);
        return error_errno(reterr, ENOMEM, "fake engine");
    }
    if ((flags & ENGINE_TOKENIZE_BOS) != 0) {
        offsets[count] = 0;
        tokens[count++] = FAKE_BOS;
    }
    for (size_t at = 0; at < size;) {
        size_t length = token_length(text + at, size - at);
        uint32_t id = token_of(text + at, length);
        for (size_t i = 0; i < 2 && (flags & ENGINE_TOKENIZE_CONTROL) != 0; i++) {
            size_t whole = strlen(named[i].text);
            if (size - at >= whole && memcmp(text + at, named[i].text, whole) == 0) {
                id = named[i].id;
                length = whole;
            }
        }
        offsets[count] = (uint32_t)at;
        tokens[count++] = id;
        at += length;
    }
    *ret_tokens = tokens;
    *ret_count = count;
    if (ret_offsets != NULL) {
        *ret_offsets = offsets;
    } else {
        free(offsets);
    }
    return 0;
}

/* ---- jobs ---- */

static unsigned count_bad(const struct engine_segment *segment) {
    unsigned bad = 0;
    for (uint32_t i = 0; i < segment->count; i++) {
        bad += segment->tokens[i] == FAKE_BAD;
    }
    return bad;
}

static float logit(const struct engine_job *job, const struct engine_readout *readout, uint32_t id) {
    unsigned bad = 0;
    uint32_t length = 0;
    for (int32_t s = (int32_t)readout->segment; s >= 0; s = job->segments[s].parent) {
        bad += count_bad(&job->segments[s]);
        length += job->segments[s].count;
    }
    return id == FAKE_YES ? (float)bad : id == FAKE_NO ? 1.0f : (float)length;
}

static void read_out(const struct engine *engine, const struct engine_job *job,
                     const struct engine_readout *readout) {
    const struct engine_segment *segment = &job->segments[readout->segment];
    if (readout->kind == ENGINE_READ_LOGITS) {
        for (uint32_t i = 0; i < readout->id_count; i++) {
            readout->out[i] = engine->poison ? NAN : logit(job, readout, readout->ids[i]);
        }
        return;
    }
    for (uint32_t j = 0; j < FAKE_HIDDEN; j++) {
        float share = (float)count_bad(segment) / (float)segment->count;
        readout->out[j] = engine->poison ? NAN : (float)readout->layer * share + (float)j / 1000.0f;
    }
}

static int forest(struct engine *engine, struct engine_job *job) {
    for (uint32_t i = 0; i < job->segment_count; i++) {
        const struct engine_segment *s = &job->segments[i];
        if (s->count == 0 || s->parent >= (int32_t)i || s->parent < -1) {
            return error_set(&job->error, ENGINE_E_INVALID, "segment %u is not sound", i);
        }
        job->tokens_computed += s->count;
    }
    for (uint32_t i = 0; i < job->readout_count; i++) {
        const struct engine_readout *r = &job->readouts[i];
        if (r->segment >= job->segment_count || r->position >= job->segments[r->segment].count) {
            return error_set(&job->error, ENGINE_E_INVALID, "readout %u is not sound", i);
        }
        read_out(engine, job, r);
    }
    engine->tokens += job->tokens_computed;
    return 0;
}

int engine_run(struct engine *engine, struct engine_job *job) {
    const struct engine_model_info *info = job->model != NULL ? &job->model->info : NULL;
    engine->jobs++;
    job->tokens_computed = 0;
    if (job->kind == ENGINE_JOB_CALL) {
        job->status = job->call(job->call_user, &job->error);
    } else if (job->kind == ENGINE_JOB_IMAGES && info != NULL &&
               info->kind == ENGINE_MODEL_IMAGE_CLASSIFIER) {
        for (uint32_t i = 0; i < job->image_count; i++) {
            float nsfw = (float)job->pixels[(size_t)i * 224 * 224 * 3] / 255.0f;
            job->out_scores[2 * i] = 1.0f - nsfw;
            job->out_scores[2 * i + 1] = engine->poison ? NAN : nsfw;
        }
        job->status = 0;
    } else if (job->kind == ENGINE_JOB_FOREST && info != NULL && info->kind == ENGINE_MODEL_TEXT) {
        job->status = forest(engine, job);
    } else {
        job->status = error_set(&job->error, ENGINE_E_INVALID, "a job that does not fit its model");
    }
    return job->status;
}

int engine_submit(struct engine *engine, struct engine_job *job, struct error *reterr) {
    uint64_t one = 1;
    struct engine_job **link = &engine->done;
    (void)reterr;
    (void)!engine_run(engine, job);
    while (*link != NULL) {
        link = &(*link)->next;
    }
    job->next = NULL;
    *link = job;
    (void)!write(engine->event, &one, sizeof one);
    return 0;
}

void engine_cancel(struct engine *engine, struct engine_job *job) {
    (void)engine;
    job->cancelled = true;
}

int engine_eventfd(const struct engine *engine) {
    return engine->event;
}

struct engine_job *engine_reap(struct engine *engine) {
    uint64_t one = 0;
    struct engine_job *job = engine->done;
    if (job != NULL) {
        engine->done = job->next;
        (void)!read(engine->event, &one, sizeof one);
    }
    return job;
}
