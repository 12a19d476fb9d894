/* SPDX-License-Identifier: Apache-2.0 */
#include "audit/frame.h"

#include <string.h>

#include "base/crc32c.h"
#include "base/cursor.h"

static const char magic[8] = {'B', 'K', 'L', 'R', 'A', 'U', 'D', 'T'};

enum {
    FORMAT = 1,
    AT_KEYS = 76,
    AT_LOG_ID_SIZE = 144,
    AT_LOG_ID = 146,
    AT_CHECKSUM = SEGMENT_HEADER_BYTES - 4,
};

static void put(uint8_t *out, uint64_t value, size_t bytes) {
    for (size_t i = 0; i < bytes; i++) {
        out[i] = (uint8_t)(value >> (8 * i));
    }
}

static bool is_zero(const uint8_t *bytes, size_t size) {
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] != 0) {
            return false;
        }
    }
    return true;
}

/* Key ids stand in the order of their bytes in a signature, which is big-endian. */
static uint32_t swap(uint32_t id) {
    return __builtin_bswap32(id);
}

void segment_header_build(const struct segment_header *header, uint8_t out[SEGMENT_HEADER_BYTES]) {
    size_t id_size = strnlen(header->log_id, NOTE_NAME_SIZE - 1);
    memset(out, 0, SEGMENT_HEADER_BYTES);
    memcpy(out, magic, sizeof magic);
    put(out + 8, FORMAT, 4);
    put(out + 12, SEGMENT_HEADER_BYTES, 4);
    put(out + 16, header->number, 8);
    put(out + 24, header->first, 8);
    put(out + 32, header->created_ns, 8);
    memcpy(out + 40, header->root.bytes, TREE_HASH_BYTES);
    put(out + 72, header->key_count, 4);
    for (uint32_t i = 0; i < header->key_count && i < SEGMENT_MAX_KEYS; i++) {
        put(out + AT_KEYS + 4 * (size_t)i, swap(header->keys[i]), 4);
    }
    put(out + AT_LOG_ID_SIZE, id_size, 2);
    memcpy(out + AT_LOG_ID, header->log_id, id_size);
    put(out + AT_CHECKSUM, crc32c(0, out, AT_CHECKSUM), 4);
}

const char *segment_header_parse(const uint8_t bytes[SEGMENT_HEADER_BYTES], struct segment_header *ret) {
    struct segment_header header = {0};
    struct cursor c;
    cursor_init(&c, bytes, SEGMENT_HEADER_BYTES);
    if (memcmp(cursor_take(&c, sizeof magic), magic, sizeof magic) != 0) {
        return "does not begin with the magic of a segment";
    }
    if (cursor_u32(&c) != FORMAT || cursor_u32(&c) != SEGMENT_HEADER_BYTES) {
        return "has a format that is not known here";
    }
    header.number = cursor_u64(&c);
    header.first = cursor_u64(&c);
    header.created_ns = cursor_u64(&c);
    memcpy(header.root.bytes, cursor_take(&c, TREE_HASH_BYTES), TREE_HASH_BYTES);
    header.key_count = cursor_u32(&c);
    for (size_t i = 0; i < SEGMENT_MAX_KEYS; i++) {
        header.keys[i] = swap(cursor_u32(&c));
    }
    bool tidy = is_zero(cursor_take(&c, AT_LOG_ID_SIZE - c.at), 4);
    size_t id_size = cursor_u16(&c);
    const uint8_t *id = cursor_take(&c, AT_CHECKSUM - AT_LOG_ID);
    if (cursor_u32(&c) != crc32c(0, bytes, AT_CHECKSUM)) {
        return "has a wrong checksum";
    }
    if (header.key_count > SEGMENT_MAX_KEYS || id_size == 0 || id_size >= NOTE_NAME_SIZE) {
        return "has a count or a length that is out of range";
    }
    for (size_t i = 0; i < SEGMENT_MAX_KEYS; i++) {
        tidy = tidy && (header.keys[i] != 0) == (i < header.key_count);
    }
    memcpy(header.log_id, id, id_size);
    if (!tidy || strlen(header.log_id) != id_size ||
        !is_zero(id + id_size, AT_CHECKSUM - AT_LOG_ID - id_size)) {
        return "has bytes where there are none, or none where there are some";
    }
    *ret = header;
    return NULL;
}

size_t frame_bytes(size_t size) {
    return (FRAME_HEADER_BYTES + size + 7) / 8 * 8;
}

void frame_build(const struct frame *frame, struct buf *out) {
    static const uint8_t zeros[8];
    size_t begin = out->size;
    buf_u32(out, frame->size);
    buf_u32(out, 0);
    buf_u64(out, frame->seq);
    buf_u64(out, frame->batch);
    buf_u64(out, frame->time_ns);
    buf_append(out, frame->payload, frame->size);
    buf_append(out, zeros, frame_bytes(frame->size) - FRAME_HEADER_BYTES - frame->size);
    if (!out->failed) {
        uint8_t *bytes = out->bytes + begin;
        put(bytes + 4, crc32c(0, bytes + 8, FRAME_HEADER_BYTES - 8 + frame->size), 4);
    }
}

const char *frame_parse(const uint8_t *bytes, size_t size, struct frame *ret) {
    struct cursor c;
    cursor_init(&c, bytes, size);
    uint32_t length = cursor_u32(&c);
    uint32_t checksum = cursor_u32(&c);
    uint64_t seq = cursor_u64(&c);
    uint64_t batch = cursor_u64(&c);
    uint64_t time_ns = cursor_u64(&c);
    const uint8_t *payload = cursor_take(&c, length);
    if (c.failed || length == 0 || length > FRAME_MAX_PAYLOAD_BYTES || frame_bytes(length) != size) {
        return "the frame has an impossible length";
    }
    if (crc32c(0, bytes + 8, FRAME_HEADER_BYTES - 8 + length) != checksum) {
        return "the frame has a wrong checksum";
    }
    if (!is_zero(payload + length, size - FRAME_HEADER_BYTES - length)) {
        return "the frame is not padded with zeros";
    }
    if (batch > seq) {
        return "the frame names a batch behind its record";
    }
    *ret = (struct frame){.seq = seq, .batch = batch, .time_ns = time_ns, .payload = payload, .size = length};
    return NULL;
}
