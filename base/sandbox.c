/* SPDX-License-Identifier: Apache-2.0 */
#include "base/sandbox.h"

#include <errno.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

static int set_limit(int which, uint64_t value, const char *name, struct error *reterr) {
    if (value == SANDBOX_KEEP) {
        return 0;
    }
    struct rlimit limit = {.rlim_cur = value, .rlim_max = value};
    if (setrlimit((__rlimit_resource_t)which, &limit) != 0) {
        return error_errno(reterr, errno, "sandbox: %s cannot be limited to %llu", name,
                           (unsigned long long)value);
    }
    return 0;
}

int sandbox_basics(const struct sandbox_limits *limits, struct error *reterr) {
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_DUMPABLE, 0) != 0) {
        return error_errno(reterr, errno, "sandbox: prctl refused");
    }
    int rc = set_limit(RLIMIT_CORE, 0, "core size", reterr);
    rc = rc != 0 ? rc : set_limit(RLIMIT_AS, limits->address_space_bytes, "address space", reterr);
    rc = rc != 0 ? rc : set_limit(RLIMIT_NOFILE, limits->open_files, "open files", reterr);
    rc = rc != 0 ? rc : set_limit(RLIMIT_FSIZE, limits->file_bytes, "file size", reterr);
    rc = rc != 0 ? rc : set_limit(RLIMIT_NPROC, limits->processes, "processes", reterr);
    return rc != 0 ? rc : set_limit(RLIMIT_CPU, limits->cpu_s, "processor time", reterr);
}

static int allow(scmp_filter_ctx filter, const char *name) {
    int number = seccomp_syscall_resolve_name(name);
    if (number == __NR_SCMP_ERROR) {
        return -EINVAL;
    }
    if (strcmp(name, "mmap") == 0 || strcmp(name, "mprotect") == 0) {
        return seccomp_rule_add(filter, SCMP_ACT_ALLOW, number, 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    }
    return seccomp_rule_add(filter, SCMP_ACT_ALLOW, number, 0);
}

int sandbox_syscalls(const char *const names[], size_t count, struct error *reterr) {
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
    if (filter == NULL) {
        return error_errno(reterr, ENOMEM, "sandbox: seccomp");
    }
    int rc = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
    for (size_t i = 0; i < count && rc == 0; i++) {
        rc = allow(filter, names[i]);
        if (rc < 0) {
            (void)error_errno(reterr, -rc, "sandbox: system call %s cannot be allowed", names[i]);
        }
    }
    if (rc == 0) {
        rc = seccomp_load(filter);
        if (rc < 0) {
            (void)error_errno(reterr, -rc, "sandbox: the seccomp filter cannot be attached");
        }
    }
    seccomp_release(filter);
    return rc;
}

void sandbox_describe(char *out, size_t out_size) {
    (void)snprintf(out, out_size, "seccomp=%s no_new_privs=%s dumpable=%s",
                   prctl(PR_GET_SECCOMP) == 2 ? "filter" : "off",
                   prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? "yes" : "no",
                   prctl(PR_GET_DUMPABLE) == 1 ? "yes" : "no");
}
