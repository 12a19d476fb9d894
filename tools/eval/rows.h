/* SPDX-License-Identifier: Apache-2.0
 *
 * Labelled rows of JSON Lines: {"id","text","role","prompt"?,"labels","unsafe","lang"?,"source"?}. All of a
 * file is read and checked before anything is done with it, so that a mistake in its last line costs nothing.
 */
#ifndef BUCKLER_TOOLS_EVAL_ROWS_H
#define BUCKLER_TOOLS_EVAL_ROWS_H

#include <stdint.h>
#include <stdio.h>

#include "base/error.h"
#include "tools/eval/names.h"

enum {
    ROWS_MAX_LINE = 32 << 20,
    ROWS_MAX_KEYS = 64, /* different keys of `labels` */
    ROWS_NAME_SIZE = 129,
};

enum rows_role { ROWS_ROLE_INVALID, ROWS_USER, ROWS_ASSISTANT, ROWS_POST };
enum rows_label { ROWS_HARMLESS, ROWS_HARMFUL, ROWS_UNKNOWN };

struct rows_row {
    char *text, *prompt; /* owned; prompt NULL when there is none */
    size_t text_size;
    enum rows_role role;
    enum rows_label unsafe;
    int set, source, lang;         /* numbers of names */
    uint8_t labels[ROWS_MAX_KEYS]; /* enum rows_label, by the number of the key */
};

/* Starts as {0}. */
struct rows {
    struct rows_row *items;
    size_t count, capacity;
    struct names sets, sources, langs, keys;
};

/* Appends the rows of a file, "-" being standard input, at most `limit`; lines behind those are checked too.
 * The set is the file's name without folder and extension. -EINVAL with `file:line: what` in *reterr for a
 * row that is not as it should be; -errno when the file cannot be read. */
int rows_read(const char *path, uint64_t limit, struct rows *rows, struct error *reterr) MUST_CHECK;

/* The same from an open file; `path` stands in the messages and names the set. */
int rows_read_stream(FILE *file, const char *path, uint64_t limit, struct rows *rows,
                     struct error *reterr) MUST_CHECK;
void rows_deinit(struct rows *rows);

#endif
