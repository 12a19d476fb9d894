/* SPDX-License-Identifier: Apache-2.0 */
#include "audit/canonical.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/utf8.h"

static const char not_json[] = "is not JSON in UTF-8";
static const char not_canonical[] = "is not canonical JSON";
static const char not_integer[] = "holds a number that is not an integer of 64 bits";

struct scan {
    const char *at, *end;
    const char *why; /* NULL while all is well */
    void (*member)(void *user, const struct canonical_member *member);
    void *user;
};

static bool fail(struct scan *s, const char *why) {
    s->why = s->why == NULL ? why : s->why;
    return false;
}

static bool take(struct scan *s, char c) {
    if (s->at < s->end && *s->at == c) {
        s->at++;
        return true;
    }
    return false;
}

static bool need(struct scan *s, char c) {
    bool space = s->at < s->end && strchr(" \t\r\n", *s->at) != NULL && *s->at != '\0';
    return take(s, c) || fail(s, space ? not_canonical : not_json);
}

/* ---- strings ---- */

/* The character that a short escape stands for, or 0. */
static char short_escape(char c) {
    static const char names[] = "\"\\bfnrt";
    static const char values[] = "\"\\\b\f\n\r\t";
    const char *found = c == '\0' ? NULL : strchr(names, c);
    return found == NULL ? '\0' : values[found - names];
}

static int hex_digit(char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The character of "\u00XX" behind the backslash, or 0 when it is not written so or has a shorter form. */
static char long_escape(const char *at, const char *end) {
    if (end - at < 5 || memcmp(at, "u00", 3) != 0 || hex_digit(at[3]) < 0 || hex_digit(at[3]) > 1 ||
        hex_digit(at[4]) < 0) {
        return '\0';
    }
    char value = (char)(hex_digit(at[3]) * 16 + hex_digit(at[4]));
    return strchr("\b\f\n\r\t", value) != NULL ? '\0' : value;
}

static bool escape(struct scan *s) {
    if (s->at < s->end && short_escape(*s->at) != '\0') {
        s->at++;
        return true;
    }
    if (long_escape(s->at, s->end) != '\0') {
        s->at += 5;
        return true;
    }
    return fail(s, not_canonical);
}

static bool string(struct scan *s) {
    if (!need(s, '"')) {
        return false;
    }
    while (s->at < s->end) {
        unsigned char c = (unsigned char)*s->at;
        if (c >= 0x80) {
            uint32_t point = 0;
            size_t length = utf8_decode(s->at, (size_t)(s->end - s->at), &point);
            if (length == 0) {
                return fail(s, not_json);
            }
            s->at += length;
        } else {
            s->at++;
            if (c == '"') {
                return true;
            }
            if (c < 0x20 || (c == '\\' && !escape(s))) {
                return fail(s, not_json);
            }
        }
    }
    return fail(s, not_json);
}

static unsigned char next_byte(const char **at, const char *end) {
    char c = *(*at)++;
    if (c != '\\' || *at == end) {
        return (unsigned char)c;
    }
    c = short_escape(**at);
    if (c == '\0') {
        c = long_escape(*at, end);
        *at += 4;
    }
    (*at)++;
    return (unsigned char)c;
}

/* The order of keys: by the bytes that they stand for. */
static int compare_keys(const char *a, size_t a_size, const char *b, size_t b_size) {
    const char *a_end = a + a_size;
    const char *b_end = b + b_size;
    while (a < a_end && b < b_end) {
        int difference = (int)next_byte(&a, a_end) - (int)next_byte(&b, b_end);
        if (difference != 0) {
            return difference;
        }
    }
    return (a < a_end) - (b < b_end);
}

/* ---- values ---- */

static bool number(struct scan *s) {
    bool negative = take(s, '-');
    uint64_t limit = negative ? (uint64_t)INT64_MAX + 1 : (uint64_t)INT64_MAX;
    const char *begin = s->at;
    uint64_t value = 0;
    while (s->at < s->end && *s->at >= '0' && *s->at <= '9') {
        if (__builtin_mul_overflow(value, (uint64_t)10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*s->at - '0'), &value)) {
            return fail(s, not_integer);
        }
        s->at++;
    }
    if (s->at == begin) {
        return fail(s, not_json);
    }
    if ((*begin == '0' && (negative || s->at - begin > 1))) {
        return fail(s, not_canonical);
    }
    bool real = s->at < s->end && (*s->at == '.' || *s->at == 'e' || *s->at == 'E');
    return !real && value <= limit ? true : fail(s, not_integer);
}

static bool word(struct scan *s, const char *text) {
    size_t size = strlen(text);
    if ((size_t)(s->end - s->at) < size || memcmp(s->at, text, size) != 0) {
        return fail(s, not_json);
    }
    s->at += size;
    return true;
}

static bool value(struct scan *s, unsigned depth);

static bool array(struct scan *s, unsigned depth) {
    if (take(s, ']')) {
        return true;
    }
    do {
        if (!value(s, depth)) {
            return false;
        }
    } while (take(s, ','));
    return need(s, ']');
}

static bool object(struct scan *s, unsigned depth) {
    struct canonical_member last = {0};
    if (take(s, '}')) {
        return true;
    }
    do {
        struct canonical_member m = {.key = s->at + 1};
        if (!string(s)) {
            return false;
        }
        m.key_size = (size_t)(s->at - m.key) - 1;
        if (last.key != NULL && compare_keys(last.key, last.key_size, m.key, m.key_size) >= 0) {
            return fail(s, not_canonical);
        }
        if (!need(s, ':')) {
            return false;
        }
        m.value = s->at;
        if (!value(s, depth)) {
            return false;
        }
        m.value_size = (size_t)(s->at - m.value);
        if (depth == 1 && s->member != NULL) {
            s->member(s->user, &m);
        }
        last = m;
    } while (take(s, ','));
    return need(s, '}');
}

static bool value(struct scan *s, unsigned depth) {
    if (s->at == s->end || depth == CANONICAL_MAX_DEPTH) {
        return fail(s, depth == CANONICAL_MAX_DEPTH ? "is nested too deeply" : not_json);
    }
    switch (*s->at) {
    case '{':
        s->at++;
        return object(s, depth + 1);
    case '[':
        s->at++;
        return array(s, depth + 1);
    case '"':
        return string(s);
    case 't':
        return word(s, "true");
    case 'f':
        return word(s, "false");
    case 'n':
        return word(s, "null");
    case ' ':
    case '\t':
    case '\r':
    case '\n':
        return fail(s, not_canonical);
    default:
        return number(s);
    }
}

const char *canonical_check(const char *text, size_t size,
                            void (*member)(void *user, const struct canonical_member *member), void *user) {
    struct scan s = {.at = text, .end = text + size, .member = member, .user = user};
    if (size == 0 || *text != '{') {
        return "is not a JSON object";
    }
    if (value(&s, 0) && s.at != s.end) {
        (void)fail(&s, "is followed by something else");
    }
    return s.why;
}
