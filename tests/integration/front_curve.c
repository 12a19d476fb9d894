/* SPDX-License-Identifier: Apache-2.0
 *
 * The real buckler-front behind CURVE: who is listed is served, everybody else (unlisted and revoked keys,
 * garbled, replayed and stalled handshakes) loses his own connection and nothing more.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zmq.h>

#include <cmocka.h>

#include "tests/integration/front_client.h"
#include "tests/integration/front_core.h"

struct pair {
    char public_key[IPC_KEY_SIZE], secret_key[IPC_KEY_SIZE];
};

struct world {
    struct ipc_settings settings;
    struct front_core core;
    void *context;
    struct pair server, shop, other;
    const char *endpoint;
};

static void make_pair(struct pair *pair) {
    assert_int_equal(zmq_curve_keypair(pair->public_key, pair->secret_key), 0);
}

static void list_key(struct ipc_settings *settings, const struct pair *pair, const char *tenant) {
    struct ipc_key *key = &settings->keys[settings->key_count++];
    memcpy(key->public_key, pair->public_key, sizeof key->public_key);
    (void)snprintf(key->tenant, sizeof key->tenant, "%s", tenant);
}

/* The keys of shop and other are listed. */
static int set_up(void **state) {
    struct world *world = calloc(1, sizeof *world);
    make_pair(&world->server);
    make_pair(&world->shop);
    make_pair(&world->other);
    front_core_settings(&world->settings, "tcp://127.0.0.1:*");
    memcpy(world->settings.curve_secret, world->server.secret_key, IPC_KEY_SIZE);
    list_key(&world->settings, &world->shop, "shop");
    list_key(&world->settings, &world->other, "other");
    world->context = zmq_ctx_new();
    front_core_start(&world->core, &world->settings);
    if (!world->core.ready) {
        fail_msg("the front said: %s", world->core.said);
    }
    world->endpoint = world->core.said;
    *state = world;
    return 0;
}

/* Whatever a test did, it is the same process that ends here, and it ends well. */
static int tear_down(void **state) {
    struct world *world = *state;
    (void)zmq_ctx_term(world->context);
    int status = front_core_stop(&world->core);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        fail_msg("the front ended with wait status 0x%x", (unsigned)status);
    }
    free(world);
    return 0;
}

static const char classify[] = "{\"op\":\"classify\",\"id\":\"1\",\"parts\":[{\"kind\":\"text\"}]}";
static const struct front_part text = {"hello", 5};

static void *connect_with(struct world *world, const struct pair *pair, const char *server_key,
                          const char *endpoint) {
    void *client = zmq_socket(world->context, ZMQ_DEALER);
    int linger = 0;
    zmq_setsockopt(client, ZMQ_LINGER, &linger, sizeof linger);
    zmq_setsockopt(client, ZMQ_CURVE_SERVERKEY, server_key, IPC_KEY_SIZE - 1);
    zmq_setsockopt(client, ZMQ_CURVE_PUBLICKEY, pair->public_key, IPC_KEY_SIZE - 1);
    zmq_setsockopt(client, ZMQ_CURVE_SECRETKEY, pair->secret_key, IPC_KEY_SIZE - 1);
    assert_int_equal(zmq_connect(client, endpoint), 0);
    return client;
}

static void *connect_as(struct world *world, const struct pair *pair) {
    return connect_with(world, pair, world->server.public_key, world->endpoint);
}

static void serves(void *client, const char *tenant) {
    json_t *reply = front_client_ask(client, classify, &text, 1, 200, NULL);
    assert_string_equal(front_text(reply, "tenant"), tenant);
    json_decref(reply);
}

static void serves_shop(struct world *world) {
    void *client = connect_as(world, &world->shop);
    serves(client, "shop");
    (void)zmq_close(client);
}

/* What became of a client's connection: the first of these events. */
static void *monitor_of(struct world *world, void *client, int events) {
    void *monitor = zmq_socket(world->context, ZMQ_PAIR);
    int timeout = 10000;
    int linger = 0;
    char name[48];
    (void)snprintf(name, sizeof name, "inproc://monitor.%p", client);
    assert_int_equal(zmq_socket_monitor(client, name, events), 0);
    zmq_setsockopt(monitor, ZMQ_RCVTIMEO, &timeout, sizeof timeout);
    zmq_setsockopt(monitor, ZMQ_LINGER, &linger, sizeof linger);
    assert_int_equal(zmq_connect(monitor, name), 0);
    return monitor;
}

static int next_event(void *monitor) {
    uint8_t event[6];
    char endpoint[256];
    uint16_t number = 0;
    if (zmq_recv(monitor, event, sizeof event, 0) != (int)sizeof event) {
        return 0;
    }
    (void)zmq_recv(monitor, endpoint, sizeof endpoint, 0);
    memcpy(&number, event, sizeof number);
    return number;
}

/* ---- keys ---- */

static void test_a_listed_key_is_served_as_its_tenant(void **state) {
    struct world *world = *state;
    void *shop = connect_as(world, &world->shop);
    void *other = connect_as(world, &world->other);
    serves(shop, "shop");
    serves(other, "other");
    (void)zmq_close(shop);
    (void)zmq_close(other);
}

static void test_unlisted_keys_are_refused_every_time(void **state) {
    struct world *world = *state;
    for (int i = 0; i < 50; i++) {
        struct pair stranger;
        make_pair(&stranger);
        void *client = zmq_socket(world->context, ZMQ_DEALER);
        void *monitor =
            monitor_of(world, client, ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH);
        int linger = 0;
        zmq_setsockopt(client, ZMQ_LINGER, &linger, sizeof linger);
        zmq_setsockopt(client, ZMQ_CURVE_SERVERKEY, world->server.public_key, IPC_KEY_SIZE - 1);
        zmq_setsockopt(client, ZMQ_CURVE_PUBLICKEY, stranger.public_key, IPC_KEY_SIZE - 1);
        zmq_setsockopt(client, ZMQ_CURVE_SECRETKEY, stranger.secret_key, IPC_KEY_SIZE - 1);
        assert_int_equal(zmq_connect(client, world->endpoint), 0);
        front_client_send(client, classify, &text, 1);
        assert_int_equal(next_event(monitor), ZMQ_EVENT_HANDSHAKE_FAILED_AUTH);
        (void)zmq_close(client);
        (void)zmq_close(monitor);
    }
    assert_int_equal(atomic_load(&world->core.requests), 0);
    serves_shop(world);
}

static void test_a_client_that_knows_another_server_key_gets_nowhere(void **state) {
    struct world *world = *state;
    void *client = connect_with(world, &world->shop, world->other.public_key, world->endpoint);
    front_client_send(client, classify, &text, 1);
    assert_null(front_client_receive(client, 300));
    assert_int_equal(atomic_load(&world->core.requests), 0);
    (void)zmq_close(client);
    serves_shop(world);
}

/* ---- revocation ---- */

static void test_a_revoked_key_loses_its_open_connection_and_others_keep_theirs(void **state) {
    struct world *world = *state;
    void *shop = connect_as(world, &world->shop);
    void *other = connect_as(world, &world->other);
    serves(shop, "shop");
    serves(other, "other");
    void *shop_events = monitor_of(world, shop, ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH);
    void *other_events = monitor_of(world, other, ZMQ_EVENT_DISCONNECTED);
    world->settings.key_count = 0;
    list_key(&world->settings, &world->other, "renamed");
    front_core_configure(&world->core, &world->settings);
    assert_int_equal(next_event(shop_events), ZMQ_EVENT_DISCONNECTED);
    assert_int_equal(next_event(shop_events), ZMQ_EVENT_HANDSHAKE_FAILED_AUTH);
    serves(other, "renamed"); /* the tenant is looked up for each message */
    zmq_setsockopt(other_events, ZMQ_RCVTIMEO, &(int){0}, sizeof(int));
    assert_int_equal(next_event(other_events), 0);
    (void)zmq_close(shop);
    (void)zmq_close(other);
    (void)zmq_close(shop_events);
    (void)zmq_close(other_events);
}

static void test_a_revoked_connection_that_was_silent_ends_with_its_first_message(void **state) {
    struct world *world = *state;
    void *client = zmq_socket(world->context, ZMQ_DEALER);
    int linger = 0;
    zmq_setsockopt(client, ZMQ_LINGER, &linger, sizeof linger);
    zmq_setsockopt(client, ZMQ_CURVE_SERVERKEY, world->server.public_key, IPC_KEY_SIZE - 1);
    zmq_setsockopt(client, ZMQ_CURVE_PUBLICKEY, world->shop.public_key, IPC_KEY_SIZE - 1);
    zmq_setsockopt(client, ZMQ_CURVE_SECRETKEY, world->shop.secret_key, IPC_KEY_SIZE - 1);
    void *events = monitor_of(world, client, ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_DISCONNECTED);
    assert_int_equal(zmq_connect(client, world->endpoint), 0);
    assert_int_equal(next_event(events), ZMQ_EVENT_HANDSHAKE_SUCCEEDED);
    world->settings.key_count = 0;
    list_key(&world->settings, &world->other, "other");
    front_core_configure(&world->core, &world->settings);
    void *other = connect_as(world, &world->other);
    serves(other, "other"); /* by now the front has its new lists */
    front_client_send(client, classify, &text, 1);
    assert_int_equal(next_event(events), ZMQ_EVENT_DISCONNECTED);
    assert_int_equal(atomic_load(&world->core.requests), 1);
    (void)zmq_close(client);
    (void)zmq_close(other);
    (void)zmq_close(events);
}

static void test_a_key_that_is_listed_later_is_served(void **state) {
    struct world *world = *state;
    struct pair late;
    make_pair(&late);
    list_key(&world->settings, &late, "late");
    front_core_configure(&world->core, &world->settings);
    serves_shop(world);
    void *client = connect_as(world, &late);
    serves(client, "late");
    (void)zmq_close(client);
}

/* ---- handshakes ---- */

static unsigned short port_of(const struct world *world) {
    return (unsigned short)strtoul(strrchr(world->endpoint, ':') + 1, NULL, 10);
}

static int raw_connect(const struct world *world) {
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port_of(world)), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

/* What a client sends in one good handshake and its first message, recorded on a wire between the two. */
struct recording {
    uint8_t bytes[8192];
    size_t size;
};

static void pass_on(int from, int to, struct recording *record) {
    uint8_t space[4096];
    ssize_t got = recv(from, space, sizeof space, 0);
    assert_true(got > 0);
    assert_int_equal(send(to, space, (size_t)got, MSG_NOSIGNAL), got);
    if (record != NULL) {
        assert_true((size_t)got <= sizeof record->bytes - record->size);
        memcpy(record->bytes + record->size, space, (size_t)got);
        record->size += (size_t)got;
    }
}

static void record_handshake(struct world *world, struct recording *record) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    char endpoint[64];
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &size), 0);
    (void)snprintf(endpoint, sizeof endpoint, "tcp://127.0.0.1:%u", ntohs(address.sin_port));
    void *client = connect_with(world, &world->shop, world->server.public_key, endpoint);
    front_client_send(client, classify, &text, 1);
    int near = accept(listener, NULL, NULL);
    int far = raw_connect(world);
    struct pollfd ends[2] = {{.fd = near, .events = POLLIN}, {.fd = far, .events = POLLIN}};
    record->size = 0;
    while (zmq_poll(&(zmq_pollitem_t){.socket = client, .events = ZMQ_POLLIN}, 1, 0) == 0) {
        assert_true(poll(ends, 2, 10000) >= 0);
        if ((ends[0].revents & POLLIN) != 0) {
            pass_on(near, far, record);
        }
        if ((ends[1].revents & POLLIN) != 0) {
            pass_on(far, near, NULL);
            /* The reply reaches the client's thread a little later; nothing else will come. */
            (void)zmq_poll(&(zmq_pollitem_t){.socket = client, .events = ZMQ_POLLIN}, 1, 20);
        }
    }
    json_t *reply = front_client_receive(client, 0);
    assert_string_equal(front_text(reply, "tenant"), "shop");
    json_decref(reply);
    (void)zmq_close(client);
    (void)close(near);
    (void)close(far);
    (void)close(listener);
}

static void send_all(int fd, const uint8_t *bytes, size_t size) {
    (void)send(fd, bytes, size, MSG_NOSIGNAL); /* the front may hang up in the middle */
}

static void test_a_replayed_handshake_is_worth_nothing(void **state) {
    struct world *world = *state;
    struct recording record;
    record_handshake(world, &record);
    unsigned before = atomic_load(&world->core.requests);
    for (int i = 0; i < 20; i++) {
        int fd = raw_connect(world);
        send_all(fd, record.bytes, record.size);
        assert_true(front_raw_is_closed(fd, 5000));
        (void)close(fd);
    }
    assert_int_equal(atomic_load(&world->core.requests), before);
    serves_shop(world);
}

static void test_garbled_handshakes_cost_their_own_connection(void **state) {
    struct world *world = *state;
    struct recording record;
    void *steady = connect_as(world, &world->other);
    serves(steady, "other");
    record_handshake(world, &record);
    unsigned before = atomic_load(&world->core.requests);
    srand(7);
    for (int i = 0; i < 300; i++) {
        struct recording garbled = record;
        size_t cut = (size_t)rand() % record.size;
        for (int k = rand() % 4; k >= 0; k--) {
            garbled.bytes[(size_t)rand() % record.size] ^= (uint8_t)(1u << rand() % 8);
        }
        int fd = raw_connect(world);
        send_all(fd, garbled.bytes, i % 2 == 0 ? cut : garbled.size);
        (void)shutdown(fd, SHUT_WR);
        assert_true(front_raw_is_closed(fd, 5000));
        (void)close(fd);
    }
    assert_int_equal(atomic_load(&world->core.requests), before);
    serves(steady, "other");
    (void)zmq_close(steady);
}

static void test_stalled_handshakes_end_and_stop_nobody(void **state) {
    struct world *world = *state;
    struct recording record;
    int fds[100];
    record_handshake(world, &record);
    for (int i = 0; i < 100; i++) {
        fds[i] = raw_connect(world);
        /* From silence over half a greeting to a HELLO without its INITIATE. */
        send_all(fds[i], record.bytes, (size_t)i * 264 / 100);
    }
    serves_shop(world);
    for (int i = 0; i < 100; i++) {
        assert_true(front_raw_is_closed(fds[i], 10000));
        (void)close(fds[i]);
    }
    serves_shop(world);
}

static void test_a_peer_without_curve_is_not_served(void **state) {
    struct world *world = *state;
    int fd = raw_connect(world);
    assert_false(front_raw_handshake(fd));
    assert_true(front_raw_is_closed(fd, 5000));
    (void)close(fd);
    assert_int_equal(atomic_load(&world->core.requests), 0);
    serves_shop(world);
}

int main(void) {
#define in_world(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        in_world(test_a_listed_key_is_served_as_its_tenant),
        in_world(test_unlisted_keys_are_refused_every_time),
        in_world(test_a_client_that_knows_another_server_key_gets_nowhere),
        in_world(test_a_revoked_key_loses_its_open_connection_and_others_keep_theirs),
        in_world(test_a_revoked_connection_that_was_silent_ends_with_its_first_message),
        in_world(test_a_key_that_is_listed_later_is_served),
        in_world(test_a_replayed_handshake_is_worth_nothing),
        in_world(test_garbled_handshakes_cost_their_own_connection),
        in_world(test_stalled_handshakes_end_and_stop_nobody),
        in_world(test_a_peer_without_curve_is_not_served),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
