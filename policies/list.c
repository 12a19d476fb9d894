/* SPDX-License-Identifier: Apache-2.0 */
#include "policies/list.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/digest.h"
#include "policies/schema.h"

struct source_entry {
    char id[LIST_ID_SIZE];
    char *word, *text, *regex;
    int32_t score_ppm;
    struct config_where where, id_where, score_where;
};

struct list_source {
    int schema;
    char name[LIST_NAME_SIZE];
    char description[512];
    char category[LIST_NAME_SIZE];
    int32_t score_ppm;
    struct source_entry *entries;
    size_t entry_count;
    struct config_where category_where;
};

/* A letter first, so that an id never reads like the number of an entry. */
static const char *check_entry_id(const void *field) {
    return isalpha(*(const unsigned char *)field) != 0 ? source_check_id(field) : "must begin with a letter";
}

static const char *check_literal(const void *field) {
    const char *const *text = field;
    for (const char *at = *text; *at != '\0'; at++) {
        if ((unsigned char)*at < 0x20 || *at == 0x7f) {
            return "must not hold control characters";
        }
    }
    size_t length = strlen(*text);
    bool padded = length > 0 && ((*text)[0] == ' ' || (*text)[length - 1] == ' ');
    return padded ? "must not begin or end with a space" : NULL;
}

static const struct config_choice schema_choices[] = {{"buckler.list/1", 1, false}, {0}};

#define ENTRY_ROW(key_, member)                                                                              \
    key_, CONFIG_STRING, CONFIG_FIELD(struct source_entry, member), .min = 1, .max = LIST_MAX_PATTERN_BYTES
static const struct config_row entry_rows[] = {
    {ENTRY_ROW("", word), .check = check_literal},
    {ENTRY_ROW("word", word), .check = check_literal},
    {ENTRY_ROW("text", text), .check = check_literal},
    {ENTRY_ROW("regex", regex)},
    {"id", CONFIG_TEXT, CONFIG_FIELD(struct source_entry, id), .min = 1, .check = check_entry_id,
     CONFIG_WHERE(struct source_entry, id_where)},
    {"score", CONFIG_FRACTION, CONFIG_FIELD(struct source_entry, score_ppm), .min = 1,
     CONFIG_WHERE(struct source_entry, score_where)},
    CONFIG_END_AT(struct source_entry, where),
};

const struct config_row policy_list_rows[] = {
    {"schema", CONFIG_ENUM, CONFIG_FIELD(struct list_source, schema), .required = true,
     .choices = schema_choices, .help = "schema: buckler.list/1"},
    {"name", CONFIG_TEXT, CONFIG_FIELD(struct list_source, name), .required = true, .min = 1,
     .check = source_check_name, .help = "shown as evidence"},
    {"description", CONFIG_TEXT, CONFIG_FIELD(struct list_source, description)},
    {"category", CONFIG_TEXT, CONFIG_FIELD(struct list_source, category), .required = true, .min = 1,
     .check = source_check_category, CONFIG_WHERE(struct list_source, category_where),
     .help = "what a match is a sign of"},
    {"score", CONFIG_FRACTION, CONFIG_FIELD(struct list_source, score_ppm), .min = 1, .fallback = "1"},
    {"entries", CONFIG_LIST, CONFIG_ITEMS(struct list_source, entries, entry_count), .rows = entry_rows,
     .required = true, .min = 1, .max = LIST_MAX_ENTRIES, .help = "words, texts and regexes"},
    CONFIG_END,
};

static void free_source(struct list_source *source) {
    config_free(policy_list_rows, source);
}

/* ---- checks across keys ---- */

static void check_one_pattern(const struct source_entry *e, const char *file, struct config_report *report) {
    int given = (e->word != NULL) + (e->text != NULL) + (e->regex != NULL);
    if (given != 1) {
        config_report_add(report, file, e->where.line, e->where.column,
                          "an entry has one of word, text and regex%s",
                          given == 0 ? ", this one has none" : "");
    }
}

static int compare_ids(const void *a, const void *b) {
    const struct source_entry *const *x = a;
    const struct source_entry *const *y = b;
    int order = strcmp((*x)->id, (*y)->id);
    return order != 0 ? order : (*x > *y) - (*x < *y);
}

static const char *pattern_of(const struct source_entry *e) {
    return e->word != NULL ? e->word : e->text != NULL ? e->text : e->regex;
}

static int compare_patterns(const void *a, const void *b) {
    const struct source_entry *const *x = a;
    const struct source_entry *const *y = b;
    int order = strcmp(pattern_of(*x), pattern_of(*y));
    return order != 0 ? order : (*x > *y) - (*x < *y);
}

static int check_duplicates(const struct list_source *source, const char *file,
                            struct config_report *report) {
    CLEANUP(free_ptr) const struct source_entry **sorted = calloc(source->entry_count, sizeof *sorted);
    if (sorted == NULL) {
        return -ENOMEM;
    }
    size_t count = 0;
    for (size_t i = 0; i < source->entry_count; i++) {
        if (source->entries[i].id[0] != '\0') {
            sorted[count++] = &source->entries[i];
        }
    }
    qsort(sorted, count, sizeof *sorted, compare_ids);
    for (size_t i = 1; i < count; i++) {
        if (strcmp(sorted[i]->id, sorted[i - 1]->id) == 0) {
            config_report_add(report, file, sorted[i]->id_where.line, sorted[i]->id_where.column,
                              "id %s is taken (line %u)", sorted[i]->id, sorted[i - 1]->id_where.line);
        }
    }
    for (size_t i = 0; i < source->entry_count; i++) {
        sorted[i] = &source->entries[i];
    }
    qsort(sorted, source->entry_count, sizeof *sorted, compare_patterns);
    for (size_t i = 1; i < source->entry_count; i++) {
        if (strcmp(pattern_of(sorted[i]), pattern_of(sorted[i - 1])) == 0) {
            config_report_add(report, file, sorted[i]->where.line, sorted[i]->where.column,
                              "the same entry as at line %u", sorted[i - 1]->where.line);
        }
    }
    return 0;
}

static int check_list(const struct list_source *source, const char *file, struct config_report *report) {
    size_t before = report->found;
    for (size_t i = 0; i < source->entry_count; i++) {
        check_one_pattern(&source->entries[i], file, report);
    }
    if (report->found > before) {
        return LIST_E_INVALID;
    }
    int rc = check_duplicates(source, file, report);
    return rc != 0 ? rc : report->found > before ? LIST_E_INVALID : 0;
}

/* ---- building ---- */

static void take_entry(struct source_entry *from, size_t number, int32_t list_score, struct list_entry *to) {
    to->match = from->word != NULL   ? LIST_MATCH_WORD
                : from->text != NULL ? LIST_MATCH_TEXT
                                     : LIST_MATCH_REGEX;
    char **pattern = from->word != NULL ? &from->word : from->text != NULL ? &from->text : &from->regex;
    to->pattern = steal(*pattern);
    to->score_ppm = from->score_where.line != 0 ? from->score_ppm : list_score;
    to->where = from->where;
    if (from->id[0] != '\0') {
        memcpy(to->id, from->id, sizeof to->id);
    } else {
        (void)snprintf(to->id, sizeof to->id, "%zu", number);
    }
}

static struct policy_list *build(struct list_source *source, const void *bytes, size_t size) {
    struct policy_list *list = calloc(1, sizeof *list);
    uint8_t digest[DIGEST_BYTES];
    if (list == NULL) {
        return NULL;
    }
    list->entries = calloc(source->entry_count, sizeof *list->entries);
    if (list->entries == NULL || digest_sha256(bytes, size, digest) != 0) {
        return policy_list_free(list);
    }
    hex_encode(digest, sizeof digest, list->digest);
    memcpy(list->name, source->name, sizeof list->name);
    memcpy(list->description, source->description, sizeof list->description);
    memcpy(list->category, source->category, sizeof list->category);
    list->category_where = source->category_where;
    list->entry_count = source->entry_count;
    for (size_t i = 0; i < list->entry_count; i++) {
        take_entry(&source->entries[i], i + 1, source->score_ppm, &list->entries[i]);
    }
    return list;
}

int policy_list_load_memory(const char *path, const void *bytes, size_t size, struct policy_list **ret,
                            struct config_report *report) {
    CLEANUP(free_source) struct list_source source = {0};
    int rc = config_load_memory(path, bytes, size, policy_list_rows, &source, report);
    if (rc != 0) {
        return rc == CONFIG_E_INVALID ? LIST_E_INVALID : rc;
    }
    rc = check_list(&source, path, report);
    if (rc != 0) {
        return rc;
    }
    struct policy_list *list = build(&source, bytes, size);
    if (list == NULL) {
        return -ENOMEM;
    }
    *ret = list;
    return 0;
}

int policy_list_load(const char *path, struct policy_list **ret, struct config_report *report) {
    CLEANUP(buf_deinit) struct buf bytes = {0};
    int rc = config_read_file(path, &bytes, report);
    if (rc != 0) {
        return rc == CONFIG_E_INVALID ? LIST_E_INVALID : rc;
    }
    return policy_list_load_memory(path, bytes.bytes, bytes.size, ret, report);
}

struct policy_list *policy_list_free(struct policy_list *list) {
    if (list != NULL) {
        for (size_t i = 0; list->entries != NULL && i < list->entry_count; i++) {
            free(list->entries[i].pattern);
        }
        free(list->entries);
        free(list);
    }
    return NULL;
}
