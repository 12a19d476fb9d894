/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/gguf_writer.h"

#include <string.h>

enum { U32 = 4, I32 = 5, F32 = 6, BOOL = 7, STRING = 8, ARRAY = 9, ALIGNMENT = 32 };

static void put_string(struct buf *b, const char *text) {
    buf_u64(b, strlen(text));
    buf_append(b, text, strlen(text));
}

static void put_f32(struct buf *b, float value) {
    uint32_t bits = 0;
    memcpy(&bits, &value, sizeof bits);
    buf_u32(b, bits);
}

static void pad(struct buf *b) {
    while (b->size % ALIGNMENT != 0 && !b->failed) {
        buf_u8(b, 0);
    }
}

void gguf_write_key(struct gguf_writer *w, const char *key, uint32_t type) {
    put_string(&w->metas, key);
    buf_u32(&w->metas, type);
    w->meta_count++;
}

static void put_array(struct gguf_writer *w, const char *key, uint32_t type, size_t count) {
    gguf_write_key(w, key, ARRAY);
    buf_u32(&w->metas, type);
    buf_u64(&w->metas, count);
}

void gguf_write_u32(struct gguf_writer *w, const char *key, uint32_t value) {
    gguf_write_key(w, key, U32);
    buf_u32(&w->metas, value);
}

void gguf_write_bool(struct gguf_writer *w, const char *key, uint8_t value) {
    gguf_write_key(w, key, BOOL);
    buf_u8(&w->metas, value);
}

void gguf_write_f32(struct gguf_writer *w, const char *key, float value) {
    gguf_write_key(w, key, F32);
    put_f32(&w->metas, value);
}

void gguf_write_string(struct gguf_writer *w, const char *key, const char *value) {
    gguf_write_key(w, key, STRING);
    put_string(&w->metas, value);
}

void gguf_write_strings(struct gguf_writer *w, const char *key, const char *const *values, size_t count) {
    put_array(w, key, STRING, count);
    for (size_t i = 0; i < count; i++) {
        put_string(&w->metas, values[i]);
    }
}

void gguf_write_f32s(struct gguf_writer *w, const char *key, const float *values, size_t count) {
    put_array(w, key, F32, count);
    for (size_t i = 0; i < count; i++) {
        put_f32(&w->metas, values[i]);
    }
}

void gguf_write_i32s(struct gguf_writer *w, const char *key, const int32_t *values, size_t count) {
    put_array(w, key, I32, count);
    for (size_t i = 0; i < count; i++) {
        buf_u32(&w->metas, (uint32_t)values[i]);
    }
}

void gguf_write_tensor(struct gguf_writer *w, const char *name, uint32_t type, const uint64_t *dims,
                       uint32_t dim_count, size_t bytes, uint8_t first) {
    pad(&w->data);
    put_string(&w->tensors, name);
    buf_u32(&w->tensors, dim_count);
    for (uint32_t i = 0; i < dim_count; i++) {
        buf_u64(&w->tensors, dims[i]);
    }
    buf_u32(&w->tensors, type);
    buf_u64(&w->tensors, w->data.size);
    for (size_t i = 0; i < bytes; i++) {
        buf_u8(&w->data, (uint8_t)(first + i));
    }
    w->tensor_count++;
}

void gguf_write_file(struct gguf_writer *w, struct buf *out) {
    buf_append(out, "GGUF", 4);
    buf_u32(out, 3);
    buf_u64(out, w->tensor_count);
    buf_u64(out, w->meta_count);
    buf_append(out, w->metas.bytes, w->metas.size);
    buf_append(out, w->tensors.bytes, w->tensors.size);
    pad(out);
    buf_append(out, w->data.bytes, w->data.size);
    buf_deinit(&w->metas);
    buf_deinit(&w->tensors);
    buf_deinit(&w->data);
    *w = (struct gguf_writer){0};
}
