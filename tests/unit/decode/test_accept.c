/* SPDX-License-Identifier: Apache-2.0
 *
 * What a worker that was taken over may answer, and what the pool makes of it.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "decode/exchange.h"

enum { OUTPUT_BYTES = 4096, SIDE = 16 };

static const struct decode_options options = {
    .image_pixels = 1000000, .image_side = 2000, .text_bytes = 1000};

struct fixture {
    uint8_t *output;
    struct arena arena;
    struct decode_job job;
    struct decode_answer answer;
};

/* "abc" as sent, folded to "abc" with a map. */
static void good_text(struct fixture *f) {
    static const uint32_t map[4] = {0, 1, 2, 3};
    f->job = (struct decode_job){.kind = CONTENT_TEXT, .size = 3, .arena = &f->arena};
    memcpy(f->output, "abc", 3);
    memcpy(f->output + 8, "abc", 3);
    memcpy(f->output + 16, map, sizeof map);
    f->answer = (struct decode_answer){
        .kind = CONTENT_TEXT,
        .views = {{.present = true, .size = 3},
                  {0},
                  {0},
                  {.present = true, .text_at = 8, .size = 3, .has_map = true, .map_at = 16}}};
}

static void good_image(struct fixture *f) {
    f->job = (struct decode_job){
        .kind = CONTENT_IMAGE, .size = 100, .arena = &f->arena, .form = {SIDE, SIDE, 0, SIDE, SIDE}};
    f->answer = (struct decode_answer){.kind = CONTENT_IMAGE,
                                       .flags = FLAG_ALPHA,
                                       .image = {.width = 100,
                                                 .height = 50,
                                                 .frames_total = 3,
                                                 .frames_judged = 1,
                                                 .variants = 2,
                                                 .out_width = SIDE,
                                                 .out_height = SIDE,
                                                 .pixels_at = {0, SIDE * SIDE * 3},
                                                 .format = "png"}};
}

static int accept(struct fixture *f) {
    return decode_answer_accept(&f->answer, f->output, OUTPUT_BYTES, &options, &f->job);
}

/* The lie is found, the job fails, and nothing of it is left. */
static void refuses(struct fixture *f) {
    assert_int_equal(accept(f), -EPROTO);
    assert_int_equal(f->job.status, DECODE_E_FAILED);
    assert_int_equal(f->job.part.kind, CONTENT_INVALID);
    assert_null(f->job.part.text.raw.text);
}

static void test_takes_good_answers(void **state) {
    struct fixture *f = *state;
    good_text(f);
    assert_int_equal(accept(f), 0);
    assert_int_equal(f->job.status, 0);
    assert_string_equal(f->job.part.text.folded.text, "abc");
    good_image(f);
    assert_int_equal(accept(f), 0);
    assert_int_equal(f->job.status, 0);
    assert_int_equal(f->job.part.flags, FLAG_ALPHA);
    assert_non_null(f->job.part.image.pixels[1]);
}

static void test_copies_so_that_later_writes_change_nothing(void **state) {
    struct fixture *f = *state;
    good_text(f);
    assert_int_equal(accept(f), 0);
    memset(f->output, 0xff, OUTPUT_BYTES);
    assert_string_equal(f->job.part.text.raw.text, "abc");
    assert_int_equal(f->job.part.text.folded.map[3], 3);
}

static void test_refuses_places_outside_the_output(void **state) {
    static const uint64_t places[] = {OUTPUT_BYTES - 2, OUTPUT_BYTES + 1, UINT64_MAX, UINT64_MAX - 2,
                                      UINT64_C(1) << 63};
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        good_text(f);
        f->answer.views[3].text_at = places[i];
        refuses(f);
        good_text(f);
        f->answer.views[3].map_at = places[i];
        refuses(f);
        good_text(f);
        f->answer.views[0].text_at = places[i];
        refuses(f);
        good_text(f);
        f->answer.views[3].size = places[i];
        refuses(f);
        good_image(f);
        f->answer.image.pixels_at[1] = places[i];
        refuses(f);
    }
}

static void test_refuses_views_that_break_their_promises(void **state) {
    struct fixture *f = *state;
    good_text(f);
    f->output[9] = 0xff; /* not UTF-8 */
    refuses(f);
    good_text(f);
    f->output[16] = 2; /* the map goes back */
    refuses(f);
    good_text(f);
    f->output[28] = 9; /* the map ends elsewhere */
    refuses(f);
    good_text(f);
    f->answer.views[3].present = false;
    refuses(f);
    good_text(f);
    f->answer.views[3].has_map = false;
    refuses(f);
    good_text(f);
    f->answer.views[0].has_map = true;
    refuses(f);
    good_text(f);
    f->answer.views[0].size = 2; /* a part of the text is kept back */
    refuses(f);
    good_text(f);
    f->answer.kind = CONTENT_IMAGE;
    refuses(f);
    good_text(f);
    f->answer.flags = 1u << FLAG_COUNT;
    refuses(f);
}

static void test_refuses_images_that_cannot_be(void **state) {
    struct fixture *f = *state;
#define refuses_with(field, value)                                                                           \
    good_image(f);                                                                                           \
    f->answer.image.field = (value);                                                                         \
    refuses(f)
    refuses_with(width, 0);
    refuses_with(height, 2001);
    refuses_with(variants, 0);
    refuses_with(variants, 3);
    refuses_with(frames_judged, 4);
    refuses_with(frames_judged, 0);
    refuses_with(out_width, SIDE + 1);
    refuses_with(out_height, SIDE - 1);
    refuses_with(format[0], 'x');
    good_image(f);
    f->answer.image.width = f->answer.image.height = 1500; /* sides in range, pixels not */
    refuses(f);
}

static void test_refuses_unknown_codes_and_passes_plain_sentences_only(void **state) {
    struct fixture *f = *state;
    good_text(f);
    f->answer.status = 99;
    strcpy(f->answer.error, "so it is");
    refuses(f);
    good_text(f);
    f->answer.status = DECODE_E_OVERLOADED; /* the pool's to say */
    strcpy(f->answer.error, "so it is");
    refuses(f);
    good_text(f);
    f->answer.status = DECODE_E_BOMB;
    refuses(f); /* without a sentence */
    good_text(f);
    f->answer.status = DECODE_E_BOMB;
    strcpy(f->answer.error, "so it is");
    assert_int_equal(accept(f), 0);
    assert_int_equal(f->job.status, DECODE_E_BOMB);
    assert_string_equal(f->job.error.text, "so it is");
    good_text(f);
    f->answer.status = DECODE_E_BOMB;
    strcpy(f->answer.error, "\x1b[31mred\n");
    assert_int_equal(accept(f), 0);
    assert_int_equal(f->job.status, DECODE_E_BOMB);
    assert_string_equal(f->job.error.text, "the content could not be decoded");
}

static void test_says_so_when_the_arena_is_full(void **state) {
    struct fixture *f = *state;
    for (size_t limit = 0; limit < 192; limit += 64) {
        good_text(f);
        arena_deinit(&f->arena);
        arena_init(&f->arena, limit);
        assert_int_equal(accept(f), 0);
        assert_int_equal(f->job.status, -ENOMEM);
        assert_null(f->job.part.text.raw.text);
    }
}

/* Each message survives its trip, and no shorter or longer body passes for one. */
static void test_messages_read_back_exactly(void **state) {
    struct fixture *f = *state;
    struct decode_answer answer;
    struct decode_order order = {
        .kind = CONTENT_IMAGE, .size = 77, .form = {1, 2, 3, 4, 5}, .mime = "image/png"};
    struct decode_order order_back;
    struct decode_setup setup = {1, 2, 3, 4, 5, 6};
    struct decode_setup setup_back;
    struct buf bodies[3] = {0};
    good_image(f);
    decode_answer_write(&bodies[0], &f->answer);
    decode_order_write(&bodies[1], &order);
    decode_setup_write(&bodies[2], &setup);
    for (int i = 0; i < 3; i++) {
        buf_u8(&bodies[i], 0);
        for (size_t size = 0; size <= bodies[i].size; size++) {
            struct imsg message = {.body = bodies[i].bytes, .body_size = size};
            int rc = i == 0   ? decode_answer_read(&message, &answer)
                     : i == 1 ? decode_order_read(&message, &order_back)
                              : decode_setup_read(&message, &setup_back);
            assert_int_equal(rc, size == bodies[i].size - 1 ? 0 : -EPROTO);
            if (rc == 0 && i == 0) {
                assert_int_equal(answer.image.pixels_at[1], SIDE * SIDE * 3);
                assert_string_equal(answer.image.format, "png");
            } else if (rc == 0 && i == 1) {
                assert_int_equal(order_back.form.crop_height, 5);
                assert_string_equal(order_back.mime, "image/png");
            } else if (rc == 0) {
                assert_int_equal(setup_back.image_side, 6);
            }
        }
        buf_deinit(&bodies[i]);
    }
}

static int set_up(void **state) {
    static struct fixture f;
    f = (struct fixture){.output = calloc(1, OUTPUT_BYTES)};
    arena_init(&f.arena, 1 << 20);
    *state = &f;
    return f.output == NULL ? -1 : 0;
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    free(f->output);
    arena_deinit(&f->arena);
    return 0;
}

#define fresh(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        fresh(test_takes_good_answers),
        fresh(test_copies_so_that_later_writes_change_nothing),
        fresh(test_refuses_places_outside_the_output),
        fresh(test_refuses_views_that_break_their_promises),
        fresh(test_refuses_images_that_cannot_be),
        fresh(test_refuses_unknown_codes_and_passes_plain_sentences_only),
        fresh(test_says_so_when_the_arena_is_full),
        fresh(test_messages_read_back_exactly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
