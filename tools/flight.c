/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/flight.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/command.h"

enum { DEADLINE_MS = 3600000 };

struct slot {
    struct flight_row row;
    struct buckler_reply *reply; /* NULL while it is out */
};

struct flight {
    struct server *server;
    const struct flight_plan *plan;
    const struct flight_ends *ends;
    struct slot slots[FLIGHT_MOST];
    uint64_t sent, taken; /* numbers behind the last */
    bool ended;
};

static void slot_clear(struct slot *slot) {
    buckler_reply_free(slot->reply);
    server_content_deinit(&slot->row.content);
    free(slot->row.scope);
    free(slot->row.note);
    *slot = (struct slot){0};
}

static int send_row(struct flight *f, uint64_t number) {
    struct slot *slot = &f->slots[number % FLIGHT_MOST];
    struct buckler_part parts[SERVER_MAX_PARTS];
    char id[24];
    struct buckler_request request = {.id = id,
                                      .policy = f->plan->policy,
                                      .scope = slot->row.scope,
                                      .class_ = "batch",
                                      .deadline_ms = DEADLINE_MS,
                                      .parts = parts,
                                      .part_count = server_parts(&slot->row.content, parts)};
    (void)snprintf(id, sizeof id, "%llu", (unsigned long long)number);
    char used[BUCKLER_ID_SIZE];
    int rc = buckler_send(f->server->client, &request, SERVER_TIMEOUT_MS, used);
    return rc == 0 ? 0 : server_failed(f->server, f->plan->what);
}

static int start_row(struct flight *f) {
    struct slot *slot = &f->slots[f->sent % FLIGHT_MOST];
    int rc = f->ends->next(f->ends->owner, f->sent, &slot->row, &f->ended);
    if (rc == 0 && !f->ended) {
        rc = send_row(f, f->sent);
        f->sent++;
    }
    return rc;
}

static int hand_on(struct flight *f) {
    struct slot *slot = &f->slots[f->taken % FLIGHT_MOST];
    while (f->taken < f->sent && slot->reply != NULL) {
        int rc = f->ends->take(f->ends->owner, f->taken, &slot->row, slot->reply);
        if (rc != 0) {
            return rc;
        }
        slot_clear(slot);
        f->taken++;
        slot = &f->slots[f->taken % FLIGHT_MOST];
    }
    return 0;
}

static bool must_retry(const struct buckler_reply *reply) {
    int status = buckler_reply_status(reply);
    return (status == 503 || status == 429) && buckler_reply_retry_after_ms(reply) > 0 &&
           strcmp(buckler_reply_code(reply), "draining") != 0;
}

static int take_reply(struct flight *f) {
    struct buckler_reply *reply = NULL;
    if (buckler_receive(f->server->client, SERVER_TIMEOUT_MS, &reply) != 0) {
        return server_failed(f->server, f->plan->what);
    }
    int rc = 0;
    unsigned long long number = strtoull(buckler_reply_id(reply), NULL, 10);
    struct slot *slot = &f->slots[number % FLIGHT_MOST];
    if (number >= f->taken && number < f->sent && slot->reply == NULL) {
        if (must_retry(reply)) {
            /* Replies that free the daemon's queue come before it is asked again. */
            rc = send_row(f, number);
        } else {
            slot->reply = reply;
            reply = NULL;
        }
    }
    buckler_reply_free(reply);
    return rc != 0 ? rc : hand_on(f);
}

int flight_run(struct server *server, const struct flight_plan *plan, const struct flight_ends *ends) {
    struct flight *f = calloc(1, sizeof *f);
    if (f == NULL) {
        return command_fail(EXIT_FAILED, "%s: out of memory", plan->what);
    }
    *f = (struct flight){
        .server = server, .plan = plan, .ends = ends, .sent = plan->first, .taken = plan->first};
    int rc = 0;
    while (rc == 0 && (!f->ended || f->taken < f->sent)) {
        if (!f->ended && f->sent - f->taken < plan->open) {
            rc = start_row(f);
        } else if (f->taken < f->sent) {
            rc = take_reply(f);
        }
    }
    for (size_t i = 0; i < FLIGHT_MOST; i++) {
        slot_clear(&f->slots[i]);
    }
    free(f);
    return rc;
}
