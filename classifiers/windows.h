/* SPDX-License-Identifier: Apache-2.0
 *
 * Long text as overlapping windows of tokens. Each view of a text is tokenised once, without control tokens,
 * and cut; the next window begins 75 % further on. A cut moves back by at most 5 % of a window to the end of
 * a sentence, else to white space. When there are more windows than may be judged, the first and the last are
 * taken before the others, and the coverage says how much that was. Private to classifiers/.
 */
#ifndef BUCKLER_CLASSIFIERS_WINDOWS_H
#define BUCKLER_CLASSIFIERS_WINDOWS_H

#include "classifiers/support.h"

struct text_window {
    const uint32_t *tokens; /* in the arena */
    uint32_t count;
    uint32_t number; /* in its view, from 1 */
    uint16_t part;
    enum view_kind view;
    const uint32_t
        *offsets;     /* [count + 1] where its tokens begin, and where it ends, in the text that was cut */
    const char *text; /* its bytes in that text, which is the view (or a field of it) */
    size_t text_size;
    uint32_t span_start, span_end; /* raw bytes */
};

struct windows_options {
    const struct engine_model *model;
    uint32_t size; /* tokens, at least 16 */
    uint32_t most; /* windows of one view */
    bool as_field; /* white space around the text is dropped, and one space put in front, as in a template */
};

struct text_windows {
    struct text_window *items; /* in the arena; part by part, view by view */
    size_t count;
};

/* Cuts all views of all judged text parts and fills task->coverage. */
int windows_cut(struct classifier_task *task, const struct windows_options *options, struct text_windows *ret,
                struct error *reterr) MUST_CHECK;

/* The part of a window from token `first` on; not for fields. */
struct text_window window_stretch(const struct classifier_task *task, const struct text_window *window,
                                  uint32_t first, uint32_t count);

/* The score of a part and category that scores_begin made. */
struct score *scores_find(const struct classifier_task *task, uint16_t part, uint16_t category);

/* Keeps the worst window: its value, raw number, place and evidence. */
void score_take(struct score *score, int32_t ppm, double raw, const struct text_window *window);

/* First token of each window and how many, for `count` tokens; `is_end(user, i, want_sentence)` tells whether
 * a cut before token i is a good one. Pure, for tests. Returns the number of windows; fills at most `most` of
 * them. */
size_t windows_plan(uint32_t count, uint32_t size,
                    bool (*is_end)(const void *user, uint32_t i, bool sentence), const void *user,
                    uint32_t starts[], uint32_t counts[], size_t most);

#endif
