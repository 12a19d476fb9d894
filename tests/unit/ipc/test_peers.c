/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "ipc/front/peers.h"

enum { WINDOW = 3, CONNECTIONS = 4, OPEN = 8 };

static struct peer_route route_of(const char *name) {
    struct peer_route route = {.socket = 1, .routing_id_size = strlen(name)};
    memcpy(route.routing_id, name, strlen(name));
    return route;
}

static struct peer *peer_of(struct peers *peers, const char *name, const char *tenant) {
    struct peer_route route = route_of(name);
    return peers_connection(peers, &route, tenant);
}

static int open_op(struct peers *peers, struct peer *peer, enum ipc_op op, const char *id,
                   uint64_t *ret_number) {
    struct ipc_request request = {.op = op};
    (void)snprintf(request.id, sizeof request.id, "%s", id);
    return peers_open(peers, peer, &request, false, ret_number);
}

static int set_up(void **state) {
    *state = peers_new(WINDOW, CONNECTIONS, OPEN);
    return *state == NULL;
}

static int tear_down(void **state) {
    (void)peers_free(*state);
    return 0;
}

static void test_the_same_route_and_tenant_is_the_same_connection(void **state) {
    struct peer *a = peer_of(*state, "a", "uid:1");
    uint64_t number = peer_number(a);
    assert_int_equal(peer_number(peer_of(*state, "a", "uid:1")), number);
    assert_int_not_equal(peer_number(peer_of(*state, "b", "uid:1")), number);
    assert_int_not_equal(peer_number(peer_of(*state, "a", "uid:2")), number);
    struct peer_route other = route_of("a");
    other.socket = 2;
    assert_int_not_equal(peer_number(peers_connection(*state, &other, "uid:1")), number);
}

static void test_a_reply_finds_its_way_once(void **state) {
    struct ipc_request request = {.op = IPC_OP_CLASSIFY, .id = "1"};
    struct peer_route route;
    uint64_t number = 0;
    assert_int_equal(peers_open(*state, peer_of(*state, "a", "t"), &request, true, &number), 0);
    assert_int_equal(peers_open_count(*state), 1);
    assert_true(peers_close(*state, number, &route));
    assert_int_equal(route.socket, 1);
    assert_true(route.delimited);
    assert_int_equal(route.routing_id_size, 1);
    assert_int_equal(route.routing_id[0], 'a');
    assert_false(peers_close(*state, number, &route));
    assert_int_equal(peers_open_count(*state), 0);
}

static void test_numbers_that_were_never_given_find_nobody(void **state) {
    struct peer_route route;
    static const uint64_t numbers[] = {0, 1, OPEN, 1ull << 20, UINT64_MAX, (1ull << 20) - 1};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        assert_false(peers_close(*state, numbers[i], &route));
    }
}

static void test_a_late_reply_does_not_reach_the_next_user_of_its_place(void **state) {
    struct peer_route route;
    uint64_t first = 0;
    uint64_t second = 0;
    struct peer *peer = peer_of(*state, "a", "t");
    assert_int_equal(open_op(*state, peer, IPC_OP_CLASSIFY, "1", &first), 0);
    assert_true(peers_close(*state, first, &route));
    assert_int_equal(open_op(*state, peer, IPC_OP_CLASSIFY, "1", &second), 0);
    assert_int_not_equal(first, second);
    assert_false(peers_close(*state, first, &route));
    assert_true(peers_close(*state, second, &route));
}

static void test_an_open_id_is_a_duplicate_on_its_connection_only(void **state) {
    uint64_t number = 0;
    struct peer_route route;
    assert_int_equal(open_op(*state, peer_of(*state, "a", "t"), IPC_OP_CLASSIFY, "1", &number), 0);
    uint64_t other = 0;
    assert_int_equal(open_op(*state, peer_of(*state, "a", "t"), IPC_OP_CLASSIFY, "1", &other),
                     PEERS_E_DUPLICATE);
    assert_int_equal(open_op(*state, peer_of(*state, "a", "t"), IPC_OP_PING, "1", &other), PEERS_E_DUPLICATE);
    assert_int_equal(open_op(*state, peer_of(*state, "b", "t"), IPC_OP_CLASSIFY, "1", &other), 0);
    assert_int_equal(open_op(*state, peer_of(*state, "a", "t"), IPC_OP_REFUSED, "1", &other), 0);
    assert_true(peers_close(*state, number, &route));
    /* The refusal that repeats the id is still open, and no obstacle. */
    assert_int_equal(open_op(*state, peer_of(*state, "a", "t"), IPC_OP_CLASSIFY, "1", &number), 0);
}

static void test_the_window_counts_classify_and_the_rest_apart(void **state) {
    uint64_t number = 0;
    uint64_t classify = 0;
    struct peer_route route;
    struct peer *peer = peer_of(*state, "a", "t");
    for (int i = 0; i < WINDOW; i++) {
        char id[16];
        (void)snprintf(id, sizeof id, "c%d", i);
        assert_int_equal(open_op(*state, peer, IPC_OP_CLASSIFY, id, &classify), 0);
    }
    assert_int_equal(open_op(*state, peer, IPC_OP_CLASSIFY, "x", &number), PEERS_E_WINDOW);
    assert_int_equal(open_op(*state, peer, IPC_OP_CANCEL, "y", &number), 0);
    assert_int_equal(open_op(*state, peer, IPC_OP_REFUSED, "", &number), 0);
    assert_int_equal(open_op(*state, peer, IPC_OP_REFUSED, "", &number), 0);
    assert_int_equal(open_op(*state, peer, IPC_OP_REFUSED, "", &number), PEERS_E_WINDOW);
    assert_true(peers_close(*state, classify, &route));
    assert_int_equal(open_op(*state, peer, IPC_OP_CLASSIFY, "x", &number), 0);
}

static void test_says_full_when_every_place_is_taken(void **state) {
    uint64_t numbers[OPEN + 1];
    struct peer_route route;
    static const char *const names[] = {"a", "b", "c"};
    int opened = 0;
    int rc = 0;
    for (int i = 0; i < 3; i++) {
        for (int k = 0; k < WINDOW && rc == 0; k++) {
            char id[16];
            (void)snprintf(id, sizeof id, "%d", k);
            rc = open_op(*state, peer_of(*state, names[i], "t"), IPC_OP_CLASSIFY, id, &numbers[opened]);
            opened += rc == 0;
        }
    }
    assert_int_equal(opened, OPEN);
    assert_int_equal(rc, PEERS_E_FULL);
    assert_true(peers_close(*state, numbers[2], &route));
    assert_int_equal(open_op(*state, peer_of(*state, "d", "t"), IPC_OP_CLASSIFY, "1", &numbers[2]), 0);
    for (int i = 0; i < OPEN; i++) {
        assert_true(peers_close(*state, numbers[i], &route));
    }
    assert_int_equal(peers_open_count(*state), 0);
}

static void test_forgets_the_idle_connection_seen_longest_ago_but_no_busy_one(void **state) {
    uint64_t number = 0;
    uint64_t numbers[CONNECTIONS];
    static const char *const names[] = {"a", "b", "c", "d"};
    for (int i = 0; i < CONNECTIONS; i++) {
        numbers[i] = peer_number(peer_of(*state, names[i], "t"));
    }
    assert_int_equal(open_op(*state, peer_of(*state, "a", "t"), IPC_OP_CLASSIFY, "1", &number), 0);
    (void)peer_of(*state, "b", "t");
    assert_non_null(peer_of(*state, "e", "t")); /* c goes */
    assert_int_equal(peers_connection_count(*state), CONNECTIONS);
    assert_int_equal(peer_number(peer_of(*state, "a", "t")), numbers[0]);
    assert_int_equal(peer_number(peer_of(*state, "b", "t")), numbers[1]);
    assert_int_equal(peer_number(peer_of(*state, "d", "t")), numbers[3]);
    static const char *const left[] = {"b", "d", "e"};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(open_op(*state, peer_of(*state, left[i], "t"), IPC_OP_CLASSIFY, "1", &number), 0);
    }
    assert_null(peer_of(*state, "f", "t"));
}

static void test_routing_ids_may_have_any_bytes_and_255_of_them(void **state) {
    struct peer_route route = {.socket = 1, .routing_id_size = PEERS_ROUTING_ID_BYTES};
    struct peer_route back;
    struct ipc_request request = {.op = IPC_OP_PING, .id = "1"};
    uint64_t number = 0;
    for (size_t i = 0; i < PEERS_ROUTING_ID_BYTES; i++) {
        route.routing_id[i] = (uint8_t)(i * 7);
    }
    assert_int_equal(peers_open(*state, peers_connection(*state, &route, "t"), &request, false, &number), 0);
    assert_true(peers_close(*state, number, &back));
    assert_memory_equal(&route, &back, sizeof route);
}

/* ---- cutting ---- */

static bool is_good(void *user, const char *identity) {
    (void)user;
    return strcmp(identity, "good") == 0;
}

static bool is_shut(int far_end) {
    char byte = 0;
    return recv(far_end, &byte, 1, MSG_DONTWAIT) == 0;
}

static void test_cuts_the_connections_of_who_is_not_listed_and_no_others(void **state) {
    int good[2], bad[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, good), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, bad), 0);
    peer_note(peer_of(*state, "a", "t"), "good", good[0]);
    peer_note(peer_of(*state, "b", "t"), "bad", bad[0]);
    (void)peer_of(*state, "c", "t"); /* nothing is known of its stream */
    assert_int_equal(peers_cut(*state, is_good, NULL), 1);
    assert_true(is_shut(bad[1]));
    assert_false(is_shut(good[1]));
    assert_int_equal(peers_cut(*state, is_good, NULL), 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(close(good[i]), 0);
        assert_int_equal(close(bad[i]), 0);
    }
}

static void test_a_descriptor_that_is_another_connections_by_now_is_left_alone(void **state) {
    int old[2], newer[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, old), 0);
    peer_note(peer_of(*state, "a", "t"), "bad", old[0]);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, newer), 0);
    assert_int_equal(dup2(newer[0], old[0]), old[0]);
    assert_int_equal(peers_cut(*state, is_good, NULL), 0);
    assert_false(is_shut(newer[1]));
    for (int i = 0; i < 2; i++) {
        assert_int_equal(close(old[i]), 0);
        assert_int_equal(close(newer[i]), 0);
    }
}

int main(void) {
#define with_peers(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        with_peers(test_the_same_route_and_tenant_is_the_same_connection),
        with_peers(test_a_reply_finds_its_way_once),
        with_peers(test_numbers_that_were_never_given_find_nobody),
        with_peers(test_a_late_reply_does_not_reach_the_next_user_of_its_place),
        with_peers(test_an_open_id_is_a_duplicate_on_its_connection_only),
        with_peers(test_the_window_counts_classify_and_the_rest_apart),
        with_peers(test_says_full_when_every_place_is_taken),
        with_peers(test_forgets_the_idle_connection_seen_longest_ago_but_no_busy_one),
        with_peers(test_routing_ids_may_have_any_bytes_and_255_of_them),
        with_peers(test_cuts_the_connections_of_who_is_not_listed_and_no_others),
        with_peers(test_a_descriptor_that_is_another_connections_by_now_is_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
