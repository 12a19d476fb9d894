/* SPDX-License-Identifier: Apache-2.0
 *
 * A LoRA over a tiny model: against the definition with the sums merged into the weights, with the same bits
 * however the work is cut, and beside a base that does not notice.
 */
#include <errno.h>
#include <math.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/lib/adapter_writer.h"
#include "tests/unit/engine/graph/rig.h"

enum { TOKENS = 40, HIDDEN = 64, MOST_VALUES = 256 * 32, LOGITS = TOKENS * TINY_VOCABULARY };

static const struct {
    const char *gguf, *hf;
} matrices[] = {
    {"attn_q", "self_attn.q_proj"},      {"attn_k", "self_attn.k_proj"}, {"attn_v", "self_attn.v_proj"},
    {"attn_output", "self_attn.o_proj"}, {"ffn_gate", "mlp.gate_proj"},  {"ffn_up", "mlp.up_proj"},
    {"ffn_down", "mlp.down_proj"},
};

enum { MATRICES = sizeof matrices / sizeof matrices[0], EVERY = (1 << MATRICES) - 1 };

/* What to write, and which mistakes. */
struct plan {
    uint32_t rank, seed;
    unsigned which; /* bits of `matrices` */
    bool mlx;
    const char *dtype;
    uint32_t first_layer, end_layer;
    uint32_t more_cols, more_rows; /* of the last tensors */
    float bad;                     /* a value of the last A */
    const char *config;            /* NULL: one that fits */
};

static struct plan plan_default(void) {
    return (struct plan){.rank = 5, .seed = 1, .which = EVERY, .dtype = "F32", .end_layer = 12};
}

/* Multiples of 1/64 in ±1/2: exact in every type. */
static void draw(uint32_t *state, float *out, size_t count) {
    assert_true(count <= MOST_VALUES);
    for (size_t i = 0; i < count; i++) {
        *state = *state * 1664525U + 1013904223U;
        out[i] = ((float)(*state >> 26) - 32.0F) / 64.0F;
    }
}

static void write_bytes(const char *folder, const char *name, const void *bytes, size_t size) {
    char path[256];

    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static const float SCALE = 0.375F;

/* The stored [rows, cols], or the transposed of it for MLX. */
static void put(struct adapter_writer *w, const struct plan *p, const char *name, uint32_t rows,
                uint32_t cols, const float *values) {
    float turned[MOST_VALUES];

    if (!p->mlx) {
        adapter_write_tensor(w, name, p->dtype, rows, cols, values);
        return;
    }
    for (uint32_t r = 0; r < rows; r++) {
        for (uint32_t c = 0; c < cols; c++) {
            turned[(size_t)c * rows + r] = values[(size_t)r * cols + c];
        }
    }
    adapter_write_tensor(w, name, p->dtype, cols, rows, turned);
}

/* One matrix: into the file, and with `merged` also into the weights. */
static void put_matrix(struct adapter_writer *w, const struct plan *p, uint32_t layer, uint32_t matrix,
                       uint32_t *state, struct tiny_model *shapes, struct tiny_model *merged) {
    float a[MOST_VALUES], b[MOST_VALUES];
    bool last = layer + 1 == p->end_layer && (p->which >> (matrix + 1)) == 0;
    char name[128];

    (void)snprintf(name, sizeof name, "blk.%u.%s.weight", layer % shapes->options.layers,
                   matrices[matrix].gguf);
    struct tiny_tensor *t = tiny_find(shapes, name);
    uint32_t cols = t->cols + (last ? p->more_cols : 0), rows = t->rows + (last ? p->more_rows : 0);
    draw(state, a, (size_t)p->rank * cols);
    draw(state, b, (size_t)p->rank * rows);
    a[7] = last && p->bad != 0 ? p->bad : a[7];
    (void)snprintf(name, sizeof name, "%smodel.layers.%u.%s.lora_%s", p->mlx ? "" : "base_model.model.",
                   layer, matrices[matrix].hf, p->mlx ? "a" : "A.weight");
    put(w, p, name, p->rank, cols, a);
    (void)snprintf(name, sizeof name, "%smodel.layers.%u.%s.lora_%s", p->mlx ? "" : "base_model.model.",
                   layer, matrices[matrix].hf, p->mlx ? "b" : "B.weight");
    put(w, p, name, rows, p->rank, b);
    for (uint32_t r = 0; merged != NULL && r < rows; r++) {
        for (uint32_t c = 0; c < cols; c++) {
            double sum = 0;
            for (uint32_t i = 0; i < p->rank; i++) {
                sum += (double)b[(size_t)r * p->rank + i] * a[(size_t)i * cols + c];
            }
            t->values[(size_t)r * cols + c] += (float)(sum * SCALE);
        }
    }
}

/* A new folder with the adapter. */
static void write_adapter(const struct plan *p, struct tiny_model *shapes, bool merge, char folder[64]) {
    struct adapter_writer w = {0};
    struct buf file = {0};
    uint32_t state = p->seed;
    char config[256];
    const char *temporary = getenv("TMPDIR");

    for (uint32_t layer = p->first_layer; layer < p->end_layer; layer++) {
        for (uint32_t matrix = 0; matrix < MATRICES; matrix++) {
            if (p->which >> matrix & 1) {
                put_matrix(&w, p, layer, matrix, &state, shapes, merge ? shapes : NULL);
            }
        }
    }
    adapter_write_file(&w, &file);
    (void)snprintf(folder, 64, "%.40s/adapter-XXXXXX", temporary == NULL ? "/tmp" : temporary);
    assert_non_null(mkdtemp(folder));
    (void)snprintf(config, sizeof config,
                   p->mlx ? "{\"lora_parameters\":{\"rank\":%u,\"scale\":%.9g}}"
                          : "{\"r\":%u,\"lora_alpha\":%.9g}",
                   p->rank, (double)SCALE * (p->mlx ? 1 : p->rank));
    write_bytes(folder, "adapter_config.json", p->config != NULL ? p->config : config,
                strlen(p->config != NULL ? p->config : config));
    write_bytes(folder, p->mlx ? "adapters.safetensors" : "adapter_model.safetensors", file.bytes, file.size);
    buf_deinit(&file);
}

static void remove_adapter(const char *folder) {
    static const char *const names[] = {"adapter_config.json", "adapters.safetensors",
                                        "adapter_model.safetensors"};
    char path[256];

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        assert_true(unlink(path) == 0 || errno == ENOENT);
    }
    assert_int_equal(rmdir(folder), 0);
}

/* The same rig with the adapted model in it; unref it before the base. */
static struct rig adapted(struct rig *base, const char *folder) {
    struct rig rig = *base;
    struct error e = {0};

    if (engine_adapter_open(base->engine, base->model, folder, &rig.model, &e) != 0) {
        fail_msg("%s", e.text);
    }
    return rig;
}

/* ---- tests ---- */

static float *new_floats(size_t count) {
    float *p = calloc(count, sizeof *p);

    assert_non_null(p);
    return p;
}

static double difference_from_merged(const struct plan *p, enum tiny_types types,
                                     struct engine_options options, double *ret_scale) {
    struct tiny_options tiny = tiny_default(types);
    struct rig base = {0};
    char folder[64];
    uint32_t tokens[TOKENS];
    double x[TOKENS * HIDDEN], difference = 0, scale = 0, moved = 0;
    double *expected = calloc(LOGITS, sizeof *expected);
    float *out = new_floats(LOGITS), *plain = new_floats(LOGITS);

    assert_non_null(expected);
    rig_open(&base, &tiny, options);
    rig_tokens(1, tokens, TOKENS);
    rig_logits(&base, tokens, TOKENS, plain);
    write_adapter(p, &base.tiny, true, folder);
    struct rig over = adapted(&base, folder);
    rig_logits(&over, tokens, TOKENS, out);
    tiny_forward(&base.tiny, tokens, TOKENS, tiny.layers, x, expected);
    for (size_t i = 0; i < LOGITS; i++) {
        difference = fmax(difference, fabs(out[i] - expected[i]));
        scale = fmax(scale, fabs(expected[i]));
        moved = fmax(moved, fabs((double)out[i] - (double)plain[i]));
    }
    assert_true(moved > 0.1 * scale); /* the adapter matters */
    *ret_scale = scale;
    engine_model_unref(over.model);
    rig_close(&base);
    remove_adapter(folder);
    free(expected);
    free(out);
    free(plain);
    return difference;
}

static void test_logits_are_those_of_the_merged_weights(void **state) {
    (void)state;
    static const char *const sets[] = {"portable", NULL};
    static const char *const dtypes[] = {"F32", "F16", "BF16"};
    double scale;

    for (size_t i = 0; i < 6; i++) {
        struct plan p = plan_default();

        p.dtype = dtypes[i / 2];
        p.mlx = i % 2 != 0;
        p.rank = i == 0 ? 1 : i == 1 ? 16 : 5;
        struct engine_options options = {.threads = 2, .reference = true, .instruction_set = sets[i % 2]};
        assert_true(difference_from_merged(&p, TINY_MIXED, options, &scale) < 2e-4);
    }
}

static void test_only_some_matrices_of_some_layers_may_be_named(void **state) {
    (void)state;
    struct engine_options options = {.threads = 2, .reference = true};
    double scale;

    for (uint32_t matrix = 0; matrix < MATRICES; matrix++) {
        struct plan p = plan_default();

        p.which = 1U << matrix;
        p.first_layer = 3;
        p.rank = 11;
        assert_true(difference_from_merged(&p, TINY_F32, options, &scale) < 2e-4);
        p.which = EVERY & ~p.which;
        p.end_layer = 9;
        assert_true(difference_from_merged(&p, TINY_F32, options, &scale) < 2e-4);
    }
}

static void test_eight_bit_activations_stay_near_the_merged_weights(void **state) {
    (void)state;
    struct engine_options options = {.threads = 2};
    struct plan p = plan_default();
    double scale, difference = difference_from_merged(&p, TINY_Q8_0, options, &scale);

    assert_true(difference > 1e-5); /* it did take the packed path */
    assert_true(difference < 0.05 * scale);
}

static void test_bits_depend_on_neither_threads_nor_steps_nor_instructions(void **state) {
    (void)state;
    const struct engine_options variants[] = {
        {.threads = 2},
        {.threads = 3, .step_tokens = 7},
        {.threads = 2, .step_tokens = 1},
        {.threads = 1, .step_tokens = 17, .instruction_set = "portable"},
        {.threads = 2, .instruction_set = "portable"},
    };
    struct tiny_options options = tiny_default(TINY_MIXED);
    struct plan p = plan_default();
    struct tiny_model tiny;
    char path[64], folder[64];
    uint32_t tokens[TOKENS];
    float *expected = new_floats(LOGITS), *out = new_floats(LOGITS);

    tiny_init(&tiny, &options);
    tiny_write(&tiny, path);
    write_adapter(&p, &tiny, false, folder);
    rig_tokens(2, tokens, TOKENS);
    for (size_t i = 0; i <= sizeof variants / sizeof variants[0]; i++) {
        struct rig base = {0};

        rig_open_written(&base, path, i == 0 ? (struct engine_options){.threads = 1} : variants[i - 1]);
        struct rig over = adapted(&base, folder);
        rig_logits(&over, tokens, TOKENS, i == 0 ? expected : out);
        if (i > 0) {
            assert_memory_equal(out, expected, LOGITS * sizeof *out);
        }
        engine_model_unref(over.model);
        engine_model_unref(base.model);
        engine_free(base.engine);
    }
    remove_adapter(folder);
    assert_int_equal(unlink(path), 0);
    tiny_deinit(&tiny);
    free(expected);
    free(out);
}

static void test_several_adapters_and_their_base_leave_each_other_alone(void **state) {
    (void)state;
    struct tiny_options options = tiny_default(TINY_Q8_0);
    struct plan plans[2] = {plan_default(), plan_default()};
    struct rig rigs[3] = {{0}};
    char folders[2][64];
    struct rig_job alone[3], together[3];

    rig_open(&rigs[0], &options, (struct engine_options){.threads = 2});
    for (int i = 0; i < 2; i++) {
        plans[i].seed = 10 + (uint32_t)i;
        write_adapter(&plans[i], &rigs[0].tiny, false, folders[i]);
        rigs[1 + i] = adapted(&rigs[0], folders[i]);
        remove_adapter(folders[i]); /* nothing is read again */
    }
    for (int i = 0; i < 3; i++) {
        rig_job_init(&alone[i], &rigs[i], 5, 100);
        assert_int_equal(engine_run(rigs[0].engine, &alone[i].job), 0);
        rig_job_init(&together[i], &rigs[i], 5, 100);
    }
    assert_memory_not_equal(alone[0].out, alone[1].out, sizeof alone[0].out);
    assert_memory_not_equal(alone[1].out, alone[2].out, sizeof alone[0].out);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(engine_submit(rigs[0].engine, &together[i].job, NULL), 0);
    }
    engine_model_unref(rigs[0].model); /* the adapted ones hold it */
    for (int done = 0; done < 3;) {
        struct pollfd ready = {.fd = engine_eventfd(rigs[0].engine), .events = POLLIN};

        assert_int_equal(poll(&ready, 1, -1), 1);
        while (engine_reap(rigs[0].engine) != NULL) {
            done++;
        }
    }
    for (int i = 0; i < 3; i++) {
        assert_int_equal(together[i].job.status, 0);
        assert_memory_equal(together[i].out, alone[i].out, sizeof alone[i].out);
    }
    engine_model_unref(rigs[1].model);
    assert_int_equal(engine_token_id(rigs[2].model, "w300"), 300);
    engine_model_unref(rigs[2].model);
    engine_free(rigs[0].engine);
    tiny_deinit(&rigs[0].tiny);
}

static void test_says_what_it_is_and_what_it_adds(void **state) {
    (void)state;
    struct tiny_options options = tiny_default(TINY_F32);
    struct plan p = plan_default();
    struct rig base = {0};
    char folder[64];

    rig_open(&base, &options, (struct engine_options){.threads = 1, .reference = true});
    write_adapter(&p, &base.tiny, false, folder);
    struct rig over = adapted(&base, folder);
    const struct engine_model_info *of_base = engine_model_info(base.model);
    const struct engine_model_info *info = engine_model_info(over.model);
    assert_string_equal(info->digest, of_base->digest);
    assert_string_equal(info->tokenizer_digest, of_base->tokenizer_digest);
    assert_string_equal(of_base->adapter_digest, "");
    assert_int_equal(strlen(info->adapter_digest), 64);
    assert_true(info->resident_bytes > 0 && info->resident_bytes < of_base->resident_bytes);
    assert_int_equal(info->kv_bytes, of_base->kv_bytes);
    engine_model_unref(over.model);
    rig_close(&base);
    remove_adapter(folder);
}

static void refused(struct rig *base, const char *path, int code, const char *sentence) {
    struct engine_model *model = NULL;
    struct error e = {0};
    int r = engine_adapter_open(base->engine, base->model, path, &model, &e);

    if (r != code || model != NULL || strstr(e.text, sentence) == NULL) {
        fail_msg("%d, \"%s\" does not say \"%s\"", r, e.text, sentence);
    }
}

static void test_refuses_what_does_not_fit_the_base(void **state) {
    (void)state;
    const struct {
        uint32_t end_layer, more_cols, more_rows;
        float bad;
        const char *dtype, *sentence;
    } cases[] = {
        {13, 0, 0, 0, "F32", "layers.12.self_attn.q_proj.lora_A.weight is for a layer beyond the base's 12"},
        {12, 1, 0, 0, "F32", "layers.11.mlp.down_proj.lora_A.weight is 5 × 97"},
        {12, 0, 1, 0, "F32", "layers.11.mlp.down_proj.lora_B.weight is 65 × 5"},
        {12, 0, 0, NAN, "F32", "layers.11.mlp.down_proj.lora_A.weight holds a value that is not finite"},
        {12, 0, 0, INFINITY, "BF16", "not finite"},
        {12, 0, 0, -INFINITY, "F32", "not finite"},
    };
    struct tiny_options options = tiny_default(TINY_F32);
    struct rig base = {0};
    char folder[64];

    rig_open(&base, &options, (struct engine_options){.threads = 1});
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct plan p = plan_default();

        p.end_layer = cases[i].end_layer;
        p.more_cols = cases[i].more_cols;
        p.more_rows = cases[i].more_rows;
        p.bad = cases[i].bad;
        p.dtype = cases[i].dtype;
        write_adapter(&p, &base.tiny, false, folder);
        refused(&base, folder, ENGINE_E_FORMAT, cases[i].sentence);
        remove_adapter(folder);
    }
    struct plan huge = plan_default();
    huge.config = "{\"r\":5,\"lora_alpha\":1e40}";
    write_adapter(&huge, &base.tiny, false, folder);
    refused(&base, folder, ENGINE_E_FORMAT, "out of range");
    remove_adapter(folder);
    rig_close(&base);
}

static void test_refuses_paths_without_one_adapter(void **state) {
    (void)state;
    struct tiny_options options = tiny_default(TINY_F32);
    struct plan p = plan_default();
    struct rig base = {0};
    char folder[64], path[128];

    rig_open(&base, &options, (struct engine_options){.threads = 1});
    write_adapter(&p, &base.tiny, false, folder);
    (void)snprintf(path, sizeof path, "%s/adapter_model.safetensors", folder);
    struct rig over = adapted(&base, path); /* the file as well as its folder */
    refused(&over, path, ENGINE_E_UNSUPPORTED, "has none yet");
    engine_model_unref(over.model);
    write_bytes(folder, "adapters.safetensors", "x", 1);
    refused(&base, folder, ENGINE_E_FORMAT, "holds two adapters");
    (void)snprintf(path, sizeof path, "%s/adapters.safetensors", folder);
    refused(&base, path, ENGINE_E_FORMAT, "not a safetensors file");
    write_bytes(folder, "adapters.safetensors", "", 0);
    refused(&base, path, ENGINE_E_FORMAT, "empty");
    (void)snprintf(path, sizeof path, "%s/adapter_config.json", folder);
    assert_int_equal(unlink(path), 0);
    (void)snprintf(path, sizeof path, "%s/adapter_model.safetensors", folder);
    refused(&base, path, -ENOENT, "adapter_config.json");
    assert_int_equal(unlink(path), 0);
    refused(&base, path, -ENOENT, "cannot be opened");
    (void)snprintf(path, sizeof path, "%s/adapters.safetensors", folder);
    assert_int_equal(unlink(path), 0);
    refused(&base, folder, ENGINE_E_FORMAT, "holds neither");
    remove_adapter(folder);
    rig_close(&base);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_logits_are_those_of_the_merged_weights),
        cmocka_unit_test(test_only_some_matrices_of_some_layers_may_be_named),
        cmocka_unit_test(test_eight_bit_activations_stay_near_the_merged_weights),
        cmocka_unit_test(test_bits_depend_on_neither_threads_nor_steps_nor_instructions),
        cmocka_unit_test(test_several_adapters_and_their_base_leave_each_other_alone),
        cmocka_unit_test(test_says_what_it_is_and_what_it_adds),
        cmocka_unit_test(test_refuses_what_does_not_fit_the_base),
        cmocka_unit_test(test_refuses_paths_without_one_adapter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
