"""The report of a bench: prefill and decode speed of each variant, and the share of the memory bandwidth it uses.

Also the rows, the files and the headline on the page.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from playground import formatting
from playground.core import Variant
from playground.engines import base
from playground.engines.subjects import described, model_name, variant_or_none
from playground.models.address import Address
from playground.models.names import key
from playground.report import plots
from playground.report.parts import Caveats, Cell, Conditions, Heading, Part, Picture, Plot, Sentence, Table
from playground.speed import spec
from playground.speed.spec import BenchRow, Plan
from playground.store.runs import device_facts, new_run, run_title
from playground.store.schema import Run
from playground.web.values import inert

COLUMNS = tuple(field.name for field in fields(BenchRow))
NUMBER_OF = ("rows",)
LOOKS = ("ref", "v1", "v2", "v3")
Row = Mapping[str, Any]
Lines = tuple[tuple[Cell, ...], ...]


def parts(run: Run) -> tuple[Part, ...]:
    """Return the parts of the report: verdict, plots, tables, conditions and picture."""
    measured = [row for row in run.result.get("rows") or () if not row.get("error")]
    failed = [row for row in run.result.get("rows") or () if row.get("error")]
    names = _names(run)
    single = [row for row in measured if row.get("concurrency") is None]
    sweep = [row for row in measured if row.get("concurrency") is not None]
    return (
        *_sentences(single, names),
        *(_failed(row, names) for row in failed),
        Caveats(_caveats(measured)),
        *_speed_plots(single, names),
        *_sweep_plots(sweep, names),
        *([_single_table(single, names)] if single else []),
        *([_sweep_table(sweep, names)] if sweep else []),
        Conditions(_conditions(run, measured, names)),
        Picture(_summary(run, single, names)),
    )


def terminal(run: Run) -> list[Sentence]:
    """Return the number of rows as a sentence."""
    count = len(run.result.get("rows") or ())
    return [Sentence(f"{count} row{'s' if count != 1 else ''}.")]


def number(result: Mapping[str, Any], names: Mapping[str, str]) -> tuple[str, str]:
    """Return the highest decode speed, with variant and engine; two empty texts where none was measured."""
    decode = [
        row for row in result.get("rows") or () if str(row.get("test", "")).startswith("tg") and row.get("tok_s_mean")
    ]
    if not decode:
        return "", ""
    best = max(decode, key=lambda row: float(row["tok_s_mean"]))
    name = names.get(str(best["variant"]), str(best["variant"]))
    speed = formatting.figure(best["tok_s_mean"])
    if best.get("tok_s_sd"):
        speed = f"{speed} ± {formatting.figure(best['tok_s_sd'])}"
    return speed, f"tok/s decode, {name} in {engine_title(str(best['engine']))}"


def rows(run: Run) -> list[dict[str, Any]]:
    """Return the rows of `bench --json`."""
    return [dict(row) for row in run.result.get("rows") or ()]


def _address(row: Row) -> str:
    return str(row.get("address") or row.get("variant"))


def _names(run: Run) -> dict[str, str]:
    """Return the display name of each address: the variant's label, and the engine where the run has several."""
    labels = {
        Address.parse(str(variant["id"])).variant: str(variant.get("label") or variant["id"])
        for variant in run.variants
    }
    measured = run.result.get("rows") or []
    several_engines = len({row.get("engine") for row in measured}) > 1
    names: dict[str, str] = {}
    for row in measured:
        label = labels.get(str(row.get("variant")), str(row.get("variant")))
        engine = base.title(str(row["engine"])) if row.get("engine") else ""
        names.setdefault(_address(row), f"{label} in {engine}" if several_engines and engine else label)
    return names


def _decode(bench_rows: Sequence[Row]) -> list[Row]:
    """Return the decode test of each address, at depth 0 if it was measured there."""
    tests: dict[str, Row] = {}
    for row in bench_rows:
        if row["test"].startswith("tg") and (_address(row) not in tests or not row.get("depth")):
            tests[_address(row)] = row
    return list(tests.values())


def _prefill(bench_rows: Sequence[Row], address: str) -> Row:
    return next((row for row in bench_rows if _address(row) == address and row["test"].startswith("pp")), {})


def _sentences(single: Sequence[Row], names: Mapping[str, str]) -> list[Sentence]:
    decoded = [row for row in _decode(single) if row.get("tok_s_mean")]
    if not decoded:
        return [Sentence("Decode speed was not measured.")] if single else []
    reference, *others = decoded
    name = names[_address(reference)]
    sentences = []
    for row in sorted(others, key=lambda decode: -decode["tok_s_mean"]):
        ratio = row["tok_s_mean"] / reference["tok_s_mean"]
        ratio_words = f"{ratio:.2f}× faster than" if ratio > 1 else f"{1 / ratio:.2f}× slower than"
        within_spread = abs(row["tok_s_mean"] - reference["tok_s_mean"]) <= (row.get("tok_s_sd") or 0) + (
            reference.get("tok_s_sd") or 0
        )
        speed = formatting.plus_minus(formatting.figure(row["tok_s_mean"]), formatting.figure(row.get("tok_s_sd")))
        comparison = "as fast as" if within_spread else ratio_words
        mixed = ", on another engine" if row.get("engine") != reference.get("engine") else ""
        sentences.append(
            Sentence(
                f"{names[_address(row)]} writes {speed} tok/s: {comparison} {name} here{mixed}.",
                note=_bandwidth_share(row),
            )
        )
    speed = formatting.plus_minus(
        formatting.figure(reference["tok_s_mean"]), formatting.figure(reference.get("tok_s_sd"))
    )
    return [*sentences, Sentence(f"{name} writes {speed} tok/s.", note=_bandwidth_share(reference))]


def _bandwidth_share(row: Row) -> str:
    return f"{row['mbu']:.0%} of what the memory’s bandwidth allows" if formatting.known(row.get("mbu")) else ""


def _failed(row: Row, names: Mapping[str, str]) -> Sentence:
    rest = str(row.get("hint") or "")
    return Sentence(f"{names[_address(row)]}, {row['test']}: {row['error']}", "worse", rest)


def _caveats(measured: Sequence[Row]) -> tuple[str, ...]:
    caveats = []
    if any(row.get("contended") for row in measured):
        caveats.append("contended: others computed on the device meanwhile")
    if any(row.get("clock") == "client" for row in measured):
        caveats.append("timed at arrival: the way to the engine is in the numbers")
    return tuple(caveats)


def _summary(run: Run, single: Sequence[Row], names: Mapping[str, str]) -> Table:
    sizes = {Address.parse(str(variant["id"])).variant: variant.get("bytes") for variant in run.variants}
    headings = (
        Heading("Variant", words=True), Heading("Weights"), Heading("Decode", "tok/s"), Heading("Prefill", "tok/s"),
        Heading("MBU", "of the bandwidth"),
    )  # fmt: skip
    rows = []
    for number, row in enumerate(_decode(single)):
        size = row.get("weight_bytes") or sizes.get(str(row.get("variant")))
        rows.append(
            (
                Cell(names[_address(row)], kind="" if number else "reference"),
                Cell(formatting.size(size)),
                Cell(formatting.figure(row.get("tok_s_mean"))),
                Cell(formatting.figure(_prefill(single, _address(row)).get("tok_s_mean"))),
                Cell(formatting.percent(row.get("mbu"), 0)),
            )
        )
    return Table("", headings, tuple(rows))


def _group_by_address(
    bench_rows: Sequence[Row], names: Mapping[str, str], to_cells: Callable[[Row], tuple[Cell, ...]]
) -> Lines:
    """Return the table rows of each variant below a row with its name and kernel."""
    table_rows: list[tuple[Cell, ...]] = []
    for address in dict.fromkeys(map(_address, bench_rows)):
        address_rows = [row for row in bench_rows if _address(row) == address]
        table_rows.append((Cell(names[address], str(address_rows[0].get("kernel") or "")),))
        table_rows += [to_cells(row) for row in address_rows]
    return tuple(table_rows)


def _single_table(single: Sequence[Row], names: Mapping[str, str]) -> Table:
    def to_cells(row: Row) -> tuple[Cell, ...]:
        mbu, spread = row.get("mbu"), formatting.figure(row.get("tok_s_sd"))
        return (
            Cell(str(row["test"]), f"after {row['depth']:,} tokens" if row.get("depth") else ""),
            Cell(formatting.plus_minus(formatting.figure(row.get("tok_s_mean")), spread)),
            Cell(str(row.get("runs") or formatting.UNKNOWN)),
            Cell(
                formatting.percent(mbu, 0),
                str(row.get("mbu_missing") or ""),
                share=mbu if formatting.known(mbu) else None,
            ),
            Cell(formatting.size(row.get("weight_bytes"))),
            Cell(str(row.get("clock") or formatting.UNKNOWN)),
        )

    headings = (
        Heading("Test", words=True), Heading("Speed", "tok/s"), Heading("Runs"), Heading("MBU", "of the bandwidth"),
        Heading("Weights"), Heading("Clock", words=True),
    )  # fmt: skip
    caption = "pp: prompt tokens read, tg: tokens generated; mean ± standard deviation, the warm-up left out"
    return Table("One request at a time", headings, _group_by_address(single, names, to_cells), caption)


def _sweep_table(sweep: Sequence[Row], names: Mapping[str, str]) -> Table:
    def to_cells(row: Row) -> tuple[Cell, ...]:
        return (
            Cell(str(row["concurrency"])),
            Cell(str(row.get("runs") or formatting.UNKNOWN)),
            Cell(formatting.figure(row.get("tok_s_mean"))),
            Cell(formatting.figure(row.get("total_tok_s"))),
            *(
                Cell(formatting.milliseconds(row.get(f"{name}_s")))
                for name in ("ttft_p50", "ttft_p99", "tpot_p50", "tpot_p99")
            ),
        )

    headings = (
        Heading("At once", words=True), Heading("Requests"), Heading("Output", "tok/s"), Heading("All tokens", "tok/s"),
        Heading("First token", "p50, ms"), Heading("First token", "p99, ms"), Heading("Per token", "p50, ms"),
        Heading("Per token", "p99, ms"),
    )  # fmt: skip
    caption = "several requests at once, on the client’s clock: waiting in the queue is in the time to the first token"
    return Table("Requests at once", headings, _group_by_address(sweep, names, to_cells), caption)


def _speed_plots(single: Sequence[Row], names: Mapping[str, str]) -> list[Plot]:
    """Return the bars of decode and prefill speed; for decode with the limit of the memory bandwidth."""
    speed_plots = []
    for start, title, unit in (("tg", "Decode speed", "tok/s written"), ("pp", "Prefill speed", "tok/s read")):
        bars = []
        for row in single:
            if not row["test"].startswith(start) or not formatting.known(row.get("tok_s_mean")):
                continue
            name = names[_address(row)] + (f", after {row['depth']:,}" if row.get("depth") else "")
            look = "ref" if _address(row) == _address(single[0]) else "v1"
            per_token = row.get("bytes_per_token")
            limit = row["bandwidth"] / per_token if start == "tg" and row.get("bandwidth") and per_token else None
            text, error = formatting.figure(row["tok_s_mean"]), row.get("tok_s_sd") or 0.0
            tip = f"{name}: {formatting.plus_minus(text, formatting.figure(row.get('tok_s_sd')))} tok/s"
            bars.append(plots.Bar(name, row["tok_s_mean"], text, look, error, tip, limit))
        if bars:
            keys = (("room", "what the memory’s bandwidth allows"),) if any(bar.limit for bar in bars) else ()
            speed_plots.append(plots.bars(title, bars, unit, "whiskers: ± standard deviation", keys=keys))
    return speed_plots


def _sweep_plots(sweep: Sequence[Row], names: Mapping[str, str]) -> list[Plot]:
    charts: tuple[tuple[str, str, str, float], ...] = (
        ("tok_s_mean", "Throughput", "tok/s written", 1),
        ("ttft_p99_s", "Time to first token, p99", "ms", 1e3),
    )
    sweep_plots = []
    for name, title, unit, scale in charts:
        series = []
        for number, address in enumerate(dict.fromkeys(map(_address, sweep))):
            points = [
                (int(row["concurrency"]), scale * row[name])
                for row in sweep
                if _address(row) == address and formatting.known(row.get(name))
            ]
            if points:
                series.append((names[address], LOOKS[number % len(LOOKS)], points))
        if series:
            sweep_plots.append(plots.levels(title, series, unit))
    return sweep_plots


def _conditions(run: Run, measured: Sequence[Row], names: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    settings = run.settings
    pairs = [
        ("Prompt", f"{settings['prompt_tokens']:,} tokens" if settings.get("prompt_tokens") else ""),
        ("Answer", f"{settings['output_tokens']:,} tokens" if settings.get("output_tokens") else ""),
        ("Repetitions", str(settings["runs"]) if settings.get("runs") else ""),
        (
            "Kernels",
            formatting.sentences(
                dict.fromkeys(f"{names[_address(row)]}: {row['kernel']}" for row in measured if row.get("kernel"))
            ),
        ),
    ]
    return tuple((name, value) for name, value in pairs if value)


def bench(rows: Sequence[BenchRow], addresses: Sequence[str], plan: Plan, stopped: bool = False) -> Run | None:
    """Return the run of a bench; None if it was stopped before its first row."""
    if not rows:
        return None
    resolved = [variant_or_none(name) for name in addresses]
    first = resolved[0]
    model = first.model if first else model_name(addresses[0])
    tests = ", ".join(dict.fromkeys(row.test for row in rows if row.test != "load"))
    variants = []
    for name, variant in zip(addresses, resolved, strict=True):
        row = next((row for row in rows if row.address == name and not row.error), None)
        facts = described(name, variant.label if variant else name, variant, None, row.engine if row else "")
        variants.append(
            facts | {"kernel": row.kernel if row else "", "loaded_bytes": row.weight_bytes if row else None}
        )
    return new_run(
        "bench",
        title=run_title(model, [str(facts["label"]) for facts in variants], tests),
        model=key(model),
        device=device_facts(row.device for row in rows if row.device),
        settings={"addresses": list(addresses), **plan.model_dump()},
        variants=variants,
        result={"rows": [row.as_dict() for row in rows], "stopped": stopped},
    )


@dataclass(frozen=True, slots=True)
class Labels:
    """Display names of variants by their id; an unknown variant keeps its id."""

    variants: Mapping[str, Variant] = field(default_factory=dict)

    def variant(self, address: str) -> str:
        name = Address.parse(address).variant
        return self.variants[name].label if name in self.variants else name

    def is_reference(self, address: str) -> bool:
        name = Address.parse(address).variant
        return name in self.variants and self.variants[name].is_reference


def engine_title(name: str) -> str:
    """Return the short name of an engine: "transformers", "llama.cpp"."""
    return base.title(name).removesuffix(" host")


def page_row(row: BenchRow, labels: Labels) -> dict[str, Any]:
    """Return the fields of a row and its display names."""
    engine = row.engine or Address.parse(row.address).engine
    return {
        **row.as_dict(),
        "label": labels.variant(row.address),
        "engine": engine,
        "title": engine_title(engine),
        "reference": labels.is_reference(row.address),
    }


def shown(rows: Sequence[BenchRow], labels: Labels) -> dict[str, Any]:
    """Return what the page shows above and below the table: the headline, its caveats, and the plots."""
    words, caveats = headline(rows, labels)
    measured = [row.as_dict() for row in rows if not row.error]
    names = {row.address: _label(row, labels) for row in rows}
    single = [row for row in measured if row["concurrency"] is None]
    drawn = [*_roofline(single, names, labels), *_sweep_plots([r for r in measured if r["concurrency"]], names)]
    return {"headline": words, "caveats": caveats, "plots": [asdict(plot) for plot in drawn]}


def _roofline(single: Sequence[Row], names: Mapping[str, str], labels: Labels) -> list[Plot]:
    """Return decode speed over the bytes that a token reads, against the limit of the memory's bandwidth."""
    decode = [row for row in single if row["test"].startswith("tg") and row.get("bytes_per_token")]
    if not decode:
        return []
    marks = []
    for row in decode:
        name = names[_address(row)] + (f", {row['depth']:,} tokens before it" if row.get("depth") else "")
        speed = formatting.plus_minus(formatting.figure(row["tok_s_mean"]), formatting.figure(row.get("tok_s_sd")))
        words = [f"{name}: {speed} tok/s, {formatting.size(row['bytes_per_token'])} per token"]
        if formatting.known(row.get("mbu")):
            limit = formatting.figure(row["bandwidth"] / row["bytes_per_token"])
            words.append(f"{formatting.percent(row['mbu'], 0)} of the limit of {limit} tok/s")
        else:
            words.append(f"no limit drawn: {row.get('mbu_missing')}")
        reference = labels.is_reference(_address(row))
        marks.append(
            plots.Reading(
                names[_address(row)],
                row["bytes_per_token"],
                row["tok_s_mean"],
                "ref" if reference else "v1",
                ", ".join(words),
                bool(row.get("depth")),
            )
        )
    bandwidths = sorted({row["bandwidth"] for row in decode if row.get("bandwidth")})
    return [plots.roofline("Decode speed against the memory-bandwidth limit", marks, bandwidths)]


def files(rows: Sequence[BenchRow]) -> dict[str, str]:
    """Return the downloads, equal to the output of --csv and --json."""
    listed = [row.as_dict() for row in rows]
    return {"csv": spec.as_csv(rows), "json": inert(listed)}


def headline(rows: Sequence[BenchRow], labels: Labels) -> tuple[str, str]:
    """Return the fastest variant as a sentence, and its caveats; two empty texts without a decode speed."""
    decode = [row for row in rows if row.test.startswith("tg") and row.tok_s_mean and not row.depth]
    if not decode:
        decode = [row for row in rows if row.test.startswith("tg") and row.tok_s_mean]
    if not decode:
        return "", ""
    best = max(decode, key=lambda row: row.tok_s_mean or 0)
    speed = best.tok_s_mean or 0
    words = f"{_label(best, labels)} decodes {speed:.3g} tok/s"
    if len(decode) > 1:
        words = f"{_label(best, labels)} is the fastest here: {speed:.3g} tok/s"
    references = [row for row in decode if labels.is_reference(row.address) and row is not best]
    same = [row for row in references if row.engine == best.engine]
    other = next(iter(same or references), None)
    caveats = []
    if other is not None and other.tok_s_mean:
        words += f", {speed / other.tok_s_mean:.2f}× {_label(other, labels)}"
        if other.engine != best.engine:
            caveats.append("different engines")
    if best.mbu is not None:
        caveats.append(f"{best.mbu:.0%} of what this memory allows for its size")
    if any(row.clock == "client" for row in decode):
        caveats.append("a speed marked “client” is timed at arrival")
    if any(row.contended for row in decode):
        caveats.append("others used the device meanwhile")
    return f"{words}.", " · ".join(caveats)


def _label(row: BenchRow, labels: Labels) -> str:
    return f"{labels.variant(row.address)} in {engine_title(row.engine)}"
