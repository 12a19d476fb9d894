/* SPDX-License-Identifier: Apache-2.0
 *
 * Spelling that hides a word from a model but not from a reader: digits and signs for letters (k1ll), letters
 * of alternating case (kIlL), whole texts in capitals. For lists every token that mixes letters and digits is
 * read; for the model only where the text shows that it is a habit, because ordinary text has mp3, i18n and
 * camelCase, and a view that says nothing new costs a second reading.
 */
#include "decode/worker/text_steps.h"

enum {
    MAX_MENTION = 4,
    MAX_LEET_TOKEN = 20, /* longer ones are keys and digests */
    MIN_LEET_ALONE = 4,  /* characters of a token that shows the habit by itself */
    MIN_ODD_WORD = 4,
    MAX_ODD_WORD = 30, /* longer ones are no words */
    MIN_CASED = 12,    /* letters of a text whose case is judged as a whole */
};

static bool is_ascii_letter(uint32_t c) {
    return (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
}

static bool is_ascii_digit(uint32_t c) {
    return c >= '0' && c <= '9';
}

/* ---- digits and signs for letters ---- */

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

struct token {
    size_t first, end;
};

/* The token at or behind `i`, without the exclamation marks behind a word; empty at the end of the text. */
static struct token token_at(const struct points *text, size_t i, size_t *ret_next) {
    while (i < text->count && !in_token(text->p[i].code)) {
        i++;
    }
    struct token token = {i, i};
    while (token.end < text->count && in_token(text->p[token.end].code)) {
        token.end++;
    }
    *ret_next = token.end;
    while (token.end > token.first && text->p[token.end - 1].code == '!') {
        token.end--;
    }
    return token;
}

/* user@host.org, and @mentions longer than a disguised short word */
static bool is_address(const struct points *text, struct token token) {
    for (size_t i = token.first; i < token.end; i++) {
        if (text->p[i].code == '@') {
            bool host = token.end + 1 < text->count && text->p[token.end].code == '.' &&
                        is_ascii_letter(text->p[token.end + 1].code);
            return host || (i == token.first && token.end - token.first > MAX_MENTION + 1);
        }
    }
    return false;
}

static bool is_mixed(const struct points *text, struct token token) {
    size_t letters = 0;
    for (size_t i = token.first; i < token.end; i++) {
        letters += is_ascii_letter(text->p[i].code);
    }
    return letters > 0 && letters < token.end - token.first && !is_address(text, token);
}

/* A digit between letters, in a token that reads as letters throughout. */
static bool shows_leet(const struct points *text, struct token token) {
    bool between = false;
    size_t capitals = 0;
    size_t letters = 0;
    if (token.end - token.first > MAX_LEET_TOKEN || !is_mixed(text, token)) {
        return false;
    }
    size_t last = token.end; /* of the letters that have come */
    for (size_t i = token.first; i < token.end; i++) {
        uint32_t c = text->p[i].code;
        if (!is_ascii_letter(c) && leet_letter(c) == c) {
            return false;
        }
        if (is_ascii_letter(c)) {
            between |=
                last < token.end && last + 1 < i && text->p[i - 1].code != '@' && text->p[i - 1].code != '!';
            last = i;
            letters++;
            capitals += (c & 0x20) == 0;
        }
    }
    bool one_case = capitals <= 1 || capitals == letters; /* base64 is none */
    return between && one_case;
}

static bool is_vowel(uint32_t c) {
    c |= 0x20;
    return c == 'a' || c == 'e' || c == 'i' || c == 'o' || c == 'u' || c == 'y';
}

/* 1 is i between consonants (k1ll) and l behind a vowel (he1p) or in the clusters that take one (b1ock). */
static uint32_t letter_of_one(const struct points *text, struct token token, size_t i) {
    uint32_t before = i > token.first ? leet_letter(text->p[i - 1].code) | 0x20 : 0;
    uint32_t after = i + 1 < token.end ? leet_letter(text->p[i + 1].code) : 0;
    bool cluster = before == 'b' || before == 'c' || before == 'f' || before == 'g' || before == 'p';
    bool vowel_after = after != 0 && is_vowel(after);
    return (before != 0 && (is_vowel(before) || before == 'l')) || (cluster && vowel_after) ? 'l' : 'i';
}

static void read_token(struct points *text, struct token token, bool guess_one) {
    for (size_t i = token.first; i < token.end; i++) {
        uint32_t c = text->p[i].code;
        text->p[i].code = c == '1' && guess_one ? letter_of_one(text, token, i) : leet_letter(c);
    }
}

void text_read_leet(struct points *text) {
    for (size_t i = 0; i < text->count;) {
        struct token token = token_at(text, i, &i);
        if (is_mixed(text, token)) {
            read_token(text, token, false);
        }
    }
}

static void read_shown_leet(struct points *text, struct text_trace *trace) {
    size_t shown = 0;
    size_t alone = 0;
    for (size_t i = 0; i < text->count;) {
        struct token token = token_at(text, i, &i);
        bool shows = shows_leet(text, token);
        shown += shows;
        alone += shows && token.end - token.first >= MIN_LEET_ALONE;
    }
    for (size_t i = 0; i < text->count && (shown > 1 || alone > 0);) {
        struct token token = token_at(text, i, &i);
        if (shown > 1 ? is_mixed(text, token) : shows_leet(text, token)) {
            read_token(text, token, true);
            trace->changed = true;
        }
    }
}

/* ---- case ---- */

struct word {
    size_t first, end;
    size_t capitals, switches; /* letters, and places where the case changes */
    bool capital_first;
};

static bool is_letter(uint32_t c) {
    return c < 0x80 ? is_ascii_letter(c) : unicode_is_letter(c);
}

static bool is_capital(uint32_t c) {
    return unicode_fold_case(c) != c;
}

static struct word word_at(const struct points *text, size_t i) {
    while (i < text->count && !is_letter(text->p[i].code)) {
        i++;
    }
    struct word word = {.first = i, .end = i};
    bool before = false;
    for (; word.end < text->count && is_letter(text->p[word.end].code); word.end++) {
        bool capital = is_capital(text->p[word.end].code);
        word.capitals += capital;
        word.switches += word.end > word.first && capital != before;
        before = capital;
    }
    word.capital_first = word.end > word.first && is_capital(text->p[word.first].code);
    return word;
}

/* Part of a sentence; not a letter alone, nor a piece of a key or an encoding. */
static bool is_plain_word(const struct points *text, const struct word *word) {
    size_t size = word->end - word->first;
    return size > 1 && size <= MAX_ODD_WORD &&
           (word->first == 0 || !is_ascii_digit(text->p[word->first - 1].code)) &&
           (word->end == text->count || !is_ascii_digit(text->p[word->end].code));
}

/* kIlL, but not camelCase */
static bool alternates(const struct word *word) {
    return word->capitals > 0 && 2 * word->switches >= word->end - word->first;
}

/* kIlL, KILL, kILL: not as words are written in a sentence. */
static bool is_odd(const struct word *word) {
    size_t size = word->end - word->first;
    bool capital_alone = word->capitals == 1 && word->capital_first;
    return !capital_alone && (alternates(word) || word->capitals == size ||
                              (word->capitals + 1 == size && !word->capital_first));
}

static bool is_odd_alone(const struct word *word) {
    return word->end - word->first >= MIN_ODD_WORD && word->capitals > 1 && alternates(word);
}

static void lower_word(struct points *text, const struct word *word) {
    for (size_t i = word->first; i < word->end; i++) {
        text->p[i].code = unicode_fold_case(text->p[i].code);
    }
}

/* All small, with a capital at the start of a sentence. */
static void lower_all(struct points *text) {
    bool starts = true;
    for (size_t i = 0; i < text->count; i++) {
        uint32_t c = unicode_fold_case(text->p[i].code);
        bool ascii = c >= 'a' && c <= 'z';
        text->p[i].code = starts && ascii ? c - 'a' + 'A' : c;
        starts = c == '.' || c == '!' || c == '?' || (starts && !is_letter(c));
    }
}

static void settle_case(struct points *text, struct text_trace *trace) {
    size_t letters = 0;
    size_t odd = 0;
    size_t alternating = 0;
    for (struct word word = word_at(text, 0); word.end > word.first; word = word_at(text, word.end)) {
        size_t size = is_plain_word(text, &word) ? word.end - word.first : 0;
        letters += size;
        odd += is_odd(&word) ? size : 0;
        alternating += size > 0 && is_odd_alone(&word);
    }
    if (letters >= MIN_CASED && 2 * odd >= letters) {
        lower_all(text);
        trace->changed = true;
        return;
    }
    for (struct word word = word_at(text, 0); alternating > 0 && word.end > word.first;
         word = word_at(text, word.end)) {
        if (is_plain_word(text, &word) && is_odd_alone(&word)) {
            lower_word(text, &word);
            trace->changed = true;
        }
    }
}

void text_spell_plainly(struct points *text, struct text_trace *trace) {
    read_shown_leet(text, trace);
    settle_case(text, trace);
}
