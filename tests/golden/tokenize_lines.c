/* SPDX-License-Identifier: Apache-2.0
 *
 * tokenize_lines MODEL: a GGUF file or a Hugging Face folder; many texts through one tokenizer. Standard
 * input: u32 little-endian length and that many bytes of UTF-8, repeated. Standard output: one line of ids
 * for each, as user text without BOS.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/cursor.h"
#include "engine/formats/folder.h"
#include "engine/formats/tensors.h"
#include "engine/tokenizer/tokenizer.h"

enum { TEXT_MAX = 1 << 24 };

/* 1: one text done, 0: the input ended, negative: failed */
static int next(const struct tokenizer *t) {
    uint8_t head[4];
    if (fread(head, 1, sizeof head, stdin) != sizeof head) {
        return 0;
    }
    struct cursor c;
    struct error e = {0};
    cursor_init(&c, head, sizeof head);
    size_t size = cursor_u32(&c);
    CLEANUP(free_ptr) char *text = size <= TEXT_MAX ? malloc(size + 1) : NULL;
    if (text == NULL || fread(text, 1, size, stdin) != size) {
        return -EINVAL;
    }
    CLEANUP(free_ptr) uint32_t *tokens = NULL;
    size_t count = 0;
    if (tokenizer_encode(t, text, size, false, false, &tokens, NULL, &count, &e) != 0) {
        (void)fprintf(stderr, "tokenize_lines: %s\n", e.text);
        return -EINVAL;
    }
    for (size_t i = 0; i < count; i++) {
        printf("%s%u", i > 0 ? " " : "", tokens[i]);
    }
    (void)putchar('\n');
    return 1;
}

int main(int argc, char **argv) {
    struct error e = {0};
    struct tensor_file *file = NULL;
    struct tokenizer *t = NULL;
    struct stat st;
    bool folder = argc == 2 && stat(argv[1], &st) == 0 && S_ISDIR(st.st_mode);
    int rc = argc != 2 ? error_set(&e, -EINVAL, "usage: tokenize_lines MODEL")
             : folder  ? folder_open(argv[1], &file, &e)
                       : gguf_open(argv[1], &file, &e);
    rc = rc != 0 ? rc : tokenizer_from_gguf(file, &t, &e);
    if (rc != 0) {
        (void)fprintf(stderr, "tokenize_lines: %s\n", e.text);
    }
    while (rc == 0 || rc == 1) {
        rc = next(t);
        if (rc == 0) {
            break;
        }
    }
    t = tokenizer_free(t);
    file = tensor_file_free(file);
    return rc == 0 ? 0 : 1;
}
