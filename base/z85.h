/* SPDX-License-Identifier: Apache-2.0
 *
 * CURVE keys as text: 32 bytes in Z85 (ZeroMQ RFC 32), 40 characters.
 */
#ifndef BUCKLER_BASE_Z85_H
#define BUCKLER_BASE_Z85_H

#include <stdbool.h>

enum { Z85_KEY_SIZE = 41 }; /* with a NUL */

/* True when `text` is 40 characters of Z85 whose every five stand for four bytes. */
bool z85_is_key(const char *text);

/* The next key of a text with one key a line; empty lines are skipped. 1 with the key, 0 at the end, -EINVAL
 * at a line that is no key. Moves *text behind the line. */
int z85_next_key(const char **text, char ret_key[Z85_KEY_SIZE]);

#endif
