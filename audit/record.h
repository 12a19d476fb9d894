/* SPDX-License-Identifier: Apache-2.0
 *
 * One stored line: the core's canonical JSON object plus the keys that the log adds. Canonical means: keys
 * sorted by bytes, no insignificant space, integers only, the shortest escapes; so that the bytes are a
 * function of the values and a third party can check them with any JSON library.
 */
#ifndef BUCKLER_AUDIT_RECORD_H
#define BUCKLER_AUDIT_RECORD_H

#include <stddef.h>
#include <stdint.h>

#include "audit/audit.h"
#include "base/buf.h"
#include "base/digest.h"
#include "base/error.h"

enum { RECORD_MAX_LINE_BYTES = AUDIT_MAX_PAYLOAD_BYTES + 512, RECORD_LOG_ID_SIZE = 65 };

/* What the log adds to a payload. */
struct record_link {
    uint64_t index;
    uint64_t batch;   /* index of the first record of the batch it was written with */
    uint64_t time_ns; /* unix */
    char prev[DIGEST_HEX_SIZE];
};

/* Appends the line and its newline to `out`. -EINVAL: the payload is not one canonical JSON object, or has a
 * key that the log adds. */
int record_build(const void *payload, size_t size, const struct record_link *link, struct buf *out,
                 struct error *reterr) MUST_CHECK;

/* Reads one line without its newline. AUDIT_E_TAMPERED: it is not a canonical record. ret_log_id gets the
 * log's id of a creation record, "" of any other; may be NULL. */
int record_parse(const char *line, size_t size, struct record_link *ret, char ret_log_id[RECORD_LOG_ID_SIZE],
                 struct error *reterr) MUST_CHECK;

/* Payloads of the events that the writer itself records; "" and false in `failed` cannot happen but for
 * memory. */
void record_created(struct buf *out, const char *log_id);
void record_torn(struct buf *out, const char *file, const char *kept, uint64_t offset, uint64_t bytes,
                 uint64_t lost);

#endif
