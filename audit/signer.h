/* SPDX-License-Identifier: Apache-2.0
 *
 * The key that signs a log's checkpoints. It lies beside the log's directory, as DIRECTORY.key, so that the
 * directory can be published whole; mode 0600, one line in the form of Go's note package:
 *
 *   PRIVATE+KEY+<name>+<8 hex digits: key id>+<base64 of 01 ‖ seed>
 *
 * A log that begins gets a new key; one that was left over there is put aside, for a name must never sign two
 * logs.
 */
#ifndef BUCKLER_AUDIT_SIGNER_H
#define BUCKLER_AUDIT_SIGNER_H

#include <stdbool.h>

#include "audit/proof/note.h"

/* `fresh`: the log has no records yet. */
int signer_open(const char *directory, bool fresh, struct note_signer **ret, struct error *reterr) MUST_CHECK;

/* Reads the line above, without its newline. PROOF_E_MALFORMED. */
int signer_parse(struct slice line, struct note_signer **ret, struct error *reterr) MUST_CHECK;

#endif
