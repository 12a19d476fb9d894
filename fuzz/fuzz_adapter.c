/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as an adapter: u16 length and adapter_config.json, then the weights file, whichever it is.
 * Whatever opens keeps its promises.
 */
#include <math.h>
#include <stdlib.h>

#include "engine/formats/adapter.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool fine) {
    if (!fine) {
        abort();
    }
}

static size_t check_pair(const struct adapter_pair *p, const uint8_t *weights, size_t size) {
    const struct tensor *halves[2] = {p->a, p->b};

    must((p->a == NULL) == (p->b == NULL));
    if (p->a == NULL) {
        return 0;
    }
    must(p->rank >= 1 && p->rank <= ADAPTER_MAX_RANK && isfinite(p->scale));
    must(p->a->dims[p->transposed ? 0 : 1] == p->rank && p->b->dims[p->transposed ? 1 : 0] == p->rank);
    for (int i = 0; i < 2; i++) {
        size_t offset = (size_t)((const uint8_t *)halves[i]->data - weights);
        size_t value = halves[i]->type == 0 ? 4 : 2;

        must(offset <= size && halves[i]->bytes <= size - offset);
        must(halves[i]->bytes == halves[i]->dims[0] * halves[i]->dims[1] * value);
    }
    return 2;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct adapter_file *file = NULL;
    struct error e = {0};

    if (size < 2) {
        return 0;
    }
    size_t config = (size_t)(data[0] | data[1] << 8);
    if (config > size - 2) {
        return 0;
    }
    const uint8_t *weights = data + 2 + config;
    size_t weights_size = size - 2 - config, placed = 0;
    if (adapter_file_open_memory(weights, weights_size, data + 2, config, &file, &e) != 0) {
        must(e.text[0] != '\0');
        return 0;
    }
    for (size_t layer = 0; layer < ADAPTER_MAX_LAYERS; layer++) {
        for (int target = 0; target < ADAPTER_TARGETS; target++) {
            placed += check_pair(&file->pairs[layer][target], weights, weights_size);
        }
    }
    must(placed > 0 && placed == tensor_count(file->tensors));
    (void)adapter_file_free(file);
    return 0;
}
