"""What can be asked of Compare: one prompt, how tokens are chosen, and which variants answer."""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from playground.core import Sampling
from playground.errors import InvalidRequest
from playground.settings import settings
from playground.spec import Spec

MAX_STOP_STRINGS = 16
MAX_STOP_CHARS = 200


class GenerateSpec(Spec):
    """One prompt through several variants.

    variants    addresses, the reference first, whose tokenizer makes the prompt
    prompt      the user's turn, or with `raw` the text to continue without a chat template
    system      system prompt; "" leaves it to the model's template
    at_once     panes on free-running engines overlap instead of taking turns; their times are marked contended
    divergence  force the first variant's answer through the others

    Raises InvalidRequest.
    """

    variants: tuple[str, ...]
    prompt: str
    system: str = ""
    raw: bool = False
    sampling: Sampling = Sampling()
    at_once: bool = False
    divergence: bool = False

    @model_validator(mode="after")
    def _within_limits(self) -> Self:
        check(self.sampling)
        check_prompt(self.prompt, self.system)
        most = settings().max_generations
        if not 1 <= len(self.variants) <= most:
            raise InvalidRequest(f"{len(self.variants)} variants were asked for.", hint=f"Allowed: 1 to {most}.")
        return self


def check(sampling: Sampling) -> Sampling:
    """`sampling` itself when every value can be used, else `InvalidRequest` about the first that cannot."""
    most = settings().max_tokens
    rules = (
        (1 <= sampling.max_tokens <= most, "Max tokens", sampling.max_tokens, f"1 to {most}"),
        (0 <= sampling.temperature <= 5, "Temperature", f"{sampling.temperature:g}", "0 (greedy) to 5"),
        (0 < sampling.top_p <= 1, "Top-p", f"{sampling.top_p:g}", "above 0, up to 1 (off)"),
        (0 <= sampling.top_k <= 1_000_000, "Top-k", sampling.top_k, "0 (off) or more"),
        (
            0 < sampling.repetition_penalty <= 10,
            "Repetition penalty",
            f"{sampling.repetition_penalty:g}",
            "above 0 to 10",
        ),
        (0 <= sampling.seed < 2**32, "Seed", sampling.seed, "0 to 4294967295"),
        (len(sampling.stop) <= MAX_STOP_STRINGS, "Stop strings", len(sampling.stop), f"up to {MAX_STOP_STRINGS}"),
    )
    for fine, name, value, allowed in rules:
        if not fine:
            raise InvalidRequest(f"{name} is {value}.", hint=f"Allowed: {allowed}.")
    if any(not 1 <= len(text) <= MAX_STOP_CHARS for text in sampling.stop):
        raise InvalidRequest(f"A stop string has 1 to {MAX_STOP_CHARS} characters.", hint="Shorten it or remove it.")
    return sampling


def check_prompt(prompt: str, system: str = "") -> str:
    """`prompt` itself when it is neither empty nor too long (the system prompt counted in), else `InvalidRequest`."""
    if not prompt.strip():
        raise InvalidRequest("The prompt is empty.", hint="Type something for the variants to answer.")
    length, most = len(prompt) + len(system), settings().max_prompt_chars
    if length > most:
        raise InvalidRequest(f"The prompt has {length:,} characters.", hint=f"Allowed: {most:,}.")
    return prompt
