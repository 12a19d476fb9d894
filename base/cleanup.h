/* SPDX-License-Identifier: Apache-2.0
 *
 * Locals that own something: `CLEANUP(free_ptr) char *name = NULL;`. On success hand the thing over with
 * steal().
 */
#ifndef BUCKLER_BASE_CLEANUP_H
#define BUCKLER_BASE_CLEANUP_H

#include <stdlib.h>
#include <unistd.h>

#define CLEANUP(function) __attribute__((cleanup(function)))

/* Returns the pointer and leaves NULL behind, so that the cleanup of the local does nothing. */
#define steal(pointer)                                                                                       \
    ({                                                                                                       \
        __typeof__(pointer) stolen_ = (pointer);                                                             \
        (pointer) = NULL;                                                                                    \
        stolen_;                                                                                             \
    })

static inline void free_ptr(void *p) {
    free(*(void **)p);
}

static inline void close_fd(int *fd) {
    if (*fd >= 0) {
        (void)close(*fd);
    }
    *fd = -1;
}

static inline int steal_fd(int *fd) {
    int stolen = *fd;
    *fd = -1;
    return stolen;
}

#endif
