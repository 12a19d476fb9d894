/* SPDX-License-Identifier: Apache-2.0
 *
 * The real buckler-front between real ZeroMQ clients and a core that reports what arrived.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zmq.h>

#include <cmocka.h>

#include "tests/integration/front_client.h"
#include "tests/integration/front_core.h"

struct world {
    char folder[64], path[96], endpoint[128];
    struct front_core core;
    void *context, *client;
};

static int set_up(void **state) {
    struct world *world = calloc(1, sizeof *world);
    struct ipc_settings settings;
    (void)snprintf(world->folder, sizeof world->folder, "/tmp/buckler-front-XXXXXX");
    assert_non_null(mkdtemp(world->folder));
    (void)snprintf(world->path, sizeof world->path, "%s/front.sock", world->folder);
    (void)snprintf(world->endpoint, sizeof world->endpoint, "ipc://%s", world->path);
    front_core_settings(&settings, world->endpoint);
    front_core_start(&world->core, &settings);
    assert_true(world->core.ready);
    world->context = zmq_ctx_new();
    world->client = front_client_connect(world->context, ZMQ_DEALER, world->endpoint, NULL);
    *state = world;
    return 0;
}

static int tear_down(void **state) {
    struct world *world = *state;
    (void)zmq_close(world->client);
    (void)zmq_ctx_term(world->context);
    int status = front_core_stop(&world->core);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        fail_msg("the front ended with wait status 0x%x", (unsigned)status);
    }
    assert_int_not_equal(access(world->path, F_OK), 0);
    assert_int_equal(rmdir(world->folder), 0);
    free(world);
    return 0;
}

static const char classify[] = "{\"op\":\"classify\",\"id\":\"1\",\"parts\":[{\"kind\":\"text\"}]}";
static const struct front_part text = {"hello", 5};

static void test_classify_reaches_the_core_with_the_clients_uid(void **state) {
    struct world *world = *state;
    char tenant[32];
    (void)snprintf(tenant, sizeof tenant, "uid:%u", (unsigned)getuid());
    json_t *reply = front_client_ask(world->client, classify, &text, 1, 200, NULL);
    assert_string_equal(front_text(reply, "verdict"), "allow");
    assert_string_equal(front_text(reply, "id"), "1");
    assert_string_equal(front_text(reply, "tenant"), tenant);
    assert_string_equal(front_text(reply, "scope"), "upload");
    json_t *part = json_array_get(json_object_get(reply, "parts"), 0);
    assert_int_equal(json_integer_value(json_object_get(part, "size")), 5);
    assert_int_equal(json_integer_value(json_object_get(part, "sum")), 'h' + 'e' + 'l' + 'l' + 'o');
    json_decref(reply);
}

static void test_says_where_it_listens_and_gives_the_socket_mode_0660(void **state) {
    struct world *world = *state;
    struct stat info;
    assert_string_equal(world->core.said, world->endpoint);
    assert_int_equal(stat(world->path, &info), 0);
    assert_int_equal(info.st_mode & 07777, 0660);
}

static void test_a_req_client_gets_its_empty_delimiter_back(void **state) {
    struct world *world = *state;
    void *req = front_client_connect(world->context, ZMQ_REQ, world->endpoint, NULL);
    for (int i = 0; i < 3; i++) {
        json_decref(front_client_ask(req, classify, &text, 1, 200, NULL));
        json_decref(front_client_ask(req, "{}", NULL, 0, 400, "bad_field"));
    }
    (void)zmq_close(req);
}

static void test_eight_parts_of_every_size_arrive_whole(void **state) {
    struct world *world = *state;
    static const size_t sizes[8] = {0, 1, 255, 256, 65535, 65536, 1 << 20, 3000001};
    static const char header[] =
        "{\"op\":\"classify\",\"id\":\"8\",\"scope\":\"prompt\",\"parts\":[{\"kind\":\"text\"},{\"kind\":"
        "\"image\"},"
        "{\"kind\":\"text\",\"role\":\"assistant\"},{\"kind\":\"text\",\"judge\":false},{\"kind\":\"text\"},"
        "{\"kind\":\"text\"},{\"kind\":\"text\"},{\"kind\":\"text\"}]}";
    struct front_part parts[8];
    uint8_t *bytes = malloc(3000001);
    for (size_t i = 0; i < 3000001; i++) {
        bytes[i] = (uint8_t)(i * 31 >> 3);
    }
    for (size_t i = 0; i < 8; i++) {
        parts[i] = (struct front_part){bytes, sizes[i]};
    }
    json_t *reply = front_client_ask(world->client, header, parts, 8, 200, NULL);
    json_t *reports = json_object_get(reply, "parts");
    assert_int_equal(json_array_size(reports), 8);
    for (size_t i = 0; i < 8; i++) {
        uint64_t sum = 0;
        for (size_t k = 0; k < sizes[i]; k++) {
            sum += bytes[k];
        }
        json_t *report = json_array_get(reports, i);
        assert_int_equal(json_integer_value(json_object_get(report, "size")), sizes[i]);
        assert_int_equal(json_integer_value(json_object_get(report, "sum")), sum);
    }
    assert_string_equal(front_text(json_array_get(reports, 1), "kind"), "image");
    assert_string_equal(front_text(json_array_get(reports, 2), "role"), "assistant");
    assert_true(json_is_false(json_object_get(json_array_get(reports, 3), "judge")));
    free(bytes);
    json_decref(reply);
}

static void test_refuses_nine_and_ten_thousand_payload_frames(void **state) {
    struct world *world = *state;
    static struct front_part parts[10000];
    for (size_t i = 0; i < 10000; i++) {
        parts[i] = text;
    }
    json_t *reply = front_client_ask(world->client, classify, parts, 9, 400, "bad_frames");
    assert_string_equal(front_text(reply, "id"), "1");
    json_decref(reply);
    reply = front_client_ask(world->client, classify, parts, 10000, 400, "bad_frames");
    assert_string_equal(front_text(reply, "id"), "1");
    json_decref(reply);
    json_decref(front_client_ask(world->client, classify, &text, 1, 200, NULL));
}

static void test_refuses_parts_that_the_header_does_not_name(void **state) {
    struct world *world = *state;
    struct front_part two[2] = {text, text};
    json_decref(front_client_ask(world->client, classify, two, 2, 400, "bad_frames"));
    json_decref(front_client_ask(world->client, classify, NULL, 0, 400, "bad_frames"));
    json_decref(
        front_client_ask(world->client, "{\"op\":\"ping\",\"id\":\"p\"}", &text, 1, 400, "bad_frames"));
}

static void test_refuses_a_header_of_more_than_16_kib(void **state) {
    struct world *world = *state;
    static char header[20000];
    memset(header, ' ', sizeof header - 1);
    memcpy(header, classify, sizeof classify - 1);
    header[IPC_MAX_HEADER_BYTES] = '\0';
    json_decref(front_client_ask(world->client, header, &text, 1, 200, NULL));
    header[IPC_MAX_HEADER_BYTES] = ' ';
    json_t *reply = front_client_ask(world->client, header, &text, 1, 400, "bad_header");
    assert_string_equal(front_text(reply, "id"), "");
    json_decref(reply);
}

static void test_refuses_large_parts_and_a_large_sum(void **state) {
    struct world *world = *state;
    char *bytes = calloc(1, IPC_MAX_PART_BYTES + 1);
    struct front_part large = {bytes, IPC_MAX_PART_BYTES + 1};
    struct front_part two[2] = {{bytes, IPC_MAX_PART_BYTES}, {bytes, IPC_MAX_PART_BYTES}};
    static const char both[] =
        "{\"op\":\"classify\",\"id\":\"2\",\"parts\":[{\"kind\":\"text\"},{\"kind\":\"text\"}]}";
    json_decref(front_client_ask(world->client, classify, &large, 1, 413, "part_too_large"));
    json_decref(front_client_ask(world->client, both, two, 2, 413, "total_too_large"));
    large.size--;
    json_decref(front_client_ask(world->client, classify, &large, 1, 200, NULL));
    free(bytes);
}

static void test_a_refusal_goes_through_the_core(void **state) {
    struct world *world = *state;
    json_decref(front_client_ask(world->client, "not JSON", NULL, 0, 400, "bad_header"));
    json_decref(
        front_client_ask(world->client, "{\"id\":\"x\",\"op\":\"nope\"}", NULL, 0, 404, "unknown_op"));
    assert_int_equal(atomic_load(&world->core.refused), 2);
}

static void hold(struct world *world, const char *id) {
    char header[256];
    unsigned before = atomic_load(&world->core.held_count);
    (void)snprintf(header, sizeof header,
                   "{\"op\":\"classify\",\"id\":\"%s\",\"policy\":\"hold\",\"parts\":[{\"kind\":\"text\"}]}",
                   id);
    front_client_send(world->client, header, &text, 1);
    /* The ping is answered behind it: messages of one connection keep their order. */
    json_decref(front_client_ask(world->client, "{\"op\":\"ping\",\"id\":\"p\"}", NULL, 0, 200, NULL));
    assert_int_equal(atomic_load(&world->core.held_count), before + 1);
}

static void test_refuses_an_id_that_is_open_and_takes_it_again_afterwards(void **state) {
    struct world *world = *state;
    hold(world, "1");
    json_decref(front_client_ask(world->client, classify, &text, 1, 409, "duplicate_id"));
    void *other = front_client_connect(world->context, ZMQ_DEALER, world->endpoint, NULL);
    json_decref(front_client_ask(other, classify, &text, 1, 200, NULL)); /* ids belong to a connection */
    (void)zmq_close(other);
    json_decref(front_client_ask(world->client, "{\"op\":\"cancel\",\"id\":\"c\",\"target\":\"1\"}", NULL, 0,
                                 499, "cancelled"));
    json_decref(front_client_receive(world->client, 10000)); /* the cancel's own reply */
    json_decref(front_client_ask(world->client, classify, &text, 1, 200, NULL));
}

static void test_a_full_window_refuses_but_lets_cancel_through(void **state) {
    struct world *world = *state;
    hold(world, "a");
    hold(world, "b");
    hold(world, "c");
    hold(world, "d");
    json_t *reply = front_client_ask(world->client, classify, &text, 1, 429, "window");
    assert_true(json_integer_value(json_object_get(reply, "retry_after_ms")) > 0);
    json_decref(reply);
    json_decref(front_client_ask(world->client, "{\"op\":\"cancel\",\"id\":\"x\",\"target\":\"b\"}", NULL, 0,
                                 499, "cancelled"));
    reply = front_client_receive(world->client, 10000);
    assert_string_equal(front_text(reply, "id"), "x");
    json_decref(reply);
    json_decref(front_client_ask(world->client, classify, &text, 1, 200, NULL));
}

static void test_answers_in_order_of_the_core_whatever_is_in_flight(void **state) {
    struct world *world = *state;
    void *clients[8];
    for (int i = 0; i < 8; i++) {
        clients[i] = front_client_connect(world->context, ZMQ_DEALER, world->endpoint, NULL);
    }
    for (int round = 0; round < 50; round++) {
        for (int i = 0; i < 8; i++) {
            front_client_send(clients[i], classify, &text, 1);
        }
        for (int i = 0; i < 8; i++) {
            json_t *reply = front_client_receive(clients[i], 10000);
            assert_non_null(reply);
            assert_string_equal(front_text(reply, "verdict"), "allow");
            json_decref(reply);
        }
    }
    for (int i = 0; i < 8; i++) {
        (void)zmq_close(clients[i]);
    }
}

static void test_says_overloaded_when_the_core_does_not_read(void **state) {
    struct world *world = *state;
    enum { CLIENTS = 400 };
    void *clients[CLIENTS];
    unsigned served = 0;
    unsigned overloaded = 0;
    front_core_pause(&world->core, true);
    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = front_client_connect(world->context, ZMQ_DEALER, world->endpoint, NULL);
        for (int k = 0; k < 4; k++) {
            char header[128];
            (void)snprintf(header, sizeof header,
                           "{\"op\":\"classify\",\"id\":\"%d\",\"parts\":[{\"kind\":\"text\"}]}", k);
            front_client_send(clients[i], header, &text, 1);
        }
    }
    json_t *first = NULL;
    for (int i = CLIENTS - 1; i >= 0 && first == NULL; i--) {
        first = front_client_receive(clients[i], 500); /* only the front can have said this */
        overloaded += first != NULL;
    }
    assert_non_null(first);
    assert_string_equal(front_text(first, "code"), "overloaded");
    assert_string_equal(front_text(first, "verdict"), "deny");
    assert_true(json_integer_value(json_object_get(first, "retry_after_ms")) > 0);
    json_decref(first);
    front_core_pause(&world->core, false);
    while (served + overloaded < CLIENTS * 4) {
        unsigned before = served + overloaded;
        for (int i = 0; i < CLIENTS; i++) {
            json_t *reply = front_client_receive(clients[i], 0);
            if (reply != NULL) {
                bool allow = strcmp(front_text(reply, "verdict"), "allow") == 0;
                served += allow;
                overloaded += !allow;
                json_decref(reply);
            }
        }
        if (served + overloaded == before) { /* wait for any of them; none within 10 s is a lost reply */
            zmq_pollitem_t items[CLIENTS];
            for (int i = 0; i < CLIENTS; i++) {
                items[i] = (zmq_pollitem_t){.socket = clients[i], .events = ZMQ_POLLIN};
            }
            assert_true(zmq_poll(items, CLIENTS, 10000) > 0);
        }
    }
    assert_true(served > 512);
    for (int i = 0; i < CLIENTS; i++) {
        (void)zmq_close(clients[i]);
    }
}

int main(void) {
#define in_world(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        in_world(test_classify_reaches_the_core_with_the_clients_uid),
        in_world(test_says_where_it_listens_and_gives_the_socket_mode_0660),
        in_world(test_a_req_client_gets_its_empty_delimiter_back),
        in_world(test_eight_parts_of_every_size_arrive_whole),
        in_world(test_refuses_nine_and_ten_thousand_payload_frames),
        in_world(test_refuses_parts_that_the_header_does_not_name),
        in_world(test_refuses_a_header_of_more_than_16_kib),
        in_world(test_refuses_large_parts_and_a_large_sum),
        in_world(test_a_refusal_goes_through_the_core),
        in_world(test_refuses_an_id_that_is_open_and_takes_it_again_afterwards),
        in_world(test_a_full_window_refuses_but_lets_cancel_through),
        in_world(test_answers_in_order_of_the_core_whatever_is_in_flight),
        in_world(test_says_overloaded_when_the_core_does_not_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
