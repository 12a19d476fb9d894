/* SPDX-License-Identifier: Apache-2.0
 *
 * SentencePiece-BPE of Gemma 1 to 3 (spec gemma-models 5.2, 5.3) from pieces, scores and types. Constant
 * after it is built; encoding is pure and thread-safe. User text can never become a control token (spec 5.6):
 * control pieces match only when the caller asks for them.
 */
#ifndef BUCKLER_ENGINE_TOKENIZER_TOKENIZER_H
#define BUCKLER_ENGINE_TOKENIZER_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct tensor_file;
struct tokenizer;

/* From the metadata of a GGUF file (tokenizer.ggml.*). ENGINE_E_FORMAT for arrays that disagree,
 * ENGINE_E_UNSUPPORTED for another tokenizer model. The file is not needed afterwards. */
int tokenizer_from_gguf(const struct tensor_file *file, struct tokenizer **ret,
                        struct error *reterr) MUST_CHECK;
struct tokenizer *tokenizer_free(struct tokenizer *t);

/* See engine_tokenize in engine/engine.h. `bos`, `control`: as its flags. */
int tokenizer_encode(const struct tokenizer *t, const char *text, size_t size, bool bos, bool control,
                     uint32_t **ret_tokens, uint32_t **ret_offsets, size_t *ret_count,
                     struct error *reterr) MUST_CHECK;

uint32_t tokenizer_size(const struct tokenizer *t);
uint32_t tokenizer_bos(const struct tokenizer *t);
bool tokenizer_is_control(const struct tokenizer *t, uint32_t id);

/* Spaces as spaces; a byte piece is its name, "<0xF0>". NULL for an id outside the vocabulary. Not
 * NUL-terminated. */
const char *tokenizer_piece(const struct tokenizer *t, uint32_t id, size_t *ret_size);

/* The piece that is exactly `text` (a space and U+2581 are the same), of any class; -1 when there is none. */
int64_t tokenizer_id(const struct tokenizer *t, const char *text);

/* SHA-256 over every piece, score and type, lower-case hex with NUL (65 bytes). */
const char *tokenizer_digest(const struct tokenizer *t);

#endif
