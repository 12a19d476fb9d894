#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares what a vision tower is shown with what the reference processor of Gemma 3 shows it.

    pillow_parity.py BUILD/tests/decode_pixels [--count 500] [--seed 1] [--write]

Generated pictures of several modes, formats and sizes, resized by the decode worker to 896 × 896 and to other sides,
against Pillow's bilinear resize, byte for byte; every tenth also against pixel_values of transformers' processor,
turned back into bytes. Alpha is where we differ on purpose: the processor drops it, the worker shows the picture on
white and on black. --write prints the rows of test_resizes_for_vision_towers in tests/unit/decode/test_image.c.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import pathlib
import random
import sys
import tempfile

import numpy as np
from decode_parity import Worker, alpha_of, difference, encode, expected, picture, resized
from PIL import Image

SIDE = 896
WRITTEN = ("rgb-q75-s2.jpg", "palette.png", "lossless.webp")


def generated(rng: random.Random) -> tuple[str, bytes]:
    width, height = (int(2 ** rng.uniform(3, 11)) for _ in range(2))
    mode = rng.choice(["RGB", "L", "P", "1", "CMYK", "RGBA", "LA"])
    image = picture(width, height, rng.randrange(1 << 30))
    if mode in ("RGBA", "LA"):
        image.putalpha(alpha_of(width, height))
        image = image.convert(mode)
    else:
        image = image.quantize(rng.choice([2, 16, 256])) if mode == "P" else image.convert(mode)
    form = (
        "JPEG"
        if mode == "CMYK"
        else rng.choice({"RGB": ["JPEG", "PNG", "WEBP"], "RGBA": ["PNG", "WEBP"]}.get(mode, ["PNG"]))
    )
    options = {"lossless": True, "exact": True} if form == "WEBP" else {}
    orientation = rng.choice([None, None, 3, 6, 8]) if form == "JPEG" else None
    return f"{mode} {form} {width}×{height}", encode(image, form, orientation, **options)


def processed(data: bytes, side: int) -> bytes:
    """What the processor makes of it; only a picture without alpha and without orientation is the same."""
    from transformers.models.gemma3.image_processing_pil_gemma3 import Gemma3ImageProcessorPil

    processor = Gemma3ImageProcessorPil(size={"height": side, "width": side})
    values = np.asarray(processor(Image.open(io.BytesIO(data)).convert("RGB"))["pixel_values"][0], np.float64)
    return np.rint((values * 0.5 + 0.5) * 255).astype(np.uint8).transpose(1, 2, 0).tobytes()


def compare(worker: Worker, count: int, seed: int) -> int:
    rng, bad, processors, turned = random.Random(seed), 0, 0, 0
    for number in range(count):
        name, data = generated(rng)
        side = SIDE if number % 4 == 0 else rng.randrange(8, 1025)
        ours, _ = worker.pixels(data, side, side, 0, side, side)
        pictures = expected(data)
        gap = difference(ours, b"".join(resized(image, side, side).tobytes() for image in pictures))
        image = Image.open(io.BytesIO(data))
        same_order = pictures[0].resize((side, side), Image.Resampling.BILINEAR) == resized(
            pictures[0], side, side
        )
        turned += not same_order
        if gap == "" and number % 10 == 0 and len(pictures) == 1 and not image.getexif() and same_order:
            gap = difference(ours, processed(data, side))
            processors += 1
        if gap != "":
            print(f"{number}: {name} to {side}: {gap}")
            bad += 1
    print(
        f"{count - bad} of {count} equal, {processors} of them also held against the processor;"
        f" of {turned} the installed Pillow does the vertical pass first"
    )
    return bad


def write() -> None:
    folder = pathlib.Path(__file__).parent.parent / "unit/decode/golden"
    for name in WRITTEN:
        (image,) = expected((folder / name).read_bytes())
        print(f'{{"{name}", "{hashlib.sha256(resized(image, SIDE, SIDE).tobytes()).hexdigest()}"}},')


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("program")
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", action="store_true")
    a = parser.parse_args()
    if a.write:
        write()
        return 0
    with tempfile.TemporaryDirectory() as folder:
        return 0 if compare(Worker(a.program, pathlib.Path(folder)), a.count, a.seed) == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
