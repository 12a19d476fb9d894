/* SPDX-License-Identifier: Apache-2.0
 *
 * What passes between buckler-front (libzmq, JSON) and the core: a checked request one way, a finished reply
 * the other. The front has validated every field against ipc/PROTOCOL.md; the core decodes with base/cursor
 * and checks sizes again. A request that the front had to refuse still comes to the core, with `refusal`
 * filled, so that it gets its audit record and its reply like any other.
 *
 * Messages (base/imsg.h): the id is the front's request number, unique while the front lives.
 *   core → front  IPC_CONFIGURE  struct ipc_settings     first message; a later one replaces uids and keys
 *   front → core  IPC_READY      endpoints, one a line   sockets are bound
 *   front → core  IPC_FAILED     sentence                sockets could not be bound; the front exits
 *   front → core  IPC_REQUEST    struct ipc_request, one sealed memfd a part
 *   core → front  IPC_REPLY      JSON of frame 0         exactly one a request; sealed memfds become frames
 * 1…
 */
#ifndef BUCKLER_IPC_IPC_H
#define BUCKLER_IPC_IPC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/imsg.h"
#include "base/vocabulary.h"

enum ipc_message { IPC_CONFIGURE = IMSG_BASE_IPC, IPC_READY, IPC_FAILED, IPC_REQUEST, IPC_REPLY };

enum ipc_error { IPC_E_MALFORMED = 1 };

enum {
    IPC_MAX_PARTS = 8,
    IPC_MAX_HEADER_BYTES = 16384,
    IPC_MAX_DEPTH = 8,
    IPC_MAX_PART_BYTES = 20 << 20,
    IPC_MAX_TOTAL_BYTES = 32 << 20,
    IPC_MAX_ENDPOINTS = 8,
    IPC_MAX_UIDS = 64,
    IPC_MAX_KEYS = 256,
    IPC_KEY_SIZE = 41, /* Z85 of 32 bytes and a NUL */
    IPC_ID_SIZE = 65,
    IPC_NAME_SIZE = 65,
};

enum ipc_op {
    IPC_OP_INVALID,
    IPC_OP_HELLO,
    IPC_OP_CLASSIFY,
    IPC_OP_PING,
    IPC_OP_CANCEL,
    IPC_OP_REFUSED,
    IPC_OP_COUNT
};

enum ipc_want {
    IPC_WANT_RAW = 1u << 0,
    IPC_WANT_SPANS = 1u << 1,
    IPC_WANT_PROOF = 1u << 2,
    IPC_WANT_TOKEN = 1u << 3,
    IPC_WANT_TIMING = 1u << 4,
};

struct ipc_part {
    enum content_kind kind;
    enum content_role role;
    bool judge;
    char mime[65];
    char lang[17];
    uint64_t size;
    int fd; /* sealed memfd; in a decoded request owned by it */
};

struct ipc_request {
    enum ipc_op op;
    uint64_t connection;        /* the front's number of the client's connection */
    char tenant[IPC_NAME_SIZE]; /* as configured, else "uid:1000", "loopback" */
    char id[IPC_ID_SIZE];       /* "" when the refused header had none */
    char policy[IPC_NAME_SIZE]; /* "": the default */
    enum content_scope scope;
    enum request_class class_;
    uint32_t deadline_ms; /* 0: the policy's */
    char subject[257];
    char idem[129];
    char traceparent[56];
    char
        target[IPC_ID_SIZE]; /* op CANCEL: the id of the request to cancel; the cancel has an id of its own */
    uint32_t want;
    uint32_t part_count;
    struct ipc_part parts[IPC_MAX_PARTS];

    /* op REFUSED */
    uint16_t status;
    char code[33];
    char detail[257];
    uint32_t retry_after_ms; /* 0: a retry does not help */
};

/* A user that may connect over ipc, and the tenant it stands for; tenant "": one of its own, "uid:N". */
struct ipc_uid {
    uint32_t uid;
    char tenant[IPC_NAME_SIZE];
};

/* A client key that CURVE accepts, and the tenant it stands for. */
struct ipc_key {
    char public_key[IPC_KEY_SIZE];
    char tenant[IPC_NAME_SIZE];
};

struct ipc_settings {
    uint32_t endpoint_count;
    char endpoints[IPC_MAX_ENDPOINTS][256]; /* "ipc://PATH", "tcp://127.0.0.1:7441" */
    bool insecure_loopback;                 /* tcp without CURVE on a loopback address is allowed */
    uint32_t uid_count;                     /* ipc: allowed uids; 0: only the front's own and root */
    struct ipc_uid uids[IPC_MAX_UIDS];
    uint32_t window; /* most open requests of one connection */
    uint64_t part_bytes, total_bytes;
    char curve_secret[IPC_KEY_SIZE]; /* the server's key: every tcp endpoint speaks CURVE; "": none does */
    uint32_t key_count;              /* clients whom CURVE accepts */
    struct ipc_key keys[IPC_MAX_KEYS];
};

void ipc_encode_request(const struct ipc_request *request, struct buf *out);

/* Takes the descriptors out of the message. IPC_E_MALFORMED: a broken front. Deinit closes them. */
int ipc_decode_request(struct imsg *message, struct ipc_request *ret) MUST_CHECK;
void ipc_request_deinit(struct ipc_request *request);

void ipc_encode_settings(const struct ipc_settings *settings, struct buf *out);
int ipc_decode_settings(const struct imsg *message, struct ipc_settings *ret) MUST_CHECK;

/* Names of ops, wants; NULL / 0 for unknown ones. */
const char *ipc_op_name(enum ipc_op op);
enum ipc_op ipc_op_from(const char *name);
uint32_t ipc_want_from(const char *name);

#endif
