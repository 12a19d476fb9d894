/* SPDX-License-Identifier: Apache-2.0
 *
 * The grammar of single values: from the words of a file to numbers. Inside config/ only.
 */
#ifndef BUCKLER_CONFIG_VALUE_H
#define BUCKLER_CONFIG_VALUE_H

#include <stdbool.h>
#include <stdint.h>

/* What YAML 1.2 makes of a plain word. */
enum value_kind { VALUE_TEXT, VALUE_NULL, VALUE_BOOL, VALUE_NUMBER };
enum value_kind value_kind_of(const char *word);

/* Each returns NULL and stores the value, or a half sentence that says what is wrong ("expected …"). */
const char *value_integer(const char *word, uint64_t *ret);
const char *value_size(const char *word, uint64_t *ret_bytes);
const char *value_duration(const char *word, uint64_t *ret_ns);
const char *value_fraction(const char *word, uint64_t *ret_ppm);
const char *value_bool(const char *word, bool *ret);

#endif
