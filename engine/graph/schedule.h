/* SPDX-License-Identifier: Apache-2.0
 *
 * The driver: takes submitted jobs, packs tokens of as many as fit into steps, lets the pool compute them,
 * and puts finished jobs on the done list. Behind the functions of engine/engine.h with the same names, which
 * say what each of them does.
 */
#ifndef BUCKLER_ENGINE_GRAPH_SCHEDULE_H
#define BUCKLER_ENGINE_GRAPH_SCHEDULE_H

#include "engine/engine.h"

struct scheduler;

int scheduler_new(unsigned workers, unsigned queue_jobs, struct scheduler **ret_scheduler,
                  struct error *reterr) MUST_CHECK;
struct scheduler *scheduler_free(struct scheduler *s);

int scheduler_submit(struct scheduler *s, struct engine_job *job, struct error *reterr) MUST_CHECK;
int scheduler_eventfd(const struct scheduler *s);
struct engine_job *scheduler_reap(struct scheduler *s);

/* Waits for one submitted job and takes it off the done list. */
void scheduler_wait(struct scheduler *s, struct engine_job *job);

#endif
