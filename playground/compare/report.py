"""The report of a comparison: the answers token by token, speed and size ratios, and where the texts diverge."""

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
ENDINGS = {"stop": "finished", "length": "reached the token limit", "abort": "was stopped", "error": "failed"}


def parts(run: Run) -> tuple[Part, ...]:
    """Return the parts of the report: verdict, answers, plots, table, conditions and picture."""
    panes = list(Compared.from_row(run.as_row()).answers)
    names = _names(panes)
    verdict = _outcomes(run, panes)
    divergences = [_divergence(panes[outcome["pane"]]) for outcome in verdict]
    return (
        *(map(_sentence, verdict, divergences) if verdict else _single_sentences(panes, names)),
        *_failed(panes, names),
        Caveats(tuple(dict.fromkeys(str(caveat) for outcome in verdict for caveat in outcome.get("caveats") or ()))),
        *([_ratios(verdict[0], divergences[0])] if len(verdict) == 1 else []),
        exchange(run, panes, names),
        *_plots(panes, names),
        _metrics(run, panes, names),
        Conditions(_conditions(run, panes)),
        Picture(_summary(run, panes, names)),
    )


def terminal(run: Run) -> list[Sentence]:
    """Return the verdict and the errors for a terminal."""
    failed = [pane for pane in run.result["panes"] if "error" in pane]
    return [
        *(Sentence(str(row["text"])) for row in run.result["verdict"]),
        *(Sentence(f"{pane['label']}: {pane['error']['message']} {pane['error']['hint']}".strip()) for pane in failed),
    ]


def number(result: Mapping[str, Any], _names: Mapping[str, str]) -> tuple[str, str]:
    """Return the highest ratio of a decode speed to the reference's; two empty texts without one."""
    verdict = result.get("verdict") or ()
    ratios = [(float(row["decode_ratio"]), str(row["label"])) for row in verdict if row.get("decode_ratio")]
    if not ratios:
        return "", ""
    ratio, label = max(ratios)
    return f"{ratio:.2f}×", f"decode speed, {label}" if label else "decode speed"


def rows(run: Run) -> list[dict[str, Any]]:
    """Return one row per pane; times in seconds, sizes in bytes."""
    panes = list(Compared.from_row(run.as_row()).answers)
    table_rows = []
    for number, (pane, label) in enumerate(zip(panes, _names(panes), strict=True)):
        facts = facts_of(run, number)
        divergence = _divergence(pane)
        table_rows.append(
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
                "kld_mean": divergence.kld_mean if divergence else None,
                "top1_agreement": divergence.top1_agreement if divergence else None,
                "text": pane.text,
                "error": str(pane.error) if pane.error else "",
            }
        )
    return table_rows


def _names(panes: Sequence[Answered]) -> list[str]:
    facts = [
        {"id": pane.variant_id, "label": pane.variant.label if pane.variant else "", "engine": engine_of(pane)}
        for pane in panes
    ]
    return labels(facts)


def _divergence(pane: Answered) -> ForcedSummary | None:
    """Return the divergence over the reference's own answer; None where it was not measured."""
    return pane.forced.summary if pane.forced else None


def _outcomes(run: Run, panes: Sequence[Answered]) -> list[dict[str, Any]]:
    """Return the stored verdict; for a run without one, the verdict of this version."""
    stored = run.result.get("verdict")
    if isinstance(stored, list) and stored:
        return [dict(outcome) for outcome in stored]
    return [outcome.as_row(number) for number, outcome in outcomes(panes)]


def _sentence(outcome: Row, divergence: ForcedSummary | None) -> Sentence:
    distance = ""
    if divergence:
        distance = (
            f"Over the reference’s own answer its distribution is {nats(divergence.kld_mean)} nats away (mean KLD), "
            f"with the same top token in {formatting.chance(divergence.top1_agreement)}."
        )
    rest = " ".join(filter(None, [str(outcome.get("detail") or ""), distance]))
    return Sentence(str(outcome.get("headline") or ""), rest=rest, why=str(outcome.get("explanation") or ""))


def _single_sentences(panes: Sequence[Answered], names: Sequence[str]) -> list[Sentence]:
    """Return a sentence for each answer, where none can be compared."""
    sentences = []
    for pane, label in zip(panes, names, strict=True):
        speed = pane.timing().decode_tok_s
        speed_words = "" if speed is None else f" at {formatting.figure(speed)} tok/s"
        if not pane.error:
            sentences.append(Sentence(f"{label} wrote {len(pane.tokens)} tokens{speed_words}."))
    return sentences


def _failed(panes: Sequence[Answered], names: Sequence[str]) -> list[Sentence]:
    failed = [(label, pane.error) for pane, label in zip(panes, names, strict=True) if pane.error]
    return [Sentence(f"{label} failed: {error.message}", "worse", error.hint) for label, error in failed]


def _ratios(outcome: Row, divergence: ForcedSummary | None) -> Numbers:
    numbers = [
        Number(formatting.ratio(outcome.get("size_ratio")), "size"),
        Number(formatting.ratio(outcome.get("memory_ratio")), "memory"),
        Number(formatting.ratio(outcome.get("decode_ratio")), "decode speed"),
    ]
    if divergence:
        numbers += [
            Number(nats(divergence.kld_mean), "mean KLD, nats"),
            Number(formatting.chance(divergence.top1_agreement), "same top token"),
        ]
    return Numbers(tuple(numbers))


def _summary(run: Run, panes: Sequence[Answered], names: Sequence[str]) -> Table:
    has_divergence = any(map(_divergence, panes))
    headings = [
        Heading("Variant", words=True), Heading("Size"), Heading("Decode", "tok/s"), Heading("First token", "ms"),
        Heading("Peak memory"),
    ]  # fmt: skip
    rows = []
    for number, (pane, label) in enumerate(zip(panes, names, strict=True)):
        timing = pane.timing()
        cells = [
            Cell(label, kind="reference" if number == 0 else ""),
            Cell(formatting.size(facts_of(run, number).get("bytes"))),
            Cell(formatting.figure(timing.decode_tok_s)),
            Cell(formatting.milliseconds(timing.ttft_s)),
            Cell(formatting.size(pane.peak_memory_bytes)),
        ]
        if has_divergence:
            summary = _divergence(pane)
            cells.append(Cell(nats(summary.kld_mean) if summary else formatting.UNKNOWN))
        rows.append(tuple(cells))
    return Table("", (*headings, *([Heading("Mean KLD", "nats")] if has_divergence else [])), tuple(rows))


def _metrics(run: Run, panes: Sequence[Answered], names: Sequence[str]) -> Table:
    """Return a table with a row per metric and a column per pane, which fits a phone."""
    timings = [pane.timing() for pane in panes]

    def row(name: str, unit: str, values: Sequence[str]) -> tuple[Cell, ...]:
        return (Cell(name, unit), *map(Cell, values))

    def timed(name: str, unit: str, getter: Any, to_text: Any) -> tuple[Cell, ...]:
        return row(name, unit, [to_text(getter(timing)) for timing in timings])

    def ms(name: str, getter: Any) -> tuple[Cell, ...]:
        return timed(name, "ms", getter, formatting.milliseconds)

    def tokens(name: str, getter: Any) -> tuple[Cell, ...]:
        return timed(name, "tokens", getter, lambda value: f"{value:,}")

    facts = [facts_of(run, number) for number in range(len(panes))]
    bits = [variant.get("bits_per_weight") for variant in facts]
    rows = [
        row("Size on disk", "", [formatting.size(variant.get("bytes")) for variant in facts]),
        row("Bits per weight", "", [formatting.figure(value) for value in bits]),
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
    if any(summaries := [_divergence(pane) for pane in panes]):
        rows += [
            row(
                "Mean KLD", "nats", [nats(summary.kld_mean) if summary else formatting.UNKNOWN for summary in summaries]
            ),
            row(
                "Same top token",
                "",
                [formatting.percent(summary.top1_agreement if summary else None) for summary in summaries],
            ),
        ]
    clocks = {pane.trace().clock for pane in panes}
    clock = "Times are the engine’s own clock." if clocks == {"engine"} else (
        "Times are taken at arrival: the way to the engine is in them." if clocks == {"client"}
        else "One side is timed by its engine, another at arrival."
    )  # fmt: skip
    headings = (Heading("", words=True), *(Heading(name) for name in names))
    return Table("Every number", headings, tuple(rows), clock)


def _conditions(run: Run, panes: Sequence[Answered]) -> tuple[tuple[str, str], ...]:
    kernels = dict.fromkeys(pane.loaded.kernel for pane in panes if pane.loaded and pane.loaded.kernel)
    template = panes[0].prompt.template if panes and panes[0].prompt else ""
    prompts = {"chat": "the model’s chat template", "raw": "raw text, no template", "remote": "the endpoint’s template"}
    pairs = [
        ("Sampling", str(panes[0].sampling) if panes and run.settings.get("sampling") else ""),
        ("Prompt", prompts.get(template, "")),
        ("Turns", "all at once, so times are contended" if run.settings.get("at_once") else "one after the other"),
        ("Kernels", formatting.sentences(kernels)),
    ]
    return tuple((name, value) for name, value in pairs if value)


def _plots(panes: Sequence[Answered], names: Sequence[str]) -> list[Plot]:
    """Return the plots of the gap before each token, and of the divergence at each token of the reference."""
    looks = [LOOKS[number % len(LOOKS)] for number in range(len(panes))]
    gaps = [
        plots.Series(name, tuple(1e3 * gap for gap in pane.gaps_s), look)
        for pane, name, look in zip(panes, names, looks, strict=True)
        if pane.gaps_s
    ]
    divergences = [
        plots.Series(name, tuple(positions(pane)), look)
        for pane, name, look in zip(panes, names, looks, strict=True)
        if positions(pane)
    ]
    token_plots = []
    if gaps:
        caption = "after the first, whose time is the prompt’s"
        token_plots.append(plots.lines("Time before each token", gaps, "ms", "token of the answer", caption))
    if divergences:
        caption, across = "the reference’s own answer, forced; this prompt only", "token of the reference’s answer"
        token_plots.append(plots.lines("Divergence at each token", divergences, "KLD, nats", across, caption))
    return token_plots


# Answers, token by token, with their values on the colour scales.


def engine_of(pane: Answered) -> str:
    """Return the title of a pane's engine; "" without one."""
    return base.title(pane.engine) if pane.engine else ""


def facts_of(run: Run, number: int) -> Mapping[str, Any]:
    """Return the run's facts of the variant of a pane; {} without any."""
    return run.variants[number] if number < len(run.variants) else {}


def exchange(run: Run, panes: Sequence[Answered], names: Sequence[str]) -> Exchange:
    """Return the prompt and the answers, token by token, with their colour scales."""
    prompt = run.result.get("prompt") or {}
    messages = prompt.get("messages")
    turns = [(str(message["role"]), str(message["content"])) for message in messages or ()] or [
        ("text", str(prompt.get("text", "")))
    ]
    steps = [1e3 * token.step_s for pane in panes for token in pane.tokens[1:]]
    low, high = _time_scale(steps)
    klds = {number: positions(pane) for number, pane in enumerate(panes) if _divergence(pane)}
    top = quantile([value for values in klds.values() for value in values], 0.98) if any(klds.values()) else 0.0
    answers = [
        _answer(run, number, panes, names[number], (low, high), _coloured_klds(panes, number, klds), top)
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
    """Return the ends of the time scale in ms, the same for all panes, so that equal colours mean equal times."""
    if not steps:
        return 0.0, 1.0
    low = quantile(steps, 0.05)
    return low, max(quantile(steps, 0.98), low * 1.25, low + 1e-3)


def positions(pane: Answered) -> list[float]:
    """Return the KLD at each token of the reference's answer, nats; [] where it was not measured."""
    return [token.kld for token in pane.forced.tokens] if pane.forced else []


def _coloured_klds(panes: Sequence[Answered], number: int, klds: Mapping[int, Sequence[float]]) -> Sequence[float]:
    """Return the KLD that colours a pane's tokens: its own up to the first different token; for the reference the first
    other pane's.
    """
    if number == 0:
        return next(iter(klds.values()), ())
    pane_klds = klds.get(number, ())
    split = diverges_at(panes[0], panes[number])
    return pane_klds[: split.index] if split else pane_klds


def _answer(
    run: Run, number: int, panes: Sequence[Answered], label: str, scale: tuple[float, float],
    klds: Sequence[float], top: float,
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
    split_index = split.index if split else None
    pieces = [
        _piece(token, index, scale, klds[index] if index < len(klds) else None, top, index == split_index)
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
    prompt_note = ", the prompt included" if index == 0 else ""
    about = [f"{formatting.shown(token.piece)} · token {index + 1}", f"{formatting.figure(ms)} ms{prompt_note}"]
    if share is not None:
        about[1] += f" · probability {formatting.chance(share)}"
    about += [
        f"{formatting.chance(exp(candidate.logprob))}  {formatting.shown(candidate.text)}" for candidate in token.top
    ]
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
    """Return the value at `share` (0 to 1) of the sorted values."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
