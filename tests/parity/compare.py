"""The product's text against `generate` of transformers, and against passes without a cache over each text so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from playground.errors import PlaygroundError
from tests.parity import product, tiny

LENGTHS = (8, 40, 270, 300, 520)  # prompt tokens: 270 crosses LongRoPE's limit in the answer
TOKENS = 24  # of each answer
TOLERANCE = 2e-3  # of a log-probability, nats


@dataclass(frozen=True, slots=True)
class Answer:
    """One prompt: what the product answered, held against its arbiter.

    arbiter    "generate", or "passes" without a cache where `generate` itself does not agree with these
    first      number of the first token that differs; None: all are equal
    deviation  largest difference of a log-probability up to there, nats
    forced     the same of the forced pass against one pass without a cache over the whole text
    """

    length: int
    arbiter: str
    first: int | None
    deviation: float
    forced: float

    @property
    def equal(self) -> bool:
        return self.first is None and max(self.deviation, self.forced) <= TOLERANCE


@dataclass(slots=True)
class Parity:
    """One architecture: what kept it from being asked, or its answers."""

    kind: str
    not_built: str = ""
    refused: str = ""
    cached: bool = True
    generate_fails: str = ""
    answers: list[Answer] = field(default_factory=list)
    apart: bool = True  # two generations that are stepped in turn answer as each does alone

    @property
    def equal(self) -> bool:
        return bool(self.answers) and self.apart and all(answer.equal for answer in self.answers)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"equal": self.equal}


def prompt_of(length: int, seed: int = 3) -> list[int]:
    random = torch.Generator().manual_seed(seed)
    return torch.randint(5, 300, (length,), generator=random).tolist()


def parity(folder: Path, kind: str, lengths: Sequence[int] = LENGTHS, **changes: Any) -> Parity:
    """Make a tiny `kind`, load it as the product does, and ask it prompts of `lengths` tokens."""
    result = Parity(kind)
    try:
        tiny.make(folder, kind, **changes)
    except Exception as error:  # noqa: BLE001 - this configuration cannot be made tiny; the row says why
        result.not_built = f"{type(error).__name__}: {error}"
        return result
    try:
        resident = product.load(folder)
    except PlaygroundError as error:
        result.refused = f"{type(error).__name__}: {error}"
        return result
    result.cached = resident.cached
    model = resident.model
    model.generation_config.eos_token_id = None
    for length in lengths:
        prompt = prompt_of(length)
        try:
            result.answers.append(_answer(resident, prompt))
        except _GenerateFailed as error:
            result.generate_fails = str(error)
            return result
    pair = [prompt_of(40), prompt_of(40, seed=4)]
    alone = [product.greedy(resident, prompt, TOKENS)[0] for prompt in pair]
    result.apart = product.interleaved(resident, pair, TOKENS) == alone
    return result


class _GenerateFailed(Exception):
    """transformers' own `generate` raises."""


def _answer(resident: Any, prompt: list[int]) -> Answer:
    model = resident.model
    ids, rows = product.greedy(resident, prompt, TOKENS)
    expected_ids, expected = _generate(model, prompt)
    arbiter = "generate"
    if expected_ids != (plain := _plain(model, prompt, expected_ids)).argmax(-1).tolist():
        arbiter = "passes"
        expected = plain if ids == expected_ids else _plain(model, prompt, ids)
        expected_ids = expected.argmax(-1).tolist()
    first = next((i for i, (a, b) in enumerate(zip(ids, expected_ids, strict=True)) if a != b), None)
    upto = TOKENS if first is None else first + 1
    forced = _largest(product.forced(resident, prompt, ids), _whole(model, prompt, ids))
    return Answer(len(prompt), arbiter, first, _largest(rows[:upto], expected[:upto]), forced)


def _generate(model: Any, prompt: list[int]) -> tuple[list[int], torch.Tensor]:
    inputs = torch.tensor([prompt])
    try:
        output = model.generate(
            inputs,
            attention_mask=torch.ones_like(inputs),
            max_new_tokens=TOKENS,
            min_new_tokens=TOKENS,
            do_sample=False,
            output_logits=True,
            return_dict_in_generate=True,
            pad_token_id=0,
        )
    except Exception as error:
        raise _GenerateFailed(f"{type(error).__name__}: {error}") from error
    return output.sequences[0, len(prompt) :].tolist(), torch.cat(output.logits).float().log_softmax(-1)


@torch.inference_mode()
def _plain(model: Any, prompt: list[int], answer: list[int]) -> torch.Tensor:
    """Log-probabilities [answer, vocabulary] before each token of the answer, by a pass of its own for each."""
    rows = []
    for end in range(len(answer)):
        ids = torch.tensor([[*prompt, *answer[:end]]])
        rows.append(model(input_ids=ids, use_cache=False).logits[0, -1])
    return torch.stack(rows).float().log_softmax(-1)


@torch.inference_mode()
def _whole(model: Any, prompt: list[int], answer: list[int]) -> torch.Tensor:
    """The same by one pass over prompt and answer."""
    ids = torch.tensor([[*prompt, *answer[:-1]]])
    return model(input_ids=ids, use_cache=False).logits[0, len(prompt) - 1 :].float().log_softmax(-1)


def _largest(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).abs().max())
