/* SPDX-License-Identifier: Apache-2.0
 *
 * A Hugging Face folder of Gemma 1, 2 or 3 as the tensor directory of the GGUF file that a converter would
 * make of it: config.json and the tokenizer become metadata, tensors get their GGUF names, and one is added
 * to the weights of norms, which the folder stores without it. Only the text part is taken; tensors beside it
 * (vision) are left alone.
 *
 * Read are config.json, model.safetensors or model.safetensors.index.json with its parts, and tokenizer.json
 * or, without one, tokenizer.model. ENGINE_E_FORMAT and ENGINE_E_UNSUPPORTED with the file, tensor or key.
 */
#ifndef BUCKLER_ENGINE_FORMATS_FOLDER_H
#define BUCKLER_ENGINE_FORMATS_FOLDER_H

#include "engine/formats/tensors.h"

int folder_open(const char *path, struct tensor_file **ret_file, struct error *reterr) MUST_CHECK;

/* The same over files in memory, which must outlive the directory (tests, fuzzing). */
struct folder_part {
    const char *name;
    const void *bytes;
    size_t size;
};

int folder_open_memory(const struct folder_part *parts, size_t count, struct tensor_file **ret_file,
                       struct error *reterr) MUST_CHECK;

#endif
