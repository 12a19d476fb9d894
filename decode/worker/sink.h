/* SPDX-License-Identifier: Apache-2.0
 *
 * Where the parsers put results: a fixed piece of memory (in the program, the part shared with the pool),
 * handed out from the front. It never grows; running out is an answer ("too large"), not a failure.
 */
#ifndef BUCKLER_DECODE_WORKER_SINK_H
#define BUCKLER_DECODE_WORKER_SINK_H

#include <stddef.h>
#include <stdint.h>

struct sink {
    uint8_t *bytes; /* aligned to at least 8 */
    size_t size;
    size_t used;
};

/* `size` bytes aligned to 8, not zeroed; NULL when fewer are left. */
static inline void *sink_take(struct sink *sink, size_t size) {
    size_t at = (sink->used + 7) & ~(size_t)7;
    if (at > sink->size || size > sink->size - at) {
        return NULL;
    }
    sink->used = at + size;
    return sink->bytes + at;
}

#endif
