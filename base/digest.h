/* SPDX-License-Identifier: Apache-2.0
 *
 * SHA-256 (FIPS 180-4), HMAC-SHA-256 (RFC 2104) and hexadecimal. The only door to OpenSSL outside audit/.
 */
#ifndef BUCKLER_BASE_DIGEST_H
#define BUCKLER_BASE_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum { DIGEST_BYTES = 32, DIGEST_HEX_SIZE = 65 };

/* Negative only when OpenSSL cannot allocate. */
int digest_sha256(const void *bytes, size_t size, uint8_t ret_digest[DIGEST_BYTES]) MUST_CHECK;
int digest_hmac(const void *key, size_t key_size, const void *bytes, size_t size,
                uint8_t ret_digest[DIGEST_BYTES]) MUST_CHECK;

/* SHA-256 of a whole file, read through a mapping. */
int digest_file(const char *path, uint8_t ret_digest[DIGEST_BYTES], struct error *reterr) MUST_CHECK;

/* Lower-case hexadecimal and a NUL: out has 2·size + 1 bytes. */
void hex_encode(const void *bytes, size_t size, char *out);

/* Exactly 2·size hexadecimal digits; false when `text` is anything else. */
bool hex_decode(const char *text, void *ret_bytes, size_t size);

#endif
