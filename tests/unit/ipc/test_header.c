/* SPDX-License-Identifier: Apache-2.0
 *
 * What ipc/PROTOCOL.md accepts and, in one table, what it refuses and how.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ipc/front/header.h"

static struct ipc_request request;

static void read_bytes(const void *bytes, size_t size, size_t frames, uint64_t frame_size) {
    struct header_frames known = {
        .count = frames, .part_bytes = IPC_MAX_PART_BYTES, .total_bytes = IPC_MAX_TOTAL_BYTES};
    for (size_t i = 0; i < IPC_MAX_PARTS; i++) {
        known.sizes[i] = frame_size;
    }
    memset(&request, 0x5a, sizeof request); /* nothing may depend on what was there */
    request.connection = 77;
    (void)snprintf(request.tenant, sizeof request.tenant, "uid:1");
    header_read(bytes, size, &known, &request);
    assert_int_equal(request.connection, 77);
    assert_string_equal(request.tenant, "uid:1");
}

static void read_text(const char *header, size_t frames) {
    read_bytes(header, strlen(header), frames, 5);
}

static void accepts(const char *header, size_t frames) {
    read_text(header, frames);
    if (request.op == IPC_OP_REFUSED) {
        fail_msg("%s was refused: %s", header, request.detail);
    }
}

#define PARTS "\"parts\":[{\"kind\":\"text\"}]"
#define CLASSIFY(more) "{\"op\":\"classify\",\"id\":\"1\"," PARTS more "}"
#define PART(fields) "{\"op\":\"classify\",\"id\":\"1\",\"parts\":[" fields "]}"

static void test_the_shortest_useful_request_has_the_documented_defaults(void **state) {
    (void)state;
    accepts(CLASSIFY(""), 1);
    assert_int_equal(request.op, IPC_OP_CLASSIFY);
    assert_string_equal(request.id, "1");
    assert_string_equal(request.policy, "");
    assert_int_equal(request.scope, SCOPE_UPLOAD);
    assert_int_equal(request.class_, CLASS_STANDARD);
    assert_int_equal(request.deadline_ms, 0);
    assert_int_equal(request.want, 0);
    assert_int_equal(request.part_count, 1);
    assert_int_equal(request.parts[0].kind, CONTENT_TEXT);
    assert_int_equal(request.parts[0].role, ROLE_USER);
    assert_true(request.parts[0].judge);
    assert_int_equal(request.parts[0].size, 5);
    assert_int_equal(request.parts[0].fd, -1);
    assert_string_equal(request.subject, "");
    assert_string_equal(request.idem, "");
    assert_string_equal(request.traceparent, "");
}

static void test_every_field_is_read(void **state) {
    (void)state;
    accepts("{\"op\":\"classify\",\"id\":\"a \\\"b\\\" "
            "~\",\"policy\":\"chat-prompt\",\"scope\":\"response\",\"parts\":["
            "{\"kind\":\"text\",\"lang\":\"de-AT\",\"role\":\"assistant\",\"judge\":true},"
            "{\"kind\":\"image\",\"mime\":\"image/png\",\"role\":\"system\",\"judge\":false}],"
            "\"deadline_ms\":3600000,\"class\":\"interactive\",\"subject\":\"\xc3\xa4\",\"idem\":\"k\","
            "\"traceparent\":\"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\","
            "\"want\":[\"raw\",\"spans\",\"proof\",\"token\",\"timing\"]}",
            2);
    assert_string_equal(request.id, "a \"b\" ~");
    assert_string_equal(request.policy, "chat-prompt");
    assert_int_equal(request.scope, SCOPE_RESPONSE);
    assert_int_equal(request.part_count, 2);
    assert_string_equal(request.parts[0].lang, "de-AT");
    assert_int_equal(request.parts[0].role, ROLE_ASSISTANT);
    assert_string_equal(request.parts[1].mime, "image/png");
    assert_int_equal(request.parts[1].kind, CONTENT_IMAGE);
    assert_int_equal(request.parts[1].role, ROLE_SYSTEM);
    assert_false(request.parts[1].judge);
    assert_int_equal(request.deadline_ms, 3600000);
    assert_int_equal(request.class_, CLASS_INTERACTIVE);
    assert_string_equal(request.subject, "\xc3\xa4");
    assert_string_equal(request.idem, "k");
    assert_int_equal(strlen(request.traceparent), HEADER_TRACEPARENT_BYTES);
    assert_int_equal(request.want, 31);
}

static void test_control_ops_need_little(void **state) {
    (void)state;
    accepts("{\"op\":\"ping\",\"id\":\"1\"}", 0);
    assert_int_equal(request.op, IPC_OP_PING);
    accepts("{\"op\":\"hello\",\"id\":\"1\"}", 0);
    assert_int_equal(request.op, IPC_OP_HELLO);
    accepts("{\"op\":\"cancel\",\"id\":\"2\",\"target\":\"1\"}", 0);
    assert_int_equal(request.op, IPC_OP_CANCEL);
    assert_string_equal(request.target, "1");
}

static void test_unknown_keys_are_ignored_whatever_they_hold(void **state) {
    (void)state;
    accepts(CLASSIFY(",\"x\":null,\"v\":1,\"y\":{\"z\":[1,2.5,true,{\"q\":\"!\"}]},\"a!b\":1,\"\":0"), 1);
    accepts("{\"op\":\"ping\",\"id\":\"1\",\"parts\":7,\"scope\":9,\"deadline_ms\":\"soon\"}", 0);
}

static void test_limits_themselves_are_accepted(void **state) {
    (void)state;
    char header[IPC_MAX_HEADER_BYTES];
    char wide[65];
    memset(wide, 'x', 64);
    wide[64] = '\0';
    (void)snprintf(header, sizeof header, "{\"op\":\"classify\",\"id\":\"%s\",\"policy\":\"%s\"," PARTS "}",
                   wide, wide);
    accepts(header, 1);
    memset(header, ' ', sizeof header);
    memcpy(header, CLASSIFY(""), strlen(CLASSIFY("")));
    read_bytes(header, sizeof header, 1, IPC_MAX_PART_BYTES);
    assert_int_equal(request.op, IPC_OP_CLASSIFY);
    accepts(CLASSIFY(",\"deep\":[[[[[[[]]]]]]]"), 1); /* with the object, eight levels */
    accepts(CLASSIFY(",\"text\":\"[[[[[[[[[[[[\\\"[[[[[\""), 1);
    accepts(CLASSIFY(",\"deadline_ms\":1"), 1);
    accepts(PART("{\"kind\":\"text\"},{\"kind\":\"text\"},{\"kind\":\"text\"},{\"kind\":\"text\"},"
                 "{\"kind\":\"image\"},{\"kind\":\"text\"},{\"kind\":\"text\"},{\"kind\":\"text\"}"),
            8);
    accepts(PART("{\"kind\":\"text\"}"), 1);
}

static const struct refusal {
    const char *header;
    size_t frames;
    int status;
    const char *code;
    const char *names; /* must occur in the sentence */
    const char *id;    /* echoed */
} refusals[] = {
    /* not JSON, not one object, too much of it */
    {"", 0, 400, "bad_header", "not valid JSON", ""},
    {" ", 0, 400, "bad_header", "not valid JSON", ""},
    {"{", 0, 400, "bad_header", "not valid JSON", ""},
    {"}", 0, 400, "bad_header", "not valid JSON", ""},
    {"[]", 0, 400, "bad_header", "must be a JSON object", ""},
    {"[{\"op\":\"ping\",\"id\":\"1\"}]", 0, 400, "bad_header", "must be a JSON object", ""},
    {"\"ping\"", 0, 400, "bad_header", "", ""},
    {"null", 0, 400, "bad_header", "", ""},
    {"{\"op\":\"ping\",\"id\":\"1\"}x", 0, 400, "bad_header", "not valid JSON", ""},
    {"{\"op\":\"ping\",\"id\":\"1\"}{}", 0, 400, "bad_header", "not valid JSON", ""},
    {"{\"op\":\"ping\",\"id\":\"1\",}", 0, 400, "bad_header", "not valid JSON", ""},
    {"{op:\"ping\",\"id\":\"1\"}", 0, 400, "bad_header", "not valid JSON", ""},
    {"{'op':'ping','id':'1'}", 0, 400, "bad_header", "not valid JSON", ""},
    {"\xef\xbb\xbf{\"op\":\"ping\",\"id\":\"1\"}", 0, 400, "bad_header", "not valid JSON", ""},
    {"{\"op\":\"ping\",\"id\":\"\xff\"}", 0, 400, "bad_header", "not valid JSON", ""},
    {"{\"op\":\"ping\",\"id\":\"\xc0\x80\"}", 0, 400, "bad_header", "not valid JSON", ""},
    {"{\"op\":\"ping\",\"id\":\"\xed\xa0\x80\"}", 0, 400, "bad_header", "not valid JSON", ""},
    {"{\"op\":\"ping\",\"id\":\"\\ud800\"}", 0, 400, "bad_header", "not valid JSON", ""},
    {"{\"op\":\"ping\",\"id\":\"1\\u0000\"}", 0, 400, "bad_header", "not valid JSON", ""},
    {"{\"op\":\"ping\",\"id\":\"1\",\"\\u0000\":1}", 0, 400, "bad_header", "not valid JSON", ""},
    {"{\"op\":\"ping\",\"id\":\"1\n\"}", 0, 400, "bad_header", "not valid JSON", ""},
    {"{\"op\":\"ping\",\"id\":\"1\",\"n\":NaN}", 0, 400, "bad_header", "not valid JSON", ""},
    {"{\"op\":\"ping\",\"id\":\"1\",\"n\":1e999}", 0, 400, "bad_header", "not valid JSON", ""},
    {"{\"op\":\"ping\",\"id\":\"1\",\"n\":01}", 0, 400, "bad_header", "not valid JSON", ""},
    {"{\"op\":\"ping\",\"id\":\"1\",\"n\":99999999999999999999}", 0, 400, "bad_header", "not valid JSON", ""},
    {"{\"op\":\"ping\",\"id\":\"1\",\"id\":\"2\"}", 0, 400, "bad_header", "stands twice", ""},
    {"{\"op\":\"ping\",\"id\":\"1\",\"x\":{\"a\":1,\"a\":1}}", 0, 400, "bad_header", "stands twice", ""},
    {"{\"op\":\"ping\",\"id\":\"1\",\"\\u006fp\":\"ping\"}", 0, 400, "bad_header", "stands twice", ""},
    {CLASSIFY(",\"deep\":[[[[[[[[]]]]]]]]"), 1, 400, "bad_header", "deeper than 8", ""},
    {CLASSIFY(",\"deep\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{}}}}}}}}"), 1, 400, "bad_header",
     "deeper than 8", ""},
    /* id */
    {"{}", 0, 400, "bad_field", "id: is missing", ""},
    {"{\"op\":\"ping\"}", 0, 400, "bad_field", "id: is missing", ""},
    {"{\"op\":\"ping\",\"id\":1}", 0, 400, "bad_field", "id: must be a string", ""},
    {"{\"op\":\"ping\",\"id\":null}", 0, 400, "bad_field", "id: must be a string", ""},
    {"{\"op\":\"ping\",\"id\":\"\"}", 0, 400, "bad_field", "id: must have 1 to 64 bytes", ""},
    {"{\"op\":\"ping\",\"id\":\"12345678901234567890123456789012345678901234567890123456789012345\"}", 0, 400,
     "bad_field", "id: must have 1 to 64 bytes", ""},
    {"{\"op\":\"ping\",\"id\":\"\xc3\xa4\"}", 0, 400, "bad_field", "id: must be printable ASCII", ""},
    {"{\"op\":\"ping\",\"id\":\"\\t\"}", 0, 400, "bad_field", "id: must be printable ASCII", ""},
    {"{\"op\":\"ping\",\"id\":\"\\u007f\"}", 0, 400, "bad_field", "id: must be printable ASCII", ""},
    /* keys that must be understood */
    {"{\"op\":\"ping\",\"id\":\"1\",\"!new\":1}", 0, 400, "unknown_critical", "!", "1"},
    {CLASSIFY(",\"!\":null"), 1, 400, "unknown_critical", "!", "1"},
    {PART("{\"kind\":\"text\",\"!role\":1}"), 1, 400, "unknown_critical", "!", "1"},
    {CLASSIFY(",\"x\":[[{\"y\":{\"!z\":1}}]]"), 1, 400, "unknown_critical", "!", "1"},
    {"{\"op\":\"nope\",\"id\":\"1\",\"!new\":1}", 0, 400, "unknown_critical", "!", "1"},
    /* op */
    {"{\"id\":\"1\"}", 0, 400, "bad_field", "op: is missing", "1"},
    {"{\"op\":7,\"id\":\"1\"}", 0, 400, "bad_field", "op: must be a string", "1"},
    {"{\"op\":\"\",\"id\":\"1\"}", 0, 404, "unknown_op", "op:", "1"},
    {"{\"op\":\"Classify\",\"id\":\"1\"}", 0, 404, "unknown_op", "op:", "1"},
    {"{\"op\":\"refused\",\"id\":\"1\"}", 0, 404, "unknown_op", "op:", "1"},
    {"{\"op\":\"stream.open\",\"id\":\"1\"}", 0, 404, "unknown_op", "op:", "1"},
    /* fields of classify */
    {CLASSIFY(",\"policy\":\"\""), 1, 400, "bad_field", "policy: must have 1 to 64 bytes", "1"},
    {CLASSIFY(",\"policy\":[]"), 1, 400, "bad_field", "policy: must be a string", "1"},
    {CLASSIFY(",\"policy\":\"\xc3\xa4\""), 1, 400, "bad_field", "policy: must be printable ASCII", "1"},
    {CLASSIFY(",\"scope\":\"uploads\""), 1, 400, "bad_field", "scope: must be one of", "1"},
    {CLASSIFY(",\"scope\":3"), 1, 400, "bad_field", "scope: must be one of", "1"},
    {CLASSIFY(",\"class\":\"urgent\""), 1, 400, "bad_field", "class: must be one of", "1"},
    {CLASSIFY(",\"deadline_ms\":0"), 1, 400, "bad_field", "deadline_ms: must be an integer", "1"},
    {CLASSIFY(",\"deadline_ms\":-1"), 1, 400, "bad_field", "deadline_ms: must be an integer", "1"},
    {CLASSIFY(",\"deadline_ms\":3600001"), 1, 400, "bad_field", "deadline_ms: must be an integer", "1"},
    {CLASSIFY(",\"deadline_ms\":4294967297"), 1, 400, "bad_field", "deadline_ms: must be an integer", "1"},
    {CLASSIFY(",\"deadline_ms\":100.0"), 1, 400, "bad_field", "deadline_ms: must be an integer", "1"},
    {CLASSIFY(",\"deadline_ms\":\"100\""), 1, 400, "bad_field", "deadline_ms: must be an integer", "1"},
    {CLASSIFY(",\"deadline_ms\":true"), 1, 400, "bad_field", "deadline_ms: must be an integer", "1"},
    {CLASSIFY(",\"subject\":\"\""), 1, 400, "bad_field", "subject: must have 1 to 256 bytes", "1"},
    {CLASSIFY(",\"idem\":{}"), 1, 400, "bad_field", "idem: must be a string", "1"},
    {CLASSIFY(",\"idem\":\"\xe2\x82\xac\""), 1, 400, "bad_field", "idem: must be printable ASCII", "1"},
    {CLASSIFY(",\"traceparent\":\"00\""), 1, 400, "bad_field", "traceparent:", "1"},
    {CLASSIFY(",\"traceparent\":\"01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\""), 1, 400,
     "bad_field", "traceparent:", "1"},
    {CLASSIFY(",\"traceparent\":\"00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\""), 1, 400,
     "bad_field", "traceparent:", "1"},
    {CLASSIFY(",\"traceparent\":\"00-00000000000000000000000000000000-b7ad6b7169203331-01\""), 1, 400,
     "bad_field", "traceparent:", "1"},
    {CLASSIFY(",\"traceparent\":\"00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01\""), 1, 400,
     "bad_field", "traceparent:", "1"},
    {CLASSIFY(",\"traceparent\":\"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-\""), 1, 400,
     "bad_field", "traceparent:", "1"},
    {CLASSIFY(",\"want\":\"raw\""), 1, 400, "bad_field", "want: must be an array", "1"},
    {CLASSIFY(",\"want\":[\"raw\",\"everything\"]"), 1, 400, "bad_field", "want[1]: must be one of", "1"},
    {CLASSIFY(",\"want\":[1]"), 1, 400, "bad_field", "want[0]: must be one of", "1"},
    /* parts */
    {"{\"op\":\"classify\",\"id\":\"1\"}", 1, 400, "bad_field", "parts: is missing", "1"},
    {"{\"op\":\"classify\",\"id\":\"1\",\"parts\":{}}", 1, 400, "bad_field", "parts: must be an array", "1"},
    {"{\"op\":\"classify\",\"id\":\"1\",\"parts\":\"text\"}", 1, 400, "bad_field", "parts: must be an array",
     "1"},
    {PART(""), 0, 400, "bad_field", "parts: must be an array of 1 to 8", "1"},
    {PART("{},{},{},{},{},{},{},{},{}"), 8, 400, "bad_field", "parts: must be an array of 1 to 8", "1"},
    {PART("7"), 1, 400, "bad_field", "parts[0]: must be an object", "1"},
    {PART("{\"kind\":\"text\"},[]"), 2, 400, "bad_field", "parts[1]: must be an object", "1"},
    {PART("{}"), 1, 400, "bad_field", "parts[0].kind: is missing", "1"},
    {PART("{\"kind\":\"video\"}"), 1, 400, "bad_field", "parts[0].kind: must be one of", "1"},
    {PART("{\"kind\":null}"), 1, 400, "bad_field", "parts[0].kind: must be one of", "1"},
    {PART("{\"kind\":\"text\",\"role\":\"root\"}"), 1, 400, "bad_field", "parts[0].role: must be one of",
     "1"},
    {PART("{\"kind\":\"text\",\"judge\":1}"), 1, 400, "bad_field", "parts[0].judge: must be true or false",
     "1"},
    {PART("{\"kind\":\"text\",\"judge\":\"false\"}"), 1, 400, "bad_field",
     "parts[0].judge: must be true or false", "1"},
    {PART("{\"kind\":\"text\",\"judge\":false}"), 1, 400, "bad_field", "parts: no part is to be judged", "1"},
    {PART("{\"kind\":\"image\",\"mime\":\"\"}"), 1, 400, "bad_field",
     "parts[0].mime: must have 1 to 64 bytes", "1"},
    {PART("{\"kind\":\"text\",\"lang\":\"12345678901234567\"}"), 1, 400, "bad_field",
     "parts[0].lang: must have 1 to 16 bytes", "1"},
    {PART("{\"kind\":\"text\",\"lang\":\"d\\u0000\"}"), 1, 400, "bad_header", "not valid JSON", ""},
    /* cancel */
    {"{\"op\":\"cancel\",\"id\":\"1\"}", 0, 400, "bad_field", "target: is missing", "1"},
    {"{\"op\":\"cancel\",\"id\":\"1\",\"target\":\"\"}", 0, 400, "bad_field",
     "target: must have 1 to 64 bytes", "1"},
    {"{\"op\":\"cancel\",\"id\":\"1\",\"target\":1}", 0, 400, "bad_field", "target: must be a string", "1"},
    /* frames */
    {CLASSIFY(""), 0, 400, "bad_frames", "names 1 parts, but 0", "1"},
    {CLASSIFY(""), 2, 400, "bad_frames", "names 1 parts, but 2", "1"},
    {CLASSIFY(""), 9, 400, "bad_frames", "9 payload frames", "1"},
    {CLASSIFY(""), SIZE_MAX, 400, "bad_frames", "payload frames", "1"},
    {"{\"op\":\"ping\",\"id\":\"1\"}", 1, 400, "bad_frames", "names 0 parts, but 1", "1"},
    {"{\"op\":\"cancel\",\"id\":\"1\",\"target\":\"2\"}", 8, 400, "bad_frames", "names 0 parts, but 8", "1"},
};

static void test_refuses_every_header_of_the_hostile_table(void **state) {
    (void)state;
    size_t count = sizeof refusals / sizeof *refusals;
    assert_true(count >= 60);
    for (size_t i = 0; i < count; i++) {
        const struct refusal *r = &refusals[i];
        read_text(r->header, r->frames);
        if (request.op != IPC_OP_REFUSED || request.status != r->status ||
            strcmp(request.code, r->code) != 0 || strstr(request.detail, r->names) == NULL ||
            strcmp(request.id, r->id) != 0 || request.part_count != 0) {
            fail_msg("%s\n  expected %d %s \"%s\" id \"%s\"\n  got op %d %u %s \"%s\" id \"%s\"", r->header,
                     r->status, r->code, r->names, r->id, (int)request.op, request.status, request.code,
                     request.detail, request.id);
        }
    }
}

static void test_refuses_a_header_that_is_cut_anywhere(void **state) {
    (void)state;
    static const char header[] = CLASSIFY(",\"scope\":\"prompt\",\"want\":[\"raw\"],\"deadline_ms\":100");
    for (size_t size = 0; size < sizeof header - 1; size++) {
        read_bytes(header, size, 1, 5);
        assert_int_equal(request.op, IPC_OP_REFUSED);
        assert_string_equal(request.code, "bad_header");
    }
}

static void test_refuses_a_header_of_more_than_16_kib_without_looking_at_it(void **state) {
    (void)state;
    read_bytes(NULL, IPC_MAX_HEADER_BYTES + 1, 1, 5);
    assert_int_equal(request.status, 400);
    assert_string_equal(request.code, "bad_header");
}

static void test_refuses_nesting_that_would_exhaust_a_parser(void **state) {
    (void)state;
    char *header = malloc(IPC_MAX_HEADER_BYTES);
    memset(header, '[', IPC_MAX_HEADER_BYTES);
    read_bytes(header, IPC_MAX_HEADER_BYTES, 0, 0);
    assert_string_equal(request.code, "bad_header");
    assert_non_null(strstr(request.detail, "deeper"));
    free(header);
}

static void test_refuses_large_parts_and_a_large_sum(void **state) {
    (void)state;
    static const char two[] = PART("{\"kind\":\"text\"},{\"kind\":\"text\"}");
    read_bytes(two, sizeof two - 1, 2, (uint64_t)IPC_MAX_PART_BYTES + 1);
    assert_int_equal(request.status, 413);
    assert_string_equal(request.code, "part_too_large");
    read_bytes(two, sizeof two - 1, 2, UINT64_MAX);
    assert_string_equal(request.code, "part_too_large");
    read_bytes(two, sizeof two - 1, 2, IPC_MAX_TOTAL_BYTES / 2);
    assert_int_equal(request.op, IPC_OP_CLASSIFY);
    read_bytes(two, sizeof two - 1, 2, IPC_MAX_TOTAL_BYTES / 2 + 1);
    assert_int_equal(request.status, 413);
    assert_string_equal(request.code, "total_too_large");
}

static void test_no_sentence_repeats_what_the_client_sent(void **state) {
    (void)state;
    static const char *const headers[] = {
        "{\"op\":\"CANARY\",\"id\":\"1\"}", "{\"op\":\"ping\",\"id\":\"1\" CANARY",
        CLASSIFY(",\"scope\":\"CANARY\""),  CLASSIFY(",\"traceparent\":\"CANARY\""),
        CLASSIFY(",\"want\":[\"CANARY\"]"), CLASSIFY(",\"!CANARY\":1"),
        PART("{\"kind\":\"CANARY\"}"),      "{\"op\":\"ping\",\"id\":\"1\",\"CANARY\":1,\"CANARY\":2}",
    };
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
        read_text(headers[i], 1);
        assert_int_equal(request.op, IPC_OP_REFUSED);
        assert_null(strstr(request.detail, "CANARY"));
    }
}

static void test_a_refusal_that_cannot_go_through_the_core_is_a_deny(void **state) {
    (void)state;
    struct buf out = {0};
    memset(&request, 0, sizeof request);
    (void)snprintf(request.id, sizeof request.id, "a\"\\b");
    header_refuse(&request, 503, "overloaded", "try again later");
    request.retry_after_ms = 100;
    header_write_refusal(&request, &out);
    assert_false(out.failed);
    assert_string_equal(
        (const char *)out.bytes,
        "{\"id\":\"a\\\"\\\\b\",\"status\":503,\"code\":\"overloaded\",\"detail\":\"try again later\","
        "\"verdict\":\"deny\",\"moderated\":false,\"action\":\"deny\",\"retry_after_ms\":100}");
    buf_deinit(&out);
}

int main(void) {
    header_prepare();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_shortest_useful_request_has_the_documented_defaults),
        cmocka_unit_test(test_every_field_is_read),
        cmocka_unit_test(test_control_ops_need_little),
        cmocka_unit_test(test_unknown_keys_are_ignored_whatever_they_hold),
        cmocka_unit_test(test_limits_themselves_are_accepted),
        cmocka_unit_test(test_refuses_every_header_of_the_hostile_table),
        cmocka_unit_test(test_refuses_a_header_that_is_cut_anywhere),
        cmocka_unit_test(test_refuses_a_header_of_more_than_16_kib_without_looking_at_it),
        cmocka_unit_test(test_refuses_nesting_that_would_exhaust_a_parser),
        cmocka_unit_test(test_refuses_large_parts_and_a_large_sum),
        cmocka_unit_test(test_no_sentence_repeats_what_the_client_sent),
        cmocka_unit_test(test_a_refusal_that_cannot_go_through_the_core_is_a_deny),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
