"""What a reviewer's page gets: nothing that names a variant before the vote, and one vote on each item."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from playground.errors import InvalidRequest, PlaygroundError, ReviewOver, UnknownReview, VoteRefused
from playground.review import make, voting
from playground.review.make import PromptAnswers
from playground.review.results import results
from playground.store import reviews
from tests.fakes.review import SECRETS, invited, prefers, review, vote_all


def test_nothing_names_a_variant_before_the_last_vote(home: Path) -> None:
    found = review(6, 3, pairs="all")
    who = invited(found)[0]
    state = voting.state(found.id, who.key)
    seen = []
    while state["stage"] == "vote":
        said = json.dumps(state)
        assert not [secret for secret in SECRETS if secret.lower() in said.lower()]
        assert set(state) == {"title", "asked_by", "minutes", "total", "done", "stage", "item"}
        assert set(state["item"]) == {"at", "prompt", "a", "b", "cut"}
        assert state["item"]["at"] == state["done"] == len(seen)
        seen.append(state["item"])
        state = voting.vote(found.id, who.key, "", state["item"]["at"], "tie", "")
    assert len(seen) == 18 and state["stage"] == "done"
    assert {(row["a"], row["b"]) for row in state["names"]} > {("BF16", "nf4")} or len(state["names"]) == 18


def test_sides_are_mapped_back_to_variants(home: Path) -> None:
    found = review(40)
    who = invited(found)[0]
    vote_all(found, who.key, prefers("pear"))
    votes = reviews.votes(found.id)
    assert {vote.winner for vote in votes} == {1}
    assert {vote.left for vote in votes} == {0, 1} == {int(vote.choice == "a") for vote in votes}
    assert all((vote.choice == "a") == (vote.left == 1) for vote in votes)
    names = voting.state(found.id, who.key)["names"]
    assert all(row[row["choice"]] == "nf4" for row in names)


def test_one_vote_an_item_and_only_when_its_turn_is(home: Path) -> None:
    found = review(3)
    key = invited(found)[0].key
    voting.vote(found.id, key, "", 0, "a", "why not")
    with pytest.raises(VoteRefused, match="already"):
        voting.vote(found.id, key, "", 0, "b", "")
    with pytest.raises(VoteRefused, match="not the next one"):
        voting.vote(found.id, key, "", 2, "b", "")
    for at, choice, comment in (
        (1, "c", ""),
        ("1", "a", ""),
        (True, "a", ""),
        (1, ["a"], ""),
        (1, "a", None),
        (-1, 2, ""),
    ):
        with pytest.raises((InvalidRequest, VoteRefused)):
            voting.vote(found.id, key, "", at, choice, comment)
    (vote,) = reviews.votes(found.id)
    assert (vote.choice, vote.comment) == ("a", "why not")


def test_of_votes_that_come_at_once_one_is_taken(home: Path) -> None:
    found = review(1)
    key, said = invited(found)[0].key, []
    ready = threading.Barrier(6)

    def vote(choice: str) -> None:
        ready.wait()
        try:
            voting.vote(found.id, key, "", 0, choice, "")
            said.append(choice)
        except VoteRefused:
            said.append("")

    threads = [threading.Thread(target=vote, args=(choice,)) for choice in ("a", "b", "tie", "bad", "a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (vote_,) = reviews.votes(found.id)
    assert [choice for choice in said if choice] == [vote_.choice]


def test_a_wrong_link_is_told_nothing(home: Path) -> None:
    with pytest.raises(UnknownReview):
        voting.state("0" * 32, "0" * 32)
    found, other = review(2, places=2), review(2)
    guest = voting.start(found.id, str(found.key))[1]
    said = set()
    for key in ("", "x", "0" * 32, invited(other)[0].key, guest, found.id):
        for act in (voting.state, lambda *link: voting.vote(*link, "", 0, "a", ""), voting.start):
            with pytest.raises(PlaygroundError) as raised:
                act(found.id, key)
            said.add((raised.value.code, str(raised.value)))
    assert len(said) == 1 and not database_grew(found.id, 3)
    with pytest.raises(UnknownReview):
        voting.vote(found.id, str(found.key), "0" * 32, 0, "a", "")  # the common link, and nobody


def database_grew(review_id: str, expected: int) -> bool:
    return len(reviews.reviewers(review_id)) != expected or bool(reviews.votes(review_id))


def test_the_common_link_has_so_many_places_and_gives_names_at_the_end_of_the_review(home: Path) -> None:
    found = review(2, places=2, invitations=())
    key = str(found.key)
    begin = {"title": found.title, "asked_by": "", "minutes": 1, "stage": "start", "total": 2, "done": 0}
    assert voting.state(found.id, key) == begin
    assert reviews.reviewers(found.id) == [], "looking makes nobody"
    tokens = [voting.start(found.id, key)[1] for _ in range(2)]
    assert voting.start(found.id, key, tokens[0])[1] == tokens[0], "whoever began goes on"
    with pytest.raises(ReviewOver, match="places"):
        voting.start(found.id, key)
    vote_all(found, key, prefers("plum"), tokens[0])
    done = voting.state(found.id, key, tokens[0])
    assert done["stage"] == "done" and done["later"] and "names" not in done
    reviews.close(found.id, lambda: None)
    assert len(voting.state(found.id, key, tokens[0])["names"]) == 2
    assert voting.state(found.id, key, tokens[1])["stage"] == "closed"
    with pytest.raises(ReviewOver):
        voting.vote(found.id, key, tokens[1], 0, "a", "")
    with pytest.raises(ReviewOver):
        voting.start(found.id, key)
    with pytest.raises(ReviewOver):
        make.invite(found.id, "Late")


@pytest.mark.parametrize(
    ("reveal", "after", "end"), [("never", False, False), ("end", False, True), ("item", True, True)]
)
def test_names_are_shown_when_the_owner_said(home: Path, reveal: str, after: bool, end: bool) -> None:
    found = review(2, reveal=reveal)
    key = invited(found)[0].key
    first = voting.vote(found.id, key, "", 0, "a", "")
    assert ("last" in first) == after and "names" not in first
    if after:
        assert {first["last"]["a"], first["last"]["b"]} == {"BF16", "nf4"}
        assert "last" not in voting.state(found.id, key)
    assert ("names" in voting.vote(found.id, key, "", 1, "bad", "")) == end


def test_an_answer_that_was_cut_says_so_on_its_side(home: Path) -> None:
    answers = [PromptAnswers(f"{n}?", (f"plum {n}", f"pear {n}"), (None, 64)) for n in range(8)]
    found = review(answers=answers)
    key = invited(found)[0].key
    seen = []
    vote_all(found, key, lambda item: seen.append(item) or "tie")  # type: ignore[func-returns-value]
    for item in seen:
        cut, whole = ("a", "b") if "pear" in item["a"] else ("b", "a")
        assert item["cut"] == {cut: 64, whole: None}
    assert {item["cut"]["a"] for item in seen} == {64, None}, "on both sides, by chance of 1 in 128 not"
    assert results(found.id)["items"][0]["cut"] == [None, 64] and "cut" not in results(review(1).id)["items"][0]


def test_what_no_database_takes_is_left_out(home: Path) -> None:
    found = review(1)
    voting.vote(found.id, invited(found)[0].key, "", 0, "a", "half \ud800 and \0 nothing" + "x" * 2000)
    (vote,) = reviews.votes(found.id)
    assert vote.comment.startswith("half ? and  nothingx") and len(vote.comment) == voting.MAX_COMMENT - 1
