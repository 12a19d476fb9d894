/* SPDX-License-Identifier: Apache-2.0
 *
 * Metadata as a GGUF file has them (spec gemma-models 6.5), so that the reader of such files checks them.
 */
#include <stdio.h>
#include <string.h>

#include "engine/formats/directory.h"
#include "engine/formats/folder_parts.h"

static void put_text(struct buf *b, const char *text, size_t size) {
    buf_u64(b, size);
    buf_append(b, text, size);
}

static void put_key(struct metas *m, const char *architecture, const char *key, enum meta_type type) {
    char full[96];
    int size = snprintf(full, sizeof full, "%s.%s", architecture, key);

    put_text(&m->bytes, full, (size_t)size);
    buf_u32(&m->bytes, type);
    m->count++;
}

static void put_array(struct metas *m, const char *architecture, const char *key, enum meta_type type,
                      uint64_t count) {
    put_key(m, architecture, key, META_ARRAY);
    buf_u32(&m->bytes, type);
    buf_u64(&m->bytes, count);
}

void metas_u32(struct metas *m, const char *architecture, const char *key, uint32_t value) {
    put_key(m, architecture, key, META_U32);
    buf_u32(&m->bytes, value);
}

void metas_f64(struct metas *m, const char *architecture, const char *key, double value) {
    uint64_t bits;

    memcpy(&bits, &value, sizeof bits);
    put_key(m, architecture, key, META_F64);
    buf_u64(&m->bytes, bits);
}

void metas_string(struct metas *m, const char *architecture, const char *key, const char *text) {
    put_key(m, architecture, key, META_STRING);
    put_text(&m->bytes, text, strlen(text));
}

void metas_bools(struct metas *m, const char *architecture, const char *key, const bool *values,
                 uint32_t count) {
    put_array(m, architecture, key, META_BOOL, count);
    for (uint32_t i = 0; i < count; i++) {
        buf_u8(&m->bytes, values[i]);
    }
}

void vocabulary_write(const struct vocabulary *v, size_t count, struct metas *m) {
    metas_string(m, "tokenizer.ggml", "model", "llama");
    put_array(m, "tokenizer.ggml", "tokens", META_STRING, count);
    for (size_t i = 0; i < count; i++) {
        put_text(&m->bytes, v->pieces[i].text, v->pieces[i].size);
    }
    put_array(m, "tokenizer.ggml", "scores", META_F32, count);
    for (size_t i = 0; i < count; i++) {
        uint32_t bits;

        memcpy(&bits, &v->pieces[i].score, sizeof bits);
        buf_u32(&m->bytes, bits);
    }
    put_array(m, "tokenizer.ggml", "token_type", META_I32, count);
    for (size_t i = 0; i < count; i++) {
        buf_u32(&m->bytes, v->pieces[i].type == 0 ? PIECE_TYPE_UNUSED : v->pieces[i].type);
    }
}
