/* SPDX-License-Identifier: Apache-2.0
 *
 * buckler-front: started by bucklerd with a socket on descriptor 3, ends when that socket does. It takes no
 * arguments; everything it needs comes in IPC_CONFIGURE.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/spawn.h"
#include "ipc/front/confine.h"
#include "ipc/front/front.h"

enum { EXIT_CONFIG = 78 };

static const struct log program_log = {.program = "buckler-front", .level = LOG_INFO_LEVEL};

static int receive_settings(struct ipc_settings *ret, struct error *reterr) {
    CLEANUP(free_ptr) void *space = malloc(IMSG_SPACE_BYTES);
    struct pollfd waiting = {.fd = SPAWN_FD, .events = POLLIN};
    struct imsg message;
    int rc = fd_set_nonblocking(SPAWN_FD);
    if (space == NULL || rc < 0) {
        return error_set(reterr, -EBADF,
                         "descriptor %d is not a socket to bucklerd; bucklerd starts this program", SPAWN_FD);
    }
    do {
        rc = poll(&waiting, 1, -1) < 0 && errno != EINTR ? -errno : imsg_receive(SPAWN_FD, space, &message);
    } while (rc == -EAGAIN);
    if (rc < 0) {
        return error_errno(reterr, -rc, "no settings came from bucklerd");
    }
    rc = message.type == IPC_CONFIGURE ? ipc_decode_settings(&message, ret) : IPC_E_MALFORMED;
    imsg_close_fds(&message);
    return rc != 0 ? error_set(reterr, -EPROTO, "bucklerd's settings are malformed") : 0;
}

static void on_terminate(void *user, int signal_number) {
    (void)signal_number;
    loop_stop(user);
}

/* An interrupt from the terminal reaches the whole group; the core decides when the front ends. */
static int watch_signals(struct loop *loop, struct error *reterr) {
    if (signal(SIGINT, SIG_IGN) == SIG_ERR || signal(SIGPIPE, SIG_IGN) == SIG_ERR ||
        loop_add_signal(loop, SIGTERM, on_terminate, loop) == NULL) {
        return error_errno(reterr, errno, "signals cannot be watched");
    }
    return 0;
}

static int serve(struct loop *loop, struct ipc_settings *settings, struct error *reterr) {
    struct front *front = NULL;
    int rc = watch_signals(loop, reterr);
    rc = rc != 0 ? rc : confine_limits(reterr);
    rc = rc != 0 ? rc : front_new(settings, loop, SPAWN_FD, &program_log, &front, reterr);
    rc = rc != 0 ? rc : confine_calls(reterr);
    if (rc != 0) {
        int told = imsg_send(SPAWN_FD, IPC_FAILED, 0, reterr->text, strlen(reterr->text), NULL, 0);
        if (told < 0) {
            log_warning(&program_log, "untold", "bucklerd could not be told: %s", strerror(-told));
        }
    } else {
        rc = front_announce(front);
        rc = rc != 0 ? rc : loop_run(loop);
    }
    (void)front_free(front);
    return rc;
}

int main(void) {
    struct ipc_settings settings = {0};
    struct error error = {0};
    struct loop *loop = loop_new();
    int rc = loop != NULL ? receive_settings(&settings, &error) : error_errno(&error, errno, "no event loop");
    rc = rc != 0 ? rc : serve(loop, &settings, &error);
    (void)loop_free(loop);
    explicit_bzero(settings.curve_secret, sizeof settings.curve_secret);
    if (rc != 0 && rc != -EPIPE) {
        log_error(&program_log, "failed", "%s", error.text[0] != '\0' ? error.text : strerror(-rc));
        return EXIT_CONFIG;
    }
    return 0;
}
