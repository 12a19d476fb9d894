#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares the engine under a LoRA with transformers and peft in float32 on the real Gemma 3 270M.

Two random adapters are made with peft over all seven matrices: a plain one of rank 8, and a rank-stabilised one with
patterns. Each is saved by peft, and the plain one is also written as MLX and as GGUF have it. The engine reads them
through bucklerctl logits --lora --f32.

    adapter_parity.py --bucklerctl build/dev/bin/bucklerctl [--model FILE] [--texts N] [--ids N] [--keep FOLDER]

Exit status 0 when every logit is within BOUND and the adapters did change the logits.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from gguf import GGUFWriter
from logits_parity import backbone, build_model
from logits_texts import TEXTS
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import Gemma3ForCausalLM

BOUND = 0.03
# An adapter that moves no logit by this much would prove nothing.
LEAST_EFFECT = 0.5
TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
RANK, ALPHA = 8, 16


def make_adapter(model: Gemma3ForCausalLM, config: LoraConfig, seed: int, folder: Path) -> PeftModel:
    """The adapted model, with a random B too, which peft starts at zero; saved into `folder`."""
    torch.manual_seed(seed)
    adapted = get_peft_model(model, config)
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_(0, 0.02)
    adapted.save_pretrained(folder)
    return adapted


def layer_and_module(name: str) -> tuple[int, str]:
    """base_model.model.model.layers.3.self_attn.q_proj.lora_A.weight → 3, self_attn.q_proj"""
    parts = name.split(".")
    at = parts.index("layers")
    return int(parts[at + 1]), ".".join(parts[at + 2 : at + 4])


def write_mlx(tensors: dict[str, torch.Tensor], folder: Path) -> None:
    folder.mkdir()
    out = {}
    for name, tensor in tensors.items():
        layer, module = layer_and_module(name)
        side = "lora_a" if "lora_A" in name else "lora_b"
        out[f"model.layers.{layer}.{module}.{side}"] = tensor.T.contiguous()
    save_file(out, folder / "adapters.safetensors")
    parameters = {"rank": RANK, "scale": ALPHA / RANK, "dropout": 0.0}
    config = {"fine_tune_type": "lora", "num_layers": -1, "lora_parameters": parameters}
    (folder / "adapter_config.json").write_text(json.dumps(config))


def write_gguf(tensors: dict[str, torch.Tensor], path: Path) -> None:
    gguf_names = {hf: gguf for gguf, hf in backbone.LAYER_NAMES.items()}
    writer = GGUFWriter(path, "gemma3")
    writer.add_string("general.type", "adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", ALPHA)
    for name, tensor in tensors.items():
        layer, module = layer_and_module(name)
        side = "lora_a" if "lora_A" in name else "lora_b"
        writer.add_tensor(f"blk.{layer}.{gguf_names[module]}.weight.{side}", tensor.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


class Engine:
    def __init__(self, bucklerctl: Path, model: Path) -> None:
        self.command = [str(bucklerctl), "logits", "--model", str(model), "--f32"]

    def run(self, *options: str) -> dict[str, list]:
        run = subprocess.run([*self.command, *options], stdout=subprocess.PIPE, check=True)
        return json.loads(run.stdout)

    def tokens(self, text: str) -> list[int]:
        return self.run("--text", text, "--top", "1")["tokens"]

    def logits(self, tokens: list[int], ids: list[int], adapter: Path) -> torch.Tensor:
        joined = ["--tokens", ",".join(map(str, tokens)), "--ids", ",".join(map(str, ids))]
        answer = self.run(*joined, "--lora", str(adapter))
        return torch.tensor([entry["logit"] for entry in answer["logits"]])


def main() -> int:
    default_models = Path(os.environ.get("BUCKLER_MODELS", Path.home() / ".cache/buckler/models"))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bucklerctl", type=Path, required=True)
    parser.add_argument("--model", type=Path, default=default_models / "gemma-3-270m-q4_k_m.gguf")
    parser.add_argument("--texts", type=int, default=4)
    parser.add_argument("--ids", type=int, default=4000, help="so many of the vocabulary, drawn at random")
    parser.add_argument("--keep", type=Path, help="leave the adapters in this new folder")
    args = parser.parse_args()

    torch.set_num_threads(2)
    model = build_model(Path(args.model))
    engine = Engine(args.bucklerctl, args.model)
    tokens = [engine.tokens(t) for t in TEXTS[:: max(1, len(TEXTS) // args.texts)][: args.texts]]
    generator = torch.Generator().manual_seed(1)
    ids = torch.randperm(model.config.vocab_size, generator=generator)[: args.ids].tolist()
    with torch.no_grad():
        plain = [model(torch.tensor([t])).logits[0, -1, ids] for t in tokens]

    configs = {
        "plain": LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=TARGETS),
        "patterns": LoraConfig(
            r=RANK,
            lora_alpha=ALPHA,
            use_rslora=True,
            target_modules=TARGETS,
            rank_pattern={"layers.2.self_attn.q_proj": 5, "down_proj": 3},
            alpha_pattern={"up_proj": 4.5},
        ),
    }
    failed = False
    with tempfile.TemporaryDirectory() as temporary:
        root = args.keep or Path(temporary)
        root.mkdir(exist_ok=True)
        for seed, (name, config) in enumerate(configs.items()):
            adapted = make_adapter(model, config, seed, root / name)
            with torch.no_grad():
                theirs = [adapted(torch.tensor([t])).logits[0, -1, ids] for t in tokens]
            adapted.unload()
            forms = {"peft": root / name}
            if name == "plain":
                tensors = load_file(root / name / "adapter_model.safetensors")
                write_mlx(tensors, root / "mlx")
                write_gguf(tensors, root / "adapter.gguf")
                forms |= {"mlx": root / "mlx", "gguf": root / "adapter.gguf"}
            effect = max(float((a - b).abs().max()) for a, b in zip(plain, theirs, strict=True))
            for form, path in forms.items():
                ours = [engine.logits(t, ids, path) for t in tokens]
                worst = max(float((a - b).abs().max()) for a, b in zip(ours, theirs, strict=True))
                print(f"{name} as {form}: max {worst:.5f}, the adapter moves logits by up to {effect:.3f}")
                failed |= not worst <= BOUND or not effect >= LEAST_EFFECT
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
