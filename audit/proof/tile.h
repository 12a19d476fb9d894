/* SPDX-License-Identifier: Apache-2.0
 *
 * The tree as files (C2SP tlog-tiles), which any web server can publish and existing tools verify:
 *
 *   tile/<L>/<N>[.p/<W>]       hashes of height 8·L, 256 of them, or W < 256 at the right edge of a tree
 *   tile/entries/<N>[.p/<W>]   the records under a tile of level 0, each behind its u16 big-endian length
 *   checkpoint                 the only file that ever changes
 *
 * A record is durable in its segment before it comes here. Then: tile_append (tiles are durable when it
 * returns) → sign → tile_put "checkpoint" → tile_clean. A crash anywhere in between costs nothing: start
 * again with the range of the last checkpoint and the same records, and the same files are written again.
 */
#ifndef BUCKLER_AUDIT_PROOF_TILE_H
#define BUCKLER_AUDIT_PROOF_TILE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "audit/proof/encoding.h"
#include "audit/proof/tree.h"
#include "base/buf.h"
#include "base/error.h"

enum {
    TILE_WIDTH = 256,
    TILE_LEVELS = 8,   /* levels that a tree of TREE_MAX_SIZE has */
    TILE_ENTRIES = 64, /* in the place of a level: the records themselves */
    TILE_PATH_SIZE = 64,
    TILE_MAX_ENTRY_BYTES = 65535,
};

/* ---- names ---- */

struct tile {
    unsigned level; /* 0 to 63, or TILE_ENTRIES */
    uint64_t index;
    unsigned width; /* 1 to TILE_WIDTH; less is a partial tile */
};

void tile_path(const struct tile *tile, char out[TILE_PATH_SIZE]);

/* The other way round; takes what tile_path writes and nothing else. */
int tile_parse(struct slice path, struct tile *ret, struct error *reterr) MUST_CHECK;

/* What a tree of `size` leaves has at `level`: tiles 0 … full - 1, and one of this width behind them unless
 * it is 0. Entry bundles are those of level 0. */
uint64_t tile_count_full(unsigned level, uint64_t size);
unsigned tile_partial_width(unsigned level, uint64_t size);

/* ---- system calls, so that a test can count them, fail them and cut the power ---- */

/* As their namesakes, but they return -errno. Paths are relative to the log's directory. */
struct tile_io {
    int (*open)(void *user, int dir_fd, const char *path, int flags, mode_t mode);
    int (*mkdir)(void *user, int dir_fd, const char *path, mode_t mode);
    int (*rename)(void *user, int dir_fd, const char *from, const char *to);
    int (*unlink)(void *user, int dir_fd, const char *path, int flags);
    ssize_t (*read)(void *user, int fd, void *out, size_t size);
    ssize_t (*write)(void *user, int fd, const void *bytes, size_t size);
    int (*fsync)(void *user, int fd);
    int (*close)(void *user, int fd);
    void *user;
};

/* The kernel: openat, mkdirat, renameat, unlinkat, read, write, fsync, close. */
extern const struct tile_io tile_io_kernel;

/* Replaces one file: temporary file, write, fsync, rename, fsync of its directory. New directories above it
 * are made and synced in their parents first. When it returns 0 the file survives a power cut; whatever
 * happens, `path` names either all of the old bytes or all of the new ones. There must be one writer only. */
int tile_put(const struct tile_io *io, int dir_fd, const char *path, const void *bytes, size_t size,
             struct error *reterr) MUST_CHECK;

/* A whole file of at most `limit` bytes, appended to `out`. PROOF_E_MISSING when there is none,
 * PROOF_E_MALFORMED when it is longer. */
int tile_get(const struct tile_io *io, int dir_fd, const char *path, size_t limit, struct buf *out,
             struct error *reterr) MUST_CHECK;

/* ---- the writer ---- */

/* Directories whose own names are known to be durable, so that each is synced once and not every second. */
enum { TILE_DURABLE_PATHS = 32 };

struct tile_durable {
    char paths[TILE_DURABLE_PATHS][TILE_PATH_SIZE];
    unsigned next;
};

struct tile_writer {
    const struct tile_io *io; /* borrowed, like the descriptor */
    int dir_fd;
    bool failed;
    struct tree_range range; /* of what is written; read it, save it, sign its root */
    struct tile_durable durable;
};

/* `range` is the state at the last checkpoint; an empty one begins a log. */
void tile_writer_init(struct tile_writer *writer, const struct tile_io *io, int dir_fd,
                      const struct tree_range *range);

/* Appends records: reads the right edge back, holds it against the range, and writes each tile and bundle
 * that is new for the larger tree, bundles first, then upwards. Only then does the range move on.
 * PROOF_E_MISMATCH, PROOF_E_MALFORMED and PROOF_E_MISSING say that the files are not those of this range.
 * After any failure the writer refuses to go on: an fsync that failed once must not be asked again. */
int tile_append(struct tile_writer *writer, const struct slice *records, size_t count,
                struct error *reterr) MUST_CHECK;

/* Removes the partial tiles that became full between two sizes; call when the checkpoint of `size` is in its
 * place. Nothing depends on it, so it may be left out or be cut short. */
void tile_clean(const struct tile_io *io, int dir_fd, uint64_t old_size, uint64_t size);

/* ---- the reader ---- */

/* Reads hashes and records of a tree of `size` leaves, one tile of each level kept in memory. Takes a full
 * tile's beginning where a partial one is gone. Checks form and lengths; that the hashes are right is for who
 * has a checkpoint, by the proofs made from them. */
struct tile_reader;
int tile_reader_new(const struct tile_io *io, int dir_fd, uint64_t size, struct tile_reader **ret,
                    struct error *reterr) MUST_CHECK;
struct tile_reader *tile_reader_free(struct tile_reader *reader);

/* For tree_prove_* and tree_source_root, up to the reader's size. */
struct tree_source tile_reader_source(struct tile_reader *reader);

/* The record at `index`, appended to `out` without its length. */
int tile_reader_entry(struct tile_reader *reader, uint64_t index, struct buf *out,
                      struct error *reterr) MUST_CHECK;

/* ---- contents of files, for readers of other sources; bytes of a file of `width` entries ---- */

/* PROOF_E_MALFORMED unless `size` is that of `width` hashes. */
int tile_parse_hashes(const void *bytes, size_t size, unsigned width, struct tree_hash *ret_hashes,
                      struct error *reterr) MUST_CHECK;

/* The entries of a bundle, as slices into `bytes`; PROOF_E_MALFORMED unless there are `width` to the byte. */
int tile_parse_bundle(const void *bytes, size_t size, unsigned width, struct slice *ret_entries,
                      struct error *reterr) MUST_CHECK;

#endif
