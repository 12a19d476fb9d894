/* SPDX-License-Identifier: Apache-2.0
 *
 * What note.c and checkpoint.c ask of key.c. Private to audit/proof/.
 */
#ifndef BUCKLER_AUDIT_PROOF_NOTE_KEY_H
#define BUCKLER_AUDIT_PROOF_NOTE_KEY_H

#include "audit/proof/note.h"

/* An em dash and a space: how a signature line begins. */
#define NOTE_DASH "\xe2\x80\x94 "

/* Not empty, UTF-8, no spaces, controls or plus signs. */
bool note_name_valid(struct slice name);

/* 0: `base64` (of id and signature) is this key's signature of `text`; -EBADMSG: it is not; -ENOMEM. */
int note_key_check(const struct note_key *key, struct slice text, struct slice base64,
                   uint64_t *ret_time) MUST_CHECK;

#endif
