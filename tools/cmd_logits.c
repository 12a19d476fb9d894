/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "tools/command.h"

enum { MOST_TOKENS = 131072, MOST_IDS = 65536, MOST_PARTS = 64 };

/* Stands for a picture among token ids. */
static const uint32_t picture_mark = UINT32_MAX;

struct arguments {
    const char *model, *lora, *tokens, *text, *images, *mmproj, *ids, *top, *reference, *threads, *json;
};

/* The pictures as embedding rows. */
struct pictures {
    float *rows; /* [count][each, hidden] */
    uint32_t count, each, hidden;
};

/* "2,10,…" → ids, with `pictures` the word image too; NULL after printing why. */
static uint32_t *parse_ids(const char *option, const char *text, size_t most, bool pictures,
                           size_t *ret_count) {
    uint32_t *ids = malloc((strlen(text) + 1) * sizeof *ids);
    size_t count = 0;
    while (ids != NULL) {
        bool picture = pictures && strncmp(text, "image", 5) == 0;
        char *end = NULL;
        errno = 0;
        unsigned long value = strtoul(text, &end, 10);
        if (picture) {
            value = picture_mark;
            end = (char *)(uintptr_t)text + 5;
        }
        if (end == text || errno != 0 || (value >= picture_mark && !picture) ||
            (*end != ',' && *end != '\0') || count == most) {
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

/* A text with <start_of_image> where pictures stand, as the reference processor writes it out. */
static int tokenize_around(const struct engine_model *model, const char *text, uint32_t **ret,
                           size_t *ret_count, struct error *reterr) {
    static const char mark[] = "<start_of_image>";
    CLEANUP(buf_deinit) struct buf tokens = {0};
    unsigned flags = ENGINE_TOKENIZE_BOS | ENGINE_TOKENIZE_CONTROL;
    const char *before = "";
    for (bool more = true; more;) {
        CLEANUP(buf_deinit) struct buf chunk = {0};
        CLEANUP(free_ptr) uint32_t *ids = NULL;
        size_t count = 0;
        const char *at = strstr(text, mark);
        more = at != NULL;
        buf_printf(&chunk, "%s%.*s%s%s", before, (int)(more ? at - text : (ptrdiff_t)strlen(text)), text,
                   more ? "\n\n" : "", more ? mark : "");
        int rc = chunk.failed ? error_set(reterr, -ENOMEM, "out of memory")
                              : engine_tokenize(model, (const char *)chunk.bytes, chunk.size, flags, &ids,
                                                NULL, &count, reterr);
        if (rc != 0) {
            return rc;
        }
        buf_append(&tokens, ids, count * sizeof *ids);
        if (more) {
            buf_append(&tokens, &picture_mark, sizeof picture_mark);
            text = at + strlen(mark);
        }
        before = "<end_of_image>\n\n";
        flags = ENGINE_TOKENIZE_CONTROL;
    }
    if (tokens.failed) {
        return error_set(reterr, -ENOMEM, "out of memory");
    }
    *ret_count = tokens.size / sizeof **ret;
    *ret = (uint32_t *)(void *)steal(tokens.bytes);
    return 0;
}

static int gather_tokens(const struct arguments *a, const struct engine_model *model, uint32_t **ret,
                         size_t *ret_count) {
    if (a->tokens != NULL) {
        *ret = parse_ids("--tokens", a->tokens, MOST_TOKENS, a->images != NULL, ret_count);
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
    int rc = a->images != NULL
                 ? tokenize_around(model, text, ret, ret_count, &error)
                 : engine_tokenize(model, text, size, ENGINE_TOKENIZE_BOS, ret, NULL, ret_count, &error);
    return rc == 0 ? 0 : command_fail(EXIT_FAILED, "%s", error.text);
}

/* ---- pictures ---- */

static int see(const struct arguments *a, struct engine *engine, const struct engine_model *model,
               struct pictures *ret) {
    CLEANUP(free_ptr) uint8_t *pixels = NULL;
    struct engine_model *tower = NULL;
    struct error error = {0};
    if (engine_model_open(engine, a->mmproj, &tower, &error) != 0) {
        return command_fail(EXIT_FAILED, "%s", error.text);
    }
    const struct engine_model_info *info = engine_model_info(tower);
    *ret = (struct pictures){.each = info->image_rows, .hidden = info->hidden};
    int rc = 0;
    if (info->kind != ENGINE_MODEL_VISION || info->hidden != engine_model_info(model)->hidden) {
        rc = command_fail(EXIT_FAILED, "%s: not the vision projector of this model", a->mmproj);
    } else if (command_pictures(a->images, info->image_width, &pixels, &ret->count, &error) != 0) {
        rc = command_fail(EXIT_FAILED, "%s", error.text);
    }
    ret->rows = rc == 0 ? calloc((size_t)ret->count * ret->each * ret->hidden, sizeof *ret->rows) : NULL;
    struct engine_job job = {.kind = ENGINE_JOB_IMAGES,
                             .model = tower,
                             .pixels = pixels,
                             .image_count = ret->count,
                             .out_rows = ret->rows};
    if (rc == 0 && engine_run(engine, &job) != 0) {
        rc = command_fail(EXIT_FAILED, "%s", job.error.text);
    }
    (void)engine_model_unref(tower);
    return rc;
}

/* Runs of ids and pictures, each below the one before. 0 when there are too many or the pictures are not as
 * many as the marks. */
static uint32_t cut(const uint32_t *tokens, size_t count, const struct pictures *pictures,
                    struct engine_segment segments[MOST_PARTS]) {
    uint32_t parts = 0, used = 0;
    for (size_t at = 0; at < count;) {
        if (parts == MOST_PARTS) {
            return 0;
        }
        struct engine_segment *s = &segments[parts];
        *s = (struct engine_segment){.parent = (int32_t)parts - 1};
        parts++;
        if (tokens[at] == picture_mark) {
            if (used == pictures->count) {
                return 0;
            }
            s->rows = pictures->rows + (size_t)used++ * pictures->each * pictures->hidden;
            s->count = pictures->each;
            at++;
            continue;
        }
        s->tokens = tokens + at;
        while (at < count && tokens[at] != picture_mark) {
            s->count++;
            at++;
        }
    }
    return used == pictures->count ? parts : 0;
}

static void print_start(const uint32_t *tokens, size_t count) {
    (void)fputs("{\"tokens\":[", stdout);
    for (size_t i = 0; i < count; i++) {
        if (tokens[i] == picture_mark) {
            (void)printf("%s\"image\"", i > 0 ? "," : "");
        } else {
            (void)printf("%s%u", i > 0 ? "," : "", tokens[i]);
        }
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

static int run_forest(struct engine *engine, struct engine_model *model, const uint32_t *tokens, size_t count,
                      const struct pictures *pictures, struct engine_readout readout) {
    struct engine_segment segments[MOST_PARTS];
    uint32_t parts = cut(tokens, count, pictures, segments);
    if (parts == 0) {
        return command_fail(EXIT_USAGE, "logits: as many places for pictures as --image names are needed");
    }
    readout.segment = parts - 1;
    readout.position = segments[parts - 1].count - 1;
    struct engine_job job = {.kind = ENGINE_JOB_FOREST,
                             .model = model,
                             .segments = segments,
                             .segment_count = parts,
                             .readouts = &readout,
                             .readout_count = 1};
    return engine_run(engine, &job) == 0 ? 0 : command_fail(EXIT_FAILED, "%s", job.error.text);
}

static int answer(const struct arguments *a, struct engine *engine, struct engine_model *model,
                  const struct pictures *pictures, uint64_t top) {
    CLEANUP(free_ptr) uint32_t *tokens = NULL;
    CLEANUP(free_ptr) uint32_t *ids = NULL;
    size_t count = 0;
    size_t id_count = engine_model_info(model)->vocabulary;
    int rc = gather_tokens(a, model, &tokens, &count);
    if (rc == 0 && a->ids != NULL) {
        ids = parse_ids("--ids", a->ids, MOST_IDS, false, &id_count);
        rc = ids != NULL ? 0 : EXIT_USAGE;
    }
    CLEANUP(free_ptr) float *logits = calloc(id_count > 0 ? id_count : 1, sizeof *logits);
    if (rc != 0 || logits == NULL) {
        return rc != 0 ? rc : command_fail(EXIT_FAILED, "logits: out of memory");
    }
    rc = run_forest(
        engine, model, tokens, count, pictures,
        (struct engine_readout){
            .kind = ENGINE_READ_LOGITS, .ids = ids, .id_count = (uint32_t)id_count, .out = logits});
    if (rc != 0) {
        return rc;
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
    const struct option_value table[] = {
        {"--model", true, &a.model},    {"--lora", true, &a.lora},       {"--tokens", true, &a.tokens},
        {"--text", true, &a.text},      {"--ids", true, &a.ids},         {"--top", true, &a.top},
        {"--image", true, &a.images},   {"--mmproj", true, &a.mmproj},   {"--json", false, &a.json},
        {"--f32", false, &a.reference}, {"--threads", true, &a.threads}, {NULL, false, NULL}};
    int rest = 0;
    uint64_t threads = 0, top = 0;
    int rc = command_options(&command_logits, argc, argv, table, &rest);
    if (rc != 0) {
        return rc;
    }
    if (a.model == NULL || (a.tokens == NULL) == (a.text == NULL)) {
        return command_fail(EXIT_USAGE, "logits: --model FILE and one of --tokens and --text are needed");
    }
    if ((a.images == NULL) != (a.mmproj == NULL)) {
        return command_fail(EXIT_USAGE, "logits: --image and --mmproj go together");
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
    struct pictures pictures = {0};
    rc = a.images != NULL ? see(&a, engine, model, &pictures) : 0;
    rc = rc != 0 ? rc : answer(&a, engine, model, &pictures, top);
    free(pictures.rows);
    (void)engine_model_unref(model);
    (void)engine_free(engine);
    return rc;
}

const struct command command_logits = {
    "logits", "logits of the last position, for parity checks",
    "logits --model FILE [--lora PATH] [--mmproj FILE --image FILES] (--tokens 2,10,… | --text TEXT|-)\n"
    "       [--top K | --ids A,B] [--f32] [--threads N] [--json]\n"
    "  --lora PATH  a LoRA on top of the model: the folder or weights file of a PEFT, MLX or GGUF adapter\n"
    "  --text TEXT  tokenised with BOS in front; - reads standard input\n"
    "  --mmproj FILE  the vision tower and projector of the model, a GGUF\n"
    "  --image FILES  pictures, separated by commas: they stand where --tokens has the word image, or "
    "--text\n"
    "                 has <start_of_image>; control strings in the text count then\n"
    "  --top K      the K highest (10)\n"
    "  --ids A,B    these\n"
    "  --f32        reference arithmetic: f32 activations, f32 weights\n"
    "  the output is always JSON: {\"tokens\":[…],\"logits\":[{\"id\",\"logit\"},…]}",
    run};
