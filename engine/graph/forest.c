/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/graph/forest.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

/* ---- checks ---- */

static int check_segments(const struct engine_job *job, const struct forest_limits *limits,
                          struct error *reterr) {
    for (uint32_t s = 0; s < job->segment_count; s++) {
        const struct engine_segment *segment = &job->segments[s];

        if (segment->count == 0 || (segment->tokens == NULL) == (segment->rows == NULL)) {
            return error_set(reterr, ENGINE_E_INVALID, "segment %u is empty, or both tokens and rows", s);
        }
        if (segment->parent < -1 || segment->parent >= (int64_t)s) {
            return error_set(reterr, ENGINE_E_INVALID, "the parent of segment %u is not an earlier segment",
                             s);
        }
        if (segment->rows != NULL && segment->count > limits->step_tokens) {
            return error_set(reterr, ENGINE_E_TOO_LONG,
                             "the picture in segment %u has %u rows, a step computes %u tokens", s,
                             segment->count, limits->step_tokens);
        }
        for (uint32_t i = 0; segment->tokens != NULL && i < segment->count; i++) {
            if (segment->tokens[i] >= limits->vocabulary) {
                return error_set(reterr, ENGINE_E_INVALID,
                                 "token %u of segment %u is %u, the vocabulary has %u", i, s,
                                 segment->tokens[i], limits->vocabulary);
            }
        }
    }
    return 0;
}

static int check_logits(const struct engine_readout *r, uint32_t index, const struct forest_limits *limits,
                        struct error *reterr) {
    if (r->ids != NULL && r->id_count == 0) {
        return error_set(reterr, ENGINE_E_INVALID, "readout %u asks for no token", index);
    }
    for (uint32_t i = 0; r->ids != NULL && i < r->id_count; i++) {
        if (r->ids[i] >= limits->vocabulary) {
            return error_set(reterr, ENGINE_E_INVALID, "readout %u asks for token %u, the vocabulary has %u",
                             index, r->ids[i], limits->vocabulary);
        }
    }
    return 0;
}

static int check_readouts(const struct engine_job *job, const struct forest_limits *limits,
                          struct error *reterr) {
    for (uint32_t i = 0; i < job->readout_count; i++) {
        const struct engine_readout *r = &job->readouts[i];

        if (r->segment >= job->segment_count || r->out == NULL ||
            (r->kind != ENGINE_READ_MEAN && r->position >= job->segments[r->segment].count)) {
            return error_set(reterr, ENGINE_E_INVALID, "readout %u reads where nothing is", i);
        }
        switch (r->kind) {
        case ENGINE_READ_LOGITS: {
            int e = check_logits(r, i, limits, reterr);
            if (e != 0) {
                return e;
            }
            break;
        }
        case ENGINE_READ_MEAN:
        case ENGINE_READ_LAST:
            if (r->layer == 0 || r->layer > limits->layers) {
                return error_set(reterr, ENGINE_E_INVALID, "readout %u reads after layer %u of %u", i,
                                 r->layer, limits->layers);
            }
            break;
        case ENGINE_READ_NEXT:
            break;
        default:
            return error_set(reterr, ENGINE_E_INVALID, "readout %u is of no known kind", i);
        }
    }
    return 0;
}

/* What a model whose tokens see each other both ways can do. */
static int check_whole(const struct engine_job *job, const struct forest_limits *limits,
                       struct error *reterr) {
    for (uint32_t s = 0; s < job->segment_count; s++) {
        if (job->segments[s].parent >= 0) {
            return error_set(reterr, ENGINE_E_INVALID,
                             "segment %u has a parent, but texts of this model have none", s);
        }
        if (job->segments[s].count > limits->step_tokens) {
            return error_set(reterr, ENGINE_E_TOO_LONG,
                             "segment %u has %u tokens, and a step of the engine %u", s,
                             job->segments[s].count, limits->step_tokens);
        }
    }
    for (uint32_t i = 0; i < job->readout_count; i++) {
        enum engine_readout_kind kind = job->readouts[i].kind;

        if (kind != ENGINE_READ_MEAN && kind != ENGINE_READ_LAST) {
            return error_set(reterr, ENGINE_E_INVALID, "readout %u asks for logits, which this model has not",
                             i);
        }
    }
    return 0;
}

static int check_job(const struct engine_job *job, const struct forest_limits *limits, struct error *reterr) {
    if (job->segment_count == 0 || job->segment_count > FOREST_MAX_SEGMENTS || job->readout_count == 0 ||
        job->readout_count > FOREST_MAX_READOUTS || job->segments == NULL || job->readouts == NULL) {
        return error_set(reterr, ENGINE_E_INVALID, "a job has 1 to %d segments and 1 to %d readouts",
                         FOREST_MAX_SEGMENTS, FOREST_MAX_READOUTS);
    }
    int r = check_segments(job, limits, reterr);

    r = r == 0 ? check_readouts(job, limits, reterr) : r;
    return r == 0 && limits->whole ? check_whole(job, limits, reterr) : r;
}

/* ---- plan ---- */

/* What each segment's own readouts need, then what children need of their parents. */
static void plan_needs(struct forest *f) {
    const struct engine_job *job = f->job;

    for (uint32_t i = 0; i < job->readout_count; i++) {
        const struct engine_readout *r = &job->readouts[i];
        const struct engine_segment *segment = &job->segments[r->segment];
        struct segment_plan *p = &f->segments[r->segment];
        uint32_t layer = forest_readout_layer(f, r);
        bool all = f->whole || r->kind == ENGINE_READ_MEAN || segment->rows != NULL;
        uint32_t needed = all ? segment->count : r->position + 1;

        p->depth = layer > p->depth ? layer : p->depth;
        p->needed = needed > p->needed ? needed : p->needed;
        p->readout_count++;
    }
    for (uint32_t s = job->segment_count; s-- > 0;) {
        struct segment_plan *p = &f->segments[s];

        p->parent = job->segments[s].parent;
        if (p->needed > 0 && p->parent >= 0) {
            struct segment_plan *parent = &f->segments[p->parent];

            parent->depth = p->depth > parent->depth ? p->depth : parent->depth;
            parent->needed = job->segments[p->parent].count;
            parent->open_children++;
        }
    }
}

static int plan_positions(struct forest *f, const struct forest_limits *limits, struct error *reterr) {
    const struct engine_job *job = f->job;
    uint64_t pages = 0;
    uint32_t longest = 0;

    for (uint32_t s = 0; s < job->segment_count; s++) {
        struct segment_plan *p = &f->segments[s];
        uint64_t position = 0, path_pages = kvcache_pages_for(p->needed);

        if (p->parent >= 0) {
            const struct segment_plan *parent = &f->segments[p->parent];

            position = (uint64_t)parent->position + job->segments[p->parent].count;
            path_pages += parent->path_pages;
        }
        if (position + job->segments[s].count > limits->context || path_pages > limits->page_count) {
            return error_set(reterr, ENGINE_E_TOO_LONG,
                             "segment %u ends at token %llu; the context is %u tokens and the KV cache %u", s,
                             (unsigned long long)(position + job->segments[s].count), limits->context,
                             limits->page_count * KV_PAGE_TOKENS);
        }
        p->position = (uint32_t)position;
        p->path_pages = (uint32_t)path_pages;
        p->first_page = (uint32_t)pages;
        longest = p->path_pages > longest ? p->path_pages : longest;
        pages += kvcache_pages_for(p->needed);
        f->tokens_left += p->needed;
        if (pages > UINT32_MAX) {
            return error_set(reterr, ENGINE_E_TOO_LONG, "the job has more tokens than can be counted");
        }
    }
    /* Beyond the longest path a job cannot use more than what one step adds. */
    uint64_t share = longest + 2ull * kvcache_pages_for(limits->step_tokens);
    share = share < pages ? share : pages;
    f->page_share = (uint32_t)(share < limits->page_count ? share : limits->page_count);
    return 0;
}

/* Depth first, children in the order of the array: a segment is followed by its first child, else by the next
 * sibling of the nearest ancestor that has one. */
static void plan_order(struct forest *f, uint32_t *first_child, uint32_t *next_sibling) {
    const uint32_t none = UINT32_MAX;
    uint32_t count = f->job->segment_count, root = none;

    memset(first_child, 0xff, count * sizeof *first_child);
    for (uint32_t s = count; s-- > 0;) {
        int32_t parent = f->segments[s].parent;
        uint32_t *head = parent < 0 ? &root : &first_child[parent];

        if (f->segments[s].needed > 0) {
            next_sibling[s] = *head;
            *head = s;
        }
    }
    uint32_t s = root;
    while (s != none) {
        f->order[f->order_count++] = s;
        if (first_child[s] != none) {
            s = first_child[s];
            continue;
        }
        while (s != none && next_sibling[s] == none) {
            s = f->segments[s].parent < 0 ? none : (uint32_t)f->segments[s].parent;
        }
        s = s == none ? none : next_sibling[s];
    }
}

static uint32_t readout_place(const struct engine_readout *r) {
    return r->kind == ENGINE_READ_MEAN ? 0 : r->position;
}

static int compare_readouts(const void *a, const void *b, void *user) {
    const struct engine_readout *all = user;
    const struct engine_readout *x = &all[*(const uint32_t *)a], *y = &all[*(const uint32_t *)b];

    if (x->segment != y->segment) {
        return x->segment < y->segment ? -1 : 1;
    }
    uint32_t px = readout_place(x), py = readout_place(y);
    if (px != py) {
        return px < py ? -1 : 1;
    }
    return x < y ? -1 : x > y;
}

static void plan_readouts(struct forest *f) {
    const struct engine_job *job = f->job;
    uint32_t first = 0;

    for (uint32_t i = 0; i < job->readout_count; i++) {
        f->readouts[i] = i;
    }
    qsort_r(f->readouts, job->readout_count, sizeof *f->readouts, compare_readouts, (void *)job->readouts);
    for (uint32_t s = 0; s < job->segment_count; s++) {
        f->segments[s].first_readout = first;
        first += f->segments[s].readout_count;
    }
}

static void forest_drop(void *p) {
    struct forest **f = p;

    *f = forest_free(*f, NULL);
}

int forest_new(struct engine_job *job, const struct forest_limits *limits, struct forest **ret_forest,
               struct error *reterr) {
    CLEANUP(forest_drop) struct forest *f = NULL;
    CLEANUP(free_ptr) uint32_t *links = NULL;
    int r = check_job(job, limits, reterr);

    if (r != 0) {
        return r;
    }
    f = calloc(1, sizeof *f);
    links = calloc(2 * (size_t)job->segment_count, sizeof *links);
    size_t segments = (size_t)job->segment_count, readouts = job->readout_count;
    char *memory = calloc(1, segments * (sizeof *f->segments + sizeof *f->order) +
                                 readouts * (sizeof *f->readouts + sizeof *f->sums));
    if (f == NULL || links == NULL || memory == NULL) {
        free(memory);
        return error_errno(reterr, ENOMEM, "cannot plan the job");
    }
    f->memory = memory;
    f->job = job;
    f->layers = limits->layers;
    f->hidden = limits->hidden;
    f->whole = limits->whole;
    f->sums = (double **)memory;
    f->segments = (struct segment_plan *)(f->sums + readouts);
    f->order = (uint32_t *)(f->segments + segments);
    f->readouts = f->order + segments;
    plan_needs(f);
    r = plan_positions(f, limits, reterr);
    if (r != 0) {
        return r;
    }
    const struct segment_plan *last = &f->segments[segments - 1];
    f->pages = calloc((size_t)last->first_page + kvcache_pages_for(last->needed) + 1, sizeof *f->pages);
    if (f->pages == NULL) {
        return error_errno(reterr, ENOMEM, "cannot plan the job");
    }
    plan_order(f, links, links + segments);
    plan_readouts(f);
    *ret_forest = steal(f);
    return 0;
}

/* ---- run ---- */

static void give_pages(struct forest *f, struct kvcache *kv, struct segment_plan *p) {
    for (uint32_t i = p->pages_taken; i-- > 0;) {
        kvcache_give(kv, f->pages[p->first_page + i]);
    }
    f->pages_held -= p->pages_taken;
    p->pages_taken = 0;
}

struct forest *forest_free(struct forest *f, struct kvcache *kv) {
    if (f == NULL) {
        return NULL;
    }
    for (uint32_t s = 0; kv != NULL && s < f->job->segment_count; s++) {
        give_pages(f, kv, &f->segments[s]);
    }
    for (uint32_t i = 0; f->sums != NULL && i < f->job->readout_count; i++) {
        free(f->sums[i]);
    }
    free(f->pages);
    free(f->memory);
    free(f);
    return NULL;
}

uint32_t forest_schedule(struct forest *f, struct kvcache *kv, uint32_t s, uint32_t budget) {
    struct segment_plan *p = &f->segments[s];
    uint32_t left = p->needed - p->scheduled;
    uint32_t count = left < budget ? left : budget;
    bool whole = f->whole || f->job->segments[s].rows != NULL;

    while (p->pages_taken * KV_PAGE_TOKENS < p->scheduled + count && f->pages_held < f->page_share &&
           kvcache_take(kv, &f->pages[p->first_page + p->pages_taken])) {
        p->pages_taken++;
        f->pages_held++;
    }
    uint32_t room = p->pages_taken * KV_PAGE_TOKENS - p->scheduled;
    count = count < room ? count : room;
    if (whole && count < left) {
        give_pages(f, kv, p);
        return 0;
    }
    p->scheduled += count;
    return count;
}

uint32_t forest_least(const struct forest *f) {
    uint32_t next = f->order[f->order_next];

    return f->whole || f->job->segments[next].rows != NULL ? f->segments[next].needed : 1;
}

void forest_unschedule(struct forest *f) {
    for (uint32_t s = 0; s < f->job->segment_count; s++) {
        f->segments[s].scheduled = f->segments[s].done;
    }
}

/* A segment is over when it and all its descendants are computed; that may end its ancestors too. */
static void end_segment(struct forest *f, struct kvcache *kv, uint32_t s) {
    for (;;) {
        struct segment_plan *p = &f->segments[s];

        if (p->done < p->needed || p->open_children > 0) {
            return;
        }
        give_pages(f, kv, p);
        if (p->parent < 0) {
            return;
        }
        s = (uint32_t)p->parent;
        f->segments[s].open_children--;
    }
}

void forest_settle(struct forest *f, struct kvcache *kv) {
    for (uint32_t i = f->order_next; i < f->order_count; i++) {
        struct segment_plan *p = &f->segments[f->order[i]];

        if (p->scheduled == p->done) {
            break;
        }
        f->tokens_left -= p->scheduled - p->done;
        f->job->tokens_computed += p->scheduled - p->done;
        p->done = p->scheduled;
        if (p->done < p->needed) {
            break;
        }
        f->order_next = i + 1;
        end_segment(f, kv, f->order[i]);
    }
}
