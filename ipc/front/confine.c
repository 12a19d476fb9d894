/* SPDX-License-Identifier: Apache-2.0
 *
 * The calls were found with strace -f over the tests; each line says who needs it.
 */
#include "ipc/front/confine.h"

#include <errno.h>
#include <malloc.h>
#include <stddef.h>
#include <sys/resource.h>

#include "base/sandbox.h"

static const char *const allowed_calls[] = {
    /* the loop, its timers, libzmq's pollers and mailboxes */
    "epoll_wait",
    "epoll_pwait",
    "epoll_ctl",
    "poll",
    "ppoll",
    "read",
    "write",
    "timerfd_settime",
    /* the core */
    "recvmsg",
    "sendmsg",
    /* payloads */
    "memfd_create",
    "fcntl",
    "fstat",
    "newfstatat",
    "close",
    /* clients: libzmq's listeners and engines */
    "accept4",
    "recvfrom",
    "sendto",
    "getsockopt",
    "setsockopt",
    "getsockname",
    "getpeername",
    "shutdown",
    /* memory; CURVE keeps its keys out of the swap */
    "mmap",
    "munmap",
    "mremap",
    "mprotect",
    "madvise",
    "brk",
    "mlock",
    "munlock",
    /* threads, time, randomness */
    "futex",
    "restart_syscall",
    "getrandom",
    "clock_gettime",
    /* the end: the socket file goes, threads join; an abort must be seen as one */
    "unlink",
    "unlinkat",
    "exit",
    "exit_group",
    "rt_sigprocmask",
    "rt_sigreturn",
    "rt_sigaction",
    "getpid",
    "gettid",
    "tgkill",
};

_Static_assert(sizeof allowed_calls / sizeof *allowed_calls <= 45, "the front may make at most 45");

int confine_limits(struct error *reterr) {
    struct rlimit files;
    struct sandbox_limits limits = {
        .address_space_bytes =
            1536ull << 20, /* what an endless multipart message can take before it costs its sender */
        .open_files = 65536,
        .file_bytes = 64 << 20, /* memory descriptors count as files */
        .processes = SANDBOX_KEEP,
        .cpu_s = SANDBOX_KEEP,
    };
    if (getrlimit(RLIMIT_NOFILE, &files) != 0) {
        return error_errno(reterr, errno, "the limit of open files cannot be read");
    }
    if (files.rlim_max < limits.open_files) {
        limits.open_files = files.rlim_max;
    }
    (void)mallopt(M_ARENA_MAX, 1); /* each further arena would reserve 64 MiB of the address space */
    return sandbox_basics(&limits, reterr);
}

int confine_calls(struct error *reterr) {
    return sandbox_syscalls(allowed_calls, sizeof allowed_calls / sizeof *allowed_calls, reterr);
}
