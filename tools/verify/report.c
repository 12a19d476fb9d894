/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/verify/report.h"

#include <stdio.h>

static int exit_code(int rc) {
    return rc == 0 ? 0 : rc == AUDIT_E_TAMPERED ? 1 : rc == AUDIT_E_TORN_TAIL ? 2 : rc == AUDIT_E_GAP ? 3 : 4;
}

static void print_json(int code, const struct audit_report *report) {
    (void)printf("{\"checkpoints\":%llu,\"covered\":%llu,\"exit\":%d,",
                 (unsigned long long)report->checkpoints, (unsigned long long)report->covered, code);
    if (code != 0 && report->file[0] != '\0') {
        (void)printf("\"bad\":{\"index\":%llu,\"offset\":%llu},", (unsigned long long)report->bad_index,
                     (unsigned long long)report->offset);
    }
    (void)printf("\"records\":%llu,\"root\":\"%s\",\"sound\":%s}\n", (unsigned long long)report->records,
                 report->root, code == 0 ? "true" : "false");
}

int verify_and_report(const char *program, const char *directory, const struct audit_check *check,
                      bool json) {
    struct audit_report report = {0};
    struct error error = {0};
    int code = exit_code(audit_verify(directory, check, &report, &error));
    if (json) {
        print_json(code, &report);
    }
    if (code != 0) {
        (void)fprintf(stderr, "%s: %s: %s\n", program, directory, error.text);
    } else if (!json) {
        (void)printf("sound: %llu records, %llu of them covered by %llu checkpoints, root %s\n",
                     (unsigned long long)report.records, (unsigned long long)report.covered,
                     (unsigned long long)report.checkpoints, report.root);
    }
    return code;
}
