/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/graph/step.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

int step_init(struct step *step, uint32_t row_limit) {
    *step = (struct step){.row_limit = row_limit};
    step->rows = calloc(row_limit, sizeof *step->rows);
    step->sorted = calloc(row_limit, sizeof *step->sorted);
    step->row_of = calloc(row_limit, sizeof *step->row_of);
    step->slices = calloc(row_limit, sizeof *step->slices);
    if (step->rows == NULL || step->sorted == NULL || step->row_of == NULL || step->slices == NULL) {
        step_deinit(step);
        return -ENOMEM;
    }
    return 0;
}

void step_deinit(struct step *step) {
    free(step->rows);
    free(step->sorted);
    free(step->row_of);
    free(step->slices);
    free(step->spans);
    free(step->taps);
    *step = (struct step){0};
}

void step_clear(struct step *step) {
    step->row_count = 0;
    step->slice_count = 0;
    step->span_count = 0;
    step->tap_count = 0;
    step->depth = 0;
}

static int reserve(void **items, uint32_t *limit, uint64_t wanted, size_t size) {
    if (wanted <= *limit) {
        return 0;
    }
    uint64_t grown = wanted > 2ull * *limit ? wanted : 2ull * *limit;
    grown = grown < 64 ? 64 : grown;
    void *p = grown > UINT32_MAX ? NULL : realloc(*items, grown * size);
    if (p == NULL) {
        return -ENOMEM;
    }
    *items = p;
    *limit = (uint32_t)grown;
    return 0;
}

/* The pages of the path, root first, up to the end of the slice. */
static int add_spans(struct step *step, struct step_slice *slice) {
    const struct forest *f = slice->forest;
    uint32_t count = f->segments[slice->segment].path_pages;
    int r = reserve((void **)&step->spans, &step->span_limit, (uint64_t)step->span_count + count,
                    sizeof *step->spans);

    if (r != 0) {
        return r;
    }
    uint32_t end = step->span_count + count, at = end;
    uint32_t tokens = slice->start + slice->count;
    for (int32_t s = (int32_t)slice->segment; s >= 0; s = f->segments[s].parent) {
        const struct segment_plan *p = &f->segments[s];
        uint32_t pages = kvcache_pages_for(tokens);

        for (uint32_t i = pages; i-- > 0;) {
            uint32_t left = tokens - i * KV_PAGE_TOKENS;

            step->spans[--at] = (struct kv_span){.page = f->pages[p->first_page + i],
                                                 .count = left < KV_PAGE_TOKENS ? left : KV_PAGE_TOKENS};
        }
        tokens = p->parent < 0 ? 0 : f->segments[p->parent].needed;
    }
    slice->first_span = at; /* a slice that ends early uses fewer pages than its path has */
    slice->span_count = end - at;
    step->span_count = end;
    return 0;
}

static int add_taps(struct step *step, const struct step_slice *slice) {
    const struct forest *f = slice->forest;
    const struct segment_plan *p = &f->segments[slice->segment];

    for (uint32_t i = 0; i < p->readout_count; i++) {
        uint32_t index = f->readouts[p->first_readout + i];
        const struct engine_readout *r = &f->job->readouts[index];
        bool mean = r->kind == ENGINE_READ_MEAN;

        if (!mean && r->position - slice->start >= slice->count) {
            continue;
        }
        int e = reserve((void **)&step->taps, &step->tap_limit, (uint64_t)step->tap_count + 1,
                        sizeof *step->taps);
        if (e != 0) {
            return e;
        }
        if (mean && f->sums[index] == NULL) {
            f->sums[index] = calloc(f->hidden, sizeof(double));
            if (f->sums[index] == NULL) {
                return -ENOMEM;
            }
        }
        step->taps[step->tap_count++] =
            (struct step_tap){.forest = slice->forest,
                              .readout = index,
                              .slice = step->slice_count,
                              .row = mean ? UINT32_MAX : slice->first + (r->position - slice->start),
                              .layer = forest_readout_layer(f, r)};
    }
    return 0;
}

int step_add(struct step *step, struct forest *f, struct kvcache *kv, uint32_t budget) {
    uint32_t added = 0;

    for (uint32_t i = f->order_next; i < f->order_count && added < budget; i++) {
        uint32_t s = f->order[i];
        struct segment_plan *p = &f->segments[s];

        if (p->scheduled == p->needed) {
            continue;
        }
        uint32_t start = p->scheduled;
        uint32_t count = forest_schedule(f, kv, s, budget - added);
        if (count == 0) {
            break;
        }
        struct step_slice slice = {
            .forest = f, .segment = s, .start = start, .count = count, .first = step->row_count};
        int r = add_spans(step, &slice);
        r = r == 0 ? add_taps(step, &slice) : r;
        if (r != 0) {
            return r;
        }
        const struct engine_segment *from = &f->job->segments[s];
        bool picture = from->rows != NULL;
        for (uint32_t k = 0; k < count; k++) {
            uint32_t at = start + k;

            step->rows[step->row_count++] =
                (struct step_row){.embedding = picture ? from->rows + (size_t)at * f->hidden : NULL,
                                  .token = picture ? 0 : from->tokens[at],
                                  .position = p->position + at,
                                  .end = p->position + (picture ? from->count : at + 1),
                                  .slice = step->slice_count,
                                  .page = f->pages[p->first_page + at / KV_PAGE_TOKENS],
                                  .slot = at % KV_PAGE_TOKENS};
        }
        step->slices[step->slice_count++] = slice;
        step->depth = p->depth > step->depth ? p->depth : step->depth;
        added += count;
        if (p->scheduled < p->needed) {
            break;
        }
    }
    return (int)added;
}

/* ---- order ---- */

static uint32_t row_depth(const struct step *step, uint32_t row) {
    const struct step_slice *slice = &step->slices[step->rows[row].slice];

    return slice->forest->segments[slice->segment].depth;
}

/* Marks in row_of[row] whether the row is read after its last layer. */
static void mark_last_reads(struct step *step) {
    memset(step->row_of, 0, step->row_count * sizeof *step->row_of);
    for (uint32_t t = 0; t < step->tap_count; t++) {
        const struct step_tap *tap = &step->taps[t];
        const struct step_slice *slice = &step->slices[tap->slice];

        if (tap->layer < slice->forest->segments[slice->segment].depth) {
            continue;
        }
        if (tap->row != UINT32_MAX) {
            step->row_of[tap->row] = 1;
            continue;
        }
        for (uint32_t i = 0; i < slice->count; i++) {
            step->row_of[slice->first + i] = 1;
        }
    }
}

/* A counting sort: bin 2·k holds the rows of depth step->depth − k that are read last, bin 2·k + 1 the
 * others. */
static void order_rows(struct step *step, struct step_row *sorted) {
    uint32_t ends[2 * STEP_MAX_LAYERS + 2] = {0};

    for (uint32_t i = 0; i < step->row_count; i++) {
        ends[2 * (step->depth - row_depth(step, i)) + !step->row_of[i]]++;
    }
    uint32_t total = 0;
    for (uint32_t b = 0; b < 2 * step->depth; b++) {
        uint32_t count = ends[b], layer = step->depth - 1 - b / 2;

        ends[b] = total;
        total += count;
        step->kv_rows[layer] = total; /* bins 2·k and 2·k + 1 end where the rows of that depth end */
        if (b % 2 == 0) {
            step->query_rows[layer] = total;
        }
    }
    for (uint32_t i = 0; i < step->row_count; i++) {
        uint32_t bin = 2 * (step->depth - row_depth(step, i)) + !step->row_of[i];

        step->row_of[i] = ends[bin]++;
        sorted[step->row_of[i]] = step->rows[i];
    }
}

static int compare_taps(const void *a, const void *b) {
    const struct step_tap *x = a, *y = b;

    if (x->layer != y->layer) {
        return x->layer < y->layer ? -1 : 1;
    }
    if (x->slice != y->slice) {
        return x->slice < y->slice ? -1 : 1;
    }
    return x->readout < y->readout ? -1 : x->readout > y->readout;
}

static void order_taps(struct step *step) {
    uint32_t t = 0;

    if (step->tap_count > 0) {
        qsort(step->taps, step->tap_count, sizeof *step->taps, compare_taps);
    }
    for (uint32_t layer = 0; layer <= step->depth; layer++) {
        while (t < step->tap_count && step->taps[t].layer == layer) {
            t++;
        }
        step->tap_end[layer] = t;
    }
    for (t = 0; t < step->tap_count; t++) {
        if (step->taps[t].row != UINT32_MAX) {
            step->taps[t].row = step->row_of[step->taps[t].row];
        }
    }
}

void step_arrange(struct step *step) {
    mark_last_reads(step);
    order_rows(step, step->sorted);
    struct step_row *rows = step->rows;
    step->rows = step->sorted;
    step->sorted = rows;
    order_taps(step);
}
