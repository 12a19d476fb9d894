/* SPDX-License-Identifier: Apache-2.0 */
#include "ipc/front/core.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/buf.h"

enum { ROUND_MESSAGES = 64 };

struct queued {
    struct queued *next;
    uint64_t number;
    uint64_t payload_bytes;
    struct ipc_request request; /* owns its descriptors */
};

struct core {
    int socket;
    struct core_calls calls;
    struct loop_source *source;
    struct queued *first, **last;
    size_t queued_count;
    uint64_t queued_bytes;
    struct buf scratch;
    uint8_t space[IMSG_SPACE_BYTES];
};

static uint64_t payload_bytes(const struct ipc_request *request) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < request->part_count; i++) {
        sum += request->parts[i].size; /* header.c has bounded each */
    }
    return sum;
}

static int send_now(struct core *core, uint64_t number, const struct ipc_request *request) {
    int fds[IPC_MAX_PARTS];
    for (uint32_t i = 0; i < request->part_count; i++) {
        fds[i] = request->parts[i].fd;
    }
    buf_clear(&core->scratch);
    ipc_encode_request(request, &core->scratch);
    if (core->scratch.failed) {
        return -ENOMEM;
    }
    int rc = imsg_send(core->socket, IPC_REQUEST, number, core->scratch.bytes, core->scratch.size, fds,
                       request->part_count);
    /* Too many descriptors in flight: they arrive when the core reads, as room in the socket does. */
    return rc == -ETOOMANYREFS ? -EAGAIN : rc;
}

static int enqueue(struct core *core, uint64_t number, struct ipc_request *request) {
    uint64_t bytes = payload_bytes(request);
    if (core->queued_count >= CORE_MAX_QUEUED || bytes > CORE_MAX_QUEUED_BYTES - core->queued_bytes) {
        return CORE_E_FULL;
    }
    struct queued *queued = malloc(sizeof *queued);
    if (queued == NULL || (core->first == NULL && loop_set_events(core->source, EPOLLIN | EPOLLOUT) < 0)) {
        free(queued);
        return CORE_E_FULL;
    }
    *queued = (struct queued){.number = number, .payload_bytes = bytes, .request = *request};
    *core->last = queued;
    core->last = &queued->next;
    core->queued_count++;
    core->queued_bytes += bytes;
    request->part_count = 0;
    return 0;
}

int core_send_request(struct core *core, uint64_t number, struct ipc_request *request) {
    int rc = core->first == NULL ? send_now(core, number, request) : -EAGAIN;
    if (rc == -EAGAIN) {
        return enqueue(core, number, request);
    }
    if (rc == 0) {
        ipc_request_deinit(request);
    }
    return rc;
}

static void drop_first(struct core *core) {
    struct queued *queued = core->first;
    core->first = queued->next;
    if (core->first == NULL) {
        core->last = &core->first;
    }
    core->queued_count--;
    core->queued_bytes -= queued->payload_bytes;
    ipc_request_deinit(&queued->request);
    free(queued);
}

static int flush(struct core *core) {
    while (core->first != NULL) {
        int rc = send_now(core, core->first->number, &core->first->request);
        if (rc == -EAGAIN) {
            return 0;
        }
        if (rc < 0) {
            return rc;
        }
        drop_first(core);
    }
    return loop_set_events(core->source, EPOLLIN);
}

static int receive(struct core *core) {
    for (unsigned i = 0; i < ROUND_MESSAGES; i++) {
        struct imsg message;
        int rc = imsg_receive(core->socket, core->space, &message);
        if (rc < 0) {
            return rc == -EAGAIN ? 0 : rc;
        }
        core->calls.message(core->calls.user, &message);
        imsg_close_fds(&message);
    }
    return 0;
}

static void on_event(void *user, uint32_t events) {
    struct core *core = user;
    int rc = (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0 ? receive(core) : 0;
    if (rc == 0 && (events & EPOLLOUT) != 0) {
        rc = flush(core);
    }
    if (rc < 0) {
        core->source = loop_remove(core->source);
        core->calls.gone(core->calls.user);
        return;
    }
    core->calls.round(core->calls.user);
}

struct core *core_new(struct loop *loop, int socket, const struct core_calls *calls) {
    struct core *core = calloc(1, sizeof *core);
    if (core == NULL) {
        return NULL;
    }
    core->socket = socket;
    core->calls = *calls;
    core->last = &core->first;
    core->source = loop_add_file(loop, socket, EPOLLIN, on_event, core);
    return core->source != NULL ? core : core_free(core);
}

struct core *core_free(struct core *core) {
    if (core != NULL) {
        (void)loop_remove(core->source);
        while (core->first != NULL) {
            drop_first(core);
        }
        buf_deinit(&core->scratch);
        free(core);
    }
    return NULL;
}
