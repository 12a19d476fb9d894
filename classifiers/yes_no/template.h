/* SPDX-License-Identifier: Apache-2.0
 *
 * The questions that ShieldGemma was trained on, as data. A model's scores move when a line break of them
 * moves, so they are written once, here, and their digest goes into every audit record.
 *
 * A filled-in template is the pieces in this order; `field` is text of a client or of a policy with one space
 * before it:
 *
 *   prompt:    opening · field · rule · field · question
 *   response:  opening · field · middle · field · rule · field · question
 */
#ifndef BUCKLER_CLASSIFIERS_YES_NO_TEMPLATE_H
#define BUCKLER_CLASSIFIERS_YES_NO_TEMPLATE_H

#include <stddef.h>

enum template_use { TEMPLATE_PROMPT, TEMPLATE_RESPONSE, TEMPLATE_USE_COUNT };

struct template_text {
    const char *opening;  /* up to the user's question */
    const char *middle;   /* between the question and the answer; NULL when only a question is judged */
    const char *rule;     /* up to the guideline */
    const char *question; /* to the end */
};

struct template_guideline {
    const char *category;
    const char *text[TEMPLATE_USE_COUNT];
};

extern const struct template_text template_texts[TEMPLATE_USE_COUNT];

/* NULL: a category that the model has no wording of its own for. */
const struct template_guideline *template_guideline_find(const char *category);
const struct template_guideline *template_guidelines(size_t *ret_count);

/* Control tokens that a vocabulary must have. */
extern const char *const template_turn_tokens[2];

#endif
