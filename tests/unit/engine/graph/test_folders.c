/* SPDX-License-Identifier: Apache-2.0
 *
 * Hugging Face folders: the committed tiny ones are what they should be, and damaged copies of them are
 * refused with the tensor or the file and a reason.
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
#include "base/safetensors.h"
#include "engine/engine.h"
#include "engine/formats/folder.h"
#include "engine/models/text.h"
#include "engine/tokenizer/tokenizer.h"

enum { CONFIG, WEIGHTS, TOKENIZER, INDEX, MOST_PARTS };

/* A folder in memory that can be changed. */
struct copy {
    const char *names[MOST_PARTS];
    struct buf parts[MOST_PARTS];
};

static struct buf read_part(const char *folder, const char *name) {
    char path[512], block[4096];
    struct buf b = {0};
    size_t got;

    (void)snprintf(path, sizeof path, BUCKLER_SOURCE_DIR "/tests/golden/tiny/%s/%s", folder, name);
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    while ((got = fread(block, 1, sizeof block, file)) > 0) {
        buf_append(&b, block, got);
    }
    assert_int_equal(fclose(file), 0);
    assert_false(b.failed);
    return b;
}

static struct copy copy_folder(const char *folder) {
    struct copy c = {.names = {"config.json", "model.safetensors",
                               strcmp(folder, "gemma3") == 0 ? "tokenizer.json" : "tokenizer.model"}};

    for (int i = CONFIG; i <= TOKENIZER; i++) {
        c.parts[i] = read_part(folder, c.names[i]);
    }
    return c;
}

static void copy_deinit(struct copy *c) {
    for (int i = 0; i < MOST_PARTS; i++) {
        buf_deinit(&c->parts[i]);
    }
}

/* What opening a model does before it touches weights. */
static int open_copy(const struct copy *c, struct error *ret_error) {
    struct folder_part parts[MOST_PARTS];
    const struct text_architecture *architecture;
    struct tensor_file *file = NULL;
    struct tokenizer *tokenizer = NULL;
    struct text_config config;
    uint64_t bytes;
    size_t count = 0;

    *ret_error = (struct error){0};
    for (int i = 0; i < MOST_PARTS; i++) {
        if (c->names[i] != NULL) {
            parts[count++] = (struct folder_part){c->names[i], c->parts[i].bytes, c->parts[i].size};
        }
    }
    int r = folder_open_memory(parts, count, &file, ret_error);
    r = r == 0 ? tokenizer_from_gguf(file, &tokenizer, ret_error) : r;
    r = r == 0 ? text_configure(file, &architecture, &config, ret_error) : r;
    r = r == 0 ? text_weights_plan(file, architecture, &config, kernel_choose("portable"), false, &bytes,
                                   ret_error)
               : r;
    tokenizer_free(tokenizer);
    tensor_file_free(file);
    return r;
}

static void must_refuse(const struct copy *c, const char *one, const char *other) {
    struct error e;
    int r = open_copy(c, &e);

    if (r != ENGINE_E_FORMAT && r != ENGINE_E_UNSUPPORTED) {
        fail_msg("opened (%d) what should be refused with %s and %s: %s", r, one, other, e.text);
    }
    if (strstr(e.text, one) == NULL || strstr(e.text, other) == NULL) {
        fail_msg("says neither %s nor %s: %s", one, other, e.text);
    }
}

/* Replaces the first `from` behind `after`; nothing when it is not there. */
static bool replace(struct buf *b, const char *after, const char *from, const char *to) {
    struct buf out = {0};
    const char *text = (const char *)b->bytes;
    const char *start = memmem(text, b->size, after, strlen(after));
    const char *at =
        start == NULL ? NULL : memmem(start, b->size - (size_t)(start - text), from, strlen(from));

    if (at == NULL) {
        return false;
    }
    size_t before = (size_t)(at - text);
    buf_append(&out, text, before);
    buf_append(&out, to, strlen(to));
    buf_append(&out, at + strlen(from), b->size - before - strlen(from));
    assert_false(out.failed);
    buf_deinit(b);
    *b = out;
    return true;
}

/* The same in the header of a safetensors file, whose length follows. */
static void replace_in_header(struct buf *b, const char *after, const char *from, const char *to) {
    uint64_t length;
    size_t size = b->size;

    assert_true(replace(b, after, from, to));
    memcpy(&length, b->bytes, sizeof length);
    length += b->size - size;
    memcpy(b->bytes, &length, sizeof length);
}

static struct buf dup_buf(const struct buf *b) {
    struct buf out = {0};

    buf_append(&out, b->bytes, b->size);
    assert_false(out.failed);
    return out;
}

/* `from` → `to` in one part of a fresh copy. */
static void refuse_with(const char *folder, int part, const char *from, const char *to, const char *one,
                        const char *other) {
    struct copy c = copy_folder(folder);

    if (!replace(&c.parts[part], "", from, to)) {
        fail_msg("%s has no %s", folder, from);
    }
    must_refuse(&c, one, other);
    copy_deinit(&c);
}

static const char *const folders[] = {"gemma", "gemma2", "gemma3"};

static void test_whole_folders_open(void **state) {
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct copy c = copy_folder(folders[i]);
        struct error e;

        if (open_copy(&c, &e) != 0) {
            fail_msg("%s", e.text);
        }
        copy_deinit(&c);
    }
}

/* Each tensor missing, of a wrong shape, of a type that is not read, and beyond the file. */
static unsigned damage_tensors(struct copy *c) {
    struct buf whole = dup_buf(&c->parts[WEIGHTS]);
    struct safetensors directory;
    struct error e = {0};
    unsigned cases = 0;

    assert_int_equal(safetensors_read(whole.bytes, whole.size, &directory, &e), 0);
    for (size_t i = 0; i < directory.count; i++) {
        const struct safetensors_entry *t = &directory.entries[i];
        bool embedding = strstr(t->name, "embed_tokens") != NULL;
        char name[256], renamed[256], shape[64], wrong[64], end[64], far[64];

        (void)snprintf(name, sizeof name, "\"%s\"", t->name);
        (void)snprintf(renamed, sizeof renamed, "\"x%s\"", t->name);
        (void)snprintf(end, sizeof end, "%llu]",
                       (unsigned long long)(t->data - whole.bytes + (ptrdiff_t)t->size));
        if (t->dim_count == 1) {
            (void)snprintf(shape, sizeof shape, "[%u]", (unsigned)t->dims[0]);
            (void)snprintf(wrong, sizeof wrong, "[%u,2]", (unsigned)t->dims[0] / 2);
        } else {
            (void)snprintf(shape, sizeof shape, "[%u,%u]", (unsigned)t->dims[0], (unsigned)t->dims[1]);
            (void)snprintf(wrong, sizeof wrong, "[%u,%u]", (unsigned)t->dims[0] / 4,
                           (unsigned)t->dims[1] * 4);
        }
        (void)snprintf(far, sizeof far, "\"data_offsets\":[%llu,", 1ULL << 50);
        const struct {
            const char *from, *to, *reason;
        } damages[] = {
            {name, renamed, embedding ? "tensors make 0" : "missing"},
            {shape, wrong, t->dim_count == 1 ? "vector" : "expected"},
            {"\"BF16\"", "\"I16\"", "only F32, F16 and BF16"},
            {"\"data_offsets\":[", far, "data_offsets"},
        };
        for (size_t k = 0; k < sizeof damages / sizeof damages[0]; k++) {
            /* What stands before the embedding's name is looked for before all others; cut short it does not
             * fit the tokenizer. */
            const char *reason = embedding && k == 1 ? "belong together" : damages[k].reason;
            const char *named = embedding && k == 0 ? "layers" : t->name;

            buf_deinit(&c->parts[WEIGHTS]);
            c->parts[WEIGHTS] = dup_buf(&whole);
            replace_in_header(&c->parts[WEIGHTS], name, damages[k].from, damages[k].to);
            must_refuse(c, named, reason);
            cases++;
        }
    }
    safetensors_deinit(&directory);
    buf_deinit(&whole);
    return cases;
}

static void test_a_damaged_tensor_is_refused_by_name(void **state) {
    (void)state;
    unsigned cases = 0;

    for (size_t i = 0; i < 3; i++) {
        struct copy c = copy_folder(folders[i]);

        cases += damage_tensors(&c);
        copy_deinit(&c);
    }
    assert_true(cases >= 300);
}

static void test_a_file_that_is_cut_off_is_refused_by_name(void **state) {
    (void)state;
    enum { CUTS = 24 };

    for (size_t i = 0; i < 3; i++) {
        struct copy c = copy_folder(folders[i]);

        for (int part = CONFIG; part <= TOKENIZER; part++) {
            size_t size = c.parts[part].size;
            for (size_t k = 0; k < CUTS; k++) {
                c.parts[part].size = size * k / CUTS;
                must_refuse(&c, c.names[part], "");
            }
            c.parts[part].size = size;
        }
        copy_deinit(&c);
    }
}

static void test_a_missing_file_is_refused_by_name(void **state) {
    (void)state;
    static const char *const said[] = {"config.json", "model.safetensors.index.json", "tokenizer.model"};

    for (int part = CONFIG; part <= TOKENIZER; part++) {
        struct copy c = copy_folder("gemma2");
        struct error e;

        c.names[part] = "other";
        assert_int_not_equal(open_copy(&c, &e), 0);
        assert_non_null(strstr(e.text, said[part]));
        copy_deinit(&c);
    }
}

static void test_a_config_that_lies_is_refused_with_the_key(void **state) {
    (void)state;
    const struct {
        const char *folder, *from, *to, *one, *other;
    } lies[] = {
        {"gemma2", "\"num_hidden_layers\": 3", "\"num_hidden_layers\": 2", "2 layers", "make 3"},
        {"gemma2", "\"num_hidden_layers\": 3", "\"num_hidden_layers\": 4000000000", "num_hidden_layers",
         "no size"},
        {"gemma2", "\"hidden_size\": 32", "\"hidden_size\": 64", "embed_tokens.weight", "expected 64"},
        {"gemma2", "\"hidden_size\": 32", "\"hidden_size\": -1", "hidden_size", "no size"},
        {"gemma2", "\"hidden_size\": 32", "\"hidden_size\": 32.5", "hidden_size", "no size"},
        {"gemma2", "\"intermediate_size\": 64", "\"intermediate_size\": 96", "mlp.gate_proj.weight",
         "expected 32 × 96"},
        {"gemma2", "\"num_attention_heads\": 3", "\"num_attention_heads\": 5", "q_proj.weight",
         "expected 32 × 160"},
        {"gemma2", "\"num_key_value_heads\": 1", "\"num_key_value_heads\": 2", "2 key heads", "do not fit"},
        {"gemma2", "\"head_dim\": 32", "\"head_dim\": 0", "head_dim", "no size"},
        {"gemma2", "\"head_dim\": 32", "\"head_dim\": 64", "q_proj.weight", "expected"},
        {"gemma2", "\"sliding_window\": 5", "\"sliding_window\": 0", "sliding_window", "no size"},
        {"gemma2", "\"rms_norm_eps\": 1e-06", "\"rms_norm_eps\": 0", "rms_norm_eps", "positive"},
        {"gemma2", "\"rms_norm_eps\": 1e-06", "\"rms_norm_eps\": 7", "epsilon", "out of range"},
        {"gemma2", "\"attn_logit_softcapping\": 2.0", "\"attn_logit_softcapping\": -2.0",
         "attn_logit_softcapping", "positive"},
        {"gemma2", "\"final_logit_softcapping\": 6.0", "\"final_logit_softcapping\": \"6\"",
         "final_logit_softcapping", "positive"},
        {"gemma2", "\"query_pre_attn_scalar\": 32", "\"query_pre_attn_scalar\": null",
         "query_pre_attn_scalar", "positive"},
        {"gemma2", "\"attention_bias\": false", "\"attention_bias\": true", "attention_bias", "not run"},
        {"gemma2", "\"gelu_pytorch_tanh\"", "\"gelu\"", "activation", "gelu_pytorch_tanh"},
        {"gemma2", "\"full_attention\"", "\"chunked_attention\"", "layer type 1", "no known kind"},
        {"gemma2", "\"sliding_attention\",", "", "sliding_window_pattern", "2 elements for 3 layers"},
        {"gemma2", "\"model_type\": \"gemma2\"", "\"model_type\": \"llama\"", "llama", "gemma2"},
        {"gemma2", "\"model_type\": \"gemma2\"", "\"model_type\": 2", "model_type", "gemma2"},
        {"gemma2", "\"model_type\": \"gemma2\"", "\"model_type\": \"gemma\"", "post_attention_layernorm",
         "may be"},
        {"gemma2", "\"model_type\": \"gemma2\"", "\"model_type\": \"gemma3_text\"", "q_norm.weight",
         "missing"},
        {"gemma2", "\"use_cache\": true", "\"quantization_config\": {\"quant_method\": \"awq\"}", "quantised",
         "awq"},
        {"gemma2", "\"use_bidirectional_attention\": null", "\"use_bidirectional_attention\": true",
         "use_bidirectional_attention", ""},
        {"gemma2", "\"use_cache\": true", "\"use_cache\": true, \"use_cache\": true", "config.json", "JSON"},
        {"gemma3", "\"rope_type\": \"linear\"", "\"rope_type\": \"yarn\"", "rope scaling", "not run"},
        {"gemma3", "\"factor\": 8.0", "\"factor\": 0", "factor", "positive"},
        {"gemma3", "\"rope_theta\": 1000000.0", "\"rope_theta\": 0.5", "rope", "out of range"},
        {"gemma3", "\"rope_theta\": 10000.0,\n      \"rope_type\": \"default\"",
         "\"rope_theta\": 10000.0,\n      \"rope_type\": \"linear\"", "rope scaling", "not run"},
    };

    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        refuse_with(lies[i].folder, CONFIG, lies[i].from, lies[i].to, lies[i].one, lies[i].other);
    }
}

static void test_a_tokenizer_that_is_another_one_is_refused(void **state) {
    (void)state;
    const struct {
        const char *from, *to, *one;
    } wrong[] = {
        {"\"byte_fallback\": true", "\"byte_fallback\": false", "byte fallback"},
        {"\"type\": \"BPE\"", "\"type\": \"Unigram\"", "BPE"},
        {"\"type\": \"Replace\"", "\"type\": \"Prepend\"", "normalizer"},
        {"\"type\": \"Split\"", "\"type\": \"ByteLevel\"", "pre_tokenizer"},
        {"\"ignore_merges\": false", "\"ignore_merges\": true", "ignore_merges"},
        {"\"normalized\": false", "\"normalized\": true", "normalized"},
        {"\"lstrip\": false", "\"lstrip\": true", "lstrip"},
        {"\"<0x00>\": ", "\"<0x00>\": 99", "ids up to"},
        {"\"<0x00>\": ", "\"<0x00>\": -", "id -"},
        {"\"<0x00>\": ", "\"<0x00>\": 9999999999", "id 9999999999"},
        {"\"<0x00>\"", "\"<0x01>\"", "JSON"},
        {"\"content\": \"<bos>\"", "\"content\": \"<eos>\"", "added token 2"},
        {"\"merges\"", "\"mergers\"", "no merges"},
        {"\"vocab\"", "\"vocal\"", "vocabulary"},
    };

    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        refuse_with("gemma3", TOKENIZER, wrong[i].from, wrong[i].to, "tokenizer.json", wrong[i].one);
    }
}

/* A merge written as [\n "a",\n "b"\n ]; the first ones are of runs of spaces, which are added tokens. */
static const char *some_merge(const struct copy *c, size_t *ret_size) {
    const char *text = (const char *)c->parts[TOKENIZER].bytes, *at = strstr(text, "\"merges\": [");

    assert_non_null(at);
    at += strlen("\"merges\": [");
    for (int i = 0; i < 20; i++) {
        at = strchr(at + 1, '[');
        assert_non_null(at);
    }
    *ret_size = (size_t)(strchr(at, ']') + 1 - at);
    return at;
}

static void test_merges_that_no_scores_give_are_refused(void **state) {
    (void)state;
    char merge[256], other[600];
    size_t size;
    struct copy c = copy_folder("gemma3");
    const char *begin = some_merge(&c, &size);

    (void)snprintf(merge, sizeof merge, "%.*s", (int)size, begin);
    copy_deinit(&c);
    (void)snprintf(other, sizeof other, "%s, %s", merge, merge);
    refuse_with("gemma3", TOKENIZER, merge, other, "tokenizer.json", "twice");
    refuse_with("gemma3", TOKENIZER, merge, "[\"nobody\", \"here\"]", "merge 19", "not there");
    refuse_with("gemma3", TOKENIZER, merge, "[\"a\"]", "merge 19", "not two pieces");
    refuse_with("gemma3", TOKENIZER, merge, "7", "merge 19", "not two pieces");
    (void)snprintf(other, sizeof other, "%s,", merge);
    c = copy_folder("gemma3");
    begin = some_merge(&c, &size) + size; /* without it its piece could not be made */
    assert_int_equal(*begin, ',');
    assert_true(replace(&c.parts[TOKENIZER], "\"merges\"", other, ""));
    must_refuse(&c, "tokenizer.json", "lacks merges");
    copy_deinit(&c);
}

/* tests/golden/tiny/gemma2 with its weights behind an index. */
static struct copy sharded(void) {
    struct copy c = copy_folder("gemma2");
    struct safetensors directory;
    struct error e = {0};

    assert_int_equal(safetensors_read(c.parts[WEIGHTS].bytes, c.parts[WEIGHTS].size, &directory, &e), 0);
    c.names[WEIGHTS] = "part-1.safetensors";
    c.names[INDEX] = "model.safetensors.index.json";
    buf_printf(&c.parts[INDEX], "{\"weight_map\": {\"%s\": \"part-1.safetensors\"",
               directory.entries[0].name);
    for (size_t i = 1; i < directory.count; i++) {
        buf_printf(&c.parts[INDEX], ",\n\"%s\": \"part-1.safetensors\"", directory.entries[i].name);
    }
    buf_printf(&c.parts[INDEX], "}}");
    assert_false(c.parts[INDEX].failed);
    safetensors_deinit(&directory);
    return c;
}

static void test_an_index_that_lies_is_refused(void **state) {
    (void)state;
    const struct {
        const char *from, *to, *one, *other;
    } lies[] = {
        {"part-1.safetensors", "../part-1.safetensors", "does not name a file", "index.json"},
        {"part-1.safetensors", "/part-1.safetensors", "does not name a file", "index.json"},
        {"part-1.safetensors", ".part.safetensors", "does not name a file", "index.json"},
        {"part-1.safetensors", "part-1.bin", "does not name a file", "index.json"},
        {"\"part-1.safetensors\"", "7", "does not name a file", "index.json"},
        {"layers.2.mlp.up_proj", "layers.2.mlp.down", "layers.2.mlp.down", "is not in part-1"},
        {",\n\"model.norm.weight\": \"part-1.safetensors\"", "", "index", "names"},
        {"\"weight_map\"", "\"weights\"", "weight_map", ""},
        {"{\"weight_map\"", "", "index.json", "JSON"},
    };
    struct copy whole = sharded();
    struct error e;

    assert_int_equal(open_copy(&whole, &e), 0);
    copy_deinit(&whole);
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        struct copy c = sharded();

        assert_true(replace(&c.parts[INDEX], "", lies[i].from, lies[i].to));
        must_refuse(&c, lies[i].one, lies[i].other);
        copy_deinit(&c);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole_folders_open),
        cmocka_unit_test(test_a_damaged_tensor_is_refused_by_name),
        cmocka_unit_test(test_a_file_that_is_cut_off_is_refused_by_name),
        cmocka_unit_test(test_a_missing_file_is_refused_by_name),
        cmocka_unit_test(test_a_config_that_lies_is_refused_with_the_key),
        cmocka_unit_test(test_a_tokenizer_that_is_another_one_is_refused),
        cmocka_unit_test(test_merges_that_no_scores_give_are_refused),
        cmocka_unit_test(test_an_index_that_lies_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
