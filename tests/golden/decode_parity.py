#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares the decode worker's pixels with Pillow's.

    decode_parity.py BUILD/tests/decode_pixels [--write tests/unit/decode/golden]

Formats × modes × EXIF orientations at full size, random resizes, and the OpenNSFW form (256 × 256, JPEG of quality 75,
centre 224). With --write the fixtures and what Pillow makes of them are stored for tests/unit/decode/test_image.c.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import pathlib
import random
import subprocess
import sys
import tempfile

import numpy as np
from PIL import Image, ImageOps, features


def picture(width: int, height: int, seed: int) -> Image.Image:
    """Smooth shapes with some noise: what photographs are made of."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    planes = [
        127 + 120 * np.sin(x / (3.0 + c) + c) * np.cos(y / (5.0 - c)) + rng.normal(0, 6, (height, width))
        for c in range(3)
    ]
    return Image.fromarray(np.clip(np.stack(planes, -1), 0, 255).astype(np.uint8), "RGB")


def alpha_of(width: int, height: int) -> Image.Image:
    y, x = np.mgrid[0:height, 0:width]
    return Image.fromarray(((x * 7 + y * 11) % 256).astype(np.uint8), "L")


def encode(image: Image.Image, fmt: str, orientation: int | None = None, **options: object) -> bytes:
    out = io.BytesIO()
    if orientation is not None:
        exif = Image.Exif()
        exif[0x0112] = orientation
        options["exif"] = exif.tobytes()
    image.save(out, format=fmt, **options)
    return out.getvalue()


def on(image: Image.Image, grey: int) -> Image.Image:
    rgba = image.convert("RGBA")
    ground = Image.new("RGB", rgba.size, (grey,) * 3)
    ground.paste(rgba.convert("RGB"), (0, 0), rgba.getchannel("A"))
    return ground


def expected(data: bytes) -> list[Image.Image]:
    image = Image.open(io.BytesIO(data))
    image.load()
    image = ImageOps.exif_transpose(image)
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        if rgba.getchannel("A").getextrema()[0] < 255:
            return [on(rgba, 255), on(rgba, 0)]
        return [rgba.convert("RGB")]
    return [image.convert("RGB")]


def resized(image: Image.Image, width: int, height: int) -> Image.Image:
    """Horizontal pass first, as every Pillow did before version 13, and as 13 still does unless the height shrinks much
    more than the width (python-pillow/Pillow#9549; the difference is one grey level). Two calls force the order."""
    one = image.resize((width, image.height), Image.Resampling.BILINEAR)
    return one.resize((width, height), Image.Resampling.BILINEAR)


def cases() -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    small = picture(24, 17, 1)
    grey = small.convert("L")
    palette = small.quantize(16)
    rgba = small.copy()
    rgba.putalpha(alpha_of(24, 17))
    for quality in (30, 75, 95):
        for sub in (0, 1, 2):
            found[f"rgb-q{quality}-s{sub}.jpg"] = encode(small, "JPEG", quality=quality, subsampling=sub)
    found["grey.jpg"] = encode(grey, "JPEG")
    found["cmyk.jpg"] = encode(small.convert("CMYK"), "JPEG")
    found["progressive.jpg"] = encode(small, "JPEG", progressive=True)
    found["rgb.png"] = encode(small, "PNG")
    found["grey.png"] = encode(grey, "PNG")
    found["grey-alpha.png"] = encode(rgba.convert("LA"), "PNG")
    found["rgba.png"] = encode(rgba, "PNG")
    found["opaque-rgba.png"] = encode(small.convert("RGBA"), "PNG")
    found["palette.png"] = encode(palette, "PNG")
    found["palette-transparent.png"] = encode(palette, "PNG", transparency=3)
    found["palette-2.png"] = encode(small.quantize(4), "PNG", bits=2)
    found["bilevel.png"] = encode(small.convert("1"), "PNG")
    found["lossy.webp"] = encode(small, "WEBP", quality=80)
    found["lossless.webp"] = encode(small, "WEBP", lossless=True)
    found["lossy-alpha.webp"] = encode(rgba, "WEBP", quality=80)
    found["lossless-alpha.webp"] = encode(rgba, "WEBP", lossless=True, exact=True)
    found["palette.gif"] = encode(palette, "GIF")
    found["transparent.gif"] = encode(palette, "GIF", transparency=2)
    found["interlaced.gif"] = encode(palette, "GIF", interlace=1)
    others = [picture(24, 17, n).quantize(16) for n in (2, 3)]
    found["animated.gif"] = encode(palette, "GIF", save_all=True, append_images=others)
    found["animated.webp"] = encode(small, "WEBP", lossless=True, save_all=True, append_images=others)
    for orientation in range(1, 9):
        found[f"turned-{orientation}.jpg"] = encode(small, "JPEG", orientation)
        found[f"turned-{orientation}.png"] = encode(small, "PNG", orientation)
        found[f"turned-{orientation}.webp"] = encode(small, "WEBP", orientation, lossless=True)
    return found


class Worker:
    def __init__(self, program: str, folder: pathlib.Path) -> None:
        self.program = program
        self.file = folder / "case"

    def pixels(self, data: bytes, *form: int) -> tuple[bytes, list[int]]:
        self.file.write_bytes(data)
        done = subprocess.run(
            [self.program, *(str(n) for n in (form or (0, 0, 0, 0, 0))), str(self.file)],
            capture_output=True,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(done.stderr.decode())
        return done.stdout, [int(n) for n in done.stderr.split()]


def difference(ours: bytes, theirs: bytes) -> str:
    if ours == theirs:
        return ""
    if len(ours) != len(theirs):
        return f"{len(ours)} bytes, not {len(theirs)}"
    gap = np.abs(np.frombuffer(ours, np.uint8).astype(int) - np.frombuffer(theirs, np.uint8).astype(int))
    return f"differs in {np.mean(gap > 0):.1%} of the bytes, most {gap.max()}, mean {gap.mean():.4f}"


def compare_formats(worker: Worker, write: pathlib.Path | None) -> int:
    bad = 0
    lines = []
    all_cases = cases()
    for name, data in all_cases.items():
        theirs = b"".join(image.tobytes() for image in expected(data))
        ours, told = worker.pixels(data)
        gap = difference(ours, theirs)
        bad += bool(gap)
        if gap:
            print(f"{name}: {gap}")
        variants = expected(data)
        digest = hashlib.sha256(theirs).hexdigest()
        lines.append(f"{name} {variants[0].width} {variants[0].height} {told[2]} {len(variants)} {digest}")
        if write is not None:
            (write / name).write_bytes(data)
    if write is not None:
        (write / "expected.txt").write_text("\n".join(lines) + "\n")
    print(f"formats × modes × orientation: {len(all_cases) - bad} of {len(all_cases)} identical")
    return bad


def compare_large(worker: Worker) -> int:
    bad = 0
    for seed in range(8):
        rng = random.Random(seed)
        image = picture(rng.randrange(200, 900), rng.randrange(200, 900), seed)
        for fmt, options in (
            ("JPEG", {"quality": 85}),
            ("JPEG", {"progressive": True}),
            ("WEBP", {"quality": 75}),
        ):
            data = encode(image, fmt, **options)
            gap = difference(worker.pixels(data)[0], expected(data)[0].tobytes())
            bad += bool(gap)
            if gap:
                print(f"{fmt} {options} {image.size}: {gap}")
    print(f"larger pictures: {24 - bad} of 24 identical")
    return bad


def compare_resize(worker: Worker) -> int:
    bad = 0
    other_order = 0
    rng = random.Random(5)
    for seed in range(60):
        image = picture(rng.randrange(8, 300), rng.randrange(8, 300), seed)
        width, height = rng.randrange(8, 300), rng.randrange(8, 300)
        orientation = rng.randrange(1, 9)
        data = encode(image, "PNG", orientation)
        image = expected(data)[0]
        theirs = resized(image, width, height).tobytes()
        other_order += theirs != image.resize((width, height), Image.Resampling.BILINEAR).tobytes()
        bad += worker.pixels(data, width, height, 0, width, height)[0] != theirs
    print(
        f"random resizes: {60 - bad} of 60 identical (this Pillow takes the other order for {other_order} of them)"
    )
    return bad


def compare_open_nsfw(worker: Worker) -> int:
    bad = 0
    for seed in range(10):
        data = encode(picture(300 + 17 * seed, 420 - 13 * seed, seed), "JPEG", quality=88)
        image = resized(expected(data)[0], 256, 256)
        image = Image.open(io.BytesIO(encode(image, "JPEG"))).convert("RGB")
        theirs = image.crop((16, 16, 240, 240)).tobytes()
        gap = difference(worker.pixels(data, 256, 256, 75, 224, 224)[0], theirs)
        bad += bool(gap)
        if gap:
            print(f"OpenNSFW form, seed {seed}: {gap}")
    print(f"OpenNSFW form: {10 - bad} of 10 identical")
    return bad


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("program")
    parser.add_argument("--write", type=pathlib.Path)
    arguments = parser.parse_args()
    print(
        f"Pillow {Image.__version__}, libjpeg-turbo {features.version('libjpeg_turbo')}, "
        f"libwebp {features.version('webp')}"
    )
    if arguments.write is not None:
        arguments.write.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        worker = Worker(arguments.program, pathlib.Path(folder))
        bad = compare_formats(worker, arguments.write)
        bad += compare_large(worker) + compare_resize(worker) + compare_open_nsfw(worker)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
