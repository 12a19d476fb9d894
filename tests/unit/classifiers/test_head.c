/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

#include <fcntl.h>
#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/digest.h"
#include "classifiers/head/card.h"
#include "classifiers/head/weights.h"
#include "tests/lib/fake_engine.h"

/* Two layers of hidden size 4, two categories. */
enum { FEATURES = 2 * FAKE_HIDDEN, ROWS = 2 };

struct values {
    float weight[ROWS * FEATURES], bias[ROWS], mean[FEATURES], scale[FEATURES], calibration[ROWS * 2];
};

/* raw of row 0 = 2 × (mean at layer 3) − 1, of row 1 = −(mean at layer 1); at position 0 of the hidden state.
 */
static struct values good_values(void) {
    struct values v = {.bias = {-1.0f, 0.0f}, .calibration = {2.0f, 0.25f, 1.0f, 0.0f}};
    for (size_t i = 0; i < FEATURES; i++) {
        v.mean[i] = 0.5f;
        v.scale[i] = 2.0f;
    }
    v.weight[FAKE_HIDDEN] = 4.0f;
    v.bias[0] += 1.0f; /* undoes −mean/scale × weight */
    v.weight[FEATURES] = -2.0f;
    v.bias[1] -= 0.5f;
    return v;
}

static void put_floats(struct buf *out, const float *values, size_t count) {
    for (size_t i = 0; i < count; i++) {
        uint32_t bits = 0;
        memcpy(&bits, &values[i], sizeof bits);
        buf_u32(out, bits);
    }
}

#define GOOD_HEADER                                                                                          \
    "{\"__metadata__\":{\"format\":\"pt\"},\"weight\":{\"dtype\":\"F32\",\"shape\":[2,8],\"data_offsets\":[" \
    "0,64]},"                                                                                                \
    "\"bias\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[64,72]},"                                   \
    "\"mean\":{\"dtype\":\"F32\",\"shape\":[8],\"data_offsets\":[72,104]},"                                  \
    "\"scale\":{\"dtype\":\"F32\",\"shape\":[8],\"data_offsets\":[104,136]},"                                \
    "\"calibration\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[136,152]}}"

static void build_file(struct buf *out, const char *header, const struct values *v) {
    buf_u64(out, strlen(header));
    buf_append(out, header, strlen(header));
    put_floats(out, v->weight, ROWS * FEATURES);
    put_floats(out, v->bias, ROWS);
    put_floats(out, v->mean, FEATURES);
    put_floats(out, v->scale, FEATURES);
    put_floats(out, v->calibration, ROWS * 2);
    assert_false(out->failed);
}

static void write_file(const struct fixture *f, const char *name, const void *bytes, size_t size) {
    char path[1024];
    (void)snprintf(path, sizeof path, "%s/guard/%s", f->data, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, size), (ssize_t)size);
    (void)close(fd);
}

static void write_heads(const struct fixture *f, const struct values *v) {
    struct buf file = {0};
    build_file(&file, GOOD_HEADER, v);
    write_file(f, "heads.safetensors", file.bytes, file.size);
    buf_deinit(&file);
}

static void write_card(const struct fixture *f, const char *format) {
    uint8_t digest[DIGEST_BYTES];
    char hex[DIGEST_HEX_SIZE];
    char card[1024];
    assert_int_equal(digest_sha256("base.gguf", 9, digest), 0);
    hex_encode(digest, sizeof digest, hex);
    (void)snprintf(card, sizeof card, format, hex);
    write_file(f, "card.json", card, strlen(card));
}

#define CARD(layers, window, categories)                                                                     \
    "{\"base\":{\"file\":\"base.gguf\",\"sha256\":\"%s\"},\"layers\":" layers                                \
    ",\"pooling\":\"mean\",\"window\":" window ",\"categories\":" categories "}"
#define GOOD_CARD CARD("[1,3]", "20", "[\"toxicity\",\"violence\"]")

static int setup(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    char folder[1024];
    assert_non_null(f);
    fixture_init(f, "head", NULL);
    (void)snprintf(f->data, sizeof f->data, "/tmp/buckler-head-XXXXXX");
    assert_non_null(mkdtemp(f->data));
    (void)snprintf(folder, sizeof folder, "%s/guard", f->data);
    assert_int_equal(mkdir(folder, 0700), 0);
    (void)snprintf(f->config->model, sizeof f->config->model, "guard");
    struct values v = good_values();
    write_heads(f, &v);
    write_card(f, GOOD_CARD);
    *state = f;
    return 0;
}

static int teardown(void **state) {
    struct fixture *f = *state;
    static const char *const names[] = {"guard/heads.safetensors", "guard/card.json", "guard"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char path[1024];
        (void)snprintf(path, sizeof path, "%s/%s", f->data, names[i]);
        (void)remove(path);
    }
    assert_int_equal(rmdir(f->data), 0);
    fixture_deinit(f);
    free(f);
    return 0;
}

static void expect_refused(struct fixture *f, const char *word) {
    struct error error = {0};
    assert_int_equal(fixture_open(f, &error), CLASSIFIER_E_INVALID);
    if (strstr(error.text, word) == NULL) {
        fail_msg("\"%s\" does not say \"%s\"", error.text, word);
    }
}

static void test_the_score_is_calibrated_and_the_raw_number_is_kept(void **state) {
    struct fixture *f = *state;
    fixture_must_open(f);
    (void)fixture_text(f, "bad one bad two", true, ROLE_USER); /* half of the tokens are bad */
    fixture_must_judge(f);
    /* the mean at layer 3 is 1.5, at layer 1 it is 0.5 */
    assert_int_equal(f->task.score_count, 2);
    assert_true(fabs(score_raw(fixture_score(f, "toxicity", 0)) - 2.0) < 1e-6);
    assert_int_equal(fixture_score(f, "toxicity", 0)->ppm, (int32_t)(1e6 / (1 + exp(-4.25)) + 0.5));
    assert_true(fabs(score_raw(fixture_score(f, "violence", 0)) + 0.5) < 1e-6);
    assert_int_equal(fixture_score(f, "violence", 0)->ppm, (int32_t)(1e6 / (1 + exp(0.5)) + 0.5));
    assert_string_equal(fixture_score(f, "toxicity", 0)->evidence, "window 1 of raw");
}

#define CARD_WITH(more)                                                                                      \
    "{\"base\":{\"file\":\"base.gguf\",\"sha256\":\"%s\"},\"layers\":[1,3],\"pooling\":\"mean\",\"window\":" \
    "20,"                                                                                                    \
    "\"categories\":[\"toxicity\",\"violence\"]," more "}"

static void test_a_reply_is_read_behind_what_it_answers(void **state) {
    struct fixture *f = *state;
    struct error error = {0};
    write_card(f, CARD_WITH("\"context\":{\"before\":\"Q:\",\"after\":\" A:\",\"tokens\":2}"));
    fixture_must_open(f);
    f->input.scope = SCOPE_RESPONSE;
    fixture_text(f, "one two three bad", false, ROLE_USER);
    fixture_text(f, "fine words", true, ROLE_ASSISTANT);
    assert_int_equal(fixture_prepare(f, &error), 0);
    const struct engine_job *job = &f->task.jobs[0];
    assert_int_equal(job->segment_count, 3);
    assert_int_equal(job->segments[1].parent, 0);
    assert_int_equal(job->segments[1].count, 1 + 2 + 1); /* of the prompt's tokens only the last two */
    assert_int_equal(job->segments[1].tokens[2], FAKE_BAD);
    assert_int_equal(job->segments[2].parent, 1);
    assert_int_equal(job->segments[2].count, 2);
    assert_int_equal(job->readouts[0].segment, 2);
}

static void test_text_that_is_no_reply_has_no_context(void **state) {
    struct fixture *f = *state;
    struct error error = {0};
    write_card(f, CARD_WITH("\"context\":{\"before\":\"Q:\",\"after\":\" A:\",\"tokens\":2}"));
    fixture_must_open(f);
    fixture_text(f, "one two three bad", false, ROLE_USER);
    fixture_text(f, "fine words", true, ROLE_USER);
    assert_int_equal(fixture_prepare(f, &error), 0);
    assert_int_equal(f->task.jobs[0].segment_count, 2);
}

#define SPAN_CARD(spans)                                                                                     \
    "{\"base\":{\"file\":\"base.gguf\",\"sha256\":\"%s\"},\"layers\":[1,3],\"pooling\":\"mean\",\"window\":" \
    "96,"                                                                                                    \
    "\"categories\":[\"toxicity\",\"violence\"],\"spans\":" spans "}"

/* 80 tokens with one bad one, the 41st. */
static const char *mostly_fine(void) {
    static char text[512];
    size_t used = 0;
    for (size_t i = 0; i < 80; i++) {
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%s", i > 0 ? " " : "",
                                 i == 40 ? "bad" : "ok");
    }
    return text;
}

static void test_a_window_is_judged_by_its_stretches_too(void **state) {
    struct fixture *f = *state;
    write_card(f, SPAN_CARD("{\"tokens\":32,\"stride\":16}"));
    fixture_must_open(f);
    const char *text = mostly_fine();
    fixture_text(f, text, true, ROLE_USER);
    fixture_must_judge(f);
    const struct engine_job *job = &f->task.jobs[0];
    assert_int_equal(f->task.job_count, 1);
    assert_int_equal(job->segment_count, 1 + 5); /* BOS, then five chunks of 16 behind each other */
    for (int32_t i = 1; i < 6; i++) {
        assert_int_equal(job->segments[i].parent, i - 1);
        assert_int_equal(job->segments[i].count, 16);
    }
    /* raw = 2 × (mean at layer 3) − 1, and of 32 tokens one is bad */
    const struct score *score = fixture_score(f, "toxicity", 0);
    assert_true(fabs(score_raw(score) - (2.0 * 3.0 / 32.0 - 1.0)) < 1e-5);
    assert_true(score->span_start <= (uint32_t)(strstr(text, "bad") - text));
    assert_true(score->span_end > (uint32_t)(strstr(text, "bad") - text));
    assert_true(score->span_end - score->span_start < strlen(text) / 2);
}

static void test_a_window_no_longer_than_a_stretch_is_judged_once(void **state) {
    struct fixture *f = *state;
    write_card(f, SPAN_CARD("{\"tokens\":96,\"stride\":32}"));
    fixture_must_open(f);
    fixture_text(f, mostly_fine(), true, ROLE_USER);
    fixture_must_judge(f);
    assert_int_equal(f->task.jobs[0].segment_count, 1 + 3);
    assert_int_equal(f->task.jobs[0].segments[3].count, 16);
    /* chunks of 32, 32 and 16 tokens count by their length */
    assert_true(fabs(score_raw(fixture_score(f, "toxicity", 0)) - (2.0 * 3.0 / 80.0 - 1.0)) < 1e-5);
}

static void test_an_adapter_is_put_on_and_must_be_the_one_of_the_card(void **state) {
    struct fixture *f = *state;
    uint8_t digest[DIGEST_BYTES];
    char hex[DIGEST_HEX_SIZE];
    char base_hex[DIGEST_HEX_SIZE];
    char card[1024];
    assert_int_equal(digest_sha256("lora.safetensors", 16, digest), 0);
    hex_encode(digest, sizeof digest, hex);
    assert_int_equal(digest_sha256("base.gguf", 9, digest), 0);
    hex_encode(digest, sizeof digest, base_hex);
    for (int right = 1; right >= 0; right--) {
        hex[0] = right ? hex[0] : (hex[0] == '0' ? '1' : '0');
        int used = snprintf(card, sizeof card,
                            CARD_WITH("\"adapter\":{\"file\":\"lora.safetensors\",\"sha256\":\"%s\"}"),
                            base_hex, hex);
        write_file(f, "card.json", card, (size_t)used);
        if (right) {
            fixture_must_open(f);
            assert_non_null(strstr(f->type->provenance(f->instance), " adapter="));
            f->type->close(f->instance);
            f->instance = NULL;
        } else {
            expect_refused(f, "not the adapter");
        }
    }
}

static void test_windows_hang_side_by_side_under_one_bos(void **state) {
    struct fixture *f = *state;
    char text[4 * 60 + 1];
    for (size_t i = 0; i < 60; i++) {
        memcpy(text + 4 * i, i == 58 ? " bad" : " abc", 5);
    }
    fixture_must_open(f);
    (void)fixture_text(f, text, true, ROLE_USER);
    (void)fixture_text(f, "bad", true, ROLE_USER);
    fixture_must_judge(f);
    assert_int_equal(f->task.job_count, 1);
    const struct engine_job *job = &f->task.jobs[0];
    assert_int_equal(job->segments[0].count, 1);
    assert_int_equal(job->segments[0].tokens[0], FAKE_BOS);
    for (uint32_t i = 1; i < job->segment_count; i++) {
        assert_int_equal(job->segments[i].parent, 0);
    }
    assert_int_equal(job->readout_count, 2 * (job->segment_count - 1));
    assert_int_equal(job->readouts[1].layer, 3);
    const struct score *last = fixture_score(f, "toxicity", 0);
    assert_int_equal(last->span_end, 240);
    assert_true(last->span_start > 100);
    assert_true(score_raw(fixture_score(f, "toxicity", 1)) > score_raw(last));
}

static void test_the_worst_view_counts(void **state) {
    struct fixture *f = *state;
    static const uint32_t map[] = {3, 3, 3, 6};
    fixture_must_open(f);
    struct canonical_part *part = fixture_text(f, "abc def", true, ROLE_USER);
    part->text.clean = (struct text_view){.text = "bad", .size = 3, .map = map};
    fixture_must_judge(f);
    assert_string_equal(fixture_score(f, "toxicity", 0)->evidence, "window 1 of clean");
    assert_int_equal(fixture_score(f, "toxicity", 0)->span_start, 3);
    assert_string_equal(fixture_score(f, "violence", 0)->evidence, "window 1 of raw");
}

static void test_categories_restrict_what_is_scored(void **state) {
    struct fixture *f = *state;
    static char wanted[1][POLICY_NAME_SIZE] = {"violence"};
    f->config->categories = wanted;
    f->config->category_count = 1;
    fixture_must_open(f);
    (void)fixture_text(f, "bad", true, ROLE_USER);
    fixture_must_judge(f);
    assert_int_equal(f->task.score_count, 1);
    assert_true(fabs(score_raw(fixture_score(f, "violence", 0)) + 1.0) < 1e-6);
}

static void test_refuses_a_category_without_a_head(void **state) {
    struct fixture *f = *state;
    static char wanted[1][POLICY_NAME_SIZE] = {"profanity"};
    f->config->categories = wanted;
    f->config->category_count = 1;
    expect_refused(f, "no head for profanity");
}

static void test_refuses_a_head_of_another_base_model(void **state) {
    struct fixture *f = *state;
    static const char card[] =
        "{\"base\":{\"file\":\"base.gguf\",\"sha256\":\""
        "0000000000000000000000000000000000000000000000000000000000000000\"},\"layers\":[1],"
        "\"pooling\":\"mean\",\"categories\":[\"toxicity\"]}";
    write_file(f, "card.json", card, sizeof card - 1);
    expect_refused(f, "not the one that the head was fitted on");
}

static void test_refuses_cards_that_are_not_sound(void **state) {
    struct fixture *f = *state;
    static const struct {
        const char *card, *word;
    } bad[] = {
        {"", "1 to"},
        {"[]%.0s", "not a JSON object"},
        {"{\"pooling\":\"last\"}%.0s", "pooling"},
        {"{\"pooling\":\"mean\"}%.0s", "base.file"},
        {"{\"pooling\":\"mean\",\"base\":{\"file\":\"a/b\"}}%.0s", "base.file"},
        {"{\"pooling\":\"mean\",\"base\":{\"file\":\"b\",\"sha256\":\"12\"}}%.0s", "base.sha256"},
        {CARD("[]", "20", "[\"toxicity\"]"), "layers"},
        {CARD("[0]", "20", "[\"toxicity\"]"), "layers"},
        {CARD("[1.5]", "20", "[\"toxicity\"]"), "layers"},
        {CARD("[4]", "20", "[\"toxicity\"]"), "layer 4 of a model with 3"},
        {CARD("[1,1,1,1,1,1,1,1,1]", "20", "[\"toxicity\"]"), "layers"},
        {CARD("[1,3]", "1", "[\"toxicity\",\"violence\"]"), "window"},
        {CARD("[1,3]", "\"20\"", "[\"toxicity\",\"violence\"]"), "window"},
        {CARD("[1,3]", "20", "[]"), "categories"},
        {CARD("[1,3]", "20", "[\"\"]"), "categories"},
        {CARD("[1,3]", "20", "[7]"), "categories"},
        {CARD("[1,3]", "20", "[\"weather\"]"), "no head for any category"},
        {CARD("[1,3]", "20", "[\"toxicity\"]"), "shape"},
        {CARD("[1]", "20", "[\"toxicity\",\"violence\"]"), "shape"},
        {CARD_WITH("\"adapter\":7"), "adapter.file"},
        {CARD_WITH("\"adapter\":{\"file\":\"../x\"}"), "adapter.file"},
        {CARD_WITH("\"adapter\":{\"file\":\"x\",\"sha256\":\"zz\"}"), "adapter.sha256"},
        {CARD_WITH("\"context\":{}"), "context"},
        {CARD_WITH("\"context\":{\"before\":\"a\",\"after\":\"b\",\"tokens\":0}"), "context"},
        {CARD_WITH("\"context\":{\"before\":\"a\",\"after\":\"b\",\"tokens\":5000}"), "context"},
        {CARD_WITH("\"ngrams\":{\"buckets\":1024}"), "ngrams.buckets"},
        {SPAN_CARD("{}"), "spans"},
        {SPAN_CARD("{\"tokens\":40,\"stride\":16}"), "spans"},
        {SPAN_CARD("{\"tokens\":16,\"stride\":32}"), "spans"},
        {CARD_WITH("\"ngrams\":{\"buckets\":262144}"), "tensor ngram_table is missing"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        write_card(f, bad[i].card);
        expect_refused(f, bad[i].word);
    }
}

static void test_refuses_a_file_that_is_missing(void **state) {
    struct fixture *f = *state;
    struct error error = {0};
    (void)snprintf(f->config->model, sizeof f->config->model, "nothing");
    assert_int_equal(fixture_open(f, &error), -ENOENT);
}

static void test_refuses_tensors_with_impossible_values(void **state) {
    struct fixture *f = *state;
    for (int kind = 0; kind < 3; kind++) {
        struct values v = good_values();
        v.weight[3] = kind == 0 ? NAN : 0.0f;
        v.scale[2] = kind == 1 ? 0.0f : 1.0f;
        v.calibration[1] = kind == 2 ? INFINITY : 0.0f;
        write_heads(f, &v);
        expect_refused(f, kind == 1 ? "not positive" : "not finite");
    }
}

static int open_and_read(const void *bytes, size_t size) {
    const struct card card = {.category_count = ROWS};
    const size_t rows[ROWS] = {0, 1};
    struct head_weights weights;
    struct error error = {0};
    /* an exact allocation, so that a sanitizer sees a read of one byte too many */
    uint8_t *exact = malloc(size > 0 ? size : 1);
    assert_non_null(exact);
    memcpy(exact, bytes, size);
    int rc = head_weights_read(exact, size, &card, FEATURES, rows, ROWS, &weights, &error);
    assert_true((rc == 0) == (error.text[0] == '\0'));
    head_weights_deinit(&weights);
    free(exact);
    return rc;
}

static void test_a_tensor_file_cut_anywhere_is_refused(void **state) {
    (void)state;
    struct buf file = {0};
    struct values v = good_values();
    build_file(&file, GOOD_HEADER, &v);
    assert_int_equal(open_and_read(file.bytes, file.size), 0);
    for (size_t size = 0; size < file.size; size++) {
        assert_int_equal(open_and_read(file.bytes, size), CLASSIFIER_E_INVALID);
    }
    buf_u8(&file, 0);
    assert_int_equal(open_and_read(file.bytes, file.size), CLASSIFIER_E_INVALID);
    buf_deinit(&file);
}

static void test_a_tensor_header_changed_anywhere_never_reads_outside(void **state) {
    (void)state;
    struct buf file = {0};
    struct values v = good_values();
    unsigned refused = 0;
    build_file(&file, GOOD_HEADER, &v);
    for (size_t at = 0; at < 8 + strlen(GOOD_HEADER); at++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            file.bytes[at] ^= (uint8_t)(1u << bit);
            refused += open_and_read(file.bytes, file.size) != 0;
            file.bytes[at] ^= (uint8_t)(1u << bit);
        }
    }
    assert_true(refused > 2000);
    buf_deinit(&file);
}

static void test_refuses_tensor_headers_that_lie(void **state) {
    (void)state;
    static const char *const bad[] = {
        "[]",
        "{\"weight\":{\"dtype\":\"F32\",\"shape\":[2,8],\"data_offsets\":[0,152]}}",
        "{\"weight\":{\"dtype\":\"F16\",\"shape\":[2,8],\"data_offsets\":[0,152]}}",
        "{\"weight\":{\"dtype\":\"F32\",\"shape\":[2,8],\"data_offsets\":[152,0]}}",
        "{\"weight\":{\"dtype\":\"F32\",\"shape\":[2,8],\"data_offsets\":[-64,88]}}",
        "{\"weight\":{\"dtype\":\"F32\",\"shape\":[2,8],\"data_offsets\":[0,9223372036854775807]}}",
        "{\"weight\":{\"dtype\":\"F32\",\"shape\":[2,8],\"data_offsets\":[0,64,152]}}",
        "{\"weight\":{\"dtype\":\"F32\",\"shape\":[2,8],\"data_offsets\":[0.0,152]}}",
        "{\"weight\":{\"dtype\":\"F32\",\"shape\":[2,8]}}",
        "{\"weight\":{\"dtype\":\"F32\",\"shape\":[38],\"data_offsets\":[0,152]}}",
        "{\"weight\":{\"dtype\":\"F32\",\"shape\":[4611686018427387905,4],\"data_offsets\":[0,152]}}",
        "{\"other\":{\"dtype\":\"F32\",\"shape\":[38],\"data_offsets\":[0,152]}}",
        "{\"weight\":7}",
    };
    struct values v = good_values();
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct buf file = {0};
        build_file(&file, bad[i], &v);
        assert_int_equal(open_and_read(file.bytes, file.size), CLASSIFIER_E_INVALID);
        buf_deinit(&file);
    }
}

static void test_hidden_states_that_are_not_finite_are_an_error(void **state) {
    struct fixture *f = *state;
    struct error error = {0};
    fixture_must_open(f);
    (void)fixture_text(f, "x", true, ROLE_USER);
    fake_engine_poison(f->engine, true);
    assert_int_equal(fixture_judge(f, &error), CLASSIFIER_E_NOT_FINITE);
}

static void test_a_text_beyond_the_memory_of_a_request_is_too_large(void **state) {
    struct fixture *f = *state;
    char text[4 * 900 + 1];
    unsigned fine = 0;
    fixture_must_open(f);
    for (size_t i = 0; i < 900; i++) {
        memcpy(text + 4 * i, " abc", 5);
    }
    for (size_t limit = 256; limit < 65536; limit += 256) {
        struct error error = {0};
        fixture_clear(f);
        (void)fixture_text(f, text, true, ROLE_USER);
        f->arena.limit_bytes = limit;
        int rc = fixture_prepare(f, &error);
        assert_true(rc == 0 || rc == CLASSIFIER_E_TOO_LARGE || rc == -ENOMEM);
        assert_true(rc == 0 || error.text[0] != '\0');
        fine += rc == 0;
    }
    assert_true(fine > 0 && fine < 250);
}

static void test_an_empty_text_scores_zero_without_a_job(void **state) {
    struct fixture *f = *state;
    fixture_must_open(f);
    (void)fixture_text(f, "", true, ROLE_USER);
    fixture_must_judge(f);
    assert_int_equal(f->task.job_count, 0);
    assert_int_equal(f->task.score_count, 2);
    assert_int_equal(f->task.scores[0].state, SCORE_EXECUTED);
}

static void test_provenance_names_model_tokenizer_heads_and_card(void **state) {
    struct fixture *f = *state;
    char first[512];
    fixture_must_open(f);
    (void)snprintf(first, sizeof first, "%s", f->type->provenance(f->instance));
    assert_int_equal(strlen(first), 4 * 64 + strlen("model= tokenizer= heads= card="));
    f->type->close(f->instance);
    struct values v = good_values();
    v.bias[0] += 1.0f;
    write_heads(f, &v);
    fixture_must_open(f);
    assert_string_not_equal(first, f->type->provenance(f->instance));
}

static void test_the_registry_is_in_the_order_of_names(void **state) {
    (void)state;
    size_t count = 0;
    const struct classifier_type *const *all = classifier_all(&count);
    assert_int_equal(count, 4);
    for (size_t i = 0; i < count; i++) {
        assert_ptr_equal(classifier_find(all[i]->name), all[i]);
        assert_true(i == 0 || strcmp(all[i - 1]->name, all[i]->name) < 0);
    }
    assert_null(classifier_find("magic"));
}

#define HEAD_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        HEAD_TEST(test_the_score_is_calibrated_and_the_raw_number_is_kept),
        HEAD_TEST(test_a_reply_is_read_behind_what_it_answers),
        HEAD_TEST(test_text_that_is_no_reply_has_no_context),
        HEAD_TEST(test_a_window_is_judged_by_its_stretches_too),
        HEAD_TEST(test_a_window_no_longer_than_a_stretch_is_judged_once),
        HEAD_TEST(test_an_adapter_is_put_on_and_must_be_the_one_of_the_card),
        HEAD_TEST(test_windows_hang_side_by_side_under_one_bos),
        HEAD_TEST(test_the_worst_view_counts),
        HEAD_TEST(test_categories_restrict_what_is_scored),
        HEAD_TEST(test_refuses_a_category_without_a_head),
        HEAD_TEST(test_refuses_a_head_of_another_base_model),
        HEAD_TEST(test_refuses_cards_that_are_not_sound),
        HEAD_TEST(test_refuses_a_file_that_is_missing),
        HEAD_TEST(test_refuses_tensors_with_impossible_values),
        cmocka_unit_test(test_a_tensor_file_cut_anywhere_is_refused),
        cmocka_unit_test(test_a_tensor_header_changed_anywhere_never_reads_outside),
        cmocka_unit_test(test_refuses_tensor_headers_that_lie),
        HEAD_TEST(test_hidden_states_that_are_not_finite_are_an_error),
        HEAD_TEST(test_a_text_beyond_the_memory_of_a_request_is_too_large),
        HEAD_TEST(test_an_empty_text_scores_zero_without_a_job),
        HEAD_TEST(test_provenance_names_model_tokenizer_heads_and_card),
        cmocka_unit_test(test_the_registry_is_in_the_order_of_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
