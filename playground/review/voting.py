"""State, start and vote for the reviewer's page. Before the vote nothing names a variant, a size, a speed or a time.

A link has the review's id and a key: that of an invitation, which is one person, or of the public link, through which
anyone can begin as a new reviewer, who is then recognised by a cookie (`token`). An item is addressed by its place in
this reviewer's own order, which tells nothing about the pair. Only the next item can be voted on, once.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, get_args

from playground.errors import InvalidRequest, ReviewOver, UnknownReview, VoteRefused
from playground.review import make
from playground.store import database, reviews
from playground.store.schema import Choice, Review, Reviewer, ReviewItem, Vote

MAX_COMMENT = 1000
CHOICES: tuple[Choice, ...] = get_args(Choice)


def state(review_id: str, key: str, token: str = "") -> dict[str, Any]:
    """The reviewer's current state. Raises UnknownReview.

    stage     "start": not a reviewer yet; "vote"; "done"; "closed"
    asked_by  who asks; "" if the owner did not say
    minutes   about how long all pairs take
    item      at (its place, from 0), prompt, a, b, and cut: how many tokens either answer was cut at, None where it was
              not; only in stage "vote"
    names     after the last vote, where names are shown: of each item the variant on either side
    """
    review, reviewer = _reviewer(review_id, key, token)
    if reviewer is None:
        stage = "closed" if review.closed_at is not None else "start"
        return _head(review, len(reviews.items(review.id)), 0) | {"stage": stage}
    return _state(review, reviewer)


def invitation(review_id: str) -> tuple[str, str]:
    """Title and description of a link to a review, told without its key: how many pairs, who asks, how many minutes.

    ("", "") if there is no such review.
    """
    if not _is_key(review_id) or not database.exists():
        return "", ""
    try:
        review = reviews.get(review_id)
    except UnknownReview:
        return "", ""
    head = _head(review, len(reviews.items(review_id)), 0)
    pairs = f"{head['total']} pair{'' if head['total'] == 1 else 's'} of answers"
    asks = f"{head['asked_by']} asks you" if head["asked_by"] else "You are asked"
    minutes = f"about {head['minutes']} minute{'' if head['minutes'] == 1 else 's'}"
    return (
        f"A blind review: {pairs}",
        f"{asks} which of two answers is better. It takes {minutes} and needs no account.",
    )


def start(review_id: str, key: str, token: str = "") -> tuple[dict[str, Any], str]:
    """Begin through the public link, or continue: the state, and the token of this reviewer.

    Raises UnknownReview, ReviewOver.
    """
    review, reviewer = _reviewer(review_id, key, token)
    if reviewer is None:
        if review.closed_at is not None:
            raise ReviewOver("This review is closed.", hint="No more votes are accepted.")
        reviewer = make.reviewer(review.id, len(reviews.items(review.id)))
        reviews.add_reviewer(reviewer, review.places)
    return _state(review, reviewer), reviewer.key


def vote(review_id: str, key: str, token: str, place: object, choice: object, comment: object) -> dict[str, Any]:
    """Store a vote, committed on return, and return the next state. Raises ReviewError, InvalidRequest."""
    review, reviewer = _reviewer(review_id, key, token)
    if reviewer is None:
        raise reviews.unknown()
    if choice not in CHOICES or not isinstance(place, int) or isinstance(place, bool) or not isinstance(comment, str):
        raise InvalidRequest("This is not a vote.", hint=f"A vote is {', '.join(CHOICES)} on the item that is shown.")
    done = len(reviews.votes_of(reviewer.id))
    if place != done or place >= len(reviewer.order):
        voted = 0 <= place < done
        raise VoteRefused(
            "You have already voted on this pair." if voted else "This pair is not the next one.",
            hint="A vote cannot be changed." if voted else "Reload the page.",
        )
    number, swapped = reviewer.order[place]
    item = reviews.item(review.id, number)
    if item is None:
        raise reviews.unknown()
    left, right = (item.second, item.first) if swapped else (item.first, item.second)
    ballot = Vote(
        reviewer_id=reviewer.id,
        number=number,
        review_id=review.id,
        choice=choice,
        left=left,
        winner={"a": left, "b": right}.get(str(choice)),
        comment=reviews.plain(comment.strip()[:MAX_COMMENT]),
        created_at=time.time(),
    )
    reviews.vote(ballot)
    next_state = _state(review, reviewer)
    if review.reveal == "item":
        next_state["last"] = {"a": _label(review, left), "b": _label(review, right), "choice": choice}
    return next_state


def _reviewer(review_id: str, key: str, token: str) -> tuple[Review, Reviewer | None]:
    """The review of a link, and its reviewer; None before they have begun. Raises UnknownReview."""
    if not (_is_key(review_id) and _is_key(key)) or not database.exists():
        raise reviews.unknown()
    review = reviews.get(review_id)
    if invited := reviews.reviewer(review_id, key):
        if not invited.invited:  # the key of a cookie is no link
            raise reviews.unknown()
        return review, invited
    if key != review.key:
        raise reviews.unknown()
    guest = reviews.reviewer(review_id, token) if _is_key(token) else None
    return review, guest if guest is not None and not guest.invited else None


def _is_key(key: object) -> bool:
    return isinstance(key, str) and len(key) == 32 and key.isalnum()


def _state(review: Review, reviewer: Reviewer) -> dict[str, Any]:
    votes = reviews.votes_of(reviewer.id)
    done, total = len(votes), len(reviewer.order)
    value = _head(review, total, done)
    if done < total and review.closed_at is None:
        number, swapped = reviewer.order[done]
        item = reviews.item(review.id, number)
        if item is None:
            raise reviews.unknown()
        return value | {"stage": "vote", "item": {"at": done, "prompt": item.prompt} | _sides(review, item, swapped)}
    value["stage"] = "done" if done == total else "closed"
    # A guest of the public link could begin again as a new reviewer, so names wait until the review is closed.
    if votes and review.reveal != "never" and (done == total or review.closed_at is not None):
        if reviewer.invited or review.closed_at is not None:
            value["names"] = _names(review, votes, reviews.items(review.id))
        else:
            value["later"] = True
    return value


def _head(review: Review, total: int, done: int) -> dict[str, Any]:
    return {
        "title": review.title,
        "asked_by": str(review.settings.get("asked_by") or ""),
        "minutes": make.minutes(total),
        "total": total,
        "done": done,
    }


def _sides(review: Review, item: ReviewItem, swapped: int) -> dict[str, Any]:
    tokens = {(prompt, variant): cut for prompt, variant, cut in review.settings.get("cut", ())}
    sides = [
        (item.first_text, tokens.get((item.prompt_number, item.first))),
        (item.second_text, tokens.get((item.prompt_number, item.second))),
    ]
    (a, cut_a), (b, cut_b) = sides[::-1] if swapped else sides
    return {"a": a, "b": b, "cut": {"a": cut_a, "b": cut_b}}


def _names(review: Review, votes: Sequence[Vote], items: Sequence[ReviewItem]) -> list[dict[str, str]]:
    items_by_number: Mapping[int, ReviewItem] = {item.number: item for item in items}
    rows = []
    for vote in votes:
        item = items_by_number[vote.number]
        right = item.first if vote.left == item.second else item.second
        rows.append(
            {
                "prompt": item.prompt,
                "a": _label(review, vote.left),
                "b": _label(review, right),
                "choice": vote.choice,
            }
        )
    return rows


def _label(review: Review, position: int) -> str:
    return str(review.variants[position]["label"])
