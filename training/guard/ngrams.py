# SPDX-License-Identifier: Apache-2.0
"""Hashed n-grams of words and characters with one linear weight each, stored as a byte.

The same arithmetic in C: classifiers/head/ngrams.c; its header says what a feature is. A text is its UTF-8 bytes with
A to Z lowered. Words are runs of letters, digits and bytes above 0x7F. Features: words, pairs of neighbouring words,
and 3 to 5 bytes inside " word ". Each feature counts once; the weights of a text's features are summed and divided by
the square root of their number.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from scipy.sparse import csr_matrix

from guard.targets import Floats

BUCKETS = 1 << 18
WORD_SEED, PAIR_SEED, CHARACTER_SEED = 1, 2, 3
SHORTEST, LONGEST = 3, 5
MOST_WORDS = 4096  # of one text; what follows is not looked at

_OFFSET, _PRIME = 2166136261, 16777619


def _hash(data: bytes, seed: int) -> int:
    """FNV-1a over the seed and the bytes, folded to a bucket."""
    value = ((_OFFSET ^ seed) * _PRIME) & 0xFFFFFFFF
    for byte in data:
        value = ((value ^ byte) * _PRIME) & 0xFFFFFFFF
    return (value ^ value >> 15) % BUCKETS


def _is_word(byte: int) -> bool:
    return byte >= 0x80 or 0x61 <= byte <= 0x7A or 0x30 <= byte <= 0x39


def words(text: str) -> list[bytes]:
    data = bytes(b + 32 if 0x41 <= b <= 0x5A else b for b in text.encode())
    found: list[bytes] = []
    start = 0
    for i in range(len(data) + 1):
        if i == len(data) or not _is_word(data[i]):
            if i > start:
                found.append(data[start:i])
            start = i + 1
    return found[:MOST_WORDS]


def features(text: str, cache: dict[bytes, list[int]] | None = None) -> npt.NDArray[np.int64]:
    """The buckets of a text, each once, rising."""
    cache = {} if cache is None else cache
    found: set[int] = set()
    before: bytes | None = None
    for word in words(text):
        own = cache.get(word)
        if own is None:
            padded = b" " + word + b" "
            own = [_hash(word, WORD_SEED)]
            for size in range(SHORTEST, LONGEST + 1):
                own += [_hash(padded[i : i + size], CHARACTER_SEED) for i in range(len(padded) - size + 1)]
            cache[word] = own
        found.update(own)
        if before is not None:
            found.add(_hash(before + b" " + word, PAIR_SEED))
        before = word
    return np.array(sorted(found), np.int64)


def matrix(texts: Sequence[str]) -> csr_matrix:
    """[texts, BUCKETS], 1 / √n where a feature is."""
    cache: dict[bytes, list[int]] = {}
    parts = [features(text, cache) for text in texts]
    sizes = np.array([len(part) for part in parts])
    indices = np.concatenate(parts) if parts else np.zeros(0, np.int64)
    values = np.repeat(1 / np.sqrt(np.maximum(sizes, 1)), sizes).astype(np.float32)
    return csr_matrix((values, indices, np.concatenate([[0], np.cumsum(sizes)])), shape=(len(texts), BUCKETS))


def fit(x: csr_matrix, target: Floats, weight: Floats, penalty: float, steps: int = 40) -> tuple[Floats, Floats]:
    """[BUCKETS, outputs] and [outputs]: logistic regression of all outputs side by side, L2 on the weights."""
    forward = torch.sparse_csr_tensor(
        torch.from_numpy(x.indptr), torch.from_numpy(x.indices), torch.from_numpy(x.data), size=x.shape
    )
    t = x.T.tocsr()
    backward = torch.sparse_csr_tensor(
        torch.from_numpy(t.indptr), torch.from_numpy(t.indices), torch.from_numpy(t.data), size=t.shape
    )
    y, w = torch.from_numpy(target), torch.from_numpy(weight / weight.sum(axis=0))
    table = torch.zeros((BUCKETS, target.shape[1]), requires_grad=True)
    bias = torch.zeros(target.shape[1], requires_grad=True)
    optimizer = torch.optim.LBFGS([table, bias], max_iter=steps, history_size=8, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        with torch.no_grad():
            logits = forward @ table + bias
            p = torch.sigmoid(logits)
            error = (p - y) * w
            table.grad = backward @ error + penalty * table
            bias.grad = error.sum(dim=0)
            each = torch.nn.functional.binary_cross_entropy_with_logits(logits, y, reduction="none")
            return (each * w).sum() + 0.5 * penalty * table.square().sum()

    optimizer.step(loss)
    return table.detach().numpy(), bias.detach().numpy()


def quantise(table: Floats) -> tuple[npt.NDArray[np.int8], Floats]:
    """Bytes [BUCKETS, outputs], and the step of each output; the rare weight beyond the 99.99th percentile is cut."""
    top = np.maximum(np.quantile(np.abs(table), 0.9999, axis=0), 1e-8).astype(np.float32)
    step: Floats = top / 127
    return np.clip(np.rint(table / step), -127, 127).astype(np.int8), step
