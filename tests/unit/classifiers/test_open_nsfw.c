/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

#include "tests/lib/fake_engine.h"

enum { PIXELS = 224 * 224 * 3 };

static void add_image(struct fixture *f, const uint8_t *white, const uint8_t *black, bool judge) {
    size_t i = f->input.part_count++;
    f->contents[i] = (struct canonical_part){.kind = CONTENT_IMAGE, .bytes = 100};
    f->contents[i].image = (struct canonical_image){.width = 10,
                                                    .height = 10,
                                                    .frames_total = 1,
                                                    .frames_judged = 1,
                                                    .variants = black == NULL ? 1 : 2,
                                                    .pixels = {white, black},
                                                    .out_width = 224,
                                                    .out_height = 224};
    f->parts[i] = (struct classifier_part){.content = &f->contents[i], .role = ROLE_USER, .judge = judge};
}

static int setup(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    fixture_init(f, "open_nsfw", NULL);
    *state = f;
    return 0;
}

static int teardown(void **state) {
    fixture_deinit(*state);
    free(*state);
    return 0;
}

static uint8_t *pixels(uint8_t first) {
    uint8_t *p = calloc(PIXELS, 1);
    assert_non_null(p);
    p[0] = first;
    return p;
}

static void test_the_worst_variant_is_the_score_of_each_image_and_all_are_one_job(void **state) {
    struct fixture *f = *state;
    uint8_t *dark = pixels(51);
    uint8_t *light = pixels(204);
    fixture_must_open(f);
    add_image(f, dark, NULL, true);
    add_image(f, dark, light, true);
    (void)fixture_text(f, "text", true, ROLE_USER);
    add_image(f, light, light, false);
    fixture_must_judge(f);
    assert_int_equal(f->task.job_count, 1);
    assert_int_equal(f->task.jobs[0].image_count, 3);
    assert_int_equal(f->task.score_count, 2);
    assert_int_equal(fixture_score(f, "sexually_explicit", 0)->ppm, 200000);
    assert_int_equal(fixture_score(f, "sexually_explicit", 1)->ppm, 800000);
    assert_string_equal(fixture_score(f, "sexually_explicit", 1)->evidence, "on black");
    free(dark);
    free(light);
}

static void test_asks_for_the_form_of_the_training(void **state) {
    struct fixture *f = *state;
    fixture_must_open(f);
    const struct decode_image_form *form = f->type->image_form(f->instance);
    assert_int_equal(form->resize_width, 256);
    assert_int_equal(form->jpeg_quality, 75);
    assert_int_equal(form->crop_height, 224);
    assert_int_equal(strncmp(f->type->provenance(f->instance), "model=", 6), 0);
}

static void test_refuses_a_model_of_another_kind(void **state) {
    struct fixture *f = *state;
    struct error error = {0};
    (void)snprintf(f->config->model, sizeof f->config->model, "text.gguf");
    assert_int_equal(fixture_open(f, &error), CLASSIFIER_E_INVALID);
    assert_non_null(strstr(error.text, "text.gguf"));
}

static void test_refuses_pixels_of_another_form(void **state) {
    struct fixture *f = *state;
    struct error error = {0};
    uint8_t *dark = pixels(1);
    fixture_must_open(f);
    add_image(f, dark, NULL, true);
    f->contents[0].image.out_width = 223;
    assert_int_equal(fixture_judge(f, &error), -EINVAL);
    free(dark);
}

static void test_a_score_that_is_not_finite_is_an_error(void **state) {
    struct fixture *f = *state;
    struct error error = {0};
    uint8_t *dark = pixels(1);
    fixture_must_open(f);
    add_image(f, dark, NULL, true);
    fake_engine_poison(f->engine, true);
    assert_int_equal(fixture_judge(f, &error), CLASSIFIER_E_NOT_FINITE);
    free(dark);
}

static void test_without_images_there_is_nothing_to_do(void **state) {
    struct fixture *f = *state;
    fixture_must_open(f);
    (void)fixture_text(f, "text", true, ROLE_USER);
    fixture_must_judge(f);
    assert_int_equal(f->task.score_count, 0);
    assert_int_equal(f->task.job_count, 0);
}

#define NSFW_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        NSFW_TEST(test_the_worst_variant_is_the_score_of_each_image_and_all_are_one_job),
        NSFW_TEST(test_asks_for_the_form_of_the_training),
        NSFW_TEST(test_refuses_a_model_of_another_kind),
        NSFW_TEST(test_refuses_pixels_of_another_form),
        NSFW_TEST(test_a_score_that_is_not_finite_is_an_error),
        NSFW_TEST(test_without_images_there_is_nothing_to_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
