/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/kernels/kernels.h"

#include <string.h>

#include "engine/kernels/sets.h"

const struct kernel_set *kernel_choose(const char *name) {
    const struct kernel_set *set;

    for (size_t i = 0; (set = kernel_runnable(i)); i++) {
        if (!name || strcmp(set->name, name) == 0) {
            return set;
        }
    }
    return NULL;
}
