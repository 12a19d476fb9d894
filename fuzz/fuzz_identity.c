/* SPDX-License-Identifier: Apache-2.0
 *
 * What libzmq and key files say about who a client is: the address of a ZAP question, the identity that comes
 * back with each message, and texts of keys. Input: 1 byte that picks the domain, then the text.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/z85.h"
#include "ipc/front/zap.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_keys(const char *text) {
    char key[Z85_KEY_SIZE];
    while (z85_next_key(&text, key) == 1) {
        if (!z85_is_key(key)) {
            abort();
        }
    }
}

/* Whoever is let in has a tenant, and no tenant but his own. */
static void decide(const char *domain, const char *mechanism, const char *text) {
    static const struct ipc_settings settings = {
        .insecure_loopback = true,
        .uid_count = 2,
        .uids = {{7, "shop"}, {8, ""}},
        .key_count = 1,
        .keys = {{"0000000000000000000000000000000000000000", "far"}}};
    const struct zap_rules rules = {.settings = &settings, .own_uid = 1};
    const struct zap_question question = {
        .domain = domain, .address = text, .mechanism = mechanism, .public_key = text};
    char identity[IPC_NAME_SIZE];
    char tenant[IPC_NAME_SIZE];
    if (zap_decide(&rules, &question, identity) == ZAP_OK && !zap_tenant(&rules, identity, tenant)) {
        abort();
    }
    static const char *const known[] = {"shop", "uid:8", "far", "loopback"};
    bool found = !zap_tenant(&rules, text, tenant);
    for (size_t i = 0; i < sizeof known / sizeof *known && !found; i++) {
        found = strcmp(tenant, known[i]) == 0;
    }
    if (!found) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const domains[] = {ZAP_DOMAIN_IPC, ZAP_DOMAIN_LOOPBACK, ZAP_DOMAIN_CURVE};
    char *text = size > 0 ? strndup((const char *)data + 1, size - 1) : NULL;
    if (text != NULL) {
        decide(domains[data[0] % 3], (data[0] & 0x80) != 0 ? "CURVE" : "NULL", text);
        read_keys(text);
        free(text);
    }
    return 0;
}
