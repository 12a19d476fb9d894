/* SPDX-License-Identifier: Apache-2.0
 *
 * The kernel always gives the lowest free descriptor, so its number says how full the table is: nothing has
 * to be counted.
 */
#include "ipc/front/accepts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <zmq.h>

#include "ipc/front/gate.h"

enum { ROUND_EVENTS = 256 };

struct accepts {
    void *router, *monitor;
    struct loop_source *source, *again;
    uint64_t reserve; /* the first descriptor that is not for connections */
    uint64_t turned_away;
};

static void pump(void *user) {
    struct accepts *accepts = user;
    for (unsigned i = 0; i < ROUND_EVENTS; i++) {
        uint8_t event[6];
        char endpoint[256];
        uint32_t fd = 0;
        if (zmq_recv(accepts->monitor, event, sizeof event, ZMQ_DONTWAIT) != (int)sizeof event) {
            return;
        }
        (void)zmq_recv(accepts->monitor, endpoint, sizeof endpoint, 0);
        memcpy(&fd, event + 2, sizeof fd);
        if (fd >= accepts->reserve) {
            (void)shutdown((int)fd, SHUT_RDWR);
            accepts->turned_away++;
        }
    }
    loop_arm(accepts->again, 1);
}

static void on_event(void *user, uint32_t events) {
    (void)events;
    pump(user);
}

int accepts_watch(void *context, void *router, unsigned number, struct loop *loop, struct accepts **ret,
                  struct error *reterr) {
    char name[48];
    struct rlimit files;
    struct accepts *accepts = getrlimit(RLIMIT_NOFILE, &files) == 0 ? calloc(1, sizeof *accepts) : NULL;
    if (accepts == NULL) {
        return error_errno(reterr, errno, "a ZeroMQ socket cannot be monitored");
    }
    accepts->reserve = files.rlim_cur / 5 * 4;
    (void)snprintf(name, sizeof name, "inproc://front.accepts.%u", number);
    accepts->router = router;
    accepts->monitor = zmq_socket(context, ZMQ_PAIR);
    int rc =
        accepts->monitor != NULL && zmq_socket_monitor(router, name, ZMQ_EVENT_ACCEPTED) == 0 ? 0 : -errno;
    /* A full pipe would stop libzmq's I/O thread, and with it everybody. */
    rc = rc == 0 && gate_set_int(accepts->monitor, ZMQ_RCVHWM, 0, "RCVHWM", reterr) != 0 ? -EINVAL : rc;
    rc = rc == 0 && zmq_connect(accepts->monitor, name) != 0 ? -errno : rc;
    rc = rc != 0
             ? rc
             : gate_watch(loop, accepts->monitor, on_event, pump, accepts, &accepts->source, &accepts->again);
    if (rc < 0) {
        (void)accepts_free(accepts);
        return error_set(reterr, rc, "a ZeroMQ socket cannot be monitored: %s", zmq_strerror(-rc));
    }
    *ret = accepts;
    return 0;
}

struct accepts *accepts_free(struct accepts *accepts) {
    if (accepts != NULL) {
        (void)loop_remove(accepts->source);
        (void)loop_remove(accepts->again);
        (void)zmq_socket_monitor(accepts->router, NULL, 0);
        if (accepts->monitor != NULL) {
            (void)zmq_close(accepts->monitor);
        }
        free(accepts);
    }
    return NULL;
}

uint64_t accepts_turned_away(const struct accepts *accepts) {
    return accepts != NULL ? accepts->turned_away : 0;
}
