/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/graph/model.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "engine/graph/inspect.h"

/* ---- open ---- */

static void drop_model(struct engine_model **model) {
    *model = engine_model_unref(*model);
}

static int open_tower(struct engine_model *m, const struct model_settings *settings, struct error *reterr) {
    int r = siglip_open(m->file, settings->kernels, &m->tower, reterr);

    r = r == 0 ? siglip_state_init(&m->tower_state, m->tower, settings->workers, reterr) : r;
    if (r == 0) {
        model_describe_tower(m->file, m->tower, settings->workers, &m->info);
    }
    return r;
}

static int open_text(struct engine_model *m, const char *path, enum file_kind kind,
                     const struct model_settings *settings, struct error *reterr) {
    int r = model_open_tensors(path, kind, &m->file, reterr);

    if (r == 0 && siglip_is_projector(m->file)) {
        return open_tower(m, settings, reterr);
    }
    r = r == 0 ? text_open(m->file, settings->kernels, settings->reference, &m->text, reterr) : r;
    r = r == 0 ? tokenizer_from_gguf(m->file, &m->tokenizer, reterr) : r;
    if (r != 0) {
        return r;
    }
    const struct text_config *c = &m->text->config;
    model_describe_text(m->file, c, m->tokenizer, &m->info);
    r = model_plan_memory(m->file, m->text->architecture, c, settings, &m->info, reterr);
    r = r == 0 ? text_state_init(&m->state, m->text, settings->step_tokens, settings->kv_tokens,
                                 settings->workers, reterr)
               : r;
    m->step_tokens = settings->step_tokens;
    return r;
}

static int open_image(struct engine_model *m, const char *path, uint64_t file_bytes,
                      const struct model_settings *settings, struct error *reterr) {
    int r = open_nsfw_open(path, &m->image, reterr);

    if (r != 0) {
        return r;
    }
    model_describe_image(m->image, file_bytes, settings->workers, &m->info);
    m->image_scratch_bytes = (open_nsfw_info(m->image)->scratch_bytes + 63) & ~UINT64_C(63);
    m->image_scratch = aligned_alloc(64, settings->workers * m->image_scratch_bytes);
    return m->image_scratch == NULL
               ? error_errno(reterr, ENOMEM, "cannot take the scratch of the image model")
               : 0;
}

int model_open(const char *path, const struct model_settings *settings, struct engine_model **ret_model,
               struct error *reterr) {
    CLEANUP(drop_model) struct engine_model *m = calloc(1, sizeof *m);
    enum file_kind kind;
    uint64_t bytes;

    if (m == NULL) {
        return error_errno(reterr, ENOMEM, "cannot open %s", path);
    }
    atomic_init(&m->references, 1);
    int r = model_file_kind(path, &kind, &bytes, reterr);
    if (r != 0) {
        return r;
    }
    r = kind == FILE_ONNX ? open_image(m, path, bytes, settings, reterr)
                          : open_text(m, path, kind, settings, reterr);
    r = r == 0 ? model_digest(m->file, path, m->info.digest, reterr) : r;
    if (r != 0) {
        return error_prefix(reterr, "%s: ", path);
    }
    *ret_model = steal(m);
    return 0;
}

/* ---- adapters ---- */

static void drop_adapter(struct adapter_file **file) {
    *file = adapter_file_free(*file);
}

static int adapt(struct engine_model *m, const struct adapter_file *file,
                 const struct model_settings *settings, struct error *reterr) {
    struct engine_model *base = m->base;
    int r = text_adapt(base->text, file, &m->text, reterr);

    if (r != 0) {
        return r;
    }
    const struct text_config *c = &m->text->config;
    m->info = base->info;
    m->info.resident_bytes =
        m->text->memory_bytes +
        text_state_bytes(c, m->text->kernels, settings->step_tokens, settings->kv_tokens, settings->workers);
    m->info.kv_bytes = kvcache_bytes(c->layers, c->kv_heads * c->head_size, settings->kv_tokens);
    m->file = base->file;
    m->tokenizer = base->tokenizer;
    m->step_tokens = settings->step_tokens;
    return text_state_init(&m->state, m->text, settings->step_tokens, settings->kv_tokens, settings->workers,
                           reterr);
}

int model_open_adapter(struct engine_model *base, const char *path, const struct model_settings *settings,
                       struct engine_model **ret_model, struct error *reterr) {
    CLEANUP(drop_adapter) struct adapter_file *file = NULL;
    uint8_t digest[DIGEST_BYTES];

    if (base->text == NULL || base->base != NULL) {
        return error_set(reterr, ENGINE_E_UNSUPPORTED,
                         "%s: an adapter goes on a text model that has none yet", path);
    }
    int r = adapter_file_open(path, &file, reterr);
    if (r != 0) {
        return r;
    }
    CLEANUP(drop_model) struct engine_model *m = calloc(1, sizeof *m);
    if (m == NULL) {
        return error_errno(reterr, ENOMEM, "cannot open %s", path);
    }
    atomic_init(&m->references, 1);
    m->base = engine_model_ref(base);
    r = adapt(m, file, settings, reterr);
    r = r == 0 ? digest_file(file->weights_path, digest, reterr) : r;
    if (r != 0) {
        return error_prefix(reterr, "%s: ", path);
    }
    hex_encode(digest, sizeof digest, m->info.adapter_digest);
    *ret_model = steal(m);
    return 0;
}

/* ---- references ---- */

struct engine_model *engine_model_ref(struct engine_model *model) {
    atomic_fetch_add(&model->references, 1);
    return model;
}

struct engine_model *engine_model_unref(struct engine_model *model) {
    if (model == NULL || atomic_fetch_sub(&model->references, 1) > 1) {
        return NULL;
    }
    text_state_deinit(&model->state);
    text_free(model->text);
    siglip_state_deinit(&model->tower_state);
    siglip_free(model->tower);
    if (model->base != NULL) {
        engine_model_unref(model->base);
    } else {
        tokenizer_free(model->tokenizer);
        tensor_file_free(model->file);
    }
    open_nsfw_free(model->image);
    free(model->image_scratch);
    free(model);
    return NULL;
}
