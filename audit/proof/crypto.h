/* SPDX-License-Identifier: Apache-2.0
 *
 * What the proofs need of OpenSSL, behind a door: a hash over pieces and Ed25519 (RFC 8032). crypto.c is the
 * only file of audit/proof/ that includes OpenSSL.
 */
#ifndef BUCKLER_AUDIT_PROOF_CRYPTO_H
#define BUCKLER_AUDIT_PROOF_CRYPTO_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum { CRYPTO_SEED_BYTES = 32, CRYPTO_PUBLIC_BYTES = 32, CRYPTO_SIGNATURE_BYTES = 64 };

struct crypto_key; /* a private key, in memory that OpenSSL clears when it is freed */

/* SHA-256 of one byte and what follows it. Negative only when OpenSSL cannot allocate. */
int crypto_sha256(uint8_t first, const void *bytes, size_t size, uint8_t ret_digest[32]) MUST_CHECK;

int crypto_key_new(const uint8_t seed[CRYPTO_SEED_BYTES], struct crypto_key **ret) MUST_CHECK;
struct crypto_key *crypto_key_free(struct crypto_key *key);

int crypto_key_public(const struct crypto_key *key, uint8_t ret_public[CRYPTO_PUBLIC_BYTES]) MUST_CHECK;
int crypto_sign(const struct crypto_key *key, const void *bytes, size_t size,
                uint8_t ret_signature[CRYPTO_SIGNATURE_BYTES]) MUST_CHECK;

/* 0: `signature` is one of `bytes` by that key; -EBADMSG: it is not; -ENOMEM. */
int crypto_verify(const uint8_t public_key[CRYPTO_PUBLIC_BYTES], const void *bytes, size_t size,
                  const uint8_t signature[CRYPTO_SIGNATURE_BYTES]) MUST_CHECK;

#endif
