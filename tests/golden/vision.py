#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tiny random Gemma 3 models that see, and what transformers computes with them in float32.

    vision.py write tests/golden/vision                     the committed one, which unit/engine/vision and graph read
    vision.py check --bucklerctl build/dev/bin/bucklerctl [--seed N] [--count N]
                                                            others, with pictures of several sizes, against the program

A model is a text GGUF and its mmproj GGUF, named as llama.cpp names them. Weights are tempered: branches are small
beside the residual stream, as in trained models. The window is shorter than a picture has rows, heads are not
multiples of 16, patches are not whole blocks of 64.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import gguf
import numpy as np
import torch
from decode_parity import resized
from generate import NAMES
from gguf.quants import dequantize, quantize
from PIL import Image
from transformers import Gemma3Config, Gemma3ForConditionalGeneration
from transformers.models.gemma3.image_processing_pil_gemma3 import Gemma3ImageProcessorPil

Q = gguf.GGMLQuantizationType
# The largest deviation that is allowed, as a share of the largest value.
BOUND = 2e-4
PICTURE = 0xFFFFFFFF

PIECES = (
    [("<pad>", 3), ("<eos>", 3), ("<bos>", 3), ("<unk>", 2)]
    + [(p, 3) for p in ("<start_of_turn>", "<end_of_turn>", "<start_of_image>", "<end_of_image>")]
    + [("\n" * n, 4) for n in (1, 2, 3)]
    + [(f"<0x{i:02X}>", 6) for i in range(256)]
    + [
        (p, 1)
        for p in (
            "▁",
            *"abcdefghijklmnopqrstuvwxyz",
            *"YN.,?",
            "Ye",
            "Yes",
            "No",
            "us",
            "er",
            "user",
            "mo",
            "mod",
            "model",
        )
    ]
)

TOWER = {
    "layer_norm1": "ln1",
    "layer_norm2": "ln2",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.out_proj": "attn_out",
    "mlp.fc1": "ffn_up",
    "mlp.fc2": "ffn_down",
}


@dataclass
class Shape:
    side: int = 63
    patch: int = 7
    pool: int = 3
    tower_layers: int = 2
    tower_heads: int = 3
    tower_head: int = 24
    tower_mlp: int = 100
    layers: int = 4
    hidden: int = 32
    heads: int = 2
    kv_heads: int = 1
    head_size: int = 32
    mlp: int = 64
    window: int = 5

    @property
    def rows(self) -> int:
        return (self.side // self.patch // self.pool) ** 2


# ---- models ----


def make(shape: Shape) -> Gemma3ForConditionalGeneration:
    config = Gemma3Config(
        text_config={
            "vocab_size": len(PIECES),
            "hidden_size": shape.hidden,
            "intermediate_size": shape.mlp,
            "num_hidden_layers": shape.layers,
            "num_attention_heads": shape.heads,
            "num_key_value_heads": shape.kv_heads,
            "head_dim": shape.head_size,
            "max_position_embeddings": 1024,
            "sliding_window": shape.window,
            "query_pre_attn_scalar": shape.head_size,
            "layer_types": [
                "full_attention" if i % 3 == 2 else "sliding_attention" for i in range(shape.layers)
            ],
            "rope_parameters": {
                "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
                "full_attention": {"rope_type": "linear", "rope_theta": 1e6, "factor": 8.0},
            },
        },
        vision_config={
            "image_size": shape.side,
            "patch_size": shape.patch,
            "hidden_size": shape.tower_heads * shape.tower_head,
            "num_attention_heads": shape.tower_heads,
            "intermediate_size": shape.tower_mlp,
            "num_hidden_layers": shape.tower_layers,
            "vision_use_head": False,
        },
        mm_tokens_per_image=shape.rows,
        image_token_index=len(PIECES),
        attn_implementation="eager",
    )
    return Gemma3ForConditionalGeneration(config).eval()


def temper(model: torch.nn.Module, seed: int) -> None:
    """Random weights that f16 and bf16 hold exactly."""
    torch.manual_seed(seed)
    for name, p in model.named_parameters():
        if "embed_tokens" in name:
            p.data.normal_(0, 0.1)
        elif "mm_input_projection" in name:
            p.data.normal_(0, 0.6 / p.shape[0] ** 0.5)
        elif "position_embedding" in name:
            p.data.normal_(0, 0.3)
        elif "out_proj.weight" in name or "fc2.weight" in name:
            p.data.normal_(0, 0.25 / p.shape[1] ** 0.5)
        elif p.dim() >= 2:
            p.data.normal_(0, 1.0 / p[0].numel() ** 0.5)
        elif "vision" in name and "layer" in name and "norm" in name and name.endswith("weight"):
            p.data.normal_(1.0, 0.2)
        elif name.endswith("bias"):
            p.data.normal_(0, 0.1)
        elif "post_attention_layernorm" in name or "post_feedforward" in name:
            p.data.normal_(-0.75, 0.03)
        else:
            p.data.normal_(0.2, 0.2)
        p.data = p.data.bfloat16().float()
        p.data[p.data.abs() < 2.0**-13] = 0


# ---- files ----


class Writer:
    """Leaves in the model what the file says."""

    def __init__(self, path: Path, architecture: str) -> None:
        self.gguf = gguf.GGUFWriter(path, architecture)

    def tensor(self, name: str, p: torch.Tensor, kind: Q, plus: float = 0.0) -> None:
        if p.dim() == 1 or kind == Q.F32:
            self.gguf.add_tensor(name, (p.data + plus).numpy().astype(np.float32))
            return
        data = quantize(p.data.numpy(), kind)
        self.gguf.add_tensor(name, data, raw_dtype=kind)
        p.data = torch.from_numpy(dequantize(data, kind).astype(np.float32).reshape(p.shape).copy())

    def close(self) -> None:
        self.gguf.write_header_to_file()
        self.gguf.write_kv_data_to_file()
        self.gguf.write_tensors_to_file()
        self.gguf.close()


def parameters(model: torch.nn.Module, prefix: str) -> list[tuple[str, torch.Tensor]]:
    found = [(n.partition(prefix)[2], p) for n, p in model.named_parameters() if prefix in n]
    assert found, prefix
    return found


def write_mmproj(model: torch.nn.Module, path: Path, kind: Q) -> None:
    """Every second layer calls the matrices of its MLP as the first converters did: the other way round."""
    c = model.config.vision_config
    w = Writer(path, "clip")
    w.gguf.add_bool("clip.has_vision_encoder", True)
    w.gguf.add_string("clip.projector_type", "gemma3")
    w.gguf.add_bool("clip.use_gelu", True)
    w.gguf.add_uint32("clip.vision.image_size", c.image_size)
    w.gguf.add_uint32("clip.vision.patch_size", c.patch_size)
    w.gguf.add_uint32("clip.vision.embedding_length", c.hidden_size)
    w.gguf.add_uint32("clip.vision.feed_forward_length", c.intermediate_size)
    w.gguf.add_uint32("clip.vision.block_count", c.num_hidden_layers)
    w.gguf.add_uint32("clip.vision.projection_dim", model.config.text_config.hidden_size)
    w.gguf.add_uint32("clip.vision.attention.head_count", c.num_attention_heads)
    w.gguf.add_float32("clip.vision.attention.layer_norm_epsilon", c.layer_norm_eps)
    w.gguf.add_array("clip.vision.image_mean", [0.5, 0.5, 0.5])
    w.gguf.add_array("clip.vision.image_std", [0.5, 0.5, 0.5])
    pool = c.image_size // c.patch_size // int(model.config.mm_tokens_per_image**0.5)
    if pool != 4:
        w.gguf.add_uint32("clip.vision.projector.scale_factor", pool)
    for name, p in parameters(model, "vision_tower."):
        name = name.removeprefix("vision_model.")
        stem, ending = name.rsplit(".", 1)
        if stem.startswith("encoder.layers."):
            _, _, layer, rest = stem.split(".", 3)
            here = TOWER[rest]
            if int(layer) % 2 == 1:
                here = {"ffn_up": "ffn_down", "ffn_down": "ffn_up"}.get(here, here)
            w.tensor(f"v.blk.{layer}.{here}.{ending}", p, kind)
        else:
            here = {
                "embeddings.patch_embedding": "v.patch_embd",
                "embeddings.position_embedding": "v.position_embd",
                "post_layernorm": "v.post_ln",
            }[stem]
            w.tensor(f"{here}.{ending}", p, Q.F32 if "position" in here else kind)
    for name, p in parameters(model, "multi_modal_projector."):
        if "norm" in name:
            w.tensor("mm.soft_emb_norm.weight", p, kind, 1.0)
        else:
            w.tensor("mm.input_projection.weight", p, kind)
    w.close()


def write_text(model: torch.nn.Module, path: Path, kind: Q) -> None:
    c = model.config.text_config
    w = Writer(path, "gemma3")
    w.gguf.add_context_length(c.max_position_embeddings)
    w.gguf.add_embedding_length(c.hidden_size)
    w.gguf.add_block_count(c.num_hidden_layers)
    w.gguf.add_feed_forward_length(c.intermediate_size)
    w.gguf.add_head_count(c.num_attention_heads)
    w.gguf.add_head_count_kv(c.num_key_value_heads)
    w.gguf.add_key_length(c.head_dim)
    w.gguf.add_value_length(c.head_dim)
    w.gguf.add_layer_norm_rms_eps(c.rms_norm_eps)
    w.gguf.add_sliding_window(c.sliding_window)
    w.gguf.add_sliding_window_pattern([k == "sliding_attention" for k in c.layer_types])
    w.gguf.add_rope_freq_base(1e6)
    w.gguf.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
    w.gguf.add_rope_scaling_factor(8.0)
    w.gguf.add_tokenizer_model("llama")
    w.gguf.add_token_list([p for p, _ in PIECES])
    w.gguf.add_token_scores(
        [-float(i) if kind == 1 else 0.0 for i, (_, kind) in enumerate(reversed(PIECES))][::-1]
    )
    w.gguf.add_token_types([kind for _, kind in PIECES])
    w.gguf.add_bos_token_id(2)
    for name, p in parameters(model, "language_model."):
        stem = name.removeprefix("model.").removesuffix(".weight")
        if stem.startswith("layers."):
            _, layer, rest = stem.split(".", 2)
            stem = f"blk.{layer}.{NAMES[rest]}"
        else:
            stem = {"embed_tokens": "token_embd", "norm": "output_norm"}[stem]
        w.tensor(f"{stem}.weight", p, kind, 1.0 if p.dim() == 1 else 0.0)
    w.close()


# ---- what transformers computes ----


def picture(side: int, number: int) -> np.ndarray:
    """The same bytes as the C tests make."""
    y, x, c = np.mgrid[0:side, 0:side, 0:3]
    return ((3 * x * x + 5 * y * y + (7 + 9 * number) * x * y + 61 * c + 11 * x + 17 * y) // 8 % 256).astype(
        np.uint8
    )


def prepared(model: torch.nn.Module, pictures: list[Image.Image]) -> torch.Tensor:
    side = model.config.vision_config.image_size
    processor = Gemma3ImageProcessorPil(size={"height": side, "width": side})
    return torch.from_numpy(np.stack(processor(pictures)["pixel_values"]).astype(np.float32))


def rows_of(model: torch.nn.Module, pixels: torch.Tensor) -> np.ndarray:
    with torch.no_grad():
        return model.model.get_image_features(pixels).pooler_output.numpy()


def logits_of(model: torch.nn.Module, tokens: list[int], pixels: torch.Tensor) -> np.ndarray:
    ids = torch.tensor([[model.config.image_token_id if t == PICTURE else t for t in tokens]])
    with torch.no_grad():
        kinds = (ids == model.config.image_token_id).long()
        return model(input_ids=ids, pixel_values=pixels, token_type_ids=kinds).logits[0].numpy()


def tokens_with(pictures: int, rows: int, seed: int) -> list[int]:
    rng = random.Random(seed)
    ids = {p: i for i, (p, _) in enumerate(PIECES)}
    words = [ids[p] for p in ("▁", *"abcdefgh", "Yes", "No", "user")]
    tokens = [2] + rng.choices(words, k=4)
    for _ in range(pictures):
        tokens += [
            ids["\n\n"],
            ids["<start_of_image>"],
            *[PICTURE] * rows,
            ids["<end_of_image>"],
            ids["\n\n"],
        ]
        tokens += rng.choices(words, k=5)
    return tokens


def write(out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    shape = Shape()
    model = make(shape)
    temper(model, 1)
    write_text(model, out / "text.gguf", Q.BF16)
    write_mmproj(model, out / "mmproj.gguf", Q.F16)
    pictures = [Image.fromarray(picture(shape.side, n)) for n in (0, 1)]
    pixels = prepared(model, pictures)
    for number, image in enumerate(pictures):
        image.save(out / f"{number}.png", optimize=True)
    (out / "rows.f32").write_bytes(rows_of(model, pixels).astype("<f4").tobytes())
    for count in (1, 2):
        tokens = tokens_with(count, shape.rows, count)
        logits = logits_of(model, tokens, pixels[:count])
        head = np.array([len(tokens), logits.shape[1], *tokens], "<u4")
        (out / f"logits-{count}.bin").write_bytes(head.tobytes() + logits.astype("<f4").tobytes())


# ---- check ----


def random_shape(rng: random.Random) -> Shape:
    patch, pool, squares = rng.choice([7, 8, 14, 16]), rng.choice([1, 2, 3, 4]), rng.randint(2, 6)
    kv = rng.choice([1, 2])
    return Shape(
        side=patch * pool * squares,
        patch=patch,
        pool=pool,
        tower_layers=rng.randint(1, 4),
        tower_heads=rng.randint(1, 5),
        tower_head=rng.choice([16, 24, 36, 72, 80]),
        tower_mlp=rng.randint(40, 300),
        layers=rng.randint(2, 7),
        hidden=32 * rng.randint(2, 5),
        heads=kv * rng.choice([1, 2, 4]),
        kv_heads=kv,
        mlp=32 * rng.randint(2, 6),
        window=rng.randint(2, 60),
    )


def random_picture(rng: random.Random) -> Image.Image:
    width, height = rng.randint(8, 300), rng.randint(8, 300)
    pixels = np.random.default_rng(rng.randrange(1 << 30)).integers(
        0, 256, (height // 4 + 1, width // 4 + 1, 3)
    )
    return Image.fromarray(pixels.astype(np.uint8)).resize((width, height), Image.Resampling.BICUBIC)


def ours(
    bucklerctl: Path, folder: Path, tokens: list[int], rows: int, pictures: int, threads: int
) -> np.ndarray:
    text, at = [], 0
    while at < len(tokens):
        text.append("image" if tokens[at] == PICTURE else str(tokens[at]))
        at += rows if tokens[at] == PICTURE else 1
    command = [bucklerctl, "logits", "--model", folder / "text.gguf", "--mmproj", folder / "mmproj.gguf"]
    command += ["--image", ",".join(str(folder / f"{n}.png") for n in range(pictures))]
    command += ["--tokens", ",".join(text), "--top", str(len(PIECES)), "--f32", "--threads", str(threads)]
    answer = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    logits = np.zeros(len(PIECES), np.float32)
    for row in answer["logits"]:
        logits[row["id"]] = row["logit"]
    return logits


REAL = {
    "side": 896,
    "patch": 14,
    "pool": 4,
    "tower_layers": 3,
    "tower_heads": 16,
    "tower_head": 72,
    "tower_mlp": 4304,
}


def check(bucklerctl: Path, seed: int, count: int, real: bool) -> bool:
    fine = True
    for number in range(seed, seed + count):
        rng = random.Random(number)
        shape = random_shape(rng)
        shape = replace(shape, **REAL) if real else shape
        pictures = rng.choice([1, 1, 2, 3])
        kind = rng.choice([Q.F32, Q.F16, Q.BF16])
        print(f"seed {number}: {shape}, {pictures} pictures, {kind.name}")
        model = make(shape)
        temper(model, number)
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            write_text(model, folder / "text.gguf", Q.F32)
            write_mmproj(model, folder / "mmproj.gguf", kind)
            images = [random_picture(rng) for _ in range(pictures)]
            for n, image in enumerate(images):
                image.save(folder / f"{n}.png")
            tokens = tokens_with(pictures, shape.rows, number)
            # In the order of passes that ours has and Pillow had before version 13.
            sized = [resized(image, shape.side, shape.side) for image in images]
            expected = logits_of(model, tokens, prepared(model, sized))[-1]
            one, two = (ours(bucklerctl, folder, tokens, shape.rows, pictures, t) for t in (1, 2))
            worst = np.abs(one - expected).max() / np.abs(expected).max()
            good = worst <= BOUND and bool((one == two).all()) and one.argmax() == expected.argmax()
            print(
                f"  {worst:.2e} of the largest logit, threads {'equal' if (one == two).all() else 'DIFFER'}, {'good' if good else 'BAD'}"
            )
            fine = fine and good
    return fine


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("write").add_argument("out", type=Path)
    checker = commands.add_parser("check")
    checker.add_argument("--bucklerctl", type=Path, required=True)
    checker.add_argument("--seed", type=int, default=1)
    checker.add_argument("--count", type=int, default=10)
    checker.add_argument("--real", action="store_true", help="the tower in its real size, with three layers")
    a = parser.parse_args()
    if a.command == "write":
        write(a.out)
        return 0
    return 0 if check(a.bucklerctl, a.seed, a.count, a.real) else 1


if __name__ == "__main__":
    sys.exit(main())
