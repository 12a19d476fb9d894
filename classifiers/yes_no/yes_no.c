/* SPDX-License-Identifier: Apache-2.0
 *
 * use: yes_no. A guard model is shown the content and one guideline and is asked whether the one violates the
 * other; what is read are the logits of Yes and No for its first word. The guideline comes after the content,
 * so that one tree does all of them with the content computed once:
 *
 *   opening (shared by all windows) → content window → one leaf a guideline, read at its last token
 *
 * The pieces of the template are encoded with control tokens, what people wrote without them, and only ids
 * are joined: no content can close its own field.
 */
#include "classifiers/yes_no/yes_no.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/digest.h"
#include "classifiers/support.h"
#include "classifiers/windows.h"
#include "classifiers/yes_no/template.h"

enum { WINDOW_TOKENS = 512, CONTEXT_TOKENS = 1024, JOB_WINDOWS = 48, ANSWER_COUNT = 2 };

struct ids {
    uint32_t *items;
    size_t count;
};

struct question {
    uint16_t category;
    struct ids leaf[TEMPLATE_USE_COUNT]; /* rule, guideline, question */
};

struct yes_no {
    struct engine_model *model;
    uint32_t most;
    uint32_t answers[ANSWER_COUNT]; /* Yes, No */
    struct ids opening[TEMPLATE_USE_COUNT];
    struct ids middle;
    struct question questions[POLICY_MAX_CATEGORIES];
    uint16_t categories[POLICY_MAX_CATEGORIES];
    size_t question_count;
    char provenance[256];
};

_Static_assert(1 + 1 + JOB_WINDOWS * (1 + POLICY_MAX_CATEGORIES) <= 4096, "a job has at most 4096 segments");

/* ---- opening ---- */

static int append_ids(const struct engine_model *model, const char *text, size_t size, unsigned flags,
                      struct ids *ids, struct error *reterr) {
    CLEANUP(free_ptr) uint32_t *tokens = NULL;
    size_t count = 0;
    int rc = engine_tokenize(model, text, size, flags, &tokens, NULL, &count, reterr);
    if (rc != 0) {
        return rc;
    }
    uint32_t *grown = reallocarray(ids->items, ids->count + count + 1, sizeof *grown);
    if (grown == NULL) {
        return error_errno(reterr, ENOMEM, "no memory for a template");
    }
    memcpy(grown + ids->count, tokens, count * sizeof *grown);
    ids->items = grown;
    ids->count += count;
    return 0;
}

static int append_piece(const struct engine_model *model, const char *text, unsigned flags, struct ids *ids,
                        struct error *reterr) {
    return append_ids(model, text, strlen(text), flags | ENGINE_TOKENIZE_CONTROL, ids, reterr);
}

static int append_field(const struct engine_model *model, const char *text, struct ids *ids,
                        struct error *reterr) {
    CLEANUP(buf_deinit) struct buf field = {0};
    buf_append(&field, " ", 1);
    buf_append(&field, text, strlen(text));
    return field.failed ? error_errno(reterr, ENOMEM, "no memory for a template")
                        : append_ids(model, (const char *)field.bytes, field.size, 0, ids, reterr);
}

static int add_question(struct yes_no *y, const struct policy *policy, const char *category,
                        const char *const text[TEMPLATE_USE_COUNT], struct buf *digested,
                        struct error *reterr) {
    int index = policy_category(policy, category);
    if (index < 0 || y->question_count == POLICY_MAX_CATEGORIES) {
        return error_set(reterr, CLASSIFIER_E_INVALID, "the policy has no category %s", category);
    }
    struct question *q = &y->questions[y->question_count];
    q->category = (uint16_t)index;
    y->categories[y->question_count++] = q->category;
    for (int use = 0; use < TEMPLATE_USE_COUNT; use++) {
        const struct template_text *t = &template_texts[use];
        int rc = append_piece(y->model, t->rule, 0, &q->leaf[use], reterr);
        rc = rc != 0 ? rc : append_field(y->model, text[use], &q->leaf[use], reterr);
        rc = rc != 0 ? rc : append_piece(y->model, t->question, 0, &q->leaf[use], reterr);
        if (rc != 0) {
            return rc;
        }
        buf_string(digested, t->rule);
        buf_string(digested, text[use]);
        buf_string(digested, t->question);
    }
    return 0;
}

/* The policy's own guidelines first; then the categories that it names and does not word itself; without
 * either, all that the template has a wording for. */
static int add_questions(struct yes_no *y, const struct policy *policy,
                         const struct policy_classifier *config, struct buf *digested, struct error *reterr) {
    size_t known = 0;
    const struct template_guideline *all = template_guidelines(&known);
    int rc = 0;
    for (size_t i = 0; i < config->guideline_count && rc == 0; i++) {
        const char *const text[] = {config->guidelines[i].text, config->guidelines[i].text};
        rc = add_question(y, policy, config->guidelines[i].category, text, digested, reterr);
    }
    for (size_t i = 0; i < config->category_count && rc == 0; i++) {
        const struct template_guideline *g = template_guideline_find(config->categories[i]);
        bool worded = false;
        for (size_t k = 0; k < config->guideline_count; k++) {
            worded = worded || strcmp(config->guidelines[k].category, config->categories[i]) == 0;
        }
        if (!worded && g == NULL) {
            return error_set(reterr, CLASSIFIER_E_INVALID,
                             "%s needs a guideline: the template has no wording for it",
                             config->categories[i]);
        }
        rc = worded ? 0 : add_question(y, policy, g->category, g->text, digested, reterr);
    }
    for (size_t i = 0; i < known && config->guideline_count + config->category_count == 0 && rc == 0; i++) {
        rc = add_question(y, policy, all[i].category, all[i].text, digested, reterr);
    }
    return rc;
}

static int take_vocabulary(struct yes_no *y, const char *name, struct error *reterr) {
    static const char *const answers[ANSWER_COUNT] = {"Yes", "No"};
    for (size_t i = 0; i < sizeof template_turn_tokens / sizeof template_turn_tokens[0]; i++) {
        if (engine_token_id(y->model, template_turn_tokens[i]) < 0) {
            return error_set(reterr, CLASSIFIER_E_INVALID,
                             "model %s has no token %s: it is not a model of this template", name,
                             template_turn_tokens[i]);
        }
    }
    for (size_t i = 0; i < ANSWER_COUNT; i++) {
        int64_t id = engine_token_id(y->model, answers[i]);
        if (id < 0) {
            return error_set(reterr, CLASSIFIER_E_INVALID, "model %s has no token %s", name, answers[i]);
        }
        y->answers[i] = (uint32_t)id;
    }
    return 0;
}

static int take_templates(struct yes_no *y, struct buf *digested, struct error *reterr) {
    for (int use = 0; use < TEMPLATE_USE_COUNT; use++) {
        int rc = append_piece(y->model, template_texts[use].opening, ENGINE_TOKENIZE_BOS, &y->opening[use],
                              reterr);
        if (rc != 0) {
            return rc;
        }
        buf_string(digested, template_texts[use].opening);
    }
    buf_string(digested, template_texts[TEMPLATE_RESPONSE].middle);
    return append_piece(y->model, template_texts[TEMPLATE_RESPONSE].middle, 0, &y->middle, reterr);
}

static void yes_no_close(void *instance) {
    struct yes_no *y = instance;
    if (y != NULL) {
        for (int use = 0; use < TEMPLATE_USE_COUNT; use++) {
            free(y->opening[use].items);
            for (size_t i = 0; i < y->question_count; i++) {
                free(y->questions[i].leaf[use].items);
            }
        }
        free(y->middle.items);
        y->model = engine_model_unref(y->model);
        free(y);
    }
}

static void yes_no_cleanup(struct yes_no **y) {
    yes_no_close(*y);
}

static int yes_no_open(const struct policy *policy, const struct policy_classifier *config,
                       const struct classifier_env *env, void **ret_instance, struct error *reterr) {
    CLEANUP(yes_no_cleanup) struct yes_no *y = calloc(1, sizeof *y);
    CLEANUP(buf_deinit) struct buf digested = {0};
    uint8_t digest[DIGEST_BYTES];
    char hex[DIGEST_HEX_SIZE];
    if (y == NULL) {
        return error_errno(reterr, ENOMEM, "no memory for yes_no");
    }
    y->most = env->max_windows;
    int rc = env->model(env->user, config->model, &y->model, reterr);
    if (rc != 0) {
        return rc;
    }
    const struct engine_model_info *info = engine_model_info(y->model);
    if (info->kind != ENGINE_MODEL_TEXT || info->embeds) {
        return error_set(reterr, CLASSIFIER_E_INVALID, "model %s does not read text from left to right",
                         config->model);
    }
    rc = take_vocabulary(y, config->model, reterr);
    rc = rc != 0 ? rc : take_templates(y, &digested, reterr);
    rc = rc != 0 ? rc : add_questions(y, policy, config, &digested, reterr);
    if (rc != 0) {
        return rc;
    }
    if (digested.failed || digest_sha256(digested.bytes, digested.size, digest) != 0) {
        return error_errno(reterr, ENOMEM, "no memory for yes_no");
    }
    hex_encode(digest, sizeof digest, hex);
    (void)snprintf(y->provenance, sizeof y->provenance, "model=%s tokenizer=%s template=%s", info->digest,
                   info->tokenizer_digest, hex);
    *ret_instance = steal(y);
    return 0;
}

/* ---- prepare ---- */

/* The forest of some windows; a request with very many has several. */
struct forest {
    struct engine_segment *segments;
    struct engine_readout *readouts;
    uint32_t segment_count, readout_count;
};

struct state {
    struct text_windows windows;
    float *out; /* [windows][questions][ANSWER_COUNT] */
};

static uint32_t add_segment(struct forest *forest, int32_t parent, const uint32_t *tokens, size_t count) {
    forest->segments[forest->segment_count] =
        (struct engine_segment){.parent = parent, .count = (uint32_t)count, .tokens = tokens};
    return forest->segment_count++;
}

/* The last thing that a user said, when an answer to it is judged; tokens without BOS, from the arena. What
 * is longer than the window for context loses its beginning. */
static int context_ids(const struct yes_no *y, struct classifier_task *task, struct ids *ret,
                       struct error *reterr) {
    const struct canonical_text *said = context_of(task->input);
    *ret = (struct ids){0};
    if (said == NULL) {
        return 0;
    }
    CLEANUP(free_ptr) uint32_t *tokens = NULL;
    CLEANUP(buf_deinit) struct buf field = {0};
    size_t from = 0;
    size_t to = said->raw.size;
    size_t count = 0;
    while (from < to && strchr(" \t\r\n", said->raw.text[from]) != NULL && said->raw.text[from] != '\0') {
        from++;
    }
    while (to > from && strchr(" \t\r\n", said->raw.text[to - 1]) != NULL && said->raw.text[to - 1] != '\0') {
        to--;
    }
    buf_append(&field, " ", 1);
    buf_append(&field, said->raw.text + from, to - from);
    if (field.failed) {
        return error_errno(reterr, ENOMEM, "no memory for the context");
    }
    int rc =
        engine_tokenize(y->model, (const char *)field.bytes, field.size, 0, &tokens, NULL, &count, reterr);
    if (rc != 0) {
        return rc;
    }
    size_t kept = count < CONTEXT_TOKENS ? count : CONTEXT_TOKENS;
    uint32_t *items = arena_new(task->arena, uint32_t, kept + y->middle.count);
    if (items == NULL) {
        return error_errno(reterr, ENOMEM, "no memory for the context");
    }
    memcpy(items, tokens + (count - kept), kept * sizeof *items);
    memcpy(items + kept, y->middle.items, y->middle.count * sizeof *items);
    *ret = (struct ids){items, kept + y->middle.count};
    return 0;
}

static void add_window(const struct yes_no *y, struct forest *forest, int32_t root,
                       const struct text_window *window, enum template_use use, float *out) {
    uint32_t content = add_segment(forest, root, window->tokens, window->count);
    for (size_t q = 0; q < y->question_count; q++, out += ANSWER_COUNT) {
        const struct ids *leaf = &y->questions[q].leaf[use];
        uint32_t segment = add_segment(forest, (int32_t)content, leaf->items, leaf->count);
        out[0] = out[1] = NAN;
        forest->readouts[forest->readout_count++] =
            (struct engine_readout){.kind = ENGINE_READ_LOGITS,
                                    .segment = segment,
                                    .position = (uint32_t)leaf->count - 1,
                                    .ids = y->answers,
                                    .id_count = ANSWER_COUNT,
                                    .out = out};
    }
}

static int add_job(const struct yes_no *y, struct classifier_task *task, const struct ids *context,
                   size_t first, size_t count, struct error *reterr) {
    const struct state *state = task->state;
    enum template_use use = context->count > 0 ? TEMPLATE_RESPONSE : TEMPLATE_PROMPT;
    struct forest forest = {
        .segments = arena_new(task->arena, struct engine_segment, 2 + count * (1 + y->question_count)),
        .readouts = arena_new(task->arena, struct engine_readout, count * y->question_count)};
    if (forest.segments == NULL || forest.readouts == NULL) {
        return error_errno(reterr, ENOMEM, "no memory for a job");
    }
    int32_t root = (int32_t)add_segment(&forest, -1, y->opening[use].items, y->opening[use].count);
    if (context->count > 0) {
        root = (int32_t)add_segment(&forest, root, context->items, context->count);
    }
    for (size_t i = first; i < first + count; i++) {
        add_window(y, &forest, root, &state->windows.items[i], use,
                   state->out + i * y->question_count * ANSWER_COUNT);
    }
    task->jobs[task->job_count++] = (struct engine_job){.kind = ENGINE_JOB_FOREST,
                                                        .model = y->model,
                                                        .segments = forest.segments,
                                                        .segment_count = forest.segment_count,
                                                        .readouts = forest.readouts,
                                                        .readout_count = forest.readout_count};
    return 0;
}

static int yes_no_prepare(const void *instance, struct classifier_task *task, struct error *reterr) {
    const struct yes_no *y = instance;
    struct ids context = {0};
    struct state *state = arena_new(task->arena, struct state, 1);
    if (state == NULL) {
        return error_errno(reterr, ENOMEM, "no memory for a job");
    }
    task->state = state;
    const struct windows_options options = {
        .model = y->model, .size = WINDOW_TOKENS, .most = y->most, .as_field = true};
    int rc = scores_begin(task, CONTENT_TEXT, y->categories, y->question_count, reterr);
    rc = rc != 0 ? rc : windows_cut(task, &options, &state->windows, reterr);
    rc = rc != 0 ? rc : context_ids(y, task, &context, reterr);
    size_t windows = state->windows.count;
    if (rc != 0 || windows == 0) {
        return rc;
    }
    state->out = arena_new(task->arena, float, windows * y->question_count * ANSWER_COUNT);
    task->jobs = arena_new(task->arena, struct engine_job, windows / JOB_WINDOWS + 1);
    if (state->out == NULL || task->jobs == NULL) {
        return error_set(reterr, CLASSIFIER_E_TOO_LARGE,
                         "%zu windows are more than the memory of a request holds", windows);
    }
    for (size_t first = 0; first < windows && rc == 0; first += JOB_WINDOWS) {
        rc = add_job(y, task, &context, first, windows - first < JOB_WINDOWS ? windows - first : JOB_WINDOWS,
                     reterr);
    }
    return rc;
}

/* ---- interpret ---- */

static int yes_no_interpret(const void *instance, struct classifier_task *task, struct error *reterr) {
    const struct yes_no *y = instance;
    const struct state *state = task->state;
    int rc = jobs_check(task, reterr);
    if (rc != 0) {
        return rc;
    }
    for (size_t i = 0; i < state->windows.count; i++) {
        const struct text_window *window = &state->windows.items[i];
        const float *out = state->out + i * y->question_count * ANSWER_COUNT;
        for (size_t q = 0; q < y->question_count; q++, out += ANSWER_COUNT) {
            double raw = (double)out[0] - (double)out[1];
            int32_t ppm = 0;
            if (!isfinite(raw) || ppm_from(sigmoid(raw), &ppm) != 0) {
                return error_set(reterr, CLASSIFIER_E_NOT_FINITE, "yes_no: a logit is not finite");
            }
            struct score *score = scores_find(task, window->part, y->questions[q].category);
            score_take(score, ppm, raw, window);
        }
    }
    return 0;
}

static const char *yes_no_provenance(const void *instance) {
    return ((const struct yes_no *)instance)->provenance;
}

const struct classifier_type yes_no_classifier = {
    .name = "yes_no",
    .kinds = 1u << CONTENT_TEXT,
    .open = yes_no_open,
    .close = yes_no_close,
    .prepare = yes_no_prepare,
    .interpret = yes_no_interpret,
    .provenance = yes_no_provenance,
};
