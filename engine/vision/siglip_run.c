/* SPDX-License-Identifier: Apache-2.0
 *
 * The stages of the tower. A phase hands out blocks of rows, or blocks of queries of one head, and ends with
 * a barrier; what a block gives does not depend on who computes it.
 */
#include <math.h>
#include <string.h>

#include "engine/vision/siglip.h"

/* What one member works with in one stage. */
struct member {
    const struct siglip *model;
    const struct siglip_state *state;
    const float *weights[SIGLIP_STAGE_TENSORS];
    float *first, *second; /* blocks of rows */
};

/* Consecutive rows of one task. */
struct block {
    uint32_t row, rows;
};

static uint32_t blocks_of(uint32_t rows) {
    return (rows + SIGLIP_BLOCK_ROWS - 1) / SIGLIP_BLOCK_ROWS;
}

static struct block block_of(size_t task, uint32_t rows) {
    uint32_t row = (uint32_t)task * SIGLIP_BLOCK_ROWS, left = rows - row;

    return (struct block){row, left < SIGLIP_BLOCK_ROWS ? left : SIGLIP_BLOCK_ROWS};
}

static uint32_t patches_of(const struct siglip *m) {
    return m->patches_side * m->patches_side;
}

/* ---- weights ---- */

static struct member join(const struct siglip_run *run, unsigned worker) {
    const struct siglip_stage *stage = &run->model->stages[run->stage];
    const struct siglip_state *s = run->state;
    struct member me = {.model = run->model, .state = s, .first = s->tiles + worker * s->tile_floats};
    const float *at = s->weights;

    me.second = me.first + s->second_tile;
    for (uint32_t i = 0; i < stage->count; i++) {
        me.weights[i] = at;
        at += siglip_tensor_room(stage->tensors[i]);
    }
    return me;
}

static void unpack(const struct member *me, const struct siglip_stage *stage, size_t i) {
    const struct tensor *t = stage->tensors[i];
    float *to = me->state->weights + (me->weights[i] - me->state->weights);

    me->model->kernels->dequantize(t->type, t->data, t->dims[0] * t->dims[1] * t->dims[2] * t->dims[3], to);
}

/* ---- rows ---- */

/* Sums in double, one value after the other. */
static void layer_norm(const float *x, const float *weight, const float *bias, size_t n, float eps,
                       float *out) {
    double sum = 0, squares = 0;

    for (size_t i = 0; i < n; i++) {
        sum += (double)x[i];
    }
    double mean = sum / (double)n;
    for (size_t i = 0; i < n; i++) {
        double apart = (double)x[i] - mean;
        squares += apart * apart;
    }
    double factor = 1.0 / sqrt(squares / (double)n + (double)eps);
    for (size_t i = 0; i < n; i++) {
        out[i] = (float)(((double)x[i] - mean) * factor) * weight[i] + bias[i];
    }
}

static void norm_block(const struct member *me, struct block b, const float *weight, const float *bias,
                       float *out) {
    size_t width = me->model->width;

    for (size_t i = 0; i < b.rows; i++) {
        layer_norm(me->state->x + (b.row + i) * width, weight, bias, width, me->model->eps, out + i * width);
    }
}

/* x += y + bias */
static void add_block(const struct member *me, struct block b, const float *y, const float *bias) {
    const struct kernel_set *k = me->model->kernels;
    size_t width = me->model->width;

    for (size_t i = 0; i < b.rows; i++) {
        float *x = me->state->x + (b.row + i) * width;

        k->add(x, y + i * width, width);
        k->add(x, bias, width);
    }
}

/* ---- patches ---- */

/* One patch in the order of the weights: channel, row, column. */
static void gather_patch(const struct siglip *m, const uint8_t *pixels, uint32_t patch, float *out) {
    size_t top = (size_t)(patch / m->patches_side) * m->patch, left = (patch % m->patches_side) * m->patch;

    for (size_t c = 0; c < 3; c++) {
        for (size_t y = top; y < top + m->patch; y++) {
            for (size_t x = left; x < left + m->patch; x++) {
                *out++ = m->pixel_values[c][pixels[(y * m->side + x) * 3 + c]];
            }
        }
    }
}

static void embed_block(const struct member *me, const uint8_t *pixels, struct block b) {
    const struct siglip *m = me->model;
    const struct tensor *p = m->positions;
    uint32_t values = 3 * m->patch * m->patch;
    size_t row_bytes = p->bytes / p->dims[1];

    for (uint32_t i = 0; i < b.rows; i++) {
        gather_patch(m, pixels, b.row + i, me->first + (size_t)i * values);
    }
    m->kernels->matmul_f32(me->weights[PATCH_WEIGHT], values, me->first, values, b.rows, 0, m->width,
                           me->second, m->width);
    for (size_t i = 0; i < b.rows; i++) {
        m->kernels->dequantize(p->type, (const char *)p->data + (b.row + i) * row_bytes, m->width,
                               me->state->x + (b.row + i) * m->width);
    }
    add_block(me, b, me->second, me->weights[PATCH_BIAS]);
}

/* ---- layer ---- */

/* Rows of all heads, side by side, to the place of each head. */
static void scatter_heads(const struct member *me, struct block b, const float *bias, float scale,
                          float *heads) {
    const struct siglip *m = me->model;
    size_t padded = me->state->padded_head;

    for (size_t head = 0; head < m->heads; head++) {
        for (size_t i = 0; i < b.rows; i++) {
            const float *from = me->second + i * m->width + head * m->head_size;
            float *to = heads + (head * patches_of(m) + b.row + i) * padded;

            for (size_t c = 0; c < m->head_size; c++) {
                to[c] = (from[c] + bias[head * m->head_size + c]) * scale;
            }
        }
    }
}

static void query_block(const struct member *me, struct block b) {
    const struct siglip *m = me->model;
    const struct siglip_state *s = me->state;
    const struct {
        enum siglip_layer_tensor weight, bias;
        float scale;
        float *heads;
    } parts[] = {{Q_WEIGHT, Q_BIAS, (float)(1.0 / sqrt(m->head_size)), s->q},
                 {K_WEIGHT, K_BIAS, 1.0F, s->k},
                 {V_WEIGHT, V_BIAS, 1.0F, s->v}};

    norm_block(me, b, me->weights[LN1_WEIGHT], me->weights[LN1_BIAS], me->first);
    for (size_t i = 0; i < 3; i++) {
        m->kernels->matmul_f32(me->weights[parts[i].weight], m->width, me->first, m->width, b.rows, 0,
                               m->width, me->second, m->width);
        scatter_heads(me, b, me->weights[parts[i].bias], parts[i].scale, parts[i].heads);
    }
}

/* Queries of one head, which all see all patches. */
static void attend_block(const struct member *me, size_t head, struct block b) {
    const struct siglip *m = me->model;
    const struct siglip_state *s = me->state;
    size_t padded = s->padded_head, base = head * patches_of(m) * padded;
    struct kv_run all = {
        .keys = s->k + base, .values = s->v + base, .count = patches_of(m), .stride = s->padded_head};

    m->kernels->attend_heads(s->q + base + b.row * padded, b.rows, &all, 1, padded, 0.0F, me->second);
    for (size_t i = 0; i < b.rows; i++) {
        memcpy(s->attended + (b.row + i) * m->width + head * m->head_size, me->second + i * padded,
               m->head_size * sizeof(float));
    }
}

static void output_block(const struct member *me, struct block b) {
    const struct siglip *m = me->model;
    const struct kernel_set *k = m->kernels;
    const float *attended = me->state->attended + (size_t)b.row * m->width;

    k->matmul_f32(me->weights[OUT_WEIGHT], m->width, attended, m->width, b.rows, 0, m->width, me->first,
                  m->width);
    add_block(me, b, me->first, me->weights[OUT_BIAS]);
    norm_block(me, b, me->weights[LN2_WEIGHT], me->weights[LN2_BIAS], me->first);
    k->matmul_f32(me->weights[UP_WEIGHT], m->width, me->first, m->width, b.rows, 0, m->feed_forward,
                  me->second, m->feed_forward);
    for (size_t i = 0; i < b.rows; i++) {
        float *row = me->second + i * m->feed_forward;

        k->add(row, me->weights[UP_BIAS], m->feed_forward);
        k->gelu_mul(row, me->state->ones, m->feed_forward);
    }
    k->matmul_f32(me->weights[DOWN_WEIGHT], m->feed_forward, me->second, m->feed_forward, b.rows, 0, m->width,
                  me->first, m->width);
    add_block(me, b, me->first, me->weights[DOWN_BIAS]);
}

static void layer(const struct member *me, struct pool *pool, unsigned worker) {
    uint32_t patches = patches_of(me->model);
    size_t blocks = blocks_of(patches), t;

    while (pool_claim(pool, blocks, &t)) {
        query_block(me, block_of(t, patches));
    }
    pool_barrier(pool, worker);
    while (pool_claim(pool, blocks * me->model->heads, &t)) {
        attend_block(me, t / blocks, block_of(t % blocks, patches));
    }
    pool_barrier(pool, worker);
    while (pool_claim(pool, blocks, &t)) {
        output_block(me, block_of(t, patches));
    }
    pool_barrier(pool, worker);
}

/* ---- projector ---- */

/* The mean of a square of normed patches. */
static void pool_patches(const struct member *me, uint32_t row, float *out) {
    const struct siglip *m = me->model;
    uint32_t squares = m->patches_side / m->pool, area = m->pool * m->pool;

    memset(out, 0, m->width * sizeof *out);
    for (uint32_t i = 0; i < area; i++) {
        uint32_t y = row / squares * m->pool + i / m->pool, x = row % squares * m->pool + i % m->pool;

        layer_norm(me->state->x + ((size_t)y * m->patches_side + x) * m->width, me->weights[END_WEIGHT],
                   me->weights[END_BIAS], m->width, m->eps, me->second);
        m->kernels->add(out, me->second, m->width);
    }
    for (uint32_t c = 0; c < m->width; c++) {
        out[c] /= (float)area;
    }
}

static void project_block(const struct member *me, struct siglip_run *run, struct block b) {
    const struct siglip *m = me->model;
    float *out = run->out + (size_t)b.row * m->hidden;
    size_t values = (size_t)b.rows * m->hidden;

    for (uint32_t i = 0; i < b.rows; i++) {
        float *row = me->first + (size_t)i * m->width;

        pool_patches(me, b.row + i, row);
        m->kernels->rms_norm(row, me->weights[END_NORM], m->width, m->eps, row);
    }
    memset(out, 0, values * sizeof *out);
    m->kernels->matmul_add(me->weights[END_PROJECTION], m->hidden, m->hidden, me->first, m->width, b.rows,
                           m->width, out, m->hidden);
    for (size_t i = 0; i < values; i++) {
        if (!isfinite(out[i])) {
            atomic_store(&run->not_finite, true);
        }
    }
}

/* ---- stages ---- */

void siglip_stage(struct siglip_run *run, unsigned worker) {
    const struct siglip *m = run->model;
    const struct siglip_stage *stage = &m->stages[run->stage];
    struct member me = join(run, worker);
    uint32_t patches = patches_of(m);
    size_t t;

    while (pool_claim(run->pool, stage->count, &t)) {
        unpack(&me, stage, t);
    }
    pool_barrier(run->pool, worker);
    if (run->stage > 0 && run->stage <= m->layers) {
        layer(&me, run->pool, worker);
        return;
    }
    bool first = run->stage == 0;
    while (pool_claim(run->pool, blocks_of(first ? patches : m->rows), &t)) {
        if (first) {
            embed_block(&me, run->pixels, block_of(t, patches));
        } else {
            project_block(&me, run, block_of(t, m->rows));
        }
    }
    pool_barrier(run->pool, worker);
}
