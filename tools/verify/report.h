/* SPDX-License-Identifier: Apache-2.0
 *
 * What buckler-verify and `bucklerctl audit verify` print.
 */
#ifndef BUCKLER_TOOLS_VERIFY_REPORT_H
#define BUCKLER_TOOLS_VERIFY_REPORT_H

#include <stdbool.h>

#include "audit/audit.h"

/* Verifies, says what was found, and returns the exit code: 0 sound, 1 tampered, 2 only the end is torn, 3
 * records are missing, 4 unreadable. */
int verify_and_report(const char *program, const char *directory, const struct audit_check *check, bool json);

#endif
