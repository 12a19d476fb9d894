/* SPDX-License-Identifier: Apache-2.0
 *
 * The writer holds the right edge of the tree for the time of one append: per level the hashes of the tile
 * that is not full yet, and the bundle under level 0. A tile is written when it becomes full, its root goes
 * into the level above; at the end each edge that changed is written as a partial tile.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "audit/proof/tile_edge.h"
#include "base/cleanup.h"

struct edge {
    uint64_t index;
    unsigned count;
    bool changed;
    struct tree_hash hashes[TILE_WIDTH];
};

struct edges {
    struct edge levels[TILE_LEVELS];
    struct buf bundle;
};

static void free_edges(struct edges **edges) {
    if (*edges != NULL) {
        buf_deinit(&(*edges)->bundle);
        free(*edges);
    }
}

void tile_writer_init(struct tile_writer *writer, const struct tile_io *io, int dir_fd,
                      const struct tree_range *range) {
    *writer = (struct tile_writer){.io = io, .dir_fd = dir_fd, .range = *range};
}

/* ---- the edge as it was left, held against the range ---- */

/* The range's roots of heights 8·level … 8·level + 7 are folds of this level's partial tile. */
static int check_edge(const struct tree_range *range, unsigned level, const struct edge *edge,
                      struct error *reterr) {
    struct tree_hash hashes[TILE_WIDTH / 2];
    uint64_t above = 8 * level + 8 < 64 ? range->size >> (8 * level + 8) : 0;
    size_t root = (size_t)__builtin_popcountll(above);
    unsigned at = 0;
    for (unsigned inside = 8; inside-- > 0;) {
        if ((edge->count >> inside & 1) == 0) {
            continue;
        }
        struct tree_hash folded;
        memcpy(hashes, &edge->hashes[at], sizeof *hashes << inside);
        int rc = tree_fold(hashes, inside, &folded);
        if (rc < 0) {
            return error_errno(reterr, -rc, "a tile cannot be checked");
        }
        if (!tree_hash_equal(&folded, &range->roots[root++])) {
            return error_set(reterr, PROOF_E_MISMATCH, "the partial tile of level %u is not that of the tree",
                             level);
        }
        at += 1u << inside;
    }
    return 0;
}

static int load_bundle(const struct tile_writer *writer, struct edges *edges, struct error *reterr) {
    struct slice entries[TILE_WIDTH];
    const struct edge *leaves = &edges->levels[0];
    struct tile tile = {TILE_ENTRIES, leaves->index, leaves->count};
    int rc = tile_fetch_bundle(writer->io, writer->dir_fd, &tile, &edges->bundle, entries, reterr);
    if (rc != 0) {
        return rc;
    }
    for (unsigned i = 0; i < leaves->count; i++) {
        struct tree_hash leaf;
        rc = tree_leaf(entries[i].bytes, entries[i].size, &leaf);
        if (rc < 0) {
            return error_errno(reterr, -rc, "a bundle cannot be checked");
        }
        if (!tree_hash_equal(&leaf, &leaves->hashes[i])) {
            return error_set(reterr, PROOF_E_MISMATCH,
                             "record %u of the partial bundle is not that of the tree", i);
        }
    }
    /* A full bundle may have stood in for the partial one. */
    const struct slice *last = &entries[leaves->count - 1];
    edges->bundle.size = (size_t)((const uint8_t *)last->bytes + last->size - edges->bundle.bytes);
    return 0;
}

static int load_edges(const struct tile_writer *writer, struct edges *edges, struct error *reterr) {
    for (unsigned level = 0; level < TILE_LEVELS; level++) {
        struct edge *edge = &edges->levels[level];
        edge->index = tile_count_full(level, writer->range.size);
        edge->count = tile_partial_width(level, writer->range.size);
        if (edge->count == 0) {
            continue;
        }
        struct tile tile = {level, edge->index, edge->count};
        int rc = tile_fetch_hashes(writer->io, writer->dir_fd, &tile, edge->hashes, reterr);
        if (rc == 0) {
            rc = check_edge(&writer->range, level, edge, reterr);
        }
        if (rc != 0) {
            return rc;
        }
    }
    return edges->levels[0].count > 0 ? load_bundle(writer, edges, reterr) : 0;
}

/* ---- forward ---- */

static int put_bundle(struct tile_writer *writer, const struct edges *edges, struct error *reterr) {
    char path[TILE_PATH_SIZE];
    struct tile tile = {TILE_ENTRIES, edges->levels[0].index, edges->levels[0].count};
    tile_path(&tile, path);
    return tile_put_near(writer->io, writer->dir_fd, &writer->durable, path, edges->bundle.bytes,
                         edges->bundle.size, reterr);
}

static int put_hashes(struct tile_writer *writer, unsigned level, const struct edge *edge,
                      struct error *reterr) {
    char path[TILE_PATH_SIZE];
    struct tile tile = {level, edge->index, edge->count};
    tile_path(&tile, path);
    return tile_put_near(writer->io, writer->dir_fd, &writer->durable, path, edge->hashes,
                         (size_t)edge->count * TREE_HASH_BYTES, reterr);
}

/* Adds a leaf and writes whatever became full by it, from the records upwards. */
static int push_leaf(struct tile_writer *writer, struct edges *edges, struct tree_hash hash,
                     struct error *reterr) {
    for (unsigned level = 0; level < TILE_LEVELS; level++) {
        struct edge *edge = &edges->levels[level];
        edge->hashes[edge->count++] = hash;
        edge->changed = true;
        if (edge->count < TILE_WIDTH) {
            return 0;
        }
        int rc = level == 0 ? put_bundle(writer, edges, reterr) : 0;
        if (rc == 0) {
            rc = put_hashes(writer, level, edge, reterr);
        }
        if (rc != 0) {
            return rc;
        }
        if (level == 0) {
            buf_clear(&edges->bundle);
        }
        rc = tree_fold(edge->hashes, 8, &hash);
        if (rc < 0) {
            return error_errno(reterr, -rc, "a tile cannot be completed");
        }
        edge->index++;
        edge->count = 0;
    }
    return error_errno(reterr, EOVERFLOW, "the tree is full");
}

static int push_record(struct tile_writer *writer, struct edges *edges, struct tree_range *range,
                       struct slice record, struct error *reterr) {
    struct tree_hash leaf;
    uint8_t length[2] = {(uint8_t)(record.size >> 8), (uint8_t)record.size};
    int rc = tree_leaf(record.bytes, record.size, &leaf);
    if (rc == 0) {
        rc = tree_range_append(range, &leaf);
    }
    buf_append(&edges->bundle, length, sizeof length);
    buf_append(&edges->bundle, record.bytes, record.size);
    if (rc == 0 && edges->bundle.failed) {
        rc = -ENOMEM;
    }
    return rc < 0 ? error_errno(reterr, -rc, "a record cannot be added to the tree")
                  : push_leaf(writer, edges, leaf, reterr);
}

static int put_partials(struct tile_writer *writer, const struct edges *edges, struct error *reterr) {
    int rc = edges->levels[0].changed && edges->levels[0].count > 0 ? put_bundle(writer, edges, reterr) : 0;
    for (unsigned level = 0; rc == 0 && level < TILE_LEVELS; level++) {
        const struct edge *edge = &edges->levels[level];
        rc = edge->changed && edge->count > 0 ? put_hashes(writer, level, edge, reterr) : 0;
    }
    return rc;
}

static int append(struct tile_writer *writer, const struct slice *records, size_t count,
                  struct tree_range *range, struct error *reterr) {
    CLEANUP(free_edges) struct edges *edges = calloc(1, sizeof *edges);
    if (edges == NULL) {
        return error_errno(reterr, ENOMEM, "tiles cannot be written");
    }
    int rc = load_edges(writer, edges, reterr);
    for (size_t i = 0; rc == 0 && i < count; i++) {
        rc = push_record(writer, edges, range, records[i], reterr);
    }
    return rc != 0 ? rc : put_partials(writer, edges, reterr);
}

int tile_append(struct tile_writer *writer, const struct slice *records, size_t count, struct error *reterr) {
    struct tree_range range = writer->range;
    if (writer->failed) {
        return error_set(reterr, -EIO, "the tiles were not written earlier, start again");
    }
    for (size_t i = 0; i < count; i++) {
        if (records[i].size > TILE_MAX_ENTRY_BYTES) {
            return error_set(reterr, -EINVAL, "record %zu is longer than %d bytes", i, TILE_MAX_ENTRY_BYTES);
        }
    }
    if (count == 0) {
        return 0;
    }
    int rc = append(writer, records, count, &range, reterr);
    writer->failed = rc != 0;
    if (rc == 0) {
        writer->range = range;
    }
    return rc;
}

/* ---- what is no longer needed ---- */

static void clean_tile(const struct tile_io *io, int dir_fd, struct tile tile) {
    char path[TILE_PATH_SIZE];
    for (tile.width = 1; tile.width < TILE_WIDTH; tile.width++) {
        tile_path(&tile, path);
        (void)io->unlink(io->user, dir_fd, path, 0);
    }
    *strrchr(path, '/') = '\0';
    (void)io->unlink(io->user, dir_fd, path, AT_REMOVEDIR);
}

void tile_clean(const struct tile_io *io, int dir_fd, uint64_t old_size, uint64_t size) {
    for (unsigned level = 0; level < TILE_LEVELS; level++) {
        for (uint64_t i = tile_count_full(level, old_size); i < tile_count_full(level, size); i++) {
            clean_tile(io, dir_fd, (struct tile){.level = level, .index = i});
            if (level == 0) {
                clean_tile(io, dir_fd, (struct tile){.level = TILE_ENTRIES, .index = i});
            }
        }
    }
}
