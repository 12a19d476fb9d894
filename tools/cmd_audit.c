/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit/audit.h"
#include "tools/command.h"

static int verify(int argc, char **argv) {
    const char *json = NULL;
    const struct option_value table[] = {{"--json", false, &json}, {NULL, false, NULL}};
    int rest = 0;
    int rc = command_options(&command_audit_verify, argc, argv, table, &rest);
    if (rc != 0) {
        return rc;
    }
    struct audit_report report = {0};
    struct error error = {0};
    const char *directory = rest < argc ? argv[rest] : "/var/lib/buckler/audit";
    rc = audit_verify(directory, &report, &error);
    if (json != NULL) {
        (void)printf(
            "{\"sound\":%s,\"records\":%llu,\"first_index\":%llu,\"next_index\":%llu,\"last_hash\":\"%s\"}\n",
            rc == 0 ? "true" : "false", (unsigned long long)report.records,
            (unsigned long long)report.first_index, (unsigned long long)report.next_index, report.last_hash);
    }
    if (rc != 0) {
        /* Exit codes of buckler-verify: 1 tampered, 2 torn tail only, 3 gap, 4 unreadable. */
        int code = rc == AUDIT_E_TAMPERED ? 1 : rc == AUDIT_E_TORN_TAIL ? 2 : rc == AUDIT_E_GAP ? 3 : 4;
        return command_fail(code, "%s", error.text);
    }
    if (json == NULL) {
        (void)printf("sound: %llu records, %llu to %llu, last hash %s\n", (unsigned long long)report.records,
                     (unsigned long long)report.first_index,
                     (unsigned long long)(report.next_index > 0 ? report.next_index - 1 : 0),
                     report.last_hash);
    }
    return 0;
}

const struct command command_audit_verify = {
    "audit verify", "proves that the log is whole",
    "audit verify [--json] [DIR]\n"
    "  DIR is the folder of the log (/var/lib/buckler/audit)\n"
    "  exit 0 sound, 1 tampered, 2 only the last batch is incomplete, 3 records are missing, 4 unreadable",
    verify};

static int print_record(void *user, uint64_t index, const char *json, size_t size) {
    (void)user;
    (void)index;
    return fwrite(json, 1, size, stdout) == size && fputc('\n', stdout) != EOF ? 0 : -1;
}

static int show(int argc, char **argv) {
    const char *from_text = "0", *to_text = NULL;
    const struct option_value table[] = {
        {"--from", true, &from_text}, {"--to", true, &to_text}, {NULL, false, NULL}};
    int rest = 0;
    uint64_t from = 0, to = UINT64_MAX;
    int rc = command_options(&command_audit_show, argc, argv, table, &rest);
    if (rc != 0) {
        return rc;
    }
    const char *directory = "/var/lib/buckler/audit";
    if (rest < argc && (argv[rest][0] < '0' || argv[rest][0] > '9')) {
        directory = argv[rest++];
    }
    if (!command_number("--from", from_text, 0, UINT64_MAX, &from) ||
        (to_text != NULL && !command_number("--to", to_text, 0, UINT64_MAX, &to))) {
        return EXIT_USAGE;
    }
    if (rest < argc) {
        if (!command_number("INDEX", argv[rest], 0, UINT64_MAX - 1, &from)) {
            return EXIT_USAGE;
        }
        to = from + 1;
    }
    struct error error = {0};
    rc = audit_each(directory, from, to, print_record, NULL, &error);
    return rc == 0 ? 0 : command_fail(EXIT_FAILED, "%s", error.text);
}

const struct command command_audit_show = {"audit show", "records of the log, one JSON object a line",
                                           "audit show [--from INDEX] [--to INDEX] [DIR] [INDEX]\n"
                                           "  prints the very bytes that were hashed; --to is not included",
                                           show};
