/* SPDX-License-Identifier: Apache-2.0
 *
 * The engine's side of tests/golden/logits_parity.py: reads lines of token ids from standard input and writes
 * for each line the f32 logits of the whole vocabulary at every position to standard output.
 *
 *   logits_positions MODEL THREADS default|reference [INSTRUCTION_SET]
 *   logits_positions MODEL tokenize      reads lines "SIZE\n" + SIZE bytes of text, writes a line of token
 * ids for each
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "engine/engine.h"

static int fail(const char *what, const struct error *e) {
    fprintf(stderr, "logits_positions: %s: %s\n", what, e->text);
    return 1;
}

/* Token ids of one line; *ret_count is 0 for an empty line. */
static uint32_t *parse_line(char *line, uint32_t *ret_count) {
    uint32_t *tokens = calloc(strlen(line) / 2 + 1, sizeof *tokens);
    uint32_t count = 0;
    char *end;

    for (char *at = line; tokens != NULL; at = end) {
        unsigned long id = strtoul(at, &end, 10);
        if (end == at) {
            break;
        }
        tokens[count++] = (uint32_t)id;
    }
    *ret_count = count;
    return tokens;
}

static int write_logits(struct engine *engine, struct engine_model *model, const uint32_t *tokens,
                        uint32_t count) {
    const struct engine_model_info *info = engine_model_info(model);
    uint32_t vocabulary = info->embeds ? info->hidden : info->vocabulary;
    CLEANUP(free_ptr) float *out = malloc((size_t)count * vocabulary * sizeof *out);
    CLEANUP(free_ptr) struct engine_readout *readouts = calloc(count, sizeof *readouts);
    struct engine_segment segment = {.parent = -1, .tokens = tokens, .count = count};

    if (out == NULL || readouts == NULL) {
        fprintf(stderr, "logits_positions: out of memory\n");
        return 1;
    }
    for (uint32_t i = 0; i < count; i++) {
        readouts[i] = (struct engine_readout){.kind = info->embeds ? ENGINE_READ_LAST : ENGINE_READ_LOGITS,
                                              .position = i,
                                              .layer = info->layers,
                                              .out = out + (size_t)i * vocabulary};
    }
    struct engine_job job = {.kind = ENGINE_JOB_FOREST,
                             .model = model,
                             .segments = &segment,
                             .segment_count = 1,
                             .readouts = readouts,
                             .readout_count = count};
    if (engine_run(engine, &job) != 0) {
        return fail("cannot run", &job.error);
    }
    if (fwrite(out, (size_t)vocabulary * sizeof *out, count, stdout) != count || fflush(stdout) != 0) {
        fprintf(stderr, "logits_positions: cannot write: %s\n", strerror(errno));
        return 1;
    }
    return 0;
}

static int score_lines(struct engine *engine, struct engine_model *model) {
    CLEANUP(free_ptr) char *line = NULL;
    size_t room = 0;
    int r = 0;

    while (r == 0 && getline(&line, &room, stdin) > 0) {
        uint32_t count;
        CLEANUP(free_ptr) uint32_t *tokens = parse_line(line, &count);
        r = count == 0 ? 0 : write_logits(engine, model, tokens, count);
    }
    return r;
}

static int tokenize_lines(struct engine_model *model) {
    CLEANUP(free_ptr) char *line = NULL;
    struct error e = {0};
    size_t room = 0;

    while (getline(&line, &room, stdin) > 0) {
        size_t size = strtoul(line, NULL, 10), count;
        CLEANUP(free_ptr) char *text = malloc(size + 1);
        CLEANUP(free_ptr) uint32_t *tokens = NULL;
        CLEANUP(free_ptr) uint32_t *offsets = NULL;

        if (text == NULL || fread(text, 1, size, stdin) != size ||
            engine_tokenize(model, text, size, ENGINE_TOKENIZE_BOS, &tokens, &offsets, &count, &e) != 0) {
            return fail("cannot tokenize", &e);
        }
        for (size_t i = 0; i < count; i++) {
            printf("%u%c", tokens[i], i + 1 < count ? ' ' : '\n');
        }
        fflush(stdout);
    }
    return 0;
}

int main(int argc, char **argv) {
    bool tokenize = argc == 3 && strcmp(argv[2], "tokenize") == 0;
    struct engine_options options = {.queue_jobs = 4};
    struct engine *engine;
    struct engine_model *model;
    struct error e = {0};

    if (!tokenize && argc != 4 && argc != 5) {
        fprintf(stderr,
                "usage: logits_positions MODEL (THREADS default|reference [INSTRUCTION_SET] | tokenize)\n");
        return 64;
    }
    options.threads = tokenize ? 1 : (unsigned)strtoul(argv[2], NULL, 10);
    options.reference = !tokenize && strcmp(argv[3], "reference") == 0;
    options.instruction_set = argc == 5 ? argv[4] : NULL;
    if (engine_open(&options, &engine, &e) != 0) {
        return fail("cannot start", &e);
    }
    if (engine_model_open(engine, argv[1], &model, &e) != 0) {
        engine_free(engine);
        return fail("cannot open the model", &e);
    }
    int r = tokenize ? tokenize_lines(model) : score_lines(engine, model);
    engine_model_unref(model);
    engine_free(engine);
    return r;
}
