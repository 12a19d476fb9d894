/* SPDX-License-Identifier: Apache-2.0
 *
 * The log's parsers over foreign bytes, and what they promise: canonical JSON is what a JSON library reads
 * and writes again as the same bytes; a header, a frame and a signing key that were read give the same bytes
 * when they are written again; entries of the history follow each other without a gap.
 */
#include <jansson.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "audit/canonical.h"
#include "audit/frame.h"
#include "audit/history.h"
#include "audit/signer.h"
#include "base/crc32c.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Damage is found by checksums; what stands behind them shall be reached too. */
static void check_header(const uint8_t *data, size_t size) {
    uint8_t bytes[SEGMENT_HEADER_BYTES] = {0};
    uint8_t again[SEGMENT_HEADER_BYTES];
    struct segment_header header;
    memcpy(bytes, data, size < sizeof bytes - 4 ? size : sizeof bytes - 4);
    uint32_t checksum = crc32c(0, bytes, sizeof bytes - 4);
    for (size_t i = 0; i < 4; i++) {
        bytes[sizeof bytes - 4 + i] = (uint8_t)(checksum >> (8 * i));
    }
    if (segment_header_parse(bytes, &header) == NULL) {
        segment_header_build(&header, again);
        if (memcmp(again, bytes, sizeof bytes) != 0) {
            abort();
        }
    }
}

static void check_frame(const uint8_t *data, size_t size) {
    struct frame frame;
    struct buf again = {0};
    if (frame_parse(data, size, &frame) == NULL) {
        frame_build(&frame, &again);
        if (again.size != size || memcmp(again.bytes, data, size) != 0) {
            abort();
        }
    }
    buf_deinit(&again);
}

static void check_history(const uint8_t *data, size_t size) {
    struct slice rest = {(const char *)data, size};
    struct slice note;
    for (size_t used = 0; (used = history_entry(rest, &note)) > 0;) {
        if (used > rest.size || note.bytes != rest.bytes || note.size + 1 != used ||
            note.bytes[note.size] != '\n') {
            abort();
        }
        rest = (struct slice){rest.bytes + used, rest.size - used};
    }
}

static void check_signer(const uint8_t *data, size_t size) {
    struct note_signer *signer = NULL;
    struct error error;
    struct slice line = {(const char *)data, size};
    if (signer_parse(line, &signer, &error) == 0) {
        const char *name = note_signer_key(signer)->name;
        if (size < 12 + strlen(name) || memcmp(data + 12, name, strlen(name)) != 0) {
            abort();
        }
        (void)note_signer_free(signer);
    }
}

static bool only_integers(const json_t *value) {
    size_t index = 0;
    const char *key = NULL;
    json_t *item = NULL;
    bool fine = !json_is_real(value);
    if (json_is_object(value)) {
        json_object_foreach((json_t *)(uintptr_t)value, key, item) {
            fine = fine && only_integers(item);
        }
    }
    json_array_foreach(value, index, item) {
        fine = fine && only_integers(item);
    }
    return fine;
}

static void check_canonical(const uint8_t *data, size_t size) {
    json_error_t error;
    const char *why = canonical_check((const char *)data, size, NULL, NULL);
    json_t *object = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, &error);
    char *again = json_is_object(object) ? json_dumps(object, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    bool same =
        again != NULL && only_integers(object) && strlen(again) == size && memcmp(again, data, size) == 0;
    if (same != (why == NULL) && (why == NULL || strcmp(why, "is nested too deeply") != 0)) {
        abort();
    }
    free(again);
    json_decref(object);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    check_canonical(data, size);
    check_header(data, size);
    check_frame(data, size);
    check_history(data, size);
    check_signer(data, size);
    return 0;
}
