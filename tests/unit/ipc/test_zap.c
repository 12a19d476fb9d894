/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "ipc/front/zap.h"

/* ZAP_OK is checked further: the identity that libzmq keeps must stand for `tenant`. */
static int decide(const struct ipc_settings *settings, const char *domain, const char *address,
                  const char *mechanism, const char *key, const char *tenant) {
    struct zap_rules rules = {.settings = settings, .own_uid = 1000};
    struct zap_question question = {
        .domain = domain, .address = address, .mechanism = mechanism, .public_key = key};
    char identity[IPC_NAME_SIZE] = "";
    char found[IPC_NAME_SIZE] = "";
    int status = zap_decide(&rules, &question, identity);
    if (status == ZAP_OK) {
        assert_true(zap_tenant(&rules, identity, found));
        assert_string_equal(found, tenant);
    }
    return status;
}

static void test_an_empty_list_allows_root_and_the_own_uid(void **state) {
    (void)state;
    const struct ipc_settings none = {0};
    assert_int_equal(decide(&none, "ipc", "localhost:1000:5:77", "NULL", NULL, "uid:1000"), ZAP_OK);
    assert_int_equal(decide(&none, "ipc", "localhost:0:0:1", "NULL", NULL, "uid:0"), ZAP_OK);
    assert_int_equal(decide(&none, "ipc", "localhost:1001:0:1", "NULL", NULL, NULL), ZAP_REFUSED);
    assert_int_equal(decide(&none, "ipc", "localhost:65534:0:0", "NULL", NULL, NULL), ZAP_REFUSED);
}

static void test_a_list_allows_what_it_lists_and_nothing_else(void **state) {
    (void)state;
    const struct ipc_settings listed = {.uid_count = 2, .uids = {{33, ""}, {4294967294u, ""}}};
    assert_int_equal(decide(&listed, "ipc", "localhost:33:33:1", "NULL", NULL, "uid:33"), ZAP_OK);
    assert_int_equal(decide(&listed, "ipc", "localhost:4294967294:0:1", "NULL", NULL, "uid:4294967294"),
                     ZAP_OK);
    assert_int_equal(decide(&listed, "ipc", "localhost:0:0:1", "NULL", NULL, NULL), ZAP_REFUSED);
    assert_int_equal(decide(&listed, "ipc", "localhost:1000:0:1", "NULL", NULL, NULL), ZAP_REFUSED);
}

static void test_refuses_addresses_of_any_other_form(void **state) {
    (void)state;
    const struct ipc_settings none = {0};
    static const char *const addresses[] = {
        "",
        "localhost",
        "localhost:",
        "localhost:0",
        "localhost:0:0",
        "0:0:0",
        "localhost:0:0:1:2",
        "localhost:0:0:1 ",
        "localhost: 0:0:1",
        "localhost:-0:0:1",
        "localhost:+0:0:1",
        "localhost:0x0:0:1",
        "localhost::0:1",
        "localhost:0::1",
        "localhost:0:0:",
        "localhost:4294967296:0:1",
        "localhost:18446744073709551616:0:1",
        "Localhost:0:0:1",
        "127.0.0.1",
        "xlocalhost:0:0:1",
    };
    for (size_t i = 0; i < sizeof addresses / sizeof *addresses; i++) {
        assert_int_equal(decide(&none, "ipc", addresses[i], "NULL", NULL, NULL), ZAP_REFUSED);
    }
}

static void test_refuses_unknown_domains_and_mixed_planes(void **state) {
    (void)state;
    static const char key[] = "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7";
    const struct ipc_settings all = {.insecure_loopback = true, .key_count = 1, .keys = {{"", "shop"}}};
    struct ipc_settings settings = all;
    memcpy(settings.keys[0].public_key, key, sizeof key);
    assert_int_equal(decide(&settings, "", "localhost:0:0:1", "NULL", NULL, NULL), ZAP_REFUSED);
    assert_int_equal(decide(&settings, "global", "localhost:0:0:1", "NULL", NULL, NULL), ZAP_REFUSED);
    assert_int_equal(decide(&settings, "ipc", "localhost:0:0:1", "CURVE", key, NULL), ZAP_REFUSED);
    assert_int_equal(decide(&settings, "ipc", "localhost:0:0:1", "PLAIN", NULL, NULL), ZAP_REFUSED);
    assert_int_equal(decide(&settings, "loopback", "localhost:0:0:1", "NULL", NULL, NULL), ZAP_REFUSED);
    assert_int_equal(decide(&settings, "loopback", "127.0.0.1", "CURVE", key, NULL), ZAP_REFUSED);
    assert_int_equal(decide(&settings, "curve", "127.0.0.1", "NULL", NULL, NULL), ZAP_REFUSED);
    assert_int_equal(decide(&settings, "curve", "127.0.0.1", "CURVE", NULL, NULL), ZAP_REFUSED);
}

static void test_loopback_needs_its_setting_and_a_numeric_loopback_address(void **state) {
    (void)state;
    const struct ipc_settings closed = {0};
    const struct ipc_settings open = {.insecure_loopback = true};
    static const char *const foreign[] = {"10.0.0.1",  "128.0.0.1", "::",    "fe80::1", "::ffff:10.0.0.1",
                                          "localhost", "",          "127.1", "::1%lo"};
    assert_int_equal(decide(&closed, "loopback", "127.0.0.1", "NULL", NULL, NULL), ZAP_REFUSED);
    assert_int_equal(decide(&open, "loopback", "127.0.0.1", "NULL", NULL, "loopback"), ZAP_OK);
    assert_int_equal(decide(&open, "loopback", "127.255.3.4", "NULL", NULL, "loopback"), ZAP_OK);
    assert_int_equal(decide(&open, "loopback", "::1", "NULL", NULL, "loopback"), ZAP_OK);
    assert_int_equal(decide(&open, "loopback", "::ffff:127.0.0.1", "NULL", NULL, "loopback"), ZAP_OK);
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++) {
        assert_int_equal(decide(&open, "loopback", foreign[i], "NULL", NULL, NULL), ZAP_REFUSED);
    }
}

static void test_curve_knows_listed_keys_only(void **state) {
    (void)state;
    static const char listed[] = "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7";
    static const char other[] = "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID";
    struct ipc_settings settings = {.key_count = 2, .keys = {{"", "shop"}, {"", ""}}};
    memcpy(settings.keys[0].public_key, listed, sizeof listed);
    assert_int_equal(decide(&settings, "curve", "10.1.2.3", "CURVE", listed, "shop"), ZAP_OK);
    assert_int_equal(decide(&settings, "curve", "10.1.2.3", "CURVE", other, NULL), ZAP_REFUSED);
    /* An empty entry is not a key for everybody, and a key without a tenant stands for nobody. */
    assert_int_equal(decide(&settings, "curve", "10.1.2.3", "CURVE", "", NULL), ZAP_REFUSED);
}

static bool tenant_of(const struct ipc_settings *settings, const char *identity, const char *tenant) {
    struct zap_rules rules = {.settings = settings, .own_uid = 1000};
    char found[IPC_NAME_SIZE] = "";
    return zap_tenant(&rules, identity, found) && strcmp(found, tenant) == 0;
}

static void test_users_of_one_tenant_share_its_name(void **state) {
    (void)state;
    const struct ipc_settings settings = {.uid_count = 3, .uids = {{33, "shop"}, {34, "shop"}, {35, ""}}};
    assert_int_equal(decide(&settings, "ipc", "localhost:33:1:1", "NULL", NULL, "shop"), ZAP_OK);
    assert_int_equal(decide(&settings, "ipc", "localhost:34:1:1", "NULL", NULL, "shop"), ZAP_OK);
    assert_int_equal(decide(&settings, "ipc", "localhost:35:1:1", "NULL", NULL, "uid:35"), ZAP_OK);
}

static void test_identities_of_one_plane_stand_for_nobody_on_another(void **state) {
    (void)state;
    /* 40 characters of Z85 that look like a uid. */
    static const char key[] = "uid:0000000000000000000000000000000001000";
    struct ipc_settings settings = {.key_count = 1, .keys = {{"", "shop"}}};
    memcpy(settings.keys[0].public_key, key, IPC_KEY_SIZE - 1);
    assert_true(tenant_of(&settings, settings.keys[0].public_key, "shop"));
    assert_false(tenant_of(&settings, settings.keys[0].public_key, "uid:1000"));
    settings.key_count = 0;
    assert_false(tenant_of(&settings, settings.keys[0].public_key, "shop"));
    static const char *const nobody[] = {"", "loopback", "uid:", "uid:1001", "uid:1000 ", "uid:-1", "shop"};
    for (size_t i = 0; i < sizeof nobody / sizeof *nobody; i++) {
        assert_false(tenant_of(&settings, nobody[i], nobody[i]));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_empty_list_allows_root_and_the_own_uid),
        cmocka_unit_test(test_a_list_allows_what_it_lists_and_nothing_else),
        cmocka_unit_test(test_refuses_addresses_of_any_other_form),
        cmocka_unit_test(test_refuses_unknown_domains_and_mixed_planes),
        cmocka_unit_test(test_loopback_needs_its_setting_and_a_numeric_loopback_address),
        cmocka_unit_test(test_curve_knows_listed_keys_only),
        cmocka_unit_test(test_users_of_one_tenant_share_its_name),
        cmocka_unit_test(test_identities_of_one_plane_stand_for_nobody_on_another),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
