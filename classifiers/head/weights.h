/* SPDX-License-Identifier: Apache-2.0
 *
 * What heads.safetensors holds, for the categories that are scored, ready to be applied:
 *
 *   raw   = weight · (x − mean) / scale + bias + n-grams        x: the means of the card's layers side by
 * side score = sigmoid(calibration[0] · raw + calibration[1])
 */
#ifndef BUCKLER_CLASSIFIERS_HEAD_WEIGHTS_H
#define BUCKLER_CLASSIFIERS_HEAD_WEIGHTS_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "classifiers/head/card.h"

enum { HEAD_MAX_BYTES = 64 << 20 }; /* of heads.safetensors */

struct head_weights {
    size_t features, count;
    double *weight; /* [features, count]: the sums of all categories run side by side; scale and mean are
                       folded in */
    double bias[CARD_MAX_CATEGORIES], slope[CARD_MAX_CATEGORIES], shift[CARD_MAX_CATEGORIES];
    int8_t *table; /* [NGRAM_BUCKETS, count]; NULL without n-grams */
    double step[CARD_MAX_CATEGORIES];
};

/* The n-grams of a window: sums of the table's bytes, and how many buckets. */
struct head_ngrams {
    int32_t sums[CARD_MAX_CATEGORIES];
    size_t buckets;
};

/* Reads the file's bytes; `rows` [count] are the card's rows that are wanted. CLASSIFIER_E_INVALID with a
 * sentence. */
int head_weights_read(const void *bytes, size_t size, const struct card *card, size_t features,
                      const size_t rows[], size_t count, struct head_weights *ret,
                      struct error *reterr) MUST_CHECK;
void head_weights_deinit(struct head_weights *w); /* accepts a zeroed one */

/* raw [count] of x [features]; `ngrams` is not looked at without a table. */
void head_weights_apply(const struct head_weights *w, const float *x, const struct head_ngrams *ngrams,
                        double raw[]);

#endif
