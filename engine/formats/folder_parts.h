/* SPDX-License-Identifier: Apache-2.0
 *
 * Private to engine/formats: the pieces that a Hugging Face folder is put together from.
 */
#ifndef BUCKLER_ENGINE_FORMATS_FOLDER_PARTS_H
#define BUCKLER_ENGINE_FORMATS_FOLDER_PARTS_H

#include <jansson.h>

#include "base/buf.h"
#include "engine/formats/tensors.h"

/* ---- metadata in the encoding of GGUF ---- */

struct metas {
    struct buf bytes;
    uint64_t count;
};

void metas_u32(struct metas *m, const char *architecture, const char *key, uint32_t value);
void metas_f64(struct metas *m, const char *architecture, const char *key, double value);
void metas_string(struct metas *m, const char *architecture, const char *key, const char *text);
void metas_bools(struct metas *m, const char *architecture, const char *key, const bool *values,
                 uint32_t count);

/* ---- names ---- */

enum { FOLDER_NAME_BYTES = 64 };

/* The GGUF name of a tensor whose name behind the prefix is `name`; false for one that has none, as computed
 * tables have not. */
bool folder_name(const char *name, bool gemma1, char ret[FOLDER_NAME_BYTES]);

/* And back; false for a name that no folder has. */
bool folder_name_back(const char *gguf, bool gemma1, char *ret, size_t size);

/* ---- config.json ---- */

/* What the shapes of the tensors say; a config may leave it to them. */
struct folder_shapes {
    uint32_t layers, hidden, feed_forward;
    uint32_t query, key, head; /* rows of q and k, length of a query norm; 0: not there */
};

/* "gemma", "gemma2" or "gemma3". */
int folder_config_architecture(const json_t *config, const char **ret, struct error *reterr) MUST_CHECK;

int folder_config_write(const json_t *config, const struct folder_shapes *shapes, struct metas *m,
                        struct error *reterr) MUST_CHECK;

/* The id that stands for images; UINT32_MAX for a model without. */
uint32_t folder_config_image_token(const json_t *config);

/* ---- tokenizer ---- */

struct vocabulary_piece {
    const char *text;
    size_t size;
    float score;
    uint32_t type; /* as in SentencePiece; 0: nothing has this id */
};

struct vocabulary {
    struct vocabulary_piece *pieces;
    size_t count;
    json_t *json; /* holds the texts; NULL when they are in the file */
};

enum { VOCABULARY_PIECES_MAX = 1 << 24 };

enum piece_type {
    PIECE_TYPE_NORMAL = 1,
    PIECE_TYPE_UNKNOWN = 2,
    PIECE_TYPE_CONTROL = 3,
    PIECE_TYPE_USER_DEFINED = 4,
    PIECE_TYPE_UNUSED = 5,
    PIECE_TYPE_BYTE = 6
};

/* tokenizer.model: a SentencePiece model (spec gemma-models 5.8). */
int vocabulary_read_model(const void *bytes, size_t size, struct vocabulary *ret,
                          struct error *reterr) MUST_CHECK;

/* tokenizer.json: BPE with merges. Scores are the ranks of merges, which is the same only where the merges
 * are all those that a vocabulary with scores allows, in the order of the scores: anything else is
 * ENGINE_E_UNSUPPORTED (spec gemma-models 5.4). */
int vocabulary_read_json(const void *bytes, size_t size, struct vocabulary *ret,
                         struct error *reterr) MUST_CHECK;

void vocabulary_deinit(struct vocabulary *v); /* accepts a zeroed one */

/* The first `count` pieces as tokenizer.ggml.*. */
void vocabulary_write(const struct vocabulary *v, size_t count, struct metas *m);

#endif
