"""One prompt through several variants, as the documented JSON: what the command line and the API share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from playground.compare import stored
from playground.compare.forced import Side, measure
from playground.compare.result import ForcedResult, PaneResult
from playground.compare.run import Comparison, Event, PaneRequest
from playground.core import Message, Progress, Sampling
from playground.engines import base
from playground.engines.base import Engine
from playground.errors import InvalidRequest
from playground.settings import settings
from playground.store.schema import Run

MAX_STOP_STRINGS = 16
MAX_STOP_CHARS = 200


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


def messages(prompt: str, system: str = "", history: Sequence[Message] = ()) -> tuple[Message, ...]:
    """A chat whose last turn is `prompt`. An empty system prompt leaves the choice to the model's own template."""
    first: tuple[Message, ...] = ({"role": "system", "content": system},) if system.strip() else ()
    return (*first, *history, {"role": "user", "content": prompt})


@dataclass(frozen=True, slots=True)
class Answered:
    """What came of one prompt. `forced` is None where nobody asked for the divergence, and one entry for each variant
    after the first where somebody did."""

    addresses: tuple[str, ...]
    panes: tuple[PaneResult, ...]
    source: tuple[Message, ...] | str
    sampling: Sampling
    at_once: bool
    forced: tuple[ForcedResult, ...] | None = None

    def as_json(self) -> dict[str, Any]:
        """The documented JSON of `generate`: `{"prompt_ids": [...], "panes": [...]}`, the ids those of the first."""
        first = self.panes[0].prompt
        panes = [result.as_json() for result in self.panes]
        for pane, found in zip(panes[1:], self.forced or (), strict=False):
            pane["divergence"] = found.as_json()
        return {"prompt_ids": list(first.ids) if first else [], "panes": panes}

    def run(self) -> Run | None:
        """As a run to be stored; None where there is nothing to keep."""
        forced = (None, *(self.forced or (None,) * (len(self.panes) - 1)))
        panes = [
            stored.Pane(address, result.variant.label if result.variant else address, result, self.sampling,
                           self.source, found)
            for address, result, found in zip(self.addresses, self.panes, forced, strict=True)
        ]  # fmt: skip
        return stored.comparison(panes, self.at_once, self.forced is not None)


def generate(
    engine: Engine,
    variants: Sequence[str],
    prompt: str,
    system: str = "",
    raw: bool = False,
    sampling: Sampling | None = None,
    on_event: Callable[[Event], None] | None = None,
    at_once: bool = False,
    divergence: bool = False,
    on_measuring: Callable[[Progress], None] = lambda _: None,
) -> Answered:
    """One prompt through several variants; panes stand in the order asked.

    Variants that name no engine run on the first one's, where it can run them. `at_once` lets panes on free-running
    engines overlap; the times of those that did are marked `contended`. A variant that fails carries `error` in its
    pane; only a request that cannot be run at all raises.

    `divergence` forces the first variant's answer through the others: each of their panes then carries
    `divergence`: `{"kld_mean", "top1_agreement", "tokens"}`, nats over that many tokens of this one prompt; where it
    could not be measured, the first two are null and `reason` is a sentence.
    """
    chosen = check(sampling or Sampling())
    check_prompt(prompt, system)
    most = settings().max_generations
    if not 1 <= len(variants) <= most:
        raise InvalidRequest(f"{len(variants)} variants were asked for.", hint=f"Allowed: 1 to {most}.")
    turn = messages(prompt, system)
    addresses = base.together(variants)
    requests = [PaneRequest(name, text=prompt) if raw else PaneRequest(name, messages=turn) for name in addresses]
    results = [PaneResult(name) for name in variants]
    for event in Comparison(engine, requests, chosen, at_once).events():
        results[event.pane].add(event.item)
        if on_event:
            on_event(event)
    forced: tuple[ForcedResult, ...] | None = None
    if divergence:
        sides = [Side(name, result) for name, result in zip(addresses, results, strict=True)]
        forced = tuple(measure(engine, sides, on_measuring))
    source = prompt if raw else turn
    return Answered(tuple(addresses), tuple(results), source, chosen, at_once, forced)
