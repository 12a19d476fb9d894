/* SPDX-License-Identifier: Apache-2.0 */
#include "audit/proof/encoding.h"

#include <string.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_append(struct buf *out, const void *bytes, size_t size) {
    const uint8_t *p = bytes;
    while (size > 0) {
        size_t take = size < 3 ? size : 3;
        uint32_t group = (uint32_t)p[0] << 16;
        group |= take > 1 ? (uint32_t)p[1] << 8 : 0;
        group |= take > 2 ? p[2] : 0;
        char four[4] = {alphabet[group >> 18], alphabet[group >> 12 & 63],
                        take > 1 ? alphabet[group >> 6 & 63] : '=', take > 2 ? alphabet[group & 63] : '='};
        buf_append(out, four, sizeof four);
        p += take;
        size -= take;
    }
}

bool base64_size(struct slice text, size_t *ret_size) {
    if (text.size % 4 != 0) {
        return false;
    }
    size_t padding = 0;
    while (padding < 2 && padding < text.size && text.bytes[text.size - 1 - padding] == '=') {
        padding++;
    }
    *ret_size = text.size / 4 * 3 - padding;
    return true;
}

static int base64_digit(char c) {
    return c >= 'A' && c <= 'Z'   ? c - 'A'
           : c >= 'a' && c <= 'z' ? c - 'a' + 26
           : c >= '0' && c <= '9' ? c - '0' + 52
           : c == '+'             ? 62
           : c == '/'             ? 63
                                  : -1;
}

/* `out` may be NULL. */
static bool decode(struct slice text, uint8_t *out, size_t size) {
    uint32_t group = 0;
    size_t digits = text.size / 4 * 4;
    while (digits > 0 && text.size - digits < 2 && text.bytes[digits - 1] == '=') {
        digits--;
    }
    size_t done = 0;
    for (size_t i = 0; i < digits; i++) {
        int digit = base64_digit(text.bytes[i]);
        if (digit < 0) {
            return false;
        }
        group = group << 6 | (uint32_t)digit;
        if (i % 4 != 0) {
            unsigned left = 6 - 2 * (unsigned)(i % 4);
            if (out != NULL && done < size) {
                out[done] = (uint8_t)(group >> left);
            }
            done++;
            group &= (1u << left) - 1;
        }
    }
    return group == 0 && done == size;
}

bool base64_decode(struct slice text, void *ret_bytes, size_t size) {
    size_t expected = 0;
    return base64_size(text, &expected) && expected == size && decode(text, ret_bytes, size);
}

bool base64_valid(struct slice text) {
    size_t size = 0;
    return base64_size(text, &size) && decode(text, NULL, size);
}

bool decimal_parse(struct slice text, uint64_t *ret_value) {
    uint64_t value = 0;
    if (text.size == 0 || text.size > 19 || (text.bytes[0] == '0' && text.size > 1)) {
        return false;
    }
    for (size_t i = 0; i < text.size; i++) {
        if (text.bytes[i] < '0' || text.bytes[i] > '9') {
            return false;
        }
        value = value * 10 + (uint64_t)(text.bytes[i] - '0');
    }
    if (value > INT64_MAX) {
        return false;
    }
    *ret_value = value;
    return true;
}

struct slice line_take(struct cursor *c) {
    size_t left = cursor_left(c);
    const uint8_t *from = left > 0 ? c->bytes + c->at : NULL;
    const uint8_t *newline = left > 0 ? memchr(from, '\n', left) : NULL;
    size_t size = newline != NULL ? (size_t)(newline - from) : left;
    const uint8_t *line = cursor_take(c, size + 1);
    return line != NULL ? (struct slice){(const char *)line, size} : (struct slice){"", 0};
}

bool slice_is(struct slice text, const char *literal) {
    return text.size == strlen(literal) && memcmp(text.bytes, literal, text.size) == 0;
}

bool slice_skip(struct slice *text, const char *prefix) {
    size_t size = strlen(prefix);
    if (text->size < size || memcmp(text->bytes, prefix, size) != 0) {
        return false;
    }
    *text = (struct slice){text->bytes + size, text->size - size};
    return true;
}
