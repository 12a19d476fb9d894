#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Picture files through `bucklerctl logits` against the logits of transformers (vision.py): decoder, tower, forest."""

from __future__ import annotations

import json
import os
import pathlib
import struct
import subprocess
import sys
import unittest

BIN = pathlib.Path(os.environ["BUCKLER_BIN"])
FOLDER = pathlib.Path(__file__).parent / "vision"
MODELS = ["--model", FOLDER / "text.gguf", "--mmproj", FOLDER / "mmproj.gguf"]
PICTURE, ROWS, BOUND = 0xFFFFFFFF, 9, 2e-4


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [str(a) for a in (BIN / "bucklerctl", "logits", *MODELS, *arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def expected(pictures: int) -> tuple[list[str], list[float]]:
    """Words for --tokens, and the logits of the last position."""
    data = (FOLDER / f"logits-{pictures}.bin").read_bytes()
    count, vocabulary = struct.unpack_from("<II", data)
    tokens = struct.unpack_from(f"<{count}I", data, 8)
    words, at = [], 0
    while at < count:
        words.append("image" if tokens[at] == PICTURE else str(tokens[at]))
        at += ROWS if tokens[at] == PICTURE else 1
    return words, list(struct.unpack_from(f"<{vocabulary}f", data, len(data) - 4 * vocabulary))


class PictureLogits(unittest.TestCase):
    def test_logits_are_those_of_transformers(self) -> None:
        for pictures in (1, 2):
            words, wanted = expected(pictures)
            files = ",".join(str(FOLDER / f"{n}.png") for n in range(pictures))
            done = run("--image", files, "--tokens", ",".join(words), "--top", len(wanted), "--f32")
            self.assertEqual(done.returncode, 0, done.stderr)
            got = {row["id"]: row["logit"] for row in json.loads(done.stdout)["logits"]}
            worst = max(abs(got[i] - logit) for i, logit in enumerate(wanted))
            self.assertLessEqual(worst, BOUND * max(map(abs, wanted)))

    def test_text_is_written_out_around_a_picture(self) -> None:
        done = run("--image", FOLDER / "0.png", "--text", "a<start_of_image>b", "--top", 1)
        self.assertEqual(done.returncode, 0, done.stderr)
        around = json.loads(done.stdout)["tokens"]
        at = around.index("image")
        self.assertEqual(len(around), 8)
        self.assertEqual(around[at - 2 : at + 3], [9, 6, "image", 7, 9])

    def test_refuses_other_numbers_of_places_and_files(self) -> None:
        done = run("--image", FOLDER / "0.png", "--tokens", "2,image,image")
        self.assertIn("as many places", done.stderr)
        done = run("--image", FOLDER / "text.gguf", "--tokens", "2,image")
        self.assertIn("text.gguf", done.stderr)
        done = run("--tokens", "2,image")
        self.assertIn("go together", done.stderr)


if __name__ == "__main__":
    sys.exit(unittest.main())
