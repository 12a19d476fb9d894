/* SPDX-License-Identifier: Apache-2.0
 *
 * Private to engine/formats: what the name of an adapter's tensor says.
 */
#ifndef BUCKLER_ENGINE_FORMATS_ADAPTER_NAMES_H
#define BUCKLER_ENGINE_FORMATS_ADAPTER_NAMES_H

#include "engine/formats/adapter.h"

enum adapter_style { ADAPTER_STYLE_INVALID, ADAPTER_STYLE_PEFT, ADAPTER_STYLE_MLX, ADAPTER_STYLE_GGUF };

struct adapter_name {
    enum adapter_style style;
    uint32_t layer;
    enum adapter_target target;
    bool is_b;
    const char *module; /* inside the name: "model.layers.3.self_attn.q_proj" */
    size_t module_size;
};

/* A name that is not understood is ENGINE_E_FORMAT; one that means more than a LoRA on a layer's matrix is
 * ENGINE_E_UNSUPPORTED. */
int adapter_name_parse(const char *name, struct adapter_name *ret, struct error *reterr) MUST_CHECK;

#endif
