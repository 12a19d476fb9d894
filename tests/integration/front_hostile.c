/* SPDX-License-Identifier: Apache-2.0
 *
 * The real buckler-front against strangers, broken peers and configuration mistakes. After each of them a
 * well-behaved client must still be served by the same process.
 */
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zmq.h>

#include <cmocka.h>

#include "tests/integration/front_client.h"
#include "tests/integration/front_core.h"

enum { EXIT_CONFIG = 78 };

struct world {
    char folder[64], path[96], endpoint[128];
    struct ipc_settings settings;
    struct front_core core;
    void *context;
};

static int set_up(void **state) {
    struct world *world = calloc(1, sizeof *world);
    (void)snprintf(world->folder, sizeof world->folder, "/tmp/buckler-front-XXXXXX");
    assert_non_null(mkdtemp(world->folder));
    (void)snprintf(world->path, sizeof world->path, "%s/front.sock", world->folder);
    (void)snprintf(world->endpoint, sizeof world->endpoint, "ipc://%s", world->path);
    front_core_settings(&world->settings, world->endpoint);
    world->context = zmq_ctx_new();
    *state = world;
    return 0;
}

static int tear_down(void **state) {
    struct world *world = *state;
    (void)zmq_ctx_term(world->context);
    (void)unlink(world->path);
    assert_int_equal(rmdir(world->folder), 0);
    free(world);
    return 0;
}

static void start(struct world *world) {
    front_core_start(&world->core, &world->settings);
    if (!world->core.ready) {
        fail_msg("the front said: %s", world->core.said);
    }
}

static void stop(struct world *world) {
    int status = front_core_stop(&world->core);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        fail_msg("the front ended with wait status 0x%x", (unsigned)status);
    }
}

/* The settings must be refused with a sentence that holds `why`, and the front must end. */
static void start_refused(struct world *world, const char *why) {
    front_core_start(&world->core, &world->settings);
    assert_false(world->core.ready);
    if (strstr(world->core.said, why) == NULL) {
        fail_msg("expected \"%s\" in: %s", why, world->core.said);
    }
    int status = front_core_stop(&world->core);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), EXIT_CONFIG);
}

static const char classify[] = "{\"op\":\"classify\",\"id\":\"1\",\"parts\":[{\"kind\":\"text\"}]}";
static const struct front_part text = {"hello", 5};

static void serves(struct world *world) {
    void *client = front_client_connect(world->context, ZMQ_DEALER, world->endpoint, NULL);
    json_decref(front_client_ask(client, classify, &text, 1, 200, NULL));
    (void)zmq_close(client);
}

/* ---- strangers ---- */

static void test_refuses_a_uid_that_is_not_listed(void **state) {
    struct world *world = *state;
    world->settings.uid_count = 2;
    world->settings.uids[0].uid = getuid() + 1;
    world->settings.uids[1].uid = getuid() + 2;
    start(world);
    for (int i = 0; i < 20; i++) {
        int fd = front_raw_connect(world->path);
        assert_true(fd >= 0);
        assert_false(front_raw_handshake(fd));
        (void)front_raw_frame(fd, classify, strlen(classify), true);
        (void)front_raw_frame(fd, "hello", 5, false);
        assert_true(front_raw_is_closed(fd, 5000));
        (void)close(fd);
    }
    assert_int_equal(atomic_load(&world->core.requests), 0);
    stop(world);
}

static void test_serves_a_uid_that_is_listed(void **state) {
    struct world *world = *state;
    world->settings.uid_count = 2;
    world->settings.uids[0].uid = getuid() + 1;
    world->settings.uids[1].uid = getuid();
    start(world);
    serves(world);
    stop(world);
}

static void test_refuses_tcp_without_curve(void **state) {
    struct world *world = *state;
    (void)snprintf(world->settings.endpoints[0], 256, "tcp://127.0.0.1:*");
    start_refused(world, "tcp without CURVE");
    world->settings.insecure_loopback = true;
    static const char *const elsewhere[] = {"tcp://0.0.0.0:*", "tcp://*:*",  "tcp://localhost:*",
                                            "tcp://[::]:*",    "tcp://lo:*", "tcp://127.0.0.1.example:*"};
    for (size_t i = 0; i < sizeof elsewhere / sizeof *elsewhere; i++) {
        (void)snprintf(world->settings.endpoints[0], 256, "%s", elsewhere[i]);
        start_refused(world, "numeric loopback");
    }
}

static void test_serves_insecure_loopback_as_the_tenant_loopback(void **state) {
    struct world *world = *state;
    world->settings.insecure_loopback = true;
    (void)snprintf(world->settings.endpoints[0], 256, "tcp://127.0.0.1:*");
    start(world);
    void *client = front_client_connect(world->context, ZMQ_DEALER, world->core.said, NULL);
    json_t *reply = front_client_ask(client, classify, &text, 1, 200, NULL);
    assert_string_equal(front_text(reply, "tenant"), "loopback");
    json_decref(reply);
    (void)zmq_close(client);
    stop(world);
}

/* ---- broken peers ---- */

static void test_survives_greetings_that_are_not_zmtp(void **state) {
    struct world *world = *state;
    static const struct {
        const char *bytes;
        size_t size;
    } greetings[] = {
        {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 27},
        {"\0\0\0\0\0\0\0\0\0\0\0\0", 12},
        {"\xff\0\0\0\0\0\0\0\1\x7f", 10}, /* cut in the signature */
        {"\xff\0\0\0\0\0\0\0\1\x7f\3\0PLAIN\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 33},
        {"\xff\0\0\0\0\0\0\0\1\x7f\1\5\0\0", 14}, /* ZMTP 2 */
        {"\1\0\5hello", 8},                       /* ZMTP 1 */
        {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f\xff\xff\xff\xff", 14},
    };
    start(world);
    for (size_t i = 0; i < sizeof greetings / sizeof *greetings; i++) {
        int fd = front_raw_connect(world->path);
        assert_true(fd >= 0);
        (void)send(fd, greetings[i].bytes, greetings[i].size, MSG_NOSIGNAL);
        (void)shutdown(fd, SHUT_WR);
        assert_true(front_raw_is_closed(fd, 5000));
        (void)close(fd);
        serves(world);
    }
    stop(world);
}

static void test_drops_half_open_connections(void **state) {
    struct world *world = *state;
    int fds[300];
    start(world);
    for (int i = 0; i < 300; i++) {
        fds[i] = front_raw_connect(world->path);
        assert_true(fds[i] >= 0);
    }
    serves(world);
    for (int i = 0; i < 300; i++) {
        assert_true(front_raw_is_closed(fds[i], 10000));
        (void)close(fds[i]);
    }
    serves(world);
    stop(world);
}

static int raw_client(struct world *world) {
    int fd = front_raw_connect(world->path);
    assert_true(fd >= 0);
    assert_true(front_raw_handshake(fd));
    return fd;
}

static void test_drops_a_connection_that_sends_a_giant_frame(void **state) {
    struct world *world = *state;
    start(world);
    static const uint64_t sizes[] = {(uint64_t)IPC_MAX_TOTAL_BYTES + 1, 1ull << 32, 1ull << 62,
                                     UINT64_MAX >> 1};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        int fd = raw_client(world);
        uint8_t head[9] = {2};
        for (unsigned k = 0; k < 8; k++) {
            head[1 + k] = (uint8_t)(sizes[i] >> (56 - 8 * k));
        }
        assert_int_equal(send(fd, head, sizeof head, MSG_NOSIGNAL), sizeof head);
        assert_true(front_raw_is_closed(fd, 10000));
        (void)close(fd);
    }
    serves(world);
    stop(world);
}

static void test_a_message_that_never_ends_is_never_seen(void **state) {
    struct world *world = *state;
    int fd = 0;
    start(world);
    fd = raw_client(world);
    for (int i = 0; i < 20000; i++) {
        assert_true(front_raw_frame(fd, classify, strlen(classify), true));
    }
    serves(world);
    assert_int_equal(atomic_load(&world->core.requests), 1);
    (void)close(fd);
    serves(world);
    stop(world);
}

static void test_a_client_that_leaves_loses_only_its_own_replies(void **state) {
    struct world *world = *state;
    static const char held[] =
        "{\"op\":\"classify\",\"id\":\"1\",\"policy\":\"hold\",\"parts\":[{\"kind\":\"text\"}]}";
    start(world);
    for (int i = 0; i < 50; i++) {
        int fd = raw_client(world);
        assert_true(front_raw_frame(fd, held, strlen(held), true));
        assert_true(front_raw_frame(fd, "x", 1, false));
        (void)close(fd);
    }
    serves(world);
    void *client = front_client_connect(world->context, ZMQ_DEALER, world->endpoint, NULL);
    json_decref(
        front_client_ask(client, "{\"op\":\"cancel\",\"id\":\"c\",\"target\":\"1\"}", NULL, 0, 200, NULL));
    (void)zmq_close(client);
    serves(world);
    stop(world);
}

static void test_an_empty_probe_message_is_ignored(void **state) {
    struct world *world = *state;
    start(world);
    int fd = raw_client(world);
    assert_true(front_raw_frame(fd, "", 0, false));
    serves(world);
    assert_int_equal(atomic_load(&world->core.requests), 1);
    (void)close(fd);
    stop(world);
}

static void test_a_peer_with_the_routing_id_of_another_does_not_take_it_over(void **state) {
    struct world *world = *state;
    start(world);
    void *first = zmq_socket(world->context, ZMQ_DEALER);
    void *second = zmq_socket(world->context, ZMQ_DEALER);
    int linger = 0;
    zmq_setsockopt(first, ZMQ_LINGER, &linger, sizeof linger);
    zmq_setsockopt(second, ZMQ_LINGER, &linger, sizeof linger);
    zmq_setsockopt(first, ZMQ_ROUTING_ID, "same", 4);
    zmq_setsockopt(second, ZMQ_ROUTING_ID, "same", 4);
    assert_int_equal(zmq_connect(first, world->endpoint), 0);
    json_decref(front_client_ask(first, classify, &text, 1, 200, NULL));
    assert_int_equal(zmq_connect(second, world->endpoint), 0);
    front_client_send(second, classify, &text, 1);
    json_decref(front_client_ask(first, classify, &text, 1, 200, NULL));
    assert_null(front_client_receive(second, 300));
    (void)zmq_close(first);
    (void)zmq_close(second);
    stop(world);
}

/* ---- configuration ---- */

static void test_refuses_a_path_that_is_not_a_socket_and_leaves_it_alone(void **state) {
    struct world *world = *state;
    char content[16] = "";
    FILE *file = fopen(world->path, "w");
    assert_non_null(file);
    fputs("precious", file);
    (void)fclose(file);
    start_refused(world, "is not a socket");
    file = fopen(world->path, "r");
    assert_non_null(file);
    assert_non_null(fgets(content, sizeof content, file));
    (void)fclose(file);
    assert_string_equal(content, "precious");
    assert_int_equal(unlink(world->path), 0);
    assert_int_equal(symlink("/dev/null", world->path), 0);
    start_refused(world, "is not a socket");
    assert_int_equal(unlink(world->path), 0);
    assert_int_equal(mkdir(world->path, 0700), 0);
    start_refused(world, "is not a socket");
    assert_int_equal(rmdir(world->path), 0);
}

static void test_replaces_a_stale_socket_but_not_a_live_one(void **state) {
    struct world *world = *state;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    strncpy(address.sun_path, world->path, sizeof address.sun_path - 1);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(fd, 5), 0);
    start_refused(world, "another process listens there");
    (void)close(fd); /* the file stays */
    start(world);
    serves(world);
    struct front_core second;
    front_core_start(&second, &world->settings);
    assert_false(second.ready);
    (void)front_core_stop(&second);
    serves(world);
    stop(world);
}

static void test_refuses_endpoints_that_make_no_sense(void **state) {
    struct world *world = *state;
    static const struct {
        const char *endpoint, *why;
    } table[] = {
        {"ipc://relative.sock", "absolute"},
        {"ipc://", "absolute"},
        {"ipc://*", "absolute"},
        {"inproc://x", "must begin with"},
        {"pgm://eth0;239.192.1.1:5555", "must begin with"},
        {"", "must begin with"},
        {"ipc:///nonexistent-folder/x.sock", "nonexistent-folder"},
        {"ipc:///"
         "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
         "aaaaa"
         "aaaaaaaaaaaaaaaaaa",
         "bytes"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        (void)snprintf(world->settings.endpoints[0], 256, "%s", table[i].endpoint);
        start_refused(world, table[i].why);
    }
}

static void test_binds_nothing_when_one_endpoint_is_refused(void **state) {
    struct world *world = *state;
    world->settings.endpoint_count = 2;
    (void)snprintf(world->settings.endpoints[1], 256, "tcp://127.0.0.1:*");
    start_refused(world, "tcp without CURVE");
    assert_int_equal(front_raw_connect(world->path), -1);
}

/* ---- confinement ---- */

static void test_runs_confined(void **state) {
    struct world *world = *state;
    char path[64];
    char line[256];
    bool filtered = false;
    bool no_new_privs = false;
    start(world);
    (void)snprintf(path, sizeof path, "/proc/%d/status", (int)world->core.pid);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file) != NULL) {
        filtered = filtered || strcmp(line, "Seccomp:\t2\n") == 0;
        no_new_privs = no_new_privs || strcmp(line, "NoNewPrivs:\t1\n") == 0;
    }
    (void)fclose(file);
    assert_true(no_new_privs);
    assert_int_equal(filtered, !BUCKLER_SANITIZED);
    stop(world);
}

int main(void) {
#define in_world(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        in_world(test_refuses_a_uid_that_is_not_listed),
        in_world(test_serves_a_uid_that_is_listed),
        in_world(test_refuses_tcp_without_curve),
        in_world(test_serves_insecure_loopback_as_the_tenant_loopback),
        in_world(test_survives_greetings_that_are_not_zmtp),
        in_world(test_drops_half_open_connections),
        in_world(test_drops_a_connection_that_sends_a_giant_frame),
        in_world(test_a_message_that_never_ends_is_never_seen),
        in_world(test_a_client_that_leaves_loses_only_its_own_replies),
        in_world(test_an_empty_probe_message_is_ignored),
        in_world(test_a_peer_with_the_routing_id_of_another_does_not_take_it_over),
        in_world(test_refuses_a_path_that_is_not_a_socket_and_leaves_it_alone),
        in_world(test_replaces_a_stale_socket_but_not_a_live_one),
        in_world(test_refuses_endpoints_that_make_no_sense),
        in_world(test_binds_nothing_when_one_endpoint_is_refused),
        in_world(test_runs_confined),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
