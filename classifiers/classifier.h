/* SPDX-License-Identifier: Apache-2.0
 *
 * A classifier asks one kind of question about content. The interface is not model-shaped: `prepare` may
 * write scores at once (lists), or ask for engine jobs whose readouts `interpret` turns into scores (head,
 * yes_no, open_nsfw). Each lives in a folder of its own and exports one constant descriptor; registry.c lists
 * them by name.
 *
 * prepare runs on an engine worker (it may tokenise and scan), interpret on the loop (it only does
 * arithmetic). An open classifier is constant; all that belongs to a request lives in the task's arena.
 */
#ifndef BUCKLER_CLASSIFIERS_CLASSIFIER_H
#define BUCKLER_CLASSIFIERS_CLASSIFIER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "decode/canonical.h"
#include "decode/decode.h"
#include "engine/engine.h"
#include "policies/policy.h"

enum classifier_error {
    CLASSIFIER_E_INVALID = 1, /* wrong configuration: the sentence says what */
    CLASSIFIER_E_TOO_LARGE,   /* more windows than the limit: 413 too_many_tokens */
    CLASSIFIER_E_NOT_FINITE,
};

/* What a classifier gets when a policy is bound. */
struct classifier_env {
    struct engine *engine;
    /* Opens (or shares) a model by the name that a policy wrote; one reference for the caller. */
    int (*model)(void *user, const char *name, struct engine_model **ret, struct error *reterr);
    /* `base` with the LoRA in `path` on top, opened or shared; one reference for the caller. */
    int (*adapter)(void *user, struct engine_model *base, const char *path, struct engine_model **ret,
                   struct error *reterr);
    /* The path of a data file of the product ("buckler-guard/heads.safetensors") under the models
     * directories. */
    int (*data_path)(void *user, const char *name, char *out, size_t out_size, struct error *reterr);
    void *user;
    uint32_t max_windows; /* of one text view, over all of a part */
};

struct classifier_part {
    const struct canonical_part *content;
    enum content_role role;
    bool judge;
};

struct classifier_input {
    enum content_scope scope;
    const struct classifier_part *parts;
    size_t part_count;
};

/* How much of a part was judged, for `coverage`; filled by prepare with the most that any view needed. */
struct classifier_coverage {
    uint64_t bytes_judged, tokens_judged, tokens_total;
};

struct classifier_task {
    struct arena *arena;
    const struct policy *policy;
    uint16_t classifier_index; /* in the policy */
    const struct classifier_input *input;

    /* prepare: jobs to run, in the arena; status and outs are valid in interpret */
    struct engine_job *jobs;
    size_t job_count;
    void *state;

    /* prepare or interpret: results, in the arena */
    struct score *scores;
    size_t score_count;
    struct classifier_coverage *coverage; /* [part_count], or NULL when everything was judged */
};

struct classifier_type {
    const char *name; /* the word after `use:` */
    uint32_t kinds;   /* bits (1 << enum content_kind) it can judge */

    /* Checks the configuration and takes what it needs. */
    int (*open)(const struct policy *policy, const struct policy_classifier *config,
                const struct classifier_env *env, void **ret_instance, struct error *reterr);
    void (*close)(void *instance);

    int (*prepare)(const void *instance, struct classifier_task *task, struct error *reterr);
    int (*interpret)(const void *instance, struct classifier_task *task, struct error *reterr);

    /* One line for the audit record: digests of what decides besides the content ("model=… heads=…
     * template=…"). */
    const char *(*provenance)(const void *instance);

    /* Form that images must have; NULL for text classifiers. */
    const struct decode_image_form *(*image_form)(const void *instance);
};

/* NULL for an unknown name. */
const struct classifier_type *classifier_find(const char *name);
const struct classifier_type *const *classifier_all(size_t *ret_count);

#endif
