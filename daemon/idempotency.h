/* SPDX-License-Identifier: Apache-2.0
 *
 * The memory of `idem` keys: the same key with the same content gives the verdict and the record of the first
 * time. Kept for ten minutes, at most IDEMPOTENCY_MAX entries, the oldest are forgotten first. Only judged
 * requests are remembered: after an error a retry shall be judged.
 */
#ifndef BUCKLER_DAEMON_IDEMPOTENCY_H
#define BUCKLER_DAEMON_IDEMPOTENCY_H

#include <stdint.h>

#include "base/digest.h"
#include "base/vocabulary.h"

enum { IDEMPOTENCY_MAX = 4096, IDEMPOTENCY_SECONDS = 600 };

enum idempotency_result {
    IDEMPOTENCY_INVALID,
    IDEMPOTENCY_NEW,
    IDEMPOTENCY_SAME,
    IDEMPOTENCY_OTHER_CONTENT,
    IDEMPOTENCY_OPEN
};

struct idempotency;

/* What is remembered of the first request. */
struct idempotency_entry {
    uint8_t key[DIGEST_BYTES];     /* digest of tenant and key */
    uint8_t content[DIGEST_BYTES]; /* digest of everything that decides: parts, policy, scope */
    enum action action;
    uint16_t status;
    uint64_t audit_index;
    const char *reply; /* frame 0 as it was sent; NULL while the request is open */
};

struct idempotency *idempotency_new(void);
struct idempotency *idempotency_free(struct idempotency *table);

/* NEW: the key is taken now and must be settled. SAME: *ret_entry is the first one, valid until the next
 * call. OPEN: the first one is still being judged. */
enum idempotency_result idempotency_take(struct idempotency *table, const uint8_t key[DIGEST_BYTES],
                                         const uint8_t content[DIGEST_BYTES], uint64_t now_ns,
                                         const struct idempotency_entry **ret_entry);

/* The request that took the key was judged (reply: copied) or ended otherwise (reply NULL: the key is free
 * again). */
void idempotency_settle(struct idempotency *table, const uint8_t key[DIGEST_BYTES], enum action action,
                        uint16_t status, uint64_t audit_index, const char *reply);

#endif
