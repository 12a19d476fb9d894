/* SPDX-License-Identifier: Apache-2.0
 *
 * The view that word lists are matched against. It may be rougher than what a model reads: a wrong guess here
 * spoils a word for the lists only. Words of one script keep their script, unless they are made of Latin
 * look-alikes inside a text that is mostly Latin.
 */
#include "decode/worker/text_steps.h"

enum { MIN_WHOLE_WORD = 3 };

static bool is_ascii_letter(uint32_t c) {
    return c >= 'a' && c <= 'z';
}

static bool is_alike(enum script script) {
    return script == SCRIPT_CYRILLIC || script == SCRIPT_GREEK || script == SCRIPT_LOOKALIKE;
}

static bool mostly_latin(const struct points *text) {
    size_t latin = 0;
    size_t alike = 0;
    for (size_t i = 0; i < text->count; i++) {
        enum script script = unicode_script(text->p[i].code);
        latin += script == SCRIPT_LATIN;
        alike += is_alike(script);
    }
    return latin > alike;
}

/* The Latin letter a character stands for in this view, or itself. Turkish dotless i is a letter of its own.
 */
static uint32_t latin_twin(struct unicode *unicode, uint32_t c) {
    if (c == 0x131 || unicode_script(c) != SCRIPT_LATIN) {
        return c;
    }
    uint32_t twin = unicode_ascii_twin(unicode, c);
    return twin != 0 ? unicode_fold_case(twin) : c;
}

static void fold_whole_word(struct unicode *unicode, struct point *p, size_t count) {
    if (count < MIN_WHOLE_WORD) {
        return;
    }
    for (size_t i = 0; i < count; i++) {
        if (!is_alike(unicode_script(p[i].code)) || unicode_ascii_twin(unicode, p[i].code) == 0) {
            return;
        }
    }
    for (size_t i = 0; i < count; i++) {
        p[i].code = unicode_fold_case(unicode_ascii_twin(unicode, p[i].code));
    }
}

static void fold_letters(struct unicode *unicode, struct points *text) {
    bool latin = mostly_latin(text);
    for (size_t i = 0; i < text->count;) {
        size_t end = i;
        while (end < text->count && text->p[end].code >= 0x80 && unicode_is_letter(text->p[end].code)) {
            end++;
        }
        bool whole = (i == 0 || !is_ascii_letter(text->p[i - 1].code | 0x20)) &&
                     (end >= text->count || !is_ascii_letter(text->p[end].code | 0x20));
        if (latin && whole) {
            fold_whole_word(unicode, text->p + i, end - i);
        }
        for (; i < end; i++) {
            text->p[i].code = latin_twin(unicode, unicode_fold_case(text->p[i].code));
        }
        if (i < text->count && i == end) {
            text->p[i].code = unicode_fold_case(text->p[i].code);
            i++;
        }
    }
}

static void drop_invisible(struct points *text) {
    size_t to = 0;
    for (size_t i = 0; i < text->count; i++) {
        if (text->p[i].code < 0xad || !unicode_is_ignorable(text->p[i].code)) {
            text->p[to++] = text->p[i];
        }
    }
    text->count = to;
}

void text_fold_for_lists(struct unicode *unicode, struct points *text) {
    drop_invisible(text);
    fold_letters(unicode, text);
    text_read_leet(text);
}
