/* SPDX-License-Identifier: Apache-2.0
 *
 * Walks a table over the tree and fills the struct. Every function goes on after a problem, so that one run
 * finds all.
 */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "config/read.h"

enum { SCHEMA_MAX_NAMES = 64 };

static void read_map(struct reader *r, const struct config_row *rows, const struct config_node *node,
                     char *base);
static void read_value(struct reader *r, const struct config_row *row, const struct config_node *node,
                       char *base);

static void store_where(const struct config_row *row, struct config_where at, char *base) {
    if (row->where != 0) {
        memcpy(base + row->where - 1, &at, sizeof at);
    }
}

/* ---- many ---- */

/* Zeroed room for the node's children, stored in the struct at once, so that config_free finds it whatever
 * follows. */
static char *make_items(struct reader *r, const struct config_row *row, const struct config_node *node,
                        char *base) {
    uint64_t max = row->max != 0 ? row->max : CONFIG_MAX_ITEMS;
    if (node->count < row->min || node->count > max) {
        problem(r, node->where, "%s: %zu entries, expected %s %" PRIu64, row->key, node->count,
                node->count < row->min ? "at least" : "at most", node->count < row->min ? row->min : max);
        return NULL;
    }
    if (node->count == 0) {
        return NULL;
    }
    char *items = calloc(node->count, row->element_size);
    if (items == NULL) {
        r->out_of_memory = true;
        return NULL;
    }
    memcpy(base + row->offset, &items, sizeof items);
    memcpy(base + row->count_offset, &node->count, sizeof node->count);
    return items;
}

static void read_strings(struct reader *r, const struct config_row *row, const struct config_node *node,
                         char *base) {
    if (node->type != NODE_LIST) {
        problem(r, node->where, "%s: expected a list of text, found %s", row->key, read_describe(node));
        return;
    }
    char *items = make_items(r, row, node, base);
    if (items == NULL) {
        return;
    }
    for (const struct config_node *item = node->first; item != NULL; item = item->next) {
        if (!item->broken && read_wants_text(r, row, item)) {
            if (item->length == 0) {
                problem(r, item->where, "%s: an empty entry", row->key);
            }
            char *copy = read_duplicate(r, item->text);
            memcpy(items, &copy, sizeof copy);
        }
        items += sizeof(char *);
    }
}

static void read_key(struct reader *r, const struct config_row *row, const struct config_node *item,
                     char *element) {
    size_t before = r->report->found;
    read_copy_text(r, row, item->key_where, item->key, strlen(item->key), element);
    store_where(row, item->key_where, element);
    const char *why =
        row->check != NULL && r->report->found == before ? row->check(element + row->offset) : NULL;
    if (why != NULL) {
        problem(r, item->key_where, "%s: %s", row->key, why);
        memset(element + row->offset, 0, row->size);
    }
}

static void read_element(struct reader *r, const struct config_row *row, const struct config_node *item,
                         char *element) {
    const struct config_row *end = row->rows;
    const struct config_row *short_form = NULL;
    bool has_keys = false;
    for (; end->key != NULL; end++) {
        if (end->type == CONFIG_KEY) {
            read_key(r, end, item, element);
        } else if (end->key[0] == '\0') {
            short_form = end;
        } else {
            has_keys = true;
        }
    }
    store_where(end, item->where, element);
    if (short_form != NULL && (item->type != NODE_MAP || !has_keys)) {
        struct config_row named = *short_form;
        named.key = row->key; /* what a message calls it */
        read_map(r, row->rows, NULL, element);
        read_value(r, &named, item, element);
    } else if (item->type != NODE_MAP) {
        problem(r, item->where, "%s: each entry is a map of keys, found %s", row->key, read_describe(item));
    } else {
        read_map(r, row->rows, item, element);
    }
}

static void read_items(struct reader *r, const struct config_row *row, const struct config_node *node,
                       char *base) {
    bool is_table = row->type == CONFIG_TABLE;
    if (node->type != (is_table ? NODE_MAP : NODE_LIST)) {
        problem(r, node->where, "%s: expected %s, found %s", row->key, is_table ? "a map" : "a list",
                read_describe(node));
        return;
    }
    char *items = make_items(r, row, node, base);
    if (items == NULL) {
        return;
    }
    for (const struct config_node *item = node->first; item != NULL; item = item->next) {
        if (!item->broken) {
            read_element(r, row, item, items);
        }
        items += row->element_size;
    }
}

/* ---- the walk ---- */

static void read_value(struct reader *r, const struct config_row *row, const struct config_node *node,
                       char *base) {
    size_t before = r->report->found;
    store_where(row, node->where, base);
    if (node->broken) {
        return;
    }
    switch (row->type) {
    case CONFIG_BOOL:
        read_bool(r, row, node, base);
        break;
    case CONFIG_U32:
    case CONFIG_U64:
    case CONFIG_SIZE:
    case CONFIG_DURATION:
    case CONFIG_FRACTION:
        read_number(r, row, node, base);
        break;
    case CONFIG_ENUM:
        read_enum(r, row, node, base);
        break;
    case CONFIG_FLAGS:
        read_flags(r, row, node, base);
        break;
    case CONFIG_TEXT:
    case CONFIG_STRING:
        read_text(r, row, node, base);
        break;
    case CONFIG_STRINGS:
        read_strings(r, row, node, base);
        break;
    case CONFIG_STRUCT:
        if (node->type != NODE_MAP) {
            problem(r, node->where, "%s: expected a map of keys, found %s", row->key, read_describe(node));
        } else {
            read_map(r, row->rows, node, base);
        }
        break;
    case CONFIG_LIST:
    case CONFIG_TABLE:
        read_items(r, row, node, base);
        break;
    case CONFIG_LATER:
        problem(r, node->key_where, "%s: not supported yet", row->key);
        break;
    case CONFIG_INVALID:
    case CONFIG_KEY:
        assert(false);
        break;
    }
    if (row->check != NULL && r->report->found == before && !r->out_of_memory) {
        const char *why = row->check(base + row->offset);
        if (why != NULL) {
            problem(r, node->where, "%s: %s", row->key, why);
            if (row->type == CONFIG_STRING) {
                free(*(char **)(void *)(base + row->offset));
            }
            if (row->type <= CONFIG_STRING) {
                memset(base + row->offset, 0, row->size);
            }
        }
    }
}

static const struct config_node *find_child(const struct config_node *node, const char *key) {
    for (const struct config_node *child = node != NULL ? node->first : NULL; child != NULL;
         child = child->next) {
        if (strcmp(child->key, key) == 0) {
            return child;
        }
    }
    return NULL;
}

static void unknown_key(struct reader *r, const struct config_row *rows, const struct config_node *child) {
    const char *names[SCHEMA_MAX_NAMES];
    size_t count = 0;
    char known[256] = "";
    size_t used = 0;
    for (const struct config_row *row = rows; row->key != NULL && count < SCHEMA_MAX_NAMES; row++) {
        if (row->type == CONFIG_KEY || row->type == CONFIG_LATER || row->key[0] == '\0') {
            continue;
        }
        names[count++] = row->key;
        if (used < sizeof known) {
            used +=
                (size_t)snprintf(known + used, sizeof known - used, "%s%s", used > 0 ? ", " : "", row->key);
        }
    }
    char scratch[128];
    const char *hint = config_nearest(child->key, names, count, scratch, sizeof scratch);
    if (hint[0] == '\0' && used < sizeof known) {
        problem(r, child->key_where, "unknown key \"%.64s\" (known here: %s)", child->key, known);
    } else {
        problem(r, child->key_where, "unknown key \"%.64s\"%s", child->key, hint);
    }
}

static void check_keys(struct reader *r, const struct config_row *rows, const struct config_node *node) {
    for (const struct config_node *child = node->first; child != NULL; child = child->next) {
        const struct config_row *row = rows;
        while (row->key != NULL &&
               (row->type == CONFIG_KEY || row->key[0] == '\0' || strcmp(row->key, child->key) != 0)) {
            row++;
        }
        if (row->key == NULL && !child->broken) {
            unknown_key(r, rows, child);
        }
    }
}

static void set_default(struct reader *r, const struct config_row *row, char *base) {
    if (row->type == CONFIG_STRUCT) {
        read_map(r, row->rows, NULL, base);
    } else if (row->fallback != NULL) {
        struct config_row silent = *row;
        silent.where = 0; /* nobody wrote it: it has no place */
        bool is_text = row->type == CONFIG_TEXT || row->type == CONFIG_STRING;
        struct config_node node = {
            .type = NODE_SCALAR, .plain = !is_text, .text = row->fallback, .length = strlen(row->fallback)};
        read_value(r, &silent, &node, base);
    }
}

/* `node` NULL: the map is not there, and every key takes its default. */
static void read_map(struct reader *r, const struct config_row *rows, const struct config_node *node,
                     char *base) {
    if (node != NULL) {
        check_keys(r, rows, node);
    }
    for (const struct config_row *row = rows; row->key != NULL; row++) {
        if (row->type == CONFIG_KEY || row->key[0] == '\0') {
            continue;
        }
        const struct config_node *child = find_child(node, row->key);
        if (child != NULL) {
            read_value(r, row, child, base);
        } else if (node != NULL && row->required) {
            problem(r, node->where, "missing key \"%s\"%s%s%s", row->key, row->help != NULL ? " (" : "",
                    row->help != NULL ? row->help : "", row->help != NULL ? ")" : "");
        } else {
            set_default(r, row, base);
        }
    }
}

/* ---- the door ---- */

int config_load_partial(const char *file, const void *bytes, size_t size, const struct config_row *rows,
                        void *settings, struct config_report *report) {
    size_t before = report->found;
    CLEANUP(config_document_deinit) struct config_document document;
    int rc = config_document_parse(file, bytes, size, &document, report);
    struct reader r = {.file = file, .report = report};
    if (rc == 0 && document.root != NULL) {
        if (document.root->type != NODE_MAP) {
            problem(&r, document.root->where, "expected a map of keys, found %s",
                    read_describe(document.root));
        } else {
            read_map(&r, rows, document.root, settings);
        }
        rc = r.out_of_memory ? -ENOMEM : 0;
    }
    if (rc < 0) {
        config_free(rows, settings);
        return rc;
    }
    return report->found > before ? CONFIG_E_INVALID : 0;
}

int config_load_memory(const char *file, const void *bytes, size_t size, const struct config_row *rows,
                       void *settings, struct config_report *report) {
    int rc = config_load_partial(file, bytes, size, rows, settings, report);
    if (rc == CONFIG_E_INVALID) {
        config_free(rows, settings);
    }
    return rc;
}

int config_load_file(const char *path, const struct config_row *rows, void *settings,
                     struct config_report *report) {
    CLEANUP(buf_deinit) struct buf bytes = {0};
    int rc = config_read_file(path, &bytes, report);
    return rc != 0 ? rc : config_load_memory(path, bytes.bytes, bytes.size, rows, settings, report);
}

static void free_items(const struct config_row *row, char *base) {
    char **items = (char **)(void *)(base + row->offset);
    size_t *count = (size_t *)(void *)(base + row->count_offset);
    for (size_t i = 0; i < *count; i++) {
        if (row->type == CONFIG_STRINGS) {
            free(((char **)(void *)*items)[i]);
        } else {
            config_free(row->rows, *items + i * row->element_size);
        }
    }
    free(*items);
    *items = NULL;
    *count = 0;
}

void config_free(const struct config_row *rows, void *settings) {
    char *base = settings;
    for (const struct config_row *row = rows; row->key != NULL; row++) {
        if (row->type == CONFIG_STRING) {
            char **text = (char **)(void *)(base + row->offset);
            free(*text);
            *text = NULL;
        } else if (row->type == CONFIG_STRUCT) {
            config_free(row->rows, base);
        } else if (row->type == CONFIG_STRINGS || row->type == CONFIG_LIST || row->type == CONFIG_TABLE) {
            free_items(row, base);
        }
    }
}
