/* SPDX-License-Identifier: Apache-2.0
 *
 * JSON Lines in, replies out in the same order. Several requests are in flight; a ring of slots puts the
 * replies back into order, and each is written with its row's id. --resume counts the whole rows of the
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
#include "tools/server.h"

enum { MOST_FLIGHT = 256, DEADLINE_MS = 3600000 };

struct slot {
    char *id;    /* the row's id as JSON text */
    char *reply; /* frame 0 of its reply, or NULL while it is out */
    struct server_content content;
    char *scope;
};

struct batch {
    const char *in_path, *out_path, *policy, *resume;
    struct server server;
    FILE *in, *out;
    uint64_t flight; /* most requests that are out */
    struct slot slots[MOST_FLIGHT];
    uint64_t read, written, skip, total;
    bool ended;
};

static void slot_clear(struct slot *slot) {
    free(slot->id);
    free(slot->reply);
    free(slot->scope);
    server_content_deinit(&slot->content);
    *slot = (struct slot){0};
}

static int row_error(const struct batch *b, const char *what) {
    return command_fail(EXIT_FAILED, "%s:%llu: %s", b->in_path, (unsigned long long)b->read + 1, what);
}

static int parse_row(const struct batch *b, const char *line, struct slot *slot) {
    json_error_t where;
    json_t *row = json_loads(line, JSON_REJECT_DUPLICATES, &where);
    const char *text = json_string_value(json_object_get(row, "text"));
    const char *image = json_string_value(json_object_get(row, "image"));
    const char *prompt = json_string_value(json_object_get(row, "prompt"));
    const char *scope = json_string_value(json_object_get(row, "scope"));
    json_t *id = json_object_get(row, "id");
    int rc = 0;
    if (!json_is_object(row) || id == NULL || (text == NULL && image == NULL)) {
        rc = row_error(b, row == NULL ? where.text
                                      : "an object with \"id\" and \"text\" or \"image\" is wanted");
    }
    rc = rc == 0 && prompt != NULL ? server_add_text(&slot->content, prompt, false) : rc;
    rc = rc == 0 && text != NULL ? server_add_text(&slot->content, text, true) : rc;
    rc = rc == 0 && image != NULL ? server_add_file(&slot->content, image) : rc;
    if (rc == 0) {
        slot->id = json_dumps(id, JSON_ENCODE_ANY | JSON_COMPACT);
        slot->scope = scope != NULL ? strdup(scope) : NULL;
        rc = slot->id != NULL ? 0 : row_error(b, "out of memory");
    }
    json_decref(row);
    return rc;
}

static int send_slot(struct batch *b, uint64_t number) {
    struct slot *slot = &b->slots[number % MOST_FLIGHT];
    struct buckler_part parts[SERVER_MAX_PARTS];
    char id[24];
    struct buckler_request request = {.id = id,
                                      .policy = b->policy,
                                      .scope = slot->scope,
                                      .class_ = "batch",
                                      .deadline_ms = DEADLINE_MS,
                                      .parts = parts,
                                      .part_count = server_parts(&slot->content, parts)};
    (void)snprintf(id, sizeof id, "%llu", (unsigned long long)number);
    char used[BUCKLER_ID_SIZE];
    int rc = buckler_send(b->server.client, &request, SERVER_TIMEOUT_MS, used);
    return rc == 0 ? 0 : server_failed(&b->server, "batch");
}

/* The next row of the input goes out; sets `ended` behind the last one. */
static int start_row(struct batch *b, char **line, size_t *line_size) {
    ssize_t length = getline(line, line_size, b->in);
    if (length < 0) {
        b->ended = true;
        return ferror(b->in) ? command_fail(EXIT_FAILED, "%s: %s", b->in_path, strerror(errno)) : 0;
    }
    if (b->read < b->skip) {
        b->read++;
        b->written++;
        return 0;
    }
    struct slot *slot = &b->slots[b->read % MOST_FLIGHT];
    int rc = parse_row(b, *line, slot);
    rc = rc != 0 ? rc : send_slot(b, b->read);
    b->read++;
    return rc;
}

/* A reply with the row's own id in place of ours. */
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

static int write_ready(struct batch *b) {
    struct slot *slot = &b->slots[b->written % MOST_FLIGHT];
    while (b->written < b->read && slot->reply != NULL) {
        CLEANUP(free_ptr) char *line = with_id(slot->reply, slot->id);
        if (line == NULL || fprintf(b->out, "%s\n", line) < 0) {
            return command_fail(EXIT_FAILED, "%s: %s", b->out_path,
                                line == NULL ? "out of memory" : strerror(errno));
        }
        slot_clear(slot);
        b->written++;
        command_progress("judged", b->written, b->total);
        slot = &b->slots[b->written % MOST_FLIGHT];
    }
    return 0;
}

static bool must_retry(const struct buckler_reply *reply) {
    int status = buckler_reply_status(reply);
    return (status == 503 || status == 429) && buckler_reply_retry_after_ms(reply) > 0 &&
           strcmp(buckler_reply_code(reply), "draining") != 0;
}

static int take_reply(struct batch *b) {
    struct buckler_reply *reply = NULL;
    int rc = buckler_receive(b->server.client, SERVER_TIMEOUT_MS, &reply);
    if (rc != 0) {
        return server_failed(&b->server, "batch (go on with --resume)");
    }
    unsigned long long number = strtoull(buckler_reply_id(reply), NULL, 10);
    rc = 0;
    if (number >= b->written && number < b->read && b->slots[number % MOST_FLIGHT].reply == NULL) {
        struct slot *slot = &b->slots[number % MOST_FLIGHT];
        if (must_retry(reply)) {
            rc =
                send_slot(b, number); /* replies that free the daemon's queue come before it is asked again */
        } else {
            slot->reply = strdup(buckler_reply_json(reply, NULL));
            rc = slot->reply != NULL ? 0 : command_fail(EXIT_FAILED, "batch: out of memory");
        }
    }
    buckler_reply_free(reply);
    return rc != 0 ? rc : write_ready(b);
}

static int judge_all(struct batch *b) {
    CLEANUP(free_ptr) char *line = NULL;
    size_t line_size = 0;
    int rc = 0;
    while (rc == 0 && (!b->ended || b->written < b->read)) {
        if (!b->ended && b->read - b->written < b->flight) {
            rc = start_row(b, &line, &line_size);
        } else if (b->written < b->read) {
            rc = take_reply(b);
        }
    }
    for (size_t i = 0; i < MOST_FLIGHT; i++) {
        slot_clear(&b->slots[i]);
    }
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
    rc = rc != 0 ? rc : server_open(url, local, config, &b->server);
    if (rc == 0) {
        rc = judge_all(b);
        server_close(&b->server);
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
    const char *url = NULL, *local = NULL, *config = NULL, *flight = "16";
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
    if (!command_number("--threads", flight, 1, MOST_FLIGHT, &b->flight)) {
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
