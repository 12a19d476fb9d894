/* SPDX-License-Identifier: Apache-2.0
 *
 * A policy, an environment and content, as the daemon would hand them to a classifier. Private to these
 * tests.
 */
#ifndef BUCKLER_TESTS_UNIT_CLASSIFIERS_FIXTURE_H
#define BUCKLER_TESTS_UNIT_CLASSIFIERS_FIXTURE_H

/* cmocka wants these first */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "classifiers/classifier.h"

enum { FIXTURE_MAX_PARTS = 4 };

struct fixture {
    struct engine *engine;
    struct policy *policy;
    struct policy_classifier *config; /* the policy's first */
    struct classifier_env env;
    char models[512], data[512]; /* folders that names are looked up in */
    void *instance;
    const struct classifier_type *type;

    struct arena arena;
    struct canonical_part contents[FIXTURE_MAX_PARTS];
    struct classifier_part parts[FIXTURE_MAX_PARTS];
    struct classifier_input input;
    struct classifier_task task;
};

static inline int fixture_model(void *user, const char *name, struct engine_model **ret,
                                struct error *reterr) {
    struct fixture *f = user;
    char path[1024];
    (void)snprintf(path, sizeof path, "%s/%s", f->models, name);
    return engine_model_open(f->engine, path, ret, reterr);
}

static inline int fixture_adapter(void *user, struct engine_model *base, const char *path,
                                  struct engine_model **ret, struct error *reterr) {
    struct fixture *f = user;
    return engine_adapter_open(f->engine, base, path, ret, reterr);
}

static inline int fixture_data(void *user, const char *name, char *out, size_t out_size,
                               struct error *reterr) {
    struct fixture *f = user;
    (void)reterr;
    return snprintf(out, out_size, "%s/%s", f->data, name) < (int)out_size ? 0 : -ENAMETOOLONG;
}

static inline void fixture_init(struct fixture *f, const char *use, const struct engine_options *options) {
    struct error error = {0};
    *f = (struct fixture){.models = "/models", .data = "/data"};
    if (engine_open(options, &f->engine, &error) != 0) {
        fail_msg("%s", error.text);
    }
    f->policy = calloc(1, sizeof *f->policy);
    assert_non_null(f->policy);
    f->policy->category_count = POLICY_BUILTIN_CATEGORY_COUNT;
    for (size_t i = 0; i < POLICY_BUILTIN_CATEGORY_COUNT; i++) {
        (void)snprintf(f->policy->categories[i], POLICY_NAME_SIZE, "%s", policy_builtin_categories[i]);
    }
    f->policy->classifier_count = 1;
    f->config = &f->policy->classifiers[0];
    (void)snprintf(f->config->id, sizeof f->config->id, "it");
    (void)snprintf(f->config->use, sizeof f->config->use, "%s", use);
    f->type = classifier_find(use);
    assert_non_null(f->type);
    f->env = (struct classifier_env){.engine = f->engine,
                                     .model = fixture_model,
                                     .adapter = fixture_adapter,
                                     .data_path = fixture_data,
                                     .user = f,
                                     .max_windows = 64};
    f->input = (struct classifier_input){.scope = SCOPE_PROMPT, .parts = f->parts};
    arena_init(&f->arena, 256u << 20);
}

static inline int fixture_open(struct fixture *f, struct error *error) {
    return f->type->open(f->policy, f->config, &f->env, &f->instance, error);
}

static inline void fixture_must_open(struct fixture *f) {
    struct error error = {0};
    if (fixture_open(f, &error) != 0) {
        fail_msg("%s", error.text);
    }
}

static inline void fixture_deinit(struct fixture *f) {
    if (f->instance != NULL) {
        f->type->close(f->instance);
    }
    arena_deinit(&f->arena);
    free(f->policy);
    f->engine = engine_free(f->engine);
}

/* A text as sent, whose other views are the same: clean absent, folded equal. */
static inline struct canonical_part *fixture_text(struct fixture *f, const char *text, bool judge,
                                                  enum content_role role) {
    size_t i = f->input.part_count++;
    assert_true(i < FIXTURE_MAX_PARTS);
    size_t size = strlen(text);
    f->contents[i] = (struct canonical_part){.kind = CONTENT_TEXT, .bytes = size};
    f->contents[i].text.raw = (struct text_view){.text = text, .size = size};
    f->contents[i].text.folded = f->contents[i].text.raw;
    f->parts[i] = (struct classifier_part){.content = &f->contents[i], .role = role, .judge = judge};
    return &f->contents[i];
}

static inline void fixture_clear(struct fixture *f) {
    f->input.part_count = 0;
    arena_deinit(&f->arena);
    arena_init(&f->arena, 256u << 20);
}

static inline int fixture_prepare(struct fixture *f, struct error *error) {
    f->task = (struct classifier_task){.arena = &f->arena, .policy = f->policy, .input = &f->input};
    return f->type->prepare(f->instance, &f->task, error);
}

/* prepare, the jobs, interpret */
static inline int fixture_judge(struct fixture *f, struct error *error) {
    int rc = fixture_prepare(f, error);
    for (size_t i = 0; i < f->task.job_count && rc == 0; i++) {
        (void)!engine_run(f->engine, &f->task.jobs[i]); /* interpret sees the status */
    }
    return rc != 0 ? rc : f->type->interpret(f->instance, &f->task, error);
}

static inline void fixture_must_judge(struct fixture *f) {
    struct error error = {0};
    if (fixture_judge(f, &error) != 0) {
        fail_msg("%s", error.text);
    }
}

static inline const struct score *fixture_score(const struct fixture *f, const char *category,
                                                unsigned part) {
    int index = policy_category(f->policy, category);
    for (size_t i = 0; i < f->task.score_count; i++) {
        if (f->task.scores[i].category == index && f->task.scores[i].part == part) {
            return &f->task.scores[i];
        }
    }
    fail_msg("no score for %s of part %u", category, part);
    return NULL;
}

static inline double score_raw(const struct score *score) {
    double raw = 0.0;
    assert_true(score->has_raw);
    memcpy(&raw, &score->raw_bits, sizeof raw);
    return raw;
}

#endif
