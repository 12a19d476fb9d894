/* SPDX-License-Identifier: Apache-2.0
 *
 * The text views: whatever the bytes are, the views are well-formed UTF-8 and their maps go forward.
 */
#include <stdlib.h>

#include "base/utf8.h"
#include "decode/worker/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct text_view *view, size_t raw_size) {
    if (!utf8_valid(view->text, view->size, NULL)) {
        abort();
    }
    for (size_t i = 0; view->map != NULL && i < view->size; i++) {
        if (view->map[i] > view->map[i + 1] || view->map[view->size] != raw_size) {
            abort();
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct unicode *unicode;
    struct canonical_text text;
    struct error error;
    uint32_t flags = 0;
    size_t space = size * 64 + 4096;
    struct sink sink = {.bytes = malloc(space), .size = space};
    if (sink.bytes == NULL || (unicode == NULL && unicode_new(&unicode, &error) != 0)) {
        abort();
    }
    if (text_canonicalise(unicode, data, size, true, &sink, &text, &flags, &error) == 0) {
        check(&text.raw, text.raw.size);
        check(&text.clean, text.raw.size);
        check(&text.hidden, text.raw.size);
        check(&text.folded, text.raw.size);
    }
    free(sink.bytes);
    return 0;
}
