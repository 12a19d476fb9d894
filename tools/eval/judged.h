/* SPDX-License-Identifier: Apache-2.0
 *
 * What a daemon said of labelled rows. They travel as batch sends them; kept is what figures are made of.
 */
#ifndef BUCKLER_TOOLS_EVAL_JUDGED_H
#define BUCKLER_TOOLS_EVAL_JUDGED_H

#include <stdbool.h>

#include "policies/policy.h"
#include "tools/eval/rows.h"
#include "tools/server.h"

enum { JUDGED_MAX_CATEGORIES = POLICY_MAX_CATEGORIES };

struct judged_row {
    bool error;  /* not judged: the rest says nothing */
    bool denied; /* verdict deny: actions review and deny */
    bool flagged;
    int32_t ppm[JUDGED_MAX_CATEGORIES]; /* highest score over the judged parts; SCORE_NONE */
};

/* Starts as {0}. */
struct judged {
    struct judged_row *rows; /* [rows->count] of the rows that were sent */
    size_t count, errors, partial;
    struct names categories;
    struct names policies; /* "name@digest"; more than one when the daemon was reloaded meanwhile */
    json_t *error_codes;   /* "504 deadline" → how many */
    json_t *hello;
    double seconds;
};

struct judged_plan {
    const char *what; /* the command, for messages */
    const char *policy;
    uint64_t open;
};

/* 0, or an exit code after printing why. */
int judged_run(struct server *server, const struct rows *rows, const struct judged_plan *plan,
               struct judged *ret);
void judged_deinit(struct judged *judged);

/* Scope on the wire of a row's role. */
enum content_scope judged_scope(enum rows_role role);

/* A policy file of the configuration (NULL: the one --local uses) that has the digest of the replies, so that
 * thresholds are those of the policy that judged; NULL when there is none on this machine. */
struct policy *judged_policy(const struct judged *judged, const char *config);

#endif
