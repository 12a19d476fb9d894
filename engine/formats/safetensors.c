/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/formats/safetensors.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/cleanup.h"
#include "base/safetensors.h"
#include "engine/engine.h"
#include "engine/formats/directory.h"
#include "engine/kernels/kernels.h"

static void drop_file(struct tensor_file **file) {
    *file = tensor_file_free(*file);
}

static int take_type(const struct safetensors_entry *entry, struct tensor *t, struct error *reterr) {
    static const struct {
        const char *name;
        enum tensor_type type;
    } types[] = {{"F32", TENSOR_F32}, {"F16", TENSOR_F16}, {"BF16", TENSOR_BF16}};

    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (strcmp(types[i].name, entry->type) == 0) {
            t->type = types[i].type;
            return 0;
        }
    }
    return error_set(reterr, ENGINE_E_UNSUPPORTED,
                     "the tensor %s is %s, and only F32, F16 and BF16 are read; convert it", entry->name,
                     entry->type);
}

int tensor_from_safetensors(const struct safetensors_entry *entry, struct tensor *t, struct error *reterr) {
    _Static_assert((int)SAFETENSORS_MAX_DIMS == (int)TENSOR_MAX_DIMS, "every shape fits");
    int r = take_type(entry, t, reterr);

    t->dim_count = entry->dim_count;
    for (uint32_t d = 0; d < TENSOR_MAX_DIMS; d++) {
        t->dims[d] = d < entry->dim_count ? entry->dims[entry->dim_count - 1 - d] : 1;
    }
    t->data = entry->data;
    t->bytes = entry->size;
    return r;
}

static int take_tensors(const struct safetensors *directory, struct tensor_file *f, struct error *reterr) {
    char *names = f->names;

    for (size_t i = 0; i < directory->count; i++) {
        const struct safetensors_entry *entry = &directory->entries[i];
        struct tensor *t = &f->tensors[i];
        int r = tensor_from_safetensors(entry, t, reterr);

        if (r != 0) {
            return r;
        }
        t->name = strcpy(names, entry->name); /* room for all of them was counted before */
        names += strlen(entry->name) + 1;
        f->by_name[i] = (uint32_t)i; /* the directory is by name */
    }
    f->tensor_count = directory->count;
    return 0;
}

int tensors_open_safetensors_memory(const void *bytes, size_t size, struct tensor_file **ret_file,
                                    struct error *reterr) {
    CLEANUP(safetensors_deinit) struct safetensors directory = {0};
    size_t name_bytes = 0;
    int r = safetensors_read(bytes, size, &directory, reterr);

    if (r != 0) {
        return error_recode(reterr, r, ENGINE_E_FORMAT);
    }
    for (size_t i = 0; i < directory.count; i++) {
        name_bytes += strlen(directory.entries[i].name) + 1;
    }
    CLEANUP(drop_file) struct tensor_file *f = calloc(1, sizeof *f);
    if (f == NULL) {
        return error_errno(reterr, ENOMEM, "cannot read the tensors");
    }
    f->bytes = bytes;
    f->size = size;
    f->tensors = calloc(directory.count + 1, sizeof *f->tensors);
    f->by_name = calloc(directory.count + 1, sizeof *f->by_name);
    f->names = calloc(name_bytes + 1, 1);
    if (f->tensors == NULL || f->by_name == NULL || f->names == NULL) {
        return error_errno(reterr, ENOMEM, "cannot read the tensors");
    }
    r = take_tensors(&directory, f, reterr);
    if (r == 0) {
        *ret_file = steal(f);
    }
    return r;
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
    if (r == 0 && (r = tensor_file_adopt(file, bytes, size)) == 0) {
        *ret_file = file;
        return 0;
    }
    (void)tensor_file_free(file);
    (void)munmap(bytes, size);
    return r == -ENOMEM ? error_errno(reterr, ENOMEM, "%s: cannot be kept", path)
                        : error_prefix(reterr, "%s: ", path);
}
