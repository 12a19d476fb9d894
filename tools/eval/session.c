/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/eval/session.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/utf8.h"
#include "tools/flight.h"

static int read_all(const char *what, uint64_t limit, char **files, int file_count, struct rows *ret) {
    struct error error = {0};
    int inputs = 0;
    for (int i = 0; i < file_count; i++) {
        inputs += strcmp(files[i], "-") == 0;
        if (inputs > 1) {
            return command_fail(EXIT_USAGE, "%s: standard input can be read once", what);
        }
        if (rows_read(files[i], limit, ret, &error) != 0) {
            return command_fail(EXIT_FAILED, "%s", error.text);
        }
    }
    return ret->count > 0 ? 0 : command_fail(EXIT_FAILED, "%s: there is no row", what);
}

int session_check_writable(const char *what, const char *path) {
    FILE *file = path == NULL || strcmp(path, "-") == 0 ? stdout : fopen(path, "ae");
    if (file == NULL) {
        return command_fail(EXIT_FAILED, "%s: %s: %s", what, path, strerror(errno));
    }
    if (file != stdout) {
        (void)fclose(file);
    }
    return 0;
}

int session_run(const char *what, const struct session_options *o, char **files, int file_count,
                struct session *ret) {
    uint64_t limit = UINT64_MAX;
    struct judged_plan plan = {.what = what, .policy = o->policy};
    struct server server;
    if (file_count == 0) {
        return command_fail(EXIT_USAGE, "%s: at least one SET.jsonl is needed", what);
    }
    if (!command_number("--threads", o->threads != NULL ? o->threads : FLIGHT_USUAL, 1, FLIGHT_MOST,
                        &plan.open) ||
        (o->limit != NULL && !command_number("--limit", o->limit, 1, UINT64_MAX, &limit))) {
        return EXIT_USAGE;
    }
    int rc = read_all(what, limit, files, file_count, &ret->rows);
    rc = rc != 0 ? rc : server_open(o->server, o->local, o->config, &server);
    if (rc != 0) {
        return rc;
    }
    rc = judged_run(&server, &ret->rows, &plan, &ret->judged);
    server_close(&server);
    if (rc != 0) {
        return rc;
    }
    if (ret->judged.errors == ret->judged.count) {
        const char *code = json_object_iter_key(json_object_iter(ret->judged.error_codes));
        return command_fail(EXIT_FAILED, "%s: none of the %zu rows was judged (%s)", what, ret->judged.count,
                            code != NULL ? code : "no reply");
    }
    ret->policy = judged_policy(&ret->judged, o->config);
    rc = report_new(&ret->rows, &ret->judged, ret->policy, &ret->report);
    return rc == 0 ? 0 : command_fail(EXIT_FAILED, "%s: the figures: %s", what, strerror(-rc));
}

void session_deinit(struct session *session) {
    report_deinit(&session->report);
    session->policy = policy_free(session->policy);
    judged_deinit(&session->judged);
    rows_deinit(&session->rows);
}

int session_write(const char *what, const char *path, const char *bytes, size_t size) {
    FILE *file = strcmp(path, "-") == 0 ? stdout : fopen(path, "we");
    if (file == NULL) {
        return command_fail(EXIT_FAILED, "%s: %s: %s", what, path, strerror(errno));
    }
    bool fine = fwrite(bytes, 1, size, file) == size;
    fine = (file == stdout ? fflush(file) : fclose(file)) == 0 && fine;
    return fine ? 0 : command_fail(EXIT_FAILED, "%s: %s: %s", what, path, strerror(errno));
}

int session_write_json(const char *what, const char *path, json_t *object) {
    struct buf text = {0};
    char *json = object != NULL ? json_dumps(object, JSON_INDENT(1) | JSON_REAL_PRECISION(9)) : NULL;
    json_decref(object);
    if (json == NULL) {
        return command_fail(EXIT_FAILED, "%s: out of memory", what);
    }
    buf_printf(&text, "%s\n", json);
    free(json);
    int rc = text.failed ? command_fail(EXIT_FAILED, "%s: out of memory", what)
                         : session_write(what, path, (const char *)text.bytes, text.size);
    buf_deinit(&text);
    return rc;
}

json_t *session_figure(double value) {
    return isfinite(value) ? json_real(round(value * 1e6) / 1e6) : json_null();
}

/* The entry of hello's list for the policy that judged, for its whole digest. */
static const char *whole_digest(const struct judged *judged) {
    const char *named = judged->policies.count == 1 ? judged->policies.items[0] : "";
    const char *at = strrchr(named, '@');
    size_t i = 0;
    json_t *one = NULL;
    json_array_foreach(json_object_get(judged->hello, "policies"), i, one) {
        const char *name = json_string_value(json_object_get(one, "name"));
        const char *digest = json_string_value(json_object_get(one, "digest"));
        if (at != NULL && name != NULL && digest != NULL && strlen(name) == (size_t)(at - named) &&
            strncmp(name, named, strlen(name)) == 0 && strncmp(digest, at + 1, strlen(at + 1)) == 0) {
            return digest;
        }
    }
    return NULL;
}

json_t *session_provenance(const struct session *s) {
    const struct judged *j = &s->judged;
    json_t *policies = json_array();
    for (size_t i = 0; i < j->policies.count; i++) {
        (void)json_array_append_new(policies, json_string(j->policies.items[i]));
    }
    json_t *out = json_pack("{s:I, s:I, s:O, s:I, s:o, s:o, s:o}", "rows", (json_int_t)j->count, "errors",
                            (json_int_t)j->errors, "error_codes", j->error_codes, "partial",
                            (json_int_t)j->partial, "seconds", session_figure(j->seconds), "rows_per_second",
                            session_figure((double)j->count / j->seconds), "policies", policies);
    static const char *const from_hello[] = {"server", "instruction_set", "generation"};
    const char *digest = whole_digest(j);
    if (out != NULL) {
        (void)json_object_set_new(out, "policy_digest", digest != NULL ? json_string(digest) : json_null());
        (void)json_object_set_new(out, "policy_file_found", json_boolean(s->policy != NULL));
        for (size_t i = 0; i < sizeof from_hello / sizeof *from_hello; i++) {
            json_t *value = json_object_get(j->hello, from_hello[i]);
            (void)json_object_set(out, from_hello[i], value != NULL ? value : json_null());
        }
    }
    return out;
}

void session_print_head(const struct session *s) {
    const struct judged *j = &s->judged;
    const char *code = NULL;
    json_t *count = NULL;
    (void)printf("errors: %zu of %zu rows", j->errors, j->count);
    json_object_foreach(j->error_codes, code, count) {
        (void)printf("  %s: %lld", code, (long long)json_integer_value(count));
    }
    (void)printf("%s\n", j->errors > 0 ? "  (they are in no figure)" : "");
    (void)printf("policy: ");
    for (size_t i = 0; i < j->policies.count; i++) {
        (void)printf("%s%s", i > 0 ? ", " : "", j->policies.items[i]);
    }
    (void)printf("  time: %.1f s, %.1f rows/s\n", j->seconds, (double)j->count / j->seconds);
    if (j->policies.count > 1) {
        (void)puts("warning: the daemon loaded another policy during the run; the figures mix them");
    } else if (s->policy == NULL && j->policies.count == 1) {
        (void)puts(
            "note: no policy file with this digest is in the configuration of this machine (--config), so "
            "its thresholds are not known here");
    }
    if (j->partial > 0) {
        (void)printf("note: %zu rows were judged in part only\n", j->partial);
    }
    if (s->report.unscored.count > 0) {
        (void)printf("labelled, but not scored by the policy:");
        for (size_t i = 0; i < s->report.unscored.count; i++) {
            (void)putchar(' ');
            session_print_name(s->report.unscored.items[i], 0);
        }
        (void)putchar('\n');
    }
}

/* Whether a character may reach a terminal: no controls, and nothing that changes the direction of text. */
static bool is_plain(uint32_t point) {
    return point >= ' ' && (point < 0x7f || point >= 0xa0) && !(point >= 0x200b && point <= 0x200f) &&
           !(point >= 0x2028 && point <= 0x202e) && !(point >= 0x2060 && point <= 0x206f) && point != 0xfeff;
}

static int count_points(const char *name) {
    int points = 0;
    for (; *name != '\0'; name++) {
        points += ((unsigned char)*name & 0xc0) != 0x80;
    }
    return points;
}

void session_print_name(const char *name, int width) {
    int points = count_points(name);
    int skip = width > 0 && points > width ? points - width + 1 : 0; /* names differ at their ends */
    int columns = 0;
    if (skip > 0) {
        (void)fputs("…", stdout);
        columns++;
    }
    for (size_t left = strlen(name); left > 0;) {
        uint32_t point = 0;
        size_t size = utf8_decode(name, left, &point);
        if (skip > 0) {
            skip--;
        } else {
            bool plain = size > 0 && is_plain(point);
            (void)printf("%.*s", plain ? (int)size : 1, plain ? name : "?");
            columns++;
        }
        size = size > 0 ? size : 1;
        name += size;
        left -= size;
    }
    (void)printf("%*s", width > columns ? width - columns : 0, "");
}
