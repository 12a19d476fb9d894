/* SPDX-License-Identifier: Apache-2.0
 *
 * Movement: reload_start submits a CALL job → reload_built (loop) → reload_advance starts one example after
 * the other, each an ordinary request with origin EXAMPLE → the last one puts the generation in force or
 * throws it away.
 */
#include "daemon/reload.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "daemon/daemon.h"
#include "daemon/links.h"
#include "daemon/request.h"

struct reload {
    struct engine_job job;
    struct daemon *daemon;
    struct settings settings; /* read again: lists of policies and models may have changed */
    struct generation *generation;
    struct config_report report;
    bool built;
    bool running;           /* examples have begun */
    size_t policy, example; /* the one that runs */
    unsigned failed;
};

static void reload_free(struct daemon *d) {
    struct reload *reload = d->reload;
    reload->generation = generation_unref(reload->generation);
    config_report_deinit(&reload->report);
    free(reload);
    d->reload = NULL;
}

static void log_report(struct daemon *d, const struct config_report *report) {
    for (size_t i = 0; i < config_report_count(report); i++) {
        log_error(&d->log, "config", "%s", config_report_line(report, i));
    }
}

static int build(void *user, struct error *reterr) {
    struct reload *reload = user;
    struct daemon *d = reload->daemon;
    int rc = settings_load(d->config_path, d->state_option, &reload->settings, &reload->report);
    if (rc == 0) {
        rc = generation_build(&reload->settings, d->models, d->generation_number + 1, &reload->generation,
                              &reload->report);
    }
    return rc == 0 ? 0 : error_set(reterr, rc, "the configuration is not valid");
}

void reload_start(struct daemon *d) {
    if (d->reload != NULL) {
        d->reload_again = true;
        return;
    }
    struct reload *reload = calloc(1, sizeof *reload);
    struct error error = {0};
    if (reload == NULL) {
        daemon_fail(d, DAEMON_EXIT_UNAVAILABLE, "reload", "no memory");
        return;
    }
    reload->daemon = d;
    reload->job =
        (struct engine_job){.kind = ENGINE_JOB_CALL, .call = build, .call_user = reload, .user = reload};
    d->reload = reload;
    if (engine_submit(d->engine, &reload->job, &error) != 0) {
        log_error(&d->log, "reload", "%s", error.text);
        reload_free(d);
    }
}

int reload_owns(const struct daemon *d, const struct engine_job *job) {
    return d->reload != NULL && job == &d->reload->job;
}

/* Nothing changes; at start there is nothing to fall back to. */
static void refuse(struct daemon *d) {
    bool again = d->reload_again;
    reload_free(d);
    d->reload_again = false;
    if (d->state == DAEMON_STARTING) {
        daemon_fail(d, DAEMON_EXIT_CONFIG, "config", "the configuration is not valid; see the lines above");
        return;
    }
    log_error(&d->log, "reload-refused", "generation %u stays in force", d->generation->number);
    if (again) {
        reload_start(d);
    }
}

void reload_built(struct daemon *d, struct engine_job *job) {
    struct reload *reload = d->reload;
    log_report(d, &reload->report);
    if (job->status != 0) {
        refuse(d);
        return;
    }
    reload->built = true;
    daemon_advance(d);
}

static void record_loaded(struct daemon *d, const struct generation *g) {
    json_t *list = json_array();
    for (size_t i = 0; i < g->policy_count; i++) {
        (void)json_array_append_new(list, json_pack("{s:s, s:s}", "digest", g->policies[i].policy->digest,
                                                    "name", g->policies[i].policy->name));
    }
    json_t *event =
        json_pack("{s:s, s:s, s:i, s:o, s:I}", "type", "event", "event", "policies_loaded", "generation",
                  (int)g->number, "policies", list, "time_ns", (json_int_t)clock_unix_ns());
    request_record_event(d, event != NULL ? json_dumps(event, JSON_COMPACT | JSON_SORT_KEYS) : NULL);
    json_decref(event);
}

/* Whose key or uid is gone loses his connections now; what he has asked is finished and recorded. */
static void take_tenants(struct daemon *d, const struct settings *from) {
    struct settings *s = &d->settings;
    s->uid_count = from->uid_count;
    memcpy(s->uids, from->uids, sizeof s->uids);
    s->key_count = from->key_count;
    memcpy(s->keys, from->keys, sizeof s->keys);
    s->tenant_count = from->tenant_count;
    memcpy(s->tenants, from->tenants, sizeof s->tenants);
    admission_configure(d->admission, s);
    if (d->front.pid > 0) {
        links_configure_front(d);
    }
}

static void put_in_force(struct daemon *d) {
    struct reload *reload = d->reload;
    bool again = d->reload_again;
    (void)generation_unref(d->generation);
    d->generation = generation_ref(reload->generation);
    d->generation_number = d->generation->number;
    d->settings.max_windows = reload->settings.max_windows;
    take_tenants(d, &reload->settings);
    reload_free(d);
    d->reload_again = false;
    log_notice(&d->log, "policies-loaded", "generation %u, %zu policies", d->generation->number,
               d->generation->policy_count);
    if (!d->check_only) {
        record_loaded(d, d->generation);
    }
    daemon_advance(d);
    if (again) {
        reload_start(d);
    }
}

static bool expected(const struct policy_example *example, const struct request *r) {
    if (r->failed) {
        return false;
    }
    if (example->expect != ACTION_INVALID) {
        return r->decision.action == example->expect;
    }
    return action_allows(r->decision.action) == example->expect_allow;
}

static void run_next(struct reload *reload);

static void on_example(struct request *r) {
    struct reload *reload = r->user;
    struct daemon *d = reload->daemon;
    const struct policy *policy = r->policy->policy;
    const struct policy_example *example = &policy->examples[reload->example];
    if (!expected(example, r)) {
        reload->failed++;
        log_error(&d->log, "example", "%s:%u:%u: this example of policy %s gives %s%s%s", policy->file,
                  example->line, example->column, policy->name, action_name(r->decision.action),
                  r->failed ? ": " : "", r->failed ? r->detail : "");
        for (size_t i = 0; i < r->score_count; i++) {
            if (r->scores[i].ppm >= SCORE_ONE / 10) {
                log_error(&d->log, "example", "  %s %d.%06d by %s", policy->categories[r->scores[i].category],
                          r->scores[i].ppm / SCORE_ONE, r->scores[i].ppm % SCORE_ONE,
                          policy->classifiers[r->scores[i].classifier].id);
            }
        }
    }
    reload->example++;
    run_next(reload);
}

static void run_next(struct reload *reload) {
    struct daemon *d = reload->daemon;
    struct generation *g = reload->generation;
    while (reload->policy < g->policy_count &&
           reload->example >= g->policies[reload->policy].policy->example_count) {
        reload->policy++;
        reload->example = 0;
    }
    if (reload->policy == g->policy_count) {
        if (reload->failed > 0) {
            refuse(d);
        } else {
            put_in_force(d);
        }
        return;
    }
    const struct bound_policy *bound = &g->policies[reload->policy];
    if (request_start_example(d, g, bound, &bound->policy->examples[reload->example], on_example, reload) <
        0) {
        log_error(&d->log, "example", "no memory to run the examples of %s", bound->policy->name);
        refuse(d);
    }
}

void reload_advance(struct daemon *d) {
    if (d->reload != NULL && d->reload->built && !d->reload->running && d->decode_ready) {
        d->reload->running = true;
        run_next(d->reload);
    }
}
