#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The shipped guard gives exactly the scores that were stored when it was last changed.

    test_guard_scores.py             real daemon, default policy, every row of guard_sample.jsonl
    test_guard_scores.py --update    rewrites guard_scores.json, after a new guard; read the difference

Scores are parts per million as replies carry them. A row's `expect` names categories of which at least one should reach
one half, or none at all; where the guard sees it otherwise, guard_scores.json says so, so that a change of that is read.
"""

from __future__ import annotations

import json
import random
import sys
import unittest
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))

from harness import SOURCE, Client, Daemon, Reply

HERE = Path(__file__).resolve().parent
SAMPLE = HERE / "guard_sample.jsonl"
STORED = HERE / "guard_scores.json"
CLASSIFIER = "guard"  # its name in the default policy; lists are tested elsewhere
HALF = 500_000
SCOPES = {"user": "prompt", "assistant": "response", "post": "upload"}

CONFIG = """\
schema: buckler.config/1
policies: {{ files: [{policies}/default.yaml], default: default }}
models: {{ data: {data} }}
engine: {{ threads: {threads} }}
"""

Row = dict[str, Any]
Scores = dict[str, int]


def sample() -> list[Row]:
    return [json.loads(line) for line in SAMPLE.read_text(encoding="utf-8").splitlines()]


def request(row: Row) -> tuple[Row, list[bytes]]:
    role = "assistant" if row["role"] == "assistant" else "user"
    parts: list[Row] = [{"kind": "text", "role": role}]
    frames = [row["text"].encode()]
    if "prompt" in row:
        parts.insert(0, {"kind": "text", "role": "user", "judge": False})
        frames.insert(0, row["prompt"].encode())
    header = {"op": "classify", "id": row["id"], "scope": SCOPES[row["role"]], "parts": parts}
    return header | {"deadline_ms": 600_000}, frames


def judge(rows: list[Row], threads: int) -> dict[str, Reply]:
    """All rows in flight at once, sent in this order, by a daemon of its own."""
    config = CONFIG.format(policies=SOURCE / "policies/builtin", data=SOURCE / "models", threads=threads)
    replies: dict[str, Reply] = {}
    with Daemon(config) as daemon, Client(daemon.endpoint) as client:
        for row in rows:
            header, frames = request(row)
            client.send(header, *frames)
        for _ in rows:
            reply = client.receive()
            assert reply is not None, f"only {len(replies)} of {len(rows)} replies: {daemon.messages()}"
            assert reply["status"] == 200 and reply["coverage"]["complete"], reply
            replies[reply["id"]] = reply
    return replies


def scores(reply: Reply) -> Scores:
    own = [s for s in reply["scores"] if s["classifier"] == CLASSIFIER]
    assert own and all(s["state"] == "executed" for s in own), reply
    return {s["category"]: round(s["score"] * 1_000_000) for s in own}


def as_expected(row: Row, found: Scores) -> bool:
    if row["expect"]:
        return any(found[category] >= HALF for category in row["expect"])
    return all(score < HALF for score in found.values())


def summary(rows: list[Row], replies: dict[str, Reply]) -> dict[str, Any]:
    found = {row["id"]: scores(replies[row["id"]]) for row in rows}
    against = [row["id"] for row in rows if not as_expected(row, found[row["id"]])]
    return {"against_expectation": against, "scores": found}


def same_for_any_company(rows: list[Row]) -> tuple[dict[str, Reply], list[str]]:
    """Replies in the order of the file with one thread, and the rows whose reply is not the same bytes in another
    order with two. Only the number of the audit record may differ."""
    shuffled = rows.copy()
    random.Random(5).shuffle(shuffled)
    one, two = judge(rows, 1), judge(shuffled, 2)
    for reply in (*one.values(), *two.values()):
        del reply["audit"]
    differ = [row["id"] for row in rows if json.dumps(one[row["id"]]) != json.dumps(two[row["id"]])]
    return one, differ


def differences(stored: dict[str, Scores], found: dict[str, Scores]) -> list[str]:
    lines = []
    for name in sorted(stored.keys() | found.keys()):
        old, new = stored.get(name, {}), found.get(name, {})
        changed = [
            f"{category} {old.get(category, 'not stored')} -> {new.get(category, 'not scored')}"
            for category in sorted(old.keys() | new.keys())
            if old.get(category) != new.get(category)
        ]
        if changed:
            lines.append(f"{name}: {', '.join(changed)}")
    return lines


class GuardScores(unittest.TestCase):
    rows: list[Row]
    replies: dict[str, Reply]
    differ: list[str]

    @classmethod
    def setUpClass(cls) -> None:
        cls.rows = sample()
        cls.replies, cls.differ = same_for_any_company(cls.rows)

    def test_scores_are_those_stored(self) -> None:
        stored = json.loads(STORED.read_text(encoding="utf-8"))
        found = summary(self.rows, self.replies)
        lines = differences(stored["scores"], found["scores"])
        self.assertEqual(lines, [], "after a change of the guard: --update\n" + "\n".join(lines))
        self.assertEqual(stored["against_expectation"], found["against_expectation"])

    def test_order_and_threads_change_no_byte_of_a_reply(self) -> None:
        self.assertEqual(self.differ, [])

    def test_sample_has_no_row_twice(self) -> None:
        for key in ("id", "text"):
            self.assertEqual(len({row[key] for row in self.rows}), len(self.rows))


def update() -> int:
    rows = sample()
    replies, differ = same_for_any_company(rows)
    if differ:
        print(f"not stored, order or threads change: {', '.join(differ)}", file=sys.stderr)
        return 1
    found = summary(rows, replies)
    lines = ",\n".join(f'"{name}": {json.dumps(scores)}' for name, scores in found["scores"].items())
    against = json.dumps(found["against_expectation"])
    text = f'{{"against_expectation": {against},\n"scores": {{\n{lines}\n}}}}\n'
    STORED.write_text(text, encoding="utf-8")
    print(f"{len(rows)} rows stored; against expectation: {against}")
    return 0


if __name__ == "__main__":
    if sys.argv[1:] == ["--update"]:
        sys.exit(update())
    unittest.main()
