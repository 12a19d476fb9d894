/* SPDX-License-Identifier: Apache-2.0
 *
 * The table of open requests: how they come in, when their time is up, how they are cancelled, and their end.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/fd.h"
#include "daemon/control.h"
#include "daemon/request.h"

static struct request *request_new(struct daemon *d, enum request_origin origin,
                                   const struct ipc_request *in) {
    struct request *r = calloc(1, sizeof *r);
    if (r == NULL) {
        return NULL;
    }
    *r = (struct request){.daemon = d,
                          .origin = origin,
                          .number = ++d->request_number,
                          .in = *in,
                          .received_ns = clock_monotonic_ns(),
                          .received_unix_ns = clock_unix_ns(),
                          .deadline_ns = UINT64_MAX,
                          .front_epoch = d->front.epoch};
    arena_init(&r->arena, REQUEST_ARENA_BYTES);
    r->next = d->requests;
    if (d->requests != NULL) {
        d->requests->previous = r;
    }
    d->requests = r;
    d->request_count++;
    return r;
}

void request_free(struct request *r) {
    struct daemon *d = r->daemon;
    *(r->previous != NULL ? &r->previous->next : &d->requests) = r->next;
    if (r->next != NULL) {
        r->next->previous = r->previous;
    }
    d->request_count--;
    admission_close(d->admission, &r->ticket);
    ipc_request_deinit(&r->in);
    arena_deinit(&r->arena);
    r->generation = generation_unref(r->generation);
    free(r->event_json);
    free(r->proof);
    free(r);
    daemon_drain_check(d);
}

static void arm_deadlines(struct daemon *d) {
    uint64_t earliest = UINT64_MAX;
    for (const struct request *r = d->requests; r != NULL; r = r->next) {
        if (request_is_judged_now(r) && r->deadline_ns < earliest) {
            earliest = r->deadline_ns;
        }
    }
    loop_arm(d->deadline_timer, earliest == UINT64_MAX ? 0 : earliest);
}

/* Ends what is still being judged and has its deadline up to `until_ns`. */
static void end_judged(struct daemon *d, uint64_t until_ns, enum policy_failure failure, uint16_t status,
                       const char *code, const char *detail) {
    struct request *r = d->requests;
    while (r != NULL) {
        struct request *next = r->next;
        if (request_is_judged_now(r) && r->deadline_ns <= until_ns) {
            request_fail(r, failure, status, code, "%s", detail);
            request_end_early(r);
        }
        r = next;
    }
    arm_deadlines(d);
}

void request_deadlines(struct daemon *d) {
    end_judged(d, clock_monotonic_ns(), FAILURE_DEADLINE, 504, "deadline",
               "the deadline passed before the content was judged");
}

void request_end_all(struct daemon *d) {
    end_judged(d, UINT64_MAX, FAILURE_OVERLOADED, 503, "draining",
               "the daemon stopped before the content was judged; ask another one");
}

static void cancel(struct daemon *d, uint64_t front_id, const struct ipc_request *in) {
    struct request *r = d->requests;
    while (r != NULL && !(r->origin == REQUEST_CLIENT && r->front_epoch == d->front.epoch &&
                          r->in.connection == in->connection && strcmp(r->in.id, in->target) == 0 &&
                          request_is_judged_now(r))) {
        r = r->next;
    }
    if (r != NULL) {
        request_fail(r, FAILURE_DEFAULT, 499, "cancelled", "cancelled by the client");
        request_end_early(r);
    }
    control_reply_cancel(d, front_id, in, r != NULL);
}

void request_start(struct daemon *d, uint64_t front_id, const struct ipc_request *in) {
    struct ipc_request owned = *in;
    if (in->op == IPC_OP_CANCEL) {
        cancel(d, front_id, in);
    } else if (in->op == IPC_OP_HELLO || in->op == IPC_OP_PING) {
        control_reply(d, front_id, in);
    } else {
        struct request *r = request_new(d, REQUEST_CLIENT, in);
        if (r == NULL) {
            control_reply_out_of_memory(d, front_id, in);
        } else {
            d->counters.received++;
            r->front_id = front_id;
            request_drive(r);
            arm_deadlines(d);
            return;
        }
    }
    ipc_request_deinit(&owned);
}

int request_start_example(struct daemon *d, struct generation *generation, const struct bound_policy *policy,
                          const struct policy_example *example, void (*done)(struct request *r), void *user) {
    struct ipc_request in = {
        .op = IPC_OP_CLASSIFY, .scope = example->scope, .class_ = CLASS_STANDARD, .part_count = 1};
    struct ipc_part *part = &in.parts[0];
    *part = (struct ipc_part){
        .kind = CONTENT_TEXT, .role = ROLE_USER, .judge = true, .size = strlen(example->text)};
    part->fd = fd_sealed(example->text, part->size);
    if (part->fd < 0) {
        return part->fd;
    }
    struct request *r = request_new(d, REQUEST_EXAMPLE, &in);
    if (r == NULL) {
        ipc_request_deinit(&in);
        return -ENOMEM;
    }
    r->generation = generation_ref(generation);
    r->policy = policy;
    r->example_done = done;
    r->user = user;
    request_drive(r);
    arm_deadlines(d);
    return 0;
}

void request_record_event(struct daemon *d, char *json) {
    struct ipc_request nothing = {0};
    struct request *r = json != NULL ? request_new(d, REQUEST_EVENT, &nothing) : NULL;
    if (r == NULL) {
        log_error(&d->log, "event", "no memory to record an event");
        free(json);
        return;
    }
    r->event_json = json;
    request_skip_to_record(r);
}
