/* SPDX-License-Identifier: Apache-2.0
 *
 * What a whole word is, without a Unicode database: ASCII letters, digits and the underscore, and every
 * character above them but signs, punctuation and scripts that are written without spaces (there, any place
 * may begin a word).
 */
#ifndef BUCKLER_CLASSIFIERS_LISTS_WORDS_H
#define BUCKLER_CLASSIFIERS_LISTS_WORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

bool word_character(uint32_t point);

/* Whether the word that ends or begins at byte `at` goes on beyond it: the characters on both sides are of
 * words. */
bool word_continues(const char *text, size_t size, size_t at);

/* Whether exactly one side of `at` is of a word (as \b). */
bool word_boundary(const char *text, size_t size, size_t at);

#endif
