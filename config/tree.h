/* SPDX-License-Identifier: Apache-2.0
 *
 * A YAML document as a bounded tree in an arena. Inside config/ only.
 */
#ifndef BUCKLER_CONFIG_TREE_H
#define BUCKLER_CONFIG_TREE_H

#include "base/arena.h"
#include "config/config.h"

enum config_node_type { NODE_INVALID, NODE_SCALAR, NODE_LIST, NODE_MAP };

struct config_node {
    enum config_node_type type;
    struct config_where where;
    bool broken;      /* a problem was reported for it: readers pass over it in silence */
    bool plain;       /* a scalar without quotes */
    const char *text; /* scalar: UTF-8 without NUL, NUL-terminated */
    size_t length;
    const char *key; /* in a map */
    struct config_where key_where;
    struct config_node *first, *last, *next;
    size_t count;
};

struct config_document {
    const char *file;
    struct arena arena;
    struct config_node *root; /* NULL only when the report says why */
};

/* Reads as much as can be read: problems that leave the tree meaningful (an anchor, a duplicate key) are
 * reported and the tree goes on, so that the schema's problems are found in the same run. Returns 0, also
 * with problems, or negative when memory is out. `ret` is to be deinitialised in any case. */
int config_document_parse(const char *file, const void *bytes, size_t size, struct config_document *ret,
                          struct config_report *report) MUST_CHECK;
void config_document_deinit(struct config_document *document);

#endif
