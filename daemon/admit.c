/* SPDX-License-Identifier: Apache-2.0
 *
 * What a tenant may have: which policies, how much of everything, and when. admission.c does the counting.
 */
#include <string.h>

#include "base/clock.h"
#include "daemon/request.h"

/* Costs are in tokens of a model, estimated from sizes because nobody has opened the parts yet. */
enum {
    COST_REQUEST = 16,
    COST_GUIDELINE = 64,
    COST_IMAGE = 256,
    BYTES_PER_TOKEN = 3,
    TEXT_BYTES_PER_COST = 300,    /* canonicalised and scanned */
    IMAGE_BYTES_PER_COST = 12500, /* decoded: 100,000 pixels at a bit each */
};

static uint64_t cost_of(const struct request *r) {
    const struct bound_policy *policy = r->policy;
    uint64_t cost = COST_REQUEST;
    for (uint32_t i = 0; i < r->in.part_count; i++) {
        const struct ipc_part *part = &r->in.parts[i];
        if (part->kind == CONTENT_TEXT) {
            cost += part->size / TEXT_BYTES_PER_COST + part->size / BYTES_PER_TOKEN * policy->text_models +
                    (uint64_t)policy->guidelines * COST_GUIDELINE;
        } else {
            cost += part->size / IMAGE_BYTES_PER_COST + (uint64_t)policy->image_models * COST_IMAGE;
        }
    }
    return cost;
}

/* Users and loopback clients need no entry among the tenants; a name that does had one when the front sent
 * the request. */
static bool needs_entry(const char *tenant) {
    return strncmp(tenant, "uid:", 4) != 0 && strcmp(tenant, "loopback") != 0;
}

bool request_find_policy(struct request *r) {
    const struct settings_tenant *tenant = settings_tenant(&r->daemon->settings, r->in.tenant);
    const char *name = r->in.policy;
    if (tenant == NULL && needs_entry(r->in.tenant)) {
        request_fail(r, FAILURE_DEFAULT, 403, "tenant_forbidden", "tenant %s is no longer configured",
                     r->in.tenant);
        return false;
    }
    if (name[0] == '\0' && tenant != NULL && tenant->policy_count > 0) {
        name = tenant->policies[0];
    }
    if (name[0] != '\0' && !settings_tenant_may(tenant, name)) {
        request_fail(r, FAILURE_DEFAULT, 403, "policy_forbidden",
                     "tenant %s may not use this policy; hello tells which ones it may", r->in.tenant);
        return false;
    }
    r->policy = generation_policy(r->generation, name);
    if (r->policy == NULL) {
        request_fail(r, FAILURE_DEFAULT, 404, "unknown_policy", "no policy of this name is loaded");
    }
    return r->policy != NULL;
}

bool request_take_place(struct request *r) {
    struct daemon *d = r->daemon;
    struct admission_ticket *victim = NULL;
    uint32_t retry_ms = 0;
    int rc = admission_open(d->admission, &r->ticket, r->in.tenant, r->received_ns, &victim, &retry_ms);
    if (victim != NULL) {
        struct request *other = victim->user;
        request_fail(other, FAILURE_OVERLOADED, 503, "overloaded",
                     "the daemon is full, and tenant %s had more than its share of it", other->in.tenant);
        other->retry_after_ms = 200;
        request_end_early(other);
    }
    switch (rc) {
    case 0:
        r->ticket.user = r;
        return true;
    case ADMISSION_E_RATE:
        request_fail(r, FAILURE_OVERLOADED, 429, "rate", "tenant %s asks more often than its rate allows",
                     r->in.tenant);
        break;
    case ADMISSION_E_WINDOW:
        request_fail(r, FAILURE_OVERLOADED, 429, "window",
                     "tenant %s has as many requests open as its window allows", r->in.tenant);
        break;
    default:
        request_fail(r, FAILURE_OVERLOADED, 503, "overloaded", "%u requests are open, no more are taken",
                     d->settings.max_requests);
        break;
    }
    r->retry_after_ms = retry_ms;
    return false;
}

bool request_take_turn(struct request *r) {
    uint32_t retry_ms = 0;
    r->ticket.cost = cost_of(r);
    r->ticket.deadline_ns = r->deadline_ns;
    if (admission_enter(r->daemon->admission, &r->ticket, clock_monotonic_ns(), &retry_ms) == 0) {
        return true;
    }
    request_fail(r, FAILURE_OVERLOADED, 503, "overloaded",
                 "the queue is longer than this request's deadline");
    r->retry_after_ms = retry_ms;
    return false;
}
