/* SPDX-License-Identifier: Apache-2.0
 *
 * Binds the tensors of a file to a model from one table of names and shapes. A first pass checks everything
 * and counts the memory, a second one fills it: norms are copied, matrices are repacked into panels (or
 * expanded to f32), and the stored pages of what was repacked are given back. The embedding is never copied.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/cleanup.h"
#include "engine/models/generation.h"

static uint32_t dim_size(const struct text_config *c, enum weight_dim dim) {
    switch (dim) {
    case DIM_HIDDEN:
        return c->hidden;
    case DIM_QUERY:
        return c->heads * c->head_size;
    case DIM_KEY:
        return c->kv_heads * c->head_size;
    case DIM_HEAD:
        return c->head_size;
    case DIM_FEED_FORWARD:
        return c->feed_forward;
    default:
        return 1;
    }
}

/* Finds a tensor and checks shape and type. `rows` 1 stands for a vector. */
static int find_tensor(const struct tensor_file *file, const char *name, uint32_t cols, uint32_t rows,
                       const struct tensor **ret_tensor, struct error *reterr) {
    const struct tensor *t = tensor_find(file, name);

    if (t == NULL) {
        return error_set(reterr, ENGINE_E_FORMAT, "the tensor %s is missing",
                         tensor_spelled(file, name).text);
    }
    if (t->dims[0] != cols || t->dims[1] != rows || t->dims[2] != 1 || t->dims[3] != 1) {
        return error_set(
            reterr, ENGINE_E_FORMAT, "the tensor %s is %llu × %llu × %llu × %llu, expected %u × %u",
            tensor_spelled(file, name).text, (unsigned long long)t->dims[0], (unsigned long long)t->dims[1],
            (unsigned long long)t->dims[2], (unsigned long long)t->dims[3], cols, rows);
    }
    const struct tensor_type_info *type = tensor_type_info(t->type);
    if (type == NULL) {
        return error_set(reterr, ENGINE_E_UNSUPPORTED,
                         "the tensor %s is of type %u, which this build does not run",
                         tensor_spelled(file, name).text, t->type);
    }
    if (cols % type->block_values != 0) {
        return error_set(reterr, ENGINE_E_FORMAT,
                         "the tensor %s has rows of %u values, not whole blocks of %s",
                         tensor_spelled(file, name).text, cols, type->name);
    }
    *ret_tensor = t;
    return 0;
}

static int find_layer_tensor(const struct tensor_file *file, const struct text_config *c, uint32_t layer,
                             const struct weight_row *w, const struct tensor **ret_tensor,
                             struct error *reterr) {
    char name[64];

    (void)snprintf(name, sizeof name, "blk.%u.%s", layer, w->name);
    return find_tensor(file, name, dim_size(c, w->cols), dim_size(c, w->rows), ret_tensor, reterr);
}

static uint64_t align_up(uint64_t bytes) {
    return (bytes + 63) & ~UINT64_C(63);
}

/* Bytes that a bound tensor takes outside the mapping. */
static uint64_t bound_bytes(const struct tensor *t, enum weight_kind kind, const struct kernel_set *kernels,
                            bool reference) {
    uint64_t values = t->dims[0] * t->dims[1];

    if (kind == WEIGHT_LINEAR && !reference) {
        uint64_t packed = kernels->packed_bytes(t->type, (uint32_t)t->dims[1], (uint32_t)t->dims[0]);
        if (packed != 0) {
            return align_up(packed);
        }
    }
    return align_up(values * sizeof(float));
}

int text_weights_plan(const struct tensor_file *file, const struct text_architecture *architecture,
                      const struct text_config *config, const struct kernel_set *kernels, bool reference,
                      uint64_t *ret_bytes, struct error *reterr) {
    const struct tensor *t;
    uint64_t bytes = align_up((uint64_t)config->hidden * sizeof(float));
    int r = find_tensor(file, "token_embd.weight", config->hidden, config->vocabulary, &t, reterr);

    r = r == 0 ? find_tensor(file, "output_norm.weight", config->hidden, 1, &t, reterr) : r;
    if (r == 0 && tensor_find(file, "output.weight") != NULL) {
        r = find_tensor(file, "output.weight", config->hidden, config->vocabulary, &t, reterr);
    }
    for (uint32_t layer = 0; r == 0 && layer < config->layers; layer++) {
        for (uint32_t i = 0; r == 0 && i < architecture->weight_count; i++) {
            const struct weight_row *w = &architecture->weights[i];

            r = find_layer_tensor(file, config, layer, w, &t, reterr);
            if (r == 0) {
                bytes += bound_bytes(t, w->kind, kernels, reference);
            }
        }
    }
    if (r == 0) {
        *ret_bytes = bytes;
    }
    return r;
}

/* ---- bind ---- */

struct binder {
    struct text_model *model;
    bool reference;
    char *at; /* the next free byte of model->memory */
};

static void *binder_take(struct binder *b, uint64_t bytes) {
    void *p = b->at;

    b->at += align_up(bytes);
    return p;
}

static const float *bind_values(struct binder *b, const struct tensor *t) {
    const struct text_model *m = b->model;
    uint64_t row_bytes = t->bytes / t->dims[1];
    float *values = binder_take(b, t->dims[0] * t->dims[1] * sizeof(float));

    for (uint64_t row = 0; row < t->dims[1]; row++) {
        m->kernels->dequantize(t->type, (const char *)t->data + row * row_bytes, t->dims[0],
                               values + row * t->dims[0]);
    }
    return values;
}

static void bind_linear(struct binder *b, const struct tensor *t, struct linear *l) {
    const struct kernel_set *k = b->model->kernels;
    uint32_t cols = (uint32_t)t->dims[0], rows = (uint32_t)t->dims[1];
    size_t packed = b->reference ? 0 : k->packed_bytes(t->type, rows, cols);

    *l = (struct linear){.rows = rows, .cols = cols};
    if (packed == 0) {
        l->values = bind_values(b, t);
    } else {
        l->packed = (struct packed_matrix){
            .rows = rows, .cols = cols, .type = (enum tensor_type)t->type, .data = binder_take(b, packed)};
        b->model->packs = true;
        k->pack(&l->packed, t->data, 0, (rows + PANEL_ROWS - 1) / PANEL_ROWS);
    }
    tensor_drop_pages(b->model->file, t);
}

static int bind_layer(struct binder *b, uint32_t layer, struct error *reterr) {
    struct text_model *m = b->model;

    for (uint32_t i = 0; i < m->architecture->weight_count; i++) {
        const struct weight_row *w = &m->architecture->weights[i];
        const struct tensor *t;
        void *field = (char *)&m->layers[layer] + w->offset;
        int r = find_layer_tensor(m->file, &m->config, layer, w, &t, reterr);

        if (r != 0) {
            return r;
        }
        if (w->kind == WEIGHT_LINEAR) {
            bind_linear(b, t, field);
            continue;
        }
        float *values = (float *)bind_values(b, t);
        for (uint32_t c = 0; w->kind == WEIGHT_QUERY_NORM && c < t->dims[0]; c++) {
            values[c] *= m->config.attention_scale;
        }
        *(const float **)field = values;
    }
    return 0;
}

static int bind_all(struct text_model *m, bool reference, struct error *reterr) {
    struct binder b = {.model = m, .reference = reference, .at = m->memory};
    int r = 0;

    m->embedding = tensor_find(m->file, "token_embd.weight");
    m->head = tensor_find(m->file, "output.weight");
    m->head = m->head == NULL ? m->embedding : m->head;
    m->output_norm = bind_values(&b, tensor_find(m->file, "output_norm.weight"));
    for (uint32_t layer = 0; r == 0 && layer < m->config.layers; layer++) {
        r = bind_layer(&b, layer, reterr);
    }
    return r;
}

static void drop_model(struct text_model **m) {
    *m = text_free(*m);
}

int text_open(const struct tensor_file *file, const struct kernel_set *kernels, bool reference,
              struct text_model **ret_model, struct error *reterr) {
    CLEANUP(drop_model) struct text_model *m = calloc(1, sizeof *m);

    if (m == NULL) {
        return error_errno(reterr, ENOMEM, "cannot load the model");
    }
    m->file = file;
    m->kernels = kernels;
    int r = text_configure(file, &m->architecture, &m->config, reterr);
    r = r == 0 ? text_weights_plan(file, m->architecture, &m->config, kernels, reference, &m->memory_bytes,
                                   reterr)
               : r;
    if (r != 0) {
        return r;
    }
    m->layers = calloc(m->config.layers, sizeof *m->layers);
    void *memory = mmap(NULL, m->memory_bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (m->layers == NULL || memory == MAP_FAILED) {
        return error_set(reterr, ENGINE_E_MEMORY, "cannot take %llu bytes for the weights",
                         (unsigned long long)m->memory_bytes);
    }
    m->memory = memory;
    /* Panels are streamed through completely by every step: large pages save most of the address translation.
     */
    (void)madvise(memory, m->memory_bytes, MADV_HUGEPAGE);
    r = bind_all(m, reference, reterr);
    if (r != 0) {
        return r;
    }
    *ret_model = steal(m);
    return 0;
}

struct text_model *text_free(struct text_model *m) {
    if (m == NULL) {
        return NULL;
    }
    if (m->memory != NULL) {
        (void)munmap(m->memory, m->memory_bytes);
    }
    free(m->layers);
    free(m);
    return NULL;
}
