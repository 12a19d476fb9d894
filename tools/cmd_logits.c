/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "tools/command.h"

enum { MOST_TOKENS = 131072, MOST_IDS = 65536 };

struct arguments {
    const char *model, *lora, *tokens, *text, *ids, *top, *reference, *threads, *json;
};

/* "2,10,…" → ids; NULL after printing why. */
static uint32_t *parse_ids(const char *option, const char *text, size_t most, size_t *ret_count) {
    uint32_t *ids = malloc((strlen(text) + 1) * sizeof *ids);
    size_t count = 0;
    while (ids != NULL) {
        char *end = NULL;
        errno = 0;
        unsigned long value = strtoul(text, &end, 10);
        if (end == text || errno != 0 || value > UINT32_MAX || (*end != ',' && *end != '\0') ||
            count == most) {
            (void)command_fail(EXIT_USAGE, "%s: token ids are wanted, separated by commas, at most %zu",
                               option, most);
            free(ids);
            return NULL;
        }
        ids[count++] = (uint32_t)value;
        if (*end == '\0') {
            break;
        }
        text = end + 1;
    }
    *ret_count = count;
    return ids;
}

static int gather_tokens(const struct arguments *a, const struct engine_model *model, uint32_t **ret,
                         size_t *ret_count) {
    if (a->tokens != NULL) {
        *ret = parse_ids("--tokens", a->tokens, MOST_TOKENS, ret_count);
        return *ret != NULL ? 0 : EXIT_USAGE;
    }
    CLEANUP(free_ptr) char *read = NULL;
    const char *text = a->text;
    size_t size = strlen(text);
    struct error error = {0};
    if (strcmp(text, "-") == 0) {
        if (command_read("-", 16 << 20, &read, &size, &error) != 0) {
            return command_fail(EXIT_FAILED, "%s", error.text);
        }
        text = read;
    }
    if (engine_tokenize(model, text, size, ENGINE_TOKENIZE_BOS, ret, NULL, ret_count, &error) != 0) {
        return command_fail(EXIT_FAILED, "%s", error.text);
    }
    return 0;
}

static void print_start(const uint32_t *tokens, size_t count) {
    (void)fputs("{\"tokens\":[", stdout);
    for (size_t i = 0; i < count; i++) {
        (void)printf("%s%u", i > 0 ? "," : "", tokens[i]);
    }
    (void)fputs("],\"logits\":[", stdout);
}

static void print_logit(bool first, uint32_t id, float logit) {
    (void)printf("%s{\"id\":%u,\"logit\":%.9g}", first ? "" : ",", id, (double)logit);
}

/* The k highest of all, ties by id. */
static void print_top(float *logits, size_t count, size_t k) {
    for (size_t n = 0; n < k && n < count; n++) {
        size_t best = 0;
        for (size_t i = 1; i < count; i++) {
            best = logits[i] > logits[best] ? i : best;
        }
        print_logit(n == 0, (uint32_t)best, logits[best]);
        logits[best] = -__builtin_inff();
    }
}

static int answer(const struct arguments *a, struct engine *engine, struct engine_model *model,
                  uint64_t top) {
    CLEANUP(free_ptr) uint32_t *tokens = NULL;
    CLEANUP(free_ptr) uint32_t *ids = NULL;
    size_t count = 0;
    size_t id_count = engine_model_info(model)->vocabulary;
    int rc = gather_tokens(a, model, &tokens, &count);
    if (rc == 0 && a->ids != NULL) {
        ids = parse_ids("--ids", a->ids, MOST_IDS, &id_count);
        rc = ids != NULL ? 0 : EXIT_USAGE;
    }
    CLEANUP(free_ptr) float *logits = calloc(id_count > 0 ? id_count : 1, sizeof *logits);
    if (rc != 0 || logits == NULL) {
        return rc != 0 ? rc : command_fail(EXIT_FAILED, "logits: out of memory");
    }
    struct engine_readout readout = {
        .kind = ENGINE_READ_LOGITS, .ids = ids, .id_count = (uint32_t)id_count, .out = logits};
    struct error error = {0};
    if (engine_run_path(engine, model, tokens, (uint32_t)count, readout, &error) != 0) {
        return command_fail(EXIT_FAILED, "%s", error.text);
    }
    print_start(tokens, count);
    if (ids != NULL) {
        for (size_t i = 0; i < id_count; i++) {
            print_logit(i == 0, ids[i], logits[i]);
        }
    } else {
        print_top(logits, id_count, top);
    }
    (void)fputs("]}\n", stdout);
    return 0;
}

static int run(int argc, char **argv) {
    struct arguments a = {.threads = "0", .top = "10"};
    const struct option_value table[] = {{"--model", true, &a.model},     {"--lora", true, &a.lora},
                                         {"--tokens", true, &a.tokens},   {"--text", true, &a.text},
                                         {"--ids", true, &a.ids},         {"--top", true, &a.top},
                                         {"--json", false, &a.json},      {"--f32", false, &a.reference},
                                         {"--threads", true, &a.threads}, {NULL, false, NULL}};
    int rest = 0;
    uint64_t threads = 0, top = 0;
    int rc = command_options(&command_logits, argc, argv, table, &rest);
    if (rc != 0) {
        return rc;
    }
    if (a.model == NULL || (a.tokens == NULL) == (a.text == NULL)) {
        return command_fail(EXIT_USAGE, "logits: --model FILE and one of --tokens and --text are needed");
    }
    if (!command_number("--threads", a.threads, 0, 1024, &threads) ||
        !command_number("--top", a.top, 1, MOST_IDS, &top)) {
        return EXIT_USAGE;
    }
    struct engine *engine = NULL;
    struct engine_model *model = NULL;
    if (command_open_model(a.model, a.lora, threads, a.reference != NULL, &engine, &model) != 0) {
        return EXIT_FAILED;
    }
    rc = answer(&a, engine, model, top);
    (void)engine_model_unref(model);
    (void)engine_free(engine);
    return rc;
}

const struct command command_logits = {
    "logits", "logits of the last position, for parity checks",
    "logits --model FILE [--lora PATH] (--tokens 2,10,… | --text TEXT|-) [--top K | --ids A,B] [--f32] "
    "[--threads N] [--json]\n"
    "  --lora PATH  a LoRA on top of the model: the folder or weights file of a PEFT, MLX or GGUF adapter\n"
    "  --text TEXT  tokenised with BOS in front; - reads standard input\n"
    "  --top K      the K highest (10)\n"
    "  --ids A,B    these\n"
    "  --f32        reference arithmetic: f32 activations, f32 weights\n"
    "  the output is always JSON: {\"tokens\":[…],\"logits\":[{\"id\",\"logit\"},…]}",
    run};
