/* SPDX-License-Identifier: Apache-2.0
 *
 * A LoRA over a text model. The layers are a copy of the base's, which point at the base's panels; only A and
 * B are new. Both are kept by columns, so that the kernel's lanes run along ranks and along outputs. The A of
 * matrices with the same input lie side by side and are one product; the scale is in B.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/cleanup.h"
#include "engine/models/text.h"

enum { RANK_STEP = 16, SHARERS = 3 };

/* Matrices that read the same input. */
struct sharing {
    size_t low; /* offset of the low_rank in struct text_layer */
    struct {
        enum adapter_target target;
        size_t linear; /* offset in struct text_layer */
    } of[SHARERS];     /* ends with ADAPTER_INVALID, or full */
};

#define OF(target, field)                                                                                    \
    { target, offsetof(struct text_layer, field) }

static const struct sharing sharings[] = {
    {offsetof(struct text_layer, attn_low),
     {OF(ADAPTER_ATTN_Q, attn_q), OF(ADAPTER_ATTN_K, attn_k), OF(ADAPTER_ATTN_V, attn_v)}},
    {offsetof(struct text_layer, output_low), {OF(ADAPTER_ATTN_OUTPUT, attn_output)}},
    {offsetof(struct text_layer, ffn_low), {OF(ADAPTER_FFN_GATE, ffn_gate), OF(ADAPTER_FFN_UP, ffn_up)}},
    {offsetof(struct text_layer, down_low), {OF(ADAPTER_FFN_DOWN, ffn_down)}},
};

enum { SHARINGS = sizeof sharings / sizeof sharings[0] };

/* ---- plan ---- */

static int check_shape(const struct tensor *t, uint64_t cols, uint64_t rows, struct error *reterr) {
    if (t->dims[0] == cols && t->dims[1] == rows) {
        return 0;
    }
    return error_set(reterr, ENGINE_E_FORMAT,
                     "the tensor %s is %llu × %llu, but for this base it would be %llu × %llu", t->name,
                     (unsigned long long)t->dims[1], (unsigned long long)t->dims[0], (unsigned long long)rows,
                     (unsigned long long)cols);
}

static int check_pair(const struct adapter_pair *p, const struct linear *l, struct error *reterr) {
    int r = p->transposed ? check_shape(p->a, p->rank, l->cols, reterr)
                          : check_shape(p->a, l->cols, p->rank, reterr);

    if (r != 0) {
        return r;
    }
    return p->transposed ? check_shape(p->b, l->rows, p->rank, reterr)
                         : check_shape(p->b, p->rank, l->rows, reterr);
}

static uint64_t floats(uint64_t count) {
    return (count * sizeof(float) + 63) & ~UINT64_C(63);
}

/* Ranks and places for one group of matrices; *bytes grows by what it takes. */
static int plan_sharing(struct text_layer *layer, const struct sharing *s, const struct adapter_pair *pairs,
                        uint64_t *bytes, struct error *reterr) {
    struct low_rank *low = (struct low_rank *)(void *)((char *)layer + s->low);
    uint32_t ranks = 0, cols = 0;

    for (int i = 0; i < SHARERS && s->of[i].target != ADAPTER_INVALID; i++) {
        const struct adapter_pair *p = &pairs[s->of[i].target];
        struct linear *l = (struct linear *)(void *)((char *)layer + s->of[i].linear);

        if (p->a == NULL) {
            continue;
        }
        int r = check_pair(p, l, reterr);
        if (r != 0) {
            return r;
        }
        l->adapter_first = ranks;
        l->adapter_ranks = p->rank;
        ranks += p->rank;
        cols = l->cols;
        *bytes += floats((uint64_t)p->rank * l->rows);
    }
    low->ranks = (ranks + RANK_STEP - 1) / RANK_STEP * RANK_STEP;
    *bytes += floats((uint64_t)low->ranks * cols);
    return 0;
}

/* A layer that the base does not have. */
static int check_layers(const struct text_model *base, const struct adapter_file *file,
                        struct error *reterr) {
    for (uint32_t layer = base->config.layers; layer < ADAPTER_MAX_LAYERS; layer++) {
        for (int target = ADAPTER_INVALID + 1; target < ADAPTER_TARGETS; target++) {
            const struct tensor *a = file->pairs[layer][target].a;

            if (a != NULL) {
                return error_set(reterr, ENGINE_E_FORMAT, "the tensor %s is for a layer beyond the base's %u",
                                 a->name, base->config.layers);
            }
        }
    }
    if (file->architecture[0] != '\0' && strcmp(file->architecture, base->architecture->name) != 0) {
        return error_set(reterr, ENGINE_E_FORMAT,
                         "the adapter is for the architecture \"%s\", the base is \"%s\"", file->architecture,
                         base->architecture->name);
    }
    return 0;
}

static int plan(struct text_model *m, const struct adapter_file *file, struct error *reterr) {
    for (uint32_t layer = 0; layer < m->config.layers; layer++) {
        for (size_t i = 0; i < SHARINGS; i++) {
            struct text_layer *l = &m->layers[layer];
            int r = plan_sharing(l, &sharings[i], file->pairs[layer], &m->memory_bytes, reterr);

            if (r != 0) {
                return r;
            }
            uint32_t ranks = ((const struct low_rank *)(const void *)((char *)l + sharings[i].low))->ranks;
            m->config.adapter_ranks = ranks > m->config.adapter_ranks ? ranks : m->config.adapter_ranks;
        }
    }
    return 0;
}

/* ---- fill ---- */

struct filler {
    const struct kernel_set *kernels;
    char *at;   /* the next free byte */
    float *row; /* room for the longest stored row */
};

static float *take(struct filler *f, uint64_t count) {
    float *p = (float *)(void *)f->at;

    f->at += floats(count);
    return p;
}

/* out[i · row_step + j · col_step] = scale · value j of stored row i */
static int spread(struct filler *f, const struct tensor *t, float scale, size_t row_step, size_t col_step,
                  float *out, struct error *reterr) {
    uint64_t cols = t->dims[0], rows = t->dims[1], row_bytes = t->bytes / rows;

    for (uint64_t i = 0; i < rows; i++) {
        f->kernels->dequantize((enum tensor_type)t->type, (const char *)t->data + i * row_bytes, cols,
                               f->row);
        for (uint64_t j = 0; j < cols; j++) {
            float value = scale * f->row[j];

            if (!isfinite(value)) {
                return error_set(reterr, ENGINE_E_FORMAT,
                                 "the tensor %s holds a value that is not finite, or not after scaling",
                                 t->name);
            }
            out[i * row_step + j * col_step] = value;
        }
    }
    return 0;
}

static int fill_sharing(struct filler *f, struct text_layer *layer, const struct sharing *s,
                        const struct adapter_pair *pairs, struct error *reterr) {
    struct low_rank *low = (struct low_rank *)(void *)((char *)layer + s->low);
    const struct linear *first = (const struct linear *)(const void *)((char *)layer + s->of[0].linear);

    if (low->ranks == 0) {
        return 0;
    }
    float *a = take(f, (uint64_t)low->ranks * first->cols);
    low->a = a;
    for (int i = 0; i < SHARERS && s->of[i].target != ADAPTER_INVALID; i++) {
        const struct adapter_pair *p = &pairs[s->of[i].target];
        struct linear *l = (struct linear *)(void *)((char *)layer + s->of[i].linear);

        if (p->a == NULL) {
            continue;
        }
        float *b = take(f, (uint64_t)p->rank * l->rows);
        l->adapter_b = b;
        int r = spread(f, p->a, 1.0F, p->transposed ? low->ranks : 1, p->transposed ? 1 : low->ranks,
                       a + l->adapter_first, reterr);
        r = r == 0 ? spread(f, p->b, p->scale, p->transposed ? l->rows : 1, p->transposed ? 1 : l->rows, b,
                            reterr)
                   : r;
        if (r != 0) {
            return r;
        }
    }
    return 0;
}

static int fill(struct text_model *m, const struct adapter_file *file, struct error *reterr) {
    const struct text_config *c = &m->config;
    uint64_t longest = (uint64_t)c->heads * c->head_size;

    longest = longest > c->hidden ? longest : c->hidden;
    longest = longest > c->feed_forward ? longest : c->feed_forward;
    longest = longest > ADAPTER_MAX_RANK ? longest : ADAPTER_MAX_RANK;
    CLEANUP(free_ptr) float *row = calloc(longest, sizeof *row);
    if (row == NULL) {
        return error_errno(reterr, ENOMEM, "cannot load the adapter");
    }
    struct filler f = {.kernels = m->kernels, .at = m->memory, .row = row};
    for (uint32_t layer = 0; layer < c->layers; layer++) {
        for (size_t i = 0; i < SHARINGS; i++) {
            int r = fill_sharing(&f, &m->layers[layer], &sharings[i], file->pairs[layer], reterr);

            if (r != 0) {
                return r;
            }
        }
    }
    return 0;
}

static void drop_model(struct text_model **m) {
    *m = text_free(*m);
}

int text_adapt(const struct text_model *base, const struct adapter_file *file, struct text_model **ret_model,
               struct error *reterr) {
    CLEANUP(drop_model) struct text_model *m = calloc(1, sizeof *m);
    int r = check_layers(base, file, reterr);

    if (r != 0) {
        return r;
    }
    if (m == NULL) {
        return error_errno(reterr, ENOMEM, "cannot load the adapter");
    }
    *m = *base;
    m->memory = NULL; /* the base's stays the base's */
    m->memory_bytes = 0;
    m->layers = calloc(m->config.layers, sizeof *m->layers);
    if (m->layers == NULL) {
        return error_errno(reterr, ENOMEM, "cannot load the adapter");
    }
    memcpy(m->layers, base->layers, m->config.layers * sizeof *m->layers);
    r = plan(m, file, reterr);
    if (r != 0) {
        return r;
    }
    void *memory = mmap(NULL, m->memory_bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
        return error_set(reterr, ENGINE_E_MEMORY, "cannot take %llu bytes for the adapter",
                         (unsigned long long)m->memory_bytes);
    }
    m->memory = memory;
    (void)madvise(memory, m->memory_bytes, MADV_HUGEPAGE);
    r = fill(m, file, reterr);
    if (r != 0) {
        return r;
    }
    *ret_model = steal(m);
    return 0;
}
