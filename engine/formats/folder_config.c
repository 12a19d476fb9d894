/* SPDX-License-Identifier: Apache-2.0
 *
 * config.json of Gemma 1, 2 and 3 (spec gemma-models 6.4) as GGUF metadata. A field that is not there means
 * what the shapes say or the default of the generation; one that changes the arithmetic in a way that is not
 * run is refused.
 */
#include <math.h>
#include <string.h>

#include "base/cleanup.h"
#include "engine/engine.h"
#include "engine/formats/folder_parts.h"

enum { MAX_LAYERS = 1024, HEAD_SIZE = 256, WIDTH_OF_GEMMA2_9B = 3584 };

struct converter {
    const json_t *text; /* the part about the text model */
    const char *architecture;
    int generation;
    struct metas *metas;
    struct error *reterr;
};

static const json_t *text_part(const json_t *config) {
    const json_t *text = json_object_get(config, "text_config");

    return json_is_object(text) ? text : config;
}

static bool is_text(const json_t *value, const char *text) {
    const char *s = json_string_value(value);

    return s != NULL && strcmp(s, text) == 0;
}

static bool is_off(const json_t *value) {
    return value == NULL || json_is_null(value) || json_is_false(value);
}

int folder_config_architecture(const json_t *config, const char **ret, struct error *reterr) {
    static const struct {
        const char *type, *architecture;
    } known[] = {{"gemma", "gemma"},
                 {"gemma2", "gemma2"},
                 {"gemma3_text", "gemma3"},
                 {"gemma3", "gemma3"},
                 {"shieldgemma2", "gemma3"}};
    const json_t *type = json_object_get(config, "model_type");

    bool both_ways = json_is_true(json_object_get(config, "use_bidirectional_attention"));

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (is_text(type, known[i].type)) {
            *ret = both_ways && is_text(type, "gemma3_text") ? "gemma-embedding" : known[i].architecture;
            return 0;
        }
    }
    return error_set(
        reterr, json_is_string(type) ? ENGINE_E_UNSUPPORTED : ENGINE_E_FORMAT,
        "the model_type of config.json is \"%.40s\"; gemma, gemma2, gemma3_text, gemma3 and shieldgemma2 "
        "are run",
        json_is_string(type) ? json_string_value(type) : "");
}

uint32_t folder_config_image_token(const json_t *config) {
    static const char *const keys[] = {"image_token_index", "image_token_id"};

    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        const json_t *id = json_object_get(config, keys[i]);

        if (json_is_integer(id) && json_integer_value(id) >= 0 && json_integer_value(id) < UINT32_MAX) {
            return (uint32_t)json_integer_value(id);
        }
    }
    return UINT32_MAX;
}

/* ---- fields ---- */

static int take_size(const struct converter *c, const char *key, uint32_t otherwise, uint32_t *ret) {
    const json_t *value = json_object_get(c->text, key);

    if (is_off(value) && otherwise > 0) {
        *ret = otherwise;
        return 0;
    }
    if (!json_is_integer(value) || json_integer_value(value) < 1 || json_integer_value(value) > INT32_MAX) {
        return error_set(c->reterr, ENGINE_E_FORMAT, "%s of config.json is missing or no size", key);
    }
    *ret = (uint32_t)json_integer_value(value);
    return 0;
}

/* `otherwise` for a field that is not there, 0 for null. */
static int take_real(const struct converter *c, const json_t *object, const char *key, double otherwise,
                     double *ret) {
    const json_t *value = json_object_get(object, key);

    if (value == NULL || json_is_null(value)) {
        *ret = value == NULL ? otherwise : 0;
        return 0;
    }
    *ret = json_number_value(value);
    if (!json_is_number(value) || !(*ret > 0) || !isfinite((float)*ret)) {
        return error_set(c->reterr, ENGINE_E_FORMAT, "%s of config.json is not a positive number", key);
    }
    return 0;
}

static int put_real(const struct converter *c, const json_t *object, const char *key, double otherwise,
                    const char *meta) {
    double value;
    int r = take_real(c, object, key, otherwise, &value);

    if (r == 0) {
        metas_f64(c->metas, c->architecture, meta, value);
    }
    return r;
}

static int check_features(const struct converter *c, const json_t *config) {
    const json_t *activation =
        json_object_get(c->text, c->generation == 1 ? "hidden_act" : "hidden_activation");
    const json_t *quantized = json_object_get(config, "quantization_config");

    if (!is_off(quantized)) {
        const char *method = json_string_value(json_object_get(quantized, "quant_method"));

        return error_set(c->reterr, ENGINE_E_UNSUPPORTED,
                         "the folder is quantised (%.32s), which is not run; use the original or a GGUF file",
                         method == NULL ? "by a method without name" : method);
    }
    if (!is_off(json_object_get(c->text, "attention_bias"))) {
        return error_set(c->reterr, ENGINE_E_UNSUPPORTED, "attention_bias of config.json is not run");
    }
    if (!is_off(json_object_get(c->text, "use_bidirectional_attention")) &&
        strcmp(c->architecture, "gemma-embedding") != 0) {
        return error_set(c->reterr, ENGINE_E_UNSUPPORTED,
                         "use_bidirectional_attention of config.json is run in gemma3_text only");
    }
    if (!is_off(activation) && !is_text(activation, "gelu_pytorch_tanh") &&
        !(c->generation == 1 && is_text(activation, "gelu"))) {
        return error_set(c->reterr, ENGINE_E_UNSUPPORTED,
                         "the activation of config.json is not gelu_pytorch_tanh");
    }
    return 0;
}

/* ---- parts ---- */

static int put_sizes(const struct converter *c, const struct folder_shapes *s) {
    uint32_t head_size, layers;
    int r = take_size(c, "head_dim", s->head > 0 ? s->head : HEAD_SIZE, &head_size);

    r = r == 0 ? take_size(c, "num_hidden_layers", s->layers, &layers) : r;
    if (r != 0) {
        return r;
    }
    if (layers != s->layers) {
        return error_set(c->reterr, ENGINE_E_FORMAT, "config.json says %u layers, the tensors make %u",
                         layers, s->layers);
    }
    const struct {
        const char *key, *meta;
        uint32_t otherwise;
    } sizes[] = {
        {"hidden_size", "embedding_length", s->hidden},
        {"intermediate_size", "feed_forward_length", s->feed_forward},
        {"num_attention_heads", "attention.head_count", s->query / head_size},
        {"num_key_value_heads", "attention.head_count_kv", s->key / head_size},
        {"max_position_embeddings", "context_length", c->generation == 3 ? 131072 : 8192},
    };
    metas_u32(c->metas, c->architecture, "block_count", layers);
    metas_u32(c->metas, c->architecture, "attention.key_length", head_size);
    for (size_t i = 0; r == 0 && i < sizeof sizes / sizeof sizes[0]; i++) {
        uint32_t value;

        r = take_size(c, sizes[i].key, sizes[i].otherwise, &value);
        if (r == 0) {
            metas_u32(c->metas, c->architecture, sizes[i].meta, value);
        }
    }
    return r == 0 ? put_real(c, c->text, "rms_norm_eps", 1e-6, "attention.layer_norm_rms_epsilon") : r;
}

static int put_pattern(const struct converter *c) {
    static const char meta[] = "attention.sliding_window_pattern";
    const json_t *types = json_object_get(c->text, "layer_types");
    bool sliding[MAX_LAYERS];
    size_t count = json_array_size(types);
    uint32_t period;

    if (is_off(types)) {
        uint32_t usual = c->generation == 2 ? 2 : 6;
        int r = take_size(c, "_sliding_window_pattern", usual, &period);

        r = r == 0 ? take_size(c, "sliding_window_pattern", period, &period) : r;
        if (r == 0) {
            metas_u32(c->metas, c->architecture, meta, period);
        }
        return r;
    }
    if (!json_is_array(types) || count > MAX_LAYERS) {
        return error_set(c->reterr, ENGINE_E_FORMAT, "layer_types of config.json is no list of at most %d",
                         MAX_LAYERS);
    }
    for (size_t i = 0; i < count; i++) {
        const json_t *type = json_array_get(types, i);

        sliding[i] = is_text(type, "sliding_attention");
        if (!sliding[i] && !is_text(type, "full_attention")) {
            return error_set(c->reterr, ENGINE_E_UNSUPPORTED,
                             "layer type %zu of config.json is of no known kind", i);
        }
    }
    metas_bools(c->metas, c->architecture, meta, sliding, (uint32_t)count);
    return 0;
}

static int put_windows(const struct converter *c) {
    uint32_t window;
    int r = c->generation == 1 ? 0 : take_size(c, "sliding_window", 4096, &window);

    if (r != 0 || c->generation == 1) {
        return r;
    }
    metas_u32(c->metas, c->architecture, "attention.sliding_window", window);
    return put_pattern(c);
}

/* {"rope_type": "linear", "factor": 8.0}; older ones say "type". */
static int put_scaling(const struct converter *c, const json_t *rope, bool may_scale) {
    const json_t *type = json_object_get(rope, "rope_type");

    type = type == NULL ? json_object_get(rope, "type") : type;
    if (is_off(type) || is_text(type, "default")) {
        return 0;
    }
    if (!may_scale || !is_text(type, "linear")) {
        return error_set(c->reterr, ENGINE_E_UNSUPPORTED, "the rope scaling of config.json is not run");
    }
    metas_string(c->metas, c->architecture, "rope.scaling.type", "linear");
    return put_real(c, rope, "factor", 0, "rope.scaling.factor");
}

static int put_rope(const struct converter *c) {
    const json_t *both = json_object_get(c->text, "rope_parameters");
    const json_t *global = json_object_get(both, "full_attention"),
                 *local = json_object_get(both, "sliding_attention");
    double base = c->generation == 3 ? 1e6 : 1e4;
    int r;

    if (global != NULL || local != NULL) {
        r = put_real(c, global, "rope_theta", base, "rope.freq_base");
        r = r == 0 ? put_real(c, local, "rope_theta", 1e4, "rope.freq_base_swa") : r;
        r = r == 0 ? put_scaling(c, local, false) : r;
        return r == 0 ? put_scaling(c, global, c->generation == 3) : r;
    }
    r = put_real(c, is_off(both) ? c->text : both, "rope_theta", base, "rope.freq_base");
    r = r == 0 ? put_real(c, c->text, "rope_local_base_freq", 1e4, "rope.freq_base_swa") : r;
    return r == 0 ? put_scaling(c, is_off(both) ? json_object_get(c->text, "rope_scaling") : both,
                                c->generation == 3)
                  : r;
}

static int put_scores(const struct converter *c) {
    double usual_cap = c->generation == 2 ? 50 : 0, final_cap = c->generation == 2 ? 30 : 0, scalar;
    int r = take_real(c, c->text, "query_pre_attn_scalar", HEAD_SIZE, &scalar);

    if (r != 0 || c->generation == 1) {
        return r;
    }
    /* Early configs of Gemma 2 9B had the width of a head's share instead of what it was trained with. */
    if (c->generation == 2 && scalar == 224 &&
        json_integer_value(json_object_get(c->text, "hidden_size")) == WIDTH_OF_GEMMA2_9B) {
        scalar = 256;
    }
    if (!(scalar > 0)) {
        return error_set(c->reterr, ENGINE_E_FORMAT,
                         "query_pre_attn_scalar of config.json is not a positive number");
    }
    metas_f64(c->metas, c->architecture, "attention.scale", 1.0 / sqrt(scalar));
    r = put_real(c, c->text, "attn_logit_softcapping", usual_cap, "attn_logit_softcapping");
    return r == 0 ? put_real(c, c->text, "final_logit_softcapping", final_cap, "final_logit_softcapping") : r;
}

int folder_config_write(const json_t *config, const struct folder_shapes *shapes, struct metas *m,
                        struct error *reterr) {
    struct converter c = {.text = text_part(config), .metas = m, .reterr = reterr};
    int r = folder_config_architecture(config, &c.architecture, reterr);

    if (r != 0) {
        return r;
    }
    c.generation = strcmp(c.architecture, "gemma") == 0 ? 1 : strcmp(c.architecture, "gemma2") == 0 ? 2 : 3;
    metas_string(m, "general", "architecture", c.architecture);
    r = check_features(&c, config);
    r = r == 0 ? put_sizes(&c, shapes) : r;
    r = r == 0 ? put_windows(&c) : r;
    r = r == 0 ? put_rope(&c) : r;
    return r == 0 ? put_scores(&c) : r;
}
