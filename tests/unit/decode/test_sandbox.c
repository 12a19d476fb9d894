/* SPDX-License-Identifier: Apache-2.0
 *
 * What the kernel says of a running worker, and that its limits refuse instead of kill. Not built with
 * sanitizers, whose workers have no sandbox.
 */
#include "harness.h"
#include "pictures.h"

static void read_status(int pid, const char *file, char *out, size_t size) {
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%d/%s", pid, file);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    size_t got = fread(out, 1, size - 1, f);
    (void)fclose(f);
    out[got] = '\0';
}

static void test_a_worker_is_locked_in(void **state) {
    struct harness h;
    struct decode_options options = harness_options(1);
    char text[4096];
    int pid = 0;
    (void)state;
    harness_init(&h, &options);
    assert_int_equal(decode_worker_pids(h.pool, &pid, 1), 1);
    read_status(pid, "status", text, sizeof text);
    assert_non_null(strstr(text, "Seccomp:\t2"));
    assert_non_null(strstr(text, "NoNewPrivs:\t1"));
    read_status(pid, "limits", text, sizeof text);
    assert_non_null(strstr(text, "Max address space         536870912            536870912"));
    assert_non_null(strstr(text, "Max processes             0                    0"));
    assert_non_null(strstr(text, "Max file size             0                    0"));
    assert_non_null(strstr(text, "Max core file size        0                    0"));
    assert_non_null(strstr(text, "Max open files            5                    5"));
    harness_deinit(&h);
}

/* More than the address space holds, though within the pixel limit: an answer, not a death. */
static void test_refuses_a_picture_that_its_address_space_cannot_hold(void **state) {
    static const uint8_t comment[40000];
    struct harness h;
    struct harness_job j;
    struct decode_options options = harness_options(1);
    struct buf file = {0};
    int before = 0;
    int after = 0;
    (void)state;
    options.address_space_bytes = UINT64_C(200) << 20;
    harness_init(&h, &options);
    assert_int_equal(decode_worker_pids(h.pool, &before, 1), 1);
    png_signature(&file);
    png_header(&file, 8000, 8000, 8, 2);
    png_chunk(&file, "coMm", comment, sizeof comment);
    png_data(&file, comment, 64);
    png_end(&file);
    harness_job_init(&j, CONTENT_IMAGE, file.bytes, file.size);
    assert_int_equal(harness_run(&h, &j), DECODE_E_TOO_LARGE);
    assert_int_equal(decode_worker_pids(h.pool, &after, 1), 1);
    assert_int_equal(before, after);
    harness_job_deinit(&j);
    buf_deinit(&file);
    harness_deinit(&h);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_worker_is_locked_in),
        cmocka_unit_test(test_refuses_a_picture_that_its_address_space_cannot_hold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
