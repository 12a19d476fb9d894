/* SPDX-License-Identifier: Apache-2.0
 *
 * Starts a role program with one end of a SOCK_SEQPACKET pair on descriptor 3 and everything above closed.
 */
#ifndef BUCKLER_BASE_SPAWN_H
#define BUCKLER_BASE_SPAWN_H

#include <sys/types.h>

#include "base/error.h"

enum { SPAWN_FD = 3 };

struct spawned {
    pid_t pid;
    int socket; /* our end: non-blocking, close-on-exec; owned by the caller */
};

/* `path` is the program; `argv` ends with NULL. The child keeps stdin (from /dev/null), stdout (to standard
 * error, so that only the parent speaks on standard output) and stderr. Signal mask and dispositions are
 * reset. */
int spawn_role(const char *path, char *const argv[], struct spawned *ret, struct error *reterr) MUST_CHECK;

/* The path of the sibling program `name` next to the running executable, or in `libexec` when not there. 0 or
 * -errno. */
int spawn_sibling_path(const char *name, char *out, size_t out_size) MUST_CHECK;

#endif
