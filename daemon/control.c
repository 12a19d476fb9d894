/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/control.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "daemon/daemon.h"

static void send_reply(struct daemon *d, uint64_t front_id, json_t *reply) {
    CLEANUP(free_ptr) char *text = reply != NULL ? json_dumps(reply, JSON_COMPACT) : NULL;
    json_decref(reply);
    if (text == NULL || !role_send(&d->front, IPC_REPLY, front_id, text, strlen(text))) {
        d->counters.undeliverable++;
    }
}

static json_t *base_reply(const struct ipc_request *in, int status, const char *code) {
    return json_pack("{s:s, s:i, s:s, s:s, s:b, s:s}", "id", in->id, "status", status, "code", code,
                     "verdict", "deny", "moderated", 0, "action", "deny");
}

static json_t *policy_list(const struct generation *g, const struct settings_tenant *tenant) {
    json_t *list = json_array();
    for (size_t i = 0; g != NULL && i < g->policy_count; i++) {
        const struct policy *p = g->policies[i].policy;
        if (!settings_tenant_may(tenant, p->name)) {
            continue;
        }
        bool is_default = tenant != NULL && tenant->policy_count > 0
                              ? strcmp(tenant->policies[0], p->name) == 0
                              : i == g->default_policy;
        json_t *one = json_pack("{s:s, s:s, s:s, s:b}", "name", p->name, "digest", p->digest, "description",
                                p->description, "default", is_default);
        if (json_array_append_new(list, one) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static void add_hello(const struct daemon *d, const char *tenant_name, json_t *reply) {
    const struct settings *s = &d->settings;
    const struct settings_tenant *tenant = settings_tenant(s, tenant_name);
    uint32_t window = s->connection_window;
    if (tenant != NULL && tenant->window > 0 && tenant->window < window) {
        window = tenant->window;
    }
    json_t *limits =
        json_pack("{s:I, s:I, s:i, s:i, s:I, s:i}", "part_bytes", (json_int_t)s->part_bytes, "total_bytes",
                  (json_int_t)s->total_bytes, "parts", (int)IPC_MAX_PARTS, "header_bytes",
                  (int)IPC_MAX_HEADER_BYTES, "text_bytes", (json_int_t)s->text_bytes, "window", (int)window);
    /* A failed set leaves the key out, which a client must expect of any key but the safe ones above. */
    (void)json_object_set_new(reply, "protocol", json_string("buckler/1"));
    (void)json_object_set_new(reply, "server", json_string("buckler/" BUCKLER_VERSION));
    (void)json_object_set_new(reply, "limits", limits);
    (void)json_object_set_new(reply, "policies", policy_list(d->generation, tenant));
    (void)json_object_set_new(reply, "tenant", json_string(tenant_name));
    (void)json_object_set_new(reply, "generation",
                              json_integer(d->generation != NULL ? d->generation->number : 0));
    (void)json_object_set_new(reply, "instruction_set", json_string(engine_instruction_set(d->engine)));
    (void)json_object_set_new(reply, "heartbeat_ms", json_integer(5000));
    (void)json_object_set_new(reply, "draining", json_boolean(d->state == DAEMON_DRAINING));
}

void control_reply(struct daemon *d, uint64_t front_id, const struct ipc_request *in) {
    json_t *reply = base_reply(in, 200, "ok");
    if (reply != NULL && in->op == IPC_OP_HELLO) {
        add_hello(d, in->tenant, reply);
    }
    send_reply(d, front_id, reply);
}

void control_reply_cancel(struct daemon *d, uint64_t front_id, const struct ipc_request *in, bool found) {
    json_t *reply = base_reply(in, 200, "ok");
    if (reply != NULL) {
        (void)json_object_set_new(reply, "cancelled", json_boolean(found));
    }
    send_reply(d, front_id, reply);
}

void control_reply_out_of_memory(struct daemon *d, uint64_t front_id, const struct ipc_request *in) {
    send_reply(d, front_id, base_reply(in, 503, "overloaded"));
}
