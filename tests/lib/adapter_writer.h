/* SPDX-License-Identifier: Apache-2.0
 *
 * Writes small safetensors files into memory for tests. Checks nothing, so that it can write wrong ones.
 */
#ifndef BUCKLER_TESTS_LIB_ADAPTER_WRITER_H
#define BUCKLER_TESTS_LIB_ADAPTER_WRITER_H

#include "base/buf.h"

struct adapter_writer {
    struct buf header, data;
};

/* A tensor of shape [rows, cols], as `dtype` "F32", "F16" or "BF16"; the values must be exact in it. */
void adapter_write_tensor(struct adapter_writer *w, const char *name, const char *dtype, uint32_t rows,
                          uint32_t cols, const float *values);

/* The file; empties the writer. */
void adapter_write_file(struct adapter_writer *w, struct buf *out);

/* A safetensors file from a header as text and `data_size` bytes that are zero. */
void adapter_write_raw(const char *header, size_t data_size, struct buf *out);

#endif
