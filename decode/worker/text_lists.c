/* SPDX-License-Identifier: Apache-2.0
 *
 * The view that word lists are matched against. It may be rougher than what a model reads: a wrong guess here
 * spoils a word for the lists only. Words of one script keep their script, unless they are made of Latin
 * look-alikes inside a text that is mostly Latin.
 */
#include "decode/worker/text_steps.h"

enum { MIN_WHOLE_WORD = 3, MAX_MENTION = 4 };

static bool is_ascii_letter(uint32_t c) {
    return c >= 'a' && c <= 'z';
}

static bool is_ascii_digit(uint32_t c) {
    return c >= '0' && c <= '9';
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

/* ---- leet: only in tokens that mix letters with digits or signs ---- */

static uint32_t leet_letter(uint32_t c) {
    switch (c) {
    case '0':
        return 'o';
    case '1':
    case '!':
        return 'i';
    case '3':
        return 'e';
    case '4':
    case '@':
        return 'a';
    case '5':
    case '$':
        return 's';
    case '7':
        return 't';
    case '8':
        return 'b';
    case '9':
        return 'g';
    default:
        return c;
    }
}

static bool in_token(uint32_t c) {
    return is_ascii_letter(c) || is_ascii_digit(c) || c == '@' || c == '$' || c == '!';
}

/* user@host.org, and @mentions longer than a disguised short word */
static bool is_address(const struct points *text, size_t first, size_t end) {
    for (size_t i = first; i < end; i++) {
        if (text->p[i].code == '@') {
            bool host =
                end + 1 < text->count && text->p[end].code == '.' && is_ascii_letter(text->p[end + 1].code);
            return host || (i == first && end - first > MAX_MENTION + 1);
        }
    }
    return false;
}

static void read_token(struct points *text, size_t first, size_t end) {
    size_t letters = 0;
    /* Exclamation marks behind a word are just that. */
    while (end > first && text->p[end - 1].code == '!') {
        end--;
    }
    for (size_t i = first; i < end; i++) {
        letters += is_ascii_letter(text->p[i].code);
    }
    if (letters == 0 || letters == end - first || is_address(text, first, end)) {
        return;
    }
    for (size_t i = first; i < end; i++) {
        text->p[i].code = leet_letter(text->p[i].code);
    }
}

static void read_leet(struct points *text) {
    for (size_t i = 0; i < text->count;) {
        size_t end = i;
        while (end < text->count && in_token(text->p[end].code)) {
            end++;
        }
        if (end > i) {
            read_token(text, i, end);
        }
        i = end > i ? end : i + 1;
    }
}

void text_fold_for_lists(struct unicode *unicode, struct points *text) {
    drop_invisible(text);
    fold_letters(unicode, text);
    read_leet(text);
}
