# SPDX-License-Identifier: Apache-2.0
"""Disguises that people use against filters, and other text around a text. What Unicode normalisation undoes (zero
width, full width, homoglyphs inside a word) is left to the decoder; these survive it."""

from __future__ import annotations

import random
from collections.abc import Callable

LEET = str.maketrans({"a": "4", "e": "3", "i": "1", "o": "0", "s": "5", "t": "7"})
NEIGHBOURS = {"a": "s", "e": "r", "i": "o", "o": "p", "n": "m", "s": "d", "t": "r", "l": "k", "r": "t", "h": "g"}


def _words(text: str, share: float, rng: random.Random, change: Callable[[str], str]) -> str:
    return " ".join(change(w) if len(w) > 3 and rng.random() < share else w for w in text.split(" "))


def leet(text: str, rng: random.Random) -> str:
    return _words(text, 0.6, rng, lambda word: word.translate(LEET))


def stars(text: str, rng: random.Random) -> str:
    def hide(word: str) -> str:
        at = rng.randrange(1, len(word) - 1)
        return word[:at] + rng.choice("*#@.-") + word[at + 1 :]

    return _words(text, 0.4, rng, hide)


def typos(text: str, rng: random.Random) -> str:
    def slip(word: str) -> str:
        at = rng.randrange(1, len(word) - 1)
        kind = rng.randrange(3)
        if kind == 0:
            return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
        if kind == 1:
            return word[:at] + word[at + 1 :]
        return word[:at] + NEIGHBOURS.get(word[at], word[at]) + word[at + 1 :]

    return _words(text, 0.4, rng, slip)


def stretch(text: str, rng: random.Random) -> str:
    def longer(word: str) -> str:
        at = rng.randrange(1, len(word))
        return word[:at] + word[at - 1] * rng.randrange(1, 4) + word[at:]

    return _words(text, 0.4, rng, longer)


def split(text: str, rng: random.Random) -> str:
    mark = rng.choice((" ", "-", ".", "_"))
    return _words(text, 0.35, rng, mark.join)


def upper(text: str, rng: random.Random) -> str:
    return text.upper()


def lower(text: str, rng: random.Random) -> str:
    return "".join(c for c in text.lower() if c not in ".,!?'\"")


def mixed(text: str, rng: random.Random) -> str:
    return "".join(c.upper() if rng.random() < 0.5 else c.lower() for c in text)


DISGUISES = (leet, stars, typos, stretch, split, upper, lower, mixed)


def around(text: str, fillers: list[str], rng: random.Random) -> str:
    """The text with one to three harmless ones before it, after it, or both."""
    others = [rng.choice(fillers) for _ in range(rng.randrange(1, 4))]
    others.insert(rng.randrange(len(others) + 1), text)
    return rng.choice((" ", "\n", "\n\n")).join(others)


def change(text: str, fillers: list[str], rng: random.Random) -> tuple[str, str]:
    """The name of the change, and the changed text."""
    if rng.random() < 0.3:
        return "around", around(text, fillers, rng)
    disguise = rng.choice(DISGUISES)
    return disguise.__name__, disguise(text, rng)
