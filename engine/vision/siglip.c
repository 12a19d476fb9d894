/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/vision/siglip.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/cleanup.h"
#include "engine/engine.h"

enum {
    GGUF_F32 = 6,
    DEFAULT_POOL = 4, /* what files without a scale factor mean */
    LEAST_HEAD = 16,
    HEAD_MULTIPLE = 16, /* of the attention kernel */
    MOST_STATE_GIB = 4,
};

/* ---- metadata ---- */

static bool meta_is(const struct tensor_file *file, const char *key, const char *expected) {
    const char *text;
    size_t size;

    return meta_string(file, key, &text, &size) && size == strlen(expected) &&
           memcmp(text, expected, size) == 0;
}

bool siglip_is_projector(const struct tensor_file *file) {
    return meta_is(file, "general.architecture", "clip");
}

static int read_size(const struct tensor_file *file, const char *key, uint32_t limit, uint32_t *ret,
                     struct error *reterr) {
    uint64_t value;

    if (!meta_u64(file, key, &value)) {
        return error_set(reterr, ENGINE_E_FORMAT, "the metadata lack %s", key);
    }
    if (value == 0 || value > limit) {
        return error_set(reterr, ENGINE_E_FORMAT, "%s is %llu, expected 1 to %u", key,
                         (unsigned long long)value, limit);
    }
    *ret = (uint32_t)value;
    return 0;
}

static int read_sizes(const struct tensor_file *file, struct siglip *m, struct error *reterr) {
    const struct {
        const char *key;
        uint32_t limit;
        uint32_t *field;
    } sizes[] = {
        {"clip.vision.image_size", 2048, &m->side},
        {"clip.vision.patch_size", 64, &m->patch},
        {"clip.vision.block_count", SIGLIP_MAX_LAYERS, &m->layers},
        {"clip.vision.embedding_length", 1 << 14, &m->width},
        {"clip.vision.feed_forward_length", 1 << 16, &m->feed_forward},
        {"clip.vision.attention.head_count", 1024, &m->heads},
    };
    uint64_t pool;

    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        int r = read_size(file, sizes[i].key, sizes[i].limit, sizes[i].field, reterr);
        if (r != 0) {
            return r;
        }
    }
    if (!meta_u64(file, "clip.vision.projector.scale_factor", &pool)) {
        pool = DEFAULT_POOL;
    }
    m->patches_side = m->side / m->patch;
    m->head_size = m->width / m->heads;
    if (m->side % m->patch != 0 || pool == 0 || m->patches_side % pool != 0) {
        return error_set(reterr, ENGINE_E_FORMAT,
                         "a picture of %u pixels is not whole squares of %llu × %llu patches of %u", m->side,
                         (unsigned long long)pool, (unsigned long long)pool, m->patch);
    }
    if (m->width % m->heads != 0 || m->head_size < LEAST_HEAD) {
        return error_set(reterr, ENGINE_E_FORMAT,
                         "clip.vision.embedding_length %u does not make %u heads of at least %d", m->width,
                         m->heads, LEAST_HEAD);
    }
    m->pool = (uint32_t)pool;
    m->rows = (m->patches_side / m->pool) * (m->patches_side / m->pool);
    return 0;
}

static int read_three(const struct tensor_file *file, const char *key, float ret[3], struct error *reterr) {
    uint64_t count;
    const uint8_t *values = meta_array_raw(file, key, GGUF_F32, &count);

    if (values == NULL || count != 3) {
        return error_set(reterr, ENGINE_E_FORMAT, "%s is not an array of three f32", key);
    }
    memcpy(ret, values, 3 * sizeof *ret);
    for (size_t i = 0; i < 3; i++) {
        if (!isfinite(ret[i])) {
            return error_set(reterr, ENGINE_E_FORMAT, "%s has a value that is not a number", key);
        }
    }
    return 0;
}

/* As the reference processor: a byte times 1/255, minus the mean, by the deviation, in f32. */
static int read_pixels(const struct tensor_file *file, struct siglip *m, struct error *reterr) {
    float mean[3], deviation[3];
    int r = read_three(file, "clip.vision.image_mean", mean, reterr);

    r = r == 0 ? read_three(file, "clip.vision.image_std", deviation, reterr) : r;
    for (size_t c = 0; r == 0 && c < 3; c++) {
        if (!(deviation[c] > 0)) {
            return error_set(reterr, ENGINE_E_FORMAT, "clip.vision.image_std is not above zero");
        }
        for (size_t i = 0; i < 256; i++) {
            m->pixel_values[c][i] = ((float)((double)i * (1.0 / 255.0)) - mean[c]) / deviation[c];
        }
    }
    return r;
}

static int read_metadata(const struct tensor_file *file, struct siglip *m, struct error *reterr) {
    double eps;
    bool gelu;

    if (!siglip_is_projector(file)) {
        return error_set(reterr, ENGINE_E_FORMAT, "general.architecture is not clip");
    }
    if (!meta_is(file, "clip.projector_type", "gemma3") &&
        !meta_is(file, "clip.vision.projector_type", "gemma3")) {
        return error_set(reterr, ENGINE_E_UNSUPPORTED, "clip.projector_type is not gemma3");
    }
    if (meta_bool(file, "clip.use_gelu", &gelu) && !gelu) {
        return error_set(reterr, ENGINE_E_UNSUPPORTED, "clip.use_gelu is false");
    }
    if (!meta_f64(file, "clip.vision.attention.layer_norm_epsilon", &eps) || !(eps > 0 && eps < 1)) {
        return error_set(reterr, ENGINE_E_FORMAT,
                         "clip.vision.attention.layer_norm_epsilon is not between 0 and 1");
    }
    m->eps = (float)eps;
    int r = read_sizes(file, m, reterr);
    return r == 0 ? read_pixels(file, m, reterr) : r;
}

/* ---- tensors ---- */

static int find_tensor(const struct tensor_file *file, const char *name, const uint64_t dims[TENSOR_MAX_DIMS],
                       const struct tensor **ret_tensor, struct error *reterr) {
    const struct tensor *t = tensor_find(file, name);

    if (t == NULL) {
        return error_set(reterr, ENGINE_E_FORMAT, "the tensor %s is missing", name);
    }
    if (memcmp(t->dims, dims, sizeof t->dims) != 0) {
        return error_set(reterr, ENGINE_E_FORMAT,
                         "the tensor %s is %llu × %llu × %llu × %llu, expected %llu × %llu × %llu × %llu",
                         name, (unsigned long long)t->dims[0], (unsigned long long)t->dims[1],
                         (unsigned long long)t->dims[2], (unsigned long long)t->dims[3],
                         (unsigned long long)dims[0], (unsigned long long)dims[1],
                         (unsigned long long)dims[2], (unsigned long long)dims[3]);
    }
    const struct tensor_type_info *type = tensor_type_info(t->type);
    if (type == NULL) {
        return error_set(reterr, ENGINE_E_UNSUPPORTED,
                         "the tensor %s is of type %u, which this build does not run", name, t->type);
    }
    if (t->dims[0] % type->block_values != 0) {
        return error_set(reterr, ENGINE_E_FORMAT,
                         "the tensor %s has rows of %llu values, not whole blocks of %s", name,
                         (unsigned long long)t->dims[0], type->name);
    }
    *ret_tensor = t;
    return 0;
}

static int find_matrix(const struct tensor_file *file, const char *name, uint32_t cols, uint32_t rows,
                       const struct tensor **ret_tensor, struct error *reterr) {
    return find_tensor(file, name, (const uint64_t[TENSOR_MAX_DIMS]){cols, rows, 1, 1}, ret_tensor, reterr);
}

enum dim { DIM_ONE, DIM_WIDTH, DIM_FEED_FORWARD };

static const struct {
    const char *name; /* behind "v.blk.N." */
    enum dim cols, rows;
} layer_tensors[LAYER_TENSORS] = {
    [LN1_WEIGHT] = {"ln1.weight", DIM_WIDTH, DIM_ONE},
    [LN1_BIAS] = {"ln1.bias", DIM_WIDTH, DIM_ONE},
    [Q_WEIGHT] = {"attn_q.weight", DIM_WIDTH, DIM_WIDTH},
    [Q_BIAS] = {"attn_q.bias", DIM_WIDTH, DIM_ONE},
    [K_WEIGHT] = {"attn_k.weight", DIM_WIDTH, DIM_WIDTH},
    [K_BIAS] = {"attn_k.bias", DIM_WIDTH, DIM_ONE},
    [V_WEIGHT] = {"attn_v.weight", DIM_WIDTH, DIM_WIDTH},
    [V_BIAS] = {"attn_v.bias", DIM_WIDTH, DIM_ONE},
    [OUT_WEIGHT] = {"attn_out.weight", DIM_WIDTH, DIM_WIDTH},
    [OUT_BIAS] = {"attn_out.bias", DIM_WIDTH, DIM_ONE},
    [LN2_WEIGHT] = {"ln2.weight", DIM_WIDTH, DIM_ONE},
    [LN2_BIAS] = {"ln2.bias", DIM_WIDTH, DIM_ONE},
    [UP_WEIGHT] = {"ffn_up.weight", DIM_WIDTH, DIM_FEED_FORWARD},
    [UP_BIAS] = {"ffn_up.bias", DIM_FEED_FORWARD, DIM_ONE},
    [DOWN_WEIGHT] = {"ffn_down.weight", DIM_FEED_FORWARD, DIM_WIDTH},
    [DOWN_BIAS] = {"ffn_down.bias", DIM_WIDTH, DIM_ONE},
};

static uint32_t dim_size(const struct siglip *m, enum dim dim) {
    return dim == DIM_WIDTH ? m->width : dim == DIM_FEED_FORWARD ? m->feed_forward : 1;
}

/* The first converters called the matrices of the MLP the other way round; shapes tell. */
static const char *mlp_name(size_t tensor, bool swapped) {
    static const enum siglip_layer_tensor other[LAYER_TENSORS] = {
        [UP_WEIGHT] = DOWN_WEIGHT, [UP_BIAS] = DOWN_BIAS, [DOWN_WEIGHT] = UP_WEIGHT, [DOWN_BIAS] = UP_BIAS};

    return layer_tensors[swapped && tensor >= UP_WEIGHT ? other[tensor] : tensor].name;
}

static int find_layer(const struct tensor_file *file, struct siglip *m, uint32_t layer,
                      struct error *reterr) {
    struct siglip_stage *stage = &m->stages[layer + 1];
    char name[64];

    (void)snprintf(name, sizeof name, "v.blk.%u.ffn_down.weight", layer);
    const struct tensor *down = tensor_find(file, name);
    bool swapped = down != NULL && down->dims[0] == m->width && m->width != m->feed_forward;
    stage->count = LAYER_TENSORS;
    for (size_t i = 0; i < LAYER_TENSORS; i++) {
        (void)snprintf(name, sizeof name, "v.blk.%u.%s", layer, mlp_name(i, swapped));
        int r = find_matrix(file, name, dim_size(m, layer_tensors[i].cols),
                            dim_size(m, layer_tensors[i].rows), &stage->tensors[i], reterr);
        if (r != 0) {
            return r;
        }
    }
    return 0;
}

static int find_ends(const struct tensor_file *file, struct siglip *m, struct error *reterr) {
    struct siglip_stage *first = &m->stages[0], *last = &m->stages[m->layers + 1];
    const struct tensor *projection = tensor_find(file, "mm.input_projection.weight");
    /* The width of the rows is what the projector gives. */
    uint64_t hidden = projection == NULL ? 0 : projection->dims[0];

    first->count = PATCH_TENSORS;
    last->count = END_TENSORS;
    int r = find_tensor(file, "v.patch_embd.weight",
                        (const uint64_t[TENSOR_MAX_DIMS]){m->patch, m->patch, 3, m->width},
                        &first->tensors[PATCH_WEIGHT], reterr);
    r = r == 0 ? find_matrix(file, "v.patch_embd.bias", m->width, 1, &first->tensors[PATCH_BIAS], reterr) : r;
    r = r == 0 ? find_matrix(file, "v.position_embd.weight", m->width, m->patches_side * m->patches_side,
                             &m->positions, reterr)
               : r;
    r = r == 0 ? find_matrix(file, "v.post_ln.weight", m->width, 1, &last->tensors[END_WEIGHT], reterr) : r;
    r = r == 0 ? find_matrix(file, "v.post_ln.bias", m->width, 1, &last->tensors[END_BIAS], reterr) : r;
    r = r == 0 ? find_matrix(file, "mm.soft_emb_norm.weight", m->width, 1, &last->tensors[END_NORM], reterr)
               : r;
    if (r == 0 && (hidden == 0 || hidden > 1 << 20 || hidden % 32 != 0)) {
        return error_set(reterr, ENGINE_E_FORMAT, "the tensor mm.input_projection.weight %s",
                         projection == NULL ? "is missing" : "has rows that are not multiples of 32");
    }
    m->hidden = (uint32_t)hidden;
    return r == 0 ? find_matrix(file, "mm.input_projection.weight", m->hidden, m->width,
                                &last->tensors[END_PROJECTION], reterr)
                  : r;
}

/* ---- open ---- */

static void drop_model(struct siglip **model) {
    *model = siglip_free(*model);
}

int siglip_open(const struct tensor_file *file, const struct kernel_set *kernels, struct siglip **ret_model,
                struct error *reterr) {
    CLEANUP(drop_model) struct siglip *m = calloc(1, sizeof *m);

    if (m == NULL) {
        return error_errno(reterr, ENOMEM, "cannot open the vision tower");
    }
    m->kernels = kernels;
    int r = read_metadata(file, m, reterr);
    if (r != 0) {
        return r;
    }
    m->stages = calloc(siglip_stages(m), sizeof *m->stages);
    if (m->stages == NULL) {
        return error_errno(reterr, ENOMEM, "cannot open the vision tower");
    }
    r = find_ends(file, m, reterr);
    for (uint32_t layer = 0; r == 0 && layer < m->layers; layer++) {
        r = find_layer(file, m, layer, reterr);
    }
    if (r != 0) {
        return r;
    }
    *ret_model = steal(m);
    return 0;
}

struct siglip *siglip_free(struct siglip *model) {
    if (model != NULL) {
        free(model->stages);
        free(model);
    }
    return NULL;
}

/* ---- buffers ---- */

static uint64_t stage_floats(const struct siglip_stage *stage) {
    uint64_t floats = 0;

    for (uint32_t i = 0; i < stage->count; i++) {
        floats += siglip_tensor_room(stage->tensors[i]);
    }
    return floats;
}

/* All offsets are multiples of 16 floats. */
static uint64_t place(const struct siglip *m, unsigned workers, char *base, struct siglip_state *s) {
    uint64_t patches = (uint64_t)m->patches_side * m->patches_side, weights = 0;
    uint64_t padded = ((uint64_t)m->head_size + HEAD_MULTIPLE - 1) / HEAD_MULTIPLE * HEAD_MULTIPLE;
    uint64_t widest = m->feed_forward > m->width ? m->feed_forward : m->width;
    uint64_t patch_values = 3ull * m->patch * m->patch;
    uint64_t used = 0;

    for (uint32_t i = 0; i < siglip_stages(m); i++) {
        uint64_t floats = stage_floats(&m->stages[i]);
        weights = floats > weights ? floats : weights;
    }
    uint64_t first = SIGLIP_BLOCK_ROWS * (m->width > patch_values ? m->width : patch_values);
    uint64_t tile = first + SIGLIP_BLOCK_ROWS * (widest > padded ? widest : padded);
    const struct {
        float **field;
        uint64_t floats;
    } parts[] = {{&s->x, patches * m->width},
                 {&s->q, m->heads * patches * padded},
                 {&s->k, m->heads * patches * padded},
                 {&s->v, m->heads * patches * padded},
                 {&s->attended, patches * m->width},
                 {&s->weights, weights},
                 {&s->ones, widest},
                 {&s->tiles, workers * tile}};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        *parts[i].field = base == NULL ? NULL : (float *)(void *)(base + used);
        used += (parts[i].floats + 15) / 16 * 16 * sizeof(float);
    }
    s->tile_floats = tile;
    s->second_tile = first;
    s->padded_head = (uint32_t)padded;
    return used;
}

uint64_t siglip_state_bytes(const struct siglip *model, unsigned workers) {
    struct siglip_state unused;

    return place(model, workers, NULL, &unused);
}

int siglip_state_init(struct siglip_state *state, const struct siglip *model, unsigned workers,
                      struct error *reterr) {
    uint64_t bytes = siglip_state_bytes(model, workers);

    *state = (struct siglip_state){0};
    if (bytes > (uint64_t)MOST_STATE_GIB << 30) {
        return error_set(reterr, ENGINE_E_MEMORY, "the vision tower needs %llu MiB of buffers, over %d GiB",
                         (unsigned long long)(bytes >> 20), MOST_STATE_GIB);
    }
    /* Zeroed, and the padding of heads stays so. */
    void *memory =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
        return error_errno(reterr, errno, "cannot take the buffers of the vision tower");
    }
    (void)place(model, workers, memory, state);
    state->memory = memory;
    state->memory_bytes = bytes;
    uint32_t widest = model->feed_forward > model->width ? model->feed_forward : model->width;
    for (uint32_t i = 0; i < widest; i++) {
        state->ones[i] = 1.0F;
    }
    return 0;
}

void siglip_state_deinit(struct siglip_state *state) {
    if (state->memory != NULL) {
        (void)munmap(state->memory, state->memory_bytes);
    }
    *state = (struct siglip_state){0};
}
