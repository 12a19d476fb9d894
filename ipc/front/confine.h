/* SPDX-License-Identifier: Apache-2.0
 *
 * What buckler-front gives up. confine.c does it; confine_sanitizer.c stands in for it in sanitizer builds,
 * whose runtimes reserve terabytes of address space and use system calls of their own.
 */
#ifndef BUCKLER_IPC_FRONT_CONFINE_H
#define BUCKLER_IPC_FRONT_CONFINE_H

#include "base/error.h"

/* Limits; before the first thread and the first foreign byte. */
int confine_limits(struct error *reterr) MUST_CHECK;

/* The system call list; once sockets are bound and threads run. */
int confine_calls(struct error *reterr) MUST_CHECK;

#endif
