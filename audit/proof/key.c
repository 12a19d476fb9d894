/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "audit/proof/note_key.h"
#include "audit/proof/tree.h"
#include "base/cleanup.h"
#include "base/digest.h"
#include "base/utf8.h"

struct note_signer {
    struct note_key key;
    struct crypto_key *secret;
};

/* Unicode's White_Space, of which the controls below U+0020 and the space itself are the first. */
static bool is_space_or_control(uint32_t point) {
    return point <= 0x20 || point == 0x7f || point == 0x85 || point == 0xa0 || point == 0x1680 ||
           (point >= 0x2000 && point <= 0x200a) || point == 0x2028 || point == 0x2029 || point == 0x202f ||
           point == 0x205f || point == 0x3000;
}

bool note_name_valid(struct slice name) {
    size_t at = 0;
    while (at < name.size) {
        uint32_t point = 0;
        size_t length = utf8_decode(name.bytes + at, name.size - at, &point);
        if (length == 0 || is_space_or_control(point) || point == '+') {
            return false;
        }
        at += length;
    }
    return name.size > 0;
}

static bool kind_known(unsigned kind) {
    return kind == NOTE_ED25519 || kind == NOTE_COSIGNATURE;
}

/* `name` is valid and shorter than NOTE_NAME_SIZE. */
static int make(struct slice name, enum note_kind kind, const uint8_t *public_key, struct note_key *ret,
                struct error *reterr) {
    struct note_key key = {.kind = kind};
    uint8_t named[NOTE_NAME_SIZE + 2 + CRYPTO_PUBLIC_BYTES];
    uint8_t digest[DIGEST_BYTES];
    memcpy(key.name, name.bytes, name.size);
    memcpy(key.public_key, public_key, CRYPTO_PUBLIC_BYTES);
    memcpy(named, name.bytes, name.size);
    named[name.size] = '\n';
    named[name.size + 1] = (uint8_t)kind;
    memcpy(named + name.size + 2, public_key, CRYPTO_PUBLIC_BYTES);
    int rc = digest_sha256(named, name.size + 2 + CRYPTO_PUBLIC_BYTES, digest);
    if (rc < 0) {
        return error_errno(reterr, -rc, "a key id cannot be computed");
    }
    key.id = (uint32_t)digest[0] << 24 | (uint32_t)digest[1] << 16 | (uint32_t)digest[2] << 8 | digest[3];
    *ret = key;
    return 0;
}

int note_key_make(const char *name, enum note_kind kind, const uint8_t public_key[CRYPTO_PUBLIC_BYTES],
                  struct note_key *ret, struct error *reterr) {
    struct slice text = {name, strlen(name)};
    if (!kind_known(kind)) {
        return error_set(reterr, -EINVAL, "there is no kind of key with number %u", (unsigned)kind);
    }
    if (text.size >= NOTE_NAME_SIZE || !note_name_valid(text)) {
        return error_set(reterr, -EINVAL,
                         "a key's name has 1 to %d bytes of UTF-8 without spaces, controls and plus signs",
                         NOTE_NAME_SIZE - 1);
    }
    return make(text, kind, public_key, ret, reterr);
}

void note_key_print(const struct note_key *key, struct buf *out) {
    uint8_t bytes[1 + CRYPTO_PUBLIC_BYTES] = {(uint8_t)key->kind};
    memcpy(bytes + 1, key->public_key, CRYPTO_PUBLIC_BYTES);
    buf_printf(out, "%s+%08x+", key->name, (unsigned)key->id);
    base64_append(out, bytes, sizeof bytes);
}

/* Eight lower-case digits, as note_key_print writes them. */
static bool parse_id(const char *text, uint32_t *ret_id) {
    uint32_t id = 0;
    for (size_t i = 0; i < 8; i++) {
        char c = text[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) {
            return false;
        }
        id = id << 4 | (uint32_t)(c <= '9' ? c - '0' : c - 'a' + 10);
    }
    *ret_id = id;
    return true;
}

int note_key_parse(struct slice vkey, struct note_key *ret, struct error *reterr) {
    const char *plus = vkey.size > 0 ? memchr(vkey.bytes, '+', vkey.size) : NULL;
    struct slice name = {vkey.bytes, plus != NULL ? (size_t)(plus - vkey.bytes) : 0};
    struct note_key key;
    uint8_t bytes[1 + CRYPTO_PUBLIC_BYTES];
    uint32_t id = 0;
    size_t length = 0;
    if (name.size >= NOTE_NAME_SIZE || !note_name_valid(name)) {
        return error_set(reterr, PROOF_E_MALFORMED,
                         "the verifier key does not begin with a name and a plus sign");
    }
    struct slice rest = {plus + 1, vkey.size - name.size - 1};
    if (rest.size < 9 || rest.bytes[8] != '+' || !parse_id(rest.bytes, &id)) {
        return error_set(reterr, PROOF_E_MALFORMED,
                         "the verifier key has no id of eight lower-case hexadecimal digits");
    }
    struct slice base64 = {rest.bytes + 9, rest.size - 9};
    if (!base64_size(base64, &length) || length < 1 || !base64_valid(base64)) {
        return error_set(reterr, PROOF_E_MALFORMED, "the verifier key does not end in base64");
    }
    if (length != sizeof bytes || !base64_decode(base64, bytes, sizeof bytes) || !kind_known(bytes[0])) {
        return error_set(reterr, PROOF_E_MALFORMED,
                         "the verifier key is neither an Ed25519 key nor one for cosignatures");
    }
    int rc = make(name, (enum note_kind)bytes[0], bytes + 1, &key, reterr);
    if (rc != 0) {
        return rc;
    }
    if (key.id != id) {
        return error_set(reterr, PROOF_E_MALFORMED, "the verifier key's id is not that of its name and key");
    }
    *ret = key;
    return 0;
}

/* ---- signers ---- */

int note_signer_new(const char *name, enum note_kind kind, const uint8_t seed[CRYPTO_SEED_BYTES],
                    struct note_signer **ret, struct error *reterr) {
    uint8_t public_key[CRYPTO_PUBLIC_BYTES];
    struct note_signer *signer = calloc(1, sizeof *signer);
    if (signer == NULL) {
        return error_errno(reterr, ENOMEM, "a signing key cannot be loaded");
    }
    int rc = crypto_key_new(seed, &signer->secret);
    if (rc == 0) {
        rc = crypto_key_public(signer->secret, public_key);
    }
    if (rc < 0) {
        (void)note_signer_free(signer);
        return error_errno(reterr, -rc, "a signing key cannot be loaded");
    }
    rc = note_key_make(name, kind, public_key, &signer->key, reterr);
    if (rc != 0) {
        (void)note_signer_free(signer);
        return rc;
    }
    *ret = signer;
    return 0;
}

struct note_signer *note_signer_free(struct note_signer *signer) {
    if (signer != NULL) {
        signer->secret = crypto_key_free(signer->secret);
        free(signer);
    }
    return NULL;
}

const struct note_key *note_signer_key(const struct note_signer *signer) {
    return &signer->key;
}

/* What a cosigner signs instead of the text. */
static void cosigned(uint64_t time, struct slice text, struct buf *out) {
    buf_printf(out, "cosignature/v1\ntime %llu\n", (unsigned long long)time);
    buf_append(out, text.bytes, text.size);
}

static void put_be(uint8_t *out, uint64_t value, size_t count) {
    for (size_t i = 0; i < count; i++) {
        out[i] = (uint8_t)(value >> (8 * (count - 1 - i)));
    }
}

int note_sign_line(struct slice text, const struct note_signer *signer, uint64_t time, struct buf *out,
                   struct error *reterr) {
    CLEANUP(buf_deinit) struct buf message = {0};
    uint8_t bytes[4 + 8 + CRYPTO_SIGNATURE_BYTES];
    size_t head = 4;
    put_be(bytes, signer->key.id, 4);
    if (signer->key.kind == NOTE_COSIGNATURE) {
        if (time > INT64_MAX) {
            return error_set(reterr, -EINVAL, "a cosignature's time is out of range");
        }
        put_be(bytes + 4, time, 8);
        head += 8;
        cosigned(time, text, &message);
        text = (struct slice){(const char *)message.bytes, message.size};
    }
    int rc = message.failed ? -ENOMEM : crypto_sign(signer->secret, text.bytes, text.size, bytes + head);
    if (rc < 0) {
        return error_errno(reterr, -rc, "%s: cannot sign", signer->key.name);
    }
    buf_printf(out, NOTE_DASH "%s ", signer->key.name);
    base64_append(out, bytes, head + CRYPTO_SIGNATURE_BYTES);
    buf_append(out, "\n", 1);
    return out->failed ? error_errno(reterr, ENOMEM, "%s: cannot sign", signer->key.name) : 0;
}

int note_key_check(const struct note_key *key, struct slice text, struct slice base64, uint64_t *ret_time) {
    CLEANUP(buf_deinit) struct buf message = {0};
    uint8_t bytes[4 + 8 + CRYPTO_SIGNATURE_BYTES];
    size_t head = key->kind == NOTE_COSIGNATURE ? 12 : 4;
    uint64_t time = 0;
    if (!base64_decode(base64, bytes, head + CRYPTO_SIGNATURE_BYTES)) {
        return -EBADMSG;
    }
    if (key->kind == NOTE_COSIGNATURE) {
        for (size_t i = 4; i < 12; i++) {
            time = time << 8 | bytes[i];
        }
        if (time > INT64_MAX) {
            return -EBADMSG;
        }
        cosigned(time, text, &message);
        text = (struct slice){(const char *)message.bytes, message.size};
    }
    *ret_time = time;
    return message.failed ? -ENOMEM : crypto_verify(key->public_key, text.bytes, text.size, bytes + head);
}
