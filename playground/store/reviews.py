"""Queries about blind reviews, each one transaction. None changes an item or a vote."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence

from sqlalchemy import delete, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from playground.errors import ReviewOver, UnknownReview, VoteRefused
from playground.store import database
from playground.store.schema import Review, Reviewer, ReviewItem, Run, Vote


def new_key() -> str:
    """A random key of 128 bits in hex, for links that cannot be guessed."""
    return secrets.token_hex(16)


def plain(text: str) -> str:
    """`text` as every database accepts it: without NUL and lone surrogates."""
    return text.replace("\0", "").encode("utf-8", errors="replace").decode()


def unknown() -> UnknownReview:
    """The error for a wrong link. It is the same for every cause, so that it does not tell which part is right."""
    return UnknownReview("There is no review behind this link.", hint="It was deleted, or the link is incomplete.")


def add(review: Review, items: Sequence[ReviewItem], reviewers: Sequence[Reviewer]) -> None:
    """Store a review with its items and reviewers; committed on return, all or nothing."""
    with database.writing() as session:
        session.add(review)
        session.flush()
        session.add_all([*items, *reviewers])


def get(review_id: str) -> Review:
    """The review with this id. Raises UnknownReview."""
    with database.reading() as session:
        return _review(session, review_id)


def latest(limit: int = 100) -> list[tuple[Review, int, int]]:
    """Reviews, newest first, each with its numbers of items and votes."""
    items = select(func.count()).where(ReviewItem.review_id == Review.id).scalar_subquery()
    votes = select(func.count()).where(Vote.review_id == Review.id).scalar_subquery()
    query = select(Review, items, votes).order_by(Review.created_at.desc(), Review.id).limit(limit)
    with database.reading() as session:
        return [(review, item_count, vote_count) for review, item_count, vote_count in session.execute(query)]


def of_job(job_id: str) -> Review | None:
    """The review that a job made."""
    with database.reading() as session:
        return session.scalars(select(Review).where(Review.job_id == job_id)).first()


def items(review_id: str) -> list[ReviewItem]:
    """The items of a review, by number."""
    query = select(ReviewItem).where(ReviewItem.review_id == review_id).order_by(ReviewItem.number)
    with database.reading() as session:
        return list(session.scalars(query))


def item(review_id: str, number: int) -> ReviewItem | None:
    with database.reading() as session:
        return session.get(ReviewItem, (review_id, number))


def reviewers(review_id: str) -> list[Reviewer]:
    """The reviewers of a review, oldest first."""
    query = select(Reviewer).where(Reviewer.review_id == review_id).order_by(Reviewer.created_at, Reviewer.id)
    with database.reading() as session:
        return list(session.scalars(query))


def reviewer(review_id: str, key: str) -> Reviewer | None:
    """The reviewer of this review with this key; None without one."""
    query = select(Reviewer).where(Reviewer.key == key, Reviewer.review_id == review_id)
    with database.reading() as session:
        return session.scalars(query).first()


def add_reviewer(reviewer: Reviewer, places: int | None = None) -> None:
    """Store a reviewer. Raises ReviewOver if the review is closed or all places are taken.

    places  the limit of reviewers without an invitation, checked in the same transaction; None: no limit
    """
    with database.writing() as session:
        review = _review(session, reviewer.review_id)
        if review.closed_at is not None:
            raise _closed()
        if places is not None:
            guests = select(func.count()).where(Reviewer.review_id == review.id, Reviewer.invited.is_(False))
            if (session.scalar(guests) or 0) >= places:
                raise ReviewOver(
                    "All places of this review are taken.",
                    hint="Ask the person who sent you the link for an invitation.",
                )
        session.add(reviewer)


def votes(review_id: str) -> list[Vote]:
    """The votes of a review, oldest first."""
    query = select(Vote).where(Vote.review_id == review_id).order_by(Vote.created_at, Vote.reviewer_id, Vote.number)
    with database.reading() as session:
        return list(session.scalars(query))


def votes_of(reviewer_id: str) -> list[Vote]:
    """The votes of a reviewer, oldest first."""
    query = select(Vote).where(Vote.reviewer_id == reviewer_id).order_by(Vote.created_at, Vote.number)
    with database.reading() as session:
        return list(session.scalars(query))


def vote(ballot: Vote) -> None:
    """Store a vote; committed on return. Raises VoteRefused for a second vote on an item, ReviewOver after the end."""
    try:
        with database.writing() as session:
            if _review(session, ballot.review_id).closed_at is not None:
                raise _closed()
            session.add(ballot)
    except IntegrityError:
        raise VoteRefused("You have already voted on this pair.", hint="A vote cannot be changed.") from None


def close(review_id: str, result: Callable[[], Run | None]) -> None:
    """Close a review for good: it accepts no vote any more, and names are shown. Raises UnknownReview.

    `result` returns the run that is stored with it, in one transaction; None: no run. It is called once.
    """
    with database.writing() as session:
        review = _review(session, review_id)
        if review.closed_at is not None:
            return
        review.closed_at = time.time()
        if (run := result()) is not None:
            session.add(run)


def set_link(review_id: str, key: str | None, places: int) -> None:
    """Replace or remove (`key` None) the public link; the old one admits no new reviewer. Raises UnknownReview."""
    with database.writing() as session:
        review = _review(session, review_id)
        review.key, review.places = key, places


def exclude(reviewer_id: str, at: float | None) -> bool:
    """Exclude all votes of a reviewer at the time `at`, or count them again (None); whether there is such a one."""
    with database.writing() as session:
        change = update(Reviewer).where(Reviewer.id == reviewer_id).values(excluded_at=at)
        return session.connection().execute(change).rowcount > 0


def remove(review_id: str) -> bool:
    """Delete a review with its votes; whether there was one."""
    with database.writing() as session:
        return session.connection().execute(delete(Review).where(Review.id == review_id)).rowcount > 0


def _review(session: Session, review_id: str) -> Review:
    if (review := session.get(Review, review_id)) is None:
        raise unknown()
    return review


def _closed() -> ReviewOver:
    return ReviewOver("This review is closed.", hint="All votes until then were saved.")
