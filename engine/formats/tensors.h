/* SPDX-License-Identifier: Apache-2.0
 *
 * Disk to checked tensor directory. A model file is mapped read-only and parsed with base/cursor; after a
 * successful open every tensor lies inside the mapping, has a known block layout, a unique name and a size
 * that fits its shape, so that nobody behind this door checks again. Layout: spec gemma-models 6.5.
 */
#ifndef BUCKLER_ENGINE_FORMATS_TENSORS_H
#define BUCKLER_ENGINE_FORMATS_TENSORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum { TENSOR_MAX_DIMS = 4 };

struct tensor {
    const char *name;
    uint32_t type; /* enum tensor_type, or a GGUF number that kernels do not know */
    uint32_t dim_count;
    uint64_t dims[TENSOR_MAX_DIMS]; /* fastest first, as in GGUF: [cols, rows, …]; unused ones are 1 */
    const void *data;               /* inside the mapping */
    uint64_t bytes;
};

struct tensor_file;

/* Opens and checks a GGUF v2 or v3 file. ENGINE_E_FORMAT with the byte offset in the message,
 * ENGINE_E_UNSUPPORTED for big-endian and split files. */
int gguf_open(const char *path, struct tensor_file **ret_file, struct error *reterr) MUST_CHECK;

/* The same over memory that outlives the file object (tests, fuzzing). */
int gguf_open_memory(const void *bytes, size_t size, struct tensor_file **ret_file,
                     struct error *reterr) MUST_CHECK;

struct tensor_file *tensor_file_free(struct tensor_file *file);

size_t tensor_count(const struct tensor_file *file);
const struct tensor *tensor_at(const struct tensor_file *file, size_t index);
const struct tensor *tensor_find(const struct tensor_file *file, const char *name); /* NULL: none */
/* Name of the index-th file of a folder that was read; NULL behind the last and for a file of its own. */
const char *tensor_file_part(const struct tensor_file *file, size_t index);

/* How the file itself calls the tensor `name`, for messages. */
struct tensor_spelling {
    char text[320];
};
struct tensor_spelling tensor_spelled(const struct tensor_file *file, const char *name);

uint64_t tensor_file_bytes(const struct tensor_file *file);
const void *tensor_file_map(const struct tensor_file *file); /* the whole mapping */

/* Tells the kernel that pages of this tensor are not needed soon (after repacking). */
void tensor_drop_pages(const struct tensor_file *file, const struct tensor *t);

/* ---- metadata: false when the key is absent or of another type. Any integer type reads as u64 when it is
 * not negative. Strings are not NUL-terminated. */
bool meta_u64(const struct tensor_file *file, const char *key, uint64_t *ret);
bool meta_f64(const struct tensor_file *file, const char *key, double *ret);
bool meta_bool(const struct tensor_file *file, const char *key, bool *ret);
bool meta_string(const struct tensor_file *file, const char *key, const char **ret, size_t *ret_size);

/* Arrays: element count, then element i. */
bool meta_array(const struct tensor_file *file, const char *key, uint64_t *ret_count);
bool meta_array_u64(const struct tensor_file *file, const char *key, uint64_t index, uint64_t *ret);

/* A whole array of strings: calls fn for each, in order; stops and returns false when fn returns false. */
bool meta_each_string(const struct tensor_file *file, const char *key,
                      bool (*fn)(void *user, uint64_t index, const char *text, size_t size), void *user);

/* Raw little-endian elements of a numeric array, unaligned; NULL when absent or of another element type (GGUF
 * number). */
const uint8_t *meta_array_raw(const struct tensor_file *file, const char *key, uint32_t element_type,
                              uint64_t *ret_count);

#endif
