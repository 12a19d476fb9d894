/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading single values into their fields; schema.c does maps, lists and tables. Inside config/ only. Every
 * function goes on after a problem, so that one run finds all.
 */
#ifndef BUCKLER_CONFIG_READ_H
#define BUCKLER_CONFIG_READ_H

#include "config/tree.h"

struct reader {
    const char *file;
    struct config_report *report;
    bool out_of_memory;
};

#define problem(r, at, ...) config_report_add((r)->report, (r)->file, (at).line, (at).column, __VA_ARGS__)

/* What a person would call it: "a list", "text in quotes", "a number". */
const char *read_describe(const struct config_node *node);

/* True for text; says what is wrong when not. */
bool read_wants_text(struct reader *r, const struct config_row *row, const struct config_node *node);

/* NULL when memory is out, which the reader remembers. */
char *read_duplicate(struct reader *r, const char *text);

/* Into the char[] of a CONFIG_TEXT or CONFIG_KEY row, when the length is right. */
void read_copy_text(struct reader *r, const struct config_row *row, struct config_where at, const char *text,
                    size_t length, char *base);

/* By type: the numbers; CONFIG_BOOL; CONFIG_ENUM; CONFIG_FLAGS; CONFIG_TEXT and CONFIG_STRING. */
void read_number(struct reader *r, const struct config_row *row, const struct config_node *node, char *base);
void read_bool(struct reader *r, const struct config_row *row, const struct config_node *node, char *base);
void read_enum(struct reader *r, const struct config_row *row, const struct config_node *node, char *base);
void read_flags(struct reader *r, const struct config_row *row, const struct config_node *node, char *base);
void read_text(struct reader *r, const struct config_row *row, const struct config_node *node, char *base);

#endif
