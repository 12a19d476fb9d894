/* SPDX-License-Identifier: Apache-2.0 */
#include "scratch.h"

#include <errno.h>

#include "audit/record.h"

static struct record_link link_of(uint64_t index) {
    struct record_link link = {.index = index, .batch = index, .time_ns = 1700000000000000000u};
    memset(link.prev, 'a', sizeof link.prev - 1);
    return link;
}

static void test_adds_its_keys_in_order(void **state) {
    (void)state;
    static const char payload[] = "{\"a\":1,\"list\":[-5,\"x\"],\"z\":{\"k\":null}}";
    struct record_link link = link_of(7);
    struct buf out = {0};
    struct error error;
    assert_int_equal(record_build(payload, sizeof payload - 1, &link, &out, &error), 0);
    assert_string_equal((char *)out.bytes,
                        "{\"a\":1,\"batch\":7,\"index\":7,\"list\":[-5,\"x\"],\"prev\":"
                        "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\","
                        "\"time_ns\":1700000000000000000,\"z\":{\"k\":null}}\n");
    buf_deinit(&out);
}

static void test_reads_what_it_wrote(void **state) {
    (void)state;
    static const char payload[] = "{\"\\u0001\\\"\\\\\\n\":\"\xc3\xa9\"}";
    struct record_link link = link_of(9);
    struct record_link again;
    struct buf out = {0};
    char log_id[RECORD_LOG_ID_SIZE];
    assert_int_equal(record_build(payload, sizeof payload - 1, &link, &out, NULL), 0);
    assert_int_equal(record_parse((char *)out.bytes, out.size - 1, &again, log_id, NULL), 0);
    assert_int_equal(again.index, 9);
    assert_int_equal(again.batch, 9);
    assert_int_equal(again.time_ns, link.time_ns);
    assert_string_equal(again.prev, link.prev);
    assert_string_equal(log_id, "");
    buf_deinit(&out);
}

static void test_refuses_payloads_that_are_not_canonical(void **state) {
    (void)state;
    static const char *const bad[] = {
        "",
        "{",
        "[]",
        "1",
        "null",
        "{} ",
        " {}",
        "{}\n",
        "{\"b\":1,\"a\":1}",
        "{\"a\": 1}",
        "{\"a\":1.5}",
        "{\"a\":[{\"b\":1e3}]}",
        "{\"a\":-0}",
        "{\"a\":01}",
        "{\"a\":1,\"a\":1}",
        "{\"a\":\"\\u0041\"}",
        "{\"a\":\"\\/\"}",
        "{\"a\":\"\xff\"}",
        "{\"a\":9223372036854775808}",
        "{\"a\":NaN}",
        "{\"a\":\"\\u0000\"}",
        "{}{}",
    };
    struct record_link link = link_of(0);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct buf out = {0};
        struct error error = {0};
        assert_int_equal(record_build(bad[i], strlen(bad[i]), &link, &out, &error), -EINVAL);
        assert_true(strlen(error.text) > 10);
        assert_int_equal(out.size, 0);
        buf_deinit(&out);
    }
}

static void test_refuses_keys_that_the_log_adds(void **state) {
    (void)state;
    static const char *const bad[] = {"{\"index\":1}", "{\"prev\":\"x\"}", "{\"time_ns\":1}",
                                      "{\"batch\":0}"};
    struct record_link link = link_of(0);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct buf out = {0};
        assert_int_equal(record_build(bad[i], strlen(bad[i]), &link, &out, NULL), -EINVAL);
        buf_deinit(&out);
    }
}

static void test_refuses_a_payload_over_the_limit_and_takes_one_at_it(void **state) {
    (void)state;
    char *payload = malloc(AUDIT_MAX_PAYLOAD_BYTES + 1);
    assert_non_null(payload);
    memset(payload, 'x', AUDIT_MAX_PAYLOAD_BYTES + 1);
    memcpy(payload, "{\"a\":\"", 6);
    memcpy(payload + AUDIT_MAX_PAYLOAD_BYTES - 2, "\"}", 2);
    struct record_link link = link_of(UINT32_MAX);
    struct buf out = {0};
    assert_int_equal(record_build(payload, AUDIT_MAX_PAYLOAD_BYTES, &link, &out, NULL), 0);
    assert_true(out.size - 1 <= RECORD_MAX_LINE_BYTES);
    assert_int_equal(record_build(payload, AUDIT_MAX_PAYLOAD_BYTES + 1, &link, &out, NULL), -EINVAL);
    buf_deinit(&out);
    free(payload);
}

static void test_refuses_lines_without_a_sound_link(void **state) {
    (void)state;
#define ZEROS "0000000000000000000000000000000000000000000000000000000000000000"
#define UPPER "A000000000000000000000000000000000000000000000000000000000000000"
    static const char *const bad[] = {
        "{\"batch\":0,\"index\":0,\"time_ns\":1}",
        "{\"batch\":0,\"index\":0,\"prev\":\"00\",\"time_ns\":1}",
        "{\"batch\":0,\"index\":0,\"prev\":\"" UPPER "\",\"time_ns\":1}",
        "{\"batch\":0,\"index\":-1,\"prev\":\"" ZEROS "\",\"time_ns\":1}",
        "{\"batch\":2,\"index\":1,\"prev\":\"" ZEROS "\",\"time_ns\":1}",
        "{\"batch\":0,\"index\":\"0\",\"prev\":\"" ZEROS "\",\"time_ns\":1}",
        "{\"batch\":0,\"index\":0,\"prev\":\"" ZEROS "\"}",
        "{\"batch\":0,\"index\":0,\"prev\":\"" ZEROS "\",\"time_ns\":1.0}",
    };
    struct record_link link;
    struct error error;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(record_parse(bad[i], strlen(bad[i]), &link, NULL, &error), AUDIT_E_TAMPERED);
    }
    static const char good[] = "{\"batch\":0,\"index\":0,\"prev\":\"" ZEROS "\",\"time_ns\":1}";
    assert_int_equal(record_parse(good, sizeof good - 1, &link, NULL, &error), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_adds_its_keys_in_order),
        cmocka_unit_test(test_reads_what_it_wrote),
        cmocka_unit_test(test_refuses_payloads_that_are_not_canonical),
        cmocka_unit_test(test_refuses_keys_that_the_log_adds),
        cmocka_unit_test(test_refuses_a_payload_over_the_limit_and_takes_one_at_it),
        cmocka_unit_test(test_refuses_lines_without_a_sound_link),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
