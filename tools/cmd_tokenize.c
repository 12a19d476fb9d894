/* SPDX-License-Identifier: Apache-2.0 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/utf8.h"
#include "tools/command.h"

enum { MOST_TEXT_BYTES = 16 << 20 };

static void print_json(const uint32_t *tokens, size_t count) {
    (void)fputs("{\"tokens\":[", stdout);
    for (size_t i = 0; i < count; i++) {
        (void)printf("%s%u", i > 0 ? "," : "", tokens[i]);
    }
    (void)fputs("]}\n", stdout);
}

static void print_pieces(const struct engine_model *model, const uint32_t *tokens, size_t count) {
    for (size_t i = 0; i < count; i++) {
        size_t size = 0;
        const char *piece = engine_piece(model, tokens[i], &size);
        json_t *text = json_stringn(piece, size);
        CLEANUP(free_ptr) char *quoted = text != NULL ? json_dumps(text, JSON_ENCODE_ANY) : NULL;
        json_decref(text);
        (void)printf("%8u %s\n", tokens[i], quoted != NULL ? quoted : "(not UTF-8 alone)");
    }
}

static int run(int argc, char **argv) {
    const char *model_path = NULL, *text = NULL, *json = NULL, *bos = NULL;
    const struct option_value table[] = {{"--model", true, &model_path},
                                         {"--text", true, &text},
                                         {"--json", false, &json},
                                         {"--bos", false, &bos},
                                         {NULL, false, NULL}};
    int rest = 0;
    int rc = command_options(&command_tokenize, argc, argv, table, &rest);
    if (rc != 0) {
        return rc;
    }
    if (model_path == NULL) {
        return command_fail(EXIT_USAGE, "tokenize: --model FILE is needed");
    }
    CLEANUP(free_ptr) char *read = NULL;
    size_t size = text != NULL ? strlen(text) : 0;
    struct error error = {0};
    if (text == NULL || strcmp(text, "-") == 0) {
        if (command_read(rest < argc ? argv[rest] : "-", MOST_TEXT_BYTES, &read, &size, &error) != 0) {
            return command_fail(EXIT_FAILED, "%s", error.text);
        }
        text = read;
    }
    size_t bad = 0;
    if (!utf8_valid(text, size, &bad)) {
        return command_fail(EXIT_FAILED, "tokenize: the text is not UTF-8 at byte %zu", bad);
    }
    struct engine *engine = NULL;
    struct engine_model *model = NULL;
    if (command_open_model(model_path, NULL, 1, true, &engine, &model) != 0) {
        return EXIT_FAILED;
    }
    CLEANUP(free_ptr) uint32_t *tokens = NULL;
    size_t count = 0;
    rc = engine_tokenize(model, text, size, bos != NULL ? ENGINE_TOKENIZE_BOS : 0, &tokens, NULL, &count,
                         &error);
    if (rc != 0) {
        rc = command_fail(EXIT_FAILED, "%s", error.text);
    } else if (json != NULL) {
        print_json(tokens, count);
    } else {
        print_pieces(model, tokens, count);
    }
    (void)engine_model_unref(model);
    (void)engine_free(engine);
    return rc;
}

const struct command command_tokenize = {"tokenize", "token ids of a text",
                                         "tokenize --model FILE [--json] [--bos] [--text TEXT | FILE | -]\n"
                                         "  --text TEXT  the text; without it FILE, or standard input\n"
                                         "  --bos        put the beginning-of-sequence token in front\n"
                                         "  --json       {\"tokens\":[…]} instead of one piece a line",
                                         run};
