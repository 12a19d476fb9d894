/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/digest.h"
#include "policies/list.h"

static int load(const char *text, struct policy_list **ret, struct config_report *report) {
    size_t size = strlen(text);
    char *exact = malloc(size > 0 ? size : 1); /* so that a sanitizer sees a read behind the end */
    assert_non_null(exact);
    memcpy(exact, text, size);
    int rc = policy_list_load_memory("l", exact, size, ret, report);
    free(exact);
    return rc;
}

#define HEAD "schema: buckler.list/1\nname: words\ncategory: rude\n"

static void test_takes_words_texts_and_regexes(void **state) {
    (void)state;
    static const char text[] = HEAD "score: 0.9\n"
                                    "description: Some.\n"
                                    "entries:\n"
                                    "  - damn\n"
                                    "  - { word: two words, score: 0.5 }\n"
                                    "  - { text: \"<|x|>\", id: fake }\n"
                                    "  - { regex: '\\bab+c\\b', id: abc, score: 1 }\n";
    struct policy_list *list = NULL;
    struct config_report report = {0};
    uint8_t digest[DIGEST_BYTES];
    char hex[DIGEST_HEX_SIZE];
    assert_int_equal(load(text, &list, &report), 0);
    assert_string_equal(list->name, "words");
    assert_string_equal(list->description, "Some.");
    assert_string_equal(list->category, "rude");
    assert_int_equal(list->category_where.line, 3);
    assert_int_equal(list->entry_count, 4);
    assert_int_equal(list->entries[0].match, LIST_MATCH_WORD);
    assert_string_equal(list->entries[0].pattern, "damn");
    assert_string_equal(list->entries[0].id, "1");
    assert_int_equal(list->entries[0].score_ppm, 900000);
    assert_int_equal(list->entries[0].where.line, 7);
    assert_string_equal(list->entries[1].id, "2");
    assert_int_equal(list->entries[1].score_ppm, 500000);
    assert_int_equal(list->entries[2].match, LIST_MATCH_TEXT);
    assert_string_equal(list->entries[2].id, "fake");
    assert_int_equal(list->entries[3].match, LIST_MATCH_REGEX);
    assert_string_equal(list->entries[3].pattern, "\\bab+c\\b");
    assert_int_equal(list->entries[3].score_ppm, 1000000);
    assert_int_equal(digest_sha256(text, strlen(text), digest), 0);
    hex_encode(digest, sizeof digest, hex);
    assert_string_equal(list->digest, hex);
    policy_list_free(list);
}

static void test_a_score_left_out_everywhere_is_one(void **state) {
    (void)state;
    struct policy_list *list = NULL;
    struct config_report report = {0};
    assert_int_equal(load(HEAD "entries: [a]\n", &list, &report), 0);
    assert_int_equal(list->entries[0].score_ppm, 1000000);
    policy_list_free(list);
}

struct mistake {
    const char *text;
    const char *message; /* begins the only line */
};

static const struct mistake mistakes[] = {
    {"name: words\ncategory: rude\nentries: [a]", "l:1:1: missing key \"schema\""},
    {"schema: buckler.list/2\nname: words\ncategory: rude\nentries: [a]",
     "l:1:9: schema: \"buckler.list/2\" is not"},
    {"schema: buckler.list/1\nname: Words\ncategory: rude\nentries: [a]", "l:2:7: name: must consist of a-z"},
    {"schema: buckler.list/1\nname: w\ncategory: any\nentries: [a]",
     "l:3:11: category: any is not a category"},
    {"schema: buckler.list/1\nname: w\ncategory: child_safety\nentries: [a]",
     "l:3:11: category: child_safety is reserved for hash lists"},
    {HEAD, "l:1:1: missing key \"entries\" (words, texts and regexes)"},
    {HEAD "entries: []", "l:4:10: entries: 0 entries, expected at least 1"},
    {HEAD "score: 0\nentries: [a]", "l:4:8: score: must be at least 0.000001"},
    {HEAD "entries: [5]", "l:4:11: entries: expected text, found a number (put it in quotes)"},
    {HEAD "entries: [true]", "l:4:11: entries: expected text, found a boolean"},
    {HEAD "entries: [[a]]", "l:4:11: entries: expected text, found a list"},
    {HEAD "entries: [\"\"]", "l:4:11: entries: must not be empty"},
    {HEAD "entries: [\" a\"]", "l:4:11: entries: must not begin or end with a space"},
    {HEAD "entries: [\"a\\nb\"]", "l:4:11: entries: must not hold control characters"},
    {HEAD "entries: [{ word: a, text: b }]", "l:4:11: an entry has one of word, text and regex"},
    {HEAD "entries: [{ score: 0.5 }]", "l:4:11: an entry has one of word, text and regex, this one has none"},
    {HEAD "entries: [{ word: a, id: 7 }]", "l:4:26: id: expected text, found a number"},
    {HEAD "entries: [{ word: a, id: \"7\" }]", "l:4:26: id: must begin with a letter"},
    {HEAD "entries: [{ word: a, id: x }, { word: b, id: x }]", "l:4:46: id x is taken (line 4)"},
    {HEAD "entries: [a, b, a]", "l:4:17: the same entry as at line 4"},
    {HEAD "entries: [{ word: a, weight: 1 }]", "l:4:22: unknown key \"weight\""},
    {HEAD "entries: [{ word: a, score: 1.5 }]", "l:4:29: score: expected a plain decimal number from 0 to 1"},
};

static void test_names_place_and_reason_of_each_mistake(void **state) {
    (void)state;
    size_t bad = 0;
    for (size_t i = 0; i < sizeof mistakes / sizeof *mistakes; i++) {
        const struct mistake *m = &mistakes[i];
        struct policy_list *list = NULL;
        struct config_report report = {0};
        int rc = load(m->text, &list, &report);
        const char *line =
            config_report_count(&report) == 1 ? config_report_line(&report, 0) : "not one problem";
        if (rc != LIST_E_INVALID || list != NULL || strncmp(line, m->message, strlen(m->message)) != 0) {
            bad++;
            print_error("%s\n  expected %s\n  found    %s\n", m->text, m->message, line);
        }
        config_report_deinit(&report);
        policy_list_free(list);
    }
    assert_int_equal(bad, 0);
}

static void test_refuses_a_pattern_longer_than_the_bound(void **state) {
    (void)state;
    char text[LIST_MAX_PATTERN_BYTES + 256];
    char pattern[LIST_MAX_PATTERN_BYTES + 2];
    struct policy_list *list = NULL;
    struct config_report report = {0};
    memset(pattern, 'a', sizeof pattern - 1);
    pattern[sizeof pattern - 1] = '\0';
    (void)snprintf(text, sizeof text, HEAD "entries: [%s]", pattern);
    assert_int_equal(load(text, &list, &report), LIST_E_INVALID);
    assert_string_equal(config_report_line(&report, 0), "l:4:11: entries: longer than 1024 bytes");
    config_report_deinit(&report);
}

static void test_loads_every_shipped_list(void **state) {
    (void)state;
    static const char *const files[][2] = {
        {"profanity", "profanity"}, {"jailbreak", "jailbreak"}, {"prompt-injection", "prompt_injection"}};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char path[512];
        struct policy_list *list = NULL;
        struct config_report report = {0};
        (void)snprintf(path, sizeof path, BUCKLER_SOURCE_DIR "/policies/lists/%s.yaml", files[i][0]);
        assert_int_equal(policy_list_load(path, &list, &report), 0);
        assert_int_equal(config_report_count(&report), 0);
        assert_string_equal(list->name, files[i][0]);
        assert_string_equal(list->category, files[i][1]);
        policy_list_free(list);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_takes_words_texts_and_regexes),
        cmocka_unit_test(test_a_score_left_out_everywhere_is_one),
        cmocka_unit_test(test_names_place_and_reason_of_each_mistake),
        cmocka_unit_test(test_refuses_a_pattern_longer_than_the_bound),
        cmocka_unit_test(test_loads_every_shipped_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
