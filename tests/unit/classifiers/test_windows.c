/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

#include "classifiers/windows.h"

struct ends {
    uint32_t sentence_every, space_every;
};

static bool ends_at(const void *user, uint32_t i, bool sentence) {
    const struct ends *e = user;
    uint32_t every = sentence ? e->sentence_every : e->space_every;
    return every > 0 && i % every == 0;
}

static void test_plans_cover_everything_and_overlap(void **state) {
    (void)state;
    static const struct ends ends[] = {{0, 0}, {7, 3}, {50, 5}, {0, 11}, {1, 1}};
    static const uint32_t sizes[] = {16, 100, 256, 512};
    uint32_t starts[4096];
    uint32_t counts[4096];
    for (size_t e = 0; e < sizeof ends / sizeof ends[0]; e++) {
        for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
            uint32_t size = sizes[s];
            for (uint32_t count = 1; count < 6 * size; count += 1 + count / 7) {
                size_t windows = windows_plan(count, size, ends_at, &ends[e], starts, counts, 4096);
                assert_true(windows >= 1 && windows <= 4096);
                assert_int_equal(starts[0], 0);
                assert_int_equal(starts[windows - 1] + counts[windows - 1], count);
                for (size_t w = 0; w < windows; w++) {
                    assert_true(counts[w] <= size && counts[w] > 0);
                    if (w > 0) {
                        assert_true(starts[w] > starts[w - 1]);
                        /* at least a seventh of a window is read in both */
                        assert_true(starts[w] + size / 7 <= starts[w - 1] + counts[w - 1]);
                    }
                }
                /* what ends a long text is read with what comes before it */
                assert_true(windows == 1 || counts[windows - 1] == size);
            }
        }
    }
}

static void test_cuts_prefer_the_end_of_a_sentence(void **state) {
    (void)state;
    static const struct ends both = {.sentence_every = 90, .space_every = 1};
    static const struct ends spaces = {.space_every = 97};
    uint32_t starts[8];
    uint32_t counts[8];
    (void)windows_plan(300, 100, ends_at, &both, starts, counts, 8);
    assert_int_equal(counts[0], 100); /* 90 is further back than 5 % */
    assert_int_equal(starts[1], 75);
    static const struct ends near = {.sentence_every = 24, .space_every = 1};
    (void)windows_plan(300, 100, ends_at, &near, starts, counts, 8);
    assert_int_equal(counts[0], 96);
    assert_int_equal(starts[1], 72);
    (void)windows_plan(300, 100, ends_at, &spaces, starts, counts, 8);
    assert_int_equal(counts[0], 97);
}

/* ---- on text; a token of the fake engine is a word with the space before it ---- */

static struct engine_model *open_model(struct fixture *f) {
    struct engine_model *model = NULL;
    assert_int_equal(fixture_model(f, "text.gguf", &model, NULL), 0);
    return model;
}

static char *many_words(size_t count) {
    char *text = malloc(count * 4 + 1);
    assert_non_null(text);
    for (size_t i = 0; i < count; i++) {
        (void)snprintf(text + i * 4, 5, " %c%c%c", 'a' + (int)(i % 26), 'a' + (int)(i / 26 % 26), 'x');
    }
    return text;
}

static void cut(struct fixture *f, const struct windows_options *options, struct text_windows *windows) {
    struct error error = {0};
    f->task = (struct classifier_task){.arena = &f->arena, .policy = f->policy, .input = &f->input};
    if (windows_cut(&f->task, options, windows, &error) != 0) {
        fail_msg("%s", error.text);
    }
}

static void test_a_short_text_is_one_window_and_covered(void **state) {
    struct fixture *f = *state;
    struct text_windows windows;
    struct engine_model *model = open_model(f);
    (void)fixture_text(f, "one two three", true, ROLE_USER);
    cut(f, &(struct windows_options){.model = model, .size = 16, .most = 4}, &windows);
    assert_int_equal(windows.count, 1);
    assert_int_equal(windows.items[0].count, 3);
    assert_int_equal(windows.items[0].span_start, 0);
    assert_int_equal(windows.items[0].span_end, 13);
    assert_int_equal(f->task.coverage[0].bytes_judged, 13);
    assert_int_equal(f->task.coverage[0].tokens_judged, 3);
    assert_int_equal(f->task.coverage[0].tokens_total, 3);
    model = engine_model_unref(model);
}

static void test_too_many_windows_are_counted_as_uncovered_first_and_last_are_read(void **state) {
    struct fixture *f = *state;
    struct text_windows windows;
    struct engine_model *model = open_model(f);
    char *text = many_words(1000);
    (void)fixture_text(f, text, true, ROLE_USER);
    cut(f, &(struct windows_options){.model = model, .size = 20, .most = 5}, &windows);
    assert_int_equal(windows.count, 5);
    assert_int_equal(windows.items[0].span_start, 0);
    assert_int_equal(windows.items[4].span_end, 4000);
    assert_true(windows.items[4].number > 5);
    assert_int_equal(f->task.coverage[0].tokens_total, 1000);
    assert_true(f->task.coverage[0].tokens_judged < 100);
    assert_true(f->task.coverage[0].bytes_judged < 400);
    assert_true(f->task.coverage[0].bytes_judged > 0);

    fixture_clear(f);
    (void)fixture_text(f, text, true, ROLE_USER);
    cut(f, &(struct windows_options){.model = model, .size = 20, .most = 100}, &windows);
    assert_int_equal(f->task.coverage[0].bytes_judged, 4000);
    assert_int_equal(f->task.coverage[0].tokens_judged, 1000);
    for (size_t i = 1; i < windows.count; i++) {
        assert_true(windows.items[i].span_start < windows.items[i - 1].span_end);
    }
    free(text);
    model = engine_model_unref(model);
}

static void test_a_view_that_is_not_covered_leaves_the_part_uncovered(void **state) {
    struct fixture *f = *state;
    struct text_windows windows;
    struct engine_model *model = open_model(f);
    char *text = many_words(100);
    static uint32_t map[401];
    struct canonical_part *part = fixture_text(f, "short", true, ROLE_USER);
    part->text.hidden = (struct text_view){.text = text, .size = 400, .map = map};
    cut(f, &(struct windows_options){.model = model, .size = 20, .most = 2}, &windows);
    assert_int_equal(windows.count, 3);
    assert_int_equal(windows.items[1].view, VIEW_HIDDEN);
    assert_int_equal(f->task.coverage[0].tokens_total, 1);
    assert_true(f->task.coverage[0].bytes_judged < 5);
    free(text);
    model = engine_model_unref(model);
}

static void test_context_and_empty_texts_have_no_windows_and_are_covered(void **state) {
    struct fixture *f = *state;
    struct text_windows windows;
    struct engine_model *model = open_model(f);
    (void)fixture_text(f, "", true, ROLE_USER);
    (void)fixture_text(f, "context", false, ROLE_USER);
    cut(f, &(struct windows_options){.model = model, .size = 16, .most = 4}, &windows);
    assert_int_equal(windows.count, 0);
    assert_int_equal(f->task.coverage[0].bytes_judged, 0);
    assert_int_equal(f->task.coverage[1].bytes_judged, 7);
    model = engine_model_unref(model);
}

static void test_a_field_is_trimmed_and_begins_with_a_space(void **state) {
    struct fixture *f = *state;
    struct text_windows windows;
    struct engine_model *model = open_model(f);
    uint32_t *tokens = NULL;
    size_t count = 0;
    (void)fixture_text(f, "\n  one two \n", true, ROLE_USER);
    cut(f, &(struct windows_options){.model = model, .size = 16, .most = 4, .as_field = true}, &windows);
    assert_int_equal(engine_tokenize(model, " one two", 8, 0, &tokens, NULL, &count, NULL), 0);
    assert_int_equal(windows.items[0].count, count);
    assert_memory_equal(windows.items[0].tokens, tokens, count * sizeof *tokens);
    assert_int_equal(windows.items[0].span_start, 3);
    assert_int_equal(windows.items[0].span_end, 10);
    free(tokens);
    fixture_clear(f);
    (void)fixture_text(f, " \n ", true, ROLE_USER);
    cut(f, &(struct windows_options){.model = model, .size = 16, .most = 4, .as_field = true}, &windows);
    assert_int_equal(windows.count, 0);
    assert_int_equal(f->task.coverage[0].bytes_judged, 3);
    model = engine_model_unref(model);
}

static void test_spans_are_whole_characters(void **state) {
    (void)state;
    static const uint32_t map[] = {0, 1, 1,
                                   1, 4, 5}; /* the view wrote one character of three bytes as three */
    struct canonical_text text = {.raw = {.text = "a\xe2\x82\xac"
                                                  "b",
                                          .size = 5}};
    struct text_view view = {.text = "aEURb", .size = 5, .map = map};
    uint32_t start = 0;
    uint32_t end = 0;
    view_span(&text, &view, 2, 3, &start, &end);
    assert_int_equal(start, 1);
    assert_int_equal(end, 4);
    view_span(&text, &text.raw, 2, 3, &start, &end);
    assert_int_equal(start, 1);
    assert_int_equal(end, 4);
    view_span(&text, &view, 0, 5, &start, &end);
    assert_int_equal(start, 0);
    assert_int_equal(end, 5);
}

static int setup(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    fixture_init(f, "head", NULL);
    *state = f;
    return 0;
}

static int teardown(void **state) {
    fixture_deinit(*state);
    free(*state);
    return 0;
}

#define TEXT_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plans_cover_everything_and_overlap),
        cmocka_unit_test(test_cuts_prefer_the_end_of_a_sentence),
        TEXT_TEST(test_a_short_text_is_one_window_and_covered),
        TEXT_TEST(test_too_many_windows_are_counted_as_uncovered_first_and_last_are_read),
        TEXT_TEST(test_a_view_that_is_not_covered_leaves_the_part_uncovered),
        TEXT_TEST(test_context_and_empty_texts_have_no_windows_and_are_covered),
        TEXT_TEST(test_a_field_is_trimmed_and_begins_with_a_space),
        cmocka_unit_test(test_spans_are_whole_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
