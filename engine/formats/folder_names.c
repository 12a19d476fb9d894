/* SPDX-License-Identifier: Apache-2.0
 *
 * Names of tensors (spec gemma-models 6.2, 6.7).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/formats/folder_parts.h"

struct pair {
    const char *folder, *gguf;
};

static const struct pair top[] = {
    {"embed_tokens.weight", "token_embd.weight"},
    {"norm.weight", "output_norm.weight"},
};

static const struct pair of_layers[] = {
    {"input_layernorm.weight", "attn_norm.weight"},
    {"self_attn.q_proj.weight", "attn_q.weight"},
    {"self_attn.k_proj.weight", "attn_k.weight"},
    {"self_attn.v_proj.weight", "attn_v.weight"},
    {"self_attn.o_proj.weight", "attn_output.weight"},
    {"self_attn.q_norm.weight", "attn_q_norm.weight"},
    {"self_attn.k_norm.weight", "attn_k_norm.weight"},
    {"post_attention_layernorm.weight", "post_attention_norm.weight"},
    {"pre_feedforward_layernorm.weight", "ffn_norm.weight"},
    {"post_feedforward_layernorm.weight", "post_ffw_norm.weight"},
    {"mlp.gate_proj.weight", "ffn_gate.weight"},
    {"mlp.up_proj.weight", "ffn_up.weight"},
    {"mlp.down_proj.weight", "ffn_down.weight"},
};

/* What stands in front of the MLP of Gemma 1, which has no norm behind its attention. */
static const struct pair of_gemma1 = {"post_attention_layernorm.weight", "ffn_norm.weight"};

enum { TOPS = sizeof top / sizeof top[0], OF_LAYERS = sizeof of_layers / sizeof of_layers[0] };

/* "layers.12.rest" or "blk.12.rest"; NULL when it is neither. */
static const char *split_layer(const char *name, const char *start, unsigned long *ret_layer) {
    size_t size = strlen(start);
    char *end;

    if (strncmp(name, start, size) != 0 || name[size] < '0' || name[size] > '9') {
        return NULL;
    }
    *ret_layer = strtoul(name + size, &end, 10);
    return *end == '.' && *ret_layer < 100000 ? end + 1 : NULL;
}

bool folder_name(const char *name, bool gemma1, char ret[FOLDER_NAME_BYTES]) {
    unsigned long layer;
    const char *rest = split_layer(name, "layers.", &layer);

    for (size_t i = 0; rest == NULL && i < TOPS; i++) {
        if (strcmp(top[i].folder, name) == 0) {
            (void)snprintf(ret, FOLDER_NAME_BYTES, "%s", top[i].gguf);
            return true;
        }
    }
    if (rest != NULL && gemma1 && strcmp(rest, of_gemma1.folder) == 0) {
        (void)snprintf(ret, FOLDER_NAME_BYTES, "blk.%lu.%s", layer, of_gemma1.gguf);
        return true;
    }
    for (size_t i = 0; rest != NULL && i < OF_LAYERS; i++) {
        if (strcmp(of_layers[i].folder, rest) == 0) {
            (void)snprintf(ret, FOLDER_NAME_BYTES, "blk.%lu.%s", layer, of_layers[i].gguf);
            return true;
        }
    }
    return false;
}

bool folder_name_back(const char *gguf, bool gemma1, char *ret, size_t size) {
    unsigned long layer;
    const char *rest = split_layer(gguf, "blk.", &layer);

    for (size_t i = 0; rest == NULL && i < TOPS; i++) {
        if (strcmp(top[i].gguf, gguf) == 0) {
            (void)snprintf(ret, size, "%s", top[i].folder);
            return true;
        }
    }
    if (rest != NULL && gemma1 && strcmp(rest, of_gemma1.gguf) == 0) {
        (void)snprintf(ret, size, "layers.%lu.%s", layer, of_gemma1.folder);
        return true;
    }
    for (size_t i = 0; rest != NULL && i < OF_LAYERS; i++) {
        if (strcmp(of_layers[i].gguf, rest) == 0) {
            (void)snprintf(ret, size, "layers.%lu.%s", layer, of_layers[i].folder);
            return true;
        }
    }
    return false;
}
