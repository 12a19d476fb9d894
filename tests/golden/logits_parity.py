#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares the engine with transformers in float32 on the real Gemma 3 270M, at every position of 64 texts.

The weights of the GGUF file are dequantised by the gguf package and given to Gemma3ForCausalLM, so that both sides
compute the same model. The engine runs twice: with reference arithmetic and with its default kernels.

    logits_parity.py --driver build/dev/tests/logits_positions [--model FILE] [--texts N] [--threads N]
                     [--mode both|reference|default] [--set avx512] [--json FILE]

Exit status 0 when every bound of BOUNDS holds.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from logits_texts import TEXTS
from transformers import Gemma3ForCausalLM

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "training"))

from guard import backbone

# Largest deviations that are allowed, and the smallest share of equal top tokens.
BOUNDS = {
    "reference": {"max": 0.03, "mean": 0.004, "kl": 1e-5, "top1": 1.0, "yes_no": 0.03},
    "default": {"max": 8.0, "mean": 0.20, "kl": 0.004, "top1": 0.965, "yes_no": 0.2},
}

# A top token may differ where the reference itself has two within rounding of each other.
TIE = 2e-3
CHUNK = 64


@dataclass
class Totals:
    positions: int = 0
    values: int = 0
    max: float = 0.0
    sum: float = 0.0
    kl_sum: float = 0.0
    same_top: int = 0
    yes_no: float = 0.0
    yes_no_all: float = 0.0

    def add(self, ours: torch.Tensor, theirs: torch.Tensor) -> None:
        delta = (ours - theirs).abs()
        self.max = max(self.max, float(delta.max()))
        self.sum += float(delta.double().sum())
        self.values += delta.numel()
        p = torch.log_softmax(theirs, -1)
        self.kl_sum += float((p.exp() * (p - torch.log_softmax(ours, -1))).double().sum())
        best = theirs.max(-1).values
        chosen = theirs.gather(-1, ours.argmax(-1, keepdim=True)).squeeze(-1)
        self.same_top += int((best - chosen <= TIE).sum())
        self.positions += ours.shape[0]

    def add_yes_no(self, ours: torch.Tensor, theirs: torch.Tensor, yes: int, no: int, last: bool) -> None:
        delta = ((ours[:, yes] - ours[:, no]) - (theirs[:, yes] - theirs[:, no])).abs()
        self.yes_no_all = max(self.yes_no_all, float(delta.max()))
        if last:
            self.yes_no = max(self.yes_no, float(delta[-1]))

    def figures(self) -> dict[str, float]:
        return {
            "positions": self.positions,
            "max": self.max,
            "mean": self.sum / self.values,
            "kl": self.kl_sum / self.positions,
            "top1": self.same_top / self.positions,
            "yes_no": self.yes_no,
            "yes_no_all": self.yes_no_all,
        }


def build_model(path: Path) -> Gemma3ForCausalLM:
    """The reference: weights of the file dequantised, float32, plain attention."""
    model = backbone.load(path).model
    model.set_attn_implementation("eager")
    return model


def tokenize(driver: Path, model: Path, texts: list[str]) -> list[list[int]]:
    stdin = b"".join(b"%d\n" % len(t.encode()) + t.encode() for t in texts)
    run = subprocess.run([driver, model, "tokenize"], input=stdin, stdout=subprocess.PIPE, check=True)
    return [[int(x) for x in line.split()] for line in run.stdout.decode().splitlines()]


class Engine:
    """The driver program in one mode, a text at a time."""

    def __init__(
        self, driver: Path, model: Path, threads: int, mode: str, instruction_set: str | None
    ) -> None:
        command = [str(driver), str(model), str(threads), mode]
        if instruction_set:
            command.append(instruction_set)
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def logits(self, tokens: list[int], vocabulary: int) -> Iterator[torch.Tensor]:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write((" ".join(map(str, tokens)) + "\n").encode())
        self.process.stdin.flush()
        for first in range(0, len(tokens), CHUNK):
            count = min(CHUNK, len(tokens) - first)
            data = self.process.stdout.read(count * vocabulary * 4)
            if len(data) != count * vocabulary * 4:
                sys.exit("logits_parity.py: the driver ended early")
            yield torch.from_numpy(np.frombuffer(data, np.float32).reshape(count, vocabulary).copy())

    def close(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()


def missed(mode: str, figures: dict[str, float]) -> list[str]:
    bounds = BOUNDS[mode]
    out = [f"{k} {figures[k]:.6g} > {v:g}" for k, v in bounds.items() if k != "top1" and not figures[k] <= v]
    if not figures["top1"] >= bounds["top1"]:
        out.append(f"top1 {figures['top1']:.6g} < {bounds['top1']:g}")
    return out


def main() -> int:
    default_models = Path(os.environ.get("BUCKLER_MODELS", Path.home() / ".cache/buckler/models"))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--driver", type=Path, required=True)
    parser.add_argument("--model", type=Path, default=default_models / "gemma-3-270m-q4_k_m.gguf")
    parser.add_argument("--texts", type=int, default=0, help="only about so many of the texts")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--mode", choices=["both", "reference", "default"], default="both")
    parser.add_argument("--set", dest="instruction_set")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()

    torch.set_num_threads(args.threads)
    torch.set_grad_enabled(False)
    texts = TEXTS if args.texts == 0 else TEXTS[:: max(1, len(TEXTS) // args.texts)]
    tokens = tokenize(args.driver, args.model, texts)
    yes, no = (line[1] for line in tokenize(args.driver, args.model, ["Yes", "No"]))
    model = build_model(Path(args.model))
    vocabulary = model.config.vocab_size
    modes = ["reference", "default"] if args.mode == "both" else [args.mode]
    engines = {m: Engine(args.driver, args.model, args.threads, m, args.instruction_set) for m in modes}
    totals = {m: Totals() for m in modes}

    for number, ids in enumerate(tokens):
        hidden = model.model(torch.tensor([ids])).last_hidden_state[0]
        streams = [engines[m].logits(ids, vocabulary) for m in modes]
        for first in range(0, len(ids), CHUNK):
            theirs = model.lm_head(hidden[first : first + CHUNK])
            last = first + CHUNK >= len(ids)
            for m, stream in zip(modes, streams, strict=True):
                ours = next(stream)
                totals[m].add(ours, theirs)
                totals[m].add_yes_no(ours, theirs, yes, no, last)
        line = " | ".join(
            f"{m} max {totals[m].max:.4f} mean {totals[m].figures()['mean']:.5f}" for m in modes
        )
        print(f"{number + 1}/{len(tokens)} {len(ids)} tokens: {line}", file=sys.stderr, flush=True)

    failed = False
    for m in modes:
        engines[m].close()
        figures = totals[m].figures()
        print(m, json.dumps(figures))
        for sentence in missed(m, figures):
            failed = True
            print(f"{m}: {sentence}")
    if args.json:
        args.json.write_text(json.dumps({m: asdict(totals[m]) | totals[m].figures() for m in modes}) + "\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
