/* SPDX-License-Identifier: Apache-2.0
 *
 * Compatibility forms (full-width, styled, circled letters …) to ordinary ones, and look-alikes in words that
 * mix scripts to the script of the word.
 */
#include "base/vocabulary.h"
#include "decode/worker/text_steps.h"

/* Letters and digits in disguise. Other compatibility characters (ellipsis, no-break space, trade mark,
 * units, ligatures, half-width Katakana, Arabic presentation forms) are ordinary typography and raise no
 * flag. */
static bool is_disguise(uint32_t c) {
    static const struct {
        uint32_t first, last;
    } ranges[] = {
        {0x02b0, 0x02b8}, {0x02e0, 0x02e4},   {0x1d2c, 0x1d6a},   {0x1d78, 0x1d78},   {0x1d9b, 0x1dbf},
        {0x2071, 0x207f}, {0x2090, 0x209c},   {0x210a, 0x2115},   {0x2119, 0x211d},   {0x2124, 0x2124},
        {0x2128, 0x2128}, {0x212c, 0x213a},   {0x2145, 0x2149},   {0x2460, 0x24ea},   {0x2c7c, 0x2c7d},
        {0xff10, 0xff5a}, {0x1d400, 0x1d7ff}, {0x1f100, 0x1f14f}, {0x1fbf0, 0x1fbf9},
    };
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        if (c >= ranges[i].first && c <= ranges[i].last) {
            return true;
        }
    }
    return false;
}

/* White letters on black squares and discs have no compatibility mapping; they read as letters all the same.
 * Single ones are ordinary emoji (blood groups, parking). */
static uint32_t black_letter(uint32_t c) {
    if (c >= 0x1f150 && c <= 0x1f169) {
        return 'A' + (c - 0x1f150);
    }
    return c >= 0x1f170 && c <= 0x1f189 ? 'A' + (c - 0x1f170) : 0;
}

static bool says_something(uint32_t c) {
    return unicode_is_letter(c) || unicode_is_digit(c) || unicode_is_mark(c);
}

static bool add_segment(const struct unicode *unicode, const struct points *text, size_t first, size_t count,
                        struct points *out, struct text_trace *trace) {
    uint32_t in[UNICODE_SEGMENT_POINTS];
    uint32_t composed[UNICODE_SEGMENT_OUT];
    bool canonical = false;
    for (size_t i = 0; i < count; i++) {
        in[i] = text->p[first + i].code;
    }
    size_t n = unicode_nfkc(unicode, in, count, composed, &canonical);
    bool same = n == count;
    for (size_t i = 0; i < n && same; i++) {
        same = composed[i] == in[i];
    }
    if (same) {
        for (size_t i = 0; i < count; i++) {
            if (!points_add(out, in[i], text->p[first + i].at)) {
                return false;
            }
        }
        return true;
    }
    for (size_t i = 0; i < n; i++) {
        /* All of it came from the whole segment; a span that ends behind it ends where the next one starts.
         */
        if (!points_add(out, composed[i], text->p[first].at)) {
            return false;
        }
        /* Spaces, dots and the like may come out without making a second view worth its price. */
        trace->changed |= says_something(composed[i]) && in[0] != 0x2122;
    }
    for (size_t i = 0; i < count; i++) {
        if (!canonical && is_disguise(in[i])) {
            trace->flags |= FLAG_COMPATIBILITY;
        }
    }
    return true;
}

static bool add_black_letter(const struct points *text, size_t i, struct points *out,
                             struct text_trace *trace) {
    trace->flags |= FLAG_COMPATIBILITY;
    trace->changed = true;
    return points_add(out, black_letter(text->p[i].code), text->p[i].at);
}

bool text_compose(const struct unicode *unicode, const struct points *text, struct points *out,
                  struct text_trace *trace) {
    for (size_t i = 0; i < text->count;) {
        uint32_t c = text->p[i].code;
        size_t end = i + 1;
        bool ok = true;
        if (black_letter(c) != 0 && ((end < text->count && black_letter(text->p[end].code) != 0) ||
                                     (i > 0 && black_letter(text->p[i - 1].code) != 0))) {
            ok = add_black_letter(text, i, out, trace);
        } else {
            while (end < text->count && end - i < UNICODE_SEGMENT_POINTS &&
                   !unicode_starts_segment(unicode, text->p[end].code)) {
                end++;
            }
            ok = end == i + 1 && (c < 0x80 || unicode_is_inert(unicode, c))
                     ? points_add(out, c, text->p[i].at)
                     : add_segment(unicode, text, i, end - i, out, trace);
        }
        if (!ok) {
            return false;
        }
        i = end;
    }
    return true;
}

/* ---- words that mix scripts ---- */

static uint32_t cyrillic_twin(uint32_t c) {
    static const struct {
        char latin;
        uint16_t cyrillic;
    } twins[] = {{'a', 0x430}, {'c', 0x441}, {'e', 0x435}, {'i', 0x456}, {'j', 0x458},
                 {'o', 0x43e}, {'p', 0x440}, {'s', 0x455}, {'x', 0x445}, {'y', 0x443},
                 {'A', 0x410}, {'B', 0x412}, {'C', 0x421}, {'E', 0x415}, {'H', 0x41d},
                 {'I', 0x406}, {'J', 0x408}, {'K', 0x41a}, {'M', 0x41c}, {'O', 0x41e},
                 {'P', 0x420}, {'S', 0x405}, {'T', 0x422}, {'X', 0x425}, {'Y', 0x423}};
    for (size_t i = 0; i < sizeof twins / sizeof *twins; i++) {
        if (c == (uint32_t)twins[i].latin) {
            return twins[i].cyrillic;
        }
    }
    return 0;
}

struct word {
    size_t first, end;
    size_t letters, latin, cyrillic, alike; /* `alike`: letters of scripts that have Latin look-alikes */
    size_t twins;                           /* of the alike ones: how many have a Latin twin */
    size_t back;                            /* of the Latin ones: how many have a Cyrillic twin */
};

static bool in_word(uint32_t c) {
    return c < 0x80 ? unicode_script(c) == SCRIPT_LATIN || (c >= '0' && c <= '9')
                    : unicode_is_letter(c) || unicode_is_mark(c) || unicode_is_digit(c);
}

static bool is_alike(enum script script) {
    return script == SCRIPT_CYRILLIC || script == SCRIPT_GREEK || script == SCRIPT_LOOKALIKE;
}

static void measure(struct unicode *unicode, const struct points *text, struct word *word) {
    for (size_t i = word->first; i < word->end; i++) {
        uint32_t c = text->p[i].code;
        enum script script = unicode_script(c);
        word->letters += script != SCRIPT_NEUTRAL;
        if (script == SCRIPT_LATIN) {
            word->latin++;
            word->back += cyrillic_twin(c) != 0;
        } else if (is_alike(script)) {
            word->alike++;
            word->cyrillic += script == SCRIPT_CYRILLIC;
            word->twins += unicode_ascii_twin(unicode, c) != 0;
        }
    }
}

static void to_latin(struct unicode *unicode, struct points *text, const struct word *word,
                     struct text_trace *trace) {
    for (size_t i = word->first; i < word->end; i++) {
        uint32_t twin =
            is_alike(unicode_script(text->p[i].code)) ? unicode_ascii_twin(unicode, text->p[i].code) : 0;
        if (twin != 0) {
            text->p[i].code = twin;
            trace->flags |= FLAG_MIXED_SCRIPT;
            trace->changed = true;
        }
    }
}

static void to_cyrillic(struct points *text, const struct word *word, struct text_trace *trace) {
    for (size_t i = word->first; i < word->end; i++) {
        uint32_t twin = cyrillic_twin(text->p[i].code);
        if (twin != 0) {
            text->p[i].code = twin;
            trace->flags |= FLAG_MIXED_SCRIPT;
            trace->changed = true;
        }
    }
}

static void unmix_word(struct unicode *unicode, struct points *text, struct word *word,
                       struct text_trace *trace) {
    measure(unicode, text, word);
    if (word->letters < 3 || word->alike == 0) {
        return;
    }
    if (word->latin == 0) {
        /* Greek inside Cyrillic and the like: only when all of it reads as Latin. */
        if (word->cyrillic > 0 && word->cyrillic < word->alike && word->twins == word->letters) {
            to_latin(unicode, text, word, trace);
        }
        return;
    }
    bool all_latin = word->twins == word->alike;
    bool all_cyrillic = word->cyrillic == word->alike && word->back == word->latin;
    if (all_cyrillic && (!all_latin || word->cyrillic > word->latin)) {
        to_cyrillic(text, word, trace);
    } else {
        to_latin(unicode, text, word, trace);
    }
}

void text_unmix(struct unicode *unicode, struct points *text, struct text_trace *trace) {
    size_t i = 0;
    while (i < text->count) {
        struct word word = {.first = i};
        bool foreign = false;
        while (i < text->count && in_word(text->p[i].code)) {
            foreign |= text->p[i].code >= 0x80;
            i++;
        }
        word.end = i;
        if (foreign) {
            unmix_word(unicode, text, &word, trace);
        }
        i += word.end == word.first;
    }
}
