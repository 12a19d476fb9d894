/* SPDX-License-Identifier: Apache-2.0
 *
 * A removed source is unlinked at once but freed only at the end of the outermost round, because an event for
 * it may already have been fetched. Timers are timerfds and signals are signalfds: everything is a file.
 */
#include "base/loop.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum { ROUND_EVENTS = 64 };
enum source_kind { SOURCE_FILE = 1, SOURCE_TIMER, SOURCE_SIGNAL };

struct loop_source {
    struct loop *loop;
    struct loop_source *next;
    enum source_kind kind;
    int fd;
    bool removed;
    union {
        loop_file_fn *file;
        loop_timer_fn *timer;
        loop_signal_fn *signal;
    } fn;
    void *user;
};

struct loop {
    int epoll_fd;
    bool stopping;
    unsigned depth; /* rounds that run now: loop_once may be called from a callback */
    struct loop_source *sources;
    struct loop_source *removed;
};

struct loop *loop_new(void) {
    struct loop *loop = calloc(1, sizeof *loop);
    if (loop == NULL) {
        return NULL;
    }
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (loop->epoll_fd < 0) {
        free(loop);
        return NULL;
    }
    return loop;
}

static void free_removed(struct loop *loop) {
    while (loop->removed != NULL) {
        struct loop_source *source = loop->removed;
        loop->removed = source->next;
        free(source);
    }
}

struct loop *loop_free(struct loop *loop) {
    if (loop != NULL) {
        while (loop->sources != NULL) {
            loop_remove(loop->sources);
        }
        free_removed(loop);
        (void)close(loop->epoll_fd);
        free(loop);
    }
    return NULL;
}

static struct loop_source *add(struct loop *loop, enum source_kind kind, int fd, uint32_t events,
                               void *user) {
    struct loop_source *source = calloc(1, sizeof *source);
    struct epoll_event event = {.events = events, .data.ptr = source};
    if (source == NULL || fd < 0 || epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0) {
        free(source);
        return NULL;
    }
    *source = (struct loop_source){.loop = loop, .next = loop->sources, .kind = kind, .fd = fd, .user = user};
    loop->sources = source;
    return source;
}

struct loop_source *loop_add_file(struct loop *loop, int fd, uint32_t events, loop_file_fn *fn, void *user) {
    struct loop_source *source = add(loop, SOURCE_FILE, fd, events, user);
    if (source != NULL) {
        source->fn.file = fn;
    }
    return source;
}

int loop_set_events(struct loop_source *source, uint32_t events) {
    struct epoll_event event = {.events = events, .data.ptr = source};
    return epoll_ctl(source->loop->epoll_fd, EPOLL_CTL_MOD, source->fd, &event) == 0 ? 0 : -errno;
}

struct loop_source *loop_add_timer(struct loop *loop, loop_timer_fn *fn, void *user) {
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    struct loop_source *source = add(loop, SOURCE_TIMER, fd, EPOLLIN, user);
    if (source == NULL) {
        if (fd >= 0) {
            (void)close(fd);
        }
        return NULL;
    }
    source->fn.timer = fn;
    return source;
}

void loop_arm(struct loop_source *timer, uint64_t monotonic_ns) {
    struct itimerspec when = {.it_value = {.tv_sec = (time_t)(monotonic_ns / 1000000000u),
                                           .tv_nsec = (long)(monotonic_ns % 1000000000u)}};
    (void)timerfd_settime(timer->fd, TFD_TIMER_ABSTIME, &when, NULL); /* fails for invalid arguments only */
}

struct loop_source *loop_add_signal(struct loop *loop, int signal_number, loop_signal_fn *fn, void *user) {
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, signal_number);
    if (sigprocmask(SIG_BLOCK, &set, NULL) != 0) {
        return NULL;
    }
    int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    struct loop_source *source = add(loop, SOURCE_SIGNAL, fd, EPOLLIN, user);
    if (source == NULL) {
        if (fd >= 0) {
            (void)close(fd);
        }
        return NULL;
    }
    source->fn.signal = fn;
    return source;
}

struct loop_source *loop_remove(struct loop_source *source) {
    if (source == NULL) {
        return NULL;
    }
    struct loop *loop = source->loop;
    (void)epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, source->fd, NULL);
    if (source->kind != SOURCE_FILE) {
        (void)close(source->fd);
    }
    struct loop_source **link = &loop->sources;
    while (*link != source) {
        link = &(*link)->next;
    }
    *link = source->next;
    source->removed = true;
    source->next = loop->removed;
    loop->removed = source;
    return NULL;
}

static void dispatch(struct loop_source *source, uint32_t events) {
    if (source->removed) {
        return;
    }
    if (source->kind == SOURCE_FILE) {
        source->fn.file(source->user, events);
    } else if (source->kind == SOURCE_TIMER) {
        uint64_t count = 0;
        if (read(source->fd, &count, sizeof count) == (ssize_t)sizeof count) {
            source->fn.timer(source->user);
        }
    } else {
        struct signalfd_siginfo info;
        if (read(source->fd, &info, sizeof info) == (ssize_t)sizeof info) {
            source->fn.signal(source->user, (int)info.ssi_signo);
        }
    }
}

int loop_once(struct loop *loop, int timeout_ms) {
    struct epoll_event events[ROUND_EVENTS];
    int count = epoll_wait(loop->epoll_fd, events, ROUND_EVENTS, timeout_ms);
    if (count < 0) {
        return errno == EINTR ? 0 : -errno;
    }
    loop->depth++;
    for (int i = 0; i < count; i++) {
        dispatch(events[i].data.ptr, events[i].events);
    }
    loop->depth--;
    if (loop->depth == 0) {
        free_removed(loop);
    }
    return 0;
}

int loop_run(struct loop *loop) {
    loop->stopping = false;
    while (!loop->stopping) {
        int rc = loop_once(loop, -1);
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

void loop_stop(struct loop *loop) {
    loop->stopping = true;
}
