/* SPDX-License-Identifier: Apache-2.0
 *
 * JSON Lines in, replies out in the same order, each with its row's id. --resume counts the whole rows of the
 * output and goes on behind them.
 */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "tools/command.h"
#include "tools/flight.h"

struct batch {
    const char *in_path, *out_path, *policy, *resume;
    FILE *in, *out;
    char *line; /* of getline */
    size_t line_size;
    uint64_t flight; /* most requests that are out */
    uint64_t skip, total;
};

static int row_error(const struct batch *b, uint64_t number, const char *what) {
    return command_fail(EXIT_FAILED, "%s:%llu: %s", b->in_path, (unsigned long long)number + 1, what);
}

static int parse_row(const struct batch *b, uint64_t number, struct flight_row *ret) {
    json_error_t where;
    json_t *row = json_loads(b->line, JSON_REJECT_DUPLICATES, &where);
    const char *text = json_string_value(json_object_get(row, "text"));
    const char *image = json_string_value(json_object_get(row, "image"));
    const char *prompt = json_string_value(json_object_get(row, "prompt"));
    const char *scope = json_string_value(json_object_get(row, "scope"));
    json_t *id = json_object_get(row, "id");
    int rc = 0;
    if (!json_is_object(row) || id == NULL || (text == NULL && image == NULL)) {
        rc =
            row_error(b, number,
                      row == NULL ? where.text : "an object with \"id\" and \"text\" or \"image\" is wanted");
    }
    rc = rc == 0 && prompt != NULL ? server_add_text(&ret->content, prompt, false) : rc;
    rc = rc == 0 && text != NULL ? server_add_text(&ret->content, text, true) : rc;
    rc = rc == 0 && image != NULL ? server_add_file(&ret->content, image) : rc;
    if (rc == 0) {
        ret->note = json_dumps(id, JSON_ENCODE_ANY | JSON_COMPACT);
        ret->scope = scope != NULL ? strdup(scope) : NULL;
        rc = ret->note != NULL ? 0 : row_error(b, number, "out of memory");
    }
    json_decref(row);
    return rc;
}

static int next_line(struct batch *b, bool *ret_end) {
    *ret_end = getline(&b->line, &b->line_size, b->in) < 0;
    return ferror(b->in) ? command_fail(EXIT_FAILED, "%s: %s", b->in_path, strerror(errno)) : 0;
}

static int next_row(void *owner, uint64_t number, struct flight_row *row, bool *ret_end) {
    struct batch *b = owner;
    int rc = next_line(b, ret_end);
    return rc != 0 || *ret_end ? rc : parse_row(b, number, row);
}

/* A reply with the row's own id, which is JSON text, in place of ours. */
static char *with_id(const char *reply, const char *id) {
    json_t *object = json_loads(reply, 0, NULL);
    json_t *own = json_loads(id, JSON_DECODE_ANY, NULL);
    char *text = NULL;
    if (object != NULL && own != NULL && json_object_set(object, "id", own) == 0) {
        text = json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(9));
    }
    json_decref(object);
    json_decref(own);
    return text;
}

static int take_reply(void *owner, uint64_t number, const struct flight_row *row,
                      const struct buckler_reply *reply) {
    struct batch *b = owner;
    CLEANUP(free_ptr) char *line = with_id(buckler_reply_json(reply, NULL), row->note);
    if (line == NULL || fprintf(b->out, "%s\n", line) < 0) {
        return command_fail(EXIT_FAILED, "%s: %s", b->out_path,
                            line == NULL ? "out of memory" : strerror(errno));
    }
    command_progress("judged", number + 1, b->total);
    return 0;
}

static int judge_all(struct batch *b, struct server *server) {
    const struct flight_plan plan = {
        .what = "batch (go on with --resume)", .policy = b->policy, .first = b->skip, .open = b->flight};
    const struct flight_ends ends = {.next = next_row, .take = take_reply, .owner = b};
    bool end = false;
    int rc = 0;
    for (uint64_t i = 0; i < b->skip && rc == 0 && !end; i++) {
        rc = next_line(b, &end);
    }
    rc = rc != 0 || end ? rc : flight_run(server, &plan, &ends);
    free(steal(b->line));
    return rc;
}

static uint64_t count_lines(const char *path) {
    FILE *file = fopen(path, "re");
    uint64_t lines = 0;
    char piece[65536];
    size_t got = 0;
    while (file != NULL && (got = fread(piece, 1, sizeof piece, file)) > 0) {
        for (size_t i = 0; i < got; i++) {
            lines += piece[i] == '\n';
        }
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    return lines;
}

/* Cuts a half-written last row off, so that --resume continues with whole ones. */
static int cut_to_whole_rows(const char *path) {
    CLEANUP(close_fd) int fd = open(path, O_RDWR | O_CLOEXEC);
    off_t end = fd >= 0 ? lseek(fd, 0, SEEK_END) : 0;
    char last = '\n';
    while (end > 0) {
        if (pread(fd, &last, 1, end - 1) != 1) {
            return -errno;
        }
        if (last == '\n') {
            break;
        }
        end--;
    }
    return fd >= 0 && ftruncate(fd, end) != 0 ? -errno : 0;
}

static int open_files(struct batch *b) {
    if (b->resume != NULL) {
        int rc = cut_to_whole_rows(b->out_path);
        if (rc < 0) {
            return command_fail(EXIT_FAILED, "%s: %s", b->out_path, strerror(-rc));
        }
        b->skip = count_lines(b->out_path);
    }
    b->in = fopen(b->in_path, "re");
    if (b->in == NULL) {
        return command_fail(EXIT_FAILED, "%s: %s", b->in_path, strerror(errno));
    }
    b->total = count_lines(b->in_path);
    b->out = fopen(b->out_path, b->resume != NULL ? "ae" : "we");
    return b->out != NULL ? 0 : command_fail(EXIT_FAILED, "%s: %s", b->out_path, strerror(errno));
}

static int run_batch(struct batch *b, const char *url, const char *local, const char *config) {
    int rc = open_files(b);
    struct server server;
    rc = rc != 0 ? rc : server_open(url, local, config, &server);
    if (rc == 0) {
        rc = judge_all(b, &server);
        server_close(&server);
    }
    if (b->in != NULL) {
        (void)fclose(b->in);
    }
    if (b->out != NULL && fclose(b->out) != 0 && rc == 0) {
        rc = command_fail(EXIT_FAILED, "%s: %s", b->out_path, strerror(errno));
    }
    return rc;
}

static int run(int argc, char **argv) {
    const char *url = NULL, *local = NULL, *config = NULL, *flight = FLIGHT_USUAL;
    CLEANUP(free_ptr) struct batch *b = calloc(1, sizeof *b);
    if (b == NULL) {
        return command_fail(EXIT_FAILED, "batch: out of memory");
    }
    const struct option_value table[] = {{"--out", true, &b->out_path},   {"--policy", true, &b->policy},
                                         {"--resume", false, &b->resume}, {"--server", true, &url},
                                         {"--local", false, &local},      {"--config", true, &config},
                                         {"--threads", true, &flight},    {NULL, false, NULL}};
    int rest = 0;
    int words = 0;
    /* IN.jsonl may stand before the options. */
    if (argc > 1 && argv[1][0] != '-') {
        b->in_path = argv[1];
        words = 1;
    }
    int rc = command_options(&command_batch, argc - words, argv + words, table, &rest);
    if (rc != 0) {
        return rc;
    }
    if (b->in_path == NULL && rest < argc - words) {
        b->in_path = argv[words + rest++];
    }
    if (b->in_path == NULL || b->out_path == NULL || rest < argc - words) {
        return command_fail(EXIT_USAGE, "batch: one IN.jsonl and --out OUT.jsonl are needed");
    }
    if (!command_number("--threads", flight, 1, FLIGHT_MOST, &b->flight)) {
        return EXIT_USAGE;
    }
    return run_batch(b, url, local, config);
}

const struct command command_batch = {
    "batch", "judge a file of rows",
    "batch IN.jsonl --out OUT.jsonl [--policy P] [--local [--config FILE] | --server URL] [--resume] "
    "[--threads N]\n"
    "  rows {\"id\",\"text\"|\"image\",\"prompt\"?,\"scope\"?}; image is the path of a file\n"
    "  --threads N  requests in flight (16)\n"
    "  --resume     goes on behind the last whole row of OUT.jsonl",
    run};
