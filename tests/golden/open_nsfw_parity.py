#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Holds engine/vision/open_nsfw against onnxruntime: 20 pictures, scores within 1e-4.

    open_nsfw_parity.py --scores BUILD/bin/open_nsfw_scores --model open-nsfw.onnx
    open_nsfw_parity.py --golden …    prints the table of tests/unit/engine/vision/test_open_nsfw.c

Needs numpy and onnxruntime. The pictures are made by formula: noise, gradients, stripes, flat colours, skin-like tones,
so that nothing has to be stored. The first eight are those of the unit test.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime

SIDE = 224
PICTURES = 20
GOLDEN = 8
TOLERANCE = 1e-4

Pixels = npt.NDArray[np.uint8]


def picture(number: int) -> Pixels:
    """The same integers as test_open_nsfw.c: a quadratic form of the place, its coefficients from the number."""
    y, x, c = np.meshgrid(np.arange(SIDE), np.arange(SIDE), np.arange(3), indexing="ij")
    p, q, r = 1 + number % 5, 1 + number % 3, number % 7
    if number % 4 == 0:  # gradients
        value = (x * p + y * q + c * 40 * r) >> 1
    elif number % 4 == 1:  # waves of growing frequency
        value = (x * x * p + y * y * q + x * y * r) >> 6
    elif number % 4 == 2:  # blocks, warm tones
        value = 220 - 50 * c + ((x // (8 * p)) ^ (y // (8 * q))) * (r + 1)
    else:  # noise of a linear congruence over the place
        value = (x * 7919 + y * 104729 + c * 1299709 + number * 15485863) * 2654435 >> 9
    return (value & 255).astype(np.uint8)


def reference(model: Path, pictures: list[Pixels]) -> npt.NDArray[np.float32]:
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    means = np.array([104, 117, 123], dtype=np.float32)
    batch = np.stack(pictures)[..., ::-1].astype(np.float32) - means
    scores: npt.NDArray[np.float32] = session.run(None, {session.get_inputs()[0].name: batch})[0]
    return scores


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--scores", type=Path)
    parser.add_argument("--golden", action="store_true")
    arguments = parser.parse_args()
    pictures = [picture(number) for number in range(PICTURES)]
    expected = reference(arguments.model, pictures)
    if arguments.golden:
        for row in expected[:GOLDEN]:
            print(f"    {{{row[0]:.9g}F, {row[1]:.9g}F}},")
        return 0
    with tempfile.NamedTemporaryFile() as file:
        file.write(b"".join(p.tobytes() for p in pictures))
        file.flush()
        output = subprocess.run(
            [arguments.scores, arguments.model, file.name], check=True, capture_output=True, text=True
        ).stdout
    measured = np.array([[float(v) for v in line.split()] for line in output.splitlines()])
    worst = float(np.abs(measured - expected).max())
    print(
        f"{PICTURES} pictures, nsfw {expected[:, 1].min():.4f} … {expected[:, 1].max():.4f}, largest difference {worst:.2e}"
    )
    return 0 if measured.shape == expected.shape and worst <= TOLERANCE else 1


if __name__ == "__main__":
    sys.exit(main())
