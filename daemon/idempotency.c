/* SPDX-License-Identifier: Apache-2.0
 *
 * A chained hash table over a fixed array of entries that is used as a ring: the entry that is overwritten is
 * the oldest.
 */
#include "daemon/idempotency.h"

#include <stdlib.h>
#include <string.h>

enum { BUCKETS = 4096, NONE = -1 };

struct slot {
    struct idempotency_entry entry;
    char *reply;
    uint64_t taken_ns;
    int next;
    int used;
};

struct idempotency {
    struct slot slots[IDEMPOTENCY_MAX];
    int buckets[BUCKETS];
    unsigned oldest;
};

struct idempotency *idempotency_new(void) {
    struct idempotency *table = calloc(1, sizeof *table);
    for (int i = 0; table != NULL && i < BUCKETS; i++) {
        table->buckets[i] = NONE;
    }
    return table;
}

struct idempotency *idempotency_free(struct idempotency *table) {
    for (int i = 0; table != NULL && i < IDEMPOTENCY_MAX; i++) {
        free(table->slots[i].reply);
    }
    free(table);
    return NULL;
}

/* Keys are digests, so any of their bits will do. */
static int *bucket_of(struct idempotency *table, const uint8_t key[DIGEST_BYTES]) {
    return &table->buckets[(key[0] | key[1] << 8) % BUCKETS];
}

static int *find(struct idempotency *table, const uint8_t key[DIGEST_BYTES]) {
    int *link = bucket_of(table, key);
    while (*link != NONE && memcmp(table->slots[*link].entry.key, key, DIGEST_BYTES) != 0) {
        link = &table->slots[*link].next;
    }
    return link;
}

static void forget(struct idempotency *table, int *link) {
    struct slot *slot = &table->slots[*link];
    *link = slot->next;
    free(slot->reply);
    *slot = (struct slot){.next = NONE};
}

enum idempotency_result idempotency_take(struct idempotency *table, const uint8_t key[DIGEST_BYTES],
                                         const uint8_t content[DIGEST_BYTES], uint64_t now_ns,
                                         const struct idempotency_entry **ret_entry) {
    int *link = find(table, key);
    if (*link != NONE &&
        now_ns - table->slots[*link].taken_ns > (uint64_t)IDEMPOTENCY_SECONDS * 1000000000u) {
        forget(table, link);
        link = find(table, key);
    }
    if (*link != NONE) {
        const struct idempotency_entry *entry = &table->slots[*link].entry;
        if (memcmp(entry->content, content, DIGEST_BYTES) != 0) {
            return IDEMPOTENCY_OTHER_CONTENT;
        }
        *ret_entry = entry;
        return entry->reply != NULL ? IDEMPOTENCY_SAME : IDEMPOTENCY_OPEN;
    }
    int index = (int)table->oldest;
    table->oldest = (table->oldest + 1) % IDEMPOTENCY_MAX;
    if (table->slots[index].used) {
        forget(table, find(table, table->slots[index].entry.key));
    }
    struct slot *slot = &table->slots[index];
    *slot = (struct slot){.taken_ns = now_ns, .next = *bucket_of(table, key), .used = 1};
    memcpy(slot->entry.key, key, DIGEST_BYTES);
    memcpy(slot->entry.content, content, DIGEST_BYTES);
    *bucket_of(table, key) = index;
    return IDEMPOTENCY_NEW;
}

void idempotency_settle(struct idempotency *table, const uint8_t key[DIGEST_BYTES], enum action action,
                        uint16_t status, uint64_t audit_index, const char *reply) {
    int *link = find(table, key);
    if (*link == NONE || table->slots[*link].reply != NULL) {
        return; /* forgotten meanwhile */
    }
    struct slot *slot = &table->slots[*link];
    slot->reply = reply != NULL ? strdup(reply) : NULL;
    if (slot->reply == NULL) {
        forget(table, link);
        return;
    }
    slot->entry.action = action;
    slot->entry.status = status;
    slot->entry.audit_index = audit_index;
    slot->entry.reply = slot->reply;
}
