/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "engine/tokenizer/pieces.h"

static uint32_t child_of(const struct trie *trie, uint32_t node, uint8_t byte) {
    uint32_t at = trie->nodes[node].child;
    while (at != 0 && trie->nodes[at].byte != byte) {
        at = trie->nodes[at].sibling;
    }
    return at;
}

static bool reserve(struct trie *trie, size_t more) {
    size_t wanted = trie->count + more + 1;
    if (wanted <= trie->capacity) {
        return true;
    }
    size_t capacity = wanted < 512 ? 1024 : wanted * 2;
    struct trie_node *nodes = capacity > UINT32_MAX ? NULL : realloc(trie->nodes, capacity * sizeof *nodes);
    if (nodes == NULL) {
        return false;
    }
    trie->nodes = nodes;
    trie->capacity = (uint32_t)capacity;
    if (trie->count == 0) {
        trie->nodes[0] = (struct trie_node){0};
        trie->count = 1;
    }
    return true;
}

bool trie_add(struct trie *trie, const char *bytes, size_t size, uint32_t id) {
    if (!reserve(trie, size)) {
        return false;
    }
    uint32_t node = 0;
    for (size_t i = 0; i < size; i++) {
        uint32_t next = child_of(trie, node, (uint8_t)bytes[i]);
        if (next == 0) {
            next = trie->count++;
            trie->nodes[next] =
                (struct trie_node){.byte = (uint8_t)bytes[i], .sibling = trie->nodes[node].child};
            trie->nodes[node].child = next;
        }
        node = next;
    }
    trie->nodes[node].id_plus_one = id + 1;
    return true;
}

size_t trie_longest(const struct trie *trie, const char *bytes, size_t size, uint32_t *ret_id) {
    size_t longest = 0;
    uint32_t node = 0;
    for (size_t i = 0; i < size && trie->count > 0; i++) {
        node = child_of(trie, node, (uint8_t)bytes[i]);
        if (node == 0) {
            break;
        }
        if (trie->nodes[node].id_plus_one != 0) {
            *ret_id = trie->nodes[node].id_plus_one - 1;
            longest = i + 1;
        }
    }
    return longest;
}
