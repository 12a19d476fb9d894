/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "engine/engine.h"
#include "engine/vision/open_nsfw.h"
#include "onnx_writer.h"

enum { MOST_SCRATCH_BYTES = 64 << 20 };

static void test_a_small_network_gives_scores_that_sum_to_one(void **state) {
    (void)state;
    struct buf file = {0};
    struct open_nsfw *model = NULL;
    struct error error = {0};
    float scores[OPEN_NSFW_SCORES] = {NAN, NAN};
    write_onnx(&file, WHOLE);
    assert_int_equal(open_nsfw_open_memory(file.bytes, file.size, &model, &error), 0);
    buf_deinit(&file); /* the model keeps nothing of the file */
    uint8_t *pixels = calloc(1, OPEN_NSFW_PIXEL_BYTES);
    void *scratch = aligned_alloc(64, open_nsfw_info(model)->scratch_bytes);
    assert_non_null(pixels);
    assert_non_null(scratch);
    assert_int_equal(open_nsfw_run(model, pixels, 1, scratch, scores, &error), 0);
    assert_true(fabsf(scores[0] + scores[1] - 1.0F) < 1e-6F);
    assert_int_equal(open_nsfw_info(model)->parameters, 4 * 3 * 64 + 4 + 16 + 4 + 8 + 2);
    assert_int_equal(open_nsfw_info(model)->multiplies, 16 * (4 * 3 * 64) + 16 * 16 + 8);
    free(scratch);
    free(pixels);
    model = open_nsfw_free(model);
}

static void test_overflow_is_an_error_and_not_a_score(void **state) {
    (void)state;
    struct buf file = {0};
    struct open_nsfw *model = NULL;
    struct error error = {0};
    float scores[OPEN_NSFW_SCORES];
    write_onnx(&file, HUGE_WEIGHTS);
    assert_int_equal(open_nsfw_open_memory(file.bytes, file.size, &model, &error), 0);
    uint8_t *pixels = malloc(OPEN_NSFW_PIXEL_BYTES);
    void *scratch = aligned_alloc(64, open_nsfw_info(model)->scratch_bytes);
    assert_non_null(pixels);
    assert_non_null(scratch);
    memset(pixels, 255, OPEN_NSFW_PIXEL_BYTES);
    assert_int_equal(open_nsfw_run(model, pixels, 1, scratch, scores, &error), ENGINE_E_NOT_FINITE);
    free(scratch);
    free(pixels);
    model = open_nsfw_free(model);
    buf_deinit(&file);
}

static void test_refuses_every_kind_of_damage(void **state) {
    (void)state;
    for (int damage = NO_GRAPH; damage < DAMAGE_COUNT; damage++) {
        struct buf file = {0};
        struct open_nsfw *model = NULL;
        struct error error = {0};
        int expected = damage < FIRST_UNSUPPORTED ? ENGINE_E_FORMAT : ENGINE_E_UNSUPPORTED;
        write_onnx(&file, (enum damage)damage);
        int code = open_nsfw_open_memory(file.bytes, file.size, &model, &error);
        if (code != expected || model != NULL) {
            fail_msg("damage %d: %d instead of %d (%s)", damage, code, expected, error.text);
        }
        assert_int_equal(error.code, code);
        buf_deinit(&file);
    }
}

/* Found by the fuzzer: a file that names the values before the softmax as its output gave scores below zero. */
static void test_refuses_an_output_that_is_no_softmax(void **state) {
    (void)state;
    static uint8_t bytes[65536];
    struct open_nsfw *model = NULL;
    struct error error = {0};
    FILE *file = fopen(BUCKLER_SOURCE_DIR "/fuzz/seeds/onnx/logits_as_output", "rb");
    assert_non_null(file);
    size_t size = fread(bytes, 1, sizeof bytes, file);
    (void)fclose(file);
    assert_int_equal(open_nsfw_open_memory(bytes, size, &model, &error), ENGINE_E_UNSUPPORTED);
    assert_non_null(strstr(error.text, "softmax"));
}

static void test_a_message_names_the_place(void **state) {
    (void)state;
    struct buf file = {0};
    struct open_nsfw *model = NULL;
    struct error error = {0};
    write_onnx(&file, TENSOR_TOO_SHORT);
    assert_int_equal(open_nsfw_open_memory(file.bytes, file.size, &model, &error), ENGINE_E_FORMAT);
    assert_non_null(strstr(error.text, "at byte "));
    buf_deinit(&file);
}

static void test_refuses_every_truncation(void **state) {
    (void)state;
    struct buf file = {0};
    write_onnx(&file, WHOLE);
    for (size_t size = 0; size < file.size; size++) {
        struct open_nsfw *model = NULL;
        struct error error = {0};
        uint8_t *exact = malloc(size > 0 ? size : 1);
        assert_non_null(exact);
        memcpy(exact, file.bytes, size);
        assert_int_equal(open_nsfw_open_memory(exact, size, &model, &error), ENGINE_E_FORMAT);
        assert_null(model);
        free(exact);
    }
    buf_deinit(&file);
}

static void test_survives_every_changed_byte(void **state) {
    (void)state;
    struct buf file = {0};
    size_t refused = 0;
    write_onnx(&file, WHOLE);
    for (size_t at = 0; at < file.size; at++) {
        for (unsigned change = 0x01; change <= 0x80; change <<= 1) {
            struct open_nsfw *model = NULL;
            struct error error = {0};
            file.bytes[at] ^= (uint8_t)change;
            int code = open_nsfw_open_memory(file.bytes, file.size, &model, &error);
            file.bytes[at] ^= (uint8_t)change;
            if (code == 0) {
                assert_true(open_nsfw_info(model)->scratch_bytes <= MOST_SCRATCH_BYTES);
            } else {
                assert_true(code == ENGINE_E_FORMAT || code == ENGINE_E_UNSUPPORTED ||
                            code == ENGINE_E_MEMORY);
                assert_true(strlen(error.text) > 0);
                refused++;
            }
            model = open_nsfw_free(model);
        }
    }
    assert_true(refused > 500); /* most of the file is weights, which may be any finite number */
    buf_deinit(&file);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_small_network_gives_scores_that_sum_to_one),
        cmocka_unit_test(test_overflow_is_an_error_and_not_a_score),
        cmocka_unit_test(test_refuses_every_kind_of_damage),
        cmocka_unit_test(test_refuses_an_output_that_is_no_softmax),
        cmocka_unit_test(test_a_message_names_the_place),
        cmocka_unit_test(test_refuses_every_truncation),
        cmocka_unit_test(test_survives_every_changed_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
