/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/formats/adapter.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "engine/engine.h"
#include "engine/formats/adapter_config.h"
#include "engine/formats/adapter_names.h"
#include "engine/formats/directory.h"
#include "engine/formats/safetensors.h"
#include "engine/kernels/kernels.h"

enum { MAX_CONFIG_BYTES = 1 << 20 };

static void drop_adapter(struct adapter_file **file) {
    *file = adapter_file_free(*file);
}

static void drop_config(struct adapter_config **config) {
    *config = adapter_config_free(*config);
}

struct adapter_file *adapter_file_free(struct adapter_file *file) {
    if (file != NULL) {
        (void)tensor_file_free(file->tensors);
        free(file->weights_path);
        free(file);
    }
    return NULL;
}

/* ---- pairs ---- */

/* Puts every tensor in its place; all names are of one style. */
static int place_tensors(struct adapter_file *f, enum adapter_style *ret_style, struct error *reterr) {
    enum adapter_style style = ADAPTER_STYLE_INVALID;

    for (size_t i = 0; i < tensor_count(f->tensors); i++) {
        const struct tensor *t = tensor_at(f->tensors, i);
        struct adapter_name n;
        int r = adapter_name_parse(t->name, &n, reterr);

        if (r != 0) {
            return r;
        }
        if (style != ADAPTER_STYLE_INVALID && n.style != style) {
            return error_set(reterr, ENGINE_E_FORMAT,
                             "the tensor %s is named in another style than the others", t->name);
        }
        style = n.style;
        struct adapter_pair *pair = &f->pairs[n.layer][n.target];
        const struct tensor **half = n.is_b ? &pair->b : &pair->a;
        if (*half != NULL) {
            return error_set(reterr, ENGINE_E_FORMAT, "the tensors %s and %s are for the same matrix",
                             (*half)->name, t->name);
        }
        *half = t;
        pair->transposed = style == ADAPTER_STYLE_MLX;
    }
    if (style == ADAPTER_STYLE_INVALID) {
        return error_set(reterr, ENGINE_E_FORMAT, "the adapter holds no tensors");
    }
    *ret_style = style;
    return 0;
}

static int check_half(const struct tensor *t, struct error *reterr) {
    if (t->type != TENSOR_F32 && t->type != TENSOR_F16 && t->type != TENSOR_BF16) {
        return error_set(reterr, ENGINE_E_UNSUPPORTED,
                         "the tensor %s is of type %u, and only F32, F16 and BF16 are read; convert it",
                         t->name, t->type);
    }
    if (t->dims[2] != 1 || t->dims[3] != 1 || t->dims[0] > UINT32_MAX || t->dims[1] > UINT32_MAX) {
        return error_set(reterr, ENGINE_E_FORMAT, "the tensor %s is not a matrix", t->name);
    }
    return 0;
}

/* The rank, from the shapes. */
static int check_pair(struct adapter_pair *pair, struct error *reterr) {
    if (pair->a == NULL || pair->b == NULL) {
        return error_set(reterr, ENGINE_E_FORMAT, "the tensor %s has no partner",
                         pair->a == NULL ? pair->b->name : pair->a->name);
    }
    int r = check_half(pair->a, reterr);
    r = r == 0 ? check_half(pair->b, reterr) : r;
    if (r != 0) {
        return r;
    }
    uint64_t rank = pair->a->dims[pair->transposed ? 0 : 1], other = pair->b->dims[pair->transposed ? 1 : 0];
    if (rank == 0 || rank > ADAPTER_MAX_RANK || rank != other) {
        return error_set(reterr, ENGINE_E_FORMAT,
                         "the tensor %s has rank %llu and its partner %llu, expected the same from 1 to %d",
                         pair->a->name, (unsigned long long)rank, (unsigned long long)other,
                         ADAPTER_MAX_RANK);
    }
    pair->rank = (uint32_t)rank;
    return 0;
}

/* ---- scales ---- */

/* What GGUF says beside its tensors. */
static int read_gguf(struct adapter_file *f, double *ret_alpha, struct error *reterr) {
    const char *kind = NULL, *type = NULL, *architecture = NULL;
    size_t kind_size = 0, type_size = 0, architecture_size = 0;
    uint64_t count = 0;

    if (!meta_string(f->tensors, "general.type", &kind, &kind_size) || kind_size != 7 ||
        memcmp(kind, "adapter", 7) != 0 || !meta_string(f->tensors, "adapter.type", &type, &type_size) ||
        type_size != 4 || memcmp(type, "lora", 4) != 0) {
        return error_set(
            reterr, ENGINE_E_FORMAT,
            "the GGUF file is not an adapter: general.type is not \"adapter\" or adapter.type not "
            "\"lora\"");
    }
    if (meta_array(f->tensors, "adapter.alora.invocation_tokens", &count)) {
        return error_set(reterr, ENGINE_E_UNSUPPORTED,
                         "the adapter waits for invocation tokens, which is not run; train a plain LoRA");
    }
    if (meta_string(f->tensors, "general.architecture", &architecture, &architecture_size)) {
        (void)snprintf(f->architecture, sizeof f->architecture, "%.*s",
                       (int)(architecture_size < 31 ? architecture_size : 31), architecture);
    }
    if (!meta_f64(f->tensors, "adapter.lora.alpha", ret_alpha) || !isfinite(*ret_alpha)) {
        return error_set(reterr, ENGINE_E_FORMAT, "adapter.lora.alpha is missing or not a finite number");
    }
    return 0;
}

static int scale_pair(struct adapter_pair *pair, const struct adapter_config *config, double alpha,
                      struct error *reterr) {
    struct adapter_name n;

    if (config == NULL) {
        /* llama.cpp takes an alpha of 0 for a file that does not say. */
        pair->scale = alpha == 0 ? 1.0F : (float)(alpha / pair->rank);
        return isfinite(pair->scale)
                   ? 0
                   : error_set(reterr, ENGINE_E_FORMAT, "adapter.lora.alpha is out of range");
    }
    int r = adapter_name_parse(pair->a->name, &n, reterr);
    return r != 0 ? r : adapter_config_scale(config, &n, pair->rank, &pair->scale, reterr);
}

static int finish_pairs(struct adapter_file *f, const struct adapter_config *config, double alpha,
                        struct error *reterr) {
    for (size_t layer = 0; layer < ADAPTER_MAX_LAYERS; layer++) {
        for (int target = ADAPTER_INVALID + 1; target < ADAPTER_TARGETS; target++) {
            struct adapter_pair *pair = &f->pairs[layer][target];

            if (pair->a == NULL && pair->b == NULL) {
                continue;
            }
            int r = check_pair(pair, reterr);
            r = r == 0 ? scale_pair(pair, config, alpha, reterr) : r;
            if (r != 0) {
                return r;
            }
        }
    }
    return 0;
}

/* ---- open ---- */

static bool is_gguf(const void *bytes, size_t size) {
    return size >= 4 && memcmp(bytes, "GGUF", 4) == 0;
}

/* f->tensors is open; what they mean. */
static int understand(struct adapter_file *f, const void *config_text, size_t config_size,
                      struct error *reterr) {
    bool gguf = is_gguf(tensor_file_map(f->tensors), tensor_file_bytes(f->tensors));
    CLEANUP(drop_config) struct adapter_config *config = NULL;
    enum adapter_style style = ADAPTER_STYLE_INVALID;
    double alpha = 0;
    int r = gguf ? read_gguf(f, &alpha, reterr) : 0;

    r = r == 0 ? place_tensors(f, &style, reterr) : r;
    if (r == 0 && gguf != (style == ADAPTER_STYLE_GGUF)) {
        return error_set(reterr, ENGINE_E_FORMAT,
                         "the tensor %s is named in the style of another file format",
                         tensor_at(f->tensors, 0)->name);
    }
    r = r == 0 && !gguf ? adapter_config_parse(config_text, config_size, style, &config, reterr) : r;
    return r != 0 ? r : finish_pairs(f, config, alpha, reterr);
}

int adapter_file_open_memory(const void *weights, size_t weights_size, const void *config, size_t config_size,
                             struct adapter_file **ret_file, struct error *reterr) {
    CLEANUP(drop_adapter) struct adapter_file *f = calloc(1, sizeof *f);

    if (f == NULL) {
        return error_errno(reterr, ENOMEM, "cannot open the adapter");
    }
    int r = is_gguf(weights, weights_size)
                ? gguf_open_memory(weights, weights_size, &f->tensors, reterr)
                : tensors_open_safetensors_memory(weights, weights_size, &f->tensors, reterr);
    r = r == 0 ? understand(f, config, config_size, reterr) : r;
    if (r != 0) {
        return r;
    }
    *ret_file = steal(f);
    return 0;
}

/* Folder and name; *ret is malloc'ed. */
static int join(const char *folder, size_t folder_size, const char *name, char **ret, struct error *reterr) {
    char *path = NULL;

    if (asprintf(&path, "%.*s%s", (int)folder_size, folder, name) < 0) {
        return error_errno(reterr, ENOMEM, "cannot open the adapter");
    }
    *ret = path;
    return 0;
}

/* The one weights file of a folder. */
static int find_weights(const char *folder, char **ret, struct error *reterr) {
    static const char *const names[] = {"/adapter_model.safetensors", "/adapters.safetensors"};
    CLEANUP(free_ptr) char *found = NULL;

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        CLEANUP(free_ptr) char *path = NULL;
        int r = join(folder, strlen(folder), names[i], &path, reterr);

        if (r != 0) {
            return r;
        }
        if (access(path, F_OK) != 0) {
            continue;
        }
        if (found != NULL) {
            return error_set(reterr, ENGINE_E_FORMAT, "%s holds two adapters; name one of the files", folder);
        }
        found = steal(path);
    }
    if (found == NULL) {
        return error_set(reterr, ENGINE_E_FORMAT,
                         "%s holds neither adapter_model.safetensors nor adapters.safetensors", folder);
    }
    *ret = steal(found);
    return 0;
}

/* With adapter_config.json from beside the weights. */
static int understand_with_config(struct adapter_file *f, struct error *reterr) {
    const char *slash = strrchr(f->weights_path, '/');
    CLEANUP(free_ptr) char *path = NULL;
    void *text = NULL;
    size_t size = 0;
    int r = join(f->weights_path, slash == NULL ? 0 : (size_t)(slash + 1 - f->weights_path),
                 "adapter_config.json", &path, reterr);

    r = r == 0 ? tensor_file_map_path(path, &text, &size, reterr) : r;
    if (r != 0) {
        return r;
    }
    r = size > MAX_CONFIG_BYTES
            ? error_set(reterr, ENGINE_E_FORMAT, "%s is longer than %d bytes", path, MAX_CONFIG_BYTES)
            : understand(f, text, size, reterr);
    (void)munmap(text, size);
    return r;
}

int adapter_file_open(const char *path, struct adapter_file **ret_file, struct error *reterr) {
    CLEANUP(drop_adapter) struct adapter_file *f = calloc(1, sizeof *f);
    struct stat info;

    if (f == NULL) {
        return error_errno(reterr, ENOMEM, "cannot open the adapter");
    }
    if (stat(path, &info) != 0) {
        return error_errno(reterr, errno, "%s: cannot be opened", path);
    }
    int r = S_ISDIR(info.st_mode) ? find_weights(path, &f->weights_path, reterr)
                                  : join(path, strlen(path), "", &f->weights_path, reterr);
    if (r != 0) {
        return r;
    }
    void *bytes = NULL;
    size_t size = 0;
    r = tensor_file_map_path(f->weights_path, &bytes, &size, reterr);
    if (r != 0) {
        return r;
    }
    bool gguf = is_gguf(bytes, size);
    (void)munmap(bytes, size);
    r = gguf ? gguf_open(f->weights_path, &f->tensors, reterr)
             : tensors_open_safetensors(f->weights_path, &f->tensors, reterr);
    if (r != 0) {
        return r;
    }
    r = gguf ? understand(f, NULL, 0, reterr) : understand_with_config(f, reterr);
    if (r != 0) {
        return error_prefix(reterr, "%s: ", f->weights_path);
    }
    *ret_file = steal(f);
    return 0;
}
