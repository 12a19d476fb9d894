/* SPDX-License-Identifier: Apache-2.0
 *
 * Private to engine/formats: what a parser fills and tensors.c answers from. The parsers check, the accessors
 * trust.
 */
#ifndef BUCKLER_ENGINE_FORMATS_DIRECTORY_H
#define BUCKLER_ENGINE_FORMATS_DIRECTORY_H

#include "engine/formats/tensors.h"

/* Value types of GGUF metadata. */
enum meta_type {
    META_U8 = 0,
    META_I8 = 1,
    META_U16 = 2,
    META_I16 = 3,
    META_U32 = 4,
    META_I32 = 5,
    META_F32 = 6,
    META_BOOL = 7,
    META_STRING = 8,
    META_ARRAY = 9,
    META_U64 = 10,
    META_I64 = 11,
    META_F64 = 12,
    META_TYPE_COUNT
};

struct meta {
    const char *key; /* inside the bytes, not NUL-terminated */
    size_t key_size;
    enum meta_type type;
    enum meta_type element_type; /* META_ARRAY */
    uint64_t count;              /* elements of an array; 1 otherwise */
    size_t at;    /* offset of the value, of an array's first element, of a string's first byte */
    size_t bytes; /* from there to the end of the value */
};

/* A file that was mapped and is unmapped with the directory. */
struct mapping {
    char *name; /* in its folder; NULL for a file of its own */
    void *bytes;
    size_t size;
};

struct tensor_file {
    const uint8_t *bytes; /* what metadata are in */
    uint64_t size;        /* of all files together */
    struct mapping *mappings;
    size_t mapping_count;
    struct meta *metas; /* sorted by key */
    size_t meta_count;
    struct tensor *tensors; /* in file order; the names are in `names` */
    size_t tensor_count;
    uint32_t *by_name; /* tensor indices sorted by name */
    char *names;

    /* Of a folder: */
    char *prefix; /* of the names of its tensors; NULL for GGUF */
    bool gemma1;
    void *owned;  /* `bytes`, when they were made here */
    float *norms; /* data of tensors that are not in the file as they are here */
};

/* Maps a whole regular file that is not empty, read-only. */
int tensor_file_map_path(const char *path, void **ret_bytes, size_t *ret_size,
                         struct error *reterr) MUST_CHECK;

/* Keeps the mapping, for a directory that has none yet. */
int tensor_file_adopt(struct tensor_file *file, void *bytes, size_t size) MUST_CHECK;

/* Fills by_name; returns a tensor whose name another one has too, or NULL. */
const struct tensor *tensor_file_sort(struct tensor_file *file);

/* Order of keys: bytes, then length. */
int meta_key_compare(const char *a, size_t a_size, const char *b, size_t b_size);

/* Size of a fixed-size value; 0 for strings, arrays and unknown numbers. */
size_t meta_type_size(uint32_t type);

/* Block layout of a GGUF tensor type; false when unknown or removed. */
bool gguf_type_layout(uint32_t type, uint32_t *ret_block_values, uint32_t *ret_block_bytes);

#endif
