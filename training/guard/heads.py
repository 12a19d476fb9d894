# SPDX-License-Identifier: Apache-2.0
"""Linear heads: one logistic regression a category over standardised features, then a calibrated sigmoid."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file, save_file

from guard.backbone import Floats


@dataclass
class Heads:
    weight: Floats  # [categories, features]
    bias: Floats  # [categories]
    mean: Floats  # [features]
    scale: Floats  # [features]
    calibration: Floats  # [categories, 2]: score = sigmoid(a * logit + b)

    def logits(self, features: Floats) -> Floats:
        values = ((features - self.mean) / self.scale) @ self.weight.T + self.bias
        return values.astype(np.float32)

    def scores(self, features: Floats) -> Floats:
        raw = self.logits(features).astype(np.float64) * self.calibration[:, 0] + self.calibration[:, 1]
        values: Floats = (1.0 / (1.0 + np.exp(-raw))).astype(np.float32)
        return values

    def save(self, path: Path) -> None:
        save_file({name: np.ascontiguousarray(value, dtype=np.float32) for name, value in vars(self).items()}, path)

    @staticmethod
    def load(path: Path) -> Heads:
        return Heads(**load_file(path))


def fit(features: Floats, target: Floats, weight: Floats, penalty: float, share: float) -> Heads:
    """Weighted logistic regression with an L2 penalty for all categories at once (their losses are independent).

    In every category the weights are scaled so that positives make up `share` of the sum.
    """
    mean = guard.mean(axis=0)
    scale = guard.std(axis=0) + 1e-6
    x = torch.from_numpy((features - mean) / scale)
    y, w = torch.from_numpy(target), torch.from_numpy(balance(target, weight, share))
    coefficients = torch.zeros((target.shape[1], x.shape[1]), requires_grad=True)
    bias = torch.full((target.shape[1],), float(np.log(share / (1 - share))), requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [coefficients, bias],
        max_iter=150,
        history_size=20,
        line_search_fn="strong_wolfe",
        tolerance_change=1e-7,
    )

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        logits = x @ coefficients.T + bias
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, y, weight=w, reduction="sum")
        loss = loss + penalty * coefficients.square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    identity = np.tile(np.array([1.0, 0.0], dtype=np.float32), (target.shape[1], 1))
    return Heads(coefficients.detach().numpy(), bias.detach().numpy(), mean, scale, identity)


def balance(target: Floats, weight: Floats, share: float) -> Floats:
    """Weights that sum to one in every category, positives to `share` of it."""
    positive = (weight * target).sum(axis=0)
    negative = (weight * (1 - target)).sum(axis=0)
    scaled: Floats = weight * np.where(target == 1, share / positive, (1 - share) / negative)
    return scaled.astype(np.float32)


def calibrate(logits: Floats, target: Floats, weight: Floats, share: float) -> Floats:
    """Platt scaling: sigmoid(a * logit + b) fits the held-out labels of a category, were positives `share` of them."""
    scaled = torch.from_numpy(balance(target, weight, share).astype(np.float64))
    x, y = torch.from_numpy(logits.astype(np.float64)), torch.from_numpy(target.astype(np.float64))
    ab = torch.zeros((target.shape[1], 2), dtype=torch.float64)
    ab[:, 0] = 1.0
    ab.requires_grad_()
    optimizer = torch.optim.LBFGS([ab], max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = torch.nn.functional.binary_cross_entropy_with_logits(
            x * ab[:, 0] + ab[:, 1], y, weight=scaled, reduction="sum"
        )
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    fitted: Floats = ab.detach().numpy().astype(np.float32)
    return fitted
