# SPDX-License-Identifier: Apache-2.0
"""Labels as arrays: what each output should say about a row, and how much that counts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from guard.rows import HARM, OUTPUTS, SETS, Row

Floats = npt.NDArray[np.float32]

WRITTEN = 1.5  # weight of our own rows, which come with their look-alikes
WEAK = 0.4  # weight of a label that comes from a topic or a word list
IMPLIED = 0.2  # weight of a "no" that follows from harmless alone, and of "harmful" from a category
SHARE = 0.3  # of the loss that an output's positives have, as far as BOOST allows
BOOST = 6.0


def targets(rows: Sequence[Row], implied: float = IMPLIED) -> tuple[Floats, Floats]:
    """[rows, outputs] target and weight; weight 0 where a label is unknown."""
    target = np.zeros((len(rows), len(OUTPUTS)), np.float32)
    weight = np.zeros_like(target)
    for i, row in enumerate(rows):
        trust = WEAK if row.weak else 1.0 if row.set in SETS else WRITTEN
        for c, key in enumerate(OUTPUTS):
            if key in row.labels:
                target[i, c], weight[i, c] = row.labels[key], trust
            elif key in HARM and row.labels.get("unsafe") == 0:
                weight[i, c] = trust * implied
        if "unsafe" not in row.labels and any(row.labels.get(key) == 1 for key in HARM):
            target[i, -1], weight[i, -1] = 1.0, trust * implied
    return target, weight


def balance(target: Floats, weight: Floats) -> Floats:
    """The weights with positives lifted towards SHARE of each output's sum."""
    positive = (weight * target).sum(axis=0)
    negative = (weight * (1 - target)).sum(axis=0)
    lift = np.clip(SHARE / (1 - SHARE) * negative / np.maximum(positive, 1e-6), 0.3, BOOST)
    balanced: Floats = weight * np.where(target > 0, lift, 1.0).astype(np.float32)
    return balanced
