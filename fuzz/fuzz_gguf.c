/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as a GGUF file: whatever opens keeps its promises.
 */
#include <stdlib.h>

#include "engine/formats/tensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool touch(void *user, uint64_t index, const char *text, size_t size) {
    unsigned *sum = user;
    *sum += (unsigned)index + (size > 0 ? (unsigned char)text[size - 1] : 0);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct tensor_file *file = NULL;
    struct error e = {0};
    unsigned sum = 0;
    uint64_t count = 0;
    if (gguf_open_memory(data, size, &file, &e) != 0) {
        return 0;
    }
    for (size_t i = 0; i < tensor_count(file); i++) {
        const struct tensor *t = tensor_at(file, i);
        size_t offset = (size_t)((const uint8_t *)t->data - data);
        if (offset > size || t->bytes > size - offset || tensor_find(file, t->name) != t) {
            abort();
        }
    }
    (void)meta_each_string(file, "t.strings", touch, &sum);
    (void)meta_array_u64(file, "t.numbers", 1, &count);
    (void)meta_array_raw(file, "t.numbers", 5, &count);
    (void)tensor_file_free(file);
    return 0;
}
