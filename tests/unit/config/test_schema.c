/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "config/config.h"

enum colour { COLOUR_INVALID, COLOUR_RED, COLOUR_GREEN };

struct rate {
    char tenant[9];
    uint32_t per_second;
    struct config_where where;
};

struct listener {
    char *url;
    uint32_t max_open;
    struct config_where where, max_where;
};

struct settings {
    bool quiet;
    uint32_t threads;
    uint64_t seed, memory_bytes, wait_ns;
    int32_t keep_ppm;
    enum colour colour;
    uint32_t days;
    char name[6];
    char *motto;
    char **paths;
    size_t path_count;
    struct {
        int32_t share_ppm;
        bool deep;
    } trace;
    struct listener *listeners;
    size_t listener_count;
    struct rate *rates;
    size_t rate_count;
    struct config_where name_where;
};

static const char *check_even(const void *field) {
    return *(const uint32_t *)field % 2 == 0 ? NULL : "must be even";
}

static const struct config_choice colours[] = {
    {"red", COLOUR_RED, false}, {"green", COLOUR_GREEN, false}, {"ultraviolet", 0, true}, {0}};
static const struct config_choice days[] = {{"monday", 1, false}, {"friday", 2, false}, {0}};

static const struct config_row trace_rows[] = {
    {"share", CONFIG_FRACTION, CONFIG_FIELD(struct settings, trace.share_ppm), .fallback = "0.25"},
    {"deep", CONFIG_BOOL, CONFIG_FIELD(struct settings, trace.deep), .fallback = "true"},
    CONFIG_END,
};

static const struct config_row listener_rows[] = {
    {"", CONFIG_STRING, CONFIG_FIELD(struct listener, url)},
    {"url", CONFIG_STRING, CONFIG_FIELD(struct listener, url), .required = true, .min = 1,
     .help = "where to listen"},
    {"max_open", CONFIG_U32, CONFIG_FIELD(struct listener, max_open), .max = 99, .fallback = "7",
     CONFIG_WHERE(struct listener, max_where)},
    CONFIG_END_AT(struct listener, where),
};

static const struct config_row rate_rows[] = {
    {"tenant", CONFIG_KEY, CONFIG_FIELD(struct rate, tenant), .min = 1},
    {"per_second", CONFIG_U32, CONFIG_FIELD(struct rate, per_second), .required = true},
    CONFIG_END_AT(struct rate, where),
};

static const struct config_row rows[] = {
    {"name", CONFIG_TEXT, CONFIG_FIELD(struct settings, name), .required = true, .min = 1,
     CONFIG_WHERE(struct settings, name_where)},
    {"quiet", CONFIG_BOOL, CONFIG_FIELD(struct settings, quiet)},
    {"threads", CONFIG_U32, CONFIG_FIELD(struct settings, threads), .min = 2, .max = 64, .fallback = "4",
     .check = check_even},
    {"seed", CONFIG_U64, CONFIG_FIELD(struct settings, seed)},
    {"memory", CONFIG_SIZE, CONFIG_FIELD(struct settings, memory_bytes), .min = 4096, .fallback = "2GiB"},
    {"wait", CONFIG_DURATION, CONFIG_FIELD(struct settings, wait_ns), .fallback = "250ms",
     .max = 3600000000000},
    {"keep", CONFIG_FRACTION, CONFIG_FIELD(struct settings, keep_ppm), .max = 900000},
    {"colour", CONFIG_ENUM, CONFIG_FIELD(struct settings, colour), .choices = colours, .fallback = "green"},
    {"days", CONFIG_FLAGS, CONFIG_FIELD(struct settings, days), .choices = days},
    {"motto", CONFIG_STRING, CONFIG_FIELD(struct settings, motto), .max = 20, .fallback = "onwards"},
    {"paths", CONFIG_STRINGS, CONFIG_ITEMS(struct settings, paths, path_count), .max = 3},
    {"trace", CONFIG_STRUCT, .rows = trace_rows},
    {"listeners", CONFIG_LIST, CONFIG_ITEMS(struct settings, listeners, listener_count),
     .rows = listener_rows, .min = 1},
    {"rates", CONFIG_TABLE, CONFIG_ITEMS(struct settings, rates, rate_count), .rows = rate_rows},
    {.key = "plugins", .type = CONFIG_LATER},
    CONFIG_END,
};

static int load(const char *text, size_t size, struct settings *s, struct config_report *report) {
    *s = (struct settings){0};
    /* An exact copy, so that a sanitizer sees a read behind the end. */
    char *exact = malloc(size > 0 ? size : 1);
    assert_non_null(exact);
    memcpy(exact, text, size);
    int rc = config_load_memory("f", exact, size, rows, s, report);
    free(exact);
    return rc;
}

static void test_fills_the_struct(void **state) {
    (void)state;
    static const char text[] = "name: alpha\n"
                               "quiet: true\n"
                               "threads: 16\n"
                               "seed: 18446744073709551615\n"
                               "memory: 20 MiB\n"
                               "wait: 5m\n"
                               "keep: 0.123456\n"
                               "colour: red\n"
                               "days: [friday, monday]\n"
                               "motto: \"007\"\n"
                               "paths: [/a, 127.0.0.1, \"true\"]\n"
                               "trace: { share: 1.000 }\n"
                               "listeners:\n"
                               "  - tcp://a\n"
                               "  - { url: ipc://b, max_open: 9 }\n"
                               "rates:\n"
                               "  acme: { per_second: 3 }\n";
    struct settings s;
    struct config_report report = {0};
    assert_int_equal(load(text, strlen(text), &s, &report), 0);
    assert_int_equal(config_report_count(&report), 0);
    assert_string_equal(s.name, "alpha");
    assert_int_equal(s.name_where.line, 1);
    assert_int_equal(s.name_where.column, 7);
    assert_true(s.quiet);
    assert_int_equal(s.threads, 16);
    assert_true(s.seed == UINT64_MAX);
    assert_int_equal(s.memory_bytes, 20 << 20);
    assert_true(s.wait_ns == UINT64_C(300000000000));
    assert_int_equal(s.keep_ppm, 123456);
    assert_int_equal(s.colour, COLOUR_RED);
    assert_int_equal(s.days, 3);
    assert_string_equal(s.motto, "007");
    assert_int_equal(s.path_count, 3);
    assert_string_equal(s.paths[1], "127.0.0.1");
    assert_string_equal(s.paths[2], "true");
    assert_int_equal(s.trace.share_ppm, 1000000);
    assert_true(s.trace.deep);
    assert_int_equal(s.listener_count, 2);
    assert_string_equal(s.listeners[0].url, "tcp://a");
    assert_int_equal(s.listeners[0].max_open, 7);
    assert_int_equal(s.listeners[0].max_where.line, 0);
    assert_string_equal(s.listeners[1].url, "ipc://b");
    assert_int_equal(s.listeners[1].max_open, 9);
    assert_int_equal(s.listeners[1].where.line, 15);
    assert_int_equal(s.listeners[1].max_where.column, 31);
    assert_int_equal(s.rate_count, 1);
    assert_string_equal(s.rates[0].tenant, "acme");
    assert_int_equal(s.rates[0].per_second, 3);
    config_free(rows, &s);
    assert_null(s.listeners);
    assert_int_equal(s.path_count, 0);
}

static void test_sets_defaults_for_what_is_left_out(void **state) {
    (void)state;
    struct settings s;
    struct config_report report = {0};
    assert_int_equal(load("name: a\n", 8, &s, &report), 0);
    assert_int_equal(s.threads, 4);
    assert_true(s.memory_bytes == UINT64_C(2) << 30);
    assert_int_equal(s.wait_ns, 250000000);
    assert_int_equal(s.colour, COLOUR_GREEN);
    assert_string_equal(s.motto, "onwards");
    assert_int_equal(s.trace.share_ppm, 250000);
    assert_true(s.trace.deep);
    assert_null(s.listeners);
    assert_int_equal(config_report_count(&report), 0);
    config_free(rows, &s);
}

struct mistake {
    const char *text; /* behind "name: a\n", so its first line is line 2; or the whole file when `whole` */
    unsigned line, column;
    const char *message;
    bool whole;
};

/* Each file has exactly one problem. */
static const struct mistake mistakes[] = {
    /* numbers */
    {"keep: nan", 2, 7, "keep: expected a plain decimal number from 0 to 1, found \"nan\"", false},
    {"keep: .nan", 2, 7, "expected a plain decimal number", false},
    {"keep: inf", 2, 7, "expected a plain decimal number", false},
    {"keep: -.inf", 2, 7, "expected a plain decimal number", false},
    {"keep: -0.1", 2, 7, "expected a plain decimal number", false},
    {"keep: 1.1", 2, 7, "expected a plain decimal number", false},
    {"keep: 2", 2, 7, "expected a plain decimal number", false},
    {"keep: .5", 2, 7, "expected a plain decimal number", false},
    {"keep: 0.", 2, 7, "expected a plain decimal number", false},
    {"keep: 1e-1", 2, 7, "expected a plain decimal number", false},
    {"keep: 0,5", 2, 7, "expected a plain decimal number", false},
    {"keep: 00.5", 2, 7, "expected a plain decimal number", false},
    {"keep: 0.1234567", 2, 7, "finer than a millionth", false},
    {"keep: 0.95", 2, 7, "keep: must be at most 0.9", false},
    {"keep: \"0.5\"", 2, 7, "expected a number, found text in quotes (remove the quotes)", false},
    {"keep:", 2, 6, "expected a plain decimal number", false},
    {"threads: 010", 2, 10, "a number does not begin with 0", false},
    {"threads: 0x10", 2, 10, "expected a whole number", false},
    {"threads: 8x", 2, 10, "expected a whole number", false},
    {"threads: 1_0", 2, 10, "expected a whole number", false},
    {"threads: +8", 2, 10, "expected a whole number", false},
    {"threads: -8", 2, 10, "expected a whole number", false},
    {"threads: 8.0", 2, 10, "expected a whole number", false},
    {"threads: 1e1", 2, 10, "expected a whole number", false},
    {"threads: eight", 2, 10, "expected a whole number in plain decimal digits, found \"eight\"", false},
    {"threads: 0", 2, 10, "threads: must be at least 2", false},
    {"threads: 66", 2, 10, "threads: must be at most 64", false},
    {"threads: 7", 2, 10, "threads: must be even", false},
    {"threads: [4]", 2, 10, "threads: expected a number, found a list", false},
    {"seed: 18446744073709551616", 2, 7, "too large a number", false},
    {"memory: 3MB", 2, 9, "expected bytes, or KiB, MiB, GiB, TiB", false},
    {"memory: 2gib", 2, 9, "expected bytes, or KiB", false},
    {"memory: 2  GiB", 2, 9, "expected bytes, or KiB", false},
    {"memory: 1KiB", 2, 9, "memory: must be at least 4096", false},
    {"memory: 99999999TiB", 2, 9, "too large a number", false},
    {"wait: 5", 2, 7, "expected a duration with ms, s, m, h or d", false},
    {"wait: 1.5s", 2, 7, "expected a duration", false},
    {"wait: 2h", 2, 7, "wait: must be at most 3600000ms", false},
    {"wait: 99999999999d", 2, 7, "too large a number", false},
    /* booleans */
    {"quiet: yes", 2, 8, "quiet: expected true or false, found \"yes\"", false},
    {"quiet: no", 2, 8, "expected true or false", false},
    {"quiet: on", 2, 8, "expected true or false", false},
    {"quiet: True", 2, 8, "expected true or false", false},
    {"quiet: 1", 2, 8, "expected true or false", false},
    {"quiet: \"true\"", 2, 8, "expected true or false, found text in quotes", false},
    {"quiet: {}", 2, 8, "expected true or false, found a map", false},
    /* text */
    {"motto: 12", 2, 8, "motto: expected text, found a number (put it in quotes)", false},
    {"motto: true", 2, 8, "expected text, found a boolean", false},
    {"motto: 0x1F", 2, 8, "expected text, found a number", false},
    {"motto: .nan", 2, 8, "expected text, found a number", false},
    {"motto: 1e-5", 2, 8, "expected text, found a number", false},
    {"motto: ~", 2, 8, "expected text, found nothing", false},
    {"motto: [a]", 2, 8, "expected text, found a list", false},
    {"motto: aaaaaaaaaaaaaaaaaaaaa", 2, 8, "motto: longer than 20 bytes", false},
    {"motto: \"a\\0b\"", 2, 8, "a NUL character", false},
    {"name: toolong", 1, 7, "name: longer than 5 bytes", true},
    {"name: \"\"", 1, 7, "name: must not be empty", true},
    /* choices */
    {"colour: gren", 2, 9, "colour: \"gren\" is not one of red, green (did you mean \"green\"?)", false},
    {"colour: ultraviolet", 2, 9, "ultraviolet is not supported yet", false},
    {"days: [monday, monday]", 2, 16, "days: monday is named twice", false},
    {"days: []", 2, 7, "days: an empty list", false},
    {"days: [monday, [friday]]", 2, 16, "days: expected text, found a list", false},
    /* lists, maps and tables */
    {"paths: /a", 2, 8, "paths: expected a list of text, found text", false},
    {"paths: [a, b, c, d]", 2, 8, "paths: 4 entries, expected at most 3", false},
    {"paths: [a, 5]", 2, 12, "expected text, found a number", false},
    {"paths: [a, \"\"]", 2, 12, "an empty entry", false},
    {"listeners: []", 2, 12, "listeners: 0 entries, expected at least 1", false},
    {"listeners: { url: a }", 2, 12, "listeners: expected a list, found a map", false},
    {"listeners: [{ max_open: 1 }]", 2, 13, "missing key \"url\" (where to listen)", false},
    {"listeners: [{ url: a, max: 1 }]", 2, 23, "unknown key \"max\" (known here: url, max_open)", false},
    {"listeners: [{ url: a, maxopen: 1 }]", 2, 23, "unknown key \"maxopen\" (did you mean \"max_open\"?)",
     false},
    {"trace: 5", 2, 8, "trace: expected a map of keys, found a number", false},
    {"trace: { deep: maybe }", 2, 16, "deep: expected true or false", false},
    {"rates: [a]", 2, 8, "rates: expected a map, found a list", false},
    {"rates: { a: 5 }", 2, 13, "rates: each entry is a map of keys, found a number", false},
    {"rates: { a: {} }", 2, 13, "missing key \"per_second\"", false},
    {"rates: { muchtoolong: { per_second: 1 } }", 2, 10, "tenant: longer than 8 bytes", false},
    {"rates: { a: { per_second: 1 }, a: { per_second: 1 } }", 2, 32, "duplicate key a (first at line 2)",
     false},
    /* keys */
    {"threds: 4", 2, 1, "unknown key \"threds\" (did you mean \"threads\"?)", false},
    {"zzz: 4", 2, 1, "unknown key \"zzz\" (known here: name, quiet", false},
    {"\"\": 4", 2, 1, "unknown key \"\"", false},
    {"plugins: [x]", 2, 1, "plugins: not supported yet", false},
    {"name: b", 2, 1, "duplicate key name (first at line 1)", false},
    {"quiet: true\nquiet: true", 3, 1, "duplicate key quiet (first at line 2)", false},
    {"quiet: true", 1, 1, "missing key \"name\"", true},
    /* what YAML has and this has not */
    {"motto: &m hey", 2, 8, "anchor &m: anchors are not taken", false},
    {"paths: &p [a]", 2, 8, "anchor &p", false},
    {"motto: *m", 2, 8, "alias *m: aliases are not taken", false},
    {"motto: !!str hey", 2, 8, "tag tag:yaml.org,2002:str: tags are not taken", false},
    {"*a : b", 2, 1, "alias *a", false},
    {"trace: !t { deep: true }", 2, 8, "tag !t", false},
    {"<<: { quiet: true }", 2, 1, "merge key <<: merging is not taken", false},
    {"? [a]\n: b", 2, 3, "a key must be a word", false},
    {"---\nname: b", 2, 1, "a second document", false},
    {"...\n---\nname: b\n", 3, 1, "a second document", false},
    {"%YAML 1.1\n---\nname: a", 1, 1, "directives are not taken", true},
    {"%TAG !e! tag:e,2000:\n---\nname: a", 1, 1, "directives are not taken", true},
    {"", 1, 1, "the file holds nothing", true},
    {"# only words\n", 1, 1, "the file holds nothing", true},
    {"---\n", 2, 1, "expected a map of keys, found nothing", true},
    {"[a, b]", 1, 1, "expected a map of keys, found a list", true},
    {"just text", 1, 1, "expected a map of keys, found text", true},
    {"motto: \"open", 2, 13, "found unexpected end of stream", false},
    {"motto: [a", 3, 1, "(while parsing a flow sequence that begins at line 2)", false},
    {"\tquiet: true", 2, 1, "found a tab character", false},
    {"motto: a\n quiet: true", 3, 7, "mapping values are not allowed", false},
    {"motto: \"\x01\"", 2, 9, "control characters are not allowed", false},
    {"motto: \xc3\xa9\xff", 2, 9, "not UTF-8", false},
    {"motto: \xed\xa0\x80", 2, 8, "not UTF-8", false},
    {"days: [[[[[[[[[[[[[[[[[monday]]]]]]]]]]]]]]]]]", 2, 22, "nested deeper than 16", false},
};

static bool says(const struct config_report *report, const struct mistake *m) {
    char place[32];
    (void)snprintf(place, sizeof place, "f:%u:%u: ", m->line, m->column);
    const char *line = config_report_count(report) == 1 ? config_report_line(report, 0) : "";
    return strncmp(line, place, strlen(place)) == 0 && strstr(line, m->message) != NULL;
}

static void test_names_line_column_and_reason_of_each_mistake(void **state) {
    (void)state;
    size_t bad = 0;
    for (size_t i = 0; i < sizeof mistakes / sizeof *mistakes; i++) {
        const struct mistake *m = &mistakes[i];
        char text[512];
        struct settings s;
        struct config_report report = {0};
        int length = snprintf(text, sizeof text, "%s%s", m->whole ? "" : "name: a\n", m->text);
        int rc = load(text, (size_t)length, &s, &report);
        if (rc != CONFIG_E_INVALID || !says(&report, m) || s.motto != NULL || s.listeners != NULL) {
            bad++;
            print_error("%s\n  expected f:%u:%u: %s\n", m->text, m->line, m->column, m->message);
        }
        for (size_t k = 0; k < config_report_count(&report) && !says(&report, m); k++) {
            print_error("  found    %s\n", config_report_line(&report, k));
        }
        config_report_deinit(&report);
    }
    assert_int_equal(bad, 0);
}

static void test_reports_all_mistakes_in_the_order_of_the_file(void **state) {
    (void)state;
    static const char text[] = "motto: 5\nquiet: yes\nname: &x [a]\nthreads: 3\ncolor: red\n";
    static const char *const expected[] = {
        "f:1:8: motto", "f:2:8: quiet",    "f:3:7: anchor",
        "f:3:7: name",  "f:4:10: threads", "f:5:1: unknown key \"color\" (did you mean \"colour\"?)"};
    struct settings s;
    struct config_report report = {0};
    assert_int_equal(load(text, strlen(text), &s, &report), CONFIG_E_INVALID);
    assert_int_equal(config_report_count(&report), 6);
    for (size_t i = 0; i < 6; i++) {
        assert_memory_equal(config_report_line(&report, i), expected[i], strlen(expected[i]));
    }
    config_report_deinit(&report);
    assert_int_equal(config_report_count(&report), 0);
}

static void test_bounds_the_report_and_says_how_much_is_left(void **state) {
    (void)state;
    char text[4096] = "";
    size_t used = 0;
    for (int i = 0; i < 100; i++) {
        used += (size_t)snprintf(text + used, sizeof text - used, "unknown_%d: 1\n", i);
    }
    used += (size_t)snprintf(text + used, sizeof text - used, "name: a\n");
    struct settings s;
    struct config_report report = {0};
    assert_int_equal(load(text, used, &s, &report), CONFIG_E_INVALID);
    assert_int_equal(config_report_count(&report), CONFIG_REPORT_MAX + 1);
    assert_string_equal(config_report_line(&report, CONFIG_REPORT_MAX), "and 36 more");
    config_report_deinit(&report);
}

static char *repeat(const char *head, const char *piece, size_t bytes, size_t *ret_size) {
    char *text = malloc(bytes + strlen(head) + strlen(piece) + 1);
    assert_non_null(text);
    size_t used = strlen(head);
    memcpy(text, head, used + 1);
    while (used < bytes) {
        memcpy(text + used, piece, strlen(piece) + 1);
        used += strlen(piece);
    }
    *ret_size = used;
    return text;
}

static void expect_refusal(const char *head, const char *piece, size_t bytes, const char *message) {
    struct settings s;
    struct config_report report = {0};
    size_t size = 0;
    char *text = repeat(head, piece, bytes, &size);
    assert_int_equal(load(text, size, &s, &report), CONFIG_E_INVALID);
    assert_non_null(strstr(config_report_line(&report, 0), message));
    config_report_deinit(&report);
    free(text);
}

static void test_refuses_a_file_of_more_than_a_mebibyte(void **state) {
    (void)state;
    expect_refusal("name: a\n", "# nothing\n", CONFIG_MAX_BYTES + 1, "larger than 1048576 bytes");
}

static void test_refuses_more_values_than_the_bound(void **state) {
    (void)state;
    expect_refusal("name: a\npaths: [", "a,", 2 * CONFIG_MAX_NODES + 64, "more than 65536 values");
}

static void test_refuses_more_keys_in_a_map_than_the_bound(void **state) {
    (void)state;
    char *text = malloc(64 * 1024);
    size_t used = 0;
    assert_non_null(text);
    for (int i = 0; i < 4097; i++) {
        used += (size_t)snprintf(text + used, 64 * 1024 - used, "k%d: 1\n", i);
    }
    struct settings s;
    struct config_report report = {0};
    assert_int_equal(load(text, used, &s, &report), CONFIG_E_INVALID);
    assert_non_null(strstr(config_report_line(&report, 0), "f:4097:1: more than 4096 keys"));
    config_report_deinit(&report);
    free(text);
}

static void test_accepts_a_byte_order_mark_and_windows_line_ends(void **state) {
    (void)state;
    static const char text[] = "\xef\xbb\xbfname: a\r\nquiet: true\r\n";
    struct settings s;
    struct config_report report = {0};
    assert_int_equal(load(text, strlen(text), &s, &report), 0);
    assert_string_equal(s.name, "a");
    assert_true(s.quiet);
    config_free(rows, &s);
}

static void test_keeps_what_was_read_for_further_checks(void **state) {
    (void)state;
    static const char text[] = "name: a\nquiet: yes\nlisteners: [tcp://x, 5]\n";
    struct settings s = {0};
    struct config_report report = {0};
    assert_int_equal(config_load_partial("f", text, strlen(text), rows, &s, &report), CONFIG_E_INVALID);
    assert_string_equal(s.name, "a");
    assert_int_equal(s.listener_count, 2);
    assert_string_equal(s.listeners[0].url, "tcp://x");
    assert_null(s.listeners[1].url);
    assert_int_equal(s.listeners[1].where.column, 22);
    config_free(rows, &s);
    config_report_deinit(&report);
}

static void expect_unreadable(const char *path, const char *message) {
    struct settings s = {0};
    struct config_report report = {0};
    assert_int_equal(config_load_file(path, rows, &s, &report), CONFIG_E_INVALID);
    assert_int_equal(config_report_count(&report), 1);
    assert_non_null(strstr(config_report_line(&report, 0), message));
    config_report_deinit(&report);
}

static void test_refuses_files_that_are_none(void **state) {
    (void)state;
    expect_unreadable("/nowhere/at/all.yaml", "/nowhere/at/all.yaml:1:1: cannot be read: No such file");
    expect_unreadable("/proc/self/mem", "cannot be read: ");
    expect_unreadable("/dev/null", "/dev/null:1:1: not a regular file");
    expect_unreadable("/", "not a regular file");
}

static void test_suggests_only_names_that_are_near(void **state) {
    (void)state;
    static const char *const names[] = {"min", "max", "category"};
    char out[64];
    assert_string_equal(config_nearest("mni", names, 3, out, sizeof out), " (did you mean \"min\"?)");
    assert_string_equal(config_nearest("categroy", names, 3, out, sizeof out),
                        " (did you mean \"category\"?)");
    assert_string_equal(config_nearest("threshold", names, 3, out, sizeof out), "");
    assert_string_equal(config_nearest("", names, 3, out, sizeof out), "");
    char longest[200];
    memset(longest, 'm', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    assert_string_equal(config_nearest(longest, names, 3, out, sizeof out), "");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fills_the_struct),
        cmocka_unit_test(test_sets_defaults_for_what_is_left_out),
        cmocka_unit_test(test_names_line_column_and_reason_of_each_mistake),
        cmocka_unit_test(test_reports_all_mistakes_in_the_order_of_the_file),
        cmocka_unit_test(test_bounds_the_report_and_says_how_much_is_left),
        cmocka_unit_test(test_refuses_a_file_of_more_than_a_mebibyte),
        cmocka_unit_test(test_refuses_more_values_than_the_bound),
        cmocka_unit_test(test_refuses_more_keys_in_a_map_than_the_bound),
        cmocka_unit_test(test_accepts_a_byte_order_mark_and_windows_line_ends),
        cmocka_unit_test(test_keeps_what_was_read_for_further_checks),
        cmocka_unit_test(test_refuses_files_that_are_none),
        cmocka_unit_test(test_suggests_only_names_that_are_near),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
