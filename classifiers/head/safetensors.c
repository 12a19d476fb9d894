/* SPDX-License-Identifier: Apache-2.0 */
#include "classifiers/head/safetensors.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/cursor.h"
#include "classifiers/classifier.h"

struct safetensors {
    const uint8_t *data;
    size_t data_size;
    json_t *header;
};

static int invalid(struct error *reterr, const char *why) {
    return error_set(reterr, CLASSIFIER_E_INVALID, "not a sound safetensors file: %s", why);
}

/* A non-negative integer of JSON; false for anything else. */
static bool take_size(const json_t *value, size_t *ret) {
    if (!json_is_integer(value) || json_integer_value(value) < 0) {
        return false;
    }
    *ret = (size_t)json_integer_value(value);
    return true;
}

static bool take_range(const struct safetensors *file, const json_t *tensor, size_t *ret_begin,
                       size_t *ret_size) {
    const json_t *offsets = json_object_get(tensor, "data_offsets");
    size_t end = 0;
    if (!json_is_array(offsets) || json_array_size(offsets) != 2 ||
        !take_size(json_array_get(offsets, 0), ret_begin) || !take_size(json_array_get(offsets, 1), &end) ||
        *ret_begin > end || end > file->data_size) {
        return false;
    }
    *ret_size = end - *ret_begin;
    return true;
}

/* Every entry is a tensor inside the data, and together they are as long as it: nothing hides between them.
 */
static int check_entries(const struct safetensors *file, struct error *reterr) {
    const char *name = NULL;
    json_t *tensor = NULL;
    size_t total = 0;
    json_object_foreach(file->header, name, tensor) {
        size_t begin = 0;
        size_t size = 0;
        if (strcmp(name, "__metadata__") == 0) {
            continue;
        }
        if (!take_range(file, tensor, &begin, &size) || __builtin_add_overflow(total, size, &total)) {
            return invalid(reterr, "a tensor lies outside the file");
        }
    }
    return total == file->data_size ? 0 : invalid(reterr, "the tensors do not fill the file");
}

int safetensors_open_memory(const void *bytes, size_t size, struct safetensors **ret, struct error *reterr) {
    struct cursor c;
    json_error_t error;
    cursor_init(&c, bytes, size);
    uint64_t length = cursor_u64(&c);
    if (size > SAFETENSORS_MAX_BYTES || c.failed || length > SAFETENSORS_MAX_HEADER_BYTES ||
        length > cursor_left(&c)) {
        return invalid(reterr, "the header is longer than the file or the limit");
    }
    const char *header = (const char *)cursor_take(&c, (size_t)length);
    struct safetensors *file = calloc(1, sizeof *file);
    if (file == NULL) {
        return error_errno(reterr, ENOMEM, "no memory for a head");
    }
    file->data = (const uint8_t *)bytes + c.at;
    file->data_size = cursor_left(&c);
    file->header = json_loadb(header, (size_t)length, JSON_REJECT_DUPLICATES, &error);
    int rc = json_is_object(file->header) ? check_entries(file, reterr)
                                          : invalid(reterr, "the header is not a JSON object");
    if (rc != 0) {
        (void)safetensors_free(file);
        return rc;
    }
    *ret = file;
    return 0;
}

struct safetensors *safetensors_free(struct safetensors *file) {
    if (file != NULL) {
        json_decref(file->header);
        free(file);
    }
    return NULL;
}

static bool has_shape(const json_t *tensor, size_t rows, size_t columns) {
    const json_t *shape = json_object_get(tensor, "shape");
    size_t rank = columns == 0 ? 1 : 2;
    size_t first = 0;
    size_t second = 0;
    return json_is_array(shape) && json_array_size(shape) == rank &&
           take_size(json_array_get(shape, 0), &first) && first == rows &&
           (rank == 1 || (take_size(json_array_get(shape, 1), &second) && second == columns));
}

/* The bytes of a tensor of this type and shape; `width` bytes a value. */
static int find_tensor(const struct safetensors *file, const char *name, const char *type, size_t width,
                       size_t rows, size_t columns, const uint8_t **ret_bytes, size_t *ret_count,
                       struct error *reterr) {
    const json_t *tensor = json_object_get(file->header, name);
    const char *found = json_string_value(json_object_get(tensor, "dtype"));
    size_t begin = 0;
    size_t size = 0;
    size_t bytes = 0;
    if (tensor == NULL) {
        return error_set(reterr, CLASSIFIER_E_INVALID, "tensor %s is missing", name);
    }
    if (found == NULL || strcmp(found, type) != 0) {
        return error_set(reterr, CLASSIFIER_E_INVALID, "tensor %s is not %s", name, type);
    }
    if (!has_shape(tensor, rows, columns)) {
        return error_set(reterr, CLASSIFIER_E_INVALID,
                         "tensor %s has not the shape that the card asks for (%zu, %zu)", name, rows,
                         columns);
    }
    if (__builtin_mul_overflow(rows, columns == 0 ? 1 : columns, ret_count) ||
        __builtin_mul_overflow(*ret_count, width, &bytes) || !take_range(file, tensor, &begin, &size) ||
        size != bytes) {
        return error_set(reterr, CLASSIFIER_E_INVALID, "tensor %s is not as long as its shape", name);
    }
    *ret_bytes = file->data + begin;
    return 0;
}

int safetensors_f32(const struct safetensors *file, const char *name, size_t rows, size_t columns, float *out,
                    struct error *reterr) {
    const uint8_t *bytes = NULL;
    size_t count = 0;
    int rc = find_tensor(file, name, "F32", sizeof(float), rows, columns, &bytes, &count, reterr);
    if (rc != 0) {
        return rc;
    }
    struct cursor c;
    cursor_init(&c, bytes, count * sizeof(float));
    for (size_t i = 0; i < count; i++) {
        out[i] = cursor_f32(&c);
        if (!isfinite(out[i])) {
            return error_set(reterr, CLASSIFIER_E_INVALID, "tensor %s holds a value that is not finite",
                             name);
        }
    }
    return 0;
}

int safetensors_i8(const struct safetensors *file, const char *name, size_t rows, size_t columns,
                   const int8_t **ret, struct error *reterr) {
    const uint8_t *bytes = NULL;
    size_t count = 0;
    int rc = find_tensor(file, name, "I8", 1, rows, columns, &bytes, &count, reterr);
    if (rc == 0) {
        *ret = (const int8_t *)bytes;
    }
    return rc;
}
