"""Items: what is written is what is read, bit by bit; what is no item is refused by line."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from playground.errors import EvaluationError
from playground.evaluate import items
from playground.evaluate.items import Item, TrustWarning

ITEM = Item(7, "d7", "p7", "story-2", "Q: two?\nA:", "2", " 2\u2028", "2", 1.0, False, (-0.1, -2.5))
texts = st.text(st.characters(exclude_categories=["Cs"]))


@given(
    answer=texts,
    score=st.floats(allow_nan=False),
    likelihoods=st.none() | st.tuples(st.floats(allow_nan=False)),
    cut_prompt=st.sampled_from([None, (966, 160)]),
)
def test_a_line_is_one_line_and_comes_back_as_it_was(
    answer: str, score: float, likelihoods: tuple[float] | None, cut_prompt: tuple[int, int] | None
) -> None:
    item = replace(ITEM, answer=answer, score=score, loglikelihoods=likelihoods, cut_prompt=cut_prompt)
    written = items.line(item)
    assert "\n" not in written
    assert items.parse(written) == item


def test_a_line_of_an_older_version_is_read() -> None:
    written = json.loads(items.line(ITEM))
    del written["cut_prompt"]
    assert items.parse(json.dumps(written)) == ITEM


def test_a_file_holds_one_item_a_line_whatever_the_answers_hold(tmp_path: Path) -> None:
    path = tmp_path / "0.jsonl"
    asked = [replace(ITEM, doc_id=n, answer=f"{n}\r\u2028\x85") for n in range(3)]
    items.write(path, asked)
    assert path.read_bytes().count(b"\n") == 3
    assert items.read(path) == asked


@pytest.mark.parametrize(
    "second", ['{"doc_id": 1', "[]", '{"doc_id": 1}', items.line(ITEM).replace('"gold"', '"golden"')]
)
def test_a_line_that_is_no_item_is_named(tmp_path: Path, second: str) -> None:
    path = tmp_path / "0.jsonl"
    path.write_text(f"{items.line(ITEM)}\n{second}\n")
    with pytest.raises(EvaluationError, match="Line 2 of"):
        items.read(path)


def test_a_warning_without_a_task_concerns_all_tasks_of_its_variants() -> None:
    warned = TrustWarning("same-weights", "…", ("m:a", "m:b"))
    assert warned.concerns("m:a", "gsm8k") and warned.concerns("m:b", "coqa")
    assert not warned.concerns("m", "gsm8k")
    assert not TrustWarning("chance", "…", ("m:a",), "coqa").concerns("m:a", "gsm8k")
