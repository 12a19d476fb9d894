/* SPDX-License-Identifier: Apache-2.0 */
#include "audit/confine.h"

#include "base/digest.h"
#include "base/sandbox.h"

/* AddressSanitizer reserves terabytes of address space for its shadow; gcc and clang say differently that it
 * is there. */
#ifdef __has_feature
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define ADDRESS_SPACE SANDBOX_KEEP
#endif
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define ADDRESS_SPACE SANDBOX_KEEP
#endif
#ifndef ADDRESS_SPACE
#define ADDRESS_SPACE (256ull << 20)
#endif

static const char *const allowed[] = {
    /* the core's socket and the loop */
    "recvmsg",
    "sendmsg",
    "epoll_create1",
    "epoll_ctl",
    "epoll_wait",
    "epoll_pwait",
    "timerfd_create",
    "timerfd_settime",
    /* the log's files */
    "openat",
    "close",
    "mkdirat",
    "renameat",
    "renameat2",
    "unlinkat",
    "fallocate",
    "read",
    "pread64",
    "write",
    "pwritev",
    "pwrite64",
    "pwritev2",
    "fstat",
    "newfstatat",
    "statx",
    "lseek",
    "getdents64",
    "fsync",
    "fdatasync",
    "fadvise64",
    "ftruncate",
    "flock",
    "fcntl",
    /* memory, time, random numbers, the end */
    "mmap",
    "munmap",
    "mremap",
    "mprotect",
    "brk",
    "madvise",
    "futex",
    "clock_gettime",
    "getrandom",
    "getpid",
    "gettid",
    "tgkill",
    "rt_sigaction",
    "rt_sigprocmask",
    "rt_sigreturn",
    "sigaltstack",
    "sched_yield",
    "restart_syscall",
    "exit",
    "exit_group",
};

int confine(struct error *reterr) {
    const struct sandbox_limits limits = {.address_space_bytes = ADDRESS_SPACE,
                                          .open_files = 32,
                                          .file_bytes = SANDBOX_KEEP,
                                          .processes = SANDBOX_KEEP,
                                          .cpu_s = SANDBOX_KEEP};
    uint8_t digest[DIGEST_BYTES];
    /* The first digest makes OpenSSL read its configuration; that is not needed afterwards. */
    int rc = digest_sha256("", 0, digest);
    if (rc != 0) {
        return error_errno(reterr, -rc, "OpenSSL");
    }
    rc = sandbox_basics(&limits, reterr);
    return rc != 0 ? rc : sandbox_syscalls(allowed, sizeof allowed / sizeof allowed[0], reterr);
}
