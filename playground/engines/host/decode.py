"""The decode loop as a generator, without HTTP, threads or clocks; and the streaming detokenizer.

The host steps it and times each step; on ZeroGPU, where there is no host process, it is called directly. Batch 1, so
that a token never depends on concurrent requests.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import LogitsProcessorList, RepetitionPenaltyLogitsProcessor
from transformers.generation.logits_process import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from playground.core import Sampling
from playground.engines.host.reading import Reading
from playground.errors import EngineError

PREFILL_CHUNK = 256  # tokens; bounds how long an abort and other generations wait
_BLOCKS = 64
REPLACEMENT = "\ufffd"


@dataclass(frozen=True, slots=True)
class PrefillChunk:
    """Progress of the prefill, in tokens."""

    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Step:
    """One decoded token; log-probabilities in nats, of the distribution before sampling; `top` in descending order."""

    token_id: int
    logprob: float
    top: tuple[tuple[int, float], ...]
    is_eos: bool


Choose = Callable[[torch.Tensor, torch.Tensor], int]


def chooser(sampling: Sampling, device: torch.device) -> Choose:
    """Return a function (token ids so far [1, n], raw logits [1, vocab]) -> next id, made of transformers' processors.

    Each generation has its own random generator: the same seed gives the same text with any concurrent requests.
    """
    steps = LogitsProcessorList()
    if sampling.repetition_penalty != 1.0:
        steps.append(RepetitionPenaltyLogitsProcessor(penalty=float(sampling.repetition_penalty)))
    if not sampling.greedy:
        steps.append(TemperatureLogitsWarper(float(sampling.temperature)))
        if sampling.top_k:
            steps.append(TopKLogitsWarper(top_k=int(sampling.top_k)))
        if sampling.top_p < 1.0:
            steps.append(TopPLogitsWarper(top_p=float(sampling.top_p)))
    if sampling.greedy:
        return lambda ids, logits: int((steps(ids, logits) if len(steps) else logits).argmax(-1))

    random = torch.Generator(device=device)
    random.manual_seed(sampling.seed)

    def sample(ids: torch.Tensor, logits: torch.Tensor) -> int:
        probabilities = torch.softmax(steps(ids, logits), dim=-1)
        return int(torch.multinomial(probabilities, 1, generator=random))

    return sample


def top_of(logits: torch.Tensor, k: int) -> tuple[list[int], list[float]]:
    """Return ids and values of the k largest of `logits` [vocab], in descending order.

    They are in the k blocks with the largest maxima, so only those are searched: half the time of torch's top-k on a
    CPU, for the same result.
    """
    if k == 0:
        return [], []
    n = logits.shape[0]
    if n % _BLOCKS or k >= _BLOCKS or logits.device.type != "cpu":
        top = logits.topk(min(k, n))
        return top.indices.tolist(), top.values.tolist()
    blocks = logits.view(_BLOCKS, -1)
    best = blocks.amax(dim=1).topk(k).indices
    top = blocks[best].flatten().topk(min(k, n))
    width = blocks.shape[1]
    indices = top.indices
    return (best[indices // width] * width + indices % width).tolist(), top.values.tolist()


@torch.inference_mode()  # type: ignore[untyped-decorator]
def _step(logits: torch.Tensor, ids: torch.Tensor, choose: Choose, eos: frozenset[int], top: int) -> Step:
    logits = logits.float()
    normalizer = torch.logsumexp(logits[0], dim=-1)
    shift = float(normalizer)
    if not math.isfinite(shift):
        raise EngineError(
            "The model computes NaN or infinity.",
            hint="The checkpoint is broken, or its type overflows; try bfloat16 or float32.",
        )
    best, values = top_of(logits[0], top)
    token_id = choose(ids, logits)
    logprob = float(logits[0, token_id] - normalizer)
    return Step(token_id, logprob, tuple((i, v - shift) for i, v in zip(best, values, strict=True)), token_id in eos)


def decode(
    model: Any,
    prompt_ids: Sequence[int],
    sampling: Sampling,
    *,
    eos: frozenset[int] = frozenset(),
    top: int = 5,
    chunk: int = PREFILL_CHUNK,
    cached: bool = True,
) -> Generator[PrefillChunk | Step, None, None]:
    """Decode until an EOS id (which is yielded) or `sampling.max_tokens`.

    Each `next()` is one forward pass: a chunk of the prompt, or one token. The KV cache belongs to this generator:
    closing it frees the memory. Raises EngineError if the logits are not finite.

    cached  False: recompute the whole text for each token, for a model whose cache cannot be used
    """
    device = model.device
    reading = Reading(model, cached)
    choose = chooser(sampling, device)
    total = len(prompt_ids)
    # Prompt and output in one buffer, so that the repetition penalty gets both without a copy per token.
    ids = torch.empty((1, total + sampling.max_tokens), dtype=torch.long, device=device)
    ids[0, :total] = torch.tensor(list(prompt_ids), dtype=torch.long, device=device)
    if not total:
        raise ValueError("decode needs at least one prompt token")
    for end in reading.ends(total, chunk):
        logits = reading.read(model, ids[:, :end])
        if end < total:
            yield PrefillChunk(end, total)
    for n in range(total, total + sampling.max_tokens):
        if n > total:
            logits = reading.read(model, ids[:, :n])
        step = _step(logits, ids[:, :n], choose, eos, top)
        ids[0, n] = step.token_id
        yield step
        if step.is_eos and not sampling.ignore_eos:
            return


class Detokenizer:
    """Streams the text of a growing list of ids.

    Decoding is not a homomorphism (a leading space, a byte that is half a character), so each token's text is the
    difference of two decodings of a short window, and is held back while that window ends in an incomplete character.
    This is the scheme of text-generation-inference and vLLM. The pieces joined equal one decoding of all the ids.
    """

    def __init__(self, tokenizer: Any, prompt_ids: Sequence[int] = ()) -> None:
        self._tokenizer = tokenizer
        self._special = frozenset(tokenizer.all_special_ids)
        # The last prompt tokens give the first generated one its context (a leading space after a word).
        self._ids: list[int] = [i for i in prompt_ids[-6:] if i not in self._special]
        self._start = 0
        self._read = len(self._ids)

    def _decode(self, ids: list[int]) -> str:
        return str(self._tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def add(self, token_id: int) -> str:
        """Return the text that this token completes; "" for a special token or an incomplete character."""
        if token_id in self._special:
            return ""
        self._ids.append(token_id)
        before = self._decode(self._ids[self._start : self._read])
        after = self._decode(self._ids[self._start :])
        if after.endswith(REPLACEMENT):
            return ""
        self._start, self._read = self._read, len(self._ids)
        return after[len(before) :]

    def flush(self) -> str:
        """Return the text held back at the end; an incomplete character becomes U+FFFD, as in a plain decode."""
        before = self._decode(self._ids[self._start : self._read])
        after = self._decode(self._ids[self._start :])
        self._start, self._read = self._read, len(self._ids)
        return after[len(before) :]


class StopStrings:
    """Cuts a stream of text before the first stop string; holds back text that may be the beginning of one."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stop for stop in stops if stop)
        self._held = ""
        self.matched: str | None = None

    def add(self, text: str) -> str:
        """Return the text that cannot be part of a stop string; at a match the text before it, afterwards ""."""
        if self.matched is not None:
            return ""
        if not self._stops:
            return text
        self._held += text
        hits = [(at, stop) for stop in self._stops if (at := self._held.find(stop)) >= 0]
        if hits:
            at, self.matched = min(hits)
            safe, self._held = self._held[:at], ""
            return safe
        keep = max(
            (n for stop in self._stops for n in range(1, len(stop)) if self._held.endswith(stop[:n])),
            default=0,
        )
        safe, self._held = self._held[: len(self._held) - keep], self._held[len(self._held) - keep :]
        return safe

    def flush(self) -> str:
        held, self._held = self._held, ""
        return held
