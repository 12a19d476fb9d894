/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/formats/safetensors.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/cleanup.h"
#include "base/cursor.h"
#include "engine/engine.h"
#include "engine/formats/directory.h"
#include "engine/kernels/kernels.h"

enum { MAX_HEADER_BYTES = 16 << 20, MAX_TENSORS = 65536, MAX_NAME_BYTES = 255 };

static void drop_json(json_t **json) {
    json_decref(*json);
    *json = NULL;
}

static void drop_file(struct tensor_file **file) {
    *file = tensor_file_free(*file);
}

static bool take_size(const json_t *value, uint64_t *ret) {
    if (!json_is_integer(value) || json_integer_value(value) < 0) {
        return false;
    }
    *ret = (uint64_t)json_integer_value(value);
    return true;
}

static int take_type(const char *name, const json_t *entry, struct tensor *t, struct error *reterr) {
    static const struct {
        const char *name;
        enum tensor_type type;
        uint32_t bytes;
    } types[] = {{"F32", TENSOR_F32, 4}, {"F16", TENSOR_F16, 2}, {"BF16", TENSOR_BF16, 2}};
    const char *type = json_string_value(json_object_get(entry, "dtype"));

    if (type == NULL) {
        return error_set(reterr, ENGINE_E_FORMAT, "the tensor %s has no dtype", name);
    }
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (strcmp(types[i].name, type) == 0) {
            t->type = types[i].type;
            t->bytes = types[i].bytes; /* of one value; take_shape multiplies */
            return 0;
        }
    }
    return error_set(reterr, ENGINE_E_UNSUPPORTED,
                     "the tensor %s is %.16s, and only F32, F16 and BF16 are read; convert it", name, type);
}

/* Dimensions, and the bytes that they and the type ask for. */
static int take_shape(const char *name, const json_t *entry, struct tensor *t, struct error *reterr) {
    const json_t *shape = json_object_get(entry, "shape");
    size_t count = json_array_size(shape);

    if (!json_is_array(shape) || count > TENSOR_MAX_DIMS) {
        return error_set(reterr, ENGINE_E_FORMAT, "the tensor %s has no shape of at most %d dimensions", name,
                         TENSOR_MAX_DIMS);
    }
    t->dim_count = (uint32_t)count;
    for (size_t i = 0; i < TENSOR_MAX_DIMS; i++) {
        t->dims[i] = 1;
    }
    for (size_t i = 0; i < count; i++) {
        uint64_t *dim = &t->dims[count - 1 - i];

        if (!take_size(json_array_get(shape, i), dim) || *dim == 0 ||
            __builtin_mul_overflow(t->bytes, *dim, &t->bytes)) {
            return error_set(reterr, ENGINE_E_FORMAT,
                             "the shape of the tensor %s is empty, or too large for any file", name);
        }
    }
    return 0;
}

static int take_range(const char *name, const json_t *entry, const uint8_t *data, uint64_t data_size,
                      struct tensor *t, struct error *reterr) {
    const json_t *offsets = json_object_get(entry, "data_offsets");
    uint64_t begin = 0, end = 0;

    if (!json_is_array(offsets) || json_array_size(offsets) != 2 ||
        !take_size(json_array_get(offsets, 0), &begin) || !take_size(json_array_get(offsets, 1), &end) ||
        begin > end || end > data_size) {
        return error_set(reterr, ENGINE_E_FORMAT,
                         "the data_offsets of the tensor %s do not lie inside the %llu bytes of data", name,
                         (unsigned long long)data_size);
    }
    if (end - begin != t->bytes) {
        return error_set(reterr, ENGINE_E_FORMAT,
                         "the tensor %s holds %llu bytes, but its shape asks for %llu", name,
                         (unsigned long long)(end - begin), (unsigned long long)t->bytes);
    }
    t->data = data + begin;
    return 0;
}

static int take_tensors(struct tensor_file *f, const json_t *header, const uint8_t *data, uint64_t data_size,
                        struct error *reterr) {
    const char *name = NULL;
    json_t *entry = NULL;
    char *names = f->names;

    json_object_foreach((json_t *)header, name, entry) {
        struct tensor *t = &f->tensors[f->tensor_count];

        if (strcmp(name, "__metadata__") == 0) {
            continue;
        }
        t->name = strcpy(names, name); /* room for all of them was counted before */
        names += strlen(name) + 1;
        int r = take_type(name, entry, t, reterr);
        r = r == 0 ? take_shape(name, entry, t, reterr) : r;
        r = r == 0 ? take_range(name, entry, data, data_size, t, reterr) : r;
        if (r != 0) {
            return r;
        }
        f->by_name[f->tensor_count] = (uint32_t)f->tensor_count;
        f->tensor_count++;
    }
    return 0;
}

static int compare_places(const void *a, const void *b, void *tensors) {
    const struct tensor *all = tensors;
    uintptr_t x = (uintptr_t)all[*(const uint32_t *)a].data, y = (uintptr_t)all[*(const uint32_t *)b].data;

    return x < y ? -1 : x > y;
}

static int compare_names(const void *a, const void *b, void *tensors) {
    const struct tensor *all = tensors;

    return strcmp(all[*(const uint32_t *)a].name, all[*(const uint32_t *)b].name);
}

/* One after the other they are exactly the data. */
static int check_places(struct tensor_file *f, const uint8_t *data, uint64_t data_size,
                        struct error *reterr) {
    uint64_t at = 0;

    qsort_r(f->by_name, f->tensor_count, sizeof *f->by_name, compare_places, f->tensors);
    for (size_t i = 0; i < f->tensor_count; i++) {
        const struct tensor *t = &f->tensors[f->by_name[i]];
        uint64_t begin = (uint64_t)((const uint8_t *)t->data - data);

        if (begin != at) {
            return error_set(reterr, ENGINE_E_FORMAT, "the tensor %s %s", t->name,
                             begin < at ? "overlaps another one" : "leaves a hole in the data before it");
        }
        at += t->bytes;
    }
    if (at != data_size) {
        return error_set(reterr, ENGINE_E_FORMAT, "%llu bytes behind the last tensor belong to nothing",
                         (unsigned long long)(data_size - at));
    }
    qsort_r(f->by_name, f->tensor_count, sizeof *f->by_name, compare_names, f->tensors);
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
    return size > 0 && size <= MAX_NAME_BYTES;
}

/* The header as an object of objects, and the room that its names need. */
static int read_header(struct cursor *c, json_t **ret_header, size_t *ret_name_bytes, struct error *reterr) {
    uint64_t length = cursor_u64(c);
    const char *name = NULL;
    json_t *entry = NULL;
    json_error_t error;
    size_t bytes = 0;

    if (c->failed || length > cursor_left(c) || length > MAX_HEADER_BYTES) {
        return error_set(reterr, ENGINE_E_FORMAT,
                         "not a safetensors file: the header is longer than the file or than %d bytes",
                         MAX_HEADER_BYTES);
    }
    const char *text = (const char *)cursor_take(c, (size_t)length);
    CLEANUP(drop_json) json_t *header = json_loadb(text, (size_t)length, JSON_REJECT_DUPLICATES, &error);
    if (!json_is_object(header) || json_object_size(header) > MAX_TENSORS) {
        return error_set(reterr, ENGINE_E_FORMAT,
                         "not a safetensors file: the header is no JSON object of at most %d tensors",
                         MAX_TENSORS);
    }
    json_object_foreach(header, name, entry) {
        if (!is_name(name)) {
            return error_set(reterr, ENGINE_E_FORMAT,
                             "the name of a tensor is not 1 to %d printable ASCII characters",
                             MAX_NAME_BYTES);
        }
        if (!json_is_object(entry)) {
            return error_set(reterr, ENGINE_E_FORMAT, "the header entry %s is not an object", name);
        }
        bytes += strlen(name) + 1;
    }
    *ret_header = steal(header);
    *ret_name_bytes = bytes;
    return 0;
}

int tensors_open_safetensors_memory(const void *bytes, size_t size, struct tensor_file **ret_file,
                                    struct error *reterr) {
    CLEANUP(drop_json) json_t *header = NULL;
    size_t name_bytes = 0;
    struct cursor c;

    cursor_init(&c, bytes, size);
    int r = read_header(&c, &header, &name_bytes, reterr);
    if (r != 0) {
        return r;
    }
    CLEANUP(drop_file) struct tensor_file *f = calloc(1, sizeof *f);
    if (f == NULL) {
        return error_errno(reterr, ENOMEM, "cannot read the tensors");
    }
    f->bytes = bytes;
    f->size = size;
    f->tensors = calloc(json_object_size(header) + 1, sizeof *f->tensors);
    f->by_name = calloc(json_object_size(header) + 1, sizeof *f->by_name);
    f->names = calloc(name_bytes + 1, 1);
    if (f->tensors == NULL || f->by_name == NULL || f->names == NULL) {
        return error_errno(reterr, ENOMEM, "cannot read the tensors");
    }
    const uint8_t *data = (const uint8_t *)bytes + c.at;
    r = take_tensors(f, header, data, size - c.at, reterr);
    r = r == 0 ? check_places(f, data, size - c.at, reterr) : r;
    if (r != 0) {
        return r;
    }
    *ret_file = steal(f);
    return 0;
}

int tensors_open_safetensors(const char *path, struct tensor_file **ret_file, struct error *reterr) {
    struct tensor_file *file = NULL;
    void *bytes = NULL;
    size_t size = 0;
    int r = tensor_file_map_path(path, &bytes, &size, reterr);

    if (r != 0) {
        return r;
    }
    r = tensors_open_safetensors_memory(bytes, size, &file, reterr);
    if (r != 0) {
        (void)munmap(bytes, size);
        return error_prefix(reterr, "%s: ", path);
    }
    file->mapped = true;
    *ret_file = file;
    return 0;
}
