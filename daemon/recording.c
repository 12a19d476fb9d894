/* SPDX-License-Identifier: Apache-2.0
 *
 * Records on their way to buckler-audit. The daemon keeps them in a list in the order in which they were
 * handed over, which is the order in which they are written; when audit dies, the list says what to send
 * again.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit/audit.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "daemon/request.h"

static void unlink_record(struct request *r) {
    struct daemon *d = r->daemon;
    for (struct request **link = &d->records; *link != NULL; link = &(*link)->next_record) {
        if (*link == r) {
            *link = r->next_record;
            break;
        }
    }
    d->records_tail = &d->records;
    while (*d->records_tail != NULL) {
        d->records_tail = &(*d->records_tail)->next_record;
    }
    r->next_record = NULL;
}

static void audit_unavailable(struct request *r, const char *detail) {
    r->scores = NULL;
    r->score_count = 0;
    request_fail(r, FAILURE_AUDIT_UNAVAILABLE, 503, "audit_unavailable", "%s", detail);
    r->retry_after_ms = 500;
}

static bool send_record(struct request *r) {
    CLEANUP(free_ptr) char *json = r->origin == REQUEST_EVENT ? strdup(r->event_json) : record_json(r);
    return json != NULL && strlen(json) <= AUDIT_MAX_PAYLOAD_BYTES &&
           role_send(&r->daemon->audit, AUDIT_APPEND, r->number, json, strlen(json));
}

bool recording_start(struct request *r) {
    struct daemon *d = r->daemon;
    if (d->settings.audit_mode == SETTINGS_AUDIT_OFF) {
        return false;
    }
    if (!d->audit.ready && !d->audit.wanted) {
        audit_unavailable(r, "the audit log cannot be written");
        return false;
    }
    /* What finds no audit is sent when audit is back. */
    if (d->audit.ready && !send_record(r) && d->audit.ready) {
        audit_unavailable(r, "the audit log does not keep up");
        return false;
    }
    r->recorded = true;
    *d->records_tail = r;
    d->records_tail = &r->next_record;
    d->counters.records++;
    return true;
}

static void became_durable(struct request *r, uint64_t index) {
    unlink_record(r);
    r->durable = true;
    r->audit_index = index;
    request_record_settled(r);
}

void request_durable(struct daemon *d, uint64_t number, uint64_t index) {
    d->audit_next_index = index + 1;
    for (struct request *r = d->records; r != NULL; r = r->next_record) {
        if (r->number == number) {
            became_durable(r, index);
            return;
        }
    }
}

bool recording_prove(struct request *r) {
    struct buf body = {0};
    buf_u64(&body, r->audit_index);
    bool sent = !body.failed && role_send(&r->daemon->audit, AUDIT_PROVE, r->number, body.bytes, body.size);
    buf_deinit(&body);
    return sent;
}

void request_proof(struct daemon *d, uint64_t number, const char *leaf, const char *proof) {
    for (struct request *r = d->requests; r != NULL; r = r->next) {
        if (r->number == number && request_awaits_proof(r)) {
            (void)snprintf(r->proof_leaf, sizeof r->proof_leaf, "%s", leaf);
            r->proof = proof[0] == '\0' ? NULL : strdup(proof);
            request_proof_settled(r);
            return;
        }
    }
}

/* Those who wait for a proof ask again, or go without. */
static void prove_again(struct daemon *d) {
    struct request *r = d->requests;
    while (r != NULL) {
        struct request *next = r->next;
        if (request_awaits_proof(r) && !(d->audit.ready && recording_prove(r))) {
            request_proof_settled(r);
        }
        r = next;
    }
}

void request_audit_back(struct daemon *d, uint64_t recovered_next) {
    prove_again(d);
    /* Records are written in the order in which they were handed over, so those that the dead process still
     * made durable are the first ones of the list. */
    while (d->records != NULL && d->audit_next_index < recovered_next) {
        became_durable(d->records, d->audit_next_index++);
    }
    d->audit_next_index = recovered_next;
    struct request *r = d->records;
    while (r != NULL) {
        struct request *next = r->next_record;
        bool sent = send_record(r);
        if (!sent && !d->audit.ready) {
            return; /* gone again: this one and the rest wait for the next life */
        }
        if (!sent) {
            unlink_record(r);
            audit_unavailable(r, "the audit log does not keep up");
            r->recorded = false;
            request_record_settled(r);
        }
        r = next;
    }
}

void request_audit_lost(struct daemon *d) {
    prove_again(d);
    while (d->records != NULL) {
        struct request *r = d->records;
        unlink_record(r);
        audit_unavailable(r, "the audit log cannot be written");
        r->recorded = false;
        request_record_settled(r);
    }
}
