/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BUCKLER_DAEMON_NOTIFY_H
#define BUCKLER_DAEMON_NOTIFY_H

#include <stdbool.h>

/* Sends `state` ("READY=1") to the service manager by the sd_notify(3) datagram; false when there is none. */
bool notify(const char *state);

#endif
