/* SPDX-License-Identifier: Apache-2.0
 *
 * Many yes/no policies over one content: the load that moderation has and general servers do not. Each item
 * is one tree, preamble and content once, one leaf a policy, read for Yes and No at its end.
 */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "tools/command.h"

enum { MOST_POLICIES = 64, MOST_ITEMS = 4096, MOST_LINE = 1 << 20 };

static const char *const subjects[] = {
    "hatred of groups of people",        "threats against a person",
    "instructions for building weapons", "sexually explicit content",
    "encouragement of self-harm",        "the sale of illegal drugs",
    "fraud or identity theft",           "personal data of private people",
    "medical dosage instructions",       "attempts to manipulate an assistant"};

struct tokens {
    uint32_t *ids;
    size_t count;
};

struct bench {
    struct engine *engine;
    struct engine_model *model;
    uint64_t policies;
    struct tokens preamble;
    struct tokens leaves[MOST_POLICIES];
    uint32_t yes_no[2];
    double *scores; /* [items, policies] */
};

static int tokenize(const struct bench *b, const char *text, size_t size, unsigned flags,
                    struct tokens *ret) {
    struct error error = {0};
    return engine_tokenize(b->model, text, size, flags, &ret->ids, NULL, &ret->count, &error) == 0
               ? 0
               : command_fail(EXIT_FAILED, "%s", error.text);
}

static int prepare(struct bench *b) {
    static const char preamble[] =
        "You are a policy expert. Decide whether a text violates a rule.\n\nText: ";
    int64_t yes = engine_token_id(b->model, "Yes");
    int64_t no = engine_token_id(b->model, "No");
    if (yes < 0 || no < 0) {
        return command_fail(EXIT_FAILED, "bench policies: the vocabulary has no single Yes and No");
    }
    b->yes_no[0] = (uint32_t)yes;
    b->yes_no[1] = (uint32_t)no;
    int rc = tokenize(b, preamble, strlen(preamble), ENGINE_TOKENIZE_BOS, &b->preamble);
    for (uint64_t i = 0; i < b->policies && rc == 0; i++) {
        char leaf[512];
        int used = snprintf(
            leaf, sizeof leaf,
            "\n\nRule %llu: the text must not contain %s, neither openly nor in disguise.\n\nDoes the text "
            "violate the rule? Your answer must start with 'Yes' or 'No'.\n",
            (unsigned long long)i + 1, subjects[i % (sizeof subjects / sizeof *subjects)]);
        rc = tokenize(b, leaf, (size_t)used, 0, &b->leaves[i]);
    }
    return rc;
}

static int judge(struct bench *b, const char *text, double *scores) {
    CLEANUP(free_ptr) uint32_t *ids = NULL;
    struct tokens content = {0};
    int rc = tokenize(b, text, strlen(text), 0, &content);
    ids = content.ids;
    if (rc != 0 || content.count == 0) {
        return rc != 0 ? rc : command_fail(EXIT_FAILED, "bench policies: an item has no text");
    }
    struct engine_segment segments[MOST_POLICIES + 2] = {
        {.parent = -1, .tokens = b->preamble.ids, .count = (uint32_t)b->preamble.count},
        {.parent = 0, .tokens = content.ids, .count = (uint32_t)content.count}};
    struct engine_readout readouts[MOST_POLICIES];
    float logits[MOST_POLICIES][2];
    for (uint64_t i = 0; i < b->policies; i++) {
        segments[i + 2] = (struct engine_segment){
            .parent = 1, .tokens = b->leaves[i].ids, .count = (uint32_t)b->leaves[i].count};
        readouts[i] = (struct engine_readout){.kind = ENGINE_READ_LOGITS,
                                              .segment = (uint32_t)i + 2,
                                              .position = (uint32_t)b->leaves[i].count - 1,
                                              .ids = b->yes_no,
                                              .id_count = 2,
                                              .out = logits[i]};
    }
    struct engine_job job = {.kind = ENGINE_JOB_FOREST,
                             .model = b->model,
                             .segments = segments,
                             .segment_count = (uint32_t)b->policies + 2,
                             .readouts = readouts,
                             .readout_count = (uint32_t)b->policies};
    if (engine_run(b->engine, &job) != 0) {
        return command_fail(EXIT_FAILED, "%s", job.error.text);
    }
    for (uint64_t i = 0; i < b->policies; i++) {
        scores[i] = 1 / (1 + exp((double)logits[i][1] - (double)logits[i][0]));
    }
    return 0;
}

/* The "text" of each line of a JSON Lines file; returns how many, or 0 after printing why. */
static size_t read_items(const char *path, char *items[MOST_ITEMS]) {
    FILE *file = fopen(path, "re");
    CLEANUP(free_ptr) char *line = malloc(MOST_LINE);
    size_t count = 0;
    while (file != NULL && line != NULL && count < MOST_ITEMS && fgets(line, MOST_LINE, file) != NULL) {
        json_t *row = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
        const char *text = json_string_value(json_object_get(row, "text"));
        if (text == NULL || (items[count] = strdup(text)) == NULL) {
            (void)command_fail(EXIT_FAILED, "%s:%zu: an object with a \"text\" is wanted", path, count + 1);
            json_decref(row);
            count = 0;
            break;
        }
        json_decref(row);
        count++;
    }
    if (file == NULL) {
        (void)command_fail(EXIT_FAILED, "%s: cannot be opened", path);
    } else {
        (void)fclose(file);
    }
    return count;
}

static int measure(struct bench *b, char *items[], size_t count, bool json) {
    uint64_t start = clock_monotonic_ns();
    for (size_t i = 0; i < count; i++) {
        int rc = judge(b, items[i], b->scores + i * b->policies);
        if (rc != 0) {
            return rc;
        }
        command_progress("judging", i + 1, count);
    }
    double seconds = (double)(clock_monotonic_ns() - start) / 1e9;
    if (!json) {
        (void)printf("%.2f items/s, %.1f ms an item with %llu policies\n", (double)count / seconds,
                     seconds * 1000 / (double)count, (unsigned long long)b->policies);
        return 0;
    }
    (void)printf("{\"items_s\":%.3f,\"per_item_ms\":%.3f,\"scores\":[", (double)count / seconds,
                 seconds * 1000 / (double)count);
    for (size_t i = 0; i < count; i++) {
        for (uint64_t p = 0; p < b->policies; p++) {
            (void)printf("%s%.9g", p > 0 ? "," : i > 0 ? "],[" : "[", b->scores[i * b->policies + p]);
        }
    }
    (void)fputs("]]}\n", stdout);
    return 0;
}

static int run_bench(struct bench *b, const char *path, bool json) {
    char **items = calloc(MOST_ITEMS, sizeof *items);
    size_t count = items != NULL ? read_items(path, items) : 0;
    b->scores = calloc(count > 0 ? count * b->policies : 1, sizeof *b->scores);
    int rc = count > 0 && b->scores != NULL ? prepare(b) : EXIT_FAILED;
    rc = rc != 0 ? rc : measure(b, items, count, json);
    for (size_t i = 0; items != NULL && i < MOST_ITEMS; i++) {
        free(items[i]);
    }
    free(items);
    free(b->scores);
    free(b->preamble.ids);
    for (uint64_t i = 0; i < b->policies; i++) {
        free(b->leaves[i].ids);
    }
    return rc;
}

static int run(int argc, char **argv) {
    const char *path = NULL, *items = NULL, *policies = "8", *threads_text = "0", *json = NULL;
    const struct option_value table[] = {{"--model", true, &path},        {"--items", true, &items},
                                         {"--policies", true, &policies}, {"--threads", true, &threads_text},
                                         {"--json", false, &json},        {NULL, false, NULL}};
    struct bench b = {0};
    int rest = 0;
    uint64_t threads = 0;
    int rc = command_options(&command_bench_policies, argc, argv, table, &rest);
    if (rc != 0) {
        return rc;
    }
    if (path == NULL || items == NULL) {
        return command_fail(EXIT_USAGE, "bench policies: --model FILE and --items FILE are needed");
    }
    if (!command_number("--policies", policies, 1, MOST_POLICIES, &b.policies) ||
        !command_number("--threads", threads_text, 0, 1024, &threads)) {
        return EXIT_USAGE;
    }
    if (command_open_model(path, NULL, threads, false, &b.engine, &b.model) != 0) {
        return EXIT_FAILED;
    }
    rc = run_bench(&b, items, json != NULL);
    (void)engine_model_unref(b.model);
    (void)engine_free(b.engine);
    return rc;
}

const struct command command_bench_policies = {
    "bench policies", "many yes/no policies over one content",
    "bench policies --model FILE --items IN.jsonl [--policies N] [--threads N] [--json]\n"
    "  IN.jsonl has one {\"text\":…} a line",
    run};
