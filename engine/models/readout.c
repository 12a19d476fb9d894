/* SPDX-License-Identifier: Apache-2.0
 *
 * What is read from the residual stream. A logit is always the f32 dot product of the normed row with the one
 * dequantised row of the head, so that it has the same bits whichever set of tokens is asked for. Each block
 * of the vocabulary is dequantised once for all readouts that ask for all of it.
 */
#include <math.h>
#include <string.h>

#include "engine/models/text.h"

static const struct engine_readout *tap_readout(const struct step_tap *tap) {
    return &tap->forest->job->readouts[tap->readout];
}

static bool all_finite(const float *values, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (!isfinite(values[i])) {
            return false;
        }
    }
    return true;
}

/* The residual stream; of an embedding model after its last layer what norm_rows made of it. */
static const float *rows_read(const struct text_run *run, const struct step_tap *tap) {
    const struct text_config *c = &run->model->config;

    return c->both_ways && tap->layer == c->layers ? run->state->h : run->state->x;
}

/* Sums in position order and in double precision; a segment that is spread over several steps keeps its sum.
 */
static bool read_mean(const struct text_run *run, const struct step_tap *tap) {
    const struct text_state *s = run->state;
    const struct step_slice *slice = &s->step.slices[tap->slice];
    const struct segment_plan *segment = &slice->forest->segments[slice->segment];
    uint32_t hidden = run->model->config.hidden;
    const float *rows = rows_read(run, tap);
    double *sum = tap->forest->sums[tap->readout];
    float *out = tap_readout(tap)->out;

    for (uint32_t i = 0; i < slice->count; i++) {
        const float *x = rows + (size_t)s->step.row_of[slice->first + i] * hidden;

        for (uint32_t c = 0; c < hidden; c++) {
            sum[c] += x[c];
        }
    }
    if (slice->start + slice->count < segment->needed) {
        return true;
    }
    for (uint32_t c = 0; c < hidden; c++) {
        out[c] = (float)(sum[c] / segment->needed);
    }
    return all_finite(out, hidden);
}

static void head_row(const struct text_model *m, uint32_t id, float *out) {
    const struct tensor *head = m->head;
    uint64_t row_bytes = head->bytes / head->dims[1];

    m->kernels->dequantize(head->type, (const char *)head->data + id * row_bytes, m->config.hidden, out);
}

/* NEXT reads logits without their cap, which keeps their order. */
static void cap_logits(const struct text_model *m, float *logits, size_t count) {
    if (m->config.final_cap > 0) {
        m->kernels->soft_cap(logits, count, m->config.final_cap);
    }
}

static bool read_listed(const struct text_run *run, const struct step_tap *tap, float *row) {
    const struct text_model *m = run->model;
    const struct engine_readout *r = tap_readout(tap);
    const float *h = run->state->h + (size_t)tap->row * m->config.hidden;

    for (uint32_t i = 0; i < r->id_count; i++) {
        head_row(m, r->ids[i], row);
        r->out[i] = m->kernels->dot_f32(h, row, m->config.hidden);
    }
    cap_logits(m, r->out, r->id_count);
    return all_finite(r->out, r->id_count);
}

static bool reads_whole_vocabulary(const struct engine_readout *r) {
    return r->kind == ENGINE_READ_NEXT || (r->kind == ENGINE_READ_LOGITS && r->ids == NULL);
}

static uint32_t block_count(const struct text_config *c) {
    return (c->vocabulary + TEXT_VOCABULARY_BLOCK - 1) / TEXT_VOCABULARY_BLOCK;
}

/* One block of the vocabulary for all readouts of [first, end) that ask for all of it. */
static void read_block(const struct text_run *run, uint32_t first, uint32_t end, uint32_t block, float *row) {
    const struct text_model *m = run->model;
    const struct text_state *s = run->state;
    uint32_t hidden = m->config.hidden, blocks = block_count(&m->config);
    uint32_t begin = block * TEXT_VOCABULARY_BLOCK;
    uint32_t stop = m->config.vocabulary - begin < TEXT_VOCABULARY_BLOCK ? m->config.vocabulary
                                                                         : begin + TEXT_VOCABULARY_BLOCK;

    for (uint32_t t = first; t < end; t++) {
        if (tap_readout(&s->step.taps[t])->kind == ENGINE_READ_NEXT) {
            s->best[(size_t)s->step.taps[t].row * blocks + block] =
                (struct text_best){.value = -INFINITY, .id = begin, .finite = true};
        }
    }
    for (uint32_t id = begin; id < stop; id++) {
        head_row(m, id, row);
        for (uint32_t t = first; t < end; t++) {
            const struct step_tap *tap = &s->step.taps[t];
            const struct engine_readout *r = tap_readout(tap);

            if (!reads_whole_vocabulary(r)) {
                continue;
            }
            float logit = m->kernels->dot_f32(s->h + (size_t)tap->row * hidden, row, hidden);
            if (r->kind == ENGINE_READ_LOGITS) {
                r->out[id] = logit;
                continue;
            }
            struct text_best *best = &s->best[(size_t)tap->row * blocks + block];
            best->finite = best->finite && isfinite(logit);
            if (logit > best->value) {
                best->value = logit;
                best->id = id;
            }
        }
    }
    for (uint32_t t = first; t < end; t++) {
        const struct engine_readout *r = tap_readout(&s->step.taps[t]);

        if (r->kind == ENGINE_READ_LOGITS && r->ids == NULL) {
            cap_logits(m, r->out + begin, stop - begin);
        }
    }
}

/* The lowest id among those with the highest logit. */
static bool read_next(const struct text_run *run, const struct step_tap *tap) {
    uint32_t blocks = block_count(&run->model->config);
    const struct text_best *best = run->state->best + (size_t)tap->row * blocks;
    uint32_t top = 0;
    bool finite = true;

    for (uint32_t b = 0; b < blocks; b++) {
        finite = finite && best[b].finite;
        top = best[b].value > best[top].value ? b : top;
    }
    *tap_readout(tap)->out = (float)best[top].id;
    return finite;
}

static bool read_tap(const struct text_run *run, const struct step_tap *tap, float *row) {
    const struct engine_readout *r = tap_readout(tap);
    uint32_t hidden = run->model->config.hidden;

    switch (r->kind) {
    case ENGINE_READ_MEAN:
        return read_mean(run, tap);
    case ENGINE_READ_LAST:
        memcpy(r->out, rows_read(run, tap) + (size_t)tap->row * hidden, hidden * sizeof *r->out);
        return all_finite(r->out, hidden);
    case ENGINE_READ_LOGITS:
        return r->ids == NULL || read_listed(run, tap, row);
    default:
        return true;
    }
}

/* What needs the head: rows are normed into h first, which nobody reads any more. */
static bool norm_rows(struct text_run *run, unsigned worker, uint32_t layer) {
    const struct text_model *m = run->model;
    const struct text_state *s = run->state;
    uint32_t hidden = m->config.hidden;
    size_t row;

    if (layer != m->config.layers) {
        return false;
    }
    while (pool_claim(run->pool, s->step.query_rows[layer - 1], &row)) {
        m->kernels->rms_norm(s->x + row * hidden, m->output_norm, hidden, m->config.eps, s->h + row * hidden);
    }
    pool_barrier(run->pool, worker);
    return true;
}

void text_read(struct text_run *run, unsigned worker, uint32_t layer) {
    struct text_state *s = run->state;
    uint32_t first = layer == 0 ? 0 : s->step.tap_end[layer - 1], end = s->step.tap_end[layer];
    uint32_t whole = 0;
    float *row = s->workers[worker].embedding;
    size_t task;

    if (first == end) {
        return;
    }
    bool head = norm_rows(run, worker, layer);
    for (uint32_t t = first; head && t < end; t++) {
        whole += reads_whole_vocabulary(tap_readout(&s->step.taps[t]));
    }
    uint32_t blocks = whole == 0 ? 0 : block_count(&run->model->config);
    while (pool_claim(run->pool, (size_t)blocks + (end - first), &task)) {
        if (task < blocks) {
            read_block(run, first, end, (uint32_t)task, row);
        } else {
            uint32_t t = first + (uint32_t)(task - blocks);
            s->tap_failed[t] = !read_tap(run, &s->step.taps[t], row);
        }
    }
    pool_barrier(run->pool, worker);
    if (whole == 0) {
        return;
    }
    while (pool_claim(run->pool, end - first, &task)) {
        const struct step_tap *tap = &s->step.taps[first + task];
        const struct engine_readout *r = tap_readout(tap);

        if (r->kind == ENGINE_READ_NEXT) {
            s->tap_failed[first + task] = !read_next(run, tap);
        } else if (reads_whole_vocabulary(r)) {
            s->tap_failed[first + task] = !all_finite(r->out, run->model->config.vocabulary);
        }
    }
    pool_barrier(run->pool, worker);
}
