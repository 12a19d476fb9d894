/* SPDX-License-Identifier: Apache-2.0
 *
 * The connections and their open requests. A connection is a ROUTER socket's routing id together with the
 * tenant the ZAP handler found for it; its open requests have ids that differ. A request's number is what the
 * core knows it by.
 *
 * Classify requests and everything else (control ops, refusals) are counted apart, each at most `window`: a
 * client whose window is full can still cancel, and one that sends only nonsense cannot fill the audit log
 * without waiting for its replies. Memory is bounded by the two maxima given to peers_new. One thread.
 */
#ifndef BUCKLER_IPC_FRONT_PEERS_H
#define BUCKLER_IPC_FRONT_PEERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "ipc/ipc.h"

enum { PEERS_ROUTING_ID_BYTES = 255 };

enum peers_error { PEERS_E_DUPLICATE = 1, PEERS_E_WINDOW, PEERS_E_FULL };

struct peers;
struct peer;

/* Where a reply goes. */
struct peer_route {
    unsigned socket;
    bool delimited; /* the request came with REQ's empty frame, so does the reply */
    size_t routing_id_size;
    uint8_t routing_id[PEERS_ROUTING_ID_BYTES];
};

struct peers *peers_new(uint32_t window, size_t max_connections, size_t max_open);
struct peers *peers_free(struct peers *peers);

/* The connection of this route and tenant, made when it is new; an idle one makes room when the table is
 * full. NULL when it is full of busy ones or memory is out. Valid until the next call. */
struct peer *peers_connection(struct peers *peers, const struct peer_route *route, const char *tenant);
uint64_t peer_number(const struct peer *peer);

/* Remembers whose connection it is and its descriptor, for peers_cut. */
void peer_note(struct peer *peer, const char *identity, int stream);

/* Ends the connections whose identity `listed` says no to; returns how many. Those that are not in the table
 * end with their next message. */
unsigned peers_cut(struct peers *peers, bool (*listed)(void *user, const char *identity), void *user);

/* Opens a request: classify counts against the window, what else there is against its own. PEERS_E_DUPLICATE:
 * the id is open (refusals may repeat one). PEERS_E_WINDOW, PEERS_E_FULL: as the names say. */
int peers_open(struct peers *peers, struct peer *peer, const struct ipc_request *request, bool delimited,
               uint64_t *ret_number) MUST_CHECK;

/* The reply has come: closes the request and says where the reply goes. False for a number that is not open.
 */
bool peers_close(struct peers *peers, uint64_t number, struct peer_route *ret_route);

size_t peers_open_count(const struct peers *peers);
size_t peers_connection_count(const struct peers *peers);

#endif
