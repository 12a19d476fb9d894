/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/eval/rows.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/utf8.h"
#include "tools/server.h"

struct reader {
    const char *path;
    uint64_t line;
    struct rows *rows;
    struct names ids;
    struct error *reterr;
};

static int refuse(const struct reader *r, const char *what) {
    return error_set(r->reterr, -EINVAL, "%s:%llu: %s", r->path, (unsigned long long)r->line, what);
}

static int no_memory(const struct reader *r) {
    return error_set(r->reterr, -ENOMEM, "%s:%llu: out of memory", r->path, (unsigned long long)r->line);
}

/* Optional text of at most ROWS_NAME_SIZE - 1 bytes, as a number of `names`. */
static int take_name(const struct reader *r, const json_t *object, const char *key, struct names *names,
                     int *ret) {
    const json_t *value = json_object_get(object, key);
    char what[96];
    if (value != NULL && (!json_is_string(value) || json_string_length(value) >= ROWS_NAME_SIZE)) {
        (void)snprintf(what, sizeof what, "\"%s\" must be text of at most %d bytes", key, ROWS_NAME_SIZE - 1);
        return refuse(r, what);
    }
    *ret = names_add(names, value != NULL && json_string_length(value) > 0 ? json_string_value(value) : "-");
    return *ret >= 0 ? 0 : no_memory(r);
}

static int take_label(const json_t *value, uint8_t *ret) {
    if (!json_is_integer(value) || (json_integer_value(value) & ~(json_int_t)1) != 0) {
        return -EINVAL;
    }
    *ret = json_integer_value(value) == 1 ? ROWS_HARMFUL : ROWS_HARMLESS;
    return 0;
}

static int take_labels(const struct reader *r, json_t *object, struct rows_row *row) {
    json_t *labels = json_object_get(object, "labels");
    const char *key = NULL;
    json_t *value = NULL;
    memset(row->labels, ROWS_UNKNOWN, sizeof row->labels);
    if (!json_is_object(labels)) {
        return refuse(r, "\"labels\" must be an object, {} when nothing is known");
    }
    json_object_foreach(labels, key, value) {
        if (key[0] == '\0' || strlen(key) >= ROWS_NAME_SIZE) {
            return refuse(r, "a key of \"labels\" must have 1 to 128 bytes");
        }
        int number = names_add(&r->rows->keys, key);
        if (number < 0) {
            return no_memory(r);
        }
        if (number >= ROWS_MAX_KEYS) {
            return refuse(r, "\"labels\" have more than 64 different keys");
        }
        if (take_label(value, &row->labels[number]) != 0) {
            return refuse(r, "a label must be 0 or 1; leave the key out where it is not known");
        }
    }
    return 0;
}

static int take_text(const struct reader *r, const json_t *value, const char *what, char **ret,
                     size_t *ret_size) {
    if (!json_is_string(value) || json_string_length(value) == 0) {
        return refuse(r, what);
    }
    if (json_string_length(value) > SERVER_MAX_PART_BYTES) {
        return refuse(r, "a text has more than 20 MiB, which no daemon takes");
    }
    *ret_size = json_string_length(value);
    *ret = strdup(json_string_value(value));
    return *ret != NULL ? 0 : no_memory(r);
}

static int take_role(const struct reader *r, const json_t *object, enum rows_role *ret) {
    static const char *const names[] = {
        [ROWS_USER] = "user", [ROWS_ASSISTANT] = "assistant", [ROWS_POST] = "post"};
    const char *role = json_string_value(json_object_get(object, "role"));
    for (int i = ROWS_USER; i <= ROWS_POST && role != NULL; i++) {
        if (strcmp(role, names[i]) == 0) {
            *ret = (enum rows_role)i;
            return 0;
        }
    }
    return refuse(r, "\"role\" must be user, assistant or post");
}

static int take_unsafe(const struct reader *r, const json_t *object, enum rows_label *ret) {
    const json_t *value = json_object_get(object, "unsafe");
    uint8_t label = ROWS_UNKNOWN;
    if (value == NULL || (!json_is_null(value) && take_label(value, &label) != 0)) {
        return refuse(r, "\"unsafe\" must be 0, 1 or null");
    }
    *ret = (enum rows_label)label;
    return 0;
}

/* The id must be new in its file: a row that stands there twice counts twice. */
static int take_id(struct reader *r, const json_t *object) {
    const json_t *value = json_object_get(object, "id");
    if (!(json_is_string(value) && json_string_length(value) > 0) && !json_is_integer(value)) {
        return refuse(r, "\"id\" must be text or a whole number");
    }
    CLEANUP(free_ptr) char *id = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    size_t before = r->ids.count;
    if (id == NULL || names_add(&r->ids, id) < 0) {
        return no_memory(r);
    }
    return r->ids.count > before ? 0 : refuse(r, "this \"id\" stands in an earlier row of the file");
}

static int parse_row(struct reader *r, json_t *object, struct rows_row *row) {
    const json_t *prompt = json_object_get(object, "prompt");
    size_t prompt_size = 0;
    if (!json_is_object(object)) {
        return refuse(r, "a row must be a JSON object");
    }
    int rc = take_id(r, object);
    rc = rc != 0 ? rc : take_role(r, object, &row->role);
    rc = rc != 0 ? rc : take_labels(r, object, row);
    rc = rc != 0 ? rc : take_unsafe(r, object, &row->unsafe);
    rc = rc != 0 ? rc : take_name(r, object, "lang", &r->rows->langs, &row->lang);
    rc = rc != 0 ? rc : take_name(r, object, "source", &r->rows->sources, &row->source);
    rc = rc != 0 ? rc
                 : take_text(r, json_object_get(object, "text"), "\"text\" must be text that is not empty",
                             &row->text, &row->text_size);
    if (rc == 0 && row->role == ROWS_ASSISTANT && prompt != NULL && !json_is_null(prompt)) {
        rc = take_text(r, prompt, "\"prompt\" must be text that is not empty", &row->prompt, &prompt_size);
    }
    return rc;
}

static int keep_row(const struct reader *r, struct rows_row *row) {
    struct rows *rows = r->rows;
    if (rows->count == rows->capacity) {
        size_t capacity = rows->capacity > 0 ? 2 * rows->capacity : 256;
        struct rows_row *items = reallocarray(rows->items, capacity, sizeof *items);
        if (items == NULL) {
            return no_memory(r);
        }
        rows->items = items;
        rows->capacity = capacity;
    }
    rows->items[rows->count++] = *row;
    *row = (struct rows_row){0};
    return 0;
}

/* A line without its end in `line`. 1, or 0 at the end of the file. */
static int read_line(const struct reader *r, FILE *file, struct buf *line) {
    char piece[4096];
    size_t used = 0;
    int c = 0;
    buf_clear(line);
    while ((c = getc_unlocked(file)) != EOF && c != '\n') {
        piece[used++] = (char)c;
        if (used == sizeof piece) {
            buf_append(line, piece, used);
            used = 0;
            if (line->size > ROWS_MAX_LINE) {
                return refuse(r, "the line has more than 32 MiB");
            }
        }
    }
    buf_append(line, piece, used);
    if (ferror(file)) {
        return error_errno(r->reterr, errno, "%s: cannot be read", r->path);
    }
    return line->failed ? no_memory(r) : c != EOF || line->size > 0;
}

static int take_line(struct reader *r, const struct buf *line, int set, bool keep) {
    json_error_t where;
    struct rows_row row = {.set = set};
    json_t *object = json_loadb((const char *)line->bytes, line->size, JSON_REJECT_DUPLICATES, &where);
    int rc = object == NULL ? refuse(r, where.text) : parse_row(r, object, &row);
    if (rc == 0 && keep) {
        rc = keep_row(r, &row);
    }
    free(row.text);
    free(row.prompt);
    json_decref(object);
    return rc;
}

static void set_name(const char *path, char *out, size_t size) {
    const char *slash = strrchr(path, '/');
    const char *base = slash != NULL ? slash + 1 : path;
    (void)snprintf(out, size, "%s", strcmp(base, "-") == 0 ? "stdin" : base);
    char *dot = strrchr(out, '.');
    if (dot != NULL && dot != out) {
        *dot = '\0';
    }
    /* A file name may be any bytes; what is printed and written as JSON may not. */
    bool valid = utf8_valid(out, strlen(out), NULL);
    for (char *c = out; *c != '\0'; c++) {
        if ((unsigned char)*c < ' ' || *c == 0x7f || (!valid && (unsigned char)*c >= 0x80)) {
            *c = '?';
        }
    }
}

int rows_read_stream(FILE *file, const char *path, uint64_t limit, struct rows *rows, struct error *reterr) {
    struct reader r = {.path = path, .rows = rows, .reterr = reterr};
    CLEANUP(buf_deinit) struct buf line = {0};
    char name[ROWS_NAME_SIZE];
    set_name(path, name, sizeof name);
    int set = names_add(&rows->sets, name);
    int rc = set < 0 ? no_memory(&r) : 1;
    for (uint64_t kept = 0; rc == 1; kept++) {
        r.line++;
        rc = read_line(&r, file, &line);
        if (rc == 1) {
            int bad = take_line(&r, &line, set, kept < limit);
            rc = bad != 0 ? bad : 1;
        }
    }
    names_deinit(&r.ids);
    return rc;
}

int rows_read(const char *path, uint64_t limit, struct rows *rows, struct error *reterr) {
    if (strcmp(path, "-") == 0) {
        return rows_read_stream(stdin, path, limit, rows, reterr);
    }
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return error_errno(reterr, errno, "%s: cannot be opened", path);
    }
    int rc = rows_read_stream(file, path, limit, rows, reterr);
    (void)fclose(file);
    return rc;
}

void rows_deinit(struct rows *rows) {
    for (size_t i = 0; i < rows->count; i++) {
        free(rows->items[i].text);
        free(rows->items[i].prompt);
    }
    free(rows->items);
    names_deinit(&rows->sets);
    names_deinit(&rows->sources);
    names_deinit(&rows->langs);
    names_deinit(&rows->keys);
    *rows = (struct rows){0};
}
