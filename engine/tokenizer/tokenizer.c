/* SPDX-License-Identifier: Apache-2.0
 *
 * Builds the tables from a file's metadata and answers questions about single pieces. Encoding is in
 * encode.c.
 */
#include "engine/tokenizer/tokenizer.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/cursor.h"
#include "base/digest.h"
#include "base/utf8.h"
#include "engine/engine.h"
#include "engine/formats/tensors.h"
#include "engine/tokenizer/pieces.h"

/* Types of pieces, numbered as in SentencePiece and GGUF. */
enum {
    TYPE_UNDEFINED = 0,
    TYPE_NORMAL = 1,
    TYPE_UNKNOWN = 2,
    TYPE_CONTROL = 3,
    TYPE_USER_DEFINED = 4,
    TYPE_UNUSED = 5,
    TYPE_BYTE = 6
};

/* GGUF numbers of the element types of arrays. */
enum { ELEMENT_U32 = 4, ELEMENT_I32 = 5, ELEMENT_F32 = 6 };

struct tokenizer *tokenizer_free(struct tokenizer *t) {
    if (t == NULL) {
        return NULL;
    }
    free(t->pool);
    free(t->pieces);
    free(t->slots);
    free(t->frozen.nodes);
    free(t->control.nodes);
    free(t);
    return NULL;
}

/* ---- the map from bytes to id ---- */

static uint32_t hash_bytes(const char *bytes, size_t size) {
    uint64_t hash = 0xcbf29ce484222325u; /* FNV-1a */
    for (size_t i = 0; i < size; i++) {
        hash = (hash ^ (uint8_t)bytes[i]) * 0x100000001b3u;
    }
    return (uint32_t)(hash ^ hash >> 32);
}

/* The slot of these bytes, or the empty one where they belong: the map is at most half full, so there is one.
 */
static struct slot *slot_of(const struct tokenizer *t, const char *norm, size_t size, uint32_t hash) {
    for (uint32_t at = hash & t->slot_mask;; at = (at + 1) & t->slot_mask) {
        struct slot *s = &t->slots[at];
        if (s->id_plus_one == 0) {
            return s;
        }
        const struct piece *p = &t->pieces[s->id_plus_one - 1];
        if (s->hash == hash && p->norm_size == size && memcmp(t->pool + p->norm, norm, size) == 0) {
            return s;
        }
    }
}

int64_t pieces_find(const struct tokenizer *t, const char *norm, size_t size) {
    return (int64_t)slot_of(t, norm, size, hash_bytes(norm, size))->id_plus_one - 1;
}

static bool fill_slots(struct tokenizer *t) {
    uint32_t slots = 16;
    while (slots < t->count * 2) {
        slots *= 2;
    }
    t->slots = calloc(slots, sizeof *t->slots);
    if (t->slots == NULL) {
        return false;
    }
    t->slot_mask = slots - 1;
    for (uint32_t id = 0; id < t->count; id++) {
        const char *norm = t->pool + t->pieces[id].norm;
        uint32_t hash = hash_bytes(norm, t->pieces[id].norm_size);
        if (t->pieces[id].norm_size > 0) {
            *slot_of(t, norm, t->pieces[id].norm_size, hash) =
                (struct slot){.hash = hash, .id_plus_one = id + 1};
        }
    }
    return true;
}

/* ---- pieces from the file ---- */

struct builder {
    struct tokenizer *t;
    struct buf pool;
    const uint8_t *scores, *types;
    struct error *reterr;
    int rc;
};

static void append_norm(struct buf *out, const char *text, size_t size) {
    size_t begin = 0;
    for (size_t i = 0; i < size; i++) {
        if (text[i] == ' ') {
            buf_append(out, text + begin, i - begin);
            buf_append(out, SPACE_MARK, SPACE_MARK_BYTES);
            begin = i + 1;
        }
    }
    buf_append(out, text + begin, size - begin);
}

static void append_text(struct buf *out, const char *text, size_t size) {
    for (size_t i = 0; i < size;) {
        bool mark = size - i >= SPACE_MARK_BYTES && memcmp(text + i, SPACE_MARK, SPACE_MARK_BYTES) == 0;
        buf_append(out, mark ? " " : text + i, 1);
        i += mark ? SPACE_MARK_BYTES : 1;
    }
}

static bool byte_value(const char *text, size_t size, uint8_t *ret) {
    char digits[3] = {0};
    if (size != 6 || memcmp(text, "<0x", 3) != 0 || text[5] != '>') {
        return false;
    }
    memcpy(digits, text + 3, 2);
    return hex_decode(digits, ret, 1);
}

static enum piece_class classify(const char *text, size_t size, uint8_t type) {
    if (type == TYPE_CONTROL || type == TYPE_UNKNOWN || control_name(text, size)) {
        return PIECE_CONTROL;
    }
    return size == 0                   ? PIECE_UNUSED
           : type == TYPE_NORMAL       ? PIECE_MERGE
           : type == TYPE_USER_DEFINED ? PIECE_FROZEN
           : type == TYPE_BYTE         ? PIECE_BYTE
                                       : PIECE_UNUSED;
}

static int check_piece(struct builder *b, uint64_t id, const char *text, size_t size, const struct piece *p,
                       uint32_t type) {
    uint8_t byte = 0;
    unsigned long long shown = id;
    if (size > PIECE_MAX_BYTES || !utf8_valid(text, size, NULL)) {
        return error_set(
            b->reterr, ENGINE_E_FORMAT,
            "tokenizer.ggml.tokens: piece %llu is longer than %d bytes or not UTF-8; convert the model "
            "again",
            shown, PIECE_MAX_BYTES);
    }
    if (type > TYPE_BYTE || !isfinite(p->score)) {
        return error_set(
            b->reterr, ENGINE_E_FORMAT,
            "tokenizer.ggml: piece %llu has type %u and score %g, which mean nothing; convert the "
            "model again",
            shown, type, (double)p->score);
    }
    if (type == TYPE_BYTE && !byte_value(text, size, &byte)) {
        return error_set(
            b->reterr, ENGINE_E_FORMAT,
            "tokenizer.ggml.tokens: piece %llu is of type BYTE but is not spelled <0xNN>; convert the "
            "model again",
            shown);
    }
    return 0;
}

static bool take_piece(void *user, uint64_t id, const char *text, size_t size) {
    struct builder *b = user;
    struct piece *p = &b->t->pieces[id];
    struct cursor scores;
    struct cursor types;
    cursor_init(&scores, b->scores + id * 4, 4);
    cursor_init(&types, b->types + id * 4, 4);
    uint32_t type = cursor_u32(&types);
    p->score = cursor_f32(&scores);
    b->rc = check_piece(b, id, text, size, p, type);
    if (b->rc != 0) {
        return false;
    }
    p->type = (uint8_t)type;
    p->class = classify(text, size, p->type);
    p->norm = (uint32_t)b->pool.size;
    append_norm(&b->pool, text, size);
    p->norm_size = (uint32_t)(b->pool.size - p->norm);
    p->text = (uint32_t)b->pool.size;
    append_text(&b->pool, text, size);
    p->text_size = (uint32_t)(b->pool.size - p->text);
    if (b->pool.failed || b->pool.size > UINT32_MAX - 4 * PIECE_MAX_BYTES) {
        b->rc = error_set(b->reterr, -ENOMEM, "no memory for the pieces of the tokenizer");
    }
    return b->rc == 0;
}

static int read_arrays(struct builder *b, const struct tensor_file *file) {
    uint64_t count = 0;
    uint64_t scores = 0;
    uint64_t types = 0;
    if (!meta_array(file, "tokenizer.ggml.tokens", &count) || count == 0 || count > VOCABULARY_MAX) {
        return error_set(b->reterr, ENGINE_E_FORMAT,
                         "tokenizer.ggml.tokens is missing or has %llu pieces; convert the model again",
                         (unsigned long long)count);
    }
    b->scores = meta_array_raw(file, "tokenizer.ggml.scores", ELEMENT_F32, &scores);
    b->types = meta_array_raw(file, "tokenizer.ggml.token_type", ELEMENT_I32, &types);
    if (b->types == NULL) {
        b->types = meta_array_raw(file, "tokenizer.ggml.token_type", ELEMENT_U32, &types);
    }
    if (b->scores == NULL || b->types == NULL || scores != count || types != count) {
        return error_set(
            b->reterr, ENGINE_E_FORMAT,
            "tokenizer.ggml: %llu pieces with %llu scores and %llu types; convert the model again",
            (unsigned long long)count, (unsigned long long)scores, (unsigned long long)types);
    }
    b->t->pieces = calloc(count, sizeof *b->t->pieces);
    if (b->t->pieces == NULL) {
        return error_set(b->reterr, -ENOMEM, "no memory for the pieces of the tokenizer");
    }
    b->t->count = (uint32_t)count;
    if (!meta_each_string(file, "tokenizer.ggml.tokens", take_piece, b)) {
        return b->rc != 0
                   ? b->rc
                   : error_set(b->reterr, ENGINE_E_FORMAT,
                               "tokenizer.ggml.tokens is not an array of strings; convert the model again");
    }
    b->t->pool = (char *)steal(b->pool.bytes);
    return 0;
}

/* Ids that the file itself calls special are control, whatever their type and name. */
static int read_special_ids(struct tokenizer *t, const struct tensor_file *file, struct error *reterr) {
    static const char *const keys[] = {"tokenizer.ggml.bos_token_id", "tokenizer.ggml.eos_token_id",
                                       "tokenizer.ggml.eot_token_id", "tokenizer.ggml.unknown_token_id",
                                       "tokenizer.ggml.padding_token_id"};
    int64_t bos = tokenizer_id(t, "<bos>");
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        uint64_t id = 0;
        if (!meta_u64(file, keys[i], &id)) {
            continue;
        }
        if (id >= t->count) {
            return error_set(reterr, ENGINE_E_FORMAT,
                             "%s is %llu but there are %u pieces; convert the model again", keys[i],
                             (unsigned long long)id, t->count);
        }
        t->pieces[id].class = PIECE_CONTROL;
        bos = i == 0 ? (int64_t)id : bos;
    }
    if (bos < 0) {
        return error_set(
            reterr, ENGINE_E_FORMAT,
            "tokenizer.ggml.bos_token_id is missing and no piece is <bos>; convert the model again");
    }
    t->bos = (uint32_t)bos;
    return 0;
}

static void note_merge_piece(struct tokenizer *t, const char *norm, size_t size) {
    t->longest = size > t->longest ? (uint32_t)size : t->longest;
    for (size_t i = 1; size >= SPACE_MARK_BYTES && i <= size - SPACE_MARK_BYTES; i++) {
        if (memcmp(norm + i, SPACE_MARK, SPACE_MARK_BYTES) == 0) {
            t->before_space[(uint8_t)norm[i - 1]] = true;
        }
    }
}

static bool fill_tables(struct tokenizer *t) {
    for (uint32_t id = 0; id < t->count; id++) {
        const struct piece *p = &t->pieces[id];
        const char *norm = t->pool + p->norm;
        const char *text = t->pool + p->text;
        bool ok = true;
        uint8_t byte = 0;
        if (p->class == PIECE_MERGE) {
            note_merge_piece(t, norm, p->norm_size);
        } else if (p->class == PIECE_FROZEN) {
            ok = trie_add(&t->frozen, norm, p->norm_size, id);
        } else if (p->class == PIECE_CONTROL && p->text_size > 0) {
            ok = trie_add(&t->control, text, p->text_size, id);
        } else if (p->class == PIECE_BYTE && byte_value(text, p->text_size, &byte)) {
            t->byte_id_plus_one[byte] = id + 1;
        }
        if (!ok) {
            return false;
        }
    }
    return true;
}

static int compute_digest(struct tokenizer *t) {
    uint8_t digest[DIGEST_BYTES];
    struct buf all = {0};
    for (uint32_t id = 0; id < t->count; id++) {
        const struct piece *p = &t->pieces[id];
        uint32_t score = 0;
        memcpy(&score, &p->score, sizeof score);
        buf_u32(&all, p->norm_size);
        buf_append(&all, t->pool + p->norm, p->norm_size);
        buf_u32(&all, score);
        buf_u32(&all, p->type);
    }
    int rc = all.failed ? -ENOMEM : digest_sha256(all.bytes, all.size, digest);
    buf_deinit(&all);
    if (rc == 0) {
        hex_encode(digest, sizeof digest, t->digest);
    }
    return rc;
}

static int check_kind(const struct tensor_file *file, struct error *reterr) {
    static const char wanted[] = "llama"; /* GGUF's word for SentencePiece with scores */
    const char *model = "";
    size_t size = 0;
    bool prefix = false;
    if (!meta_string(file, "tokenizer.ggml.model", &model, &size)) {
        return error_set(reterr, ENGINE_E_FORMAT, "tokenizer.ggml.model is missing; convert the model again");
    }
    if (size != sizeof wanted - 1 || memcmp(model, wanted, size) != 0) {
        return error_set(
            reterr, ENGINE_E_UNSUPPORTED,
            "the tokenizer of this file is not SentencePiece with scores (tokenizer.ggml.model is not "
            "\"%s\"); use a Gemma 1 to 3 model",
            wanted);
    }
    if (meta_bool(file, "tokenizer.ggml.add_space_prefix", &prefix) && prefix) {
        return error_set(
            reterr, ENGINE_E_UNSUPPORTED,
            "the tokenizer of this file puts a space in front of texts, which Gemma does not; use a "
            "Gemma 1 to 3 model");
    }
    return 0;
}

static void free_tokenizer(struct tokenizer **t) {
    *t = tokenizer_free(*t);
}

int tokenizer_from_gguf(const struct tensor_file *file, struct tokenizer **ret, struct error *reterr) {
    int rc = check_kind(file, reterr);
    if (rc != 0) {
        return rc;
    }
    CLEANUP(free_tokenizer) struct tokenizer *t = calloc(1, sizeof *t);
    if (t == NULL) {
        return error_set(reterr, -ENOMEM, "no memory for the tokenizer");
    }
    struct builder b = {.t = t, .reterr = reterr};
    rc = read_arrays(&b, file);
    buf_deinit(&b.pool);
    if (rc != 0) {
        return rc;
    }
    if (!fill_slots(t)) {
        return error_set(reterr, -ENOMEM, "no memory for the tokenizer");
    }
    rc = read_special_ids(t, file, reterr);
    if (rc != 0) {
        return rc;
    }
    rc = fill_tables(t) ? compute_digest(t) : -ENOMEM;
    if (rc != 0) {
        return error_errno(reterr, -rc, "the tables of the tokenizer cannot be made");
    }
    *ret = steal(t);
    return 0;
}

/* ---- single pieces ---- */

uint32_t tokenizer_size(const struct tokenizer *t) {
    return t->count;
}

uint32_t tokenizer_bos(const struct tokenizer *t) {
    return t->bos;
}

bool tokenizer_is_control(const struct tokenizer *t, uint32_t id) {
    return id < t->count && t->pieces[id].class == PIECE_CONTROL;
}

const char *tokenizer_piece(const struct tokenizer *t, uint32_t id, size_t *ret_size) {
    if (id >= t->count) {
        return NULL;
    }
    *ret_size = t->pieces[id].text_size;
    return t->pool + t->pieces[id].text;
}

int64_t tokenizer_id(const struct tokenizer *t, const char *text) {
    struct buf norm = {0};
    append_norm(&norm, text, strlen(text));
    int64_t id = norm.failed || norm.size == 0 ? -1 : pieces_find(t, (const char *)norm.bytes, norm.size);
    buf_deinit(&norm);
    return id;
}

const char *tokenizer_digest(const struct tokenizer *t) {
    return t->digest;
}
