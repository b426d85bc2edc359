"""State, start and vote for the reviewer's page. Before the vote nothing names a variant, a size, a speed or a time.

A link has the review's id and a key: that of an invitation, which is one person, or of the common link, through which
anyone can begin as a new reviewer, who is then recognised by a cookie (`token`). An item is addressed by its place in
this reviewer's own order, which tells nothing about the pair. Only the next item can be voted on, once.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, get_args

from playground.errors import InvalidRequest, ReviewOver, VoteRefused
from playground.review import make
from playground.store import database, reviews
from playground.store.schema import Choice, Review, Reviewer, ReviewItem, Vote

MAX_COMMENT = 1000
CHOICES: tuple[Choice, ...] = get_args(Choice)


def state(review_id: str, key: str, token: str = "") -> dict[str, Any]:
    """The reviewer's current state. Raises UnknownReview.

    stage     "start": not a reviewer yet; "vote"; "done"; "closed"
    item      at (its place, from 0), prompt, a, b: only in stage "vote"
    names     after the last vote, where names are shown: of each item the variant on either side
    """
    review, reviewer = _reviewer(review_id, key, token)
    if reviewer is None:
        stage = "closed" if review.closed_at is not None else "start"
        return {"title": review.title, "stage": stage, "total": len(reviews.items(review.id)), "done": 0}
    return _state(review, reviewer)


def start(review_id: str, key: str, token: str = "") -> tuple[dict[str, Any], str]:
    """Begin through the common link, or continue: the state, and the token of this reviewer.

    Raises UnknownReview, ReviewOver.
    """
    review, reviewer = _reviewer(review_id, key, token)
    if reviewer is None:
        if review.closed_at is not None:
            raise ReviewOver("This review is closed.", hint="Nobody can vote any more.")
        reviewer = make.reviewer(review.id, len(reviews.items(review.id)))
        reviews.add_reviewer(reviewer, review.places)
    return _state(review, reviewer), reviewer.key


def vote(review_id: str, key: str, token: str, place: object, choice: object, comment: object) -> dict[str, Any]:
    """Store a vote, committed on return, and return the next state. Raises ReviewError, InvalidRequest."""
    review, reviewer = _reviewer(review_id, key, token)
    if reviewer is None:
        raise reviews.unknown()
    if choice not in CHOICES or not isinstance(place, int) or isinstance(place, bool) or not isinstance(comment, str):
        raise InvalidRequest("This is no vote.", hint=f"A vote is {', '.join(CHOICES)} on the item that is shown.")
    done = len(reviews.votes_of(reviewer.id))
    if place != done or place >= len(reviewer.order):
        voted = 0 <= place < done
        raise VoteRefused(
            "You voted on this one before." if voted else "It is not this one's turn.",
            hint="A vote stays as it was given." if voted else "Reload the page.",
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
    value: dict[str, Any] = {"title": review.title, "total": total, "done": done}
    if done < total and review.closed_at is None:
        number, swapped = reviewer.order[done]
        item = reviews.item(review.id, number)
        if item is None:
            raise reviews.unknown()
        return value | {"stage": "vote", "item": {"at": done, "prompt": item.prompt} | _sides(item, swapped)}
    value["stage"] = "done" if done == total else "closed"
    # A guest of the common link could begin again as a new reviewer, so names wait until the review is closed.
    if votes and review.reveal != "never" and (done == total or review.closed_at is not None):
        if reviewer.invited or review.closed_at is not None:
            value["names"] = _names(review, votes, reviews.items(review.id))
        else:
            value["later"] = True
    return value


def _sides(item: ReviewItem, swapped: int) -> dict[str, str]:
    first, second = item.first_text, item.second_text
    return {"a": second, "b": first} if swapped else {"a": first, "b": second}


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
