#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes gemma3_270m_logits.txt: what transformers computes in float32 at the last position of a few texts.

    logits_fixture.py --driver build/dev/tests/logits_positions [--model FILE] > gemma3_270m_logits.txt

A line is `tokens… : id logit id logit …`: the five best ids, Yes, No, and three ids spread over the vocabulary.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import torch
from logits_parity import build_model, tokenize
from logits_texts import TEXTS

YES_NO_AND_SPREAD = [10784, 3771, 1000, 100000, 250000]
CHOSEN = [
    0,
    1,
    5,
    8,
    10,
    12,
    15,
    25,
]  # of TEXTS: English, a question, Japanese, Arabic, code, emoji, one letter


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--driver", type=Path, required=True)
    models = Path(os.environ.get("BUCKLER_MODELS", Path.home() / ".cache/buckler/models"))
    parser.add_argument("--model", type=Path, default=models / "gemma-3-270m-q4_k_m.gguf")
    arguments = parser.parse_args()
    texts = [TEXTS[i] for i in CHOSEN]
    texts.append(max(TEXTS, key=len))  # crosses the sliding window
    model = build_model(Path(arguments.model))
    for tokens in tokenize(arguments.driver, arguments.model, texts):
        with torch.no_grad():
            logits = model(torch.tensor([tokens]), logits_to_keep=1).logits[0, -1]
        ids = logits.topk(5).indices.tolist() + YES_NO_AND_SPREAD
        print(*tokens, ":", *(f"{i} {logits[i].item():.6f}" for i in ids))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
