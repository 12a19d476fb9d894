/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/graph/model.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/digest.h"
#include "base/fd.h"
#include "engine/formats/folder.h"

/* ---- what a file is ---- */

enum file_kind { FILE_INVALID, FILE_GGUF, FILE_FOLDER, FILE_ONNX };

/* An ONNX file is a protobuf message that begins with its field 1, a varint. */
static int read_kind(const char *path, enum file_kind *ret_kind, uint64_t *ret_bytes, struct error *reterr) {
    CLEANUP(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
    unsigned char magic[4];
    struct stat st;

    if (fd < 0 || fstat(fd, &st) != 0) {
        return error_errno(reterr, errno, "cannot open %s", path);
    }
    if (S_ISDIR(st.st_mode)) {
        *ret_kind = FILE_FOLDER;
        *ret_bytes = 0;
        return 0;
    }
    if (!S_ISREG(st.st_mode)) {
        return error_set(reterr, ENGINE_E_FORMAT, "%s is neither a regular file nor a folder", path);
    }
    int r = fd_read_all(fd, magic, sizeof magic);
    if (r != 0 && r != -ENODATA) {
        return error_errno(reterr, -r, "cannot read %s", path);
    }
    if (r == 0 && memcmp(magic, "GGUF", 4) == 0) {
        *ret_kind = FILE_GGUF;
    } else if (r == 0 && magic[0] == 0x08) {
        *ret_kind = FILE_ONNX;
    } else {
        return error_set(reterr, ENGINE_E_FORMAT, "%s is neither a GGUF nor an ONNX file", path);
    }
    *ret_bytes = (uint64_t)st.st_size;
    return 0;
}

/* "Q5_0 ×81, F32 ×109": how many tensors are stored as what. */
static void describe_types(const struct tensor_file *file, char *out, size_t out_size) {
    uint32_t counts[64] = {0};
    size_t used = 0;

    for (size_t i = 0; i < tensor_count(file); i++) {
        uint32_t type = tensor_at(file, i)->type;
        counts[type < 63 ? type : 63]++;
    }
    out[0] = '\0';
    for (uint32_t type = 0; type < 64 && used < out_size; type++) {
        const struct tensor_type_info *info = tensor_type_info(type);

        if (counts[type] > 0) {
            int n = snprintf(out + used, out_size - used, "%s%s ×%u", used == 0 ? "" : ", ",
                             info == NULL ? "other" : info->name, counts[type]);
            used += n > 0 ? (size_t)n : 0;
        }
    }
}

static void describe_text(const struct tensor_file *file, const struct text_config *c,
                          const char *architecture, struct engine_model_info *info) {
    const char *name;
    size_t size;
    uint64_t bos;

    info->kind = ENGINE_MODEL_TEXT;
    (void)snprintf(info->architecture, sizeof info->architecture, "%s", architecture);
    if (meta_string(file, "general.name", &name, &size)) {
        size = size < sizeof info->name - 1 ? size : sizeof info->name - 1;
        memcpy(info->name, name, size);
        info->name[size] = '\0';
    }
    info->file_bytes = tensor_file_bytes(file);
    for (size_t i = 0; i < tensor_count(file); i++) {
        const struct tensor *t = tensor_at(file, i);
        info->parameters += t->dims[0] * t->dims[1] * t->dims[2] * t->dims[3];
    }
    info->layers = c->layers;
    info->hidden = c->hidden;
    info->heads = c->heads;
    info->kv_heads = c->kv_heads;
    info->head_size = c->head_size;
    info->feed_forward = c->feed_forward;
    info->vocabulary = c->vocabulary;
    info->context = c->context;
    info->window = c->window;
    info->bos = meta_u64(file, "tokenizer.ggml.bos_token_id", &bos) ? (uint32_t)bos : 0;
    describe_types(file, info->types, sizeof info->types);
}

static void describe_image(const struct open_nsfw *image, uint64_t file_bytes, unsigned workers,
                           struct engine_model_info *info) {
    const struct open_nsfw_info *about = open_nsfw_info(image);

    info->kind = ENGINE_MODEL_IMAGE_CLASSIFIER;
    (void)snprintf(info->architecture, sizeof info->architecture, "open_nsfw");
    (void)snprintf(info->name, sizeof info->name, "OpenNSFW");
    (void)snprintf(info->types, sizeof info->types, "F32");
    info->file_bytes = file_bytes;
    info->parameters = about->parameters;
    info->resident_bytes = about->resident_bytes + workers * about->scratch_bytes;
    info->image_width = OPEN_NSFW_SIDE;
    info->image_height = OPEN_NSFW_SIDE;
}

/* What a text model will take: weights outside the mapping and buffers; keys and values apart. */
static int plan_memory(const struct tensor_file *file, const struct text_architecture *architecture,
                       const struct text_config *c, const struct model_settings *settings,
                       struct engine_model_info *info, struct error *reterr) {
    uint64_t weights;
    int r =
        text_weights_plan(file, architecture, c, settings->kernels, settings->reference, &weights, reterr);

    if (r != 0) {
        return r;
    }
    info->resident_bytes = weights + text_state_bytes(c, settings->kernels, settings->step_tokens,
                                                      settings->kv_tokens, settings->workers);
    info->kv_bytes = kvcache_bytes(c->layers, c->kv_heads * c->head_size, settings->kv_tokens);
    return 0;
}

/* ---- open ---- */

static void drop_model(struct engine_model **model) {
    *model = engine_model_unref(*model);
}

static int open_tensors(const char *path, enum file_kind kind, struct tensor_file **ret_file,
                        struct error *reterr) {
    return kind == FILE_FOLDER ? folder_open(path, ret_file, reterr) : gguf_open(path, ret_file, reterr);
}

static int open_text(struct engine_model *m, const char *path, enum file_kind kind,
                     const struct model_settings *settings, struct error *reterr) {
    int r = open_tensors(path, kind, &m->file, reterr);

    r = r == 0 ? text_open(m->file, settings->kernels, settings->reference, &m->text, reterr) : r;
    r = r == 0 ? tokenizer_from_gguf(m->file, &m->tokenizer, reterr) : r;
    if (r != 0) {
        return r;
    }
    const struct text_config *c = &m->text->config;
    describe_text(m->file, c, m->text->architecture->name, &m->info);
    m->info.bos = tokenizer_bos(m->tokenizer);
    (void)snprintf(m->info.tokenizer_digest, sizeof m->info.tokenizer_digest, "%s",
                   tokenizer_digest(m->tokenizer));
    r = plan_memory(m->file, m->text->architecture, c, settings, &m->info, reterr);
    r = r == 0 ? text_state_init(&m->state, m->text, settings->step_tokens, settings->kv_tokens,
                                 settings->workers, reterr)
               : r;
    m->step_tokens = settings->step_tokens;
    return r;
}

static int open_image(struct engine_model *m, const char *path, uint64_t file_bytes,
                      const struct model_settings *settings, struct error *reterr) {
    int r = open_nsfw_open(path, &m->image, reterr);

    if (r != 0) {
        return r;
    }
    describe_image(m->image, file_bytes, settings->workers, &m->info);
    m->image_scratch_bytes = (open_nsfw_info(m->image)->scratch_bytes + 63) & ~UINT64_C(63);
    m->image_scratch = aligned_alloc(64, settings->workers * m->image_scratch_bytes);
    return m->image_scratch == NULL
               ? error_errno(reterr, ENOMEM, "cannot take the scratch of the image model")
               : 0;
}

/* Of a folder: SHA-256 over a line "digest  name" for each file that was read, as sha256sum prints it. */
static int digest_model(const struct engine_model *m, const char *path, uint8_t digest[DIGEST_BYTES],
                        struct error *reterr) {
    const char *name = m->file == NULL ? NULL : tensor_file_part(m->file, 0);
    CLEANUP(buf_deinit) struct buf lines = {0};

    if (name == NULL) {
        return digest_file(path, digest, reterr);
    }
    for (size_t i = 0; name != NULL; name = tensor_file_part(m->file, ++i)) {
        CLEANUP(buf_deinit) struct buf file = {0};
        char hex[DIGEST_HEX_SIZE];

        buf_printf(&file, "%s/%s", path, name);
        int r = file.failed ? -ENOMEM : digest_file((const char *)file.bytes, digest, reterr);
        if (r != 0) {
            return r;
        }
        hex_encode(digest, DIGEST_BYTES, hex);
        buf_printf(&lines, "%s  %s\n", hex, name);
    }
    return lines.failed ? -ENOMEM : digest_sha256(lines.bytes, lines.size, digest);
}

int model_open(const char *path, const struct model_settings *settings, struct engine_model **ret_model,
               struct error *reterr) {
    CLEANUP(drop_model) struct engine_model *m = calloc(1, sizeof *m);
    uint8_t digest[DIGEST_BYTES];
    enum file_kind kind;
    uint64_t bytes;

    if (m == NULL) {
        return error_errno(reterr, ENOMEM, "cannot open %s", path);
    }
    atomic_init(&m->references, 1);
    int r = read_kind(path, &kind, &bytes, reterr);
    if (r != 0) {
        return r;
    }
    r = kind == FILE_ONNX ? open_image(m, path, bytes, settings, reterr)
                          : open_text(m, path, kind, settings, reterr);
    r = r == 0 ? digest_model(m, path, digest, reterr) : r;
    if (r != 0) {
        return error_prefix(reterr, "%s: ", path);
    }
    hex_encode(digest, sizeof digest, m->info.digest);
    *ret_model = steal(m);
    return 0;
}

/* ---- adapters ---- */

static void drop_adapter(struct adapter_file **file) {
    *file = adapter_file_free(*file);
}

static int adapt(struct engine_model *m, const struct adapter_file *file,
                 const struct model_settings *settings, struct error *reterr) {
    struct engine_model *base = m->base;
    int r = text_adapt(base->text, file, &m->text, reterr);

    if (r != 0) {
        return r;
    }
    const struct text_config *c = &m->text->config;
    m->info = base->info;
    m->info.resident_bytes =
        m->text->memory_bytes +
        text_state_bytes(c, m->text->kernels, settings->step_tokens, settings->kv_tokens, settings->workers);
    m->info.kv_bytes = kvcache_bytes(c->layers, c->kv_heads * c->head_size, settings->kv_tokens);
    m->file = base->file;
    m->tokenizer = base->tokenizer;
    m->step_tokens = settings->step_tokens;
    return text_state_init(&m->state, m->text, settings->step_tokens, settings->kv_tokens, settings->workers,
                           reterr);
}

int model_open_adapter(struct engine_model *base, const char *path, const struct model_settings *settings,
                       struct engine_model **ret_model, struct error *reterr) {
    CLEANUP(drop_adapter) struct adapter_file *file = NULL;
    uint8_t digest[DIGEST_BYTES];

    if (base->text == NULL || base->base != NULL) {
        return error_set(reterr, ENGINE_E_UNSUPPORTED,
                         "%s: an adapter goes on a text model that has none yet", path);
    }
    int r = adapter_file_open(path, &file, reterr);
    if (r != 0) {
        return r;
    }
    CLEANUP(drop_model) struct engine_model *m = calloc(1, sizeof *m);
    if (m == NULL) {
        return error_errno(reterr, ENOMEM, "cannot open %s", path);
    }
    atomic_init(&m->references, 1);
    m->base = engine_model_ref(base);
    r = adapt(m, file, settings, reterr);
    r = r == 0 ? digest_file(file->weights_path, digest, reterr) : r;
    if (r != 0) {
        return error_prefix(reterr, "%s: ", path);
    }
    hex_encode(digest, sizeof digest, m->info.adapter_digest);
    *ret_model = steal(m);
    return 0;
}

/* ---- references ---- */

struct engine_model *engine_model_ref(struct engine_model *model) {
    atomic_fetch_add(&model->references, 1);
    return model;
}

struct engine_model *engine_model_unref(struct engine_model *model) {
    if (model == NULL || atomic_fetch_sub(&model->references, 1) > 1) {
        return NULL;
    }
    text_state_deinit(&model->state);
    text_free(model->text);
    if (model->base != NULL) {
        engine_model_unref(model->base);
    } else {
        tokenizer_free(model->tokenizer);
        tensor_file_free(model->file);
    }
    open_nsfw_free(model->image);
    free(model->image_scratch);
    free(model);
    return NULL;
}

/* ---- inspect ---- */

static void drop_file(struct tensor_file **file) {
    *file = tensor_file_free(*file);
}

static int inspect_text(const char *path, enum file_kind kind, const struct model_settings *settings,
                        struct engine_model_info *info, struct error *reterr) {
    CLEANUP(drop_file) struct tensor_file *file = NULL;
    const struct text_architecture *architecture;
    struct text_config config;
    int r = open_tensors(path, kind, &file, reterr);

    r = r == 0 ? text_configure(file, &architecture, &config, reterr) : r;
    r = r == 0 ? plan_memory(file, architecture, &config, settings, info, reterr) : r;
    if (r == 0) {
        describe_text(file, &config, architecture->name, info);
    }
    return r;
}

static int inspect_image(const char *path, uint64_t bytes, const struct model_settings *settings,
                         struct engine_model_info *info, struct error *reterr) {
    struct open_nsfw *image;
    int r = open_nsfw_open(path, &image, reterr);

    if (r != 0) {
        return r;
    }
    describe_image(image, bytes, settings->workers, info);
    open_nsfw_free(image);
    return 0;
}

int model_inspect(const char *path, const struct model_settings *settings, struct engine_model_info *ret_info,
                  struct error *reterr) {
    struct engine_model_info info = {0};
    enum file_kind kind;
    uint64_t bytes;
    int r = read_kind(path, &kind, &bytes, reterr);

    if (r != 0) {
        return r;
    }
    r = kind == FILE_ONNX ? inspect_image(path, bytes, settings, &info, reterr)
                          : inspect_text(path, kind, settings, &info, reterr);
    if (r != 0) {
        return error_prefix(reterr, "%s: ", path);
    }
    *ret_info = info;
    return 0;
}
