/* SPDX-License-Identifier: Apache-2.0
 *
 * Runs a command against a real buckler-front with a core behind it: `front_conformance COMMAND… ENDPOINT`,
 * where the endpoint is appended. Exits as the command does.
 */
#include <setjmp.h>
#include <spawn.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/integration/front_core.h"

static char **command;
static int command_length;

static void test_the_command_succeeds_against_the_real_front(void **state) {
    (void)state;
    extern char **environ;
    char folder[] = "/tmp/buckler-front-XXXXXX";
    char endpoint[128];
    char *argv[32] = {0};
    struct ipc_settings settings;
    static struct front_core core;
    pid_t pid = -1;
    int status = -1;
    assert_true(command_length > 0 && command_length < 30);
    assert_non_null(mkdtemp(folder));
    (void)snprintf(endpoint, sizeof endpoint, "ipc://%s/front.sock", folder);
    front_core_settings(&settings, endpoint);
    settings.window = 64;
    front_core_start(&core, &settings);
    assert_true(core.ready);
    for (int i = 0; i < command_length; i++) {
        argv[i] = command[i];
    }
    argv[command_length] = endpoint;
    assert_int_equal(posix_spawnp(&pid, argv[0], NULL, NULL, argv, environ), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    (void)front_core_stop(&core);
    (void)rmdir(folder);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_the_command_succeeds_against_the_real_front)};
    command = argv + 1;
    command_length = argc - 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
