/* SPDX-License-Identifier: Apache-2.0
 *
 * A list file: words and patterns that name a category when they occur in text. Read from YAML here, compiled
 * and scanned by classifiers/lists. See policies/lists/ for shipped ones.
 *
 *     schema: buckler.list/1
 *     name: profanity                 # in the evidence: "list:profanity#damn"
 *     description: Mild vulgar words.
 *     category: profanity             # a built-in category or one of your own
 *     score: 0.9                      # of entries that give none (default 1)
 *     entries:
 *       - damn                        # short for { word: damn }
 *       - { word: "son of a gun", score: 0.6 }               # whole words; spaces match any white space
 *       - { text: "</system>", id: fake-role }               # anywhere, also inside words
 *       - { regex: '\bignore (all|any) (previous|prior) instructions\b', id: ignore-previous }
 *
 * Matching ignores case. Regexes are those of Hyperscan (PCRE without back-references and look-around).
 */
#ifndef BUCKLER_POLICIES_LIST_H
#define BUCKLER_POLICIES_LIST_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "config/config.h"

enum list_error { LIST_E_INVALID = 1 };

enum { LIST_NAME_SIZE = 65, LIST_ID_SIZE = 33, LIST_MAX_ENTRIES = 16384, LIST_MAX_PATTERN_BYTES = 1024 };

enum list_match {
    LIST_MATCH_INVALID,
    LIST_MATCH_WORD, /* the text with a word boundary at both ends */
    LIST_MATCH_TEXT, /* the text anywhere */
    LIST_MATCH_REGEX,
};

struct list_entry {
    enum list_match match;
    char id[LIST_ID_SIZE]; /* never "": the number of the entry from 1 when the file gives none */
    char *pattern;         /* UTF-8, not empty, at most LIST_MAX_PATTERN_BYTES */
    int32_t score_ppm;     /* 1 … 1,000,000 */
    struct config_where where;
};

struct policy_list {
    char name[LIST_NAME_SIZE];
    char description[512];
    char category[LIST_NAME_SIZE];
    char digest[65]; /* SHA-256 of the file's bytes, lower-case hex */
    struct config_where category_where;
    size_t entry_count;
    struct list_entry *entries;
};

/* LIST_E_INVALID: every reason is in `report`. Free with policy_list_free. */
int policy_list_load(const char *path, struct policy_list **ret, struct config_report *report) MUST_CHECK;
int policy_list_load_memory(const char *path, const void *bytes, size_t size, struct policy_list **ret,
                            struct config_report *report) MUST_CHECK;
struct policy_list *policy_list_free(struct policy_list *list); /* accepts NULL; returns NULL */

#endif
