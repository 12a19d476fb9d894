/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "audit/proof/tile_edge.h"
#include "base/cleanup.h"

enum { MAX_BUNDLE_BYTES = TILE_WIDTH * (2 + TILE_MAX_ENTRY_BYTES) };

struct kept {
    unsigned width; /* 0: nothing */
    uint64_t index;
    struct tree_hash hashes[TILE_WIDTH];
};

struct tile_reader {
    const struct tile_io *io;
    int dir_fd;
    uint64_t size;
    struct kept levels[TILE_LEVELS];
    uint64_t bundle_index;
    unsigned bundle_width; /* 0: nothing */
    struct buf bundle;
    struct slice entries[TILE_WIDTH]; /* into `bundle` */
};

/* Puts the file's bytes into `out` and the width of the file that was found into ret_width. */
static int fetch(const struct tile_io *io, int dir_fd, const struct tile *tile, size_t limit, struct buf *out,
                 unsigned *ret_width, struct error *reterr) {
    char path[TILE_PATH_SIZE];
    struct tile wanted = *tile;
    buf_clear(out);
    tile_path(&wanted, path);
    int rc = tile_get(io, dir_fd, path, limit, out, reterr);
    if (rc == PROOF_E_MISSING && wanted.width < TILE_WIDTH) {
        wanted.width = TILE_WIDTH;
        tile_path(&wanted, path);
        /* The sentence keeps the name that was asked for first. */
        rc = tile_get(io, dir_fd, path, limit, out, NULL);
        if (rc != 0 && rc != PROOF_E_MISSING) {
            return error_set(reterr, rc, "%s: cannot be read", path);
        }
    }
    *ret_width = wanted.width;
    return rc;
}

/* The path of the tile in front of what is wrong with it. */
static int blame(const struct tile *tile, unsigned width, struct error *reterr) {
    char path[TILE_PATH_SIZE];
    struct tile found = *tile;
    found.width = width;
    tile_path(&found, path);
    (void)error_prefix(reterr, "%s: ", path);
    return PROOF_E_MALFORMED;
}

int tile_fetch_hashes(const struct tile_io *io, int dir_fd, const struct tile *tile,
                      struct tree_hash ret_hashes[TILE_WIDTH], struct error *reterr) {
    CLEANUP(buf_deinit) struct buf bytes = {0};
    unsigned width = 0;
    int rc = fetch(io, dir_fd, tile, TILE_WIDTH * TREE_HASH_BYTES, &bytes, &width, reterr);
    if (rc != 0) {
        return rc;
    }
    rc = tile_parse_hashes(bytes.bytes, bytes.size, width, ret_hashes, reterr);
    return rc == 0 ? 0 : blame(tile, width, reterr);
}

int tile_fetch_bundle(const struct tile_io *io, int dir_fd, const struct tile *tile, struct buf *out,
                      struct slice ret_entries[TILE_WIDTH], struct error *reterr) {
    unsigned width = 0;
    int rc = fetch(io, dir_fd, tile, MAX_BUNDLE_BYTES, out, &width, reterr);
    if (rc != 0) {
        return rc;
    }
    rc = tile_parse_bundle(out->bytes, out->size, width, ret_entries, reterr);
    return rc == 0 ? 0 : blame(tile, width, reterr);
}

int tile_reader_new(const struct tile_io *io, int dir_fd, uint64_t size, struct tile_reader **ret,
                    struct error *reterr) {
    if (size > TREE_MAX_SIZE) {
        return error_set(reterr, PROOF_E_RANGE, "no tree has that many leaves");
    }
    struct tile_reader *reader = calloc(1, sizeof *reader);
    if (reader == NULL) {
        return error_errno(reterr, ENOMEM, "tiles cannot be read");
    }
    reader->io = io;
    reader->dir_fd = dir_fd;
    reader->size = size;
    *ret = reader;
    return 0;
}

struct tile_reader *tile_reader_free(struct tile_reader *reader) {
    if (reader != NULL) {
        buf_deinit(&reader->bundle);
        free(reader);
    }
    return NULL;
}

/* Width of tile `index` in the reader's tree; 0 when it has none. */
static unsigned width_of(const struct tile_reader *reader, unsigned level, uint64_t index) {
    uint64_t full = tile_count_full(level, reader->size);
    return index < full ? TILE_WIDTH : index == full ? tile_partial_width(level, reader->size) : 0;
}

static int read_subtree(void *user, unsigned height, uint64_t index, struct tree_hash *ret,
                        struct error *reterr) {
    struct tile_reader *reader = user;
    unsigned level = height / 8;
    unsigned inside = height % 8;
    if (height > TREE_MAX_HEIGHT || index >= reader->size >> height) {
        return error_set(reterr, PROOF_E_RANGE, "the tree has no such subtree");
    }
    uint64_t first = index << inside;
    struct tile tile = {level, first / TILE_WIDTH, width_of(reader, level, first / TILE_WIDTH)};
    struct kept *kept = &reader->levels[level];
    if (kept->width == 0 || kept->index != tile.index) {
        kept->width = 0;
        int rc = tile_fetch_hashes(reader->io, reader->dir_fd, &tile, kept->hashes, reterr);
        if (rc != 0) {
            return rc;
        }
        kept->width = tile.width;
        kept->index = tile.index;
    }
    struct tree_hash hashes[TILE_WIDTH / 2];
    memcpy(hashes, &kept->hashes[first % TILE_WIDTH], sizeof *hashes << inside);
    int rc = tree_fold(hashes, inside, ret);
    return rc == 0 ? 0 : error_errno(reterr, -rc, "a proof cannot be made");
}

struct tree_source tile_reader_source(struct tile_reader *reader) {
    return (struct tree_source){read_subtree, reader};
}

int tile_reader_entry(struct tile_reader *reader, uint64_t index, struct buf *out, struct error *reterr) {
    if (index >= reader->size) {
        return error_set(reterr, PROOF_E_RANGE, "a tree of %llu leaves has no leaf %llu",
                         (unsigned long long)reader->size, (unsigned long long)index);
    }
    uint64_t number = index / TILE_WIDTH;
    struct tile tile = {TILE_ENTRIES, number, width_of(reader, 0, number)};
    if (reader->bundle_width == 0 || reader->bundle_index != number) {
        reader->bundle_width = 0;
        int rc =
            tile_fetch_bundle(reader->io, reader->dir_fd, &tile, &reader->bundle, reader->entries, reterr);
        if (rc != 0) {
            return rc;
        }
        reader->bundle_width = tile.width;
        reader->bundle_index = number;
    }
    struct slice entry = reader->entries[index % TILE_WIDTH];
    buf_append(out, entry.bytes, entry.size);
    return out->failed ? error_errno(reterr, ENOMEM, "a record cannot be read") : 0;
}
