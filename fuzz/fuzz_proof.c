/* SPDX-License-Identifier: Apache-2.0
 *
 * Notes, keys, checkpoints, offline proofs and tile paths over the same foreign bytes, and one
 * promise: what was read is printed again as the same bytes, so that nothing has two spellings. No key is
 * trusted, so nothing may ever verify.
 */
#include <stdlib.h>
#include <string.h>

#include "audit/proof/tile.h"
#include "audit/proof/tlog_proof.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void demand(bool promise) {
    if (!promise) {
        abort();
    }
}

static void demand_same(struct buf *printed, struct slice bytes) {
    demand(!printed->failed && printed->size == bytes.size &&
           (bytes.size == 0 || memcmp(printed->bytes, bytes.bytes, bytes.size) == 0));
    buf_deinit(printed);
}

static void check_names(struct slice bytes) {
    char path[TILE_PATH_SIZE];
    struct buf out = {0};
    struct note_key key;
    struct tile tile;
    struct error error;
    if (tile_parse(bytes, &tile, &error) == 0) {
        tile_path(&tile, path);
        demand(slice_is(bytes, path));
    }
    if (note_key_parse(bytes, &key, &error) == 0) {
        note_key_print(&key, &out);
        demand_same(&out, bytes);
    }
}

static void check_note(struct slice bytes) {
    struct checkpoint checkpoint;
    struct buf out = {0};
    struct note note;
    struct error error;
    if (checkpoint_parse(bytes, &checkpoint, &error) == 0) {
        demand(checkpoint_print(&checkpoint, &out, &error) == 0);
        demand_same(&out, bytes);
    }
    if (note_parse(bytes.bytes, bytes.size, &note, &error) != 0) {
        return;
    }
    demand(note_verify(&note, NULL, 0, NULL, &error) == PROOF_E_UNSIGNED);
    buf_append(&out, note.text.bytes, note.text.size);
    buf_printf(&out, "\n");
    for (size_t i = 0; i < note.line_count; i++) {
        buf_printf(&out, "\xe2\x80\x94 ");
        buf_append(&out, note.lines[i].name.bytes, note.lines[i].name.size);
        buf_printf(&out, " ");
        buf_append(&out, note.lines[i].base64.bytes, note.lines[i].base64.size);
        buf_printf(&out, "\n");
    }
    demand_same(&out, bytes);
    if (checkpoint_parse(note.text, &checkpoint, &error) == 0) {
        demand(checkpoint_print(&checkpoint, &out, &error) == 0);
        demand_same(&out, note.text);
    }
}

static void check_proof(struct slice bytes) {
    struct tlog_proof proof;
    struct checkpoint checkpoint;
    struct tree_hash leaf = {{0}};
    struct buf extra = {0};
    struct buf out = {0};
    struct error error;
    uint64_t index = 0;
    size_t size = 0;
    demand(tlog_proof_verify(bytes.bytes, bytes.size, &leaf, NULL, 0, NULL, &index, &checkpoint, &error) !=
           0);
    if (tlog_proof_parse(bytes.bytes, bytes.size, &proof, &error) != 0) {
        return;
    }
    demand(base64_size(proof.extra, &size));
    buf_append(&extra, bytes.bytes, size); /* room for it */
    demand(!extra.failed && base64_decode(proof.extra, extra.bytes, size));
    if (tlog_proof_print(proof.has_extra ? extra.bytes : NULL, size, proof.index, &proof.path,
                         proof.checkpoint, &out, &error) == 0) {
        demand_same(&out, bytes);
    }
    buf_deinit(&extra);
    buf_deinit(&out);
}

static void check_binary(struct slice bytes) {
    struct slice entries[TILE_WIDTH];
    struct tree_hash hashes[TILE_WIDTH];
    struct error error;
    unsigned width = bytes.size > 0 ? (uint8_t)bytes.bytes[0] + 1u : 1;
    demand((tile_parse_hashes(bytes.bytes, bytes.size, width, hashes, &error) == 0) ==
           (bytes.size == (size_t)width * TREE_HASH_BYTES));
    if (tile_parse_bundle(bytes.bytes, bytes.size, width, entries, &error) == 0) {
        demand(entries[width - 1].bytes + entries[width - 1].size == bytes.bytes + bytes.size);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct slice bytes = {(const char *)data, size};
    check_names(bytes);
    check_note(bytes);
    check_proof(bytes);
    check_binary(bytes);
    return 0;
}
