# SPDX-License-Identifier: Apache-2.0
"""Frames on one side, dataclasses on the other. Knows no sockets. Written from PROTOCOL.md."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ._errors import InvalidRequestError, ProtocolError

MAX_PARTS = 8
MAX_PART_BYTES = 20 << 20
MAX_TOTAL_BYTES = 32 << 20
MAX_HEADER_BYTES = 16384


@dataclass(frozen=True)
class Part:
    """One piece of content; ``judge=False`` makes it context for the others."""

    kind: str
    data: bytes | str
    mime: str | None = None
    lang: str | None = None
    role: str | None = None
    judge: bool = True

    def bytes(self) -> bytes:
        return self.data.encode() if isinstance(self.data, str) else self.data


@dataclass(frozen=True)
class Score:
    """One score of a category; ``score`` is None when it was not computed."""

    category: str
    score: float | None
    part: int | None = None
    classifier: str = ""
    state: str = ""


@dataclass(frozen=True)
class Verdict:
    """A reply. ``verdict`` is "allow" or "deny"; ``action`` is finer."""

    id: str
    status: int
    verdict: str
    action: str = ""
    moderated: bool = False
    code: str = ""
    detail: str = ""
    policy: str = ""
    scores: tuple[Score, ...] = ()
    flags: tuple[str, ...] = ()
    rule: str = ""
    audit_index: int | None = None
    retry_after_ms: int | None = None
    redacted: tuple[bytes, ...] = ()
    raw: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def allowed(self) -> bool:
        return self.verdict == "allow"


def make_parts(text: str | None, image: bytes | None, parts: Iterable[Part] | None) -> list[Part]:
    """The parts of a call: text, then image, then what the caller listed."""
    made = [Part("text", text)] if text is not None else []
    if image is not None:
        made.append(Part("image", image))
    made.extend(parts or ())
    if not 1 <= len(made) <= MAX_PARTS:
        raise InvalidRequestError(f"a request has 1 to {MAX_PARTS} parts, not {len(made)}")
    return made


def _part_header(part: Part) -> dict[str, Any]:
    header: dict[str, Any] = {"kind": part.kind}
    for key in ("mime", "lang", "role"):
        value = getattr(part, key)
        if value is not None:
            header[key] = value
    if not part.judge:
        header["judge"] = False
    return header


def encode(
    op: str,
    request_id: str,
    *,
    parts: Sequence[Part] = (),
    policy: str | None = None,
    scope: str | None = None,
    deadline_ms: int | None = None,
    class_: str | None = None,
    subject: str | None = None,
    idem: str | None = None,
    traceparent: str | None = None,
    want: Sequence[str] | None = None,
    target: str | None = None,
) -> list[bytes]:
    """All frames of a request; keys in the order of PROTOCOL.md and only when given."""
    header: dict[str, Any] = {"op": op, "id": request_id}
    payloads = [part.bytes() for part in parts]
    fields: list[tuple[str, Any]] = [
        ("policy", policy),
        ("scope", scope),
        ("parts", [_part_header(part) for part in parts] or None),
        ("deadline_ms", deadline_ms),
        ("class", class_),
        ("subject", subject),
        ("idem", idem),
        ("traceparent", traceparent),
        ("want", list(want) if want is not None else None),
        ("target", target),
    ]
    header.update((key, value) for key, value in fields if value is not None)
    if any(len(payload) > MAX_PART_BYTES for payload in payloads):
        raise InvalidRequestError(f"a part has more than {MAX_PART_BYTES} bytes")
    if sum(map(len, payloads)) > MAX_TOTAL_BYTES:
        raise InvalidRequestError(f"the parts have more than {MAX_TOTAL_BYTES} bytes in all")
    try:
        first = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    except (TypeError, ValueError) as error:
        raise InvalidRequestError(f"the request cannot be written as JSON: {error}") from error
    if len(first) > MAX_HEADER_BYTES:
        raise InvalidRequestError(f"the header has more than {MAX_HEADER_BYTES} bytes")
    return [first, *payloads]


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a key stands twice")
    return made


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _text(raw: dict[str, Any], key: str) -> str:
    value = raw.get(key)
    return value if isinstance(value, str) else ""


def _integer(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _score(raw: dict[str, Any]) -> Score:
    value = raw.get("score")
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return Score(
        category=_text(raw, "category"),
        score=float(value) if number and value is not None else None,
        part=_integer(raw.get("part")),
        classifier=_text(raw, "classifier"),
        state=_text(raw, "state"),
    )


def decode(frames: Sequence[bytes]) -> Verdict:
    """A reply from its frames; ProtocolError for anything that no daemon sends."""
    if not frames:
        raise ProtocolError("a reply has no frame")
    try:
        raw = json.loads(
            frames[0].decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant
        )
    except (ValueError, RecursionError) as error:
        raise ProtocolError("a reply is not JSON") from error
    if not isinstance(raw, dict):
        raise ProtocolError("a reply is not a JSON object")
    status = _integer(raw.get("status"))
    if status is None or not 100 <= status <= 599:
        raise ProtocolError("a reply has no status")
    if not isinstance(raw.get("id"), str):
        raise ProtocolError("a reply has no id")
    # A missing or odd verdict must never pass for one of the two.
    if raw.get("verdict") not in ("allow", "deny"):
        raise ProtocolError("a reply has no verdict")
    return Verdict(
        id=raw["id"],
        status=status,
        verdict=raw["verdict"],
        action=_text(raw, "action"),
        moderated=raw.get("moderated") is True,
        code=_text(raw, "code"),
        detail=_text(raw, "detail"),
        policy=_text(raw, "policy"),
        scores=tuple(
            _score(score) for score in _list(raw.get("scores")) if isinstance(score, dict)
        ),
        flags=tuple(flag for flag in _list(raw.get("flags")) if isinstance(flag, str)),
        rule=_text(_dict(raw.get("decided_by")), "rule"),
        audit_index=_integer(_dict(raw.get("audit")).get("index")),
        retry_after_ms=_integer(raw.get("retry_after_ms")),
        redacted=tuple(frames[1:]),
        raw=raw,
    )
