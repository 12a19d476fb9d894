/* SPDX-License-Identifier: Apache-2.0
 *
 * The plan of one forest job: what has to be computed, in which order, and what is done already. Made by the
 * submitting thread, afterwards used by the driver alone.
 *
 * Work is taken in depth-first order of the segments, and always as a prefix of that order. So the pages that
 * are in use after a step belong to the path of the next segment and to nothing else, and a job can always go
 * on when its longest path fits its share of pages.
 */
#ifndef BUCKLER_ENGINE_GRAPH_FOREST_H
#define BUCKLER_ENGINE_GRAPH_FOREST_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/engine.h"
#include "engine/graph/kvcache.h"

enum { FOREST_MAX_SEGMENTS = 4096, FOREST_MAX_READOUTS = 65536 };

struct forest_limits {
    uint32_t layers, hidden, vocabulary, context;
    uint32_t page_count;  /* pages of the model's cache */
    uint32_t step_tokens; /* most tokens of a step */
    bool whole; /* the tokens of a segment see each other: it has no parent and is computed in one step */
};

struct segment_plan {
    int32_t parent;
    uint32_t position;      /* path position of the first token */
    uint32_t needed;        /* tokens that some readout depends on: the first `needed` of the segment */
    uint32_t depth;         /* layers whose result some readout depends on */
    uint32_t done;          /* tokens computed */
    uint32_t scheduled;     /* tokens computed when the step in progress has ended */
    uint32_t open_children; /* children with work to do, not finished */
    uint32_t first_page, pages_taken;      /* forest.pages[first_page …] */
    uint32_t path_pages;                   /* pages from the root to the end of this segment */
    uint32_t first_readout, readout_count; /* forest.readouts[first_readout …], by rising position */
};

struct forest {
    struct engine_job *job;
    uint32_t layers, hidden;
    bool whole;
    struct segment_plan *segments;
    uint32_t *order; /* needed segments, depth first */
    uint32_t order_count;
    uint32_t order_next; /* the first one that is not fully computed */
    uint32_t *readouts;  /* indices into job->readouts, grouped by segment */
    double *
        *sums; /* MEAN readouts in progress: [readout] → [hidden], made when their first token is scheduled */
    uint32_t *pages;
    uint32_t page_share; /* most pages that the job holds at a time */
    uint32_t pages_held;
    uint64_t tokens_left; /* to be computed */
    void *memory;         /* holds all arrays above */
};

/* Checks the job against the limits and plans it. ENGINE_E_INVALID or ENGINE_E_TOO_LONG for a job that cannot
 * run. */
int forest_new(struct engine_job *job, const struct forest_limits *limits, struct forest **ret_forest,
               struct error *reterr) MUST_CHECK;

/* Gives its pages back to `kv`; accepts NULL; returns NULL. */
struct forest *forest_free(struct forest *f, struct kvcache *kv);

/* The number of layers after which readout `r` reads. */
static inline uint32_t forest_readout_layer(const struct forest *f, const struct engine_readout *r) {
    return r->kind == ENGINE_READ_MEAN || r->kind == ENGINE_READ_LAST ? r->layer : f->layers;
}

/* Plans up to `budget` further tokens of segment `s` and takes their pages; returns how many. Of a picture
 * all or none. */
uint32_t forest_schedule(struct forest *f, struct kvcache *kv, uint32_t s, uint32_t budget);

/* Takes back what was scheduled for a step that is not going to run. */
void forest_unschedule(struct forest *f);

/* After a step: what was scheduled is done; pages that nothing depends on go back. */
void forest_settle(struct forest *f, struct kvcache *kv);

/* The fewest tokens that a step must have room for, if the job is to go on with it. */
uint32_t forest_least(const struct forest *f);

static inline bool forest_finished(const struct forest *f) {
    return f->order_next == f->order_count;
}

#endif
