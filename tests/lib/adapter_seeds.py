#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the seeds of the fuzz target adapter: adapter_seeds.py FUZZ_SEEDS_FOLDER"""

import json
import pathlib
import struct
import sys

import gguf_seeds as gguf

PEFT = {"peft_type": "LORA", "r": 2, "lora_alpha": 6, "bias": "none", "use_rslora": True}
MLX = {"fine_tune_type": "lora", "lora_parameters": {"rank": 2, "scale": 20.0}}


def weights(tensors):
    """(name, dtype, shape) → a safetensors file of zeros"""
    header, at = {}, 0
    for name, dtype, shape in tensors:
        size = shape[0] * shape[1] * (4 if dtype == "F32" else 2)
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header | {"__metadata__": {"format": "pt"}}).encode()
    return struct.pack("<Q", len(text)) + text + bytes(at)


def seed(config, file):
    text = json.dumps(config).encode() if config is not None else b""
    return struct.pack("<H", len(text)) + text + file


def main():
    folder = pathlib.Path(sys.argv[1]) / "adapter"
    folder.mkdir(parents=True, exist_ok=True)
    q = "base_model.model.model.layers.0.self_attn.q_proj."
    up = "model.layers.3.mlp.up_proj."
    peft = weights([(q + "lora_A.weight", "F32", [2, 4]), (q + "lora_B.weight", "BF16", [4, 2])])
    mlx = weights([(up + "lora_a", "F16", [4, 2]), (up + "lora_b", "F32", [2, 4])])
    patterns = PEFT | {"rank_pattern": {"q_proj": 2}, "alpha_pattern": {"^model.layers.0.mlp.up_proj": 3}}
    metas = [
        gguf.key("general.type", gguf.STRING, gguf.string("adapter")),
        gguf.key("adapter.type", gguf.STRING, gguf.string("lora")),
        gguf.key("adapter.lora.alpha", gguf.F32, struct.pack("<f", 5)),
    ]
    gate = "blk.3.ffn_gate.weight.lora_"
    tensors = [gguf.tensor(gate + "a", (4, 2), 0, 0), gguf.tensor(gate + "b", (2, 4), 0, 32)]
    seeds = {
        "peft": seed(PEFT, peft),
        "patterns": seed(patterns, peft),
        "mlx": seed(MLX, mlx),
        "gguf": seed(None, gguf.file(metas, tensors, bytes(64))),
        "cut": seed(PEFT, peft)[:-9],
        "dora": seed(PEFT | {"use_dora": True}, peft),
        "half": seed(PEFT, weights([(q + "lora_A.weight", "F32", [2, 4])])),
        "empty": seed(PEFT, weights([])),
    }
    for name, data in seeds.items():
        (folder / name).write_bytes(data)


if __name__ == "__main__":
    main()
