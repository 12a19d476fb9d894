/* SPDX-License-Identifier: Apache-2.0
 *
 * tokenizer.json: a vocabulary, the merges in order of rank, and added tokens, which are found in the raw
 * text before anything else (spec gemma-models 5.4).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/utf8.h"
#include "engine/engine.h"
#include "engine/formats/folder_parts.h"

enum { JSON_MAX_BYTES = 256 << 20, PIECE_BYTES = 1024 };

struct reader {
    struct vocabulary v;
    const json_t *vocabulary;         /* text → id */
    uint32_t *merges;                 /* of each piece */
    uint32_t group;                   /* pieces that merges have made so far */
    int64_t last;                     /* the latest of them; -1 at first */
    uint8_t lengths[PIECE_BYTES / 8]; /* bytes of the left parts of its merges so far, as bits */
    struct error *reterr;
};

static int refuse(const struct reader *r, const char *what) {
    return error_set(r->reterr, ENGINE_E_UNSUPPORTED,
                     "tokenizer.json %s; use the tokenizer.model of this model", what);
}

static bool is_off(const json_t *value) {
    return value == NULL || json_is_null(value) || json_is_false(value) ||
           (json_is_string(value) && json_string_length(value) == 0);
}

static bool is_text(const json_t *object, const char *key, const char *text) {
    const char *s = json_string_value(json_object_get(object, key));

    return s != NULL && strcmp(s, text) == 0;
}

static bool replaces(const json_t *object, const char *from) {
    return is_text(json_object_get(object, "pattern"), "String", from);
}

/* Spaces become U+2581 and nothing else happens to a text. */
static int check_kind(const struct reader *r, const json_t *root) {
    static const char *const off[] = {"dropout", "continuing_subword_prefix", "end_of_word_suffix",
                                      "ignore_merges"};
    const json_t *model = json_object_get(root, "model"), *n = json_object_get(root, "normalizer"),
                 *p = json_object_get(root, "pre_tokenizer");

    if (!json_is_object(model) ||
        (json_object_get(model, "type") != NULL && !is_text(model, "type", "BPE")) ||
        !json_is_true(json_object_get(model, "byte_fallback"))) {
        return refuse(r, "is not a BPE model with byte fallback");
    }
    for (size_t i = 0; i < sizeof off / sizeof off[0]; i++) {
        if (!is_off(json_object_get(model, off[i]))) {
            return error_set(r->reterr, ENGINE_E_UNSUPPORTED, "tokenizer.json has %s, which no Gemma has",
                             off[i]);
        }
    }
    if (!is_text(n, "type", "Replace") || !replaces(n, " ") || !is_text(n, "content", "\xe2\x96\x81")) {
        return refuse(r, "has a normalizer that does more or less than to mark spaces");
    }
    if (p != NULL && !json_is_null(p) && !(is_text(p, "type", "Split") && replaces(p, " "))) {
        return refuse(r, "has a pre_tokenizer that splits texts");
    }
    return 0;
}

/* ---- pieces ---- */

static bool is_byte(const char *text, size_t size) {
    return size == 6 && memcmp(text, "<0x", 3) == 0 && text[5] == '>' &&
           strspn(text + 3, "0123456789ABCDEF") == 2;
}

static int grow(struct reader *r, int64_t id) {
    if (id < 0 || id >= VOCABULARY_PIECES_MAX) {
        return error_set(r->reterr, ENGINE_E_FORMAT, "tokenizer.json has a piece with the id %lld",
                         (long long)id);
    }
    r->v.count = (size_t)id + 1 > r->v.count ? (size_t)id + 1 : r->v.count;
    return 0;
}

/* The largest id there is, and so the number of pieces: at most twice the number of entries, so that no id
 * makes memory out of nothing. */
static int count_pieces(struct reader *r, const json_t *added) {
    const char *text = NULL;
    json_t *value = NULL;
    size_t i = 0;
    int e = 0;

    json_object_foreach((json_t *)r->vocabulary, text, value) {
        e = e == 0 ? grow(r, json_is_integer(value) ? json_integer_value(value) : -1) : e;
    }
    json_array_foreach(added, i, value) {
        const json_t *id = json_object_get(value, "id");

        e = e == 0 ? grow(r, json_is_integer(id) ? json_integer_value(id) : -1) : e;
    }
    if (e == 0 && r->v.count / 2 > json_object_size(r->vocabulary) + json_array_size(added)) {
        return error_set(r->reterr, ENGINE_E_FORMAT,
                         "tokenizer.json has ids up to %zu, but most are not given", r->v.count);
    }
    return e;
}

static int take_vocabulary(struct reader *r) {
    const char *text = NULL;
    json_t *value = NULL;

    json_object_foreach((json_t *)r->vocabulary, text, value) {
        struct vocabulary_piece *p = &r->v.pieces[json_integer_value(value)];
        size_t size = strlen(text);

        if (p->type != 0) {
            return error_set(r->reterr, ENGINE_E_FORMAT, "tokenizer.json gives the id %lld twice",
                             (long long)json_integer_value(value));
        }
        if (size > PIECE_BYTES) {
            return error_set(r->reterr, ENGINE_E_FORMAT, "piece %lld of tokenizer.json has %zu bytes",
                             (long long)json_integer_value(value), size);
        }
        *p = (struct vocabulary_piece){.text = text, .size = size};
        p->type = is_byte(text, size) ? PIECE_TYPE_BYTE : PIECE_TYPE_NORMAL;
    }
    return 0;
}

static int take_added(struct reader *r, const json_t *added) {
    static const char *const off[] = {"single_word", "lstrip", "rstrip", "normalized"};
    json_t *value = NULL;
    size_t i = 0;

    json_array_foreach(added, i, value) {
        long long id = (long long)json_integer_value(json_object_get(value, "id"));
        const char *text = json_string_value(json_object_get(value, "content"));
        struct vocabulary_piece *p = &r->v.pieces[id];

        if (text == NULL || (p->type != 0 && strcmp(p->text, text) != 0)) {
            return error_set(r->reterr, ENGINE_E_FORMAT,
                             "the added token %lld of tokenizer.json has no content or not that of its piece",
                             id);
        }
        for (size_t k = 0; k < sizeof off / sizeof off[0]; k++) {
            if (!is_off(json_object_get(value, off[k]))) {
                return error_set(r->reterr, ENGINE_E_UNSUPPORTED,
                                 "the added token %lld of tokenizer.json has %s", id, off[k]);
            }
        }
        *p = (struct vocabulary_piece){.text = text, .size = strlen(text)};
        p->type = strcmp(text, "<unk>") == 0                        ? PIECE_TYPE_UNKNOWN
                  : json_is_true(json_object_get(value, "special")) ? PIECE_TYPE_CONTROL
                                                                    : PIECE_TYPE_USER_DEFINED;
    }
    return 0;
}

/* ---- merges ---- */

static int64_t find(const struct reader *r, const char *text, size_t size) {
    const json_t *id = json_object_getn(r->vocabulary, text, size);

    return id == NULL ? -1 : (int64_t)json_integer_value(id);
}

static bool merges(const struct reader *r, int64_t id) {
    return id >= 0 && r->v.pieces[id].type == PIECE_TYPE_NORMAL;
}

/* "left right" or ["left", "right"] */
static bool split_merge(const json_t *merge, const char **ret_left, size_t *ret_left_size,
                        const char **ret_right) {
    const char *text = json_string_value(merge);

    if (text != NULL && text[0] != '\0') {
        const char *space = strchr(text + 1, ' ');

        *ret_left = text;
        *ret_left_size = space == NULL ? 0 : (size_t)(space - text);
        *ret_right = space == NULL ? NULL : space + 1;
        return space != NULL;
    }
    *ret_left = json_string_value(json_array_get(merge, 0));
    *ret_right = json_string_value(json_array_get(merge, 1));
    *ret_left_size = *ret_left == NULL ? 0 : strlen(*ret_left);
    return json_array_size(merge) == 2 && *ret_left != NULL && *ret_right != NULL;
}

static int take_merge(struct reader *r, size_t rank, const json_t *merge) {
    char whole[PIECE_BYTES];
    const char *left, *right;
    size_t left_size, right_size;

    if (!split_merge(merge, &left, &left_size, &right) || left_size >= sizeof whole ||
        (right_size = strlen(right)) >= sizeof whole - left_size) {
        return error_set(r->reterr, ENGINE_E_FORMAT, "merge %zu of tokenizer.json is not two pieces", rank);
    }
    memcpy(whole, left, left_size);
    memcpy(whole + left_size, right, right_size);
    int64_t a = find(r, left, left_size), b = find(r, right, right_size),
            id = find(r, whole, left_size + right_size);
    if (a < 0 || b < 0 || id < 0) {
        return error_set(r->reterr, ENGINE_E_FORMAT,
                         "merge %zu of tokenizer.json is of pieces that are not there", rank);
    }
    if (!merges(r, a) || !merges(r, b) || !merges(r, id)) {
        return 0; /* added tokens are taken from the text before it comes to merges */
    }
    if (id != r->last) {
        if (r->merges[id] > 0) {
            return refuse(r, "has merges that are not in the order of one score a piece");
        }
        memset(r->lengths, 0, sizeof r->lengths);
        r->last = id;
        r->v.pieces[id].score = -(float)r->group++;
    }
    if (r->lengths[left_size / 8] >> left_size % 8 & 1) {
        return error_set(r->reterr, ENGINE_E_FORMAT, "merge %zu of tokenizer.json stands there twice", rank);
    }
    r->lengths[left_size / 8] |= (uint8_t)(1 << left_size % 8);
    r->merges[id]++;
    return 0;
}

/* A piece with scores may be made of any two pieces: then there must be a merge for each. */
static int check_splits(const struct reader *r, size_t id) {
    const struct vocabulary_piece *p = &r->v.pieces[id];
    uint32_t splits = 0;

    if (!utf8_valid(p->text, p->size, NULL)) {
        return error_set(r->reterr, ENGINE_E_FORMAT, "piece %zu of tokenizer.json is not UTF-8", id);
    }
    for (size_t at = 0, size; at < p->size; at += size) {
        uint32_t point;

        size = utf8_decode(p->text + at, p->size - at, &point);
        if (size < p->size && find(r, p->text + at, size) < 0) {
            return refuse(r, "has pieces with characters that are no pieces");
        }
        splits += at > 0 && merges(r, find(r, p->text, at)) && merges(r, find(r, p->text + at, p->size - at));
    }
    return splits == r->merges[id] ? 0 : refuse(r, "lacks merges that a vocabulary with scores would have");
}

static int take_merges(struct reader *r, const json_t *list) {
    json_t *merge = NULL;
    size_t i = 0;

    if (!json_is_array(list)) {
        return error_set(r->reterr, ENGINE_E_FORMAT, "tokenizer.json has no merges");
    }
    json_array_foreach(list, i, merge) {
        int e = take_merge(r, i, merge);

        if (e != 0) {
            return e;
        }
    }
    for (i = 0; i < r->v.count; i++) {
        int e = merges(r, (int64_t)i) ? check_splits(r, i) : 0;

        if (e != 0) {
            return e;
        }
    }
    return 0;
}

static int read_all(struct reader *r) {
    const json_t *model = json_object_get(r->v.json, "model"),
                 *added = json_object_get(r->v.json, "added_tokens");
    int e = check_kind(r, r->v.json);

    r->vocabulary = json_object_get(model, "vocab");
    if (e == 0 && !json_is_object(r->vocabulary)) {
        return error_set(r->reterr, ENGINE_E_FORMAT, "tokenizer.json has no vocabulary");
    }
    e = e == 0 ? count_pieces(r, added) : e;
    if (e != 0) {
        return e;
    }
    r->v.pieces = calloc(r->v.count + 1, sizeof *r->v.pieces);
    r->merges = calloc(r->v.count + 1, sizeof *r->merges);
    if (r->v.pieces == NULL || r->merges == NULL) {
        return error_errno(r->reterr, ENOMEM, "cannot read tokenizer.json");
    }
    for (size_t i = 0; i < r->v.count; i++) {
        r->v.pieces[i].text = "";
    }
    e = take_vocabulary(r);
    e = e == 0 ? take_added(r, added) : e;
    return e == 0 ? take_merges(r, json_object_get(model, "merges")) : e;
}

int vocabulary_read_json(const void *bytes, size_t size, struct vocabulary *ret, struct error *reterr) {
    struct reader r = {.last = -1, .reterr = reterr};
    json_error_t error;

    if (size > JSON_MAX_BYTES) {
        return error_set(reterr, ENGINE_E_FORMAT, "tokenizer.json has %zu bytes, more than %d", size,
                         JSON_MAX_BYTES);
    }
    r.v.json = json_loadb(bytes, size, JSON_REJECT_DUPLICATES, &error);
    int e = json_is_object(r.v.json) ? read_all(&r)
                                     : error_set(reterr, ENGINE_E_FORMAT,
                                                 "tokenizer.json is no JSON object (line %d)", error.line);
    free(r.merges);
    if (e != 0) {
        vocabulary_deinit(&r.v);
        return e;
    }
    *ret = r.v;
    return 0;
}
