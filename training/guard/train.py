# SPDX-License-Identifier: Apache-2.0
"""Trains adapter and heads, or measures them on a fold of sources that they were not shown.

    python -m guard.train --model MODEL.gguf --rows TRAIN --out RUN [--leave-out FOLD] [--epochs 1] [--frozen]

A run may be stopped at any time: the next one goes on from RUN/checkpoint.pt. When it is done, RUN holds final.pt
(averaged weights), log.jsonl (loss and figures of the left-out fold), and left_out.npz (its rows and logits).
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from guard import figures, rows
from guard.model import Example, Guard, example
from guard.targets import Floats, balance, targets

BATCH_TOKENS = 2400
LORA_RATE, HEAD_RATE = 2e-4, 1e-3
SURROUNDED = 0.15  # of the second stage
WARM_UP = 0.05
AVERAGE = 0.995  # of the running mean of weights, a step
CHECKPOINT_S = 240
HELD, GLIMPSE = 4500, 600  # rows of the left-out fold that are judged: at the end, on the way
SEED = 7


class Sample:
    def __init__(self, guard: Guard, chosen: list[rows.Row]) -> None:
        self.rows: list[rows.Row] = []
        self.examples: list[Example] = []
        for row in chosen:
            made = example(guard.base, row)
            if made is not None:
                self.rows.append(row)
                self.examples.append(made)

    def batches(self, seed: int) -> list[list[int]]:
        """Rows of about one length together, in random order."""
        rng = random.Random(seed)
        order = sorted(range(len(self.rows)), key=lambda i: (len(self.examples[i]) // 4, rng.random()))
        groups: list[list[int]] = [[]]
        for i in order:
            if groups[-1] and (len(groups[-1]) + 1) * len(self.examples[i]) > BATCH_TOKENS:
                groups.append([])
            groups[-1].append(i)
        rng.shuffle(groups)
        return groups


@torch.no_grad()
def logits_of(guard: Guard, sample: Sample) -> Floats:
    guard.eval()
    result = np.zeros((len(sample.rows), guard.head.out_features), np.float32)
    for group in sample.batches(0):
        result[group] = guard([sample.examples[i] for i in group]).numpy()
    guard.train()
    return result


@torch.no_grad()
def standardise(guard: Guard, sample: Sample) -> None:
    """Mean and spread of the frozen features, once, over some 1,500 rows."""
    guard.eval()
    some = torch.cat([guard.means([sample.examples[i] for i in group]) for group in sample.batches(1)[:40]])
    guard.mean.copy_(some.mean(dim=0))
    guard.scale.copy_(some.std(dim=0).clamp_min(1e-3))
    guard.train()


class Run:
    def __init__(self, guard: Guard, sample: Sample, steps: int, rate: float) -> None:
        self.guard, self.sample, self.steps = guard, sample, steps
        target, weight = targets(sample.rows)
        self.target, self.weight = torch.from_numpy(target), torch.from_numpy(balance(target, weight))
        lora = [p for n, p in guard.trained().items() if "lora_" in n]
        head = list(guard.head.parameters())
        self.optimizer = torch.optim.AdamW(
            [
                {"params": lora, "lr": 0.0, "weight_decay": 0.01, "top": rate * LORA_RATE},
                {"params": head, "lr": 0.0, "weight_decay": 0.05, "top": rate * HEAD_RATE},
            ]
        )
        self.average = {n: p.detach().clone() for n, p in guard.trained().items()}
        self.step = 0

    def learn(self, group: Sequence[int]) -> float:
        done = self.step / self.steps
        rate = min(1.0, done / WARM_UP) * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * done)))
        for part in self.optimizer.param_groups:
            part["lr"] = part["top"] * rate
        logits = self.guard([self.sample.examples[i] for i in group])
        each = binary_cross_entropy_with_logits(logits, self.target[group], reduction="none")
        loss = (each * self.weight[group]).sum() / self.weight[group].sum()
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.guard.trained().values(), 1.0)
        self.optimizer.step()
        self.step += 1
        keep = min(AVERAGE, self.step / (self.step + 10))
        with torch.no_grad():
            for name, p in self.guard.trained().items():
                self.average[name].lerp_(p, 1 - keep)
        return float(loss.detach())

    def swap(self) -> None:
        """Exchanges the weights with their running mean."""
        with torch.no_grad():
            for name, p in self.guard.trained().items():
                now = p.clone()
                p.copy_(self.average[name])
                self.average[name].copy_(now)

    def save(self, path: Path) -> None:
        temporary = path.with_suffix(".partial")
        state = {"step": self.step, "optimizer": self.optimizer.state_dict(), "average": self.average}
        state |= {"weights": self.guard.trained(), "mean": self.guard.mean, "scale": self.guard.scale}
        torch.save(state, temporary)
        os.replace(temporary, path)

    def begin(self, path: Path) -> None:
        """From the averaged weights of another run."""
        self.guard.restore(path)
        with torch.no_grad():
            for name, p in self.guard.trained().items():
                self.average[name].copy_(p)

    def load(self, path: Path) -> None:
        state: dict[str, Any] = torch.load(path)
        self.step, self.average = state["step"], state["average"]
        self.optimizer.load_state_dict(state["optimizer"])
        self.guard.mean.copy_(state["mean"])
        self.guard.scale.copy_(state["scale"])
        with torch.no_grad():
            for name, p in self.guard.trained().items():
                p.copy_(state["weights"][name])


def judge(run: Run, held: Sample, out: Path, log: Any, *, last: bool) -> None:
    run.swap()
    if held.rows:
        logits = logits_of(run.guard, held)
        sources = figures.by_source(held.rows, logits[:, -1])
        entry = {
            "step": run.step,
            "au_prc": figures.macro(sources),
            "sources": sources,
            "categories": figures.by_category(held.rows, logits),
        }
        print(json.dumps({k: entry[k] for k in ("step", "au_prc")}), flush=True)
        log.write(json.dumps(entry) + "\n")
        log.flush()
        if last:
            np.savez(out / "left_out.npz", ids=np.array([r.id for r in held.rows]), logits=logits)
    if last:
        run.save(out / "final.pt")
    run.swap()


def train(run: Run, held: Sample, glimpse: Sample, out: Path, epochs: float) -> None:
    checkpoint = out / "checkpoint.pt"
    if checkpoint.exists():
        run.load(checkpoint)
    saved = time.monotonic()
    looks = {run.steps // 3, 2 * run.steps // 3}
    with (out / "log.jsonl").open("a", encoding="utf-8") as log:
        for epoch in range(math.ceil(epochs)):
            groups = run.sample.batches(SEED + epoch)
            for number, group in enumerate(groups):
                if epoch * len(groups) + number != run.step or run.step >= run.steps:
                    continue
                start = time.monotonic()
                loss = run.learn(group)
                tokens = sum(len(run.sample.examples[i]) for i in group)
                log.write(json.dumps({"step": run.step, "loss": loss}) + "\n")
                if run.step % 20 == 0:
                    rate = tokens / (time.monotonic() - start)
                    print(f"step {run.step}/{run.steps}: loss {loss:.4f}, {rate:.0f} tokens/s", flush=True)
                if run.step in looks:
                    judge(run, glimpse, out, log, last=False)
                if time.monotonic() - saved > CHECKPOINT_S:
                    run.save(checkpoint)
                    saved = time.monotonic()
        judge(run, held, out, log, last=True)


def stage_rows(chosen: list[rows.Row], stage: int) -> list[rows.Row]:
    """0: all. 1: all but the later rounds of our own. 2: the second round, a sixth of the others so that they are not
    forgotten, and of these again some between harmless sentences."""
    if stage != 2:
        return chosen
    some = [row for i, row in enumerate(chosen) if row.set in rows.ROUNDS[1] or i % 6 == 0]
    return some + list(rows.surrounded(some, SURROUNDED, random.Random(SEED)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--rows", type=Path, required=True, help="folder of the published sets")
    parser.add_argument("--written", type=Path, default=Path(__file__).parent.parent / "authored")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--leave-out", type=int, default=-1)
    parser.add_argument("--epochs", type=float, default=1.0)
    parser.add_argument("--rate", type=float, default=1.0, help="factor of the learning rates")
    parser.add_argument("--start", type=Path, help="final.pt of a run to go on from, with other rows")
    parser.add_argument("--stage", type=int, default=0, choices=(0, 1, 2), help="which rows: see stage_rows")
    parser.add_argument("--frozen", action="store_true", help="heads alone")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()

    torch.set_num_threads(arguments.threads)
    torch.manual_seed(SEED)
    random.seed(SEED)
    chosen = stage_rows(
        rows.choose(arguments.rows, arguments.written, SEED, rounds=arguments.stage or len(rows.ROUNDS)),
        arguments.stage,
    )
    guard = Guard(arguments.model, adapt=not arguments.frozen, dropout=0.1)
    sample = Sample(guard, [row for row in chosen if row.fold != arguments.leave_out])
    out_of = [row for row in chosen if row.fold == arguments.leave_out]
    held, glimpse = Sample(guard, out_of[:HELD]), Sample(guard, out_of[:GLIMPSE])
    arguments.out.mkdir(parents=True, exist_ok=True)
    print(f"{len(sample.rows)} rows to learn from, {len(held.rows)} left out", flush=True)
    steps = int(arguments.epochs * len(sample.batches(SEED)))
    run = Run(guard, sample, steps, arguments.rate)
    if arguments.start is not None:
        run.begin(arguments.start)
    elif not (arguments.out / "checkpoint.pt").exists():
        standardise(guard, sample)
    train(run, held, glimpse, arguments.out, arguments.epochs)


if __name__ == "__main__":
    main()
