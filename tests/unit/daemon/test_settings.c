/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/settings.h"

#define START "schema: buckler.config/1\npolicies: { files: [a.yaml], default: a }\n"

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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults_are_the_documented_ones),
        cmocka_unit_test(test_packaged_folders_without_state),
        cmocka_unit_test(test_models_directory_comes_from_the_environment),
        cmocka_unit_test(test_refuses_what_it_does_not_understand),
    };
    return cmocka_run_group_tests(tests, make_path, remove_path);
}
