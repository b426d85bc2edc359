"""The report of a comparison: what each variant answered, token by token, what was gained and where the texts part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import exp
from typing import Any

from playground import formatting
from playground.compare.answer import Answer as Answered
from playground.compare.outcome import diverges_at, outcomes
from playground.compare.stored import Compared
from playground.core import ForcedSummary, Token, nats
from playground.engines import base
from playground.report import plots
from playground.report.parts import (
    Answer,
    Caveats,
    Cell,
    Conditions,
    Exchange,
    Heading,
    Number,
    Numbers,
    Part,
    Picture,
    Piece,
    Plot,
    Scale,
    Sentence,
    Table,
    labels,
)
from playground.store.schema import Run

Row = Mapping[str, Any]
LOOKS = ("ref", "v1", "v2", "v3")
COLUMNS = (
    *("variant", "label", "engine", "method", "scheme", "bytes", "bits_per_weight", "reference", "finish_reason"),
    *("clock", "contended", "prompt_tokens", "output_tokens", "ttft_s", "prefill_tok_s", "itl_p50_s", "itl_p99_s"),
    *("tpot_s", "decode_tok_s", "e2e_s", "peak_memory_bytes", "kld_mean", "top1_agreement", "text", "error"),
)
NUMBER_OF = ("verdict",)
ENDINGS = {"stop": "stopped by itself", "length": "reached its length limit", "abort": "was stopped", "error": "failed"}


def parts(run: Run) -> tuple[Part, ...]:
    panes = list(Compared.from_row(run.as_row()).answers)
    names = _names(panes)
    found = _outcomes(run, panes)
    of = [_moved(panes[one["pane"]]) for one in found]
    return (
        *(map(_sentence, found, of) if found else _alone(panes, names)),
        *_failed(panes, names),
        Caveats(tuple(dict.fromkeys(str(caveat) for one in found for caveat in one.get("caveats") or ()))),
        *([_ratios(found[0], of[0])] if len(found) == 1 else []),
        exchange(run, panes, names),
        *_plots(panes, names),
        _metrics(run, panes, names),
        Conditions(_conditions(run, panes)),
        Picture(_summary(run, panes, names)),
    )


def terminal(run: Run) -> list[Sentence]:
    failed = [pane for pane in run.result["panes"] if "error" in pane]
    return [
        *(Sentence(str(row["text"])) for row in run.result["verdict"]),
        *(Sentence(f"{pane['label']}: {pane['error']['message']} {pane['error']['hint']}".strip()) for pane in failed),
    ]


def number(result: Mapping[str, Any], _names: Mapping[str, str]) -> tuple[str, str]:
    """The best decode speed over the reference's."""
    verdict = result.get("verdict") or ()
    ratios = [(float(one["decode_ratio"]), str(one["label"])) for one in verdict if one.get("decode_ratio")]
    if not ratios:
        return "", ""
    ratio, label = max(ratios)
    return f"{ratio:.2f}×", f"decode speed, {label}" if label else "decode speed"


def rows(run: Run) -> list[dict[str, Any]]:
    """One line a pane; times in seconds, sizes in bytes."""
    panes = list(Compared.from_row(run.as_row()).answers)
    found = []
    for number, (pane, label) in enumerate(zip(panes, _names(panes), strict=True)):
        facts = run.variants[number] if number < len(run.variants) else {}
        measured = _moved(pane)
        found.append(
            {
                **{name: facts.get(name) for name in ("method", "scheme", "bytes", "bits_per_weight")},
                **pane.timing().as_dict(),
                "variant": pane.variant_id,
                "label": label,
                "engine": pane.engine,
                "reference": number == 0,
                "finish_reason": pane.finish_reason,
                "clock": pane.trace().clock,
                "contended": pane.contended,
                "peak_memory_bytes": pane.peak_memory_bytes,
                "kld_mean": measured.kld_mean if measured else None,
                "top1_agreement": measured.top1_agreement if measured else None,
                "text": pane.text,
                "error": str(pane.error) if pane.error else "",
            }
        )
    return found


def _names(panes: Sequence[Answered]) -> list[str]:
    facts = [
        {"id": pane.variant_id, "label": pane.variant.label if pane.variant else "", "engine": engine_of(pane)}
        for pane in panes
    ]
    return labels(facts)


def _moved(pane: Answered) -> ForcedSummary | None:
    """What the reference's own answer showed of a variant; None where that was not measured."""
    return pane.forced.summary if pane.forced else None


def _outcomes(run: Run, panes: Sequence[Answered]) -> list[dict[str, Any]]:
    """What the page said when it was made; of a run that did not keep it, what this version says."""
    kept = run.result.get("verdict")
    if isinstance(kept, list) and kept:
        return [dict(one) for one in kept]
    return [found.as_row(number) for number, found in outcomes(panes)]


def _sentence(outcome: Row, moved: ForcedSummary | None) -> Sentence:
    distance = ""
    if moved:
        distance = (
            f"Over the reference’s own answer its distribution is {nats(moved.kld_mean)} nats away (mean KLD), "
            f"with the same top token in {formatting.chance(moved.top1_agreement)}."
        )
    rest = " ".join(filter(None, [str(outcome.get("detail") or ""), distance]))
    return Sentence(str(outcome.get("headline") or ""), rest=rest, why=str(outcome.get("explanation") or ""))


def _alone(panes: Sequence[Answered], names: Sequence[str]) -> list[Sentence]:
    """Where nothing can be compared: what each did."""
    found = []
    for pane, label in zip(panes, names, strict=True):
        speed = pane.timing().decode_tok_s
        how = "" if speed is None else f" at {formatting.figure(speed)} tok/s"
        if not pane.error:
            found.append(Sentence(f"{label} wrote {len(pane.tokens)} tokens{how}."))
    return found


def _failed(panes: Sequence[Answered], names: Sequence[str]) -> list[Sentence]:
    failed = [(label, pane.error) for pane, label in zip(panes, names, strict=True) if pane.error]
    return [Sentence(f"{label} failed: {error.message}", "worse", error.hint) for label, error in failed]


def _ratios(outcome: Row, moved: ForcedSummary | None) -> Numbers:
    found = [
        Number(formatting.ratio(outcome.get("size_ratio")), "size"),
        Number(formatting.ratio(outcome.get("memory_ratio")), "memory"),
        Number(formatting.ratio(outcome.get("decode_ratio")), "decode speed"),
    ]
    if moved:
        found += [
            Number(nats(moved.kld_mean), "mean KLD, nats"),
            Number(formatting.chance(moved.top1_agreement), "same top token"),
        ]
    return Numbers(tuple(found))


def _summary(run: Run, panes: Sequence[Answered], names: Sequence[str]) -> Table:
    moved = any(map(_moved, panes))
    headings = [
        Heading("Variant", words=True), Heading("Size"), Heading("Decode", "tok/s"), Heading("First token", "ms"),
        Heading("Peak memory"),
    ]  # fmt: skip
    lines = []
    for number, (pane, label) in enumerate(zip(panes, names, strict=True)):
        timing = pane.timing()
        cells = [
            Cell(label, kind="reference" if number == 0 else ""),
            Cell(formatting.size(facts_of(run, number).get("bytes"))),
            Cell(formatting.figure(timing.decode_tok_s)),
            Cell(formatting.milliseconds(timing.ttft_s)),
            Cell(formatting.size(pane.peak_memory_bytes)),
        ]
        if moved:
            own = _moved(pane)
            cells.append(Cell(nats(own.kld_mean) if own else formatting.UNKNOWN))
        lines.append(tuple(cells))
    return Table("", (*headings, *([Heading("Mean KLD", "nats")] if moved else [])), tuple(lines))


def _metrics(run: Run, panes: Sequence[Answered], names: Sequence[str]) -> Table:
    """A row for each metric, a column for each pane: reads well on a phone too."""
    timings = [pane.timing() for pane in panes]

    def row(name: str, unit: str, values: Sequence[str]) -> tuple[Cell, ...]:
        return (Cell(name, unit), *map(Cell, values))

    def timed(name: str, unit: str, of: Any, form: Any) -> tuple[Cell, ...]:
        return row(name, unit, [form(of(timing)) for timing in timings])

    def ms(name: str, of: Any) -> tuple[Cell, ...]:
        return timed(name, "ms", of, formatting.milliseconds)

    def tokens(name: str, of: Any) -> tuple[Cell, ...]:
        return timed(name, "tokens", of, lambda value: f"{value:,}")

    facts = [facts_of(run, number) for number in range(len(panes))]
    bits = [one.get("bits_per_weight") for one in facts]
    found = [
        row("Size on disk", "", [formatting.size(one.get("bytes")) for one in facts]),
        row("Bits per weight", "", [formatting.figure(one) for one in bits]),
        timed("Decode speed", "tok/s", lambda t: t.decode_tok_s, formatting.figure),
        timed("Prefill speed", "tok/s", lambda t: t.prefill_tok_s, formatting.figure),
        ms("Time to first token", lambda t: t.ttft_s),
        ms("Time per output token", lambda t: t.tpot_s),
        ms("Gap between tokens, p50", lambda t: t.itl_p50_s),
        ms("Gap between tokens, p99", lambda t: t.itl_p99_s),
        timed("From accepted to last token", "s", lambda t: t.e2e_s, formatting.figure),
        tokens("Prompt", lambda t: t.prompt_tokens),
        tokens("Answer", lambda t: t.output_tokens),
        row("Peak memory", "", [formatting.size(pane.peak_memory_bytes) for pane in panes]),
    ]
    if any(moved := [_moved(pane) for pane in panes]):
        found += [
            row("Mean KLD", "nats", [nats(one.kld_mean) if one else formatting.UNKNOWN for one in moved]),
            row("Same top token", "", [formatting.percent(one.top1_agreement if one else None) for one in moved]),
        ]
    clocks = {pane.trace().clock for pane in panes}
    clock = "Times are the engine’s own clock." if clocks == {"engine"} else (
        "Times are taken at arrival: the way to the engine is in them." if clocks == {"client"}
        else "One side is timed by its engine, another at arrival."
    )  # fmt: skip
    headings = (Heading("", words=True), *(Heading(name) for name in names))
    return Table("Every number", headings, tuple(found), clock)


def _conditions(run: Run, panes: Sequence[Answered]) -> tuple[tuple[str, str], ...]:
    kernels = dict.fromkeys(pane.loaded.kernel for pane in panes if pane.loaded and pane.loaded.kernel)
    template = panes[0].prompt.template if panes and panes[0].prompt else ""
    prompts = {"chat": "the model’s chat template", "raw": "raw text, no template", "remote": "the endpoint’s template"}
    found = [
        ("Sampling", str(panes[0].sampling) if panes and run.settings.get("sampling") else ""),
        ("Prompt", prompts.get(template, "")),
        ("Turns", "all at once, so times are contended" if run.settings.get("at_once") else "one after the other"),
        ("Kernels", "; ".join(kernels)),
    ]
    return tuple((name, value) for name, value in found if value)


def _plots(panes: Sequence[Answered], names: Sequence[str]) -> list[Plot]:
    """The gap before each token, and how far each variant is from the reference at each of its tokens."""
    looks = [LOOKS[number % len(LOOKS)] for number in range(len(panes))]
    gaps = [
        plots.Series(name, tuple(1e3 * gap for gap in pane.gaps_s), look)
        for pane, name, look in zip(panes, names, looks, strict=True)
        if pane.gaps_s
    ]
    moved = [
        plots.Series(name, tuple(positions(pane)), look)
        for pane, name, look in zip(panes, names, looks, strict=True)
        if positions(pane)
    ]
    found = []
    if gaps:
        said = "after the first, whose time is the prompt’s"
        found.append(plots.lines("Time before each token", gaps, "ms", "token of the answer", said))
    if moved:
        said, across = "the reference’s own answer, forced; this prompt only", "token of the reference’s answer"
        found.append(plots.lines("Divergence at each token", moved, "KLD, nats", across, said))
    return found


# Answers, token by token, with their places on the colour scales.


def engine_of(pane: Answered) -> str:
    return base.title(pane.engine) if pane.engine else ""


def facts_of(run: Run, number: int) -> Mapping[str, Any]:
    """How the run describes the variant of a pane."""
    return run.variants[number] if number < len(run.variants) else {}


def exchange(run: Run, panes: Sequence[Answered], names: Sequence[str]) -> Exchange:
    prompt = run.result.get("prompt") or {}
    messages = prompt.get("messages")
    turns = [(str(one["role"]), str(one["content"])) for one in messages or ()] or [
        ("text", str(prompt.get("text", "")))
    ]
    steps = [1e3 * token.step_s for pane in panes for token in pane.tokens[1:]]
    low, high = _time_scale(steps)
    klds = {number: positions(pane) for number, pane in enumerate(panes) if _moved(pane)}
    top = quantile([value for own in klds.values() for value in own], 0.98) if any(klds.values()) else 0.0
    answers = [
        _answer(run, number, panes, names[number], (low, high), _own(panes, number, klds), top)
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


def positions(pane: Answered) -> list[float]:
    """KLD at each token of the reference's answer, nats; [] where that was not measured."""
    return [token.kld for token in pane.forced.tokens] if pane.forced else []


def _own(panes: Sequence[Answered], number: int, klds: Mapping[int, Sequence[float]]) -> Sequence[float]:
    """What colours a pane's tokens by divergence: its own up to where the texts part; the reference has the first's."""
    if number == 0:
        return next(iter(klds.values()), ())
    own = klds.get(number, ())
    split = diverges_at(panes[0], panes[number])
    return own[: split.index] if split else own


def _answer(
    run: Run, number: int, panes: Sequence[Answered], label: str, scale: tuple[float, float],
    moved: Sequence[float], top: float,
) -> Answer:  # fmt: skip
    pane = panes[number]
    facts = facts_of(run, number)
    split = diverges_at(panes[0], pane) if number else None
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
    reason = pane.finish_reason
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


def quantile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
