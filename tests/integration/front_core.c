/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/integration/front_core.h"

#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/spawn.h"

void front_core_settings(struct ipc_settings *ret, const char *endpoint) {
    memset(ret, 0, sizeof *ret);
    ret->endpoint_count = 1;
    (void)snprintf(ret->endpoints[0], sizeof ret->endpoints[0], "%s", endpoint);
    ret->window = 4;
    ret->part_bytes = IPC_MAX_PART_BYTES;
    ret->total_bytes = IPC_MAX_TOTAL_BYTES;
}

static void say(struct front_core *core, uint64_t number, json_t *reply) {
    char *text = json_dumps(reply, JSON_COMPACT);
    struct pollfd room = {.fd = core->socket, .events = POLLOUT};
    int rc = -EAGAIN;
    while (rc == -EAGAIN && poll(&room, 1, 5000) > 0) {
        rc = imsg_send(core->socket, IPC_REPLY, number, text, strlen(text), NULL, 0);
    }
    free(text);
    json_decref(reply);
}

static json_t *part_report(const struct ipc_part *part) {
    const uint8_t *bytes = NULL;
    uint64_t sum = 0;
    if (fd_map_sealed(part->fd, part->size, &bytes) != 0) {
        return json_string("not sealed");
    }
    for (uint64_t i = 0; i < part->size; i++) {
        sum += bytes[i];
    }
    fd_unmap(bytes, part->size);
    return json_pack("{s:I, s:I, s:s, s:s, s:b}", "size", (json_int_t)part->size, "sum", (json_int_t)sum,
                     "kind", content_kind_name(part->kind), "role", content_role_name(part->role), "judge",
                     part->judge);
}

static void release_held(struct front_core *core, const struct ipc_request *cancel) {
    for (unsigned i = 0; i < 64; i++) {
        if (core->held[i] != 0 && strcmp(core->held_ids[i], cancel->target) == 0) {
            say(core, core->held[i],
                json_pack("{s:s, s:i, s:s, s:s, s:b}", "id", core->held_ids[i], "status", 499, "code",
                          "cancelled", "verdict", "deny", "moderated", 0));
            core->held[i] = 0;
            atomic_fetch_sub(&core->held_count, 1);
        }
    }
}

static bool hold(struct front_core *core, uint64_t number, const struct ipc_request *request) {
    for (unsigned i = 0; i < 64; i++) {
        if (core->held[i] == 0) {
            core->held[i] = number;
            memcpy(core->held_ids[i], request->id, sizeof core->held_ids[i]);
            atomic_fetch_add(&core->held_count, 1);
            return true;
        }
    }
    return false;
}

static void answer(struct front_core *core, uint64_t number, const struct ipc_request *request) {
    json_t *reply = NULL;
    atomic_fetch_add(&core->requests, 1);
    if (request->op == IPC_OP_REFUSED) {
        atomic_fetch_add(&core->refused, 1);
        reply =
            json_pack("{s:s, s:i, s:s, s:s, s:s, s:b}", "id", request->id, "status", (int)request->status,
                      "code", request->code, "detail", request->detail, "verdict", "deny", "moderated", 0);
        if (request->retry_after_ms > 0) {
            json_object_set_new(reply, "retry_after_ms", json_integer(request->retry_after_ms));
        }
    } else if (request->op == IPC_OP_CLASSIFY) {
        if (strcmp(request->policy, "hold") == 0 && hold(core, number, request)) {
            return;
        }
        reply =
            json_pack("{s:s, s:i, s:s, s:b, s:s, s:s, s:s, s:I}", "id", request->id, "status", 200, "verdict",
                      "allow", "moderated", 1, "action", "allow", "tenant", request->tenant, "scope",
                      content_scope_name(request->scope), "connection", (json_int_t)request->connection);
        json_t *parts = json_array();
        for (uint32_t i = 0; i < request->part_count; i++) {
            json_array_append_new(parts, part_report(&request->parts[i]));
        }
        json_object_set_new(reply, "parts", parts);
    } else {
        if (request->op == IPC_OP_CANCEL) {
            release_held(core, request);
        }
        reply = json_pack("{s:s, s:i, s:s, s:b, s:s}", "id", request->id, "status", 200, "verdict", "deny",
                          "moderated", 0, "op", ipc_op_name(request->op));
    }
    say(core, number, reply);
}

static void *serve(void *user) {
    struct front_core *core = user;
    for (;;) {
        struct pollfd waiting[2] = {{.fd = core->wake, .events = POLLIN},
                                    {.fd = core->socket, .events = POLLIN}};
        struct imsg message;
        struct ipc_request request;
        uint64_t count = 0;
        (void)poll(waiting, atomic_load(&core->paused) ? 1 : 2, -1);
        if ((waiting[0].revents & POLLIN) != 0 && read(core->wake, &count, sizeof count) > 0 &&
            count >= 1u << 20) {
            return NULL;
        }
        if (atomic_load(&core->paused)) {
            continue;
        }
        int rc = imsg_receive(core->socket, core->space, &message);
        if (rc == -EAGAIN) {
            continue;
        }
        if (rc < 0) {
            return NULL;
        }
        if (message.type == IPC_REQUEST && ipc_decode_request(&message, &request) == 0) {
            answer(core, message.id, &request);
            ipc_request_deinit(&request);
        } else {
            fprintf(stderr, "fake core: a message of type %x cannot be read\n", message.type);
        }
        imsg_close_fds(&message);
    }
}

void front_core_configure(struct front_core *core, const struct ipc_settings *settings) {
    struct buf body = {0};
    ipc_encode_settings(settings, &body);
    assert_false(body.failed);
    assert_int_equal(imsg_send(core->socket, IPC_CONFIGURE, 0, body.bytes, body.size, NULL, 0), 0);
    buf_deinit(&body);
}

void front_core_start(struct front_core *core, const struct ipc_settings *settings) {
    static const char path[] = BUCKLER_BINARY_DIR "/bin/buckler-front";
    char *argv[] = {(char *)(uintptr_t)path, NULL};
    struct spawned spawned;
    struct error error = {0};
    struct imsg message;
    memset(core, 0, sizeof *core);
    if (spawn_role(path, argv, &spawned, &error) != 0) {
        fail_msg("%s", error.text);
    }
    core->pid = spawned.pid;
    core->socket = spawned.socket;
    core->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    front_core_configure(core, settings);
    struct pollfd waiting = {.fd = core->socket, .events = POLLIN};
    assert_int_equal(poll(&waiting, 1, 30000), 1);
    assert_int_equal(imsg_receive(core->socket, core->space, &message), 0);
    core->ready = message.type == IPC_READY;
    assert_true(core->ready || message.type == IPC_FAILED);
    (void)snprintf(core->said, sizeof core->said, "%.*s", (int)message.body_size, (const char *)message.body);
    imsg_close_fds(&message);
    if (core->ready) {
        core->running = pthread_create(&core->thread, NULL, serve, core) == 0;
        assert_true(core->running);
    }
}

static void wake(struct front_core *core, uint64_t count) {
    assert_int_equal(write(core->wake, &count, sizeof count), sizeof count);
}

void front_core_pause(struct front_core *core, bool paused) {
    atomic_store(&core->paused, paused);
    wake(core, 1);
}

int front_core_stop(struct front_core *core) {
    int status = -1;
    if (core->running) {
        wake(core, 1u << 20);
        (void)pthread_join(core->thread, NULL);
    }
    (void)close(core->socket);
    (void)close(core->wake);
    assert_int_equal(waitpid(core->pid, &status, 0), core->pid);
    return status;
}
