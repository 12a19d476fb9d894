# SPDX-License-Identifier: Apache-2.0
"""Figures over sources that were left out of training."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

from guard.rows import OUTPUTS, Row
from guard.targets import Floats, targets

FEWEST = 15  # rows of each class that a figure needs


def average_precision(target: Floats, score: Floats) -> float:
    return float(average_precision_score(target, score))


def area(target: Floats, score: Floats) -> float:
    return float(roc_auc_score(target, score))


def by_source(rows: Sequence[Row], score: Floats) -> dict[str, dict[str, float]]:
    """AU-PRC and AUC of `unsafe` for every set. One that has harmful rows alone is set against the harmless rows of the
    sets that have no harmful ones, and the other way round."""
    kept = [i for i, row in enumerate(rows) if "unsafe" in row.labels and not row.augmented]
    truth = np.array([rows[i].labels["unsafe"] for i in kept], np.float32)
    sets = np.array([rows[i].set for i in kept])
    value = score[kept]
    names = sorted(set(sets))
    counts = {name: (truth[sets == name].sum(), (1 - truth[sets == name]).sum()) for name in names}
    lone = {
        wanted: np.isin(sets, [n for n in names if counts[n][1 - wanted] < FEWEST]) & (truth == wanted)
        for wanted in (0, 1)
    }
    result: dict[str, dict[str, float]] = {}
    for name in names:
        mine = sets == name
        if counts[name][0] < FEWEST:
            mine = mine | lone[1]
        elif counts[name][1] < FEWEST:
            mine = mine | lone[0]
        positives = float(truth[mine].sum())
        if min(positives, mine.sum() - positives) >= FEWEST:
            result[name] = {
                "rows": float(counts[name][0] + counts[name][1]),
                "harmful": float(counts[name][0]),
                "au_prc": average_precision(truth[mine], value[mine]),
                "auc": area(truth[mine], value[mine]),
            }
    return result


def by_group(rows: Sequence[Row], score: Floats, group: Callable[[Row], str]) -> dict[str, dict[str, float]]:
    """AU-PRC and AUC of `unsafe` over the rows of one language, say, whatever set they are of."""
    members: dict[str, list[int]] = defaultdict(list)
    for i, row in enumerate(rows):
        if "unsafe" in row.labels and not row.augmented:
            members[group(row)].append(i)
    result: dict[str, dict[str, float]] = {}
    for name, mine in sorted(members.items()):
        truth = np.array([rows[i].labels["unsafe"] for i in mine], np.float32)
        if FEWEST <= truth.sum() <= len(mine) - FEWEST:
            result[name] = {
                "rows": float(len(mine)),
                "harmful": float(truth.sum()),
                "au_prc": average_precision(truth, score[mine]),
                "auc": area(truth, score[mine]),
            }
    return result


def by_category(rows: Sequence[Row], scores: Floats) -> dict[str, dict[str, float]]:
    target, weight = targets(rows, implied=0.2)
    result: dict[str, dict[str, float]] = {}
    for c, key in enumerate(OUTPUTS):
        known = weight[:, c] > 0
        y, s = target[known, c], scores[known, c]
        if FEWEST <= y.sum() <= len(y) - FEWEST:
            result[key] = {"positives": float(y.sum()), "au_prc": average_precision(y, s), "auc": area(y, s)}
    return result


def macro(figures: dict[str, dict[str, float]], key: str = "au_prc") -> float:
    return float(np.mean([entry[key] for entry in figures.values()])) if figures else float("nan")
