/* SPDX-License-Identifier: Apache-2.0
 *
 * Each case runs in a child of its own: what a sandbox takes away does not come back.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/sandbox.h"

static const struct sandbox_limits keep_all = {SANDBOX_KEEP, SANDBOX_KEEP, SANDBOX_KEEP, SANDBOX_KEEP,
                                               SANDBOX_KEEP};
/* sigaltstack: the address sanitizer calls it on the way to _exit. */
static const char *const few[] = {"exit_group", "write", "mmap",       "mprotect",
                                  "munmap",     "futex", "sigaltstack"};

/* The exit status of a child that ran `body`, or minus the signal that killed it. */
static int run(int (*body)(void)) {
    int status = 0;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        _exit(body());
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static int enter(void) {
    struct error e = {0};
    return sandbox_syscalls(few, sizeof few / sizeof *few, &e);
}

static int allowed_calls(void) {
    if (enter() != 0) {
        return 1;
    }
    void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED || mprotect(p, 4096, PROT_READ) != 0 || munmap(p, 4096) != 0) {
        return 2;
    }
    return write(STDERR_FILENO, "", 0) == 0 ? 0 : 3;
}

static int opens_a_file(void) {
    return enter() != 0 ? 1 : open("/dev/null", O_RDONLY) >= 0 ? 2 : 3;
}

static int asks_for_its_parent(void) {
    return enter() != 0 ? 1 : getppid() > 0 ? 2 : 3;
}

static int maps_code(void) {
    if (enter() != 0) {
        return 1;
    }
    return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED ? 2 : 3;
}

static int makes_memory_executable(void) {
    void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED || enter() != 0) {
        return 1;
    }
    return mprotect(p, 4096, PROT_READ | PROT_EXEC) == 0 ? 2 : 3;
}

static void test_listed_calls_still_work(void **state) {
    (void)state;
    assert_int_equal(run(allowed_calls), 0);
}

static void test_a_call_that_is_not_listed_kills_the_process(void **state) {
    (void)state;
    assert_int_equal(run(opens_a_file), -SIGSYS);
    assert_int_equal(run(asks_for_its_parent), -SIGSYS);
}

static void test_no_memory_becomes_code(void **state) {
    (void)state;
    assert_int_equal(run(maps_code), -SIGSYS);
    assert_int_equal(run(makes_memory_executable), -SIGSYS);
}

static int lists_an_unknown_call(void) {
    static const char *const names[] = {"exit_group", "no_such_call"};
    struct error e = {0};
    int rc = sandbox_syscalls(names, 2, &e);
    /* Not attached: this call would kill otherwise. */
    return rc == -EINVAL && e.code == rc && strstr(e.text, "no_such_call") != NULL && getppid() > 0 ? 0 : 1;
}

static void test_an_unknown_name_is_refused_and_nothing_is_attached(void **state) {
    (void)state;
    assert_int_equal(run(lists_an_unknown_call), 0);
}

static int takes_the_limits(void) {
    struct sandbox_limits limits = keep_all;
    struct rlimit got;
    struct error e = {0};
    limits.open_files = 20;
    limits.file_bytes = 4096;
    limits.cpu_s = 1000;
    if (sandbox_basics(&limits, &e) != 0) {
        return 1;
    }
    if (getrlimit(RLIMIT_NOFILE, &got) != 0 || got.rlim_cur != 20 || got.rlim_max != 20) {
        return 2;
    }
    if (getrlimit(RLIMIT_FSIZE, &got) != 0 || got.rlim_cur != 4096) {
        return 3;
    }
    if (getrlimit(RLIMIT_CPU, &got) != 0 || got.rlim_cur != 1000) {
        return 4;
    }
    if (getrlimit(RLIMIT_CORE, &got) != 0 || got.rlim_max != 0) {
        return 5;
    }
    int fd = 0;
    for (int i = 0; i < 30 && fd >= 0; i++) {
        fd = dup(STDERR_FILENO);
    }
    return fd == -1 && errno == EMFILE ? 0 : 6;
}

static int keeps_a_limit(void) {
    struct rlimit before;
    struct rlimit after;
    struct error e = {0};
    (void)getrlimit(RLIMIT_AS, &before);
    int rc = sandbox_basics(&keep_all, &e);
    (void)getrlimit(RLIMIT_AS, &after);
    return rc == 0 && before.rlim_cur == after.rlim_cur && before.rlim_max == after.rlim_max ? 0 : 1;
}

static void test_the_limits_are_taken_or_kept(void **state) {
    (void)state;
    assert_int_equal(run(takes_the_limits), 0);
    assert_int_equal(run(keeps_a_limit), 0);
}

static int asks_for_the_impossible(void) {
    struct sandbox_limits limits = keep_all;
    struct error e = {0};
    struct rlimit now = {.rlim_cur = 16, .rlim_max = 16};
    if (setrlimit(RLIMIT_NOFILE, &now) != 0) {
        return 1;
    }
    limits.open_files = (uint64_t)1 << 40; /* above what the kernel gives anybody */
    int rc = sandbox_basics(&limits, &e);
    return rc < 0 && strstr(e.text, "open files") != NULL ? 0 : 2;
}

static void test_a_limit_that_cannot_be_set_is_an_error(void **state) {
    (void)state;
    assert_int_equal(run(asks_for_the_impossible), 0);
}

static int describes(void) {
    static const char *const names[] = {"exit_group", "prctl", "write", "sigaltstack"};
    char text[128];
    struct error e = {0};
    sandbox_describe(text, sizeof text);
    if (strstr(text, "dumpable=yes") == NULL) { /* the rest may be in force for the whole test run already */
        return 1;
    }
    if (sandbox_basics(&keep_all, &e) != 0 || sandbox_syscalls(names, 4, &e) != 0) {
        return 2;
    }
    sandbox_describe(text, sizeof text);
    return strcmp(text, "seccomp=filter no_new_privs=yes dumpable=no") == 0 ? 0 : 3;
}

static void test_describes_what_the_kernel_reports(void **state) {
    (void)state;
    assert_int_equal(run(describes), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_listed_calls_still_work),
        cmocka_unit_test(test_a_call_that_is_not_listed_kills_the_process),
        cmocka_unit_test(test_no_memory_becomes_code),
        cmocka_unit_test(test_an_unknown_name_is_refused_and_nothing_is_attached),
        cmocka_unit_test(test_the_limits_are_taken_or_kept),
        cmocka_unit_test(test_a_limit_that_cannot_be_set_is_an_error),
        cmocka_unit_test(test_describes_what_the_kernel_reports),
    };
    return cmocka_run_group_tests_name("base/sandbox", tests, NULL, NULL);
}
