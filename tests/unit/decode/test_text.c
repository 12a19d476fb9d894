/* SPDX-License-Identifier: Apache-2.0
 *
 * The views of a text: what each hazard of the specification turns into, what must stay unflagged, and that
 * every view leads back to the raw bytes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/utf8.h"
#include "decode/worker/text.h"

struct views {
    struct canonical_text text;
    uint32_t flags;
    int rc;
    struct error error;
    uint8_t *space;
};

static void run_bytes(struct unicode *unicode, const void *bytes, size_t size, bool replace, size_t space,
                      struct views *ret) {
    *ret = (struct views){.space = malloc(space)};
    assert_non_null(ret->space);
    struct sink sink = {.bytes = ret->space, .size = space};
    ret->rc = text_canonicalise(unicode, bytes, size, replace, &sink, &ret->text, &ret->flags, &ret->error);
}

static void run(struct unicode *unicode, const char *text, struct views *ret) {
    run_bytes(unicode, text, strlen(text), false, strlen(text) * 64 + 65536, ret);
    assert_int_equal(ret->rc, 0);
}

static void expect_view(const struct text_view *view, const char *want) {
    if (want == NULL) {
        if (view->text != NULL || view->size != 0) {
            fail_msg("\"%.*s\" is not expected", (int)view->size, view->text);
        }
        return;
    }
    if (view->text == NULL || view->size != strlen(want) || memcmp(view->text, want, view->size) != 0) {
        fail_msg("\"%.*s\" is not \"%s\"", (int)view->size, view->text == NULL ? "" : view->text, want);
    }
}

/* A view's map goes forward and ends at the end. */
static void check_map(const struct text_view *view, size_t raw_size) {
    if (view->text == NULL) {
        return;
    }
    assert_true(utf8_valid(view->text, view->size, NULL));
    for (size_t i = 0; i < view->size; i++) {
        assert_true(view->map[i] <= view->map[i + 1]);
    }
    assert_int_equal(view->map[view->size], raw_size);
}

static void check_maps(const struct views *views) {
    check_map(&views->text.clean, views->text.raw.size);
    check_map(&views->text.hidden, views->text.raw.size);
    check_map(&views->text.folded, views->text.raw.size);
}

struct row {
    const char *raw, *clean, *hidden, *folded; /* folded NULL: not compared */
    uint32_t flags;
};

static void check_rows(struct unicode *unicode, const struct row *rows, size_t count) {
    for (size_t i = 0; i < count; i++) {
        struct views views;
        run(unicode, rows[i].raw, &views);
        if (views.flags != rows[i].flags) {
            fail_msg("\"%s\": flags %x, not %x", rows[i].raw, views.flags, rows[i].flags);
        }
        expect_view(&views.text.raw, rows[i].raw);
        expect_view(&views.text.clean, rows[i].clean);
        expect_view(&views.text.hidden, rows[i].hidden);
        if (rows[i].folded != NULL) {
            expect_view(&views.text.folded, rows[i].folded);
        }
        check_maps(&views);
        free(views.space);
    }
}

#define check(rows) check_rows(*state, (rows), sizeof(rows) / sizeof *(rows))

static void test_leaves_ordinary_text_alone(void **state) {
    static const struct row rows[] = {
        {"Hello, world!", NULL, NULL, "hello, world!", 0},
        {"Grüße aus Köln, naïve façade", NULL, NULL, "grüße aus köln, naïve façade", 0},
        {"Привет, как дела? МОСКВА", NULL, NULL, "привет, как дела? москва", 0},
        {"Ελληνικά και α-particle", NULL, NULL, NULL, 0},
        {"\u4f60\u597d，世界。T\u30b7\u30e3\u30c4 LINE\u306e", NULL, NULL, NULL, 0},
        {"\uac00\ub098\ub2e4 K\ud31d", NULL, NULL, NULL, 0},
        {"Tiếng Việt có dấu", NULL, NULL, NULL, 0},
        {"\u05e9\u05b8\u05c1\u05dc\u05d5\u05b9\u05dd", NULL, NULL, NULL, 0}, /* Hebrew with points */
        {"\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35\u0e04\u0e23\u0e31\u0e1a", NULL, NULL, NULL, 0},
        {"\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", NULL, NULL, NULL, 0}, /* Persian, ZWNJ */
        {"\u0915\u094d\u200d\u0937", NULL, NULL, NULL, 0},                         /* Devanagari, ZWJ */
        {"ok \U0001f44d\U0001f3fd \u2764\ufe0f \U0001f468\u200d\U0001f469\u200d\U0001f467", NULL, NULL, NULL,
         0},
        {"\u2764\ufe0f\u200d\U0001f525 1\ufe0f\u20e3", NULL, NULL, NULL, 0},
        {"\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f", NULL, NULL, NULL, 0},
        {"\u845b\U000e0100\u57ce", NULL, NULL, NULL, 0}, /* an ideograph's variant */
        {"caf\u00e9… 5\u00a0km \u2122 x\u00b2 \ufb01", "caf\u00e9... 5 km TM x2 fi", NULL, NULL, 0},
        {"wait… 5\u00a0km", NULL, NULL, "wait... 5 km", 0},
        {"J. R. R. Tolkien, U.S.S.R., a b c d e f", NULL, NULL, NULL, 0},
        {"I a m", NULL, NULL, NULL, 0},
        {"mp3 h264 e4 Nf3 $15 4th user@example.com", NULL, NULL, NULL, 0},
        {"\u05d0\u200e!", NULL, NULL, NULL, 0}, /* a direction mark between a letter and a sign */
        {"km\u00b2 \u2460 \u2167 \uff1f\uff0c \u3314", NULL, NULL, NULL, 0},
        {"\u2139\ufe0f info, \u24c2\ufe0f metro", NULL, NULL, NULL, 0},
        {"\u314b\u314b\u314b \u3160\u3160 \u3147\u3148", NULL, NULL, NULL, 0}, /* Korean laughter */
        {"\u0e14\u0e33\u0e40\u0e19\u0e34\u0e19", NULL, NULL, NULL, 0},         /* Thai with am */
        {"\u095e\u093f", NULL, NULL, NULL, 0},                         /* Hindi with a dotted letter */
        {"white? \u200b NTA, E\ufeff / x", NULL, NULL, NULL, 0},       /* leftovers beside spaces */
        {"S-s-s-s! \uc544~\uc544~\uc544~\uc544", NULL, NULL, NULL, 0}, /* stutter, drawn-out sounds */
        {"\U0001f171\ufe0f blood", NULL, NULL, NULL, 0},
        {"The sum is μm and kΩ", NULL, NULL, NULL, 0},
    };
    check(rows);
}

static void test_drops_one_byte_order_mark_in_silence(void **state) {
    static const struct row rows[] = {{"\ufeffabc", NULL, NULL, "abc", 0},
                                      {"\ufeff\ufeff"
                                       "abc",
                                       "abc", NULL, "abc", FLAG_ZERO_WIDTH}};
    check(rows);
}

static void test_removes_characters_of_no_width(void **state) {
    static const struct row rows[] = {
        {"b\u200bo\u200dm\u2060b", "bomb", NULL, "bomb", FLAG_ZERO_WIDTH},
        {"b\u00ado\u034fm\ufeffb", "bomb", NULL, "bomb", FLAG_ZERO_WIDTH},
        {"b\u115fo\u3164m\uffa0b", "bomb", NULL, "bomb", FLAG_ZERO_WIDTH},
        {"b\u200eomb", "bomb", NULL, "bomb", FLAG_ZERO_WIDTH},
    };
    check(rows);
}

static void test_removes_bidi_controls_and_keeps_the_order(void **state) {
    static const struct row rows[] = {
        {"\u202e"
         "evil\u202c text",
         "evil text", NULL, "evil text", FLAG_BIDI},
        {"a\u2066"
         "b\u2069",
         "ab", NULL, NULL, FLAG_BIDI},
    };
    check(rows);
}

static void test_reads_what_tag_characters_spell(void **state) {
    static const struct row rows[] = {
        {"hi\U000e006b\U000e0069\U000e006c\U000e006c!", "hi!", "kill", "hi!", FLAG_TAG_CHARACTERS},
        /* a flag's tags without a flag, and a flag that says too much */
        {"\U0001f3f4\U000e0067\U000e0062", "\U0001f3f4", "gb", NULL, FLAG_TAG_CHARACTERS},
        {"\U0001f3f4\U000e0061\U000e0062\U000e0063\U000e0064\U000e0065\U000e0066\U000e0067\U000e0068"
         "\U000e0069"
         "\U000e007f",
         "\U0001f3f4", "abcdefghi", NULL, FLAG_TAG_CHARACTERS},
    };
    check(rows);
}

static void test_reads_what_variation_selectors_spell(void **state) {
    static const struct row rows[] = {
        /* bytes 'h' 'i' = 104, 105: U+E0100 + 88, + 89, behind an emoji */
        {"\U0001f600\U000e0158\U000e0159", "\U0001f600", "hi", NULL, FLAG_TAG_CHARACTERS | FLAG_ZERO_WIDTH},
        /* one behind each letter */
        {"x\U000e0158y\U000e0159", "xy", "hi", NULL, FLAG_TAG_CHARACTERS | FLAG_ZERO_WIDTH},
        /* a byte that spells nothing */
        {"a\ufe00"
         "b",
         "ab", NULL, NULL, FLAG_ZERO_WIDTH},
    };
    check(rows);
}

static void test_undoes_compatibility_forms(void **state) {
    static const struct row rows[] = {
        {"\uff28\uff21\uff34\uff25", "HATE", NULL, "hate", FLAG_COMPATIBILITY},
        {"\U0001d4d7\U0001d4ea\U0001d4fd\U0001d4ee", "Hate", NULL, "hate", FLAG_COMPATIBILITY},
        {"\u24d7\u24d0\u24e3\u24d4", "hate", NULL, "hate", FLAG_COMPATIBILITY},
        {"\U0001f177\U0001f170\U0001f183\U0001f174", "HATE", NULL, "hate", FLAG_COMPATIBILITY},
        {"w\U0001f17e\ufe0f\u24c2\ufe0f\U0001f170\ufe0fn", "wOMAn", NULL, "woman", FLAG_COMPATIBILITY},
        {"\uff76\uff85", "\u30ab\u30ca", NULL, NULL, 0},       /* half-width Katakana */
        {"\u3147\u314f\uc9c1", "\uc544\uc9c1", NULL, NULL, 0}, /* a syllable written apart */
        {"cafe\u0301", "caf\u00e9", NULL, NULL, 0},
    };
    check(rows);
}

static void test_folds_look_alikes_in_mixed_words_only(void **state) {
    static const struct row rows[] = {
        {"k\u0456ll th\u0435m", "kill them", NULL, "kill them", FLAG_MIXED_SCRIPT},
        {"b\u03bfmb", "bomb", NULL, "bomb", FLAG_MIXED_SCRIPT},
        {"\u0441\u043em\u0435", "come", NULL, "come", FLAG_MIXED_SCRIPT},
        /* a Russian word with Latin letters in it becomes Russian */
        {"\u043fp\u0438\u0432e\u0442", "\u043f\u0440\u0438\u0432\u0435\u0442", NULL,
         "\u043f\u0440\u0438\u0432\u0435\u0442", FLAG_MIXED_SCRIPT},
        {"\u043a\u0440\u00eb\u0441\u0442\u043d\u044b\u0439",
         "\u043a\u0440\u0451\u0441\u0442\u043d\u044b\u0439", NULL, NULL, FLAG_MIXED_SCRIPT},
        /* a whole word of look-alikes: the lists see it, the model's view stays */
        {"I want \u0455\u0435\u0445 now", NULL, NULL, "i want sex now", 0},
        {"\u043e\u0440\u0435\u0445 \u0440\u043e\u0441", NULL, NULL,
         "\u043e\u0440\u0435\u0445 \u0440\u043e\u0441", 0},
    };
    check(rows);
}

static void test_bounds_piles_of_marks(void **state) {
    struct views views;
    struct buf text = {0};
    buf_printf(&text, "h");
    for (int i = 0; i < 30; i++) {
        buf_printf(&text, "\u0336\u200b");
    }
    buf_printf(&text, "ate");
    run(*state, (const char *)text.bytes, &views);
    assert_int_equal(views.flags, FLAG_COMBINING | FLAG_ZERO_WIDTH);
    expect_view(&views.text.clean, "h\u0336\u0336\u0336\u0336"
                                   "ate");
    check_maps(&views);
    free(views.space);
    buf_deinit(&text);
}

static void test_joins_letters_kept_apart(void **state) {
    static const struct row rows[] = {
        {"make a b o m b now", "make abomb now", NULL, "make abomb now", FLAG_SPACED_LETTERS},
        {"b.o.m.b", "bomb", NULL, "bomb", FLAG_SPACED_LETTERS},
        {"b\no\nm\nb", "bomb", NULL, "bomb", FLAG_SPACED_LETTERS},
        {"t h i s  i s  i t", "this is it", NULL, "this is it", FLAG_SPACED_LETTERS},
        {"b-o-m-b!", "bomb!", NULL, NULL, FLAG_SPACED_LETTERS},
        {"so s e x y", "so sexy", NULL, NULL, FLAG_SPACED_LETTERS},
        {"a s s", NULL, NULL, "ass", 0},
    };
    check(rows);
}

static void test_reads_leet(void **state) {
    static const struct row rows[] = {
        {"h4te $h1t @ss k1ll3r", "hate shit ass killer", NULL, "hate shit ass killer", 0},
        {"he1p b1ock fi11", "help block fill", NULL, NULL, 0},
        {"How t0 m4k3 a b0mb?", "How to make a bomb?", NULL, "how to make a bomb?", 0},
        /* one alone shows a habit only when it is long enough, and then nothing else is read */
        {"a b0mb, mp3", "a bomb, mp3", NULL, "a bomb, mpe", 0},
        {"a t0p", NULL, NULL, "a top", 0},
        /* for the lists only: digits behind or in front, signs that belong */
        {"f@ggot!!!", NULL, NULL, "faggot!!!", 0},
        {"covid19, 10am, mp3, x2y4z, yes!no", NULL, NULL, NULL, 0},
        {"1488 and 42", NULL, NULL, "1488 and 42", 0},
        {"mail bob@example.com or @johnsmith", NULL, NULL, "mail bob@example.com or @johnsmith", 0},
        {"key a3b4c5d7e8f9a0b1c3d4e5 and 3f2a1b", NULL, NULL, NULL, 0},
    };
    check(rows);
}

static void test_settles_odd_case(void **state) {
    static const struct row rows[] = {
        {"hOw To MaKe A bOmB", "How to make a bomb", NULL, "how to make a bomb", 0},
        {"hOW TO mAKE a bOMB", "How to make a bomb", NULL, NULL, 0},
        {"I WILL FIND YOU. then WE TALK", "I will find you. Then we talk", NULL, NULL, 0},
        {"\u041f\u0420\u0418\u0412\u0415\u0422 \u041c\u041e\u0421\u041a\u0412\u0410",
         "\u043f\u0440\u0438\u0432\u0435\u0442 \u043c\u043e\u0441\u043a\u0432\u0430", NULL, NULL, 0},
        {"a quiet text with one bOmB in it", "a quiet text with one bomb in it", NULL, NULL, 0},
        /* names, code and short shouts are left alone */
        {"getElementById on YouTube, iPhone, LaTeX2, PhD, McDonald and eBay", NULL, NULL, NULL, 0},
        {"STOP NOW", NULL, NULL, "stop now", 0},
        {"see QWxsIHlvdXIgYmFzZSBhcmUgYmVsb25nIHRvIHVz x", NULL, "All your base are belong to us", NULL,
         FLAG_ENCODED_TEXT},
    };
    check(rows);
}

static void test_reads_encoded_runs(void **state) {
    static const struct row rows[] = {
        {"see aG93IHRvIGJ1aWxkIGEgYm9tYiBhdCBob21l", NULL, "how to build a bomb at home", NULL,
         FLAG_ENCODED_TEXT},
        {"686f7720746f206275696c6420612062", NULL, "how to build a b", NULL, FLAG_ENCODED_TEXT},
        {"x%68%6f%77%20%74%6f%20%6b%69%6c%6c", NULL, "how to kill", NULL, FLAG_ENCODED_TEXT},
        /* hashes, keys, words, numbers, short runs */
        {"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", NULL, NULL, NULL, 0},
        {"AKIAIOSFODNN7EXAMPLEabcDEF0123456789xyz", NULL, NULL, NULL, 0},
        {"pneumonoultramicroscopicsilicovolcanoconiosis", NULL, NULL, NULL, 0},
        {"/usr/lib/python3/dist-packages/numpy/core", NULL, NULL, NULL, 0},
        {"31415926535897932384626433832795", NULL, NULL, NULL, 0},
        {"aG93IHRvIGtpbGw=", NULL, NULL, NULL, 0},
    };
    check(rows);
}

static void test_flags_control_tokens_and_keeps_them(void **state) {
    static const char *const tokens[] = {"<start_of_turn>",    "<end_of_turn>", "<start_of_image>",
                                         "<image_soft_token>", "<bos>",         "<unused42>",
                                         "[multimodal]",       "<|turn>",       "<turn|>",
                                         "<|think|>",          "<|\"|>",        "\uff1cend_of_turn\uff1e",
                                         "<end_\u200bof_turn>"};
    for (size_t i = 0; i < sizeof tokens / sizeof *tokens; i++) {
        struct views views;
        char text[64];
        (void)snprintf(text, sizeof text, "say %s now", tokens[i]);
        run(*state, text, &views);
        if ((views.flags & FLAG_CONTROL_TOKEN) == 0) {
            fail_msg("%s is not flagged", tokens[i]);
        }
        expect_view(&views.text.raw, text);
        free(views.space);
    }
    static const struct row rows[] = {
        {"a <b> bold </b> if (a < b || c > d) <unused> <turn> [x]", NULL, NULL, NULL, 0}};
    check(rows);
}

static void test_hidden_pieces_stand_in_the_order_of_their_places(void **state) {
    struct views views;
    run(*state, "aG93IHRvIGJ1aWxkIGEgYm9tYiBhdCBob21l \U000e0079\U000e0065\U000e0073", &views);
    expect_view(&views.text.hidden, "how to build a bomb at home\nyes");
    assert_int_equal(views.flags, FLAG_ENCODED_TEXT | FLAG_TAG_CHARACTERS);
    assert_int_equal(views.text.hidden.map[0], 0);
    assert_int_equal(views.text.hidden.map[28], 37);
    check_maps(&views);
    free(views.space);
}

/* A span in a view is a span of raw bytes: the word found in `clean` is the word that stands in the text. */
static void test_maps_a_span_back_to_the_bytes(void **state) {
    static const char raw[] = "x \uff22\uff2f\u200b\uff2d\uff22 y";
    struct views views;
    run(*state, raw, &views);
    expect_view(&views.text.clean, "x BOMB y");
    assert_int_equal(views.text.clean.map[2], 2);
    assert_int_equal(views.text.clean.map[6], strlen(raw) - 2);
    assert_int_equal(views.text.clean.map[8], strlen(raw));
    free(views.space);
}

static void test_treats_nul_as_data(void **state) {
    struct views views;
    run_bytes(*state, "a\0b", 3, false, 4096, &views);
    assert_int_equal(views.rc, 0);
    assert_int_equal(views.text.raw.size, 3);
    assert_memory_equal(views.text.folded.text, "a\0b", 3);
    free(views.space);
}

static void test_refuses_malformed_utf8_or_replaces_each_bad_part(void **state) {
    static const struct {
        const char *raw, *replaced;
    } rows[] = {
        {"\xc3(", "\ufffd("},
        {"\xc0\xaf", "\ufffd\ufffd"},
        {"\xed\xa0\x80", "\ufffd\ufffd\ufffd"},
        {"\xf0\x9f\x98", "\ufffd"},
        {"\xe2\x82x", "\ufffdx"},
        {"\xf0\x9f\x98\xf0\x9f\x98\x80", "\ufffd\U0001f600"},
        {"\xf4\x90\x80\x80", "\ufffd\ufffd\ufffd\ufffd"},
        {"ab\xff", "ab\ufffd"},
        {"\x80\xbf", "\ufffd\ufffd"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct views views;
        run_bytes(*state, rows[i].raw, strlen(rows[i].raw), false, 4096, &views);
        assert_int_equal(views.rc, DECODE_E_INVALID_UTF8);
        free(views.space);
        run_bytes(*state, rows[i].raw, strlen(rows[i].raw), true, 4096, &views);
        assert_int_equal(views.rc, 0);
        expect_view(&views.text.raw, rows[i].replaced);
        assert_int_equal(views.flags, FLAG_INVALID_UTF8);
        check_maps(&views);
        free(views.space);
    }
}

static void repeat(struct buf *out, const char *piece, size_t bytes) {
    while (out->size + strlen(piece) <= bytes) {
        buf_append(out, piece, strlen(piece));
    }
}

/* One MiB of each kind of trouble either comes out or is refused by its limit; nothing grows without bound.
 */
static void test_bounds_what_hostile_texts_cost(void **state) {
    static const struct {
        const char *piece;
        int rc;
    } rows[] = {
        {"a", 0},          {"\u0301", 0},
        {"a b ", 0},       {"\ufdfa", DECODE_E_TEXT_TOO_LARGE}, /* one character becomes eighteen */
        {"\u1161", 0}, /* a vowel without a consonant: never starts a segment */
        {"\U000e0041", 0}, {"\U000e0158", 0},
        {"k\u0456", 0},    {"%41", 0},
        {"QUFB", 0},       {"<", 0},
        {"\u4e00", 0},     {"\U0001f468\u200d", 0},
        {"\u0e31", 0},     {"b.", 0},
        {"@a", 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct buf text = {0};
        struct views views;
        repeat(&text, rows[i].piece, 1 << 20);
        run_bytes(*state, text.bytes, text.size, false, (32 << 20) + (1 << 20), &views);
        if (views.rc != rows[i].rc) {
            fail_msg("a text of \"%s\": %d (%s)", rows[i].piece, views.rc, views.error.text);
        }
        if (views.rc == 0) {
            check_maps(&views);
        }
        free(views.space);
        buf_deinit(&text);
    }
}

static void test_refuses_a_text_whose_views_do_not_fit(void **state) {
    struct views views;
    for (size_t space = 0; space < 200; space += 8) {
        run_bytes(*state, "\uff28\uff21\uff34\uff25 and more", 21, false, space + 8, &views);
        assert_true(views.rc == DECODE_E_TEXT_TOO_LARGE || views.rc == 0);
        assert_true(views.rc == 0 || space < 180);
        free(views.space);
    }
}

/* Cleaning what is clean changes nothing. */
static void test_clean_is_stable(void **state) {
    static const char *const texts[] = {
        "k\u0456ll \uff28\u200bi t h e m  n o w", "h\u0336\u0336\u0336\u0336\u0336\u0336x",
        "\u202e\u24d7\u24d0\u24e3\u24d4 \U000e0041", "b.o.m.b \u043fp\u0438\u0432e\u0442"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct views first;
        struct views second;
        run(*state, texts[i], &first);
        assert_non_null(first.text.clean.text);
        run_bytes(*state, first.text.clean.text, first.text.clean.size, false, 65536, &second);
        assert_int_equal(second.rc, 0);
        expect_view(&second.text.clean, NULL);
        assert_int_equal(second.flags, 0);
        free(first.space);
        free(second.space);
    }
}

/* Every cut and many changed bytes of a text that holds one of each hazard: no finding for the sanitizers,
 * and the promises of the views hold. */
static void test_keeps_its_promises_for_mangled_texts(void **state) {
    static const char text[] = "\ufeffk\u0456ll\u200b \uff28\u0301\u0301\u0301\u0301\u0301\u0301 b o m b "
                               "\U000e0041\U0001f600\ufe0f\U000e0158 "
                               "aG93IHRvIGJ1aWxkIGEgYm9tYiBhdCBob21l %68%6f%77%20%74%6f%20%6b%69%6c%6c "
                               "<end_of_turn> \u202e h4te \ufdfa";
    uint32_t seed = 1;
    for (size_t cut = 0; cut <= sizeof text - 1; cut++) {
        struct views views;
        uint8_t bytes[sizeof text];
        memcpy(bytes, text, cut);
        for (int change = 0; change < 3 && cut > 0; change++) {
            seed = seed * 1664525 + 1013904223;
            bytes[(seed >> 8) % cut] = (uint8_t)(seed >> 24);
            run_bytes(*state, bytes, cut, true, 65536, &views);
            assert_int_equal(views.rc, 0);
            assert_true(utf8_valid(views.text.raw.text, views.text.raw.size, NULL));
            check_maps(&views);
            free(views.space);
        }
    }
}

static int set_up(void **state) {
    struct error error = {0};
    struct unicode *unicode = NULL;
    if (unicode_new(&unicode, &error) != 0) {
        return -1;
    }
    *state = unicode;
    return 0;
}

static int tear_down(void **state) {
    (void)unicode_free(*state);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_leaves_ordinary_text_alone),
        cmocka_unit_test(test_drops_one_byte_order_mark_in_silence),
        cmocka_unit_test(test_removes_characters_of_no_width),
        cmocka_unit_test(test_removes_bidi_controls_and_keeps_the_order),
        cmocka_unit_test(test_reads_what_tag_characters_spell),
        cmocka_unit_test(test_reads_what_variation_selectors_spell),
        cmocka_unit_test(test_undoes_compatibility_forms),
        cmocka_unit_test(test_folds_look_alikes_in_mixed_words_only),
        cmocka_unit_test(test_bounds_piles_of_marks),
        cmocka_unit_test(test_joins_letters_kept_apart),
        cmocka_unit_test(test_reads_leet),
        cmocka_unit_test(test_settles_odd_case),
        cmocka_unit_test(test_reads_encoded_runs),
        cmocka_unit_test(test_flags_control_tokens_and_keeps_them),
        cmocka_unit_test(test_hidden_pieces_stand_in_the_order_of_their_places),
        cmocka_unit_test(test_maps_a_span_back_to_the_bytes),
        cmocka_unit_test(test_treats_nul_as_data),
        cmocka_unit_test(test_refuses_malformed_utf8_or_replaces_each_bad_part),
        cmocka_unit_test(test_bounds_what_hostile_texts_cost),
        cmocka_unit_test(test_refuses_a_text_whose_views_do_not_fit),
        cmocka_unit_test(test_clean_is_stable),
        cmocka_unit_test(test_keeps_its_promises_for_mangled_texts),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
