/* SPDX-License-Identifier: Apache-2.0
 *
 * The life of one request: READ THIS FILE FIRST.
 *
 * Eleven steps in one table, walked downwards by request_drive(). A step returns NEXT, WAIT (an event calls
 * request_continue and the request goes on with the next step), FAIL (request_fail has said why) or SETTLED
 * (an earlier request with the same `idem` key has the answer). FAIL and SETTLED jump to `record`: so every
 * request, good or bad, leaves exactly one audit record and gets exactly one reply, and the reply is sent
 * when the record is durable. Nothing goes back. Whoever fails a waiting request from outside (deadline,
 * cancel) uses the same jump.
 */
#include "daemon/request.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/digest.h"
#include "base/fd.h"

enum step_result { STEP_INVALID, STEP_NEXT, STEP_WAIT, STEP_FAIL, STEP_SETTLED };

struct step {
    const char *name;
    enum step_result (*run)(struct request *r);
};

static enum step_result step_receive(struct request *r);
static enum step_result step_admit(struct request *r);
static enum step_result step_canonicalise(struct request *r);
static enum step_result step_plan(struct request *r);
static enum step_result step_score(struct request *r);
static enum step_result step_interpret(struct request *r);
static enum step_result step_decide(struct request *r);
static enum step_result step_record(struct request *r);
static enum step_result step_prove(struct request *r);
static enum step_result step_reply(struct request *r);
static enum step_result step_release(struct request *r);

enum { STEP_RECORD_INDEX = 7, STEP_PROVE_INDEX };

static const struct step steps[] = {
    {"receive", step_receive}, {"admit", step_admit},     {"canonicalise", step_canonicalise},
    {"plan", step_plan},       {"score", step_score},     {"interpret", step_interpret},
    {"decide", step_decide},   {"record", step_record},   {"prove", step_prove},
    {"reply", step_reply},     {"release", step_release},
};

enum { STEP_COUNT = sizeof steps / sizeof *steps };

/* ---- the driver ---- */

void request_drive(struct request *r) {
    while (r->step < STEP_COUNT) {
        enum step_result result = steps[r->step].run(r);
        if (result == STEP_WAIT) {
            r->waiting = true;
            return;
        }
        if (result == STEP_FAIL || result == STEP_SETTLED) {
            r->step = STEP_RECORD_INDEX;
        } else {
            r->step++;
        }
    }
    request_free(r);
}

/* The event that the current step waited for has come. */
static void request_continue(struct request *r) {
    r->waiting = false;
    r->step++;
    request_drive(r);
}

/* `release` is asked again whether everything came home. */
static void recheck_release(struct request *r) {
    if (r->waiting && steps[r->step].run == step_release) {
        r->waiting = false;
        request_drive(r);
    }
}

/* Takes back what is out with decoders and engine. Engine jobs still come home; `release` waits for them. */
static void abandon(struct request *r) {
    for (unsigned i = 0; i < r->in.part_count && r->pending > 0; i++) {
        if (r->decode[i].user != NULL) {
            decode_cancel(r->daemon->decode, &r->decode[i]);
            r->decode[i].user = NULL;
            r->pending--;
        }
    }
    if (r->engine_pending > 0) {
        engine_cancel(r->daemon->engine, &r->commit_job);
        engine_cancel(r->daemon->engine, &r->plan_job);
        /* While `plan` runs, the tasks belong to the engine's thread. */
        for (size_t i = 0; r->planned && i < r->policy->policy->classifier_count; i++) {
            for (size_t k = 0; k < r->tasks[i].job_count; k++) {
                engine_cancel(r->daemon->engine, &r->tasks[i].jobs[k]);
            }
        }
    }
}

void request_end_early(struct request *r) {
    abandon(r);
    r->waiting = false;
    r->step = STEP_RECORD_INDEX;
    request_drive(r);
}

bool request_is_judged_now(const struct request *r) {
    return r->waiting && !r->failed && r->step < STEP_RECORD_INDEX;
}

void request_skip_to_record(struct request *r) {
    r->step = STEP_RECORD_INDEX;
    request_drive(r);
}

void request_fail(struct request *r, enum policy_failure failure, uint16_t status, const char *code,
                  const char *detail, ...) {
    va_list args;
    va_start(args, detail);
    (void)vsnprintf(r->detail, sizeof r->detail, detail, args);
    va_end(args);
    r->failed = true;
    r->failure = failure;
    r->status = status;
    r->code = code;
    if (r->policy != NULL) {
        policy_decide_failure(r->policy->policy, failure, &r->decision);
    } else {
        r->decision = (struct policy_decision){.action = ACTION_DENY, .rule = -3, .score = -1, .part = -1};
    }
}

static enum step_result fail_internal(struct request *r, const char *what) {
    request_fail(r, FAILURE_INTERNAL, 500, "internal", "%s", what);
    return STEP_FAIL;
}

static void stage_begin(struct request *r) {
    r->stage_started_ns = clock_monotonic_ns();
}

static void stage_end(struct request *r, enum request_stage stage) {
    r->stage_ns[stage] = clock_monotonic_ns() - r->stage_started_ns;
}

/* ---- 1 receive, 2 admit ---- */

static enum step_result step_receive(struct request *r) {
    struct daemon *d = r->daemon;
    if (r->in.op == IPC_OP_REFUSED) {
        d->counters.refused++;
        (void)snprintf(r->code_space, sizeof r->code_space, "%s", r->in.code);
        request_fail(r, FAILURE_DEFAULT, r->in.status, r->code_space, "%s", r->in.detail);
        r->retry_after_ms = r->in.retry_after_ms;
        return STEP_FAIL;
    }
    if (r->origin == REQUEST_CLIENT) {
        r->generation = generation_ref(d->generation);
    }
    if (r->origin == REQUEST_CLIENT && !request_find_policy(r)) {
        return STEP_FAIL;
    }
    /* The policy's is for requests that name none; a batch job may well ask for an hour. */
    uint32_t budget_ms = r->in.deadline_ms > 0 ? r->in.deadline_ms : r->policy->policy->deadline_ms;
    r->deadline_ns = r->received_ns + (uint64_t)budget_ms * 1000000u;
    if (r->origin == REQUEST_EXAMPLE) {
        r->deadline_ns = r->received_ns + (uint64_t)r->daemon->settings.example_deadline_ms * 1000000u;
    }
    return STEP_NEXT;
}

static enum step_result step_admit(struct request *r) {
    struct daemon *d = r->daemon;
    const struct policy *policy = r->policy->policy;
    if (r->origin == REQUEST_CLIENT && d->state == DAEMON_DRAINING) {
        request_fail(r, FAILURE_OVERLOADED, 503, "draining", "the daemon is stopping; ask another one");
        r->retry_after_ms = 1000;
        return STEP_FAIL;
    }
    if (r->origin == REQUEST_CLIENT && !request_take_place(r)) {
        return STEP_FAIL;
    }
    if (policy->scopes != 0 && (policy->scopes & 1u << r->in.scope) == 0) {
        request_fail(r, FAILURE_DEFAULT, 400, "bad_field", "scope: policy %s does not apply to %s",
                     policy->name, content_scope_name(r->in.scope));
        return STEP_FAIL;
    }
    if (r->in.subject[0] != '\0') {
        uint8_t digest[DIGEST_BYTES];
        if (digest_hmac(d->commitment_key, sizeof d->commitment_key, r->in.subject, strlen(r->in.subject),
                        digest) < 0) {
            return fail_internal(r, "no memory for a digest");
        }
        hex_encode(digest, sizeof digest, r->subject_commitment);
    }
    if (r->origin != REQUEST_CLIENT) {
        return STEP_NEXT;
    }
    if (!request_take_turn(r)) {
        return STEP_FAIL;
    }
    return r->ticket.place == ADMISSION_QUEUED ? STEP_WAIT : STEP_NEXT;
}

void request_admit_next(struct daemon *d) {
    for (struct admission_ticket *ticket = admission_next(d->admission); ticket != NULL;
         ticket = admission_next(d->admission)) {
        struct request *r = ticket->user;
        if (clock_monotonic_ns() < r->deadline_ns) {
            request_continue(r);
        } else {
            request_fail(r, FAILURE_DEADLINE, 504, "deadline",
                         "the deadline passed before the content was judged");
            request_end_early(r);
        }
    }
}

/* ---- 3 canonicalise: decode workers read the parts while an engine thread hashes them ---- */

static void canonicalise_check(struct request *r) {
    if (r->waiting && r->pending == 0 && r->committed) {
        stage_end(r, STAGE_DECODE);
        request_continue(r);
    }
}

static void decode_failed(struct request *r, unsigned part, int status, const char *sentence) {
    static const struct {
        int error;
        uint16_t status;
        const char *code;
        enum policy_failure failure;
    } table[] = {
        {DECODE_E_UNSUPPORTED, 415, "unsupported_media", FAILURE_DECODE_FAILED},
        {DECODE_E_FAILED, 422, "decode_failed", FAILURE_DECODE_FAILED},
        {DECODE_E_INVALID_UTF8, 422, "invalid_utf8", FAILURE_DECODE_FAILED},
        {DECODE_E_BOMB, 422, "bomb", FAILURE_DECODE_FAILED},
        {DECODE_E_TOO_LARGE, 413, "image_too_large", FAILURE_DECODE_FAILED},
        {DECODE_E_TEXT_TOO_LARGE, 413, "part_too_large", FAILURE_DECODE_FAILED},
        {DECODE_E_OVERLOADED, 503, "overloaded", FAILURE_OVERLOADED},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (table[i].error == status) {
            request_fail(r, table[i].failure, table[i].status, table[i].code, "parts[%u]: %s", part,
                         sentence);
            r->retry_after_ms = status == DECODE_E_OVERLOADED ? 200 : 0;
            return;
        }
    }
    request_fail(r, FAILURE_INTERNAL, 500, "internal", "parts[%u]: %s", part, sentence);
}

static void on_decoded(struct decode_job *job) {
    struct request *r = job->user;
    job->user = NULL;
    r->pending--;
    if (job->status != 0) {
        decode_failed(r, (unsigned)(job - r->decode), job->status, job->error.text);
        request_end_early(r);
        return;
    }
    canonicalise_check(r);
}

/* On an engine thread: keyed commitments to the bytes as they were sent. */
static int commit_parts(void *user, struct error *reterr) {
    struct request *r = user;
    for (unsigned i = 0; i < r->in.part_count; i++) {
        const struct ipc_part *part = &r->in.parts[i];
        const uint8_t *bytes = NULL;
        uint8_t digest[DIGEST_BYTES];
        int rc = fd_map_sealed(part->fd, part->size, &bytes);
        if (rc < 0) {
            return error_errno(reterr, -rc, "a part cannot be mapped");
        }
        rc = digest_hmac(r->daemon->commitment_key, DAEMON_COMMITMENT_KEY_BYTES, bytes, part->size, digest);
        fd_unmap(bytes, part->size);
        if (rc < 0) {
            return error_errno(reterr, -rc, "a part cannot be hashed");
        }
        hex_encode(digest, sizeof digest, r->commitments[i]);
    }
    return 0;
}

static int submit(struct request *r, struct engine_job *job) {
    job->user = r;
    job->deadline_ns = job->kind == ENGINE_JOB_CALL ? 0 : r->deadline_ns;
    struct error error = {0};
    int rc = engine_submit(r->daemon->engine, job, &error);
    if (rc == 0) {
        r->engine_pending++;
    } else if (rc == ENGINE_E_BUSY) {
        request_fail(r, FAILURE_OVERLOADED, 503, "overloaded", "the engine's queue is full");
        r->retry_after_ms = 200;
    } else if (rc == ENGINE_E_TOO_LONG) {
        request_fail(r, FAILURE_DEFAULT, 413, "too_many_tokens", "%s", error.text);
    } else {
        request_fail(r, FAILURE_INTERNAL, 500, "internal", "%s", error.text);
    }
    return rc;
}

static enum step_result step_canonicalise(struct request *r) {
    stage_begin(r);
    r->commit_job = (struct engine_job){.kind = ENGINE_JOB_CALL, .call = commit_parts, .call_user = r};
    if (submit(r, &r->commit_job) != 0) {
        return STEP_FAIL;
    }
    for (unsigned i = 0; i < r->in.part_count; i++) {
        const struct ipc_part *part = &r->in.parts[i];
        r->decode[i] = (struct decode_job){.kind = part->kind,
                                           .fd = part->fd,
                                           .size = part->size,
                                           .mime = part->mime,
                                           .replace_invalid_utf8 = r->policy->policy->replace_invalid_utf8,
                                           .form = r->policy->image_form,
                                           .arena = &r->arena,
                                           .done = on_decoded,
                                           .user = r};
        if (part->kind == CONTENT_IMAGE && !r->policy->has_image_form) {
            r->decode[i].form =
                settings_fallback_image_form(); /* it is still checked, though nothing judges it */
        }
        int rc = decode_submit(r->daemon->decode, &r->decode[i]);
        if (rc != 0) {
            r->decode[i].user = NULL;
            decode_failed(r, i, rc, "the decoders' queue is full");
            abandon(r);
            return STEP_FAIL;
        }
        r->pending++;
    }
    return STEP_WAIT;
}

/* ---- 4 plan: classifiers tokenise and scan on an engine thread ---- */

static uint32_t judged_kinds(const struct request *r) {
    uint32_t kinds = 0;
    for (unsigned i = 0; i < r->in.part_count; i++) {
        kinds |= r->in.parts[i].judge ? 1u << r->in.parts[i].kind : 0;
    }
    return kinds;
}

static int plan_tasks(void *user, struct error *reterr) {
    struct request *r = user;
    const struct bound_policy *policy = r->policy;
    uint32_t kinds = judged_kinds(r);
    for (size_t i = 0; i < policy->policy->classifier_count; i++) {
        const struct bound_classifier *bound = &policy->classifiers[i];
        struct classifier_task *task = &r->tasks[i];
        *task = (struct classifier_task){.arena = &r->arena,
                                         .policy = policy->policy,
                                         .classifier_index = (uint16_t)i,
                                         .input = &r->classifier_input};
        if ((bound->type->kinds & kinds) == 0) {
            continue;
        }
        int rc = bound->type->prepare(bound->instance, task, reterr);
        if (rc != 0) {
            task->job_count = 0;
            return rc;
        }
        r->task_planned[i] = true;
    }
    return 0;
}

static enum step_result step_plan(struct request *r) {
    if (r->in.idem[0] != '\0' && !request_claim_idem(r)) {
        return r->failed ? STEP_FAIL : STEP_SETTLED;
    }
    stage_begin(r);
    for (unsigned i = 0; i < r->in.part_count; i++) {
        r->parts[i] = (struct classifier_part){
            .content = &r->decode[i].part, .role = r->in.parts[i].role, .judge = r->in.parts[i].judge};
    }
    r->classifier_input =
        (struct classifier_input){.scope = r->in.scope, .parts = r->parts, .part_count = r->in.part_count};
    r->plan_job = (struct engine_job){.kind = ENGINE_JOB_CALL, .call = plan_tasks, .call_user = r};
    return submit(r, &r->plan_job) == 0 ? STEP_WAIT : STEP_FAIL;
}

/* ---- 5 score ---- */

static enum step_result step_score(struct request *r) {
    stage_begin(r);
    unsigned submitted = 0;
    for (size_t i = 0; i < r->policy->policy->classifier_count; i++) {
        for (size_t k = 0; k < r->tasks[i].job_count; k++) {
            if (submit(r, &r->tasks[i].jobs[k]) != 0) {
                abandon(r);
                return STEP_FAIL;
            }
            submitted++;
        }
    }
    return submitted > 0 ? STEP_WAIT : STEP_NEXT;
}

static void engine_job_failed(struct request *r, const struct engine_job *job) {
    if (job->status == ENGINE_E_DEADLINE || job->status == ENGINE_E_CANCELLED) {
        request_fail(r, FAILURE_DEADLINE, 504, "deadline",
                     "the deadline passed while the content was judged");
    } else if (job->status == ENGINE_E_TOO_LONG) {
        request_fail(r, FAILURE_DEFAULT, 413, "too_many_tokens", "%s", job->error.text);
    } else {
        request_fail(r, FAILURE_INTERNAL, 500, "internal", "%s", job->error.text);
    }
}

/* CALL jobs return a classifier's codes, other jobs the engine's; the two enums meet here only. */
static void plan_failed(struct request *r) {
    if (r->plan_job.status == CLASSIFIER_E_TOO_LARGE) {
        request_fail(r, FAILURE_DEFAULT, 413, "too_many_tokens", "%s", r->plan_job.error.text);
    } else {
        request_fail(r, FAILURE_INTERNAL, 500, "internal", "%s", r->plan_job.error.text);
    }
}

void request_engine_done(struct engine_job *job) {
    struct request *r = job->user;
    r->engine_pending--;
    if (r->failed) { /* it ended early and only waits for its jobs to come home */
        recheck_release(r);
        return;
    }
    if (job == &r->commit_job) {
        r->committed = job->status == 0;
        if (!r->committed) {
            request_fail(r, FAILURE_INTERNAL, 500, "internal", "%s", job->error.text);
            request_end_early(r);
            return;
        }
        canonicalise_check(r);
    } else if (job == &r->plan_job) {
        stage_end(r, STAGE_PLAN);
        r->planned = true;
        if (job->status != 0) {
            plan_failed(r);
            request_end_early(r);
            return;
        }
        request_continue(r);
    } else if (job->status != 0) {
        engine_job_failed(r, job);
        request_end_early(r);
    } else if (r->engine_pending == 0) {
        stage_end(r, STAGE_SCORE);
        request_continue(r);
    }
}

/* ---- 6 interpret, 7 decide ---- */

static enum step_result step_interpret(struct request *r) {
    const struct bound_policy *policy = r->policy;
    size_t total = 0;
    for (size_t i = 0; i < policy->policy->classifier_count; i++) {
        struct error error = {0};
        if (r->task_planned[i] && policy->classifiers[i].type->interpret(policy->classifiers[i].instance,
                                                                         &r->tasks[i], &error) != 0) {
            return fail_internal(r, error.text);
        }
        total += r->tasks[i].score_count;
    }
    if (total > REQUEST_MAX_SCORES) {
        return fail_internal(
            r, "parts, classifiers and categories make more scores than a record holds; send fewer parts");
    }
    r->scores = arena_new(&r->arena, struct score, total > 0 ? total : 1);
    if (r->scores == NULL) {
        return fail_internal(r, "no memory for the scores");
    }
    for (size_t i = 0; i < policy->policy->classifier_count; i++) {
        for (size_t k = 0; k < r->tasks[i].score_count; k++) {
            r->scores[r->score_count++] = r->tasks[i].scores[k];
        }
    }
    return STEP_NEXT;
}

static enum step_result step_decide(struct request *r) {
    if (clock_monotonic_ns() >= r->deadline_ns) {
        request_fail(r, FAILURE_DEADLINE, 504, "deadline",
                     "the deadline passed while the content was judged");
        return STEP_FAIL;
    }
    for (unsigned i = 0; i < r->in.part_count; i++) {
        request_measure_coverage(r, i);
    }
    struct policy_input input = {.scope = r->in.scope,
                                 .parts = r->policy_parts,
                                 .part_count = r->in.part_count,
                                 .scores = r->scores,
                                 .score_count = r->score_count};
    policy_decide(r->policy->policy, &input, &r->decision);
    r->status = r->decision.complete ? 200 : 206;
    r->code = r->decision.complete ? "ok" : "partial";
    return STEP_NEXT;
}

/* ---- 8 record, 9 prove, 10 reply, 11 release ---- */

static enum step_result step_record(struct request *r) {
    stage_begin(r);
    if (admission_leave(r->daemon->admission, &r->ticket, r->stage_started_ns)) {
        loop_arm(r->daemon->admission_timer, 1); /* from the loop, not from within whoever brought us here */
    }
    if (r->origin == REQUEST_EXAMPLE || !recording_start(r)) {
        return STEP_NEXT;
    }
    return r->daemon->settings.audit_mode == SETTINGS_AUDIT_BEFORE_REPLY ? STEP_WAIT : STEP_NEXT;
}

void request_record_settled(struct request *r) {
    stage_end(r, STAGE_RECORD);
    if (r->waiting && r->step == STEP_RECORD_INDEX) {
        request_continue(r);
    } else {
        recheck_release(r);
    }
}

static enum step_result step_prove(struct request *r) {
    bool wanted = r->origin == REQUEST_CLIENT && (r->in.want & IPC_WANT_PROOF) != 0 && r->durable;
    return wanted && r->replay == NULL && recording_prove(r) ? STEP_WAIT : STEP_NEXT;
}

bool request_awaits_proof(const struct request *r) {
    return r->waiting && r->step == STEP_PROVE_INDEX;
}

void request_proof_settled(struct request *r) {
    request_continue(r);
}

static enum step_result step_reply(struct request *r) {
    struct daemon *d = r->daemon;
    if (r->origin == REQUEST_EXAMPLE) {
        r->example_done(r);
    }
    if (r->origin != REQUEST_CLIENT) {
        return STEP_NEXT;
    }
    CLEANUP(free_ptr) char *json = reply_json(r);
    if (json != NULL && strlen(json) > IMSG_MAX_BODY_BYTES) { /* silence would be worse than an error */
        request_fail(r, FAILURE_INTERNAL, 500, "internal",
                     "the reply is too long; ask for less in want, or send fewer parts");
        r->decision.action = ACTION_DENY; /* whatever on_error says: the record may hold a deny */
        free(json);
        json = reply_json(r);
    }
    if (r->idem_taken) {
        idempotency_settle(d->idempotency, r->idem_key, r->decision.action, r->status, r->audit_index,
                           r->failed ? NULL : json);
    }
    if (json == NULL || r->front_epoch != d->front.epoch ||
        !role_send(&d->front, IPC_REPLY, r->front_id, json, strlen(json))) {
        d->counters.undeliverable++;
        return STEP_NEXT;
    }
    d->counters.replied++;
    return STEP_NEXT;
}

static enum step_result step_release(struct request *r) {
    /* An async record must outlive its reply; an engine job must come home before the arena goes. */
    return r->engine_pending > 0 || (r->recorded && !r->durable) ? STEP_WAIT : STEP_NEXT;
}
