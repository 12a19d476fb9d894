/* SPDX-License-Identifier: Apache-2.0
 *
 * Open-loop load: request i is due at start + i / rate whatever the daemon does, and its latency counts from
 * then, so that a stall is seen by every request that it delayed. With rate 0 one request after the other:
 * the bare round trip.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "tools/command.h"
#include "tools/server.h"

enum { TEXT_BYTES = 2048, DRAIN_MS = 10000, MOST_ROUND_TRIPS = 20000 };

struct load {
    struct buckler_client *client;
    const char *policy;
    uint64_t rate, count, sent, answered, errors;
    uint64_t start_ns;
    double *latency_ms; /* [count] */
    char text[TEXT_BYTES];
};

static uint64_t due_ns(const struct load *load, uint64_t index) {
    return load->start_ns + (uint64_t)((double)index * 1e9 / (double)load->rate);
}

static void take_reply(struct load *load, const struct buckler_reply *reply) {
    uint64_t now = clock_monotonic_ns();
    unsigned long long index = reply != NULL ? strtoull(buckler_reply_id(reply), NULL, 10) : load->count;
    if (index >= load->count || !buckler_reply_moderated(reply)) {
        load->errors++;
    }
    if (index < load->count && load->answered < load->count) {
        load->latency_ms[load->answered++] = (double)(now - due_ns(load, index)) / 1e6;
    }
}

/* Takes what comes within timeout_ms, and then all that is there. */
static void take_replies(struct load *load, int timeout_ms) {
    struct buckler_reply *reply = NULL;
    int rc = buckler_receive(load->client, timeout_ms, &reply);
    while (rc == 0 || rc == BUCKLER_E_PROTOCOL) {
        take_reply(load, reply);
        buckler_reply_free(reply);
        reply = NULL;
        rc = buckler_receive(load->client, 0, &reply);
    }
}

static void send_one(struct load *load) {
    char id[24];
    char used[BUCKLER_ID_SIZE];
    struct buckler_part part = {.kind = "text", .bytes = load->text, .size = sizeof load->text};
    struct buckler_request request = {.id = id, .policy = load->policy, .parts = &part, .part_count = 1};
    (void)snprintf(id, sizeof id, "%llu", (unsigned long long)load->sent);
    load->errors += buckler_send(load->client, &request, 0, used) != 0;
    load->sent++;
}

static void run_load(struct load *load) {
    uint64_t end = due_ns(load, load->count) + (uint64_t)DRAIN_MS * 1000000u;
    while (load->answered < load->count && clock_monotonic_ns() < end) {
        while (load->sent < load->count && due_ns(load, load->sent) <= clock_monotonic_ns()) {
            send_one(load);
        }
        uint64_t now = clock_monotonic_ns();
        uint64_t next = load->sent < load->count ? due_ns(load, load->sent) : end;
        take_replies(load, next > now ? (int)((next - now) / 1000000u) : 0);
    }
}

static void run_round_trips(struct load *load, uint64_t seconds) {
    struct buckler_part part = {.kind = "text", .bytes = load->text, .size = sizeof load->text};
    struct buckler_request request = {.policy = load->policy, .parts = &part, .part_count = 1};
    uint64_t end = clock_monotonic_ns() + seconds * 1000000000u;
    for (uint64_t now = clock_monotonic_ns(); now < end && load->answered < load->count; load->answered++) {
        struct buckler_reply *reply = NULL;
        load->errors += buckler_classify(load->client, &request, SERVER_TIMEOUT_MS, &reply) != 0 ||
                        !buckler_reply_moderated(reply);
        buckler_reply_free(reply);
        uint64_t then = now;
        now = clock_monotonic_ns();
        load->latency_ms[load->answered] = (double)(now - then) / 1e6;
    }
    load->count = load->answered;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

static double quantile(const struct load *load, double q) {
    return load->answered > 0 ? load->latency_ms[(uint64_t)(q * (double)(load->answered - 1))] : -1;
}

static void print(struct load *load, double seconds, bool json) {
    qsort(load->latency_ms, load->answered, sizeof *load->latency_ms, by_value);
    uint64_t lost = load->count - load->answered;
    (void)printf(
        json ? "{\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"p999_ms\":%.3f,\"achieved_s\":%.1f,\"errors\":%llu}\n"
             : "p50 %.3f ms, p99 %.3f ms, p99.9 %.3f ms, %.1f replies/s, %llu errors\n",
        quantile(load, 0.5), quantile(load, 0.99), quantile(load, 0.999), (double)load->answered / seconds,
        (unsigned long long)(load->errors + lost));
}

static int measure(struct load *load, struct server *server, uint64_t seconds, bool json) {
    struct buckler_reply *reply = NULL;
    load->client = server->client;
    load->count = (load->rate > 0 ? load->rate : MOST_ROUND_TRIPS) * seconds;
    load->latency_ms = calloc(load->count, sizeof *load->latency_ms);
    for (size_t i = 0; i < sizeof load->text; i++) {
        load->text[i] = "the quiet garden in the morning "[i % 32];
    }
    if (load->latency_ms == NULL) {
        return command_fail(EXIT_FAILED, "bench serve: out of memory");
    }
    int rc = buckler_ping(server->client, SERVER_TIMEOUT_MS,
                          &reply); /* the connection stands before the clock starts */
    buckler_reply_free(reply);
    if (rc != 0) {
        return server_failed(server, "bench serve");
    }
    load->start_ns = clock_monotonic_ns();
    if (load->rate > 0) {
        run_load(load);
    } else {
        run_round_trips(load, seconds);
    }
    print(load, (double)(clock_monotonic_ns() - load->start_ns) / 1e9, json);
    return 0;
}

static int run(int argc, char **argv) {
    const char *url = NULL, *rate = "100", *seconds_text = "10", *json = NULL;
    struct load load = {0};
    const struct option_value table[] = {{"--server", true, &url},           {"--rate", true, &rate},
                                         {"--seconds", true, &seconds_text}, {"--policy", true, &load.policy},
                                         {"--json", false, &json},           {NULL, false, NULL}};
    int rest = 0;
    uint64_t seconds = 0;
    struct server server;
    int rc = command_options(&command_bench_serve, argc, argv, table, &rest);
    if (rc != 0) {
        return rc;
    }
    if (!command_number("--rate", rate, 0, 100000, &load.rate) ||
        !command_number("--seconds", seconds_text, 1, 3600, &seconds)) {
        return EXIT_USAGE;
    }
    rc = server_open(url, NULL, NULL, &server);
    if (rc == 0) {
        rc = measure(&load, &server, seconds, json != NULL);
        free(load.latency_ms);
        server_close(&server);
    }
    return rc;
}

const struct command command_bench_serve = {
    "bench serve", "latency of a daemon under a steady load",
    "bench serve [--server URL] [--policy P] [--rate R] [--seconds S] [--json]\n"
    "  R requests a second with 2 KiB of text each, sent when they are due; latency counts from then\n"
    "  --rate 0: one request after the other",
    run};
