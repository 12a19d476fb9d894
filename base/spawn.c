/* SPDX-License-Identifier: Apache-2.0 */
#include "base/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"

#define LIBEXEC_DIR "/usr/libexec/buckler"

static int fill_actions(posix_spawn_file_actions_t *actions, int child_end) {
    /* dup2 onto itself would keep close-on-exec; socketpair never returns 3 while the caller holds lower
     * ones, but when it does, posix_spawn clears the flag for equal numbers (POSIX.1-2017 defect 411,
     * glibc 2.29). */
    int rc = posix_spawn_file_actions_addopen(actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    rc = rc != 0 ? rc : posix_spawn_file_actions_adddup2(actions, STDERR_FILENO, STDOUT_FILENO);
    rc = rc != 0 ? rc : posix_spawn_file_actions_adddup2(actions, child_end, SPAWN_FD);
    return rc != 0 ? rc : posix_spawn_file_actions_addclosefrom_np(actions, SPAWN_FD + 1);
}

static int start(const char *path, char *const argv[], int child_end, pid_t *ret_pid) {
    extern char **environ;
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none;
    sigset_t all;
    (void)sigemptyset(&none);
    (void)sigfillset(&all);
    int rc = posix_spawn_file_actions_init(&actions);
    if (rc != 0) {
        return rc;
    }
    rc = posix_spawnattr_init(&attributes);
    if (rc == 0) {
        rc = fill_actions(&actions, child_end);
        rc = rc != 0 ? rc
                     : posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
        rc = rc != 0 ? rc : posix_spawnattr_setsigmask(&attributes, &none);
        rc = rc != 0 ? rc : posix_spawnattr_setsigdefault(&attributes, &all);
        rc = rc != 0 ? rc : posix_spawn(ret_pid, path, &actions, &attributes, argv, environ);
        (void)posix_spawnattr_destroy(&attributes);
    }
    (void)posix_spawn_file_actions_destroy(&actions);
    return rc;
}

int spawn_role(const char *path, char *const argv[], struct spawned *ret, struct error *reterr) {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
        return error_errno(reterr, errno, "no socket for %s", path);
    }
    CLEANUP(close_fd) int ours = ends[0];
    CLEANUP(close_fd) int theirs = ends[1];
    pid_t pid = -1;
    int rc = fd_set_nonblocking(ours);
    if (rc < 0) {
        return error_errno(reterr, -rc, "no socket for %s", path);
    }
    rc = start(path, argv, theirs, &pid);
    if (rc != 0) {
        return error_errno(reterr, rc, "%s cannot be started", path);
    }
    *ret = (struct spawned){.pid = pid, .socket = steal_fd(&ours)};
    return 0;
}

int spawn_sibling_path(const char *name, char *out, size_t out_size) {
    char self[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    if (length < 0) {
        return -errno;
    }
    self[length] = '\0';
    char *slash = strrchr(self, '/');
    int used = snprintf(out, out_size, "%.*s/%s", slash == NULL ? 0 : (int)(slash - self), self, name);
    if (used < 0 || (size_t)used >= out_size) {
        return -ENAMETOOLONG;
    }
    if (access(out, X_OK) == 0) {
        return 0;
    }
    used = snprintf(out, out_size, "%s/%s", LIBEXEC_DIR, name);
    if (used < 0 || (size_t)used >= out_size) {
        return -ENAMETOOLONG;
    }
    return access(out, X_OK) == 0 ? 0 : -errno;
}
