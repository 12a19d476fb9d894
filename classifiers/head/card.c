/* SPDX-License-Identifier: Apache-2.0 */
#include "classifiers/head/card.h"

#include <jansson.h>
#include <stdbool.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/digest.h"
#include "classifiers/classifier.h"
#include "classifiers/head/ngrams.h"

enum { DEFAULT_WINDOW = 256, MIN_WINDOW = 16, MAX_WINDOW = 8192, MAX_LAYER = 1024, MAX_CONTEXT = 4096 };

static void json_unref(json_t **value) {
    json_decref(*value);
}

static int invalid(struct error *reterr, const char *why) {
    return error_set(reterr, CLASSIFIER_E_INVALID, "card.json: %s", why);
}

static bool take_text(const json_t *object, const char *key, char *out, size_t out_size) {
    const char *text = json_string_value(json_object_get(object, key));
    if (text == NULL || strlen(text) >= out_size || text[0] == '\0') {
        return false;
    }
    memcpy(out, text, strlen(text) + 1);
    return true;
}

static int take_base(const json_t *root, struct card *card, struct error *reterr) {
    const json_t *base = json_object_get(root, "base");
    uint8_t digest[DIGEST_BYTES];
    if (!take_text(base, "file", card->base_file, sizeof card->base_file) ||
        strchr(card->base_file, '/') != NULL) {
        return invalid(reterr, "base.file must be the name of a model file");
    }
    if (!take_text(base, "sha256", card->base_sha256, sizeof card->base_sha256) ||
        !hex_decode(card->base_sha256, digest, sizeof digest)) {
        return invalid(reterr, "base.sha256 must be 64 hexadecimal digits");
    }
    hex_encode(digest, sizeof digest, card->base_sha256);
    return 0;
}

static int take_layers(const json_t *root, struct card *card, struct error *reterr) {
    const json_t *layers = json_object_get(root, "layers");
    card->layer_count = json_array_size(layers);
    if (card->layer_count < 1 || card->layer_count > CARD_MAX_LAYERS) {
        return invalid(reterr, "layers must be a list of 1 to 8 numbers");
    }
    for (size_t i = 0; i < card->layer_count; i++) {
        const json_t *layer = json_array_get(layers, i);
        if (!json_is_integer(layer) || json_integer_value(layer) < 1 ||
            json_integer_value(layer) > MAX_LAYER) {
            return invalid(reterr, "layers must be a list of 1 to 8 numbers");
        }
        card->layers[i] = (uint32_t)json_integer_value(layer);
    }
    return 0;
}

static int take_categories(const json_t *root, struct card *card, struct error *reterr) {
    const json_t *categories = json_object_get(root, "categories");
    card->category_count = json_array_size(categories);
    if (card->category_count < 1 || card->category_count > CARD_MAX_CATEGORIES) {
        return invalid(reterr, "categories must be a list of 1 to 32 names");
    }
    for (size_t i = 0; i < card->category_count; i++) {
        const char *name = json_string_value(json_array_get(categories, i));
        if (name == NULL || name[0] == '\0' || strlen(name) >= CARD_NAME_SIZE) {
            return invalid(reterr, "categories must be a list of 1 to 32 names");
        }
        memcpy(card->categories[i], name, strlen(name) + 1);
    }
    return 0;
}

static int take_adapter(const json_t *root, struct card *card, struct error *reterr) {
    const json_t *adapter = json_object_get(root, "adapter");
    uint8_t digest[DIGEST_BYTES];
    if (adapter == NULL) {
        return 0;
    }
    if (!take_text(adapter, "file", card->adapter_file, sizeof card->adapter_file) ||
        strchr(card->adapter_file, '/') != NULL) {
        return invalid(reterr, "adapter.file must be the name of a file beside the card");
    }
    if (!take_text(adapter, "sha256", card->adapter_sha256, sizeof card->adapter_sha256) ||
        !hex_decode(card->adapter_sha256, digest, sizeof digest)) {
        return invalid(reterr, "adapter.sha256 must be 64 hexadecimal digits");
    }
    hex_encode(digest, sizeof digest, card->adapter_sha256);
    return 0;
}

static int take_context(const json_t *root, struct card *card, struct error *reterr) {
    const json_t *context = json_object_get(root, "context");
    const json_t *tokens = json_object_get(context, "tokens");
    if (context == NULL) {
        return 0;
    }
    if (!take_text(context, "before", card->context_before, sizeof card->context_before) ||
        !take_text(context, "after", card->context_after, sizeof card->context_after) ||
        !json_is_integer(tokens) || json_integer_value(tokens) < 1 ||
        json_integer_value(tokens) > MAX_CONTEXT) {
        return invalid(reterr, "context must have before, after (texts) and tokens (1 to 4096)");
    }
    card->context_tokens = (uint32_t)json_integer_value(tokens);
    return 0;
}

static int take_spans(const json_t *root, struct card *card, struct error *reterr) {
    const json_t *spans = json_object_get(root, "spans");
    json_int_t tokens = json_integer_value(json_object_get(spans, "tokens"));
    json_int_t stride = json_integer_value(json_object_get(spans, "stride"));
    if (spans == NULL) {
        return 0;
    }
    if (stride < MIN_WINDOW || tokens < stride || tokens > MAX_WINDOW || tokens % stride != 0) {
        return invalid(reterr, "spans must have tokens (a multiple of stride) and stride (at least 16)");
    }
    card->span_tokens = (uint32_t)tokens;
    card->span_stride = (uint32_t)stride;
    return 0;
}

static int take_ngrams(const json_t *root, struct card *card, struct error *reterr) {
    const json_t *ngrams = json_object_get(root, "ngrams");
    const json_t *buckets = json_object_get(ngrams, "buckets");
    card->ngrams = ngrams != NULL;
    if (ngrams != NULL && (!json_is_integer(buckets) || json_integer_value(buckets) != NGRAM_BUCKETS)) {
        return invalid(reterr, "ngrams.buckets must be 262144: this build knows no other");
    }
    return 0;
}

int card_read(const void *bytes, size_t size, struct card *ret, struct error *reterr) {
    json_error_t error;
    CLEANUP(json_unref) json_t *root = json_loadb(bytes, size, JSON_REJECT_DUPLICATES, &error);
    if (!json_is_object(root)) {
        return invalid(reterr, "not a JSON object");
    }
    const char *pooling = json_string_value(json_object_get(root, "pooling"));
    const json_t *window = json_object_get(root, "window");
    *ret = (struct card){.window = DEFAULT_WINDOW};
    if (pooling == NULL || strcmp(pooling, "mean") != 0) {
        return invalid(reterr, "pooling must be mean: this build knows no other");
    }
    if (window != NULL) {
        if (!json_is_integer(window) || json_integer_value(window) < MIN_WINDOW ||
            json_integer_value(window) > MAX_WINDOW) {
            return invalid(reterr, "window must be 16 to 8192 tokens");
        }
        ret->window = (uint32_t)json_integer_value(window);
    }
    int rc = take_base(root, ret, reterr);
    rc = rc != 0 ? rc : take_layers(root, ret, reterr);
    rc = rc != 0 ? rc : take_categories(root, ret, reterr);
    rc = rc != 0 ? rc : take_adapter(root, ret, reterr);
    rc = rc != 0 ? rc : take_context(root, ret, reterr);
    rc = rc != 0 ? rc : take_spans(root, ret, reterr);
    return rc != 0 ? rc : take_ngrams(root, ret, reterr);
}
