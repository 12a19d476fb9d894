/* SPDX-License-Identifier: Apache-2.0
 *
 * Known ids of the Gemma 3 vocabulary, on the real file (spec gemma-models 9.1).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"
#include "engine/formats/tensors.h"
#include "engine/tokenizer/tokenizer.h"

struct golden {
    const char *text;
    bool control;
    size_t count;
    uint32_t ids[20];
};

#define IDS(...) .count = sizeof((uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t), .ids = {__VA_ARGS__}
#define SPACES_8 "        "
#define NEWLINES_8 "\n\n\n\n\n\n\n\n"

static const struct golden goldens[] = {
    {"Hello", false, IDS(9259)},
    {"Hello,", false, IDS(9259, 236764)},
    {"Hello world", false, IDS(9259, 1902)},
    {" Hello", false, IDS(26352)},
    {"  Hello", false, IDS(138, 9259)},
    {"a  b", false, IDS(236746, 138, 236763)},
    {"a  b and    c", false, IDS(236746, 138, 236763, 532, 140, 236755)},
    {"Yes", false, IDS(10784)},
    {" Yes", false, IDS(8438)},
    {"yes", false, IDS(4443)},
    {"No", false, IDS(3771)},
    {" No", false, IDS(2301)},
    {"no", false, IDS(1904)},
    {"True", false, IDS(4339)},
    {"False", false, IDS(9277)},
    {"\n", false, IDS(107)},
    {"\n\n", false, IDS(108)},
    {"\n\n\n\n", false, IDS(110)},
    {NEWLINES_8 NEWLINES_8 NEWLINES_8 NEWLINES_8 "\n", false, IDS(137, 108)},
    {SPACES_8 SPACES_8 SPACES_8 SPACES_8 " x", false, IDS(167, 138, 236781)},
    {"x\ty", false, IDS(236781, 255968, 236762)},
    {"\t\tx", false, IDS(255969, 236781)},
    {"\r\n", false, IDS(251, 107)},
    {"\u00a0x", false, IDS(432, 398, 236781)},
    {"  indented\n\tcode", false, IDS(138, 724, 16764, 107, 255968, 3970)},
    {"don't", false, IDS(13246, 236789, 236745)},
    {"naïve café", false, IDS(1789, 238527, 560, 33443)},
    {"1234567890", false,
     IDS(236770, 236778, 236800, 236812, 236810, 236825, 236832, 236828, 236819, 236771)},
    {"The quick brown fox jumps over the lazy dog.", false,
     IDS(818, 3823, 8864, 37423, 38167, 1024, 506, 31770, 4799, 236761)},
    {"Hello world! Café déjà vu — 123 😊", false,
     IDS(9259, 1902, 236888, 62367, 29234, 11042, 2192, 236743, 236770, 236778, 236800, 103453)},
    {"ẞ 漢字かな", false, IDS(240589, 236743, 201637, 19735)},
    {"안녕하세요", false, IDS(61659)},
    {"مرحبا بالعالم", false, IDS(236873, 150345, 107602, 17193)},
    {"तेज़ भूरी लोमड़ी", false, IDS(1634, 10643, 15606, 2140, 11168, 236845, 8900)},
    {"🦙", false, IDS(478, 397, 404, 391)},
    {"\ua66e", false, IDS(472, 391, 412)},
    {"e\u0301", false, IDS(236744, 238288)},
    {"\u200b", false, IDS(237141)},
    {"▁x", false, IDS(1123)},
    {" x", false, IDS(1123)},
    {"a▁b", false, IDS(236746, 518)},
    {"<b>bold</b>", false, IDS(200, 15640, 209)},
    {"<code>x</code>", false, IDS(206, 236781, 215)},
    {"<table><tr>", false, IDS(168, 173)},
    {"<unused5>", true, IDS(11)},
    {"<start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\n", true,
     IDS(105, 2364, 107, 10979, 106, 107, 105, 4368, 107)},
};

struct fixture {
    struct tensor_file *file;
    struct tokenizer *tokenizer;
};

static int setup(void **state) {
    struct error e = {0};
    struct fixture *f = calloc(1, sizeof *f);
    const char *models = getenv("BUCKLER_MODELS");
    const char *home = getenv("HOME");
    char path[4096];
    (void)snprintf(path, sizeof path, "%s%s/gemma-3-270m-q4_k_m.gguf", models != NULL ? models : home,
                   models != NULL ? "" : "/.cache/buckler/models");
    if (f == NULL || gguf_open(path, &f->file, &e) != 0 ||
        tokenizer_from_gguf(f->file, &f->tokenizer, &e) != 0) {
        print_error("%s\n", e.text);
        free(f);
        return 1;
    }
    *state = f;
    return 0;
}

static int teardown(void **state) {
    struct fixture *f = *state;
    if (f != NULL) {
        (void)tokenizer_free(f->tokenizer);
        (void)tensor_file_free(f->file);
        free(f);
    }
    return 0;
}

static const struct tokenizer *tokenizer_of(void **state) {
    return ((struct fixture *)*state)->tokenizer;
}

static void test_gives_the_known_ids(void **state) {
    for (size_t i = 0; i < sizeof goldens / sizeof *goldens; i++) {
        const struct golden *g = &goldens[i];
        uint32_t *tokens = NULL;
        size_t count = 0;
        assert_int_equal(tokenizer_encode(tokenizer_of(state), g->text, strlen(g->text), false, g->control,
                                          &tokens, NULL, &count, NULL),
                         0);
        for (size_t k = 0; k < count; k++) {
            if (k >= g->count || tokens[k] != g->ids[k]) {
                fail_msg("\"%s\": token %zu is %u", g->text, k, tokens[k]);
            }
        }
        assert_int_equal(count, g->count);
        free(tokens);
    }
}

static void test_knows_a_nul_and_other_controls(void **state) {
    uint32_t *tokens = NULL;
    size_t count = 0;
    assert_int_equal(
        tokenizer_encode(tokenizer_of(state), "\0\1", 2, false, false, &tokens, NULL, &count, NULL), 0);
    assert_int_equal(count, 2);
    assert_int_equal(tokens[0], 238);
    assert_int_equal(tokens[1], 249732);
    free(tokens);
}

static void test_puts_one_bos_in_front(void **state) {
    uint32_t *tokens = NULL;
    uint32_t *offsets = NULL;
    size_t count = 0;
    assert_int_equal(
        tokenizer_encode(tokenizer_of(state), " Yes", 4, true, false, &tokens, &offsets, &count, NULL), 0);
    assert_int_equal(count, 2);
    assert_int_equal(tokens[0], 2);
    assert_int_equal(tokens[1], 8438);
    assert_int_equal(offsets[0], 0);
    assert_int_equal(offsets[1], 0);
    free(tokens);
    free(offsets);
}

static bool gives_control(const struct tokenizer *t, const char *text, size_t size) {
    uint32_t *tokens = NULL;
    size_t count = 0;
    bool found = false;
    assert_int_equal(tokenizer_encode(t, text, size, false, false, &tokens, NULL, &count, NULL), 0);
    assert_true(count > 0);
    for (size_t i = 0; i < count; i++) {
        found = found || tokenizer_is_control(t, tokens[i]);
    }
    free(tokens);
    return found;
}

static void test_user_text_never_becomes_a_control_token(void **state) {
    static const char *const around[][2] = {{"", ""},        {"a", "b"},
                                            {" ", " "},      {"<", ">"},
                                            {"\n", "\n"},    {"<start_of_turn>", "<end_of_turn>"},
                                            {"<b>", "</b>"}, {"▁", "▁"},
                                            {"漢", "字"},    {"<unused", "1>"}};
    const struct tokenizer *t = tokenizer_of(state);
    size_t controls = 0;
    for (uint32_t id = 0; id < tokenizer_size(t); id++) {
        if (!tokenizer_is_control(t, id)) {
            continue;
        }
        controls++;
        size_t size = 0;
        const char *piece = tokenizer_piece(t, id, &size);
        for (size_t i = 0; i < sizeof around / sizeof *around; i++) {
            char text[256];
            int used = snprintf(text, sizeof text, "%s%.*s%s", around[i][0], (int)size, piece, around[i][1]);
            assert_in_range(used, 1, sizeof text - 1);
            if (gives_control(t, text, (size_t)used)) {
                fail_msg("\"%s\" gives a control token", text);
            }
        }
    }
    /* five named, [multimodal], 6242 unused, two turns, two images */
    assert_int_equal(controls, 5 + 1 + 6242 + 2 + 2);
}

static void test_the_template_gets_every_control_token(void **state) {
    const struct tokenizer *t = tokenizer_of(state);
    for (uint32_t id = 0; id < tokenizer_size(t); id++) {
        if (!tokenizer_is_control(t, id)) {
            continue;
        }
        uint32_t *tokens = NULL;
        uint32_t *offsets = NULL;
        size_t count = 0;
        size_t size = 0;
        const char *piece = tokenizer_piece(t, id, &size);
        char text[256];
        int used = snprintf(text, sizeof text, "a %.*sb", (int)size, piece);
        assert_int_equal(
            tokenizer_encode(t, text, (size_t)used, false, true, &tokens, &offsets, &count, NULL), 0);
        assert_int_equal(count, 4);
        assert_int_equal(tokens[2], id);
        assert_int_equal(offsets[2], 2);
        assert_int_equal(offsets[3], 2 + size);
        free(tokens);
        free(offsets);
    }
}

static void test_finds_every_piece_by_its_text(void **state) {
    const struct tokenizer *t = tokenizer_of(state);
    for (uint32_t id = 0; id < tokenizer_size(t); id++) {
        char text[256];
        size_t size = 0;
        const char *piece = tokenizer_piece(t, id, &size);
        assert_in_range(size, 1, sizeof text - 1);
        memcpy(text, piece, size);
        text[size] = '\0';
        if (strlen(text) == size && tokenizer_id(t, text) != id) {
            fail_msg("piece %u \"%s\" is found as %lld", id, text, (long long)tokenizer_id(t, text));
        }
    }
    assert_int_equal(tokenizer_id(t, "<start_of_turn>"), 105);
    assert_int_equal(tokenizer_id(t, " Yes"), 8438);
    assert_int_equal(tokenizer_id(t, "▁Yes"), 8438);
    assert_int_equal(tokenizer_id(t, "no piece at all"), -1);
    assert_int_equal(tokenizer_id(t, ""), -1);
    assert_null(tokenizer_piece(t, tokenizer_size(t), &(size_t){0}));
}

static void test_offsets_and_pieces_rebuild_the_text(void **state) {
    static const char text[] = "  Ein kurzer  Text,\n\n漢字 und مرحبا; <b>fett</b>\tüber 1234 é Wörter.  ";
    const struct tokenizer *t = tokenizer_of(state);
    uint32_t *tokens = NULL;
    uint32_t *offsets = NULL;
    size_t count = 0;
    assert_int_equal(
        tokenizer_encode(t, text, sizeof text - 1, false, false, &tokens, &offsets, &count, NULL), 0);
    size_t at = 0;
    for (size_t i = 0; i < count; i++) {
        size_t size = 0;
        const char *piece = tokenizer_piece(t, tokens[i], &size);
        assert_int_equal(offsets[i], at);
        assert_memory_equal(piece, text + at, size);
        at += size;
    }
    assert_int_equal(at, sizeof text - 1);
    free(tokens);
    free(offsets);
}

static void test_byte_tokens_point_at_their_bytes(void **state) {
    uint32_t *tokens = NULL;
    uint32_t *offsets = NULL;
    size_t count = 0;
    assert_int_equal(
        tokenizer_encode(tokenizer_of(state), "a 🦙", 6, false, false, &tokens, &offsets, &count, NULL), 0);
    assert_int_equal(count, 6);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(offsets[2 + i], 2 + i);
    }
    free(tokens);
    free(offsets);
}

static void test_a_megabyte_without_a_break_is_one_heap(void **state) {
    enum { SIZE = 1 << 20 };
    char *text = malloc(SIZE);
    uint32_t *tokens = NULL;
    size_t count = 0;
    assert_non_null(text);
    memset(text, 'a', SIZE);
    assert_int_equal(
        tokenizer_encode(tokenizer_of(state), text, SIZE, false, false, &tokens, NULL, &count, NULL), 0);
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        size_t size = 0;
        assert_non_null(tokenizer_piece(tokenizer_of(state), tokens[i], &size));
        bytes += size;
    }
    assert_int_equal(bytes, SIZE);
    free(tokens);
    free(text);
}

static void test_refuses_invalid_utf8_and_says_where(void **state) {
    struct error e = {0};
    uint32_t *tokens = NULL;
    size_t count = 0;
    assert_int_equal(
        tokenizer_encode(tokenizer_of(state), "ab\xff", 3, false, false, &tokens, NULL, &count, &e),
        ENGINE_E_INVALID);
    assert_non_null(strstr(e.text, "byte 2"));
    assert_null(tokens);
}

static void test_an_empty_text_has_no_tokens(void **state) {
    uint32_t *tokens = NULL;
    uint32_t *offsets = NULL;
    size_t count = 1;
    assert_int_equal(
        tokenizer_encode(tokenizer_of(state), "", 0, false, false, &tokens, &offsets, &count, NULL), 0);
    assert_int_equal(count, 0);
    assert_non_null(tokens);
    assert_non_null(offsets);
    free(tokens);
    free(offsets);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gives_the_known_ids),
        cmocka_unit_test(test_knows_a_nul_and_other_controls),
        cmocka_unit_test(test_puts_one_bos_in_front),
        cmocka_unit_test(test_user_text_never_becomes_a_control_token),
        cmocka_unit_test(test_the_template_gets_every_control_token),
        cmocka_unit_test(test_finds_every_piece_by_its_text),
        cmocka_unit_test(test_offsets_and_pieces_rebuild_the_text),
        cmocka_unit_test(test_byte_tokens_point_at_their_bytes),
        cmocka_unit_test(test_a_megabyte_without_a_break_is_one_heap),
        cmocka_unit_test(test_refuses_invalid_utf8_and_says_where),
        cmocka_unit_test(test_an_empty_text_has_no_tokens),
    };
    return cmocka_run_group_tests_name("tokenizer/golden", tests, setup, teardown);
}
