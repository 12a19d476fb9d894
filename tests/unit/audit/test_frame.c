/* SPDX-License-Identifier: Apache-2.0 */
#include "scratch.h"

#include "audit/frame.h"
#include "base/crc32c.h"

static void test_a_frame_has_the_published_bytes(void **state) {
    (void)state;
    static const uint8_t expected[40] = {0x03, 0x00, 0x00, 0x00, 0x1d, 0x61, 0x41, 0x4c, 0x07, 0x00,
                                         0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x03, 0x00, 0x00, 0x00,
                                         0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x2a, 0x36, 0xfe, 0x9c,
                                         0x97, 0x17, 0xa1, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00};
    const struct frame frame = {7, 3, 1700000000000000000u, (const uint8_t *)"\xa1\x01\x00", 3};
    struct frame again;
    struct buf out = {0};
    frame_build(&frame, &out);
    assert_int_equal(out.size, sizeof expected);
    assert_memory_equal(out.bytes, expected, sizeof expected);
    assert_null(frame_parse(out.bytes, out.size, &again));
    assert_int_equal(again.seq, 7);
    assert_int_equal(again.batch, 3);
    assert_int_equal(again.time_ns, frame.time_ns);
    assert_memory_equal(again.payload, frame.payload, 3);
    buf_deinit(&out);
}

static void test_every_flipped_bit_of_a_frame_is_refused(void **state) {
    (void)state;
    for (uint32_t size = 1; size < 20; size++) {
        const struct frame frame = {9, 9, 5, (const uint8_t *)"{\"a\":\"0123456789\"}", size};
        struct frame again;
        struct buf out = {0};
        frame_build(&frame, &out);
        for (size_t at = 0; at < 8 * out.size; at++) {
            out.bytes[at / 8] ^= (uint8_t)(1 << at % 8);
            assert_non_null(frame_parse(out.bytes, out.size, &again));
            out.bytes[at / 8] ^= (uint8_t)(1 << at % 8);
        }
        for (size_t cut = 0; cut < out.size; cut++) {
            assert_non_null(frame_parse(out.bytes, cut, &again));
        }
        assert_null(frame_parse(out.bytes, out.size, &again));
        buf_deinit(&out);
    }
}

static void test_refuses_a_batch_behind_the_record(void **state) {
    (void)state;
    const struct frame frame = {3, 4, 5, (const uint8_t *)"{}", 2};
    struct frame again;
    struct buf out = {0};
    frame_build(&frame, &out);
    assert_non_null(frame_parse(out.bytes, out.size, &again));
    buf_deinit(&out);
}

static struct segment_header a_header(void) {
    struct segment_header header = {
        .number = 5, .first = 77, .created_ns = 1, .key_count = 2, .keys = {0x01020304, 0xfffefdfc}};
    memset(header.root.bytes, 0xab, sizeof header.root.bytes);
    (void)strcpy(header.log_id, "host.example/buckler");
    return header;
}

static void test_a_header_is_read_as_it_was_written(void **state) {
    (void)state;
    uint8_t bytes[SEGMENT_HEADER_BYTES];
    struct segment_header header = a_header();
    struct segment_header again;
    segment_header_build(&header, bytes);
    assert_null(segment_header_parse(bytes, &again));
    assert_memory_equal(&again, &header, sizeof header);
    assert_memory_equal(bytes, "BKLRAUDT\1\0\0\0\0\x10\0\0\5\0\0\0\0\0\0\0\x4d", 25);
    assert_memory_equal(bytes + 72, "\2\0\0\0\1\2\3\4\xff\xfe\xfd\xfc", 12); /* ids as in signatures */
    assert_memory_equal(bytes + 144, "\x14\0host.example/buckler\0", 23);
}

static void test_every_flipped_bit_of_a_header_is_refused(void **state) {
    (void)state;
    uint8_t bytes[SEGMENT_HEADER_BYTES];
    struct segment_header header = a_header();
    struct segment_header again;
    segment_header_build(&header, bytes);
    for (size_t at = 0; at < 8 * sizeof bytes; at++) {
        bytes[at / 8] ^= (uint8_t)(1 << at % 8);
        assert_non_null(segment_header_parse(bytes, &again));
        bytes[at / 8] ^= (uint8_t)(1 << at % 8);
    }
}

/* What a wrong checksum hides: each of these has a right one. */
static void test_refuses_headers_that_nobody_writes(void **state) {
    (void)state;
    static const struct {
        size_t at;
        uint8_t value;
    } changes[] = {{0, 'X'}, {8, 2},   {13, 0x20}, {72, 17}, {72, 3},  {84, 1},
                   {140, 1}, {144, 0}, {145, 1},   {150, 0}, {166, 1}, {4091, 1}};
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        uint8_t bytes[SEGMENT_HEADER_BYTES];
        struct segment_header header = a_header();
        struct segment_header again;
        segment_header_build(&header, bytes);
        bytes[changes[i].at] = changes[i].value;
        uint32_t checksum = crc32c(0, bytes, SEGMENT_HEADER_BYTES - 4);
        memcpy(bytes + SEGMENT_HEADER_BYTES - 4, &checksum, 4);
        assert_non_null(segment_header_parse(bytes, &again));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_frame_has_the_published_bytes),
        cmocka_unit_test(test_every_flipped_bit_of_a_frame_is_refused),
        cmocka_unit_test(test_refuses_a_batch_behind_the_record),
        cmocka_unit_test(test_a_header_is_read_as_it_was_written),
        cmocka_unit_test(test_every_flipped_bit_of_a_header_is_refused),
        cmocka_unit_test(test_refuses_headers_that_nobody_writes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
