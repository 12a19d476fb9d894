/* SPDX-License-Identifier: Apache-2.0
 *
 * use: lists. Words and patterns from list files, looked for in every view of a text. The best hit of a
 * category is its score; a category that a list may give gets a zero when nothing was hit.
 */
#include "classifiers/lists/lists.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/digest.h"
#include "classifiers/lists/patterns.h"
#include "classifiers/support.h"

struct lists {
    struct patterns *patterns;
    size_t list_count;
    size_t *score_of_list; /* which of the categories below a list gives */
    uint16_t categories[POLICY_MAX_CATEGORIES];
    size_t category_count;
    char provenance[80];
};

static void lists_close(void *instance) {
    struct lists *lists = instance;
    if (lists != NULL) {
        lists->patterns = patterns_free(lists->patterns);
        free(lists->score_of_list);
        free(lists);
    }
}

static void lists_cleanup(struct lists **lists) {
    lists_close(*lists);
}

/* Gives the list a place among the categories. False when the policy does not want its category. */
static int place_list(struct lists *lists, size_t index, const struct policy *policy,
                      const struct policy_list *list, struct error *reterr) {
    int category = policy_category(policy, list->category);
    if (category < 0) {
        return error_set(reterr, CLASSIFIER_E_INVALID, "list %s: the policy has no category %s", list->name,
                         list->category);
    }
    for (size_t i = 0; i < lists->category_count; i++) {
        if (lists->categories[i] == category) {
            lists->score_of_list[index] = i;
            return 0;
        }
    }
    lists->score_of_list[index] = lists->category_count;
    lists->categories[lists->category_count++] = (uint16_t)category;
    return 0;
}

static int describe(struct lists *lists, const struct policy_classifier *config, struct error *reterr) {
    CLEANUP(buf_deinit) struct buf all = {0};
    uint8_t digest[DIGEST_BYTES];
    char hex[DIGEST_HEX_SIZE];
    for (size_t i = 0; i < config->file_count; i++) {
        buf_string(&all, config->lists[i]->digest);
    }
    if (all.failed || digest_sha256(all.bytes, all.size, digest) != 0) {
        return error_errno(reterr, ENOMEM, "no memory for the lists");
    }
    hex_encode(digest, sizeof digest, hex);
    (void)snprintf(lists->provenance, sizeof lists->provenance, "lists=%s", hex);
    return 0;
}

static int lists_open(const struct policy *policy, const struct policy_classifier *config,
                      const struct classifier_env *env, void **ret_instance, struct error *reterr) {
    (void)env;
    CLEANUP(lists_cleanup) struct lists *lists = calloc(1, sizeof *lists);
    if (config->file_count == 0 || config->lists == NULL) {
        return error_set(reterr, CLASSIFIER_E_INVALID, "a classifier of lists needs at least one file");
    }
    if (lists == NULL || (lists->score_of_list = calloc(config->file_count, sizeof(size_t))) == NULL) {
        return error_errno(reterr, ENOMEM, "no memory for the lists");
    }
    lists->list_count = config->file_count;
    int rc = describe(lists, config, reterr);
    for (size_t i = 0; i < config->file_count && rc == 0; i++) {
        if (!category_wanted(config, config->lists[i]->category)) {
            rc = error_set(reterr, CLASSIFIER_E_INVALID,
                           "list %s gives %s, which is not among the categories asked for",
                           config->lists[i]->name, config->lists[i]->category);
        }
        rc = rc != 0 ? rc : place_list(lists, i, policy, config->lists[i], reterr);
    }
    rc = rc != 0 ? rc
                 : patterns_compile((const struct policy_list *const *)config->lists, config->files,
                                    config->file_count, &lists->patterns, reterr);
    if (rc != 0) {
        return rc > 0 ? CLASSIFIER_E_INVALID : rc;
    }
    *ret_instance = steal(lists);
    return 0;
}

/* ---- judging ---- */

struct best {
    const struct policy_list *list;
    const struct list_entry *entry;
    enum view_kind view;
    size_t from, to;
};

struct search {
    const struct lists *lists;
    enum view_kind view;
    struct best *best; /* one a category */
};

/* A total order, so that the result does not depend on the order in which matches are reported. */
static bool is_better(const struct pattern_hit *hit, enum view_kind view, const struct best *best) {
    if (best->entry == NULL || hit->entry->score_ppm != best->entry->score_ppm) {
        return best->entry == NULL || hit->entry->score_ppm > best->entry->score_ppm;
    }
    if (view != best->view) {
        return view < best->view;
    }
    if (hit->from != best->from) {
        return hit->from < best->from;
    }
    if (hit->to != best->to) {
        return hit->to > best->to;
    }
    int order = strcmp(hit->list->name, best->list->name);
    return order < 0 || (order == 0 && strcmp(hit->entry->id, best->entry->id) < 0);
}

static void on_hit(void *user, const struct pattern_hit *hit) {
    struct search *search = user;
    struct best *best = &search->best[search->lists->score_of_list[hit->list_index]];
    if (is_better(hit, search->view, best)) {
        *best = (struct best){hit->list, hit->entry, search->view, hit->from, hit->to};
    }
}

static void write_score(struct score *score, const struct best *best, const struct canonical_text *text) {
    score->ppm = best->entry->score_ppm;
    score_set_raw(score, (double)best->entry->score_ppm / SCORE_ONE);
    (void)snprintf(score->evidence, sizeof score->evidence, "list:%.25s#%.32s", best->list->name,
                   best->entry->id);
    view_span(text, view_of(text, best->view), best->from, best->to, &score->span_start, &score->span_end);
}

static void scratch_cleanup(struct patterns_scratch **scratch) {
    (void)patterns_scratch_free(*scratch);
}

static int lists_prepare(const void *instance, struct classifier_task *task, struct error *reterr) {
    const struct lists *lists = instance;
    struct best best[POLICY_MAX_CATEGORIES];
    CLEANUP(scratch_cleanup) struct patterns_scratch *scratch = patterns_scratch_new(lists->patterns);
    int rc = scores_begin(task, CONTENT_TEXT, lists->categories, lists->category_count, reterr);
    if (rc != 0 || scratch == NULL) {
        return rc != 0 ? rc : error_errno(reterr, ENOMEM, "no memory for scanning");
    }
    struct score *score = task->scores;
    for (size_t i = 0; i < task->input->part_count; i++) {
        if (!part_is_judged(&task->input->parts[i], CONTENT_TEXT)) {
            continue;
        }
        const struct canonical_text *text = &task->input->parts[i].content->text;
        struct search search = {.lists = lists, .best = best};
        memset(best, 0, sizeof best);
        for (int kind = VIEW_RAW; kind < VIEW_COUNT; kind++) {
            const struct text_view *view = view_of(text, (enum view_kind)kind);
            search.view = (enum view_kind)kind;
            if (view != NULL &&
                patterns_scan(lists->patterns, scratch, view->text, view->size, on_hit, &search) != 0) {
                return error_set(reterr, -EIO, "the lists could not be searched");
            }
        }
        for (size_t k = 0; k < lists->category_count; k++, score++) {
            if (best[k].entry != NULL) {
                write_score(score, &best[k], text);
            }
        }
    }
    return 0;
}

static int lists_interpret(const void *instance, struct classifier_task *task, struct error *reterr) {
    (void)instance;
    (void)task;
    (void)reterr;
    return 0;
}

static const char *lists_provenance(const void *instance) {
    return ((const struct lists *)instance)->provenance;
}

const struct classifier_type lists_classifier = {
    .name = "lists",
    .kinds = 1u << CONTENT_TEXT,
    .open = lists_open,
    .close = lists_close,
    .prepare = lists_prepare,
    .interpret = lists_interpret,
    .provenance = lists_provenance,
};
