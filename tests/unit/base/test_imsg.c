/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fd.h"
#include "base/imsg.h"

struct pair {
    int ends[2];
    void *space;
};

static int setup(void **state) {
    struct pair *p = calloc(1, sizeof *p);
    if (p == NULL || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, p->ends) != 0) {
        free(p);
        return 1;
    }
    p->space = malloc(IMSG_SPACE_BYTES);
    *state = p;
    return p->space == NULL;
}

static int teardown(void **state) {
    struct pair *p = *state;
    for (int i = 0; i < 2; i++) {
        if (p->ends[i] >= 0) {
            (void)close(p->ends[i]);
        }
    }
    free(p->space);
    free(p);
    return 0;
}

static size_t open_descriptors(void) {
    DIR *folder = opendir("/proc/self/fd");
    size_t count = 0;
    assert_non_null(folder);
    while (readdir(folder) != NULL) {
        count++;
    }
    (void)closedir(folder);
    return count;
}

static void test_a_message_arrives_as_it_was_sent(void **state) {
    struct pair *p = *state;
    struct imsg m;
    assert_int_equal(imsg_send(p->ends[0], 0x0301, 0x1122334455667788, "body", 4, NULL, 0), 0);
    assert_int_equal(imsg_send(p->ends[0], 2, 0, NULL, 0, NULL, 0), 0);
    assert_int_equal(imsg_receive(p->ends[1], p->space, &m), 0);
    assert_int_equal(m.type, 0x0301);
    assert_true(m.id == 0x1122334455667788);
    assert_int_equal(m.body_size, 4);
    assert_memory_equal(m.body, "body", 4);
    assert_int_equal(m.fd_count, 0);
    assert_int_equal(imsg_take_fd(&m, 0), -1);
    assert_int_equal(imsg_receive(p->ends[1], p->space, &m), 0);
    assert_int_equal(m.type, 2);
    assert_int_equal(m.body_size, 0);
}

static void test_the_largest_body_arrives_and_a_larger_one_is_refused(void **state) {
    struct pair *p = *state;
    struct imsg m;
    uint8_t *body = malloc(IMSG_MAX_BODY_BYTES + 1);
    assert_non_null(body);
    memset(body, 0x5a, IMSG_MAX_BODY_BYTES + 1);
    assert_int_equal(imsg_send(p->ends[0], 1, 1, body, IMSG_MAX_BODY_BYTES + 1, NULL, 0), -EMSGSIZE);
    assert_int_equal(imsg_send(p->ends[0], 1, 1, body, IMSG_MAX_BODY_BYTES, NULL, 0), 0);
    assert_int_equal(imsg_receive(p->ends[1], p->space, &m), 0);
    assert_int_equal(m.body_size, IMSG_MAX_BODY_BYTES);
    assert_memory_equal(m.body, body, IMSG_MAX_BODY_BYTES);
    free(body);
}

static void test_descriptors_arrive_in_order_and_belong_to_the_receiver(void **state) {
    struct pair *p = *state;
    struct imsg m;
    int fds[IMSG_MAX_FDS];
    size_t before = open_descriptors();
    for (size_t i = 0; i < IMSG_MAX_FDS; i++) {
        fds[i] = fd_sealed(&(char){(char)('a' + i)}, 1);
        assert_true(fds[i] >= 0);
    }
    assert_int_equal(imsg_send(p->ends[0], 1, 1, "x", 1, fds, IMSG_MAX_FDS + 1), -EMSGSIZE);
    assert_int_equal(imsg_send(p->ends[0], 1, 1, "x", 1, fds, IMSG_MAX_FDS), 0);
    for (size_t i = 0; i < IMSG_MAX_FDS; i++) {
        (void)close(fds[i]);
    }
    assert_int_equal(imsg_receive(p->ends[1], p->space, &m), 0);
    assert_int_equal(m.fd_count, IMSG_MAX_FDS);
    for (size_t i = 0; i < IMSG_MAX_FDS; i++) {
        const uint8_t *bytes = NULL;
        assert_int_equal(fd_map_sealed(m.fds[i], 1, &bytes), 0);
        assert_int_equal(bytes[0], 'a' + i);
        fd_unmap(bytes, 1);
    }
    int taken = imsg_take_fd(&m, 3);
    assert_true(taken >= 0);
    assert_int_equal(imsg_take_fd(&m, 3), -1);
    imsg_close_fds(&m);
    assert_int_equal(open_descriptors(), before + 1);
    (void)close(taken);
}

static void test_an_empty_socket_and_a_full_one_say_again(void **state) {
    struct pair *p = *state;
    struct imsg m;
    int rc = 0;
    size_t sent = 0;
    assert_int_equal(imsg_receive(p->ends[1], p->space, &m), -EAGAIN);
    while (rc == 0 && sent < 100000) {
        rc = imsg_send(p->ends[0], 1, sent, "x", 1, NULL, 0);
        sent += rc == 0;
    }
    assert_int_equal(rc, -EAGAIN);
    for (size_t i = 0; i < sent; i++) {
        assert_int_equal(imsg_receive(p->ends[1], p->space, &m), 0);
        assert_int_equal(m.id, i);
    }
}

static void test_a_peer_that_left_is_a_broken_pipe_without_a_signal(void **state) {
    struct pair *p = *state;
    struct imsg m;
    assert_int_equal(imsg_send(p->ends[0], 1, 1, "x", 1, NULL, 0), 0);
    (void)close(p->ends[0]);
    p->ends[0] = -1;
    assert_int_equal(imsg_receive(p->ends[1], p->space, &m), 0); /* what was sent before still arrives */
    assert_int_equal(imsg_receive(p->ends[1], p->space, &m), -EPIPE);
    assert_int_equal(imsg_send(p->ends[1], 1, 1, "x", 1, NULL, 0), -EPIPE);
}

/* A packet as a broken or hostile peer may send it. */
static void send_raw(int socket, const void *bytes, size_t size, const int *fds, size_t fd_count) {
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int) * 32)];
    } control;
    struct iovec part = {(void *)(uintptr_t)bytes, size};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
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
    assert_int_equal(sendmsg(socket, &message, MSG_NOSIGNAL), size);
}

static void put_header(struct buf *b, uint32_t magic, uint16_t fd_count, uint32_t body_size) {
    buf_u32(b, magic);
    buf_u16(b, 7);
    buf_u16(b, fd_count);
    buf_u32(b, body_size);
    buf_u32(b, 0);
    buf_u64(b, 9);
}

enum { MAGIC = 0x31734d42 };

static void test_malformed_packets_are_refused_and_leak_no_descriptor(void **state) {
    static const struct {
        uint32_t magic;
        uint16_t fd_count;
        uint32_t body_size;
        size_t real_body, real_fds, cut; /* cut: only that many bytes of it, 0: all */
    } bad[] = {
        {MAGIC + 1, 0, 4, 4, 0, 0},           /* another magic */
        {MAGIC, 0, 5, 4, 0, 0},               /* body shorter than said */
        {MAGIC, 0, 3, 4, 0, 0},               /* body longer than said */
        {MAGIC, 0, UINT32_MAX, 4, 0, 0},      /* body size of all ones */
        {MAGIC, 0, UINT32_MAX - 23, 0, 0, 0}, /* body size that wraps */
        {MAGIC, 0, 0, 0, 0, 1},
        {MAGIC, 0, 0, 0, 0, 23}, /* half a header */
        {MAGIC, 1, 4, 4, 0, 0},
        {MAGIC, 0, 4, 4, 1, 0},
        {MAGIC, 2, 4, 4, 1, 0}, /* descriptors miscounted */
        {MAGIC, 20, 4, 4, 20, 0},
        {MAGIC, 9, 4, 4, 9, 0},
        {MAGIC, 8, 4, 4, 9, 0},                                                 /* too many descriptors */
        {MAGIC, 1, 4, 4, 1, 10},                                                /* half a header with one */
        {MAGIC, 0, IMSG_MAX_BODY_BYTES + 1, IMSG_MAX_BODY_BYTES + 1, 0, 0},     /* a byte too large */
        {MAGIC, 1, IMSG_MAX_BODY_BYTES + 100, IMSG_MAX_BODY_BYTES + 100, 1, 0}, /* larger than the space */
    };
    struct pair *p = *state;
    int fds[32];
    for (size_t i = 0; i < 32; i++) {
        fds[i] = p->ends[0];
    }
    size_t before = open_descriptors();
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct buf b = {0};
        struct imsg m;
        put_header(&b, bad[i].magic, bad[i].fd_count, bad[i].body_size);
        for (size_t n = 0; n < bad[i].real_body; n++) {
            buf_u8(&b, 0);
        }
        send_raw(p->ends[0], b.bytes, bad[i].cut > 0 ? bad[i].cut : b.size, fds, bad[i].real_fds);
        int rc = imsg_receive(p->ends[1], p->space, &m);
        if (rc != -EPROTO) {
            fail_msg("packet %zu gives %d", i, rc);
        }
        buf_deinit(&b);
    }
    assert_int_equal(open_descriptors(), before);
}

static void test_the_same_packet_without_a_fault_is_accepted(void **state) {
    struct pair *p = *state;
    struct buf b = {0};
    struct imsg m;
    put_header(&b, MAGIC, 1, 4);
    buf_append(&b, "abcd", 4);
    send_raw(p->ends[0], b.bytes, b.size, &p->ends[0], 1);
    assert_int_equal(imsg_receive(p->ends[1], p->space, &m), 0);
    assert_int_equal(m.type, 7);
    assert_int_equal(m.id, 9);
    assert_memory_equal(m.body, "abcd", 4);
    imsg_close_fds(&m);
    buf_deinit(&b);
}

static void test_an_empty_packet_counts_as_the_end(void **state) {
    struct pair *p = *state;
    struct imsg m;
    size_t before = open_descriptors();
    send_raw(p->ends[0], "", 0, &p->ends[0], 1);
    assert_int_equal(imsg_receive(p->ends[1], p->space, &m), -EPIPE);
    assert_int_equal(open_descriptors(), before);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_message_arrives_as_it_was_sent, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_largest_body_arrives_and_a_larger_one_is_refused, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_descriptors_arrive_in_order_and_belong_to_the_receiver, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_an_empty_socket_and_a_full_one_say_again, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_peer_that_left_is_a_broken_pipe_without_a_signal, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_malformed_packets_are_refused_and_leak_no_descriptor, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_the_same_packet_without_a_fault_is_accepted, setup, teardown),
        cmocka_unit_test_setup_teardown(test_an_empty_packet_counts_as_the_end, setup, teardown),
    };
    return cmocka_run_group_tests_name("base/imsg", tests, NULL, NULL);
}
