# SPDX-License-Identifier: Apache-2.0
"""Fits the n-gram part, and measures it on every fold of sources that it was not shown.

    python -m guard.fit_ngrams --rows TRAIN --out RUN

RUN/ngrams.npz holds the weights of all rows together, and for the rows of the sample that train.py sees the logits of a
fit without their fold. It sees more rows than the model does: it is cheap.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch

from guard import figures, ngrams, rows
from guard.targets import balance, targets
from guard.train import SEED

FACTOR = 2  # of the caps of rows.py
MOST_BYTES = 1200  # of a text: about what a window of the daemon holds
PENALTIES = (1e-5,)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=Path, required=True)
    parser.add_argument("--written", type=Path, default=Path(__file__).parent.parent / "authored")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)

    sample = rows.choose(arguments.rows, arguments.written, SEED)
    known = {row.id for row in sample}
    wide = sample + [r for r in rows.choose(arguments.rows, arguments.written, SEED, FACTOR) if r.id not in known]
    x = ngrams.matrix([row.text.encode()[:MOST_BYTES].decode(errors="ignore") for row in wide])
    target, weight = targets(wide)
    folds = np.array([row.fold for row in wide])
    print(f"{len(wide)} rows, {x.nnz} features", flush=True)

    best: tuple[float, float] = (0.0, 0.0)
    outside = np.zeros_like(target[: len(sample)])
    for penalty in PENALTIES:
        logits = np.zeros_like(outside)
        for fold in range(rows.FOLDS):
            inside = folds != fold
            table, bias = ngrams.fit(x[inside], target[inside], balance(target[inside], weight[inside]), penalty)
            mine = np.flatnonzero(folds[: len(sample)] == fold)
            logits[mine] = x[mine] @ table + bias
        quality = np.mean(
            [
                figures.macro(figures.by_source([sample[i] for i in mine], logits[mine, -1]))
                for mine in (np.flatnonzero(folds[: len(sample)] == fold) for fold in range(rows.FOLDS))
            ]
        )
        print(json.dumps({"penalty": penalty, "au_prc": float(quality)}), flush=True)
        if quality > best[0]:
            best, outside = (float(quality), penalty), logits
    table, bias = ngrams.fit(x, target, balance(target, weight), best[1])
    arguments.out.mkdir(parents=True, exist_ok=True)
    np.savez(
        arguments.out / "ngrams.npz",
        table=table,
        bias=bias,
        penalty=best[1],
        au_prc=best[0],
        ids=np.array([row.id for row in sample]),
        logits=outside,
    )


if __name__ == "__main__":
    main()
