/* SPDX-License-Identifier: Apache-2.0
 *
 * Characters that a reader does not see. What spells something is decoded before it is dropped; what belongs
 * to the spelling of emoji or of Arabic, Indic and South-East Asian words stays.
 */
#include <string.h>

#include "base/utf8.h"
#include "base/vocabulary.h"
#include "decode/worker/text_steps.h"

enum {
    MAX_STACKED_MARKS = 4,
    MAX_PLAIN_MARKS = 8, /* vowel signs and the like, which do not stack */
    MAX_FLAG_TAGS = 8,   /* a sub-region's flag has five or six and the end */
    MAX_HIDDEN_GAP = 64, /* raw bytes between two hidden characters of one word */
    ZWSP = 0x200b,
    ZWNJ = 0x200c,
    ZWJ = 0x200d,
    BLACK_FLAG = 0x1f3f4,
    TAG_FIRST = 0xe0000,
    TAG_LAST = 0xe007f,
    BYTE_ORDER_MARK = 0xfeff,
};

struct strip {
    struct points *text;
    struct points *hidden;
    struct text_trace *trace;
    size_t kept; /* points of the result so far */
    unsigned stacked, plain;
    uint8_t pending[4]; /* bytes spelled by variation selectors, until they make a character */
    size_t pending_count;
    uint32_t pending_at;
    size_t visible; /* the next point that is seen, where it was looked for last */
    bool failed;
};

static bool is_bidi(uint32_t c) {
    return (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

static bool is_direction_mark(uint32_t c) {
    return c == 0x200e || c == 0x200f || c == 0x061c;
}

/* Hangul fillers: blank, but as wide as a letter; nobody types them by accident. */
static bool is_filler(uint32_t c) {
    return c == 0x115f || c == 0x1160 || c == 0x3164 || c == 0xffa0;
}

/* 0 … 255 for a variation selector, -1 for anything else. */
static int selector_byte(uint32_t c) {
    return c >= 0xfe00 && c <= 0xfe0f     ? (int)(c - 0xfe00)
           : c >= 0xe0100 && c <= 0xe01ef ? (int)(c - 0xe0100) + 16
                                          : -1;
}

static void hide(struct strip *s, uint32_t code, uint32_t at) {
    struct points *hidden = s->hidden;
    if (!unicode_is_printable(code) && code != '\n') {
        return;
    }
    if (hidden->count > 0 && at - hidden->p[hidden->count - 1].at > MAX_HIDDEN_GAP) {
        s->failed |= !points_add(hidden, '\n', at);
    }
    s->failed |= !points_add(hidden, code, at);
    s->trace->flags |= FLAG_TAG_CHARACTERS;
}

static void hide_byte(struct strip *s, int byte, uint32_t at) {
    uint32_t code = 0;
    if (s->pending_count == 0) {
        s->pending_at = at;
    }
    s->pending[s->pending_count++] = (uint8_t)byte;
    if (utf8_decode(s->pending, s->pending_count, &code) > 0) {
        hide(s, code, s->pending_at);
        s->pending_count = 0;
    } else if (s->pending_count == sizeof s->pending || s->pending[0] < 0xc2) {
        s->pending_count = 0;
    }
}

static uint32_t code_at(const struct strip *s, size_t i) {
    return i < s->text->count ? s->text->p[i].code : 0;
}

static uint32_t last_kept(const struct strip *s) {
    return s->kept > 0 ? s->text->p[s->kept - 1].code : 0;
}

/* The last kept character that is no mark and no selector: what a joiner or selector hangs on. */
static uint32_t base_kept(const struct strip *s) {
    for (size_t i = s->kept; i > 0 && s->kept - i < MAX_PLAIN_MARKS; i--) {
        uint32_t c = s->text->p[i - 1].code;
        if (!unicode_is_mark(c) && selector_byte(c) < 0) {
            return c;
        }
    }
    return 0;
}

static bool is_word(uint32_t c) {
    return unicode_is_letter(c) || unicode_is_digit(c) || unicode_is_mark(c);
}

static void keep(struct strip *s, size_t i) {
    s->text->p[s->kept++] = s->text->p[i];
}

static void drop(struct strip *s, uint32_t flag) {
    s->trace->flags |= flag;
    s->trace->changed = true;
}

/* The next character that a reader sees. The place moves forward only, so that looking ahead stays linear. */
static uint32_t next_seen(struct strip *s, size_t i) {
    s->visible = s->visible > i ? s->visible : i + 1;
    while (s->visible < s->text->count && unicode_is_ignorable(s->text->p[s->visible].code)) {
        s->visible++;
    }
    return code_at(s, s->visible);
}

/* An invisible character is a trick inside a word, or as one of several; a single one beside a space or a
 * sign is left over from somebody's editor. */
static void drop_invisible(struct strip *s, size_t i) {
    bool several =
        unicode_is_ignorable(code_at(s, i + 1)) || (i > 0 && unicode_is_ignorable(code_at(s, i - 1)));
    if (several || (is_word(last_kept(s)) && is_word(next_seen(s, i)))) {
        drop(s, FLAG_ZERO_WIDTH);
    }
}

static bool joiner_belongs(const struct strip *s, uint32_t c, size_t i) {
    uint32_t next = code_at(s, i + 1);
    uint32_t last = last_kept(s);
    if (last == ZWJ || last == ZWNJ || last == ZWSP) {
        return false;
    }
    enum script script = unicode_script(base_kept(s));
    if (c == ZWSP) {
        return script == SCRIPT_UNSPACED;
    }
    if (c == ZWJ && unicode_is_pictograph(base_kept(s))) {
        /* The second half of a family or profession; the sex signs are not pictographs in all data versions.
         */
        return unicode_is_pictograph(next) || next == 0x2640 || next == 0x2642;
    }
    return script == SCRIPT_JOINING || script == SCRIPT_UNSPACED;
}

static bool selector_belongs(const struct strip *s, int byte) {
    uint32_t base = last_kept(s);
    if (byte >= 16) {
        return unicode_is_ideograph(base);
    }
    /* Text and emoji style; standardised variants of ideographs, of mathematical signs, of Myanmar and
     * others. */
    return byte >= 14 ? unicode_is_emoji(base)
                      : unicode_is_ideograph(base) || (base >= 0x2190 && base < 0x2c00) ||
                            unicode_script(base) == SCRIPT_UNSPACED ||
                            unicode_script(base) == SCRIPT_JOINING || (base >= 0x3000 && base < 0x3020);
}

/* Number of points of a flag sequence's tags at `i` (with its end), 0 when it is none. */
static size_t flag_tags(const struct strip *s, size_t i) {
    size_t n = 0;
    if (i == 0 || code_at(s, i - 1) != BLACK_FLAG) {
        return 0;
    }
    for (; n < MAX_FLAG_TAGS; n++) {
        uint32_t c = code_at(s, i + n);
        uint32_t plain = c - TAG_FIRST;
        if (c == TAG_LAST) {
            return n >= 3 ? n + 1 : 0;
        }
        if (c < TAG_FIRST || !((plain >= 'a' && plain <= 'z') || (plain >= '0' && plain <= '9'))) {
            return 0;
        }
    }
    return 0;
}

static void take_mark(struct strip *s, size_t i) {
    unsigned *count = unicode_is_stacking(s->text->p[i].code) ? &s->stacked : &s->plain;
    if (++*count > (count == &s->stacked ? MAX_STACKED_MARKS : MAX_PLAIN_MARKS)) {
        drop(s, FLAG_COMBINING);
    } else {
        keep(s, i);
    }
}

/* A default-ignorable character at `i`; returns how many points it used up. */
static size_t take_ignorable(struct strip *s, size_t i) {
    struct point point = s->text->p[i];
    uint32_t c = point.code;
    int byte = selector_byte(c);
    if (byte >= 0) {
        bool run = selector_byte(code_at(s, i + 1)) >= 0 || (i > 0 && selector_byte(code_at(s, i - 1)) >= 0);
        if (!run && selector_belongs(s, byte)) {
            keep(s, i);
        } else {
            hide_byte(s, byte, point.at);
            drop(s, FLAG_ZERO_WIDTH);
        }
    } else if (c >= TAG_FIRST && c <= TAG_LAST) {
        size_t tags = flag_tags(s, i);
        if (tags > 0) {
            for (size_t k = 0; k < tags; k++) {
                keep(s, i + k);
            }
            return tags;
        }
        s->pending_count = 0; /* what is hidden stays in order */
        hide(s, c - TAG_FIRST, point.at);
        drop(s, FLAG_TAG_CHARACTERS);
    } else if (c == ZWJ || c == ZWNJ || c == ZWSP) {
        if (joiner_belongs(s, c, i)) {
            keep(s, i);
        } else {
            drop_invisible(s, i);
        }
    } else if (is_direction_mark(c) && !(is_word(last_kept(s)) && is_word(code_at(s, i + 1)))) {
        keep(s, i);
    } else if (c >= 0x180b && c <= 0x180f && unicode_script(last_kept(s)) == SCRIPT_JOINING) {
        keep(s, i); /* Mongolian variants */
    } else if (is_filler(c)) {
        drop(s, FLAG_ZERO_WIDTH);
    } else {
        drop_invisible(s, i);
    }
    return 1;
}

bool text_strip(struct points *text, struct points *hidden, struct text_trace *trace) {
    struct strip s = {.text = text, .hidden = hidden, .trace = trace};
    size_t i = text->count > 0 && text->p[0].code == BYTE_ORDER_MARK ? 1 : 0;
    while (i < text->count && !s.failed) {
        uint32_t c = text->p[i].code;
        size_t used = 1;
        if (c < 0xad) {
            s.stacked = s.plain = 0;
            keep(&s, i);
        } else if (is_bidi(c)) {
            drop(&s, FLAG_BIDI);
        } else if (unicode_is_ignorable(c)) {
            /* Does not end a pile of marks: invisible characters between them would defeat the limit. */
            used = take_ignorable(&s, i);
        } else if (unicode_is_mark(c)) {
            take_mark(&s, i);
        } else {
            s.stacked = s.plain = 0;
            keep(&s, i);
        }
        i += used;
    }
    text->count = s.kept;
    return !s.failed;
}
