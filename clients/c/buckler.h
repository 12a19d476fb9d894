/* SPDX-License-Identifier: Apache-2.0
 *
 * libbuckler: ask a Buckler daemon whether text and images may pass.
 *
 *     struct buckler_client *client = NULL;
 *     struct buckler_reply *reply = NULL;
 *     struct buckler_part part = {.kind = "text", .bytes = text, .size = strlen(text)};
 *     struct buckler_request request = {.policy = "uploads", .parts = &part, .part_count = 1};
 *     bool pass = buckler_client_new(NULL, NULL, &client) == 0 &&
 *                 buckler_classify(client, &request, 2000, &reply) == 0 && buckler_reply_allowed(reply);
 *     buckler_reply_free(reply);
 *     buckler_client_free(client);
 *
 * Whatever goes wrong, `pass` is false: an error is never a verdict, and a verdict is "allow" only when the
 * daemon said exactly that.
 *
 * Threads: a client and its replies are used by one thread at a time; different clients are independent.
 * After fork() the child must not use a client of its parent.
 *
 * Functions return 0 or one of enum buckler_error; buckler_client_error() says more in a sentence. Strings in
 * requests are UTF-8 and stay the caller's; NULL leaves a field out. The wire is described in PROTOCOL.md.
 */
#ifndef BUCKLER_H
#define BUCKLER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BUCKLER_API __attribute__((visibility("default")))

enum {
    BUCKLER_MAX_PARTS = 8,
    BUCKLER_MAX_PART_BYTES = 20 << 20,
    BUCKLER_MAX_TOTAL_BYTES = 32 << 20,
    BUCKLER_ID_SIZE = 65,  /* 64 characters and a NUL */
    BUCKLER_KEY_SIZE = 41, /* 40 characters of Z85 and a NUL */
};

enum buckler_error {
    BUCKLER_E_INVALID = 1,  /* the request breaks a rule of the protocol; nothing was sent */
    BUCKLER_E_TIMEOUT,      /* no reply, or no connection, in time */
    BUCKLER_E_DISCONNECTED, /* the connection broke: what was sent before may be lost; send it again */
    BUCKLER_E_REFUSED,      /* the daemon does not know this client: uid or key is not listed */
    BUCKLER_E_PROTOCOL,     /* a reply that no Buckler daemon sends; treat it as "deny" */
    BUCKLER_E_MEMORY,
};

struct buckler_client;
struct buckler_reply;

/* CURVE keys as Z85 text: the server's public key and the client's own secret. Both NULL: for tcp:// those of
 * $BUCKLER_SERVER_KEY (text) and $BUCKLER_SECRET_KEY_FILE (the file that `bucklerctl keys generate` writes),
 * if there are any. */
struct buckler_options {
    const char *server_key, *secret_key;
};

struct buckler_part {
    const char *kind; /* "text" or "image" */
    const void *bytes;
    size_t size;
    const char *mime, *lang, *role;
    bool context_only; /* not judged itself */
};

struct buckler_request {
    const char *id; /* of buckler_send: 1 to 64 printable ASCII, no ~ in front; NULL: the client chooses */
    const char *policy, *scope;
    const struct buckler_part *parts;
    size_t part_count;
    unsigned deadline_ms; /* 0: the policy's */
    const char *class_, *subject, *idem, *traceparent;
    const char *const *want; /* ends with NULL */
};

/* Connects to `server`, or to $BUCKLER_SERVER when NULL, or to ipc:///run/buckler/front.sock. Returns before
 * the connection stands. `options` may be NULL. */
BUCKLER_API int buckler_client_new(const char *server, const struct buckler_options *options,
                                   struct buckler_client **ret);
BUCKLER_API void buckler_client_free(struct buckler_client *client);

/* A new pair of CURVE keys. */
BUCKLER_API int buckler_keypair(char ret_public[BUCKLER_KEY_SIZE], char ret_secret[BUCKLER_KEY_SIZE]);

/* What the last failure of this client was, as an English sentence; "" when there was none. */
BUCKLER_API const char *buckler_client_error(const struct buckler_client *client);

/* ---- one at a time ----
 *
 * Sends and waits for the reply, at most timeout_ms. A connection that breaks meanwhile is made again and the
 * request sent again, within the same time. Replies to requests of buckler_send that come meanwhile are kept
 * for buckler_receive. */
BUCKLER_API int buckler_classify(struct buckler_client *client, const struct buckler_request *request,
                                 int timeout_ms, struct buckler_reply **ret);
BUCKLER_API int buckler_hello(struct buckler_client *client, int timeout_ms, struct buckler_reply **ret);
BUCKLER_API int buckler_ping(struct buckler_client *client, int timeout_ms, struct buckler_reply **ret);

/* Asks the daemon to end the open request `id` of this client; that one gets a reply of its own (499 when the
 * cancel came in time). */
BUCKLER_API int buckler_cancel(struct buckler_client *client, const char *id, int timeout_ms,
                               struct buckler_reply **ret);

/* ---- many in flight ----
 *
 * Sends and returns; the request's id is written to ret_id. Waits at most timeout_ms for room. The daemon
 * takes `window` requests of a connection at once (see hello) and refuses more with status 429. */
BUCKLER_API int buckler_send(struct buckler_client *client, const struct buckler_request *request,
                             int timeout_ms, char ret_id[BUCKLER_ID_SIZE]);

/* The next reply of any request; match it by buckler_reply_id(). timeout_ms 0 does not wait, -1 waits for
 * ever. */
BUCKLER_API int buckler_receive(struct buckler_client *client, int timeout_ms, struct buckler_reply **ret);

/* A descriptor for poll(2) that becomes readable when something may have come. It signals by edges: after it
 * did, and after each buckler_send, call buckler_receive with timeout 0 until it returns BUCKLER_E_TIMEOUT.
 * It changes when the client reconnects after BUCKLER_E_REFUSED; and a broken connection does not signal, so
 * poll with a timeout. */
BUCKLER_API int buckler_fd(const struct buckler_client *client);

/* ---- replies ---- */

BUCKLER_API void buckler_reply_free(struct buckler_reply *reply);

/* True only when the verdict is exactly "allow"; false for NULL. */
BUCKLER_API bool buckler_reply_allowed(const struct buckler_reply *reply);

/* False when the content was not judged and the verdict is the policy's choice for that case. */
BUCKLER_API bool buckler_reply_moderated(const struct buckler_reply *reply);

BUCKLER_API int buckler_reply_status(const struct buckler_reply *reply);
/* 0 when a retry does not help or no time was named. */
BUCKLER_API unsigned buckler_reply_retry_after_ms(const struct buckler_reply *reply);

/* "" for what the reply does not have. Valid as long as the reply. */
BUCKLER_API const char *buckler_reply_id(const struct buckler_reply *reply);
BUCKLER_API const char *buckler_reply_verdict(const struct buckler_reply *reply);
BUCKLER_API const char *buckler_reply_action(const struct buckler_reply *reply);
BUCKLER_API const char *buckler_reply_code(const struct buckler_reply *reply);
BUCKLER_API const char *buckler_reply_detail(const struct buckler_reply *reply);
BUCKLER_API const char *buckler_reply_policy(const struct buckler_reply *reply);
BUCKLER_API const char *buckler_reply_rule(const struct buckler_reply *reply);

/* Index of the audit record, or -1. */
BUCKLER_API int64_t buckler_reply_audit_index(const struct buckler_reply *reply);

struct buckler_score {
    const char *category, *classifier, *state; /* "" when absent */
    int part;                                  /* -1: none named */
    double score;                              /* NaN when none was computed */
};
BUCKLER_API size_t buckler_reply_score_count(const struct buckler_reply *reply);
/* False when there is no score of this index. */
BUCKLER_API bool buckler_reply_score(const struct buckler_reply *reply, size_t index,
                                     struct buckler_score *ret);

/* Frame 0 as it came, with a NUL behind it that is not counted; and the redacted parts behind it. */
BUCKLER_API const char *buckler_reply_json(const struct buckler_reply *reply, size_t *ret_size);
BUCKLER_API size_t buckler_reply_part_count(const struct buckler_reply *reply);
BUCKLER_API const void *buckler_reply_part(const struct buckler_reply *reply, size_t index, size_t *ret_size);

/* ---- for tests of the wire ---- */

/* Frame 0 of the request; free() it. */
BUCKLER_API int buckler_encode(const struct buckler_request *request, char **ret_json);

/* A reply from its frame 0; BUCKLER_E_PROTOCOL for anything that no daemon sends. */
BUCKLER_API int buckler_decode(const void *json, size_t size, struct buckler_reply **ret);

#ifdef __cplusplus
}
#endif

#endif
