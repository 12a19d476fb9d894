/* SPDX-License-Identifier: Apache-2.0
 *
 * The directory of a safetensors file: u64 length, a JSON header of that length, the data. Every tensor lies
 * inside the file and is as long as its shape and type say, and together they are exactly the data: no
 * overlaps, no holes. Data need not be aligned.
 */
#ifndef BUCKLER_BASE_SAFETENSORS_H
#define BUCKLER_BASE_SAFETENSORS_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum { SAFETENSORS_E_FORMAT = 1 };
enum {
    SAFETENSORS_MAX_HEADER_BYTES = 16 << 20,
    SAFETENSORS_MAX_TENSORS = 65536,
    SAFETENSORS_MAX_NAME_BYTES = 255,
    SAFETENSORS_MAX_DIMS = 4,
};

struct safetensors_entry {
    const char *name;                    /* 1 to 255 printable ASCII characters; the directory's */
    const char *type;                    /* "F32", "BF16", "I8", …; constant */
    uint32_t dim_count;                  /* 0 for a single value */
    uint64_t dims[SAFETENSORS_MAX_DIMS]; /* as in the file: the fastest last */
    const uint8_t *data;                 /* inside the caller's bytes */
    uint64_t size;                       /* bytes */
};

struct safetensors {
    struct safetensors_entry *entries; /* by name */
    size_t count;
    void *header; /* holds the names */
};

/* Reads the directory of `bytes`, which stay the caller's and must live as long. SAFETENSORS_E_FORMAT with a
 * sentence. */
int safetensors_read(const void *bytes, size_t size, struct safetensors *ret,
                     struct error *reterr) MUST_CHECK;
void safetensors_deinit(struct safetensors *file); /* accepts a zeroed one */

/* NULL when there is no such tensor. */
const struct safetensors_entry *safetensors_find(const struct safetensors *file, const char *name);

#endif
