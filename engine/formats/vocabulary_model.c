/* SPDX-License-Identifier: Apache-2.0
 *
 * tokenizer.model: the protobuf message ModelProto of SentencePiece (spec gemma-models 5.8). Only fields that
 * matter are looked at, but each is checked for its form.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/cursor.h"
#include "engine/engine.h"
#include "engine/formats/folder_parts.h"

enum { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };
enum { MODEL_PIECE = 1, MODEL_TRAINER = 2, MODEL_NORMALIZER = 3 };
enum { PIECE_TEXT = 1, PIECE_SCORE = 2, PIECE_TYPE = 3 };
enum { TRAINER_TYPE = 3, TRAINER_BPE = 2 };
enum { NORMALIZER_MAP = 2, NORMALIZER_PREFIX = 3, NORMALIZER_TRIM = 4, NORMALIZER_ESCAPE = 5 };

struct field {
    uint32_t number;
    unsigned wire;
    uint64_t integer; /* of a varint */
    float real;       /* of 32 bits */
    const uint8_t *bytes;
    size_t size;
};

static uint64_t read_varint(struct cursor *c) {
    uint64_t value = 0;

    for (unsigned shift = 0; shift < 64 && !c->failed; shift += 7) {
        uint8_t byte = cursor_u8(c);

        value |= (uint64_t)(byte & 0x7f) << shift;
        if ((byte & 0x80) == 0) {
            return value;
        }
    }
    c->failed = true;
    return 0;
}

/* False at the end of the message and after a failure, which the cursor keeps. */
static bool next_field(struct cursor *c, struct field *f) {
    if (cursor_left(c) == 0) {
        return false;
    }
    uint64_t key = read_varint(c);
    *f = (struct field){.number = (uint32_t)(key >> 3), .wire = (unsigned)(key & 7)};
    switch (f->wire) {
    case WIRE_VARINT:
        f->integer = read_varint(c);
        break;
    case WIRE_64:
        (void)cursor_u64(c);
        break;
    case WIRE_32:
        f->real = cursor_f32(c);
        break;
    case WIRE_BYTES:
        f->integer = read_varint(c);
        if (f->integer > cursor_left(c)) {
            c->failed = true;
            break;
        }
        f->size = (size_t)f->integer;
        f->bytes = cursor_take(c, f->size);
        break;
    default:
        c->failed = true;
    }
    return !c->failed;
}

static bool read_piece(const struct field *message, struct vocabulary_piece *piece) {
    struct field f;
    struct cursor c;

    *piece = (struct vocabulary_piece){.text = "", .type = PIECE_TYPE_NORMAL};
    cursor_init(&c, message->bytes, message->size);
    while (next_field(&c, &f)) {
        if (f.number == PIECE_TEXT && f.wire == WIRE_BYTES) {
            piece->text = (const char *)f.bytes;
            piece->size = f.size;
        } else if (f.number == PIECE_SCORE && f.wire == WIRE_32) {
            piece->score = f.real;
        } else if (f.number == PIECE_TYPE && f.wire == WIRE_VARINT && f.integer <= PIECE_TYPE_BYTE) {
            piece->type = (uint32_t)f.integer;
        } else if (f.number <= PIECE_TYPE) {
            return false;
        }
    }
    return !c.failed;
}

/* What a message says of a number that is not there is the default. */
static bool read_number(const struct field *message, uint32_t number, uint64_t otherwise, uint64_t *ret) {
    struct field f;
    struct cursor c;

    *ret = otherwise;
    cursor_init(&c, message->bytes, message->size);
    while (next_field(&c, &f)) {
        if (f.number == number) {
            *ret = f.wire == WIRE_BYTES ? f.size : f.integer;
        }
    }
    return !c.failed;
}

static int check_number(const struct field *message, uint32_t number, uint64_t otherwise, uint64_t wanted,
                        const char *what, struct error *reterr) {
    uint64_t value;

    if (!read_number(message, number, otherwise, &value)) {
        return error_set(reterr, ENGINE_E_FORMAT, "tokenizer.model is cut off or damaged");
    }
    return value == wanted
               ? 0
               : error_set(reterr, ENGINE_E_UNSUPPORTED,
                           "tokenizer.model %s, which no Gemma does; use the model's own file", what);
}

static int check_kind(const struct field *f, struct error *reterr) {
    if (f->number == MODEL_TRAINER) {
        return check_number(f, TRAINER_TYPE, 1, TRAINER_BPE, "is not of the kind BPE", reterr);
    }
    int r = check_number(f, NORMALIZER_MAP, 0, 0, "rewrites characters", reterr);
    r = r == 0 ? check_number(f, NORMALIZER_PREFIX, 1, 0, "puts a space in front of texts", reterr) : r;
    r = r == 0 ? check_number(f, NORMALIZER_TRIM, 1, 0, "drops spaces", reterr) : r;
    return r == 0 ? check_number(f, NORMALIZER_ESCAPE, 1, 1, "keeps spaces as they are", reterr) : r;
}

static int read_fields(const void *bytes, size_t size, struct vocabulary *v, struct error *reterr) {
    struct field f;
    struct cursor c;
    bool trained = false, normalized = false;

    cursor_init(&c, bytes, size);
    while (next_field(&c, &f)) {
        if (f.number == MODEL_PIECE && f.wire == WIRE_BYTES) {
            if (!read_piece(&f, &v->pieces[v->count])) {
                return error_set(reterr, ENGINE_E_FORMAT, "piece %zu of tokenizer.model is damaged",
                                 v->count);
            }
            v->count++;
        } else if ((f.number == MODEL_TRAINER || f.number == MODEL_NORMALIZER) && f.wire == WIRE_BYTES) {
            int r = check_kind(&f, reterr);

            if (r != 0) {
                return r;
            }
            trained = trained || f.number == MODEL_TRAINER;
            normalized = normalized || f.number == MODEL_NORMALIZER;
        }
    }
    if (c.failed || v->count == 0 || !trained || !normalized) {
        return error_set(reterr, ENGINE_E_FORMAT,
                         "tokenizer.model is cut off, damaged or no SentencePiece model");
    }
    return 0;
}

int vocabulary_read_model(const void *bytes, size_t size, struct vocabulary *ret, struct error *reterr) {
    CLEANUP(vocabulary_deinit) struct vocabulary v = {0};
    struct field f;
    struct cursor c;
    size_t count = 0;

    cursor_init(&c, bytes, size);
    while (next_field(&c, &f)) {
        count += f.number == MODEL_PIECE;
    }
    if (count > VOCABULARY_PIECES_MAX) {
        return error_set(reterr, ENGINE_E_FORMAT, "tokenizer.model has %zu pieces", count);
    }
    v.pieces = calloc(count + 1, sizeof *v.pieces);
    if (v.pieces == NULL) {
        return error_errno(reterr, ENOMEM, "cannot read tokenizer.model");
    }
    int r = read_fields(bytes, size, &v, reterr);
    if (r == 0) {
        *ret = v;
        v = (struct vocabulary){0};
    }
    return r;
}

void vocabulary_deinit(struct vocabulary *v) {
    free(v->pieces);
    json_decref(v->json);
    *v = (struct vocabulary){0};
}
