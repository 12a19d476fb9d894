/* SPDX-License-Identifier: Apache-2.0
 *
 * Prefill speed of one model. The prompt's tokens are drawn from a fixed sequence; prefill reads the logits
 * of two ids at the last position, which is what a yes/no guard does, or with --layers the mean of the hidden
 * states after so many layers, which is what a head does.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "tools/command.h"

enum { LENGTH_COUNT = 3, LEAST_RUNS = 3 };

static const uint32_t lengths[LENGTH_COUNT] = {128, 512, 2048};
static const double least_seconds = 1.0;

static void fill(uint32_t *tokens, uint32_t count, const struct engine_model_info *info) {
    uint32_t state = 12345;
    for (uint32_t i = 0; i < count; i++) {
        state = state * 1664525u + 1013904223u;
        tokens[i] = i == 0 ? info->bos : 1000 + (state >> 8) % (info->vocabulary - 2000);
    }
}

struct bench {
    struct engine *engine;
    struct engine_model *model;
    struct engine_readout readout; /* of each run */
    uint32_t tokens[2048];
};

/* Seconds of one prefill of `count` tokens; negative after printing why. */
static double prefill(const struct bench *b, uint32_t count) {
    struct error error = {0};
    uint64_t start = clock_monotonic_ns();
    if (engine_run_path(b->engine, b->model, b->tokens, count, b->readout, &error) != 0) {
        (void)command_fail(EXIT_FAILED, "%s", error.text);
        return -1;
    }
    return (double)(clock_monotonic_ns() - start) / 1e9;
}

/* The best of several runs: what the machine can do when nobody else uses it. */
static double prefill_rate(const struct bench *b, uint32_t count) {
    double best = 0;
    double total = 0;
    for (int run = 0; run < LEAST_RUNS || total < least_seconds; run++) {
        double seconds = prefill(b, count);
        if (seconds < 0) {
            return -1;
        }
        total += seconds;
        best = count / seconds > best ? count / seconds : best;
    }
    return best;
}

/* What a run reads: two logits, or the mean after `layers` layers. */
static bool prepare(struct bench *b, uint32_t layers) {
    static const uint32_t ids[2] = {100, 200};
    const struct engine_model_info *info = engine_model_info(b->model);
    b->readout = layers == 0 ? (struct engine_readout){.kind = ENGINE_READ_LOGITS, .ids = ids, .id_count = 2}
                             : (struct engine_readout){.kind = ENGINE_READ_MEAN, .layer = layers};
    b->readout.out = calloc(layers == 0 ? 2 : info->hidden, sizeof(float));
    fill(b->tokens, 2048, info);
    return b->readout.out != NULL;
}

static int measure(const struct bench *b, double load_s, bool json) {
    double rates[LENGTH_COUNT];
    char processor[128];
    for (int i = 0; i < LENGTH_COUNT; i++) {
        rates[i] = prefill_rate(b, lengths[i]);
        if (rates[i] < 0) {
            return EXIT_FAILED;
        }
    }
    /* One token at a time with no context: what a step costs when weights are read for a single row. */
    double decode = prefill_rate(b, 1);
    if (decode < 0) {
        return EXIT_FAILED;
    }
    command_processor(processor, sizeof processor);
    if (json) {
        (void)printf("{\"prefill_tok_s\":{\"128\":%.1f,\"512\":%.1f,\"2048\":%.1f},\"decode_tok_s\":%.1f,"
                     "\"load_s\":%.3f,\"rss_mb\":%.1f,"
                     "\"threads\":%u,\"instruction_set\":\"%s\",\"cpu\":\"%s\"}\n",
                     rates[0], rates[1], rates[2], decode, load_s, command_rss_mb(),
                     engine_threads(b->engine), engine_instruction_set(b->engine), processor);
    } else {
        (void)printf("%s, %u threads, %s\nloaded in %.2f s, %.0f MB resident\n", processor,
                     engine_threads(b->engine), engine_instruction_set(b->engine), load_s, command_rss_mb());
        for (int i = 0; i < LENGTH_COUNT; i++) {
            (void)printf("prefill of %4u tokens: %7.1f tokens/s\n", lengths[i], rates[i]);
        }
        (void)printf("single tokens:          %7.1f tokens/s\n", decode);
    }
    return 0;
}

static int run(int argc, char **argv) {
    const char *path = NULL, *lora = NULL, *layers_text = "0", *threads_text = "0", *json = NULL;
    const struct option_value table[] = {{"--model", true, &path},         {"--lora", true, &lora},
                                         {"--layers", true, &layers_text}, {"--threads", true, &threads_text},
                                         {"--json", false, &json},         {NULL, false, NULL}};
    int rest = 0;
    uint64_t threads = 0, layers = 0;
    int rc = command_options(&command_bench_engine, argc, argv, table, &rest);
    if (rc != 0) {
        return rc;
    }
    if (path == NULL) {
        return command_fail(EXIT_USAGE, "bench engine: --model FILE is needed");
    }
    if (!command_number("--threads", threads_text, 0, 1024, &threads) ||
        !command_number("--layers", layers_text, 0, 1024, &layers)) {
        return EXIT_USAGE;
    }
    struct bench b = {0};
    uint64_t start = clock_monotonic_ns();
    if (command_open_model(path, lora, threads, false, &b.engine, &b.model) != 0) {
        return EXIT_FAILED;
    }
    double load_s = (double)(clock_monotonic_ns() - start) / 1e9;
    rc = prepare(&b, (uint32_t)layers) ? measure(&b, load_s, json != NULL) : EXIT_FAILED;
    free(b.readout.out);
    (void)engine_model_unref(b.model);
    (void)engine_free(b.engine);
    return rc;
}

const struct command command_bench_engine = {
    "bench engine", "speed and memory of a model",
    "bench engine --model FILE [--lora PATH] [--layers N] [--threads N] [--json]\n"
    "  best of several runs for prompts of 128, 512 and 2048 tokens; --threads 0: one a core\n"
    "  --lora PATH  with an adapter on top: PEFT, MLX or GGUF\n"
    "  --layers N   the mean after N layers is read, as a head does, and what lies above is not run\n"
    "  decode_tok_s is the rate of one-token steps without context",
    run};
