/* SPDX-License-Identifier: Apache-2.0
 *
 * card.json beside a head says what it was fitted on and to what. The head means nothing with any other
 * model, other layers or another way of pooling, so all of it is checked.
 */
#ifndef BUCKLER_CLASSIFIERS_HEAD_CARD_H
#define BUCKLER_CLASSIFIERS_HEAD_CARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum { CARD_MAX_LAYERS = 8, CARD_MAX_CATEGORIES = 32, CARD_MAX_BYTES = 1 << 20, CARD_NAME_SIZE = 65 };

struct card {
    char base_file[256];
    char base_sha256[65];
    uint32_t layers[CARD_MAX_LAYERS];
    size_t layer_count;
    uint32_t window; /* tokens */

    /* A window is judged as a whole and, when it is longer, by each stretch of span_tokens; one begins every
     * span_stride tokens. 0: as a whole only. */
    uint32_t span_tokens, span_stride;
    char categories[CARD_MAX_CATEGORIES][CARD_NAME_SIZE];
    size_t category_count;

    char adapter_file[256]; /* a LoRA beside the card; empty: the base model as it is */
    char adapter_sha256[65];
    bool ngrams; /* the tensors hold n-gram weights (ngrams.h) */

    /* How a reply is shown with what it answers: before, the prompt's last tokens, after. */
    char context_before[256], context_after[256];
    uint32_t context_tokens; /* 0: a reply is read alone */
};

int card_read(const void *bytes, size_t size, struct card *ret, struct error *reterr) MUST_CHECK;

#endif
