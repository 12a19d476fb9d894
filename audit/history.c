/* SPDX-License-Identifier: Apache-2.0 */
#include "audit/history.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

size_t history_entry(struct slice bytes, struct slice *ret_note) {
    size_t size = bytes.size < HISTORY_MAX_ENTRY_BYTES ? bytes.size : HISTORY_MAX_ENTRY_BYTES;
    const char *text_end = size == 0 ? NULL : memmem(bytes.bytes, size, "\n\n", 2);
    if (text_end == NULL) {
        return 0;
    }
    size_t at = (size_t)(text_end - bytes.bytes) + 2;
    const char *end = memmem(bytes.bytes + at, size - at, "\n\n", 2);
    if (end == NULL) {
        return 0;
    }
    size_t note = (size_t)(end - bytes.bytes) + 1;
    *ret_note = (struct slice){bytes.bytes, note};
    return note + 1;
}

void history_reader_init(struct history_reader *reader, int fd) {
    reader->fd = fd;
    reader->offset = reader->next_offset = 0;
    reader->begin = reader->end = 0;
}

/* Moves what is left to the front and reads behind it. */
static int fill(struct history_reader *reader) {
    memmove(reader->space, reader->space + reader->begin, reader->end - reader->begin);
    reader->end -= reader->begin;
    reader->begin = 0;
    while (reader->end < sizeof reader->space) {
        ssize_t got = pread(reader->fd, reader->space + reader->end, sizeof reader->space - reader->end,
                            (off_t)(reader->next_offset + reader->end));
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            return got < 0 ? -errno : 0;
        }
        reader->end += (size_t)got;
    }
    return 0;
}

int history_reader_next(struct history_reader *reader, struct slice *ret_note) {
    reader->offset = reader->next_offset;
    if (reader->end - reader->begin < HISTORY_MAX_ENTRY_BYTES) {
        int rc = fill(reader);
        if (rc < 0) {
            return rc;
        }
    }
    struct slice rest = {reader->space + reader->begin, reader->end - reader->begin};
    size_t used = history_entry(rest, ret_note);
    if (used == 0) {
        return rest.size == 0 ? HISTORY_END : HISTORY_TORN;
    }
    reader->begin += used;
    reader->next_offset += used;
    return 0;
}
