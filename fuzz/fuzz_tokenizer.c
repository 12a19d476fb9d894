/* SPDX-License-Identifier: Apache-2.0
 *
 * Bytes that open as GGUF become a tokenizer; others are a text for the tokenizer of the seed `vocabulary`,
 * whose tokens must lie in order inside the text and, unless asked for, hold no control token.
 */
#include <stdlib.h>

#include "engine/formats/tensors.h"
#include "engine/tokenizer/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct tokenizer *t, const uint8_t *data, size_t size, bool control) {
    uint32_t *tokens = NULL;
    uint32_t *offsets = NULL;
    size_t count = 0;
    if (tokenizer_encode(t, (const char *)data, size, false, control, &tokens, &offsets, &count, NULL) != 0) {
        return;
    }
    for (size_t i = 0; i < count; i++) {
        size_t end = i + 1 < count ? offsets[i + 1] : size;
        if (tokens[i] >= tokenizer_size(t) || offsets[i] > end || end > size ||
            (!control && tokenizer_is_control(t, tokens[i]))) {
            abort();
        }
    }
    free(tokens);
    free(offsets);
}

/* The tokenizer of the seed, built once: a run is then fast enough to find something. */
static const struct tokenizer *shared(void) {
    static struct tensor_file *file;
    static struct tokenizer *t;
    if (t == NULL && (gguf_open(BUCKLER_SOURCE_DIR "/fuzz/seeds/tokenizer/vocabulary", &file, NULL) != 0 ||
                      tokenizer_from_gguf(file, &t, NULL) != 0)) {
        abort();
    }
    return t;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char text[] = "abc  <b>a</b>\n\n \xc3\xa9 a<start_of_turn>b";
    struct tensor_file *file = NULL;
    struct tokenizer *t = NULL;
    if (gguf_open_memory(data, size, &file, NULL) != 0) {
        check(shared(), data, size, false);
        check(shared(), data, size, true);
    } else if (tokenizer_from_gguf(file, &t, NULL) == 0) {
        check(t, (const uint8_t *)text, sizeof text - 1, false);
        check(t, (const uint8_t *)text, sizeof text - 1, true);
    }
    (void)tokenizer_free(t);
    (void)tensor_file_free(file);
    return 0;
}
