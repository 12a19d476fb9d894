/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BUCKLER_AUDIT_CONFINE_H
#define BUCKLER_AUDIT_CONFINE_H

#include "base/error.h"

/* Limits, and a list of system calls: files and the one socket it has, no new sockets, no programs, no
 * threads. */
int confine(struct error *reterr) MUST_CHECK;

#endif
