/* SPDX-License-Identifier: Apache-2.0
 *
 * The Unicode questions that the text views ask, over ICU. unicode.c is the only file that includes it.
 */
#ifndef BUCKLER_DECODE_WORKER_UNICODE_H
#define BUCKLER_DECODE_WORKER_UNICODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct unicode;

/* The scripts that matter to the rules; all others are SCRIPT_OTHER. */
enum script {
    SCRIPT_INVALID,
    SCRIPT_NEUTRAL, /* common or inherited: digits, punctuation, marks, emoji */
    SCRIPT_LATIN,
    SCRIPT_CYRILLIC,
    SCRIPT_GREEK,
    SCRIPT_LOOKALIKE, /* small scripts whose letters are used as Latin ones: Armenian, Cherokee, Coptic, Lisu
                         … */
    SCRIPT_JOINING,   /* Arabic, Syriac, Mongolian, Indic: zero-width joiners are part of the spelling */
    SCRIPT_UNSPACED,  /* Thai, Lao, Khmer, Myanmar: zero-width space and joiners are part of the spelling */
    SCRIPT_EAST_ASIAN,
    SCRIPT_OTHER,
};

/* Opens ICU's data and touches every table, so that nothing is loaded later. */
int unicode_new(struct unicode **ret, struct error *reterr) MUST_CHECK;
struct unicode *unicode_free(struct unicode *u);

bool unicode_is_ignorable(uint32_t point);
bool unicode_is_letter(uint32_t point); /* general category L */
bool unicode_is_digit(uint32_t point);  /* Nd */
bool unicode_is_mark(uint32_t point);   /* Mn, Me */
bool unicode_is_stacking(
    uint32_t point); /* a mark that piles up on its base: combining class not 0, or enclosing */
bool unicode_is_printable(uint32_t point);
bool unicode_is_emoji(uint32_t point);
bool unicode_is_pictograph(uint32_t point); /* extended pictographic or emoji modifier */
bool unicode_is_ideograph(uint32_t point);
enum script unicode_script(uint32_t point);
uint32_t unicode_fold_case(uint32_t point);

/* The one ASCII letter that UTS #39 says `point` looks like; 0 when there is none. */
uint32_t unicode_ascii_twin(struct unicode *u, uint32_t point);

/* Whether NFKC may treat the text before `point` and the text from it on separately. */
bool unicode_starts_segment(const struct unicode *u, uint32_t point);
/* Whether NFKC leaves `point` alone in any company. */
bool unicode_is_inert(const struct unicode *u, uint32_t point);

enum { UNICODE_SEGMENT_POINTS = 64, UNICODE_SEGMENT_OUT = UNICODE_SEGMENT_POINTS * 18 };

/* NFKC of one segment of at most UNICODE_SEGMENT_POINTS code points. Returns the number of code points
 * written. *ret_canonical tells whether NFC gives the same. 0 when ICU fails. */
size_t unicode_nfkc(const struct unicode *u, const uint32_t *points, size_t count,
                    uint32_t out[UNICODE_SEGMENT_OUT]);

#endif
