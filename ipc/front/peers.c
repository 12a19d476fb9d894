/* SPDX-License-Identifier: Apache-2.0
 *
 * Connections hang in a chained hash table and in a list by last use, whose idle members are dropped first.
 * Open requests live in an array; a number is a serial above the index of its slot, so that a late reply to a
 * slot that was used again finds nobody.
 */
#include "ipc/front/peers.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>

enum { SLOT_BITS = 20, BUCKETS = 4096, NO_SLOT = (1 << SLOT_BITS) - 1 };

struct peer {
    struct peer *chain;         /* next in the hash bucket */
    struct peer *newer, *older; /* by last use */
    uint64_t number;
    uint32_t open_classify, open_other;
    uint32_t first_slot; /* its open requests */
    unsigned socket;
    size_t routing_id_size;
    uint8_t routing_id[PEERS_ROUTING_ID_BYTES];
    char tenant[IPC_NAME_SIZE], identity[IPC_NAME_SIZE];
    int stream;
    uint64_t cookie; /* of the stream's socket: its number may be another one's by now */
};

struct slot {
    struct peer *peer; /* NULL: free */
    uint64_t number;
    uint32_t next; /* of the same peer, or of the free list */
    bool classify, refused, delimited;
    char id[IPC_ID_SIZE];
};

struct peers {
    uint32_t window;
    size_t max_connections, max_open;
    size_t connection_count, open_count;
    uint64_t seed, next_number, next_serial;
    struct peer *newest, *oldest;
    struct peer *buckets[BUCKETS];
    struct slot *slots;
    uint32_t free_slot;
};

struct peers *peers_new(uint32_t window, size_t max_connections, size_t max_open) {
    struct peers *peers = max_open < NO_SLOT ? calloc(1, sizeof *peers) : NULL;
    if (peers == NULL) {
        return NULL;
    }
    peers->slots = calloc(max_open, sizeof *peers->slots);
    if (peers->slots == NULL ||
        getrandom(&peers->seed, sizeof peers->seed, 0) != (ssize_t)sizeof peers->seed) {
        return peers_free(peers);
    }
    for (size_t i = 0; i < max_open; i++) {
        peers->slots[i].next = i + 1 < max_open ? (uint32_t)i + 1 : NO_SLOT;
    }
    peers->window = window;
    peers->max_connections = max_connections;
    peers->max_open = max_open;
    peers->free_slot = max_open > 0 ? 0 : NO_SLOT;
    return peers;
}

struct peers *peers_free(struct peers *peers) {
    if (peers != NULL) {
        while (peers->oldest != NULL) {
            struct peer *peer = peers->oldest;
            peers->oldest = peer->newer;
            free(peer);
        }
        free(peers->slots);
        free(peers);
    }
    return NULL;
}

/* Clients may choose their routing ids; the seed keeps them from choosing the bucket. */
static struct peer **bucket_of(struct peers *peers, unsigned socket, const uint8_t *routing_id, size_t size) {
    uint64_t hash = peers->seed ^ socket;
    for (size_t i = 0; i < size; i++) {
        hash = (hash ^ routing_id[i]) * 0x100000001b3u;
        hash ^= hash >> 29;
    }
    return &peers->buckets[hash % BUCKETS];
}

static void list_remove(struct peers *peers, struct peer *peer) {
    *(peer->newer != NULL ? &peer->newer->older : &peers->newest) = peer->older;
    *(peer->older != NULL ? &peer->older->newer : &peers->oldest) = peer->newer;
}

static void list_push(struct peers *peers, struct peer *peer) {
    peer->newer = NULL;
    peer->older = peers->newest;
    *(peers->newest != NULL ? &peers->newest->newer : &peers->oldest) = peer;
    peers->newest = peer;
}

static void drop(struct peers *peers, struct peer *peer) {
    struct peer **link = bucket_of(peers, peer->socket, peer->routing_id, peer->routing_id_size);
    while (*link != peer) {
        link = &(*link)->chain;
    }
    *link = peer->chain;
    list_remove(peers, peer);
    peers->connection_count--;
    free(peer);
}

static bool make_room(struct peers *peers) {
    if (peers->connection_count < peers->max_connections) {
        return true;
    }
    for (struct peer *peer = peers->oldest; peer != NULL; peer = peer->newer) {
        if (peer->open_classify == 0 && peer->open_other == 0) {
            drop(peers, peer);
            return true;
        }
    }
    return false;
}

static bool is_of(const struct peer *peer, const struct peer_route *route, const char *tenant) {
    return peer->socket == route->socket && peer->routing_id_size == route->routing_id_size &&
           memcmp(peer->routing_id, route->routing_id, route->routing_id_size) == 0 &&
           strcmp(peer->tenant, tenant) == 0;
}

struct peer *peers_connection(struct peers *peers, const struct peer_route *route, const char *tenant) {
    struct peer **bucket = bucket_of(peers, route->socket, route->routing_id, route->routing_id_size);
    for (struct peer *peer = *bucket; peer != NULL; peer = peer->chain) {
        if (is_of(peer, route, tenant)) {
            list_remove(peers, peer);
            list_push(peers, peer);
            return peer;
        }
    }
    struct peer *peer = make_room(peers) ? calloc(1, sizeof *peer) : NULL;
    if (peer == NULL) {
        return NULL;
    }
    peer->number = ++peers->next_number;
    peer->first_slot = NO_SLOT;
    peer->stream = -1;
    peer->socket = route->socket;
    peer->routing_id_size = route->routing_id_size;
    memcpy(peer->routing_id, route->routing_id, route->routing_id_size);
    memcpy(peer->tenant, tenant, strnlen(tenant, IPC_NAME_SIZE - 1));
    peer->chain = *bucket;
    *bucket = peer;
    list_push(peers, peer);
    peers->connection_count++;
    return peer;
}

uint64_t peer_number(const struct peer *peer) {
    return peer->number;
}

/* The kernel's number of a socket, which is never used again; 0 for what is none. */
static uint64_t cookie_of(int stream) {
    uint64_t cookie = 0;
    socklen_t size = sizeof cookie;
    return getsockopt(stream, SOL_SOCKET, SO_COOKIE, &cookie, &size) == 0 ? cookie : 0;
}

void peer_note(struct peer *peer, const char *identity, int stream) {
    if (peer->stream != stream) {
        peer->stream = stream;
        peer->cookie = cookie_of(stream);
        memcpy(peer->identity, identity, strnlen(identity, IPC_NAME_SIZE - 1));
    }
}

unsigned peers_cut(struct peers *peers, bool (*listed)(void *user, const char *identity), void *user) {
    unsigned count = 0;
    for (struct peer *peer = peers->oldest; peer != NULL; peer = peer->newer) {
        if (peer->stream >= 0 && peer->cookie != 0 && !listed(user, peer->identity) &&
            cookie_of(peer->stream) == peer->cookie) {
            count += shutdown(peer->stream, SHUT_RDWR) == 0;
            peer->stream = -1;
        }
    }
    return count;
}

static bool id_is_open(const struct peers *peers, const struct peer *peer, const char *id) {
    for (uint32_t i = peer->first_slot; i != NO_SLOT; i = peers->slots[i].next) {
        if (!peers->slots[i].refused && strcmp(peers->slots[i].id, id) == 0) {
            return true;
        }
    }
    return false;
}

int peers_open(struct peers *peers, struct peer *peer, const struct ipc_request *request, bool delimited,
               uint64_t *ret_number) {
    bool refused = request->op == IPC_OP_REFUSED;
    uint32_t *count = request->op == IPC_OP_CLASSIFY ? &peer->open_classify : &peer->open_other;
    if (!refused && id_is_open(peers, peer, request->id)) {
        return PEERS_E_DUPLICATE;
    }
    if (*count >= peers->window) {
        return PEERS_E_WINDOW;
    }
    uint32_t index = peers->free_slot;
    if (index == NO_SLOT) {
        return PEERS_E_FULL;
    }
    struct slot *slot = &peers->slots[index];
    peers->free_slot = slot->next;
    *slot = (struct slot){.peer = peer,
                          .number = (++peers->next_serial << SLOT_BITS) | index,
                          .next = peer->first_slot,
                          .classify = request->op == IPC_OP_CLASSIFY,
                          .refused = refused,
                          .delimited = delimited};
    memcpy(slot->id, request->id, sizeof slot->id);
    peer->first_slot = index;
    peers->open_count++;
    (*count)++;
    *ret_number = slot->number;
    return 0;
}

bool peers_close(struct peers *peers, uint64_t number, struct peer_route *ret_route) {
    size_t index = number & NO_SLOT;
    struct slot *slot = index < peers->max_open ? &peers->slots[index] : NULL;
    if (slot == NULL || slot->peer == NULL || slot->number != number) {
        return false;
    }
    struct peer *peer = slot->peer;
    uint32_t *link = &peer->first_slot;
    while (*link != index) {
        link = &peers->slots[*link].next;
    }
    *link = slot->next;
    (*(slot->classify ? &peer->open_classify : &peer->open_other))--;
    *ret_route = (struct peer_route){
        .socket = peer->socket, .delimited = slot->delimited, .routing_id_size = peer->routing_id_size};
    memcpy(ret_route->routing_id, peer->routing_id, peer->routing_id_size);
    *slot = (struct slot){.next = peers->free_slot};
    peers->free_slot = (uint32_t)index;
    peers->open_count--;
    return true;
}

size_t peers_open_count(const struct peers *peers) {
    return peers->open_count;
}

size_t peers_connection_count(const struct peers *peers) {
    return peers->connection_count;
}
