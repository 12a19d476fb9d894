/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fd.h"

static void test_a_sealed_payload_reads_back_and_cannot_change(void **state) {
    const uint8_t *bytes = NULL;
    (void)state;
    int fd = fd_sealed("payload", 7);
    assert_true(fd >= 0);
    assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    assert_int_equal(fd_map_sealed(fd, 7, &bytes), 0);
    assert_memory_equal(bytes, "payload", 7);
    assert_int_equal(pwrite(fd, "x", 1, 0), -1);
    assert_int_equal(errno, EPERM);
    assert_int_equal(ftruncate(fd, 3), -1);
    assert_int_equal(ftruncate(fd, 100), -1);
    assert_ptr_equal(mmap(NULL, 7, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
    assert_int_equal(fcntl(fd, F_ADD_SEALS, 0), -1);
    fd_unmap(bytes, 7);
    (void)close(fd);
}

static void test_an_empty_payload_maps_to_a_valid_pointer(void **state) {
    const uint8_t *bytes = NULL;
    (void)state;
    int fd = fd_sealed(NULL, 0);
    assert_true(fd >= 0);
    assert_int_equal(fd_map_sealed(fd, 0, &bytes), 0);
    assert_non_null(bytes);
    fd_unmap(bytes, 0);
    (void)close(fd);
}

static void test_refuses_a_size_that_is_not_the_payload(void **state) {
    const uint8_t *bytes = NULL;
    (void)state;
    int fd = fd_sealed("payload", 7);
    assert_int_equal(fd_map_sealed(fd, 6, &bytes), -EINVAL);
    assert_int_equal(fd_map_sealed(fd, 8, &bytes), -EINVAL);
    assert_int_equal(fd_map_sealed(fd, 0, &bytes), -EINVAL);
    assert_int_equal(fd_map_sealed(fd, SIZE_MAX, &bytes), -EINVAL);
    assert_null(bytes);
    (void)close(fd);
}

static void test_refuses_descriptors_without_all_seals(void **state) {
    static const int some[] = {0, F_SEAL_WRITE, F_SEAL_WRITE | F_SEAL_GROW, F_SEAL_GROW | F_SEAL_SHRINK};
    const uint8_t *bytes = NULL;
    int ends[2];
    (void)state;
    for (size_t i = 0; i < sizeof some / sizeof *some; i++) {
        int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        assert_int_equal(fd_write_all(fd, "abc", 3), 0);
        assert_int_equal(fcntl(fd, F_ADD_SEALS, some[i]), 0);
        assert_int_equal(fd_map_sealed(fd, 3, &bytes), -EPERM);
        (void)close(fd);
    }
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(fd_map_sealed(ends[0], 0, &bytes), -EPERM);
    assert_int_equal(fd_map_sealed(-1, 0, &bytes), -EPERM);
    (void)close(ends[0]);
    (void)close(ends[1]);
}

static void test_reads_and_writes_whole(void **state) {
    char out[6] = "";
    int ends[2];
    (void)state;
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(fd_write_all(ends[1], "ab", 2), 0);
    assert_int_equal(fd_write_all(ends[1], "cde", 3), 0);
    assert_int_equal(fd_read_all(ends[0], out, 5), 0);
    assert_string_equal(out, "abcde");
    assert_int_equal(fd_write_all(ends[1], "x", 1), 0);
    (void)close(ends[1]);
    assert_int_equal(fd_read_all(ends[0], out, 2), -ENODATA);
    (void)close(ends[0]);
    assert_int_equal(fd_read_all(-1, out, 1), -EBADF);
    assert_int_equal(fd_write_all(-1, out, 1), -EBADF);
}

static void test_a_peer_that_left_is_an_error_not_a_signal_here(void **state) {
    int ends[2];
    (void)state;
    assert_true(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
    assert_int_equal(pipe(ends), 0);
    (void)close(ends[0]);
    assert_int_equal(fd_write_all(ends[1], "x", 1), -EPIPE);
    (void)close(ends[1]);
}

static void test_nonblocking_reads_return_at_once(void **state) {
    char c = 0;
    int ends[2];
    (void)state;
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(fd_set_nonblocking(ends[0]), 0);
    assert_int_equal(fd_read_all(ends[0], &c, 1), -EAGAIN);
    assert_int_equal(fd_set_nonblocking(-1), -EBADF);
    (void)close(ends[0]);
    (void)close(ends[1]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_sealed_payload_reads_back_and_cannot_change),
        cmocka_unit_test(test_an_empty_payload_maps_to_a_valid_pointer),
        cmocka_unit_test(test_refuses_a_size_that_is_not_the_payload),
        cmocka_unit_test(test_refuses_descriptors_without_all_seals),
        cmocka_unit_test(test_reads_and_writes_whole),
        cmocka_unit_test(test_a_peer_that_left_is_an_error_not_a_signal_here),
        cmocka_unit_test(test_nonblocking_reads_return_at_once),
    };
    return cmocka_run_group_tests_name("base/fd", tests, NULL, NULL);
}
