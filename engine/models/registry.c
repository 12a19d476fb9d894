/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "engine/models/text.h"

static const struct text_architecture *const architectures[] = {
    &text_gemma1,
    &text_gemma2,
    &text_gemma3,
    &text_embedding,
};

const struct text_architecture *text_architecture_find(const char *name, size_t size) {
    for (size_t i = 0; i < sizeof architectures / sizeof architectures[0]; i++) {
        if (strlen(architectures[i]->name) == size && memcmp(architectures[i]->name, name, size) == 0) {
            return architectures[i];
        }
    }
    return NULL;
}

int text_configure(const struct tensor_file *file, const struct text_architecture **ret_architecture,
                   struct text_config *ret_config, struct error *reterr) {
    const char *name;
    size_t size;

    if (!meta_string(file, "general.architecture", &name, &size)) {
        return error_set(reterr, ENGINE_E_FORMAT, "the file does not name its architecture");
    }
    const struct text_architecture *a = text_architecture_find(name, size);
    if (a == NULL) {
        return error_set(reterr, ENGINE_E_UNSUPPORTED,
                         "the architecture \"%.*s\" is not one that this build runs",
                         (int)(size < 64 ? size : 64), name);
    }
    int r = a->configure(file, ret_config, reterr);
    if (r != 0) {
        return r;
    }
    *ret_architecture = a;
    return 0;
}
