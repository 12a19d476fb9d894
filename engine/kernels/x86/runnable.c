/* SPDX-License-Identifier: Apache-2.0
 *
 * Asks the processor; the answer includes whether the system saves the wide registers.
 */
#include "engine/kernels/sets.h"

const struct kernel_set *kernel_runnable(size_t index) {
    const struct kernel_set *sets[3];
    size_t count = 0;

    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512vnni")) {
        sets[count++] = &kernel_set_avx512;
    }
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        sets[count++] = &kernel_set_avx2;
    }
    sets[count++] = &kernel_set_portable;
    return index < count ? sets[index] : NULL;
}
