/* SPDX-License-Identifier: Apache-2.0
 *
 * The steps of text.c, in their order. All work on code points that remember which raw byte they came from,
 * so every view keeps its way back. A step returns false only when memory is out or a bound is reached.
 */
#ifndef BUCKLER_DECODE_WORKER_TEXT_STEPS_H
#define BUCKLER_DECODE_WORKER_TEXT_STEPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "decode/worker/unicode.h"

struct point {
    uint32_t code;
    uint32_t at; /* raw byte offset; non-decreasing along an array */
};

struct points {
    struct point *p;
    size_t count;
    size_t capacity;
    size_t limit; /* appending beyond it fails */
};

/* Appends; false when the limit is reached or memory is out. */
bool points_add(struct points *points, uint32_t code, uint32_t at);
void points_deinit(struct points *points);

/* What the steps found. */
struct text_trace {
    uint32_t flags;
    bool changed; /* something that a reader or a model sees differently was changed */
};

/* Removes, in place, hidden and bidi characters and floods of marks; what tag characters and variation
 * selectors spell goes to `hidden`. `raw_size` is the place behind the last point. */
bool text_strip(struct points *text, struct points *hidden, struct text_trace *trace);

/* NFKC from `text` into `out`. */
bool text_compose(const struct unicode *unicode, const struct points *text, struct points *out,
                  struct text_trace *trace);

/* Folds, in place, look-alikes in words that mix scripts. */
void text_unmix(struct unicode *unicode, struct points *text, struct text_trace *trace);

/* Joins, in place, single letters that are kept apart, when at least `least` stand in a row; capitals with
 * points (U.S.S.R) only if asked for. */
void text_join_letters(struct points *text, size_t least, bool acronyms_too, struct text_trace *trace);

/* Appends to `found` what runs of base64, hexadecimal or percent encoding in `text` say. */
bool text_decode_runs(const struct points *text, struct points *found, struct text_trace *trace);

/* Flags control-token strings of the Gemma family. */
void text_find_control_tokens(const struct points *text, struct text_trace *trace);

/* Reads, in place, digits and signs that stand for letters in tokens that mix them with letters. */
void text_read_leet(struct points *text);

/* For the model: undoes, in place, leet and odd case where the text shows that they are meant. */
void text_spell_plainly(struct points *text, struct text_trace *trace);

/* Case, look-alikes, leet and what is still invisible: the view for lists, in place. */
void text_fold_for_lists(struct unicode *unicode, struct points *text);

#endif
