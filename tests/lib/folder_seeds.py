#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the seeds of the fuzz target folder: folder_seeds.py FUZZ_SEEDS_FOLDER"""

import json
import pathlib
import struct
import sys

CONFIG, WEIGHTS, INDEX, A, B, JSON, MODEL = range(7)
LAYER = {
    "input_layernorm": [2],
    "self_attn.q_proj": [2, 2],
    "self_attn.k_proj": [2, 2],
    "self_attn.v_proj": [2, 2],
    "self_attn.o_proj": [2, 2],
    "post_attention_layernorm": [2],
    "mlp.gate_proj": [3, 2],
    "mlp.up_proj": [3, 2],
    "mlp.down_proj": [2, 3],
}
PIECES = ["<pad>", "<eos>", "<bos>", "<unk>", "\n", "Y", "e", "s", "es", "Yes", "<0x0A>"]
TYPES = [3, 3, 3, 2, 4, 1, 1, 1, 1, 1, 6]
MERGES = [["e", "s"], ["Y", "es"]]


def weights(tensors, dtype):
    header, at = {}, 0
    for name, shape in tensors.items():
        size = (4 if dtype == "F32" else 2) * shape[0] * (shape[1] if len(shape) > 1 else 1)
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(at)


def names(prefix="model."):
    tensors = {prefix + "embed_tokens.weight": [len(PIECES), 2], prefix + "norm.weight": [2]}
    return tensors | {f"{prefix}layers.0.{name}.weight": shape for name, shape in LAYER.items()}


def config(kind="gemma", **more):
    return json.dumps({"model_type": kind, "head_dim": 2, "num_hidden_layers": 1} | more).encode()


def tokenizer_json(**more):
    added = [
        {"id": i, "content": p, "special": t == 3, "normalized": False}
        for i, (p, t) in enumerate(zip(PIECES, TYPES, strict=True))
        if t in (2, 3, 4)
    ]
    model = {
        "type": "BPE",
        "byte_fallback": True,
        "vocab": {p: i for i, p in enumerate(PIECES)},
        "merges": MERGES,
    }
    normalizer = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
    return json.dumps({"added_tokens": added, "normalizer": normalizer, "model": model | more}).encode()


def field(number, wire, payload):
    head = bytes([number << 3 | wire])
    return head + (bytes([len(payload)]) + payload if wire == 2 else payload)


def tokenizer_model(prefix=0):
    out = b""
    for i, (piece, kind) in enumerate(zip(PIECES, TYPES, strict=True)):
        body = field(1, 2, piece.encode()) + field(2, 5, struct.pack("<f", -i)) + field(3, 0, bytes([kind]))
        out += field(1, 2, body)
    out += field(2, 2, field(3, 0, b"\x02"))
    return out + field(3, 2, field(3, 0, bytes([prefix])) + field(4, 0, b"\x00"))


def seed(*parts):
    return b"".join(struct.pack("<BH", which, len(data)) + data for which, data in parts)


def main():
    folder = pathlib.Path(sys.argv[1]) / "folder"
    folder.mkdir(parents=True, exist_ok=True)
    whole = weights(names(), "BF16")
    first = {name: shape for name, shape in names().items() if "layers" not in name}
    second = {name: shape for name, shape in names().items() if "layers" in name}
    index = {"weight_map": dict.fromkeys(first, "a.safetensors") | dict.fromkeys(second, "b.safetensors")}
    nested = json.dumps(
        {"model_type": "gemma3", "text_config": {"head_dim": 2}, "image_token_index": 10}
    ).encode()
    seeds = {
        "json": seed((CONFIG, config()), (WEIGHTS, whole), (JSON, tokenizer_json())),
        "model": seed((CONFIG, config()), (WEIGHTS, weights(names(), "F32")), (MODEL, tokenizer_model())),
        "sharded": seed(
            (CONFIG, config(rope_theta=1e4)),
            (INDEX, json.dumps(index).encode()),
            (A, weights(first, "F16")),
            (B, weights(second, "BF16")),
            (MODEL, tokenizer_model()),
        ),
        "nested": seed(
            (CONFIG, nested),
            (WEIGHTS, weights(names("language_model.model."), "BF16")),
            (JSON, tokenizer_json()),
        ),
        "second-tokenizer": seed(
            (CONFIG, config()),
            (WEIGHTS, whole),
            (JSON, tokenizer_json(merges=[])),
            (MODEL, tokenizer_model()),
        ),
        "prefix": seed((CONFIG, config()), (WEIGHTS, whole), (MODEL, tokenizer_model(1))),
        "gemma2": seed(
            (CONFIG, config("gemma2", layer_types=["sliding_attention"], final_logit_softcapping=None)),
            (WEIGHTS, whole),
            (JSON, tokenizer_json()),
        ),
        "cut": seed((CONFIG, config()), (WEIGHTS, whole), (JSON, tokenizer_json()))[:-40],
    }
    for name, data in seeds.items():
        (folder / name).write_bytes(data)


if __name__ == "__main__":
    main()
