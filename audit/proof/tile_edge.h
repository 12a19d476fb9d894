/* SPDX-License-Identifier: Apache-2.0
 *
 * Tiles by name and width, as writer and reader fetch them. Private to audit/.
 */
#ifndef BUCKLER_AUDIT_PROOF_TILE_EDGE_H
#define BUCKLER_AUDIT_PROOF_TILE_EDGE_H

#include "audit/proof/tile.h"

/* tile_put, but directories in `durable` (may be NULL) are taken as made and synced; new ones are added. */
int tile_put_near(const struct tile_io *io, int dir_fd, struct tile_durable *durable, const char *path,
                  const void *bytes, size_t size, struct error *reterr) MUST_CHECK;

/* The first `tile->width` hashes of the tile, from a partial file of that width or else from the full one. */
int tile_fetch_hashes(const struct tile_io *io, int dir_fd, const struct tile *tile,
                      struct tree_hash ret_hashes[TILE_WIDTH], struct error *reterr) MUST_CHECK;

/* Likewise for records; they lie in `out`, whose contents are replaced. */
int tile_fetch_bundle(const struct tile_io *io, int dir_fd, const struct tile *tile, struct buf *out,
                      struct slice ret_entries[TILE_WIDTH], struct error *reterr) MUST_CHECK;

#endif
