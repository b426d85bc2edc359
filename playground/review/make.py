"""Make a review: pairs of stored answers, invitations, and for each reviewer a random order and random sides.

Answers come from stored comparisons, or from variants that answer a set of prompts: the bundled one, a pasted text, or
an uploaded file.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from playground.core import Message
from playground.errors import InvalidRequest
from playground.models.address import Address
from playground.spec import Spec, Whole
from playground.store import reviews, runs
from playground.store.schema import Reveal, Review, Reviewer, ReviewItem, Run

TITLE = "Which answer is better?"
MAX_VARIANTS = 8
MAX_ITEMS = 600
MAX_RUNS = 200
MAX_INVITATIONS = 100
MAX_PLACES = 200
MAX_NAME = 100  # characters of a reviewer's name, and of who asks
SECONDS = 25  # for one pair of short answers
MAX_ANSWER = 60_000  # characters
Pairs = Literal["reference", "all"]
BUNDLED = "bundled"
DATA = Path(__file__).parent / "data/prompts.jsonl"
SUFFIXES = (".jsonl", ".txt")
MAX_PROMPTS = 200
MAX_CHARACTERS = 8000  # of one prompt
MAX_BYTES = 2**20
FIELDS = ("prompt", "question", "instruction", "text")


class Terms(Spec):
    """The settings of a review. Raises InvalidRequest.

    title        shown to reviewers; names no variant
    asked_by     who asks, shown to reviewers; "" shows nobody
    pairs        each variant against the reference, or each against each
    reveal       when a reviewer learns the names: never, after the last vote, after each one
    invitations  labels of the people who get a link of their own
    places       how many reviewers may join through the public link; 0: there is no such link
    """

    title: str = TITLE
    asked_by: str = ""
    pairs: Pairs = "reference"
    reveal: Reveal = "end"
    invitations: tuple[str, ...] = ()
    places: Whole = Field(default=0, ge=0, le=MAX_PLACES)

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if not self.title.strip() or len(self.title) > 200:
            raise InvalidRequest(
                "The title is empty or longer than 200 characters.", hint="Reviewers read it.", field="title"
            )
        if len(self.asked_by) > MAX_NAME:
            raise InvalidRequest(
                f"The name of who asks has more than {MAX_NAME} characters.", hint="Shorten it.", field="asked_by"
            )
        if len(self.invitations) > MAX_INVITATIONS or any(not 0 < len(name) <= MAX_NAME for name in self.invitations):
            raise InvalidRequest(
                "There are too many reviewers, or a name is too long.",
                hint=f"Allowed: {MAX_INVITATIONS} names of 1 to {MAX_NAME} characters each.",
                field="invitations",
            )
        if not self.invitations and not self.places:
            raise no_reviewer()
        if self.reveal == "item" and self.places:
            raise InvalidRequest(
                "With a public link, names cannot be shown after each vote.",
                hint="Someone who has seen them could come back as a new reviewer. Invite reviewers by name.",
                field="reveal",
            )
        return self


def no_reviewer() -> InvalidRequest:
    return InvalidRequest(
        "Add at least one reviewer.", hint="Enter names, or create a public link.", field="invitations"
    )


def minutes(items: int) -> int:
    """How long one reviewer takes for so many pairs of short answers."""
    return max(1, round(items * SECONDS / 60))


@dataclass(frozen=True, slots=True)
class PromptAnswers:
    """One prompt with each variant's answer, in the order of the variants; None where there is none.

    cut  how many tokens an answer was cut at, None where it ended by itself; () if none was cut
    """

    prompt: str
    texts: tuple[str | None, ...]
    cut: tuple[int | None, ...] = ()


@dataclass(slots=True)
class _Skipped:
    """Pairs that are not shown: of identical answers, or without one."""

    same: list[list[int]] = field(default_factory=list)  # first, second, prompt
    failed: int = 0


def make(
    terms: Terms,
    variants: Sequence[Mapping[str, Any]],
    answered: Sequence[PromptAnswers],
    source: Mapping[str, Any],
    name: str = "",
    job_id: str | None = None,
) -> Review:
    """Make and store a review; committed on return. Raises InvalidRequest.

    source  where the answers come from, kept in the review's settings
    """
    check(terms, variants)
    skipped = _Skipped()
    review = Review(
        id=reviews.new_key(),
        key=reviews.new_key() if terms.places else None,
        places=terms.places,
        title=terms.title.strip(),
        name=name[:1200] or f"{', '.join(row['label'] for row in variants[1:])} against {variants[0]['label']}",
        reveal=terms.reveal,
        settings={},
        variants=[dict(row) for row in variants],
        created_at=time.time(),
        job_id=job_id,
    )
    items = [
        ReviewItem(review_id=review.id, number=number, **pair)
        for number, pair in enumerate(_pairs(terms, answered, len(variants), skipped))
    ]
    if not items:
        raise InvalidRequest(
            "All answers are identical, so there is nothing to vote on."
            if skipped.same
            else "There is no prompt that two variants have answered."
        )
    if len(items) > MAX_ITEMS:
        raise InvalidRequest(
            f"That makes {len(items)} pairs to vote on.", hint=f"Allowed: {MAX_ITEMS}. Take fewer prompts or variants."
        )
    review.settings = {
        **source,
        "pairs": terms.pairs,
        "prompts": len(answered),
        "same": skipped.same,
        "failed": skipped.failed,
        "asked_by": terms.asked_by.strip(),
        "cut": [
            [number, variant, tokens]
            for number, row in enumerate(answered)
            for variant, tokens in enumerate(row.cut)
            if tokens is not None
        ],
    }
    invited = [reviewer(review.id, len(items), label) for label in terms.invitations]
    reviews.add(review, items, invited)
    return review


def check(terms: Terms, variants: Sequence[Mapping[str, Any]]) -> None:
    """Check what can be checked before there is an answer. Raises InvalidRequest."""
    if not 2 <= len(variants) <= MAX_VARIANTS:
        raise InvalidRequest(
            f"{len(variants)} variants are to be compared.", hint=f"Allowed: 2 to {MAX_VARIANTS}.", field="variants"
        )
    if terms.reveal == "item" and len(variants) > 2:
        raise InvalidRequest(
            "With more than two variants, names cannot be shown after each vote.",
            hint="The same answer is shown again beside another one, and reviewers would recognize it.",
            field="reveal",
        )
    for name, text in (("title", terms.title), ("asked_by", terms.asked_by)):
        if word := _names_variant(text, variants):
            raise InvalidRequest(
                f"Reviewers would read {word!r}, which names a variant.", hint="Choose other words.", field=name
            )


def _names_variant(text: str, variants: Sequence[Mapping[str, Any]]) -> str:
    """The first word of a variant's names that is in `text`; "" if there is none."""
    for row in variants:
        for key in ("id", "label", "scheme", "method"):
            for word in re.split(r"[:@/\s]+", str(row.get(key) or "")):
                if len(word) > 2 and re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text, re.IGNORECASE):
                    return word
    return ""


def reviewer(review_id: str, items: int, label: str = "") -> Reviewer:
    """A new reviewer, invited if there is a label. Order and sides are drawn here, once.

    Each side is a fair coin toss. In a list with half of each, the last sides could be deduced by counting.
    """
    order = list(range(items))
    secrets.SystemRandom().shuffle(order)
    return Reviewer(
        id=reviews.new_key(),
        review_id=review_id,
        key=reviews.new_key(),
        label=label,
        invited=bool(label),
        order=[[number, secrets.randbits(1)] for number in order],
        created_at=time.time(),
    )


def invite(review_id: str, label: str) -> Reviewer:
    """Add and return an invited reviewer. Raises UnknownReview, ReviewOver, InvalidRequest."""
    name = label.strip()
    if not 0 < len(name) <= MAX_NAME:
        raise InvalidRequest("Enter a name of 1 to 100 characters.", hint="Only you see it.", field="label")
    if sum(entry.invited for entry in reviews.reviewers(review_id)) >= MAX_INVITATIONS:
        raise InvalidRequest(
            f"A review has at most {MAX_INVITATIONS} invited reviewers.", hint="Create a second review."
        )
    invited = reviewer(review_id, len(reviews.items(review_id)), name)
    reviews.add_reviewer(invited)
    return invited


def _pairs(
    terms: Terms, answered: Sequence[PromptAnswers], variants: int, skipped: _Skipped
) -> Iterator[dict[str, Any]]:
    pairs = list(combinations(range(variants), 2)) if terms.pairs == "all" else [(0, n) for n in range(1, variants)]
    for number, row in enumerate(answered):
        for first, second in pairs:
            first_text, second_text = row.texts[first], row.texts[second]
            if first_text is None or second_text is None:
                skipped.failed += 1
            elif first_text.strip() == second_text.strip():
                skipped.same.append([first, second, number])
            else:
                yield {
                    "prompt_number": number,
                    "prompt": reviews.plain(row.prompt),
                    "first": first,
                    "second": second,
                    "first_text": reviews.plain(first_text[:MAX_ANSWER]),
                    "second_text": reviews.plain(second_text[:MAX_ANSWER]),
                }


# From stored comparisons.


def from_runs(terms: Terms, run_ids: Sequence[str], name: str = "") -> Review:
    """Make a review from stored comparisons, one prompt each. Raises UnknownRun, InvalidRequest."""
    unique_ids = list(dict.fromkeys(run_ids))
    if not 1 <= len(unique_ids) <= MAX_RUNS:
        raise InvalidRequest(f"{len(unique_ids)} runs are named.", hint=f"Allowed: 1 to {MAX_RUNS}.")
    comparisons = [runs.get(run_id) for run_id in unique_ids]
    variants: dict[str, dict[str, Any]] = {}
    answers_by_prompt: list[tuple[str, dict[str, tuple[str | None, int | None]]]] = []
    for run in comparisons:
        if run.kind != "comparison":
            raise InvalidRequest(f"Run {run.id} is of kind {run.kind}.", hint="Answers are in comparisons.")
        rows = list(_panes(run))
        for key, row, _, _ in rows:
            before = variants.setdefault(key, row)
            hashes = {variant["content_hash"] for variant in (before, row) if variant.get("content_hash")}
            if len(hashes) > 1:
                raise InvalidRequest(
                    f"The weights of {row['label']} are not the same in all of these runs.",
                    hint="Take runs of one version of it.",
                )
        answers = {key: (text, cut) for key, _, text, cut in rows}
        answers_by_prompt.append((prompt_text(run.result["prompt"]), answers))
    distinct_labels(list(variants.values()))
    answered = []
    for prompt, answers in answers_by_prompt:
        texts, cuts = zip(*(answers.get(key, (None, None)) for key in variants), strict=True)
        answered.append(PromptAnswers(prompt, texts, cuts))
    source = {"source": "runs", "runs": unique_ids, "sampling": comparisons[0].settings.get("sampling")}
    return make(terms, list(variants.values()), answered, source, name)


def _panes(run: Run) -> Iterator[tuple[str, dict[str, Any], str | None, int | None]]:
    """Of each pane: a key of its variant that holds across runs, the variant, its answer, and where that was cut."""
    limit = (run.settings.get("sampling") or {}).get("max_tokens")
    panes = run.result["panes"]
    for number, pane in enumerate(panes):
        variant = run.variants[number] if len(run.variants) == len(panes) else {}
        engine = pane.get("engine") or variant.get("engine") or ""
        name = Address.parse(variant.get("id") or pane["variant"]).variant
        row = {**variant, "id": name, "engine": engine, "label": variant.get("label") or pane.get("label") or name}
        # An answer that was stopped, failed, or has a prompt of its own cannot be compared.
        complete = not pane.get("error") and not pane.get("prompt") and pane.get("finish_reason") in ("stop", "length")
        cut = limit if complete and pane["finish_reason"] == "length" else None
        yield f"{name}@{engine}", row, pane["text"] if complete else None, cut


def distinct_labels(variants: list[dict[str, Any]]) -> None:
    """Make labels that several variants share unique: append the engine, or take the address. Changes the rows."""
    for label in {str(row["label"]) for row in variants}:
        same = [row for row in variants if row["label"] == label]
        engines = len({row["engine"] for row in same}) == len(same)
        for row in same if len(same) > 1 else ():
            row["label"] = f"{label} on {row['engine']}" if engines else f"{row['id']}@{row['engine']}"


def prompt_text(prompt: Mapping[str, Any]) -> str:
    """A prompt as shown to reviewers: the question alone, or the whole conversation before the answer."""
    messages: list[Message] = prompt.get("messages") or []
    if not messages:
        return str(prompt.get("text") or "")
    if len(messages) == 1:
        return messages[0]["content"]
    words = {"system": "Instructions", "user": "Question", "assistant": "Answer"}
    return "\n\n".join(f"{words[turn['role']]}: {turn['content']}" for turn in messages)


# Sets of prompts.


class PromptSet(Spec):
    """Prompts of a review.

    name  "bundled", "pasted", or the file's name
    hash  SHA-256, hex, of all prompts
    """

    name: str
    prompts: tuple[str, ...]
    hash: str

    def first(self, count: int) -> PromptSet:
        """`count` prompts at equal steps, so that each kind keeps its share; all of them if there are no more."""
        if count >= len(self.prompts):
            return self
        step = len(self.prompts) / count
        return _prompt_set(self.name, [self.prompts[int(number * step)] for number in range(count)])


@cache
def bundled_rows() -> tuple[dict[str, str], ...]:
    """The bundled prompts: rows of id, kind, prompt."""
    return tuple(json.loads(line) for line in DATA.read_text(encoding="utf-8").splitlines())


def bundled() -> PromptSet:
    """Short prompts of many kinds, one of each kind in turn. None is a text for calibration or evaluation."""
    return _prompt_set(BUNDLED, [row["prompt"] for row in bundled_rows()])


def pasted(text: str) -> PromptSet:
    """Prompts separated by blank lines; without blank lines, one per line. Raises InvalidRequest."""
    _check_size(len(text.encode("utf-8", errors="replace")))
    return _deduplicated("pasted", _split(text))


def read(name: str, data: bytes) -> PromptSet:
    """The prompts of a file: .txt is read as pasted text, .jsonl has a prompt in each row. Raises InvalidRequest."""
    _check_size(len(data))
    suffix = Path(name).suffix.lower()
    if suffix not in SUFFIXES:
        raise InvalidRequest(
            f"{name[-60:]!r} is not a file of prompts.", hint=f"Its name must end in {' or '.join(SUFFIXES)}."
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidRequest(f"{name[-60:]!r} is not text in UTF-8.", hint="Save it as UTF-8.") from None
    prompts = _rows(text) if suffix == ".jsonl" else _split(text)
    return _deduplicated(Path(name).name[-100:], prompts)


def load(source: str) -> PromptSet:
    """The bundled prompts ("bundled") or those of a local file. Raises InvalidRequest."""
    if source == BUNDLED:
        return bundled()
    path = Path(source).expanduser()
    if not path.is_file():
        raise InvalidRequest(f"There is no file {source[-120:]!r}.", hint="Name a .jsonl or .txt file, or bundled.")
    _check_size(path.stat().st_size)
    return read(path.name, path.read_bytes())


def _split(text: str) -> list[str]:
    lines = text.replace("\r\n", "\n").replace("\r", "\n").strip().split("\n")
    if all(line.strip() for line in lines):
        return lines
    blocks: list[list[str]] = [[]]
    for line in lines:
        if line.strip():
            blocks[-1].append(line)
        elif blocks[-1]:
            blocks.append([])
    return ["\n".join(block) for block in blocks]


def _rows(text: str) -> list[str]:
    prompts = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            row: Any = json.loads(line)
        except (ValueError, RecursionError):
            raise InvalidRequest(f"Line {number} is not JSON.", hint='Write {"prompt": "…"} in each line.') from None
        prompts.append(_prompt(row, number))
    return prompts


def _prompt(row: Any, number: int) -> str:
    if isinstance(row, str):
        return row
    if isinstance(row, dict):
        if texts := [row[name] for name in FIELDS if isinstance(row.get(name), str)]:
            return str(texts[0])
        messages = row.get("messages")
        for message in messages if isinstance(messages, list) else ():
            if isinstance(message, dict) and message.get("role") == "user" and isinstance(message.get("content"), str):
                return str(message["content"])
    raise InvalidRequest(f"Line {number} has no prompt.", hint=f"Its field is called {', '.join(FIELDS)} or messages.")


def _deduplicated(name: str, prompts: Iterable[str]) -> PromptSet:
    unique = list(dict.fromkeys(filter(None, (prompt.strip() for prompt in prompts))))
    if not unique:
        raise InvalidRequest("Enter at least one prompt.", hint="One per line, or separated by blank lines.")
    if len(unique) > MAX_PROMPTS:
        raise InvalidRequest(f"{len(unique)} prompts are too many.", hint=f"Allowed: {MAX_PROMPTS}.")
    if longest := [prompt for prompt in unique if len(prompt) > MAX_CHARACTERS]:
        raise InvalidRequest(
            f"A prompt has {len(longest[0]):,} characters: {longest[0][:40]!r}…",
            hint=f"Allowed: {MAX_CHARACTERS:,}. Separate prompts of several lines by blank lines.",
        )
    return _prompt_set(name, unique)


def _check_size(size: int) -> None:
    if size > MAX_BYTES:
        raise InvalidRequest(f"The prompts have {size / 2**20:.1f} MiB.", hint=f"Allowed: {MAX_BYTES // 2**20} MiB.")


def _prompt_set(name: str, prompts: list[str]) -> PromptSet:
    content = json.dumps(prompts, ensure_ascii=False).encode("utf-8", errors="replace")
    return PromptSet(name=name, prompts=tuple(prompts), hash=hashlib.sha256(content).hexdigest())
