/* SPDX-License-Identifier: Apache-2.0
 *
 * The role that test_spawn.c starts: reports on descriptor 3 what it was given, then echoes messages until
 * the end.
 */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/imsg.h"
#include "base/spawn.h"

/* Letters of what is wrong; empty when all is well. */
static void look_around(int argc, char **argv, char *out) {
    sigset_t mask;
    struct sigaction action;
    struct stat in;
    struct stat null;
    struct stat std_out;
    struct stat std_err;
    DIR *folder = opendir("/proc/self/fd");
    for (struct dirent *entry = folder == NULL ? NULL : readdir(folder); entry != NULL;
         entry = readdir(folder)) {
        if (atoi(entry->d_name) > SPAWN_FD && atoi(entry->d_name) != dirfd(folder)) {
            *out++ = 'd'; /* a descriptor that was not meant for us */
        }
    }
    (void)closedir(folder);
    if (fstat(STDIN_FILENO, &in) != 0 || stat("/dev/null", &null) != 0 || in.st_rdev != null.st_rdev) {
        *out++ = 'i';
    }
    if (fstat(STDOUT_FILENO, &std_out) != 0 || fstat(STDERR_FILENO, &std_err) != 0 ||
        std_out.st_ino != std_err.st_ino) {
        *out++ = 'o';
    }
    if (sigprocmask(SIG_BLOCK, NULL, &mask) != 0 || sigismember(&mask, SIGUSR1) != 0) {
        *out++ = 'm';
    }
    if (sigaction(SIGPIPE, NULL, &action) != 0 || action.sa_handler != SIG_DFL) {
        *out++ = 's';
    }
    if (argc != 2 || strcmp(argv[1], "an argument") != 0) {
        *out++ = 'a';
    }
    *out = '\0';
}

int main(int argc, char **argv) {
    static char space[IMSG_SPACE_BYTES];
    char wrong[64];
    struct imsg m;
    look_around(argc, argv, wrong);
    if (imsg_send(SPAWN_FD, 1, 0, wrong, strlen(wrong), NULL, 0) != 0) {
        return 2;
    }
    while (imsg_receive(SPAWN_FD, space, &m) == 0) {
        if (imsg_send(SPAWN_FD, m.type, m.id, m.body, m.body_size, m.fds, m.fd_count) != 0) {
            return 3;
        }
        imsg_close_fds(&m);
    }
    return 7;
}
