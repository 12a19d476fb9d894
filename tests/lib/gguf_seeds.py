#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the seeds of the fuzz targets gguf and tokenizer: gguf_seeds.py FUZZ_SEEDS_FOLDER"""

import pathlib
import struct
import sys

U32, I32, F32, BOOL, STRING, ARRAY, U64 = 4, 5, 6, 7, 8, 9, 10


def string(text):
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def key(name, kind, value):
    return string(name) + struct.pack("<I", kind) + value


def array(name, kind, values):
    return key(name, ARRAY, struct.pack("<IQ", kind, len(values)) + b"".join(values))


def tensor(name, dims, kind, offset):
    return string(name) + struct.pack("<I", len(dims)) + struct.pack(f"<{len(dims)}QIQ", *dims, kind, offset)


def file(metas, tensors, data, version=3):
    out = (
        b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(metas)) + b"".join(metas) + b"".join(tensors)
    )
    return out + bytes(-len(out) % 32) + data


def vocabulary():
    pieces = [
        ("<pad>", 3),
        ("<eos>", 3),
        ("<bos>", 3),
        ("<unk>", 2),
        ("<start_of_turn>", 4),
        ("\n", 4),
        ("  ", 4),
        ("<b>", 4),
    ]
    pieces += [(f"<0x{i:02X}>", 6) for i in range(256)]
    pieces += [(p, 1) for p in ("▁a", "ab", "abc", "▁", "a", "b", "c", "é")]
    return [
        key("tokenizer.ggml.model", STRING, string("llama")),
        array("tokenizer.ggml.tokens", STRING, [string(p) for p, _ in pieces]),
        array("tokenizer.ggml.scores", F32, [struct.pack("<f", -i) for i in range(len(pieces))]),
        array("tokenizer.ggml.token_type", I32, [struct.pack("<i", t) for _, t in pieces]),
        key("tokenizer.ggml.bos_token_id", U32, struct.pack("<I", 2)),
    ]


def main():
    root = pathlib.Path(sys.argv[1])
    values = [
        key("general.architecture", STRING, string("gemma3")),
        key("general.alignment", U32, struct.pack("<I", 32)),
        key("t.bool", BOOL, b"\1"),
        key("t.u64", U64, struct.pack("<Q", 1 << 40)),
        array("t.numbers", I32, [struct.pack("<i", i) for i in (1, -2, 3)]),
        array("t.strings", STRING, [string("a"), string("")]),
    ]
    tensors = [tensor("weights", (4, 2), 0, 0), tensor("quants", (32, 2), 8, 32)]
    sound = file(values, tensors, bytes(100))
    gguf = {
        "sound": sound,
        "version2": file(values, tensors, bytes(100), version=2),
        "cut": sound[:150],
        "no-tensors": file(values, [], b""),
        "overlap": file(values, [tensors[0], tensor("quants", (32, 2), 8, 0)], bytes(100)),
        "overflow": file(values, [tensor("weights", (1 << 32, 1 << 32), 0, 0)], bytes(32)),
        "huge-array": file([key("t", ARRAY, struct.pack("<IQ", F32, 1 << 62))], [], b""),
        "vocabulary": file(vocabulary(), [], b""),
    }
    tokenizer = {
        "vocabulary": file(vocabulary(), [], b""),
        "text": "abc  <b>a</b>\n\n é a▁b".encode(),
        "control": b"<start_of_turn>user\nabc<end_of_turn>\n",
        "bytes": "🦙 \u0000 漢".encode(),
        "invalid": b"ab\xff\xc0c",
        "run": b"ab" * 200,
    }
    for name, seeds in (("gguf", gguf), ("tokenizer", tokenizer)):
        (root / name).mkdir(parents=True, exist_ok=True)
        for seed, data in seeds.items():
            (root / name / seed).write_bytes(data)


if __name__ == "__main__":
    main()
