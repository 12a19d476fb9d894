/* SPDX-License-Identifier: Apache-2.0
 *
 * Letters kept apart, "b o m b" or "b.o.m.b": joined. A wider gap between them stays as one space, so that
 * "t h i s  i s" becomes "this is". The alphabet (a b c d) and initials (J. R. R.) are left alone.
 */
#include "base/vocabulary.h"
#include "decode/worker/text_steps.h"

enum { MAX_GAP = 4 };

static bool is_separator(uint32_t c) {
    switch (c) {
    case ' ':
    case '\t':
    case '\n':
    case '.':
    case ',':
    case '-':
    case '_':
    case '*':
    case '/':
    case '|':
    case '+':
    case '~':
    case 0xb7:
    case 0x2022:
        return true;
    default:
        return false;
    }
}

static bool is_letter(uint32_t c) {
    return c < 0x80 ? unicode_script(c) == SCRIPT_LATIN : unicode_is_letter(c);
}

static bool in_word(uint32_t c) {
    return is_letter(c) || (c >= '0' && c <= '9') ||
           (c >= 0x80 && (unicode_is_mark(c) || unicode_is_digit(c)));
}

/* Length of the gap of one repeated separator at `i` that a letter follows; 0 when there is none. */
static size_t gap_at(const struct points *text, size_t i, uint32_t separator) {
    size_t n = 0;
    while (n <= MAX_GAP && i + n < text->count && text->p[i + n].code == separator) {
        n++;
    }
    return n >= 1 && n <= MAX_GAP && i + n < text->count && is_letter(text->p[i + n].code) ? n : 0;
}

struct run {
    size_t first, end; /* points: from the first letter to behind the last */
    size_t letters;
    size_t unit;   /* the smallest gap: what stands between letters of one word */
    bool alphabet; /* each letter is the successor of the one before */
    bool stutter;  /* the same letter again and again */
    bool acronym;  /* capitals with points: U.S.S.R. */
};

static struct run run_at(const struct points *text, size_t i) {
    struct run run = {
        .first = i, .end = i + 1, .letters = 1, .unit = MAX_GAP, .alphabet = true, .stutter = true};
    uint32_t separator = i + 1 < text->count ? text->p[i + 1].code : 0;
    if (!is_separator(separator)) {
        return run;
    }
    run.acronym = separator == '.' && unicode_fold_case(text->p[i].code) != text->p[i].code;
    for (;;) {
        size_t gap = gap_at(text, run.end, separator);
        size_t letter = run.end + gap;
        if (gap == 0 || (letter + 1 < text->count && in_word(text->p[letter + 1].code))) {
            return run;
        }
        run.alphabet &= text->p[letter].code == text->p[run.end - 1].code + 1;
        run.acronym &= unicode_fold_case(text->p[letter].code) != text->p[letter].code;
        run.stutter &= unicode_fold_case(text->p[letter].code) == unicode_fold_case(text->p[i].code);
        run.unit = gap < run.unit ? gap : run.unit;
        run.letters++;
        run.end = letter + 1;
    }
}

static size_t join(struct points *text, const struct run *run, size_t to) {
    for (size_t i = run->first; i < run->end;) {
        text->p[to++] = text->p[i++];
        size_t gap = i;
        while (i < run->end && !is_letter(text->p[i].code)) {
            i++;
        }
        if (i - gap > run->unit) {
            text->p[to++] = text->p[gap];
        }
    }
    return to;
}

void text_join_letters(struct points *text, size_t least, bool acronyms_too, struct text_trace *trace) {
    size_t to = 0;
    size_t i = 0;
    while (i < text->count) {
        bool starts = is_letter(text->p[i].code) && (i == 0 || !in_word(text->p[i - 1].code)) &&
                      i + 1 < text->count && is_separator(text->p[i + 1].code);
        struct run run = {.first = i, .end = i + 1};
        if (starts) {
            run = run_at(text, i);
        }
        if (starts && run.letters >= least && !run.alphabet && !run.stutter &&
            (acronyms_too || !run.acronym)) {
            to = join(text, &run, to);
            trace->flags |= FLAG_SPACED_LETTERS;
            trace->changed = true;
        } else {
            for (size_t k = run.first; k < run.end; k++) {
                text->p[to++] = text->p[k];
            }
        }
        i = run.end;
    }
    text->count = to;
}
