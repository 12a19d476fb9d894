/* SPDX-License-Identifier: Apache-2.0
 *
 * The bytes of a segment, without files: a header of 4 KiB and frames, as buckler-audit(5) lays them out.
 * Frames are multiples of 8 bytes, so that a reader which has lost its way can look for one at each aligned
 * offset.
 */
#ifndef BUCKLER_AUDIT_FRAME_H
#define BUCKLER_AUDIT_FRAME_H

#include "audit/proof/note.h"
#include "audit/proof/tree.h"
#include "base/buf.h"

enum {
    SEGMENT_HEADER_BYTES = 4096,
    SEGMENT_MAX_KEYS = 16,
    FRAME_HEADER_BYTES = 32,
    FRAME_MAX_PAYLOAD_BYTES = 65535, /* what an entry bundle can hold */
};

struct segment_header {
    uint64_t number;       /* of the segment, from 0 */
    uint64_t first;        /* index of its first record */
    uint64_t created_ns;   /* unix */
    struct tree_hash root; /* of the tree of all records before it */
    uint32_t key_count;
    uint32_t keys[SEGMENT_MAX_KEYS]; /* ids of the keys in force, as in struct note_key */
    char log_id[NOTE_NAME_SIZE];     /* the checkpoints' origin */
};

void segment_header_build(const struct segment_header *header, uint8_t out[SEGMENT_HEADER_BYTES]);

/* NULL, or why the bytes are no header, as a sentence without its subject. */
const char *segment_header_parse(const uint8_t bytes[SEGMENT_HEADER_BYTES], struct segment_header *ret);

struct frame {
    uint64_t seq;     /* index of the record */
    uint64_t batch;   /* index of the first record that was written together with it */
    uint64_t time_ns; /* unix */
    const uint8_t *payload;
    uint32_t size; /* never 0: that is the end of the data */
};

/* Bytes of a frame around a payload of `size`. */
size_t frame_bytes(size_t size);

void frame_build(const struct frame *frame, struct buf *out);

/* `size` is frame_bytes of the length that stands in `bytes`. NULL, or why it is no frame. */
const char *frame_parse(const uint8_t *bytes, size_t size, struct frame *ret);

#endif
