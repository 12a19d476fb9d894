/* SPDX-License-Identifier: Apache-2.0 */
#include "base/safetensors.h"

#include <errno.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/cursor.h"

static bool take_size(const json_t *value, uint64_t *ret) {
    if (!json_is_integer(value) || json_integer_value(value) < 0) {
        return false;
    }
    *ret = (uint64_t)json_integer_value(value);
    return true;
}

/* The type, and in `size` the bytes of one value. */
static int take_type(const json_t *entry, struct safetensors_entry *e, struct error *reterr) {
    static const struct {
        const char *name;
        uint32_t bytes;
    } types[] = {{"F32", 4}, {"F16", 2}, {"BF16", 2},    {"I8", 1},      {"U8", 1},     {"BOOL", 1},
                 {"F64", 8}, {"I64", 8}, {"U64", 8},     {"I32", 4},     {"U32", 4},    {"I16", 2},
                 {"U16", 2}, {"C64", 8}, {"F8_E4M3", 1}, {"F8_E5M2", 1}, {"F8_E8M0", 1}};
    const char *type = json_string_value(json_object_get(entry, "dtype"));
    if (type == NULL) {
        return error_set(reterr, SAFETENSORS_E_FORMAT, "the tensor %s has no dtype", e->name);
    }
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (strcmp(types[i].name, type) == 0) {
            e->type = types[i].name;
            e->size = types[i].bytes;
            return 0;
        }
    }
    return error_set(reterr, SAFETENSORS_E_FORMAT, "the tensor %s has the unknown dtype %.16s", e->name,
                     type);
}

/* Dimensions; `size` becomes the bytes that they and the type ask for. */
static int take_shape(const json_t *entry, struct safetensors_entry *e, struct error *reterr) {
    const json_t *shape = json_object_get(entry, "shape");
    size_t count = json_array_size(shape);
    if (!json_is_array(shape) || count > SAFETENSORS_MAX_DIMS) {
        return error_set(reterr, SAFETENSORS_E_FORMAT, "the tensor %s has no shape of at most %d dimensions",
                         e->name, SAFETENSORS_MAX_DIMS);
    }
    e->dim_count = (uint32_t)count;
    for (size_t i = 0; i < count; i++) {
        if (!take_size(json_array_get(shape, i), &e->dims[i]) || e->dims[i] == 0 ||
            __builtin_mul_overflow(e->size, e->dims[i], &e->size)) {
            return error_set(reterr, SAFETENSORS_E_FORMAT,
                             "the shape of the tensor %s is empty, or too large for any file", e->name);
        }
    }
    return 0;
}

static int take_range(const json_t *entry, const uint8_t *data, uint64_t data_size,
                      struct safetensors_entry *e, struct error *reterr) {
    const json_t *offsets = json_object_get(entry, "data_offsets");
    uint64_t begin = 0;
    uint64_t end = 0;
    if (!json_is_array(offsets) || json_array_size(offsets) != 2 ||
        !take_size(json_array_get(offsets, 0), &begin) || !take_size(json_array_get(offsets, 1), &end) ||
        begin > end || end > data_size) {
        return error_set(reterr, SAFETENSORS_E_FORMAT,
                         "the data_offsets of the tensor %s do not lie inside the %llu bytes of data",
                         e->name, (unsigned long long)data_size);
    }
    if (end - begin != e->size) {
        return error_set(reterr, SAFETENSORS_E_FORMAT,
                         "the tensor %s holds %llu bytes, but its shape asks for %llu", e->name,
                         (unsigned long long)(end - begin), (unsigned long long)e->size);
    }
    e->data = data + begin;
    return 0;
}

/* Names go into messages. */
static bool is_name(const char *name) {
    size_t size = strlen(name);
    for (size_t i = 0; i < size; i++) {
        if (name[i] < 0x21 || name[i] > 0x7e) {
            return false;
        }
    }
    return size > 0 && size <= SAFETENSORS_MAX_NAME_BYTES;
}

static int take_entries(struct safetensors *file, const uint8_t *data, uint64_t data_size,
                        struct error *reterr) {
    const char *name = NULL;
    json_t *entry = NULL;
    json_object_foreach((json_t *)file->header, name, entry) {
        if (!is_name(name)) {
            return error_set(reterr, SAFETENSORS_E_FORMAT,
                             "the name of a tensor is not 1 to %d printable ASCII characters",
                             SAFETENSORS_MAX_NAME_BYTES);
        }
        if (!json_is_object(entry)) {
            return error_set(reterr, SAFETENSORS_E_FORMAT, "the header entry %s is not an object", name);
        }
        if (strcmp(name, "__metadata__") == 0) {
            continue;
        }
        struct safetensors_entry *e = &file->entries[file->count++];
        e->name = name;
        int rc = take_type(entry, e, reterr);
        rc = rc != 0 ? rc : take_shape(entry, e, reterr);
        rc = rc != 0 ? rc : take_range(entry, data, data_size, e, reterr);
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

static int compare_places(const void *a, const void *b) {
    const struct safetensors_entry *x = a;
    const struct safetensors_entry *y = b;
    return x->data < y->data ? -1 : x->data > y->data;
}

static int compare_names(const void *a, const void *b) {
    const struct safetensors_entry *x = a;
    const struct safetensors_entry *y = b;
    return strcmp(x->name, y->name);
}

/* One after the other they are exactly the data. */
static int check_places(struct safetensors *file, const uint8_t *data, uint64_t data_size,
                        struct error *reterr) {
    uint64_t at = 0;
    qsort(file->entries, file->count, sizeof *file->entries, compare_places);
    for (size_t i = 0; i < file->count; i++) {
        const struct safetensors_entry *e = &file->entries[i];
        uint64_t begin = (uint64_t)(e->data - data);
        if (begin != at) {
            return error_set(reterr, SAFETENSORS_E_FORMAT, "the tensor %s %s", e->name,
                             begin < at ? "overlaps another one" : "leaves a hole in the data before it");
        }
        at += e->size;
    }
    if (at != data_size) {
        return error_set(reterr, SAFETENSORS_E_FORMAT, "%llu bytes behind the last tensor belong to nothing",
                         (unsigned long long)(data_size - at));
    }
    qsort(file->entries, file->count, sizeof *file->entries, compare_names);
    return 0;
}

static int read_header(struct cursor *c, void **ret_header, struct error *reterr) {
    uint64_t length = cursor_u64(c);
    json_error_t error;
    if (c->failed || length > cursor_left(c) || length > SAFETENSORS_MAX_HEADER_BYTES) {
        return error_set(reterr, SAFETENSORS_E_FORMAT,
                         "not a safetensors file: the header is longer than the file or than %d bytes",
                         SAFETENSORS_MAX_HEADER_BYTES);
    }
    const char *text = (const char *)cursor_take(c, (size_t)length);
    *ret_header = json_loadb(text, (size_t)length, JSON_REJECT_DUPLICATES, &error);
    if (!json_is_object((json_t *)*ret_header) ||
        json_object_size((json_t *)*ret_header) > SAFETENSORS_MAX_TENSORS) {
        return error_set(reterr, SAFETENSORS_E_FORMAT,
                         "not a safetensors file: the header is no JSON object of at most %d tensors",
                         SAFETENSORS_MAX_TENSORS);
    }
    return 0;
}

int safetensors_read(const void *bytes, size_t size, struct safetensors *ret, struct error *reterr) {
    CLEANUP(safetensors_deinit) struct safetensors file = {0};
    struct cursor c;
    cursor_init(&c, bytes, size);
    int rc = read_header(&c, &file.header, reterr);
    if (rc != 0) {
        return rc;
    }
    file.entries = calloc(json_object_size(file.header) + 1, sizeof *file.entries);
    if (file.entries == NULL) {
        return error_errno(reterr, ENOMEM, "cannot read the tensors");
    }
    const uint8_t *data = (const uint8_t *)bytes + c.at;
    rc = take_entries(&file, data, size - c.at, reterr);
    rc = rc != 0 ? rc : check_places(&file, data, size - c.at, reterr);
    if (rc == 0) {
        *ret = file;
        file = (struct safetensors){0};
    }
    return rc;
}

void safetensors_deinit(struct safetensors *file) {
    json_decref(file->header);
    free(file->entries);
    *file = (struct safetensors){0};
}

const struct safetensors_entry *safetensors_find(const struct safetensors *file, const char *name) {
    const struct safetensors_entry wanted = {.name = name};
    return file->count == 0
               ? NULL
               : bsearch(&wanted, file->entries, file->count, sizeof *file->entries, compare_names);
}
