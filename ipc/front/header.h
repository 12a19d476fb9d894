/* SPDX-License-Identifier: Apache-2.0
 *
 * Frame 0, the JSON header: the only place of the front where a client's bytes are interpreted, and the only
 * file that includes jansson. ipc/PROTOCOL.md says what is accepted; everything else becomes a refusal with
 * status, code and one English sentence that names the field and the reason and never repeats a value.
 * Thread-safe, keeps nothing.
 */
#ifndef BUCKLER_IPC_FRONT_HEADER_H
#define BUCKLER_IPC_FRONT_HEADER_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "ipc/ipc.h"

enum {
    HEADER_MAX_DEADLINE_MS = 3600000,
    HEADER_TRACEPARENT_BYTES = 55,
};

/* What the front knows of a message besides the header itself. */
struct header_frames {
    size_t count;                     /* payload frames behind frame 0, also those that were thrown away */
    uint64_t sizes[IPC_MAX_PARTS];    /* of the first IPC_MAX_PARTS of them */
    uint64_t part_bytes, total_bytes; /* the limits in force */
};

/* Call once before the sandbox closes: jansson seeds its hash from the system's randomness. */
void header_prepare(void);

/* Fills *ret from the header: a checked request, or op REFUSED. `connection` and `tenant` are the caller's
 * and stay; the parts' descriptors become -1 and are the caller's to fill. */
void header_read(const void *bytes, size_t size, const struct header_frames *frames, struct ipc_request *ret);

/* Turns *request into a refusal; keeps id, connection and tenant. The parts' descriptors must be closed
 * before. */
void header_refuse(struct ipc_request *request, uint16_t status, const char *code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* The reply to a refusal that cannot go through the core. */
void header_write_refusal(const struct ipc_request *request, struct buf *out);

#endif
