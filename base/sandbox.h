/* SPDX-License-Identifier: Apache-2.0
 *
 * What a role gives up before it reads a foreign byte. Each step either holds or the role refuses to run.
 */
#ifndef BUCKLER_BASE_SANDBOX_H
#define BUCKLER_BASE_SANDBOX_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define SANDBOX_KEEP UINT64_MAX

struct sandbox_limits {
    uint64_t address_space_bytes; /* RLIMIT_AS; SANDBOX_KEEP leaves a limit as it is */
    uint64_t open_files;          /* RLIMIT_NOFILE */
    uint64_t file_bytes;          /* RLIMIT_FSIZE */
    uint64_t processes;           /* RLIMIT_NPROC */
    uint64_t cpu_s;               /* RLIMIT_CPU */
};

/* No core files, no new privileges, not dumpable, dies with its parent; then the limits. */
int sandbox_basics(const struct sandbox_limits *limits, struct error *reterr) MUST_CHECK;

/* Seccomp allow-list by system call names; anything else kills the process. mmap and mprotect, when listed,
 * are allowed without PROT_EXEC only. Covers all threads. */
int sandbox_syscalls(const char *const names[], size_t count, struct error *reterr) MUST_CHECK;

/* Lower-case words for what the kernel reports as in force, for `bucklerctl self-check` ("seccomp nnp …"). */
void sandbox_describe(char *out, size_t out_size);

#endif
