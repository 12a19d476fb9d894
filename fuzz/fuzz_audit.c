/* SPDX-License-Identifier: Apache-2.0
 *
 * The log's line checker over foreign bytes, and the two promises between writing and reading: a payload that
 * the writer takes gives a line that readers take, and a chain that took a line does not take it again.
 */
#include <stdlib.h>
#include <string.h>

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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    check_chain(data, size);
    check_payload(data, size);
    return 0;
}
