/* SPDX-License-Identifier: Apache-2.0
 *
 * A core for tests of buckler-front: starts the real program, hands it settings, and answers its requests on
 * a thread of its own. Every reply tells what arrived. Policies steer it: "hold" leaves a request open until
 * it is cancelled or released.
 */
#ifndef BUCKLER_TESTS_FRONT_CORE_H
#define BUCKLER_TESTS_FRONT_CORE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

#include "ipc/ipc.h"

struct front_core {
    pid_t pid;
    int socket, wake;
    bool ready;
    char said[1024]; /* endpoints, or why not */
    pthread_t thread;
    bool running;
    atomic_bool paused;  /* does not read */
    atomic_uint refused; /* op REFUSED that came */
    atomic_uint requests;
    atomic_uint held_count;
    uint64_t held[64];
    char held_ids[64][IPC_ID_SIZE];
    uint8_t space[IMSG_SPACE_BYTES];
};

/* A default: one ipc endpoint, own uid, window 4, full limits. */
void front_core_settings(struct ipc_settings *ret, const char *endpoint);

/* Starts the front and waits for its word; `ready` says which. Fails the test when it says nothing. */
void front_core_start(struct front_core *core, const struct ipc_settings *settings);

/* Sends other settings to a front that runs. */
void front_core_configure(struct front_core *core, const struct ipc_settings *settings);

/* Closes the socket and waits for the front to end; returns its wait status. */
int front_core_stop(struct front_core *core);

void front_core_pause(struct front_core *core, bool paused);

#endif
