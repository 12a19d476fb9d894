/* SPDX-License-Identifier: Apache-2.0 */
#include "audit/proof/crypto.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>

#include "base/cleanup.h"

struct crypto_key {
    EVP_PKEY *pair;
};

static void free_context(EVP_MD_CTX **context) {
    EVP_MD_CTX_free(*context);
}

static void free_pkey(EVP_PKEY **key) {
    EVP_PKEY_free(*key);
}

int crypto_sha256(uint8_t first, const void *bytes, size_t size, uint8_t ret_digest[32]) {
    CLEANUP(free_context) EVP_MD_CTX *context = EVP_MD_CTX_new();
    return context != NULL && EVP_DigestInit_ex(context, EVP_sha256(), NULL) == 1 &&
                   EVP_DigestUpdate(context, &first, 1) == 1 && EVP_DigestUpdate(context, bytes, size) == 1 &&
                   EVP_DigestFinal_ex(context, ret_digest, NULL) == 1
               ? 0
               : -ENOMEM;
}

int crypto_key_new(const uint8_t seed[CRYPTO_SEED_BYTES], struct crypto_key **ret) {
    struct crypto_key *key = calloc(1, sizeof *key);
    if (key == NULL) {
        return -ENOMEM;
    }
    key->pair = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, CRYPTO_SEED_BYTES);
    if (key->pair == NULL) {
        free(key);
        return -ENOMEM;
    }
    *ret = key;
    return 0;
}

struct crypto_key *crypto_key_free(struct crypto_key *key) {
    if (key != NULL) {
        EVP_PKEY_free(key->pair);
        free(key);
    }
    return NULL;
}

int crypto_key_public(const struct crypto_key *key, uint8_t ret_public[CRYPTO_PUBLIC_BYTES]) {
    size_t size = CRYPTO_PUBLIC_BYTES;
    return EVP_PKEY_get_raw_public_key(key->pair, ret_public, &size) == 1 && size == CRYPTO_PUBLIC_BYTES
               ? 0
               : -ENOMEM;
}

int crypto_sign(const struct crypto_key *key, const void *bytes, size_t size,
                uint8_t ret_signature[CRYPTO_SIGNATURE_BYTES]) {
    CLEANUP(free_context) EVP_MD_CTX *context = EVP_MD_CTX_new();
    size_t length = CRYPTO_SIGNATURE_BYTES;
    return context != NULL && EVP_DigestSignInit(context, NULL, NULL, NULL, key->pair) == 1 &&
                   EVP_DigestSign(context, ret_signature, &length, bytes, size) == 1 &&
                   length == CRYPTO_SIGNATURE_BYTES
               ? 0
               : -ENOMEM;
}

int crypto_verify(const uint8_t public_key[CRYPTO_PUBLIC_BYTES], const void *bytes, size_t size,
                  const uint8_t signature[CRYPTO_SIGNATURE_BYTES]) {
    CLEANUP(free_context) EVP_MD_CTX *context = EVP_MD_CTX_new();
    CLEANUP(free_pkey)
    EVP_PKEY *key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, public_key, CRYPTO_PUBLIC_BYTES);
    if (context == NULL || key == NULL || EVP_DigestVerifyInit(context, NULL, NULL, NULL, key) != 1) {
        return -ENOMEM;
    }
    return EVP_DigestVerify(context, signature, CRYPTO_SIGNATURE_BYTES, bytes, size) == 1 ? 0 : -EBADMSG;
}
