/* SPDX-License-Identifier: Apache-2.0
 *
 * The real file, found by $BUCKLER_MODELS or under $HOME. The expected scores are onnxruntime's:
 * tests/golden/open_nsfw_parity.py --golden.
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
#include "engine/vision/open_nsfw.h"

enum { SIDE = OPEN_NSFW_SIDE };

static const float expected[][OPEN_NSFW_SCORES] = {
    {0.900150597F, 0.0998494029F},  {0.997870326F, 0.00212965184F},  {0.96893847F, 0.031061504F},
    {0.996970415F, 0.00302958582F}, {0.999881625F, 0.000118346128F}, {0.999204695F, 0.000795374857F},
    {0.997458756F, 0.00254130457F}, {0.996430337F, 0.00356964907F},
};

enum { PICTURES = sizeof expected / sizeof expected[0] };

struct fixture {
    struct open_nsfw *model;
    void *scratch;
    uint8_t *pixels; /* [PICTURES] */
};

static void model_path(char *out, size_t size) {
    const char *folder = getenv("BUCKLER_MODELS");
    const char *home = getenv("HOME");
    if (folder != NULL) {
        (void)snprintf(out, size, "%s/open-nsfw.onnx", folder);
    } else {
        (void)snprintf(out, size, "%s/.cache/buckler/models/open-nsfw.onnx", home != NULL ? home : "");
    }
}

/* The formula of open_nsfw_parity.py. */
static uint8_t pixel(int64_t number, int64_t x, int64_t y, int64_t c) {
    int64_t p = 1 + number % 5, q = 1 + number % 3, r = number % 7, value = 0;
    switch (number % 4) {
    case 0:
        value = (x * p + y * q + c * 40 * r) >> 1;
        break;
    case 1:
        value = (x * x * p + y * y * q + x * y * r) >> 6;
        break;
    case 2:
        value = 220 - 50 * c + ((x / (8 * p)) ^ (y / (8 * q))) * (r + 1);
        break;
    default:
        value = (x * 7919 + y * 104729 + c * 1299709 + number * 15485863) * 2654435 >> 9;
        break;
    }
    return (uint8_t)(value & 255);
}

static int set_up(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    struct error error = {0};
    char path[4096];
    model_path(path, sizeof path);
    if (f == NULL || open_nsfw_open(path, &f->model, &error) != 0) {
        print_error("%s (run scripts/fetch-models.sh)\n", error.text);
        free(f);
        return -1;
    }
    f->scratch = aligned_alloc(64, open_nsfw_info(f->model)->scratch_bytes);
    f->pixels = malloc((size_t)PICTURES * OPEN_NSFW_PIXEL_BYTES);
    if (f->scratch == NULL || f->pixels == NULL) {
        return -1;
    }
    for (size_t i = 0; i < (size_t)PICTURES * OPEN_NSFW_PIXEL_BYTES; i++) {
        size_t place = i % OPEN_NSFW_PIXEL_BYTES;
        f->pixels[i] = pixel((int64_t)(i / OPEN_NSFW_PIXEL_BYTES), (int64_t)(place / 3 % SIDE),
                             (int64_t)(place / 3 / SIDE), (int64_t)(place % 3));
    }
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    if (f != NULL) {
        f->model = open_nsfw_free(f->model);
        free(f->scratch);
        free(f->pixels);
        free(f);
    }
    return 0;
}

static void test_scores_are_those_of_onnxruntime(void **state) {
    struct fixture *f = *state;
    struct error error = {0};
    float scores[PICTURES][OPEN_NSFW_SCORES];
    assert_int_equal(open_nsfw_run(f->model, f->pixels, PICTURES, f->scratch, scores[0], &error), 0);
    for (size_t i = 0; i < PICTURES; i++) {
        for (size_t k = 0; k < OPEN_NSFW_SCORES; k++) {
            if (!(fabsf(scores[i][k] - expected[i][k]) <= 1e-5F)) {
                fail_msg("picture %zu: %.9g instead of %.9g", i, (double)scores[i][k],
                         (double)expected[i][k]);
            }
        }
    }
}

static void test_a_score_has_the_same_bits_alone_and_among_others(void **state) {
    struct fixture *f = *state;
    struct error error = {0};
    float together[PICTURES][OPEN_NSFW_SCORES], alone[OPEN_NSFW_SCORES];
    assert_int_equal(open_nsfw_run(f->model, f->pixels, PICTURES, f->scratch, together[0], &error), 0);
    for (size_t i = PICTURES; i-- > 0;) {
        memset(f->scratch, 0xff,
               open_nsfw_info(f->model)->scratch_bytes); /* NaN, should anything old be read */
        assert_int_equal(
            open_nsfw_run(f->model, f->pixels + i * OPEN_NSFW_PIXEL_BYTES, 1, f->scratch, alone, &error), 0);
        assert_memory_equal(alone, together[i], sizeof alone);
    }
}

static void test_memory_is_what_was_planned(void **state) {
    struct fixture *f = *state;
    const struct open_nsfw_info *info = open_nsfw_info(f->model);
    assert_true(info->parameters > 5800000 && info->parameters < 6000000);
    assert_true(info->resident_bytes >= info->parameters * sizeof(float));
    assert_true(info->resident_bytes < info->parameters * sizeof(float) + (1 << 20));
    assert_true(info->scratch_bytes < 24 << 20);
    assert_int_equal(info->scratch_bytes % 64, 0);
}

static void test_refuses_a_file_that_is_not_there(void **state) {
    (void)state;
    struct open_nsfw *model = NULL;
    struct error error = {0};
    assert_true(open_nsfw_open(BUCKLER_BINARY_DIR "/no-such-file.onnx", &model, &error) < 0);
    assert_non_null(strstr(error.text, "no-such-file.onnx"));
    assert_null(model);
}

static void test_refuses_a_file_of_text(void **state) {
    (void)state;
    struct open_nsfw *model = NULL;
    struct error error = {0};
    assert_int_equal(open_nsfw_open(BUCKLER_SOURCE_DIR "/CMakeLists.txt", &model, &error), ENGINE_E_FORMAT);
    assert_non_null(strstr(error.text, "at byte "));
    assert_null(model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scores_are_those_of_onnxruntime),
        cmocka_unit_test(test_a_score_has_the_same_bits_alone_and_among_others),
        cmocka_unit_test(test_memory_is_what_was_planned),
        cmocka_unit_test(test_refuses_a_file_that_is_not_there),
        cmocka_unit_test(test_refuses_a_file_of_text),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
