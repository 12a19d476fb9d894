/* SPDX-License-Identifier: Apache-2.0
 *
 * What the core says to buckler-front and buckler-audit and what it does with their answers.
 */
#ifndef BUCKLER_DAEMON_LINKS_H
#define BUCKLER_DAEMON_LINKS_H

#include "daemon/supervise.h"

extern const struct role_type front_role; /* ipc/ipc.h */
extern const struct role_type audit_role; /* audit/audit.h */

/* Tells a running front the settings in force: connections whose key or uid is no longer listed end. */
void links_configure_front(struct daemon *d);

#endif
