# SPDX-License-Identifier: Apache-2.0
"""Puts the parts together: adapter, heads, n-grams, calibration and thresholds, and the card that describes them.

    python -m guard.export --run RUN --ngrams NGRAMS/ngrams.npz --left-out FOLD0 --left-out FOLD1 … --rows TRAIN
        --base-sha256 DIGEST --out ../models/buckler-guard

How much the n-grams count, how a sum becomes a probability, and where thresholds lie is fitted on the rows of the
--left-out runs, which neither part had seen a source of.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import save_file
from scipy.optimize import minimize

from guard import figures, ngrams, rows
from guard.model import AFTER_PROMPT, BEFORE_PROMPT, FIRST_LORA, PROJECTIONS, PROMPT_TOKENS, RANK, TAPS
from guard.targets import Floats, targets
from guard.train import SEED

SERVED_WINDOW = 256
# Finer than in training: with 64 and 32, harm between 400 harmless words was caught 12 to 52 times in a hundred,
# with 48 and 16 20 to 72 times, at 2.8 % of everyday texts denied (2.5 %). 32 and 16: 44 to 89, at 6.0 %.
JUDGED_SPANS = {"tokens": 48, "stride": 16}
FEWEST = 40  # positives from sources that were left out, for a calibration of its own
TARGETS = {"fpr_5": 0.05, "fpr_1": 0.01, "fpr_0.3": 0.003}


@dataclass
class LeftOut:
    """Rows of sources that were left out: what each part said of them, and what is true."""

    rows: list[rows.Row]
    neural: Floats
    ngram: Floats
    target: Floats
    weight: Floats


@dataclass
class Sum:
    """raw = neural + mix · n-grams; probability = sigmoid(slope · raw + shift)."""

    mix: float
    slope: float
    shift: float


def gather(runs: list[Path], grams: Any, sample: dict[str, rows.Row]) -> LeftOut:
    place = {str(identity): i for i, identity in enumerate(grams["ids"])}
    chosen: list[rows.Row] = []
    neural: list[Floats] = []
    ngram: list[Floats] = []
    for run in runs:
        saved = np.load(run / "left_out.npz")
        for identity, logits in zip(saved["ids"], saved["logits"], strict=True):
            if str(identity) not in place or str(identity) not in sample:
                continue  # the rows have changed since
            chosen.append(sample[str(identity)])
            neural.append(logits)
            ngram.append(grams["logits"][place[str(identity)]])
    target, weight = targets(chosen, implied=1.0)
    return LeftOut(chosen, np.stack(neural), np.stack(ngram), target, weight)


def fit_sum(neural: Floats, ngram: Floats, target: Floats, weight: Floats) -> Sum:
    """Logistic regression on the two logits, neither of which may count against its own direction."""
    n, g, y, w = (a.astype(np.float64) for a in (neural, ngram, target, weight / weight.sum()))

    def loss(p: Any) -> float:
        z = p[0] * n + p[1] * g + p[2]
        return float((w * (np.logaddexp(0, z) - y * z)).sum() + 1e-3 * ((p[0] - 0.7) ** 2 + (p[1] - 0.3) ** 2))

    best = minimize(loss, np.array([0.7, 0.3, 0.0]), bounds=[(0.2, 3), (0, 2), (-6, 6)], method="L-BFGS-B").x
    return Sum(float(best[1] / best[0]), float(best[0]), float(best[2]))


def fit_sums(left: LeftOut) -> list[Sum]:
    """One for each output; an output with too few positives takes the mean of the others."""
    sums: list[Sum | None] = []
    for c in range(len(rows.OUTPUTS)):
        known = left.weight[:, c] > 0
        if (left.target[known, c] > 0).sum() < FEWEST:
            sums.append(None)
        else:
            part = (left.neural[known, c], left.ngram[known, c], left.target[known, c], left.weight[known, c])
            sums.append(fit_sum(*part))
    found = [s for s in sums if s is not None]
    mean = Sum(*(float(np.mean([getattr(s, key) for s in found])) for key in ("mix", "slope", "shift")))
    return [s or mean for s in sums]


def probability(sums: list[Sum], neural: Floats, ngram: Floats) -> Floats:
    columns = [
        1 / (1 + np.exp(-(s.slope * (neural[:, c] + s.mix * ngram[:, c]) + s.shift))) for c, s in enumerate(sums)
    ]
    return np.stack(columns, axis=1).astype(np.float32)


def carry_over(sums: list[Sum], left_out: list[Path], run: Path) -> list[Sum]:
    """The sums for a run whose logits lie elsewhere and further apart than those that they were fitted on, by what both
    say of the same rows (control.py)."""

    def spread(folder: Path) -> tuple[Floats, Floats]:
        logits = np.load(folder / "control.npz")["logits"]
        return logits.mean(axis=0), logits.std(axis=0)

    fitted = [spread(folder) for folder in left_out]
    fitted_mean, fitted_spread = (np.mean([f[k] for f in fitted], axis=0) for k in (0, 1))
    mean, own_spread = spread(run)
    factor = fitted_spread / own_spread
    offset = fitted_mean - factor * mean
    return [
        Sum(s.mix / float(a), s.slope * float(a), s.shift + s.slope * float(b))
        for s, a, b in zip(sums, factor, offset, strict=True)
    ]


def calibration_error(score: Floats, target: Floats, bins: int = 15) -> float:
    which = np.minimum((score * bins).astype(int), bins - 1)
    total = 0.0
    for b in range(bins):
        mine = which == b
        if mine.any():
            total += mine.mean() * abs(float(score[mine].mean()) - float(target[mine].mean()))
    return total


def measure(left: LeftOut, score: Floats) -> dict[str, Any]:
    """Figures of the sources that were left out, and thresholds from their harmless rows."""
    plain = np.array([not row.augmented for row in left.rows])
    published = np.array([row.set in rows.SETS for row in left.rows])  # our own are look-alikes nearly all
    harmless = np.array([row.labels.get("unsafe") == 0 for row in left.rows]) & plain & published
    known = (left.weight[:, -1] > 0) & plain
    unsafe = score[:, -1]
    sources = figures.by_source(left.rows, unsafe)
    thresholds = {
        key: {name: round(float(np.quantile(score[harmless, c], 1 - rate)), 4) for name, rate in TARGETS.items()}
        for c, key in enumerate(rows.OUTPUTS)
    }
    return {
        "au_prc_macro": round(figures.macro(sources), 4),
        "au_prc_macro_published": round(figures.macro({n: e for n, e in sources.items() if n in rows.SETS}), 4),
        "ece_unsafe": round(calibration_error(unsafe[known], left.target[known, -1]), 4),
        "sources": rounded(sources),
        "categories": rounded(figures.by_category(left.rows, score)),
        "languages": rounded(figures.by_group(left.rows, unsafe, lambda row: row.lang)),
        "roles": rounded(figures.by_group(left.rows, unsafe, lambda row: row.role)),
        "thresholds": thresholds,
    }


def rounded(entries: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    return {name: {k: round(v, 4) for k, v in entry.items()} for name, entry in entries.items()}


def save_adapter(weights: dict[str, torch.Tensor], folder: Path) -> str:
    """PEFT's names and files, in half precision."""
    tensors = {}
    for name, value in weights.items():
        if "lora_" in name:
            stem = name.removeprefix("trunk.").removeprefix("base.model.")
            stem = stem.replace(".default.weight", ".weight")
            stem = stem if stem.startswith("base_model.model.") else f"base_model.model.{stem}"
            tensors[stem] = value.detach().numpy().astype(np.float16)
    path = folder / "adapter_model.safetensors"
    save_file(dict(sorted(tensors.items())), path)
    config = {
        "peft_type": "LORA",
        "r": RANK,
        "lora_alpha": RANK,
        "use_rslora": False,
        "bias": "none",
        "target_modules": list(PROJECTIONS),
        "layers_to_transform": list(range(FIRST_LORA, TAPS[-1])),
    }
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def save_heads(state: dict[str, Any], grams: Any, sums: list[Sum], folder: Path) -> None:
    mix = np.array([s.mix for s in sums], np.float32)
    table, step = ngrams.quantise(grams["table"] * mix)
    # A sum of bytes has no bias of its own; the n-grams' goes where the head's is.
    bias = state["weights"]["head.bias"].detach().numpy() + mix * grams["bias"]
    save_file(
        {
            "weight": state["weights"]["head.weight"].detach().numpy(),
            "bias": bias.astype(np.float32),
            "mean": state["mean"].numpy(),
            "scale": state["scale"].numpy(),
            "calibration": np.array([[s.slope, s.shift] for s in sums], np.float32),
            "ngram_table": table,
            "ngram_step": step,
        },
        folder / "heads.safetensors",
    )


def source_list(chosen: list[rows.Row]) -> list[dict[str, Any]]:
    known = json.loads((Path(__file__).parent / "sources.json").read_text(encoding="utf-8"))
    own = {"from": "written for this guard (training/authored)", "licence": "Apache-2.0"}
    counts = Counter(row.set for row in chosen if not row.augmented)
    return [{"name": name, "rows": counts[name]} | known.get(name, own) for name in sorted(counts)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--run", type=Path, required=True, help="folder of final.pt, trained on every fold")
    parser.add_argument("--ngrams", type=Path, required=True)
    parser.add_argument("--left-out", type=Path, action="append", required=True, help="folder of left_out.npz")
    parser.add_argument("--rows", type=Path, required=True)
    parser.add_argument("--written", type=Path, default=Path(__file__).parent.parent / "authored")
    parser.add_argument("--base-sha256", required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()

    state = torch.load(arguments.run / "final.pt")
    grams = dict(np.load(arguments.ngrams))  # an archive reads its file anew at each look
    chosen = rows.choose(arguments.rows, arguments.written, SEED)
    left = gather(arguments.left_out, grams, {row.id: row for row in chosen})
    sums = fit_sums(left)
    figures_left = measure(left, probability(sums, left.neural, left.ngram))

    sums = carry_over(sums, arguments.left_out, arguments.run)

    arguments.out.mkdir(parents=True, exist_ok=True)
    adapter = save_adapter(state["weights"], arguments.out)
    save_heads(state, grams, sums, arguments.out)
    card = {
        "schema": "buckler.heads/2",
        "name": "buckler-guard",
        "base": {
            "name": "Gemma 3 270M Q4_K_M",
            "file": "gemma-3-270m-q4_k_m.gguf",
            "sha256": arguments.base_sha256,
        },
        "adapter": {"file": "adapter_model.safetensors", "sha256": adapter},
        "pooling": "mean",
        "layers": list(TAPS),
        "window": SERVED_WINDOW,
        "spans": JUDGED_SPANS,
        "context": {"before": BEFORE_PROMPT, "after": AFTER_PROMPT, "tokens": PROMPT_TOKENS},
        "ngrams": {"buckets": ngrams.BUCKETS},
        "categories": list(rows.OUTPUTS),
        "thresholds": figures_left.pop("thresholds"),
        "mix": {key: round(s.mix, 4) for key, s in zip(rows.OUTPUTS, sums, strict=True)},
        "left_out": figures_left,
        "sources": source_list(chosen),
    }
    text = json.dumps(card, indent=1, ensure_ascii=False)
    (arguments.out / "card.json").write_text(text + "\n", encoding="utf-8")
    print(json.dumps({k: figures_left[k] for k in ("au_prc_macro", "ece_unsafe")}))


if __name__ == "__main__":
    main()
