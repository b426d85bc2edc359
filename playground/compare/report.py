"""A comparison: what each variant answered, token by token, what was gained and where the texts part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from playground import formatting
from playground.compare import stored
from playground.compare.answers import Forced, engine_of, exchange, facts_of, positions
from playground.compare.run import PaneResult
from playground.compare.verdict import verdict
from playground.core import Sampling, nats
from playground.report import plots
from playground.report.parts import Account, Cell, Figure, Heading, Number, Said, Table, labels
from playground.store.schema import Run

Row = Mapping[str, Any]
LOOKS = ("ref", "v1", "v2", "v3")
COLUMNS = (
    *("variant", "label", "engine", "method", "scheme", "bytes", "bits_per_weight", "reference", "finish_reason"),
    *("clock", "contended", "prompt_tokens", "output_tokens", "ttft_s", "prefill_tok_s", "itl_p50_s", "itl_p99_s"),
    *("tpot_s", "decode_tok_s", "e2e_s", "peak_memory_bytes", "kld_mean", "top1_agreement", "text", "error"),
)


def account(run: Run) -> Account:
    panes = stored.panes(run)
    names = _names(panes)
    forced = _forced(run, len(panes))
    outcomes = _outcomes(run, panes)
    of = [forced[one["pane"]] if one["pane"] < len(forced) else None for one in outcomes]
    return Account(
        kind="Comparison",
        title=run.title,
        model=run.model,
        run_id=run.id,
        created_at=run.created_at,
        said=(*(map(_said, outcomes, of) if outcomes else _alone(panes, names)), *_failed(panes, names)),
        numbers=_ratios(outcomes[0], of[0]) if len(outcomes) == 1 else (),
        caveats=tuple(dict.fromkeys(str(caveat) for one in outcomes for caveat in one.get("caveats") or ())),
        summary=_summary(run, panes, names, forced),
        exchange=exchange(run, panes, names, forced),
        figures=tuple(_figures(panes, names, forced)),
        tables=(_metrics(run, panes, names, forced),),
        conditions=_conditions(run, panes),
    )


def rows(run: Run) -> list[dict[str, Any]]:
    """One line a pane; times in seconds, sizes in bytes."""
    panes = stored.panes(run)
    forced = _forced(run, len(panes))
    found = []
    for number, (pane, label) in enumerate(zip(panes, _names(panes), strict=True)):
        facts = run.variants[number] if number < len(run.variants) else {}
        measured = forced[number] or {}
        found.append(
            {
                **{name: facts.get(name) for name in ("method", "scheme", "bytes", "bits_per_weight")},
                **pane.timing().as_dict(),
                "variant": pane.variant_id,
                "label": label,
                "engine": pane.engine,
                "reference": number == 0,
                "finish_reason": pane.as_json()["finish_reason"],
                "clock": pane.trace().clock,
                "contended": bool(pane.finish and pane.finish.contended),
                "peak_memory_bytes": pane.peak_memory_bytes,
                "kld_mean": measured.get("kld_mean"),
                "top1_agreement": measured.get("top1_agreement"),
                "text": pane.text,
                "error": str(pane.error) if pane.error else "",
            }
        )
    return found


def _names(panes: Sequence[PaneResult]) -> list[str]:
    facts = [
        {"id": pane.variant_id, "label": pane.variant.label if pane.variant else "", "engine": engine_of(pane)}
        for pane in panes
    ]
    return labels(facts)


def _forced(run: Run, count: int) -> list[Forced | None]:
    """What the reference's own text showed of each pane; None where that was not measured."""
    found = [*(run.result.get("forced") or ()), *([None] * count)][:count]
    return [one if isinstance(one, Mapping) and formatting.known(one.get("kld_mean")) else None for one in found]


def _outcomes(run: Run, panes: Sequence[PaneResult]) -> list[dict[str, Any]]:
    """What the page said when it was made; of a run that did not keep it, what this version says."""
    kept = run.result.get("verdict")
    if isinstance(kept, list) and kept:
        return [dict(one) for one in kept]
    found = []
    for one in verdict(panes):
        found.append(
            {name: getattr(one, name) for name in ("label", "headline", "detail", "explanation", "caveats")}
            | {name: getattr(one, name) for name in ("size_ratio", "memory_ratio", "decode_ratio", "decode_interval")}
            | {"pane": [pane.variant_id for pane in panes].index(one.variant_id)}
        )
    return found


def _said(outcome: Row, forced: Forced | None) -> Said:
    moved = ""
    if forced:
        moved = (
            f"Over the reference’s own answer its distribution is {nats(forced['kld_mean'])} nats away (mean KLD), "
            f"with the same top token in {formatting.chance(forced.get('top1_agreement'))}."
        )
    rest = " ".join(filter(None, [str(outcome.get("detail") or ""), moved]))
    return Said(str(outcome.get("headline") or ""), rest=rest, why=str(outcome.get("explanation") or ""))


def _alone(panes: Sequence[PaneResult], names: Sequence[str]) -> list[Said]:
    """Where nothing can be compared: what each did."""
    found = []
    for pane, label in zip(panes, names, strict=True):
        speed = pane.timing().decode_tok_s
        how = "" if speed is None else f" at {formatting.figure(speed)} tok/s"
        if not pane.error:
            found.append(Said(f"{label} wrote {len(pane.tokens)} tokens{how}."))
    return found


def _failed(panes: Sequence[PaneResult], names: Sequence[str]) -> list[Said]:
    failed = [(label, pane.error) for pane, label in zip(panes, names, strict=True) if pane.error]
    return [Said(f"{label} failed: {error.message}", "worse", error.hint) for label, error in failed]


def _ratios(outcome: Row, forced: Forced | None) -> tuple[Number, ...]:
    found = [
        Number(formatting.ratio(outcome.get("size_ratio")), "size"),
        Number(formatting.ratio(outcome.get("memory_ratio")), "memory"),
        Number(formatting.ratio(outcome.get("decode_ratio")), "decode speed"),
    ]
    if forced:
        found += [
            Number(nats(forced["kld_mean"]), "mean KLD, nats"),
            Number(formatting.chance(forced.get("top1_agreement")), "same top token"),
        ]
    return tuple(found)


def _summary(run: Run, panes: Sequence[PaneResult], names: Sequence[str], forced: Sequence[Forced | None]) -> Table:
    moved = any(forced)
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
            value = (forced[number] or {}).get("kld_mean")
            cells.append(Cell(nats(value) if formatting.known(value) else formatting.UNKNOWN))
        lines.append(tuple(cells))
    return Table("", (*headings, *([Heading("Mean KLD", "nats")] if moved else [])), tuple(lines))


def _metrics(run: Run, panes: Sequence[PaneResult], names: Sequence[str], forced: Sequence[Forced | None]) -> Table:
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
    if any(forced):
        values = [one or {} for one in forced]
        found += [
            row(
                "Mean KLD",
                "nats",
                [nats(v["kld_mean"]) if formatting.known(v.get("kld_mean")) else "–" for v in values],
            ),
            row("Same top token", "", [formatting.percent(v.get("top1_agreement")) for v in values]),
        ]
    clocks = {pane.trace().clock for pane in panes}
    clock = "Times are the engine’s own clock." if clocks == {"engine"} else (
        "Times are taken at arrival: the way to the engine is in them." if clocks == {"client"}
        else "One side is timed by its engine, another at arrival."
    )  # fmt: skip
    headings = (Heading("", words=True), *(Heading(name) for name in names))
    return Table("Every number", headings, tuple(found), clock)


def _conditions(run: Run, panes: Sequence[PaneResult]) -> tuple[tuple[str, str], ...]:
    sampling = dict(run.settings.get("sampling") or {})
    fields = {name: value for name, value in sampling.items() if name in Sampling.__dataclass_fields__}
    fields["stop"] = tuple(fields.get("stop") or ())
    kernels = dict.fromkeys(pane.loaded.kernel for pane in panes if pane.loaded and pane.loaded.kernel)
    template = str((run.result.get("prompt") or {}).get("template") or "")
    prompts = {"chat": "the model’s chat template", "raw": "raw text, no template", "remote": "the endpoint’s template"}
    found = [
        ("Sampling", str(Sampling(**fields)) if sampling else ""),
        ("Prompt", prompts.get(template, "")),
        ("Turns", "all at once, so times are contended" if run.settings.get("at_once") else "one after the other"),
        ("Kernels", "; ".join(kernels)),
    ]
    return tuple((name, value) for name, value in found if value)


def _figures(panes: Sequence[PaneResult], names: Sequence[str], forced: Sequence[Forced | None]) -> list[Figure]:
    """The gap before each token, and how far each variant is from the reference at each of its tokens."""
    looks = [LOOKS[number % len(LOOKS)] for number in range(len(panes))]
    gaps = [
        plots.Series(name, tuple(1e3 * gap for gap in pane.gaps_s), look)
        for pane, name, look in zip(panes, names, looks, strict=True)
        if pane.gaps_s
    ]
    found = []
    if gaps:
        keys = tuple((one.look, one.label) for one in gaps)
        draw = partial(plots.lines, series=gaps, unit="ms", across="token of the answer")
        found.append(Figure("Time before each token", draw, "after the first, whose time is the prompt’s", keys))
    moved = [
        plots.Series(name, tuple(positions(one)), look)
        for one, name, look in zip(forced, names, looks, strict=True)
        if one and positions(one)
    ]
    if moved:
        keys = tuple((one.look, one.label) for one in moved)
        draw = partial(plots.lines, series=moved, unit="KLD, nats", across="token of the reference’s answer")
        found.append(
            Figure("Divergence at each token", draw, "the reference’s own answer, forced; this prompt only", keys)
        )
    return found
