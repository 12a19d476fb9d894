/* SPDX-License-Identifier: Apache-2.0
 *
 * Signed notes (C2SP signed-note) and the keys that sign and check them. A note is a text that ends in a
 * newline, an empty line, and lines `— <name> <base64 of key id and signature>`. What is signed is the text
 * with its last newline. Two kinds of key: Ed25519 over the text (type 01), and a witness's cosignature/v1
 * (type 04, C2SP tlog-cosignature), which signs a time together with the text.
 *
 * Nothing of a note may be believed before note_verify said 0. Lines by unknown keys are carried along, never
 * looked into.
 */
#ifndef BUCKLER_AUDIT_PROOF_NOTE_H
#define BUCKLER_AUDIT_PROOF_NOTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "audit/proof/crypto.h"
#include "audit/proof/encoding.h"
#include "base/buf.h"
#include "base/error.h"

enum {
    NOTE_MAX_BYTES = 1024 * 1024,
    NOTE_MAX_SIGNATURES = 64, /* the format asks for 16 at least */
    NOTE_NAME_SIZE = 256,     /* with the NUL */
};

enum note_kind { NOTE_KIND_INVALID, NOTE_ED25519 = 1, NOTE_COSIGNATURE = 4 };

/* ---- keys ---- */

struct note_key {
    char name[NOTE_NAME_SIZE];
    enum note_kind kind;
    uint32_t id; /* the first four bytes, big-endian, of SHA-256(name ‖ 0A ‖ kind ‖ public key) */
    uint8_t public_key[CRYPTO_PUBLIC_BYTES];
};

/* -EINVAL when the name is empty, too long, no UTF-8, or has spaces, controls or a plus sign in it. */
int note_key_make(const char *name, enum note_kind kind, const uint8_t public_key[CRYPTO_PUBLIC_BYTES],
                  struct note_key *ret, struct error *reterr) MUST_CHECK;

/* A verifier key: `name+<8 hex digits>+<base64 of kind and public key>`, without a newline. PROOF_E_MALFORMED
 * also when the id is not that of the name and the key. */
int note_key_parse(struct slice vkey, struct note_key *ret, struct error *reterr) MUST_CHECK;
void note_key_print(const struct note_key *key, struct buf *out);

/* A key that can sign. The seed is copied; wipe yours. */
struct note_signer;
int note_signer_new(const char *name, enum note_kind kind, const uint8_t seed[CRYPTO_SEED_BYTES],
                    struct note_signer **ret, struct error *reterr) MUST_CHECK;
struct note_signer *note_signer_free(struct note_signer *signer);
const struct note_key *note_signer_key(const struct note_signer *signer);

/* ---- writing ---- */

/* Text, empty line, one line per signer: two of them while a key is being replaced. `time` (seconds) is what
 * cosigners among them attest; the others ignore it. PROOF_E_MALFORMED when the text could not be read back.
 */
int note_sign(struct slice text, struct note_signer *const *signers, size_t count, uint64_t time,
              struct buf *out, struct error *reterr) MUST_CHECK;

/* One signature line, to be put behind those of a note over the same text. */
int note_sign_line(struct slice text, const struct note_signer *signer, uint64_t time, struct buf *out,
                   struct error *reterr) MUST_CHECK;

/* ---- reading ---- */

struct note_line {
    struct slice name;
    uint32_t id;
    struct slice base64; /* of id and signature; checked to be base64 */
};

struct note {
    struct slice text; /* all slices point into the bytes that were parsed */
    size_t line_count;
    struct note_line lines[NOTE_MAX_SIGNATURES];
};

/* Form only: says nothing of signatures. PROOF_E_MALFORMED with a sentence. */
int note_parse(const void *bytes, size_t size, struct note *ret, struct error *reterr) MUST_CHECK;

/* What is known of each trusted key after note_verify. */
struct note_seen {
    bool verified;
    uint64_t time; /* of a cosignature, seconds */
};

/* 0 when at least one of the trusted keys signed and no signature by a trusted key is wrong; then ret_seen[i]
 * (room for `count`, or NULL) tells which. PROOF_E_SIGNATURE, PROOF_E_UNSIGNED. */
int note_verify(const struct note *note, const struct note_key *keys, size_t count,
                struct note_seen *ret_seen, struct error *reterr) MUST_CHECK;

#endif
