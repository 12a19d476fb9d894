/* SPDX-License-Identifier: Apache-2.0
 *
 * One step: tokens of one or several jobs that are computed together, and what is read from them. The packer
 * fills it, a model's forward pass executes it.
 *
 * Rows are ordered so that in every layer the rows that still matter are the first ones: deeper segments
 * before shallower ones, and within the same depth the rows that are read in their last layer before those
 * that only leave their keys and values there.
 */
#ifndef BUCKLER_ENGINE_GRAPH_STEP_H
#define BUCKLER_ENGINE_GRAPH_STEP_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/graph/forest.h"
#include "engine/graph/kvcache.h"

enum { STEP_MAX_LAYERS = 256 };

/* `count` consecutive tokens of a path in one page. */
struct kv_span {
    uint32_t page;
    uint32_t count;
};

/* Consecutive tokens of one segment. */
struct step_slice {
    struct forest *forest;
    uint32_t segment, start, count;
    uint32_t first;      /* step.row_of[first + i] is the row of token start + i */
    uint32_t first_span; /* step.spans[first_span …]: the path from the root to the end of the slice */
    uint32_t span_count;
};

struct step_row {
    const float *embedding; /* of a picture; NULL: that of the token */
    uint32_t token;
    uint32_t position; /* on the path */
    uint32_t end;      /* it sees the path up to here: position + 1, or the end of its picture */
    uint32_t slice;
    uint32_t page, slot; /* where its keys and values go */
};

/* A readout that reads from this step. */
struct step_tap {
    struct forest *forest;
    uint32_t readout; /* index in the job */
    uint32_t slice;
    uint32_t row;   /* all kinds but MEAN */
    uint32_t layer; /* reads after so many layers */
};

struct step {
    struct step_row *rows, *sorted; /* sorted: room for step_arrange */
    uint32_t row_count, row_limit;
    uint32_t *row_of;
    struct step_slice *slices;
    uint32_t slice_count;
    struct kv_span *spans;
    uint32_t span_count, span_limit;
    struct step_tap *taps; /* by rising layer */
    uint32_t tap_count, tap_limit;
    uint32_t depth;                        /* layers to run */
    uint32_t kv_rows[STEP_MAX_LAYERS];     /* rows that need keys and values in a layer */
    uint32_t query_rows[STEP_MAX_LAYERS];  /* of these, rows that pass attention and MLP */
    uint32_t tap_end[STEP_MAX_LAYERS + 1]; /* taps[tap_end[l - 1] … tap_end[l]) read after l layers */
};

int step_init(struct step *step, uint32_t row_limit) MUST_CHECK;
void step_deinit(struct step *step); /* accepts a zeroed one */

void step_clear(struct step *step);

/* Adds as many tokens of the job as fit, at most `budget`; returns how many. -ENOMEM leaves a job that must
 * be failed. */
int step_add(struct step *step, struct forest *forest, struct kvcache *kv, uint32_t budget) MUST_CHECK;

/* After the last step_add, with at least one row: orders rows and taps. */
void step_arrange(struct step *step);

#endif
