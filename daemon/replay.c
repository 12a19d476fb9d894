/* SPDX-License-Identifier: Apache-2.0
 *
 * `idem` keys: whether a request was judged before, and its answer then.
 */
#include <errno.h>
#include <string.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "daemon/request.h"

/* What decides besides the model: equal digests mean that the first verdict is the verdict. */
static int content_digest(const struct request *r, uint8_t ret_digest[DIGEST_BYTES]) {
    CLEANUP(buf_deinit) struct buf all = {0};
    buf_string(&all, r->policy->policy->digest);
    buf_u8(&all, (uint8_t)r->in.scope);
    for (unsigned i = 0; i < r->in.part_count; i++) {
        buf_u8(&all, (uint8_t)r->in.parts[i].kind);
        buf_u8(&all, (uint8_t)r->in.parts[i].role);
        buf_u8(&all, r->in.parts[i].judge);
        buf_string(&all, r->commitments[i]);
    }
    return all.failed ? -ENOMEM : digest_sha256(all.bytes, all.size, ret_digest);
}

/* The first reply once more; the record says whose. */
static void answer_again(struct request *r, const struct idempotency_entry *first) {
    r->replay = arena_copy(&r->arena, first->reply, strlen(first->reply));
    if (r->replay == NULL) {
        request_fail(r, FAILURE_INTERNAL, 500, "internal", "no memory for the reply");
        return;
    }
    r->replay_of = first->audit_index;
    r->status = first->status;
    r->code = first->status == 200 ? "ok" : "partial";
    r->decision =
        (struct policy_decision){.action = first->action, .rule = POLICY_BY_DEFAULT, .score = -1, .part = -1};
}

bool request_claim_idem(struct request *r) {
    CLEANUP(buf_deinit) struct buf key = {0};
    uint8_t content[DIGEST_BYTES];
    const struct idempotency_entry *first = NULL;
    buf_string(&key, r->in.tenant);
    buf_string(&key, r->in.idem);
    if (key.failed || digest_sha256(key.bytes, key.size, r->idem_key) < 0 || content_digest(r, content) < 0) {
        request_fail(r, FAILURE_INTERNAL, 500, "internal", "no memory for a digest");
        return false;
    }
    switch (idempotency_take(r->daemon->idempotency, r->idem_key, content, r->received_ns, &first)) {
    case IDEMPOTENCY_NEW:
        r->idem_taken = true;
        return true;
    case IDEMPOTENCY_SAME:
        answer_again(r, first);
        return false;
    case IDEMPOTENCY_OPEN:
        request_fail(r, FAILURE_DEFAULT, 409, "idem_conflict",
                     "a request with this idem key is still being judged");
        r->retry_after_ms = 100;
        return false;
    default:
        request_fail(r, FAILURE_DEFAULT, 409, "idem_conflict", "this idem key was used with other content");
        return false;
    }
}
