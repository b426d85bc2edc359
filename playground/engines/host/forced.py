"""Teacher forcing of a text through several variants in the decode thread, compared chunk by chunk.

Only the logits of one chunk are in memory at a time, so only the KV caches grow with the length of the text.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from typing import Any

import torch

from playground.core import Alternative, Finish, FinishReason, ForcedToken, ForcedTokens, Forcing, Progress
from playground.engines.host.active import as_error, refuse_unknown_ids
from playground.engines.host.decode import PrefillChunk
from playground.engines.host.loading import DeviceMemory, Resident
from playground.engines.host.reading import Reading
from playground.errors import ContextOverflow, DifferentTokenizer, InvalidRequest, PlaygroundError, UnknownVariant
from playground.metrics.token_divergence import token_divergence

CHUNK = 64  # tokens of a forward pass; a generation that arrives waits for at most one pass
Emit = Callable[[Progress | ForcedTokens | Finish | PlaygroundError], None]


def force(
    models: Sequence[Callable[[], Any]],
    prompt_ids: Sequence[int],
    token_ids: Sequence[int],
    top: int = 5,
    chunk: int = CHUNK,
    cached: Sequence[bool] = (),
) -> Generator[PrefillChunk | ForcedTokens, None, None]:
    """Compare the models on a text; each `next()` is one forward pass of one model over one chunk.

    models  functions that return the models, the reference first; called for each pass, so that this generator keeps
            no reference to an unloaded model
    cached  for each model whether its cache may be kept between passes; empty: for all

    Yields the progress over all tokens of all models, or the comparison of a chunk, its alternatives without text.
    """
    text = [*prompt_ids, *token_ids]
    ids = torch.tensor([text], device=models[0]().device)
    readings = [Reading(model(), keeps) for model, keeps in zip(models, cached or [True] * len(models), strict=True)]
    first, total = len(prompt_ids) - 1, len(text) - 1  # position `first` predicts token 0; the last position is unused
    done = begin = 0
    # All models use the same passes: those of the model that needs the longest.
    for end in min((reading.ends(total, chunk) for reading in readings), key=len):
        start = max(begin, first)
        logits: list[torch.Tensor] = []
        for number, (model, reading) in enumerate(zip(models, readings, strict=True)):
            logits = [*logits[:1], reading.read(model(), ids[:, :end], max(1, end - start))]
            done += end - begin
            if number and end > start:
                yield ForcedTokens(number - 1, start - first, _compare(*logits, ids[0, start + 1 : end + 1], top))
            else:
                yield PrefillChunk(done, total * len(models))
        begin = end


@torch.inference_mode()  # type: ignore[untyped-decorator]
def _compare(reference: torch.Tensor, other: torch.Tensor, next_ids: torch.Tensor, top: int) -> tuple[ForcedToken, ...]:
    if reference.shape != other.shape:
        raise DifferentTokenizer(
            f"The reference has {reference.shape[-1]} words to choose from, the variant {other.shape[-1]}."
        )
    divergence = token_divergence(reference, other, next_ids)
    columns = (divergence.kld, divergence.agrees, -divergence.nll_reference, -divergence.nll)
    tops = _top(reference, next_ids, divergence.nll_reference, top), _top(other, next_ids, divergence.nll, top)
    return tuple(ForcedToken(*row) for row in zip(*(column.tolist() for column in columns), *tops, strict=True))


def _top(logits: torch.Tensor, next_ids: torch.Tensor, nll: torch.Tensor, k: int) -> list[tuple[Alternative, ...]]:
    """Return the k most probable tokens of each position.

    Their log-probabilities are computed from that of the next token, without a second pass over the vocabulary.
    """
    best = logits.topk(min(k, logits.shape[-1]), dim=-1)
    normalizer = logits.gather(-1, next_ids[:, None])[:, 0].float().cpu() + nll
    rows = zip(best.indices.tolist(), (best.values.float().cpu() - normalizer[:, None]).tolist(), strict=True)
    return [tuple(Alternative(i, "", v) for i, v in zip(*row, strict=True)) for row in rows]


def validate(request: Forcing, residents: Sequence[Resident]) -> None:
    """Raise InvalidRequest, ContextOverflow or DifferentTokenizer for a request that cannot run."""
    if not request.prompt_ids or not request.token_ids or not request.others:
        raise InvalidRequest("Forcing needs a prompt, a text and at least one variant beside the reference.")
    total = len(request.prompt_ids) + len(request.token_ids)
    reference = residents[0].facts
    for resident in residents:
        facts = resident.facts
        if facts.tokenizer_hash != reference.tokenizer_hash:
            raise DifferentTokenizer(
                f"{facts.id} and {reference.id} have different tokenizers: the same ids mean different texts.",
                hint="Compare variants of one model.",
            )
        if total > facts.context:
            raise ContextOverflow(f"The text has {total} tokens, more than the {facts.context} that {facts.id} takes.")
        refuse_unknown_ids(resident.model, (*request.prompt_ids, *request.token_ids))


class Forced:
    """One forced text from its acceptance to its Finish. `turn` runs in the decode thread, while nothing decodes."""

    def __init__(self, request: Forcing, residents: Sequence[Resident], emit: Emit) -> None:
        self.request = request
        self.residents = tuple(residents)
        self.emit = emit
        self.aborted = threading.Event()
        self.own_busy = 0.0  # seconds of its turns, measured by the decode thread
        self._measured = 0
        self._pieces: dict[int, str] = {}
        models = [lambda resident=resident: resident.model for resident in self.residents]
        cached = [resident.cached for resident in self.residents]
        self._steps = force(models, request.prompt_ids, request.token_ids, request.top, cached=cached)

    def turn(self, memory: DeviceMemory, _total_busy: float) -> bool:
        """Run a forward pass; False when the text has been compared or has failed."""
        try:
            if gone := [resident.spec.id for resident in self.residents if resident.model is None]:
                raise UnknownVariant(f"{gone[0]} was unloaded while it was compared.", hint="Measure again.")
            item = next(self._steps, None)
            memory.synchronize()  # else the time of this pass would count for the next generation's step
        except Exception as error:  # noqa: BLE001 - an error of a model must not end other requests
            self.fail(error)
            return False
        if isinstance(item, PrefillChunk):
            self.emit(Progress("Measuring the divergence", item.done, item.total, "tokens"))
        elif isinstance(item, ForcedTokens):
            self._measured = max(self._measured, item.start + len(item.tokens))
            self.emit(self._named(item))
        else:
            self.finish("stop")
        return item is not None

    def _named(self, item: ForcedTokens) -> ForcedTokens:
        tokens = tuple(
            replace(token, top_reference=self._readable(token.top_reference), top=self._readable(token.top))
            for token in item.tokens
        )
        return replace(item, tokens=tokens)

    def _readable(self, top: Sequence[Alternative]) -> tuple[Alternative, ...]:
        for entry in top:
            if entry.id not in self._pieces:
                self._pieces[entry.id] = str(self.residents[0].tokenizer.decode([entry.id]))
        return tuple(entry._replace(text=self._pieces[entry.id]) for entry in top)

    def finish(self, reason: FinishReason) -> None:
        self._steps.close()  # frees the caches
        self.emit(Finish(reason, len(self.request.prompt_ids), self._measured))

    def fail(self, error: Exception) -> None:
        """End with an error instead of a Finish."""
        self._steps.close()
        self.emit(as_error(error, self.request.request_id, "while it was compared"))
