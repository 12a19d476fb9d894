/* SPDX-License-Identifier: Apache-2.0 */
#include "audit/proof/tile.h"

#include <stdio.h>
#include <string.h>

static int refuse(struct error *reterr, const char *sentence) {
    return error_set(reterr, PROOF_E_MALFORMED, "%s", sentence);
}

void tile_path(const struct tile *tile, char out[TILE_PATH_SIZE]) {
    char digits[32];
    size_t at = 0;
    int length = snprintf(digits, sizeof digits, "%021llu", (unsigned long long)tile->index);
    at += (size_t)(tile->level == TILE_ENTRIES ? snprintf(out, TILE_PATH_SIZE, "tile/entries")
                                               : snprintf(out, TILE_PATH_SIZE, "tile/%u", tile->level));
    size_t group = 0;
    while (group + 3 < (size_t)length && memcmp(digits + group, "000", 3) == 0) {
        group += 3;
    }
    for (; group < (size_t)length; group += 3) {
        at += (size_t)snprintf(out + at, TILE_PATH_SIZE - at, "/%s%.3s",
                               group + 3 < (size_t)length ? "x" : "", digits + group);
    }
    if (tile->width < TILE_WIDTH) {
        (void)snprintf(out + at, TILE_PATH_SIZE - at, ".p/%u", tile->width);
    }
}

/* Cuts `text` behind its digits and reads them. */
static bool take_number(struct slice *text, uint64_t limit, uint64_t *ret) {
    size_t digits = 0;
    while (digits < text->size && text->bytes[digits] >= '0' && text->bytes[digits] <= '9') {
        digits++;
    }
    if (!decimal_parse((struct slice){text->bytes, digits}, ret) || *ret > limit) {
        return false;
    }
    *text = (struct slice){text->bytes + digits, text->size - digits};
    return true;
}

/* x001/x234/067 */
static bool take_index(struct slice *text, uint64_t *ret) {
    uint64_t index = 0;
    bool first = true;
    for (;;) {
        bool more = slice_skip(text, "x");
        unsigned group = 0;
        if (text->size < 3 || index > TREE_MAX_SIZE / 1000) {
            return false;
        }
        for (size_t i = 0; i < 3; i++) {
            if (text->bytes[i] < '0' || text->bytes[i] > '9') {
                return false;
            }
            group = group * 10 + (unsigned)(text->bytes[i] - '0');
        }
        *text = (struct slice){text->bytes + 3, text->size - 3};
        if (more && first && group == 0) {
            return false;
        }
        index = index * 1000 + group;
        first = false;
        if (!more) {
            *ret = index;
            return index <= TREE_MAX_SIZE;
        }
        if (!slice_skip(text, "/")) {
            return false;
        }
    }
}

int tile_parse(struct slice path, struct tile *ret, struct error *reterr) {
    struct tile tile = {.level = TILE_ENTRIES, .width = TILE_WIDTH};
    uint64_t number = 0;
    if (!slice_skip(&path, "tile/")) {
        return refuse(reterr, "the path does not begin with tile/");
    }
    if (!slice_skip(&path, "entries")) {
        if (!take_number(&path, 63, &number)) {
            return refuse(reterr, "the path has no level from 0 to 63");
        }
        tile.level = (unsigned)number;
    }
    if (!slice_skip(&path, "/") || !take_index(&path, &tile.index)) {
        return refuse(reterr, "the path has no index in groups of three digits");
    }
    if (path.size == 0) {
        *ret = tile;
        return 0;
    }
    if (!slice_skip(&path, ".p/")) {
        return refuse(reterr, "the path goes on behind its index");
    }
    if (!take_number(&path, TILE_WIDTH - 1, &number) || number == 0) {
        return refuse(reterr, "the path has no width from 1 to 255");
    }
    if (path.size != 0) {
        return refuse(reterr, "the path goes on behind its width");
    }
    tile.width = (unsigned)number;
    *ret = tile;
    return 0;
}

/* Hashes of height 8·level. */
static uint64_t hashes_at(unsigned level, uint64_t size) {
    unsigned height = level == TILE_ENTRIES ? 0 : 8 * level;
    return height < 64 ? size >> height : 0;
}

uint64_t tile_count_full(unsigned level, uint64_t size) {
    return hashes_at(level, size) / TILE_WIDTH;
}

unsigned tile_partial_width(unsigned level, uint64_t size) {
    return (unsigned)(hashes_at(level, size) % TILE_WIDTH);
}

/* ---- contents ---- */

int tile_parse_hashes(const void *bytes, size_t size, unsigned width, struct tree_hash *ret_hashes,
                      struct error *reterr) {
    struct cursor c;
    cursor_init(&c, bytes, size);
    const uint8_t *hashes = cursor_take(&c, (size_t)width * TREE_HASH_BYTES);
    if (hashes == NULL || !cursor_done(&c)) {
        return error_set(reterr, PROOF_E_MALFORMED, "a tile of %u hashes is %zu bytes long", width, size);
    }
    memcpy(ret_hashes, hashes, (size_t)width * TREE_HASH_BYTES);
    return 0;
}

int tile_parse_bundle(const void *bytes, size_t size, unsigned width, struct slice *ret_entries,
                      struct error *reterr) {
    struct cursor c;
    cursor_init(&c, bytes, size);
    for (unsigned i = 0; i < width; i++) {
        size_t length = (size_t)cursor_u8(&c) << 8;
        length |= cursor_u8(&c);
        const uint8_t *entry = cursor_take(&c, length);
        if (entry == NULL) {
            return error_set(reterr, PROOF_E_MALFORMED, "a bundle of %u records ends inside record %u", width,
                             i);
        }
        ret_entries[i] = (struct slice){(const char *)entry, length};
    }
    return cursor_done(&c)
               ? 0
               : error_set(reterr, PROOF_E_MALFORMED, "a bundle goes on behind its %u records", width);
}
