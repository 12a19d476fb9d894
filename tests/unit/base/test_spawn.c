/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/imsg.h"
#include "base/spawn.h"

static void receive(int socket, void *space, struct imsg *m) {
    struct pollfd wait = {.fd = socket, .events = POLLIN};
    assert_int_equal(poll(&wait, 1, -1), 1);
    assert_int_equal(imsg_receive(socket, space, m), 0);
}

static void test_a_role_gets_descriptor_3_and_nothing_else(void **state) {
    char path[PATH_MAX];
    char *argv[] = {path, "an argument", NULL};
    void *space = malloc(IMSG_SPACE_BYTES);
    struct spawned role = {0};
    struct error e = {0};
    struct imsg m;
    sigset_t blocked;
    (void)state;
    assert_non_null(space);
    assert_int_equal(spawn_sibling_path("spawn_helper", path, sizeof path), 0);
    int leak = open("/dev/null", O_RDONLY); /* without close-on-exec */
    assert_true(leak >= 0);
    (void)sigemptyset(&blocked);
    (void)sigaddset(&blocked, SIGUSR1);
    assert_int_equal(sigprocmask(SIG_BLOCK, &blocked, NULL), 0);
    assert_true(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
    if (spawn_role(path, argv, &role, &e) != 0) {
        fail_msg("%s", e.text);
    }
    assert_int_equal(fcntl(role.socket, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    assert_int_equal(fcntl(role.socket, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
    receive(role.socket, space, &m);
    assert_int_equal(m.type, 1);
    if (m.body_size != 0) {
        fail_msg("the role complains: %.*s", (int)m.body_size, (const char *)m.body);
    }
    int payload = fd_sealed("abc", 3);
    assert_int_equal(imsg_send(role.socket, 5, 6, "echo", 4, &payload, 1), 0);
    receive(role.socket, space, &m);
    assert_int_equal(m.id, 6);
    assert_memory_equal(m.body, "echo", 4);
    const uint8_t *bytes = NULL;
    assert_int_equal(fd_map_sealed(m.fds[0], 3, &bytes), 0);
    assert_memory_equal(bytes, "abc", 3);
    fd_unmap(bytes, 3);
    imsg_close_fds(&m);
    (void)close(payload);
    (void)close(role.socket); /* the role sees the end and leaves */
    int status = 0;
    assert_int_equal(waitpid(role.pid, &status, 0), role.pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 7);
    (void)close(leak);
    free(space);
}

static void test_a_program_that_is_not_there_is_named(void **state) {
    char *argv[] = {"nothing", NULL};
    struct spawned role = {.pid = 42, .socket = 42};
    struct error e = {0};
    (void)state;
    assert_int_equal(spawn_role("/nonexistent/nothing", argv, &role, &e), -ENOENT);
    assert_non_null(strstr(e.text, "/nonexistent/nothing"));
    assert_int_equal(role.socket, 42); /* untouched */
}

static void test_a_sibling_is_found_beside_the_program_or_not_at_all(void **state) {
    char path[PATH_MAX];
    char little[8];
    (void)state;
    assert_int_equal(spawn_sibling_path("spawn_helper", path, sizeof path), 0);
    assert_int_equal(path[0], '/');
    assert_int_equal(access(path, X_OK), 0);
    assert_int_equal(spawn_sibling_path("no-such-program", path, sizeof path), -ENOENT);
    assert_int_equal(spawn_sibling_path("spawn_helper", little, sizeof little), -ENAMETOOLONG);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_role_gets_descriptor_3_and_nothing_else),
        cmocka_unit_test(test_a_program_that_is_not_there_is_named),
        cmocka_unit_test(test_a_sibling_is_found_beside_the_program_or_not_at_all),
    };
    return cmocka_run_group_tests_name("base/spawn", tests, NULL, NULL);
}
