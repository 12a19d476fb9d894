/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tools/eval/rows.h"

#define GOOD "{\"id\":\"a\",\"text\":\"hello\",\"role\":\"user\",\"labels\":{},\"unsafe\":null}\n"

static int read_text(const char *text, size_t size, uint64_t limit, struct rows *rows, struct error *error) {
    FILE *file = fmemopen((void *)(uintptr_t)text, size, "r");
    assert_non_null(file);
    int rc = rows_read_stream(file, "folder/my.set.jsonl", limit, rows, error);
    assert_int_equal(fclose(file), 0);
    return rc;
}

/* The row stands in line 2, and all that was read is given back. */
static void refused(const char *row, size_t size, const char *why) {
    struct rows rows = {0};
    struct error error = {0};
    char *text = malloc(sizeof GOOD + size);
    assert_non_null(text);
    memcpy(text, GOOD, sizeof GOOD - 1);
    memcpy(text + sizeof GOOD - 1, row, size);
    int rc = read_text(text, sizeof GOOD - 1 + size, UINT64_MAX, &rows, &error);
    free(text);
    rows_deinit(&rows);
    assert_int_equal(rc, -EINVAL);
    const char place[] = "folder/my.set.jsonl:2: ";
    if (strncmp(error.text, place, sizeof place - 1) != 0 || strstr(error.text, why) == NULL) {
        fail_msg("%.60s…: %s", row, error.text);
    }
}

static void test_reads_what_a_row_says(void **state) {
    (void)state;
    static const char text[] =
        "{\"id\":1,\"text\":\"gr\\u00fc\\u00dfe\",\"role\":\"assistant\",\"prompt\":\"say "
        "hello\",\"labels\":{\"violence\":0,"
        "\"self_harm\":1},\"unsafe\":1,\"lang\":\"de\",\"source\":\"letters\",\"weak\":[{}]}\n"
        "{\"id\":\"1\",\"text\":\"x\",\"role\":\"post\",\"prompt\":\"no part of a "
        "post\",\"labels\":{\"violence\":1},"
        "\"unsafe\":0}";
    struct rows rows = {0};
    struct error error = {0};
    assert_int_equal(read_text(text, sizeof text - 1, UINT64_MAX, &rows, &error), 0);
    assert_int_equal(rows.count, 2);
    const struct rows_row *first = &rows.items[0];
    const struct rows_row *second = &rows.items[1];
    assert_string_equal(first->text, "gr\xc3\xbc\xc3\x9f"
                                     "e");
    assert_int_equal(first->text_size, 7);
    assert_string_equal(first->prompt, "say hello");
    assert_int_equal(first->role, ROWS_ASSISTANT);
    assert_int_equal(first->unsafe, ROWS_HARMFUL);
    assert_int_equal(first->labels[names_find(&rows.keys, "violence")], ROWS_HARMLESS);
    assert_int_equal(first->labels[names_find(&rows.keys, "self_harm")], ROWS_HARMFUL);
    assert_int_equal(second->labels[names_find(&rows.keys, "self_harm")], ROWS_UNKNOWN);
    assert_int_equal(second->labels[names_find(&rows.keys, "violence")], ROWS_HARMFUL);
    assert_null(second->prompt);
    assert_int_equal(second->unsafe, ROWS_HARMLESS);
    assert_string_equal(rows.sets.items[first->set], "my.set");
    assert_string_equal(rows.langs.items[first->lang], "de");
    assert_string_equal(rows.langs.items[second->lang], "-");
    assert_string_equal(rows.sources.items[first->source], "letters");
    rows_deinit(&rows);
}

static void test_refuses_hostile_rows_and_names_file_and_line(void **state) {
    (void)state;
    const struct {
        const char *row, *why;
    } cases[] = {
        {"not json at all", "expected"},
        {"", ""},
        {"\n", ""},
        {"[1,2]", "must be a JSON object"},
        {"{\"id\":\"b\",\"text\":\"x\",\"role\":\"user\",\"labels\":{},\"unsafe\":0} trailing",
         "end of file"},
        {"{\"id\":\"b\",\"id\":\"c\",\"text\":\"x\"}", "duplicate"},
        {"{\"text\":\"x\",\"role\":\"user\",\"labels\":{},\"unsafe\":0}", "\"id\""},
        {"{\"id\":\"\",\"text\":\"x\",\"role\":\"user\",\"labels\":{},\"unsafe\":0}", "\"id\""},
        {"{\"id\":{},\"text\":\"x\",\"role\":\"user\",\"labels\":{},\"unsafe\":0}", "\"id\""},
        {"{\"id\":\"a\",\"text\":\"x\",\"role\":\"user\",\"labels\":{},\"unsafe\":0}", "earlier row"},
        {"{\"id\":\"b\",\"role\":\"user\",\"labels\":{},\"unsafe\":0}", "\"text\""},
        {"{\"id\":\"b\",\"text\":\"\",\"role\":\"user\",\"labels\":{},\"unsafe\":0}", "\"text\""},
        {"{\"id\":\"b\",\"text\":7,\"role\":\"user\",\"labels\":{},\"unsafe\":0}", "\"text\""},
        {"{\"id\":\"b\",\"text\":\"a\\u0000b\",\"role\":\"user\",\"labels\":{},\"unsafe\":0}", "u0000"},
        {"{\"id\":\"b\",\"text\":\"\\ud800\",\"role\":\"user\",\"labels\":{},\"unsafe\":0}", "Unicode"},
        {"{\"id\":\"b\",\"text\":\"\xff\xfe\",\"role\":\"user\",\"labels\":{},\"unsafe\":0}", "decode byte"},
        {"{\"id\":\"b\",\"text\":\"x\",\"labels\":{},\"unsafe\":0}", "\"role\""},
        {"{\"id\":\"b\",\"text\":\"x\",\"role\":\"system\",\"labels\":{},\"unsafe\":0}", "\"role\""},
        {"{\"id\":\"b\",\"text\":\"x\",\"role\":1,\"labels\":{},\"unsafe\":0}", "\"role\""},
        {"{\"id\":\"b\",\"text\":\"x\",\"role\":\"user\",\"unsafe\":0}", "\"labels\""},
        {"{\"id\":\"b\",\"text\":\"x\",\"role\":\"user\",\"labels\":[],\"unsafe\":0}", "\"labels\""},
        {"{\"id\":\"b\",\"text\":\"x\",\"role\":\"user\",\"labels\":{\"violence\":2},\"unsafe\":0}",
         "0 or 1"},
        {"{\"id\":\"b\",\"text\":\"x\",\"role\":\"user\",\"labels\":{\"violence\":-1},\"unsafe\":0}",
         "0 or 1"},
        {"{\"id\":\"b\",\"text\":\"x\",\"role\":\"user\",\"labels\":{\"violence\":true},\"unsafe\":0}",
         "0 or 1"},
        {"{\"id\":\"b\",\"text\":\"x\",\"role\":\"user\",\"labels\":{\"violence\":1.0},\"unsafe\":0}",
         "0 or 1"},
        {"{\"id\":\"b\",\"text\":\"x\",\"role\":\"user\",\"labels\":{\"\":1},\"unsafe\":0}", "a key"},
        {"{\"id\":\"b\",\"text\":\"x\",\"role\":\"user\",\"labels\":{}}", "\"unsafe\""},
        {"{\"id\":\"b\",\"text\":\"x\",\"role\":\"user\",\"labels\":{},\"unsafe\":\"1\"}", "\"unsafe\""},
        {"{\"id\":\"b\",\"text\":\"x\",\"role\":\"user\",\"labels\":{},\"unsafe\":0,\"lang\":3}", "\"lang\""},
        {"{\"id\":\"b\",\"text\":\"x\",\"role\":\"assistant\",\"prompt\":4,\"labels\":{},\"unsafe\":0}",
         "\"prompt\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char row[512];
        int size = snprintf(row, sizeof row, "%s\n", cases[i].row);
        refused(row, (size_t)size, cases[i].why);
    }
    static const char nul[] = "{\"id\":\"b\",\0\"text\":\"x\",\"role\":\"user\",\"labels\":{},\"unsafe\":0}";
    refused(nul, sizeof nul - 1, "");
}

static void test_refuses_a_line_without_end(void **state) {
    (void)state;
    size_t size = ROWS_MAX_LINE + 8192;
    char *line = malloc(size);
    assert_non_null(line);
    memset(line, ' ', size);
    refused(line, size, "32 MiB");
    free(line);
}

static void test_refuses_more_keys_than_a_policy_has_categories(void **state) {
    (void)state;
    char row[4096] = "{\"id\":\"b\",\"text\":\"x\",\"role\":\"user\",\"unsafe\":0,\"labels\":{\"k\":1";
    for (int i = 0; i < ROWS_MAX_KEYS; i++) {
        size_t used = strlen(row);
        (void)snprintf(row + used, sizeof row - used, ",\"k%d\":0", i);
    }
    strcat(row, "}}\n");
    refused(row, strlen(row), "64");
}

static void test_limit_keeps_the_first_rows_and_still_checks_the_rest(void **state) {
    (void)state;
    static const char two[] =
        GOOD "{\"id\":\"b\",\"text\":\"x\",\"role\":\"user\",\"labels\":{},\"unsafe\":1}\n";
    struct rows rows = {0};
    struct error error = {0};
    assert_int_equal(read_text(two, sizeof two - 1, 1, &rows, &error), 0);
    assert_int_equal(rows.count, 1);
    static const char bad[] = GOOD "{}\n";
    assert_int_equal(read_text(bad, sizeof bad - 1, 1, &rows, &error), -EINVAL);
    rows_deinit(&rows);
}

static void test_refuses_a_file_that_is_not_there(void **state) {
    (void)state;
    struct rows rows = {0};
    struct error error = {0};
    assert_int_equal(rows_read("/nowhere/set.jsonl", 1, &rows, &error), -ENOENT);
    assert_non_null(strstr(error.text, "/nowhere/set.jsonl"));
    rows_deinit(&rows);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_what_a_row_says),
        cmocka_unit_test(test_refuses_hostile_rows_and_names_file_and_line),
        cmocka_unit_test(test_refuses_a_line_without_end),
        cmocka_unit_test(test_refuses_more_keys_than_a_policy_has_categories),
        cmocka_unit_test(test_limit_keeps_the_first_rows_and_still_checks_the_rest),
        cmocka_unit_test(test_refuses_a_file_that_is_not_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
