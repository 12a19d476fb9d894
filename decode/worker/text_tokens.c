/* SPDX-License-Identifier: Apache-2.0
 *
 * Strings that the Gemma family's vocabularies use as control tokens. They stay text (the tokenizer makes
 * them inert); somebody who writes them into content is worth a flag.
 */
#include <string.h>

#include "base/vocabulary.h"
#include "decode/worker/text_steps.h"

/* Behind the opening bracket. */
static const char *const angle[] = {
    "start_of_turn>",
    "end_of_turn>",
    "start_of_image>",
    "end_of_image>",
    "image_soft_token>",
    "start_of_audio>",
    "end_of_audio>",
    "audio_soft_token>",
    "bos>",
    "eos>",
    "pad>",
    "unk>",
    "mask>",
};

static bool matches(const struct points *text, size_t i, const char *word) {
    size_t n = strlen(word);
    if (n > text->count - i) {
        return false;
    }
    for (size_t k = 0; k < n; k++) {
        if (text->p[i + k].code != (uint32_t)(unsigned char)word[k]) {
            return false;
        }
    }
    return true;
}

/* "unused" digits ">" */
static bool is_unused(const struct points *text, size_t i) {
    if (!matches(text, i, "unused")) {
        return false;
    }
    size_t digits = i + 6;
    while (digits < text->count && digits - i < 12 && text->p[digits].code >= '0' &&
           text->p[digits].code <= '9') {
        digits++;
    }
    return digits > i + 6 && digits < text->count && text->p[digits].code == '>';
}

/* Gemma 4 marks: "<|turn>", "<turn|>", "<|think|>": a word with a bar inside at least one bracket. */
static bool is_barred(const struct points *text, size_t i) {
    bool bar = i < text->count && text->p[i].code == '|';
    size_t word = i + bar;
    size_t at = word;
    while (at < text->count && at - word < 24 &&
           ((text->p[at].code >= 'a' && text->p[at].code <= 'z') || text->p[at].code == '_')) {
        at++;
    }
    if (at == word) {
        /* "<|"|>" quotes strings inside tool calls. */
        return matches(text, i, "|\"|>");
    }
    bool closing = at < text->count && text->p[at].code == '|';
    at += closing;
    return (bar || closing) && at < text->count && text->p[at].code == '>';
}

void text_find_control_tokens(const struct points *text, struct text_trace *trace) {
    for (size_t i = 0; i < text->count; i++) {
        bool found = text->p[i].code == '[' && matches(text, i + 1, "multimodal]");
        if (text->p[i].code == '<') {
            found = is_unused(text, i + 1) || is_barred(text, i + 1);
            for (size_t k = 0; k < sizeof angle / sizeof *angle && !found; k++) {
                found = matches(text, i + 1, angle[k]);
            }
        }
        if (found) {
            trace->flags |= FLAG_CONTROL_TOKEN;
            return;
        }
    }
}
