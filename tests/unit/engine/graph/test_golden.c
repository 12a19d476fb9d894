/* SPDX-License-Identifier: Apache-2.0
 *
 * The real Gemma 3 270M against what transformers computes in float32 from the same weights
 * (tests/golden/logits_fixture.py), with reference arithmetic and on the default path.
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

enum { MOST_TOKENS = 2048, MOST_IDS = 16, LINE_BYTES = 65536, YES = 5, NO = 6 };

struct golden {
    uint32_t tokens[MOST_TOKENS];
    uint32_t count;
    uint32_t ids[MOST_IDS];
    float logits[MOST_IDS];
    uint32_t id_count;
};

static void parse(char *line, struct golden *ret) {
    char *end = line;
    *ret = (struct golden){0};
    for (char *at = line; *at != ':'; at = end + 1) {
        assert_true(ret->count < MOST_TOKENS);
        ret->tokens[ret->count++] = (uint32_t)strtoul(at, &end, 10);
        assert_ptr_not_equal(at, end);
    }
    char *at = strchr(line, ':') + 2;
    while (*at != '\0' && *at != '\n') {
        assert_true(ret->id_count < MOST_IDS);
        ret->ids[ret->id_count] = (uint32_t)strtoul(at, &end, 10);
        ret->logits[ret->id_count++] = strtof(end, &end);
        at = *end == ' ' ? end + 1 : end;
    }
}

static void model_path(char *out, size_t size) {
    const char *folder = getenv("BUCKLER_MODELS");
    const char *home = getenv("HOME");
    int used = folder != NULL
                   ? snprintf(out, size, "%s/gemma-3-270m-q4_k_m.gguf", folder)
                   : snprintf(out, size, "%s/.cache/buckler/models/gemma-3-270m-q4_k_m.gguf", home);
    assert_true(used > 0 && (size_t)used < size);
}

/* Every logit within `most`, and Yes - No within `yes_no`. */
static void compare_all(struct engine_options options, double most, double yes_no) {
    char path[1024];
    struct engine *engine = NULL;
    struct engine_model *model = NULL;
    struct error error = {0};
    static struct golden golden;
    static char line[LINE_BYTES];
    model_path(path, sizeof path);
    assert_int_equal(engine_open(&options, &engine, &error), 0);
    if (engine_model_open(engine, path, &model, &error) != 0) {
        fail_msg("%s", error.text);
    }
    FILE *file = fopen(BUCKLER_SOURCE_DIR "/tests/golden/gemma3_270m_logits.txt", "re");
    assert_non_null(file);
    int lines = 0;
    for (; fgets(line, sizeof line, file) != NULL; lines++) {
        float out[MOST_IDS];
        parse(line, &golden);
        struct engine_readout readout = {
            .kind = ENGINE_READ_LOGITS, .ids = golden.ids, .id_count = golden.id_count, .out = out};
        struct error e = {0};
        assert_int_equal(engine_run_path(engine, model, golden.tokens, golden.count, readout, &e), 0);
        for (uint32_t i = 0; i < golden.id_count; i++) {
            if (!(fabs((double)out[i] - (double)golden.logits[i]) <= most)) {
                fail_msg("line %d, id %u: %f instead of %f", lines + 1, golden.ids[i], (double)out[i],
                         (double)golden.logits[i]);
            }
        }
        double ours = (double)out[YES] - (double)out[NO];
        double theirs = (double)golden.logits[YES] - (double)golden.logits[NO];
        assert_true(fabs(ours - theirs) <= yes_no);
    }
    (void)fclose(file);
    assert_int_equal(lines, 9);
    (void)engine_model_unref(model);
    (void)engine_free(engine);
}

static void test_reference_arithmetic_equals_transformers(void **state) {
    (void)state;
    compare_all((struct engine_options){.threads = 2, .reference = true}, 0.03, 0.03);
}

static void test_default_path_is_close_to_transformers(void **state) {
    (void)state;
    compare_all((struct engine_options){.threads = 2}, 1.0, 0.2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reference_arithmetic_equals_transformers),
        cmocka_unit_test(test_default_path_is_close_to_transformers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
