/* SPDX-License-Identifier: Apache-2.0
 *
 * A safetensors file (base/safetensors.h) as a tensor directory: F32, F16 and BF16. Shapes are turned round,
 * as `dims` have the fastest first.
 */
#ifndef BUCKLER_ENGINE_FORMATS_SAFETENSORS_H
#define BUCKLER_ENGINE_FORMATS_SAFETENSORS_H

#include "engine/formats/tensors.h"

int tensors_open_safetensors(const char *path, struct tensor_file **ret_file,
                             struct error *reterr) MUST_CHECK;

/* The same over memory that outlives the file object. */
int tensors_open_safetensors_memory(const void *bytes, size_t size, struct tensor_file **ret_file,
                                    struct error *reterr) MUST_CHECK;

struct safetensors_entry;

/* All of a tensor but its name. ENGINE_E_UNSUPPORTED for a type that is not read. */
int tensor_from_safetensors(const struct safetensors_entry *entry, struct tensor *ret_tensor,
                            struct error *reterr) MUST_CHECK;

#endif
