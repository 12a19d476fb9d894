/* SPDX-License-Identifier: Apache-2.0
 *
 * What eval and calibrate begin with: options, rows, the daemon's replies, the policy that gave them,
 * figures.
 */
#ifndef BUCKLER_TOOLS_EVAL_SESSION_H
#define BUCKLER_TOOLS_EVAL_SESSION_H

#include "tools/command.h"
#include "tools/eval/report.h"

struct session_options {
    const char *policy, *server, *local, *config, *limit, *threads, *json;
};

#define SESSION_OPTIONS(o)                                                                                   \
    {"--policy", true, &(o)->policy}, {"--server", true, &(o)->server}, {"--local", false, &(o)->local},     \
        {"--config", true, &(o)->config}, {"--limit", true, &(o)->limit},                                    \
        {"--threads", true, &(o)->threads}, {                                                                \
        "--json", true, &(o)->json                                                                           \
    }

struct session {
    struct rows rows;
    struct judged judged;
    struct policy *policy; /* NULL: not on this machine */
    struct report report;
};

/* Reads and checks all files, and only then asks the daemon. 0, or an exit code after printing why. */
int session_run(const char *what, const struct session_options *options, char **files, int file_count,
                struct session *ret);
void session_deinit(struct session *session);

/* Whether a file can be written, before hours are spent on what goes into it; NULL and "-" can. 0, or an exit
 * code after printing why. */
int session_check_writable(const char *what, const char *path);

/* Text to a file, or to standard output for "-". */
int session_write(const char *what, const char *path, const char *bytes, size_t size);

/* An object as JSON with six digits behind the point, for --json; takes the reference. */
int session_write_json(const char *what, const char *path, json_t *object);

/* A figure rounded to six digits, null where it is not defined. */
json_t *session_figure(double value);

/* Server, policy, rows, time and errors of a run. */
json_t *session_provenance(const struct session *session);

/* The same for people, errors first, on standard output. */
void session_print_head(const struct session *session);

/* A name from a row as it may stand on a terminal: control characters replaced, its end when it is
 * longer than `width` columns (0: any), else filled up with spaces. */
void session_print_name(const char *name, int width);

#endif
