/* SPDX-License-Identifier: Apache-2.0
 *
 * Errors as values. A function that can fail returns int: 0 is success, a negative number is -errno
 * (something broke: pass it on), a positive number is a named MODULE_E_* (the caller handles it). What a
 * person needs to know travels beside the number in a struct error: what, where, why, and what to do.
 */
#ifndef BUCKLER_BASE_ERROR_H
#define BUCKLER_BASE_ERROR_H

#include <stdarg.h>
#include <stddef.h>

#define MUST_CHECK __attribute__((warn_unused_result))

struct error {
    int code;       /* the returned number; 0 while nothing failed */
    char text[512]; /* one English sentence, never content of a client */
};

/* Fills `e` (may be NULL) and returns `code`, so that a failing function ends with `return error_set(...)`.
 */
int error_set(struct error *e, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* As error_set, with ": " and the text of the positive errno `number` behind the sentence; returns -number.
 */
int error_errno(struct error *e, int number, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Puts a prefix before the text that is already there ("policies/a.yaml: " …). Returns e->code, so that a
 * failing function may end with `return error_prefix(...)`; -EIO when `e` is NULL, since a failure must stay
 * one. */
int error_prefix(struct error *e, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* For `code` that another module returned: 0 and negative numbers stay, a positive one becomes the caller's
 * own `positive`, in `e` too. */
int error_recode(struct error *e, int code, int positive) MUST_CHECK;

#endif
