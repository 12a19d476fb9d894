/* SPDX-License-Identifier: Apache-2.0
 *
 * Bytes of a stranger to pixels of the asked form. The format is what the magic bytes say.
 * Every size is read from headers and held against the limits before anything is allocated for it.
 */
#ifndef BUCKLER_DECODE_WORKER_IMAGE_H
#define BUCKLER_DECODE_WORKER_IMAGE_H

#include "decode/exchange.h"
#include "decode/worker/sink.h"

struct image_limits {
    uint64_t pixels; /* of one image */
    uint32_t side;
    uint64_t memory_bytes; /* for decoded pixels and what the codec needs beside them */
};

/* Pixels lie in `out`. 0 or DECODE_E_*. */
int image_canonicalise(const struct image_limits *limits, const uint8_t *bytes, size_t size, const char *mime,
                       const struct decode_image_form *form, struct sink *out, struct canonical_image *ret,
                       uint32_t *ret_flags, struct error *reterr) MUST_CHECK;

/* Decodes an embedded sample of every format, so that nothing is loaded or bound later. */
int image_warm_up(struct error *reterr) MUST_CHECK;

#endif
