/* SPDX-License-Identifier: Apache-2.0 */
#include "ipc/front/zap.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

static bool uid_is_listed(const struct zap_rules *rules, uid_t uid) {
    const struct ipc_settings *settings = rules->settings;
    if (settings->uid_count == 0) {
        return uid == 0 || uid == rules->own_uid;
    }
    for (uint32_t i = 0; i < settings->uid_count; i++) {
        if (settings->uids[i] == uid) {
            return true;
        }
    }
    return false;
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

int zap_decide(const struct zap_rules *rules, const struct zap_question *question,
               char ret_tenant[IPC_NAME_SIZE]) {
    bool is_null = strcmp(question->mechanism, "NULL") == 0;
    uid_t uid = 0;
    if (strcmp(question->domain, ZAP_DOMAIN_IPC) == 0) {
        if (is_null && read_uid(question->address, &uid) && uid_is_listed(rules, uid)) {
            (void)snprintf(ret_tenant, IPC_NAME_SIZE, "uid:%u", (unsigned)uid);
            return ZAP_OK;
        }
    } else if (strcmp(question->domain, ZAP_DOMAIN_LOOPBACK) == 0) {
        if (is_null && rules->settings->insecure_loopback && zap_is_loopback(question->address)) {
            (void)snprintf(ret_tenant, IPC_NAME_SIZE, "loopback");
            return ZAP_OK;
        }
    } else if (strcmp(question->domain, ZAP_DOMAIN_CURVE) == 0) {
        if (strcmp(question->mechanism, "CURVE") == 0 && question->public_key != NULL &&
            key_tenant(rules->settings, question->public_key, ret_tenant)) {
            return ZAP_OK;
        }
    }
    return ZAP_REFUSED;
}
