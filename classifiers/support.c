/* SPDX-License-Identifier: Apache-2.0 */
#include "classifiers/support.h"

#include <errno.h>
#include <math.h>
#include <string.h>

const char *view_name(enum view_kind kind) {
    static const char *const names[VIEW_COUNT] = {"raw", "clean", "hidden", "folded"};
    return names[kind];
}

const struct text_view *view_of(const struct canonical_text *text, enum view_kind kind) {
    const struct text_view *const views[VIEW_COUNT] = {&text->raw, &text->clean, &text->hidden,
                                                       &text->folded};
    return views[kind]->text == NULL || views[kind]->size == 0 ? NULL : views[kind];
}

static bool is_continuation(char byte) {
    return ((unsigned char)byte & 0xc0u) == 0x80u;
}

void view_span(const struct canonical_text *text, const struct text_view *view, size_t from, size_t to,
               uint32_t *ret_start, uint32_t *ret_end) {
    const struct text_view *raw = &text->raw;
    size_t start = view->map == NULL ? from : view->map[from];
    size_t end = view->map == NULL ? to : view->map[to];
    if (to > from && view->map != NULL && end == start) {
        end = start + 1; /* several bytes of the view came from one character */
    }
    end = end < raw->size ? end : raw->size;
    start = start < end ? start : end;
    while (start > 0 && start < raw->size && is_continuation(raw->text[start])) {
        start--;
    }
    while (end < raw->size && is_continuation(raw->text[end])) {
        end++;
    }
    *ret_start = (uint32_t)start;
    *ret_end = (uint32_t)end;
}

bool part_is_judged(const struct classifier_part *part, enum content_kind kind) {
    return part->judge && part->content->kind == kind;
}

int scores_begin(struct classifier_task *task, enum content_kind kind, const uint16_t categories[],
                 size_t count, struct error *reterr) {
    const struct classifier_input *input = task->input;
    size_t parts = 0;
    for (size_t i = 0; i < input->part_count; i++) {
        parts += part_is_judged(&input->parts[i], kind);
    }
    task->score_count = 0;
    task->scores = arena_new(task->arena, struct score, parts * count > 0 ? parts * count : 1);
    if (task->scores == NULL) {
        return error_errno(reterr, ENOMEM, "no memory for the scores");
    }
    for (size_t i = 0; i < input->part_count; i++) {
        for (size_t k = 0; k < count && part_is_judged(&input->parts[i], kind); k++) {
            task->scores[task->score_count++] = (struct score){.category = categories[k],
                                                               .part = (uint16_t)i,
                                                               .classifier = task->classifier_index,
                                                               .state = SCORE_EXECUTED};
        }
    }
    return 0;
}

int coverage_begin(struct classifier_task *task, struct error *reterr) {
    const struct classifier_input *input = task->input;
    task->coverage =
        arena_new(task->arena, struct classifier_coverage, input->part_count > 0 ? input->part_count : 1);
    if (task->coverage == NULL) {
        return error_errno(reterr, ENOMEM, "no memory for the coverage");
    }
    for (size_t i = 0; i < input->part_count; i++) {
        task->coverage[i].bytes_judged = input->parts[i].content->bytes;
    }
    return 0;
}

const struct canonical_text *context_of(const struct classifier_input *input) {
    const struct canonical_text *said = NULL;
    for (size_t i = 0; i < input->part_count && input->scope == SCOPE_RESPONSE; i++) {
        const struct classifier_part *part = &input->parts[i];
        if (!part->judge && part->role == ROLE_USER && part->content->kind == CONTENT_TEXT) {
            said = &part->content->text;
        }
    }
    return said;
}

bool category_wanted(const struct policy_classifier *config, const char *id) {
    for (size_t i = 0; i < config->category_count; i++) {
        if (strcmp(config->categories[i], id) == 0) {
            return true;
        }
    }
    return config->category_count == 0;
}

int ppm_from(double probability, int32_t *ret_ppm) {
    if (!(probability >= 0.0 && probability <= 1.0)) {
        return CLASSIFIER_E_NOT_FINITE;
    }
    *ret_ppm = (int32_t)(probability * SCORE_ONE + 0.5);
    return 0;
}

double sigmoid(double x) {
    return 1.0 / (1.0 + exp(-x));
}

void score_set_raw(struct score *score, double raw) {
    memcpy(&score->raw_bits, &raw, sizeof raw);
    score->has_raw = true;
}

int jobs_check(const struct classifier_task *task, struct error *reterr) {
    for (size_t i = 0; i < task->job_count; i++) {
        const struct engine_job *job = &task->jobs[i];
        if (job->status == ENGINE_E_NOT_FINITE) {
            return error_set(reterr, CLASSIFIER_E_NOT_FINITE, "%s", job->error.text);
        }
        if (job->status != 0) {
            return error_set(reterr, -EIO, "a job of the engine failed: %s", job->error.text);
        }
    }
    return 0;
}
