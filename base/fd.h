/* SPDX-License-Identifier: Apache-2.0
 *
 * Payloads between the roles travel as memory descriptors: written once, then sealed so that nobody can
 * change or shrink them while another process reads.
 */
#ifndef BUCKLER_BASE_FD_H
#define BUCKLER_BASE_FD_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* A memfd that holds a copy of `bytes`, sealed against writing, growing and shrinking. Returns the descriptor
 * (close-on-exec) or -errno. */
int fd_sealed(const void *bytes, size_t size) MUST_CHECK;

/* Maps a sealed memfd read-only. Fails with -EPERM when seals are missing, -EINVAL when it is not `size`
 * bytes long. An empty payload maps to a valid pointer to nothing. Unmap with fd_unmap(). */
int fd_map_sealed(int fd, size_t size, const uint8_t **ret_bytes) MUST_CHECK;
void fd_unmap(const uint8_t *bytes, size_t size);

/* Whole reads and writes on blocking descriptors, EINTR retried. fd_read_all returns -ENODATA at an early
 * end. */
int fd_read_all(int fd, void *out, size_t size) MUST_CHECK;
int fd_write_all(int fd, const void *bytes, size_t size) MUST_CHECK;

int fd_set_nonblocking(int fd) MUST_CHECK;

#endif
