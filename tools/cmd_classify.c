/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tools/command.h"
#include "tools/server.h"

enum { SHOWN_SCORES = 4, MOST_TEXTS = SERVER_MAX_PARTS };

static const double shown_from = 0.1; /* lower scores are left out of the readable form */

struct arguments {
    const char *policy, *scope, *server, *config, *local, *json, *prompt, *deadline;
};

/* The highest scores, at most SHOWN_SCORES. */
static void print_scores(const struct buckler_reply *reply) {
    double below = 2;
    for (int n = 0; n < SHOWN_SCORES; n++) {
        struct buckler_score best = {.score = -1};
        struct buckler_score one;
        for (size_t i = 0; buckler_reply_score(reply, i, &one); i++) {
            if (!isnan(one.score) && one.score < below && one.score > best.score) {
                best = one;
            }
        }
        if (best.score < (n == 0 ? 0 : shown_from)) {
            return;
        }
        (void)printf("  %-18s %.4f  part %d by %s\n", best.category, best.score, best.part, best.classifier);
        below = best.score;
    }
}

static void print_readable(const struct buckler_reply *reply) {
    long long index = (long long)buckler_reply_audit_index(reply);
    (void)printf("%s (%s", buckler_reply_verdict(reply), buckler_reply_action(reply));
    if (buckler_reply_rule(reply)[0] != '\0') {
        (void)printf(", rule %s", buckler_reply_rule(reply));
    }
    if (buckler_reply_policy(reply)[0] != '\0') {
        (void)printf(", policy %s", buckler_reply_policy(reply));
    }
    if (index >= 0) {
        (void)printf(", record %lld", index);
    }
    (void)puts(")");
    if (!buckler_reply_moderated(reply)) {
        (void)printf("  not judged: %d %s: %s\n", buckler_reply_status(reply), buckler_reply_code(reply),
                     buckler_reply_detail(reply));
    }
    print_scores(reply);
}

static int judge(const struct arguments *a, struct server *server, const struct server_content *content,
                 uint64_t deadline_ms) {
    struct buckler_part parts[SERVER_MAX_PARTS];
    struct buckler_request request = {.policy = a->policy,
                                      .scope = a->scope,
                                      .deadline_ms = (unsigned)deadline_ms,
                                      .parts = parts,
                                      .part_count = server_parts(content, parts)};
    struct buckler_reply *reply = NULL;
    int rc = buckler_classify(server->client, &request, SERVER_TIMEOUT_MS, &reply);
    if (rc != 0) {
        return server_failed(server, "classify");
    }
    if (a->json != NULL) {
        (void)puts(buckler_reply_json(reply, NULL));
    } else {
        print_readable(reply);
    }
    int status = buckler_reply_status(reply);
    rc = buckler_reply_allowed(reply)                                                        ? EXIT_ALLOWED
         : buckler_reply_moderated(reply) || status == 413 || status == 415 || status == 422 ? EXIT_DENIED
                                                                                             : EXIT_FAILED;
    buckler_reply_free(reply);
    return rc;
}

/* --text may be given several times, so it is taken out of the arguments before the table sees them. */
static int take_texts(int *argc, char **argv, struct server_content *content) {
    int kept = 1;
    for (int i = 1; i < *argc; i++) {
        if (strcmp(argv[i], "--text") == 0 && i + 1 < *argc) {
            int rc = server_add_text(content, argv[++i], true);
            if (rc != 0) {
                return rc;
            }
        } else {
            argv[kept++] = argv[i];
        }
    }
    *argc = kept;
    return 0;
}

static int gather(const struct arguments *a, int argc, char **argv, int rest,
                  struct server_content *content) {
    int rc = a->prompt != NULL ? server_add_text(content, a->prompt, false) : 0;
    for (; rest < argc && rc == 0; rest++) {
        rc = server_add_file(content, argv[rest]);
    }
    if (rc == 0 && content->count == (a->prompt != NULL)) {
        rc = server_add_file(content, "-");
    }
    return rc;
}

static int run_with(struct server_content *content, int argc, char **argv) {
    struct arguments a = {0};
    const struct option_value table[] = {
        {"--policy", true, &a.policy}, {"--scope", true, &a.scope},          {"--server", true, &a.server},
        {"--config", true, &a.config}, {"--local", false, &a.local},         {"--json", false, &a.json},
        {"--prompt", true, &a.prompt}, {"--deadline-ms", true, &a.deadline}, {NULL, false, NULL}};
    int rest = 0;
    uint64_t deadline_ms = 0;
    int rc = take_texts(&argc, argv, content);
    rc = rc != 0 ? rc : command_options(&command_classify, argc, argv, table, &rest);
    if (rc == 0 && a.deadline != NULL &&
        !command_number("--deadline-ms", a.deadline, 1, 3600000, &deadline_ms)) {
        rc = EXIT_USAGE;
    }
    rc = rc != 0 ? rc : gather(&a, argc, argv, rest, content);
    struct server server;
    rc = rc != 0 ? rc : server_open(a.server, a.local, a.config, &server);
    if (rc == 0) {
        rc = judge(&a, &server, content, deadline_ms);
        server_close(&server);
    }
    return rc;
}

static int run(int argc, char **argv) {
    struct server_content content = {0};
    int rc = run_with(&content, argc, argv);
    server_content_deinit(&content);
    return rc;
}

const struct command command_classify = {
    "classify", "one verdict over texts and images",
    "classify [--policy P] [--scope S] [--prompt TEXT] [--deadline-ms N] [--local [--config FILE] | --server "
    "URL]\n"
    "                    [--json] [--text TEXT]… [FILE…|-]\n"
    "  all texts and files are judged together, the worst decides; a file is an image when it starts like "
    "one\n"
    "  --prompt TEXT  the message that a response answers: context, not judged\n"
    "  --local        start a private daemon for this call\n"
    "  exit 0 allowed, 10 denied, 64 and above errors",
    run};
