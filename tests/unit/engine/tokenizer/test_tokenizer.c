/* SPDX-License-Identifier: Apache-2.0
 *
 * Small vocabularies made for one question each, and a slow encoder of a few lines as the truth for random
 * ones.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"
#include "engine/formats/tensors.h"
#include "engine/tokenizer/tokenizer.h"
#include "tests/lib/gguf_writer.h"

enum { NORMAL = 1, UNKNOWN = 2, CONTROL = 3, USER = 4, UNUSED = 5, BYTE = 6 };
enum { MOST = 400 };

struct vocabulary {
    const char *model;
    const char *pieces[MOST];
    float scores[MOST];
    int32_t types[MOST];
    size_t count;
    size_t score_count, type_count; /* 0: as count */
    uint32_t bos, eos;
    bool space_prefix;
    char byte_names[256][8];
};

static uint32_t add(struct vocabulary *v, const char *piece, float score, int32_t type) {
    assert_in_range(v->count, 0, MOST - 1);
    v->pieces[v->count] = piece;
    v->scores[v->count] = score;
    v->types[v->count] = type;
    return (uint32_t)v->count++;
}

static struct vocabulary *vocabulary_new(bool with_bytes) {
    struct vocabulary *v = calloc(1, sizeof *v);
    assert_non_null(v);
    v->model = "llama";
    (void)add(v, "<pad>", 0, CONTROL);
    v->eos = add(v, "<eos>", 0, CONTROL);
    v->bos = add(v, "<bos>", 0, CONTROL);
    (void)add(v, "<unk>", 0, UNKNOWN);
    for (unsigned i = 0; with_bytes && i < 256; i++) {
        (void)snprintf(v->byte_names[i], sizeof v->byte_names[i], "<0x%02X>", i);
        (void)add(v, v->byte_names[i], 0, BYTE);
    }
    return v;
}

static void write_vocabulary(const struct vocabulary *v, struct buf *out) {
    struct gguf_writer w = {0};
    gguf_write_string(&w, "tokenizer.ggml.model", v->model);
    gguf_write_strings(&w, "tokenizer.ggml.tokens", v->pieces, v->count);
    gguf_write_f32s(&w, "tokenizer.ggml.scores", v->scores, v->score_count > 0 ? v->score_count : v->count);
    gguf_write_i32s(&w, "tokenizer.ggml.token_type", v->types, v->type_count > 0 ? v->type_count : v->count);
    gguf_write_u32(&w, "tokenizer.ggml.bos_token_id", v->bos);
    gguf_write_u32(&w, "tokenizer.ggml.eos_token_id", v->eos);
    gguf_write_bool(&w, "tokenizer.ggml.add_space_prefix", v->space_prefix);
    gguf_write_file(&w, out);
}

static int build(const struct vocabulary *v, struct tokenizer **ret, struct error *reterr) {
    struct buf bytes = {0};
    struct tensor_file *file = NULL;
    write_vocabulary(v, &bytes);
    assert_int_equal(gguf_open_memory(bytes.bytes, bytes.size, &file, reterr), 0);
    int rc = tokenizer_from_gguf(file, ret, reterr);
    (void)tensor_file_free(file); /* nothing of it is needed afterwards */
    buf_deinit(&bytes);
    return rc;
}

static struct tokenizer *built(struct vocabulary *v) {
    struct tokenizer *t = NULL;
    struct error e = {0};
    if (build(v, &t, &e) != 0) {
        fail_msg("%s", e.text);
    }
    free(v);
    return t;
}

static void assert_ids(const struct tokenizer *t, const char *text, bool control, const uint32_t *ids,
                       size_t count) {
    uint32_t *tokens = NULL;
    size_t got = 0;
    assert_int_equal(tokenizer_encode(t, text, strlen(text), false, control, &tokens, NULL, &got, NULL), 0);
    assert_int_equal(got, count);
    assert_memory_equal(tokens, ids, count * sizeof *ids);
    free(tokens);
}

#define assert_tokens(t, text, control, ...)                                                                 \
    assert_ids((t), (text), (control), (const uint32_t[]){__VA_ARGS__},                                      \
               sizeof((uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t))

static void test_merges_the_best_score_first_and_the_leftmost_of_equals(void **state) {
    (void)state;
    struct vocabulary *v = vocabulary_new(true);
    uint32_t a = add(v, "a", -9, NORMAL);
    uint32_t b = add(v, "b", -9, NORMAL);
    uint32_t c = add(v, "c", -9, NORMAL);
    uint32_t ab = add(v, "ab", -2, NORMAL);
    uint32_t bc = add(v, "bc", -1, NORMAL);
    uint32_t aa = add(v, "aa", -3, NORMAL);
    uint32_t abc = add(v, "abc", -4, NORMAL);
    struct tokenizer *t = built(v);
    assert_tokens(t, "abc", false, abc); /* bc first, then a + bc */
    assert_tokens(t, "bc", false, bc);
    assert_tokens(t, "aaa", false, aa, a);
    assert_tokens(t, "aab", false, a, ab);
    assert_tokens(t, "cb", false, c, b);
    t = tokenizer_free(t);
}

static void test_a_frozen_piece_takes_part_in_no_merge(void **state) {
    (void)state;
    struct vocabulary *v = vocabulary_new(true);
    uint32_t a = add(v, "a", -9, NORMAL);
    uint32_t tag = add(v, "<b>", -1000, USER);
    uint32_t longer = add(v, "<b>x", -1000, USER);
    (void)add(v, "<b>a", -1, NORMAL);
    uint32_t newline = add(v, "\n", -1000, USER);
    uint32_t newlines = add(v, "\n\n", -1000, USER);
    struct tokenizer *t = built(v);
    assert_tokens(t, "a<b>a", false, a, tag, a);
    assert_tokens(t, "<b>xa", false, longer, a);
    assert_tokens(t, "\n\n\n", false, newlines, newline);
    assert_tokens(t, "<<b>", false, 4 + '<', tag);
    t = tokenizer_free(t);
}

static void test_spaces_are_the_same_in_both_spellings(void **state) {
    (void)state;
    for (int spelling = 0; spelling < 2; spelling++) {
        struct vocabulary *v = vocabulary_new(true);
        uint32_t two = add(v, spelling == 0 ? "  " : "▁▁", -1000, USER);
        uint32_t word = add(v, spelling == 0 ? " a" : "▁a", -1, NORMAL);
        uint32_t space = add(v, spelling == 0 ? " " : "▁", -5, NORMAL);
        uint32_t a = add(v, "a", -6, NORMAL);
        struct tokenizer *t = built(v);
        size_t size = 0;
        assert_tokens(t, "   a", false, two, word);
        assert_tokens(t, "  a ", false, two, a, space);
        assert_tokens(t, "▁a", false, word);
        assert_int_equal(tokenizer_id(t, " a"), word);
        assert_int_equal(tokenizer_id(t, "▁a"), word);
        assert_memory_equal(tokenizer_piece(t, word, &size), " a", 2);
        assert_int_equal(size, 2);
        t = tokenizer_free(t);
    }
}

static void test_a_space_inside_a_piece_does_not_cut_it(void **state) {
    (void)state;
    struct vocabulary *v = vocabulary_new(true);
    uint32_t gt = add(v, ">", -9, NORMAL);
    uint32_t mark = add(v, "▁", -9, NORMAL);
    uint32_t lt = add(v, "<", -9, NORMAL);
    uint32_t left = add(v, ">▁", -2, NORMAL);
    uint32_t all = add(v, ">▁<", -3, NORMAL);
    struct tokenizer *t = built(v);
    assert_tokens(t, "> <", false, all);
    assert_tokens(t, "> >", false, left, gt);
    assert_tokens(t, "< <", false, lt, mark, lt);
    t = tokenizer_free(t);
}

static void test_the_last_of_equal_pieces_wins(void **state) {
    (void)state;
    struct vocabulary *v = vocabulary_new(true);
    (void)add(v, "#", -1, NORMAL);
    (void)add(v, "\t", -1, USER);
    uint32_t hash = add(v, "#", -2, NORMAL);
    uint32_t tab = add(v, "\t", -2, USER);
    struct tokenizer *t = built(v);
    assert_tokens(t, "#\t", false, hash, tab);
    assert_int_equal(tokenizer_id(t, "#"), hash);
    t = tokenizer_free(t);
}

static void test_control_is_decided_by_name_whatever_the_type(void **state) {
    static const char *const names[] = {"<start_of_turn>", "<end_of_turn>",      "<start_of_image>",
                                        "<end_of_image>",  "<image_soft_token>", "[multimodal]",
                                        "<unused0>",       "<unused6241>",       "<|turn>",
                                        "<turn|>",         "<|tool_call>",       "<mask>"};
    static const int32_t types[] = {NORMAL, USER, CONTROL, UNKNOWN, UNUSED};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        for (size_t k = 0; k < sizeof types / sizeof *types; k++) {
            struct vocabulary *v = vocabulary_new(true);
            /* Prefixes as pieces, so that merging could reach the whole name. */
            char prefixes[24][24];
            for (size_t n = 1; n < strlen(names[i]); n++) {
                (void)snprintf(prefixes[n], sizeof prefixes[n], "%.*s", (int)n, names[i]);
                (void)add(v, prefixes[n], -(float)n, NORMAL);
            }
            char letters[24][2];
            for (size_t n = 0; n < strlen(names[i]); n++) {
                (void)snprintf(letters[n], sizeof letters[n], "%c", names[i][n]);
                (void)add(v, letters[n], -100, NORMAL);
            }
            (void)add(v, "as long as any name of a control token", -50, NORMAL);
            uint32_t id = add(v, names[i], 0, types[k]);
            struct tokenizer *t = built(v);
            uint32_t *tokens = NULL;
            size_t count = 0;
            assert_true(tokenizer_is_control(t, id));
            assert_int_equal(
                tokenizer_encode(t, names[i], strlen(names[i]), false, false, &tokens, NULL, &count, NULL),
                0);
            assert_true(count > 1);
            for (size_t n = 0; n < count; n++) {
                assert_false(tokenizer_is_control(t, tokens[n]));
                assert_true(tokens[n] >= 4 + 256); /* it falls apart into pieces, not into bytes */
            }
            free(tokens);
            assert_tokens(t, names[i], true, id);
            t = tokenizer_free(t);
        }
    }
}

static void test_words_that_only_look_like_control_stay_text(void **state) {
    static const char *const names[] = {"<unused>", "<unused1", "<unusedx>",    "<unused1x>",
                                        "|>",       "<|",       "start_of_turn"};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct vocabulary *v = vocabulary_new(true);
        uint32_t id = add(v, names[i], 0, USER);
        struct tokenizer *t = built(v);
        assert_false(tokenizer_is_control(t, id));
        assert_tokens(t, names[i], false, id);
        t = tokenizer_free(t);
    }
}

static void test_the_longest_control_string_wins(void **state) {
    (void)state;
    struct vocabulary *v = vocabulary_new(true);
    uint32_t short_one = add(v, "<x>", 0, CONTROL);
    uint32_t long_one = add(v, "<x><y>", 0, CONTROL);
    uint32_t a = add(v, "a", 0, NORMAL);
    struct tokenizer *t = built(v);
    assert_tokens(t, "<x><y><x>a<x>", true, long_one, short_one, a, short_one);
    t = tokenizer_free(t);
}

static void test_ids_that_the_file_calls_special_are_control(void **state) {
    (void)state;
    struct vocabulary *v = vocabulary_new(true);
    uint32_t stop = add(v, "stop", 0, NORMAL);
    v->eos = stop;
    v->bos = add(v, "b", 0, NORMAL); /* one character: no merge is needed to reach it */
    uint32_t bos = v->bos;
    struct tokenizer *t = built(v);
    assert_true(tokenizer_is_control(t, stop));
    assert_tokens(t, "stop", false, 4 + 's', 4 + 't', 4 + 'o', 4 + 'p');
    assert_tokens(t, "b", false, 4 + 'b');
    assert_int_equal(tokenizer_bos(t), bos);
    t = tokenizer_free(t);
}

static void test_byte_and_unused_pieces_are_not_spelled_by_text(void **state) {
    (void)state;
    struct vocabulary *v = vocabulary_new(true);
    (void)add(v, "zz", 0, UNUSED);
    struct tokenizer *t = built(v);
    assert_tokens(t, "zz", false, 4 + 'z', 4 + 'z');
    assert_tokens(t, "<0x41>", false, 4 + '<', 4 + '0', 4 + 'x', 4 + '4', 4 + '1', 4 + '>');
    assert_tokens(t, "é", false, 4 + 0xc3, 4 + 0xa9);
    assert_int_equal(tokenizer_id(t, "<0x41>"), 4 + 0x41);
    t = tokenizer_free(t);
}

static void test_without_byte_pieces_an_unknown_character_is_an_error(void **state) {
    (void)state;
    struct vocabulary *v = vocabulary_new(false);
    uint32_t a = add(v, "a", 0, NORMAL);
    struct tokenizer *t = built(v);
    struct error e = {0};
    uint32_t *tokens = NULL;
    size_t count = 0;
    assert_tokens(t, "a", false, a);
    assert_int_equal(tokenizer_encode(t, "ab", 2, false, false, &tokens, NULL, &count, &e),
                     ENGINE_E_UNSUPPORTED);
    assert_null(tokens);
    t = tokenizer_free(t);
}

static void test_the_digest_covers_pieces_scores_and_types(void **state) {
    char digests[5][65];
    (void)state;
    for (int change = 0; change < 5; change++) {
        struct vocabulary *v = vocabulary_new(false);
        /* the spelling of a space is not a change */
        (void)add(v,
                  change == 1   ? "▁a"
                  : change == 2 ? " b"
                                : " a",
                  change == 3 ? -2 : -1, change == 4 ? USER : NORMAL);
        struct tokenizer *t = built(v);
        memcpy(digests[change], tokenizer_digest(t), 65);
        assert_int_equal(strlen(digests[change]), 64);
        t = tokenizer_free(t);
    }
    assert_string_equal(digests[0], digests[1]);
    for (int change = 2; change < 5; change++) {
        assert_string_not_equal(digests[0], digests[change]);
    }
}

static void refuse(struct vocabulary *v, int code, const char *says) {
    struct tokenizer *t = NULL;
    struct error e = {0};
    int rc = build(v, &t, &e);
    if (rc != code || strstr(e.text, says) == NULL) {
        fail_msg("%d \"%s\" where \"%s\" is due", rc, e.text, says);
    }
    assert_null(t);
    free(v);
}

static void test_refuses_metadata_that_is_no_vocabulary(void **state) {
    (void)state;
    struct vocabulary *v = vocabulary_new(false);
    v->model = "gpt2";
    refuse(v, ENGINE_E_UNSUPPORTED, "tokenizer.ggml.model");
    v = vocabulary_new(false);
    v->model = "gemma4";
    refuse(v, ENGINE_E_UNSUPPORTED, "tokenizer.ggml.model");
    v = vocabulary_new(false);
    v->space_prefix = true;
    refuse(v, ENGINE_E_UNSUPPORTED, "a space in front");
    v = vocabulary_new(false);
    v->score_count = 3;
    refuse(v, ENGINE_E_FORMAT, "4 pieces with 3 scores and 4 types");
    v = vocabulary_new(false);
    v->type_count = 3;
    refuse(v, ENGINE_E_FORMAT, "4 pieces with 4 scores and 3 types");
    v = vocabulary_new(false);
    v->count = 0;
    v->score_count = v->type_count = 1;
    refuse(v, ENGINE_E_FORMAT, "0 pieces");
    v = vocabulary_new(false);
    (void)add(v, "a", NAN, NORMAL);
    refuse(v, ENGINE_E_FORMAT, "piece 4 has type 1 and score");
    v = vocabulary_new(false);
    (void)add(v, "a", -INFINITY, NORMAL);
    refuse(v, ENGINE_E_FORMAT, "piece 4 has type 1 and score");
    v = vocabulary_new(false);
    (void)add(v, "a", 0, 7);
    refuse(v, ENGINE_E_FORMAT, "piece 4 has type 7");
    v = vocabulary_new(false);
    (void)add(v, "a", 0, -1);
    refuse(v, ENGINE_E_FORMAT, "piece 4 has type 4294967295");
    v = vocabulary_new(false);
    (void)add(v, "\xff", 0, NORMAL);
    refuse(v, ENGINE_E_FORMAT, "piece 4 is longer than 1024 bytes or not UTF-8");
    v = vocabulary_new(false);
    (void)add(v, "<0xZZ>", 0, BYTE);
    refuse(v, ENGINE_E_FORMAT, "piece 4 is of type BYTE");
    v = vocabulary_new(false);
    v->bos = 4;
    refuse(v, ENGINE_E_FORMAT, "bos_token_id is 4 but there are 4 pieces");
    char *long_piece = calloc(1, 1026);
    assert_non_null(long_piece);
    memset(long_piece, 'a', 1025);
    v = vocabulary_new(false);
    (void)add(v, long_piece, 0, NORMAL);
    refuse(v, ENGINE_E_FORMAT, "longer than 1024");
    free(long_piece);
}

/* ---- the truth, slowly ---- */

struct slow {
    char parts[64][64];
    size_t count;
};

static int find(const struct vocabulary *v, const char *text) {
    int found = -1;
    for (size_t i = 0; i < v->count; i++) {
        found = v->types[i] == NORMAL && strcmp(v->pieces[i], text) == 0 ? (int)i : found;
    }
    return found;
}

static bool merge_once(const struct vocabulary *v, struct slow *s) {
    int best = -1;
    size_t at = 0;
    for (size_t i = 0; i + 1 < s->count; i++) {
        char both[128];
        (void)snprintf(both, sizeof both, "%s%s", s->parts[i], s->parts[i + 1]);
        int id = find(v, both);
        if (id >= 0 && (best < 0 || v->scores[id] > v->scores[best])) {
            best = id;
            at = i;
        }
    }
    if (best < 0) {
        return false;
    }
    (void)snprintf(s->parts[at], sizeof s->parts[at], "%s", v->pieces[best]);
    memmove(s->parts + at + 1, s->parts + at + 2, (s->count - at - 2) * sizeof *s->parts);
    s->count--;
    return true;
}

static void check_against_slow(const struct vocabulary *v, const struct tokenizer *t, const char *text) {
    struct slow s = {.count = 0};
    uint32_t *tokens = NULL;
    size_t count = 0;
    for (const char *p = text; *p != '\0'; p++) {
        (void)snprintf(s.parts[s.count++], sizeof *s.parts, "%s", *p == ' ' ? "▁" : (char[]){*p, '\0'});
    }
    while (merge_once(v, &s)) {
    }
    assert_int_equal(tokenizer_encode(t, text, strlen(text), false, false, &tokens, NULL, &count, NULL), 0);
    if (count != s.count) {
        fail_msg("\"%s\": %zu tokens where %zu are due", text, count, s.count);
    }
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(tokens[i], find(v, s.parts[i]));
    }
    free(tokens);
}

static uint32_t next_random(uint32_t *state) {
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

static void test_random_vocabularies_agree_with_a_slow_encoder(void **state) {
    static const char letters[] = "abc> ";
    uint32_t random = 7;
    (void)state;
    for (int round = 0; round < 200; round++) {
        struct vocabulary *v = vocabulary_new(true);
        char pieces[60][32];
        for (size_t i = 0; i < 5; i++) {
            (void)add(v, letters[i] == ' ' ? "▁" : (strcpy(pieces[i], (char[]){letters[i], '\0'}), pieces[i]),
                      -100, NORMAL);
        }
        for (size_t i = 5; i < 60; i++) {
            pieces[i][0] = '\0';
            for (uint32_t n = 2 + next_random(&random) % 3; n > 0; n--) {
                char letter = letters[next_random(&random) % 5];
                (void)strcat(pieces[i], letter == ' ' ? "▁" : (char[]){letter, '\0'});
            }
            /* few different scores, so that there are ties between pieces */
            (void)add(v, pieces[i], -(float)(next_random(&random) % 20), NORMAL);
        }
        struct tokenizer *t = NULL;
        assert_int_equal(build(v, &t, NULL), 0);
        for (int n = 0; n < 20; n++) {
            char text[49];
            size_t size = next_random(&random) % 48;
            for (size_t i = 0; i < size; i++) {
                text[i] = letters[next_random(&random) % 5];
            }
            text[size] = '\0';
            check_against_slow(v, t, text);
        }
        t = tokenizer_free(t);
        free(v);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_merges_the_best_score_first_and_the_leftmost_of_equals),
        cmocka_unit_test(test_a_frozen_piece_takes_part_in_no_merge),
        cmocka_unit_test(test_spaces_are_the_same_in_both_spellings),
        cmocka_unit_test(test_a_space_inside_a_piece_does_not_cut_it),
        cmocka_unit_test(test_the_last_of_equal_pieces_wins),
        cmocka_unit_test(test_control_is_decided_by_name_whatever_the_type),
        cmocka_unit_test(test_words_that_only_look_like_control_stay_text),
        cmocka_unit_test(test_the_longest_control_string_wins),
        cmocka_unit_test(test_ids_that_the_file_calls_special_are_control),
        cmocka_unit_test(test_byte_and_unused_pieces_are_not_spelled_by_text),
        cmocka_unit_test(test_without_byte_pieces_an_unknown_character_is_an_error),
        cmocka_unit_test(test_the_digest_covers_pieces_scores_and_types),
        cmocka_unit_test(test_refuses_metadata_that_is_no_vocabulary),
        cmocka_unit_test(test_random_vocabularies_agree_with_a_slow_encoder),
    };
    return cmocka_run_group_tests_name("tokenizer/tokenizer", tests, NULL, NULL);
}
