# SPDX-License-Identifier: Apache-2.0
"""What runs say of the same rows, which none of them was shown: rows of the published sets beyond the caps.

    python -m guard.control --model MODEL.gguf --rows TRAIN RUN…

A run that has seen more speaks louder: its logits lie further apart, although it need not be surer of sources that it
does not know. export.py fits the calibration on the runs that left sources out, and carries it over to the shipped run
by the mean and spread of RUN/control.npz.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from guard import rows
from guard.model import Guard
from guard.train import SEED, Sample, logits_of

MOST = 1500


def unseen(folder: Path) -> list[rows.Row]:
    nothing = Path(__file__).parent  # no written rows: all of them are learnt from
    known = {row.id for row in rows.choose(folder, nothing, SEED)}
    wide = rows.choose(folder, nothing, SEED, factor=2)
    return [row for row in wide if row.id not in known and not row.augmented][:MOST]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--rows", type=Path, required=True, help="folder of the published sets")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("runs", type=Path, nargs="+")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    guard = Guard(arguments.model, adapt=True, dropout=0.0)
    sample = Sample(guard, unseen(arguments.rows))
    for run in arguments.runs:
        guard.restore(run / "final.pt")
        logits = logits_of(guard, sample)
        np.savez(run / "control.npz", logits=logits)
        print(f"{run}: {len(sample.rows)} rows, mean {logits.mean(axis=0)}, spread {logits.std(axis=0)}", flush=True)


if __name__ == "__main__":
    main()
