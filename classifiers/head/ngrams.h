/* SPDX-License-Identifier: Apache-2.0
 *
 * Words and characters beside the model: hashed n-grams with one byte of weight for each category, in the
 * manner of hashed linear text classifiers. It knows spellings that the model's tokens hide, and costs
 * microseconds.
 *
 * A text is its bytes with A to Z lowered. Words are runs of letters, digits and bytes above 0x7F, the first
 * 4096 of them. Features: each word, each pair of neighbours (a space between), and each run of 3 to 5 bytes
 * of " word ". The bucket of a feature is FNV-1a (32 bits) over a seed byte (1 word, 2 pair, 3 characters)
 * and its bytes, x ^ x >> 15, modulo NGRAM_BUCKETS. A bucket counts once. What a text weighs for a category
 * is the sum of its buckets' bytes · step / √buckets.
 */
#ifndef BUCKLER_CLASSIFIERS_HEAD_NGRAMS_H
#define BUCKLER_CLASSIFIERS_HEAD_NGRAMS_H

#include <stddef.h>
#include <stdint.h>

enum { NGRAM_BUCKETS = 1 << 18, NGRAM_MAX_WORDS = 4096 };

/* Which buckets a text has met: a bit each. */
struct ngram_marks {
    uint64_t bits[NGRAM_BUCKETS / 64];
};

/* Adds the bytes of all buckets of `text` to `sums` [count]; `table` [NGRAM_BUCKETS, count]. Returns how many
 * buckets there were. `marks` is scratch. */
size_t ngrams_sum(const char *text, size_t size, const int8_t *table, size_t count, struct ngram_marks *marks,
                  int32_t sums[]);

/* What a sum weighs. */
double ngrams_weigh(int32_t sum, size_t buckets, double step);

#endif
