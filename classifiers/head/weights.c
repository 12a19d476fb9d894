/* SPDX-License-Identifier: Apache-2.0 */
#include "classifiers/head/weights.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/cursor.h"
#include "base/safetensors.h"
#include "classifiers/classifier.h"
#include "classifiers/head/ngrams.h"

/* All rows of the file, as they are. */
struct tensors {
    float *weight, *bias, *mean, *scale, *calibration, *step;
    const int8_t *table; /* in the file's bytes */
};

static void tensors_deinit(struct tensors *t) {
    free(t->weight);
    free(t->bias);
    free(t->mean);
    free(t->scale);
    free(t->calibration);
    free(t->step);
}

/* The tensor of this type and shape; `columns` 0: one dimension. */
static int find_tensor(const struct safetensors *file, const char *name, const char *type, size_t rows,
                       size_t columns, const struct safetensors_entry **ret, struct error *reterr) {
    const struct safetensors_entry *entry = safetensors_find(file, name);
    if (entry == NULL) {
        return error_set(reterr, CLASSIFIER_E_INVALID, "tensor %s is missing", name);
    }
    if (strcmp(entry->type, type) != 0) {
        return error_set(reterr, CLASSIFIER_E_INVALID, "tensor %s is not %s", name, type);
    }
    bool fits = columns == 0 ? entry->dim_count == 1 && entry->dims[0] == rows
                             : entry->dim_count == 2 && entry->dims[0] == rows && entry->dims[1] == columns;
    if (!fits) {
        return error_set(reterr, CLASSIFIER_E_INVALID,
                         "tensor %s has not the shape that the card asks for (%zu, %zu)", name, rows,
                         columns);
    }
    *ret = entry;
    return 0;
}

static int read_f32(const struct safetensors *file, const char *name, size_t rows, size_t columns, float *out,
                    struct error *reterr) {
    const struct safetensors_entry *entry = NULL;
    int rc = find_tensor(file, name, "F32", rows, columns, &entry, reterr);
    if (rc != 0) {
        return rc;
    }
    struct cursor c;
    cursor_init(&c, entry->data, (size_t)entry->size);
    for (size_t i = 0; i < entry->size / sizeof(float); i++) {
        out[i] = cursor_f32(&c);
        if (!isfinite(out[i])) {
            return error_set(reterr, CLASSIFIER_E_INVALID, "tensor %s holds a value that is not finite",
                             name);
        }
    }
    return 0;
}

static int read_tensors(const struct safetensors *file, const struct card *card, size_t n, struct tensors *t,
                        struct error *reterr) {
    size_t rows = card->category_count;
    t->weight = calloc(rows * n, sizeof(float));
    t->bias = calloc(rows, sizeof(float));
    t->mean = calloc(n, sizeof(float));
    t->scale = calloc(n, sizeof(float));
    t->calibration = calloc(rows * 2, sizeof(float));
    t->step = calloc(rows, sizeof(float));
    if (t->weight == NULL || t->bias == NULL || t->mean == NULL || t->scale == NULL ||
        t->calibration == NULL || t->step == NULL) {
        return error_errno(reterr, ENOMEM, "no memory for a head");
    }
    int rc = read_f32(file, "weight", rows, n, t->weight, reterr);
    rc = rc != 0 ? rc : read_f32(file, "bias", rows, 0, t->bias, reterr);
    rc = rc != 0 ? rc : read_f32(file, "mean", n, 0, t->mean, reterr);
    rc = rc != 0 ? rc : read_f32(file, "scale", n, 0, t->scale, reterr);
    rc = rc != 0 ? rc : read_f32(file, "calibration", rows, 2, t->calibration, reterr);
    if (rc == 0 && card->ngrams) {
        const struct safetensors_entry *table = NULL;
        rc = find_tensor(file, "ngram_table", "I8", NGRAM_BUCKETS, rows, &table, reterr);
        t->table = rc == 0 ? (const int8_t *)table->data : NULL;
        rc = rc != 0 ? rc : read_f32(file, "ngram_step", rows, 0, t->step, reterr);
    }
    return rc;
}

static int fold(const struct tensors *t, const size_t rows[], struct head_weights *w, struct error *reterr) {
    w->weight = calloc(w->features * w->count, sizeof *w->weight);
    if (w->weight == NULL) {
        return error_errno(reterr, ENOMEM, "no memory for a head");
    }
    for (size_t i = 0; i < w->features; i++) {
        if (!(t->scale[i] > 0.0f)) {
            return error_set(reterr, CLASSIFIER_E_INVALID, "tensor scale holds a value that is not positive");
        }
    }
    for (size_t c = 0; c < w->count; c++) {
        size_t row = rows[c];
        double bias = (double)t->bias[row];
        for (size_t i = 0; i < w->features; i++) {
            double weight = (double)t->weight[row * w->features + i] / (double)t->scale[i];
            w->weight[i * w->count + c] = weight;
            bias -= weight * (double)t->mean[i];
        }
        w->bias[c] = bias;
        w->slope[c] = (double)t->calibration[row * 2];
        w->shift[c] = (double)t->calibration[row * 2 + 1];
        w->step[c] = (double)t->step[row];
    }
    return 0;
}

static int fold_table(const struct tensors *t, const struct card *card, const size_t rows[],
                      struct head_weights *w, struct error *reterr) {
    if (!card->ngrams) {
        return 0;
    }
    w->table = malloc((size_t)NGRAM_BUCKETS * w->count);
    if (w->table == NULL) {
        return error_errno(reterr, ENOMEM, "no memory for a head");
    }
    for (size_t bucket = 0; bucket < NGRAM_BUCKETS; bucket++) {
        for (size_t c = 0; c < w->count; c++) {
            w->table[bucket * w->count + c] = t->table[bucket * card->category_count + rows[c]];
        }
    }
    return 0;
}

int head_weights_read(const void *bytes, size_t size, const struct card *card, size_t features,
                      const size_t rows[], size_t count, struct head_weights *ret, struct error *reterr) {
    CLEANUP(tensors_deinit) struct tensors tensors = {0};
    CLEANUP(safetensors_deinit) struct safetensors file = {0};
    *ret = (struct head_weights){.features = features, .count = count};
    int rc = safetensors_read(bytes, size, &file, reterr);
    rc = error_recode(reterr, rc, CLASSIFIER_E_INVALID);
    rc = rc != 0 ? rc : read_tensors(&file, card, features, &tensors, reterr);
    rc = rc != 0 ? rc : fold(&tensors, rows, ret, reterr);
    rc = rc != 0 ? rc : fold_table(&tensors, card, rows, ret, reterr);
    if (rc != 0) {
        head_weights_deinit(ret);
    }
    return rc;
}

void head_weights_deinit(struct head_weights *w) {
    free(w->weight);
    free(w->table);
    *w = (struct head_weights){0};
}

void head_weights_apply(const struct head_weights *w, const float *x, const struct head_ngrams *ngrams,
                        double raw[]) {
    memcpy(raw, w->bias, w->count * sizeof raw[0]);
    for (size_t i = 0; i < w->features; i++) {
        const double *weight = w->weight + i * w->count;
        for (size_t c = 0; c < w->count; c++) {
            raw[c] += weight[c] * (double)x[i];
        }
    }
    for (size_t c = 0; w->table != NULL && c < w->count; c++) {
        raw[c] += ngrams_weigh(ngrams->sums[c], ngrams->buckets, w->step[c]);
    }
}
