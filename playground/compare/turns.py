"""A pane and its turns: one prompt, one answer, kept as data and written as rows for the browser."""

from __future__ import annotations

import json
import time
import uuid
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

from playground.compare import encode
from playground.compare.answer import Answer, ForcedAnswer, ForcedItem, Item
from playground.compare.run import PaneRequest, messages
from playground.compare.spec import AskSpec
from playground.core import Finish, ForcedTokens, Loaded, Message, Progress, Prompt, Token, Variant
from playground.engines import base
from playground.errors import PlaygroundError
from playground.models.address import Address
from playground.web.stream import Rows

NUMBERS_EVERY_S = 0.25

Emit = Callable[[encode.Row], None]
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

    @property
    def words(self) -> str:
        """The sentence of `ForcedAnswer`; "" before anything was measured."""
        return self.result.sentence(self.label) if self.result else ""


class Turn:
    """One prompt and one pane's answer to it, as data and as rows, which `emit` takes."""

    def __init__(
        self, ask: AskSpec, variant: str, emit: Emit, address: str = "", source: tuple[Message, ...] | str = ""
    ) -> None:
        self.ask = ask
        self.key = uuid.uuid4().hex[:12]
        self.result = Answer(variant, address=address, source=source or ask.prompt, sampling=ask.sampling)
        self.forced = Forced()
        self._emit = emit
        self._splits: dict[int, encode.Row] = {}
        self._progress: Progress | None = None
        self._waiting_for = ""
        self._packed = b""
        self._text = ""
        self._numbers_at = 0.0
        self._stale = False
        emit(["user", ask.prompt, self.key])
        emit(encode.made(ask.sampling, ask.raw, None, None))
        emit(encode.state("waiting"))

    def mute(self) -> None:
        """Emit nothing more: the pane shows other things while this answer still ends."""
        self._emit = lambda _: None

    def add(self, item: Item) -> None:
        """Add one item of the comparison. Figures and progress change too often: `flush` emits their rows."""
        last = self.result.tokens[-1] if self.result.tokens else None
        self.result.add(item)
        match item:
            case Progress():
                self._progress = item
            case Loaded():
                self._progress = None
                self._emit(encode.made(self.ask.sampling, self.ask.raw, item, None))
                self._emit(encode.state("ready"))
            case Prompt():
                self._emit(encode.made(self.ask.sampling, self.ask.raw, self.result.loaded, item.template))
                self._emit(encode.state("reading", Progress("Reading the prompt", len(item.ids), 0, "tokens")))
            case Token():
                self._emit(encode.token(item, last))
                self._stale = True
            case Finish():
                self.flush(final=True)
                self._emit(encode.end(self.result, item, self.ask.sampling))
            case PlaygroundError():
                self.flush(final=True)
                self._emit(encode.fail(item))
            case Variant():
                pass

    def flush(self, final: bool = False) -> None:
        """Emit progress and figures, at most every `NUMBERS_EVERY_S` unless `final`."""
        now = time.monotonic()
        if not final and now - self._numbers_at < NUMBERS_EVERY_S:
            return
        if self._progress is not None and not self.result.done:
            self._emit(encode.state("waiting" if self.result.prompt else "loading", self._progress))
            self._progress, self._numbers_at = None, now
        if self._stale or (final and self.result.tokens):
            self._emit(encode.numbers(self.result))
            self._stale, self._numbers_at = False, now

    def wait(self, words: str) -> None:
        """Say what the answer waits for before an engine has it; nothing if that was said last."""
        if words != self._waiting_for:
            self._emit(encode.state("waiting", Progress(words)))
        self._waiting_for = words

    def mark_split(self, slot: int, row: encode.Row) -> None:
        """Mark the first token that differs from `slot`'s pane."""
        self._splits[slot] = row
        self._emit(row)

    def has_split(self, slot: int) -> bool:
        return slot in self._splits

    def forget_split(self, slot: int) -> None:
        """Take that mark away. Only the last one can be, so later ones are taken away too and emitted again."""
        if slot not in self._splits:
            return
        position = list(self._splits).index(slot)
        later = list(self._splits.values())[position + 1 :]
        for _ in range(len(later) + 1):
            self._emit(encode.forget("part"))
        del self._splits[slot]
        for row in later:
            self._emit(row)

    def force(self, reference: Turn, label: str, shared: int) -> None:
        """Begin a measurement: the answer of `reference`, in the pane `label`, is forced through this variant.

        shared  how many of this answer's own tokens had the same context as the reference's
        """
        self.forget_forced()
        result = ForcedAnswer(len(reference.result.tokens))
        self.forced = Forced(reference.key, result, "measuring", label)
        self._emit(encode.measure(reference.key, label, result.total, shared))
        self._emit(encode.measured("measuring", ""))

    def add_forced(self, item: ForcedItem) -> None:
        """Add one item of the measurement."""
        answer = self.forced.result
        if answer is None:  # forgotten: the reference is answering anew
            return
        start = len(answer.tokens)
        answer.add(item)
        if isinstance(item, ForcedTokens):
            self._emit(encode.forced(start, item.tokens))
        elif isinstance(item, Progress) and time.monotonic() - self._numbers_at >= NUMBERS_EVERY_S:
            self._emit(encode.measured("measuring", encode.progress(item)))
            self._numbers_at = time.monotonic()

    def end_forced(self, state: ForcedState, reason: str = "") -> None:
        """Mark the measurement as ended; later calls change nothing."""
        if self.forced.result is None or self.forced.state != "measuring":
            return
        answer = self.forced.result
        self.forced.state = "done" if answer.complete else state
        if not answer.complete:
            answer.reason = answer.reason or reason
        self._emit(encode.measured(self.forced.state, self.forced.words))

    def forget_forced(self) -> None:
        if self.forced.of:
            self._emit(encode.forget("forced"))
        self.forced = Forced()

    def archive(self) -> None:
        """Keep the text and, packed, the alternatives of a turn that is stored and no longer the last one.

        A token with its alternatives takes 1.5 kB as objects, and a chat has thousands.
        """
        if self._packed:
            return
        self._text = self.text
        positions = self.forced.result.tokens if self.forced.result else []
        count = max(len(self.result.tokens), len(positions))
        self._packed = zlib.compress(json.dumps([self.token(index) for index in range(count)]).encode())
        self.result = replace(self.result, tokens=[], prompt=None)
        self.forced.result = None

    @property
    def text(self) -> str:
        return self._text if self._packed else self.result.text

    def token(self, index: int) -> dict[str, Any] | None:
        """The alternatives at a position, of this answer and of the reference's forced through it; None if neither."""
        if self._packed:
            packed: list[dict[str, Any]] = json.loads(zlib.decompress(self._packed))
            return packed[index] if 0 <= index < len(packed) else None
        tokens = self.result.tokens
        own = tokens[index] if 0 <= index < len(tokens) else None
        positions = self.forced.result.tokens if self.forced.result else []
        forced = encode.position(positions[index]) if 0 <= index < len(positions) else None
        if own is None and forced is None:
            return None
        return {
            "piece": own.piece if own else None,
            "top": encode.alternatives(own.top[:5]) if own else [],
            "forced": forced,
        }

    @property
    def answered(self) -> bool:
        return bool(self.text) and not self.ask.raw

    def as_messages(self) -> list[Message]:
        return [{"role": "user", "content": self.ask.prompt}, {"role": "assistant", "content": self.text}]


class Pane:
    """One column of the page: a variant, the engine that runs it, and its conversation, written to `rows`.

    `variant` is the address as chosen; `engine` is the chosen one, or the one that the run's panes share.
    """

    def __init__(self, slot: int, rows: Rows) -> None:
        self.slot, self._rows = slot, rows
        self.variant = ""
        self.facts: Variant | None = None
        self.turns: list[Turn] = []
        self.engine = ""
        self._head: encode.Row = []
        self._head_args: tuple[bool, str] = (False, "")

    @property
    def head(self) -> dict[str, Any]:
        """The fields of its title; {} before it showed anything."""
        return dict(self._head[1]) if self._head else {}

    def show(self, name: str, facts: Variant, reference: bool, origin: str = "") -> None:
        """Show the variant called `name`; a change of variant clears the conversation."""
        if name != self.variant:
            self.empty()
        self.variant, self.facts = name, facts
        self._head_args = (reference, origin)
        self.run_on(Address.parse(name).engine or base.default(facts))

    def run_on(self, engine: str) -> None:
        """Set the engine, which the head names."""
        self.engine = engine
        reference, origin = self._head_args
        options = base.options(self.facts) if self.facts else []
        head = encode.head(self.facts, self.variant, reference, origin, engine, options)
        if head != self._head:
            self._head = head
            self._emit(head)

    def empty(self) -> None:
        """Show nothing: no title, no conversation."""
        self._head = []
        self._reset()

    def clear(self) -> None:
        """Forget the conversation."""
        self._reset()
        if self._head:
            self._emit(self._head)

    def _reset(self) -> None:
        for turn in self.turns:
            turn.mute()
        self.turns = []
        self._rows.append([self.slot, "reset"], self.slot, restart=True)

    def begin(self, ask: AskSpec, source: tuple[Message, ...] | str) -> Turn:
        turn = Turn(ask, self.variant, self._emit, self.address, source)
        self.turns.append(turn)
        return turn

    def drop_last(self) -> None:
        """Remove the last turn, which is about to be answered again."""
        if self.turns:
            self.turns.pop().mute()
            self._emit(encode.forget("turn"))

    def _emit(self, row: encode.Row) -> None:
        self._rows.append([self.slot, *row], self.slot)

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

    def request(self, ask: AskSpec) -> PaneRequest:
        if ask.raw:
            return PaneRequest(self.address, text=ask.prompt)
        history = [turn for past in self.turns if past.answered for turn in past.as_messages()]
        return PaneRequest(self.address, messages=messages(ask.prompt, ask.system, history))
