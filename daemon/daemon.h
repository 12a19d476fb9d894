/* SPDX-License-Identifier: Apache-2.0
 *
 * The core: the only module that knows all others. One loop thread owns everything declared here; the
 * engine's threads see engine jobs and nothing else. daemon/request.c holds the life of a request: read that
 * file first.
 */
#ifndef BUCKLER_DAEMON_DAEMON_H
#define BUCKLER_DAEMON_DAEMON_H

#include <stdbool.h>
#include <stdint.h>

#include "base/imsg.h"
#include "base/log.h"
#include "base/loop.h"
#include "daemon/admission.h"
#include "daemon/generation.h"
#include "daemon/idempotency.h"
#include "daemon/models.h"
#include "daemon/settings.h"
#include "daemon/supervise.h"
#include "decode/decode.h"
#include "engine/engine.h"

enum { DAEMON_EXIT_CONFIG = 78, DAEMON_EXIT_UNAVAILABLE = 69, DAEMON_COMMITMENT_KEY_BYTES = 32 };

enum daemon_state { DAEMON_INVALID, DAEMON_STARTING, DAEMON_SERVING, DAEMON_DRAINING };

struct request;
struct reload;

struct daemon_counters {
    uint64_t received, replied, undeliverable, refused, records, front_restarts, audit_restarts;
};

struct daemon {
    struct log log;
    struct settings settings;
    const char *config_path;
    const char *state_option; /* --state, or NULL */
    bool check_only;          /* --check: load, run the examples, exit */
    enum daemon_state state;
    int exit_code;
    bool stop_recorded, drain_is_late;

    struct loop *loop;
    struct loop_source *engine_source, *deadline_timer, *drain_timer, *admission_timer;
    struct engine *engine;
    struct models *models;
    struct decode_pool *decode;
    bool decode_ready;
    struct role front, audit;

    uint8_t commitment_key[DAEMON_COMMITMENT_KEY_BYTES]; /* HMAC key of content commitments and subjects */
    char curve_secret[IPC_KEY_SIZE];                     /* of tcp endpoints; "" without */
    struct generation *generation; /* in force; NULL until the first one passed its examples */
    unsigned generation_number;
    struct reload *reload; /* being built, or NULL */
    bool reload_again;     /* SIGHUP while one was being built */

    struct admission *admission;
    struct idempotency *idempotency;
    struct request *requests; /* newest first */
    unsigned request_count;
    uint64_t request_number;
    struct request *records; /* handed to audit and not yet durable, oldest first */
    struct request **records_tail;
    uint64_t audit_next_index; /* of the next record that audit will write */
    struct daemon_counters counters;
};

/* Everything up to the loop; the rest of the start happens on events. 0, or an exit code with the reason
 * logged. */
int daemon_init(struct daemon *d);
void daemon_deinit(struct daemon *d);

/* Called whenever a prerequisite of serving became true: moves the start forward when all are. */
void daemon_advance(struct daemon *d);

/* Leaves the loop with this exit code, with the reason logged. */
void daemon_fail(struct daemon *d, int exit_code, const char *message_id, const char *sentence);

/* SIGTERM: refuses new requests, finishes accepted ones, stops. */
void daemon_drain(struct daemon *d);

/* When draining: stops the loop as soon as the last request is gone. */
void daemon_drain_check(struct daemon *d);

#endif
