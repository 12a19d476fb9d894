#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the seeds of the fuzz target mmproj: mmproj_seeds.py FUZZ_SEEDS_FOLDER"""

import pathlib
import struct
import sys

from gguf_seeds import BOOL, F32, STRING, U32, array, file, key, string, tensor

SIDE, PATCH, WIDTH, MLP, HIDDEN = 2, 1, 16, 24, 32
STORED_F32 = 0


def metas(projector, pool):
    def size(name, value):
        return key(f"clip.vision.{name}", U32, struct.pack("<I", value))

    halves = [struct.pack("<f", 0.5)] * 3
    return [
        key("general.architecture", STRING, string("clip")),
        key("clip.projector_type", STRING, string(projector)),
        key("clip.use_gelu", BOOL, b"\1"),
        size("image_size", SIDE),
        size("patch_size", PATCH),
        size("embedding_length", WIDTH),
        size("feed_forward_length", MLP),
        size("block_count", 1),
        size("attention.head_count", 1),
        key("clip.vision.attention.layer_norm_epsilon", F32, struct.pack("<f", 1e-6)),
        array("clip.vision.image_mean", F32, halves),
        array("clip.vision.image_std", F32, halves),
        size("projector.scale_factor", pool),
    ]


def tensors(up, down):
    yield "v.patch_embd.weight", (PATCH, PATCH, 3, WIDTH)
    yield "v.patch_embd.bias", (WIDTH,)
    yield "v.position_embd.weight", (WIDTH, (SIDE // PATCH) ** 2)
    for name, cols, rows in (
        ("ln1", WIDTH, 0),
        ("attn_q", WIDTH, WIDTH),
        ("attn_k", WIDTH, WIDTH),
        ("attn_v", WIDTH, WIDTH),
        ("attn_out", WIDTH, WIDTH),
        ("ln2", WIDTH, 0),
        (up, WIDTH, MLP),
        (down, MLP, WIDTH),
    ):
        yield f"v.blk.0.{name}.weight", (cols, rows) if rows else (cols,)
        yield f"v.blk.0.{name}.bias", (rows or cols,)
    yield "v.post_ln.weight", (WIDTH,)
    yield "v.post_ln.bias", (WIDTH,)
    yield "mm.soft_emb_norm.weight", (WIDTH,)
    yield "mm.input_projection.weight", (HIDDEN, WIDTH)


def seed(projector="gemma3", pool=2, up="ffn_up", down="ffn_down"):
    entries, data = [], b""
    for name, dims in tensors(up, down):
        count = 1
        for dim in dims:
            count *= dim
        entries.append(tensor(name, dims, STORED_F32, len(data)))
        data += struct.pack(f"<{count}f", *((i * 7 % 13 - 6) / 16 for i in range(count)))
        data += bytes(-len(data) % 32)
    return file(metas(projector, pool), entries, data)


def main():
    folder = pathlib.Path(sys.argv[1]) / "mmproj"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tower").write_bytes(seed())
    (folder / "old-names").write_bytes(seed(up="ffn_down", down="ffn_up"))
    (folder / "unpooled").write_bytes(seed(pool=1))
    (folder / "other-projector").write_bytes(seed(projector="gemma4v"))


if __name__ == "__main__":
    main()
