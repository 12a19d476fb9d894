/* SPDX-License-Identifier: Apache-2.0
 *
 * CRC-32C (Castagnoli, as in RFC 3720): finds bytes that were torn or damaged by accident, never on purpose.
 */
#ifndef BUCKLER_BASE_CRC32C_H
#define BUCKLER_BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* `crc` is 0 to begin with, or what was returned for the bytes before these. */
uint32_t crc32c(uint32_t crc, const void *bytes, size_t size);

#endif
