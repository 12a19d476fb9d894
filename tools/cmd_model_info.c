/* SPDX-License-Identifier: Apache-2.0 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/digest.h"
#include "tools/command.h"

static double mb(uint64_t bytes) {
    return (double)bytes / 1e6;
}

static void print_text(const struct engine_model_info *m) {
    (void)printf("architecture  %s%s%s\n", m->architecture, m->name[0] != '\0' ? ", " : "", m->name);
    (void)printf("file          %.1f MB, sha256 %s\n", mb(m->file_bytes), m->digest);
    (void)printf("parameters    %.1f million\n", (double)m->parameters / 1e6);
    if (m->kind == ENGINE_MODEL_TEXT) {
        (void)printf("shape         %u layers, hidden %u, %u heads of %u (%u for keys), feed-forward %u\n",
                     m->layers, m->hidden, m->heads, m->head_size, m->kv_heads, m->feed_forward);
        (void)printf("context       %u tokens, window %u, vocabulary %u\n", m->context, m->window,
                     m->vocabulary);
        (void)printf("types         %s\n", m->types);
    } else {
        (void)printf("input         %u × %u pixels\n", m->image_width, m->image_height);
        if (m->kind == ENGINE_MODEL_VISION) {
            (void)printf("output        %u rows of %u\n", m->image_rows, m->hidden);
            (void)printf("types         %s\n", m->types);
        }
    }
    (void)printf("memory        %.1f MB beside the mapped file", mb(m->resident_bytes));
    (void)printf(m->kv_bytes > 0 ? ", %.1f MB of KV pages when all are in use\n" : "\n", mb(m->kv_bytes));
}

static void print_json(const struct engine_model_info *m) {
    json_t *o = json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:I}", "architecture", m->architecture, "name",
                          m->name, "sha256", m->digest, "file_bytes", (json_int_t)m->file_bytes, "parameters",
                          (json_int_t)m->parameters, "resident_bytes", (json_int_t)m->resident_bytes,
                          "kv_bytes", (json_int_t)m->kv_bytes);
    if (o != NULL && m->kind == ENGINE_MODEL_TEXT) {
        json_t *shape = json_pack("{s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:s}", "layers",
                                  (int)m->layers, "hidden", (int)m->hidden, "heads", (int)m->heads,
                                  "kv_heads", (int)m->kv_heads, "head_size", (int)m->head_size,
                                  "feed_forward", (int)m->feed_forward, "vocabulary", (int)m->vocabulary,
                                  "context", (int)m->context, "window", (int)m->window, "types", m->types);
        (void)json_object_update_missing(o, shape);
        json_decref(shape);
    }
    if (o != NULL && m->kind == ENGINE_MODEL_VISION) {
        json_t *shape = json_pack("{s:i, s:i, s:i, s:i, s:s}", "layers", (int)m->layers, "image_side",
                                  (int)m->image_width, "image_rows", (int)m->image_rows, "hidden",
                                  (int)m->hidden, "types", m->types);
        (void)json_object_update_missing(o, shape);
        json_decref(shape);
    }
    CLEANUP(free_ptr) char *text = o != NULL ? json_dumps(o, JSON_COMPACT) : NULL;
    json_decref(o);
    (void)puts(text != NULL ? text : "{}");
}

static int run(int argc, char **argv) {
    const char *json = NULL;
    const struct option_value table[] = {{"--json", false, &json}, {NULL, false, NULL}};
    int rest = 0;
    int rc = command_options(&command_model_info, argc, argv, table, &rest);
    if (rc != 0) {
        return rc;
    }
    if (rest + 1 != argc) {
        return command_fail(EXIT_USAGE, "model info: one FILE is needed");
    }
    struct engine_model_info info;
    struct error error = {0};
    if (engine_inspect(argv[rest], &info, &error) != 0) {
        return command_fail(EXIT_FAILED, "%s", error.text);
    }
    uint8_t digest[DIGEST_BYTES];
    if (digest_file(argv[rest], digest, &error) != 0) {
        return command_fail(EXIT_FAILED, "%s", error.text);
    }
    hex_encode(digest, sizeof digest, info.digest);
    (json != NULL ? print_json : print_text)(&info);
    return 0;
}

const struct command command_model_info = {"model info", "what a model file is, and whether it runs here",
                                           "model info [--json] FILE", run};
