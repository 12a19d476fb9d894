/* SPDX-License-Identifier: Apache-2.0
 *
 * buckler-verify: checks a log from its files and a public key alone, for whoever trusts nobody else.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/verify/report.h"

static const char usage[] =
    "usage: buckler-verify DIR --key VKEY [--from INDEX] [--to INDEX] [--kept FILE] [--json]\n"
    "  --key VKEY   the log's verifier key, as `bucklerctl audit key` prints it; keep your own copy\n"
    "  --from, --to read only records of these indices (--to is not included); of the others the hashes\n"
    "  --kept FILE  a checkpoint that you kept: the log must contain what it covers\n"
    "exit 0 sound, 1 tampered, 2 only the end is torn, 3 records are missing, 4 unreadable\n";

static int wrong_use(void) {
    (void)fputs(usage, stderr);
    return 64;
}

static bool number(const char *text, uint64_t *ret) {
    char *end = NULL;
    errno = 0;
    *ret = strtoull(text, &end, 10);
    return errno == 0 && text[0] >= '0' && text[0] <= '9' && *end == '\0';
}

int main(int argc, char **argv) {
    static const struct option options[] = {
        {"key", required_argument, NULL, 'k'},
        {"from", required_argument, NULL, 'f'},
        {"to", required_argument, NULL, 't'},
        {"kept", required_argument, NULL, 'c'},
        {"json", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    struct audit_check check = {0};
    bool json = false;
    for (int option = 0; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (option == 'h') {
            (void)fputs(usage, stdout);
            return 0;
        }
        check.key = option == 'k' ? optarg : check.key;
        check.kept = option == 'c' ? optarg : check.kept;
        json = json || option == 'j';
        if (option == '?' || (option == 'f' && !number(optarg, &check.from)) ||
            (option == 't' && !number(optarg, &check.to))) {
            return wrong_use();
        }
    }
    return check.key == NULL || optind + 1 != argc
               ? wrong_use()
               : verify_and_report("buckler-verify", argv[optind], &check, json);
}
