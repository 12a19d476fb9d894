/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/formats/adapter_names.h"

#include <string.h>

#include "engine/engine.h"

/* Parts of names that are recognised only to say why they are refused. */
static int refuse_more_than_lora(const char *name, struct error *reterr) {
    static const struct {
        const char *part, *why;
    } refused[] = {
        {"lora_magnitude_vector", "it is a DoRA, which scales whole columns; train a plain LoRA"},
        {"lora_embedding", "a LoRA on the embedding is not run; leave embed_tokens out of its targets"},
        {"embed_tokens", "a LoRA on the embedding is not run; leave embed_tokens out of its targets"},
        {"token_embd", "a LoRA on the embedding is not run; leave token_embd out of its targets"},
        {"lm_head", "a LoRA on the head is not run; leave lm_head out of its targets"},
        {"modules_to_save", "whole modules are not replaced; train without modules_to_save"},
        {".bias", "biases are not run; train with bias \"none\""},
    };

    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        if (strstr(name, refused[i].part) != NULL) {
            return error_set(reterr, ENGINE_E_UNSUPPORTED, "the adapter holds %s: %s", name, refused[i].why);
        }
    }
    return 0;
}

static bool skip(const char **at, const char *prefix) {
    size_t size = strlen(prefix);

    if (strncmp(*at, prefix, size) != 0) {
        return false;
    }
    *at += size;
    return true;
}

/* A number without a leading zero and a dot behind it. */
static bool take_layer(const char **at, uint32_t *ret) {
    const char *p = *at;
    uint32_t value = 0;

    if (p[0] == '0' && p[1] != '.') {
        return false;
    }
    for (; *p >= '0' && *p <= '9'; p++) {
        value = value * 10 + (uint32_t)(*p - '0');
        if (value >= ADAPTER_MAX_LAYERS) {
            return false;
        }
    }
    if (p == *at || *p != '.') {
        return false;
    }
    *at = p + 1;
    *ret = value;
    return true;
}

struct target_name {
    const char *hf, *gguf;
};

static const struct target_name targets[ADAPTER_TARGETS] = {
    [ADAPTER_ATTN_Q] = {"self_attn.q_proj", "attn_q"},
    [ADAPTER_ATTN_K] = {"self_attn.k_proj", "attn_k"},
    [ADAPTER_ATTN_V] = {"self_attn.v_proj", "attn_v"},
    [ADAPTER_ATTN_OUTPUT] = {"self_attn.o_proj", "attn_output"},
    [ADAPTER_FFN_GATE] = {"mlp.gate_proj", "ffn_gate"},
    [ADAPTER_FFN_UP] = {"mlp.up_proj", "ffn_up"},
    [ADAPTER_FFN_DOWN] = {"mlp.down_proj", "ffn_down"},
};

static bool take_target(const char **at, bool gguf, enum adapter_target *ret) {
    for (int i = ADAPTER_INVALID + 1; i < ADAPTER_TARGETS; i++) {
        const char *rest = *at;

        if (skip(&rest, gguf ? targets[i].gguf : targets[i].hf) && *rest == '.') {
            *at = rest;
            *ret = (enum adapter_target)i;
            return true;
        }
    }
    return false;
}

static bool take_end(const char *end, bool gguf, struct adapter_name *n) {
    static const struct {
        const char *text;
        enum adapter_style style;
        bool is_b;
    } ends[] = {
        {".lora_A.weight", ADAPTER_STYLE_PEFT, false}, {".lora_A.default.weight", ADAPTER_STYLE_PEFT, false},
        {".lora_B.weight", ADAPTER_STYLE_PEFT, true},  {".lora_B.default.weight", ADAPTER_STYLE_PEFT, true},
        {".lora_a", ADAPTER_STYLE_MLX, false},         {".lora_b", ADAPTER_STYLE_MLX, true},
        {".weight.lora_a", ADAPTER_STYLE_GGUF, false}, {".weight.lora_b", ADAPTER_STYLE_GGUF, true},
    };

    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        if (strcmp(end, ends[i].text) == 0) {
            n->style = ends[i].style;
            n->is_b = ends[i].is_b;
            return gguf == (n->style == ADAPTER_STYLE_GGUF);
        }
    }
    return false;
}

int adapter_name_parse(const char *name, struct adapter_name *ret, struct error *reterr) {
    struct adapter_name n = {0};
    const char *at = name;
    int r = refuse_more_than_lora(name, reterr);

    if (r != 0) {
        return r;
    }
    bool gguf = skip(&at, "blk.");
    if (!gguf) {
        (void)skip(&at, "base_model.model.");
    }
    n.module = at;
    while (!gguf && (skip(&at, "model.") || skip(&at, "language_model."))) {
    }
    if ((!gguf && !skip(&at, "layers.")) || !take_layer(&at, &n.layer) ||
        !take_target(&at, gguf, &n.target) || !take_end(at, gguf, &n)) {
        return error_set(reterr, ENGINE_E_FORMAT,
                         "the tensor %s is no LoRA of a matrix in a layer of this kind of model", name);
    }
    n.module_size = (size_t)(at - n.module);
    *ret = n;
    return 0;
}
