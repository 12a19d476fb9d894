/* SPDX-License-Identifier: Apache-2.0
 *
 * A loaded model as the engine sees it: a text model, an image classifier or a vision tower, what is known
 * about it, and the driver's own part. Shared by reference count; a submitted job holds a reference of its
 * own.
 */
#ifndef BUCKLER_ENGINE_GRAPH_MODEL_H
#define BUCKLER_ENGINE_GRAPH_MODEL_H

#include <stdatomic.h>

#include "engine/engine.h"
#include "engine/models/text.h"
#include "engine/tokenizer/tokenizer.h"
#include "engine/vision/open_nsfw.h"
#include "engine/vision/siglip.h"

struct model_settings {
    const struct kernel_set *kernels;
    unsigned workers;
    uint32_t step_tokens;
    uint32_t kv_tokens;
    bool reference;
};

struct engine_model {
    _Atomic(unsigned) references;
    struct engine_model_info info;

    struct engine_model *base; /* of an adapted model: file and tokenizer are its */
    struct tensor_file *file;  /* text models and vision towers */
    struct tokenizer *tokenizer;
    struct text_model *text;
    uint32_t step_tokens;

    struct open_nsfw *image; /* image classifiers */
    struct siglip *tower;    /* vision */

    /* the driver's */
    struct text_state state;
    uint32_t pages_promised; /* the shares of all admitted jobs */
    uint64_t blocked_round;  /* the round in which a job of this model could not be admitted */
    uint64_t last_step;      /* the number of its last step */
    char *image_scratch;     /* [workers], image_scratch_bytes each */
    uint64_t image_scratch_bytes;
    struct siglip_state tower_state;
};

int model_open(const char *path, const struct model_settings *settings, struct engine_model **ret_model,
               struct error *reterr) MUST_CHECK;

int model_open_adapter(struct engine_model *base, const char *path, const struct model_settings *settings,
                       struct engine_model **ret_model, struct error *reterr) MUST_CHECK;

int model_inspect(const char *path, const struct model_settings *settings, struct engine_model_info *ret_info,
                  struct error *reterr) MUST_CHECK;

int model_verify(const char *path, void (*progress)(void *user, uint64_t done, uint64_t total), void *user,
                 struct error *reterr) MUST_CHECK;

#endif
