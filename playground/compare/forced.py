"""Force the reference's answer through the other variants of a comparison, or say why that is not possible."""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence

from playground.compare.answer import Answer, ForcedAnswer, ForcedItem
from playground.core import UNKNOWN_ID, Finish, ForcedTokens, Forcing, Progress
from playground.engines import base
from playground.engines.base import Engine
from playground.errors import Cancelled, EngineError, PlaygroundError, UnknownVariant
from playground.models.address import Address

log = logging.getLogger(__name__)


def loaded_as(answer: Answer) -> str:
    """The address with the variant id that the engine loaded: a cast to the checkpoint's dtype is the reference."""
    address = Address.parse(answer.address)
    return str(Address.parse(answer.loaded.id).on(address.engine) if answer.loaded else address)


def blocked(reference: Answer, other: Answer) -> str:
    """Why the reference's text cannot be forced through the variant of `other`, in one sentence; "" when it can."""
    if not reference.tokens or reference.prompt is None or reference.loaded is None:
        return "The reference has no tokens that could be forced through it."
    if other.loaded is None:
        return "It was not loaded."
    if reason := base.no_distribution(reference.loaded.engine):
        return f"Not with this reference: {reason}"
    if reason := base.no_distribution(other.loaded.engine):
        return reason
    if reference.loaded.tokenizer_hash != other.loaded.tokenizer_hash:
        return "Its tokenizer differs from the reference’s: the same ids stand for different texts."
    if not reference.prompt.ids or UNKNOWN_ID in reference.token_ids:
        return "The engine of the reference does not report which tokens it wrote."
    return ""


class ForcedComparison:
    """Forces the answer `reference` through each of `others`, none of which is `blocked`.

    Reloads, once, what was unloaded in the meantime. Iterate over `events()` exactly once; closing it, or `stop()`,
    aborts the request in the engine.
    """

    def __init__(self, engine: Engine, reference: Answer, others: Sequence[Answer]) -> None:
        self._engine = engine
        self._names = [loaded_as(answer) for answer in (reference, *others)]
        prompt = reference.prompt
        self._forcing = Forcing(
            self._names[0],
            tuple(self._names[1:]),
            prompt.ids if prompt else (),
            tuple(reference.token_ids),
            request_id=f"force-{uuid.uuid4().hex}",
        )
        self._stopped = threading.Event()

    def stop(self) -> None:
        """Safe to call from another thread, at any time, more than once."""
        self._stopped.set()
        try:
            self._engine.abort(self._forcing.request_id)
        except PlaygroundError as error:
            log.info("abort of a forced text: %s", error)

    def events(self) -> Iterator[tuple[int, ForcedItem]]:
        """Yield (index into `others`, item). An error ends every one of them with an item."""
        numbers = range(len(self._forcing.others))
        try:
            for item in self._items():
                owners = (item.other,) if isinstance(item, ForcedTokens) else numbers
                yield from ((number, item) for number in owners)
        except Exception as error:  # noqa: BLE001 - the answers stay, whatever failed
            ending = _last_item(error)
            yield from ((number, ending) for number in numbers)
        finally:
            self.stop()

    def _items(self) -> Iterator[Progress | ForcedTokens | Finish]:
        measured = False
        try:
            for item in self._engine.force(self._forcing):
                self._check()
                measured = measured or isinstance(item, ForcedTokens)
                yield item
            return
        except UnknownVariant:
            # Another visitor's load may have unloaded one. A measurement that has begun is not restarted.
            if measured:
                raise
        for name in self._names:
            yield Progress(f"Loading {name} again: it was unloaded meanwhile")
            self._check()
            self._engine.load(name, lambda _: None, self._stopped.is_set, keep=self._names)
        for item in self._engine.force(self._forcing):
            self._check()
            yield item

    def _check(self) -> None:
        if self._stopped.is_set():
            raise Cancelled("Stopped.")


def _last_item(error: Exception) -> Finish | PlaygroundError:
    if isinstance(error, Cancelled):
        return Finish("abort", 0, 0)
    if isinstance(error, PlaygroundError):
        return error
    log.exception("a forced text failed", exc_info=error)
    return EngineError(f"Unexpected failure: {type(error).__name__}.", hint="Details are in the log.")


def measure(
    engine: Engine, answers: Sequence[Answer], on_progress: Callable[[Progress], None] = lambda _: None
) -> None:
    """Set `forced` of each answer after the first, which is the reference. All are measured in one request."""
    reference, *others = answers
    measured: list[tuple[Answer, ForcedAnswer]] = []
    for other in others:
        other.forced = ForcedAnswer(len(reference.tokens), blocked(reference, other))
        if not other.forced.reason:
            measured.append((other, other.forced))
    if not measured:
        return
    for number, item in ForcedComparison(engine, reference, [other for other, _ in measured]).events():
        measured[number][1].add(item)
        if isinstance(item, Progress):
            on_progress(item)
