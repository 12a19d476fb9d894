/* SPDX-License-Identifier: Apache-2.0
 *
 * The log's line checker over foreign bytes, and three promises: canonical is what a JSON library reads and
 * writes again as the same bytes; a payload that the writer takes gives a line that readers take; a chain that
 * took a line does not take it again.
 */
#include <jansson.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "audit/canonical.h"
#include "audit/chain.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_chain(const uint8_t *data, size_t size) {
    struct chain chain;
    struct error error;
    chain_start(&chain);
    for (size_t at = 0; at < size;) {
        const uint8_t *newline = memchr(data + at, '\n', size - at);
        size_t length = newline == NULL ? size - at : (size_t)(newline - data) - at;
        const char *line = (const char *)data + at;
        if (chain_accept(&chain, line, length, &error) == 0 &&
            chain_accept(&chain, line, length, &error) == 0) {
            abort();
        }
        at += length + 1;
    }
}

static void check_payload(const uint8_t *data, size_t size) {
    struct buf out = {0};
    struct record_link link = {.index = 5, .batch = 3, .time_ns = 1};
    struct record_link again;
    struct error error;
    memset(link.prev, 'f', sizeof link.prev - 1);
    if (record_build(data, size, &link, &out, &error) == 0) {
        if (record_parse((const char *)out.bytes, out.size - 1, &again, NULL, &error) != 0 ||
            again.index != 5 || memchr(out.bytes, '\n', out.size - 1) != NULL) {
            abort();
        }
    }
    buf_deinit(&out);
}

static bool only_integers(const json_t *value) {
    size_t index = 0;
    const char *key = NULL;
    json_t *item = NULL;
    bool fine = !json_is_real(value);
    if (json_is_object(value)) {
        json_object_foreach((json_t *)(uintptr_t)value, key, item) {
            fine = fine && only_integers(item);
        }
    }
    json_array_foreach(value, index, item) {
        fine = fine && only_integers(item);
    }
    return fine;
}

static void check_canonical(const uint8_t *data, size_t size) {
    json_error_t error;
    const char *why = canonical_check((const char *)data, size, NULL, NULL);
    json_t *object = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, &error);
    char *again = json_is_object(object) ? json_dumps(object, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    bool same =
        again != NULL && only_integers(object) && strlen(again) == size && memcmp(again, data, size) == 0;
    if (same != (why == NULL) && (why == NULL || strcmp(why, "is nested too deeply") != 0)) {
        abort();
    }
    free(again);
    json_decref(object);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    check_canonical(data, size);
    check_chain(data, size);
    check_payload(data, size);
    return 0;
}
