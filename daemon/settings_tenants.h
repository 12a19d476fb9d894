/* SPDX-License-Identifier: Apache-2.0
 *
 * `tenants:` of the configuration: the rows, and how their entries become settings. For settings.c alone.
 */
#ifndef BUCKLER_DAEMON_SETTINGS_TENANTS_H
#define BUCKLER_DAEMON_SETTINGS_TENANTS_H

#include "config/config.h"
#include "daemon/settings.h"

struct key_item {
    char key[IPC_KEY_SIZE];
    struct config_where where;
};

struct uid_item {
    uint32_t uid;
    struct config_where where;
};

struct tenant_item {
    char name[IPC_NAME_SIZE];
    struct key_item *keys;
    size_t key_count;
    struct uid_item *uids;
    size_t uid_count;
    char **policies;
    size_t policy_count;
    uint32_t rate, window, weight;
    struct config_where where;
};

extern const struct config_row settings_uid_rows[];
extern const struct config_row settings_tenant_rows[];

/* Tenants, their keys and their uids into the settings. False when two claim the same name, key or uid, or
 * when there are too many: it is in the report then. */
bool settings_take_tenants(const struct tenant_item *items, size_t count, struct settings *s,
                           struct config_report *report) MUST_CHECK;

/* `listen.uids`: users without a tenant of their own. As above. */
bool settings_take_uids(const struct uid_item *items, size_t count, struct settings *s,
                        struct config_report *report) MUST_CHECK;

/* Takes the keys that are in KEYS/revoked out of the settings. False when the file cannot be understood. */
bool settings_drop_revoked(struct settings *s, struct config_report *report) MUST_CHECK;

#endif
