"""One row of a data set as a sample: the field names that chat and text data sets use."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from playground.core import Message
from playground.errors import InvalidCalibration

MIN_CHARACTERS = 32  # shorter text says nothing about activations
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
        """All of it as plain text: what is compared with evaluation text."""
        return self.text or "\n\n".join(message["content"] for message in self.messages)


def sample(row: object, where: str) -> Sample | None:
    """The sample in a row; None for one with too little text, or with turns of tools.

    `where` names the row ("Line 3 of chats.jsonl"). Raises InvalidCalibration for a row without a known field.
    """
    if isinstance(row, str):
        return _long_enough(Sample(text=_clean(row)))
    if not isinstance(row, Mapping):
        raise InvalidCalibration(f"{where} is not an object.", hint=f"Each row is an object with one of: {FIELDS}.")
    about: dict[str, Any] = {name: row[name] for name in _ABOUT if isinstance(row.get(name), str)}
    for name in ("messages", "conversations", "conversation"):
        if isinstance(row.get(name), list | tuple):
            turns = _turns(row[name], where)
            return _long_enough(Sample(messages=turns, **about)) if turns else None
    for name in ("text", "content"):
        if isinstance(row.get(name), str):
            return _long_enough(Sample(text=_clean(row[name]), **about))
    for ask, answer in _PAIRS:
        if isinstance(row.get(ask), str) and isinstance(row.get(answer), str):
            extra = row.get("input")
            question = f"{row[ask]}\n\n{extra}" if isinstance(extra, str) and extra.strip() else row[ask]
            pair = (_message("user", question), _message("assistant", row[answer]))
            return _long_enough(Sample(messages=pair, **about))
    names = ", ".join(sorted(map(str, row))[:8]) or "nothing"
    raise InvalidCalibration(f"{where} has no text that can be used, only: {names[:200]}.", hint=f"Needed: {FIELDS}.")


def _turns(raw: Iterable[Any], where: str) -> tuple[Message, ...]:
    """The turns of a conversation; none when a tool takes part, whose turns every template writes in its own way."""
    turns: list[Message] = []
    for turn in raw:
        if not isinstance(turn, Mapping):
            raise InvalidCalibration(f"{where} has a turn that is not an object.", hint='Needed: {"role", "content"}.')
        role = turn.get("role", turn.get("from"))
        content = turn.get("content", turn.get("value"))
        if isinstance(content, list | tuple):
            content = "\n".join(_parts(content))
        role = _ROLES.get(role, role) if isinstance(role, str) else None
        if role is None or not isinstance(content, str):
            raise InvalidCalibration(
                f"{where} has a turn without a role or without content.",
                hint='Needed: {"role", "content"}, or {"from", "value"}.',
            )
        if role not in ("system", "user", "assistant"):
            return ()
        turns.append(_message(role, content))
    return tuple(turns)


def _parts(content: Iterable[Any]) -> Iterator[str]:
    """The text among the parts of a message; pictures and sound are left out."""
    for part in content:
        if isinstance(part, str):
            yield part
        elif isinstance(part, Mapping) and isinstance(part.get("text"), str):
            yield part["text"]


def _message(role: str, content: str) -> Message:
    return cast(Message, {"role": role, "content": _clean(content)})


def _clean(text: str) -> str:
    """Text that every tokenizer takes: JSON can hold half a surrogate pair, UTF-8 cannot."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _long_enough(found: Sample) -> Sample | None:
    return found if len(found.plain.strip()) >= MIN_CHARACTERS else None
