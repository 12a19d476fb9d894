/* SPDX-License-Identifier: Apache-2.0
 *
 * The order of the steps: decode the bytes, take out what is hidden (and keep what it spelled), compose,
 * unmix, look for encoded runs, join, spell plainly, write the views. `clean` is written only when something
 * changed that a model would see; a second view costs a second reading.
 */
#include "decode/worker/text.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/utf8.h"
#include "decode/worker/text_steps.h"

enum {
    MAX_GROWTH = 4,      /* a view may have so many times the code points of the text … */
    FREE_GROWTH = 65536, /* … and so many more: the longest NFKC mapping yields 18 */
    JOIN_CLEAN = 4,      /* single letters in a row that are joined for the model … */
    JOIN_FOLDED = 3,     /* … and for the lists */
    REPLACEMENT = 0xfffd,
};

struct text_work {
    struct points points, composed, folded, hidden, encoded;
    struct text_trace trace;
};

static void work_deinit(struct text_work *work) {
    points_deinit(&work->points);
    points_deinit(&work->composed);
    points_deinit(&work->folded);
    points_deinit(&work->hidden);
    points_deinit(&work->encoded);
}

bool points_add(struct points *points, uint32_t code, uint32_t at) {
    if (points->count == points->capacity) {
        size_t capacity = points->capacity == 0 ? 64 : points->capacity + points->capacity / 2;
        capacity = capacity > points->limit ? points->limit : capacity;
        struct point *grown = capacity > points->count ? realloc(points->p, capacity * sizeof *grown) : NULL;
        if (grown == NULL) {
            return false;
        }
        points->p = grown;
        points->capacity = capacity;
    }
    points->p[points->count++] = (struct point){code, at};
    return true;
}

void points_deinit(struct points *points) {
    free(points->p);
    *points = (struct points){0};
}

static bool points_reserve(struct points *points, size_t capacity) {
    points->p = malloc((capacity > 0 ? capacity : 1) * sizeof *points->p);
    points->capacity = points->p == NULL ? 0 : capacity;
    return points->p != NULL;
}

static int too_large(struct error *reterr) {
    return error_set(reterr, DECODE_E_TEXT_TOO_LARGE,
                     "the text needs more memory to normalise than its limit allows");
}

/* Bytes of the longest start of a sequence that could have become well-formed: what one U+FFFD stands for. */
static size_t bad_part(const uint8_t *bytes, size_t size) {
    static const uint8_t tails[3][2] = {{0xbf, 0xbf}, {0xbf, 0x80}, {0x80, 0x80}};
    size_t best = 1;
    for (size_t have = 2; have <= 3 && have <= size; have++) {
        /* A prefix is good when some ending makes it well-formed. */
        for (size_t t = 0; t < 3; t++) {
            uint8_t whole[4];
            uint32_t code = 0;
            memcpy(whole, bytes, have);
            memcpy(whole + have, tails[t], have == 2 ? 2 : 1);
            if (utf8_decode(whole, 4, &code) > have) {
                best = have;
            }
        }
    }
    return best;
}

/* The raw view: as sent, or with each bad part replaced. Offsets of everything else count in this view. */
static int write_raw(const uint8_t *bytes, size_t size, bool replace_invalid, struct sink *out,
                     struct text_view *ret, struct text_trace *trace, struct error *reterr) {
    size_t bad = 0;
    bool valid = utf8_valid(bytes, size, &bad);
    if (!valid && !replace_invalid) {
        return error_set(reterr, DECODE_E_INVALID_UTF8, "the text is not valid UTF-8 at byte %zu", bad);
    }
    size_t replaced = size;
    if (!valid) {
        trace->flags |= FLAG_INVALID_UTF8;
        for (size_t i = bad; i < size;) {
            uint32_t code = 0;
            size_t length = utf8_decode(bytes + i, size - i, &code);
            size_t part = length > 0 ? length : bad_part(bytes + i, size - i);
            replaced = length > 0 ? replaced : replaced - part + 3;
            i += part;
        }
    }
    char *text = sink_take(out, replaced);
    if (text == NULL || replaced > UINT32_MAX) {
        return too_large(reterr);
    }
    size_t to = 0;
    for (size_t i = valid ? size : 0; i < size;) {
        uint32_t code = 0;
        size_t length = utf8_decode(bytes + i, size - i, &code);
        size_t part = length > 0 ? length : bad_part(bytes + i, size - i);
        to += utf8_encode(length > 0 ? code : REPLACEMENT, text + to);
        i += part;
    }
    if (valid && size > 0) {
        memcpy(text, bytes, size);
    }
    *ret = (struct text_view){.text = text, .size = replaced};
    return 0;
}

static bool read_points(const struct text_view *raw, struct points *points) {
    if (!points_reserve(points, raw->size)) {
        return false;
    }
    points->limit = raw->size;
    for (size_t i = 0; i < raw->size;) {
        uint32_t code = (uint8_t)raw->text[i];
        size_t length = code < 0x80 ? 1 : utf8_decode(raw->text + i, raw->size - i, &code);
        points->p[points->count++] = (struct point){code, (uint32_t)i};
        i += length > 0 ? length : 1;
    }
    return true;
}

static size_t encoded_length(uint32_t code) {
    return code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
}

/* Text and map of a view into the sink; false when it does not fit. */
static bool write_view(const struct points *points, size_t raw_size, struct sink *out,
                       struct text_view *ret) {
    size_t size = 0;
    for (size_t i = 0; i < points->count; i++) {
        size += encoded_length(points->p[i].code);
    }
    char *text = sink_take(out, size);
    uint32_t *map = sink_take(out, (size + 1) * sizeof *map);
    if (text == NULL || map == NULL) {
        return false;
    }
    size_t to = 0;
    for (size_t i = 0; i < points->count; i++) {
        size_t length = utf8_encode(points->p[i].code, text + to);
        for (size_t k = 0; k < length; k++) {
            map[to + k] = points->p[i].at;
        }
        to += length;
    }
    map[to] = (uint32_t)raw_size;
    *ret = (struct text_view){.text = text, .size = to, .map = map};
    return true;
}

/* Both are ordered by place; so is the result. */
static bool merge_hidden(const struct points *a, const struct points *b, struct points *out) {
    size_t i = 0;
    size_t k = 0;
    bool last_a = true;
    while (i < a->count || k < b->count) {
        bool take_a = k == b->count || (i < a->count && a->p[i].at <= b->p[k].at);
        struct point point = take_a ? a->p[i++] : b->p[k++];
        if (out->count > 0 && take_a != last_a && !points_add(out, '\n', point.at)) {
            return false;
        }
        last_a = take_a;
        if (!points_add(out, point.code, point.at)) {
            return false;
        }
    }
    return true;
}

static bool is_plain(const struct text_view *raw) {
    unsigned char any = 0;
    for (size_t i = 0; i < raw->size; i++) {
        any |= (unsigned char)raw->text[i];
    }
    return any < 0x80;
}

static bool normalise(struct unicode *unicode, const struct text_view *raw, struct text_work *work) {
    size_t limit = raw->size * MAX_GROWTH + FREE_GROWTH;
    work->composed.limit = work->folded.limit = work->hidden.limit = work->encoded.limit = limit;
    if (!read_points(raw, &work->points)) {
        return false;
    }
    text_find_control_tokens(&work->points, &work->trace);
    if (is_plain(raw)) { /* nothing to strip, compose or unmix in ASCII */
        work->composed = work->points;
        work->points = (struct points){0};
    } else {
        if (!text_strip(&work->points, &work->hidden, &work->trace) ||
            !points_reserve(&work->composed, work->points.count) ||
            !text_compose(unicode, &work->points, &work->composed, &work->trace)) {
            return false;
        }
        points_deinit(&work->points);
        text_unmix(unicode, &work->composed, &work->trace);
        text_find_control_tokens(&work->composed, &work->trace);
    }
    work->folded.limit = work->composed.count;
    if (!text_decode_runs(&work->composed, &work->encoded, &work->trace) ||
        !points_reserve(&work->folded, work->composed.count)) {
        return false;
    }
    if (work->composed.count > 0) {
        memcpy(work->folded.p, work->composed.p, work->composed.count * sizeof *work->folded.p);
    }
    work->folded.count = work->composed.count;
    text_join_letters(&work->composed, JOIN_CLEAN, false, &work->trace);
    text_spell_plainly(&work->composed, &work->trace);
    struct text_trace unseen = {0};
    text_join_letters(&work->folded, JOIN_FOLDED, true, &unseen);
    text_fold_for_lists(unicode, &work->folded);
    return true;
}

static bool write_views(struct text_work *work, struct sink *out, struct canonical_text *ret) {
    size_t raw_size = ret->raw.size;
    struct points both = {.limit = work->hidden.limit};
    if (work->trace.changed && !write_view(&work->composed, raw_size, out, &ret->clean)) {
        return false;
    }
    bool ok = merge_hidden(&work->hidden, &work->encoded, &both) &&
              (both.count == 0 || write_view(&both, raw_size, out, &ret->hidden));
    points_deinit(&both);
    return ok && write_view(&work->folded, raw_size, out, &ret->folded);
}

int text_canonicalise(struct unicode *unicode, const uint8_t *bytes, size_t size, bool replace_invalid,
                      struct sink *out, struct canonical_text *ret, uint32_t *ret_flags,
                      struct error *reterr) {
    CLEANUP(work_deinit) struct text_work work = {0};
    struct canonical_text text = {0};
    int rc = write_raw(bytes, size, replace_invalid, out, &text.raw, &work.trace, reterr);
    if (rc != 0) {
        return rc;
    }
    if (!normalise(unicode, &text.raw, &work) || !write_views(&work, out, &text)) {
        return too_large(reterr);
    }
    *ret = text;
    *ret_flags = work.trace.flags;
    return 0;
}
