"""What was written for the bundled tasks: enough, balanced, right where a program can tell, and nobody else's."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from playground.evaluate.bundled import include_path
from playground.texts import overlap
from playground.texts.calibration import bundled as calibration
from scripts import make_bundled_math

ROOT = Path(__file__).parents[2]
NAMES = ("reading", "math", "math_few_shot", "facts", "cloze")
STEP = re.compile(r"(\d+) ([-+*/]) (\d+) = (\d+)")


def rows(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (include_path() / f"data/{name}.jsonl").read_text().splitlines()]


def texts() -> list[tuple[str, str]]:
    """(id, what is asked) of everything."""
    return [
        *((row["id"], row["story"]) for row in rows("reading")),
        *((row["id"], row["question"]) for name in ("math", "math_few_shot", "facts") for row in rows(name)),
        *((row["id"], row["text"]) for row in rows("cloze")),
    ]


def test_ids_are_unique_and_no_data_lies_unused() -> None:
    ids = [row["id"] for name in NAMES for row in rows(name)]
    assert len(set(ids)) == len(ids)
    assert {path.stem for path in (include_path() / "data").iterdir()} == set(NAMES)


def test_nothing_is_asked_twice() -> None:
    asked = Counter(text for _, text in texts())
    assert [text for text, n in asked.items() if n > 1] == []


def test_passages_have_conversations_with_short_answers() -> None:
    passages = rows("reading")
    assert len(passages) >= 25 and sum(len(one["turns"]) for one in passages) >= 100
    for one in passages:
        assert set(one) == {"id", "story", "turns"}
        assert 80 <= len(one["story"].split()) <= 130, one["id"]
        for turn in one["turns"]:
            assert set(turn) == {"question", "answers"} and turn["question"].endswith("?")
            assert 1 <= len({answer.lower() for answer in turn["answers"]}) == len(turn["answers"]) <= 2
            assert all(0 < len(answer.split()) <= 9 and "\n" not in answer for answer in turn["answers"])
    several = sum(len(turn["answers"]) > 1 for one in passages for turn in one["turns"])
    assert several >= 60


def test_answers_are_in_their_passage() -> None:
    """All words of one accepted answer, but for the three that the passage says in other words."""
    reworded = {"reading-violin-1", "reading-train-driver-6", "reading-accordion-6"}
    astray = set()
    for one in rows("reading"):
        words = set(re.findall(r"\w+", one["story"].lower()))
        for at, turn in enumerate(one["turns"], 1):
            if not any(set(re.findall(r"\w+", answer.lower())) <= words for answer in turn["answers"]):
                astray.add(f"{one['id']}-{at}")
    assert astray == reworded


def test_choices_are_four_and_the_right_one_is_everywhere_as_often() -> None:
    found = rows("facts")
    assert len(found) >= 200
    for row in found:
        assert set(row) == {"id", "topic", "question", "choices", "answer"}
        assert len(set(row["choices"])) == 4, row["id"]
    assert Counter(row["answer"] for row in found) == dict.fromkeys(range(4), len(found) // 4)
    assert len(set(Counter(row["topic"] for row in found).values())) == 1
    for at in range(0, len(found), 24):  # a limit takes the first: they are a mixture too
        assert len({row["topic"] for row in found[at : at + 24]}) == 8


def test_a_passage_ends_with_a_bare_word() -> None:
    found = rows("cloze")
    assert len(found) >= 100
    for row in found:
        assert set(row) == {"id", "text"}
        words = row["text"].split(" ")
        assert 40 <= len(words) <= 80 and words[-1].isalpha() and "" not in words, row["id"]
    last = Counter(row["text"].split(" ")[-1] for row in found)
    assert max(last.values()) <= 2, "no word is worth guessing blindly"


@pytest.mark.parametrize("name", ["math", "math_few_shot"])
def test_every_sum_is_right(name: str) -> None:
    """By another way than the one that made them."""
    apply = {"+": int.__add__, "-": int.__sub__, "*": int.__mul__, "/": int.__floordiv__}
    for row in rows(name):
        *sentences, last = row["answer"].split("\n")
        assert len(sentences) == row["steps"]
        known = set(re.findall(r"\d+", row["question"]))
        for sentence in sentences:
            a, operator, b, result = STEP.search(sentence).groups()  # type: ignore[union-attr]
            assert {a, b} <= known, f"{row['id']}: {sentence} uses what nobody said"
            assert apply[operator](int(a), int(b)) == int(result), row["id"]
            assert operator != "/" or int(result) * int(b) == int(a), row["id"]
            known.add(result)
        assert last == f"#### {result}"


def test_problems_are_easy_and_hard_and_of_many_kinds() -> None:
    found, examples = rows("math"), rows("math_few_shot")
    assert len(found) >= 200 and len(examples) >= 8  # GSM8K's own five, and a few more
    steps = Counter(row["steps"] for row in found)
    assert set(steps) == {1, 2, 3} and min(steps.values()) >= 30
    kinds = Counter(row["template"] for row in found)
    assert len(kinds) >= 50 and set(kinds.values()) == {make_bundled_math.EACH}
    assert not set(kinds) & {row["template"] for row in examples}
    assert not any("{" in row["question"] + row["answer"] for row in found)


def test_the_same_seed_writes_the_same_files_and_another_seed_others() -> None:
    for name, made in make_bundled_math.make().items():
        assert make_bundled_math.written(made) == (include_path() / "data" / name).read_text()
    other = make_bundled_math.make(seed=make_bundled_math.SEED + 1)["math.jsonl"]
    same = {row["question"] for row in other} & {row["question"] for row in rows("math")}
    assert len(same) < len(other) / 10


def shared(others: list[str]) -> list[tuple[str, str]]:
    own = texts()
    return [(own[pair.calibration][0], pair.words) for pair in overlap((text for _, text in own), others)]


def test_no_run_of_words_is_in_the_calibration_text() -> None:
    assert shared([one.plain for one in calibration()]) == []


def test_no_problem_is_from_gsm8k() -> None:
    places = [ROOT.parent / "shared/data", *map(Path, filter(None, [os.environ.get("PLAYGROUND_DATASETS")]))]
    files = [file for place in places for file in sorted((place / "gsm8k").glob("*.jsonl"))]
    if not files:
        pytest.skip("GSM8K is not on this machine; put it below PLAYGROUND_DATASETS")
    problems = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    assert shared([f"{one['question']}\n{one['answer']}" for one in problems]) == []
