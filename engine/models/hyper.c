/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "engine/models/generation.h"

enum { MAX_WIDTH = 1 << 20, KEY_BYTES = 96 };

struct key {
    char text[KEY_BYTES];
};

static struct key key_of(const struct hyper *h, const char *name) {
    struct key key;

    (void)snprintf(key.text, sizeof key.text, "%s.%s", h->architecture, name);
    return key;
}

static int read_size(const struct hyper *h, const char *name, uint32_t limit, uint32_t *ret,
                     struct error *reterr) {
    struct key key = key_of(h, name);
    uint64_t value;

    if (!meta_u64(h->file, key.text, &value)) {
        return error_set(reterr, ENGINE_E_FORMAT, "the metadata lack %s", key.text);
    }
    if (value == 0 || value > limit) {
        return error_set(reterr, ENGINE_E_FORMAT, "%s is %llu, expected 1 to %u", key.text,
                         (unsigned long long)value, limit);
    }
    *ret = (uint32_t)value;
    return 0;
}

static double read_real(const struct hyper *h, const char *name, double otherwise) {
    struct key key = key_of(h, name);
    double value;

    return meta_f64(h->file, key.text, &value) ? value : otherwise;
}

static int check_sizes(const struct hyper *h, const struct text_config *c, struct error *reterr) {
    struct key key = key_of(h, "attention.value_length");
    uint64_t value_length;

    if (!meta_u64(h->file, key.text, &value_length)) {
        value_length = c->head_size;
    }
    if (c->heads % c->kv_heads != 0 || value_length != c->head_size) {
        return error_set(reterr, ENGINE_E_FORMAT,
                         "%u heads, %u key heads and head sizes %u and %llu do not fit", c->heads,
                         c->kv_heads, c->head_size, (unsigned long long)value_length);
    }
    if (c->hidden % 32 != 0 || c->feed_forward % 32 != 0 || c->heads * c->head_size % 32 != 0 ||
        c->head_size % 16 != 0) {
        return error_set(reterr, ENGINE_E_UNSUPPORTED,
                         "widths %u, %u and %u × %u are not multiples of the 32 that kernels need", c->hidden,
                         c->feed_forward, c->heads, c->head_size);
    }
    return 0;
}

int hyper_common(const struct hyper *h, struct text_config *c, struct error *reterr) {
    const struct {
        const char *key;
        uint32_t limit;
        uint32_t *field;
    } sizes[] = {
        {"block_count", STEP_MAX_LAYERS, &c->layers},
        {"embedding_length", MAX_WIDTH, &c->hidden},
        {"feed_forward_length", MAX_WIDTH, &c->feed_forward},
        {"attention.head_count", 1024, &c->heads},
        {"attention.head_count_kv", 1024, &c->kv_heads},
        {"attention.key_length", 1024, &c->head_size},
        {"context_length", 1 << 24, &c->context},
    };
    uint64_t count;
    int r = 0;

    for (size_t i = 0; r == 0 && i < sizeof sizes / sizeof sizes[0]; i++) {
        r = read_size(h, sizes[i].key, sizes[i].limit, sizes[i].field, reterr);
    }
    r = r == 0 ? check_sizes(h, c, reterr) : r;
    if (r != 0) {
        return r;
    }
    if (!meta_array(h->file, "tokenizer.ggml.tokens", &count) || count == 0 || count > (1 << 24)) {
        return error_set(reterr, ENGINE_E_FORMAT, "the file has no usable tokenizer.ggml.tokens");
    }
    c->vocabulary = (uint32_t)count;
    c->embedding_scale = (float)sqrt(c->hidden);
    c->eps = (float)read_real(h, "attention.layer_norm_rms_epsilon", 1e-6);
    if (!(c->eps > 0 && c->eps < 1)) {
        return error_set(reterr, ENGINE_E_FORMAT, "the epsilon of the norms is out of range");
    }
    return 0;
}

int hyper_windows(const struct hyper *h, uint64_t period, struct text_config *c, struct error *reterr) {
    struct key key = key_of(h, "attention.sliding_window_pattern");
    enum { GGUF_BOOL = 7 };
    uint64_t count;
    const uint8_t *array = meta_array_raw(h->file, key.text, GGUF_BOOL, &count);
    int r = read_size(h, "attention.sliding_window", 1 << 24, &c->window, reterr);

    if (r != 0) {
        return r;
    }
    if (array != NULL && count != c->layers) {
        return error_set(reterr, ENGINE_E_FORMAT, "%s has %llu elements for %u layers", key.text,
                         (unsigned long long)count, c->layers);
    }
    if (array == NULL && meta_u64(h->file, key.text, &period) && period == 0) {
        return error_set(reterr, ENGINE_E_FORMAT, "%s is 0", key.text);
    }
    for (uint32_t layer = 0; layer < c->layers; layer++) {
        c->sliding[layer] = array != NULL ? array[layer] != 0 : (layer + 1) % period != 0;
    }
    return 0;
}

int hyper_rope(const struct hyper *h, double global_base, double local_base, struct text_config *c,
               struct error *reterr) {
    struct key type = key_of(h, "rope.scaling.type");
    const char *scaling;
    size_t size;

    c->global_base = read_real(h, "rope.freq_base", global_base);
    c->local_base = read_real(h, "rope.freq_base_swa", local_base);
    c->global_factor = 1.0;
    if (meta_string(h->file, type.text, &scaling, &size) && !(size == 4 && memcmp(scaling, "none", 4) == 0)) {
        if (size != 6 || memcmp(scaling, "linear", 6) != 0) {
            return error_set(reterr, ENGINE_E_UNSUPPORTED, "%s is not linear", type.text);
        }
        c->global_factor = read_real(h, "rope.scaling.factor", 0.0);
    }
    if (!(c->global_base > 1) || !(c->local_base > 1) || !(c->global_factor > 0) ||
        !isfinite(c->global_base) || !isfinite(c->local_base) || !isfinite(c->global_factor)) {
        return error_set(reterr, ENGINE_E_FORMAT, "the rope parameters are out of range");
    }
    return 0;
}

int hyper_scores(const struct hyper *h, bool by_heads, double attention_cap, double final_cap,
                 struct text_config *c, struct error *reterr) {
    double scale = 1.0 / sqrt(by_heads ? (double)c->hidden / c->heads : c->head_size);

    c->attention_scale = (float)read_real(h, "attention.scale", scale);
    c->attention_cap = (float)read_real(h, "attn_logit_softcapping", attention_cap);
    c->final_cap = (float)read_real(h, "final_logit_softcapping", final_cap);
    if (!(c->attention_scale > 0) || !(c->attention_cap >= 0) || !(c->final_cap >= 0) ||
        !isfinite(c->attention_scale) || !isfinite(c->attention_cap) || !isfinite(c->final_cap)) {
        return error_set(reterr, ENGINE_E_FORMAT, "the attention scale or a soft cap is out of range");
    }
    return 0;
}
