/* SPDX-License-Identifier: Apache-2.0
 *
 * The tables of this build. Which of them exist is a choice of files in CMakeLists.txt.
 */
#ifndef BUCKLER_ENGINE_KERNELS_SETS_H
#define BUCKLER_ENGINE_KERNELS_SETS_H

#include "engine/kernels/kernels.h"

extern const struct kernel_set kernel_set_portable;
extern const struct kernel_set kernel_set_avx2;
extern const struct kernel_set kernel_set_avx512;

/* Table number `index` of those this processor runs, the best first and the portable one last; NULL beyond
 * it. */
const struct kernel_set *kernel_runnable(size_t index);

#endif
