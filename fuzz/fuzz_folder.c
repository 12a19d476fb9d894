/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as the files of a Hugging Face folder: whatever opens keeps its promises. The input is a file
 * after the other: u8 which name, u16 size, the bytes.
 */
#include <stdlib.h>

#include "base/cursor.h"
#include "engine/formats/folder.h"
#include "engine/tokenizer/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const names[] = {"config.json",    "model.safetensors", "model.safetensors.index.json",
                                    "a.safetensors",  "b.safetensors",     "tokenizer.json",
                                    "tokenizer.model"};

enum { NAMES = sizeof names / sizeof names[0] };

static void check(const struct tensor_file *file) {
    uint64_t sum = 0;

    for (size_t i = 0; i < tensor_count(file); i++) {
        const struct tensor *t = tensor_at(file, i);

        if (tensor_find(file, t->name) != t) {
            abort();
        }
        for (uint64_t k = 0; k < t->bytes; k++) {
            sum += ((const uint8_t *)t->data)[k];
        }
    }
    volatile uint64_t read = sum; /* all of it can be read */
    (void)read;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct folder_part parts[2 * NAMES];
    struct tensor_file *file = NULL;
    struct tokenizer *tokenizer = NULL;
    struct error e = {0};
    struct cursor c;
    size_t count = 0;

    cursor_init(&c, data, size);
    while (cursor_left(&c) > 3 && count < 2 * NAMES) {
        const char *name = names[cursor_u8(&c) % NAMES];
        size_t part = cursor_u16(&c);

        part = part < cursor_left(&c) ? part : cursor_left(&c);
        parts[count++] = (struct folder_part){.name = name, .bytes = cursor_take(&c, part), .size = part};
    }
    if (folder_open_memory(parts, count, &file, &e) != 0) {
        return 0;
    }
    check(file);
    if (tokenizer_from_gguf(file, &tokenizer, &e) == 0) {
        uint32_t *tokens = NULL;
        size_t tokens_count = 0;

        if (tokenizer_encode(tokenizer, "Yes, no\n", 8, true, false, &tokens, NULL, &tokens_count, &e) == 0) {
            free(tokens);
        }
    }
    (void)tokenizer_free(tokenizer);
    (void)tensor_file_free(file);
    return 0;
}
