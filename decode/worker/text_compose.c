/* SPDX-License-Identifier: Apache-2.0
 *
 * Compatibility forms (full-width, styled, circled letters …) to ordinary ones, and look-alikes in words that
 * mix scripts to the script of the word.
 */
#include "base/vocabulary.h"
#include "decode/worker/text_steps.h"

/* What composing a character means to a reader. Most compatibility characters are ordinary typography
 * (ellipsis, no-break space, trade mark, superscript two, circled numbers, units): their plain form is not
 * worth a second view. */
enum form { FORM_ORDINARY, FORM_LETTER, FORM_DISGUISE };

static enum form form_of(uint32_t c) {
    static const struct {
        uint32_t first, last;
        enum form form;
    } ranges[] = {
        {0x02b0, 0x02b8, FORM_DISGUISE},   {0x02e0, 0x02e4, FORM_DISGUISE},
        {0x1d2c, 0x1d6a, FORM_DISGUISE},   {0x1d78, 0x1d78, FORM_DISGUISE},
        {0x1d9b, 0x1dbf, FORM_DISGUISE},   {0x2071, 0x2071, FORM_DISGUISE},
        {0x207f, 0x207f, FORM_DISGUISE},   {0x2090, 0x209c, FORM_DISGUISE},
        {0x210a, 0x2115, FORM_DISGUISE},   {0x2119, 0x211d, FORM_DISGUISE},
        {0x2124, 0x2124, FORM_DISGUISE},   {0x2128, 0x2128, FORM_DISGUISE},
        {0x212a, 0x212a, FORM_DISGUISE},   {0x212c, 0x213a, FORM_DISGUISE},
        {0x2145, 0x2149, FORM_DISGUISE},   {0x249c, 0x24e9, FORM_DISGUISE},
        {0x2c7c, 0x2c7d, FORM_DISGUISE},   {0xfb00, 0xfb4f, FORM_LETTER},
        {0xfb50, 0xfdff, FORM_LETTER},     {0xfe70, 0xfefc, FORM_LETTER},
        {0xff10, 0xff19, FORM_DISGUISE},   {0xff21, 0xff3a, FORM_DISGUISE},
        {0xff41, 0xff5a, FORM_DISGUISE},   {0xff66, 0xff9f, FORM_LETTER},
        {0x1d400, 0x1d7ff, FORM_DISGUISE}, {0x1f110, 0x1f14f, FORM_DISGUISE},
        {0x1fbf0, 0x1fbf9, FORM_DISGUISE},
    };
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        if (c >= ranges[i].first && c <= ranges[i].last) {
            return ranges[i].form;
        }
    }
    return FORM_ORDINARY;
}

/* Characters that NFKC would take apart although everybody writes them so: the Thai and Lao vowel am, and the
 * letters of Hangul that stand alone (laughter, abbreviations). */
static bool is_kept(uint32_t c) {
    return c == 0xe33 || c == 0xeb3 || (c >= 0x3131 && c <= 0x318e) || (c >= 0xffa1 && c <= 0xffdc);
}

static bool is_lone_consonant(uint32_t c) {
    return c >= 0x3131 && c <= 0x314e;
}

static bool is_lone_vowel(uint32_t c) {
    return c >= 0x314f && c <= 0x3163;
}

/* Letters on badges: white ones on black squares and discs, which have no compatibility mapping, and two that
 * are emoji as well. Inside a word they read as letters; alone they are ordinary emoji (blood groups,
 * parking). */
static uint32_t badge_letter(uint32_t c) {
    if (c >= 0x1f150 && c <= 0x1f169) {
        return 'A' + (c - 0x1f150);
    }
    if (c >= 0x1f170 && c <= 0x1f189) {
        return 'A' + (c - 0x1f170);
    }
    return c == 0x2139 ? 'i' : c == 0x24c2 ? 'M' : 0;
}

static bool is_style(uint32_t c) {
    return c == 0xfe0e || c == 0xfe0f;
}

static bool says_something(uint32_t c) {
    return unicode_is_letter(c) || unicode_is_digit(c) || unicode_is_mark(c);
}

static bool add_segment(const struct unicode *unicode, const struct points *text, size_t first, size_t count,
                        struct points *out, struct text_trace *trace) {
    uint32_t in[UNICODE_SEGMENT_POINTS];
    uint32_t composed[UNICODE_SEGMENT_OUT];
    for (size_t i = 0; i < count; i++) {
        in[i] = text->p[first + i].code;
    }
    size_t n = unicode_nfkc(unicode, in, count, composed);
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
        /* Letters and marks that were apart. */
        trace->changed |= count > 1 && says_something(composed[i]);
    }
    for (size_t i = 0; i < count; i++) {
        enum form form = form_of(in[i]);
        trace->changed |= form != FORM_ORDINARY;
        trace->flags |= form == FORM_DISGUISE ? FLAG_COMPATIBILITY : 0;
    }
    return true;
}

/* A kept character, or a consonant and a vowel of Hangul that stand side by side and make a syllable. Returns
 * the points used. */
static size_t take_kept(const struct unicode *unicode, const struct points *text, size_t i,
                        struct points *out, struct text_trace *trace, bool *ok) {
    const struct point *p = text->p + i;
    if (i + 1 < text->count && is_lone_consonant(p[0].code) && is_lone_vowel(p[1].code)) {
        uint32_t pair[2] = {p[0].code, p[1].code};
        uint32_t composed[UNICODE_SEGMENT_OUT];
        if (unicode_nfkc(unicode, pair, 2, composed) == 1) {
            trace->changed = true;
            *ok = points_add(out, composed[0], p[0].at);
            return 2;
        }
    }
    *ok = points_add(out, p[0].code, p[0].at);
    return 1;
}

static bool reads_as_letter(const struct points *text, size_t i) {
    return i < text->count && (badge_letter(text->p[i].code) != 0 || unicode_is_letter(text->p[i].code));
}

/* A badge at `i`: a letter when a letter stands beside it. Returns the points used: its style selector goes
 * with it. */
static size_t take_badge(const struct points *text, size_t i, struct points *out, struct text_trace *trace,
                         bool *ok) {
    bool styled = i + 1 < text->count && is_style(text->p[i + 1].code);
    bool behind = i >= 1 && (reads_as_letter(text, i - 1) ||
                             (i >= 2 && is_style(text->p[i - 1].code) && reads_as_letter(text, i - 2)));
    if (!behind && !reads_as_letter(text, i + 1 + styled)) {
        *ok = points_add(out, text->p[i].code, text->p[i].at);
        return 1;
    }
    trace->flags |= FLAG_COMPATIBILITY;
    trace->changed = true;
    *ok = points_add(out, badge_letter(text->p[i].code), text->p[i].at);
    return 1 + styled;
}

bool text_compose(const struct unicode *unicode, const struct points *text, struct points *out,
                  struct text_trace *trace) {
    bool ok = true;
    for (size_t i = 0; i < text->count && ok;) {
        uint32_t c = text->p[i].code;
        size_t end = i + 1;
        if (is_kept(c)) {
            end = i + take_kept(unicode, text, i, out, trace, &ok);
        } else if (badge_letter(c) != 0) {
            end = i + take_badge(text, i, out, trace, &ok);
        } else {
            while (end < text->count && end - i < UNICODE_SEGMENT_POINTS && !is_kept(text->p[end].code) &&
                   !unicode_starts_segment(unicode, text->p[end].code)) {
                end++;
            }
            ok = end == i + 1 && (c < 0x80 || unicode_is_inert(unicode, c))
                     ? points_add(out, c, text->p[i].at)
                     : add_segment(unicode, text, i, end - i, out, trace);
        }
        i = end;
    }
    return ok;
}

/* ---- words that mix scripts ---- */

static uint32_t cyrillic_twin(uint32_t c) {
    static const struct {
        uint8_t latin;
        uint16_t cyrillic;
    } twins[] = {{'a', 0x430}, {'c', 0x441},  {'e', 0x435}, {'i', 0x456}, {'j', 0x458}, {'o', 0x43e},
                 {'p', 0x440}, {'s', 0x455},  {'x', 0x445}, {'y', 0x443}, {'A', 0x410}, {'B', 0x412},
                 {'C', 0x421}, {'E', 0x415},  {'H', 0x41d}, {'I', 0x406}, {'J', 0x408}, {'K', 0x41a},
                 {'M', 0x41c}, {'O', 0x41e},  {'P', 0x420}, {'S', 0x405}, {'T', 0x422}, {'X', 0x425},
                 {'Y', 0x423}, {0xcb, 0x401}, {0xeb, 0x451}};
    for (size_t i = 0; i < sizeof twins / sizeof *twins; i++) {
        if (c == twins[i].latin) {
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
    /* Towards the script that takes the whole word; where both or neither do, towards that of most letters.
     */
    bool all_latin = word->twins == word->alike;
    bool all_cyrillic = word->cyrillic == word->alike && word->back == word->latin;
    bool mostly_cyrillic = word->cyrillic > word->latin;
    if (all_latin == all_cyrillic ? mostly_cyrillic : all_cyrillic) {
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
