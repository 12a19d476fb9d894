/* SPDX-License-Identifier: Apache-2.0 */
#include "scratch.h"

#include <errno.h>

#include "audit/audit.h"
#include "audit/canonical.h"
#include "audit/record.h"

static void test_takes_canonical_objects(void **state) {
    (void)state;
    static const char *const good[] = {"{}",
                                       "{\"a\":1,\"list\":[-5,\"x\"],\"z\":{\"index\":null,\"time\":1}}",
                                       "{\"\\u0001\\\"\\\\\\n\":\"\xc3\xa9\"}"};
    struct error error = {0};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_int_equal(record_check(good[i], strlen(good[i]), &error), 0);
    }
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
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct error error = {0};
        assert_int_equal(record_check(bad[i], strlen(bad[i]), &error), -EINVAL);
        assert_true(strlen(error.text) > 10);
    }
}

static void test_refuses_keys_that_are_shown_beside_it(void **state) {
    (void)state;
    struct error error = {0};
    assert_int_equal(record_check("{\"index\":1}", 11, &error), -EINVAL);
    assert_int_equal(record_check("{\"a\":1,\"time\":1}", 16, &error), -EINVAL);
}

static void test_refuses_a_payload_over_the_limit_and_takes_one_at_it(void **state) {
    (void)state;
    struct error error = {0};
    char *payload = malloc(AUDIT_MAX_PAYLOAD_BYTES + 1);
    assert_non_null(payload);
    memset(payload, 'x', AUDIT_MAX_PAYLOAD_BYTES + 1);
    memcpy(payload, "{\"a\":\"", 6);
    memcpy(payload + AUDIT_MAX_PAYLOAD_BYTES - 2, "\"}", 2);
    assert_int_equal(record_check(payload, AUDIT_MAX_PAYLOAD_BYTES, &error), 0);
    assert_int_equal(record_check(payload, AUDIT_MAX_PAYLOAD_BYTES + 1, &error), -EINVAL);
    free(payload);
}

static void test_the_writers_own_events_are_canonical(void **state) {
    (void)state;
    struct buf out = {0};
    record_created(&out, "host/buckler/1", "host/buckler/1+01020304+AQ+/==");
    assert_null(canonical_check((const char *)out.bytes, out.size, NULL, NULL));
    for (int damage = 0; damage < 2; damage++) {
        const struct record_cut cut = {"a.seg", "a.seg.7.torn", 4096, 12, damage, 3};
        buf_clear(&out);
        record_cut(&out, &cut);
        assert_int_equal(record_check(out.bytes, out.size, NULL), 0);
        assert_non_null(strstr((const char *)out.bytes, damage ? "corruption_accepted" : "torn_tail"));
    }
    buf_deinit(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_takes_canonical_objects),
        cmocka_unit_test(test_refuses_payloads_that_are_not_canonical),
        cmocka_unit_test(test_refuses_keys_that_are_shown_beside_it),
        cmocka_unit_test(test_refuses_a_payload_over_the_limit_and_takes_one_at_it),
        cmocka_unit_test(test_the_writers_own_events_are_canonical),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
