"""The tables. Times are seconds since the epoch, sizes bytes.

Queries return detached objects: changes to them are not written back. A change here needs a migration; a test compares
the two.

Review items and votes are never updated. Of a review only its end and its public link change, of a reviewer only
whether the votes count.
"""

from __future__ import annotations

from typing import Any, Literal

from sqlalchemy import (
    JSON,
    BigInteger,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    MetaData,
    String,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, MappedAsDataclass, mapped_column

from playground.errors import PlaygroundError, from_wire

State = Literal["queued", "running", "done", "failed", "cancelled", "interrupted"]
MAX_TITLE = 1200
OVER: tuple[State, ...] = ("done", "failed", "cancelled", "interrupted")
Choice = Literal["a", "b", "tie", "bad"]
Reveal = Literal["never", "end", "item"]


class Base(MappedAsDataclass, DeclarativeBase, kw_only=True, eq=False):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class Job(Base):
    """One job and how it ended.

    id              random, safe in a URL
    kind, spec      the module that runs it, and its spec
    title           one line for the list
    device          "cpu", "cuda:0": one job runs on each at a time
    pid             of the worker, which leads its process group. `pid_identity` (`process.process_identity`) tells it
                    from a later process with the same pid. None in jobs older than migration 0005
    app_pid         of the process that started the worker, likewise; `app_identity` is "" if that had already ended
    home            `folders.home_id` of the home that queued it and has its processes and folders
    cancelled_at    when its end was requested
    error           `errors.to_wire`, with "log_tail" if the worker died without an error
    result          returned by `run` of its kind
    """

    __tablename__ = "jobs"
    __table_args__ = (Index(None, "device", "state", "created_at"),)

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    kind: Mapped[str] = mapped_column(String(32))
    title: Mapped[str] = mapped_column(String(MAX_TITLE))
    device: Mapped[str] = mapped_column(String(32))
    spec: Mapped[dict[str, Any]] = mapped_column(JSON)
    state: Mapped[State] = mapped_column(String(16))
    created_at: Mapped[float]
    started_at: Mapped[float | None] = mapped_column(default=None)
    ended_at: Mapped[float | None] = mapped_column(default=None)
    cancelled_at: Mapped[float | None] = mapped_column(default=None)
    pid: Mapped[int | None] = mapped_column(default=None)
    pid_identity: Mapped[str | None] = mapped_column(String(128), default=None)
    pid_started: Mapped[float | None] = mapped_column(default=None)  # until migration 0005
    app_pid: Mapped[int | None] = mapped_column(default=None)
    app_identity: Mapped[str | None] = mapped_column(String(128), default=None)
    app_started: Mapped[float | None] = mapped_column(default=None)  # until migration 0005
    home: Mapped[str | None] = mapped_column(String(32), default=None)
    error: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True), default=None)
    result: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True), default=None)

    @property
    def over(self) -> bool:
        return self.state in OVER

    @property
    def seconds(self) -> float | None:
        """Duration; None before the end, or if it never started."""
        return None if self.started_at is None or self.ended_at is None else self.ended_at - self.started_at

    @property
    def failure(self) -> PlaygroundError | None:
        """The error with which it failed or was interrupted; None without one."""
        if self.error is None:
            return None
        error = from_wire(self.error)
        error.log_tail = str(self.error["error"].get("log_tail", ""))
        return error

    def as_row(self) -> dict[str, Any]:
        """The documented JSON of `playground jobs`."""
        return {
            "id": self.id,
            "kind": self.kind,
            "title": self.title,
            "device": self.device,
            "state": self.state,
            "created_at": self.created_at,
            "started_at": self.started_at,
            "ended_at": self.ended_at,
            "spec": self.spec,
            "error": None if self.error is None else self.error["error"],
            "result": self.result,
        }


class StoredVariant(Base):
    """A quantized variant that was made here.

    id            "smollm2:awq-w4a16_asym-g64"
    model, name   the parts before and after the colon; of a local model the resolved path
    path          its folder, in the home's variants or where the user chose
    parameters    logical parameters: packed values are counted unpacked
    recipe        a `Recipe` as JSON
    parent        id and content hash of the reference it was made from
    card          sizes, seconds, peak memory, error per layer, the check after reloading
    """

    __tablename__ = "variants"
    __table_args__ = (UniqueConstraint("model", "name"),)

    id: Mapped[str] = mapped_column(String(1200), primary_key=True)
    model: Mapped[str] = mapped_column(String(1024))
    name: Mapped[str] = mapped_column(String(128))
    method: Mapped[str] = mapped_column(String(64))
    scheme: Mapped[str] = mapped_column(String(64))
    group_size: Mapped[int | None]
    path: Mapped[str] = mapped_column(String(4096))
    bytes: Mapped[int] = mapped_column(BigInteger)
    bits_per_weight: Mapped[float]
    parameters: Mapped[int] = mapped_column(BigInteger)
    content_hash: Mapped[str] = mapped_column(String(128))
    recipe: Mapped[dict[str, Any]] = mapped_column(JSON)
    parent: Mapped[dict[str, Any]] = mapped_column(JSON)
    card: Mapped[dict[str, Any]] = mapped_column(JSON)
    job_id: Mapped[str | None] = mapped_column(String(32), index=True)
    created_at: Mapped[float]


class Run(Base):
    """A stored result: never updated, only read and, by the owner, deleted.

    id          random, part of the link
    kind        "comparison", "evaluation", "divergence", "bench", "quantization", "review"
    model       the reference's model, `models.names.key`
    words       title, model and variants, case-folded, for the search
    settings    everything requested that can change a figure
    versions    of packages
    device      name, cores or memory, measured bandwidth
    variants    the reference first: id, label, method, scheme, bytes, bits_per_weight, content_hash, engine, dtype
    result      tables and summaries; items of tasks are in `folders.run(id)`

    `result` is the last column: SQLite reads through all columns before the one that it wants.
    """

    __tablename__ = "runs"
    __table_args__ = (
        Index(None, "created_at", "id"),
        Index(None, "kind", "created_at", "id"),
        Index(None, "model", "created_at", "id"),
    )

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    kind: Mapped[str] = mapped_column(String(32))
    title: Mapped[str] = mapped_column(String(MAX_TITLE))
    model: Mapped[str] = mapped_column(String(1024))
    created_at: Mapped[float]
    words: Mapped[str] = mapped_column(Text, init=False, repr=False)
    settings: Mapped[dict[str, Any]] = mapped_column(JSON)
    versions: Mapped[dict[str, Any]] = mapped_column(JSON)
    device: Mapped[dict[str, Any]] = mapped_column(JSON)
    variants: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    result: Mapped[dict[str, Any]] = mapped_column(JSON, sort_order=1)
    job_id: Mapped[str | None] = mapped_column(String(32), index=True, default=None)

    def __post_init__(self) -> None:
        self.title = one_line(self.title, MAX_TITLE)
        texts = (variant.get(key) for variant in self.variants for key in ("id", "label", "scheme"))
        self.words = folded(self.title, self.model, *(str(text) for text in dict.fromkeys(texts) if text))

    def as_row(self) -> dict[str, Any]:
        """The documented JSON of a run."""
        return {name: getattr(self, name) for name in FIELDS}


FIELDS = (
    *("id", "kind", "title", "model", "created_at"),
    *("settings", "versions", "device", "variants", "result", "job_id"),
)


class RunNote(Base):
    """The owner's title and note of a run, and whether its link is revoked. A run without a row has none of them.

    title       replaces the run's own; None: does not
    words       title and note, case-folded, for the search
    revoked_at  when the link was revoked; None: the link works
    """

    __tablename__ = "run_notes"

    run_id: Mapped[str] = mapped_column(String(32), ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    updated_at: Mapped[float] = mapped_column(sort_order=1)
    title: Mapped[str | None] = mapped_column(String(MAX_TITLE), default=None)
    note: Mapped[str] = mapped_column(Text, default="")
    words: Mapped[str] = mapped_column(Text, default="")
    revoked_at: Mapped[float | None] = mapped_column(default=None)


def one_line(text: str, length: int) -> str:
    """`text` for a database column of `length` characters: without line breaks, NUL and lone surrogates."""
    line = " ".join(text.replace("\0", "").split()).encode("utf-8", "replace").decode()
    return line if len(line) <= length else f"{line[: length - 1]}…"


def folded(*texts: str) -> str:
    """`texts` for the search, joined and case-folded here, because databases differ in their case folding."""
    return " ".join(texts).replace("\0", "").encode("utf-8", "replace").decode().casefold()


# Blind reviews.


class Review(Base):
    """A blind review.

    id         random, part of every link
    key        of the public link; None: there is none, only invitations
    places     limit of reviewers through that link
    title      shown to reviewers; `name` is the owner's and may name variants
    reveal     when reviewers learn the names: never, after their last vote, after each
    settings   source of the answers, sampling, how pairs were made, what was left out and why
    variants   the reference first: id, label and more that the owner sees
    closed_at  when it was closed: it accepts no vote any more
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
    """Two answers to one prompt.

    number         of the item in its review, from 0
    prompt_number  of its prompt: votes on items of one prompt are correlated
    first, second  positions in the review's variants; first < second
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
    """A reviewer.

    key          128 bits: in the link of an invitation, or in the cookie of a guest of the public link
    label        the owner's name for them; "" without an invitation
    order        [item number, whether the second answer is on side A], drawn once for this reviewer
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
    """One reviewer's vote on one item; the primary key prevents a second one.

    choice  by side
    left    the variant on side A
    winner  the preferred variant; None for a tie and for two bad answers
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
