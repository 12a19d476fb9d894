/* SPDX-License-Identifier: Apache-2.0 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "tools/command.h"

static double mb(uint64_t bytes) {
    return (double)bytes / 1e6;
}

static void print_text_model(const struct engine_model_info *m) {
    if (m->layers > 0) {
        (void)printf("shape         %u layers, hidden %u, %u heads of %u (%u for keys), feed-forward %u\n",
                     m->layers, m->hidden, m->heads, m->head_size, m->kv_heads, m->feed_forward);
        (void)printf("context       %u tokens, vocabulary %u, window ", m->context, m->vocabulary);
        (void)printf(m->window > 0 ? "%u\n" : "none\n", m->window);
    }
    (void)printf("types         %s\n", m->types);
    if (m->tokenizer_digest[0] != '\0') {
        (void)printf("tokenizer     SentencePiece BPE, sha256 %s\n", m->tokenizer_digest);
        (void)printf("template      %s%s\n",
                     m->embeds    ? "none: an embedding model answers nothing"
                     : m->answers ? "known: that of yes_no can be asked"
                                  : "none is known: the turn tokens, Yes or No are not in the vocabulary",
                     m->chat_template ? "; the file's own chat template is not used" : "");
    }
}

/* What was understood, though it may not run. */
static void print_text(const struct engine_model_info *m, const char *why) {
    (void)printf("architecture  %s%s%s\n", m->architecture, m->name[0] != '\0' ? ", " : "", m->name);
    (void)printf("file          %.1f MB, sha256 %s\n", mb(m->file_bytes), m->digest);
    (void)printf("parameters    %.1f million\n", (double)m->parameters / 1e6);
    if (m->kind == ENGINE_MODEL_TEXT) {
        print_text_model(m);
    } else {
        (void)printf("input         %u × %u pixels\n", m->image_width, m->image_height);
        if (m->kind == ENGINE_MODEL_VISION) {
            (void)printf("output        %u rows of %u\n", m->image_rows, m->hidden);
            (void)printf("types         %s\n", m->types);
        }
    }
    if (m->resident_bytes > 0) {
        (void)printf("memory        %.1f MB beside the mapped file", mb(m->resident_bytes));
        (void)printf(m->kv_bytes > 0 ? ", %.1f MB of KV pages when all are in use\n" : "\n", mb(m->kv_bytes));
    }
    (void)printf("runs          %s\n", why == NULL ? "yes" : "no, see below");
}

static void print_json(const struct engine_model_info *m, const char *why) {
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
        (void)json_object_set_new(o, "tokenizer_sha256", json_string(m->tokenizer_digest));
        (void)json_object_set_new(o, "template_known", json_boolean(m->answers && !m->embeds));
        (void)json_object_set_new(o, "chat_template", json_boolean(m->chat_template));
    }
    (void)json_object_set_new(o, "runs", json_boolean(why == NULL));
    if (why != NULL) {
        (void)json_object_set_new(o, "why", json_string(why));
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
        return command_fail(EXIT_USAGE, "model info: one FILE or FOLDER is needed");
    }
    struct engine_model_info info;
    struct error error = {0};
    int failed = engine_inspect(argv[rest], &info, &error);
    if (info.kind != ENGINE_MODEL_INVALID) {
        (json != NULL ? print_json : print_text)(&info, failed != 0 ? error.text : NULL);
    }
    return failed != 0 ? command_fail(EXIT_FAILED, "%s", error.text) : 0;
}

const struct command command_model_info = {"model info", "what a model file is, and whether it runs here",
                                           "model info [--json] FILE|FOLDER", run};
