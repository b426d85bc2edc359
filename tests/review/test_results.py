"""Tallies against a hand computation, and the sentences that come of them."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from playground.errors import UnknownReview
from playground.review.make import PromptAnswers
from playground.review.results import results
from playground.store import reviews
from tests.fakes.review import Rule, answered, invited, prefers, review, vote_all


def by_number(of: dict[int, str]) -> Rule:
    """Votes by the number in the question: a fruit, "tie" or "bad"."""

    def rule(item: dict[str, str]) -> str:
        said = of.get(int(item["prompt"].split()[1].rstrip("?")), "tie")
        return said if said in ("tie", "bad") else prefers(said)(item)

    return rule


def test_a_review_without_votes_says_so(home: Path) -> None:
    found = results(review(3).id)
    assert found["sentence"] == "Nobody has voted yet."
    assert found["pairs"][0]["sentence"] == "Nobody has voted on nf4 and BF16 yet."
    assert found["position"] is None and found["agreement"] is None and found["counted"] == 0
    with pytest.raises(UnknownReview):
        results("0" * 32)


def test_two_reviewers_are_counted_as_by_hand(home: Path) -> None:
    made = review(10)
    anna, ben = invited(made)
    vote_all(made, anna.key, by_number(dict.fromkeys(range(6), "plum") | {6: "pear", 7: "pear", 8: "bad"}))
    vote_all(made, ben.key, by_number(dict.fromkeys(range(4), "plum") | {4: "pear", 5: "pear", 6: "pear"}))
    found = results(made.id)
    rate = found["pairs"][0]["win_rate"]
    assert (rate["n"], rate["wins"], rate["losses"], rate["undecided"]) == (20, 5, 10, 5)
    assert rate["rate"] == pytest.approx((5 + 5 / 2) / 20) and rate["prompts"] == 10 and rate["reviewers"] == 2
    assert (found["bad"], found["ties"]) == (1, 4)
    sides = [one["sides"] for one in found["reviewers"]]
    assert found["position"]["a"] == sum(side["a"] for side in sides)
    assert found["position"]["a"] + found["position"]["b"] == 15
    # Krippendorff by hand: of ten pairs of votes (plum, pear) twice and (pear, neither) once differ: 6 of 20 votes.
    # Values: plum 10, pear 5, neither 5: expected (400 - 150) / 19.
    assert found["agreement"]["alpha"] == pytest.approx(1 - 6 / (250 / 19))
    first = next(item for item in found["items"] if item["prompt"] == "Question 4?")
    assert first["wins"] == [1, 1] and first["ties"] == 0
    assert "equivalent to" in found["pairs"][0]["details"][1]


def test_votes_that_do_not_count_are_left_out_and_kept(home: Path) -> None:
    made = review(12)
    anna, ben = invited(made)
    vote_all(made, anna.key, prefers("plum"))
    vote_all(made, ben.key, prefers("pear"))
    assert results(made.id)["pairs"][0]["win_rate"]["rate"] == 0.5
    assert reviews.exclude(ben.id, time.time())
    found = results(made.id)
    assert found["pairs"][0]["win_rate"]["rate"] == 0 and found["counted"] == 12 and found["review"]["votes"] == 24
    assert found["sentence"] == "Reviewers preferred BF16 to nf4 (win rate 100%, n = 12, 95% interval 76–100%)."
    reviews.exclude(anna.id, time.time())
    reviews.exclude(ben.id, None)
    assert (
        results(made.id)["sentence"] == "Reviewers preferred nf4 to BF16 (win rate 100%, n = 12, 95% interval 76–100%)."
    )


def test_the_sentence_of_those_who_cannot_tell(home: Path) -> None:
    made = review(40, invitations=("Anna",))
    vote_all(made, invited(made)[0].key, by_number({n: "plum" if n % 2 else "pear" for n in range(40)}))
    found = results(made.id)
    assert found["sentence"] == "Reviewers could not tell nf4 from BF16 (n = 40, 95% interval 35–65%)."
    assert "would have been detected with 80% power" in found["pairs"][0]["details"][2]


def test_so_few_that_only_every_vote_would_show(home: Path) -> None:
    made = review(4, invitations=("Anna",))
    vote_all(made, invited(made)[0].key, by_number({n: "plum" if n % 2 else "pear" for n in range(4)}))
    (pair,) = results(made.id)["pairs"]
    assert pair["win_rate"]["verdict"] == "too few"
    assert "With so few votes only a preference in every vote can be detected." in pair["details"]


def test_those_who_agree_on_single_answers_can_tell(home: Path) -> None:
    made = review(40)
    for who in invited(made):
        vote_all(made, who.key, by_number({n: "plum" if n % 2 else "pear" for n in range(40)}))
    found = results(made.id)
    assert found["sentence"].startswith("Reviewers can tell nf4 from BF16, and prefer neither overall (n = 80,")
    assert "0.50" not in found["sentence"] and found["agreement"]["alpha"] == 1


def test_few_votes_and_same_answers_are_said(home: Path) -> None:
    made = review(answers=[*answered(3), PromptAnswers("Same?", ("x", "x"))])
    vote_all(made, invited(made)[0].key, prefers("plum"), most=2)
    (pair,) = results(made.id)["pairs"]
    assert pair["sentence"].startswith("Too few votes to tell nf4 from BF16 (n = 2,")
    assert pair["same"] == 1 and "On 1 more prompt both answers were identical" in pair["details"][-1]


def test_three_variants_have_one_order(home: Path) -> None:
    made = review(12, 3, pairs="all")
    anna, ben = invited(made)
    vote_all(made, anna.key, lambda item: prefers("plum")(item) if "plum" in str(item) else prefers("pear")(item))
    vote_all(made, ben.key, by_number({n: "pear" if n % 3 else "fig" for n in range(12)}))
    found = results(made.id)
    rows = found["ranking"]["rows"]
    assert {row["label"] for row in rows} == {"BF16", "nf4", "W3A16"}
    rates = [row["rate"] for row in rows]
    assert rates == sorted(rates, reverse=True) and next(row for row in rows if row["variant"] == 0)["rate"] == 0.5
    assert sum(row["votes"] for row in rows) == 2 * 72
    assert len(found["pairs"]) == 3
    assert "BF16" in found["sentence"]
