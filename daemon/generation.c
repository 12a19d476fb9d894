/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/generation.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

static void unbind(struct bound_policy *bound) {
    for (size_t i = 0; i < POLICY_MAX_CLASSIFIERS; i++) {
        if (bound->classifiers[i].instance != NULL) {
            bound->classifiers[i].type->close(bound->classifiers[i].instance);
        }
    }
    bound->policy = policy_free(bound->policy);
}

static struct generation *generation_free(struct generation *g) {
    if (g != NULL) {
        for (size_t i = 0; i < g->policy_count; i++) {
            unbind(&g->policies[i]);
        }
        free(g);
    }
    return NULL;
}

static void generation_cleanup(struct generation **g) {
    (void)generation_free(*g);
}

/* All image classifiers of a policy share one decoding of each image. */
static int agree_on_form(struct bound_policy *bound, const struct decode_image_form *form,
                         struct error *reterr) {
    if (form == NULL) {
        return 0;
    }
    if (bound->has_image_form && memcmp(&bound->image_form, form, sizeof *form) != 0) {
        return error_set(
            reterr, GENERATION_E_INVALID,
            "two image classifiers of one policy that want images of different sizes: not supported yet");
    }
    bound->has_image_form = true;
    bound->image_form = *form;
    return 0;
}

static int bind_classifier(struct bound_policy *bound, size_t index, const struct classifier_env *env,
                           struct error *reterr) {
    const struct policy_classifier *config = &bound->policy->classifiers[index];
    struct bound_classifier *slot = &bound->classifiers[index];
    slot->type = classifier_find(config->use);
    if (slot->type == NULL) {
        return error_set(reterr, GENERATION_E_INVALID, "there is no classifier called %s", config->use);
    }
    int rc = slot->type->open(bound->policy, config, env, &slot->instance, reterr);
    if (rc != 0) {
        slot->instance = NULL;
        return rc;
    }
    bound->text_models += (config->kinds & 1u << CONTENT_TEXT) != 0 && config->model[0] != '\0';
    bound->guidelines += (uint32_t)config->guideline_count;
    bound->image_models += (slot->type->kinds & 1u << CONTENT_IMAGE) != 0;
    return slot->type->image_form != NULL
               ? agree_on_form(bound, slot->type->image_form(slot->instance), reterr)
               : 0;
}

/* A reply that says redact must carry the redacted parts; until the core makes them, such a rule would let
 * content through as it is. */
static int refuse_redaction(const struct policy *policy, struct config_report *report) {
    int worst = 0;
    for (size_t i = 0; i < policy->rule_count; i++) {
        const struct policy_rule *rule = &policy->rules[i];
        if (rule->action == ACTION_REDACT) {
            config_report_add(report, policy->file, rule->line, rule->column,
                              "rule %s: action redact is not supported yet (use review or deny)", rule->id);
            worst = GENERATION_E_INVALID;
        }
    }
    return worst;
}

static int bind_policy(struct generation *g, const char *file, const struct classifier_env *env,
                       struct config_report *report) {
    struct bound_policy *bound = &g->policies[g->policy_count];
    int rc = policy_load(file, &bound->policy, report);
    if (rc != 0) {
        return rc;
    }
    g->policy_count++;
    for (size_t i = 0; i + 1 < g->policy_count; i++) {
        if (strcmp(g->policies[i].policy->name, bound->policy->name) == 0) {
            config_report_add(report, file, 1, 1, "policy %s is defined in %s already", bound->policy->name,
                              g->policies[i].policy->file);
            return GENERATION_E_INVALID;
        }
    }
    int worst = refuse_redaction(bound->policy, report);
    for (size_t i = 0; i < bound->policy->classifier_count; i++) {
        const struct policy_classifier *config = &bound->policy->classifiers[i];
        struct error error = {0};
        if (bind_classifier(bound, i, env, &error) != 0) {
            config_report_add(report, file, config->line, config->column, "classifier %s: %s", config->id,
                              error.text);
            worst = GENERATION_E_INVALID;
        }
    }
    return worst;
}

static size_t find_policy(const struct generation *g, const char *name) {
    size_t i = 0;
    while (i < g->policy_count && strcmp(g->policies[i].policy->name, name) != 0) {
        i++;
    }
    return i;
}

/* What tenants may ask for must be there. */
static int check_tenants(const struct generation *g, const struct settings *settings,
                         struct config_report *report) {
    int worst = 0;
    for (uint32_t i = 0; i < settings->tenant_count; i++) {
        const struct settings_tenant *tenant = &settings->tenants[i];
        for (uint32_t k = 0; k < tenant->policy_count; k++) {
            if (find_policy(g, tenant->policies[k]) == g->policy_count) {
                config_report_add(report, settings->file, tenant->line, tenant->column,
                                  "tenant %s: no loaded policy is called %s", tenant->name,
                                  tenant->policies[k]);
                worst = GENERATION_E_INVALID;
            }
        }
    }
    return worst;
}

int generation_build(const struct settings *settings, struct models *models, unsigned number,
                     struct generation **ret, struct config_report *report) {
    CLEANUP(generation_cleanup) struct generation *g = calloc(1, sizeof *g);
    if (g == NULL) {
        return -ENOMEM;
    }
    g->number = number;
    g->refs = 1;
    struct classifier_env env = {.engine = models_engine(models),
                                 .model = models_open,
                                 .adapter = models_adapter,
                                 .data_path = models_data_path,
                                 .user = models,
                                 .max_windows = settings->max_windows};
    int worst = 0;
    for (uint32_t i = 0; i < settings->policy_file_count; i++) {
        int rc = bind_policy(g, settings->policy_files[i], &env, report);
        worst = rc != 0 ? rc : worst;
    }
    if (worst != 0) {
        return worst;
    }
    worst = check_tenants(g, settings, report);
    g->default_policy = find_policy(g, settings->default_policy);
    if (g->default_policy == g->policy_count) {
        config_report_add(report, settings->file, 1, 1, "policies.default: no loaded policy is called %s",
                          settings->default_policy);
        return GENERATION_E_INVALID;
    }
    if (worst != 0) {
        return worst;
    }
    *ret = steal(g);
    return 0;
}

struct generation *generation_ref(struct generation *g) {
    g->refs++;
    return g;
}

struct generation *generation_unref(struct generation *g) {
    if (g != NULL && --g->refs == 0) {
        (void)generation_free(g);
    }
    return NULL;
}

const struct bound_policy *generation_policy(const struct generation *g, const char *name) {
    if (name[0] == '\0') {
        return &g->policies[g->default_policy];
    }
    size_t i = find_policy(g, name);
    return i < g->policy_count ? &g->policies[i] : NULL;
}
