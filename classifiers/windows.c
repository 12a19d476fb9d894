/* SPDX-License-Identifier: Apache-2.0 */
#include "classifiers/windows.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"

/* ---- where to cut ---- */

static uint32_t cut_back(uint32_t at, uint32_t lowest, bool (*is_end)(const void *, uint32_t, bool),
                         const void *user) {
    for (unsigned sentence = 2; sentence-- > 0;) {
        for (uint32_t i = at; i > lowest; i--) {
            if (is_end(user, i, sentence == 1)) {
                return i;
            }
        }
    }
    return at;
}

size_t windows_plan(uint32_t count, uint32_t size,
                    bool (*is_end)(const void *user, uint32_t i, bool sentence), const void *user,
                    uint32_t starts[], uint32_t counts[], size_t most) {
    uint32_t slack = size / 20;
    uint32_t stride = size - size / 4;
    size_t windows = 0;
    uint32_t start = 0;
    while (start < count) {
        bool last = count - start <= size;
        uint32_t end = last ? count : cut_back(start + size, start + size - slack - 1, is_end, user);
        if (windows < most) {
            starts[windows] = start;
            counts[windows] = end - start;
        }
        windows++;
        if (last) {
            break;
        }
        uint32_t next = cut_back(start + stride, start + stride - slack - 1, is_end, user);
        /* The last window is a full one: what ends a text shall not be read without what comes before it. */
        start = count - next <= size ? count - size : next;
    }
    return windows;
}

struct tokens {
    const char *text;
    size_t size;
    uint32_t *ids, *offsets;
    size_t count;
};

static void tokens_deinit(struct tokens *t) {
    free(t->ids);
    free(t->offsets);
}

static bool is_space(char c) {
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

/* A cut before token i: after the end of a sentence, or at white space. */
static bool is_end(const void *user, uint32_t i, bool sentence) {
    static const char *const wide_ends[] = {"\xe3\x80\x82", "\xef\xbc\x81", "\xef\xbc\x9f"}; /* 。！？ */
    const struct tokens *t = user;
    size_t at = t->offsets[i];
    if (at == 0) {
        return false;
    }
    char before = t->text[at - 1];
    if (!sentence) {
        return is_space(t->text[at]) || is_space(before);
    }
    for (size_t k = 0; k < sizeof wide_ends / sizeof wide_ends[0] && at >= 3; k++) {
        if (memcmp(t->text + at - 3, wide_ends[k], 3) == 0) {
            return true;
        }
    }
    return before == '\n' || t->text[at] == '\n' ||
           (is_space(t->text[at]) && (before == '.' || before == '!' || before == '?'));
}

/* ---- one view ---- */

struct cutting {
    struct classifier_task *task;
    const struct windows_options *options;
    struct text_windows *windows;
    size_t capacity;
};

/* The memory of a request has an end, and only long text comes near it. */
static int too_large(struct error *reterr) {
    return error_set(reterr, CLASSIFIER_E_TOO_LARGE,
                     "the text has more tokens than the memory of a request holds");
}

static int add_window(struct cutting *c, const struct text_window *window) {
    if (c->windows->count == c->capacity) {
        size_t capacity = c->capacity == 0 ? 16 : 2 * c->capacity;
        struct text_window *grown = arena_new(c->task->arena, struct text_window, capacity);
        if (grown == NULL) {
            return -ENOMEM;
        }
        if (c->windows->count > 0) {
            memcpy(grown, c->windows->items, c->windows->count * sizeof *grown);
        }
        c->windows->items = grown;
        c->capacity = capacity;
    }
    c->windows->items[c->windows->count++] = *window;
    return 0;
}

/* The text of a field of a template: as the models were shown it in training. `ret_skip` is how far its bytes
 * are ahead of the view's. */
static const char *field_text(struct arena *arena, const struct text_view *view, size_t *ret_size,
                              size_t *ret_skip) {
    size_t from = 0;
    size_t to = view->size;
    while (from < to && is_space(view->text[from])) {
        from++;
    }
    while (to > from && is_space(view->text[to - 1])) {
        to--;
    }
    char *text = arena_calloc(arena, to - from + 2, 1);
    *ret_skip = from;
    *ret_size = to > from ? to - from + 1 : 0;
    if (text != NULL) {
        text[0] = ' ';
        memcpy(text + 1, view->text + from, to - from);
    }
    return text;
}

/* Which of too many windows are taken: the first most − 1 and the last. */
static size_t taken_number(size_t k, size_t windows, size_t most) {
    return k + 1 == most && most > 1 ? windows - 1 : k;
}

static uint64_t tokens_seen(const uint32_t starts[], const uint32_t counts[], size_t windows, size_t most) {
    uint64_t seen = 0;
    uint64_t end = 0;
    for (size_t k = 0; k < (windows < most ? windows : most); k++) {
        size_t w = windows <= most ? k : taken_number(k, windows, most);
        uint64_t from = starts[w] > end ? starts[w] : end;
        end = (uint64_t)starts[w] + counts[w];
        seen += end - from;
    }
    return seen;
}

static void note_coverage(struct classifier_coverage *coverage, uint64_t bytes, enum view_kind view,
                          uint64_t seen, uint64_t total) {
    uint64_t judged = seen == total ? bytes : (uint64_t)((double)bytes * ((double)seen / (double)total));
    if (seen < total && judged >= bytes && bytes > 0) {
        judged = bytes - 1;
    }
    coverage->bytes_judged = judged < coverage->bytes_judged ? judged : coverage->bytes_judged;
    if (view == VIEW_RAW) {
        coverage->tokens_judged = seen;
        coverage->tokens_total = total;
    }
}

static int cut_view(struct cutting *c, uint16_t part, enum view_kind kind, struct error *reterr) {
    const struct canonical_part *content = c->task->input->parts[part].content;
    const struct text_view *view = view_of(&content->text, kind);
    CLEANUP(tokens_deinit) struct tokens t = {.text = view->text, .size = view->size};
    size_t skip = 0;
    if (c->options->as_field) {
        t.text = field_text(c->task->arena, view, &t.size, &skip);
    }
    if (t.text == NULL) {
        return too_large(reterr);
    }
    int rc = t.size == 0 ? 0
                         : engine_tokenize(c->options->model, t.text, t.size, 0, &t.ids, &t.offsets, &t.count,
                                           reterr);
    if (rc != 0 || t.count == 0) {
        return rc;
    }
    size_t most = c->options->most;
    size_t bound = t.count / (c->options->size - c->options->size / 4 - c->options->size / 20 - 1) + 2;
    uint32_t *ids = arena_new(c->task->arena, uint32_t, t.count);
    uint32_t *offsets = arena_new(c->task->arena, uint32_t, t.count + 1);
    uint32_t *starts = arena_new(c->task->arena, uint32_t, bound);
    uint32_t *counts = arena_new(c->task->arena, uint32_t, bound);
    if (t.count > UINT32_MAX / 2 || ids == NULL || offsets == NULL || starts == NULL || counts == NULL) {
        return too_large(reterr);
    }
    memcpy(ids, t.ids, t.count * sizeof ids[0]);
    memcpy(offsets, t.offsets, t.count * sizeof offsets[0]);
    offsets[t.count] = (uint32_t)t.size;
    size_t windows = windows_plan((uint32_t)t.count, c->options->size, is_end, &t, starts, counts, bound);
    for (size_t k = 0; k < (windows < most ? windows : most) && rc == 0; k++) {
        size_t w = windows <= most ? k : taken_number(k, windows, most);
        size_t from = offsets[starts[w]];
        size_t to = offsets[starts[w] + counts[w]];
        struct text_window window = {.tokens = ids + starts[w],
                                     .count = counts[w],
                                     .number = (uint32_t)w + 1,
                                     .part = part,
                                     .view = kind,
                                     .offsets = offsets + starts[w],
                                     .text = t.text + from,
                                     .text_size = to - from};
        if (c->options->as_field) {
            from = from == 0 ? skip : skip + from - 1;
            to = skip + to - 1;
        }
        view_span(&content->text, view, from, to, &window.span_start, &window.span_end);
        rc = add_window(c, &window);
    }
    note_coverage(&c->task->coverage[part], content->bytes, kind, tokens_seen(starts, counts, windows, most),
                  t.count);
    return rc != 0 ? too_large(reterr) : 0;
}

int windows_cut(struct classifier_task *task, const struct windows_options *options, struct text_windows *ret,
                struct error *reterr) {
    struct cutting c = {.task = task, .options = options, .windows = ret};
    *ret = (struct text_windows){0};
    int rc = coverage_begin(task, reterr);
    for (size_t i = 0; i < task->input->part_count && rc == 0; i++) {
        for (int kind = VIEW_RAW; kind <= VIEW_HIDDEN && rc == 0; kind++) {
            if (part_is_judged(&task->input->parts[i], CONTENT_TEXT) &&
                view_of(&task->input->parts[i].content->text, (enum view_kind)kind) != NULL) {
                rc = cut_view(&c, (uint16_t)i, (enum view_kind)kind, reterr);
            }
        }
    }
    return rc;
}

struct text_window window_stretch(const struct classifier_task *task, const struct text_window *window,
                                  uint32_t first, uint32_t count) {
    const struct canonical_text *text = &task->input->parts[window->part].content->text;
    struct text_window stretch = *window;
    size_t from = window->offsets[first];
    size_t to = window->offsets[first + count];
    stretch.tokens += first;
    stretch.offsets += first;
    stretch.count = count;
    stretch.text = window->text + (from - window->offsets[0]);
    stretch.text_size = to - from;
    view_span(text, view_of(text, window->view), from, to, &stretch.span_start, &stretch.span_end);
    return stretch;
}

struct score *scores_find(const struct classifier_task *task, uint16_t part, uint16_t category) {
    for (size_t i = 0; i < task->score_count; i++) {
        if (task->scores[i].part == part && task->scores[i].category == category) {
            return &task->scores[i];
        }
    }
    return NULL;
}

void score_take(struct score *score, int32_t ppm, double raw, const struct text_window *window) {
    double best = 0.0;
    memcpy(&best, &score->raw_bits, sizeof best);
    if (score->has_raw && (ppm < score->ppm || (ppm == score->ppm && raw <= best))) {
        return;
    }
    score->ppm = ppm;
    score_set_raw(score, raw);
    score->span_start = window->span_start;
    score->span_end = window->span_end;
    (void)snprintf(score->evidence, sizeof score->evidence, "window %u of %s", window->number,
                   view_name(window->view));
}
