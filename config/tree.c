/* SPDX-License-Identifier: Apache-2.0
 *
 * From libyaml's events to the tree. The only file that includes yaml.h.
 */
#include "config/tree.h"

#include <errno.h>
#include <string.h>
#include <yaml.h>

#include "base/cleanup.h"
#include "base/utf8.h"

enum {
    TREE_ARENA_BYTES =
        CONFIG_MAX_NODES * 384, /* a node takes three cache lines, its key and its text one or more */
    TREE_MAX_KEYS = 4096,       /* of one map: duplicates are found by comparing each with each */
};

struct builder {
    struct config_document *document;
    struct config_report *report;
    yaml_parser_t parser;
    struct config_node *stack[CONFIG_MAX_DEPTH];
    size_t depth;
    size_t node_count;
    const uint8_t *bytes;
    struct config_node *pending; /* a map's key was read: the node that its value becomes */
    unsigned document_count;
    bool stop; /* nothing behind this place means anything */
};

static struct config_where where_of(yaml_mark_t mark) {
    return (struct config_where){(unsigned)mark.line + 1, (unsigned)mark.column + 1};
}

#define problem(b, at, ...)                                                                                  \
    config_report_add((b)->report, (b)->document->file, (at).line, (at).column, __VA_ARGS__)

static void check_decoration(struct builder *b, struct config_where at, const yaml_char_t *anchor,
                             const yaml_char_t *tag) {
    if (anchor != NULL) {
        problem(b, at, "anchor &%.40s: anchors are not taken (write the value where it is used)",
                (const char *)anchor);
    }
    if (tag != NULL) {
        problem(b, at, "tag %.60s: tags are not taken (types come from the key)", (const char *)tag);
    }
}

static struct config_node *new_node(struct builder *b, struct config_where at) {
    if (b->node_count++ >= CONFIG_MAX_NODES) {
        problem(b, at, "more than %d values (split the file)", CONFIG_MAX_NODES);
        b->stop = true;
        return NULL;
    }
    struct config_node *node = arena_new(&b->document->arena, struct config_node, 1);
    if (node != NULL) {
        node->where = at;
    }
    return node;
}

/* Puts a node where the document is: under its key, behind its list's last, or at the root. */
static struct config_node *place_node(struct builder *b, struct config_where at) {
    struct config_node *node = b->pending;
    if (node != NULL) {
        b->pending = NULL;
        node->where = at;
        return node;
    }
    node = new_node(b, at);
    if (node == NULL) {
        return NULL;
    }
    if (b->depth == 0) {
        b->document->root = node;
        return node;
    }
    struct config_node *parent = b->stack[b->depth - 1];
    if (parent->last != NULL) {
        parent->last->next = node;
    } else {
        parent->first = node;
    }
    parent->last = node;
    parent->count++;
    return node;
}

static bool wants_key(const struct builder *b) {
    return b->depth > 0 && b->stack[b->depth - 1]->type == NODE_MAP && b->pending == NULL;
}

static int open_key(struct builder *b, const char *text, size_t length, struct config_where at) {
    const struct config_node *map = b->stack[b->depth - 1];
    bool broken = false;
    if (map->count == TREE_MAX_KEYS) {
        problem(b, at, "more than %d keys in one map", TREE_MAX_KEYS);
        b->stop = true;
        return 0;
    }
    if (length == 2 && memcmp(text, "<<", 2) == 0) {
        problem(b, at, "merge key <<: merging is not taken (write the keys out)");
        broken = true;
    }
    for (const struct config_node *other = map->first; other != NULL; other = other->next) {
        if (strlen(other->key) == length && memcmp(other->key, text, length) == 0) {
            problem(b, at, "duplicate key %.64s (first at line %u)", text, other->key_where.line);
            broken = true;
            break;
        }
    }
    struct config_node *node = place_node(b, at);
    if (node == NULL) {
        return b->stop ? 0 : -ENOMEM;
    }
    node->key = arena_copy(&b->document->arena, text, length);
    node->key_where = at;
    node->broken = broken;
    b->pending = node;
    return node->key != NULL ? 0 : -ENOMEM;
}

static int take_scalar(struct builder *b, const yaml_event_t *event) {
    struct config_where at = where_of(event->start_mark);
    const char *text = (const char *)event->data.scalar.value;
    size_t length = event->data.scalar.length;
    check_decoration(b, at, event->data.scalar.anchor, event->data.scalar.tag);
    bool nul = memchr(text, 0, length) != NULL;
    if (nul) {
        problem(b, at, "a NUL character inside text");
    }
    if (wants_key(b)) {
        return open_key(b, text, nul ? strlen(text) : length, at);
    }
    struct config_node *node = place_node(b, at);
    if (node == NULL) {
        return b->stop ? 0 : -ENOMEM;
    }
    node->type = NODE_SCALAR;
    node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    node->broken |= nul;
    node->length = length;
    node->text = arena_copy(&b->document->arena, text, length);
    return node->text != NULL ? 0 : -ENOMEM;
}

static int take_alias(struct builder *b, const yaml_event_t *event) {
    struct config_where at = where_of(event->start_mark);
    problem(b, at, "alias *%.40s: aliases are not taken (write the value out)",
            (const char *)event->data.alias.anchor);
    if (wants_key(b)) {
        b->stop = true;
        return 0;
    }
    struct config_node *node = place_node(b, at);
    if (node == NULL) {
        return b->stop ? 0 : -ENOMEM;
    }
    node->type = NODE_SCALAR;
    node->broken = true;
    node->text = "";
    return 0;
}

static int open_collection(struct builder *b, enum config_node_type type, struct config_where at) {
    if (wants_key(b)) {
        problem(b, at, "a key must be a word");
        b->stop = true;
        return 0;
    }
    if (b->depth == CONFIG_MAX_DEPTH) {
        problem(b, at, "nested deeper than %d", CONFIG_MAX_DEPTH);
        b->stop = true;
        return 0;
    }
    struct config_node *node = place_node(b, at);
    if (node == NULL) {
        return b->stop ? 0 : -ENOMEM;
    }
    node->type = type;
    b->stack[b->depth++] = node;
    return 0;
}

static void open_document(struct builder *b, const yaml_event_t *event) {
    struct config_where at = where_of(event->start_mark);
    if (b->document_count++ > 0) {
        problem(b, at, "a second document (one file holds one)");
        b->stop = true;
    } else if (event->data.document_start.version_directive != NULL ||
               event->data.document_start.tag_directives.start !=
                   event->data.document_start.tag_directives.end) {
        problem(b, at, "directives are not taken (remove the lines with %%)");
    }
}

static int take_event(struct builder *b, const yaml_event_t *event) {
    struct config_where at = where_of(event->start_mark);
    switch (event->type) {
    case YAML_DOCUMENT_START_EVENT:
        open_document(b, event);
        return 0;
    case YAML_ALIAS_EVENT:
        return take_alias(b, event);
    case YAML_SCALAR_EVENT:
        return take_scalar(b, event);
    case YAML_SEQUENCE_START_EVENT:
        check_decoration(b, at, event->data.sequence_start.anchor, event->data.sequence_start.tag);
        return open_collection(b, NODE_LIST, at);
    case YAML_MAPPING_START_EVENT:
        check_decoration(b, at, event->data.mapping_start.anchor, event->data.mapping_start.tag);
        return open_collection(b, NODE_MAP, at);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        b->depth--;
        return 0;
    case YAML_STREAM_END_EVENT:
        b->stop = true;
        return 0;
    default:
        return 0;
    }
}

/* The place of a byte, as an editor counts. */
static struct config_where where_in(const uint8_t *bytes, size_t offset) {
    struct config_where at = {1, 1};
    for (size_t i = 0; i < offset; i++) {
        at.column += (bytes[i] & 0xc0) != 0x80;
        if (bytes[i] == '\n') {
            at = (struct config_where){at.line + 1, 1};
        }
    }
    return at;
}

static int parser_failed(struct builder *b) {
    const yaml_parser_t *p = &b->parser;
    if (p->error == YAML_MEMORY_ERROR) {
        return -ENOMEM;
    }
    const char *why = p->problem != NULL ? p->problem : "not YAML";
    /* The reader knows only the offset, the parts behind it only the mark. */
    struct config_where at =
        p->error == YAML_READER_ERROR ? where_in(b->bytes, p->problem_offset) : where_of(p->problem_mark);
    if (p->context != NULL) {
        problem(b, at, "%s (%s that begins at line %u)", why, p->context, where_of(p->context_mark).line);
    } else {
        problem(b, at, "%s", why);
    }
    return 0;
}

static void delete_parser(yaml_parser_t **parser) {
    yaml_parser_delete(*parser);
}

static int build(struct builder *b, size_t size) {
    if (yaml_parser_initialize(&b->parser) == 0) {
        return -ENOMEM;
    }
    CLEANUP(delete_parser) yaml_parser_t *parser = &b->parser;
    yaml_parser_set_encoding(parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(parser, b->bytes, size);
    while (!b->stop) {
        yaml_event_t event;
        if (yaml_parser_parse(parser, &event) == 0) {
            b->document->root = NULL;
            return parser_failed(b);
        }
        int rc = take_event(b, &event);
        yaml_event_delete(&event);
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

static bool check_encoding(struct builder *b, size_t size) {
    size_t bad = 0;
    if (utf8_valid(b->bytes, size, &bad)) {
        return true;
    }
    struct config_where at = where_in(b->bytes, bad);
    problem(b, at, "not UTF-8 (save the file as UTF-8)");
    return false;
}

int config_document_parse(const char *file, const void *bytes, size_t size, struct config_document *ret,
                          struct config_report *report) {
    *ret = (struct config_document){.file = file};
    arena_init(&ret->arena, TREE_ARENA_BYTES);
    static const uint8_t mark[] = {0xef, 0xbb, 0xbf};
    if (size >= sizeof mark && memcmp(bytes, mark, sizeof mark) == 0) {
        bytes = (const uint8_t *)bytes + sizeof mark; /* a byte order mark, as some editors write */
        size -= sizeof mark;
    }
    struct builder b = {.document = ret, .report = report, .bytes = bytes};
    struct config_where top = {1, 1};
    if (size > CONFIG_MAX_BYTES) {
        problem(&b, top, "larger than %d bytes", CONFIG_MAX_BYTES);
        return 0;
    }
    if (!check_encoding(&b, size)) {
        return 0;
    }
    size_t before = report->found;
    int rc = build(&b, size);
    if (rc == 0 && ret->root == NULL && report->found == before) {
        problem(&b, top, "the file holds nothing");
    }
    if (b.depth > 0 || b.pending != NULL) {
        ret->root =
            NULL; /* stopped inside: what is missing behind the stop would only be reported as missing */
    }
    return rc;
}

void config_document_deinit(struct config_document *document) {
    arena_deinit(&document->arena);
    document->root = NULL;
}
