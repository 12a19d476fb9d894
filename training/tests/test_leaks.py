# SPDX-License-Identifier: Apache-2.0
"""What is trained on is not what is measured on. BUCKLER_TRAIN_ROWS names the folder of the published sets; without it
our own rows alone are looked at."""

from __future__ import annotations

import gzip
import json
import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from guard import leaks

EVALUATION = {"hatecheck": 3728, "jailbreakbench_behaviors": 100, "simple_safety_tests": 80, "xstest": 450}
SENTENCE = "The old miller walked slowly along the river bank before anybody else was awake"


def index_of(*texts: str) -> leaks.Index:
    return leaks.Index([("made", [leaks.grams(text) for text in texts])])


def test_every_evaluation_set_is_in_the_shingles() -> None:
    sets = {name: len(members) for name, members in leaks.unpack(leaks.SHINGLES.read_bytes())}
    assert sets == EVALUATION
    assert leaks.SHINGLES.stat().st_size < 300_000


def test_no_row_of_our_own_is_close_to_an_evaluation_row() -> None:
    assert len({text.id for text in leaks.own()}) > 5000
    assert list(leaks.too_close(leaks.load(), leaks.own())) == []


@pytest.mark.skipif("BUCKLER_TRAIN_ROWS" not in os.environ, reason="the published sets are not in the repository")
def test_no_published_row_is_close_to_an_evaluation_row() -> None:
    published = leaks.published(Path(os.environ["BUCKLER_TRAIN_ROWS"]))
    assert list(leaks.too_close(leaks.load(), published)) == []


def test_finds_the_same_row_in_other_case_and_punctuation() -> None:
    close = index_of("something else entirely, on its own", SENTENCE).close(f"«{SENTENCE.upper()}!!!»")
    assert close == leaks.Close(1.0, "made:2")


def test_finds_a_row_with_a_word_more() -> None:
    close = index_of(SENTENCE).close(f"Well, {SENTENCE}")
    assert close is not None and close.likeness == 12 / 13


def test_limit_is_seven_tenths() -> None:
    seven = " ".join("abcdefghi")  # 7 grams
    assert index_of(seven).close(f"{seven} j k l") == leaks.Close(0.7, "made:1")
    assert index_of(seven).close(f"{seven} j k l m") is None


def test_finds_an_evaluation_row_as_text_and_as_prompt_of_our_own(tmp_path: Path) -> None:
    lines = (f"-\tuser\ten\tquestion\t{SENTENCE}", "", f"-\tassistant\ten\treply\tI would rather not.\t{SENTENCE}")
    (tmp_path / "made.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    found = list(leaks.too_close(index_of(SENTENCE), leaks.own(tmp_path)))
    assert found == ["made.tsv:1: 1.00 of made:1", "made.tsv:3: 1.00 of made:1"]


def test_finds_an_evaluation_row_among_published_ones(tmp_path: Path) -> None:
    row = {"id": "p7", "text": SENTENCE, "role": "user", "labels": {}, "unsafe": 0, "lang": "en", "source": "made"}
    with gzip.open(tmp_path / "made.jsonl.gz", "wt", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")
    assert list(leaks.too_close(index_of(SENTENCE), leaks.published(tmp_path))) == ["p7: 1.00 of made:1"]


def test_refuses_a_folder_without_sets(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no "):
        list(leaks.published(tmp_path))


def test_short_rows_are_close_only_to_themselves() -> None:
    index = index_of("Good morning", "Good morning everyone here")
    assert index.close("good morning!") == leaks.Close(1.0, "made:1")
    assert index.close("morning good") is None
    assert index.close("Good") is None
    assert index.close("Good morning everyone") is None


def test_an_emoji_makes_another_row() -> None:
    assert index_of("I love my neighbours.").close("I love my neighbours \N{FACE WITH ROLLING EYES}") is None


def test_unpack_gives_what_was_packed() -> None:
    sets = [("one", [leaks.grams(SENTENCE), leaks.grams("")]), ("two", [])]
    assert list(leaks.unpack(leaks.pack(sets))) == sets


def test_refuses_another_file() -> None:
    with pytest.raises(ValueError, match="not a file of shingles"):
        list(leaks.unpack(b"GGUF\3\0\0\0"))
