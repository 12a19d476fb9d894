/* SPDX-License-Identifier: Apache-2.0
 *
 * One request on its way. All of it lives on the loop's thread; the engine sees its jobs only. It is freed
 * when its eleven steps are done, which for a request that ended early is after the engine gave back the last
 * job.
 */
#ifndef BUCKLER_DAEMON_REQUEST_H
#define BUCKLER_DAEMON_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/digest.h"
#include "classifiers/classifier.h"
#include "daemon/admission.h"
#include "daemon/daemon.h"
#include "decode/decode.h"
#include "ipc/ipc.h"

/* So many scores fit into an audit record and a reply with all that can be wanted of them. */
enum { REQUEST_ARENA_BYTES = 256 << 20, REQUEST_MAX_SCORES = 200 };

enum request_origin { REQUEST_INVALID, REQUEST_CLIENT, REQUEST_EXAMPLE, REQUEST_EVENT };

enum request_stage { STAGE_DECODE, STAGE_PLAN, STAGE_SCORE, STAGE_RECORD, STAGE_COUNT };

struct request {
    struct daemon *daemon;
    struct request *next, *previous; /* the table */
    struct request *next_record;     /* waiting for audit */
    enum request_origin origin;
    uint64_t number;                /* the core's own */
    uint64_t front_id, front_epoch; /* where the reply goes */
    struct ipc_request in;
    struct generation *generation;
    const struct bound_policy *policy; /* NULL until admitted */
    struct admission_ticket ticket;
    struct arena arena;

    unsigned step;           /* index into the step table */
    bool waiting;            /* a step returned WAIT */
    unsigned pending;        /* decode jobs that are out */
    unsigned engine_pending; /* engine jobs that are out: the arena must stay */
    uint64_t received_ns, received_unix_ns, deadline_ns;
    uint64_t stage_ns[STAGE_COUNT];
    uint64_t stage_started_ns;

    struct decode_job decode[IPC_MAX_PARTS];
    char commitments[IPC_MAX_PARTS][65]; /* hex HMAC-SHA-256 of each part */
    bool committed;
    char subject_commitment[65];
    struct engine_job commit_job, plan_job;
    bool planned; /* plan_job came home: the tasks are the loop's again */

    struct classifier_part parts[IPC_MAX_PARTS];
    struct classifier_input classifier_input;
    struct classifier_task tasks[POLICY_MAX_CLASSIFIERS];
    bool task_planned[POLICY_MAX_CLASSIFIERS];

    struct policy_part policy_parts[IPC_MAX_PARTS];
    struct classifier_coverage coverage[IPC_MAX_PARTS];
    struct score *scores; /* of all classifiers, in the arena */
    size_t score_count;

    /* the outcome */
    bool failed; /* it went the way of FAIL */
    enum policy_failure failure;
    uint16_t status;
    const char *code; /* static */
    char code_space[33];
    char detail[256];
    uint32_t retry_after_ms;
    struct policy_decision decision;
    bool recorded, durable;
    uint64_t audit_index;
    char proof_leaf[65]; /* with `proof` */
    char *proof;         /* tlog-proof, malloc'ed; NULL: none */

    uint8_t idem_key[DIGEST_BYTES];
    bool idem_taken;    /* this request is the first with its key */
    const char *replay; /* the reply to the first request with the same idem key, in the arena */
    uint64_t replay_of; /* its audit index */

    char *event_json;                        /* origin EVENT: the record itself; it has steps 8 to 11 only */
    void (*example_done)(struct request *r); /* origin EXAMPLE: instead of record and reply */
    void *user;
};

/* A request from the front: takes over `in` (descriptors included). */
void request_start(struct daemon *d, uint64_t front_id, const struct ipc_request *in);

/* A policy's example, judged under `generation` as a request would be. 0 or -errno; then `done` is not
 * called. */
int request_start_example(struct daemon *d, struct generation *generation, const struct bound_policy *policy,
                          const struct policy_example *example, void (*done)(struct request *r),
                          void *user) MUST_CHECK;

/* An event record (start, policies loaded, stop): takes over malloc'ed canonical JSON. */
void request_record_event(struct daemon *d, char *json);

/* Events that move requests on. */
void request_engine_done(struct engine_job *job);
void request_durable(struct daemon *d, uint64_t number, uint64_t index);
void request_audit_lost(struct daemon *d); /* audit will not come back */
void request_audit_back(struct daemon *d,
                        uint64_t recovered_next); /* it came back with this many records on disk */
void request_proof(struct daemon *d, uint64_t number, const char *leaf, const char *proof); /* "": none */
void request_deadlines(struct daemon *d);  /* the earliest deadline passed */
void request_end_all(struct daemon *d);    /* what is still being judged gets 503 draining */
void request_admit_next(struct daemon *d); /* requests left: starts those whose turn it is */

/* Fails a request with the status that belongs to the code; `detail` is for the client. Returns for use in
 * steps. */
void request_fail(struct request *r, enum policy_failure failure, uint16_t status, const char *code,
                  const char *detail, ...) __attribute__((format(printf, 5, 6)));

/* ---- between request.c and its neighbours ---- */

/* Walks the steps from where the request is. Frees it after the last one. */
void request_drive(struct request *r);

/* A waiting request ends early: the same jump as a step that returned FAIL. request_fail was called. */
void request_end_early(struct request *r);

/* Starts at `record`: for event records, which are nothing else. */
void request_skip_to_record(struct request *r);

/* True while it waits in a step before `record`: then it may still be failed from outside. */
bool request_is_judged_now(const struct request *r);

/* table.c: out of the table, and everything it owns. */
void request_free(struct request *r);

/* True while it waits for a proof of its record; request_proof_settled moves it on. */
bool request_awaits_proof(const struct request *r);
void request_proof_settled(struct request *r);

/* recording.c: asks for the proof. False: there is nothing to wait for. */
bool recording_prove(struct request *r);

/* What `record` waited for is decided; in async mode the request may be as far as `release`. */
void request_record_settled(struct request *r);

/* admit.c: step 2 but for what only request.c can do. False: request_fail says why. */
bool request_find_policy(struct request *r);
bool request_take_place(struct request *r); /* counts it for its tenant */
bool request_take_turn(struct request *r);  /* ticket.place says whether it may start */

/* recording.c: hands the record over. False: there is nothing to wait for (no log, or request_fail says why).
 */
bool recording_start(struct request *r);

/* replay.c: true when this request is the first with its `idem` key. False: r->failed, or r->replay is the
 * answer. */
bool request_claim_idem(struct request *r);

/* coverage.c: fills coverage[part] and policy_parts[part]. */
void request_measure_coverage(struct request *r, unsigned part);

/* reply.c: frame 0 of the reply, malloc'ed JSON. */
char *reply_json(const struct request *r);

/* record.c: the canonical JSON of the audit record, malloc'ed. */
char *record_json(const struct request *r);

#endif
