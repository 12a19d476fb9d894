/* SPDX-License-Identifier: Apache-2.0
 *
 * The layers of Gemma 1 to 3: attention and a gated MLP, each normed before and, where the generation has the
 * weights, normed again before it is added. What a layer does follows from what is bound to it and from the
 * config: a query and key norm, soft caps, windows and rope bases are there or not.
 *
 * The forward pass is executed by all members of the pool together; each phase hands out tasks of rows or of
 * panels and ends with a barrier. In every layer only the first rows still matter (engine/graph/step.h):
 * kv_rows pass keys and values, query_rows pass the rest.
 */
#include <string.h>

#include "engine/models/text.h"

/* ---- parts of the pass ---- */

enum { ROWS_A_TASK = 8, LINEAR_ROWS = 128, LINEAR_PANELS = 4 };

/* What a linear layer reads: f32 rows, for packed weights the same rows quantised, and for adapted ones what
 * the A of the adapter makes of them. */
struct input {
    const float *rows;
    char *quantized;
    uint32_t cols;
    const struct low_rank *low;
    float *low_rows;
};

static size_t groups(size_t count, size_t size) {
    return (count + size - 1) / size;
}

static size_t linear_tasks(const struct linear *l, uint32_t rows) {
    return groups(l->rows, LINEAR_PANELS * PANEL_ROWS) * groups(rows, LINEAR_ROWS);
}

/* One tile of the product: a group of panels, so that it stays in the cache, by a group of rows. */
struct tile {
    uint32_t row, rows;
    uint32_t out, outs; /* columns of the result */
};

static struct tile linear_tile(const struct linear *l, uint32_t rows, size_t task) {
    uint32_t row_groups = (uint32_t)groups(rows, LINEAR_ROWS);
    struct tile t = {.row = (uint32_t)(task % row_groups) * LINEAR_ROWS,
                     .out = (uint32_t)(task / row_groups) * LINEAR_PANELS * PANEL_ROWS};

    t.rows = rows - t.row < LINEAR_ROWS ? rows - t.row : LINEAR_ROWS;
    t.outs = l->rows - t.out < LINEAR_PANELS * PANEL_ROWS ? l->rows - t.out : LINEAR_PANELS * PANEL_ROWS;
    return t;
}

static void linear_run(const struct kernel_set *k, const struct linear *l, const struct input *in,
                       struct tile t, float *out) {
    out += (size_t)t.row * l->rows;
    if (l->values != NULL) {
        k->matmul_f32(l->values, l->cols, in->rows + (size_t)t.row * in->cols, in->cols, t.rows, t.out,
                      t.out + t.outs, out, l->rows);
    } else {
        k->matmul(&l->packed, in->quantized + t.row * k->activation_bytes(in->cols), t.rows,
                  t.out / PANEL_ROWS, (uint32_t)groups(t.out + t.outs, PANEL_ROWS), out, l->rows);
    }
    if (l->adapter_b != NULL) {
        size_t ranks = in->low->ranks;

        k->matmul_add(l->adapter_b + t.out, l->rows, t.outs, in->low_rows + t.row * ranks + l->adapter_first,
                      ranks, t.rows, l->adapter_ranks, out + t.out, l->rows);
    }
}

/* Everything that linear layers need beside the f32 rows. */
static void prepare(const struct text_model *m, const struct input *in, size_t row, uint32_t count) {
    const struct kernel_set *k = m->kernels;
    const float *rows = in->rows + row * in->cols;

    if (m->packs) {
        k->quantize_rows(rows, in->cols, count, in->cols,
                         in->quantized + row * k->activation_bytes(in->cols));
    }
    if (in->low->a != NULL) {
        size_t ranks = in->low->ranks;
        float *low = in->low_rows + row * ranks;

        memset(low, 0, count * ranks * sizeof *low);
        k->matmul_add(in->low->a, ranks, in->low->ranks, rows, in->cols, count, in->cols, low, ranks);
    }
}

static uint32_t rows_of_task(size_t task, uint32_t rows) {
    uint32_t left = rows - (uint32_t)task * ROWS_A_TASK;

    return left < ROWS_A_TASK ? left : ROWS_A_TASK;
}

/* h = norm(x), prepared for those who read it. */
static void norm_input(const struct text_run *run, const float *weight, const struct input *h, size_t row,
                       uint32_t count) {
    const struct text_state *s = run->state;
    const struct kernel_set *k = run->model->kernels;
    uint32_t hidden = run->model->config.hidden;

    for (size_t i = row; i < row + count; i++) {
        k->rms_norm(s->x + i * hidden, weight, hidden, run->model->config.eps, s->h + i * hidden);
    }
    prepare(run->model, h, row, count);
}

/* x += norm(branch), or the branch as it is where the generation has no norm behind it. */
static void add_branch(const struct text_run *run, const float *weight, size_t row, uint32_t count) {
    const struct text_state *s = run->state;
    const struct kernel_set *k = run->model->kernels;
    uint32_t hidden = run->model->config.hidden;

    for (size_t i = row; i < row + count; i++) {
        if (weight != NULL) {
            k->rms_norm(s->branch + i * hidden, weight, hidden, run->model->config.eps,
                        s->branch + i * hidden);
        }
        k->add(s->x + i * hidden, s->branch + i * hidden, hidden);
    }
}

static void embed(const struct text_run *run, size_t row) {
    const struct text_model *m = run->model;
    const struct tensor *e = m->embedding;
    uint32_t hidden = m->config.hidden;
    uint64_t row_bytes = e->bytes / e->dims[1];
    const struct step_row *r = &run->state->step.rows[row];
    float *x = run->state->x + row * hidden;

    if (r->embedding != NULL) {
        memcpy(x, r->embedding, hidden * sizeof *x);
        return;
    }
    m->kernels->dequantize(e->type, (const char *)e->data + r->token * row_bytes, hidden, x);
    for (uint32_t c = 0; c < hidden; c++) {
        x[c] *= m->config.embedding_scale;
    }
}

/* One head before its rope. A query norm has the attention scale in its weight; without one it is `scale`. */
static void norm_head(const struct text_run *run, const float *weight, float scale, const float *in,
                      float *out) {
    const struct text_config *c = &run->model->config;

    if (weight != NULL) {
        run->model->kernels->rms_norm(in, weight, c->head_size, c->eps, out);
        return;
    }
    for (uint32_t i = 0; i < c->head_size; i++) {
        out[i] = in[i] * scale;
    }
}

/* Norm and rope of one row's queries (in place) and keys (into their page); values as they are. */
static void place_row(const struct text_run *run, uint32_t layer, size_t row, bool queries) {
    const struct text_config *c = &run->model->config;
    const struct text_layer *l = &run->model->layers[layer];
    const struct kernel_set *k = run->model->kernels;
    const struct text_state *s = run->state;
    const struct step_row *r = &s->step.rows[row];
    uint32_t width = c->kv_heads * c->head_size;
    size_t angle = (size_t)r->position * (c->head_size / 2);
    const float *cosines = (c->sliding[layer] ? s->local_cosines : s->global_cosines) + angle;
    const float *sines = (c->sliding[layer] ? s->local_sines : s->global_sines) + angle;
    float *keys = kvcache_keys(&s->kv, layer, r->page) + (size_t)r->slot * width;
    float *values = kvcache_values(&s->kv, layer, r->page) + (size_t)r->slot * width;

    for (uint32_t head = 0; head < c->kv_heads; head++) {
        float *key = keys + head * c->head_size;

        norm_head(run, l->attn_k_norm, 1.0F, s->k + row * width + head * c->head_size, key);
        k->rope(key, cosines, sines, c->head_size);
    }
    memcpy(values, s->v + row * width, width * sizeof *values);
    for (uint32_t head = 0; queries && head < c->heads; head++) {
        float *query = s->q + (row * c->heads + head) * c->head_size;

        norm_head(run, l->attn_q_norm, c->attention_scale, query, query);
        k->rope(query, cosines, sines, c->head_size);
    }
}

/* Position j is visible from i iff j <= i or both are in one picture, and i - j < window where the layer
 * slides; where tokens see both ways, everywhere or up to `window` away. */
static void visible_range(const struct text_config *c, uint32_t layer, const struct step_row *r,
                          uint32_t count, uint32_t *ret_begin, uint32_t *ret_end) {
    uint32_t i = r->position;
    uint32_t reach = !c->sliding[layer] ? UINT32_MAX : c->both_ways ? c->window : c->window - 1;

    *ret_begin = i > reach ? i - reach : 0;
    *ret_end = !c->both_ways ? r->end : reach < count - 1 - i ? i + reach + 1 : count;
}

/* The visible part of the row's path. */
static size_t visible_runs(const struct text_run *run, uint32_t layer, const struct step_row *r,
                           uint32_t kv_head, struct kv_run *runs) {
    const struct text_config *c = &run->model->config;
    const struct text_state *s = run->state;
    const struct step_slice *slice = &s->step.slices[r->slice];
    uint32_t begin, end;
    uint32_t width = c->kv_heads * c->head_size, at = 0;
    size_t count = 0;

    visible_range(c, layer, r, slice->count, &begin, &end);
    for (uint32_t i = 0; i < slice->span_count && at < end; i++) {
        const struct kv_span *span = &s->step.spans[slice->first_span + i];
        uint32_t first = begin > at ? begin - at : 0;
        uint32_t last = end - at < span->count ? end - at : span->count;

        at += span->count;
        if (first < last) {
            size_t offset = (size_t)first * width + kv_head * c->head_size;

            runs[count++] = (struct kv_run){.keys = kvcache_keys(&s->kv, layer, span->page) + offset,
                                            .values = kvcache_values(&s->kv, layer, span->page) + offset,
                                            .count = last - first,
                                            .stride = width};
        }
    }
    return count;
}

/* The query heads of one row that share a key head. */
static void attend(const struct text_run *run, uint32_t layer, size_t task, struct kv_run *runs) {
    const struct text_config *c = &run->model->config;
    const struct text_state *s = run->state;
    size_t row = task / c->kv_heads;
    uint32_t kv_head = (uint32_t)(task % c->kv_heads), group = c->heads / c->kv_heads;
    size_t count = visible_runs(run, layer, &s->step.rows[row], kv_head, runs);

    size_t at = (row * c->heads + kv_head * group) * c->head_size;

    run->model->kernels->attend_heads(s->q + at, group, runs, count, c->head_size, c->attention_cap,
                                      s->attended + at);
}

/* gate = gelu(gate(h)) ⊙ up(h), tile by tile */
static void gated(const struct text_run *run, const struct text_layer *l, const struct input *h,
                  struct tile t) {
    const struct kernel_set *k = run->model->kernels;
    const struct text_state *s = run->state;

    linear_run(k, &l->ffn_gate, h, t, s->gate);
    linear_run(k, &l->ffn_up, h, t, s->up);
    for (size_t row = t.row; row < (size_t)t.row + t.rows; row++) {
        size_t at = row * l->ffn_gate.rows + t.out;
        k->gelu_mul(s->gate + at, s->up + at, t.outs);
    }
}

/* ---- the layer ---- */

static void attention(const struct text_run *run, unsigned worker, uint32_t layer, uint32_t kv_rows,
                      uint32_t query_rows) {
    const struct text_config *c = &run->model->config;
    const struct text_layer *l = &run->model->layers[layer];
    const struct kernel_set *k = run->model->kernels;
    const struct text_state *s = run->state;
    struct pool *pool = run->pool;
    struct input h = {s->h, s->h_q, c->hidden, &l->attn_low, s->low};
    struct input attended = {s->attended, s->attended_q, c->heads * c->head_size, &l->output_low, s->low};
    struct input ffn = {s->h, s->h_q, c->hidden, &l->ffn_low, s->low};
    size_t q_tasks = linear_tasks(&l->attn_q, query_rows), kv_tasks = linear_tasks(&l->attn_k, kv_rows), t;

    while (pool_claim(pool, groups(kv_rows, ROWS_A_TASK), &t)) {
        norm_input(run, l->attn_norm, &h, t * ROWS_A_TASK, rows_of_task(t, kv_rows));
    }
    pool_barrier(pool, worker);
    while (pool_claim(pool, q_tasks + 2 * kv_tasks, &t)) {
        if (t < q_tasks) {
            linear_run(k, &l->attn_q, &h, linear_tile(&l->attn_q, query_rows, t), s->q);
        } else if (t < q_tasks + kv_tasks) {
            linear_run(k, &l->attn_k, &h, linear_tile(&l->attn_k, kv_rows, t - q_tasks), s->k);
        } else {
            linear_run(k, &l->attn_v, &h, linear_tile(&l->attn_v, kv_rows, t - q_tasks - kv_tasks), s->v);
        }
    }
    pool_barrier(pool, worker);
    while (pool_claim(pool, groups(kv_rows, ROWS_A_TASK), &t)) {
        for (size_t row = t * ROWS_A_TASK; row < t * ROWS_A_TASK + rows_of_task(t, kv_rows); row++) {
            place_row(run, layer, row, row < query_rows);
        }
    }
    pool_barrier(pool, worker);
    while (pool_claim(pool, (size_t)query_rows * c->kv_heads, &t)) {
        attend(run, layer, t, s->workers[worker].runs);
    }
    pool_barrier(pool, worker);
    while (pool_claim(pool, groups(query_rows, ROWS_A_TASK), &t)) {
        prepare(run->model, &attended, t * ROWS_A_TASK, rows_of_task(t, query_rows));
    }
    pool_barrier(pool, worker);
    while (pool_claim(pool, linear_tasks(&l->attn_output, query_rows), &t)) {
        linear_run(k, &l->attn_output, &attended, linear_tile(&l->attn_output, query_rows, t), s->branch);
    }
    pool_barrier(pool, worker);
    while (pool_claim(pool, groups(query_rows, ROWS_A_TASK), &t)) {
        add_branch(run, l->post_attention_norm, t * ROWS_A_TASK, rows_of_task(t, query_rows));
        norm_input(run, l->ffn_norm, &ffn, t * ROWS_A_TASK, rows_of_task(t, query_rows));
    }
    pool_barrier(pool, worker);
}

static void feed_forward(const struct text_run *run, unsigned worker, uint32_t layer, uint32_t rows) {
    const struct text_config *c = &run->model->config;
    const struct text_layer *l = &run->model->layers[layer];
    const struct kernel_set *k = run->model->kernels;
    const struct text_state *s = run->state;
    struct pool *pool = run->pool;
    struct input h = {s->h, s->h_q, c->hidden, &l->ffn_low, s->low};
    struct input gate = {s->gate, s->gate_q, c->feed_forward, &l->down_low, s->low};
    size_t t;

    while (pool_claim(pool, linear_tasks(&l->ffn_gate, rows), &t)) {
        gated(run, l, &h, linear_tile(&l->ffn_gate, rows, t));
    }
    pool_barrier(pool, worker);
    while (pool_claim(pool, groups(rows, ROWS_A_TASK), &t)) {
        prepare(run->model, &gate, t * ROWS_A_TASK, rows_of_task(t, rows));
    }
    pool_barrier(pool, worker);
    while (pool_claim(pool, linear_tasks(&l->ffn_down, rows), &t)) {
        linear_run(k, &l->ffn_down, &gate, linear_tile(&l->ffn_down, rows, t), s->branch);
    }
    pool_barrier(pool, worker);
    while (pool_claim(pool, groups(rows, ROWS_A_TASK), &t)) {
        add_branch(run, l->post_ffw_norm, t * ROWS_A_TASK, rows_of_task(t, rows));
    }
    pool_barrier(pool, worker);
}

void text_decode(struct text_run *run, unsigned worker) {
    const struct step *step = &run->state->step;
    size_t row;

    while (pool_claim(run->pool, step->row_count, &row)) {
        embed(run, row);
    }
    pool_barrier(run->pool, worker);
    for (uint32_t layer = 0; layer < step->depth; layer++) {
        attention(run, worker, layer, step->kv_rows[layer], step->query_rows[layer]);
        feed_forward(run, worker, layer, step->query_rows[layer]);
        text_read(run, worker, layer + 1);
    }
}
