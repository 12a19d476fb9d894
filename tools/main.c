/* SPDX-License-Identifier: Apache-2.0
 *
 * bucklerctl: the table of commands.
 */
#include <stdio.h>
#include <string.h>

#include "tools/command.h"

static const struct command *const commands[] = {
    &command_audit_key,     &command_audit_prove,  &command_audit_show,     &command_audit_verify,
    &command_batch,         &command_bench_engine, &command_bench_policies, &command_bench_serve,
    &command_calibrate,     &command_check,        &command_classify,       &command_eval,
    &command_keys_generate, &command_keys_list,    &command_keys_revoke,    &command_logits,
    &command_model_info,    &command_model_verify, &command_tokenize,
};

enum { COMMAND_COUNT = sizeof commands / sizeof *commands };

static void print_help(FILE *out) {
    (void)fputs("usage: bucklerctl COMMAND [OPTION…] [ARGUMENT…]\n\n", out);
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        (void)fprintf(out, "  %-15s %s\n", commands[i]->name, commands[i]->summary);
    }
    (void)fputs("\n`bucklerctl COMMAND --help` tells the options; bucklerctl(1) has examples.\n", out);
}

/* How many words of argv the command's name takes; 0 when they do not match. */
static int matches(const struct command *command, int argc, char **argv) {
    const char *space = strchr(command->name, ' ');
    if (space == NULL) {
        return argc > 1 && strcmp(argv[1], command->name) == 0 ? 1 : 0;
    }
    size_t first = (size_t)(space - command->name);
    return argc > 2 && strlen(argv[1]) == first && strncmp(argv[1], command->name, first) == 0 &&
                   strcmp(argv[2], space + 1) == 0
               ? 2
               : 0;
}

int main(int argc, char **argv) {
    if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0)) {
        print_help(stdout);
        return 0;
    }
    if (argc > 1 && strcmp(argv[1], "--version") == 0) {
        (void)puts("bucklerctl " BUCKLER_VERSION);
        return 0;
    }
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        int words = matches(commands[i], argc, argv);
        if (words > 0) {
            int rc = commands[i]->run(argc - words, argv + words);
            return rc < 0 ? 0 : rc;
        }
    }
    if (argc > 1) {
        (void)command_fail(EXIT_USAGE, "%s: there is no such command", argv[1]);
    }
    print_help(stderr);
    return EXIT_USAGE;
}
