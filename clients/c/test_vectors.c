/* SPDX-License-Identifier: Apache-2.0
 *
 * What libbuckler writes and reads, without a server: against the conformance vectors.
 */
#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "clients/c/buckler.h"

static json_t *load_vectors(void) {
    json_t *vectors = json_load_file(BUCKLER_SOURCE_DIR "/clients/conformance/vectors.json", 0, NULL);
    assert_non_null(vectors);
    return vectors;
}

/* The bytes of a frame or part; free() them. */
static char *frame_bytes(json_t *frame, size_t *ret_size) {
    const char *text = json_string_value(json_object_get(frame, "text"));
    const char *hex = json_string_value(json_object_get(frame, "hex"));
    assert_true(text != NULL || hex != NULL);
    *ret_size = text != NULL ? strlen(text) : strlen(hex) / 2;
    char *bytes = malloc(*ret_size + 1);
    for (size_t i = 0; i < *ret_size && text == NULL; i++) {
        unsigned value = 0;
        assert_int_equal(sscanf(hex + 2 * i, "%2x", &value), 1);
        bytes[i] = (char)value;
    }
    if (text != NULL) {
        memcpy(bytes, text, *ret_size);
    }
    bytes[*ret_size] = '\0';
    return bytes;
}

static const char *text_of(json_t *object, const char *key) {
    return json_string_value(json_object_get(object, key));
}

static void check_request(json_t *vector) {
    json_t *call = json_object_get(vector, "call");
    json_t *raw = json_object_get(call, "parts");
    struct buckler_part parts[BUCKLER_MAX_PARTS] = {0};
    const char *want[8] = {NULL};
    char *json = NULL;
    size_t size = 0;
    for (size_t i = 0; i < json_array_size(raw); i++) {
        json_t *part = json_array_get(raw, i);
        const char *bytes = frame_bytes(part, &size);
        parts[i] = (struct buckler_part){.kind = text_of(part, "kind"),
                                         .mime = text_of(part, "mime"),
                                         .lang = text_of(part, "lang"),
                                         .role = text_of(part, "role"),
                                         .context_only = json_is_false(json_object_get(part, "judge")),
                                         .bytes = bytes,
                                         .size = size};
    }
    for (size_t i = 0; i < json_array_size(json_object_get(call, "want")); i++) {
        want[i] = json_string_value(json_array_get(json_object_get(call, "want"), i));
    }
    struct buckler_request made = {.id = text_of(call, "id"),
                                   .policy = text_of(call, "policy"),
                                   .scope = text_of(call, "scope"),
                                   .parts = parts,
                                   .part_count = json_array_size(raw),
                                   .deadline_ms =
                                       (unsigned)json_integer_value(json_object_get(call, "deadline_ms")),
                                   .class_ = text_of(call, "class"),
                                   .subject = text_of(call, "subject"),
                                   .idem = text_of(call, "idem"),
                                   .traceparent = text_of(call, "traceparent"),
                                   .want = want[0] != NULL ? want : NULL};
    assert_int_equal(buckler_encode(&made, &json), 0);
    assert_string_equal(json, text_of(json_array_get(json_object_get(vector, "frames"), 0), "text"));
    free(json);
    for (size_t i = 0; i < made.part_count; i++) {
        char *expected = frame_bytes(json_array_get(json_object_get(vector, "frames"), i + 1), &size);
        assert_int_equal(parts[i].size, size);
        assert_memory_equal(parts[i].bytes, expected, size);
        free(expected);
        free((void *)(uintptr_t)parts[i].bytes);
    }
}

static void test_requests_become_exactly_the_frames_of_the_vectors(void **state) {
    (void)state;
    json_t *vectors = load_vectors();
    json_t *vector = NULL;
    size_t index = 0;
    assert_true(json_array_size(json_object_get(vectors, "requests")) >= 10);
    json_array_foreach(json_object_get(vectors, "requests"), index, vector) {
        check_request(vector);
    }
    json_decref(vectors);
}

static void check_text(const char *name, json_t *expect, const char *key, const char *found) {
    const char *expected = text_of(expect, key);
    if (expected != NULL && strcmp(expected, found) != 0) {
        fail_msg("%s: %s is %s, not %s", name, key, found, expected);
    }
}

static void check_number(const char *name, json_t *expect, const char *key, int64_t found) {
    json_t *expected = json_object_get(expect, key);
    int64_t number = json_is_integer(expected)   ? json_integer_value(expected)
                     : json_is_boolean(expected) ? json_is_true(expected)
                                                 : -1;
    if (expected != NULL && number != found) {
        fail_msg("%s: %s is %lld, not %lld", name, key, (long long)found, (long long)number);
    }
}

static void check_reply(json_t *vector) {
    const char *name = text_of(vector, "name");
    json_t *expect = json_object_get(vector, "expect");
    json_t *frames = json_object_get(vector, "frames");
    struct buckler_reply *reply = NULL;
    size_t size = 0;
    char *bytes = frame_bytes(json_array_get(frames, 0), &size);
    int rc = buckler_decode(bytes, size, &reply);
    free(bytes);
    if (expect == NULL) {
        if (rc != BUCKLER_E_PROTOCOL) {
            fail_msg("%s: was taken for a reply", name);
        }
        return;
    }
    assert_int_equal(rc, 0);
    check_text(name, expect, "id", buckler_reply_id(reply));
    check_text(name, expect, "verdict", buckler_reply_verdict(reply));
    check_text(name, expect, "action", buckler_reply_action(reply));
    check_text(name, expect, "code", buckler_reply_code(reply));
    check_text(name, expect, "detail", buckler_reply_detail(reply));
    check_text(name, expect, "policy", buckler_reply_policy(reply));
    check_text(name, expect, "rule", buckler_reply_rule(reply));
    check_number(name, expect, "status", buckler_reply_status(reply));
    check_number(name, expect, "allowed", buckler_reply_allowed(reply));
    check_number(name, expect, "moderated", buckler_reply_moderated(reply));
    check_number(name, expect, "retry_after_ms", buckler_reply_retry_after_ms(reply));
    check_number(name, expect, "score_count", (int64_t)buckler_reply_score_count(reply));
    check_number(name, expect, "audit_index", buckler_reply_audit_index(reply));
    buckler_reply_free(reply);
}

static void test_replies_are_understood_or_refused_as_in_the_vectors(void **state) {
    (void)state;
    json_t *vectors = load_vectors();
    json_t *vector = NULL;
    size_t index = 0;
    assert_true(json_array_size(json_object_get(vectors, "replies")) >= 30);
    json_array_foreach(json_object_get(vectors, "replies"), index, vector) {
        check_reply(vector);
    }
    json_decref(vectors);
}

static void test_scores_are_read_and_a_missing_one_is_nan(void **state) {
    (void)state;
    static const char json[] =
        "{\"id\":\"1\",\"status\":200,\"verdict\":\"deny\",\"scores\":["
        "{\"category\":\"violence\",\"part\":1,\"score\":0.25,\"classifier\":\"guard\","
        "\"state\":\"executed\"},{\"category\":\"toxicity\",\"state\":\"error\"},7]}";
    struct buckler_reply *reply = NULL;
    struct buckler_score score;
    assert_int_equal(buckler_decode(json, sizeof json - 1, &reply), 0);
    assert_int_equal(buckler_reply_score_count(reply), 3);
    assert_true(buckler_reply_score(reply, 0, &score));
    assert_string_equal(score.category, "violence");
    assert_string_equal(score.classifier, "guard");
    assert_int_equal(score.part, 1);
    assert_true(score.score == 0.25);
    assert_true(buckler_reply_score(reply, 1, &score));
    assert_true(isnan(score.score));
    assert_int_equal(score.part, -1);
    assert_false(buckler_reply_score(reply, 2, &score));
    assert_false(buckler_reply_score(reply, 3, &score));
    buckler_reply_free(reply);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests_become_exactly_the_frames_of_the_vectors),
        cmocka_unit_test(test_replies_are_understood_or_refused_as_in_the_vectors),
        cmocka_unit_test(test_scores_are_read_and_a_missing_one_is_nan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
