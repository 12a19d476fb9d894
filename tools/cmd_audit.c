/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "audit/audit.h"
#include "tools/command.h"
#include "tools/verify/report.h"

static const char standard[] = "/var/lib/buckler/audit";

static int verify(int argc, char **argv) {
    const char *json = NULL, *kept = NULL, *key_text = NULL, *from_text = "0", *to_text = "0";
    const struct option_value table[] = {{"--json", false, &json}, {"--key", true, &key_text},
                                         {"--kept", true, &kept},  {"--from", true, &from_text},
                                         {"--to", true, &to_text}, {NULL, false, NULL}};
    int rest = 0;
    int rc = command_options(&command_audit_verify, argc, argv, table, &rest);
    if (rc != 0) {
        return rc;
    }
    struct audit_check check = {.key = key_text, .kept = kept};
    if (!command_number("--from", from_text, 0, UINT64_MAX, &check.from) ||
        !command_number("--to", to_text, 0, UINT64_MAX, &check.to)) {
        return EXIT_USAGE;
    }
    struct error error = {0};
    char key[AUDIT_KEY_SIZE];
    const char *directory = rest < argc ? argv[rest] : standard;
    if (key_text == NULL) {
        if (audit_key(directory, key, &error) != 0) {
            return command_fail(4, "%s (or give --key)", error.text);
        }
        check.key = key;
    }
    return verify_and_report("bucklerctl", directory, &check, json != NULL);
}

const struct command command_audit_verify = {
    "audit verify", "proves that the log is whole",
    "audit verify [--key VKEY] [--from INDEX] [--to INDEX] [--kept FILE] [--json] [DIR]\n"
    "  DIR is the folder of the log (/var/lib/buckler/audit). Without --key the key that lies in it is "
    "taken:\n"
    "  who changed the log could have changed that too\n"
    "  exit 0 sound, 1 tampered, 2 only the end is torn, 3 records are missing, 4 unreadable",
    verify};

static int print_key(int argc, char **argv) {
    const char *json = NULL;
    const struct option_value table[] = {{"--json", false, &json}, {NULL, false, NULL}};
    int rest = 0;
    int rc = command_options(&command_audit_key, argc, argv, table, &rest);
    if (rc != 0) {
        return rc;
    }
    struct error error = {0};
    char key[AUDIT_KEY_SIZE];
    const char *directory = rest < argc ? argv[rest] : standard;
    if (audit_key(directory, key, &error) != 0) {
        return command_fail(EXIT_FAILED, "%s", error.text);
    }
    size_t size = strlen(directory);
    while (size > 1 && directory[size - 1] == '/') {
        size--;
    }
    (void)printf(json != NULL ? "{\"name\":\"%.*s\",\"path\":\"%.*s.key\",\"vkey\":\"%s\"}\n"
                              : "name  %.*s\npath  %.*s.key\nvkey  %s\n",
                 (int)strcspn(key, "+"), key, (int)size, directory, key);
    return 0;
}

const struct command command_audit_key = {
    "audit key", "the key that signs the log",
    "audit key [--json] [DIR]\n"
    "  the name of the log and its key, where the private half lies, and the verifier key: copy it to where\n"
    "  nobody can change it",
    print_key};

static int print_proof(int argc, char **argv) {
    const struct option_value table[] = {{NULL, false, NULL}};
    int rest = 0;
    uint64_t index = 0;
    int rc = command_options(&command_audit_prove, argc, argv, table, &rest);
    if (rc != 0) {
        return rc;
    }
    if (rest >= argc || !command_number("INDEX", argv[rest], 0, UINT64_MAX, &index)) {
        return rest < argc ? EXIT_USAGE
                           : command_fail(EXIT_USAGE, "audit prove: which record? (give its index)");
    }
    struct error error = {0};
    struct audit_proof proof = {0};
    if (audit_prove(rest + 1 < argc ? argv[rest + 1] : standard, index, &proof, &error) != 0) {
        return command_fail(EXIT_FAILED, "%s", error.text);
    }
    (void)fputs(proof.text, stdout);
    audit_proof_deinit(&proof);
    return 0;
}

const struct command command_audit_prove = {
    "audit prove", "proof that a record is in the log",
    "audit prove INDEX [DIR]\n"
    "  prints a C2SP tlog-proof@v1: whoever has the record and the verifier key can check it offline",
    print_proof};

/* `index` and `time` beside the payload, which follows as it was hashed. */
static int print_record(void *user, const struct audit_record *record) {
    (void)user;
    char when[32];
    time_t seconds = (time_t)(record->time_ns / 1000000000u);
    struct tm utc;
    if (gmtime_r(&seconds, &utc) == NULL || strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%S", &utc) == 0 ||
        record->size < 2) {
        return -1;
    }
    return printf("{\"index\":%llu,\"time\":\"%s.%09lluZ\"%s%.*s\n", (unsigned long long)record->index, when,
                  (unsigned long long)(record->time_ns % 1000000000u), record->size > 2 ? "," : "",
                  (int)record->size - 1, record->json + 1) < 0
               ? -1
               : 0;
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
    const char *directory = standard;
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

const struct command command_audit_show = {
    "audit show", "records of the log, one JSON object a line",
    "audit show [--from INDEX] [--to INDEX] [DIR] [INDEX]\n"
    "  each with its index and time; the rest is what was hashed; --to is not\n"
    "  included",
    show};
