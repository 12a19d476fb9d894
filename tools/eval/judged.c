/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/eval/judged.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "tools/command.h"
#include "tools/flight.h"

struct run {
    const struct rows *rows;
    const struct judged_plan *plan;
    struct judged *judged;
};

enum content_scope judged_scope(enum rows_role role) {
    return role == ROWS_USER ? SCOPE_PROMPT : role == ROWS_ASSISTANT ? SCOPE_RESPONSE : SCOPE_UPLOAD;
}

static int next_row(void *owner, uint64_t number, struct flight_row *row, bool *ret_end) {
    struct run *run = owner;
    *ret_end = number == run->rows->count;
    if (*ret_end) {
        return 0;
    }
    const struct rows_row *from = &run->rows->items[number];
    int rc = from->prompt != NULL ? server_add_text(&row->content, from->prompt, false) : 0;
    rc = rc != 0 ? rc : server_add_text(&row->content, from->text, true);
    if (rc == 0) {
        row->content.parts[row->content.count - 1].role = from->role == ROWS_ASSISTANT ? "assistant" : "user";
        row->scope = strdup(content_scope_name(judged_scope(from->role)));
        rc = row->scope != NULL ? 0 : command_fail(EXIT_FAILED, "%s: out of memory", run->plan->what);
    }
    return rc;
}

/* False when memory is out, or a reply has what no daemon sends. */
static bool take_scores(struct judged *judged, const struct buckler_reply *reply, int part,
                        struct judged_row *row) {
    struct buckler_score one;
    for (size_t i = 0; buckler_reply_score(reply, i, &one); i++) {
        if (isnan(one.score) || (one.part >= 0 && one.part != part)) {
            continue;
        }
        int number = names_add(&judged->categories, one.category);
        if (number < 0 || number >= JUDGED_MAX_CATEGORIES || one.score < 0 || one.score > 1) {
            return false;
        }
        int32_t ppm = (int32_t)lround(one.score * SCORE_ONE);
        row->ppm[number] = ppm > row->ppm[number] ? ppm : row->ppm[number];
    }
    return true;
}

static int count_error(struct run *run, uint64_t number, const struct buckler_reply *reply) {
    struct judged *judged = run->judged;
    char code[64];
    (void)snprintf(code, sizeof code, "%d %.40s", buckler_reply_status(reply), buckler_reply_code(reply));
    json_int_t before = json_integer_value(json_object_get(judged->error_codes, code));
    judged->rows[number].error = true;
    judged->errors++;
    return json_object_set_new(judged->error_codes, code, json_integer(before + 1));
}

static int take_reply(void *owner, uint64_t number, const struct flight_row *sent,
                      const struct buckler_reply *reply) {
    struct run *run = owner;
    struct judged *judged = run->judged;
    struct judged_row *row = &judged->rows[number];
    bool fine = true;
    for (size_t i = 0; i < JUDGED_MAX_CATEGORIES; i++) {
        row->ppm[i] = SCORE_NONE;
    }
    if (buckler_reply_moderated(reply)) {
        row->denied = !buckler_reply_allowed(reply);
        row->flagged = strcmp(buckler_reply_action(reply), "flag") == 0;
        judged->partial += buckler_reply_status(reply) == 206;
        fine = names_add(&judged->policies, buckler_reply_policy(reply)) >= 0 &&
               take_scores(judged, reply, (int)sent->content.count - 1, row);
    } else {
        fine = count_error(run, number, reply) == 0;
    }
    if (!fine) {
        return command_fail(EXIT_FAILED, "%s: row %llu: its reply cannot be used", run->plan->what,
                            (unsigned long long)number + 1);
    }
    command_progress("judged", number + 1, judged->count);
    return 0;
}

int judged_run(struct server *server, const struct rows *rows, const struct judged_plan *plan,
               struct judged *ret) {
    struct run run = {.rows = rows, .plan = plan, .judged = ret};
    const struct flight_plan flight = {.what = plan->what, .policy = plan->policy, .open = plan->open};
    const struct flight_ends ends = {.next = next_row, .take = take_reply, .owner = &run};
    struct buckler_reply *hello = NULL;
    if (buckler_hello(server->client, SERVER_TIMEOUT_MS, &hello) != 0) {
        return server_failed(server, plan->what);
    }
    ret->hello = json_loads(buckler_reply_json(hello, NULL), 0, NULL);
    buckler_reply_free(hello);
    ret->count = rows->count;
    ret->rows = calloc(rows->count, sizeof *ret->rows);
    ret->error_codes = json_object();
    if (ret->rows == NULL || ret->error_codes == NULL || ret->hello == NULL) {
        return command_fail(EXIT_FAILED, "%s: out of memory", plan->what);
    }
    uint64_t start = clock_monotonic_ns();
    int rc = flight_run(server, &flight, &ends);
    ret->seconds = (double)(clock_monotonic_ns() - start) / 1e9;
    return rc;
}

void judged_deinit(struct judged *judged) {
    free(judged->rows);
    names_deinit(&judged->categories);
    names_deinit(&judged->policies);
    json_decref(judged->error_codes);
    json_decref(judged->hello);
    *judged = (struct judged){0};
}

/* ---- the policy that judged ---- */

struct policy_files {
    char **files;
    size_t count;
};

static const struct config_row policies_rows[] = {
    {"files", CONFIG_STRINGS, CONFIG_ITEMS(struct policy_files, files, count)},
    CONFIG_END,
};

static const struct config_row rows_of_config[] = {
    {"policies", CONFIG_STRUCT, .rows = policies_rows},
    CONFIG_END,
};

/* The policy file at `path`, when it has the digest; it is no mistake of this run when it has not. */
static struct policy *load_with_digest(const char *path, const char *digest) {
    struct config_report report = {0};
    struct policy *policy = NULL;
    if (policy_load(path, &policy, &report) != 0) {
        policy = NULL;
    }
    config_report_deinit(&report);
    if (policy != NULL && strncmp(policy->digest, digest, strlen(digest)) != 0) {
        policy = policy_free(policy);
    }
    return policy;
}

struct policy *judged_policy(const struct judged *judged, const char *config) {
    char space[4096];
    const char *path = config != NULL ? config : local_default_config(space, sizeof space);
    const char *digest = judged->policies.count == 1 ? strrchr(judged->policies.items[0], '@') : NULL;
    const char *slash = strrchr(path, '/');
    struct policy *found = NULL;
    struct config_report report = {0};
    struct buf text = {0};
    struct policy_files all = {0};
    if (digest == NULL || digest[1] == '\0' || config_read_file(path, &text, &report) != 0) {
        buf_deinit(&text);
        config_report_deinit(&report);
        return NULL;
    }
    /* The daemon checks the file; its other keys are none of ours. */
    int rc = config_load_partial(path, text.bytes, text.size, rows_of_config, &all, &report);
    for (size_t i = 0; rc >= 0 && i < all.count && found == NULL; i++) {
        char joined[8192];
        int folder = all.files[i][0] != '/' && slash != NULL ? (int)(slash - path + 1) : 0;
        (void)snprintf(joined, sizeof joined, "%.*s%s", folder, path, all.files[i]);
        found = load_with_digest(joined, digest + 1);
    }
    config_free(rows_of_config, &all);
    buf_deinit(&text);
    config_report_deinit(&report);
    return found;
}
