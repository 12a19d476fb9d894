/* SPDX-License-Identifier: Apache-2.0
 *
 * Answers from a directory that a parser has checked. Values are decoded with a cursor at each call: nothing
 * in a file is aligned, and nothing is asked often.
 */
#include "engine/formats/tensors.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/cursor.h"
#include "engine/engine.h"
#include "engine/formats/directory.h"
#include "engine/formats/folder_parts.h"

int tensor_file_map_path(const char *path, void **ret_bytes, size_t *ret_size, struct error *reterr) {
    CLEANUP(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat info;
    if (fd < 0 || fstat(fd, &info) != 0) {
        return error_errno(reterr, errno, "%s: cannot be opened", path);
    }
    if (!S_ISREG(info.st_mode)) {
        return error_set(reterr, ENGINE_E_FORMAT,
                         "%s: not a regular file (byte 0); name a GGUF or safetensors file", path);
    }
    if (info.st_size == 0) {
        return error_set(reterr, ENGINE_E_FORMAT, "%s: empty, not even byte 0 is there; fetch it again",
                         path);
    }
    void *bytes = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_SHARED, fd, 0);
    if (bytes == MAP_FAILED) {
        return error_errno(reterr, errno, "%s: %lld bytes cannot be mapped", path, (long long)info.st_size);
    }
    *ret_bytes = bytes;
    *ret_size = (size_t)info.st_size;
    return 0;
}

struct tensor_file *tensor_file_free(struct tensor_file *file) {
    if (file == NULL) {
        return NULL;
    }
    for (size_t i = 0; i < file->mapping_count; i++) {
        (void)munmap(file->mappings[i].bytes, file->mappings[i].size);
        free(file->mappings[i].name);
    }
    free(file->mappings);
    free(file->prefix);
    free(file->owned);
    free(file->norms);
    free(file->metas);
    free(file->tensors);
    free(file->by_name);
    free(file->names);
    free(file);
    return NULL;
}

int tensor_file_adopt(struct tensor_file *file, void *bytes, size_t size) {
    file->mappings = calloc(1, sizeof *file->mappings);
    if (file->mappings == NULL) {
        return -ENOMEM;
    }
    file->mappings[0] = (struct mapping){.bytes = bytes, .size = size};
    file->mapping_count = 1;
    return 0;
}

static int compare_names(const void *a, const void *b, void *user) {
    const struct tensor *tensors = user;
    uint32_t x = *(const uint32_t *)a;
    uint32_t y = *(const uint32_t *)b;
    int order = strcmp(tensors[x].name, tensors[y].name);
    return order != 0 ? order : (x > y) - (x < y);
}

const struct tensor *tensor_file_sort(struct tensor_file *file) {
    for (size_t i = 0; i < file->tensor_count; i++) {
        file->by_name[i] = (uint32_t)i;
    }
    qsort_r(file->by_name, file->tensor_count, sizeof *file->by_name, compare_names, file->tensors);
    for (size_t i = 1; i < file->tensor_count; i++) {
        const struct tensor *t = &file->tensors[file->by_name[i]];
        if (strcmp(file->tensors[file->by_name[i - 1]].name, t->name) == 0) {
            return t;
        }
    }
    return NULL;
}

size_t tensor_count(const struct tensor_file *file) {
    return file->tensor_count;
}

const struct tensor *tensor_at(const struct tensor_file *file, size_t index) {
    return index < file->tensor_count ? &file->tensors[index] : NULL;
}

const struct tensor *tensor_find(const struct tensor_file *file, const char *name) {
    size_t low = 0;
    size_t high = file->tensor_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct tensor *t = &file->tensors[file->by_name[middle]];
        int order = strcmp(name, t->name);
        if (order == 0) {
            return t;
        }
        if (order < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return NULL;
}

const char *tensor_file_part(const struct tensor_file *file, size_t index) {
    return index < file->mapping_count ? file->mappings[index].name : NULL;
}

struct tensor_spelling tensor_spelled(const struct tensor_file *file, const char *name) {
    struct tensor_spelling s;
    char rest[FOLDER_NAME_BYTES];
    bool other = file->prefix != NULL && folder_name_back(name, file->gemma1, rest, sizeof rest);
    (void)snprintf(s.text, sizeof s.text, "%s%s", other ? file->prefix : "", other ? rest : name);
    return s;
}

uint64_t tensor_file_bytes(const struct tensor_file *file) {
    return file->size;
}

const void *tensor_file_map(const struct tensor_file *file) {
    return file->bytes;
}

void tensor_drop_pages(const struct tensor_file *file, const struct tensor *t) {
    const uint8_t *data = t->data;
    bool mapped = false;
    for (size_t i = 0; i < file->mapping_count && !mapped; i++) {
        const uint8_t *bytes = file->mappings[i].bytes;
        mapped = data >= bytes && data < bytes + file->mappings[i].size;
    }
    if (!mapped) {
        return;
    }
    /* Only pages that hold nothing but this tensor: the neighbours may still be in use. */
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t begin = ((uintptr_t)t->data + page - 1) / page * page;
    uintptr_t end = ((uintptr_t)t->data + t->bytes) / page * page;
    if (begin < end) {
        (void)madvise((void *)begin, end - begin, MADV_DONTNEED); /* advice: a refusal changes nothing */
    }
}

int meta_key_compare(const char *a, size_t a_size, const char *b, size_t b_size) {
    int order = memcmp(a, b, a_size < b_size ? a_size : b_size);
    return order != 0 ? order : (a_size > b_size) - (a_size < b_size);
}

static const struct meta *find(const struct tensor_file *file, const char *key) {
    size_t key_size = strlen(key);
    size_t low = 0;
    size_t high = file->meta_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct meta *m = &file->metas[middle];
        int order = meta_key_compare(key, key_size, m->key, m->key_size);
        if (order == 0) {
            return m;
        }
        if (order < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return NULL;
}

static bool read_integer(const uint8_t *bytes, enum meta_type type, uint64_t *ret) {
    struct cursor c;
    int64_t number = 0;
    cursor_init(&c, bytes, meta_type_size(type));
    switch (type) {
    case META_U8:
        number = cursor_u8(&c);
        break;
    case META_I8:
        number = (int8_t)cursor_u8(&c);
        break;
    case META_U16:
        number = cursor_u16(&c);
        break;
    case META_I16:
        number = (int16_t)cursor_u16(&c);
        break;
    case META_U32:
        number = cursor_u32(&c);
        break;
    case META_I32:
        number = (int32_t)cursor_u32(&c);
        break;
    case META_I64:
        number = (int64_t)cursor_u64(&c);
        break;
    case META_U64:
        *ret = cursor_u64(&c);
        return true;
    default:
        return false;
    }
    if (number < 0) {
        return false;
    }
    *ret = (uint64_t)number;
    return true;
}

bool meta_u64(const struct tensor_file *file, const char *key, uint64_t *ret) {
    const struct meta *m = find(file, key);
    return m != NULL && read_integer(file->bytes + m->at, m->type, ret);
}

bool meta_f64(const struct tensor_file *file, const char *key, double *ret) {
    const struct meta *m = find(file, key);
    if (m == NULL || (m->type != META_F32 && m->type != META_F64)) {
        return false;
    }
    struct cursor c;
    cursor_init(&c, file->bytes + m->at, m->bytes);
    *ret = m->type == META_F32 ? (double)cursor_f32(&c) : cursor_f64(&c);
    return true;
}

bool meta_bool(const struct tensor_file *file, const char *key, bool *ret) {
    const struct meta *m = find(file, key);
    if (m == NULL || m->type != META_BOOL) {
        return false;
    }
    *ret = file->bytes[m->at] != 0;
    return true;
}

bool meta_string(const struct tensor_file *file, const char *key, const char **ret, size_t *ret_size) {
    const struct meta *m = find(file, key);
    if (m == NULL || m->type != META_STRING) {
        return false;
    }
    *ret = (const char *)file->bytes + m->at;
    *ret_size = m->bytes;
    return true;
}

bool meta_array(const struct tensor_file *file, const char *key, uint64_t *ret_count) {
    const struct meta *m = find(file, key);
    if (m == NULL || m->type != META_ARRAY) {
        return false;
    }
    *ret_count = m->count;
    return true;
}

bool meta_array_u64(const struct tensor_file *file, const char *key, uint64_t index, uint64_t *ret) {
    const struct meta *m = find(file, key);
    if (m == NULL || m->type != META_ARRAY || index >= m->count) {
        return false;
    }
    const uint8_t *element = file->bytes + m->at + index * meta_type_size(m->element_type);
    if (m->element_type == META_BOOL) {
        *ret = *element;
        return true;
    }
    return read_integer(element, m->element_type, ret);
}

bool meta_each_string(const struct tensor_file *file, const char *key,
                      bool (*fn)(void *user, uint64_t index, const char *text, size_t size), void *user) {
    const struct meta *m = find(file, key);
    if (m == NULL || m->type != META_ARRAY || m->element_type != META_STRING) {
        return false;
    }
    struct cursor c;
    cursor_init(&c, file->bytes + m->at, m->bytes);
    for (uint64_t i = 0; i < m->count; i++) {
        uint64_t size = cursor_u64(&c);
        const uint8_t *text = cursor_take(&c, size);
        if (text == NULL || !fn(user, i, (const char *)text, size)) {
            return false;
        }
    }
    return true;
}

const uint8_t *meta_array_raw(const struct tensor_file *file, const char *key, uint32_t element_type,
                              uint64_t *ret_count) {
    const struct meta *m = find(file, key);
    if (m == NULL || m->type != META_ARRAY || m->element_type != element_type ||
        meta_type_size(element_type) == 0) {
        return NULL;
    }
    *ret_count = m->count;
    return file->bytes + m->at;
}
