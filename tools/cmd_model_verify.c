/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "tools/command.h"

static void show_progress(void *user, uint64_t done, uint64_t total) {
    (void)user;
    command_progress("values", done, total);
}

static int run(int argc, char **argv) {
    const char *digest = NULL;
    const struct option_value table[] = {{"--digest", true, &digest}, {NULL, false, NULL}};
    struct engine_model_info info;
    struct error error = {0};
    int rest = 0;
    int rc = command_options(&command_model_verify, argc, argv, table, &rest);
    if (rc != 0) {
        return rc;
    }
    if (rest + 1 != argc) {
        return command_fail(EXIT_USAGE, "model verify: one FILE or FOLDER is needed");
    }
    if (engine_inspect(argv[rest], &info, &error) != 0) {
        return command_fail(EXIT_FAILED, "%s", error.text);
    }
    if (digest != NULL && strcmp(digest, info.digest) != 0) {
        return command_fail(EXIT_FAILED, "%s: its digest is %s, not %s: it is another file or damaged",
                            argv[rest], info.digest, digest);
    }
    if (engine_verify(argv[rest], show_progress, NULL, &error) != 0) {
        return command_fail(EXIT_FAILED, "%s", error.text);
    }
    (void)printf("%s  %s: all %.1f million values are finite, every shape fits %s\n", info.digest, argv[rest],
                 (double)info.parameters / 1e6, info.architecture);
    return 0;
}

const struct command command_model_verify = {"model verify", "digest, shapes and every value of a model file",
                                             "model verify [--digest HEX] FILE|FOLDER", run};
