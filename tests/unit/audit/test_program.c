/* SPDX-License-Identifier: Apache-2.0
 *
 * The real buckler-audit on a socket, as the core starts it.
 */
#include "logs.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "audit/proof/tlog_proof.h"
#include "base/buf.h"
#include "base/cursor.h"
#include "base/digest.h"
#include "base/spawn.h"

#define PROGRAM BUCKLER_BINARY_DIR "/bin/buckler-audit"

struct peer {
    struct spawned child;
    uint8_t *space;
};

static void start(struct peer *peer) {
    static char *const argv[] = {(char *)"buckler-audit", NULL};
    struct error error = {0};
    if (spawn_role(PROGRAM, argv, &peer->child, &error) != 0) {
        fail_msg("%s", error.text);
    }
    peer->space = malloc(IMSG_SPACE_BYTES);
    assert_non_null(peer->space);
}

/* The wait status. */
static int finish(struct peer *peer) {
    int status = 0;
    (void)close(peer->child.socket);
    assert_int_equal(waitpid(peer->child.pid, &status, 0), peer->child.pid);
    free(peer->space);
    return status;
}

static void wait_for(int fd, short events) {
    struct pollfd poll_fd = {.fd = fd, .events = events};
    assert_true(poll(&poll_fd, 1, 60000) == 1);
}

static void send_message(struct peer *peer, uint16_t type, uint64_t id, const void *body, size_t size) {
    int rc = 0;
    while ((rc = imsg_send(peer->child.socket, type, id, body, size, NULL, 0)) == -EAGAIN) {
        wait_for(peer->child.socket, POLLOUT);
    }
    assert_int_equal(rc, 0);
}

/* The next message, or -EPIPE. */
static int receive(struct peer *peer, struct imsg *message) {
    int rc = 0;
    while ((rc = imsg_receive(peer->child.socket, peer->space, message)) == -EAGAIN) {
        wait_for(peer->child.socket, POLLIN);
    }
    return rc;
}

static void configure(struct peer *peer, const char *directory, const char *mode) {
    struct buf body = {0};
    buf_string(&body, directory);
    buf_string(&body, mode);
    send_message(peer, AUDIT_CONFIGURE, 0, body.bytes, body.size);
    buf_deinit(&body);
}

static uint64_t expect_ready(struct peer *peer, uint64_t *ret_recovered) {
    struct imsg message;
    struct cursor c;
    char log_id[65];
    assert_int_equal(receive(peer, &message), 0);
    if (message.type == AUDIT_FAILED) {
        fail_msg("%.*s", (int)message.body_size, (const char *)message.body);
    }
    assert_int_equal(message.type, AUDIT_READY);
    cursor_init(&c, message.body, message.body_size);
    uint64_t next = cursor_u64(&c);
    *ret_recovered = cursor_u64(&c);
    cursor_string(&c, log_id, sizeof log_id);
    assert_true(cursor_done(&c));
    assert_non_null(strstr(log_id, "/buckler/"));
    return next;
}

static void send_record(struct peer *peer, uint64_t id) {
    char payload[64];
    (void)snprintf(payload, sizeof payload, "{\"id\":%llu}", (unsigned long long)id);
    send_message(peer, AUDIT_APPEND, id, payload, strlen(payload));
}

static void expect_durable(struct peer *peer, uint64_t id, uint64_t index) {
    struct imsg message;
    struct cursor c;
    assert_int_equal(receive(peer, &message), 0);
    assert_int_equal(message.type, AUDIT_DURABLE);
    assert_int_equal(message.id, id);
    cursor_init(&c, message.body, message.body_size);
    assert_int_equal(cursor_u64(&c), index);
    assert_true(cursor_done(&c));
}

static void expect_failed(struct peer *peer, const char *word) {
    struct imsg message;
    assert_int_equal(receive(peer, &message), 0);
    assert_int_equal(message.type, AUDIT_FAILED);
    assert_non_null(memmem(message.body, message.body_size, word, strlen(word)));
    assert_int_equal(receive(peer, &message), -EPIPE);
    int status = finish(peer);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == EXIT_FAILURE);
}

static uint64_t verified_records(const char *directory) {
    struct audit_report report;
    struct error error = {0};
    if (verify_with(directory, (struct audit_check){0}, &report, &error) != 0) {
        fail_msg("%s", error.text);
    }
    return report.records;
}

static void test_records_are_acknowledged_in_order_and_are_in_the_log(void **state) {
    struct peer peer;
    uint64_t recovered = 99;
    start(&peer);
    configure(&peer, *state, "before_reply");
    assert_int_equal(expect_ready(&peer, &recovered), 1);
    assert_int_equal(recovered, 0);
    /* More than fit the socket in either direction: the writer stops reading while nobody takes its answers.
     */
    uint64_t durable = 0;
    for (uint64_t sent = 0; sent < 1000;) {
        char payload[64];
        (void)snprintf(payload, sizeof payload, "{\"id\":%llu}", (unsigned long long)sent);
        int rc = imsg_send(peer.child.socket, AUDIT_APPEND, 5000 + sent, payload, strlen(payload), NULL, 0);
        if (rc == -EAGAIN) {
            expect_durable(&peer, 5000 + durable, 1 + durable);
            durable++;
        } else {
            assert_int_equal(rc, 0);
            sent++;
        }
    }
    for (; durable < 1000; durable++) {
        expect_durable(&peer, 5000 + durable, 1 + durable);
    }
    int status = finish(&peer);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_int_equal(verified_records(*state), 1001);
}

static void test_records_without_a_listener_are_written_too(void **state) {
    struct peer peer;
    uint64_t recovered = 0;
    start(&peer);
    configure(&peer, *state, "async");
    assert_int_equal(expect_ready(&peer, &recovered), 1);
    for (uint64_t i = 0; i < 20; i++) {
        send_record(&peer, i);
    }
    assert_int_equal(shutdown(peer.child.socket, SHUT_WR), 0);
    for (uint64_t i = 0; i < 20; i++) {
        expect_durable(&peer, i, 1 + i);
    }
    int status = finish(&peer);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_int_equal(verified_records(*state), 21);
}

static void test_every_acknowledged_record_survives_kill_9(void **state) {
    uint64_t next = 0;
    for (unsigned round = 0; round < 20; round++) {
        struct peer peer;
        uint64_t recovered = 0;
        start(&peer);
        configure(&peer, *state, "before_reply");
        uint64_t first = expect_ready(&peer, &recovered);
        assert_true(recovered >= next);
        for (uint64_t i = 0; i < 40; i++) {
            send_record(&peer, i);
        }
        /* Some answers are read, then it dies at whatever it is doing. */
        for (uint64_t i = 0; i < round * 2; i++) {
            expect_durable(&peer, i, first + i);
        }
        next = first + (uint64_t)round * 2;
        assert_int_equal(kill(peer.child.pid, SIGKILL), 0);
        int status = finish(&peer);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        struct audit_log *log = open_log(*state);
        assert_true(audit_recovered_index(log) >= next);
        log = audit_close(log);
        assert_true(verified_records(*state) >= next);
    }
}

static void ask_proof(struct peer *peer, uint64_t id, uint64_t index) {
    struct buf body = {0};
    buf_u64(&body, index);
    send_message(peer, AUDIT_PROVE, id, body.bytes, body.size);
    buf_deinit(&body);
}

static void check_proof(const struct imsg *message, const struct note_key *key) {
    char payload[64];
    char leaf[65];
    char text[4096];
    char expected[65];
    struct cursor c;
    struct tree_hash hash;
    struct checkpoint checkpoint;
    uint64_t index = 0;
    cursor_init(&c, message->body, message->body_size);
    cursor_string(&c, leaf, sizeof leaf);
    cursor_string(&c, text, sizeof text);
    assert_true(cursor_done(&c));
    (void)snprintf(payload, sizeof payload, "{\"id\":%llu}", (unsigned long long)message->id - 100);
    assert_int_equal(tree_leaf(payload, strlen(payload), &hash), 0);
    hex_encode(hash.bytes, sizeof hash.bytes, expected);
    assert_string_equal(leaf, expected);
    assert_int_equal(tlog_proof_verify(text, strlen(text), &hash, key, 1, NULL, &index, &checkpoint, NULL),
                     0);
    assert_int_equal(index, message->id - 100 + 1);
}

/* A proof is sent when a checkpoint covers the record, and it is one. */
static void test_proves_records_to_whoever_has_the_key(void **state) {
    struct peer peer;
    struct note_key key;
    char vkey[AUDIT_KEY_SIZE];
    uint64_t recovered = 0;
    start(&peer);
    configure(&peer, *state, "before_reply");
    (void)expect_ready(&peer, &recovered);
    assert_int_equal(audit_key(*state, vkey, NULL), 0);
    assert_int_equal(note_key_parse((struct slice){vkey, strlen(vkey)}, &key, NULL), 0);
    for (uint64_t i = 0; i < 3; i++) {
        send_record(&peer, i);
        ask_proof(&peer, 100 + i, 1 + i);
    }
    unsigned proofs = 0;
    for (unsigned messages = 0; messages < 6; messages++) {
        struct imsg message;
        assert_int_equal(receive(&peer, &message), 0);
        if (message.type == AUDIT_PROOF) {
            check_proof(&message, &key);
            proofs++;
        }
    }
    assert_int_equal(proofs, 3);
    assert_int_equal(finish(&peer), 0);
}

static void test_refuses_to_prove_what_is_not_there(void **state) {
    struct peer peer;
    uint64_t recovered = 0;
    start(&peer);
    configure(&peer, *state, "before_reply");
    (void)expect_ready(&peer, &recovered);
    ask_proof(&peer, 1, 7);
    expect_failed(&peer, "cannot be");
}

static void test_ignores_signals_meant_for_the_core(void **state) {
    struct peer peer;
    uint64_t recovered = 0;
    start(&peer);
    configure(&peer, *state, "before_reply");
    (void)expect_ready(&peer, &recovered);
    assert_int_equal(kill(peer.child.pid, SIGTERM), 0);
    send_record(&peer, 1);
    expect_durable(&peer, 1, 1);
    int status = finish(&peer);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void test_runs_confined(void **state) {
    struct peer peer;
    uint64_t recovered = 0;
    char path[64];
    char line[256];
    unsigned found = 0;
    start(&peer);
    configure(&peer, *state, "before_reply");
    (void)expect_ready(&peer, &recovered);
    (void)snprintf(path, sizeof path, "/proc/%d/status", (int)peer.child.pid);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file) != NULL) {
        found += strcmp(line, "Seccomp:\t2\n") == 0 || strcmp(line, "NoNewPrivs:\t1\n") == 0;
    }
    (void)fclose(file);
    assert_int_equal(found, 2);
    assert_int_equal(finish(&peer), 0);
}

static void test_a_payload_that_is_not_canonical_fails_after_those_before_it(void **state) {
    struct peer peer;
    uint64_t recovered = 0;
    start(&peer);
    configure(&peer, *state, "before_reply");
    (void)expect_ready(&peer, &recovered);
    send_record(&peer, 1);
    send_message(&peer, AUDIT_APPEND, 2, "{\"a\":1.5}", 9);
    expect_durable(&peer, 1, 1);
    expect_failed(&peer, "not an integer");
    assert_int_equal(verified_records(*state), 2);
}

static void test_refuses_a_log_that_another_process_writes(void **state) {
    struct peer first;
    struct peer second;
    uint64_t recovered = 0;
    start(&first);
    configure(&first, *state, "before_reply");
    (void)expect_ready(&first, &recovered);
    start(&second);
    configure(&second, *state, "before_reply");
    expect_failed(&second, "another writer");
    send_record(&first, 1);
    expect_durable(&first, 1, 1);
    assert_int_equal(finish(&first), 0);
}

static void test_refuses_records_before_it_was_configured(void **state) {
    struct peer peer;
    (void)state;
    start(&peer);
    send_record(&peer, 1);
    expect_failed(&peer, "no place");
}

static void test_refuses_settings_that_it_does_not_know(void **state) {
    struct peer peer;
    start(&peer);
    configure(&peer, *state, "sometimes");
    expect_failed(&peer, "settings");
}

static void test_a_full_disk_is_told_and_what_was_acknowledged_stays(void **state) {
    struct peer peer;
    struct rlimit old;
    uint64_t recovered = 0;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    struct rlimit small = {.rlim_cur = SEGMENT_HEADER_BYTES + 1500, .rlim_max = old.rlim_max};
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    start(&peer); /* inherits the limit */
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    configure(&peer, *state, "before_reply");
    (void)expect_ready(&peer, &recovered);
    uint64_t acknowledged = 0;
    struct imsg message;
    for (;;) {
        send_record(&peer, acknowledged);
        assert_int_equal(receive(&peer, &message), 0);
        if (message.type != AUDIT_DURABLE) {
            break;
        }
        acknowledged++;
    }
    assert_int_equal(message.type, AUDIT_FAILED);
    assert_non_null(memmem(message.body, message.body_size, "no space left", 13));
    int status = finish(&peer);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == EXIT_FAILURE);
    assert_true(acknowledged > 3);
    assert_int_equal(verified_records(*state), 1 + acknowledged);
}

static int setup(void **state) {
    *state = scratch_new();
    return 0;
}

static int teardown(void **state) {
    scratch_free(*state);
    return 0;
}

#define PROGRAM_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        PROGRAM_TEST(test_records_are_acknowledged_in_order_and_are_in_the_log),
        PROGRAM_TEST(test_records_without_a_listener_are_written_too),
        PROGRAM_TEST(test_every_acknowledged_record_survives_kill_9),
        PROGRAM_TEST(test_proves_records_to_whoever_has_the_key),
        PROGRAM_TEST(test_refuses_to_prove_what_is_not_there),
        PROGRAM_TEST(test_ignores_signals_meant_for_the_core),
        PROGRAM_TEST(test_runs_confined),
        PROGRAM_TEST(test_a_payload_that_is_not_canonical_fails_after_those_before_it),
        PROGRAM_TEST(test_refuses_a_log_that_another_process_writes),
        PROGRAM_TEST(test_refuses_records_before_it_was_configured),
        PROGRAM_TEST(test_refuses_settings_that_it_does_not_know),
        PROGRAM_TEST(test_a_full_disk_is_told_and_what_was_acknowledged_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
