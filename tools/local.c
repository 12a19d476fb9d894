/* SPDX-License-Identifier: Apache-2.0
 *
 * --local: a private bucklerd in a folder of its own. Content takes the same way as online (front, decoders,
 * engine, policy, audit record), so the verdicts are the same bytes.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/spawn.h"
#include "tools/command.h"

struct local_daemon {
    pid_t pid;
    char state[64];
    char server[128];
};

const char *local_default_config(char *space, size_t size) {
    const char *named = getenv("BUCKLER_CONFIG");
    if (named != NULL && named[0] != '\0') {
        return named;
    }
    static const char packaged[] = "/etc/buckler/buckler.yaml";
    if (access(packaged, R_OK) == 0) {
        return packaged;
    }
    char self[4096];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    self[length > 0 ? length : 0] = '\0';
    char *build = strstr(self, "/build/");
    if (build != NULL && snprintf(space, size, "%.*s/etc/dev.yaml", (int)(build - self), self) < (int)size &&
        access(space, R_OK) == 0) {
        return space;
    }
    return packaged;
}

static int start_process(const char *program, const char *config, const char *state, int ready,
                         pid_t *ret_pid) {
    extern char **environ;
    char *argv[] = {(char *)(uintptr_t)program,    (char *)(uintptr_t) "--config",
                    (char *)(uintptr_t)config,     (char *)(uintptr_t) "--state",
                    (char *)(uintptr_t)state,      (char *)(uintptr_t) "--log-level",
                    (char *)(uintptr_t) "warning", NULL};
    posix_spawn_file_actions_t actions;
    int rc = posix_spawn_file_actions_init(&actions);
    if (rc != 0) {
        return rc;
    }
    rc = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    rc = rc != 0 ? rc : posix_spawn_file_actions_adddup2(&actions, ready, STDOUT_FILENO);
    rc = rc != 0 ? rc : posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);
    rc = rc != 0 ? rc : posix_spawn(ret_pid, program, &actions, NULL, argv, environ);
    (void)posix_spawn_file_actions_destroy(&actions);
    return rc;
}

static int wait_ready(int fd, struct error *reterr) {
    char word[8] = {0};
    size_t used = 0;
    while (used < 6) {
        ssize_t got = read(fd, word + used, 6 - used);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            return error_set(reterr, -ECONNREFUSED, "the local daemon did not start; its messages are above");
        }
        used += (size_t)got;
    }
    return strcmp(word, "ready\n") == 0 ? 0
                                        : error_set(reterr, -EPROTO, "the local daemon said something odd");
}

static void local_cleanup(struct local_daemon **local) {
    (void)local_stop(*local);
}

int local_start(const char *config, struct local_daemon **ret, struct error *reterr) {
    char program[4096];
    char space[4096];
    CLEANUP(local_cleanup) struct local_daemon *local = calloc(1, sizeof *local);
    CLEANUP(close_fd) int reader = -1;
    CLEANUP(close_fd) int writer = -1;
    int ends[2];
    if (local == NULL) {
        return error_errno(reterr, ENOMEM, "--local");
    }
    (void)snprintf(local->state, sizeof local->state, "/tmp/buckler-local-XXXXXX");
    if (mkdtemp(local->state) == NULL) {
        local->state[0] = '\0';
        return error_errno(reterr, errno, "--local: no folder for its state");
    }
    if (pipe2(ends, O_CLOEXEC) != 0) {
        return error_errno(reterr, errno, "--local: no pipe");
    }
    reader = ends[0];
    writer = ends[1];
    int rc = spawn_sibling_path("bucklerd", program, sizeof program);
    if (rc < 0) {
        return error_errno(reterr, -rc, "--local: bucklerd is not beside bucklerctl");
    }
    rc = start_process(program, config != NULL ? config : local_default_config(space, sizeof space),
                       local->state, writer, &local->pid);
    if (rc != 0) {
        return error_errno(reterr, rc, "--local: bucklerd cannot be started");
    }
    close_fd(&writer);
    rc = wait_ready(reader, reterr);
    if (rc != 0) {
        return rc;
    }
    (void)snprintf(local->server, sizeof local->server, "ipc://%s/run/front.sock", local->state);
    *ret = steal(local);
    return 0;
}

const char *local_server(const struct local_daemon *local) {
    return local->server;
}

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *where) {
    (void)info;
    (void)type;
    (void)where;
    return remove(path);
}

struct local_daemon *local_stop(struct local_daemon *local) {
    if (local != NULL) {
        if (local->pid > 0) {
            (void)kill(local->pid, SIGTERM);
            (void)waitpid(local->pid, NULL, 0);
        }
        if (local->state[0] != '\0') {
            (void)nftw(local->state, remove_one, 16, FTW_DEPTH | FTW_PHYS);
        }
        free(local);
    }
    return NULL;
}
