/* SPDX-License-Identifier: Apache-2.0
 *
 * A tiny random tower against what transformers computes (tests/golden/vision.py), and the same file damaged
 * in one place at a time.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "engine/engine.h"
#include "engine/vision/siglip.h"

#define FOLDER BUCKLER_SOURCE_DIR "/tests/golden/vision/"

enum { SIDE = 63, ROWS = 9, HIDDEN = 32, PICTURES = 2, VALUES = PICTURES * ROWS * HIDDEN };

/* The formula of vision.py. */
static void fill_pixels(uint8_t *out) {
    for (uint32_t n = 0; n < PICTURES; n++) {
        for (uint32_t y = 0; y < SIDE; y++) {
            for (uint32_t x = 0; x < SIDE; x++) {
                for (uint32_t c = 0; c < 3; c++) {
                    uint32_t value = 3 * x * x + 5 * y * y + (7 + 9 * n) * x * y + 61 * c + 11 * x + 17 * y;
                    *out++ = (uint8_t)(value / 8);
                }
            }
        }
    }
}

static void read_file(const char *name, struct buf *out) {
    static char block[65536];
    FILE *file = fopen(name, "rbe");
    size_t size;

    assert_non_null(file);
    while ((size = fread(block, 1, sizeof block, file)) > 0) {
        buf_append(out, block, size);
    }
    assert_int_equal(fclose(file), 0);
    assert_false(out->failed);
}

struct rig {
    struct engine *engine;
    struct engine_model *model;
    uint8_t pixels[PICTURES * SIDE * SIDE * 3];
};

static void rig_open(struct rig *rig, struct engine_options options) {
    struct error error = {0};

    assert_int_equal(engine_open(&options, &rig->engine, &error), 0);
    if (engine_model_open(rig->engine, FOLDER "mmproj.gguf", &rig->model, &error) != 0) {
        fail_msg("%s", error.text);
    }
    fill_pixels(rig->pixels);
}

static void rig_close(struct rig *rig) {
    engine_model_unref(rig->model);
    engine_free(rig->engine);
}

static struct engine_job job_of(struct rig *rig, float *out) {
    return (struct engine_job){.kind = ENGINE_JOB_IMAGES,
                               .model = rig->model,
                               .pixels = rig->pixels,
                               .image_count = PICTURES,
                               .out_rows = out};
}

static void test_gives_the_rows_of_transformers(void **state) {
    static struct rig rig;
    CLEANUP(buf_deinit) struct buf expected = {0};
    float rows[VALUES], wanted[VALUES], largest = 0, worst = 0;
    (void)state;

    rig_open(&rig, (struct engine_options){.threads = 2});
    const struct engine_model_info *info = engine_model_info(rig.model);
    assert_int_equal(info->kind, ENGINE_MODEL_VISION);
    assert_int_equal(info->image_width, SIDE);
    assert_int_equal(info->image_rows, ROWS);
    assert_int_equal(info->hidden, HIDDEN);
    struct engine_job job = job_of(&rig, rows);
    assert_int_equal(engine_run(rig.engine, &job), 0);
    read_file(FOLDER "rows.f32", &expected);
    assert_int_equal(expected.size, sizeof wanted);
    memcpy(wanted, expected.bytes, sizeof wanted);
    for (size_t i = 0; i < VALUES; i++) {
        largest = fmaxf(largest, fabsf(wanted[i]));
        worst = fmaxf(worst, fabsf(rows[i] - wanted[i]));
    }
    print_message("%.1e of the largest value\n", (double)(worst / largest));
    assert_true(worst <= 2e-4F * largest);
    rig_close(&rig);
}

static void test_gives_the_same_bits_for_any_threads_and_instruction_set(void **state) {
    static const struct engine_options options[] = {
        {.threads = 1}, {.threads = 3}, {.threads = 2, .instruction_set = "portable"}};
    static struct rig rig;
    float rows[3][VALUES];
    (void)state;

    for (size_t i = 0; i < 3; i++) {
        rig_open(&rig, options[i]);
        struct engine_job job = job_of(&rig, rows[i]);
        assert_int_equal(engine_run(rig.engine, &job), 0);
        assert_memory_equal(rows[i], rows[0], sizeof rows[0]);
        rig_close(&rig);
    }
}

static void test_a_cancelled_picture_leaves_nothing_behind(void **state) {
    static struct rig rig;
    float first[VALUES], second[VALUES], alone[VALUES];
    (void)state;

    rig_open(&rig, (struct engine_options){.threads = 2});
    struct engine_job reference = job_of(&rig, alone), cancelled = job_of(&rig, first),
                      job = job_of(&rig, second);
    assert_int_equal(engine_run(rig.engine, &reference), 0);
    struct error error = {0};
    assert_int_equal(engine_submit(rig.engine, &cancelled, &error), 0);
    assert_int_equal(engine_submit(rig.engine, &job, &error), 0);
    engine_cancel(rig.engine, &cancelled);
    for (unsigned reaped = 0; reaped < 2;) {
        struct pollfd event = {.fd = engine_eventfd(rig.engine), .events = POLLIN};

        assert_true(poll(&event, 1, 60000) == 1);
        reaped += engine_reap(rig.engine) != NULL;
    }
    assert_true(cancelled.status == 0 || cancelled.status == ENGINE_E_CANCELLED);
    assert_int_equal(job.status, 0);
    assert_memory_equal(second, alone, sizeof alone);
    rig_close(&rig);
}

static void test_refuses_jobs_without_room_for_rows(void **state) {
    static struct rig rig;
    float scores[4];
    struct error error = {0};
    (void)state;

    rig_open(&rig, (struct engine_options){.threads = 1});
    struct engine_job job = job_of(&rig, NULL);
    job.out_scores = scores;
    assert_int_equal(engine_submit(rig.engine, &job, &error), ENGINE_E_INVALID);
    rig_close(&rig);
}

/* ---- damage ---- */

static uint8_t *find(const struct buf *file, const char *text) {
    uint8_t *at = memmem(file->bytes, file->size, text, strlen(text));

    assert_non_null(at);
    return at;
}

/* Opens what is in `file` and expects a refusal; the sentence is in `error`. */
static void refuse(const struct buf *file, size_t size, const char *what, struct error *error) {
    struct tensor_file *tensors = NULL;
    struct siglip *model = NULL;

    *error = (struct error){0};
    int r = gguf_open_memory(file->bytes, size, &tensors, error);
    r = r == 0 ? siglip_open(tensors, kernel_choose("portable"), &model, error) : r;
    if (r == 0 || error->text[0] == '\0') {
        fail_msg("%s: taken", what);
    }
    tensor_file_free(tensors);
}

static void load(struct buf *file) {
    buf_clear(file);
    read_file(FOLDER "mmproj.gguf", file);
}

enum damage { MISSING, HALF, HUGE_SIZE, TRANSPOSED, TYPE, OFFSET, DAMAGES };

/* False when the damage would change nothing. Behind the name: u32 count, u64 dimensions, u32 type, u64
 * offset. */
static bool damage_tensor(struct buf *file, const struct tensor *t, enum damage damage) {
    uint8_t *name = find(file, t->name), *dims = name + strlen(t->name) + 4;
    uint8_t *type = dims + 8 * (size_t)t->dim_count;
    uint64_t value;

    switch (damage) {
    case MISSING:
        name[strlen(t->name) - 1] = '~';
        return true;
    case HALF:
    case HUGE_SIZE:
        value = damage == HALF ? t->dims[0] / 2 : UINT64_C(1) << 60;
        memcpy(dims, &value, 8);
        return true;
    case TRANSPOSED:
        memcpy(dims, &t->dims[1], 8);
        memcpy(dims + 8 * (size_t)(t->dim_count > 1), &t->dims[0], 8);
        return t->dim_count > 1 && t->dims[0] != t->dims[1];
    case TYPE:
        memcpy(type, &(uint32_t){99}, 4);
        return true;
    default:
        memcpy(type + 4, &(uint64_t){UINT64_C(1) << 40}, 8);
        return true;
    }
}

static void test_refuses_damaged_tensors_by_name(void **state) {
    CLEANUP(buf_deinit) struct buf sound = {0};
    CLEANUP(buf_deinit) struct buf file = {0};
    struct tensor_file *tensors = NULL;
    struct error error = {0};
    unsigned tried = 0;
    (void)state;

    load(&sound);
    assert_int_equal(gguf_open_memory(sound.bytes, sound.size, &tensors, &error), 0);
    for (size_t i = 0; i < tensor_count(tensors); i++) {
        const struct tensor *t = tensor_at(tensors, i);

        for (enum damage d = MISSING; d < DAMAGES; d++) {
            load(&file);
            if (damage_tensor(&file, t, d)) {
                refuse(&file, file.size, t->name, &error);
                /* A wrong size may be seen first where the next tensor begins. What makes an MLP look as if
                 * its names were the old ones is seen in its other tensors. */
                bool other = (d >= HALF && d <= TRANSPOSED) || strstr(t->name, "ffn_") != NULL;
                if (strstr(error.text, other ? "tensor " : t->name) == NULL) {
                    fail_msg("%s, damage %d: %s", t->name, (int)d, error.text);
                }
                tried++;
            }
        }
    }
    tensor_file_free(tensors);
    assert_true(tried >= 200);
}

static void test_refuses_damaged_metadata_by_key(void **state) {
    static const char *const keys[] = {"general.architecture",
                                       "clip.projector_type",
                                       "clip.vision.image_size",
                                       "clip.vision.patch_size",
                                       "clip.vision.block_count",
                                       "clip.vision.embedding_length",
                                       "clip.vision.feed_forward_length",
                                       "clip.vision.attention.head_count",
                                       "clip.vision.attention.layer_norm_epsilon",
                                       "clip.vision.image_mean",
                                       "clip.vision.image_std"};
    CLEANUP(buf_deinit) struct buf file = {0};
    struct error error;
    (void)state;

    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        load(&file);
        find(&file, keys[i])[strlen(keys[i]) - 1] = '~';
        refuse(&file, file.size, keys[i], &error);
        assert_non_null(strstr(error.text, keys[i]));
    }
    for (size_t i = 2; i < 7; i++) { /* the value, a u32, is behind the type */
        for (uint32_t bits = 0; bits <= 32; bits++) {
            uint32_t value = bits == 32 ? UINT32_MAX : bits == 0 ? 0 : UINT32_C(1) << bits;

            load(&file);
            memcpy(find(&file, keys[i]) + strlen(keys[i]) + 4, &value, sizeof value);
            if (!(i == 4 && value == 2)) { /* what it is */
                refuse(&file, file.size, keys[i], &error);
            }
        }
    }
}

static void test_refuses_cut_files(void **state) {
    CLEANUP(buf_deinit) struct buf file = {0};
    struct error error;
    (void)state;

    load(&file);
    for (size_t i = 0; i < 200; i++) {
        refuse(&file, file.size * i / 200, "a cut file", &error);
    }
}

static void test_refuses_projectors_of_other_models(void **state) {
    CLEANUP(buf_deinit) struct buf file = {0};
    struct error error;
    (void)state;

    load(&file);
    memcpy(find(&file, "gemma3"), "gemma4", 6);
    refuse(&file, file.size, "gemma4", &error);
    assert_int_equal(error.code, ENGINE_E_UNSUPPORTED);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gives_the_rows_of_transformers),
        cmocka_unit_test(test_gives_the_same_bits_for_any_threads_and_instruction_set),
        cmocka_unit_test(test_a_cancelled_picture_leaves_nothing_behind),
        cmocka_unit_test(test_refuses_jobs_without_room_for_rows),
        cmocka_unit_test(test_refuses_damaged_tensors_by_name),
        cmocka_unit_test(test_refuses_damaged_metadata_by_key),
        cmocka_unit_test(test_refuses_cut_files),
        cmocka_unit_test(test_refuses_projectors_of_other_models),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
