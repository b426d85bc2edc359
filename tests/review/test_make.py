"""Reviews are made from prompts and stored comparisons; what could unblind or cannot be voted on is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from playground.errors import InvalidRequest, UnknownReview
from playground.review import make
from playground.review.make import PromptAnswers, Terms
from playground.store import reviews, runs
from playground.store.schema import Run
from tests.fakes.review import VARIANTS, answered, comparison, invited, review


def test_comparisons_become_items_with_their_texts_frozen(home: Path) -> None:
    ids = [comparison(f"Question {n}?", [f"one {n}", f"two {n}"]).id for n in range(3)]
    found = make.from_runs(Terms(invitations=("Anna",)), [*ids, ids[0]], "mine")
    items = reviews.items(found.id)
    assert [(item.prompt, item.first_text, item.second_text) for item in items] == [
        (f"Question {n}?", f"one {n}", f"two {n}") for n in range(3)
    ]
    assert [row["label"] for row in found.variants] == ["BF16", "nf4"]
    assert found.settings["runs"] == ids and found.settings["sampling"] == {"max_tokens": 64}
    assert len(found.id) == 32 and len(invited(found)[0].key) == 32 and found.key is None


def test_runs_that_are_no_comparisons_or_hold_other_weights_are_refused(home: Path) -> None:
    terms = Terms(invitations=("Anna",))
    with pytest.raises(InvalidRequest, match="kind bench"):
        make.from_runs(terms, [comparison("Q?", ["a", "b"], kind="bench").id])
    made = []
    for digest in ("x", "y", None):
        row = comparison("Q?", ["a", "b"]).as_row()
        weights = [{**VARIANTS[0], "content_hash": digest}, VARIANTS[1]]
        made.append(Run(**{**row, "id": runs.new_id(), "variants": weights}))
        runs.add(made[-1])
    with pytest.raises(InvalidRequest, match="weights of BF16"):
        make.from_runs(terms, [made[0].id, made[1].id])
    assert make.from_runs(terms, [made[0].id, made[2].id]), "of weights that nobody has read nothing is known"


def test_what_was_stopped_or_asked_otherwise_is_no_answer(home: Path) -> None:
    whole = comparison("Q?", ["a", "b"])
    for more in ({"finish_reason": "abort"}, {"error": {"message": "no"}}, {"prompt": {"text": "Another?"}}):
        panes = [whole.result["panes"][0], whole.result["panes"][1] | more]
        run = Run(**{**whole.as_row(), "id": runs.new_id(), "result": {**whole.result, "panes": panes}})
        runs.add(run)
        with pytest.raises(InvalidRequest, match="no prompt that two variants"):
            make.from_runs(Terms(invitations=("Anna",)), [run.id])
        found = make.from_runs(Terms(invitations=("Anna",)), [whole.id, run.id])
        assert found.settings["failed"] == 1 and len(reviews.items(found.id)) == 1


def test_one_variant_on_two_engines_has_two_names(home: Path) -> None:
    run = comparison("Q?", ["a", "b"])
    twice = [VARIANTS[0], {**VARIANTS[0], "engine": "vllm"}]
    panes = [{**run.result["panes"][0]}, {**run.result["panes"][0], "engine": "vllm", "text": "b"}]
    other = Run(**{**run.as_row(), "id": runs.new_id(), "variants": twice, "result": {**run.result, "panes": panes}})
    runs.add(other)
    found = make.from_runs(Terms(invitations=("Anna",)), [other.id])
    assert [row["label"] for row in found.variants] == ["BF16 on transformers", "BF16 on vllm"]


def test_same_and_missing_answers_are_not_voted_on(home: Path) -> None:
    rows = [PromptAnswers("a", ("x", "x \n")), PromptAnswers("b", ("x", None)), PromptAnswers("c", ("x", "y"))]
    found = review(answers=rows)
    assert [item.prompt for item in reviews.items(found.id)] == ["c"]
    assert found.settings["same"] == [[0, 1, 0]] and found.settings["failed"] == 1 and found.settings["prompts"] == 3
    with pytest.raises(InvalidRequest, match="identical"):
        review(answers=rows[:1])
    with pytest.raises(InvalidRequest, match="no prompt that two variants"):
        review(answers=rows[1:2])


def test_pairs_against_the_reference_or_each_against_each(home: Path) -> None:
    star, full = review(5, 3), review(5, 3, pairs="all")
    assert {(item.first, item.second) for item in reviews.items(star.id)} == {(0, 1), (0, 2)}
    assert {(item.first, item.second) for item in reviews.items(full.id)} == {(0, 1), (0, 2), (1, 2)}
    assert len(reviews.items(full.id)) == 15


def test_order_and_sides_are_drawn_for_each_reviewer(home: Path) -> None:
    found = review(200)
    one, other = (who.order for who in invited(found))
    assert sorted(number for number, _ in one) == list(range(200))
    assert [number for number, _ in one] != [number for number, _ in other] != list(range(200))
    for order in (one, other):
        assert 60 < sum(swapped for _, swapped in order) < 140  # a fair coin leaves this once in 10⁸


@pytest.mark.parametrize("title", ["nf4, please", "BF16 or not?", "Is FAKE good", "bitsandbytes"])
def test_a_title_that_names_a_variant_is_refused(home: Path, title: str) -> None:
    with pytest.raises(InvalidRequest, match="names a variant"):
        review(title=title)


@pytest.mark.parametrize(
    ("terms", "match"),
    [
        ({"title": " "}, "title is empty"),
        ({"reveal": "item", "places": 3}, "public link"),
        ({"pairs": "some"}, "pairs is 'some'. Allowed: reference or all"),
        ({"reveal": "soon"}, "reveal is 'soon'. Allowed: never, end or item"),
        ({"places": 100_000}, "places"),
        ({"invitations": ()}, "at least one reviewer"),
        ({"invitations": ("x" * 101,)}, "a name is too long"),
    ],
)
def test_terms_that_cannot_be(terms: dict[str, Any], match: str) -> None:
    with pytest.raises(InvalidRequest, match=match):
        Terms(**{"invitations": ("Anna",), **terms})


def test_names_after_each_vote_only_of_two(home: Path) -> None:
    with pytest.raises(InvalidRequest, match="more than two"):
        review(3, 3, reveal="item")
    with pytest.raises(InvalidRequest, match="pairs to vote on"):
        review(answers=answered(make.MAX_ITEMS + 1))


def test_more_are_invited_later_and_all_of_it_is_removed(home: Path) -> None:
    found = review(3)
    late = make.invite(found.id, " Carla ")
    assert late.label == "Carla" and len(invited(found)) == 3 and len(late.order) == 3
    with pytest.raises(InvalidRequest, match="Enter a name"):
        make.invite(found.id, "")
    assert reviews.remove(found.id) and not reviews.remove(found.id)
    assert reviews.items(found.id) == [] and reviews.reviewers(found.id) == []
    with pytest.raises(UnknownReview):
        make.invite(found.id, "Dora")


def test_a_conversation_is_read_as_one() -> None:
    turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}]
    assert make.prompt_text({"messages": turns}) == "Instructions: Be brief.\n\nQuestion: Why?"
    assert make.prompt_text({"messages": turns[1:]}) == "Why?"
    assert make.prompt_text({"messages": None, "text": "Once upon"}) == "Once upon"
