/* SPDX-License-Identifier: Apache-2.0
 *
 * What the pool and a worker say to each other on the worker's descriptor 3. One setup, answered by ready;
 * then one order at a time, answered by one answer with the same id. Bulk results do not travel in messages:
 * the worker writes them into the shared memory that came with the setup, and the answer says where they lie.
 */
#ifndef BUCKLER_DECODE_EXCHANGE_H
#define BUCKLER_DECODE_EXCHANGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/imsg.h"
#include "decode/decode.h"

enum decode_message {
    DECODE_MSG_SETUP =
        IMSG_BASE_DECODE + 1, /* pool to worker: struct decode_setup; descriptor 0: the output */
    DECODE_MSG_READY,         /* worker to pool: warm and sandboxed, no body */
    DECODE_MSG_ORDER,         /* pool to worker: struct decode_order; descriptor 0: the sealed input */
    DECODE_MSG_ANSWER,        /* worker to pool: struct decode_answer */
};

enum {
    DECODE_MIME_SIZE = 64,
    DECODE_ERROR_SIZE = 256,
    DECODE_MIN_OUT_SIDE = 8, /* of what a picture is resized to */
    DECODE_MAX_OUT_SIDE = 2048,
    DECODE_VIEWS = 4, /* raw, clean, hidden, folded: the order of struct canonical_text */
};

/* Every view's text and map together, in units of the largest text; a text that needs more is refused. */
#define DECODE_TEXT_EXPANSION UINT64_C(32)
/* What a worker's address space holds beside pixels, input and output: libraries, their data, stacks, small
 * heap. */
#define DECODE_BASE_BYTES (UINT64_C(96) << 20)

struct decode_setup {
    uint64_t output_bytes;
    uint64_t text_bytes;
    uint64_t image_pixels;
    uint64_t address_space_bytes;
    uint64_t cpu_s;
    uint32_t image_side;
};

struct decode_order {
    enum content_kind kind;
    uint64_t size;
    bool replace_invalid_utf8;
    struct decode_image_form form;
    char mime[DECODE_MIME_SIZE];
};

/* A view in the output: `size` bytes at text_at and, with a map, size + 1 offsets of 4 bytes at map_at. */
struct decode_view_place {
    bool present;
    uint64_t text_at, size;
    bool has_map;
    uint64_t map_at;
};

struct decode_image_place {
    uint32_t width, height, frames_total, frames_judged, variants, out_width, out_height;
    uint64_t pixels_at[IMAGE_MAX_VARIANTS];
    char format[8];
};

struct decode_answer {
    uint32_t status;               /* 0 or DECODE_E_* */
    char error[DECODE_ERROR_SIZE]; /* when status is not 0 */
    uint32_t flags;
    enum content_kind kind;
    struct decode_view_place views[DECODE_VIEWS];
    struct decode_image_place image;
};

/* The output memory that these limits need. */
uint64_t decode_output_bytes(uint64_t text_bytes);

void decode_setup_write(struct buf *out, const struct decode_setup *setup);
void decode_order_write(struct buf *out, const struct decode_order *order);
void decode_answer_write(struct buf *out, const struct decode_answer *answer);

/* 0, or -EPROTO when the body is not exactly one such record. */
int decode_setup_read(const struct imsg *message, struct decode_setup *ret) MUST_CHECK;
int decode_order_read(const struct imsg *message, struct decode_order *ret) MUST_CHECK;
int decode_answer_read(const struct imsg *message, struct decode_answer *ret) MUST_CHECK;

/* Re-checks an answer against the job and the limits, and copies its results into the job's arena: a worker
 * is not trusted, and it could still write into the shared memory. Sets job->status, job->error and
 * job->part. Returns -EPROTO when the answer cannot be true, which a sound worker never sends; the job has
 * failed then. */
int decode_answer_accept(const struct decode_answer *answer, const uint8_t *output, uint64_t output_bytes,
                         const struct decode_options *options, struct decode_job *job) MUST_CHECK;

#endif
