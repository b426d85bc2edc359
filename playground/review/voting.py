"""All that a reviewer's page may ask. Nothing here names a variant, a size, a speed or a time before the vote.

A link carries the review's id and a key: an invitation's, which is one person, or the common link's, which lets whoever
has it begin as somebody new; who that is then stands in a cookie (`token`). An item is called by its place in this
reviewer's own order, which says nothing about the pair. Only the item whose turn it is can be voted on, once.
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
    """What this reviewer sees now. Raises UnknownReview.

    stage     "start": nobody knows yet who this is; "vote"; "done"; "closed"
    item      at (its place, from 0), prompt, a, b: only while it is to be voted on
    names     after the last vote, where names are shown: of each item what stood on which side
    """
    review, found = _reviewer(review_id, key, token)
    if found is None:
        stage = "closed" if review.closed_at is not None else "start"
        return {"title": review.title, "stage": stage, "total": len(reviews.items(review.id)), "done": 0}
    return _state(review, found)


def start(review_id: str, key: str, token: str = "") -> tuple[dict[str, Any], str]:
    """Begin through the common link: the state, and the token that says from now on who this is.

    Whoever has begun goes on. Raises UnknownReview, ReviewOver.
    """
    review, found = _reviewer(review_id, key, token)
    if found is None:
        if review.closed_at is not None:
            raise ReviewOver("This review is closed.", hint="Nobody can vote any more.")
        found = make.reviewer(review.id, len(reviews.items(review.id)))
        reviews.add_reviewer(found, review.places)
    return _state(review, found), found.key


def vote(review_id: str, key: str, token: str, at: object, choice: object, comment: object) -> dict[str, Any]:
    """Take a vote, on the disk before this returns; what comes next. Raises ReviewError, InvalidRequest."""
    review, found = _reviewer(review_id, key, token)
    if found is None:
        raise reviews.unknown()
    if choice not in CHOICES or not isinstance(at, int) or isinstance(at, bool) or not isinstance(comment, str):
        raise InvalidRequest("This is no vote.", hint=f"A vote is {', '.join(CHOICES)} on the item that is shown.")
    done = len(reviews.votes_of(found.id))
    if at != done or at >= len(found.order):
        given = 0 <= at < done
        raise VoteRefused(
            "You voted on this one before." if given else "It is not this one's turn.",
            hint="A vote stays as it was given." if given else "Reload the page.",
        )
    number, swapped = found.order[at]
    item = reviews.item(review.id, number)
    if item is None:
        raise reviews.unknown()
    left, right = (item.second, item.first) if swapped else (item.first, item.second)
    given_vote = Vote(
        reviewer_id=found.id,
        number=number,
        review_id=review.id,
        choice=choice,
        left=left,
        winner={"a": left, "b": right}.get(str(choice)),
        comment=reviews.plain(comment.strip()[:MAX_COMMENT]),
        created_at=time.time(),
    )
    reviews.vote(given_vote)
    after = _state(review, found)
    if review.reveal == "item":
        after["last"] = {"a": _label(review, left), "b": _label(review, right), "choice": choice}
    return after


def _reviewer(review_id: str, key: str, token: str) -> tuple[Review, Reviewer | None]:
    """The review behind a link, and who asks; None: nobody who has begun. Raises UnknownReview."""
    if not (_is_key(review_id) and _is_key(key)) or not database.exists():
        raise reviews.unknown()
    review = reviews.get(review_id)
    if invited := reviews.reviewer(review_id, key):
        if not invited.invited:  # the key of a cookie is no link
            raise reviews.unknown()
        return review, invited
    if key != review.key:
        raise reviews.unknown()
    came = reviews.reviewer(review_id, token) if _is_key(token) else None
    return review, came if came is not None and not came.invited else None


def _is_key(key: object) -> bool:
    return isinstance(key, str) and len(key) == 32 and key.isalnum()


def _state(review: Review, who: Reviewer) -> dict[str, Any]:
    votes = reviews.votes_of(who.id)
    done, total = len(votes), len(who.order)
    found: dict[str, Any] = {"title": review.title, "total": total, "done": done}
    if done < total and review.closed_at is None:
        number, swapped = who.order[done]
        item = reviews.item(review.id, number)
        if item is None:
            raise reviews.unknown()
        return found | {"stage": "vote", "item": {"at": done, "prompt": item.prompt} | _sides(item, swapped)}
    found["stage"] = "done" if done == total else "closed"
    # Whoever came through the common link could come back as somebody new: names wait for the end of the review.
    if votes and review.reveal != "never" and (done == total or review.closed_at is not None):
        if who.invited or review.closed_at is not None:
            found["names"] = _names(review, votes, reviews.items(review.id))
        else:
            found["later"] = True
    return found


def _sides(item: ReviewItem, swapped: int) -> dict[str, str]:
    one, other = item.first_text, item.second_text
    return {"a": other, "b": one} if swapped else {"a": one, "b": other}


def _names(review: Review, votes: Sequence[Vote], items: Sequence[ReviewItem]) -> list[dict[str, str]]:
    of: Mapping[int, ReviewItem] = {item.number: item for item in items}
    rows = []
    for vote in votes:
        item = of[vote.number]
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
