"""The prompt of a comparison and its answers, token by token, with their places on the colour scales."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import exp
from typing import Any

from playground import formatting
from playground.compare.run import PaneResult
from playground.compare.verdict import diverges_at
from playground.core import Token, nats
from playground.engines import base
from playground.report.parts import Answer, Exchange, Number, Piece, Scale
from playground.report.plots import quantile
from playground.store.schema import Run

ENDINGS = {"stop": "stopped by itself", "length": "reached its length limit", "abort": "was stopped", "error": "failed"}
Forced = Mapping[str, Any]


def engine_of(pane: PaneResult) -> str:
    return base.title(pane.engine) if pane.engine else ""


def facts_of(run: Run, number: int) -> Mapping[str, Any]:
    """How the run describes the variant of a pane."""
    return run.variants[number] if number < len(run.variants) else {}


def exchange(run: Run, panes: Sequence[PaneResult], names: Sequence[str], forced: Sequence[Forced | None]) -> Exchange:
    prompt = run.result.get("prompt") or {}
    messages = prompt.get("messages")
    turns = [(str(one["role"]), str(one["content"])) for one in messages or ()] or [
        ("text", str(prompt.get("text", "")))
    ]
    steps = [1e3 * token.step_s for pane in panes for token in pane.tokens[1:]]
    low, high = _time_scale(steps)
    klds = {number: positions(one) for number, one in enumerate(forced) if one}
    top = quantile([value for own in klds.values() for value in own], 0.98) if any(klds.values()) else 0.0
    answers = [
        _answer(run, number, panes, names[number], (low, high), _moved(panes, number, klds), top)
        for number in range(len(panes))
    ]
    scales = [
        Scale("time", "time", f"{formatting.figure(low)} ms", f"{formatting.figure(high)} ms or more"),
        Scale("prob", "probability", "100%", "5% or less"),
    ]
    if top > 0:
        scales.append(Scale("kld", "divergence", "0", f"{nats(top)} nats or more"))
    return Exchange(tuple(turns), tuple(answers), tuple(scales) if steps else ())


def _time_scale(steps: Sequence[float]) -> tuple[float, float]:
    """The page's: one for all panes, so that equal colours mean equal times."""
    if not steps:
        return 0.0, 1.0
    low = quantile(steps, 0.05)
    return low, max(quantile(steps, 0.98), low * 1.25, low + 1e-3)


def positions(forced: Forced) -> list[float]:
    """KLD at each token of the reference's answer, nats."""
    return [float(one["kld"]) for one in forced.get("positions") or ()]


def _moved(panes: Sequence[PaneResult], number: int, klds: Mapping[int, Sequence[float]]) -> Sequence[float]:
    """What colours a pane's tokens by divergence: its own up to where the texts part; the reference has the first's."""
    if number == 0:
        return next(iter(klds.values()), ())
    own = klds.get(number, ())
    split = diverges_at(panes[0], panes[number])
    return own[: split.index] if split else own


def _answer(
    run: Run, number: int, panes: Sequence[PaneResult], label: str, scale: tuple[float, float],
    moved: Sequence[float], top: float,
) -> Answer:  # fmt: skip
    pane = panes[number]
    facts = facts_of(run, number)
    split = diverges_at(panes[0], pane) if number and _same_prompt(panes[0], pane) else None
    bits = facts.get("bits_per_weight")
    about = [
        engine_of(pane),
        str(facts.get("scheme") or ""),
        f"{bits:.1f} bits per weight" if formatting.known(bits) else "",
        formatting.size(facts.get("bytes")) if facts.get("bytes") else "",
    ]
    timing = pane.timing()
    numbers = (
        Number(formatting.figure(timing.decode_tok_s), "tok/s decode"),
        Number(formatting.milliseconds(timing.ttft_s), "ms TTFT"),
        Number(formatting.figure(timing.prefill_tok_s), "tok/s prefill"),
        Number(formatting.milliseconds(timing.tpot_s), "ms TPOT"),
        Number(formatting.size(pane.peak_memory_bytes), "memory"),
    )
    reason = pane.as_json()["finish_reason"]
    ending = [f"{len(pane.tokens):,} tokens", ENDINGS.get(str(reason), "")]
    parts = split.index if split else None
    pieces = [
        _piece(token, index, scale, moved[index] if index < len(moved) else None, top, index == parts)
        for index, token in enumerate(pane.tokens)
    ]
    return Answer(
        label=label,
        facts=" · ".join(filter(None, about)),
        numbers=numbers,
        pieces=tuple(pieces),
        ending=" · ".join(filter(None, ending)),
        rest=pane.finish.text if pane.finish else "",
        apart=split.sentence(label) if split else "",
        failure=str(pane.error) if pane.error else "",
        reference=number == 0,
    )


def _same_prompt(one: PaneResult, other: PaneResult) -> bool:
    return bool(one.prompt and other.prompt and one.prompt.ids and one.prompt.ids == other.prompt.ids)


def _piece(token: Token, index: int, scale: tuple[float, float], kld: float | None, top: float, parts: bool) -> Piece:
    low, high = scale
    ms = 1e3 * token.step_s
    share = None if token.logprob is None else exp(token.logprob)
    read = ", the prompt included" if index == 0 else ""
    about = [f"{formatting.shown(token.piece)} · token {index + 1}", f"{formatting.figure(ms)} ms{read}"]
    if share is not None:
        about[1] += f" · probability {formatting.chance(share)}"
    about += [f"{formatting.chance(exp(one.logprob))}  {formatting.shown(one.text)}" for one in token.top]
    if kld is not None:
        about.append(f"KLD here {nats(kld)} nats")
    return Piece(
        text=token.text,
        at_s=token.time_s,
        facts=tuple(about),
        time=None if index == 0 else _clamp((ms - low) / (high - low)),
        unlikely=None if share is None else _clamp((1 - share) / 0.95),
        moved=None if kld is None or not top else _clamp(kld / top),
        parts=parts,
    )


def _clamp(value: float) -> float:
    return min(1.0, max(0.0, value))
