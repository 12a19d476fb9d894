# SPDX-License-Identifier: Apache-2.0
"""Chooses layers and penalty on held-out groups, fits and calibrates the heads, measures, writes heads and card.

    python -m guard.fit --features DIR --features DIR2 --eval EVAL_DIR --out ../models/buckler-guard

The evaluation sets are looked at once, after every choice is made, and only for the card.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sklearn.metrics import average_precision_score, roc_auc_score

from guard import heads, load
from guard.backbone import Floats
from guard.rows import CATEGORIES

LAYER_SETS = ((15,), (6, 15), (6, 9, 12, 15))
PENALTIES = (0.003, 0.01, 0.03)
TOLERANCE = 0.005  # of AU-PRC that a stronger penalty may cost
IMPLIED = 0.2  # weight of a negative that follows from "harmless" alone
TRAIN_SHARE = 0.3  # of positives in the weighted loss
PRIOR = 0.2  # share of positives that the calibrated scores assume

Scores = npt.NDArray[np.float32]


def rounded(value: float) -> float:
    return round(float(value), 4)


def curve(target: Scores, scores: Scores, weight: Scores) -> dict[str, Any]:
    """AU-PRC and AUC over the rows that have a weight; none where a class is missing."""
    known = weight > 0
    y, s, w = target[known], scores[known], weight[known]
    figures: dict[str, Any] = {"positives": int(y.sum()), "negatives": int((1 - y).sum())}
    if figures["positives"] and figures["negatives"]:
        figures["au_prc"] = rounded(average_precision_score(y, s, sample_weight=w))
        figures["auc"] = rounded(roc_auc_score(y, s, sample_weight=w))
    return figures


def choose(sample: load.Sample) -> tuple[tuple[int, ...], float, list[dict[str, Any]]]:
    """The layers with the highest mean AU-PRC on labelled validation rows, and of their penalties the strongest within
    TOLERANCE of the best: rows of the same sets flatter a weak penalty, text from elsewhere does not."""
    held = sample.validation
    target, weight = sample.targets(IMPLIED)
    known_target, known = sample.targets(0)
    tried: list[dict[str, Any]] = []
    for layers in LAYER_SETS:
        x = sample.columns(layers)
        for penalty in PENALTIES:
            fitted = heads.fit(x[~held], target[~held], weight[~held], penalty, TRAIN_SHARE)
            logits = fitted.logits(x[held])
            curves = [curve(known_target[held, c], logits[:, c], known[held, c]) for c in range(len(CATEGORIES))]
            entry: dict[str, Any] = {
                "layers": list(layers),
                "penalty": penalty,
                "au_prc": rounded(np.mean([c["au_prc"] for c in curves])),
                "auc": rounded(np.mean([c["auc"] for c in curves])),
            }
            print(entry, flush=True)
            tried.append(entry)
    best = max(tried, key=lambda entry: entry["au_prc"])
    enough = [e for e in tried if e["layers"] == best["layers"] and e["au_prc"] >= best["au_prc"] - TOLERANCE]
    return tuple(best["layers"]), max(entry["penalty"] for entry in enough), tried


def validation_figures(sample: load.Sample, scores: Scores) -> tuple[dict[str, Any], dict[str, Any]]:
    """Per category: curves on labelled rows, and the thresholds that 5 % and 1 % of all known negatives reach."""
    held = sample.validation
    target, weight = (part[held] for part in sample.targets(0))
    _, with_harmless = (part[held] for part in sample.targets(1))
    figures, thresholds = {}, {}
    for c, key in enumerate(CATEGORIES):
        negatives = scores[(with_harmless[:, c] > 0) & (target[:, c] == 0), c]
        positives = scores[(weight[:, c] > 0) & (target[:, c] == 1), c]
        at = {name: float(np.quantile(negatives, 1 - rate)) for name, rate in (("fpr_5", 0.05), ("fpr_1", 0.01))}
        thresholds[key] = {name: rounded(value) for name, value in at.items()}
        figures[key] = curve(target[:, c], scores[:, c], weight[:, c]) | {
            "recall_at_fpr_5": rounded((positives >= at["fpr_5"]).mean()),
            "recall_at_fpr_1": rounded((positives >= at["fpr_1"]).mean()),
            "fpr_at_half": rounded((negatives >= 0.5).mean()),
            "recall_at_half": rounded((positives >= 0.5).mean()),
        }
    return figures, thresholds


def evaluation_figures(folder: Path, layers: tuple[int, ...], fitted: heads.Heads) -> dict[str, Any]:
    """Sets that were never trained, tuned or calibrated on."""
    sample = load.load(folder)
    scores = fitted.scores(sample.columns(layers))
    target, weight = sample.targets(0)
    highest = scores.max(axis=1)
    xstest_safe = sample.where(set="xstest", unsafe=0)
    result: dict[str, Any] = {}
    for name in sorted({row["set"] for row in sample.meta}):
        rows = sample.where(set=name)
        categories = {}
        for c, key in enumerate(CATEGORIES):
            figures = curve(target[rows, c], scores[rows, c], weight[rows, c])
            if figures["positives"]:
                hit = scores[rows & (target[:, c] == 1), c]
                categories[key] = figures | {"recall_at_half": rounded((hit >= 0.5).mean())}
        unsafe = sample.where(set=name, unsafe=1)
        # Sets without harmless rows of their own are set against the harmless prompts of XSTest.
        safe = sample.where(set=name, unsafe=0)
        against = safe if safe.any() else xstest_safe
        both = np.concatenate([highest[unsafe], highest[against]])
        truth = np.concatenate([np.ones(unsafe.sum()), np.zeros(against.sum())])
        result[name] = {
            "rows": int(rows.sum()),
            "categories": categories,
            "any_category": curve(truth, both, np.ones_like(truth))
            | {
                "negatives_from": name if safe.any() else "xstest",
                "recall_at_half": rounded((highest[unsafe] >= 0.5).mean()),
                "fpr_at_half": rounded((highest[against] >= 0.5).mean()),
            },
        }
    return result


def source_list(sample: load.Sample) -> list[dict[str, Any]]:
    known = json.loads((Path(__file__).parent / "sources.json").read_text(encoding="utf-8"))
    train = Counter(row["set"] for row in sample.meta if not row["validation"])
    held = Counter(row["set"] for row in sample.meta if row["validation"])
    return [
        {"name": name, "rows_train": train[name], "rows_validation": held[name]} | known[name]
        for name in sorted(train | held)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--features", type=Path, action="append", required=True)
    parser.add_argument("--eval", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--layers", help="skip the choice: comma-separated layers, with --penalty")
    parser.add_argument("--penalty", type=float, default=0.01)
    arguments = parser.parse_args()

    torch.set_num_threads(arguments.threads)
    sample = load.load(*arguments.features)
    held = sample.validation
    tried: list[dict[str, Any]] = []
    if arguments.layers:
        layers, penalty = tuple(map(int, arguments.layers.split(","))), arguments.penalty
    else:
        layers, penalty, tried = choose(sample)
    target, weight = sample.targets(IMPLIED)
    x: Floats = sample.columns(layers)
    fitted = heads.fit(x[~held], target[~held], weight[~held], penalty, TRAIN_SHARE)
    # Calibrated with all harmless rows as negatives: most of what a service sees is harmless.
    target, weight = sample.targets(1)
    fitted.calibration = heads.calibrate(fitted.logits(x[held]), target[held], weight[held], PRIOR)
    figures, thresholds = validation_figures(sample, fitted.scores(x[held]))

    arguments.out.mkdir(parents=True, exist_ok=True)
    fitted.save(arguments.out / "heads.safetensors")
    card = {
        "schema": "buckler.heads/1",
        "name": "buckler-guard",
        "base": {"name": "Gemma 3 270M Q4_K_M", "file": "gemma-3-270m-q4_k_m.gguf", "sha256": sample.base},
        "pooling": "mean",
        "pooling_note": "over the positions of the text's tokens; BOS is in the input and not in the mean",
        "layers": list(layers),
        "window": 256,
        "categories": list(CATEGORIES),
        "score": "sigmoid(a * (weight . (x - mean) / scale + bias) + b), x: the layers' means side by side",
        "calibration": {"method": "platt", "prior": PRIOR},
        "thresholds": thresholds,
        "figures": {"validation": figures, "evaluation": evaluation_figures(arguments.eval, layers, fitted)},
        "fit": {
            "penalty": penalty,
            "implied_negative_weight": IMPLIED,
            "weak_label_weight": load.WEAK,
            "rows_train": int((~held).sum()),
            "rows_validation": int(held.sum()),
            "tried": tried,
        },
        "sources": source_list(sample),
    }
    text = json.dumps(card, indent=1, ensure_ascii=False)
    (arguments.out / "card.json").write_text(text + "\n", encoding="utf-8")
    for key in CATEGORIES:
        print(key, figures[key], thresholds[key])


if __name__ == "__main__":
    main()
