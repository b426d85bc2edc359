"""One row of a data set as a sample: the field names that chat and text data sets use."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from playground.core import Message
from playground.errors import InvalidCalibration

MIN_CHARACTERS = 32  # shorter text is useless for calibration
FIELDS = "messages, conversations, text, content, prompt + response"
_ROLES = {"human": "user", "gpt": "assistant", "bot": "assistant", "model": "assistant"}
_ABOUT = ("id", "domain", "language")
_PAIRS = (
    ("prompt", "response"),
    ("prompt", "completion"),
    ("instruction", "output"),
    ("instruction", "response"),
    ("question", "answer"),
)


@dataclass(frozen=True, slots=True)
class Sample:
    """One piece of calibration text: a conversation (`messages`) or prose (`text`); the other one is empty."""

    messages: tuple[Message, ...] = ()
    text: str = ""
    id: str = ""
    domain: str = ""
    language: str = ""

    @property
    def plain(self) -> str:
        """The whole sample as plain text, for comparison with evaluation text."""
        return self.text or "\n\n".join(message["content"] for message in self.messages)


def sample(row: object, source: str) -> Sample | None:
    """The sample in a row; None for one with too little text, or with turns of tools.

    `source` names the row in errors ("Line 3 of chats.jsonl"). Raises InvalidCalibration for a row without a known
    field.
    """
    if isinstance(row, str):
        return _long_enough(Sample(text=_clean(row)))
    if not isinstance(row, Mapping):
        raise InvalidCalibration(f"{source} is not an object.", hint=f"Each row is an object with one of: {FIELDS}.")
    facts: dict[str, Any] = {name: row[name] for name in _ABOUT if isinstance(row.get(name), str)}
    for name in ("messages", "conversations", "conversation"):
        if isinstance(row.get(name), list | tuple):
            turns = _turns(row[name], source)
            return _long_enough(Sample(messages=turns, **facts)) if turns else None
    for name in ("text", "content"):
        if isinstance(row.get(name), str):
            return _long_enough(Sample(text=_clean(row[name]), **facts))
    for question_field, answer_field in _PAIRS:
        if isinstance(row.get(question_field), str) and isinstance(row.get(answer_field), str):
            extra = row.get("input")
            question = row[question_field]
            if isinstance(extra, str) and extra.strip():
                question = f"{question}\n\n{extra}"
            pair = (_message("user", question), _message("assistant", row[answer_field]))
            return _long_enough(Sample(messages=pair, **facts))
    names = ", ".join(sorted(map(str, row))[:8]) or "nothing"
    raise InvalidCalibration(f"{source} has no text that can be used, only: {names[:200]}.", hint=f"Needed: {FIELDS}.")


def _turns(raw: Iterable[Any], source: str) -> tuple[Message, ...]:
    """The turns of a conversation; empty if a tool takes part, because templates render its turns differently."""
    turns: list[Message] = []
    for turn in raw:
        if not isinstance(turn, Mapping):
            raise InvalidCalibration(f"{source} has a turn that is not an object.", hint='Needed: {"role", "content"}.')
        role = turn.get("role", turn.get("from"))
        content = turn.get("content", turn.get("value"))
        if isinstance(content, list | tuple):
            content = "\n".join(_parts(content))
        role = _ROLES.get(role, role) if isinstance(role, str) else None
        if role is None or not isinstance(content, str):
            raise InvalidCalibration(
                f"{source} has a turn without a role or without content.",
                hint='Needed: {"role", "content"}, or {"from", "value"}.',
            )
        if role not in ("system", "user", "assistant"):
            return ()
        turns.append(_message(role, content))
    return tuple(turns)


def _parts(content: Iterable[Any]) -> Iterator[str]:
    """The text parts of a message; images and audio are skipped."""
    for part in content:
        if isinstance(part, str):
            yield part
        elif isinstance(part, Mapping) and isinstance(part.get("text"), str):
            yield part["text"]


def _message(role: str, content: str) -> Message:
    return cast(Message, {"role": role, "content": _clean(content)})


def _clean(text: str) -> str:
    """Text without lone surrogates, which JSON may contain but UTF-8, and so a tokenizer, may not."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _long_enough(candidate: Sample) -> Sample | None:
    return candidate if len(candidate.plain.strip()) >= MIN_CHARACTERS else None
