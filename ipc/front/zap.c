/* SPDX-License-Identifier: Apache-2.0 */
#include "ipc/front/zap.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ZAP_UID "uid:"
#define ZAP_LOOPBACK "loopback"

bool zap_is_loopback(const char *text) {
    struct in_addr v4;
    struct in6_addr v6;
    if (inet_pton(AF_INET, text, &v4) == 1) {
        return ntohl(v4.s_addr) >> 24 == 127;
    }
    if (inet_pton(AF_INET6, text, &v6) != 1) {
        return false;
    }
    return IN6_IS_ADDR_LOOPBACK(&v6) || (IN6_IS_ADDR_V4MAPPED(&v6) && v6.s6_addr[12] == 127);
}

/* One decimal number and the byte behind it; -1 when there is none that fits a uid. */
static int64_t take_number(const char **text, char end) {
    char *after = NULL;
    if (**text < '0' || **text > '9') {
        return -1;
    }
    unsigned long long value = strtoull(*text, &after, 10);
    if (*after != end || value > UINT32_MAX) {
        return -1;
    }
    *text = after + (end != '\0');
    return (int64_t)value;
}

/* The form libzmq gives for a unix socket: `localhost:UID:GID:PID`. */
static bool read_uid(const char *address, uid_t *ret_uid) {
    static const char prefix[] = "localhost:";
    if (strncmp(address, prefix, sizeof prefix - 1) != 0) {
        return false;
    }
    const char *at = address + sizeof prefix - 1;
    int64_t uid = take_number(&at, ':');
    if (uid < 0 || take_number(&at, ':') < 0 || take_number(&at, '\0') < 0) {
        return false;
    }
    *ret_uid = (uid_t)uid;
    return true;
}

static bool uid_tenant(const struct zap_rules *rules, uid_t uid, char ret_tenant[IPC_NAME_SIZE]) {
    const struct ipc_settings *settings = rules->settings;
    const char *name = settings->uid_count == 0 && (uid == 0 || uid == rules->own_uid) ? "" : NULL;
    for (uint32_t i = 0; i < settings->uid_count; i++) {
        if (settings->uids[i].uid == uid) {
            name = settings->uids[i].tenant;
        }
    }
    if (name == NULL) {
        return false;
    }
    if (name[0] == '\0') {
        (void)snprintf(ret_tenant, IPC_NAME_SIZE, ZAP_UID "%u", (unsigned)uid);
    } else {
        memcpy(ret_tenant, name, IPC_NAME_SIZE);
    }
    return true;
}

static bool key_tenant(const struct ipc_settings *settings, const char *public_key,
                       char ret_tenant[IPC_NAME_SIZE]) {
    for (uint32_t i = 0; i < settings->key_count; i++) {
        if (strcmp(settings->keys[i].public_key, public_key) == 0) {
            memcpy(ret_tenant, settings->keys[i].tenant, IPC_NAME_SIZE);
            return settings->keys[i].tenant[0] != '\0';
        }
    }
    return false;
}

bool zap_tenant(const struct zap_rules *rules, const char *identity, char ret_tenant[IPC_NAME_SIZE]) {
    /* By length first: a key may begin with any characters. */
    if (strlen(identity) == IPC_KEY_SIZE - 1) {
        return key_tenant(rules->settings, identity, ret_tenant);
    }
    if (strncmp(identity, ZAP_UID, sizeof ZAP_UID - 1) == 0) {
        const char *at = identity + sizeof ZAP_UID - 1;
        int64_t uid = take_number(&at, '\0');
        return uid >= 0 && uid_tenant(rules, (uid_t)uid, ret_tenant);
    }
    if (strcmp(identity, ZAP_LOOPBACK) != 0 || !rules->settings->insecure_loopback) {
        return false;
    }
    (void)snprintf(ret_tenant, IPC_NAME_SIZE, ZAP_LOOPBACK);
    return true;
}

int zap_decide(const struct zap_rules *rules, const struct zap_question *question,
               char ret_identity[IPC_NAME_SIZE]) {
    bool is_null = strcmp(question->mechanism, "NULL") == 0;
    char tenant[IPC_NAME_SIZE];
    uid_t uid = 0;
    ret_identity[0] = '\0';
    if (strcmp(question->domain, ZAP_DOMAIN_IPC) == 0) {
        if (is_null && read_uid(question->address, &uid)) {
            (void)snprintf(ret_identity, IPC_NAME_SIZE, ZAP_UID "%u", (unsigned)uid);
        }
    } else if (strcmp(question->domain, ZAP_DOMAIN_LOOPBACK) == 0) {
        if (is_null && zap_is_loopback(question->address)) {
            (void)snprintf(ret_identity, IPC_NAME_SIZE, ZAP_LOOPBACK);
        }
    } else if (strcmp(question->domain, ZAP_DOMAIN_CURVE) == 0) {
        if (strcmp(question->mechanism, "CURVE") == 0 && question->public_key != NULL &&
            strlen(question->public_key) == IPC_KEY_SIZE - 1) {
            (void)snprintf(ret_identity, IPC_NAME_SIZE, "%s", question->public_key);
        }
    }
    return zap_tenant(rules, ret_identity, tenant) ? ZAP_OK : ZAP_REFUSED;
}
