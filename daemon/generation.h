/* SPDX-License-Identifier: Apache-2.0
 *
 * A generation is a set of policies bound to open classifiers. It is built aside, constant afterwards, and
 * counted: every request holds the generation it was admitted under until it is released, so no verdict mixes
 * two.
 */
#ifndef BUCKLER_DAEMON_GENERATION_H
#define BUCKLER_DAEMON_GENERATION_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "classifiers/classifier.h"
#include "config/config.h"
#include "daemon/models.h"
#include "daemon/settings.h"
#include "policies/policy.h"

struct bound_classifier {
    const struct classifier_type *type;
    void *instance;
};

struct bound_policy {
    struct policy *policy;
    struct bound_classifier classifiers[POLICY_MAX_CLASSIFIERS];
    bool has_image_form;
    struct decode_image_form image_form;            /* what all its image classifiers ask for */
    uint32_t text_models, guidelines, image_models; /* what a part costs: how many look at it */
};

struct generation {
    unsigned number;
    unsigned refs;
    size_t policy_count;
    struct bound_policy policies[SETTINGS_MAX_POLICIES];
    size_t default_policy;
};

enum generation_error { GENERATION_E_INVALID = 1 };

/* Loads every policy file of the settings and opens its classifiers. Blocks (models may be opened): runs on
 * an engine worker. GENERATION_E_INVALID: every mistake is in `report`. */
int generation_build(const struct settings *settings, struct models *models, unsigned number,
                     struct generation **ret, struct config_report *report) MUST_CHECK;

struct generation *generation_ref(struct generation *g);
struct generation *generation_unref(struct generation *g); /* accepts NULL, returns NULL */

/* "" is the default policy; NULL when there is none of that name. */
const struct bound_policy *generation_policy(const struct generation *g, const char *name);

#endif
