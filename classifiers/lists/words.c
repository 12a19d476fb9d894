/* SPDX-License-Identifier: Apache-2.0 */
#include "classifiers/lists/words.h"

#include "base/utf8.h"

bool word_character(uint32_t point) {
    static const struct {
        uint32_t first, last;
    } others[] = {
        {0x80, 0xa9},       {0xab, 0xb4},
        {0xb6, 0xb9},       {0xbb, 0xbf}, /* Latin-1 signs */
        {0xd7, 0xd7},       {0xf7, 0xf7},
        {0x37e, 0x37e},     {0x387, 0x387},
        {0x55a, 0x55f},     {0x589, 0x58a},
        {0x5be, 0x5be},     {0x5c0, 0x5c0},
        {0x5f3, 0x5f4},     {0x60c, 0x60d},
        {0x61b, 0x61f},     {0x66a, 0x66d},
        {0x6d4, 0x6d4},     {0x964, 0x965},
        {0xe00, 0xeff}, /* Thai, Lao */
        {0x1000, 0x109f},   {0x1100, 0x11ff},
        {0x1361, 0x1368},   {0x1680, 0x1680},
        {0x1780, 0x17ff}, /* Khmer */
        {0x2000, 0x206f},   {0x20a0, 0x20cf},
        {0x2100, 0x214f},   {0x2190, 0x2bff}, /* punctuation, signs, arrows */
        {0x2e00, 0x303f},   {0x3040, 0x33ff},
        {0x3400, 0x4dbf},   {0x4e00, 0x9fff}, /* kana, ideographs */
        {0xa960, 0xa97f},   {0xac00, 0xd7ff},
        {0xe000, 0xfaff}, /* Hangul (particles follow without a space), private */
        {0xfe10, 0xfe6f},   {0xff00, 0xff0f},
        {0xff1a, 0xff20},   {0xff3b, 0xff40},
        {0xff5b, 0xffff},   {0x1b000, 0x1b16f},
        {0x1f000, 0x1faff}, {0x20000, 0x10ffff},
    };
    if (point < 0x80) {
        uint32_t lower = point | 0x20;
        return (lower >= 'a' && lower <= 'z') || (point >= '0' && point <= '9') || point == '_';
    }
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        if (point >= others[i].first && point <= others[i].last) {
            return false;
        }
    }
    return true;
}

static bool word_before(const char *text, size_t at) {
    size_t start = at;
    uint32_t point = 0;
    do {
        if (start == 0) {
            return false;
        }
        start--;
    } while (((unsigned char)text[start] & 0xc0u) == 0x80u && at - start < 4);
    return utf8_decode(text + start, at - start, &point) > 0 && word_character(point);
}

static bool word_after(const char *text, size_t size, size_t at) {
    uint32_t point = 0;
    return at < size && utf8_decode(text + at, size - at, &point) > 0 && word_character(point);
}

bool word_continues(const char *text, size_t size, size_t at) {
    return word_before(text, at) && word_after(text, size, at);
}

bool word_boundary(const char *text, size_t size, size_t at) {
    return word_before(text, at) != word_after(text, size, at);
}
