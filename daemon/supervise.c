/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/supervise.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/spawn.h"
#include "daemon/daemon.h"

enum {
    FINISH_MS = 10000,
    FIRST_DELAY_MS = 20,
    LAST_DELAY_MS = 5000,
    YOUNG_MS = 2000,
    MESSAGES_PER_ROUND = 256
};

struct role_queued {
    struct role_queued *next;
    uint16_t type;
    uint64_t id;
    size_t size;
    uint8_t body[];
};

void role_init(struct role *role, struct daemon *d, const struct role_type *type) {
    *role = (struct role){.type = type, .daemon = d, .socket = -1};
    role->queue_tail = &role->queue;
}

static void drop_queue(struct role *role) {
    while (role->queue != NULL) {
        struct role_queued *next = role->queue->next;
        free(role->queue);
        role->queue = next;
    }
    role->queue_tail = &role->queue;
    role->queue_length = 0;
}

static void disconnect(struct role *role) {
    role->source = loop_remove(role->source);
    if (role->socket >= 0) {
        (void)close(role->socket);
    }
    role->socket = -1;
    role->ready = false;
    drop_queue(role);
}

static void flush_queue(struct role *role) {
    while (role->queue != NULL) {
        struct role_queued *first = role->queue;
        if (imsg_send(role->socket, first->type, first->id, first->body, first->size, NULL, 0) == -EAGAIN) {
            return; /* any other error shows up as the end of the socket */
        }
        role->queue = first->next;
        role->queue_length--;
        free(first);
    }
    role->queue_tail = &role->queue;
    if (role->source != NULL && loop_set_events(role->source, EPOLLIN) < 0) {
        log_error(&role->daemon->log, "epoll", "%s: events cannot be set", role->type->program);
    }
}

bool role_send(struct role *role, uint16_t type, uint64_t id, const void *body, size_t size) {
    if (role->socket < 0 || role->source == NULL) {
        return false;
    }
    if (role->queue == NULL) {
        int rc = imsg_send(role->socket, type, id, body, size, NULL, 0);
        if (rc != -EAGAIN) {
            /* A peer that is gone shows here before the loop tells of it. */
            role->ready = role->ready && rc != -EPIPE;
            return rc == 0;
        }
    }
    struct role_queued *queued = role->queue_length < ROLE_MAX_QUEUE ? malloc(sizeof *queued + size) : NULL;
    if (queued == NULL) {
        return false;
    }
    *queued = (struct role_queued){.type = type, .id = id, .size = size};
    memcpy(queued->body, body, size);
    *role->queue_tail = queued;
    role->queue_tail = &queued->next;
    role->queue_length++;
    return loop_set_events(role->source, EPOLLIN | EPOLLOUT) == 0;
}

static void on_socket(void *user, uint32_t events) {
    struct role *role = user;
    uint64_t epoch = role->epoch;
    if ((events & EPOLLOUT) != 0) {
        flush_queue(role);
    }
    _Alignas(8) uint8_t space[IMSG_SPACE_BYTES];
    for (unsigned i = 0; i < MESSAGES_PER_ROUND && role->epoch == epoch && role->socket >= 0; i++) {
        struct imsg message;
        int rc = imsg_receive(role->socket, space, &message);
        if (rc == -EAGAIN) {
            return;
        }
        if (rc < 0) {
            log_warning(&role->daemon->log, "role-lost", "%s: its socket ended (%s)", role->type->program,
                        strerror(-rc));
            /* SIGCHLD brings the replacement; a role that only closed its socket is made to end. */
            (void)kill(role->pid, SIGKILL);
            role->source = loop_remove(role->source);
            role->ready = false;
            return;
        }
        role->type->message(role->daemon, role, &message);
        imsg_close_fds(&message);
    }
}

int role_start(struct role *role, struct error *reterr) {
    char path[4096];
    struct spawned spawned;
    int rc = spawn_sibling_path(role->type->program, path, sizeof path);
    if (rc < 0) {
        return error_errno(reterr, -rc, "%s is not beside bucklerd", role->type->program);
    }
    char *argv[] = {path, NULL};
    rc = spawn_role(path, argv, &spawned, reterr);
    if (rc < 0) {
        return rc;
    }
    role->pid = spawned.pid;
    role->socket = spawned.socket;
    role->wanted = true;
    role->epoch++;
    role->started_ns = clock_monotonic_ns();
    role->source = loop_add_file(role->daemon->loop, role->socket, EPOLLIN, on_socket, role);
    if (role->source == NULL) {
        role_stop(role);
        return error_set(reterr, -ENOMEM, "no memory to watch %s", role->type->program);
    }
    role->type->started(role->daemon, role);
    return 0;
}

void role_stop(struct role *role) {
    role->wanted = false;
    role->restart_timer = loop_remove(role->restart_timer);
    if (role->pid > 0) { /* before the socket ends, so that the role has nothing to complain of */
        (void)kill(role->pid, SIGKILL);
        (void)waitpid(role->pid, NULL, 0);
        role->pid = 0;
    }
    disconnect(role);
}

void role_finish(struct role *role) {
    if (role->pid > 0 && role->socket >= 0 && shutdown(role->socket, SHUT_WR) == 0) {
        struct pollfd end = {.fd = role->socket}; /* POLLHUP comes unasked, when the last holder has closed */
        (void)poll(&end, 1, FINISH_MS);
    }
    role_stop(role);
}

static void on_restart(void *user) {
    struct role *role = user;
    struct error error = {0};
    if (role_start(role, &error) != 0) {
        log_error(&role->daemon->log, "role-start", "%s", error.text);
        role->delay_ms = LAST_DELAY_MS;
        if (role->restart_timer == NULL) {
            daemon_fail(role->daemon, DAEMON_EXIT_UNAVAILABLE, "role-start", "no memory for a restart timer");
            return;
        }
        loop_arm(role->restart_timer, clock_monotonic_ns() + (uint64_t)role->delay_ms * 1000000u);
    }
}

static void role_died(struct role *role, int wait_status) {
    struct daemon *d = role->daemon;
    uint64_t lived_ms = (clock_monotonic_ns() - role->started_ns) / 1000000u;
    log_error(&d->log, "role-died", "%s (pid %d) ended by %s %d after %llu ms", role->type->program,
              (int)role->pid, WIFSIGNALED(wait_status) ? "signal" : "exit code",
              WIFSIGNALED(wait_status) ? WTERMSIG(wait_status) : WEXITSTATUS(wait_status),
              (unsigned long long)lived_ms);
    role->pid = 0;
    disconnect(role);
    role->type->died(d, role);
    if (!role->wanted) {
        return;
    }
    role->delay_ms = lived_ms >= YOUNG_MS ? 0 : role->delay_ms == 0 ? FIRST_DELAY_MS : role->delay_ms * 2;
    role->delay_ms = role->delay_ms > LAST_DELAY_MS ? LAST_DELAY_MS : role->delay_ms;
    if (role->restart_timer == NULL) {
        role->restart_timer = loop_add_timer(d->loop, on_restart, role);
    }
    if (role->delay_ms == 0 || role->restart_timer == NULL) {
        on_restart(role);
    } else {
        loop_arm(role->restart_timer, clock_monotonic_ns() + (uint64_t)role->delay_ms * 1000000u);
    }
}

void supervise_children(struct daemon *d) {
    int status = 0;
    for (pid_t pid = waitpid(-1, &status, WNOHANG); pid > 0; pid = waitpid(-1, &status, WNOHANG)) {
        if (pid == d->front.pid) {
            role_died(&d->front, status);
        } else if (pid == d->audit.pid) {
            role_died(&d->audit, status);
        } else if (d->decode != NULL && !decode_child_died(d->decode, pid, status)) {
            log_debug(&d->log, "child", "pid %d was not a role", (int)pid);
        }
    }
}
