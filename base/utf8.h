/* SPDX-License-Identifier: Apache-2.0
 *
 * UTF-8: validation and stepping. Unicode Standard 15, table 3-7: shortest form, no surrogates, at most
 * U+10FFFF.
 */
#ifndef BUCKLER_BASE_UTF8_H
#define BUCKLER_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Length in bytes (1 to 4) of the well-formed sequence at the start of `bytes`, with its code point in
 * *ret_point; 0 when the first bytes are not well-formed or size is 0. */
size_t utf8_decode(const void *bytes, size_t size, uint32_t *ret_point);

/* Writes 1 to 4 bytes into `out` and returns their number; 0 for a surrogate or a value above U+10FFFF. */
size_t utf8_encode(uint32_t point, char out[4]);

/* True when all of it is well-formed; else *ret_offset is the offset of the first bad byte (may be NULL). */
bool utf8_valid(const void *bytes, size_t size, size_t *ret_offset);

#endif
