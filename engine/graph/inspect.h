/* SPDX-License-Identifier: Apache-2.0
 *
 * What a model file is, for those who open it and for those who only ask.
 */
#ifndef BUCKLER_ENGINE_GRAPH_INSPECT_H
#define BUCKLER_ENGINE_GRAPH_INSPECT_H

#include "base/digest.h"
#include "engine/graph/model.h"

enum file_kind { FILE_INVALID, FILE_GGUF, FILE_FOLDER, FILE_ONNX };

/* By content; *ret_bytes is 0 for a folder. */
int model_file_kind(const char *path, enum file_kind *ret_kind, uint64_t *ret_bytes,
                    struct error *reterr) MUST_CHECK;

/* A GGUF file or a folder. */
int model_open_tensors(const char *path, enum file_kind kind, struct tensor_file **ret_file,
                       struct error *reterr) MUST_CHECK;

/* engine_model_info.digest; `file` NULL: of a file that is no text model. */
int model_digest(const struct tensor_file *file, const char *path, char ret_hex[DIGEST_HEX_SIZE],
                 struct error *reterr) MUST_CHECK;

void model_describe_text(const struct tensor_file *file, const struct text_config *config,
                         const struct tokenizer *tokenizer, struct engine_model_info *info);
void model_describe_image(const struct open_nsfw *image, uint64_t file_bytes, unsigned workers,
                          struct engine_model_info *info);

void model_describe_tower(const struct tensor_file *file, const struct siglip *tower, unsigned workers,
                          struct engine_model_info *info);

/* What a text model will take: weights outside the mapping and buffers; keys and values apart. */
int model_plan_memory(const struct tensor_file *file, const struct text_architecture *architecture,
                      const struct text_config *config, const struct model_settings *settings,
                      struct engine_model_info *info, struct error *reterr) MUST_CHECK;

#endif
