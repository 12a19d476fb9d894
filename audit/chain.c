/* SPDX-License-Identifier: Apache-2.0 */
#include "audit/chain.h"

#include <string.h>

void chain_start(struct chain *chain) {
    *chain = (struct chain){0};
    memset(chain->prev, '0', sizeof chain->prev - 1);
}

static int check_place(const struct chain *chain, const struct record_link *link, const char *log_id,
                       struct error *reterr) {
    if (link->index > chain->next) {
        return error_set(reterr, AUDIT_E_GAP, "index %llu is missing: the line has %llu",
                         (unsigned long long)chain->next, (unsigned long long)link->index);
    }
    if (link->index < chain->next) {
        return error_set(reterr, AUDIT_E_TAMPERED, "index %llu stands where %llu belongs",
                         (unsigned long long)link->index, (unsigned long long)chain->next);
    }
    if (chain->prev[0] != '\0' && strcmp(chain->prev, link->prev) != 0) {
        return error_set(reterr, CHAIN_E_PREV, "prev is not the hash of the line before");
    }
    if (link->batch != link->index && link->index > 0 && chain->prev[0] != '\0' &&
        link->batch != chain->batch) {
        return error_set(reterr, AUDIT_E_TAMPERED, "the line names a batch that is not its own");
    }
    if (link->index == 0 && log_id[0] == '\0') {
        return error_set(reterr, AUDIT_E_TAMPERED,
                         "the first record does not create a log of a format known here");
    }
    return 0;
}

int chain_accept(struct chain *chain, const char *line, size_t size, struct error *reterr) {
    struct record_link link;
    char log_id[RECORD_LOG_ID_SIZE];
    uint8_t digest[DIGEST_BYTES];
    int rc = record_parse(line, size, &link, log_id, reterr);
    rc = rc == AUDIT_E_TAMPERED ? CHAIN_E_LINE : rc;
    rc = rc != 0 ? rc : check_place(chain, &link, log_id, reterr);
    rc = rc != 0 ? rc : digest_sha256(line, size, digest);
    if (rc != 0) {
        return rc;
    }
    if (link.index == 0) {
        memcpy(chain->log_id, log_id, sizeof chain->log_id);
    }
    chain->next = link.index + 1;
    chain->batch = link.batch;
    hex_encode(digest, sizeof digest, chain->prev);
    return 0;
}
