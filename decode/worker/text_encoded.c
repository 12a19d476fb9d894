/* SPDX-License-Identifier: Apache-2.0
 *
 * Runs of base64, hexadecimal or percent encoding that say something. A run counts when it is long and what
 * it decodes to is mostly printable: hashes, keys and images are not. What was decoded is not decoded again.
 */
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/utf8.h"
#include "base/vocabulary.h"
#include "decode/worker/text_steps.h"

enum { MIN_RUN = 24, PRINTABLE_PERCENT = 80, LETTERS_PERCENT = 75 };

static int hex_value(uint32_t c) {
    return c >= '0' && c <= '9'                     ? (int)(c - '0')
           : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (int)((c | 0x20) - 'a') + 10
                                                    : -1;
}

static int base64_value(uint32_t c) {
    if (c >= 'A' && c <= 'Z') {
        return (int)(c - 'A');
    }
    if (c >= 'a' && c <= 'z') {
        return (int)(c - 'a') + 26;
    }
    if (c >= '0' && c <= '9') {
        return (int)(c - '0') + 52;
    }
    return c == '+' || c == '-' ? 62 : c == '/' || c == '_' ? 63 : -1;
}

static size_t decode_hex(const struct point *p, size_t count, uint8_t *out) {
    size_t n = 0;
    for (size_t i = 0; i + 1 < count; i += 2) {
        out[n++] = (uint8_t)(hex_value(p[i].code) << 4 | hex_value(p[i + 1].code));
    }
    return n;
}

static size_t decode_base64(const struct point *p, size_t count, uint8_t *out) {
    uint32_t bits = 0;
    unsigned held = 0;
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        bits = bits << 6 | (uint32_t)base64_value(p[i].code);
        held += 6;
        if (held >= 8) {
            held -= 8;
            out[n++] = (uint8_t)(bits >> held);
        }
    }
    return n;
}

static size_t decode_percent(const struct point *p, size_t count, uint8_t *out) {
    size_t n = 0;
    for (size_t i = 0; i + 2 < count; i += 3) {
        out[n++] = (uint8_t)(hex_value(p[i + 1].code) << 4 | hex_value(p[i + 2].code));
    }
    return n;
}

static bool reads_as_text(const uint8_t *bytes, size_t size) {
    size_t printable = 0;
    size_t letters = 0;
    for (size_t i = 0; i < size;) {
        uint32_t code = 0;
        size_t length = utf8_decode(bytes + i, size - i, &code);
        if (length > 0 && (unicode_is_printable(code) || code == '\n' || code == '\r' || code == '\t')) {
            printable += length;
            letters += unicode_is_letter(code) || code == ' ' ? length : 0;
        }
        i += length > 0 ? length : 1;
    }
    /* Mostly letters, too: chance and decimal numbers yield printable signs. */
    return size > 0 && printable * 100 >= size * PRINTABLE_PERCENT && letters * 100 >= size * LETTERS_PERCENT;
}

static bool add_found(const uint8_t *bytes, size_t size, uint32_t at, struct points *found) {
    if (found->count > 0 && !points_add(found, '\n', at)) {
        return false;
    }
    for (size_t i = 0; i < size;) {
        uint32_t code = 0;
        size_t length = utf8_decode(bytes + i, size - i, &code);
        if (length > 0 && (unicode_is_printable(code) || code == '\n' || code == '\t') &&
            !points_add(found, code, at)) {
            return false;
        }
        i += length > 0 ? length : 1;
    }
    return true;
}

typedef size_t decode_fn(const struct point *p, size_t count, uint8_t *out);

/* Tries one reading of a run; true when it was text (or when memory is out, with *ok false). */
static bool try_run(const struct points *text, size_t first, size_t count, decode_fn *decode, uint8_t *space,
                    struct points *found, struct text_trace *trace, bool *ok) {
    if (count < MIN_RUN) {
        return false;
    }
    size_t size = decode(text->p + first, count, space);
    if (!reads_as_text(space, size)) {
        return false;
    }
    trace->flags |= FLAG_ENCODED_TEXT;
    *ok = add_found(space, size, text->p[first].at, found);
    return true;
}

static size_t run_of(const struct points *text, size_t i, int (*value)(uint32_t c)) {
    size_t n = 0;
    while (i + n < text->count && value(text->p[i + n].code) >= 0) {
        n++;
    }
    return n;
}

static size_t percent_run(const struct points *text, size_t i) {
    size_t n = 0;
    while (i + n + 2 < text->count && text->p[i + n].code == '%' && hex_value(text->p[i + n + 1].code) >= 0 &&
           hex_value(text->p[i + n + 2].code) >= 0) {
        n += 3;
    }
    return n;
}

bool text_decode_runs(const struct points *text, struct points *found, struct text_trace *trace) {
    CLEANUP(free_ptr) uint8_t *space = malloc(text->count + 1);
    bool ok = space != NULL;
    for (size_t i = 0; i < text->count && ok;) {
        size_t percent = text->p[i].code == '%' ? percent_run(text, i) : 0;
        size_t run = percent > 0 ? percent : run_of(text, i, base64_value);
        if (percent > 0) {
            (void)try_run(text, i, percent, decode_percent, space, found, trace, &ok);
        } else if (run >= MIN_RUN) {
            size_t hex = run_of(text, i, hex_value);
            bool found_hex = hex == run && try_run(text, i, run, decode_hex, space, found, trace, &ok);
            if (!found_hex && ok) {
                (void)try_run(text, i, run, decode_base64, space, found, trace, &ok);
            }
        }
        i += run > 0 ? run : 1;
    }
    return ok;
}
