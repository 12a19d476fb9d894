/* SPDX-License-Identifier: Apache-2.0
 *
 * The last thing before the first foreign byte. sandbox.c is the real one; sandbox_none.c, chosen by CMake
 * for sanitizer builds only, leaves out what the sanitizers' run-time cannot live with.
 */
#ifndef BUCKLER_DECODE_WORKER_SANDBOX_H
#define BUCKLER_DECODE_WORKER_SANDBOX_H

#include "decode/exchange.h"

/* Attaches all of it or fails: the worker does not run half-confined. */
int worker_sandbox_enter(const struct decode_setup *setup, struct error *reterr) MUST_CHECK;

#endif
