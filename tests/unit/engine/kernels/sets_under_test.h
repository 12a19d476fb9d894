/* SPDX-License-Identifier: Apache-2.0
 *
 * Every table this processor runs, the portable one included.
 */
#ifndef BUCKLER_TESTS_UNIT_ENGINE_KERNELS_SETS_UNDER_TEST_H
#define BUCKLER_TESTS_UNIT_ENGINE_KERNELS_SETS_UNDER_TEST_H

#include "engine/kernels/sets.h"

#define FOR_EACH_SET(k)                                                                                      \
    for (size_t set_ = 0; set_ < 8; set_++)                                                                  \
        for (const struct kernel_set *k = kernel_runnable(set_); k; k = NULL)

#endif
