# SPDX-License-Identifier: Apache-2.0
"""Extracted pieces back as arrays: features, and for every category a target with a weight."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from guard.backbone import Floats
from guard.rows import CATEGORIES

Bools = npt.NDArray[np.bool_]

WEAK = 0.4  # weight of a label that comes from a topic, a persona, a machine score or a word list


@dataclass(frozen=True)
class Sample:
    means: Floats  # [rows, layers, hidden]
    meta: list[dict[str, Any]]
    layers: tuple[int, ...]
    base: str  # SHA-256 of the model file

    @property
    def validation(self) -> Bools:
        return np.array([row["validation"] for row in self.meta])

    def where(self, **values: object) -> Bools:
        return np.array([all(row[key] == value for key, value in values.items()) for row in self.meta])

    def targets(self, implied: float) -> tuple[Floats, Floats]:
        """([rows, categories] 0 or 1, their weights). Unknown labels weigh nothing, except that a row known to be
        harmless is taken as a negative of every category with the weight `implied`."""
        target = np.zeros((len(self.meta), len(CATEGORIES)), dtype=np.float32)
        weight = np.zeros_like(target)
        for index, row in enumerate(self.meta):
            trust = WEAK if row["weak"] else 1.0
            for column, key in enumerate(CATEGORIES):
                if key in row["labels"]:
                    target[index, column] = row["labels"][key]
                    weight[index, column] = trust
                elif row["unsafe"] == 0:
                    weight[index, column] = trust * implied
        return target, weight

    def columns(self, layers: tuple[int, ...]) -> Floats:
        """[rows, len(layers) * hidden] of some of the layers, side by side."""
        picked: Floats = np.concatenate([self.means[:, self.layers.index(layer)] for layer in layers], axis=1)
        return picked


def load(*folders: Path) -> Sample:
    """Every finished piece of one or more extractions, which must be of the same model and layers."""
    means: list[Floats] = []
    meta: list[dict[str, Any]] = []
    bases: list[dict[str, Any]] = []
    for folder in folders:
        bases.append(json.loads((folder / "base.json").read_text()))
        for path in sorted(folder.glob("[0-9][0-9][0-9][0-9].npz")):
            means.append(np.load(path)["means"])
            lines = path.with_suffix(".jsonl").read_text(encoding="utf-8").splitlines()
            meta.extend(json.loads(line) for line in lines)
    if any(base != bases[0] for base in bases):
        raise ValueError("the folders come from different models, layers or windows")
    return Sample(np.concatenate(means), meta, tuple(bases[0]["layers"]), bases[0]["sha256"])
