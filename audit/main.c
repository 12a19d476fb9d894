/* SPDX-License-Identifier: Apache-2.0
 *
 * buckler-audit: the only process that may write the log. It takes records from the core on descriptor 3,
 * collects what waits there into one batch, makes it durable and only then tells the core; at most a second
 * later a signed checkpoint covers them. It never reads a byte of a client.
 *
 * While acknowledgements wait for room in the socket nothing is read, so that memory is bounded by one batch.
 *
 *   buckler-audit --accept-corruption DIRECTORY
 *
 * is for the operator: it opens a log that was refused, cuts what is damaged, records that, and ends.
 */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "audit/audit.h"
#include "audit/confine.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/cursor.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/spawn.h"

struct acknowledgement {
    uint64_t id, index;
};

/* A proof that the core waits for. */
struct wish {
    uint64_t id, index;
};

enum { MAX_WISHES = 1024 };

struct writer {
    struct log log;
    struct loop *loop;
    struct loop_source *source, *timer;
    bool timer_armed;
    struct audit_log *audit;
    uint8_t *space; /* IMSG_SPACE_BYTES */
    struct acknowledgement waiting[AUDIT_MAX_BATCH_RECORDS];
    size_t waiting_count, waiting_sent;
    struct wish wishes[MAX_WISHES];
    size_t wish_count;
    int exit_code;
};

static void stop(struct writer *w, int exit_code) {
    w->exit_code = exit_code;
    loop_stop(w->loop);
}

/* Says why and ends; when the core does not read it, the end of the socket tells it. */
static void fail(struct writer *w, const struct error *error) {
    log_error(&w->log, "audit-failed", "%s", error->text);
    (void)!imsg_send(SPAWN_FD, AUDIT_FAILED, 0, error->text, strlen(error->text), NULL, 0);
    stop(w, EXIT_FAILURE);
}

static void acknowledge(struct writer *w) {
    while (w->waiting_sent < w->waiting_count) {
        const struct acknowledgement *a = &w->waiting[w->waiting_sent];
        uint8_t body[8];
        for (unsigned i = 0; i < sizeof body; i++) {
            body[i] = (uint8_t)(a->index >> (8 * i));
        }
        int rc = imsg_send(SPAWN_FD, AUDIT_DURABLE, a->id, body, sizeof body, NULL, 0);
        if (rc == -EAGAIN || rc == -ENOBUFS) {
            break;
        }
        if (rc != 0) {
            log_notice(&w->log, "core-gone", "the core does not listen any more");
            stop(w, EXIT_SUCCESS);
            return;
        }
        w->waiting_sent++;
    }
    bool all = w->waiting_sent == w->waiting_count;
    if (all) {
        w->waiting_sent = w->waiting_count = 0;
    }
    struct error error;
    int rc = loop_set_events(w->source, all ? EPOLLIN : EPOLLOUT);
    if (rc != 0) {
        (void)error_errno(&error, -rc, "epoll");
        fail(w, &error);
    }
}

static void arm(struct writer *w) {
    if (!w->timer_armed) {
        loop_arm(w->timer, clock_monotonic_ns() + AUDIT_CHECKPOINT_MS * 1000000ull);
        w->timer_armed = true;
    }
}

/* 0, -EAGAIN when there is no room in the socket, or another error. `proof` NULL: there is none. */
static int send_proof(uint64_t id, const struct audit_proof *proof) {
    struct buf body = {0};
    buf_string(&body, proof == NULL ? "" : proof->leaf);
    buf_string(&body, proof == NULL ? "" : proof->text);
    int rc = body.failed ? -ENOMEM : imsg_send(SPAWN_FD, AUDIT_PROOF, id, body.bytes, body.size, NULL, 0);
    buf_deinit(&body);
    return rc;
}

/* Sends the proofs of what the last checkpoint covers; the others wait for the next one. */
static void answer_wishes(struct writer *w) {
    size_t kept = 0;
    for (size_t i = 0; i < w->wish_count; i++) {
        CLEANUP(audit_proof_deinit) struct audit_proof proof = {0};
        struct error error = {0};
        int rc = audit_prove_own(w->audit, w->wishes[i].index, &proof, &error);
        rc = rc != 0 ? rc : send_proof(w->wishes[i].id, &proof);
        if (rc == AUDIT_E_GAP || rc == -EAGAIN || rc == -ENOBUFS) {
            w->wishes[kept++] = w->wishes[i];
        } else if (rc != 0) {
            log_warning(&w->log, "audit-proof", "record %llu: %s", (unsigned long long)w->wishes[i].index,
                        error.text);
            (void)!send_proof(w->wishes[i].id, NULL);
        }
    }
    w->wish_count = kept;
    if (kept > 0) {
        arm(w);
    }
}

static int take_wish(struct writer *w, const struct imsg *message, struct error *reterr) {
    struct cursor c;
    cursor_init(&c, message->body, message->body_size);
    uint64_t index = cursor_u64(&c);
    if (!cursor_done(&c) || index >= audit_next_index(w->audit)) {
        return error_set(reterr, -EPROTO, "the core asked for a proof that cannot be");
    }
    if (w->wish_count == MAX_WISHES) {
        (void)!send_proof(message->id, NULL);
        return 0;
    }
    w->wishes[w->wish_count++] = (struct wish){message->id, index};
    arm(w);
    return 0;
}

static int take(struct writer *w, const struct imsg *message, struct error *reterr) {
    if (message->type == AUDIT_PROVE) {
        return take_wish(w, message, reterr);
    }
    if (message->type != AUDIT_APPEND) {
        return error_set(reterr, -EPROTO, "the core sent message %u, which has no place here", message->type);
    }
    struct acknowledgement *a = &w->waiting[w->waiting_count];
    int rc = audit_append(w->audit, message->body, message->body_size, &a->index, reterr);
    if (rc == 0) {
        a->id = message->id;
        w->waiting_count++;
    }
    return rc;
}

/* What waits in the socket, up to one batch. -EPIPE at the end of the core. */
static int drain(struct writer *w, struct error *reterr) {
    size_t bytes = 0;
    while (w->waiting_count < AUDIT_MAX_BATCH_RECORDS && bytes < AUDIT_MAX_BATCH_BYTES) {
        struct imsg message;
        int rc = imsg_receive(SPAWN_FD, w->space, &message);
        if (rc == -EAGAIN) {
            return 0;
        }
        if (rc != 0) {
            return rc == -EPIPE ? rc : error_errno(reterr, -rc, "the core sent something malformed");
        }
        imsg_close_fds(&message); /* no message here carries one */
        bytes += message.body_size;
        rc = take(w, &message, reterr);
        if (rc != 0) {
            return rc == -EPIPE ? -EIO : rc;
        }
    }
    return 0;
}

static void on_socket(void *user, uint32_t events) {
    struct writer *w = user;
    struct error error = {0};
    if (w->waiting_count > 0 && (events & EPOLLOUT) != 0) {
        acknowledge(w);
        return;
    }
    int rc = drain(w, &error);
    /* Records taken in before the trouble are good: they become durable, whatever comes next. */
    struct error commit_error = {0};
    int commit_rc = audit_commit(w->audit, &commit_error);
    if (commit_rc != 0) {
        fail(w, &commit_error);
        return;
    }
    if (w->waiting_count > 0) {
        arm(w);
    }
    acknowledge(w);
    if (rc == -EPIPE) {
        stop(w, EXIT_SUCCESS);
    } else if (rc != 0) {
        fail(w, &error);
    }
}

static void on_timer(void *user) {
    struct writer *w = user;
    struct error error = {0};
    w->timer_armed = false;
    if (audit_publish(w->audit, &error) != 0) {
        fail(w, &error);
        return;
    }
    answer_wishes(w);
}

/* ---- the start ---- */

/* The core's first message. */
static int receive_settings(struct writer *w, char *directory, size_t size, struct error *reterr) {
    char mode[32];
    struct imsg message;
    struct cursor c;
    int rc = imsg_receive(SPAWN_FD, w->space, &message);
    if (rc != 0) {
        return error_errno(reterr, -rc, "descriptor %d is not the core's socket", SPAWN_FD);
    }
    imsg_close_fds(&message);
    if (message.type != AUDIT_CONFIGURE) {
        return error_set(reterr, -EPROTO, "the core sent message %u, which has no place here", message.type);
    }
    cursor_init(&c, message.body, message.body_size);
    cursor_string(&c, directory, size);
    cursor_string(&c, mode, sizeof mode);
    return cursor_done(&c) && (strcmp(mode, "before_reply") == 0 || strcmp(mode, "async") == 0)
               ? 0
               : error_set(reterr, -EPROTO, "the core sent settings that cannot be understood");
}

static int open_log(struct writer *w, const char *directory, const struct audit_options *options,
                    struct error *reterr) {
    /* The key is made or loaded first; the log's bytes are read in confinement. */
    int rc = audit_open(directory, options, &w->audit, reterr);
    rc = rc != 0 ? rc : confine(reterr);
    rc = rc != 0 ? rc : audit_recover(w->audit, reterr);
    if (rc == 0 && audit_repaired(w->audit) != NULL) {
        log_warning(&w->log, "audit-torn-tail", "%s: %s", directory, audit_repaired(w->audit));
    }
    return rc;
}

static int say_ready(struct writer *w, struct error *reterr) {
    struct buf body = {0};
    buf_u64(&body, audit_next_index(w->audit));
    buf_u64(&body, audit_recovered_index(w->audit));
    buf_string(&body, audit_log_id(w->audit));
    int rc = body.failed ? -ENOMEM : imsg_send(SPAWN_FD, AUDIT_READY, 0, body.bytes, body.size, NULL, 0);
    buf_deinit(&body);
    return rc != 0 ? error_errno(reterr, -rc, "the core cannot be told") : 0;
}

static int start(struct writer *w, struct error *reterr) {
    static const struct audit_options options = {0};
    char directory[512];
    w->space = malloc(IMSG_SPACE_BYTES);
    if (w->space == NULL) {
        return error_errno(reterr, ENOMEM, "no memory");
    }
    int rc = receive_settings(w, directory, sizeof directory, reterr);
    rc = rc != 0 ? rc : open_log(w, directory, &options, reterr);
    if (rc == 0) {
        rc = fd_set_nonblocking(SPAWN_FD);
        rc = rc != 0 ? error_errno(reterr, -rc, "descriptor %d", SPAWN_FD) : say_ready(w, reterr);
    }
    return rc;
}

static int run(struct writer *w, struct error *reterr) {
    w->loop = loop_new();
    w->timer = w->loop == NULL ? NULL : loop_add_timer(w->loop, on_timer, w);
    w->source = w->timer == NULL ? NULL : loop_add_file(w->loop, SPAWN_FD, EPOLLIN, on_socket, w);
    if (w->source == NULL) {
        return error_errno(reterr, ENOMEM, "no memory");
    }
    int rc = loop_run(w->loop);
    return rc != 0 ? error_errno(reterr, -rc, "epoll") : 0;
}

static int serve(struct writer *w) {
    struct error error = {0};
    int rc = start(w, &error);
    if (rc != 0) {
        log_error(&w->log, "audit-start", "%s", error.text);
        (void)!imsg_send(SPAWN_FD, AUDIT_FAILED, 0, error.text, strlen(error.text), NULL, 0);
        return EXIT_FAILURE;
    }
    rc = run(w, &error);
    if (rc != 0) {
        log_error(&w->log, "audit-start", "%s", error.text);
        w->exit_code = EXIT_FAILURE;
    }
    return w->exit_code;
}

static int repair(struct writer *w, const char *directory) {
    static const struct audit_options options = {.accept_corruption = true};
    struct error error = {0};
    int rc = open_log(w, directory, &options, &error);
    if (rc != 0) {
        log_error(&w->log, "audit-start", "%s", error.text);
    }
    return rc != 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char **argv) {
    struct writer w = {.log = {"buckler-audit", LOG_INFO_LEVEL}};
    /* The core ends this process by closing the socket, after its last record; a signal to the group must not
     * come first. A file size limit shall be an error like a full disk. */
    static const int ignored[] = {SIGTERM, SIGINT, SIGHUP, SIGPIPE, SIGXFSZ};
    for (size_t i = 0; i < sizeof ignored / sizeof ignored[0]; i++) {
        (void)signal(ignored[i], SIG_IGN);
    }
    bool repairs = argc == 3 && strcmp(argv[1], "--accept-corruption") == 0;
    if (argc > 1 && !repairs) {
        (void)fprintf(stderr,
                      "usage: buckler-audit --accept-corruption DIRECTORY (the daemon starts it without)\n");
        return 64;
    }
    int exit_code = repairs ? repair(&w, argv[2]) : serve(&w);
    w.audit = audit_close(w.audit);
    w.source = loop_remove(w.source);
    w.timer = loop_remove(w.timer);
    w.loop = loop_free(w.loop);
    free(w.space);
    _exit(exit_code); /* handlers that libraries left for the end may want calls that are no longer allowed */
}
