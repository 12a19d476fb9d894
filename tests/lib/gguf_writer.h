/* SPDX-License-Identifier: Apache-2.0
 *
 * Writes small GGUF files into memory for tests and fuzz seeds. Checks nothing, so that it can write wrong
 * ones.
 */
#ifndef BUCKLER_TESTS_LIB_GGUF_WRITER_H
#define BUCKLER_TESTS_LIB_GGUF_WRITER_H

#include "base/buf.h"

struct gguf_writer {
    struct buf metas, tensors, data;
    uint64_t meta_count, tensor_count;
};

/* The head of a value; what follows it is the caller's (buf_u32(&w->metas, …)). */
void gguf_write_key(struct gguf_writer *w, const char *key, uint32_t type);

void gguf_write_u32(struct gguf_writer *w, const char *key, uint32_t value);
void gguf_write_bool(struct gguf_writer *w, const char *key, uint8_t value);
void gguf_write_f32(struct gguf_writer *w, const char *key, float value);
void gguf_write_string(struct gguf_writer *w, const char *key, const char *value);
void gguf_write_strings(struct gguf_writer *w, const char *key, const char *const *values, size_t count);
void gguf_write_f32s(struct gguf_writer *w, const char *key, const float *values, size_t count);
void gguf_write_i32s(struct gguf_writer *w, const char *key, const int32_t *values, size_t count);

/* A tensor whose bytes count up from `first`; padded to 32. */
void gguf_write_tensor(struct gguf_writer *w, const char *name, uint32_t type, const uint64_t *dims,
                       uint32_t dim_count, size_t bytes, uint8_t first);

/* The file, version 3; empties the writer. The padding of the last tensor is left out. */
void gguf_write_file(struct gguf_writer *w, struct buf *out);

#endif
