/* SPDX-License-Identifier: Apache-2.0
 *
 * use: head. A base model, with or without an adapter, reads the text once; the mean of its hidden states at
 * a few layers goes through one linear head a category (weights.h), beside the words and characters of the
 * text (ngrams.h). Every category costs the same single pass:
 *
 *   BOS → what a reply answers → content window, read at each layer of the card → raw → score
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
#include "classifiers/head/ngrams.h"
#include "classifiers/head/weights.h"
#include "classifiers/support.h"
#include "classifiers/windows.h"

enum { JOB_CHUNKS = 2048 };

struct piece {
    uint32_t *tokens;
    size_t count;
};

struct head {
    struct engine_model *model;
    struct card card;
    uint32_t hidden;
    uint32_t most;
    uint32_t bos;
    struct piece before, after; /* of the card's context */

    /* The categories that are scored, and the card's rows for them. */
    uint16_t categories[CARD_MAX_CATEGORIES];
    size_t rows[CARD_MAX_CATEGORIES];
    struct head_weights weights;
    char provenance[512];
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
    if (info->kind != ENGINE_MODEL_TEXT || info->embeds) {
        return error_set(reterr, CLASSIFIER_E_INVALID, "model %s does not read text from left to right",
                         head->card.base_file);
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
            head->rows[head->weights.count] = i;
            head->categories[head->weights.count++] = (uint16_t)category;
        }
    }
    for (size_t k = 0; k < config->category_count; k++) {
        bool found = false;
        for (size_t i = 0; i < head->weights.count; i++) {
            found = found || strcmp(head->card.categories[head->rows[i]], config->categories[k]) == 0;
        }
        if (!found) {
            return error_set(reterr, CLASSIFIER_E_INVALID, "model %s has no head for %s", config->model,
                             config->categories[k]);
        }
    }
    return head->weights.count > 0
               ? 0
               : error_set(reterr, CLASSIFIER_E_INVALID,
                           "model %s has no head for any category of the policy", config->model);
}

static int read_heads(struct head *head, const struct classifier_env *env, const char *name,
                      char ret_hex[DIGEST_HEX_SIZE], struct error *reterr) {
    CLEANUP(free_ptr) uint8_t *bytes = NULL;
    size_t size = 0;
    size_t features = (size_t)head->hidden * head->card.layer_count;
    int rc = data_file(env, name, "heads.safetensors", HEAD_MAX_BYTES, &bytes, &size, ret_hex, reterr);
    if (rc != 0) {
        return rc;
    }
    rc = head_weights_read(bytes, size, &head->card, features, head->rows, head->weights.count,
                           &head->weights, reterr);
    if (rc > 0) {
        (void)error_prefix(reterr, "%s/heads.safetensors: ", name);
    }
    return rc;
}

/* The base model, with the card's adapter on top where it has one. */
static int open_model(struct head *head, const struct classifier_env *env, const char *name,
                      struct error *reterr) {
    const struct card *card = &head->card;
    char wanted[320];
    char path[4096];
    int rc = env->model(env->user, card->base_file, &head->model, reterr);
    rc = rc != 0 ? rc : check_base(head, reterr);
    if (rc != 0 || card->adapter_file[0] == '\0') {
        return rc;
    }
    struct engine_model *base = head->model;
    head->model = NULL;
    (void)snprintf(wanted, sizeof wanted, "%s/%s", name, card->adapter_file);
    rc = env->data_path(env->user, wanted, path, sizeof path, reterr);
    rc = rc != 0 ? rc : env->adapter(env->user, base, path, &head->model, reterr);
    (void)engine_model_unref(base);
    if (rc != 0) {
        return rc;
    }
    const char *digest = engine_model_info(head->model)->adapter_digest;
    return strcmp(digest, card->adapter_sha256) == 0
               ? 0
               : error_set(reterr, CLASSIFIER_E_INVALID,
                           "%s is not the adapter that the head was fitted with (sha256 %s, the card has %s)",
                           wanted, digest, card->adapter_sha256);
}

static int context_piece(const struct head *head, const char *text, struct piece *ret, struct error *reterr) {
    return engine_tokenize(head->model, text, strlen(text), 0, &ret->tokens, NULL, &ret->count, reterr);
}

static void head_close(void *instance) {
    struct head *head = instance;
    if (head != NULL) {
        head->model = engine_model_unref(head->model);
        head_weights_deinit(&head->weights);
        free(head->before.tokens);
        free(head->after.tokens);
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
    rc = rc != 0 ? rc : open_model(head, env, config->model, reterr);
    rc = rc != 0 ? rc : choose_categories(head, policy, config, reterr);
    if (rc != 0) {
        return rc;
    }
    const struct engine_model_info *info = engine_model_info(head->model);
    head->hidden = info->hidden;
    head->bos = info->bos;
    rc = read_heads(head, env, config->model, heads_hex, reterr);
    if (rc == 0 && head->card.context_tokens > 0) {
        rc = context_piece(head, head->card.context_before, &head->before, reterr);
        rc = rc != 0 ? rc : context_piece(head, head->card.context_after, &head->after, reterr);
    }
    if (rc != 0) {
        return rc;
    }
    bool adapted = info->adapter_digest[0] != '\0';
    (void)snprintf(head->provenance, sizeof head->provenance, "model=%s tokenizer=%s%s%s heads=%s card=%s",
                   info->digest, info->tokenizer_digest, adapted ? " adapter=" : "", info->adapter_digest,
                   heads_hex, card_hex);
    *ret_instance = steal(head);
    return 0;
}

/* ---- judging ---- */

/* What gets scores of its own: a window, or a stretch of one. */
struct stretch {
    struct text_window window;
    size_t first_chunk, chunk_count;
    struct head_ngrams ngrams;
};

/* Consecutive tokens of a window that are averaged together; the segments of the forest. */
struct chunk {
    const uint32_t *tokens;
    uint32_t count;
    bool first; /* of its window */
};

struct state {
    struct text_windows windows;
    struct chunk *chunks;
    size_t chunk_count;
    struct stretch *stretches;
    size_t stretch_count;
    float *out; /* [chunks, features] */
};

/* What stands before a reply: before, the last tokens of the prompt, after. Nothing for other text. */
static int show_context(const struct head *head, struct classifier_task *task, struct piece *ret,
                        struct error *reterr) {
    const struct canonical_text *said = context_of(task->input);
    CLEANUP(free_ptr) uint32_t *tokens = NULL;
    size_t count = 0;
    *ret = (struct piece){0};
    if (said == NULL || head->card.context_tokens == 0) {
        return 0;
    }
    int rc = engine_tokenize(head->model, said->raw.text, said->raw.size, 0, &tokens, NULL, &count, reterr);
    if (rc != 0) {
        return rc;
    }
    size_t kept = count < head->card.context_tokens ? count : head->card.context_tokens;
    uint32_t *items = arena_new(task->arena, uint32_t, head->before.count + kept + head->after.count);
    if (items == NULL) {
        return error_errno(reterr, ENOMEM, "no memory for the context");
    }
    ret->tokens = items;
    ret->count = head->before.count + kept + head->after.count;
    memcpy(items, head->before.tokens, head->before.count * sizeof *items);
    memcpy(items + head->before.count, tokens + (count - kept), kept * sizeof *items);
    memcpy(items + head->before.count + kept, head->after.tokens, head->after.count * sizeof *items);
    return 0;
}

static uint32_t chunk_tokens(const struct head *head) {
    return head->card.span_stride > 0 ? head->card.span_stride : head->card.window;
}

static size_t chunks_of(const struct head *head, const struct text_window *window) {
    return (window->count + chunk_tokens(head) - 1) / chunk_tokens(head);
}

static void add_stretch(const struct head *head, struct state *state, const struct text_window *window,
                        size_t first_chunk, size_t chunk_count, struct ngram_marks *marks) {
    struct stretch *s = &state->stretches[state->stretch_count++];
    *s = (struct stretch){.window = *window, .first_chunk = first_chunk, .chunk_count = chunk_count};
    if (head->weights.table != NULL) {
        s->ngrams.buckets = ngrams_sum(window->text, window->text_size, head->weights.table,
                                       head->weights.count, marks, s->ngrams.sums);
    }
}

/* A window's chunks, and what is judged of it: all, and when it is longer than a span, each span. */
static void add_window(const struct head *head, struct classifier_task *task,
                       const struct text_window *window, struct ngram_marks *marks) {
    struct state *state = task->state;
    uint32_t size = chunk_tokens(head);
    size_t first = state->chunk_count;
    size_t count = chunks_of(head, window);
    size_t span = head->card.span_tokens / size;
    for (size_t i = 0; i < count; i++) {
        uint32_t at = (uint32_t)i * size;
        uint32_t left = window->count - at;
        state->chunks[state->chunk_count++] = (struct chunk){
            .tokens = window->tokens + at, .count = left < size ? left : size, .first = i == 0};
    }
    add_stretch(head, state, window, first, count, marks);
    for (size_t i = 0; head->card.span_tokens > 0 && count > span && i + span <= count; i++) {
        uint32_t at = (uint32_t)i * size;
        uint32_t left = window->count - at;
        struct text_window part =
            window_stretch(task, window, at, left < head->card.span_tokens ? left : head->card.span_tokens);
        add_stretch(head, state, &part, first + i, span, marks);
    }
}

static int add_windows(const struct head *head, struct classifier_task *task, struct error *reterr) {
    struct state *state = task->state;
    CLEANUP(free_ptr) struct ngram_marks *marks = malloc(sizeof *marks);
    size_t chunks = 0;
    for (size_t i = 0; i < state->windows.count; i++) {
        chunks += chunks_of(head, &state->windows.items[i]);
    }
    state->chunks = arena_new(task->arena, struct chunk, chunks);
    state->stretches = arena_new(task->arena, struct stretch, chunks + state->windows.count);
    state->out = arena_new(task->arena, float, chunks * head->weights.features);
    task->jobs = arena_new(task->arena, struct engine_job, chunks / JOB_CHUNKS + 1);
    if (marks == NULL || state->chunks == NULL || state->stretches == NULL || state->out == NULL ||
        task->jobs == NULL) {
        return error_set(reterr, CLASSIFIER_E_TOO_LARGE,
                         "%zu windows are more than the memory of a request holds", state->windows.count);
    }
    for (size_t i = 0; i < state->windows.count; i++) {
        add_window(head, task, &state->windows.items[i], marks);
    }
    for (size_t i = 0; i < chunks * head->weights.features; i++) {
        state->out[i] = NAN; /* what nobody writes is no score */
    }
    return 0;
}

/* A job for the chunks [first, first + count), whose first one begins a window: windows hang side by side
 * under BOS (and context), the chunks of one behind each other. */
static int add_job(const struct head *head, struct classifier_task *task, const struct piece *context,
                   size_t first, size_t count, struct error *reterr) {
    const struct state *state = task->state;
    size_t layers = head->card.layer_count;
    uint32_t roots = context->count > 0 ? 2 : 1;
    struct engine_segment *segments = arena_new(task->arena, struct engine_segment, count + roots);
    struct engine_readout *readouts = arena_new(task->arena, struct engine_readout, count * layers);
    if (segments == NULL || readouts == NULL) {
        return error_errno(reterr, ENOMEM, "no memory for a job");
    }
    segments[0] = (struct engine_segment){.parent = -1, .count = 1, .tokens = &head->bos};
    if (context->count > 0) {
        segments[1] = (struct engine_segment){
            .parent = 0, .count = (uint32_t)context->count, .tokens = context->tokens};
    }
    for (size_t i = 0; i < count; i++) {
        const struct chunk *chunk = &state->chunks[first + i];
        uint32_t segment = roots + (uint32_t)i;
        segments[segment] =
            (struct engine_segment){.parent = chunk->first ? (int32_t)roots - 1 : (int32_t)segment - 1,
                                    .count = chunk->count,
                                    .tokens = chunk->tokens};
        for (size_t k = 0; k < layers; k++) {
            float *out = state->out + (first + i) * head->weights.features + k * head->hidden;
            readouts[i * layers + k] = (struct engine_readout){
                .kind = ENGINE_READ_MEAN, .segment = segment, .layer = head->card.layers[k], .out = out};
        }
    }
    task->jobs[task->job_count++] = (struct engine_job){.kind = ENGINE_JOB_FOREST,
                                                        .model = head->model,
                                                        .segments = segments,
                                                        .segment_count = (uint32_t)count + roots,
                                                        .readouts = readouts,
                                                        .readout_count = (uint32_t)(count * layers)};
    return 0;
}

/* How many chunks from `first` on fill a job with whole windows. */
static size_t job_chunks(const struct state *state, size_t first) {
    size_t end = first + 1;
    size_t whole = end;
    while (end < state->chunk_count && (end - first < JOB_CHUNKS || whole == first + 1)) {
        whole = state->chunks[end].first ? end : whole;
        end++;
    }
    return (end == state->chunk_count ? end : whole) - first;
}

static int head_prepare(const void *instance, struct classifier_task *task, struct error *reterr) {
    const struct head *head = instance;
    struct piece context = {0};
    struct state *state = arena_new(task->arena, struct state, 1);
    if (state == NULL) {
        return error_errno(reterr, ENOMEM, "no memory for a job");
    }
    task->state = state;
    const struct windows_options options = {
        .model = head->model, .size = head->card.window, .most = head->most};
    int rc = scores_begin(task, CONTENT_TEXT, head->categories, head->weights.count, reterr);
    rc = rc != 0 ? rc : windows_cut(task, &options, &state->windows, reterr);
    if (rc != 0 || state->windows.count == 0) {
        return rc;
    }
    rc = add_windows(head, task, reterr);
    rc = rc != 0 ? rc : show_context(head, task, &context, reterr);
    for (size_t first = 0; first < state->chunk_count && rc == 0;) {
        size_t count = job_chunks(state, first);
        rc = add_job(head, task, &context, first, count, reterr);
        first += count;
    }
    return rc;
}

/* x [features]: the mean over all tokens of the stretch. */
static void average(const struct head *head, const struct state *state, const struct stretch *s, float *x) {
    size_t features = head->weights.features;
    for (size_t f = 0; f < features; f++) {
        double sum = 0.0;
        double tokens = 0.0;
        for (size_t i = s->first_chunk; i < s->first_chunk + s->chunk_count; i++) {
            sum += (double)state->out[i * features + f] * state->chunks[i].count;
            tokens += state->chunks[i].count;
        }
        x[f] = (float)(sum / tokens);
    }
}

static int head_interpret(const void *instance, struct classifier_task *task, struct error *reterr) {
    const struct head *head = instance;
    const struct head_weights *weights = &head->weights;
    const struct state *state = task->state;
    float *x = arena_new(task->arena, float, weights->features);
    int rc = jobs_check(task, reterr);
    if (x == NULL) {
        return error_errno(reterr, ENOMEM, "no memory for a score");
    }
    for (size_t i = 0; i < state->stretch_count && rc == 0; i++) {
        const struct stretch *s = &state->stretches[i];
        double raw[CARD_MAX_CATEGORIES];
        average(head, state, s, x);
        head_weights_apply(weights, x, &s->ngrams, raw);
        for (size_t c = 0; c < weights->count; c++) {
            int32_t ppm = 0;
            double logit = weights->slope[c] * raw[c] + weights->shift[c];
            if (!isfinite(raw[c]) || ppm_from(sigmoid(logit), &ppm) != 0) {
                return error_set(reterr, CLASSIFIER_E_NOT_FINITE,
                                 "head: the score of window %u is not finite", s->window.number);
            }
            score_take(scores_find(task, s->window.part, head->categories[c]), ppm, raw[c], &s->window);
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
