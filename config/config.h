/* SPDX-License-Identifier: Apache-2.0
 *
 * Typed YAML for files that people write: a table of rows says which keys there are, of what type, in what
 * range, with what default; the loader fills a C struct or says everything that is wrong, at once, as
 * `file:line:column: message (hint)`.
 *
 * What it takes is a small, unsurprising YAML: one document of at most 1 MiB, at most 16 deep and 65,536
 * nodes, UTF-8 without NUL; no anchors, aliases, tags, directives or merge keys; no duplicate and no unknown
 * keys. Booleans are `true` and `false`. Numbers are plain decimals (no 0x, 010, 1x, nan, inf, 1_000, +1,
 * 1e3, .5). A plain word that YAML takes for a number, a boolean or null is not text: it must be in quotes. A
 * number in quotes is not a number.
 *
 *     struct listener { char url[128]; uint32_t max_open; };
 *     struct settings { bool quiet; uint64_t memory_bytes, wait_ns; enum level level;
 *                       struct { int32_t keep_ppm; } trace; struct listener *listeners; size_t
 * listener_count; };
 *
 *     static const struct config_choice level_choices[] = {{"info", LEVEL_INFO, false}, {"debug",
 * LEVEL_DEBUG, false}, {0}}; static const struct config_row trace_rows[] = {
 *         {"keep", CONFIG_FRACTION, CONFIG_FIELD(struct settings, trace.keep_ppm), .fallback = "0.01"},
 *         CONFIG_END,
 *     };
 *     static const struct config_row listener_rows[] = {
 *         {"url", CONFIG_TEXT, CONFIG_FIELD(struct listener, url), .required = true, .help = "where to
 * listen"},
 *         {"max_open", CONFIG_U32, CONFIG_FIELD(struct listener, max_open), .min = 1, .max = 4096, .fallback
 * = "64"}, CONFIG_END,
 *     };
 *     static const struct config_row settings_rows[] = {
 *         {"quiet", CONFIG_BOOL, CONFIG_FIELD(struct settings, quiet), .fallback = "false"},
 *         {"memory", CONFIG_SIZE, CONFIG_FIELD(struct settings, memory_bytes), .min = 1 << 20, .fallback =
 * "2GiB"},
 *         {"wait", CONFIG_DURATION, CONFIG_FIELD(struct settings, wait_ns), .fallback = "250ms"},
 *         {"level", CONFIG_ENUM, CONFIG_FIELD(struct settings, level), .choices = level_choices, .fallback =
 * "info"},
 *         {"trace", CONFIG_STRUCT, .rows = trace_rows},
 *         {"listeners", CONFIG_LIST, CONFIG_ITEMS(struct settings, listeners, listener_count), .rows =
 * listener_rows, .min = 1, .required = true}, CONFIG_END,
 *     };
 *
 *     struct settings settings = {0};
 *     struct config_report report = {0};
 *     int rc = config_load_file(path, settings_rows, &settings, &report);
 *     for (size_t i = 0; i < config_report_count(&report); i++) { puts(config_report_line(&report, i)); }
 *     config_report_deinit(&report);
 *     … config_free(settings_rows, &settings);
 *
 * Nothing here keeps state; calls on different structs may run on different threads.
 */
#ifndef BUCKLER_CONFIG_CONFIG_H
#define BUCKLER_CONFIG_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"

enum config_error { CONFIG_E_INVALID = 1 };

enum {
    CONFIG_MAX_BYTES = 1 << 20,
    CONFIG_MAX_DEPTH = 16,
    CONFIG_MAX_NODES = 65536,
    CONFIG_MAX_ITEMS = 1024, /* of a list or table whose row names no max */
    CONFIG_REPORT_MAX = 64,
};

/* Where something stands in its file, counted from 1; line 0: it is not there. */
struct config_where {
    unsigned line, column;
};

/* ---- the report ---- */

struct config_problem {
    struct config_where where;
    size_t file_length; /* of the file name that `text` begins with */
    char *text;         /* owned; NULL when memory was out */
};

/* Starts as {0}. Several files may report into one; the problems of a file stand in the order of their
 * places. The first CONFIG_REPORT_MAX are kept, and one line more says how many were left out. */
struct config_report {
    struct config_problem problems[CONFIG_REPORT_MAX];
    size_t found; /* all that were added, kept or not */
    char rest[64];
};

/* Lines to print; 0 means that nothing is wrong. */
size_t config_report_count(const struct config_report *report);
const char *config_report_line(const struct config_report *report, size_t index);
void config_report_add(struct config_report *report, const char *file, unsigned line, unsigned column,
                       const char *format, ...) __attribute__((format(printf, 5, 6)));
void config_report_deinit(struct config_report *report); /* and ready for use again */

/* ---- the table ---- */

enum config_type {
    CONFIG_INVALID,
    CONFIG_BOOL,     /* bool */
    CONFIG_U32,      /* uint32_t; min, max */
    CONFIG_U64,      /* uint64_t; min, max */
    CONFIG_SIZE,     /* uint64_t bytes: 4096, 64KiB, 20MiB, 2GiB; min, max */
    CONFIG_DURATION, /* uint64_t nanoseconds: 250ms, 2s, 5m, 12h, 180d; min, max in nanoseconds */
    CONFIG_FRACTION, /* int32_t parts per million of a decimal from 0 to 1; min, max in parts per million */
    CONFIG_ENUM,     /* int or an enum, one of `choices` */
    CONFIG_FLAGS,    /* uint32_t: one of `choices` or a list of them, their values or-ed */
    CONFIG_TEXT,     /* char[N], NUL-terminated; min, max bytes (max: N - 1 at most) */
    CONFIG_STRING,   /* char *, owned by the struct; NULL when not given; min, max bytes */
    CONFIG_STRINGS,  /* list of text: char ** and a size_t count (CONFIG_ITEMS); min, max items */
    CONFIG_STRUCT,   /* map: `rows` with offsets from the same base as this row's table */
    CONFIG_LIST, /* list of structs: pointer and count (CONFIG_ITEMS), `rows` from the element; min, max items
                  */
    CONFIG_TABLE, /* map of name to struct: as CONFIG_LIST; the CONFIG_KEY row takes the name */
    CONFIG_KEY,   /* char[N] in an element of a CONFIG_TABLE: the name it stands under */
    CONFIG_LATER, /* a key that a later version will understand: refused as "not supported yet" */
};

/* A list of these ends with {0}. `later`: a value of a later version, refused as "not supported yet". */
struct config_choice {
    const char *name;
    int value;
    bool later;
};

struct config_row {
    const char *key; /* the row with key "" reads an element that is not a map (a list of words or of maps) */
    enum config_type type;
    size_t offset, size; /* CONFIG_FIELD, CONFIG_ITEMS */
    size_t count_offset, element_size;
    bool required;        /* an error when its map is there and it is not */
    uint64_t min, max;    /* max 0: as far as the type goes */
    const char *fallback; /* the default, as one would write it; NULL: zero */
    const struct config_choice *choices;
    const struct config_row *rows;
    const char *(*check)(const void *field); /* NULL when fine, else half a sentence: "must begin with …" */
    size_t where;     /* CONFIG_WHERE: a struct config_where that takes the place of the value; 0: none */
    const char *help; /* one line for people */
};

#define CONFIG_FIELD(type_, member) .offset = offsetof(type_, member), .size = sizeof(((type_ *)0)->member)
#define CONFIG_ITEMS(type_, items, count)                                                                    \
    .offset = offsetof(type_, items), .size = sizeof(((type_ *)0)->items),                                   \
    .element_size = sizeof(*((type_ *)0)->items), .count_offset = offsetof(type_, count)
/* Offset plus one, so that no place is 0. */
#define CONFIG_WHERE(type_, member) .where = offsetof(type_, member) + 1
/* The last row of each table. CONFIG_END_AT also stores where the map itself stands. */
#define CONFIG_END                                                                                           \
    { .key = NULL }
#define CONFIG_END_AT(type_, member)                                                                         \
    { .key = NULL, CONFIG_WHERE(type_, member) }

/* ---- loading ---- */

/* Fills the zeroed struct at `settings`. 0; CONFIG_E_INVALID when the file is wrong or cannot be read: every
 * reason is in `report`; negative when memory is out. On failure nothing is left to free. */
int config_load_file(const char *path, const struct config_row *rows, void *settings,
                     struct config_report *report) MUST_CHECK;

/* The same from memory; `file` stands in the messages. */
int config_load_memory(const char *file, const void *bytes, size_t size, const struct config_row *rows,
                       void *settings, struct config_report *report) MUST_CHECK;

/* As config_load_memory, but after CONFIG_E_INVALID the struct keeps what could be read and is the caller's
 * to free: for checks across fields that report in the same run. What was wrong is zero, with its place where
 * CONFIG_WHERE asks. */
int config_load_partial(const char *file, const void *bytes, size_t size, const struct config_row *rows,
                        void *settings, struct config_report *report) MUST_CHECK;

/* Frees what the table's strings, lists and tables own and clears their pointers and counts. */
void config_free(const struct config_row *rows, void *settings);

/* Appends the bytes of a regular file, at most CONFIG_MAX_BYTES. Returns as config_load_file. */
int config_read_file(const char *path, struct buf *ret, struct config_report *report) MUST_CHECK;

/* `" (did you mean \"x\"?)"` for the nearest of `count` names, or "" when none is near; `out` as scratch. For
 * checks that compare names across fields. */
const char *config_nearest(const char *word, const char *const *names, size_t count, char *out,
                           size_t out_size);

#endif
