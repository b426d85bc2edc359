"""The tables of blind reviews. Times are seconds since the epoch.

What reviewers saw is frozen: nothing updates an item or a vote. Of a review only its end and its common link change, of
a reviewer only whether the votes count.
"""

from __future__ import annotations

from typing import Any, Literal

from sqlalchemy import JSON, ForeignKey, ForeignKeyConstraint, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from playground.store.schema import Base

Choice = Literal["a", "b", "tie", "bad"]
Reveal = Literal["never", "end", "item"]


class Review(Base):
    """Answers to vote on, and who may.

    id         unguessable, part of every link
    key        of the link that anyone may open who has it; None: there is none, only invitations
    places     reviewers that may come through that link
    title      what reviewers read; `name` is the owner's and may name variants
    reveal     when reviewers learn the names: never, after their last vote, after each
    settings   where the answers come from, the sampling, how pairs were made, what was left out and why
    variants   the reference first: id, label and what else the owner sees
    closed_at  no vote is taken any more
    """

    __tablename__ = "reviews"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    key: Mapped[str | None] = mapped_column(String(32), unique=True)
    places: Mapped[int]
    title: Mapped[str] = mapped_column(String(200))
    name: Mapped[str] = mapped_column(String(1200))
    reveal: Mapped[Reveal] = mapped_column(String(8))
    settings: Mapped[dict[str, Any]] = mapped_column(JSON)
    variants: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    created_at: Mapped[float] = mapped_column(index=True)
    closed_at: Mapped[float | None] = mapped_column(default=None)
    job_id: Mapped[str | None] = mapped_column(String(32), index=True, default=None)


class ReviewItem(Base):
    """Two frozen answers to one prompt.

    number         of the item in its review, from 0
    prompt_number  items of one prompt share their luck
    first, second  positions in the review's variants, the first one the lower
    """

    __tablename__ = "review_items"

    review_id: Mapped[str] = mapped_column(ForeignKey("reviews.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    prompt_number: Mapped[int]
    prompt: Mapped[str] = mapped_column(Text)
    first: Mapped[int]
    second: Mapped[int]
    first_text: Mapped[str] = mapped_column(Text)
    second_text: Mapped[str] = mapped_column(Text)


class Reviewer(Base):
    """Somebody who votes.

    key          128 bits: part of an invitation's link, or in a cookie of whoever came through the common link
    label        what the owner calls them; "" for those who were not invited
    order        [item number, whether the second answer stands on side A], drawn once for this reviewer
    excluded_at  since when the votes do not count
    """

    __tablename__ = "reviewers"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    review_id: Mapped[str] = mapped_column(ForeignKey("reviews.id", ondelete="CASCADE"), index=True)
    key: Mapped[str] = mapped_column(String(32), unique=True)
    label: Mapped[str] = mapped_column(String(100))
    invited: Mapped[bool]
    order: Mapped[list[list[int]]] = mapped_column(JSON)
    created_at: Mapped[float]
    excluded_at: Mapped[float | None] = mapped_column(default=None)


class Vote(Base):
    """What one reviewer said of one item: its key makes a second one impossible.

    choice  as it was given, by side
    left    which of the review's variants stood on side A
    winner  which of them was preferred; None for a tie and for two bad answers
    """

    __tablename__ = "votes"
    __table_args__ = (
        ForeignKeyConstraint(
            ["review_id", "number"], ["review_items.review_id", "review_items.number"], ondelete="CASCADE"
        ),
    )

    reviewer_id: Mapped[str] = mapped_column(ForeignKey("reviewers.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    review_id: Mapped[str] = mapped_column(String(32), index=True)
    choice: Mapped[Choice] = mapped_column(String(8))
    left: Mapped[int]
    winner: Mapped[int | None]
    comment: Mapped[str] = mapped_column(Text)
    created_at: Mapped[float]
