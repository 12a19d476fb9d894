/* SPDX-License-Identifier: Apache-2.0 */
#include "config/value.h"

#include <stddef.h>
#include <string.h>

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static bool is_one_of(const char *word, const char *const *words, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (strcmp(word, words[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* Anything that YAML 1.1 or 1.2 readers may take for a number, so also what is no number to us: 0x1F, 1_000,
 * +1, .inf */
static bool looks_like_number(const char *word) {
    static const char *const special[] = {".nan", ".NaN", ".NAN", ".inf", ".Inf", ".INF"};
    word += *word == '-' || *word == '+';
    if (is_one_of(word, special, sizeof special / sizeof *special)) {
        return true;
    }
    if (!is_digit(word[0]) && !(word[0] == '.' && is_digit(word[1]))) {
        return false;
    }
    const char *allowed = "0123456789_.";
    if (word[0] == '0' && (word[1] == 'x' || word[1] == 'o' || word[1] == 'b')) {
        allowed = "0123456789abcdefABCDEF_";
        word += 2;
    }
    const char *dot = strchr(word, '.');
    if (dot != NULL && strchr(dot + 1, '.') != NULL) {
        return false; /* 127.0.0.1 and 1.2.3 are text */
    }
    word += strspn(word, allowed);
    if ((*word == 'e' || *word == 'E') && word[1] != '\0') {
        word++;
        word += *word == '-' || *word == '+';
        word += strspn(word, "0123456789");
    }
    return *word == '\0';
}

enum value_kind value_kind_of(const char *word) {
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL"};
    static const char *const bools[] = {"true", "True", "TRUE", "false", "False", "FALSE"};
    if (is_one_of(word, nulls, sizeof nulls / sizeof *nulls)) {
        return VALUE_NULL;
    }
    if (is_one_of(word, bools, sizeof bools / sizeof *bools)) {
        return VALUE_BOOL;
    }
    return looks_like_number(word) ? VALUE_NUMBER : VALUE_TEXT;
}

/* Decimal digits without a leading zero; moves `word` behind them. */
static const char *take_digits(const char **word, uint64_t *ret) {
    const char *at = *word;
    uint64_t value = 0;
    if (!is_digit(*at)) {
        return "expected a whole number in plain decimal digits";
    }
    if (at[0] == '0' && is_digit(at[1])) {
        return "a number does not begin with 0";
    }
    for (; is_digit(*at); at++) {
        if (__builtin_mul_overflow(value, (uint64_t)10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*at - '0'), &value)) {
            return "too large a number";
        }
    }
    *word = at;
    *ret = value;
    return NULL;
}

const char *value_integer(const char *word, uint64_t *ret) {
    uint64_t value = 0;
    const char *why = take_digits(&word, &value);
    if (why == NULL && *word != '\0') {
        why = "expected a whole number in plain decimal digits";
    }
    if (why == NULL) {
        *ret = value;
    }
    return why;
}

struct unit {
    const char *name;
    uint64_t factor;
};

static const char *take_unit(const char *word, uint64_t number, const struct unit *units,
                             const char *expected, uint64_t *ret) {
    word += *word == ' ';
    for (; units->name != NULL; units++) {
        if (strcmp(word, units->name) == 0) {
            return __builtin_mul_overflow(number, units->factor, ret) ? "too large a number" : NULL;
        }
    }
    return expected;
}

const char *value_size(const char *word, uint64_t *ret_bytes) {
    static const struct unit units[] = {{"", 1},
                                        {"KiB", UINT64_C(1) << 10},
                                        {"MiB", UINT64_C(1) << 20},
                                        {"GiB", UINT64_C(1) << 30},
                                        {"TiB", UINT64_C(1) << 40},
                                        {NULL, 0}};
    uint64_t number = 0;
    const char *why = take_digits(&word, &number);
    return why != NULL ? why
                       : take_unit(word, number, units, "expected bytes, or KiB, MiB, GiB, TiB", ret_bytes);
}

const char *value_duration(const char *word, uint64_t *ret_ns) {
    static const struct unit units[] = {{"ms", UINT64_C(1000000)},       {"s", UINT64_C(1000000000)},
                                        {"m", UINT64_C(60000000000)},    {"h", UINT64_C(3600000000000)},
                                        {"d", UINT64_C(86400000000000)}, {NULL, 0}};
    uint64_t number = 0;
    const char *why = take_digits(&word, &number);
    return why != NULL ? why
                       : take_unit(word, number, units, "expected a duration with ms, s, m, h or d", ret_ns);
}

const char *value_fraction(const char *word, uint64_t *ret_ppm) {
    static const char expected[] = "expected a plain decimal number from 0 to 1";
    uint64_t whole = 0;
    if (take_digits(&word, &whole) != NULL) {
        return expected;
    }
    uint64_t ppm = 0;
    if (*word == '.') {
        word++;
        if (!is_digit(*word)) {
            return expected;
        }
        for (uint64_t worth = 100000; is_digit(*word); word++, worth /= 10) {
            if (worth == 0 && *word != '0') {
                return "finer than a millionth (at most six decimals)";
            }
            ppm += (uint64_t)(*word - '0') * worth;
        }
    }
    if (*word != '\0' || whole > 1 || (whole == 1 && ppm > 0)) {
        return expected;
    }
    *ret_ppm = whole * 1000000 + ppm;
    return NULL;
}

const char *value_bool(const char *word, bool *ret) {
    if (strcmp(word, "true") != 0 && strcmp(word, "false") != 0) {
        return "expected true or false";
    }
    *ret = word[0] == 't';
    return NULL;
}
