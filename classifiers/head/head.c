/* SPDX-License-Identifier: Apache-2.0
 *
 * use: head. A frozen base model reads the text once; the mean of its hidden states at a few layers goes
 * through one linear head a category. Every category costs the same single pass:
 *
 *   BOS → content window, read at each layer of the card → (x − mean) / scale → weight · x + bias → sigmoid(a
 * · raw + b)
 *
 * The score of a text is that of its worst window in its worst view.
 */
#include "classifiers/head/head.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/digest.h"
#include "base/fd.h"
#include "classifiers/head/card.h"
#include "classifiers/head/safetensors.h"
#include "classifiers/support.h"
#include "classifiers/windows.h"

enum { JOB_WINDOWS = 2048 };

struct head {
    struct engine_model *model;
    struct card card;
    uint32_t hidden;
    size_t features; /* hidden × layers */
    uint32_t most;
    uint32_t bos;

    /* The categories that are scored, and the head's rows for them. Standardising is folded into the weights:
     * raw = Σ weight[i][c] · x[i] + bias[c]. */
    size_t count;
    uint16_t categories[CARD_MAX_CATEGORIES];
    size_t rows[CARD_MAX_CATEGORIES];
    double *weight; /* [features][count]: the sums of all categories run side by side */
    double bias[CARD_MAX_CATEGORIES], slope[CARD_MAX_CATEGORIES], shift[CARD_MAX_CATEGORIES];
    char provenance[384];
};

/* ---- opening ---- */

static int read_file(const char *path, size_t limit, uint8_t **ret_bytes, size_t *ret_size,
                     char ret_hex[DIGEST_HEX_SIZE], struct error *reterr) {
    uint8_t digest[DIGEST_BYTES];
    struct stat info;
    CLEANUP(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &info) != 0) {
        return error_errno(reterr, errno, "%s cannot be read", path);
    }
    if (!S_ISREG(info.st_mode) || info.st_size < 1 || (uint64_t)info.st_size > limit) {
        return error_set(reterr, CLASSIFIER_E_INVALID, "%s is not a file of 1 to %zu bytes", path, limit);
    }
    CLEANUP(free_ptr) uint8_t *bytes = malloc((size_t)info.st_size);
    int rc = bytes == NULL ? -ENOMEM : fd_read_all(fd, bytes, (size_t)info.st_size);
    rc = rc != 0 ? rc : digest_sha256(bytes, (size_t)info.st_size, digest);
    if (rc != 0) {
        return error_errno(reterr, -rc, "%s cannot be read", path);
    }
    hex_encode(digest, sizeof digest, ret_hex);
    *ret_bytes = steal(bytes);
    *ret_size = (size_t)info.st_size;
    return 0;
}

static int data_file(const struct classifier_env *env, const char *model, const char *name, size_t limit,
                     uint8_t **ret_bytes, size_t *ret_size, char ret_hex[DIGEST_HEX_SIZE],
                     struct error *reterr) {
    char wanted[320];
    char path[4096];
    (void)snprintf(wanted, sizeof wanted, "%s/%s", model, name);
    int rc = env->data_path(env->user, wanted, path, sizeof path, reterr);
    rc = rc != 0 ? rc : read_file(path, limit, ret_bytes, ret_size, ret_hex, reterr);
    return rc;
}

static int check_base(const struct head *head, struct error *reterr) {
    const struct engine_model_info *info = engine_model_info(head->model);
    if (info->kind != ENGINE_MODEL_TEXT) {
        return error_set(reterr, CLASSIFIER_E_INVALID, "model %s does not read text", head->card.base_file);
    }
    if (strcmp(info->digest, head->card.base_sha256) != 0) {
        return error_set(reterr, CLASSIFIER_E_INVALID,
                         "model %s is not the one that the head was fitted on (sha256 %s, the card has %s)",
                         head->card.base_file, info->digest, head->card.base_sha256);
    }
    for (size_t i = 0; i < head->card.layer_count; i++) {
        if (head->card.layers[i] > info->layers) {
            return error_set(reterr, CLASSIFIER_E_INVALID,
                             "the head wants layer %u of a model with %u layers", head->card.layers[i],
                             info->layers);
        }
    }
    return 0;
}

static int choose_categories(struct head *head, const struct policy *policy,
                             const struct policy_classifier *config, struct error *reterr) {
    for (size_t i = 0; i < head->card.category_count; i++) {
        int category = policy_category(policy, head->card.categories[i]);
        if (category >= 0 && category_wanted(config, head->card.categories[i])) {
            head->rows[head->count] = i;
            head->categories[head->count++] = (uint16_t)category;
        }
    }
    for (size_t k = 0; k < config->category_count; k++) {
        bool found = false;
        for (size_t i = 0; i < head->count; i++) {
            found = found || strcmp(head->card.categories[head->rows[i]], config->categories[k]) == 0;
        }
        if (!found) {
            return error_set(reterr, CLASSIFIER_E_INVALID, "model %s has no head for %s", config->model,
                             config->categories[k]);
        }
    }
    return head->count > 0 ? 0
                           : error_set(reterr, CLASSIFIER_E_INVALID,
                                       "model %s has no head for any category of the policy", config->model);
}

/* All rows of the file, as they are. */
struct tensors {
    float *weight, *bias, *mean, *scale, *calibration;
};

static void tensors_deinit(struct tensors *t) {
    free(t->weight);
    free(t->bias);
    free(t->mean);
    free(t->scale);
    free(t->calibration);
}

static int read_tensors(const struct head *head, const struct safetensors *file, struct tensors *t,
                        struct error *reterr) {
    size_t n = head->features;
    size_t rows = head->card.category_count;
    t->weight = calloc(rows * n, sizeof(float));
    t->bias = calloc(rows, sizeof(float));
    t->mean = calloc(n, sizeof(float));
    t->scale = calloc(n, sizeof(float));
    t->calibration = calloc(rows * 2, sizeof(float));
    if (t->weight == NULL || t->bias == NULL || t->mean == NULL || t->scale == NULL ||
        t->calibration == NULL) {
        return error_errno(reterr, ENOMEM, "no memory for a head");
    }
    int rc = safetensors_f32(file, "weight", rows, n, t->weight, reterr);
    rc = rc != 0 ? rc : safetensors_f32(file, "bias", rows, 0, t->bias, reterr);
    rc = rc != 0 ? rc : safetensors_f32(file, "mean", n, 0, t->mean, reterr);
    rc = rc != 0 ? rc : safetensors_f32(file, "scale", n, 0, t->scale, reterr);
    return rc != 0 ? rc : safetensors_f32(file, "calibration", rows, 2, t->calibration, reterr);
}

static int fold(struct head *head, const struct tensors *t, struct error *reterr) {
    head->weight = calloc(head->features * head->count, sizeof *head->weight);
    if (head->weight == NULL) {
        return error_errno(reterr, ENOMEM, "no memory for a head");
    }
    for (size_t i = 0; i < head->features; i++) {
        if (!(t->scale[i] > 0.0f)) {
            return error_set(reterr, CLASSIFIER_E_INVALID, "tensor scale holds a value that is not positive");
        }
    }
    for (size_t c = 0; c < head->count; c++) {
        size_t row = head->rows[c];
        double bias = (double)t->bias[row];
        for (size_t i = 0; i < head->features; i++) {
            double weight = (double)t->weight[row * head->features + i] / (double)t->scale[i];
            head->weight[i * head->count + c] = weight;
            bias -= weight * (double)t->mean[i];
        }
        head->bias[c] = bias;
        head->slope[c] = (double)t->calibration[row * 2];
        head->shift[c] = (double)t->calibration[row * 2 + 1];
    }
    return 0;
}

static int read_heads(struct head *head, const struct classifier_env *env, const char *name,
                      char ret_hex[DIGEST_HEX_SIZE], struct error *reterr) {
    CLEANUP(free_ptr) uint8_t *bytes = NULL;
    CLEANUP(tensors_deinit) struct tensors tensors = {0};
    struct safetensors *file = NULL;
    size_t size = 0;
    int rc = data_file(env, name, "heads.safetensors", SAFETENSORS_MAX_BYTES, &bytes, &size, ret_hex, reterr);
    rc = rc != 0 ? rc : safetensors_open_memory(bytes, size, &file, reterr);
    rc = rc != 0 ? rc : read_tensors(head, file, &tensors, reterr);
    rc = rc != 0 ? rc : fold(head, &tensors, reterr);
    (void)safetensors_free(file);
    if (rc > 0) {
        (void)error_prefix(reterr, "%s/heads.safetensors: ", name);
    }
    return rc;
}

static void head_close(void *instance) {
    struct head *head = instance;
    if (head != NULL) {
        head->model = engine_model_unref(head->model);
        free(head->weight);
        free(head);
    }
}

static void head_cleanup(struct head **head) {
    head_close(*head);
}

static int head_open(const struct policy *policy, const struct policy_classifier *config,
                     const struct classifier_env *env, void **ret_instance, struct error *reterr) {
    CLEANUP(head_cleanup) struct head *head = calloc(1, sizeof *head);
    CLEANUP(free_ptr) uint8_t *card = NULL;
    char card_hex[DIGEST_HEX_SIZE];
    char heads_hex[DIGEST_HEX_SIZE];
    size_t size = 0;
    if (head == NULL) {
        return error_errno(reterr, ENOMEM, "no memory for a head");
    }
    head->most = env->max_windows;
    int rc = data_file(env, config->model, "card.json", CARD_MAX_BYTES, &card, &size, card_hex, reterr);
    rc = rc != 0 ? rc : card_read(card, size, &head->card, reterr);
    rc = rc != 0 ? rc : env->model(env->user, head->card.base_file, &head->model, reterr);
    rc = rc != 0 ? rc : check_base(head, reterr);
    rc = rc != 0 ? rc : choose_categories(head, policy, config, reterr);
    if (rc != 0) {
        return rc;
    }
    const struct engine_model_info *info = engine_model_info(head->model);
    head->hidden = info->hidden;
    head->bos = info->bos;
    head->features = (size_t)info->hidden * head->card.layer_count;
    rc = read_heads(head, env, config->model, heads_hex, reterr);
    if (rc != 0) {
        return rc;
    }
    (void)snprintf(head->provenance, sizeof head->provenance, "model=%s tokenizer=%s heads=%s card=%s",
                   info->digest, info->tokenizer_digest, heads_hex, card_hex);
    *ret_instance = steal(head);
    return 0;
}

/* ---- judging ---- */

struct state {
    struct text_windows windows;
    float *out; /* [windows][features] */
};

static int add_job(const struct head *head, struct classifier_task *task, size_t first, size_t count,
                   struct error *reterr) {
    const struct state *state = task->state;
    size_t layers = head->card.layer_count;
    struct engine_segment *segments = arena_new(task->arena, struct engine_segment, count + 1);
    struct engine_readout *readouts = arena_new(task->arena, struct engine_readout, count * layers);
    if (segments == NULL || readouts == NULL) {
        return error_errno(reterr, ENOMEM, "no memory for a job");
    }
    segments[0] = (struct engine_segment){.parent = -1, .count = 1, .tokens = &head->bos};
    for (size_t i = 0; i < count; i++) {
        const struct text_window *window = &state->windows.items[first + i];
        segments[i + 1] =
            (struct engine_segment){.parent = 0, .count = window->count, .tokens = window->tokens};
        for (size_t k = 0; k < layers; k++) {
            float *out = state->out + (first + i) * head->features + k * head->hidden;
            readouts[i * layers + k] = (struct engine_readout){.kind = ENGINE_READ_MEAN,
                                                               .segment = (uint32_t)i + 1,
                                                               .layer = head->card.layers[k],
                                                               .out = out};
        }
    }
    task->jobs[task->job_count++] = (struct engine_job){.kind = ENGINE_JOB_FOREST,
                                                        .model = head->model,
                                                        .segments = segments,
                                                        .segment_count = (uint32_t)count + 1,
                                                        .readouts = readouts,
                                                        .readout_count = (uint32_t)(count * layers)};
    return 0;
}

static int head_prepare(const void *instance, struct classifier_task *task, struct error *reterr) {
    const struct head *head = instance;
    struct state *state = arena_new(task->arena, struct state, 1);
    if (state == NULL) {
        return error_errno(reterr, ENOMEM, "no memory for a job");
    }
    task->state = state;
    const struct windows_options options = {
        .model = head->model, .size = head->card.window, .most = head->most};
    int rc = scores_begin(task, CONTENT_TEXT, head->categories, head->count, reterr);
    rc = rc != 0 ? rc : windows_cut(task, &options, &state->windows, reterr);
    size_t windows = state->windows.count;
    if (rc != 0 || windows == 0) {
        return rc;
    }
    state->out = arena_new(task->arena, float, windows * head->features);
    task->jobs = arena_new(task->arena, struct engine_job, windows / JOB_WINDOWS + 1);
    if (state->out == NULL || task->jobs == NULL) {
        return error_set(reterr, CLASSIFIER_E_TOO_LARGE,
                         "%zu windows are more than the memory of a request holds", windows);
    }
    for (size_t i = 0; i < windows * head->features; i++) {
        state->out[i] = NAN; /* what nobody writes is no score */
    }
    for (size_t first = 0; first < windows && rc == 0; first += JOB_WINDOWS) {
        rc =
            add_job(head, task, first, windows - first < JOB_WINDOWS ? windows - first : JOB_WINDOWS, reterr);
    }
    return rc;
}

static int head_interpret(const void *instance, struct classifier_task *task, struct error *reterr) {
    const struct head *head = instance;
    const struct state *state = task->state;
    int rc = jobs_check(task, reterr);
    for (size_t w = 0; w < state->windows.count && rc == 0; w++) {
        const struct text_window *window = &state->windows.items[w];
        const float *x = state->out + w * head->features;
        double raw[CARD_MAX_CATEGORIES];
        memcpy(raw, head->bias, head->count * sizeof raw[0]);
        for (size_t i = 0; i < head->features; i++) {
            const double *weight = head->weight + i * head->count;
            for (size_t c = 0; c < head->count; c++) {
                raw[c] += weight[c] * (double)x[i];
            }
        }
        for (size_t c = 0; c < head->count; c++) {
            int32_t ppm = 0;
            if (!isfinite(raw[c]) || ppm_from(sigmoid(head->slope[c] * raw[c] + head->shift[c]), &ppm) != 0) {
                return error_set(reterr, CLASSIFIER_E_NOT_FINITE,
                                 "head: the score of window %u is not finite", window->number);
            }
            score_take(scores_find(task, window->part, head->categories[c]), ppm, raw[c], window);
        }
    }
    return rc;
}

static const char *head_provenance(const void *instance) {
    return ((const struct head *)instance)->provenance;
}

const struct classifier_type head_classifier = {
    .name = "head",
    .kinds = 1u << CONTENT_TEXT,
    .open = head_open,
    .close = head_close,
    .prepare = head_prepare,
    .interpret = head_interpret,
    .provenance = head_provenance,
};
