# SPDX-License-Identifier: Apache-2.0
"""The vectors that every client must pass."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from buckler import Part, ProtocolError
from buckler._wire import decode, encode

VECTORS = json.loads(
    (Path(__file__).parents[2] / "conformance" / "vectors.json").read_text(encoding="utf-8")
)


def frame(raw: dict[str, Any]) -> bytes:
    text: str | None = raw.get("text")
    return text.encode() if text is not None else bytes.fromhex(raw["hex"])


def part(raw: dict[str, Any]) -> Part:
    fields = {key: raw[key] for key in ("mime", "lang", "role", "judge") if key in raw}
    return Part(raw["kind"], frame(raw), **fields)


def by_name(vectors: list[dict[str, Any]]) -> list[Any]:
    return [pytest.param(vector, id=vector["name"]) for vector in vectors]


@pytest.mark.parametrize("vector", by_name(VECTORS["requests"]))
def test_a_request_becomes_exactly_these_frames(vector: dict[str, Any]) -> None:
    call = dict(vector["call"])
    call["parts"] = [part(raw) for raw in call["parts"]]
    if "class" in call:
        call["class_"] = call.pop("class")
    assert encode(call.pop("op"), call.pop("id"), **call) == [frame(f) for f in vector["frames"]]


@pytest.mark.parametrize("vector", by_name(VECTORS["replies"]))
def test_a_reply_is_understood_or_refused(vector: dict[str, Any]) -> None:
    frames = [frame(raw) for raw in vector["frames"]]
    if vector.get("error") == "protocol":
        with pytest.raises(ProtocolError):
            decode(frames)
        return
    verdict = decode(frames)
    special = {"score_count": len(verdict.scores), "part_count": len(verdict.redacted)}
    for key, value in vector["expect"].items():
        assert special.get(key, getattr(verdict, key, None)) == value, key


def test_there_are_vectors() -> None:
    assert len(VECTORS["requests"]) + len(VECTORS["replies"]) >= 40
    assert len(VECTORS["exchanges"]) >= 30
