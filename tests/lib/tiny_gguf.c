/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/tiny_gguf.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "engine/kernels/kernels.h"
#include "tests/lib/gguf_writer.h"

struct tiny_options tiny_default(enum tiny_types types) {
    return (struct tiny_options){.generation = 3,
                                 .layers = 12,
                                 .hidden = 64,
                                 .heads = 4,
                                 .kv_heads = 2,
                                 .head_size = 32,
                                 .feed_forward = 96,
                                 .window = 8,
                                 .context = 256,
                                 .seed = 7,
                                 .types = types};
}

#define ATTENTION_CAP 2.0F
#define FINAL_CAP 6.0F

static void must(int fine, const char *what) {
    if (!fine) {
        fprintf(stderr, "tiny_gguf: %s\n", what);
        abort();
    }
}

/* ---- values ---- */

static double uniform(uint64_t *state) {
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return ((double)(*state >> 11) + 0.5) / 9007199254740992.0;
}

static double gaussian(uint64_t *state) {
    double radius = sqrt(-2.0 * log(uniform(state)));

    return radius * cos(6.283185307179586 * uniform(state));
}

static void add_tensor(struct tiny_model *m, uint64_t *state, const char *name, uint32_t cols, uint32_t rows,
                       uint32_t type, double mean, double deviation) {
    must(m->tensor_count < TINY_MAX_TENSORS, "too many tensors");
    struct tiny_tensor *t = &m->tensors[m->tensor_count++];

    (void)snprintf(t->name, sizeof t->name, "%s", name);
    t->cols = cols;
    t->rows = rows;
    t->type = type;
    t->values = calloc((size_t)cols * rows, sizeof *t->values);
    must(t->values != NULL, "out of memory");
    for (size_t i = 0; i < (size_t)cols * rows; i++) {
        t->values[i] = (float)(mean + deviation * gaussian(state));
    }
}

static uint32_t matrix_type(const struct tiny_options *o, uint32_t index) {
    static const uint32_t mixed[] = {TENSOR_Q8_0, TENSOR_Q5_0, TENSOR_F16, TENSOR_Q8_0,
                                     TENSOR_BF16, TENSOR_Q5_0, TENSOR_F32};

    return o->types == TINY_F32    ? (uint32_t)TENSOR_F32
           : o->types == TINY_Q8_0 ? (uint32_t)TENSOR_Q8_0
                                   : mixed[index % (sizeof mixed / sizeof mixed[0])];
}

static int has_weight(const struct tiny_options *o, const char *name) {
    return o->generation == 3   ? 1
           : o->generation == 2 ? strstr(name, "q_norm") == NULL && strstr(name, "k_norm") == NULL
                                : strcmp(name, "attn_norm") == 0 || strcmp(name, "ffn_norm") == 0 ||
                                      strstr(name, "norm") == NULL;
}

static void add_layer(struct tiny_model *m, uint64_t *state, uint32_t layer) {
    const struct tiny_options *o = &m->options;
    uint32_t query = o->heads * o->head_size, key = o->kv_heads * o->head_size;
    /* Without a norm behind the branches, those of Gemma 1 are made small by their last matrix. */
    double last = o->generation == 1 ? 0.2 : 1.0;
    const struct {
        const char *name;
        uint32_t cols, rows;
        double mean, deviation; /* of norms; matrices get the deviation that keeps lengths, times this */
    } rows[] = {
        {"attn_norm", o->hidden, 1, 1.0, 0.2},
        {"attn_q", o->hidden, query, 0, 1},
        {"attn_k", o->hidden, key, 0, 1},
        {"attn_v", o->hidden, key, 0, 1},
        {"attn_q_norm", o->head_size, 1, 1.2, 0.1},
        {"attn_k_norm", o->head_size, 1, 1.2, 0.1},
        {"attn_output", query, o->hidden, 0, last},
        {"post_attention_norm", o->hidden, 1, 0.2, 0.03},
        {"ffn_norm", o->hidden, 1, 1.0, 0.2},
        {"ffn_gate", o->hidden, o->feed_forward, 0, 1},
        {"ffn_up", o->hidden, o->feed_forward, 0, 1},
        {"ffn_down", o->feed_forward, o->hidden, 0, last},
        {"post_ffw_norm", o->hidden, 1, 0.2, 0.03},
    };

    for (uint32_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char name[48];
        int norm = rows[i].rows == 1;

        if (!has_weight(o, rows[i].name)) {
            continue;
        }
        (void)snprintf(name, sizeof name, "blk.%u.%s.weight", layer, rows[i].name);
        add_tensor(m, state, name, rows[i].cols, rows[i].rows,
                   norm ? (uint32_t)TENSOR_F32 : matrix_type(o, layer * 5 + i), rows[i].mean,
                   norm ? rows[i].deviation : rows[i].deviation / sqrt(rows[i].cols));
    }
}

void tiny_init(struct tiny_model *m, const struct tiny_options *options) {
    uint64_t state = options->seed;

    *m = (struct tiny_model){.options = *options};
    add_tensor(m, &state, "token_embd.weight", options->hidden, TINY_VOCABULARY, matrix_type(options, 0), 0,
               0.1);
    add_tensor(m, &state, "output_norm.weight", options->hidden, 1, TENSOR_F32, 1.5, 0.3);
    for (uint32_t layer = 0; layer < options->layers; layer++) {
        add_layer(m, &state, layer);
    }
}

void tiny_deinit(struct tiny_model *m) {
    for (uint32_t i = 0; i < m->tensor_count; i++) {
        free(m->tensors[i].values);
    }
    m->tensor_count = 0;
}

struct tiny_tensor *tiny_find(struct tiny_model *m, const char *name) {
    for (uint32_t i = 0; i < m->tensor_count; i++) {
        if (strcmp(m->tensors[i].name, name) == 0) {
            return &m->tensors[i];
        }
    }
    must(0, name);
    return NULL;
}

/* ---- stored blocks ---- */

/* Rounds towards zero; enough for a writer that reads back what it wrote. */
static uint16_t half_bits(float value) {
    uint32_t bits;

    memcpy(&bits, &value, sizeof bits);
    uint32_t sign = bits >> 16 & 0x8000, mantissa = bits >> 13 & 0x3ff;
    int exponent = (int)(bits >> 23 & 0xff) - 127 + 15;
    if ((bits >> 23 & 0xff) == 0xff) {
        return (uint16_t)(sign | 0x7c00 | (mantissa | (bits & 0x7fffff ? 0x200 : 0)));
    }
    must(exponent < 31, "a value beyond half precision");
    return exponent <= 0 ? (uint16_t)sign : (uint16_t)(sign | (uint32_t)exponent << 10 | mantissa);
}

static float half_value(uint16_t bits) {
    uint32_t exponent = bits >> 10 & 0x1f;
    float value = exponent == 0 ? 0.0F : ldexpf(1.0F + (float)(bits & 0x3ff) / 1024.0F, (int)exponent - 15);

    value = exponent == 31 ? NAN : value;
    return bits & 0x8000 ? -value : value;
}

/* 32 values as one block of Q8_0 or Q5_0; `values` becomes what the block says. */
static void put_block(struct buf *b, uint32_t type, float *values) {
    int top = type == TENSOR_Q8_0 ? 127 : 15, bottom = type == TENSOR_Q8_0 ? -127 : -16;
    float largest = 0;
    int q[32];

    for (int i = 0; i < 32; i++) {
        largest = fabsf(values[i]) > largest ? fabsf(values[i]) : largest;
    }
    uint16_t bits = half_bits(largest / (float)top);
    float scale = half_value(bits);
    for (int i = 0; i < 32; i++) {
        float x = scale > 0 ? roundf(values[i] / scale) : 0;
        q[i] = x > (float)top ? top : x < (float)bottom ? bottom : (int)x;
        values[i] = scale * (float)q[i];
    }
    buf_u16(b, bits);
    if (type == TENSOR_Q8_0) {
        for (int i = 0; i < 32; i++) {
            buf_u8(b, (uint8_t)(int8_t)q[i]);
        }
        return;
    }
    uint32_t high = 0;
    for (int i = 0; i < 32; i++) {
        high |= (uint32_t)(q[i] + 16) >> 4 << i;
    }
    buf_u32(b, high);
    for (int i = 0; i < 16; i++) {
        buf_u8(b, (uint8_t)(((q[i] + 16) & 15) | ((q[i + 16] + 16) & 15) << 4));
    }
}

static void put_value(struct buf *b, uint32_t type, float *value) {
    uint32_t bits;

    if (type == TENSOR_F16) {
        uint16_t half = half_bits(*value);
        *value = half_value(half);
        buf_u16(b, half);
        return;
    }
    memcpy(&bits, value, sizeof bits);
    if (type == TENSOR_BF16) {
        bits &= 0xffff0000;
        memcpy(value, &bits, sizeof bits);
        buf_u16(b, (uint16_t)(bits >> 16));
    } else {
        buf_u32(b, bits);
    }
}

static void put_tensor(struct gguf_writer *w, struct tiny_tensor *t) {
    uint64_t dims[2] = {t->cols, t->rows};
    size_t count = (size_t)t->cols * t->rows;

    gguf_write_tensor(w, t->name, t->type, dims, t->rows == 1 ? 1 : 2, 0, 0);
    for (size_t i = 0; i < count;) {
        if (t->type == TENSOR_Q8_0 || t->type == TENSOR_Q5_0) {
            put_block(&w->data, t->type, t->values + i);
            i += 32;
        } else {
            put_value(&w->data, t->type, t->values + i);
            i++;
        }
    }
}

/* ---- the file ---- */

static void put_tokenizer(struct gguf_writer *w) {
    static const char *const specials[] = {"<pad>", "<eos>", "<bos>", "<unk>"};
    char names[TINY_VOCABULARY][16];
    const char *pieces[TINY_VOCABULARY];
    float scores[TINY_VOCABULARY];
    int32_t types[TINY_VOCABULARY];

    for (int i = 0; i < TINY_VOCABULARY; i++) {
        if (i < 4) {
            (void)snprintf(names[i], sizeof names[i], "%s", specials[i]);
        } else if (i < 260) {
            (void)snprintf(names[i], sizeof names[i], "<0x%02X>", (unsigned)(i - 4) & 0xff);
        } else {
            (void)snprintf(names[i], sizeof names[i], "w%d", i);
        }
        pieces[i] = names[i];
        scores[i] = (float)-i;
        types[i] = i < 4 ? 3 : i < 260 ? 6 : 1;
    }
    gguf_write_string(w, "tokenizer.ggml.model", "llama");
    gguf_write_strings(w, "tokenizer.ggml.tokens", pieces, TINY_VOCABULARY);
    gguf_write_f32s(w, "tokenizer.ggml.scores", scores, TINY_VOCABULARY);
    gguf_write_i32s(w, "tokenizer.ggml.token_type", types, TINY_VOCABULARY);
    gguf_write_u32(w, "tokenizer.ggml.bos_token_id", 2);
}

static const char *architecture(const struct tiny_options *o) {
    return o->generation == 1 ? "gemma" : o->generation == 2 ? "gemma2" : "gemma3";
}

static void put_u32(struct gguf_writer *w, const struct tiny_options *o, const char *name, uint32_t value) {
    char key[64];

    (void)snprintf(key, sizeof key, "%s.%s", architecture(o), name);
    gguf_write_u32(w, key, value);
}

static void put_f32(struct gguf_writer *w, const struct tiny_options *o, const char *name, float value) {
    char key[64];

    (void)snprintf(key, sizeof key, "%s.%s", architecture(o), name);
    gguf_write_f32(w, key, value);
}

void tiny_write(struct tiny_model *m, char *ret_path) {
    const struct tiny_options *o = &m->options;
    struct gguf_writer w = {0};
    struct buf file = {0};

    gguf_write_string(&w, "general.architecture", architecture(o));
    gguf_write_string(&w, "general.name", "tiny");
    put_u32(&w, o, "context_length", o->context);
    put_u32(&w, o, "embedding_length", o->hidden);
    put_u32(&w, o, "block_count", o->layers);
    put_u32(&w, o, "feed_forward_length", o->feed_forward);
    put_u32(&w, o, "attention.head_count", o->heads);
    put_u32(&w, o, "attention.head_count_kv", o->kv_heads);
    put_u32(&w, o, "attention.key_length", o->head_size);
    put_u32(&w, o, "attention.value_length", o->head_size);
    put_f32(&w, o, "attention.layer_norm_rms_epsilon", 1e-6F);
    if (o->generation > 1) {
        put_u32(&w, o, "attention.sliding_window", o->window);
    }
    if (o->generation == 2) {
        put_f32(&w, o, "attn_logit_softcapping", ATTENTION_CAP);
        put_f32(&w, o, "final_logit_softcapping", FINAL_CAP);
    }
    if (o->generation == 3) {
        put_f32(&w, o, "rope.freq_base", 1e6F);
        gguf_write_string(&w, "gemma3.rope.scaling.type", "linear");
        put_f32(&w, o, "rope.scaling.factor", 2.0F);
    }
    if (o->period != 0) {
        put_u32(&w, o, "attention.sliding_window_pattern", o->period);
    }
    put_tokenizer(&w);
    for (uint32_t i = 0; i < m->tensor_count; i++) {
        put_tensor(&w, &m->tensors[i]);
    }
    gguf_write_file(&w, &file);
    must(!file.failed, "out of memory");
    const char *folder = getenv("TMPDIR");
    must(snprintf(ret_path, 64, "%.40s/tiny-XXXXXX", folder == NULL ? "/tmp" : folder) < 64,
         "TMPDIR is too long");
    int fd = mkstemp(ret_path);
    must(fd >= 0 && fd_write_all(fd, file.bytes, file.size) == 0 && close(fd) == 0, "cannot write the file");
    buf_deinit(&file);
}

/* ---- the forward pass in double precision, straight from the definition ---- */

static const float *weights(struct tiny_model *m, uint32_t layer, const char *name) {
    char full[48];

    (void)snprintf(full, sizeof full, "blk.%u.%s.weight", layer, name);
    return has_weight(&m->options, name) ? tiny_find(m, full)->values : NULL;
}

/* Without a weight, nothing: the generation does not have this norm. */
static void norm(const double *x, const float *w, uint32_t n, double *out) {
    double sum = 0;

    if (w == NULL) {
        memmove(out, x, n * sizeof *out);
        return;
    }
    for (uint32_t i = 0; i < n; i++) {
        sum += x[i] * x[i];
    }
    double r = 1.0 / sqrt(sum / n + 1e-6);
    for (uint32_t i = 0; i < n; i++) {
        out[i] = x[i] * r * w[i];
    }
}

static void multiply(const float *w, const double *x, uint32_t cols, uint32_t rows, double *out) {
    for (uint32_t r = 0; r < rows; r++) {
        out[r] = 0;
        for (uint32_t c = 0; c < cols; c++) {
            out[r] += (double)w[(size_t)r * cols + c] * x[c];
        }
    }
}

static void rotate(double *x, uint32_t n, double position, double base) {
    for (uint32_t i = 0; i < n / 2; i++) {
        double angle = position * pow(base, -2.0 * i / n), a = x[i], b = x[i + n / 2];

        x[i] = a * cos(angle) - b * sin(angle);
        x[i + n / 2] = b * cos(angle) + a * sin(angle);
    }
}

static double capped(double x, double cap) {
    return cap > 0 ? cap * tanh(x / cap) : x;
}

/* One query head at position `i` over keys and values [position, kv_heads, head_size]. */
static void attend(const struct tiny_options *o, const double *q, const double *keys, const double *values,
                   uint32_t kv_head, uint32_t i, int sliding, double *out) {
    uint32_t size = o->head_size, width = o->kv_heads * size;
    uint32_t first = sliding && i + 1 > o->window ? i + 1 - o->window : 0;
    double weights_[512], largest = -INFINITY, sum = 0;

    for (uint32_t j = first; j <= i; j++) {
        double score = 0;
        for (uint32_t c = 0; c < size; c++) {
            score += q[c] * keys[(size_t)j * width + kv_head * size + c];
        }
        weights_[j] = capped(score / sqrt(size), o->generation == 2 ? ATTENTION_CAP : 0);
        largest = weights_[j] > largest ? weights_[j] : largest;
    }
    for (uint32_t j = first; j <= i; j++) {
        weights_[j] = exp(weights_[j] - largest);
        sum += weights_[j];
    }
    for (uint32_t c = 0; c < size; c++) {
        out[c] = 0;
        for (uint32_t j = first; j <= i; j++) {
            out[c] += weights_[j] / sum * values[(size_t)j * width + kv_head * size + c];
        }
    }
}

static void attention_block(struct tiny_model *m, uint32_t layer, uint32_t count, double *x, double *keys,
                            double *values) {
    const struct tiny_options *o = &m->options;
    uint32_t size = o->head_size, key = o->kv_heads * size, query = o->heads * size, hidden = o->hidden;
    uint32_t period = o->period != 0 ? o->period : o->generation == 1 ? 1 : o->generation == 2 ? 2 : 6;
    int sliding = (layer + 1) % period != 0, scaled = o->generation == 3 && !sliding;
    double base = scaled ? 1e6 : 1e4, h[512], q[512], out[512], branch[512];

    for (uint32_t i = 0; i < count; i++) {
        double position = scaled ? i / 2.0 : i, *k = keys + (size_t)i * key;

        norm(x + (size_t)i * hidden, weights(m, layer, "attn_norm"), hidden, h);
        multiply(weights(m, layer, "attn_k"), h, hidden, key, k);
        multiply(weights(m, layer, "attn_v"), h, hidden, key, values + (size_t)i * key);
        multiply(weights(m, layer, "attn_q"), h, hidden, query, q);
        for (uint32_t head = 0; head < o->kv_heads; head++) {
            norm(k + head * size, weights(m, layer, "attn_k_norm"), size, k + head * size);
            rotate(k + head * size, size, position, base);
        }
        for (uint32_t head = 0; head < o->heads; head++) {
            norm(q + head * size, weights(m, layer, "attn_q_norm"), size, q + head * size);
            rotate(q + head * size, size, position, base);
            attend(o, q + head * size, keys, values, head / (o->heads / o->kv_heads), i, sliding,
                   out + head * size);
        }
        multiply(weights(m, layer, "attn_output"), out, query, hidden, branch);
        norm(branch, weights(m, layer, "post_attention_norm"), hidden, branch);
        for (uint32_t c = 0; c < hidden; c++) {
            x[(size_t)i * hidden + c] += branch[c];
        }
    }
}

static void mlp_block(struct tiny_model *m, uint32_t layer, double *x) {
    const struct tiny_options *o = &m->options;
    double h[512], gate[512], up[512], branch[512];

    norm(x, weights(m, layer, "ffn_norm"), o->hidden, h);
    multiply(weights(m, layer, "ffn_gate"), h, o->hidden, o->feed_forward, gate);
    multiply(weights(m, layer, "ffn_up"), h, o->hidden, o->feed_forward, up);
    for (uint32_t i = 0; i < o->feed_forward; i++) {
        double g = gate[i];
        gate[i] = 0.5 * g * (1 + tanh(sqrt(2 / M_PI) * (g + 0.044715 * g * g * g))) * up[i];
    }
    multiply(weights(m, layer, "ffn_down"), gate, o->feed_forward, o->hidden, branch);
    norm(branch, weights(m, layer, "post_ffw_norm"), o->hidden, branch);
    for (uint32_t c = 0; c < o->hidden; c++) {
        x[c] += branch[c];
    }
}

void tiny_forward(struct tiny_model *m, const uint32_t *tokens, uint32_t count, uint32_t layers, double *x,
                  double *logits) {
    const struct tiny_options *o = &m->options;
    size_t hidden = o->hidden, key = (size_t)o->kv_heads * o->head_size;
    const float *embedding = tiny_find(m, "token_embd.weight")->values;
    double *keys = calloc(count * key, sizeof *keys), *values = calloc(count * key, sizeof *values);

    must(keys != NULL && values != NULL && count <= 512, "out of memory");
    for (uint32_t i = 0; i < count; i++) {
        for (size_t c = 0; c < hidden; c++) {
            x[i * hidden + c] = sqrt((double)hidden) * embedding[tokens[i] * hidden + c];
        }
    }
    for (uint32_t layer = 0; layer < layers; layer++) {
        attention_block(m, layer, count, x, keys, values);
        for (uint32_t i = 0; i < count; i++) {
            mlp_block(m, layer, x + i * hidden);
        }
    }
    for (uint32_t i = 0; logits != NULL && i < count; i++) {
        double h[512];
        norm(x + i * hidden, tiny_find(m, "output_norm.weight")->values, o->hidden, h);
        multiply(embedding, h, o->hidden, TINY_VOCABULARY, logits + (size_t)i * TINY_VOCABULARY);
        for (uint32_t id = 0; o->generation == 2 && id < TINY_VOCABULARY; id++) {
            double *logit = &logits[(size_t)i * TINY_VOCABULARY + id];
            *logit = capped(*logit, FINAL_CAP);
        }
    }
    free(keys);
    free(values);
}
