/* SPDX-License-Identifier: Apache-2.0
 *
 * Who may connect: the decision behind the ZAP handler (RFC 27), without libzmq. The domain names the plane
 * on which a client came; each plane has one kind of identity and they are never mixed. What is not listed is
 * refused.
 *
 * The identity ("uid:1000", "loopback", or a key as Z85 text) is what libzmq attaches to a connection for as
 * long as it lives. The tenant behind it is looked up anew for each message: the lists may have changed.
 */
#ifndef BUCKLER_IPC_FRONT_ZAP_H
#define BUCKLER_IPC_FRONT_ZAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "ipc/ipc.h"

#define ZAP_DOMAIN_IPC "ipc" /* NULL mechanism; the kernel's SO_PEERCRED names the uid */
#define ZAP_DOMAIN_LOOPBACK                                                                                  \
    "loopback"                   /* NULL mechanism on 127.0.0.0/8 or [::1], only if insecure_loopback        \
                                  */
#define ZAP_DOMAIN_CURVE "curve" /* CURVE mechanism; the client's public key */

struct zap_rules {
    const struct ipc_settings *settings; /* borrowed */
    uid_t own_uid;                       /* with an empty uid list this one and root are allowed */
};

struct zap_question {
    const char *domain, *address, *mechanism;
    const char *public_key; /* Z85 text; NULL without CURVE */
};

enum { ZAP_OK = 200, ZAP_REFUSED = 400 };

/* ZAP_OK with the identity, or ZAP_REFUSED. Temporary refusals (300) are not used: the lists change in one
 * step. */
int zap_decide(const struct zap_rules *rules, const struct zap_question *question,
               char ret_identity[IPC_NAME_SIZE]) MUST_CHECK;

/* The tenant of an identity under the lists in force; false when it is not, or no longer, listed. */
bool zap_tenant(const struct zap_rules *rules, const char *identity,
                char ret_tenant[IPC_NAME_SIZE]) MUST_CHECK;

/* Whether text is a numeric address of 127.0.0.0/8 or ::1, without brackets. */
bool zap_is_loopback(const char *text);

#endif
