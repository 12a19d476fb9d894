/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "daemon/idempotency.h"

static const uint64_t second = 1000000000u;

static void name(uint8_t digest[DIGEST_BYTES], unsigned number) {
    memset(digest, 0, DIGEST_BYTES);
    memcpy(digest, &number, sizeof number);
}

static enum idempotency_result take(struct idempotency *table, unsigned key, unsigned content, uint64_t now,
                                    const struct idempotency_entry **entry) {
    uint8_t k[DIGEST_BYTES], c[DIGEST_BYTES];
    name(k, key);
    name(c, content);
    return idempotency_take(table, k, c, now, entry);
}

static void settle(struct idempotency *table, unsigned key, const char *reply) {
    uint8_t k[DIGEST_BYTES];
    name(k, key);
    idempotency_settle(table, k, ACTION_REVIEW, 200, 77, reply);
}

static void test_second_request_gets_the_first_answer(void **state) {
    (void)state;
    const struct idempotency_entry *entry = NULL;
    struct idempotency *table = idempotency_new();
    assert_int_equal(take(table, 1, 5, second, &entry), IDEMPOTENCY_NEW);
    assert_int_equal(take(table, 1, 5, second, &entry), IDEMPOTENCY_OPEN);
    settle(table, 1, "{}");
    assert_int_equal(take(table, 1, 5, 2 * second, &entry), IDEMPOTENCY_SAME);
    assert_string_equal(entry->reply, "{}");
    assert_int_equal(entry->audit_index, 77);
    assert_int_equal(entry->action, ACTION_REVIEW);
    assert_int_equal(take(table, 1, 6, 2 * second, &entry), IDEMPOTENCY_OTHER_CONTENT);
    idempotency_free(table);
}

static void test_failed_request_frees_its_key(void **state) {
    (void)state;
    const struct idempotency_entry *entry = NULL;
    struct idempotency *table = idempotency_new();
    assert_int_equal(take(table, 1, 5, second, &entry), IDEMPOTENCY_NEW);
    settle(table, 1, NULL);
    assert_int_equal(take(table, 1, 6, second, &entry), IDEMPOTENCY_NEW);
    idempotency_free(table);
}

static void test_key_expires(void **state) {
    (void)state;
    const struct idempotency_entry *entry = NULL;
    struct idempotency *table = idempotency_new();
    assert_int_equal(take(table, 1, 5, second, &entry), IDEMPOTENCY_NEW);
    settle(table, 1, "{}");
    assert_int_equal(take(table, 1, 5, (IDEMPOTENCY_SECONDS + 1) * second, &entry), IDEMPOTENCY_SAME);
    assert_int_equal(take(table, 1, 5, (IDEMPOTENCY_SECONDS + 2) * second, &entry), IDEMPOTENCY_NEW);
    idempotency_free(table);
}

static void test_oldest_is_forgotten_when_full(void **state) {
    (void)state;
    const struct idempotency_entry *entry = NULL;
    struct idempotency *table = idempotency_new();
    for (unsigned key = 0; key < 3 * IDEMPOTENCY_MAX; key++) {
        assert_int_equal(take(table, key, 1, second, &entry), IDEMPOTENCY_NEW);
        settle(table, key, "{}");
    }
    assert_int_equal(take(table, 3 * IDEMPOTENCY_MAX - 1, 1, second, &entry), IDEMPOTENCY_SAME);
    assert_int_equal(take(table, 2 * IDEMPOTENCY_MAX, 1, second, &entry), IDEMPOTENCY_SAME);
    assert_int_equal(take(table, 2 * IDEMPOTENCY_MAX - 1, 1, second, &entry), IDEMPOTENCY_NEW);
    idempotency_free(table);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_second_request_gets_the_first_answer),
        cmocka_unit_test(test_failed_request_frees_its_key),
        cmocka_unit_test(test_key_expires),
        cmocka_unit_test(test_oldest_is_forgotten_when_full),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
