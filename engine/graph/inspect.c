/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/graph/inspect.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
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

/* An ONNX file is a protobuf message that begins with its field 1, a varint. */
int model_file_kind(const char *path, enum file_kind *ret_kind, uint64_t *ret_bytes, struct error *reterr) {
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

/* What can be said of a file whatever it holds. */
static void describe_file(const struct tensor_file *file, struct engine_model_info *info) {
    const char *name;
    size_t size;

    if (meta_string(file, "general.architecture", &name, &size)) {
        (void)snprintf(info->architecture, sizeof info->architecture, "%.*s", (int)(size < 31 ? size : 31),
                       name);
    }
    if (meta_string(file, "general.name", &name, &size)) {
        (void)snprintf(info->name, sizeof info->name, "%.*s", (int)(size < 95 ? size : 95), name);
    }
    info->kind = ENGINE_MODEL_TEXT;
    info->file_bytes = tensor_file_bytes(file);
    info->chat_template = meta_string(file, "tokenizer.chat_template", &name, &size);
    for (size_t i = 0; i < tensor_count(file); i++) {
        const struct tensor *t = tensor_at(file, i);
        info->parameters += t->dims[0] * t->dims[1] * t->dims[2] * t->dims[3];
    }
    describe_types(file, info->types, sizeof info->types);
}

static void describe_shape(const struct text_config *c, struct engine_model_info *info) {
    info->layers = c->layers;
    info->hidden = c->hidden;
    info->heads = c->heads;
    info->kv_heads = c->kv_heads;
    info->head_size = c->head_size;
    info->feed_forward = c->feed_forward;
    info->vocabulary = c->vocabulary;
    info->context = c->context;
    info->window = c->window;
    info->embeds = c->both_ways;
}

static void describe_tokenizer(const struct tokenizer *t, struct engine_model_info *info) {
    static const char *const pieces[] = {"<start_of_turn>", "<end_of_turn>", "Yes", "No"};

    info->bos = tokenizer_bos(t);
    info->answers = true;
    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
        info->answers = info->answers && tokenizer_id(t, pieces[i]) >= 0;
    }
    (void)snprintf(info->tokenizer_digest, sizeof info->tokenizer_digest, "%s", tokenizer_digest(t));
}

void model_describe_text(const struct tensor_file *file, const struct text_config *c,
                         const struct tokenizer *t, struct engine_model_info *info) {
    describe_file(file, info);
    describe_shape(c, info);
    describe_tokenizer(t, info);
}

void model_describe_image(const struct open_nsfw *image, uint64_t file_bytes, unsigned workers,
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

/* What a vision tower is and takes. */
void model_describe_tower(const struct tensor_file *file, const struct siglip *tower, unsigned workers,
                          struct engine_model_info *info) {
    describe_file(file, info);
    info->kind = ENGINE_MODEL_VISION;
    (void)snprintf(info->architecture, sizeof info->architecture, "siglip");
    info->layers = tower->layers;
    info->heads = info->kv_heads = tower->heads;
    info->head_size = tower->head_size;
    info->feed_forward = tower->feed_forward;
    info->hidden = tower->hidden;
    info->image_width = info->image_height = tower->side;
    info->image_rows = tower->rows;
    info->resident_bytes = siglip_state_bytes(tower, workers);
}

/* What a text model will take: weights outside the mapping and buffers; keys and values apart. */
int model_plan_memory(const struct tensor_file *file, const struct text_architecture *architecture,
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

/* ---- files ---- */

int model_open_tensors(const char *path, enum file_kind kind, struct tensor_file **ret_file,
                       struct error *reterr) {
    return kind == FILE_FOLDER ? folder_open(path, ret_file, reterr) : gguf_open(path, ret_file, reterr);
}

/* SHA-256 of the file; of a folder that over a line "digest  name" for each file that was read, as sha256sum
 * prints them. */
int model_digest(const struct tensor_file *file, const char *path, char ret_hex[DIGEST_HEX_SIZE],
                 struct error *reterr) {
    const char *name = file == NULL ? NULL : tensor_file_part(file, 0);
    CLEANUP(buf_deinit) struct buf lines = {0};
    uint8_t digest[DIGEST_BYTES];
    int r = 0;

    for (size_t i = 0; r == 0 && name != NULL; name = tensor_file_part(file, ++i)) {
        CLEANUP(buf_deinit) struct buf part = {0};

        buf_printf(&part, "%s/%s", path, name);
        r = part.failed ? -ENOMEM : digest_file((const char *)part.bytes, digest, reterr);
        hex_encode(digest, sizeof digest, ret_hex);
        buf_printf(&lines, "%s  %s\n", ret_hex, name);
    }
    if (r == 0) {
        r = lines.failed     ? -ENOMEM
            : lines.size > 0 ? digest_sha256(lines.bytes, lines.size, digest)
                             : digest_file(path, digest, reterr);
    }
    if (r == 0) {
        hex_encode(digest, sizeof digest, ret_hex);
    }
    return r;
}

/* ---- inspect ---- */

static void drop_file(struct tensor_file **file) {
    *file = tensor_file_free(*file);
}

static int inspect_tower(const struct tensor_file *file, const struct model_settings *settings,
                         struct engine_model_info *info, struct error *reterr) {
    struct siglip *tower;
    int r = siglip_open(file, settings->kernels, &tower, reterr);

    if (r != 0) {
        return r;
    }
    model_describe_tower(file, tower, settings->workers, info);
    siglip_free(tower);
    return 0;
}

static int inspect_text(const char *path, enum file_kind kind, const struct model_settings *settings,
                        struct engine_model_info *info, struct error *reterr) {
    CLEANUP(drop_file) struct tensor_file *file = NULL;
    const struct text_architecture *architecture;
    struct tokenizer *tokenizer = NULL;
    struct text_config config;
    int r = model_open_tensors(path, kind, &file, reterr);

    if (r != 0) {
        return r;
    }
    if (siglip_is_projector(file)) {
        r = inspect_tower(file, settings, info, reterr);
        return r == 0 ? model_digest(file, path, info->digest, reterr) : r;
    }
    describe_file(file, info);
    r = model_digest(file, path, info->digest, reterr);
    r = r == 0 ? text_configure(file, &architecture, &config, reterr) : r;
    if (r != 0) {
        return r;
    }
    describe_shape(&config, info);
    r = model_plan_memory(file, architecture, &config, settings, info, reterr);
    r = r == 0 ? tokenizer_from_gguf(file, &tokenizer, reterr) : r;
    if (r == 0) {
        describe_tokenizer(tokenizer, info);
        tokenizer_free(tokenizer);
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
    model_describe_image(image, bytes, settings->workers, info);
    open_nsfw_free(image);
    return model_digest(NULL, path, info->digest, reterr);
}

int model_inspect(const char *path, const struct model_settings *settings, struct engine_model_info *ret_info,
                  struct error *reterr) {
    enum file_kind kind;
    uint64_t bytes;

    *ret_info = (struct engine_model_info){0};
    int r = model_file_kind(path, &kind, &bytes, reterr);
    if (r != 0) {
        return r;
    }
    r = kind == FILE_ONNX ? inspect_image(path, bytes, settings, ret_info, reterr)
                          : inspect_text(path, kind, settings, ret_info, reterr);
    return r == 0 ? 0 : error_prefix(reterr, "%s: ", path);
}

/* ---- verify ---- */

static int scan_tensor(const struct tensor_file *file, const struct tensor *t, float *row,
                       struct error *reterr) {
    const struct kernel_set *k = kernel_choose(NULL);
    uint64_t rows = t->dims[1] * t->dims[2] * t->dims[3], row_bytes = t->bytes / rows;

    if (tensor_type_info(t->type) == NULL) {
        return error_set(reterr, ENGINE_E_UNSUPPORTED,
                         "the tensor %s is of type %u, which this build does not read",
                         tensor_spelled(file, t->name).text, t->type);
    }
    for (uint64_t r = 0; r < rows; r++) {
        k->dequantize((enum tensor_type)t->type, (const char *)t->data + r * row_bytes, t->dims[0], row);
        for (uint64_t c = 0; c < t->dims[0]; c++) {
            if (!isfinite(row[c])) {
                return error_set(reterr, ENGINE_E_NOT_FINITE,
                                 "the tensor %s holds a NaN or an infinity in row %llu",
                                 tensor_spelled(file, t->name).text, (unsigned long long)r);
            }
        }
    }
    return 0;
}

static int scan(const struct tensor_file *file, void (*progress)(void *user, uint64_t done, uint64_t total),
                void *user, struct error *reterr) {
    uint64_t widest = 0, done = 0, total = 0;

    for (size_t i = 0; i < tensor_count(file); i++) {
        const struct tensor *t = tensor_at(file, i);

        widest = t->dims[0] > widest ? t->dims[0] : widest;
        total += t->bytes;
    }
    CLEANUP(free_ptr) float *row = calloc(widest + 1, sizeof *row);
    if (row == NULL) {
        return error_errno(reterr, ENOMEM, "cannot read the tensors");
    }
    for (size_t i = 0; i < tensor_count(file); i++) {
        const struct tensor *t = tensor_at(file, i);
        int r = scan_tensor(file, t, row, reterr);

        if (r != 0) {
            return r;
        }
        tensor_drop_pages(file, t);
        done += t->bytes;
        if (progress != NULL) {
            progress(user, done, total);
        }
    }
    return 0;
}

int model_verify(const char *path, void (*progress)(void *user, uint64_t done, uint64_t total), void *user,
                 struct error *reterr) {
    CLEANUP(drop_file) struct tensor_file *file = NULL;
    enum file_kind kind;
    uint64_t bytes;
    int r = model_file_kind(path, &kind, &bytes, reterr);

    if (r != 0) {
        return r;
    }
    if (kind == FILE_ONNX) {
        return error_set(reterr, ENGINE_E_UNSUPPORTED, "%s: only the values of text models are read", path);
    }
    r = model_open_tensors(path, kind, &file, reterr);
    r = r == 0 ? scan(file, progress, user, reterr) : r;
    return r == 0 ? 0 : error_prefix(reterr, "%s: ", path);
}
