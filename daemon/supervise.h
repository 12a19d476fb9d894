/* SPDX-License-Identifier: Apache-2.0
 *
 * Starts the roles (buckler-front, buckler-audit), watches them and replaces one that died: at once the first
 * time, then with a delay that doubles while the role keeps dying young. Decode workers are watched by their
 * own pool.
 */
#ifndef BUCKLER_DAEMON_SUPERVISE_H
#define BUCKLER_DAEMON_SUPERVISE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/imsg.h"
#include "base/loop.h"

struct daemon;
struct role;

struct role_type {
    const char *program;                                  /* "buckler-front" */
    void (*started)(struct daemon *d, struct role *role); /* send the first message */
    void (*message)(struct daemon *d, struct role *role, struct imsg *message);
    void (*died)(struct daemon *d, struct role *role); /* its socket is closed already */
};

struct role {
    const struct role_type *type;
    struct daemon *daemon;
    pid_t pid;      /* 0: not running */
    int socket;     /* -1: none */
    bool ready;     /* it said so, and is not known to be gone */
    bool wanted;    /* replace it when it dies */
    uint64_t epoch; /* counts its lives */
    uint64_t started_ns;
    uint32_t delay_ms; /* before the next start */
    struct loop_source *source, *restart_timer;
    struct role_queued *queue, **queue_tail; /* messages that did not fit into the socket */
    uint32_t queue_length;
};

enum { ROLE_MAX_QUEUE = 4096 };

void role_init(struct role *role, struct daemon *d, const struct role_type *type);

/* 0, or an error when the program cannot be started at all. */
int role_start(struct role *role, struct error *reterr) MUST_CHECK;

/* Kills it and forgets it. */
void role_stop(struct role *role);

/* Closes our half of its socket and gives it time to end by itself; then as role_stop. */
void role_finish(struct role *role);

/* Sends or queues; false when the role is not there (then it is not `ready` either) or its queue is full. No
 * descriptors travel this way. */
bool role_send(struct role *role, uint16_t type, uint64_t id, const void *body, size_t size);

/* SIGCHLD: reaps everything that died. */
void supervise_children(struct daemon *d);

#endif
