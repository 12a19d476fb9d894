/* SPDX-License-Identifier: Apache-2.0
 *
 * libbuckler against a ROUTER that answers as it is told.
 */
#include <jansson.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zmq.h>

#include <cmocka.h>

#include "clients/c/buckler.h"

/* ---- a server ---- */

enum { REPLY_BYTES = 4096, SEEN = 64 };

/* `%s` in the template stands for the request's id; an empty template is silence. */
struct server {
    char folder[64], endpoint[128];
    void *context, *stop;
    pthread_t thread;
    pthread_mutex_t lock;
    char template[REPLY_BYTES];
    const char *second_frame;
    unsigned count, starts;
    char headers[SEEN][512], payloads[SEEN][64];
    size_t frames[SEEN];
    int arrived[2];
};

static void answer_one(struct server *server, void *router) {
    zmq_msg_t frames[12];
    size_t count = 0;
    char reply[REPLY_BYTES];
    do {
        zmq_msg_init(&frames[count]);
        assert_true(zmq_msg_recv(&frames[count], router, 0) >= 0);
    } while (zmq_msg_more(&frames[count++]) && count < 12);
    json_t *header = json_loadb(zmq_msg_data(&frames[1]), zmq_msg_size(&frames[1]), 0, NULL);
    pthread_mutex_lock(&server->lock);
    unsigned n = server->count++ % SEEN;
    (void)snprintf(server->headers[n], 512, "%.*s", (int)zmq_msg_size(&frames[1]),
                   (char *)zmq_msg_data(&frames[1]));
    if (count > 2) {
        (void)snprintf(server->payloads[n], 64, "%.*s", (int)zmq_msg_size(&frames[2]),
                       (char *)zmq_msg_data(&frames[2]));
    }
    server->frames[n] = count - 1;
    const char *id = json_string_value(json_object_get(header, "id"));
    char *hole = strstr(server->template, "%s");
    (void)snprintf(reply, sizeof reply, "%.*s%s%s",
                   (int)(hole != NULL ? (size_t)(hole - server->template) : strlen(server->template)),
                   server->template, hole != NULL ? id : "", hole != NULL ? hole + 2 : "");
    const char *second = server->second_frame;
    pthread_mutex_unlock(&server->lock);
    if (reply[0] != '\0') {
        zmq_msg_send(&frames[0], router, ZMQ_SNDMORE);
        zmq_send(router, reply, strlen(reply), second != NULL ? ZMQ_SNDMORE : 0);
        if (second != NULL) {
            zmq_send(router, second, strlen(second), 0);
        }
    }
    for (size_t i = 0; i < count; i++) {
        zmq_msg_close(&frames[i]);
    }
    json_decref(header);
    assert_int_equal(write(server->arrived[1], "x", 1), 1);
}

struct run {
    struct server *server;
    void *router;
    char stop_name[64];
};

static void *serve(void *user) {
    struct run *run = user;
    void *stop = zmq_socket(run->server->context, ZMQ_PAIR);
    assert_int_equal(zmq_connect(stop, run->stop_name), 0);
    for (;;) {
        zmq_pollitem_t items[2] = {{.socket = run->router, .events = ZMQ_POLLIN},
                                   {.socket = stop, .events = ZMQ_POLLIN}};
        assert_true(zmq_poll(items, 2, -1) > 0);
        if (items[1].revents != 0) {
            break;
        }
        answer_one(run->server, run->router);
    }
    int linger = 1000; /* what was answered goes out */
    zmq_setsockopt(run->router, ZMQ_LINGER, &linger, sizeof linger);
    zmq_close(run->router);
    zmq_close(stop);
    free(run);
    return NULL;
}

static void server_start(struct server *server) {
    struct run *run = calloc(1, sizeof *run);
    run->server = server;
    (void)snprintf(run->stop_name, sizeof run->stop_name, "inproc://stop.%u", server->starts++);
    server->context = zmq_ctx_new();
    server->stop = zmq_socket(server->context, ZMQ_PAIR);
    assert_int_equal(zmq_bind(server->stop, run->stop_name), 0);
    run->router = zmq_socket(server->context, ZMQ_ROUTER);
    assert_int_equal(zmq_bind(run->router, server->endpoint), 0);
    assert_int_equal(pthread_create(&server->thread, NULL, serve, run), 0);
}

static void server_stop(struct server *server) {
    assert_int_equal(zmq_send(server->stop, "", 0, 0), 0);
    assert_int_equal(pthread_join(server->thread, NULL), 0);
    zmq_close(server->stop);
    /* zmq_close alone returns before the listener removes its file, which may be the next server's by then.
     */
    assert_int_equal(zmq_ctx_term(server->context), 0);
    server->stop = NULL;
}

static void server_says(struct server *server, const char *template) {
    pthread_mutex_lock(&server->lock);
    (void)snprintf(server->template, sizeof server->template, "%s", template);
    pthread_mutex_unlock(&server->lock);
}

static void server_wait(struct server *server) {
    char byte = 0;
    struct pollfd waiting = {.fd = server->arrived[0], .events = POLLIN};
    assert_int_equal(poll(&waiting, 1, 10000), 1);
    assert_int_equal(read(server->arrived[0], &byte, 1), 1);
}

static int set_up(void **state) {
    struct server *server = calloc(1, sizeof *server);
    (void)snprintf(server->folder, sizeof server->folder, "/tmp/buckler-client-XXXXXX");
    assert_non_null(mkdtemp(server->folder));
    (void)snprintf(server->endpoint, sizeof server->endpoint, "ipc://%s/s.sock", server->folder);
    assert_int_equal(pipe(server->arrived), 0);
    pthread_mutex_init(&server->lock, NULL);
    server_says(
        server,
        "{\"id\":\"%s\",\"status\":200,\"verdict\":\"allow\",\"moderated\":true,\"action\":\"allow\"}");
    server_start(server);
    *state = server;
    return 0;
}

static int tear_down(void **state) {
    struct server *server = *state;
    char path[128];
    if (server->stop != NULL) {
        server_stop(server);
    }
    (void)snprintf(path, sizeof path, "%s/s.sock", server->folder);
    (void)unlink(path);
    (void)rmdir(server->folder);
    close(server->arrived[0]);
    close(server->arrived[1]);
    pthread_mutex_destroy(&server->lock);
    free(server);
    return 0;
}

static struct buckler_client *connect_to(struct server *server) {
    struct buckler_client *client = NULL;
    assert_int_equal(buckler_client_new(server->endpoint, NULL, &client), 0);
    return client;
}

static const struct buckler_part hello = {.kind = "text", .bytes = "hello", .size = 5};
static const struct buckler_request request = {.policy = "p", .parts = &hello, .part_count = 1};

/* ---- one at a time ---- */

static void test_an_allow_allows(void **state) {
    struct buckler_client *client = connect_to(*state);
    struct buckler_reply *reply = NULL;
    assert_int_equal(buckler_classify(client, &request, 10000, &reply), 0);
    assert_true(buckler_reply_allowed(reply));
    assert_true(buckler_reply_moderated(reply));
    assert_int_equal(buckler_reply_status(reply), 200);
    assert_string_equal(((struct server *)*state)->payloads[0], "hello");
    assert_int_equal(((struct server *)*state)->frames[0], 2);
    buckler_reply_free(reply);
    buckler_client_free(client);
}

static void test_nothing_allows_but_an_allow(void **state) {
    struct server *server = *state;
    static const char *const replies[] = {
        "allow",
        "\"allow\"",
        "{}",
        "{\"id\":\"%s\",\"status\":200}",
        "{\"id\":\"%s\",\"status\":200,\"verdict\":\"Allow\"}",
        "{\"id\":\"%s\",\"status\":200,\"verdict\":true}",
        "{\"id\":\"%s\",\"verdict\":\"allow\"}",
        "{\"id\":\"\",\"status\":400,\"verdict\":\"deny\",\"detail\":\"not valid JSON\"}",
    };
    struct buckler_client *client = connect_to(server);
    for (size_t i = 0; i < sizeof replies / sizeof *replies; i++) {
        struct buckler_reply *reply = NULL;
        server_says(server, replies[i]);
        assert_int_equal(buckler_classify(client, &request, 10000, &reply), BUCKLER_E_PROTOCOL);
        assert_null(reply);
        assert_false(buckler_reply_allowed(reply));
        assert_string_not_equal(buckler_client_error(client), "");
    }
    buckler_client_free(client);
}

static void test_silence_is_a_timeout_and_its_late_reply_is_dropped(void **state) {
    struct server *server = *state;
    struct buckler_client *client = connect_to(server);
    struct buckler_reply *reply = NULL;
    server_says(server, "");
    assert_int_equal(buckler_classify(client, &request, 200, &reply), BUCKLER_E_TIMEOUT);
    server_says(server, "{\"id\":\"~0\",\"status\":200,\"verdict\":\"allow\"}");
    assert_int_equal(buckler_classify(client, &request, 200, &reply), BUCKLER_E_TIMEOUT);
    assert_int_equal(buckler_receive(client, 0, &reply), BUCKLER_E_TIMEOUT);
    server_says(server, "{\"id\":\"%s\",\"status\":200,\"verdict\":\"deny\"}");
    assert_int_equal(buckler_classify(client, &request, 10000, &reply), 0);
    assert_false(buckler_reply_allowed(reply));
    buckler_reply_free(reply);
    buckler_client_free(client);
}

static void test_a_server_that_comes_later_is_found(void **state) {
    struct server *server = *state;
    struct buckler_reply *reply = NULL;
    server_stop(server);
    struct buckler_client *client = connect_to(server);
    assert_int_equal(buckler_ping(client, 100, &reply), BUCKLER_E_TIMEOUT);
    server_start(server);
    assert_int_equal(buckler_ping(client, 10000, &reply), 0);
    buckler_reply_free(reply);
    buckler_client_free(client);
}

struct asking {
    struct buckler_client *client;
    int rc;
    struct buckler_reply *reply;
};

static void *ask(void *user) {
    struct asking *asking = user;
    asking->rc = buckler_classify(asking->client, &request, 20000, &asking->reply);
    return NULL;
}

static void test_a_request_is_sent_again_when_the_server_dies_over_it(void **state) {
    struct server *server = *state;
    struct asking asking = {.client = connect_to(server), .rc = -1};
    pthread_t thread;
    server_says(server, "");
    assert_int_equal(pthread_create(&thread, NULL, ask, &asking), 0);
    server_wait(server);
    server_stop(server);
    server_says(server, "{\"id\":\"%s\",\"status\":200,\"verdict\":\"allow\"}");
    server_start(server);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(asking.rc, 0);
    assert_true(buckler_reply_allowed(asking.reply));
    assert_int_equal(server->count, 2);
    assert_string_not_equal(server->headers[0], server->headers[1]);
    buckler_reply_free(asking.reply);
    buckler_client_free(asking.client);
}

static void test_hello_ping_and_cancel_are_their_ops(void **state) {
    struct server *server = *state;
    struct buckler_client *client = connect_to(server);
    struct buckler_reply *reply = NULL;
    assert_int_equal(buckler_hello(client, 10000, &reply), 0);
    buckler_reply_free(reply);
    assert_int_equal(buckler_ping(client, 10000, &reply), 0);
    buckler_reply_free(reply);
    assert_int_equal(buckler_cancel(client, "r7", 10000, &reply), 0);
    buckler_reply_free(reply);
    assert_string_equal(server->headers[0], "{\"op\":\"hello\",\"id\":\"~0\"}");
    assert_string_equal(server->headers[1], "{\"op\":\"ping\",\"id\":\"~1\"}");
    assert_string_equal(server->headers[2], "{\"op\":\"cancel\",\"id\":\"~2\",\"target\":\"r7\"}");
    buckler_client_free(client);
}

static void test_wrong_requests_are_not_sent(void **state) {
    struct server *server = *state;
    struct buckler_client *client = connect_to(server);
    struct buckler_reply *reply = NULL;
    char id[BUCKLER_ID_SIZE];
    struct buckler_part parts[9];
    struct buckler_part large = {.kind = "image", .bytes = "", .size = BUCKLER_MAX_PART_BYTES + 1};
    struct buckler_part kindless = {.bytes = "x", .size = 1};
    struct buckler_request wrong = {.parts = parts, .part_count = 9};
    for (int i = 0; i < 9; i++) {
        parts[i] = hello;
    }
    assert_int_equal(buckler_classify(client, &wrong, 1000, &reply), BUCKLER_E_INVALID);
    wrong.part_count = 0;
    assert_int_equal(buckler_classify(client, &wrong, 1000, &reply), BUCKLER_E_INVALID);
    wrong = (struct buckler_request){.parts = &large, .part_count = 1};
    assert_int_equal(buckler_classify(client, &wrong, 1000, &reply), BUCKLER_E_INVALID);
    wrong.parts = &kindless;
    assert_int_equal(buckler_classify(client, &wrong, 1000, &reply), BUCKLER_E_INVALID);
    wrong = (struct buckler_request){.parts = &hello, .part_count = 1, .policy = "\xff"};
    assert_int_equal(buckler_classify(client, &wrong, 1000, &reply), BUCKLER_E_INVALID);
    wrong = (struct buckler_request){.parts = &hello, .part_count = 1, .id = "~1"};
    assert_int_equal(buckler_send(client, &wrong, 1000, id), BUCKLER_E_INVALID);
    wrong.id = "";
    assert_int_equal(buckler_send(client, &wrong, 1000, id), BUCKLER_E_INVALID);
    assert_int_equal(buckler_ping(client, 10000, &reply), 0);
    buckler_reply_free(reply);
    assert_int_equal(server->count, 1);
    buckler_client_free(client);
}

static void test_a_server_that_makes_no_sense_is_invalid(void **state) {
    (void)state;
    struct buckler_client *client = NULL;
    struct buckler_options half = {.server_key = "short"};
    assert_int_equal(buckler_client_new("nonsense", NULL, &client), BUCKLER_E_INVALID);
    assert_int_equal(buckler_client_new("tcp://127.0.0.1:1", &half, &client), BUCKLER_E_INVALID);
    assert_null(client);
}

static void test_redacted_parts_come_with_the_reply(void **state) {
    struct server *server = *state;
    struct buckler_client *client = connect_to(server);
    struct buckler_reply *reply = NULL;
    size_t size = 0;
    server->second_frame = "my name is ***";
    assert_int_equal(buckler_classify(client, &request, 10000, &reply), 0);
    assert_int_equal(buckler_reply_part_count(reply), 1);
    assert_memory_equal(buckler_reply_part(reply, 0, &size), "my name is ***", 14);
    assert_int_equal(size, 14);
    assert_null(buckler_reply_part(reply, 1, &size));
    buckler_reply_free(reply);
    buckler_client_free(client);
}

/* ---- many in flight ---- */

static void test_many_in_flight_come_back_by_id_and_through_the_descriptor(void **state) {
    struct server *server = *state;
    enum { COUNT = 500 };
    struct buckler_client *client = connect_to(server);
    bool seen[COUNT] = {false};
    int got = 0;
    for (int i = 0; i < COUNT; i++) {
        char id[BUCKLER_ID_SIZE];
        assert_int_equal(buckler_send(client, &request, 10000, id), 0);
        assert_int_equal(id[0], 'r');
    }
    while (got < COUNT) {
        struct buckler_reply *reply = NULL;
        while (buckler_receive(client, 0, &reply) == 0) {
            long n = strtol(buckler_reply_id(reply) + 1, NULL, 10);
            assert_true(n >= 0 && n < COUNT && !seen[n]);
            seen[n] = true;
            got++;
            buckler_reply_free(reply);
        }
        struct pollfd waiting = {.fd = buckler_fd(client), .events = POLLIN};
        assert_true(got == COUNT || poll(&waiting, 1, 10000) > 0);
    }
    buckler_client_free(client);
}

static void test_a_waiting_call_keeps_the_replies_of_others(void **state) {
    struct server *server = *state;
    struct buckler_client *client = connect_to(server);
    struct buckler_request named = request;
    struct buckler_reply *reply = NULL;
    char id[BUCKLER_ID_SIZE];
    named.id = "mine";
    assert_int_equal(buckler_send(client, &named, 10000, id), 0);
    assert_string_equal(id, "mine");
    assert_int_equal(buckler_ping(client, 10000, &reply), 0);
    assert_string_not_equal(buckler_reply_id(reply), "mine");
    buckler_reply_free(reply);
    assert_int_equal(buckler_receive(client, 10000, &reply), 0);
    assert_string_equal(buckler_reply_id(reply), "mine");
    buckler_reply_free(reply);
    buckler_client_free(client);
}

static void test_a_broken_connection_is_told_once(void **state) {
    struct server *server = *state;
    struct buckler_client *client = connect_to(server);
    struct buckler_reply *reply = NULL;
    char id[BUCKLER_ID_SIZE];
    server_says(server, "");
    assert_int_equal(buckler_send(client, &request, 10000, id), 0);
    server_wait(server);
    server_stop(server);
    assert_int_equal(buckler_receive(client, 10000, &reply), BUCKLER_E_DISCONNECTED);
    assert_int_equal(buckler_receive(client, 100, &reply), BUCKLER_E_TIMEOUT);
    buckler_client_free(client);
}

static void test_a_reply_from_before_the_break_is_no_loss(void **state) {
    struct server *server = *state;
    struct buckler_client *client = connect_to(server);
    struct buckler_reply *reply = NULL;
    char id[BUCKLER_ID_SIZE];
    assert_int_equal(buckler_send(client, &request, 10000, id), 0);
    server_wait(server);
    server_stop(server);
    assert_int_equal(buckler_receive(client, 10000, &reply), 0);
    assert_string_equal(buckler_reply_id(reply), id);
    buckler_reply_free(reply);
    assert_int_equal(buckler_receive(client, 10000, &reply), BUCKLER_E_DISCONNECTED);
    buckler_client_free(client);
}

/* ---- keys ---- */

struct curve {
    void *context, *router;
    char endpoint[64], server_key[BUCKLER_KEY_SIZE], secret_key[BUCKLER_KEY_SIZE];
};

/* A server that speaks CURVE and takes every key; the client's secret is made here too. */
static void curve_start(struct curve *curve) {
    char secret[BUCKLER_KEY_SIZE], unused[BUCKLER_KEY_SIZE];
    size_t size = sizeof curve->endpoint;
    int on = 1;
    assert_int_equal(buckler_keypair(curve->server_key, secret), 0);
    assert_int_equal(buckler_keypair(unused, curve->secret_key), 0);
    curve->context = zmq_ctx_new();
    curve->router = zmq_socket(curve->context, ZMQ_ROUTER);
    assert_int_equal(zmq_setsockopt(curve->router, ZMQ_CURVE_SERVER, &on, sizeof on), 0);
    assert_int_equal(zmq_setsockopt(curve->router, ZMQ_CURVE_SECRETKEY, secret, 40), 0);
    assert_int_equal(zmq_bind(curve->router, "tcp://127.0.0.1:*"), 0);
    assert_int_equal(zmq_getsockopt(curve->router, ZMQ_LAST_ENDPOINT, curve->endpoint, &size), 0);
}

static void curve_stop(struct curve *curve) {
    zmq_close(curve->router);
    zmq_ctx_term(curve->context);
}

/* A request of this client arrives. */
static void assert_heard(struct curve *curve, const struct buckler_options *options) {
    struct buckler_client *client = NULL;
    struct buckler_part part = {.kind = "text", .bytes = "x", .size = 1};
    struct buckler_request wanted = {.parts = &part, .part_count = 1};
    char id[BUCKLER_ID_SIZE], frame[512];
    assert_int_equal(buckler_client_new(curve->endpoint, options, &client), 0);
    assert_int_equal(buckler_send(client, &wanted, 10000, id), 0);
    for (int i = 0; i < 3; i++) {
        assert_true(zmq_recv(curve->router, frame, sizeof frame, 0) >= 0);
    }
    buckler_client_free(client);
}

static void test_speaks_curve_with_the_keys_of_its_options(void **state) {
    (void)state;
    struct curve curve;
    curve_start(&curve);
    struct buckler_options options = {.server_key = curve.server_key, .secret_key = curve.secret_key};
    assert_heard(&curve, &options);
    curve_stop(&curve);
}

static void test_finds_keys_in_the_environment_for_tcp(void **state) {
    (void)state;
    struct curve curve;
    struct buckler_client *client = NULL;
    char path[] = "/tmp/buckler-key-XXXXXX";
    curve_start(&curve);
    int fd = mkstemp(path);
    assert_int_equal(dprintf(fd, "%s\n", curve.secret_key), 41);
    assert_int_equal(close(fd), 0);
    setenv("BUCKLER_SERVER_KEY", curve.server_key, 1);
    assert_int_equal(buckler_client_new(curve.endpoint, NULL, &client), BUCKLER_E_INVALID);
    setenv("BUCKLER_SECRET_KEY_FILE", path, 1);
    assert_heard(&curve, NULL);
    assert_int_equal(truncate(path, 39), 0);
    assert_int_equal(buckler_client_new(curve.endpoint, NULL, &client), BUCKLER_E_INVALID);
    assert_int_equal(buckler_client_new("ipc:///tmp/nobody", NULL, &client), 0);
    buckler_client_free(client);
    unsetenv("BUCKLER_SERVER_KEY");
    unsetenv("BUCKLER_SECRET_KEY_FILE");
    assert_int_equal(unlink(path), 0);
    curve_stop(&curve);
}

static void test_refuses_keys_that_are_none(void **state) {
    (void)state;
    static const char good[] = "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7";
    static const struct buckler_options table[] = {
        {good, NULL},
        {NULL, good},
        {good, "short"},
        {"", good},
        {good, "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf "},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct buckler_client *client = NULL;
        assert_int_equal(buckler_client_new("tcp://127.0.0.1:1", &table[i], &client), BUCKLER_E_INVALID);
    }
}

int main(void) {
#define with_server(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        with_server(test_an_allow_allows),
        with_server(test_nothing_allows_but_an_allow),
        with_server(test_silence_is_a_timeout_and_its_late_reply_is_dropped),
        with_server(test_a_server_that_comes_later_is_found),
        with_server(test_a_request_is_sent_again_when_the_server_dies_over_it),
        with_server(test_hello_ping_and_cancel_are_their_ops),
        with_server(test_wrong_requests_are_not_sent),
        cmocka_unit_test(test_a_server_that_makes_no_sense_is_invalid),
        with_server(test_redacted_parts_come_with_the_reply),
        with_server(test_many_in_flight_come_back_by_id_and_through_the_descriptor),
        with_server(test_a_waiting_call_keeps_the_replies_of_others),
        with_server(test_a_broken_connection_is_told_once),
        with_server(test_a_reply_from_before_the_break_is_no_loss),
        cmocka_unit_test(test_speaks_curve_with_the_keys_of_its_options),
        cmocka_unit_test(test_finds_keys_in_the_environment_for_tcp),
        cmocka_unit_test(test_refuses_keys_that_are_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
