/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BUCKLER_TOOLS_EVAL_JSON_H
#define BUCKLER_TOOLS_EVAL_JSON_H

#include "tools/eval/session.h"

/* Everything that eval knows, keys in a fixed order; NULL when memory is out. */
json_t *eval_json(const struct session *session);

#endif
