"""Queries about blind reviews. Each is one transaction; none changes what was shown or voted."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence

from sqlalchemy import delete, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from playground.errors import ReviewOver, UnknownReview, VoteRefused
from playground.store import database
from playground.store.schema import Review, Reviewer, ReviewItem, Vote


def new_key() -> str:
    """128 bits, so that nobody guesses a link."""
    return secrets.token_hex(16)


def plain(text: str) -> str:
    """As every database takes it: without NUL, and without halves of characters."""
    return text.replace("\0", "").encode("utf-8", errors="replace").decode()


def unknown() -> UnknownReview:
    """The same words whatever is wrong with a link: which part of it is right is nobody's business."""
    return UnknownReview("There is no review behind this link.", hint="It was deleted, or the link is cut short.")


def add(review: Review, items: Sequence[ReviewItem], reviewers: Sequence[Reviewer]) -> None:
    """Committed when it returns, all of it or nothing."""
    with database.writing() as session:
        session.add(review)
        session.flush()
        session.add_all([*items, *reviewers])


def get(review_id: str) -> Review:
    """Raises UnknownReview."""
    with database.reading() as session:
        return _review(session, review_id)


def latest(limit: int = 100) -> list[tuple[Review, int, int]]:
    """Newest first: the review, its items, and the votes so far."""
    items = select(func.count()).where(ReviewItem.review_id == Review.id).scalar_subquery()
    votes = select(func.count()).where(Vote.review_id == Review.id).scalar_subquery()
    query = select(Review, items, votes).order_by(Review.created_at.desc(), Review.id).limit(limit)
    with database.reading() as session:
        return [(review, count, given) for review, count, given in session.execute(query)]


def of_job(job_id: str) -> Review | None:
    """What a job prepared."""
    with database.reading() as session:
        return session.scalars(select(Review).where(Review.job_id == job_id)).first()


def items(review_id: str) -> list[ReviewItem]:
    """In their order."""
    query = select(ReviewItem).where(ReviewItem.review_id == review_id).order_by(ReviewItem.number)
    with database.reading() as session:
        return list(session.scalars(query))


def item(review_id: str, number: int) -> ReviewItem | None:
    with database.reading() as session:
        return session.get(ReviewItem, (review_id, number))


def reviewers(review_id: str) -> list[Reviewer]:
    """Oldest first."""
    query = select(Reviewer).where(Reviewer.review_id == review_id).order_by(Reviewer.created_at, Reviewer.id)
    with database.reading() as session:
        return list(session.scalars(query))


def reviewer(review_id: str, key: str) -> Reviewer | None:
    """Whose key this is, if it is one of this review's."""
    query = select(Reviewer).where(Reviewer.key == key, Reviewer.review_id == review_id)
    with database.reading() as session:
        return session.scalars(query).first()


def add_reviewer(reviewer: Reviewer, places: int | None = None) -> None:
    """`places`: how many may come without an invitation; counted in the same transaction. Raises ReviewOver."""
    with database.writing() as session:
        review = _review(session, reviewer.review_id)
        if review.closed_at is not None:
            raise _closed()
        if places is not None:
            taken = select(func.count()).where(Reviewer.review_id == review.id, Reviewer.invited.is_(False))
            if (session.scalar(taken) or 0) >= places:
                raise ReviewOver(
                    "All places of this review are taken.", hint="Ask whoever sent the link for an invitation."
                )
        session.add(reviewer)


def votes(review_id: str) -> list[Vote]:
    """In the order in which they were given."""
    query = select(Vote).where(Vote.review_id == review_id).order_by(Vote.created_at, Vote.reviewer_id, Vote.number)
    with database.reading() as session:
        return list(session.scalars(query))


def votes_of(reviewer_id: str) -> list[Vote]:
    """In the order in which they were given."""
    query = select(Vote).where(Vote.reviewer_id == reviewer_id).order_by(Vote.created_at, Vote.number)
    with database.reading() as session:
        return list(session.scalars(query))


def vote(given: Vote) -> None:
    """On the disk when it returns. Raises VoteRefused for a second vote on an item, ReviewOver after the end."""
    try:
        with database.writing() as session:
            if _review(session, given.review_id).closed_at is not None:
                raise _closed()
            session.add(given)
    except IntegrityError:
        raise VoteRefused("You voted on this one before.", hint="A vote stays as it was given.") from None


def close(review_id: str) -> None:
    """No vote is taken any more, for good: names are shown from now on. Raises UnknownReview."""
    with database.writing() as session:
        review = _review(session, review_id)
        review.closed_at = review.closed_at or time.time()


def set_link(review_id: str, key: str | None, places: int) -> None:
    """Replace the common link, or take it away: nobody new comes through the old one. Raises UnknownReview."""
    with database.writing() as session:
        review = _review(session, review_id)
        review.key, review.places = key, places


def exclude(reviewer_id: str, at: float | None) -> bool:
    """Do not count this one's votes, or None: count them again; whether there is such a reviewer."""
    with database.writing() as session:
        change = update(Reviewer).where(Reviewer.id == reviewer_id).values(excluded_at=at)
        return session.connection().execute(change).rowcount > 0


def remove(review_id: str) -> bool:
    """Forget it with all its votes; whether there was one."""
    with database.writing() as session:
        return session.connection().execute(delete(Review).where(Review.id == review_id)).rowcount > 0


def _review(session: Session, review_id: str) -> Review:
    if (found := session.get(Review, review_id)) is None:
        raise unknown()
    return found


def _closed() -> ReviewOver:
    return ReviewOver("This review is closed.", hint="Every vote that was given before counts.")
