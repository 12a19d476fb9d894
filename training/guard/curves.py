# SPDX-License-Identifier: Apache-2.0
"""Draws what a run logged.

python -m guard.curves RUN [RUN …] --out curves.svg
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import matplotlib

matplotlib.use("svg")
from matplotlib import pyplot as plt

SMOOTH = 25  # steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    matplotlib.rcParams["svg.hashsalt"] = "buckler"  # the same bytes for the same curves
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    for run in arguments.runs:
        entries = [json.loads(line) for line in (run / "log.jsonl").read_text(encoding="utf-8").splitlines()]
        loss = [(e["step"], e["loss"]) for e in entries if "loss" in e]
        chunks = [loss[i : i + SMOOTH] for i in range(0, len(loss), SMOOTH)]
        left.plot([c[-1][0] for c in chunks], [sum(v for _, v in c) / len(c) for c in chunks], label=run.name)
        looks = [(e["step"], e["au_prc"]) for e in entries if "au_prc" in e]
        if looks:
            right.plot(*zip(*looks, strict=True), marker="o", label=run.name)
    left.set(title="training loss", xlabel="step")
    right.set(title="AU-PRC of unsafe, sources left out (macro)", xlabel="step", ylim=(0, 1))
    for axes in (left, right):
        axes.grid(alpha=0.3)
    left.legend()
    figure.savefig(arguments.out, metadata={"Date": None})


if __name__ == "__main__":
    main()
