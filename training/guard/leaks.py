# SPDX-License-Identifier: Apache-2.0
"""No row that is trained on may be, or nearly be, a row of an evaluation set. Hashed 3-grams of words tell, so that the
evaluation sets themselves need not be here.

    python -m guard.leaks --make EVAL_FOLDER    writes eval_shingles.bin from its *.jsonl.gz
    python -m guard.leaks [--rows TRAIN]        lists our own rows, and the published ones in TRAIN, that are too close

Two rows are too close when the Jaccard index of their sets of 3-grams is LIMIT or more. A row of fewer than three words
is one gram by itself, so that only the same row is close to it.

eval_shingles.bin, little-endian: MAGIC, then for each set the length of its name (u8), its name, and its number of rows
(u32); for each row the number of its grams (u16) and their CRC-32 in ascending order (u32 each).
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
import struct
import sys
import unicodedata
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import chain
from pathlib import Path

from guard import rows

HERE = Path(__file__).resolve().parent.parent
SHINGLES = HERE / "eval_shingles.bin"
WRITTEN = HERE / "authored"
MAGIC = b"BKSHING1"
LIMIT = (7, 10)  # 0.7, in whole numbers
MOST_GRAMS = 0xFFFF

_OTHER = re.compile(r"[^\w\s]|_")


@cache
def _other(character: str) -> str:
    """Punctuation parts words, but for the apostrophe; a symbol is a word, since an emoji can turn a sentence round."""
    kind = unicodedata.category(character)[0]
    if kind == "P" and character not in "'\u2019":
        return " "
    return f" {character} " if kind == "S" else ""


def words(text: str) -> list[str]:
    plain = unicodedata.normalize("NFKC", text).lower()
    return _OTHER.sub(lambda match: _other(match[0]), plain).split()


def grams(text: str) -> frozenset[int]:
    """Never empty: what has no words at all is one gram as it is."""
    found = words(text) or [text.strip()]
    if len(found) < 3:
        return frozenset((zlib.crc32("\n".join(found).encode()),))
    threes = zip(found, found[1:], found[2:], strict=False)
    return frozenset(zlib.crc32("\n".join(three).encode()) for three in threes)


@dataclass(frozen=True)
class Close:
    likeness: float  # Jaccard index
    where: str  # "set:number", numbers from 1


class Index:
    """Which evaluation rows have a gram."""

    def __init__(self, sets: Iterable[tuple[str, list[frozenset[int]]]]) -> None:
        self.names: list[str] = []
        self.counts: list[int] = []
        self.having: dict[int, list[int]] = defaultdict(list)
        for name, members in sets:
            for number, found in enumerate(members, 1):
                for gram in found:
                    self.having[gram].append(len(self.names))
                self.names.append(f"{name}:{number}")
                self.counts.append(len(found))

    def close(self, text: str) -> Close | None:
        """The evaluation row most like the text, when it is too much like it."""
        found = grams(text)
        shared = Counter(row for gram in found if gram in self.having for row in self.having[gram])
        best: Close | None = None
        for row, both in shared.items():
            either = len(found) + self.counts[row] - both
            if both * LIMIT[1] >= either * LIMIT[0] and (best is None or both / either > best.likeness):
                best = Close(both / either, self.names[row])
        return best


def pack(sets: Iterable[tuple[str, list[frozenset[int]]]]) -> bytes:
    out = bytearray(MAGIC)
    for name, members in sets:
        out += struct.pack("<B", len(name)) + name.encode("ascii") + struct.pack("<I", len(members))
        for found in members:
            if len(found) > MOST_GRAMS:
                raise ValueError(f"{name}: a row of {len(found)} grams")
            out += struct.pack(f"<H{len(found)}I", len(found), *sorted(found))
    return bytes(out)


def unpack(data: bytes) -> Iterator[tuple[str, list[frozenset[int]]]]:
    if not data.startswith(MAGIC):
        raise ValueError("not a file of shingles")
    at = len(MAGIC)
    while at < len(data):
        length = data[at]
        name = data[at + 1 : at + 1 + length].decode("ascii")
        at += 1 + length
        (count,) = struct.unpack_from("<I", data, at)
        at += 4
        members = []
        for _ in range(count):
            (size,) = struct.unpack_from("<H", data, at)
            members.append(frozenset(struct.unpack_from(f"<{size}I", data, at + 2)))
            at += 2 + 4 * size
        yield name, members


def load(path: Path = SHINGLES) -> Index:
    return Index(unpack(path.read_bytes()))


def evaluation(folder: Path) -> Iterator[tuple[str, list[frozenset[int]]]]:
    for path in sorted(folder.glob("*.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            yield path.name.removesuffix(".jsonl.gz"), [grams(json.loads(line)["text"]) for line in lines]


@dataclass(frozen=True)
class Text:
    id: str
    text: str


def own(folder: Path = WRITTEN) -> Iterator[Text]:
    """Texts and prompts of every file, also of one that no training reads yet."""
    for path in sorted(folder.glob("*.tsv")):
        for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
            for text in line.split("\t")[4:]:
                yield Text(f"{path.name}:{number}", text.replace("\\n", "\n"))


def published(folder: Path) -> Iterator[Text]:
    paths = sorted(folder.glob("*.jsonl.gz"))
    if not paths:
        raise FileNotFoundError(f"{folder}: no *.jsonl.gz")
    for path in paths:
        for row in rows.published(path):
            yield Text(row.id, row.text)
            if row.prompt:
                yield Text(row.id, row.prompt)


def too_close(index: Index, texts: Iterable[Text]) -> Iterator[str]:
    """A line for each."""
    for text in texts:
        close = index.close(text.text)
        if close is not None:
            yield f"{text.id}: {close.likeness:.2f} of {close.where}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--make", type=Path, help="folder of evaluation sets")
    parser.add_argument("--rows", type=Path, help="folder of the published sets")
    arguments = parser.parse_args()
    if arguments.make is not None:
        made = list(evaluation(arguments.make))
        if not made:
            parser.error(f"{arguments.make}: no *.jsonl.gz")
        SHINGLES.write_bytes(pack(made))
        return 0
    texts = own() if arguments.rows is None else chain(own(), published(arguments.rows))
    count = 0
    for line in too_close(load(), texts):
        print(line)
        count += 1
    print(f"{count} too close", file=sys.stderr)
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main())
