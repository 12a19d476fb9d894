/* SPDX-License-Identifier: Apache-2.0
 *
 * Opening models: what is wrong with a file is said by name, and the real models of this project run.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/digest.h"
#include "tests/unit/engine/graph/rig.h"

static void real_path(const char *name, char *out, size_t size) {
    const char *models = getenv("BUCKLER_MODELS"), *home = getenv("HOME");

    if (models != NULL) {
        (void)snprintf(out, size, "%s/%s", models, name);
    } else {
        (void)snprintf(out, size, "%s/.cache/buckler/models/%s", home == NULL ? "" : home, name);
    }
}

/* Opens the tiny model after `spoil` changed it; returns the code and leaves the sentence in *ret_error. */
static int open_spoiled(void (*spoil)(struct tiny_model *m), struct error *ret_error) {
    struct tiny_options options = tiny_default(TINY_F32);
    struct tiny_model tiny;
    struct engine *engine;
    struct engine_model *model = NULL;
    char path[64];

    tiny_init(&tiny, &options);
    spoil(&tiny);
    tiny_write(&tiny, path);
    assert_int_equal(engine_open(&(struct engine_options){.threads = 1}, &engine, ret_error), 0);
    int r = engine_model_open(engine, path, &model, ret_error);
    engine_model_unref(model);
    engine_free(engine);
    assert_int_equal(unlink(path), 0);
    tiny_deinit(&tiny);
    return r;
}

static void rename_down(struct tiny_model *m) {
    strcpy(tiny_find(m, "blk.7.ffn_down.weight")->name, "blk.7.ffn_dawn.weight");
}

static void transpose_key(struct tiny_model *m) {
    struct tiny_tensor *t = tiny_find(m, "blk.2.attn_q.weight");
    uint32_t cols = t->cols;

    t->cols = t->rows;
    t->rows = cols;
}

static void forget_layers(struct tiny_model *m) {
    m->options.layers = 13;
}

static void shrink_window(struct tiny_model *m) {
    m->options.window = 0;
}

static void odd_heads(struct tiny_model *m) {
    m->options.kv_heads = 3;
}

static void odd_head_size(struct tiny_model *m) {
    m->options.head_size = 24;
}

static void test_says_which_tensor_does_not_fit(void **state) {
    (void)state;
    struct error e = {0};

    assert_int_equal(open_spoiled(rename_down, &e), ENGINE_E_FORMAT);
    assert_non_null(strstr(e.text, "the tensor blk.7.ffn_down.weight is missing"));
    assert_int_equal(open_spoiled(transpose_key, &e), ENGINE_E_FORMAT);
    assert_non_null(strstr(e.text, "the tensor blk.2.attn_q.weight is 128 × 64 × 1 × 1, expected 64 × 128"));
    assert_int_equal(open_spoiled(forget_layers, &e), ENGINE_E_FORMAT);
    assert_non_null(strstr(e.text, "blk.12.attn_norm.weight is missing"));
}

static void test_says_which_metadata_do_not_fit(void **state) {
    (void)state;
    struct error e = {0};

    assert_int_equal(open_spoiled(shrink_window, &e), ENGINE_E_FORMAT);
    assert_non_null(strstr(e.text, "gemma3.attention.sliding_window is 0"));
    assert_int_equal(open_spoiled(odd_heads, &e), ENGINE_E_FORMAT);
    assert_non_null(strstr(e.text, "4 heads, 3 key heads"));
    assert_int_equal(open_spoiled(odd_head_size, &e), ENGINE_E_UNSUPPORTED);
    assert_non_null(strstr(e.text, "not multiples"));
}

static void test_refuses_what_is_not_a_model(void **state) {
    (void)state;
    struct engine *engine;
    struct engine_model *model;
    struct engine_model_info info;
    struct error e = {0};

    assert_int_equal(engine_open(&(struct engine_options){.threads = 1}, &engine, &e), 0);
    assert_int_equal(engine_model_open(engine, "/does/not/exist", &model, &e), -2);
    assert_int_equal(engine_model_open(engine, "/dev/null", &model, &e), ENGINE_E_FORMAT);
    assert_int_equal(engine_model_open(engine, "/proc/self/exe", &model, &e), ENGINE_E_FORMAT);
    assert_int_equal(engine_inspect("/proc/self/exe", &info, &e), ENGINE_E_FORMAT);
    engine_free(engine);
}

static void test_refuses_options_out_of_range(void **state) {
    (void)state;
    const struct engine_options bad[] = {
        {.threads = 257}, {.step_tokens = 65537}, {.kv_tokens = (1 << 24) + 1}};
    struct engine *engine;
    struct error e = {0};

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(engine_open(&bad[i], &engine, &e), ENGINE_E_INVALID);
    }
    struct engine_options set = {.threads = 1, .instruction_set = "abacus"};
    assert_int_equal(engine_open(&set, &engine, &e), ENGINE_E_UNSUPPORTED);
}

static void test_information_is_the_same_before_and_after_opening(void **state) {
    (void)state;
    struct tiny_options options = tiny_default(TINY_MIXED);
    struct tiny_model tiny;
    struct rig rig = {0};
    struct engine_model_info before;
    uint8_t digest[DIGEST_BYTES];
    char path[64], hex[DIGEST_HEX_SIZE];
    struct error e = {0};

    tiny_init(&tiny, &options);
    tiny_write(&tiny, path);
    assert_int_equal(engine_inspect(path, &before, &e), 0);
    rig_open_written(&rig, path, (struct engine_options){0});
    assert_int_equal(digest_file(path, digest, &e), 0);
    hex_encode(digest, sizeof digest, hex);
    const struct engine_model_info *after = engine_model_info(rig.model);
    assert_string_equal(after->digest, hex);
    assert_int_equal(strlen(after->tokenizer_digest), 64);
    assert_string_equal(before.architecture, "gemma3");
    assert_string_equal(before.name, "tiny");
    assert_int_equal(after->bos, 2);
    assert_memory_equal(&before, after, sizeof before);
    assert_int_equal(after->kv_bytes, 8192ull * 12 * 2 * 64 * 4);
    assert_int_equal(unlink(path), 0);
    rig_close(&rig);
    tiny_deinit(&tiny);
}

static void test_reading_every_value_finds_the_one_that_is_none(void **state) {
    (void)state;
    struct tiny_options options = tiny_default(TINY_F32);
    struct tiny_model tiny;
    struct error e = {0};
    char path[64];

    tiny_init(&tiny, &options);
    tiny_write(&tiny, path);
    assert_int_equal(engine_verify(path, NULL, NULL, &e), 0);
    assert_int_equal(unlink(path), 0);
    tiny_find(&tiny, "blk.3.ffn_up.weight")->values[64 * 7 + 5] = NAN;
    tiny_write(&tiny, path);
    assert_int_equal(engine_verify(path, NULL, NULL, &e), ENGINE_E_NOT_FINITE);
    assert_non_null(strstr(e.text, "the tensor blk.3.ffn_up.weight holds a NaN or an infinity in row 7"));
    assert_int_equal(unlink(path), 0);
    tiny_deinit(&tiny);
}

static void test_says_what_a_file_is_that_cannot_run(void **state) {
    (void)state;
    struct tiny_options options = tiny_default(TINY_F32);
    struct tiny_model tiny;
    struct engine_model_info info;
    struct error e = {0};
    char path[64];

    tiny_init(&tiny, &options);
    tiny.options.kv_heads = 3;
    tiny_write(&tiny, path);
    assert_int_equal(engine_inspect(path, &info, &e), ENGINE_E_FORMAT);
    assert_non_null(strstr(e.text, "3 key heads"));
    assert_int_equal(info.kind, ENGINE_MODEL_TEXT);
    assert_string_equal(info.architecture, "gemma3");
    assert_int_equal(strlen(info.digest), 64);
    assert_int_equal(info.layers, 0); /* its shape makes no sense */
    assert_true(info.parameters > 0);
    assert_int_equal(unlink(path), 0);
    tiny_deinit(&tiny);
    assert_int_equal(engine_inspect("/dev/null", &info, &e), ENGINE_E_FORMAT);
    assert_int_equal(info.kind, ENGINE_MODEL_INVALID);
}

static void test_a_model_lives_until_its_last_job_is_done(void **state) {
    (void)state;
    struct tiny_options options = tiny_default(TINY_Q8_0);
    struct rig rig = {0};
    struct rig_job j;
    struct error e = {0};

    rig_open(&rig, &options, (struct engine_options){.threads = 2, .step_tokens = 4});
    rig_job_init(&j, &rig, 1, 200);
    assert_int_equal(engine_submit(rig.engine, &j.job, &e), 0);
    assert_ptr_equal(engine_model_ref(rig.model), rig.model);
    assert_null(engine_model_unref(rig.model));
    assert_null(engine_model_unref(rig.model));
    while (engine_reap(rig.engine) == NULL) {
        struct engine_job wake = {.kind = ENGINE_JOB_INVALID};
        assert_int_equal(engine_submit(rig.engine, &wake, &e), ENGINE_E_INVALID);
    }
    assert_int_equal(j.job.status, 0);
    rig.model = NULL;
    rig_close(&rig);
}

static void test_the_real_text_model_goes_on_as_it_should(void **state) {
    (void)state;
    static const char text[] = "Monday, Tuesday, Wednesday,";
    struct engine *engine;
    struct engine_model *model;
    struct error e = {0};
    char path[512];
    uint32_t *tokens, *offsets;
    size_t count, size;
    float next;

    real_path("gemma-3-270m-q4_k_m.gguf", path, sizeof path);
    assert_int_equal(engine_open(&(struct engine_options){.threads = 2}, &engine, &e), 0);
    if (engine_model_open(engine, path, &model, &e) != 0) {
        fail_msg("%s", e.text);
    }
    const struct engine_model_info *info = engine_model_info(model);
    assert_int_equal(info->kind, ENGINE_MODEL_TEXT);
    assert_int_equal(info->parameters, 268098176);
    assert_string_equal(info->types, "F32 ×109, Q5_0 ×81, Q8_0 ×10, Q4_K ×27, Q6_K ×9");
    assert_int_equal(
        engine_tokenize(model, text, strlen(text), ENGINE_TOKENIZE_BOS, &tokens, &offsets, &count, &e), 0);
    struct engine_readout readout = {.kind = ENGINE_READ_NEXT, .out = &next};
    assert_int_equal(engine_run_path(engine, model, tokens, (uint32_t)count, readout, &e), 0);
    const char *piece = engine_piece(model, (uint32_t)next, &size);
    assert_int_equal(size, strlen(" Thursday"));
    assert_memory_equal(piece, " Thursday", size);
    free(tokens);
    free(offsets);
    engine_model_unref(model);
    engine_free(engine);
}

static void test_the_real_image_model_scores_pictures_one_by_one(void **state) {
    (void)state;
    enum { PICTURES = 3 };
    struct engine *engine;
    struct engine_model *model;
    struct error e = {0};
    char path[512];
    float scores[PICTURES][2], alone[2];

    real_path("open-nsfw.onnx", path, sizeof path);
    assert_int_equal(engine_open(&(struct engine_options){.threads = 2}, &engine, &e), 0);
    if (engine_model_open(engine, path, &model, &e) != 0) {
        fail_msg("%s", e.text);
    }
    const struct engine_model_info *info = engine_model_info(model);
    assert_int_equal(info->kind, ENGINE_MODEL_IMAGE_CLASSIFIER);
    size_t bytes = (size_t)info->image_width * info->image_height * 3;
    uint8_t *pixels = malloc(PICTURES * bytes);
    assert_non_null(pixels);
    for (size_t i = 0; i < PICTURES * bytes; i++) {
        pixels[i] = (uint8_t)(i * (i / bytes + 1) / 7);
    }
    struct engine_job job = {.kind = ENGINE_JOB_IMAGES,
                             .model = model,
                             .pixels = pixels,
                             .image_count = PICTURES,
                             .out_scores = scores[0]};
    assert_int_equal(engine_run(engine, &job), 0);
    for (size_t i = 0; i < PICTURES; i++) {
        assert_true(fabsf(scores[i][0] + scores[i][1] - 1.0F) < 1e-5F);
        job.pixels = pixels + i * bytes;
        job.image_count = 1;
        job.out_scores = alone;
        assert_int_equal(engine_run(engine, &job), 0);
        assert_memory_equal(alone, scores[i], sizeof alone);
    }
    job.model = NULL;
    assert_int_equal(engine_run(engine, &job), ENGINE_E_INVALID);
    free(pixels);
    engine_model_unref(model);
    engine_free(engine);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_says_which_tensor_does_not_fit),
        cmocka_unit_test(test_says_which_metadata_do_not_fit),
        cmocka_unit_test(test_refuses_what_is_not_a_model),
        cmocka_unit_test(test_refuses_options_out_of_range),
        cmocka_unit_test(test_information_is_the_same_before_and_after_opening),
        cmocka_unit_test(test_reading_every_value_finds_the_one_that_is_none),
        cmocka_unit_test(test_says_what_a_file_is_that_cannot_run),
        cmocka_unit_test(test_a_model_lives_until_its_last_job_is_done),
        cmocka_unit_test(test_the_real_text_model_goes_on_as_it_should),
        cmocka_unit_test(test_the_real_image_model_scores_pictures_one_by_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
