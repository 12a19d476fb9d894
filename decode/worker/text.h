/* SPDX-License-Identifier: Apache-2.0
 *
 * Bytes of a stranger to the views of a text (decode/canonical.h). Time and memory are
 * linear in the size; nothing is kept between two texts.
 */
#ifndef BUCKLER_DECODE_WORKER_TEXT_H
#define BUCKLER_DECODE_WORKER_TEXT_H

#include <stdbool.h>

#include "decode/decode.h"
#include "decode/worker/sink.h"
#include "decode/worker/unicode.h"

/* Views lie in `out`. 0, DECODE_E_INVALID_UTF8 (only when `replace_invalid` is false) or
 * DECODE_E_TEXT_TOO_LARGE. */
int text_canonicalise(struct unicode *unicode, const uint8_t *bytes, size_t size, bool replace_invalid,
                      struct sink *out, struct canonical_text *ret, uint32_t *ret_flags,
                      struct error *reterr) MUST_CHECK;

#endif
