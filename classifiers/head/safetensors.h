/* SPDX-License-Identifier: Apache-2.0
 *
 * The few small tensors of a head, from a safetensors file: u64 length, a JSON header of that length, the
 * data. Only F32 and I8; every offset and length is checked against the file.
 */
#ifndef BUCKLER_CLASSIFIERS_HEAD_SAFETENSORS_H
#define BUCKLER_CLASSIFIERS_HEAD_SAFETENSORS_H

#include <stddef.h>
#include <stdint.h>

#include "base/digest.h"
#include "base/error.h"

enum { SAFETENSORS_MAX_BYTES = 64 << 20, SAFETENSORS_MAX_HEADER_BYTES = 1 << 20 };

struct safetensors;

/* Takes a copy of nothing: `bytes` stay the caller's and must live as long. CLASSIFIER_E_INVALID with a
 * sentence. */
int safetensors_open_memory(const void *bytes, size_t size, struct safetensors **ret,
                            struct error *reterr) MUST_CHECK;
struct safetensors *safetensors_free(struct safetensors *file);

/* Copies a tensor that must have exactly this shape; `columns` 0: one dimension. Values must be finite. */
int safetensors_f32(const struct safetensors *file, const char *name, size_t rows, size_t columns, float *out,
                    struct error *reterr) MUST_CHECK;

/* The bytes of an I8 tensor of exactly this shape, inside the caller's bytes. */
int safetensors_i8(const struct safetensors *file, const char *name, size_t rows, size_t columns,
                   const int8_t **ret, struct error *reterr) MUST_CHECK;

#endif
