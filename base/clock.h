/* SPDX-License-Identifier: Apache-2.0
 *
 * Time. Deadlines and durations use the monotonic clock; records carry the wall clock.
 */
#ifndef BUCKLER_BASE_CLOCK_H
#define BUCKLER_BASE_CLOCK_H

#include <stdint.h>

uint64_t clock_monotonic_ns(void);
uint64_t clock_unix_ns(void);

#endif
