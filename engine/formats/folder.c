/* SPDX-License-Identifier: Apache-2.0
 *
 * The files of a folder are mapped, their tensors collected under GGUF names, and config and tokenizer
 * written as the head of a GGUF file without tensors, which the GGUF reader then checks like any other.
 */
#include "engine/formats/folder.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/cleanup.h"
#include "base/safetensors.h"
#include "engine/engine.h"
#include "engine/formats/directory.h"
#include "engine/formats/folder_parts.h"
#include "engine/formats/safetensors.h"
#include "engine/kernels/kernels.h"

enum { CONFIG_MAX_BYTES = 1 << 20, INDEX_MAX_BYTES = 16 << 20, MAX_SHARDS = 1024, MAX_NORM = 1 << 20 };
/* Rows of an embedding that no token has: padding of the original, images. */
enum { MAX_SPARE_ROWS = 1024 };

static const char embedding_end[] = "embed_tokens.weight";

struct shard {
    const char *name; /* the index's */
    struct safetensors directory;
};

struct folder {
    const char *path; /* NULL: the files are in memory */
    const struct folder_part *parts;
    size_t part_count;

    struct mapping *mappings;
    size_t mapping_count;
    json_t *config, *index;
    struct shard *shards;
    size_t shard_count;

    const char *architecture;
    char prefix[SAFETENSORS_MAX_NAME_BYTES + 1]; /* of the text model's tensors */
    const char *head;                            /* name of an output matrix of its own, or NULL */
    struct tensor_file *file;
    struct error *reterr;
};

static void unmap(struct mapping *mappings, size_t count) {
    for (size_t i = 0; i < count; i++) {
        (void)munmap(mappings[i].bytes, mappings[i].size);
        free(mappings[i].name);
    }
    free(mappings);
}

static void folder_deinit(struct folder *f) {
    for (size_t i = 0; i < f->shard_count; i++) {
        safetensors_deinit(&f->shards[i].directory);
    }
    free(f->shards);
    json_decref(f->config);
    json_decref(f->index);
    unmap(f->mappings, f->mapping_count);
    (void)tensor_file_free(f->file);
}

/* ---- files ---- */

static int map_file(struct folder *f, const char *name, const void **ret_bytes, size_t *ret_size) {
    CLEANUP(free_ptr) char *path = NULL;
    struct mapping *grown = reallocarray(f->mappings, f->mapping_count + 1, sizeof *grown);
    void *bytes = NULL;

    if (grown == NULL) {
        return error_errno(f->reterr, ENOMEM, "cannot open %s", f->path);
    }
    f->mappings = grown;
    if (asprintf(&path, "%s/%s", f->path, name) < 0) {
        path = NULL;
        return error_errno(f->reterr, ENOMEM, "cannot open %s", f->path);
    }
    int r = tensor_file_map_path(path, &bytes, ret_size, f->reterr);
    if (r != 0) {
        return r;
    }
    char *own_name = strdup(name);
    if (own_name == NULL) {
        (void)munmap(bytes, *ret_size);
        return error_errno(f->reterr, ENOMEM, "cannot open %s", f->path);
    }
    f->mappings[f->mapping_count++] = (struct mapping){.name = own_name, .bytes = bytes, .size = *ret_size};
    *ret_bytes = bytes;
    return 0;
}

/* -ENOENT for a file that is not there. */
static int get(struct folder *f, const char *name, const void **ret_bytes, size_t *ret_size) {
    if (f->path != NULL) {
        return map_file(f, name, ret_bytes, ret_size);
    }
    for (size_t i = 0; i < f->part_count; i++) {
        if (strcmp(f->parts[i].name, name) == 0) {
            *ret_bytes = f->parts[i].bytes;
            *ret_size = f->parts[i].size;
            return 0;
        }
    }
    return error_set(f->reterr, -ENOENT, "%s is not there", name);
}

static int get_json(struct folder *f, const char *name, size_t most, json_t **ret) {
    json_error_t error;
    const void *bytes;
    size_t size;
    int r = get(f, name, &bytes, &size);

    if (r != 0) {
        return r;
    }
    *ret = size <= most ? json_loadb(bytes, size, JSON_REJECT_DUPLICATES, &error) : NULL;
    return json_is_object(*ret)
               ? 0
               : error_set(f->reterr, ENGINE_E_FORMAT,
                           "%s is no JSON object of at most %zu bytes; it is damaged, fetch it again", name,
                           most);
}

/* ---- weights ---- */

static int read_shard(struct folder *f, const char *name, struct shard *s) {
    const void *bytes;
    size_t size;
    int r = get(f, name, &bytes, &size);

    if (r != 0) {
        return r;
    }
    s->name = name;
    r = safetensors_read(bytes, size, &s->directory, f->reterr);
    if (r == 0) {
        return 0;
    }
    r = error_recode(f->reterr, r, ENGINE_E_FORMAT);
    (void)error_prefix(f->reterr, "%s: ", name);
    return r;
}

/* A file of the folder itself: an index must not lead anywhere else. */
static bool is_plain(const char *name) {
    size_t size = strlen(name);

    for (size_t i = 0; i < size; i++) {
        if (name[i] < 0x21 || name[i] > 0x7e || name[i] == '/' || name[i] == '\\') {
            return false;
        }
    }
    return size > strlen(".safetensors") && size < 256 && name[0] != '.' &&
           strcmp(name + size - strlen(".safetensors"), ".safetensors") == 0;
}

static struct shard *shard_of(const struct folder *f, const char *name) {
    for (size_t i = 0; i < f->shard_count; i++) {
        if (strcmp(f->shards[i].name, name) == 0) {
            return &f->shards[i];
        }
    }
    return NULL;
}

/* Opens each file that the index names. */
static int open_shards(struct folder *f, const json_t *map) {
    const char *tensor = NULL;
    json_t *value = NULL;

    json_object_foreach((json_t *)map, tensor, value) {
        const char *name = json_string_value(value);

        if (name == NULL || !is_plain(name)) {
            return error_set(
                f->reterr, ENGINE_E_FORMAT,
                "model.safetensors.index.json does not name a file of the folder for the tensor %.128s",
                tensor);
        }
        if (shard_of(f, name) != NULL) {
            continue;
        }
        if (f->shard_count == MAX_SHARDS) {
            return error_set(f->reterr, ENGINE_E_FORMAT,
                             "model.safetensors.index.json names more than %d files", MAX_SHARDS);
        }
        int r = read_shard(f, name, &f->shards[f->shard_count]);
        if (r != 0) {
            return r;
        }
        f->shard_count++;
    }
    return 0;
}

/* Index and files must say the same. */
static int check_index(const struct folder *f, const json_t *map) {
    const char *tensor = NULL;
    json_t *value = NULL;
    size_t count = 0;

    json_object_foreach((json_t *)map, tensor, value) {
        const struct shard *s = shard_of(f, json_string_value(value));

        if (safetensors_find(&s->directory, tensor) == NULL) {
            return error_set(f->reterr, ENGINE_E_FORMAT,
                             "the tensor %.128s is not in %s, where model.safetensors.index.json has it",
                             tensor, s->name);
        }
    }
    for (size_t i = 0; i < f->shard_count; i++) {
        count += f->shards[i].directory.count;
    }
    return count == json_object_size(map)
               ? 0
               : error_set(f->reterr, ENGINE_E_FORMAT,
                           "the files hold %zu tensors, model.safetensors.index.json names %zu", count,
                           json_object_size(map));
}

static int read_weights(struct folder *f) {
    f->shards = calloc(MAX_SHARDS, sizeof *f->shards);
    if (f->shards == NULL) {
        return error_errno(f->reterr, ENOMEM, "cannot read the tensors");
    }
    int r = read_shard(f, "model.safetensors", &f->shards[0]);
    if (r != -ENOENT) {
        f->shard_count = r == 0;
        return r;
    }
    r = get_json(f, "model.safetensors.index.json", INDEX_MAX_BYTES, &f->index);
    if (r == -ENOENT) {
        return error_set(f->reterr, ENGINE_E_FORMAT,
                         "the folder has neither model.safetensors nor model.safetensors.index.json");
    }
    const json_t *map = json_object_get(f->index, "weight_map");
    if (r == 0 && !json_is_object(map)) {
        return error_set(f->reterr, ENGINE_E_FORMAT, "model.safetensors.index.json has no weight_map");
    }
    r = r == 0 ? open_shards(f, map) : r;
    return r == 0 ? check_index(f, map) : r;
}

/* ---- tensors ---- */

static bool ends_with(const char *text, const char *end) {
    size_t size = strlen(text), end_size = strlen(end);

    return size >= end_size && strcmp(text + size - end_size, end) == 0;
}

/* What stands before the name of the embedding is before all names of the text model. */
static int find_prefix(struct folder *f) {
    const char *found = NULL;

    for (size_t i = 0; i < f->shard_count; i++) {
        for (size_t k = 0; k < f->shards[i].directory.count; k++) {
            const char *name = f->shards[i].directory.entries[k].name;

            if (ends_with(name, "lm_head.weight") &&
                json_is_false(json_object_get(f->config, "tie_word_embeddings"))) {
                f->head = name;
            }
            if (!ends_with(name, embedding_end)) {
                continue;
            }
            if (found != NULL) {
                return error_set(f->reterr, ENGINE_E_FORMAT, "both %s and %s may be the embedding", found,
                                 name);
            }
            found = name;
        }
    }
    if (found == NULL) {
        return error_set(f->reterr, ENGINE_E_FORMAT, "no tensor is called %s: this is no language model",
                         embedding_end);
    }
    memcpy(f->prefix, found, strlen(found) - strlen(embedding_end));
    f->file->gemma1 = strcmp(f->architecture, "gemma") == 0;
    f->file->prefix = strdup(f->prefix);
    if (f->file->prefix == NULL) {
        return error_errno(f->reterr, ENOMEM, "cannot read the folder");
    }
    return 0;
}

/* One tensor of the text model; *ret_taken stays false for one that is not. */
static int take_tensor(struct folder *f, const struct safetensors_entry *e, struct tensor *t, char *name,
                       bool *ret_taken) {
    const char *rest = e->name + strlen(f->prefix);

    if (e->name == f->head) {
        (void)snprintf(name, FOLDER_NAME_BYTES, "output.weight");
    } else if (strncmp(e->name, f->prefix, strlen(f->prefix)) != 0 || ends_with(e->name, "lm_head.weight") ||
               ends_with(e->name, "rotary_emb.inv_freq")) {
        return 0;
    } else if (!folder_name(rest, f->file->gemma1, name)) {
        return strncmp(rest, "layers.", 7) != 0 && f->prefix[0] == '\0'
                   ? 0
                   : error_set(f->reterr, ENGINE_E_UNSUPPORTED,
                               "the tensor %s is none of the architecture %s", e->name, f->architecture);
    }
    *ret_taken = true;
    t->name = name;
    return tensor_from_safetensors(e, t, f->reterr);
}

static int collect_tensors(struct folder *f) {
    struct tensor_file *d = f->file;
    size_t most = 0;

    for (size_t i = 0; i < f->shard_count; i++) {
        most += f->shards[i].directory.count;
    }
    d->tensors = calloc(most + 1, sizeof *d->tensors);
    d->by_name = calloc(most + 1, sizeof *d->by_name);
    d->names = calloc(most + 1, FOLDER_NAME_BYTES);
    if (d->tensors == NULL || d->by_name == NULL || d->names == NULL) {
        return error_errno(f->reterr, ENOMEM, "cannot read the tensors");
    }
    for (size_t i = 0; i < f->shard_count; i++) {
        for (size_t k = 0; k < f->shards[i].directory.count; k++) {
            bool taken = false;
            int r = take_tensor(f, &f->shards[i].directory.entries[k], &d->tensors[d->tensor_count],
                                d->names + d->tensor_count * FOLDER_NAME_BYTES, &taken);

            if (r != 0) {
                return r;
            }
            d->tensor_count += taken;
        }
    }
    const struct tensor *twice = tensor_file_sort(d);
    return twice == NULL ? 0
                         : error_set(f->reterr, ENGINE_E_FORMAT, "two tensors may be %s",
                                     tensor_spelled(d, twice->name).text);
}

/* Norms are stored as what is to be added to one, and the directory has what is multiplied with. */
static int lift_norms(struct folder *f) {
    struct tensor_file *d = f->file;
    size_t values = 0, at = 0;

    for (size_t i = 0; i < d->tensor_count; i++) {
        const struct tensor *t = &d->tensors[i];

        if (!ends_with(t->name, "norm.weight")) {
            continue;
        }
        if (t->dim_count != 1 || t->dims[0] > MAX_NORM) {
            return error_set(f->reterr, ENGINE_E_FORMAT, "the tensor %s is no vector of at most %d values",
                             tensor_spelled(d, t->name).text, MAX_NORM);
        }
        values += t->dims[0];
    }
    d->norms = calloc(values + 1, sizeof *d->norms);
    if (d->norms == NULL) {
        return error_errno(f->reterr, ENOMEM, "cannot read the norms");
    }
    for (size_t i = 0; i < d->tensor_count; i++) {
        struct tensor *t = &d->tensors[i];
        float *out = d->norms + at;

        if (!ends_with(t->name, "norm.weight")) {
            continue;
        }
        kernel_choose("portable")->dequantize((enum tensor_type)t->type, t->data, t->dims[0], out);
        for (uint64_t k = 0; k < t->dims[0]; k++) {
            out[k] += 1.0F;
        }
        at += t->dims[0];
        t->data = out;
        t->type = TENSOR_F32;
        t->bytes = t->dims[0] * sizeof(float);
    }
    return 0;
}

static uint32_t size_of(const struct folder *f, const char *name, uint32_t dim) {
    const struct tensor *t = tensor_find(f->file, name);

    return t == NULL || t->dims[dim] > INT32_MAX ? 0 : (uint32_t)t->dims[dim];
}

static struct folder_shapes shapes_of(const struct folder *f) {
    struct folder_shapes s = {
        .hidden = size_of(f, "token_embd.weight", 0),
        .feed_forward = size_of(f, "blk.0.ffn_gate.weight", 1),
        .query = size_of(f, "blk.0.attn_q.weight", 1),
        .key = size_of(f, "blk.0.attn_k.weight", 1),
        .head = size_of(f, "blk.0.attn_q_norm.weight", 0),
    };

    for (size_t i = 0; i < f->file->tensor_count; i++) {
        unsigned layer;

        if (sscanf(f->file->tensors[i].name, "blk.%5u.", &layer) == 1 && layer >= s.layers) {
            s.layers = layer + 1;
        }
    }
    return s;
}

/* ---- tokenizer ---- */

static int read_vocabulary(struct folder *f, struct vocabulary *ret) {
    const void *bytes;
    size_t size;
    int r = get(f, "tokenizer.json", &bytes, &size);

    if (r == 0) {
        r = vocabulary_read_json(bytes, size, ret, f->reterr);
    }
    if (r != -ENOENT && r != ENGINE_E_UNSUPPORTED) {
        return r;
    }
    /* What the one file cannot say may be in the other. */
    struct error why = *f->reterr;
    int other = get(f, "tokenizer.model", &bytes, &size);
    if (other == -ENOENT) {
        *f->reterr = why;
        return r == -ENOENT ? error_set(f->reterr, ENGINE_E_FORMAT,
                                        "the folder has neither tokenizer.json nor tokenizer.model")
                            : r;
    }
    return other != 0 ? other : vocabulary_read_model(bytes, size, ret, f->reterr);
}

/* A piece that no text is made of. */
static bool is_spare(const struct vocabulary_piece *p) {
    return p->type != PIECE_TYPE_NORMAL && p->type != PIECE_TYPE_BYTE;
}

/* The vocabulary is what both the tokenizer and the embedding have; the embedding is cut to it. */
static int fit_vocabulary(struct folder *f, const struct vocabulary *v, size_t *ret_count) {
    size_t e = 0;

    while (e < f->file->tensor_count && strcmp(f->file->tensors[e].name, "token_embd.weight") != 0) {
        e++;
    }
    struct tensor *t = &f->file->tensors[e]; /* there is one: its name gave the prefix */
    uint64_t rows = t->dims[1];
    size_t count = v->count < rows ? v->count : (size_t)rows;

    if (count > 0 && folder_config_image_token(f->config) == count - 1 && is_spare(&v->pieces[count - 1])) {
        count--; /* it stands for images only: its row was never trained */
    }
    for (size_t i = count; i < v->count; i++) {
        if (!is_spare(&v->pieces[i])) {
            return error_set(f->reterr, ENGINE_E_FORMAT,
                             "the tokenizer has %zu pieces but the tensor %s%s only %llu rows: they do not "
                             "belong together",
                             v->count, f->prefix, embedding_end, (unsigned long long)rows);
        }
    }
    if (count == 0 || rows - count > MAX_SPARE_ROWS || t->dim_count != 2) {
        return error_set(
            f->reterr, ENGINE_E_FORMAT,
            "the tensor %s%s has %llu rows for %zu pieces of the tokenizer: they do not belong together",
            f->prefix, embedding_end, (unsigned long long)rows, v->count);
    }
    t->bytes = t->bytes / rows * count;
    t->dims[1] = count;
    *ret_count = count;
    return 0;
}

/* ---- metadata ---- */

static void metas_deinit(struct metas *m) {
    buf_deinit(&m->bytes);
}

/* Takes over the bytes: the directory's metadata point into them. */
static int adopt_metas(struct folder *f, const struct metas *m) {
    struct tensor_file *d = f->file, *head = NULL;
    struct buf image = {0};

    buf_append(&image, "GGUF", 4);
    buf_u32(&image, 3);
    buf_u64(&image, 0);
    buf_u64(&image, m->count);
    buf_append(&image, m->bytes.bytes, m->bytes.size);
    if (image.failed || m->bytes.failed) {
        buf_deinit(&image);
        return error_errno(f->reterr, ENOMEM, "cannot read the folder");
    }
    d->owned = image.bytes;
    int r = gguf_open_memory(image.bytes, image.size, &head, f->reterr);
    if (r != 0) {
        return r;
    }
    d->bytes = head->bytes;
    d->metas = steal(head->metas);
    d->meta_count = head->meta_count;
    (void)tensor_file_free(head);
    return 0;
}

static int write_metas(struct folder *f, struct metas *m) {
    CLEANUP(vocabulary_deinit) struct vocabulary v = {0};
    const struct folder_shapes shapes = shapes_of(f);
    size_t count = 0;
    int r = folder_config_write(f->config, &shapes, m, f->reterr);

    r = r == 0 ? read_vocabulary(f, &v) : r;
    r = r == 0 ? fit_vocabulary(f, &v, &count) : r;
    if (r == 0) {
        vocabulary_write(&v, count, m);
    }
    return r;
}

static int read_all(struct folder *f) {
    CLEANUP(metas_deinit) struct metas m = {0};
    int r = get_json(f, "config.json", CONFIG_MAX_BYTES, &f->config);

    r = r == 0 ? folder_config_architecture(f->config, &f->architecture, f->reterr) : r;
    r = r == 0 ? read_weights(f) : r;
    r = r == 0 ? find_prefix(f) : r;
    r = r == 0 ? collect_tensors(f) : r;
    r = r == 0 ? lift_norms(f) : r;
    r = r == 0 ? write_metas(f, &m) : r;
    return r == 0 ? adopt_metas(f, &m) : r;
}

static int open_folder(struct folder *f, struct tensor_file **ret_file) {
    f->file = calloc(1, sizeof *f->file);
    if (f->file == NULL) {
        return error_errno(f->reterr, ENOMEM, "cannot read the folder");
    }
    int r = read_all(f);
    if (r != 0) {
        return r;
    }
    f->file->mappings = steal(f->mappings);
    f->file->mapping_count = f->mapping_count;
    f->mapping_count = 0;
    for (size_t i = 0; i < f->file->mapping_count; i++) {
        f->file->size += f->file->mappings[i].size;
    }
    *ret_file = steal(f->file);
    return 0;
}

int folder_open(const char *path, struct tensor_file **ret_file, struct error *reterr) {
    CLEANUP(folder_deinit) struct folder f = {.path = path, .reterr = reterr};

    return open_folder(&f, ret_file);
}

int folder_open_memory(const struct folder_part *parts, size_t count, struct tensor_file **ret_file,
                       struct error *reterr) {
    CLEANUP(folder_deinit) struct folder f = {.parts = parts, .part_count = count, .reterr = reterr};

    return open_folder(&f, ret_file);
}
