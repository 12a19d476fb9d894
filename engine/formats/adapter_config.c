/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/formats/adapter_config.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "engine/engine.h"

struct adapter_config {
    enum adapter_style style;
    json_t *json;
};

static void drop_config(struct adapter_config **config) {
    *config = adapter_config_free(*config);
}

struct adapter_config *adapter_config_free(struct adapter_config *config) {
    if (config != NULL) {
        json_decref(config->json);
        free(config);
    }
    return NULL;
}

/* Absent, null, false, an empty object and an empty array all mean that a feature is not used. */
static bool is_off(const json_t *value) {
    return value == NULL || json_is_null(value) || json_is_false(value) ||
           (json_is_object(value) && json_object_size(value) == 0) ||
           (json_is_array(value) && json_array_size(value) == 0);
}

static bool is_text(const json_t *value, const char *text) {
    const char *s = json_string_value(value);

    return s != NULL && strcmp(s, text) == 0;
}

/* Some initialisations take their part out of the base's weights: with the untouched base the sum is wrong.
 */
static bool leaves_base_alone(const json_t *init) {
    return init == NULL || json_is_boolean(init) || json_is_null(init) || is_text(init, "gaussian") ||
           is_text(init, "eva") || is_text(init, "orthogonal");
}

static int check_peft(const json_t *json, struct error *reterr) {
    static const char *const features[] = {
        "use_dora",          "modules_to_save",         "lora_bias",
        "layer_replication", "alora_invocation_tokens", "use_qalora",
        "arrow_config",      "trainable_token_indices", "target_parameters",
        "use_bdlora",        "velora_config",           "monteclora_config",
        "kasa_config",       "megatron_config",
    };
    const json_t *bias = json_object_get(json, "bias");
    const json_t *type = json_object_get(json, "peft_type");

    if (type != NULL && !is_text(type, "LORA")) {
        return error_set(reterr, ENGINE_E_UNSUPPORTED, "peft_type is not LORA, which is the only kind run");
    }
    for (size_t i = 0; i < sizeof features / sizeof features[0]; i++) {
        if (!is_off(json_object_get(json, features[i]))) {
            return error_set(reterr, ENGINE_E_UNSUPPORTED,
                             "the adapter was trained with %s, which is not run; train a plain LoRA",
                             features[i]);
        }
    }
    if (bias != NULL && !is_text(bias, "none")) {
        return error_set(reterr, ENGINE_E_UNSUPPORTED, "biases are not run; train with bias \"none\"");
    }
    if (!leaves_base_alone(json_object_get(json, "init_lora_weights"))) {
        return error_set(reterr, ENGINE_E_UNSUPPORTED,
                         "init_lora_weights changes the weights of the base; convert to a plain LoRA");
    }
    return 0;
}

static int check_mlx(const json_t *json, struct error *reterr) {
    const json_t *type = json_object_get(json, "fine_tune_type");

    if (type != NULL && !is_text(type, "lora")) {
        return error_set(reterr, ENGINE_E_UNSUPPORTED,
                         "fine_tune_type is not lora, which is the only kind run");
    }
    if (!json_is_object(json_object_get(json, "lora_parameters"))) {
        return error_set(reterr, ENGINE_E_FORMAT, "adapter_config.json has no object lora_parameters");
    }
    return 0;
}

/* The first key of `patterns` that the module's name ends with, whole parts only; `ret` stays when none
 * does. PEFT takes the keys as regular expressions; only plain names are read here. */
static int find_pattern(const json_t *json, const char *key, const struct adapter_name *name,
                        const json_t **ret, struct error *reterr) {
    json_t *patterns = json_object_get(json, key), *value = NULL;
    const char *pattern = NULL;

    if (is_off(patterns)) {
        return 0;
    }
    if (!json_is_object(patterns)) {
        return error_set(reterr, ENGINE_E_FORMAT, "%s is not an object", key);
    }
    json_object_foreach(patterns, pattern, value) {
        bool whole = pattern[0] == '^';
        const char *text = pattern + whole;
        size_t size = strlen(text);

        if (text[strcspn(text, "*+?[](){}|\\^$")] != '\0' || size == 0) {
            return error_set(reterr, ENGINE_E_UNSUPPORTED,
                             "%s has the key \"%.64s\": regular expressions are not read, list the names",
                             key, pattern);
        }
        if (size > name->module_size || (whole && size != name->module_size)) {
            continue;
        }
        const char *tail = name->module + (name->module_size - size);
        if (memcmp(tail, text, size) == 0 && (tail == name->module || tail[-1] == '.')) {
            *ret = value;
            return 0;
        }
    }
    return 0;
}

static int check_rank(const json_t *r, const char *key, uint32_t rank, const struct adapter_name *name,
                      struct error *reterr) {
    if (!json_is_integer(r) || json_integer_value(r) < 1 || json_integer_value(r) > ADAPTER_MAX_RANK) {
        return error_set(reterr, ENGINE_E_FORMAT, "%s is missing or no whole number from 1 to %d", key,
                         ADAPTER_MAX_RANK);
    }
    if (json_integer_value(r) != rank) {
        return error_set(reterr, ENGINE_E_FORMAT, "the tensors of %.*s have rank %u, the config says %lld",
                         (int)name->module_size, name->module, rank, (long long)json_integer_value(r));
    }
    return 0;
}

static int check_number(const json_t *value, const char *key, double *ret, struct error *reterr) {
    if (!json_is_number(value)) {
        return error_set(reterr, ENGINE_E_FORMAT, "%s is missing or not a number", key);
    }
    *ret = json_number_value(value);
    return 0;
}

static int peft_scale(const json_t *json, const struct adapter_name *name, uint32_t rank, double *ret,
                      struct error *reterr) {
    const json_t *r = json_object_get(json, "r"), *alpha = json_object_get(json, "lora_alpha");
    const json_t *stabilized = json_object_get(json, "use_rslora");
    int e = find_pattern(json, "rank_pattern", name, &r, reterr);

    e = e == 0 ? find_pattern(json, "alpha_pattern", name, &alpha, reterr) : e;
    e = e == 0 ? check_rank(r, "r", rank, name, reterr) : e;
    e = e == 0 ? check_number(alpha, "lora_alpha", ret, reterr) : e;
    if (e != 0) {
        return e;
    }
    if (stabilized != NULL && !json_is_boolean(stabilized) && !json_is_null(stabilized)) {
        return error_set(reterr, ENGINE_E_FORMAT, "use_rslora is neither true nor false");
    }
    *ret /= json_is_true(stabilized) ? sqrt(rank) : rank;
    return 0;
}

static int mlx_scale(const json_t *json, const struct adapter_name *name, uint32_t rank, double *ret,
                     struct error *reterr) {
    const json_t *parameters = json_object_get(json, "lora_parameters");
    int e = check_rank(json_object_get(parameters, "rank"), "lora_parameters.rank", rank, name, reterr);

    return e != 0 ? e
                  : check_number(json_object_get(parameters, "scale"), "lora_parameters.scale", ret, reterr);
}

int adapter_config_parse(const void *text, size_t size, enum adapter_style style,
                         struct adapter_config **ret_config, struct error *reterr) {
    CLEANUP(drop_config) struct adapter_config *c = calloc(1, sizeof *c);
    json_error_t error;

    if (c == NULL) {
        return error_errno(reterr, ENOMEM, "cannot read adapter_config.json");
    }
    c->style = style;
    c->json = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
    if (!json_is_object(c->json)) {
        return error_set(reterr, ENGINE_E_FORMAT, "adapter_config.json is not a JSON object");
    }
    int r = style == ADAPTER_STYLE_MLX ? check_mlx(c->json, reterr) : check_peft(c->json, reterr);
    if (r != 0) {
        return r;
    }
    *ret_config = steal(c);
    return 0;
}

int adapter_config_scale(const struct adapter_config *config, const struct adapter_name *name, uint32_t rank,
                         float *ret_scale, struct error *reterr) {
    double scale = 0;
    int r = config->style == ADAPTER_STYLE_MLX ? mlx_scale(config->json, name, rank, &scale, reterr)
                                               : peft_scale(config->json, name, rank, &scale, reterr);

    if (r == 0 && !isfinite((float)scale)) {
        return error_set(reterr, ENGINE_E_FORMAT, "the scale of %.*s is out of range", (int)name->module_size,
                         name->module);
    }
    *ret_scale = (float)scale;
    return r;
}
