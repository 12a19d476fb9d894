/* SPDX-License-Identifier: Apache-2.0
 *
 * The entries of the list files of one classifier as one compiled database of many patterns, and the scan of
 * one text. The only door to vectorscan. Matching ignores case, in the way of Unicode, and takes time linear
 * in the text.
 */
#ifndef BUCKLER_CLASSIFIERS_LISTS_PATTERNS_H
#define BUCKLER_CLASSIFIERS_LISTS_PATTERNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "policies/list.h"

enum { PATTERNS_MAX = 65536, PATTERNS_MAX_BYTES = 4 << 20, PATTERNS_COMPILE_S = 60 };

struct patterns;

struct pattern_hit {
    const struct policy_list *list; /* borrowed from the policy */
    const struct list_entry *entry;
    size_t list_index;
    size_t from, to; /* bytes of the text */
};

/* The lists and the names of their files must outlive the patterns. */
int patterns_compile(const struct policy_list *const lists[], char *const files[], size_t count,
                     struct patterns **ret, struct error *reterr) MUST_CHECK;
struct patterns *patterns_free(struct patterns *patterns);

/* Working memory of one scan at a time. NULL when memory is out. */
struct patterns_scratch;
struct patterns_scratch *patterns_scratch_new(const struct patterns *patterns);
struct patterns_scratch *patterns_scratch_free(struct patterns_scratch *scratch);

/* Calls `hit` for each match that keeps the rule of whole words, in no order that may be relied on. */
int patterns_scan(const struct patterns *patterns, struct patterns_scratch *scratch, const char *text,
                  size_t size, void (*hit)(void *user, const struct pattern_hit *hit), void *user) MUST_CHECK;

#endif
