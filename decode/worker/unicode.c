/* SPDX-License-Identifier: Apache-2.0 */
#include "decode/worker/unicode.h"

#include <errno.h>
#include <stdlib.h>
#include <unicode/uchar.h>
#include <unicode/unorm2.h>
#include <unicode/uscript.h>
#include <unicode/uspoof.h>
#include <unicode/utf16.h>

enum { TWINS = 4096 };

struct unicode {
    const UNormalizer2 *nfkc; /* ICU's own, never freed */
    USpoofChecker *spoof;
    /* The answers of unicode_ascii_twin so far, one place a hash value; a skeleton costs ICU some 300 ns. */
    struct {
        uint32_t point, twin;
    } twins[TWINS];
};

static void warm_up(struct unicode *u) {
    static const uint32_t samples[] = {'a',     0xe9,   0x430,  0x627,  0x915,   0xe01,  0x4e00,  0xac00,
                                       0x1f600, 0xfb01, 0xfdfa, 0x200d, 0xe0041, 0xfe0f, 0x1d400, 0x301};
    uint32_t out[UNICODE_SEGMENT_OUT];
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        uint32_t point = samples[i];
        (void)unicode_is_ignorable(point);
        (void)unicode_is_emoji(point);
        (void)unicode_is_pictograph(point);
        (void)unicode_is_ideograph(point);
        (void)unicode_is_stacking(point);
        (void)unicode_is_printable(point);
        (void)unicode_script(point);
        (void)unicode_fold_case(point);
        (void)unicode_ascii_twin(u, point);
        (void)unicode_starts_segment(u, point);
        (void)unicode_is_inert(u, point);
        (void)unicode_nfkc(u, &point, 1, out);
    }
}

int unicode_new(struct unicode **ret, struct error *reterr) {
    UErrorCode status = U_ZERO_ERROR;
    struct unicode *u = calloc(1, sizeof *u);
    if (u == NULL) {
        return error_errno(reterr, ENOMEM, "unicode tables");
    }
    u->nfkc = unorm2_getNFKCInstance(&status);
    u->spoof = uspoof_open(&status);
    if (U_FAILURE(status)) {
        (void)unicode_free(u);
        return error_set(reterr, -EIO, "unicode tables: ICU says %s", u_errorName(status));
    }
    warm_up(u);
    *ret = u;
    return 0;
}

struct unicode *unicode_free(struct unicode *u) {
    if (u != NULL && u->spoof != NULL) {
        uspoof_close(u->spoof);
    }
    free(u);
    return NULL;
}

bool unicode_is_ignorable(uint32_t point) {
    return u_hasBinaryProperty((UChar32)point, UCHAR_DEFAULT_IGNORABLE_CODE_POINT);
}

bool unicode_is_letter(uint32_t point) {
    return (U_GET_GC_MASK((UChar32)point) & U_GC_L_MASK) != 0;
}

bool unicode_is_digit(uint32_t point) {
    return (U_GET_GC_MASK((UChar32)point) & U_GC_ND_MASK) != 0;
}

bool unicode_is_mark(uint32_t point) {
    return (U_GET_GC_MASK((UChar32)point) & (U_GC_MN_MASK | U_GC_ME_MASK)) != 0;
}

bool unicode_is_stacking(uint32_t point) {
    return u_getCombiningClass((UChar32)point) != 0 || u_charType((UChar32)point) == U_ENCLOSING_MARK;
}

bool unicode_is_printable(uint32_t point) {
    return u_isprint((UChar32)point) != 0;
}

bool unicode_is_emoji(uint32_t point) {
    return u_hasBinaryProperty((UChar32)point, UCHAR_EMOJI);
}

bool unicode_is_pictograph(uint32_t point) {
    return u_hasBinaryProperty((UChar32)point, UCHAR_EXTENDED_PICTOGRAPHIC) ||
           u_hasBinaryProperty((UChar32)point, UCHAR_EMOJI_MODIFIER);
}

bool unicode_is_ideograph(uint32_t point) {
    return u_hasBinaryProperty((UChar32)point, UCHAR_IDEOGRAPHIC);
}

enum script unicode_script(uint32_t point) {
    if (point < 0x80) {
        return (point | 0x20) >= 'a' && (point | 0x20) <= 'z' ? SCRIPT_LATIN : SCRIPT_NEUTRAL;
    }
    UErrorCode status = U_ZERO_ERROR;
    switch (uscript_getScript((UChar32)point, &status)) {
    case USCRIPT_COMMON:
    case USCRIPT_INHERITED:
    case USCRIPT_UNKNOWN:
    case USCRIPT_INVALID_CODE:
        return SCRIPT_NEUTRAL;
    case USCRIPT_LATIN:
        return SCRIPT_LATIN;
    case USCRIPT_CYRILLIC:
        return SCRIPT_CYRILLIC;
    case USCRIPT_GREEK:
        return SCRIPT_GREEK;
    case USCRIPT_ARMENIAN:
    case USCRIPT_CHEROKEE:
    case USCRIPT_COPTIC:
    case USCRIPT_LISU:
    case USCRIPT_DESERET:
    case USCRIPT_GEORGIAN:
    case USCRIPT_GOTHIC:
    case USCRIPT_CANADIAN_ABORIGINAL:
    case USCRIPT_OSAGE:
    case USCRIPT_CARIAN:
    case USCRIPT_LYCIAN:
    case USCRIPT_OLD_ITALIC:
    case USCRIPT_ELBASAN:
    case USCRIPT_VAI:
    case USCRIPT_TIFINAGH:
    case USCRIPT_WARANG_CITI:
        return SCRIPT_LOOKALIKE;
    case USCRIPT_ARABIC:
    case USCRIPT_SYRIAC:
    case USCRIPT_MONGOLIAN:
    case USCRIPT_NKO:
    case USCRIPT_DEVANAGARI:
    case USCRIPT_BENGALI:
    case USCRIPT_GURMUKHI:
    case USCRIPT_GUJARATI:
    case USCRIPT_ORIYA:
    case USCRIPT_TAMIL:
    case USCRIPT_TELUGU:
    case USCRIPT_KANNADA:
    case USCRIPT_MALAYALAM:
    case USCRIPT_SINHALA:
    case USCRIPT_TIBETAN:
        return SCRIPT_JOINING;
    case USCRIPT_THAI:
    case USCRIPT_LAO:
    case USCRIPT_KHMER:
    case USCRIPT_MYANMAR:
        return SCRIPT_UNSPACED;
    case USCRIPT_HAN:
    case USCRIPT_HIRAGANA:
    case USCRIPT_KATAKANA:
    case USCRIPT_BOPOMOFO:
    case USCRIPT_HANGUL:
        return SCRIPT_EAST_ASIAN;
    default:
        return SCRIPT_OTHER;
    }
}

uint32_t unicode_fold_case(uint32_t point) {
    if (point < 0x80) {
        return point >= 'A' && point <= 'Z' ? point + 0x20 : point;
    }
    return (uint32_t)u_foldCase((UChar32)point, U_FOLD_CASE_DEFAULT);
}

static uint32_t find_twin(struct unicode *u, uint32_t point) {
    UChar in[2];
    UChar out[16];
    int32_t length = 0;
    UErrorCode status = U_ZERO_ERROR;
    U16_APPEND_UNSAFE(in, length, (UChar32)point);
    int32_t out_length = uspoof_getSkeleton(u->spoof, 0, in, length, out, 16, &status);
    if (U_FAILURE(status) || out_length != 1 || out[0] >= 0x80 || unicode_script(out[0]) != SCRIPT_LATIN) {
        return 0;
    }
    /* The tables send capital I and its likes to small l; the case of the letter itself decides. */
    if (out[0] == 'l' && u_isupper((UChar32)point)) {
        return 'I';
    }
    return out[0];
}

uint32_t unicode_ascii_twin(struct unicode *u, uint32_t point) {
    if (point < 0x80) {
        return 0;
    }
    size_t place = (point * UINT32_C(2654435761)) >> 20;
    if (u->twins[place].point != point) {
        u->twins[place].twin = find_twin(u, point);
        u->twins[place].point = point;
    }
    return u->twins[place].twin;
}

bool unicode_starts_segment(const struct unicode *u, uint32_t point) {
    return point < 0x80 || unorm2_hasBoundaryBefore(u->nfkc, (UChar32)point);
}

bool unicode_is_inert(const struct unicode *u, uint32_t point) {
    return unorm2_isInert(u->nfkc, (UChar32)point);
}

size_t unicode_nfkc(const struct unicode *u, const uint32_t *points, size_t count,
                    uint32_t out[UNICODE_SEGMENT_OUT]) {
    UChar in[UNICODE_SEGMENT_POINTS * 2];
    UChar wide[UNICODE_SEGMENT_OUT * 2];
    int32_t length = 0;
    for (size_t i = 0; i < count && i < UNICODE_SEGMENT_POINTS; i++) {
        U16_APPEND_UNSAFE(in, length, (UChar32)points[i]);
    }
    UErrorCode status = U_ZERO_ERROR;
    int32_t wide_length = unorm2_normalize(u->nfkc, in, length, wide, UNICODE_SEGMENT_OUT * 2, &status);
    if (U_FAILURE(status)) {
        return 0;
    }
    size_t written = 0;
    for (int32_t at = 0; at < wide_length && written < UNICODE_SEGMENT_OUT;) {
        UChar32 point = 0;
        U16_NEXT(wide, at, wide_length, point);
        out[written++] = (uint32_t)point;
    }
    return written;
}
