/* SPDX-License-Identifier: Apache-2.0
 *
 * The only place of the engine that starts threads. A pool is a fixed team: pool_run lets every member
 * execute the same function, which splits its work with pool_claim and keeps step with pool_barrier. So a
 * forward pass is one function, read from top to bottom, whatever the number of threads. Tasks are handed out
 * dynamically; a result must not depend on who computes which task.
 *
 * An idle pool sleeps in the kernel. Between phases members spin for a few microseconds first, because a
 * barrier is usually shorter than a sleep.
 */
#ifndef BUCKLER_ENGINE_GRAPH_POOL_H
#define BUCKLER_ENGINE_GRAPH_POOL_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

/* A thread with all signals blocked and a name of at most 15 characters. Joined with pthread_join. */
int thread_start(pthread_t *ret_thread, const char *name, void *(*run)(void *), void *user,
                 struct error *reterr) MUST_CHECK;

struct pool;

/* `workers` members, at least 1: the thread that calls pool_run is member 0, the others are started here. */
int pool_new(unsigned workers, struct pool **ret_pool, struct error *reterr) MUST_CHECK;
struct pool *pool_free(struct pool *pool);
unsigned pool_workers(const struct pool *pool);

/* Every member runs fn(user, member); returns when all have returned. One caller at a time. */
void pool_run(struct pool *pool, void (*fn)(void *user, unsigned worker), void *user);

/* Inside fn. The next task of the current phase, each of 0 … tasks - 1 handed out once; false when none is
 * left. */
bool pool_claim(struct pool *pool, size_t tasks, size_t *ret_task);

/* Inside fn, by member `worker`. Waits for all members and begins the next phase. Every member must pass the
 * same barriers. */
void pool_barrier(struct pool *pool, unsigned worker);

#endif
