/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/settings_tenants.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/z85.h"

static const char *check_key(const void *field) {
    return z85_is_key(field) ? NULL : "must be a public key, 40 characters of Z85, in quotes";
}

/* No colon, so that no name can be that of a user without a tenant, "uid:1000". */
static const char *check_name(const void *field) {
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789-_.";
    const char *name = field;
    return name[strspn(name, allowed)] == '\0' ? NULL : "must be made of the letters a-z, digits, and - _ .";
}

static const struct config_row key_rows[] = {
    {"", CONFIG_TEXT, CONFIG_FIELD(struct key_item, key), .required = true, .check = check_key,
     CONFIG_WHERE(struct key_item, where)},
    CONFIG_END,
};

const struct config_row settings_uid_rows[] = {
    {"", CONFIG_U32, CONFIG_FIELD(struct uid_item, uid), .required = true,
     CONFIG_WHERE(struct uid_item, where)},
    CONFIG_END,
};

const struct config_row settings_tenant_rows[] = {
    {"name", CONFIG_TEXT, CONFIG_FIELD(struct tenant_item, name), .min = 1, .required = true,
     .check = check_name, .help = "stands in replies and in the audit log"},
    {"keys", CONFIG_LIST, CONFIG_ITEMS(struct tenant_item, keys, key_count), .rows = key_rows,
     .max = IPC_MAX_KEYS, .help = "public keys that may connect over tcp"},
    {"uids", CONFIG_LIST, CONFIG_ITEMS(struct tenant_item, uids, uid_count), .rows = settings_uid_rows,
     .max = IPC_MAX_UIDS, .help = "users that may connect over ipc"},
    {"policies", CONFIG_STRINGS, CONFIG_ITEMS(struct tenant_item, policies, policy_count), .min = 1,
     .max = SETTINGS_MAX_POLICIES, .help = "what it may ask for, its default first; without it: all"},
    {"rate", CONFIG_U32, CONFIG_FIELD(struct tenant_item, rate), .min = 1, .max = 1000000,
     .help = "most requests a second; without it: no limit"},
    {"window", CONFIG_U32, CONFIG_FIELD(struct tenant_item, window), .min = 1, .max = 65536,
     .help = "most open requests over all its connections; without it: limits.requests"},
    {"weight", CONFIG_U32, CONFIG_FIELD(struct tenant_item, weight), .min = 1, .max = 100, .fallback = "1",
     .help = "its share when there is more work than time"},
    CONFIG_END_AT(struct tenant_item, where),
};

struct taker {
    struct settings *settings;
    struct config_report *report;
    bool failed;
};

#define refuse(taker, at, ...)                                                                               \
    (config_report_add((taker)->report, (taker)->settings->file, (at).line, (at).column, __VA_ARGS__),       \
     (taker)->failed = true)

static void take_key(struct taker *t, const struct tenant_item *tenant, const struct key_item *item) {
    struct settings *s = t->settings;
    for (uint32_t i = 0; i < s->key_count; i++) {
        if (strcmp(s->keys[i].public_key, item->key) == 0) {
            refuse(t, item->where, "keys: this key is listed for tenant %s already", s->keys[i].tenant);
            return;
        }
    }
    if (s->key_count == IPC_MAX_KEYS) {
        refuse(t, item->where, "keys: more than %d keys of all tenants", IPC_MAX_KEYS);
        return;
    }
    struct ipc_key *key = &s->keys[s->key_count++];
    memcpy(key->public_key, item->key, sizeof key->public_key);
    memcpy(key->tenant, tenant->name, sizeof key->tenant);
}

static void take_uid(struct taker *t, const char *tenant, const struct uid_item *item) {
    struct settings *s = t->settings;
    for (uint32_t i = 0; i < s->uid_count; i++) {
        if (s->uids[i].uid == item->uid) {
            refuse(t, item->where, "uids: user %u is listed already", item->uid);
            return;
        }
    }
    if (s->uid_count == IPC_MAX_UIDS) {
        refuse(t, item->where, "uids: more than %d users of all tenants", IPC_MAX_UIDS);
        return;
    }
    struct ipc_uid *uid = &s->uids[s->uid_count++];
    uid->uid = item->uid;
    (void)snprintf(uid->tenant, sizeof uid->tenant, "%s", tenant);
}

static void take_policies(struct taker *t, const struct tenant_item *item, struct settings_tenant *tenant) {
    for (size_t i = 0; i < item->policy_count; i++) {
        if (strlen(item->policies[i]) >= sizeof tenant->policies[0]) {
            refuse(t, item->where, "policies: \"%.16s…\" is too long for a name", item->policies[i]);
            continue;
        }
        (void)snprintf(tenant->policies[tenant->policy_count++], sizeof tenant->policies[0], "%s",
                       item->policies[i]);
    }
}

static void take_tenant(struct taker *t, const struct tenant_item *item) {
    struct settings *s = t->settings;
    if (settings_tenant(s, item->name) != NULL) {
        refuse(t, item->where, "tenants: %s is defined already", item->name);
        return;
    }
    struct settings_tenant *tenant = &s->tenants[s->tenant_count++];
    *tenant = (struct settings_tenant){.rate = item->rate,
                                       .window = item->window,
                                       .weight = item->weight,
                                       .line = item->where.line,
                                       .column = item->where.column};
    memcpy(tenant->name, item->name, sizeof tenant->name);
    take_policies(t, item, tenant);
    for (size_t i = 0; i < item->key_count; i++) {
        take_key(t, item, &item->keys[i]);
    }
    for (size_t i = 0; i < item->uid_count; i++) {
        take_uid(t, item->name, &item->uids[i]);
    }
}

bool settings_take_tenants(const struct tenant_item *items, size_t count, struct settings *s,
                           struct config_report *report) {
    struct taker taker = {.settings = s, .report = report};
    for (size_t i = 0; i < count; i++) {
        take_tenant(&taker, &items[i]);
    }
    return !taker.failed;
}

bool settings_take_uids(const struct uid_item *items, size_t count, struct settings *s,
                        struct config_report *report) {
    struct taker taker = {.settings = s, .report = report};
    for (size_t i = 0; i < count; i++) {
        take_uid(&taker, "", &items[i]);
    }
    return !taker.failed;
}

static void drop_key(struct settings *s, const char *key) {
    for (uint32_t i = 0; i < s->key_count; i++) {
        if (strcmp(s->keys[i].public_key, key) == 0) {
            s->keys[i] = s->keys[--s->key_count];
            s->keys[s->key_count] = (struct ipc_key){0};
            return;
        }
    }
}

bool settings_drop_revoked(struct settings *s, struct config_report *report) {
    char path[SETTINGS_PATH_SIZE + 16];
    char key[Z85_KEY_SIZE];
    CLEANUP(buf_deinit) struct buf text = {0};
    (void)snprintf(path, sizeof path, "%s/revoked", s->keys_dir);
    if (access(path, F_OK) != 0 && errno == ENOENT) {
        return true;
    }
    if (config_read_file(path, &text, report) != 0) {
        return false;
    }
    const char *at = text.size > 0 ? (const char *)text.bytes : "";
    int rc = z85_next_key(&at, key);
    for (; rc == 1; rc = z85_next_key(&at, key)) {
        drop_key(s, key);
    }
    if (rc < 0 || (text.size > 0 && at != (const char *)text.bytes + text.size)) {
        config_report_add(report, path, 1, 1, "holds a line that is no public key");
        return false;
    }
    return true;
}
