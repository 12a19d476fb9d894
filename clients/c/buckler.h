/* SPDX-License-Identifier: Apache-2.0
 *
 * libbuckler: ask a Buckler daemon whether content may pass. One client is used by one thread at a time; as many clients as
 * wanted may live in a process.
 *
 *     struct buckler_client *client = NULL;
 *     struct buckler_reply *reply = NULL;
 *     struct buckler_part part = {.kind = BUCKLER_TEXT, .bytes = text, .size = strlen(text)};
 *     struct buckler_request request = {.scope = "prompt", .parts = &part, .part_count = 1};
 *     if (buckler_client_new(NULL, &client) == 0 && buckler_classify(client, &request, 5000, &reply) == 0 &&
 *         buckler_reply_allowed(reply)) {
 *         … let it pass …
 *     }
 *     buckler_reply_free(reply);
 *     buckler_client_free(client);
 *
 * Only buckler_reply_allowed() lets content pass, and only for a well-formed reply whose verdict is exactly "allow". Every
 * failure (time-out, no daemon, a malformed reply) is a negative number and leaves no reply.
 */
#ifndef BUCKLER_CLIENTS_C_BUCKLER_H
#define BUCKLER_CLIENTS_C_BUCKLER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BUCKLER_API __attribute__((visibility("default")))

enum buckler_error {
    BUCKLER_OK = 0,
    BUCKLER_E_MEMORY = -1,
    BUCKLER_E_SERVER = -2,    /* the URL of the server is not one */
    BUCKLER_E_TIMEOUT = -3,   /* no reply in time, or no connection */
    BUCKLER_E_REQUEST = -4,   /* the request cannot be sent as it is (no parts, too many, a bad id) */
    BUCKLER_E_PROTOCOL = -5,  /* the daemon answered with something that is not a reply */
};

enum buckler_kind { BUCKLER_KIND_INVALID, BUCKLER_TEXT, BUCKLER_IMAGE };

enum { BUCKLER_MAX_PARTS = 8, BUCKLER_ID_SIZE = 65 };

struct buckler_part {
    enum buckler_kind kind;
    const void *bytes;
    size_t size;
    const char *mime, *lang, *role; /* NULL: not given */
    bool context_only;              /* sent as judge:false */
};

struct buckler_request {
    const char *id;                 /* NULL: the client makes one */
    const char *policy, *scope, *class_, *subject, *idem, *traceparent; /* NULL: not given */
    uint32_t deadline_ms;           /* 0: not given */
    const char *const *want;        /* [want_count] */
    size_t want_count;
    const struct buckler_part *parts; /* [part_count] */
    size_t part_count;
};

struct buckler_score {
    const char *category, *classifier, *state;
    unsigned part;
    double score; /* NaN unless state is "executed" */
};

struct buckler_client;
struct buckler_reply;

/* server NULL: $BUCKLER_SERVER, else ipc:///run/buckler/front.sock. Connecting happens in the background. */
BUCKLER_API int buckler_client_new(const char *server, struct buckler_client **ret_client);
BUCKLER_API void buckler_client_free(struct buckler_client *client); /* accepts NULL */

/* Sends and waits for the reply; replies to other requests that arrive meanwhile are kept for buckler_receive. After a
 * time-out a late reply to this request is dropped. timeout_ms -1: wait for ever. */
BUCKLER_API int buckler_classify(struct buckler_client *client, const struct buckler_request *request, int timeout_ms,
                                 struct buckler_reply **ret_reply);

/* The asynchronous pair: many requests may be in flight. ret_id (may be NULL) gets the id that was used. */
BUCKLER_API int buckler_send(struct buckler_client *client, const struct buckler_request *request,
                             char ret_id[BUCKLER_ID_SIZE]);
BUCKLER_API int buckler_receive(struct buckler_client *client, int timeout_ms, struct buckler_reply **ret_reply);

/* Readable (edge-triggered, see ZMQ_FD) when buckler_receive with timeout 0 may have something. */
BUCKLER_API int buckler_fd(const struct buckler_client *client);

/* hello, ping; cancel names the request to end. Their replies are never "allowed". */
BUCKLER_API int buckler_hello(struct buckler_client *client, int timeout_ms, struct buckler_reply **ret_reply);
BUCKLER_API int buckler_ping(struct buckler_client *client, int timeout_ms, struct buckler_reply **ret_reply);
BUCKLER_API int buckler_cancel(struct buckler_client *client, const char *target, int timeout_ms,
                               struct buckler_reply **ret_reply);

/* Reads frame 0 of a reply; what buckler_receive does with what arrives. For tests and other transports. */
BUCKLER_API int buckler_reply_parse(const void *bytes, size_t size, struct buckler_reply **ret_reply);

/* The header frame of a request as it would be sent; malloc'ed text. */
BUCKLER_API int buckler_request_header(const struct buckler_request *request, char **ret_json);

BUCKLER_API bool buckler_reply_allowed(const struct buckler_reply *reply); /* false for NULL */
BUCKLER_API const char *buckler_reply_id(const struct buckler_reply *reply);
BUCKLER_API int buckler_reply_status(const struct buckler_reply *reply);
BUCKLER_API const char *buckler_reply_code(const struct buckler_reply *reply);    /* "" when there is none */
BUCKLER_API const char *buckler_reply_action(const struct buckler_reply *reply);
BUCKLER_API const char *buckler_reply_verdict(const struct buckler_reply *reply);
BUCKLER_API bool buckler_reply_moderated(const struct buckler_reply *reply);
BUCKLER_API const char *buckler_reply_detail(const struct buckler_reply *reply);  /* "" when there is none */
BUCKLER_API const char *buckler_reply_rule(const struct buckler_reply *reply);    /* "" when there is none */
BUCKLER_API const char *buckler_reply_policy(const struct buckler_reply *reply);  /* "name@digest"; "" when there is none */
BUCKLER_API uint32_t buckler_reply_retry_after_ms(const struct buckler_reply *reply); /* 0: do not retry */
BUCKLER_API bool buckler_reply_audit_index(const struct buckler_reply *reply, uint64_t *ret_index); /* false: none */
BUCKLER_API size_t buckler_reply_score_count(const struct buckler_reply *reply);
BUCKLER_API bool buckler_reply_score(const struct buckler_reply *reply, size_t index, struct buckler_score *ret_score);
BUCKLER_API const char *buckler_reply_json(const struct buckler_reply *reply); /* frame 0 as it came */
BUCKLER_API void buckler_reply_free(struct buckler_reply *reply);              /* accepts NULL */

BUCKLER_API const char *buckler_error_text(int error);

#ifdef __cplusplus
}
#endif

#endif
