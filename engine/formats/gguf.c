/* SPDX-License-Identifier: Apache-2.0
 *
 * GGUF v2 and v3 (spec gemma-models 6.5): header, metadata, tensor directory, data. One pass with a cursor;
 * every count is held against the bytes that are left before memory is taken for it, so a hostile file costs
 * at most a small multiple of its own size. A refusal names the byte where the reader stood.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/cleanup.h"
#include "base/cursor.h"
#include "base/utf8.h"
#include "engine/engine.h"
#include "engine/formats/directory.h"

enum {
    KEY_MAX_BYTES = 65535,
    NAME_MAX_BYTES = 63,
    LENGTH_MAX = 1 << 30, /* of a string in bytes, of an array in elements */
    ALIGNMENT_DEFAULT = 32,
    ALIGNMENT_MIN = 8,              /* so that an f32 tensor may be read through a float pointer */
    META_MIN_BYTES = 8 + 1 + 4 + 1, /* length, one letter, type, one byte */
    TENSOR_MIN_BYTES = 8 + 1 + 4 + 4 + 8,
};

struct reader {
    struct cursor c;
    struct tensor_file *file;
    uint64_t alignment;
    struct error *reterr;
};

/* A name from the file, fit for a message: short, printable, whatever the file holds. */
struct shown {
    char text[49];
};

static struct shown show(const char *name, size_t size) {
    struct shown s = {{0}};
    size_t used = size < sizeof s.text - 1 ? size : sizeof s.text - 1;
    for (size_t i = 0; i < used; i++) {
        s.text[i] = (char)(name[i] >= ' ' && name[i] <= '~' ? name[i] : '?');
    }
    return s;
}

static int refuse(const struct reader *r, size_t at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static int refuse(const struct reader *r, size_t at, const char *format, ...) {
    char why[256];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(why, sizeof why, format, args);
    va_end(args);
    return error_set(
        r->reterr, ENGINE_E_FORMAT,
        "not a sound GGUF file: at byte %zu %s; it is damaged or was written wrongly, fetch or convert "
        "it again",
        at, why);
}

static int out_of_memory(const struct reader *r) {
    return error_set(r->reterr, -ENOMEM, "no memory for the directory of the GGUF file");
}

/* u64 length and bytes. `what` completes "at byte N …". */
static int read_string(struct reader *r, const char *what, size_t max, const char **ret, size_t *ret_size) {
    size_t at = r->c.at;
    uint64_t size = cursor_u64(&r->c);
    if (r->c.failed) {
        return refuse(r, at, "%s begins but the file ends", what);
    }
    if (size > cursor_left(&r->c)) {
        return refuse(r, at, "%s claims %llu bytes where only %zu are left", what, (unsigned long long)size,
                      cursor_left(&r->c));
    }
    if (size > max) {
        return refuse(r, at, "%s is %llu bytes long, more than %zu", what, (unsigned long long)size, max);
    }
    *ret = (const char *)cursor_take(&r->c, size);
    *ret_size = size;
    return 0;
}

/* ---- metadata ---- */

static int check_bools(const struct reader *r, size_t at, uint64_t count) {
    for (uint64_t i = 0; i < count; i++) {
        if (r->c.bytes[at + i] > 1) {
            return refuse(r, at + i, "a boolean is %u, neither 0 nor 1", r->c.bytes[at + i]);
        }
    }
    return 0;
}

static int read_array(struct reader *r, struct meta *m) {
    size_t at = r->c.at;
    uint32_t type = cursor_u32(&r->c);
    uint64_t count = cursor_u64(&r->c);
    if (r->c.failed) {
        return refuse(r, at, "an array begins but the file ends");
    }
    if (type == META_ARRAY) {
        return refuse(r, at, "an array holds arrays, which the format forbids");
    }
    if (type >= META_TYPE_COUNT) {
        return refuse(r, at, "an array holds elements of the unknown type %u", type);
    }
    size_t size = type == META_STRING ? 8 : meta_type_size(type);
    if (count > LENGTH_MAX || count > cursor_left(&r->c) / size) {
        return refuse(r, at + 4, "an array claims %llu elements where only %zu bytes are left",
                      (unsigned long long)count, cursor_left(&r->c));
    }
    m->element_type = (enum meta_type)type;
    m->count = count;
    m->at = r->c.at;
    if (type == META_STRING) {
        for (uint64_t i = 0; i < count; i++) {
            const char *text = NULL;
            int rc = read_string(r, "a string of an array", LENGTH_MAX, &text, &size);
            if (rc != 0) {
                return rc;
            }
        }
        m->bytes = r->c.at - m->at;
        return 0;
    }
    m->bytes = count * size;
    (void)cursor_take(&r->c, m->bytes); /* cannot fail: held against the bytes left above */
    return type == META_BOOL ? check_bools(r, m->at, count) : 0;
}

static int read_value(struct reader *r, struct meta *m, size_t type_at, uint32_t type) {
    if (type >= META_TYPE_COUNT) {
        return refuse(r, type_at, "the value of %s has the unknown type %u", show(m->key, m->key_size).text,
                      type);
    }
    m->type = (enum meta_type)type;
    m->count = 1;
    m->at = r->c.at;
    if (type == META_ARRAY) {
        return read_array(r, m);
    }
    if (type == META_STRING) {
        const char *text = NULL;
        int rc = read_string(r, "a string value", LENGTH_MAX, &text, &m->bytes);
        m->at = r->c.at - m->bytes;
        return rc;
    }
    m->bytes = meta_type_size(type);
    if (cursor_take(&r->c, m->bytes) == NULL) {
        return refuse(r, m->at, "the value of %s begins but the file ends", show(m->key, m->key_size).text);
    }
    return type == META_BOOL ? check_bools(r, m->at, 1) : 0;
}

static int read_meta(struct reader *r, struct meta *m) {
    size_t at = r->c.at;
    int rc = read_string(r, "a metadata key", KEY_MAX_BYTES, &m->key, &m->key_size);
    if (rc != 0) {
        return rc;
    }
    if (m->key_size == 0 || memchr(m->key, 0, m->key_size) != NULL) {
        return refuse(r, at, "a metadata key is empty or holds a NUL");
    }
    size_t type_at = r->c.at;
    uint32_t type = cursor_u32(&r->c);
    if (r->c.failed) {
        return refuse(r, type_at, "the type of %s is missing, the file ends", show(m->key, m->key_size).text);
    }
    return read_value(r, m, type_at, type);
}

static int compare_metas(const void *a, const void *b) {
    const struct meta *x = a;
    const struct meta *y = b;
    int order = meta_key_compare(x->key, x->key_size, y->key, y->key_size);
    return order != 0 ? order : (x->at > y->at) - (x->at < y->at);
}

static int read_metas(struct reader *r, uint64_t count) {
    struct tensor_file *f = r->file;
    f->metas = calloc(count > 0 ? count : 1, sizeof *f->metas);
    if (f->metas == NULL) {
        return out_of_memory(r);
    }
    for (uint64_t i = 0; i < count; i++) {
        int rc = read_meta(r, &f->metas[i]);
        if (rc != 0) {
            return rc;
        }
        f->meta_count++;
    }
    qsort(f->metas, f->meta_count, sizeof *f->metas, compare_metas);
    for (size_t i = 1; i < f->meta_count; i++) {
        const struct meta *m = &f->metas[i];
        if (meta_key_compare(m[-1].key, m[-1].key_size, m->key, m->key_size) == 0) {
            return refuse(r, (size_t)((const uint8_t *)m->key - r->c.bytes),
                          "the key %s stands a second time", show(m->key, m->key_size).text);
        }
    }
    return 0;
}

/* The keys that say how the rest of the file is to be read. */
static int apply_metas(struct reader *r) {
    uint64_t alignment = ALIGNMENT_DEFAULT;
    uint64_t splits = 0;
    for (size_t i = 0; i < r->file->meta_count; i++) {
        const struct meta *m = &r->file->metas[i];
        static const char key[] = "general.alignment";
        if (meta_key_compare(m->key, m->key_size, key, sizeof key - 1) != 0) {
            continue;
        }
        if (m->type != META_U32 || !meta_u64(r->file, key, &alignment)) {
            return refuse(r, m->at, "%s is not a 32-bit unsigned integer", key);
        }
        if (alignment < ALIGNMENT_MIN || (alignment & (alignment - 1)) != 0) {
            return refuse(r, m->at, "%s is %llu, not a power of two of at least %d", key,
                          (unsigned long long)alignment, ALIGNMENT_MIN);
        }
    }
    if (meta_u64(r->file, "split.count", &splits) && splits > 1) {
        return error_set(r->reterr, ENGINE_E_UNSUPPORTED,
                         "at byte 0 begins one of %llu parts of a split GGUF file; join the parts into one "
                         "file first",
                         (unsigned long long)splits);
    }
    r->alignment = alignment;
    return 0;
}

/* ---- tensors ---- */

static int read_dims(struct reader *r, struct tensor *t) {
    size_t at = r->c.at;
    t->dim_count = cursor_u32(&r->c);
    if (!r->c.failed && t->dim_count > TENSOR_MAX_DIMS) {
        return refuse(r, at, "tensor %s has %u dimensions, more than %d", t->name, t->dim_count,
                      TENSOR_MAX_DIMS);
    }
    uint64_t values = 1;
    for (uint32_t i = 0; i < TENSOR_MAX_DIMS; i++) {
        size_t dim_at = r->c.at;
        t->dims[i] = !r->c.failed && i < t->dim_count ? cursor_u64(&r->c) : 1;
        if (r->c.failed) {
            break;
        }
        if (t->dims[i] == 0 || t->dims[i] > INT64_MAX) {
            return refuse(r, dim_at, "a dimension of tensor %s is %llu", t->name,
                          (unsigned long long)t->dims[i]);
        }
        if (__builtin_mul_overflow(values, t->dims[i], &values) || values > INT64_MAX) {
            return refuse(r, dim_at, "the dimensions of tensor %s multiply beyond 63 bits", t->name);
        }
    }
    return 0;
}

/* Type and bytes of a tensor whose dimensions are known. */
static int read_layout(struct reader *r, struct tensor *t) {
    size_t at = r->c.at;
    uint32_t values = 0;
    uint32_t bytes = 0;
    t->type = cursor_u32(&r->c);
    if (r->c.failed) {
        return refuse(r, at, "the entry of tensor %s begins but the file ends", t->name);
    }
    if (!gguf_type_layout(t->type, &values, &bytes)) {
        return refuse(r, at, "tensor %s has the unknown or removed type %u", t->name, t->type);
    }
    if (t->dims[0] % values != 0) {
        return refuse(r, at, "tensor %s has rows of %llu values, not a multiple of its blocks of %u", t->name,
                      (unsigned long long)t->dims[0], values);
    }
    t->bytes =
        t->dims[0] / values; /* no overflow before the last product: the dims multiply within 63 bits */
    t->bytes *= t->dims[1] * t->dims[2] * t->dims[3];
    if (__builtin_mul_overflow(t->bytes, (uint64_t)bytes, &t->bytes) || t->bytes > INT64_MAX) {
        return refuse(r, at, "tensor %s is larger than 63 bits can say", t->name);
    }
    return 0;
}

/* `*sum` is where the data of this tensor must begin: each follows the one before it, padded to the
 * alignment. */
static int read_tensor(struct reader *r, struct tensor *t, char *name, uint64_t *sum, size_t *ret_offset_at) {
    size_t at = r->c.at;
    const char *text = NULL;
    size_t size = 0;
    int rc = read_string(r, "a tensor name", NAME_MAX_BYTES, &text, &size);
    if (rc != 0) {
        return rc;
    }
    if (size == 0 || memchr(text, 0, size) != NULL || !utf8_valid(text, size, NULL)) {
        return refuse(r, at, "a tensor name is empty, holds a NUL or is not UTF-8");
    }
    memcpy(name, text, size);
    t->name = name;
    rc = read_dims(r, t);
    rc = rc != 0 ? rc : read_layout(r, t);
    if (rc != 0) {
        return rc;
    }
    *ret_offset_at = r->c.at;
    uint64_t offset = cursor_u64(&r->c);
    if (r->c.failed) {
        return refuse(r, *ret_offset_at, "the offset of tensor %s is missing, the file ends", t->name);
    }
    if (offset % r->alignment != 0) {
        return refuse(r, *ret_offset_at,
                      "the offset %llu of tensor %s is not a multiple of the alignment %llu",
                      (unsigned long long)offset, t->name, (unsigned long long)r->alignment);
    }
    if (offset != *sum) {
        return refuse(r, *ret_offset_at,
                      "tensor %s begins at %llu where %llu is due: tensors overlap or leave a gap", t->name,
                      (unsigned long long)offset, (unsigned long long)*sum);
    }
    uint64_t padded = 0;
    if (__builtin_add_overflow(t->bytes, r->alignment - 1, &padded) ||
        __builtin_add_overflow(offset, padded / r->alignment * r->alignment, sum)) {
        return refuse(r, *ret_offset_at, "tensor %s ends beyond 64 bits", t->name);
    }
    return 0;
}

static int index_tensors(struct reader *r, const size_t *offset_ats) {
    const struct tensor *twice = tensor_file_sort(r->file);
    return twice == NULL ? 0
                         : refuse(r, offset_ats[twice - r->file->tensors],
                                  "the entry of a second tensor named %s ends", twice->name);
}

static int place_tensors(struct reader *r, const size_t *offset_ats) {
    struct tensor_file *f = r->file;
    uint64_t start = 0;
    if (__builtin_add_overflow((uint64_t)r->c.at, r->alignment - 1, &start)) {
        return refuse(r, r->c.at, "the alignment %llu is beyond the file", (unsigned long long)r->alignment);
    }
    start = start / r->alignment * r->alignment;
    if (f->tensor_count > 0 && start > f->size) {
        return refuse(r, r->c.at, "the directory ends and the file with it, before the tensor data");
    }
    uint64_t at = start; /* the offsets are these sums; at stays within the file, or one padding behind */
    for (size_t i = 0; i < f->tensor_count; i++) {
        struct tensor *t = &f->tensors[i];
        if (at > f->size || t->bytes > f->size - at) {
            return refuse(r, offset_ats[i],
                          "tensor %s is said to hold %llu bytes from byte %llu on, beyond the end "
                          "of the file at %zu",
                          t->name, (unsigned long long)t->bytes, (unsigned long long)at, f->size);
        }
        t->data = f->bytes + at;
        at += (t->bytes + r->alignment - 1) / r->alignment * r->alignment;
    }
    return 0;
}

static int read_tensors(struct reader *r, uint64_t count) {
    struct tensor_file *f = r->file;
    f->tensors = calloc(count + 1, sizeof *f->tensors);
    f->by_name = calloc(count + 1, sizeof *f->by_name);
    f->names = calloc(count + 1, NAME_MAX_BYTES + 1);
    CLEANUP(free_ptr) size_t *offset_ats = calloc(count + 1, sizeof *offset_ats);
    if (f->tensors == NULL || f->by_name == NULL || f->names == NULL || offset_ats == NULL) {
        return out_of_memory(r);
    }
    uint64_t sum = 0;
    for (uint64_t i = 0; i < count; i++) {
        int rc = read_tensor(r, &f->tensors[i], f->names + i * (NAME_MAX_BYTES + 1), &sum, &offset_ats[i]);
        if (rc != 0) {
            return rc;
        }
        f->tensor_count++;
    }
    int rc = index_tensors(r, offset_ats);
    return rc != 0 ? rc : place_tensors(r, offset_ats);
}

/* ---- the file ---- */

static int check_version(const struct reader *r, uint32_t version) {
    if (version == 0) {
        return refuse(r, 4, "the version is 0");
    }
    if ((version & 0xffff) == 0) {
        return error_set(r->reterr, ENGINE_E_UNSUPPORTED,
                         "a big-endian GGUF file (byte 4); convert it to little-endian");
    }
    if (version == 1) {
        return error_set(r->reterr, ENGINE_E_UNSUPPORTED,
                         "GGUF version 1 at byte 4; only 2 and 3 are read, convert the model again");
    }
    if (version > 3) {
        return error_set(
            r->reterr, ENGINE_E_UNSUPPORTED,
            "GGUF version %u at byte 4; only 2 and 3 are read, convert the model with an older tool",
            version);
    }
    return 0;
}

static int read_file(struct reader *r) {
    const uint8_t *magic = cursor_take(&r->c, 4);
    if (magic == NULL || memcmp(magic, "GGUF", 4) != 0) {
        return refuse(r, 0, "the letters GGUF are missing");
    }
    uint32_t version = cursor_u32(&r->c);
    uint64_t tensors = cursor_u64(&r->c);
    uint64_t metas = cursor_u64(&r->c);
    int rc = r->c.failed && r->c.size < 8 ? refuse(r, 4, "the version is missing, the file ends")
                                          : check_version(r, version);
    if (rc != 0) {
        return rc;
    }
    if (r->c.failed) {
        return refuse(r, 8, "the counts are missing, the file ends");
    }
    if (tensors > cursor_left(&r->c) / TENSOR_MIN_BYTES || tensors > UINT32_MAX) {
        return refuse(r, 8, "%llu tensors are announced in a file of %zu bytes", (unsigned long long)tensors,
                      r->c.size);
    }
    if (metas > cursor_left(&r->c) / META_MIN_BYTES) {
        return refuse(r, 16, "%llu metadata values are announced in a file of %zu bytes",
                      (unsigned long long)metas, r->c.size);
    }
    rc = read_metas(r, metas);
    rc = rc != 0 ? rc : apply_metas(r);
    return rc != 0 ? rc : read_tensors(r, tensors);
}

int gguf_open_memory(const void *bytes, size_t size, struct tensor_file **ret_file, struct error *reterr) {
    struct reader r = {.reterr = reterr};
    r.file = calloc(1, sizeof *r.file);
    if (r.file == NULL) {
        return out_of_memory(&r);
    }
    r.file->bytes = bytes;
    r.file->size = size;
    cursor_init(&r.c, bytes, size);
    int rc = read_file(&r);
    if (rc != 0) {
        r.file = tensor_file_free(r.file);
        return rc;
    }
    *ret_file = r.file;
    return 0;
}

int gguf_open(const char *path, struct tensor_file **ret_file, struct error *reterr) {
    void *bytes = NULL;
    size_t size = 0;
    struct tensor_file *file = NULL;
    int rc = tensor_file_map_path(path, &bytes, &size, reterr);
    if (rc != 0) {
        return rc;
    }
    rc = gguf_open_memory(bytes, size, &file, reterr);
    if (rc == 0 && (rc = tensor_file_adopt(file, bytes, size)) == 0) {
        *ret_file = file;
        return 0;
    }
    (void)tensor_file_free(file);
    (void)munmap(bytes, size);
    return rc == -ENOMEM ? error_errno(reterr, ENOMEM, "%s: cannot be kept", path)
                         : error_prefix(reterr, "%s: ", path);
}
