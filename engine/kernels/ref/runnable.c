/* SPDX-License-Identifier: Apache-2.0
 *
 * For processors without a table of their own.
 */
#include "engine/kernels/sets.h"

const struct kernel_set *kernel_runnable(size_t index) {
    return index == 0 ? &kernel_set_portable : NULL;
}
