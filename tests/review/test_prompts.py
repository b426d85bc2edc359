"""Prompt sets: the bundled one is apart from all other text; others are read as they were written, or refused."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from playground.errors import InvalidRequest
from playground.evaluate.bundled import documents
from playground.review import make
from playground.texts import overlap, prose
from playground.texts.calibration import bundled as bundled_calibration


def test_the_bundled_prompts_are_many_short_and_of_several_kinds() -> None:
    rows = make.bundled_rows()
    found = make.bundled()
    assert len(found.prompts) == len(set(found.prompts)) == len(rows) >= 40
    assert len({row["id"] for row in rows}) == len(rows)
    assert len(Counter(row["kind"] for row in rows)) >= 6
    assert max(map(len, found.prompts)) < 250
    assert {row["kind"] for row in rows[:8]} == {row["kind"] for row in rows}, "a beginning is as mixed as the whole"
    assert Counter(row["kind"] for row in rows if row["prompt"] in found.first(16).prompts).most_common()[-1][1] >= 1


def test_they_are_neither_calibration_nor_evaluation_text() -> None:
    own = make.bundled().prompts
    data = sorted((Path(documents.__file__).parent / "data").glob("*.jsonl"))
    others = [sample.plain for sample in bundled_calibration()] + [sample.plain for sample in prose.bundled()]
    others += [text for path in data for line in path.read_text().splitlines() for text in _strings(json.loads(line))]
    assert len(data) >= 4 and len(others) > 500
    assert [(own[pair.evaluation], pair.words) for pair in overlap(others, own)] == []
    assert overlap([own[0]], own), "the check finds what is there"


def _strings(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for one in inside for text in _strings(one)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("one\ntwo\r\nthree", ("one", "two", "three")),
        ("one\nmore of one\n\n\ntwo\n", ("one\nmore of one", "two")),
        (" one \none\n", ("one",)),
    ],
)
def test_pasted(text: str, expected: tuple[str, ...]) -> None:
    assert make.pasted(text).prompts == expected


def test_rows_of_a_file() -> None:
    rows = [
        {"prompt": "a"},
        {"question": "b"},
        "c",
        {"messages": [{"role": "system", "content": "x"}, {"role": "user", "content": "d"}]},
    ]
    found = make.read("x.jsonl", "\n".join(map(json.dumps, rows)).encode())
    assert found.prompts == ("a", "b", "c", "d") and found.name == "x.jsonl" and len(found.hash) == 64
    assert make.read("x.txt", b"\xef\xbb\xbfa\nb").prompts == ("a", "b")


@pytest.mark.parametrize(
    ("name", "data", "match"),
    [
        ("x.jsonl", b"{", "Line 1 is not JSON"),
        ("x.jsonl", b'{"prompt": "a"}\n{"answer": "b"}', "Line 2 has no prompt"),
        ("x.jsonl", b"[" * 100_000, "Line 1 is not JSON"),
        ("x.txt", b"\xff\xfe", "not text in UTF-8"),
        ("x.py", b"a", "not a file of prompts"),
        ("x.txt", b" \n", "at least one prompt"),
        ("x.txt", b"a" * (make.MAX_BYTES + 1), "MiB"),
        ("x.txt", b"a" * (make.MAX_CHARACTERS + 1), "characters"),
        ("x.txt", "\n".join(map(str, range(make.MAX_PROMPTS + 1))).encode(), "too many"),
    ],
)
def test_what_is_no_set_is_refused(name: str, data: bytes, match: str) -> None:
    with pytest.raises(InvalidRequest, match=match):
        make.read(name, data)


def test_a_source_of_the_command_line(tmp_path: Path) -> None:
    assert make.load("bundled") == make.bundled()
    (tmp_path / "mine.txt").write_text("a\nb")
    assert make.load(str(tmp_path / "mine.txt")).prompts == ("a", "b")
    with pytest.raises(InvalidRequest, match="no file"):
        make.load(str(tmp_path / "other.txt"))
