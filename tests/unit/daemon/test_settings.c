/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/settings.h"

#define START "schema: buckler.config/1\npolicies: { files: [a.yaml], default: a }\n"

#define KEY_A "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"
#define KEY_B "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID"

static char path[64];

static int write_config(const char *text) {
    FILE *file = fopen(path, "w");
    return file != NULL && fputs(text, file) >= 0 && fclose(file) == 0 ? 0 : -1;
}

static int make_path(void **state) {
    (void)state;
    (void)snprintf(path, sizeof path, "/tmp/buckler-settings-XXXXXX");
    int fd = mkstemp(path);
    return fd >= 0 ? close(fd) : -1;
}

static int remove_path(void **state) {
    (void)state;
    return unlink(path);
}

static void test_defaults_are_the_documented_ones(void **state) {
    (void)state;
    static struct settings s;
    struct config_report report = {0};
    assert_int_equal(write_config(START), 0);
    assert_int_equal(settings_load(path, "/var/tmp/state", &s, &report), 0);
    assert_string_equal(s.endpoints[0], "ipc:///var/tmp/state/run/front.sock");
    assert_string_equal(s.audit_dir, "/var/tmp/state/audit");
    assert_string_equal(s.policy_files[0], "/tmp/a.yaml");
    assert_int_equal(s.audit_mode, SETTINGS_AUDIT_BEFORE_REPLY);
    assert_int_equal(s.max_requests, 512);
    assert_int_equal(s.text_bytes, 1 << 20);
    assert_int_equal(s.decode_job_ms, 2000);
    assert_false(s.insecure_loopback);
}

static void test_packaged_folders_without_state(void **state) {
    (void)state;
    static struct settings s;
    struct config_report report = {0};
    assert_int_equal(write_config(START), 0);
    assert_int_equal(settings_load(path, NULL, &s, &report), 0);
    assert_string_equal(s.endpoints[0], "ipc:///run/buckler/front.sock");
    assert_string_equal(s.state_dir, "/var/lib/buckler");
}

static void test_models_directory_comes_from_the_environment(void **state) {
    (void)state;
    static struct settings s;
    struct config_report report = {0};
    assert_int_equal(setenv("BUCKLER_MODELS", "/srv/weights", 1), 0);
    assert_int_equal(write_config(START "models: { named: { big: { file: big.gguf } } }\n"), 0);
    assert_int_equal(settings_load(path, NULL, &s, &report), 0);
    assert_string_equal(s.models_dir, "/srv/weights");
    assert_string_equal(s.named_models[0].file, "/srv/weights/big.gguf");
    assert_int_equal(unsetenv("BUCKLER_MODELS"), 0);
}

static void test_refuses_what_it_does_not_understand(void **state) {
    (void)state;
    static const struct {
        const char *text;
        const char *place; /* line:column */
        const char *part;  /* of the message */
    } cases[] = {
        {"policies: { files: [a.yaml], default: a }\n", ":1:1:", "schema"},
        {START "engin: { threads: 2 }\n", ":3:1:", "engine"},
        {START "engine: { threads: -1 }\n", ":3:20:", ""},
        {START "engine: { threads: 99999 }\n", ":3:20:", ""},
        {START "listen: { insecure: yes }\n", ":3:21:", ""},
        {START "listen: { endpoints: [] }\n", ":3:22:", ""},
        {START "listen: { endpoints: [\"inproc://x\"] }\n", ":", "neither ipc"},
        {START "limits: { text: 21MiB }\n", ":3:17:", ""},
        {START "limits: { text: 1MB }\n", ":3:17:", ""},
        {START "decode: { job: 1ms }\n", ":3:16:", ""},
        {START "audit: { mode: never }\n", ":3:16:", "before_reply"},
        {START "audit: { mode: async }\naudit: { mode: off }\n", ":4:1:", ""},
        {"schema: buckler.config/2\npolicies: { files: [a.yaml], default: a }\n", ":1:9:", ""},
        {"schema: buckler.config/1\npolicies: { files: [], default: a }\n", ":2:20:", ""},
        {"schema: buckler.config/1\npolicies: { files: [a.yaml] }\n", ":2:", "default"},
        {START "models: { named: { x: {} } }\n", ":3:", "file"},
        {START "listen: { endpoints: [\"tcp://0.0.0.0:7441\"] }\n", ":", "would serve everybody"},
        {START "tenants: [{ keys: [] }]\n", ":3:11:", "name"},
        {START "tenants: [{ name: Shop }]\n", ":3:19:", "letters"},
        {START "tenants: [{ name: \"uid:7\" }]\n", ":3:19:", "letters"},
        {START "tenants: [{ name: a, keys: [short] }]\n", ":3:29:", "40 characters"},
        {START "tenants: [{ name: a, weight: 0 }]\n", ":3:30:", ""},
        {START "tenants: [{ name: a, policies: [] }]\n", ":3:32:", ""},
        {START "tenants: [{ name: a }, { name: a }]\n", ":3:24:", "defined already"},
        {START "tenants: [{ name: a, uids: [7] }, { name: b, uids: [7] }]\n", ":3:53:", "listed already"},
        {START "tenants: [{ name: a, uids: [7] }]\nlisten: { uids: [7] }\n", ":4:18:", "listed already"},
        {START "tenants: [{ name: a, keys: ['" KEY_A "', '" KEY_A "'] }]\n", ":3:73:", "tenant a already"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        static struct settings s;
        struct config_report report = {0};
        assert_int_equal(write_config(cases[i].text), 0);
        int rc = settings_load(path, NULL, &s, &report);
        if (rc != CONFIG_E_INVALID || config_report_count(&report) == 0) {
            fail_msg("case %zu was accepted: %s", i, cases[i].text);
        }
        const char *line = config_report_line(&report, 0);
        if (strstr(line, cases[i].place) == NULL || strstr(line, cases[i].part) == NULL) {
            fail_msg("case %zu: \"%s\" does not say %s %s", i, line, cases[i].place, cases[i].part);
        }
        config_report_deinit(&report);
    }
}

static const char tenants[] = START "tenants:\n"
                                    "  - { name: shop, keys: ['" KEY_A "', '" KEY_B
                                    "'], uids: [7], policies: [a], rate: 50, window: 9, "
                                    "weight: 3 }\n"
                                    "  - { name: forum, uids: [8, 9] }\n"
                                    "listen: { uids: [10] }\n";

static void test_tenants_have_their_keys_users_and_limits(void **state) {
    (void)state;
    static struct settings s;
    struct config_report report = {0};
    assert_int_equal(write_config(tenants), 0);
    assert_int_equal(settings_load(path, NULL, &s, &report), 0);
    const struct settings_tenant *shop = settings_tenant(&s, "shop");
    assert_int_equal(shop->rate, 50);
    assert_int_equal(shop->window, 9);
    assert_int_equal(shop->weight, 3);
    assert_int_equal(shop->policy_count, 1);
    assert_string_equal(shop->policies[0], "a");
    const struct settings_tenant *forum = settings_tenant(&s, "forum");
    assert_int_equal(forum->rate + forum->window + forum->policy_count, 0);
    assert_int_equal(forum->weight, 1);
    assert_null(settings_tenant(&s, "uid:10"));
    assert_int_equal(s.key_count, 2);
    assert_string_equal(s.keys[1].public_key, KEY_B);
    assert_string_equal(s.keys[1].tenant, "shop");
    assert_int_equal(s.uid_count, 4);
    assert_int_equal(s.uids[2].uid, 9);
    assert_string_equal(s.uids[2].tenant, "forum");
    assert_int_equal(s.uids[3].uid, 10);
    assert_string_equal(s.uids[3].tenant, "");
}

/* Writes `text` as the list of revoked keys of a state folder and loads the tenants with it. */
static int load_with_revoked(const char *text, struct settings *s, struct config_report *report) {
    char folder[] = "/tmp/buckler-state-XXXXXX";
    char keys[64];
    char file[96];
    assert_non_null(mkdtemp(folder));
    (void)snprintf(keys, sizeof keys, "%s/keys", folder);
    (void)snprintf(file, sizeof file, "%s/revoked", keys);
    assert_int_equal(mkdir(keys, 0700), 0);
    FILE *out = fopen(file, "w");
    assert_non_null(out);
    assert_true(fputs(text, out) >= 0);
    assert_int_equal(fclose(out), 0);
    assert_int_equal(write_config(tenants), 0);
    int rc = settings_load(path, folder, s, report);
    assert_int_equal(unlink(file), 0);
    assert_int_equal(rmdir(keys), 0);
    assert_int_equal(rmdir(folder), 0);
    return rc;
}

static void test_a_revoked_key_is_no_key_whatever_the_configuration_says(void **state) {
    (void)state;
    static struct settings s;
    struct config_report report = {0};
    assert_int_equal(load_with_revoked(KEY_A "\n", &s, &report), 0);
    assert_int_equal(s.key_count, 1);
    assert_string_equal(s.keys[0].public_key, KEY_B);
    assert_int_equal(load_with_revoked("", &s, &report), 0);
    assert_int_equal(s.key_count, 2);
}

static void test_refuses_a_list_of_revoked_keys_that_it_cannot_read(void **state) {
    (void)state;
    static const char *const lists[] = {"garbage\n", KEY_A " \n", KEY_A "\n" KEY_B "x\n", "\n\n#\n"};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        static struct settings s;
        struct config_report report = {0};
        assert_int_equal(load_with_revoked(lists[i], &s, &report), CONFIG_E_INVALID);
        assert_non_null(strstr(config_report_line(&report, 0), "revoked:1:1: "));
        config_report_deinit(&report);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults_are_the_documented_ones),
        cmocka_unit_test(test_packaged_folders_without_state),
        cmocka_unit_test(test_models_directory_comes_from_the_environment),
        cmocka_unit_test(test_tenants_have_their_keys_users_and_limits),
        cmocka_unit_test(test_a_revoked_key_is_no_key_whatever_the_configuration_says),
        cmocka_unit_test(test_refuses_a_list_of_revoked_keys_that_it_cannot_read),
        cmocka_unit_test(test_refuses_what_it_does_not_understand),
    };
    return cmocka_run_group_tests(tests, make_path, remove_path);
}
