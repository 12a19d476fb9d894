/* SPDX-License-Identifier: Apache-2.0
 *
 * A LoRA on disk to checked pairs of tensors, whoever wrote it: PEFT (adapter_model.safetensors), MLX
 * (adapters.safetensors), both with adapter_config.json beside them, and GGUF. After a successful open every
 * tensor belongs to a pair of one rank with a known layer, matrix and finite scale; whether the other sides
 * of the shapes fit a model is the model's to say, and values are not looked at. Whatever is more than a LoRA
 * on the matrices of a layer (DoRA, biases, embeddings, whole modules) is ENGINE_E_UNSUPPORTED with a
 * sentence.
 */
#ifndef BUCKLER_ENGINE_FORMATS_ADAPTER_H
#define BUCKLER_ENGINE_FORMATS_ADAPTER_H

#include "engine/formats/tensors.h"

enum { ADAPTER_MAX_LAYERS = 256, ADAPTER_MAX_RANK = 1024 };

enum adapter_target {
    ADAPTER_INVALID,
    ADAPTER_ATTN_Q,
    ADAPTER_ATTN_K,
    ADAPTER_ATTN_V,
    ADAPTER_ATTN_OUTPUT,
    ADAPTER_FFN_GATE,
    ADAPTER_FFN_UP,
    ADAPTER_FFN_DOWN,
    ADAPTER_TARGETS
};

/* W + scale · B A. As dims, fastest first: a [in, rank] and b [rank, out], or transposed a [rank, in] and
 * b [out, rank]. */
struct adapter_pair {
    const struct tensor *a, *b; /* NULL: the adapter leaves this matrix alone */
    uint32_t rank;              /* 1 … ADAPTER_MAX_RANK */
    float scale;
    bool transposed;
};

struct adapter_file {
    struct tensor_file *tensors;
    char *weights_path;    /* the file that holds the tensors; NULL when opened from memory */
    char architecture[32]; /* what a GGUF says it is for; may be empty */
    struct adapter_pair pairs[ADAPTER_MAX_LAYERS][ADAPTER_TARGETS];
};

/* `path` is a folder or the weights file. */
int adapter_file_open(const char *path, struct adapter_file **ret_file, struct error *reterr) MUST_CHECK;

/* The same over memory that outlives the file object; `config` is the text of adapter_config.json, unused
 * for GGUF. */
int adapter_file_open_memory(const void *weights, size_t weights_size, const void *config, size_t config_size,
                             struct adapter_file **ret_file, struct error *reterr) MUST_CHECK;

struct adapter_file *adapter_file_free(struct adapter_file *file);

#endif
