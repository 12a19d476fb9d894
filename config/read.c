/* SPDX-License-Identifier: Apache-2.0 */
#include "config/read.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "config/value.h"

enum { READ_MAX_CHOICES = 64, READ_MAX_STRING = 65536 };

const char *read_describe(const struct config_node *node) {
    switch (node->type) {
    case NODE_LIST:
        return "a list";
    case NODE_MAP:
        return "a map";
    default:
        break;
    }
    if (!node->plain) {
        return "text in quotes";
    }
    switch (value_kind_of(node->text)) {
    case VALUE_NULL:
        return "nothing";
    case VALUE_BOOL:
        return "a boolean";
    case VALUE_NUMBER:
        return "a number";
    default:
        return "text";
    }
}

/* True when the node is a scalar that is not text; says what is wrong when not. */
static bool wants_plain(struct reader *r, const struct config_row *row, const struct config_node *node,
                        const char *expected) {
    if (node->type == NODE_SCALAR && node->plain) {
        return true;
    }
    problem(r, node->where, "%s: expected %s, found %s%s", row->key, expected, read_describe(node),
            node->type == NODE_SCALAR ? " (remove the quotes)" : "");
    return false;
}

bool read_wants_text(struct reader *r, const struct config_row *row, const struct config_node *node) {
    if (node->type == NODE_SCALAR && (!node->plain || value_kind_of(node->text) == VALUE_TEXT)) {
        return true;
    }
    const char *hint = "";
    if (node->type == NODE_SCALAR) {
        hint = value_kind_of(node->text) == VALUE_NULL ? " (write a value or leave the key out)"
                                                       : " (put it in quotes)";
    }
    problem(r, node->where, "%s: expected text, found %s%s", row->key, read_describe(node), hint);
    return false;
}

/* ---- numbers ---- */

static const char *parse_number(enum config_type type, const char *word, uint64_t *ret) {
    switch (type) {
    case CONFIG_SIZE:
        return value_size(word, ret);
    case CONFIG_DURATION:
        return value_duration(word, ret);
    case CONFIG_FRACTION:
        return value_fraction(word, ret);
    default:
        return value_integer(word, ret);
    }
}

static void format_number(enum config_type type, uint64_t value, char out[32]) {
    if (type == CONFIG_FRACTION) {
        (void)snprintf(out, 32, "%" PRIu64 ".%06" PRIu64, value / 1000000, value % 1000000);
        for (size_t last = strlen(out) - 1; out[last] == '0' && out[last - 1] != '.'; last--) {
            out[last] = '\0';
        }
    } else if (type == CONFIG_DURATION) {
        (void)snprintf(out, 32, "%" PRIu64 "ms", value / 1000000);
    } else {
        (void)snprintf(out, 32, "%" PRIu64, value);
    }
}

static uint64_t type_max(enum config_type type) {
    switch (type) {
    case CONFIG_U32:
        return UINT32_MAX;
    case CONFIG_FRACTION:
        return 1000000;
    default:
        return UINT64_MAX;
    }
}

static void store_number(const struct config_row *row, uint64_t value, char *base) {
    if (row->type == CONFIG_U32 || row->type == CONFIG_FRACTION) {
        uint32_t narrow = (uint32_t)value;
        assert(row->size == sizeof narrow);
        memcpy(base + row->offset, &narrow, sizeof narrow);
    } else {
        assert(row->size == sizeof value);
        memcpy(base + row->offset, &value, sizeof value);
    }
}

void read_number(struct reader *r, const struct config_row *row, const struct config_node *node, char *base) {
    if (!wants_plain(r, row, node, "a number")) {
        return;
    }
    uint64_t value = 0;
    const char *why = parse_number(row->type, node->text, &value);
    if (why != NULL) {
        problem(r, node->where, "%s: %s, found \"%.40s\"", row->key, why, node->text);
        return;
    }
    uint64_t max = row->max != 0 ? row->max : type_max(row->type);
    char bound[32];
    if (value < row->min) {
        format_number(row->type, row->min, bound);
        problem(r, node->where, "%s: must be at least %s", row->key, bound);
    } else if (value > max) {
        format_number(row->type, max, bound);
        problem(r, node->where, "%s: must be at most %s", row->key, bound);
    } else {
        store_number(row, value, base);
    }
}

void read_bool(struct reader *r, const struct config_row *row, const struct config_node *node, char *base) {
    bool value = false;
    if (!wants_plain(r, row, node, "true or false")) {
        return;
    }
    const char *why = value_bool(node->text, &value);
    if (why != NULL) {
        problem(r, node->where, "%s: %s, found \"%.40s\"", row->key, why, node->text);
        return;
    }
    assert(row->size == sizeof value);
    memcpy(base + row->offset, &value, sizeof value);
}

/* ---- choices ---- */

static void unknown_choice(struct reader *r, const struct config_row *row, const struct config_node *node) {
    const char *names[READ_MAX_CHOICES];
    size_t count = 0;
    char known[256] = "";
    size_t used = 0;
    for (const struct config_choice *c = row->choices; c->name != NULL && count < READ_MAX_CHOICES; c++) {
        names[count++] = c->name;
        if (!c->later && used < sizeof known) {
            used +=
                (size_t)snprintf(known + used, sizeof known - used, "%s%s", used > 0 ? ", " : "", c->name);
        }
    }
    char scratch[128];
    const char *hint = config_nearest(node->text, names, count, scratch, sizeof scratch);
    problem(r, node->where, "%s: \"%.64s\" is not one of %s%s", row->key, node->text, known, hint);
}

/* The choice that the node names, or NULL after a problem. */
static const struct config_choice *read_choice(struct reader *r, const struct config_row *row,
                                               const struct config_node *node) {
    if (node->broken || !read_wants_text(r, row, node)) {
        return NULL;
    }
    for (const struct config_choice *c = row->choices; c->name != NULL; c++) {
        if (strcmp(c->name, node->text) == 0) {
            if (c->later) {
                problem(r, node->where, "%s: %s is not supported yet", row->key, c->name);
                return NULL;
            }
            return c;
        }
    }
    unknown_choice(r, row, node);
    return NULL;
}

void read_enum(struct reader *r, const struct config_row *row, const struct config_node *node, char *base) {
    const struct config_choice *choice = read_choice(r, row, node);
    if (choice != NULL) {
        assert(row->size == sizeof choice->value);
        memcpy(base + row->offset, &choice->value, sizeof choice->value);
    }
}

void read_flags(struct reader *r, const struct config_row *row, const struct config_node *node, char *base) {
    uint32_t bits = 0;
    const struct config_node *item = node->type == NODE_LIST ? node->first : node;
    if (item == NULL) {
        problem(r, node->where, "%s: an empty list (name at least one or leave the key out)", row->key);
    }
    for (; item != NULL; item = item == node ? NULL : item->next) {
        const struct config_choice *choice = read_choice(r, row, item);
        if (choice == NULL) {
            continue;
        }
        if ((bits & (uint32_t)choice->value) != 0) {
            problem(r, item->where, "%s: %s is named twice", row->key, choice->name);
        }
        bits |= (uint32_t)choice->value;
    }
    assert(row->size == sizeof bits);
    memcpy(base + row->offset, &bits, sizeof bits);
}

/* ---- text ---- */

static bool fits(struct reader *r, const struct config_row *row, struct config_where at, size_t length,
                 uint64_t max) {
    if (length < row->min) {
        if (length == 0) {
            problem(r, at, "%s: must not be empty", row->key);
        } else {
            problem(r, at, "%s: must be at least %" PRIu64 " bytes long", row->key, row->min);
        }
        return false;
    }
    if (length > max) {
        problem(r, at, "%s: longer than %" PRIu64 " bytes", row->key, max);
        return false;
    }
    return true;
}

void read_copy_text(struct reader *r, const struct config_row *row, struct config_where at, const char *text,
                    size_t length, char *base) {
    uint64_t max = row->max != 0 && row->max < row->size ? row->max : row->size - 1;
    if (fits(r, row, at, length, max)) {
        memcpy(base + row->offset, text, length + 1);
    }
}

char *read_duplicate(struct reader *r, const char *text) {
    char *copy = strdup(text);
    r->out_of_memory |= copy == NULL;
    return copy;
}

void read_text(struct reader *r, const struct config_row *row, const struct config_node *node, char *base) {
    if (!read_wants_text(r, row, node)) {
        return;
    }
    if (row->type == CONFIG_TEXT) {
        read_copy_text(r, row, node->where, node->text, node->length, base);
    } else if (fits(r, row, node->where, node->length, row->max != 0 ? row->max : READ_MAX_STRING)) {
        char *copy = read_duplicate(r, node->text);
        memcpy(base + row->offset, &copy, sizeof copy);
    }
}
