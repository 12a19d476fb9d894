/* SPDX-License-Identifier: Apache-2.0
 *
 * Names and their numbers, in the order in which they were first seen.
 */
#ifndef BUCKLER_TOOLS_EVAL_NAMES_H
#define BUCKLER_TOOLS_EVAL_NAMES_H

#include <jansson.h>
#include <stddef.h>

/* Starts as {0}. */
struct names {
    json_t *numbers; /* name → number */
    const char **items;
    size_t count, capacity;
};

/* The number of a name, which is added when it is new; negative when memory is out. */
int names_add(struct names *names, const char *name);

/* The number of a name, or -1. */
int names_find(const struct names *names, const char *name);
void names_deinit(struct names *names);

#endif
