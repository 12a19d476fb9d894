/* SPDX-License-Identifier: Apache-2.0 */
#include "classifiers/lists/patterns.h"

#include <errno.h>
#include <hs/hs.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "classifiers/lists/words.h"

/* What is checked after a match, because vectorscan has no word boundaries for Unicode. */
enum check { CHECK_WORD_START = 1, CHECK_WORD_END = 2, CHECK_BOUNDARY_START = 4, CHECK_BOUNDARY_END = 8 };

struct pattern {
    const struct policy_list *list;
    const struct list_entry *entry;
    size_t list_index;
    char *expression; /* owned; freed after compiling */
    unsigned flags, checks;
};

struct patterns {
    hs_database_t *database; /* NULL when there is no entry at all */
    hs_scratch_t *model;     /* cloned for each scan, never used itself */
    struct pattern *items;
    size_t count;
};

struct patterns_scratch {
    hs_scratch_t *scratch;
};

/* ---- from entries to expressions ---- */

static bool is_ascii(const char *text) {
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text >= 0x80) {
            return false;
        }
    }
    return true;
}

static void literal(struct buf *out, const char *text, bool flexible_space) {
    while (*text != '\0') {
        size_t spaces = strspn(text, " \t");
        if (flexible_space && spaces > 0) {
            buf_append(out, "\\s+", 3);
            text += spaces;
            continue;
        }
        if (strchr("\\^$.|?*+()[]{}/-#", *text) != NULL) {
            buf_append(out, "\\", 1);
        }
        buf_append(out, text++, 1);
    }
}

/* An alternation outside all brackets would make a boundary at an end belong to one branch only. */
static bool has_top_alternation(const char *regex) {
    int depth = 0;
    bool in_class = false;
    for (; *regex != '\0'; regex++) {
        if (*regex == '\\' && regex[1] != '\0') {
            regex++;
        } else if (in_class) {
            in_class = *regex != ']';
        } else {
            in_class = *regex == '[';
            depth += (*regex == '(') - (*regex == ')');
            if (*regex == '|' && depth == 0) {
                return true;
            }
        }
    }
    return false;
}

static bool has_boundary(const char *regex) {
    for (; *regex != '\0'; regex++) {
        if (*regex == '\\' && regex[1] != '\0') {
            regex++;
            if (*regex == 'b' || *regex == 'B') {
                return true;
            }
        }
    }
    return false;
}

/* Boundaries are ASCII ones in vectorscan. An ASCII expression may have them; of another one they are taken
 * off both ends and checked afterwards. False: one is left inside. */
static bool regex(struct pattern *pattern, struct buf *out) {
    const char *text = pattern->entry->pattern;
    size_t size = strlen(text);
    pattern->flags |= HS_FLAG_UCP;
    if (!has_boundary(text)) {
        buf_append(out, text, size);
        return true;
    }
    if (is_ascii(text)) {
        pattern->flags &= ~(unsigned)HS_FLAG_UCP;
        buf_append(out, text, size);
        return true;
    }
    if (has_top_alternation(text)) {
        return false;
    }
    if (size > 2 && memcmp(text, "\\b", 2) == 0) {
        pattern->checks |= CHECK_BOUNDARY_START;
        text += 2;
        size -= 2;
    }
    if (size > 2 && memcmp(text + size - 2, "\\b", 2) == 0 && (size < 3 || text[size - 3] != '\\')) {
        pattern->checks |= CHECK_BOUNDARY_END;
        size -= 2;
    }
    buf_append(out, text, size);
    return out->bytes != NULL && !has_boundary((const char *)out->bytes);
}

static int fail(const struct pattern *pattern, const char *file, const char *why, struct error *reterr) {
    return error_set(reterr, LIST_E_INVALID, "%s:%u:%u: entry %s: %.200s: %s", file,
                     pattern->entry->where.line, pattern->entry->where.column, pattern->entry->id,
                     pattern->entry->pattern, why);
}

static int express(struct pattern *pattern, const char *file, struct error *reterr) {
    CLEANUP(buf_deinit) struct buf out = {0};
    pattern->flags = HS_FLAG_CASELESS | HS_FLAG_UTF8 | HS_FLAG_SOM_LEFTMOST;
    switch (pattern->entry->match) {
    case LIST_MATCH_WORD:
        pattern->flags |= HS_FLAG_UCP;
        pattern->checks = CHECK_WORD_START | CHECK_WORD_END;
        literal(&out, pattern->entry->pattern, true);
        break;
    case LIST_MATCH_TEXT:
        pattern->flags |= HS_FLAG_UCP;
        literal(&out, pattern->entry->pattern, false);
        break;
    case LIST_MATCH_REGEX:
        if (!regex(pattern, &out)) {
            return fail(
                pattern, file,
                "\\b beside letters that are not ASCII is possible at the two ends only, and not next to an "
                "alternation (put the alternation in brackets)",
                reterr);
        }
        break;
    default:
        return fail(pattern, file, "an entry of no kind", reterr);
    }
    if (out.failed || out.size == 0) {
        return error_errno(reterr, ENOMEM, "%s: no memory for the patterns", file);
    }
    pattern->expression = (char *)steal(out.bytes);
    return 0;
}

/* One by one, so that the message names the entry; literals cannot fail. */
static int try_regex(const struct pattern *pattern, const char *file, struct error *reterr) {
    hs_database_t *database = NULL;
    hs_compile_error_t *error = NULL;
    if (hs_compile(pattern->expression, pattern->flags, HS_MODE_BLOCK, NULL, &database, &error) ==
        HS_SUCCESS) {
        (void)hs_free_database(database);
        return 0;
    }
    int rc = fail(pattern, file, error != NULL ? error->message : "it cannot be compiled", reterr);
    (void)hs_free_compile_error(error);
    return rc;
}

static int gather(struct patterns *patterns, const struct policy_list *const lists[], char *const files[],
                  size_t count, struct error *reterr) {
    uint64_t give_up_ns = clock_monotonic_ns() + PATTERNS_COMPILE_S * 1000000000ull;
    size_t total = 0;
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        total += lists[i]->entry_count;
    }
    patterns->items = calloc(total > 0 ? total : 1, sizeof patterns->items[0]);
    if (total > PATTERNS_MAX || patterns->items == NULL) {
        return error_set(reterr, LIST_E_INVALID, "%zu entries in all lists, more than the limit of %d", total,
                         PATTERNS_MAX);
    }
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < lists[i]->entry_count; k++) {
            struct pattern *pattern = &patterns->items[patterns->count++];
            *pattern = (struct pattern){.list = lists[i], .entry = &lists[i]->entries[k], .list_index = i};
            int rc = express(pattern, files[i], reterr);
            if (rc == 0 && pattern->entry->match == LIST_MATCH_REGEX) {
                rc = try_regex(pattern, files[i], reterr);
            }
            if (rc != 0) {
                return rc;
            }
            bytes += strlen(pattern->expression);
            if (bytes > PATTERNS_MAX_BYTES || clock_monotonic_ns() > give_up_ns) {
                return fail(pattern, files[i], "the lists are too large, or take too long to compile",
                            reterr);
            }
        }
    }
    return 0;
}

static int compile(struct patterns *patterns, struct error *reterr) {
    size_t count = patterns->count;
    CLEANUP(free_ptr) void *space = calloc(count, sizeof(char *) + 2 * sizeof(unsigned));
    const char **expressions = space;
    if (space == NULL) {
        return error_errno(reterr, ENOMEM, "no memory for the patterns");
    }
    unsigned *flags = (unsigned *)(expressions + count);
    unsigned *ids = flags + count;
    for (size_t i = 0; i < count; i++) {
        expressions[i] = patterns->items[i].expression;
        flags[i] = patterns->items[i].flags;
        ids[i] = (unsigned)i;
    }
    hs_compile_error_t *error = NULL;
    hs_error_t rc = hs_compile_multi(expressions, flags, ids, (unsigned)count, HS_MODE_BLOCK, NULL,
                                     &patterns->database, &error);
    if (rc != HS_SUCCESS) {
        (void)error_set(reterr, LIST_E_INVALID, "the lists cannot be compiled: %s",
                        error != NULL ? error->message : "no memory");
        (void)hs_free_compile_error(error);
        return LIST_E_INVALID;
    }
    if (hs_alloc_scratch(patterns->database, &patterns->model) != HS_SUCCESS) {
        return error_errno(reterr, ENOMEM, "no memory for scanning");
    }
    return 0;
}

static void patterns_cleanup(struct patterns **patterns) {
    (void)patterns_free(*patterns);
}

int patterns_compile(const struct policy_list *const lists[], char *const files[], size_t count,
                     struct patterns **ret, struct error *reterr) {
    CLEANUP(patterns_cleanup) struct patterns *patterns = calloc(1, sizeof *patterns);
    if (patterns == NULL) {
        return error_errno(reterr, ENOMEM, "no memory for the patterns");
    }
    int rc = gather(patterns, lists, files, count, reterr);
    if (rc == 0 && patterns->count > 0) {
        rc = compile(patterns, reterr);
    }
    if (rc != 0) {
        return rc;
    }
    for (size_t i = 0; i < patterns->count; i++) {
        free(steal(patterns->items[i].expression));
    }
    *ret = steal(patterns);
    return 0;
}

struct patterns *patterns_free(struct patterns *patterns) {
    if (patterns != NULL) {
        for (size_t i = 0; i < patterns->count; i++) {
            free(patterns->items[i].expression);
        }
        (void)hs_free_scratch(patterns->model);
        (void)hs_free_database(patterns->database);
        free(patterns->items);
        free(patterns);
    }
    return NULL;
}

/* ---- scanning ---- */

struct patterns_scratch *patterns_scratch_new(const struct patterns *patterns) {
    struct patterns_scratch *scratch = calloc(1, sizeof *scratch);
    if (scratch != NULL && patterns->model != NULL &&
        hs_clone_scratch(patterns->model, &scratch->scratch) != HS_SUCCESS) {
        free(scratch);
        return NULL;
    }
    return scratch;
}

struct patterns_scratch *patterns_scratch_free(struct patterns_scratch *scratch) {
    if (scratch != NULL) {
        (void)hs_free_scratch(scratch->scratch);
        free(scratch);
    }
    return NULL;
}

struct scan {
    const struct patterns *patterns;
    const char *text;
    size_t size;
    void (*hit)(void *user, const struct pattern_hit *hit);
    void *user;
};

static int on_match(unsigned id, unsigned long long from, unsigned long long to, unsigned flags, void *user) {
    (void)flags;
    const struct scan *scan = user;
    const struct pattern *pattern = &scan->patterns->items[id];
    unsigned checks = pattern->checks;
    if (((checks & CHECK_WORD_START) != 0 && word_continues(scan->text, scan->size, from)) ||
        ((checks & CHECK_WORD_END) != 0 && word_continues(scan->text, scan->size, to)) ||
        ((checks & CHECK_BOUNDARY_START) != 0 && !word_boundary(scan->text, scan->size, from)) ||
        ((checks & CHECK_BOUNDARY_END) != 0 && !word_boundary(scan->text, scan->size, to))) {
        return 0;
    }
    struct pattern_hit hit = {.list = pattern->list,
                              .entry = pattern->entry,
                              .list_index = pattern->list_index,
                              .from = from,
                              .to = to};
    scan->hit(scan->user, &hit);
    return 0;
}

int patterns_scan(const struct patterns *patterns, struct patterns_scratch *scratch, const char *text,
                  size_t size, void (*hit)(void *user, const struct pattern_hit *hit), void *user) {
    struct scan scan = {.patterns = patterns, .text = text, .size = size, .hit = hit, .user = user};
    if (patterns->database == NULL || size == 0) {
        return 0;
    }
    if (size > UINT32_MAX) {
        return -EFBIG;
    }
    return hs_scan(patterns->database, text, (unsigned)size, 0, scratch->scratch, on_match, &scan) ==
                   HS_SUCCESS
               ? 0
               : -EIO;
}
