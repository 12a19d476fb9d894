/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "ipc/ipc.h"

static void fill_classify(struct ipc_request *request) {
    memset(request, 0, sizeof *request);
    request->op = IPC_OP_CLASSIFY;
    request->connection = 7;
    request->scope = SCOPE_PROMPT;
    request->class_ = CLASS_BATCH;
    request->deadline_ms = 1234;
    request->want = IPC_WANT_RAW | IPC_WANT_TIMING;
    request->part_count = 2;
    (void)snprintf(request->tenant, sizeof request->tenant, "uid:1000");
    (void)snprintf(request->id, sizeof request->id, "an id");
    (void)snprintf(request->policy, sizeof request->policy, "uploads");
    (void)snprintf(request->subject, sizeof request->subject, "somebody");
    (void)snprintf(request->idem, sizeof request->idem, "key-1");
    (void)snprintf(request->traceparent, sizeof request->traceparent,
                   "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    request->parts[0] =
        (struct ipc_part){.kind = CONTENT_TEXT, .role = ROLE_USER, .judge = true, .size = 5, .fd = -1};
    request->parts[1] = (struct ipc_part){.kind = CONTENT_IMAGE, .role = ROLE_SYSTEM, .size = 9, .fd = -1};
    (void)snprintf(request->parts[0].lang, sizeof request->parts[0].lang, "de-AT");
    (void)snprintf(request->parts[1].mime, sizeof request->parts[1].mime, "image/png");
}

static struct imsg message_of(const struct buf *body, size_t fd_count) {
    struct imsg message = {
        .type = IPC_REQUEST, .body = body->bytes, .body_size = body->size, .fd_count = fd_count};
    for (size_t i = 0; i < IMSG_MAX_FDS; i++) {
        message.fds[i] = -1;
    }
    return message;
}

static int decode(const struct ipc_request *request, size_t fd_count, struct ipc_request *ret) {
    struct buf body = {0};
    ipc_encode_request(request, &body);
    assert_false(body.failed);
    struct imsg message = message_of(&body, fd_count);
    int rc = ipc_decode_request(&message, ret);
    buf_deinit(&body);
    return rc;
}

static void test_a_classify_request_comes_out_as_it_went_in(void **state) {
    (void)state;
    struct ipc_request in;
    struct ipc_request out;
    fill_classify(&in);
    assert_int_equal(decode(&in, 2, &out), 0);
    for (size_t i = 2; i < IPC_MAX_PARTS; i++) {
        in.parts[i].fd = -1;
    }
    assert_memory_equal(&in, &out, sizeof in);
}

static void test_a_refusal_and_a_cancel_come_out_as_they_went_in(void **state) {
    (void)state;
    struct ipc_request in = {.op = IPC_OP_REFUSED,
                             .connection = 1,
                             .tenant = "loopback",
                             .status = 429,
                             .code = "window",
                             .detail = "too many",
                             .retry_after_ms = 100};
    struct ipc_request out;
    assert_int_equal(decode(&in, 0, &out), 0);
    assert_int_equal(out.status, 429);
    assert_string_equal(out.code, "window");
    assert_string_equal(out.detail, "too many");
    assert_int_equal(out.retry_after_ms, 100);
    assert_string_equal(out.id, "");
    in = (struct ipc_request){.op = IPC_OP_CANCEL, .tenant = "uid:0", .id = "c", .target = "r"};
    assert_int_equal(decode(&in, 0, &out), 0);
    assert_string_equal(out.target, "r");
}

static void test_decoding_takes_the_descriptors_and_deinit_closes_them(void **state) {
    (void)state;
    struct ipc_request in;
    struct ipc_request out;
    struct buf body = {0};
    struct stat info;
    fill_classify(&in);
    ipc_encode_request(&in, &body);
    struct imsg message = message_of(&body, 2);
    message.fds[0] = fd_sealed("hello", 5);
    message.fds[1] = fd_sealed("nine byte", 9);
    int first = message.fds[0];
    assert_int_equal(ipc_decode_request(&message, &out), 0);
    assert_int_equal(out.parts[0].fd, first);
    assert_int_equal(message.fds[0], -1);
    ipc_request_deinit(&out);
    assert_int_not_equal(fstat(first, &info), 0);
    buf_deinit(&body);
}

static void test_refuses_every_truncation_and_every_extension(void **state) {
    (void)state;
    struct ipc_request in;
    struct ipc_request out;
    struct buf body = {0};
    fill_classify(&in);
    ipc_encode_request(&in, &body);
    for (size_t size = 0; size < body.size; size++) {
        struct imsg message = message_of(&body, 2);
        message.body_size = size;
        assert_int_equal(ipc_decode_request(&message, &out), IPC_E_MALFORMED);
    }
    buf_u8(&body, 0);
    struct imsg message = message_of(&body, 2);
    assert_int_equal(ipc_decode_request(&message, &out), IPC_E_MALFORMED);
    buf_deinit(&body);
}

static void test_refuses_values_out_of_range(void **state) {
    (void)state;
    struct ipc_request in;
    struct ipc_request out;
#define refused(field, value)                                                                                \
    do {                                                                                                     \
        fill_classify(&in);                                                                                  \
        in.field = value;                                                                                    \
        assert_int_equal(decode(&in, in.part_count, &out), IPC_E_MALFORMED);                                 \
    } while (0)
    refused(op, IPC_OP_INVALID);
    refused(op, IPC_OP_COUNT);
    refused(scope, SCOPE_INVALID);
    refused(scope, SCOPE_COUNT);
    refused(class_, CLASS_INVALID);
    refused(class_, CLASS_COUNT);
    refused(want, 1u << 5);
    refused(part_count, 0);
    refused(parts[0].kind, CONTENT_INVALID);
    refused(parts[1].kind, CONTENT_KIND_COUNT);
    refused(parts[0].role, ROLE_INVALID);
    refused(parts[0].role, ROLE_COUNT);
    refused(parts[0].size, (uint64_t)IPC_MAX_PART_BYTES + 1);
    refused(parts[0].size, UINT64_MAX);
    refused(id[0], '\0');
    refused(tenant[0], '\0');
    fill_classify(&in);
    in.parts[0].size = IPC_MAX_PART_BYTES;
    in.parts[1].size = IPC_MAX_TOTAL_BYTES - IPC_MAX_PART_BYTES;
    assert_int_equal(decode(&in, 2, &out), 0);
    in.parts[1].size++;
    assert_int_equal(decode(&in, 2, &out), IPC_E_MALFORMED);
}

static void test_refuses_a_number_of_descriptors_that_is_not_the_number_of_parts(void **state) {
    (void)state;
    struct ipc_request in;
    struct ipc_request out;
    fill_classify(&in);
    assert_int_equal(decode(&in, 1, &out), IPC_E_MALFORMED);
    assert_int_equal(decode(&in, 3, &out), IPC_E_MALFORMED);
    in = (struct ipc_request){.op = IPC_OP_PING, .tenant = "uid:0", .id = "p"};
    assert_int_equal(decode(&in, 1, &out), IPC_E_MALFORMED);
    assert_int_equal(decode(&in, 0, &out), 0);
}

static void test_refuses_refusals_without_an_error_status_or_a_code(void **state) {
    (void)state;
    struct ipc_request in = {.op = IPC_OP_REFUSED, .tenant = "uid:0", .status = 200, .code = "x"};
    struct ipc_request out;
    assert_int_equal(decode(&in, 0, &out), IPC_E_MALFORMED);
    in.status = 600;
    assert_int_equal(decode(&in, 0, &out), IPC_E_MALFORMED);
    in.status = 400;
    in.code[0] = '\0';
    assert_int_equal(decode(&in, 0, &out), IPC_E_MALFORMED);
}

static void test_settings_come_out_as_they_went_in(void **state) {
    (void)state;
    struct ipc_settings in = {.endpoint_count = 2,
                              .endpoints = {"ipc:///run/x", "tcp://127.0.0.1:1"},
                              .insecure_loopback = true,
                              .uid_count = 2,
                              .uids = {{0, ""}, {UINT32_MAX, "shop"}},
                              .window = 64,
                              .part_bytes = 1000,
                              .total_bytes = 2000,
                              .curve_secret = "secret",
                              .key_count = 1,
                              .keys = {{"public", "shop"}}};
    struct ipc_settings out;
    struct buf body = {0};
    ipc_encode_settings(&in, &body);
    struct imsg message = message_of(&body, 0);
    assert_int_equal(ipc_decode_settings(&message, &out), 0);
    assert_memory_equal(&in, &out, sizeof in);
    for (size_t size = 0; size < body.size; size++) {
        message.body_size = size;
        assert_int_equal(ipc_decode_settings(&message, &out), IPC_E_MALFORMED);
    }
    buf_deinit(&body);
}

static void test_refuses_settings_without_endpoint_window_or_limits(void **state) {
    (void)state;
    const struct ipc_settings good = {.endpoint_count = 1,
                                      .endpoints = {"ipc:///x"},
                                      .window = 1,
                                      .part_bytes = IPC_MAX_PART_BYTES,
                                      .total_bytes = IPC_MAX_TOTAL_BYTES};
    struct ipc_settings bad[6];
    for (size_t i = 0; i < 6; i++) {
        bad[i] = good;
    }
    bad[0].endpoint_count = 0;
    bad[1].window = 0;
    bad[2].part_bytes = 0;
    bad[3].total_bytes = 0;
    bad[4].part_bytes++;
    bad[5].total_bytes++;
    for (size_t i = 0; i < 6; i++) {
        struct ipc_settings out;
        struct buf body = {0};
        ipc_encode_settings(&bad[i], &body);
        struct imsg message = message_of(&body, 0);
        assert_int_equal(ipc_decode_settings(&message, &out), IPC_E_MALFORMED);
        buf_deinit(&body);
    }
}

static void test_names_of_ops_and_wants(void **state) {
    (void)state;
    assert_int_equal(ipc_op_from("classify"), IPC_OP_CLASSIFY);
    assert_int_equal(ipc_op_from("refused"), IPC_OP_INVALID);
    assert_int_equal(ipc_op_from(""), IPC_OP_INVALID);
    assert_string_equal(ipc_op_name(IPC_OP_CANCEL), "cancel");
    assert_null(ipc_op_name(IPC_OP_INVALID));
    assert_null(ipc_op_name(IPC_OP_COUNT));
    assert_int_equal(ipc_want_from("raw"), IPC_WANT_RAW);
    assert_int_equal(ipc_want_from("timing"), IPC_WANT_TIMING);
    assert_int_equal(ipc_want_from("Raw"), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_classify_request_comes_out_as_it_went_in),
        cmocka_unit_test(test_a_refusal_and_a_cancel_come_out_as_they_went_in),
        cmocka_unit_test(test_decoding_takes_the_descriptors_and_deinit_closes_them),
        cmocka_unit_test(test_refuses_every_truncation_and_every_extension),
        cmocka_unit_test(test_refuses_values_out_of_range),
        cmocka_unit_test(test_refuses_a_number_of_descriptors_that_is_not_the_number_of_parts),
        cmocka_unit_test(test_refuses_refusals_without_an_error_status_or_a_code),
        cmocka_unit_test(test_settings_come_out_as_they_went_in),
        cmocka_unit_test(test_refuses_settings_without_endpoint_window_or_limits),
        cmocka_unit_test(test_names_of_ops_and_wants),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
