/* SPDX-License-Identifier: Apache-2.0
 *
 * Adapters as files: what three writers call their tensors, and everything that is refused with a sentence.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/engine.h"
#include "engine/formats/adapter.h"
#include "engine/kernels/kernels.h"
#include "tests/lib/adapter_writer.h"
#include "tests/lib/gguf_writer.h"

#define ENTRY(name, dtype, shape, offsets)                                                                   \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":[" shape "],\"data_offsets\":[" offsets "]}"
#define Q "base_model.model.model.layers.0.self_attn.q_proj"
#define A(name) ENTRY(name, "F32", "2,4", "0,32")
#define B(name) ENTRY(name, "F32", "4,2", "32,64")
#define PAIR(a, b) "{" A(a) "," B(b) "}"
#define SOUND PAIR(Q ".lora_A.weight", Q ".lora_B.weight")
#define CONFIG "{\"peft_type\":\"LORA\",\"r\":2,\"lora_alpha\":6,\"bias\":\"none\"}"
#define WITH(more) "{\"r\":2,\"lora_alpha\":6," more "}"
#define MLX_CONFIG "{\"fine_tune_type\":\"lora\",\"lora_parameters\":{\"rank\":2,\"scale\":20.0}}"
#define MLX_A ENTRY("model.layers.0.mlp.up_proj.lora_a", "F32", "4,2", "0,32")
#define MLX_B ENTRY("model.layers.0.mlp.up_proj.lora_b", "F32", "2,4", "32,64")
#define MLX "{" MLX_A "," MLX_B "}"

enum { DATA = 64 };

static int open_texts(const char *config, const char *header, size_t data, struct adapter_file **ret,
                      struct error *e) {
    struct buf all = {0};

    adapter_write_raw(header, data, &all);
    /* Exact allocations, so that a sanitizer sees a read of one byte too many. */
    char *exact = malloc(all.size), *exact_config = malloc(strlen(config) + (config[0] == '\0'));
    assert_true(exact != NULL && exact_config != NULL);
    memcpy(exact, all.bytes, all.size);
    memcpy(exact_config, config, strlen(config));
    int r = adapter_file_open_memory(exact, all.size, exact_config, strlen(config), ret, e);
    free(exact); /* the directory still points there, and nobody here looks at values */
    free(exact_config);
    buf_deinit(&all);
    return r;
}

static float scale_of(const char *config, const char *header, uint32_t layer, enum adapter_target target) {
    struct adapter_file *f = NULL;
    struct error e = {0};

    if (open_texts(config, header, DATA, &f, &e) != 0) {
        fail_msg("%s", e.text);
    }
    const struct adapter_pair *p = &f->pairs[layer][target];
    assert_true(p->a != NULL && p->b != NULL);
    assert_int_equal(p->rank, 2);
    float scale = p->scale;
    adapter_file_free(f);
    return scale;
}

static void test_takes_names_with_and_without_what_peft_puts_around_them(void **state) {
    (void)state;
    assert_true(scale_of(CONFIG, SOUND, 0, ADAPTER_ATTN_Q) == 3.0F);
    assert_true(scale_of(CONFIG,
                         PAIR("model.layers.7.self_attn.o_proj.lora_A.default.weight",
                              "model.layers.7.self_attn.o_proj.lora_B.default.weight"),
                         7, ADAPTER_ATTN_OUTPUT) == 3.0F);
    assert_true(scale_of(CONFIG,
                         PAIR("base_model.model.model.language_model.layers.255.mlp.down_proj.lora_A.weight",
                              "base_model.model.model.language_model.layers.255.mlp.down_proj.lora_B.weight"),
                         255, ADAPTER_FFN_DOWN) == 3.0F);
    assert_true(scale_of(MLX_CONFIG, MLX, 0, ADAPTER_FFN_UP) == 20.0F);
}

static void test_scales_as_the_config_says(void **state) {
    (void)state;
    assert_true(scale_of(WITH("\"use_rslora\":true"), SOUND, 0, ADAPTER_ATTN_Q) ==
                (float)(6 / 1.4142135623730951));
    assert_true(scale_of(WITH("\"alpha_pattern\":{\"k_proj\":1,\"q_proj\":5}"), SOUND, 0, ADAPTER_ATTN_Q) ==
                2.5F);
    assert_true(scale_of(WITH("\"alpha_pattern\":{\"layers.0.self_attn.q_proj\":-1}"), SOUND, 0,
                         ADAPTER_ATTN_Q) == -0.5F);
    assert_true(scale_of(WITH("\"alpha_pattern\":{\"^model.layers.0.self_attn.q_proj\":8}"), SOUND, 0,
                         ADAPTER_ATTN_Q) == 4.0F);
    /* Neither a piece of a part nor, after ^, a piece of the name. */
    assert_true(scale_of(WITH("\"alpha_pattern\":{\"proj\":1,\"^q_proj\":1}"), SOUND, 0, ADAPTER_ATTN_Q) ==
                3.0F);
    assert_true(scale_of("{\"r\":16,\"lora_alpha\":6,\"rank_pattern\":{\"q_proj\":2}}", SOUND, 0,
                         ADAPTER_ATTN_Q) == 3.0F);
}

/* ---- GGUF ---- */

struct gguf_case {
    const char *type, *lora, *architecture, *a, *b;
    uint32_t tensor_type;
    float alpha;
    bool no_alpha, invoked;
    const char *sentence; /* NULL: it opens */
};

static void check_gguf(const struct gguf_case *c, float scale) {
    struct gguf_writer w = {0};
    struct buf file = {0};
    struct adapter_file *f = NULL;
    struct error e = {0};
    const uint64_t a[2] = {4, 2}, b[2] = {2, 4};

    gguf_write_string(&w, "general.type", c->type);
    gguf_write_string(&w, "adapter.type", c->lora);
    gguf_write_string(&w, "general.architecture", c->architecture);
    if (!c->no_alpha) {
        gguf_write_f32(&w, "adapter.lora.alpha", c->alpha);
    }
    if (c->invoked) {
        gguf_write_i32s(&w, "adapter.alora.invocation_tokens", (const int32_t[]){1}, 1);
    }
    gguf_write_tensor(&w, c->a, c->tensor_type, a, 2, c->tensor_type == TENSOR_F32 ? 32 : 16, 0);
    gguf_write_tensor(&w, c->b, c->tensor_type, b, 2, c->tensor_type == TENSOR_F32 ? 32 : 16, 0);
    gguf_write_file(&w, &file);
    int r = adapter_file_open_memory(file.bytes, file.size, NULL, 0, &f, &e);
    if (c->sentence != NULL) {
        assert_true(r == ENGINE_E_FORMAT || r == ENGINE_E_UNSUPPORTED);
        if (strstr(e.text, c->sentence) == NULL) {
            fail_msg("\"%s\" does not say \"%s\"", e.text, c->sentence);
        }
    } else {
        assert_int_equal(r, 0);
        assert_true(f->pairs[3][ADAPTER_FFN_GATE].scale == scale);
        assert_string_equal(f->architecture, c->architecture);
    }
    adapter_file_free(f);
    buf_deinit(&file);
}

#define GATE_A "blk.3.ffn_gate.weight.lora_a"
#define GATE_B "blk.3.ffn_gate.weight.lora_b"

static void test_reads_what_llama_cpp_calls_an_adapter(void **state) {
    (void)state;
    struct gguf_case c = {.type = "adapter",
                          .lora = "lora",
                          .architecture = "gemma3",
                          .a = GATE_A,
                          .b = GATE_B,
                          .tensor_type = TENSOR_F32,
                          .alpha = 5};

    check_gguf(&c, 2.5F);
    c.tensor_type = TENSOR_F16;
    c.alpha = 0; /* a file that does not say */
    check_gguf(&c, 1.0F);
}

static void test_refuses_gguf_files_that_are_no_lora(void **state) {
    (void)state;
    static const struct gguf_case cases[] = {
        {"model", "lora", "gemma3", GATE_A, GATE_B, TENSOR_F32, 5, false, false, "general.type"},
        {"adapter", "control_vector", "gemma3", GATE_A, GATE_B, TENSOR_F32, 5, false, false, "adapter.type"},
        {"adapter", "lora", "gemma3", GATE_A, GATE_B, TENSOR_F32, 5, true, false, "adapter.lora.alpha"},
        {"adapter", "lora", "gemma3", GATE_A, GATE_B, TENSOR_F32, __builtin_nanf(""), false, false, "finite"},
        {"adapter", "lora", "gemma3", GATE_A, GATE_B, TENSOR_F32, 5, false, true, "invocation tokens"},
        {"adapter", "lora", "gemma3", GATE_A, "blk.3.ffn_up.weight.lora_b", TENSOR_F32, 5, false, false,
         "has no partner"},
        {"adapter", "lora", "gemma3", GATE_A, "blk.300.ffn_up.weight.lora_b", TENSOR_F32, 5, false, false,
         "blk.300.ffn_up"},
        {"adapter", "lora", "gemma3", "token_embd.weight.lora_a", GATE_B, TENSOR_F32, 5, false, false,
         "embedding"},
        {"adapter", "lora", "gemma3", "blk.3.ffn_gate.lora_a", GATE_B, TENSOR_F32, 5, false, false,
         "is no LoRA of a matrix"},
        {"adapter", "lora", "gemma3", "model.layers.3.mlp.up_proj.lora_a",
         "model.layers.3.mlp.up_proj.lora_b", TENSOR_F32, 5, false, false, "another file format"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        check_gguf(&cases[i], 0);
    }
}

/* ---- damaged ---- */

struct damage {
    const char *config, *header;
    const char *sentence;
};

static const struct damage damages[] = {
    /* the config */
    {"", SOUND, "not a JSON object"},
    {"[]", SOUND, "not a JSON object"},
    {"{\"r\":2,", SOUND, "not a JSON object"},
    {"{\"r\":2,\"r\":2,\"lora_alpha\":6}", SOUND, "not a JSON object"},
    {"{\"lora_alpha\":6}", SOUND, "r is missing"},
    {"{\"r\":2}", SOUND, "lora_alpha is missing"},
    {"{\"r\":0,\"lora_alpha\":6}", SOUND, "r is missing or no whole number"},
    {"{\"r\":-2,\"lora_alpha\":6}", SOUND, "r is missing or no whole number"},
    {"{\"r\":1000000000,\"lora_alpha\":6}", SOUND, "r is missing or no whole number"},
    {"{\"r\":\"2\",\"lora_alpha\":6}", SOUND, "r is missing or no whole number"},
    {"{\"r\":3,\"lora_alpha\":6}", SOUND, "have rank 2, the config says 3"},
    {"{\"r\":2,\"lora_alpha\":\"6\"}", SOUND, "lora_alpha is missing or not a number"},
    {"{\"r\":2,\"lora_alpha\":1e300}", SOUND, "out of range"},
    {WITH("\"use_dora\":true"), SOUND, "use_dora"},
    {WITH("\"bias\":\"all\""), SOUND, "biases"},
    {WITH("\"lora_bias\":true"), SOUND, "lora_bias"},
    {WITH("\"modules_to_save\":[\"lm_head\"]"), SOUND, "modules_to_save"},
    {WITH("\"peft_type\":\"IA3\""), SOUND, "peft_type is not LORA"},
    {WITH("\"layer_replication\":[[0,2]]"), SOUND, "layer_replication"},
    {WITH("\"alora_invocation_tokens\":[1]"), SOUND, "alora_invocation_tokens"},
    {WITH("\"init_lora_weights\":\"pissa\""), SOUND, "init_lora_weights"},
    {WITH("\"use_rslora\":\"yes\""), SOUND, "use_rslora"},
    {WITH("\"rank_pattern\":[1]"), SOUND, "rank_pattern is not an object"},
    {WITH("\"rank_pattern\":{\".*q_proj\":2}"), SOUND, "regular expressions"},
    {WITH("\"rank_pattern\":{\"^\":2}"), SOUND, "regular expressions"},
    {WITH("\"rank_pattern\":{\"q_proj\":4}"), SOUND, "the config says 4"},
    {WITH("\"alpha_pattern\":{\"q_proj\":null}"), SOUND, "lora_alpha is missing"},
    {CONFIG, MLX, "lora_parameters"},
    {"{\"lora_parameters\":{\"scale\":20}}", MLX, "lora_parameters.rank"},
    {"{\"lora_parameters\":{\"rank\":2}}", MLX, "lora_parameters.scale"},
    {"{\"fine_tune_type\":\"dora\",\"lora_parameters\":{\"rank\":2,\"scale\":1}}", MLX, "fine_tune_type"},
    {MLX_CONFIG, SOUND, "r is missing"},
    /* the header */
    {CONFIG, "", "the header is no JSON object"},
    {CONFIG, "[]", "the header is no JSON object"},
    {CONFIG, "{\"a\"", "the header is no JSON object"},
    {CONFIG, "{}", "belong to nothing"},
    {CONFIG, "{\"a\":3}", "is not an object"},
    {CONFIG, "{\"a b\":{}}", "printable"},
    {CONFIG, "{\"\":{}}", "printable"},
    {CONFIG, "{" A(Q ".lora_A.weight") "," A(Q ".lora_A.weight") "}", "the header is no JSON object"},
    {CONFIG, "{\"" Q "\":{\"shape\":[2,4],\"data_offsets\":[0,32]}}", "has no dtype"},
    {CONFIG, "{\"" Q "\":{\"dtype\":\"F32\",\"data_offsets\":[0,32]}}", "has no shape"},
    {CONFIG, "{\"" Q "\":{\"dtype\":\"F32\",\"shape\":[2,4]}}", "do not lie inside"},
    {CONFIG, "{" ENTRY(Q, "F64", "2,4", "0,64") "}", "only F32, F16 and BF16"},
    {CONFIG, "{" ENTRY(Q, "F32", "2,0", "0,0") "}", "is empty"},
    {CONFIG, "{" ENTRY(Q, "F32", "2,-4", "0,32") "}", "is empty"},
    {CONFIG, "{" ENTRY(Q, "F32", "4294967296,4294967296", "0,64") "}", "too large"},
    {CONFIG, "{" ENTRY(Q, "F32", "1,1,1,2,4", "0,32") "}", "at most 4 dimensions"},
    {CONFIG, "{" ENTRY(Q, "F32", "2,4", "0,64") "}", "but its shape asks for 32"},
    {CONFIG, "{" ENTRY(Q, "F32", "2,4", "64,96") "}", "do not lie inside"},
    {CONFIG, "{" ENTRY(Q, "F32", "2,4", "32,0") "}", "do not lie inside"},
    {CONFIG, "{" ENTRY(Q, "F32", "2,4", "-32,0") "}", "do not lie inside"},
    {CONFIG, "{" ENTRY(Q, "F32", "2,4", "0,9223372036854775807") "}", "do not lie inside"},
    {CONFIG, "{" ENTRY(Q, "F32", "2,4", "0,32,64") "}", "do not lie inside"},
    {CONFIG, "{" A("a") "," ENTRY("b", "F32", "4,2", "16,48") "}", "overlaps"},
    {CONFIG, "{" ENTRY("b", "F32", "4,2", "32,64") "}", "hole"},
    {CONFIG, "{" A("a") "}", "belong to nothing"},
    /* the names */
    {CONFIG, PAIR(Q ".lora_A.weight", Q ".lora_C.weight"), "q_proj.lora_C.weight is no LoRA"},
    {CONFIG, PAIR(Q ".lora_A.weight", "model.layers.0.self_attn.z_proj.lora_B.weight"), "z_proj"},
    {CONFIG, PAIR(Q ".lora_A.weight", "model.layers.256.self_attn.q_proj.lora_B.weight"), "layers.256"},
    {CONFIG, PAIR(Q ".lora_A.weight", "model.layers.00.self_attn.q_proj.lora_B.weight"), "layers.00"},
    {CONFIG, PAIR(Q ".lora_A.weight", "model.layers.99999999999999999999.mlp.up_proj.lora_B.weight"),
     "is no LoRA"},
    {CONFIG, PAIR(Q ".lora_A.weight", "model.layers..mlp.up_proj.lora_B.weight"), "is no LoRA"},
    {CONFIG, PAIR(Q ".lora_A.weight", "model.vision_tower.layers.0.self_attn.q_proj.lora_B.weight"),
     "vision_tower"},
    {CONFIG, PAIR(Q ".lora_A.weight", Q ".lora_magnitude_vector"), "DoRA"},
    {CONFIG, PAIR(Q ".lora_A.weight", Q ".lora_B.bias"), "biases"},
    {CONFIG, PAIR(Q ".lora_A.weight", "base_model.model.lm_head.lora_B.weight"), "head"},
    {CONFIG, PAIR(Q ".lora_A.weight", "base_model.model.model.embed_tokens.lora_embedding_B"), "embedding"},
    {CONFIG, PAIR(Q ".lora_A.weight", "base_model.model.score.modules_to_save.weight"), "modules_to_save"},
    {CONFIG, PAIR(Q ".lora_A.weight", "model.layers.0.self_attn.q_proj.lora_A.weight"), "the same matrix"},
    {CONFIG, PAIR(Q ".lora_A.weight", "model.layers.0.self_attn.q_proj.lora_b"), "another style"},
    {CONFIG, PAIR("blk.0.attn_q.weight.lora_a", "blk.0.attn_q.weight.lora_b"), "another file format"},
    {CONFIG, PAIR(Q ".lora_A.weight", "model.layers.1.self_attn.q_proj.lora_B.weight"), "has no partner"},
    /* the shapes */
    {CONFIG, "{" A(Q ".lora_A.weight") "," ENTRY(Q ".lora_B.weight", "F32", "2,4", "32,64") "}",
     "and its partner 4"},
    {CONFIG, "{" ENTRY(Q ".lora_A.weight", "F32", "2,2,2", "0,32") "," B(Q ".lora_B.weight") "}",
     "is not a matrix"},
    {MLX_CONFIG, "{" MLX_A "," ENTRY("model.layers.0.mlp.up_proj.lora_b", "F32", "4,2", "32,64") "}",
     "and its partner 4"},
};

static void test_refuses_damaged_adapters_with_a_sentence(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof damages / sizeof damages[0]; i++) {
        struct adapter_file *f = NULL;
        struct error e = {0};
        int r = open_texts(damages[i].config, damages[i].header, DATA, &f, &e);

        if ((r != ENGINE_E_FORMAT && r != ENGINE_E_UNSUPPORTED) || f != NULL ||
            strstr(e.text, damages[i].sentence) == NULL) {
            fail_msg("case %zu gave %d, \"%s\", which does not say \"%s\"", i, r, e.text,
                     damages[i].sentence);
        }
    }
}

static void test_refuses_a_rank_beyond_the_limit(void **state) {
    (void)state;
    static const char header[] = "{" ENTRY(Q ".lora_A.weight", "F32", "1025,1", "0,4100") "," ENTRY(
        Q ".lora_B.weight", "F32", "1,1025", "4100,8200") "}";
    struct adapter_file *f = NULL;
    struct error e = {0};

    assert_int_equal(open_texts("{\"r\":1025,\"lora_alpha\":6}", header, 8200, &f, &e), ENGINE_E_FORMAT);
    assert_non_null(strstr(e.text, "1025"));
}

static void test_refuses_every_shorter_file(void **state) {
    (void)state;
    struct buf all = {0};

    adapter_write_raw(SOUND, DATA, &all);
    for (size_t size = 0; size <= all.size; size++) {
        uint8_t *exact = malloc(size + (size == 0));
        struct adapter_file *f = NULL;
        struct error e = {0};

        assert_non_null(exact);
        memcpy(exact, all.bytes, size);
        int r = adapter_file_open_memory(exact, size, CONFIG, strlen(CONFIG), &f, &e);
        assert_int_equal(r == 0, size == all.size);
        assert_true(r == 0 || e.text[0] != '\0');
        adapter_file_free(f);
        free(exact);
    }
    buf_deinit(&all);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_takes_names_with_and_without_what_peft_puts_around_them),
        cmocka_unit_test(test_scales_as_the_config_says),
        cmocka_unit_test(test_reads_what_llama_cpp_calls_an_adapter),
        cmocka_unit_test(test_refuses_gguf_files_that_are_no_lora),
        cmocka_unit_test(test_refuses_damaged_adapters_with_a_sentence),
        cmocka_unit_test(test_refuses_a_rank_beyond_the_limit),
        cmocka_unit_test(test_refuses_every_shorter_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
