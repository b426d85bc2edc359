"""A pane and its turns: one prompt, one answer, kept as data and as the lines that the browser draws."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, field, replace
from typing import Literal

from playground.compare import encode
from playground.compare.answer import Answer, ForcedAnswer, ForcedItem, Item
from playground.compare.run import PaneRequest, messages
from playground.core import Finish, ForcedTokens, Loaded, Message, Progress, Prompt, Sampling, Token, Variant
from playground.engines import base
from playground.errors import PlaygroundError
from playground.models.address import Address

NUMBERS_EVERY_S = 0.25


@dataclass(frozen=True, slots=True)
class Ask:
    """One prompt with everything that shapes its answer."""

    prompt: str
    system: str = ""
    raw: bool = False
    sampling: Sampling = field(default_factory=Sampling)
    at_once: bool = False


ForcedState = Literal["none", "measuring", "done", "open", "blocked"]


@dataclass(slots=True)
class Forced:
    """The measurement of the reference's answer in this variant.

    of     the key of the reference's turn, "" before anything was measured
    state  open: it can be measured, or measured again; blocked: it cannot
    label  of the reference's pane
    """

    of: str = ""
    result: ForcedAnswer | None = None
    state: ForcedState = "none"
    label: str = ""
    lines: list[str] = field(default_factory=list)

    @property
    def words(self) -> str:
        """The sentence of `ForcedAnswer`; "" before anything was measured."""
        return self.result.sentence(self.label) if self.result else ""


class Turn:
    """One prompt and one pane's answer to it, as data and as the lines the browser draws."""

    def __init__(self, ask: Ask, variant: str, address: str = "", source: tuple[Message, ...] | str = "") -> None:
        self.ask = ask
        self.key = uuid.uuid4().hex[:12]
        self.result = Answer(variant, address=address, source=source or ask.prompt, sampling=ask.sampling)
        self.forced = Forced()
        self._split_lines: dict[int, str] = {}
        self._lines = [encode.line("user", ask.prompt, self.key), encode.made(ask.sampling, ask.raw, None, None)]
        self._progress: Progress | None = None
        self._numbers_at = 0.0
        self._stale = False
        self._lines.append(encode.state("waiting"))

    def add(self, item: Item) -> None:
        """Add one item of the comparison. Figures and progress change too often: `flush` writes their lines."""
        last = self.result.tokens[-1] if self.result.tokens else None
        self.result.add(item)
        match item:
            case Progress():
                self._progress = item
            case Loaded():
                self._progress = None
                self._lines += [encode.made(self.ask.sampling, self.ask.raw, item, None), encode.state("ready")]
            case Prompt():
                chip = encode.made(self.ask.sampling, self.ask.raw, self.result.loaded, item.template)
                reading = Progress("Reading the prompt", len(item.ids), 0, "tokens")
                self._lines += [chip, encode.state("reading", reading)]
            case Token():
                self._lines.append(encode.token(item, last))
                self._stale = True
            case Finish():
                self.flush(final=True)
                self._lines.append(encode.end(self.result, item, self.ask.sampling))
            case PlaygroundError():
                self.flush(final=True)
                self._lines.append(encode.fail(item))
            case Variant():
                pass

    def flush(self, final: bool = False) -> None:
        """Write progress and figures, at most every `NUMBERS_EVERY_S` unless `final`."""
        now = time.monotonic()
        if not final and now - self._numbers_at < NUMBERS_EVERY_S:
            return
        if self._progress is not None and not self.result.done:
            self._lines.append(encode.state("waiting" if self.result.prompt else "loading", self._progress))
            self._progress, self._numbers_at = None, now
        if self._stale or (final and self.result.tokens):
            self._lines.append(encode.numbers(self.result))
            self._stale, self._numbers_at = False, now

    def mark_split(self, slot: int, text: str) -> None:
        """Add the line that marks the first token differing from `slot`'s pane."""
        self._split_lines[slot] = text
        self._lines.append(text)

    def has_split(self, slot: int) -> bool:
        return slot in self._split_lines

    def forget_split(self, slot: int) -> None:
        """Remove that line: the other pane is about to answer again."""
        if text := self._split_lines.pop(slot, None):
            self._lines.remove(text)

    def force(self, reference: Turn, label: str, shared: int) -> None:
        """Begin a measurement: the answer of `reference`, in the pane `label`, is forced through this variant.

        shared  how many of this answer's own tokens had the same context as the reference's
        """
        self.forget_forced()
        result = ForcedAnswer(len(reference.result.tokens))
        self.forced = Forced(reference.key, result, "measuring", label)
        self._add_forced(encode.measure(reference.key, label, result.total, shared))
        self._add_forced(encode.measured("measuring", ""))

    def add_forced(self, item: ForcedItem) -> None:
        """Add one item of the measurement."""
        answer = self.forced.result
        if answer is None:  # forgotten: the reference is answering anew
            return
        start = len(answer.tokens)
        answer.add(item)
        if isinstance(item, ForcedTokens):
            self._add_forced(encode.forced(start, item.tokens))
        elif isinstance(item, Progress):
            self._add_forced(encode.measured("measuring", encode.progress(item)))

    def end_forced(self, state: ForcedState, reason: str = "") -> None:
        """Mark the measurement as ended; later calls change nothing."""
        if self.forced.result is None or self.forced.state != "measuring":
            return
        answer = self.forced.result
        self.forced.state = "done" if answer.complete else state
        if not answer.complete:
            answer.reason = answer.reason or reason
        self._add_forced(encode.measured(self.forced.state, self.forced.words))

    def forget_forced(self) -> None:
        forgotten, self.forced = set(map(id, self.forced.lines)), Forced()
        self._lines = [text for text in self._lines if id(text) not in forgotten]

    def _add_forced(self, text: str) -> None:
        self._lines.append(text)
        self.forced.lines.append(text)

    @property
    def value(self) -> str:
        return "".join(self._lines)

    @property
    def answered(self) -> bool:
        return bool(self.result.text) and not self.ask.raw

    def as_messages(self) -> list[Message]:
        return [{"role": "user", "content": self.ask.prompt}, {"role": "assistant", "content": self.result.text}]


class Pane:
    """One column of the page: a variant, the engine that runs it, and its conversation.

    `variant` is the address as chosen; `engine` is the chosen one, or the one that the run's panes share.
    """

    def __init__(self) -> None:
        self.variant = ""
        self.facts: Variant | None = None
        self.error: PlaygroundError | None = None
        self.turns: list[Turn] = []
        self.engine = ""
        self._head = ""
        self._head_args: tuple[bool, str] = (False, "")

    def show(
        self,
        name: str,
        facts: Variant | None,
        reference: bool,
        error: PlaygroundError | None = None,
        origin: str = "",
    ) -> None:
        """Show the variant called `name`; a change of variant clears the conversation."""
        if name != self.variant:
            self.turns = []
        self.variant, self.facts, self.error = name, facts, error
        self._head_args = (reference, origin)
        self.run_on(Address.parse(name).engine or (base.default(facts) if facts else ""))

    def run_on(self, engine: str) -> None:
        """Set the engine, and render the head, which names it."""
        self.engine = engine
        reference, origin = self._head_args
        options = base.options(self.facts) if self.facts else []
        self._head = encode.head(self.facts, self.variant, reference, origin, engine, options)
        self._head += encode.fail(self.error) if self.error else ""

    @property
    def address(self) -> str:
        """The address sent to the engines."""
        if self.facts is None or self.engine in ("", base.default(self.facts)):
            return self.variant
        return str(replace(Address.parse(self.variant), engine=self.engine))

    @property
    def label(self) -> str:
        """Its name in other panes and the picker: names the engine where it is not the variant's default."""
        if self.facts is None:
            return self.variant
        is_default = self.engine in ("", base.default(self.facts))
        return self.facts.label if is_default else f"{self.facts.label} · {base.title(self.engine)}"

    @property
    def value(self) -> str:
        return self._head + "".join(turn.value for turn in self.turns)

    def request(self, ask: Ask) -> PaneRequest:
        if ask.raw:
            return PaneRequest(self.address, text=ask.prompt)
        history = [turn for past in self.turns if past.answered for turn in past.as_messages()]
        return PaneRequest(self.address, messages=messages(ask.prompt, ask.system, history))
