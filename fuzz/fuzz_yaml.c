/* SPDX-License-Identifier: Apache-2.0
 *
 * Policy and list files: whatever the bytes, a file is loaded or every line of the report names a place in it,
 * and a policy that was loaded decides nothing unjudged.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "policies/list.h"
#include "policies/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FILE_NAME "/nowhere/fuzz.yaml"

static void check(bool holds) {
    if (!holds) {
        abort();
    }
}

/* Lines of a list file named by absolute path begin with that path. */
static void check_report(struct config_report *report, int rc, bool own_file_only) {
    check((rc == 0) == (config_report_count(report) == 0));
    for (size_t i = 0; i < config_report_count(report) && i < CONFIG_REPORT_MAX; i++) {
        const char *line = config_report_line(report, i);
        check(!own_file_only || strncmp(line, FILE_NAME ":", strlen(FILE_NAME ":")) == 0);
    }
    config_report_deinit(report);
}

static void check_decision(const struct policy *policy) {
    const struct policy_part part = {.kind = CONTENT_TEXT, .judged = true, .complete = false};
    const struct policy_input input = {.scope = SCOPE_UPLOAD, .parts = &part, .part_count = 1};
    struct policy_decision d;
    policy_decide(policy, &input, &d);
    check(!d.complete && d.action >= policy->uncovered && d.action < ACTION_COUNT);
    for (size_t i = 0; i < policy->rule_count; i++) {
        check(policy->rules[i].category >= POLICY_NO_CATEGORY &&
              policy->rules[i].category < (int)policy->category_count);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct config_report report = {0};
    struct policy *policy = NULL;
    struct policy_list *list = NULL;
    int rc = policy_load_memory(FILE_NAME, data, size, &policy, &report);
    check((rc == 0) == (policy != NULL));
    if (policy != NULL) {
        check_decision(policy);
    }
    check_report(&report, rc, false);
    policy_free(policy);
    rc = policy_list_load_memory(FILE_NAME, data, size, &list, &report);
    check((rc == 0) == (list != NULL));
    check_report(&report, rc, true);
    policy_list_free(list);
    return 0;
}
