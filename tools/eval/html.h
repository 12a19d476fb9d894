/* SPDX-License-Identifier: Apache-2.0
 *
 * The page of --html: one file without scripts and without anything from elsewhere. Of the rows it has names
 * of sets, sources, languages and categories, never their content.
 */
#ifndef BUCKLER_TOOLS_EVAL_HTML_H
#define BUCKLER_TOOLS_EVAL_HTML_H

#include "base/buf.h"
#include "tools/eval/session.h"

/* Appends the page. 0, or -ENOMEM. */
int eval_html(const struct session *session, struct buf *out);

/* Writes it to a file, or to standard output for "-". 0, or an exit code after printing why. */
int eval_html_write(const struct session *session, const char *path);

#endif
