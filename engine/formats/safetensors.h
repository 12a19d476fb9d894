/* SPDX-License-Identifier: Apache-2.0
 *
 * A safetensors file as a tensor directory: u64 length, a JSON header of that length, the data. F32, F16 and
 * BF16. Every tensor lies inside the file, is as long as its shape says, and together they are the data: no
 * overlaps, no holes. Data need not be aligned. Shapes are turned round, as `dims` have the fastest first.
 */
#ifndef BUCKLER_ENGINE_FORMATS_SAFETENSORS_H
#define BUCKLER_ENGINE_FORMATS_SAFETENSORS_H

#include "engine/formats/tensors.h"

int tensors_open_safetensors(const char *path, struct tensor_file **ret_file,
                             struct error *reterr) MUST_CHECK;

/* The same over memory that outlives the file object. */
int tensors_open_safetensors_memory(const void *bytes, size_t size, struct tensor_file **ret_file,
                                    struct error *reterr) MUST_CHECK;

#endif
