/* SPDX-License-Identifier: Apache-2.0
 *
 * A new generation: built aside on an engine thread, made to pass its policies' examples through the ordinary
 * life of a request, and only then put in force with one pointer. A failing one changes nothing and says why.
 */
#ifndef BUCKLER_DAEMON_RELOAD_H
#define BUCKLER_DAEMON_RELOAD_H

struct daemon;
struct engine_job;

/* Starts building. While one is being built, another call makes it start once more afterwards. */
void reload_start(struct daemon *d);

/* The engine gave the building job back (daemon.c tells reload jobs by their user pointer). */
void reload_built(struct daemon *d, struct engine_job *job);

/* True when the job is the one of the reload under way. */
int reload_owns(const struct daemon *d, const struct engine_job *job);

/* Runs the examples when generation, decoders and state allow; called from daemon_advance. */
void reload_advance(struct daemon *d);

#endif
