/* SPDX-License-Identifier: Apache-2.0 */
#include "base/imsg.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

static const uint32_t imsg_magic = 0x31734d42; /* "BMs1" */

struct imsg_header {
    uint32_t magic;
    uint16_t type;
    uint16_t fd_count;
    uint32_t body_size;
    uint32_t reserved;
    uint64_t id;
};

union control_space {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(int) * IMSG_MAX_FDS)];
};

int imsg_send(int socket, uint16_t type, uint64_t id, const void *body, size_t body_size, const int *fds,
              size_t fd_count) {
    if (body_size > IMSG_MAX_BODY_BYTES || fd_count > IMSG_MAX_FDS) {
        return -EMSGSIZE;
    }
    struct imsg_header header = {.magic = imsg_magic,
                                 .type = type,
                                 .fd_count = (uint16_t)fd_count,
                                 .body_size = (uint32_t)body_size,
                                 .id = id};
    struct iovec parts[2] = {{&header, sizeof header}, {(void *)(uintptr_t)body, body_size}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = body_size > 0 ? 2 : 1};
    union control_space control;
    memset(&control, 0, sizeof control);
    if (fd_count > 0) {
        message.msg_control = control.bytes;
        message.msg_controllen = CMSG_SPACE(sizeof(int) * fd_count);
        struct cmsghdr *c = CMSG_FIRSTHDR(&message);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int) * fd_count);
        memcpy(CMSG_DATA(c), fds, sizeof(int) * fd_count);
    }
    ssize_t sent = 0;
    do {
        sent = sendmsg(socket, &message, MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    if (sent < 0) {
        return errno == ECONNRESET ? -EPIPE : -errno;
    }
    return 0;
}

static void collect_fds(struct msghdr *message, struct imsg *ret) {
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c != NULL; c = CMSG_NXTHDR(message, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) {
            continue;
        }
        size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd = -1;
            memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof fd);
            if (ret->fd_count < IMSG_MAX_FDS) {
                ret->fds[ret->fd_count++] = fd;
            } else {
                (void)close(fd);
            }
        }
    }
}

int imsg_receive(int socket, void *space, struct imsg *ret_message) {
    union control_space control;
    struct iovec part = {space, IMSG_SPACE_BYTES};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes};
    *ret_message = (struct imsg){0};
    ssize_t got = 0;
    do {
        got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
    } while (got < 0 && errno == EINTR);
    if (got < 0) {
        return errno == ECONNRESET ? -EPIPE : -errno;
    }
    collect_fds(&message, ret_message);
    if (got == 0) {
        imsg_close_fds(ret_message);
        return -EPIPE;
    }
    struct imsg_header header;
    if ((size_t)got < sizeof header || (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) {
        imsg_close_fds(ret_message);
        return -EPROTO;
    }
    memcpy(&header, space, sizeof header);
    if (header.magic != imsg_magic || header.fd_count != ret_message->fd_count ||
        header.body_size != (size_t)got - sizeof header || header.body_size > IMSG_MAX_BODY_BYTES) {
        imsg_close_fds(ret_message);
        return -EPROTO;
    }
    ret_message->type = header.type;
    ret_message->id = header.id;
    ret_message->body = (const uint8_t *)space + sizeof header;
    ret_message->body_size = header.body_size;
    return 0;
}

int imsg_take_fd(struct imsg *message, size_t index) {
    if (index >= message->fd_count) {
        return -1;
    }
    int fd = message->fds[index];
    message->fds[index] = -1;
    return fd;
}

void imsg_close_fds(struct imsg *message) {
    for (size_t i = 0; i < message->fd_count; i++) {
        if (message->fds[i] >= 0) {
            (void)close(message->fds[i]);
        }
        message->fds[i] = -1;
    }
}
