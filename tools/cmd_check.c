/* SPDX-License-Identifier: Apache-2.0
 *
 * Configuration and policies with their examples, by the daemon's own loader: what passes here starts there.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/spawn.h"
#include "config/config.h"
#include "policies/policy.h"
#include "tools/command.h"

/* One policy file alone: syntax and cross-checks; examples need the daemon's configuration. */
static int check_policy(const char *path) {
    struct config_report report = {0};
    struct policy *policy = NULL;
    int rc = policy_load(path, &policy, &report);
    for (size_t i = 0; i < config_report_count(&report); i++) {
        (void)fprintf(stderr, "%s\n", config_report_line(&report, i));
    }
    config_report_deinit(&report);
    (void)policy_free(policy);
    return rc == 0 ? 0 : EXIT_FAILED;
}

static int check_config(const char *config) {
    char program[4096];
    int rc = spawn_sibling_path("bucklerd", program, sizeof program);
    if (rc < 0) {
        return command_fail(EXIT_FAILED, "check: bucklerd is not beside bucklerctl: %s", strerror(-rc));
    }
    (void)execl(program, program, "--config", config, "--check", (char *)NULL);
    return command_fail(EXIT_FAILED, "check: %s: %s", program, strerror(errno));
}

static int run(int argc, char **argv) {
    const char *config = NULL;
    char space[4096];
    const struct option_value table[] = {{"--config", true, &config}, {NULL, false, NULL}};
    int rest = 0;
    int rc = command_options(&command_check, argc, argv, table, &rest);
    if (rc != 0) {
        return rc;
    }
    for (; rest < argc; rest++) {
        int one = check_policy(argv[rest]);
        rc = one != 0 ? one : rc;
    }
    if (rc != 0 || (config == NULL && argc > 1)) {
        return rc;
    }
    return check_config(config != NULL ? config : local_default_config(space, sizeof space));
}

const struct command command_check = {"check", "configuration and policies, with their examples",
                                      "check [--config FILE] [POLICY…]\n"
                                      "  POLICY files alone are checked for mistakes; with --config, or "
                                      "without arguments, everything that the\n"
                                      "  configuration names is loaded and every example is judged",
                                      run};
