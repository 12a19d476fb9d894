/* SPDX-License-Identifier: Apache-2.0
 *
 * One epoll dispatcher a process: files, timers and signals, all level-triggered, all on the thread that
 * calls loop_run. A callback may add and remove any source, itself included; a removed source is never called
 * again, also when its event was already fetched.
 */
#ifndef BUCKLER_BASE_LOOP_H
#define BUCKLER_BASE_LOOP_H

#include <stdint.h>

#include "base/error.h"

struct loop;
struct loop_source;

/* `events` are EPOLLIN, EPOLLOUT, EPOLLHUP, EPOLLERR as in epoll_ctl(2). */
typedef void loop_file_fn(void *user, uint32_t events);
typedef void loop_timer_fn(void *user);
typedef void loop_signal_fn(void *user, int signal_number);

struct loop *loop_new(void);
struct loop *loop_free(struct loop *loop); /* removes what is left; returns NULL */

/* The descriptor stays the caller's; remove the source before closing it. NULL when memory or descriptors are
 * out. */
struct loop_source *loop_add_file(struct loop *loop, int fd, uint32_t events, loop_file_fn *fn, void *user);
int loop_set_events(struct loop_source *source, uint32_t events) MUST_CHECK;

/* A timer that is not armed. loop_arm: fires once at the monotonic time; 0 disarms. */
struct loop_source *loop_add_timer(struct loop *loop, loop_timer_fn *fn, void *user);
void loop_arm(struct loop_source *timer, uint64_t monotonic_ns);

/* Blocks the signal for the calling thread and delivers it here. Add before threads are started. */
struct loop_source *loop_add_signal(struct loop *loop, int signal_number, loop_signal_fn *fn, void *user);

/* Accepts NULL; returns NULL. */
struct loop_source *loop_remove(struct loop_source *source);

/* Until loop_stop. 0, or -errno when epoll itself fails. */
int loop_run(struct loop *loop) MUST_CHECK;
void loop_stop(struct loop *loop);

/* One round: waits at most `timeout_ms` (-1: for ever) and runs what is ready. For tests and nested waits. */
int loop_once(struct loop *loop, int timeout_ms) MUST_CHECK;

#endif
