/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/cursor.h"
#include "decode/worker/image_steps.h"

enum { TAG_ORIENTATION = 0x0112, TYPE_SHORT = 3, MAX_ENTRIES = 1024, ENTRY_BYTES = 12 };

struct tiff {
    struct cursor c;
    bool big;
};

static uint16_t get16(struct tiff *t) {
    uint16_t v = cursor_u16(&t->c);
    return t->big ? __builtin_bswap16(v) : v;
}

static uint32_t get32(struct tiff *t) {
    uint32_t v = cursor_u32(&t->c);
    return t->big ? __builtin_bswap32(v) : v;
}

unsigned image_exif_orientation(const uint8_t *bytes, size_t size) {
    if (size >= 6 && memcmp(bytes, "Exif\0\0", 6) == 0) {
        bytes += 6;
        size -= 6;
    }
    if (size < 8 || (memcmp(bytes, "II*\0", 4) != 0 && memcmp(bytes, "MM\0*", 4) != 0)) {
        return 1;
    }
    struct tiff t = {.big = bytes[0] == 'M'};
    cursor_init(&t.c, bytes, size);
    (void)cursor_take(&t.c, 4);
    uint32_t directory = get32(&t);
    if (directory < 8) {
        return 1;
    }
    (void)cursor_take(&t.c, directory - 8);
    unsigned entries = get16(&t);
    for (unsigned i = 0; i < entries && i < MAX_ENTRIES && cursor_left(&t.c) >= ENTRY_BYTES; i++) {
        uint16_t tag = get16(&t);
        uint16_t type = get16(&t);
        uint32_t count = get32(&t);
        uint16_t value = get16(&t);
        (void)get16(&t);
        if (tag == TAG_ORIENTATION) {
            return type == TYPE_SHORT && count == 1 && value >= 1 && value <= 8 ? value : 1;
        }
    }
    return 1;
}
