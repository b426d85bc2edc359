"""The report of a bench: how fast each variant reads and writes, and how near that is to what the memory allows.

Also the rows, the files and the headline that the page shows of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
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
    measured = [row for row in run.result.get("rows") or () if not row.get("error")]
    failed = [row for row in run.result.get("rows") or () if row.get("error")]
    names = _names(run)
    single = [row for row in measured if row.get("concurrency") is None]
    sweep = [row for row in measured if row.get("concurrency") is not None]
    return (
        *_sentences(single, names),
        *(_failed(row, names) for row in failed),
        Caveats(_caveats(measured)),
        *_bars(single, names),
        *_levels(sweep, names),
        *([_single(single, names)] if single else []),
        *([_sweep(sweep, names)] if sweep else []),
        Conditions(_conditions(run, measured, names)),
        Picture(_summary(run, single, names)),
    )


def terminal(run: Run) -> list[Sentence]:
    count = len(run.result.get("rows") or ())
    return [Sentence(f"{count} row{'s' if count != 1 else ''}.")]


def number(result: Mapping[str, Any], names: Mapping[str, str]) -> tuple[str, str]:
    """The fastest decoding."""
    decode = [
        row for row in result.get("rows") or () if str(row.get("test", "")).startswith("tg") and row.get("tok_s_mean")
    ]
    if not decode:
        return "", ""
    best = max(decode, key=lambda row: float(row["tok_s_mean"]))
    name = names.get(str(best["variant"]), str(best["variant"]))
    return f"{best['tok_s_mean']:.3g}", f"tok/s decode, {name} in {best['engine']}"


def rows(run: Run) -> list[dict[str, Any]]:
    """The rows of `bench --json`."""
    return [dict(row) for row in run.result.get("rows") or ()]


def _address(row: Row) -> str:
    return str(row.get("address") or row.get("variant"))


def _names(run: Run) -> dict[str, str]:
    """What each address is called: its variant's label, and the engine where several measured."""
    facts = {Address.parse(str(one["id"])).variant: str(one.get("label") or one["id"]) for one in run.variants}
    measured = run.result.get("rows") or []
    several = len({row.get("engine") for row in measured}) > 1
    found: dict[str, str] = {}
    for row in measured:
        label = facts.get(str(row.get("variant")), str(row.get("variant")))
        engine = base.title(str(row["engine"])) if row.get("engine") else ""
        found.setdefault(_address(row), f"{label} in {engine}" if several and engine else label)
    return found


def _decode(rows_of: Sequence[Row]) -> list[Row]:
    """The generation test of each address, without tokens before it where there are several depths."""
    found: dict[str, Row] = {}
    for row in rows_of:
        if row["test"].startswith("tg") and (_address(row) not in found or not row.get("depth")):
            found[_address(row)] = row
    return list(found.values())


def _prefill(rows_of: Sequence[Row], address: str) -> Row:
    return next((row for row in rows_of if _address(row) == address and row["test"].startswith("pp")), {})


def _sentences(single: Sequence[Row], names: Mapping[str, str]) -> list[Sentence]:
    decoded = [row for row in _decode(single) if row.get("tok_s_mean")]
    if not decoded:
        return [Sentence("Decode speed was not measured.")] if single else []
    reference, *others = decoded
    name = names[_address(reference)]
    found = []
    for row in sorted(others, key=lambda one: -one["tok_s_mean"]):
        ratio = row["tok_s_mean"] / reference["tok_s_mean"]
        words_of = f"{ratio:.2f}× faster than" if ratio > 1 else f"{1 / ratio:.2f}× slower than"
        within = abs(row["tok_s_mean"] - reference["tok_s_mean"]) <= (row.get("tok_s_sd") or 0) + (
            reference.get("tok_s_sd") or 0
        )
        speed = formatting.plus_minus(formatting.figure(row["tok_s_mean"]), formatting.figure(row.get("tok_s_sd")))
        how = "as fast as" if within else words_of
        mixed = ", on another engine" if row.get("engine") != reference.get("engine") else ""
        found.append(
            Sentence(f"{names[_address(row)]} writes {speed} tok/s: {how} {name} here{mixed}.", note=_limit(row))
        )
    speed = formatting.plus_minus(
        formatting.figure(reference["tok_s_mean"]), formatting.figure(reference.get("tok_s_sd"))
    )
    return [*found, Sentence(f"{name} writes {speed} tok/s.", note=_limit(reference))]


def _limit(row: Row) -> str:
    return f"{row['mbu']:.0%} of what the memory’s bandwidth allows" if formatting.known(row.get("mbu")) else ""


def _failed(row: Row, names: Mapping[str, str]) -> Sentence:
    rest = str(row.get("hint") or "")
    return Sentence(f"{names[_address(row)]}, {row['test']}: {row['error']}", "worse", rest)


def _caveats(measured: Sequence[Row]) -> tuple[str, ...]:
    found = []
    if any(row.get("contended") for row in measured):
        found.append("contended: others computed on the device meanwhile")
    if any(row.get("clock") == "client" for row in measured):
        found.append("timed at arrival: the way to the engine is in the numbers")
    return tuple(found)


def _summary(run: Run, single: Sequence[Row], names: Mapping[str, str]) -> Table:
    sizes = {Address.parse(str(one["id"])).variant: one.get("bytes") for one in run.variants}
    headings = (
        Heading("Variant", words=True), Heading("Weights"), Heading("Decode", "tok/s"), Heading("Prefill", "tok/s"),
        Heading("MBU", "of the bandwidth"),
    )  # fmt: skip
    lines = []
    for number, row in enumerate(_decode(single)):
        size = row.get("weight_bytes") or sizes.get(str(row.get("variant")))
        lines.append(
            (
                Cell(names[_address(row)], kind="" if number else "reference"),
                Cell(formatting.size(size)),
                Cell(formatting.figure(row.get("tok_s_mean"))),
                Cell(formatting.figure(_prefill(single, _address(row)).get("tok_s_mean"))),
                Cell(formatting.percent(row.get("mbu"), 0)),
            )
        )
    return Table("", headings, tuple(lines))


def _grouped(rows_of: Sequence[Row], names: Mapping[str, str], line: Callable[[Row], tuple[Cell, ...]]) -> Lines:
    """The rows of each variant under its name and what computed them."""
    found: list[tuple[Cell, ...]] = []
    for address in dict.fromkeys(map(_address, rows_of)):
        own = [row for row in rows_of if _address(row) == address]
        found.append((Cell(names[address], str(own[0].get("kernel") or "")),))
        found += [line(row) for row in own]
    return tuple(found)


def _single(single: Sequence[Row], names: Mapping[str, str]) -> Table:
    def line(row: Row) -> tuple[Cell, ...]:
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
    said = "pp: prompt tokens read, tg: tokens generated; mean ± standard deviation, the warm-up left out"
    return Table("One request at a time", headings, _grouped(single, names, line), said)


def _sweep(sweep: Sequence[Row], names: Mapping[str, str]) -> Table:
    def line(row: Row) -> tuple[Cell, ...]:
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
    said = "several requests at once, on the client’s clock: waiting in the queue is in the time to the first token"
    return Table("Requests at once", headings, _grouped(sweep, names, line), said)


def _bars(single: Sequence[Row], names: Mapping[str, str]) -> list[Plot]:
    """Decode speed, each before what the memory would allow."""
    found = []
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
            found.append(plots.bars(title, bars, unit, "whiskers: ± standard deviation", keys=keys))
    return found


def _levels(sweep: Sequence[Row], names: Mapping[str, str]) -> list[Plot]:
    shown: tuple[tuple[str, str, str, float], ...] = (
        ("tok_s_mean", "Throughput", "tok/s written", 1),
        ("ttft_p99_s", "Time to first token, p99", "ms", 1e3),
    )
    found = []
    for name, title, unit, by in shown:
        series = []
        for number, address in enumerate(dict.fromkeys(map(_address, sweep))):
            points = [
                (int(row["concurrency"]), by * row[name])
                for row in sweep
                if _address(row) == address and formatting.known(row.get(name))
            ]
            if points:
                series.append((names[address], LOOKS[number % len(LOOKS)], points))
        if series:
            found.append(plots.levels(title, series, unit))
    return found


def _conditions(run: Run, measured: Sequence[Row], names: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    asked = run.settings
    found = [
        ("Prompt", f"{asked['prompt_tokens']:,} tokens" if asked.get("prompt_tokens") else ""),
        ("Answer", f"{asked['output_tokens']:,} tokens" if asked.get("output_tokens") else ""),
        ("Repetitions", str(asked["runs"]) if asked.get("runs") else ""),
        (
            "Kernels",
            "; ".join(dict.fromkeys(f"{names[_address(r)]}: {r['kernel']}" for r in measured if r.get("kernel"))),
        ),
    ]
    return tuple((name, value) for name, value in found if value)


def bench(rows: Sequence[BenchRow], addresses: Sequence[str], plan: Plan, stopped: bool = False) -> Run | None:
    """A measurement of speed. None where it was stopped before its first row."""
    if not rows:
        return None
    found = [variant_or_none(name) for name in addresses]
    first = found[0]
    model = first.model if first else model_name(addresses[0])
    tests = ", ".join(dict.fromkeys(row.test for row in rows if row.test != "load"))
    variants = []
    for name, variant in zip(addresses, found, strict=True):
        row = next((row for row in rows if row.address == name and not row.error), None)
        facts = described(name, variant.label if variant else name, variant, None, row.engine if row else "")
        variants.append(
            facts | {"kernel": row.kernel if row else "", "loaded_bytes": row.weight_bytes if row else None}
        )
    return new_run(
        "bench",
        title=run_title(model, [str(one["label"]) for one in variants], tests),
        model=key(model),
        device=device_facts(row.device for row in rows if row.device),
        settings={"addresses": list(addresses), **plan.model_dump()},
        variants=variants,
        result={"rows": [row.as_dict() for row in rows], "stopped": stopped},
    )


@dataclass(frozen=True, slots=True)
class Labels:
    """How the page calls what it measures; what it does not know keeps its own name."""

    variants: Mapping[str, Variant] = field(default_factory=dict)

    def variant(self, address: str) -> str:
        name = Address.parse(address).variant
        return self.variants[name].label if name in self.variants else name

    def is_reference(self, address: str) -> bool:
        name = Address.parse(address).variant
        return name in self.variants and self.variants[name].is_reference


def engine_title(name: str) -> str:
    """ "transformers", "llama.cpp": short enough for a label."""
    return base.title(name).removesuffix(" host")


def shown_row(found: BenchRow, labels: Labels) -> dict[str, Any]:
    """A row as the page needs it: the documented fields and what to call them."""
    engine = found.engine or Address.parse(found.address).engine
    return {
        **found.as_dict(),
        "label": labels.variant(found.address),
        "engine": engine,
        "title": engine_title(engine),
        "reference": labels.is_reference(found.address),
    }


def files(rows: Sequence[BenchRow]) -> dict[str, str]:
    """What can be downloaded: the same as the command line's --csv and --json."""
    listed = [found.as_dict() for found in rows]
    return {"csv": spec.as_csv(rows), "json": inert(listed)}


def headline(rows: Sequence[BenchRow], labels: Labels) -> tuple[str, str]:
    """The answer in one sentence, and its caveats; empty before two decode speeds, or one, are there."""
    decode = [found for found in rows if found.test.startswith("tg") and found.tok_s_mean and not found.depth]
    if not decode:
        decode = [found for found in rows if found.test.startswith("tg") and found.tok_s_mean]
    if not decode:
        return "", ""
    best = max(decode, key=lambda found: found.tok_s_mean or 0)
    speed = best.tok_s_mean or 0
    words = f"{_label(best, labels)} decodes {speed:.3g} tok/s"
    if len(decode) > 1:
        words = f"{_label(best, labels)} is the fastest here: {speed:.3g} tok/s"
    references = [found for found in decode if labels.is_reference(found.address) and found is not best]
    same = [found for found in references if found.engine == best.engine]
    other = next(iter(same or references), None)
    caveats = []
    if other is not None and other.tok_s_mean:
        words += f", {speed / other.tok_s_mean:.2f}× {_label(other, labels)}"
        if other.engine != best.engine:
            caveats.append("different engines")
    if best.mbu is not None:
        caveats.append(f"{best.mbu:.0%} of what this memory allows for its size")
    if any(found.clock == "client" for found in decode):
        caveats.append("a speed marked “client” is timed at arrival")
    if any(found.contended for found in decode):
        caveats.append("others used the device meanwhile")
    return f"{words}.", " · ".join(caveats)


def _label(found: BenchRow, labels: Labels) -> str:
    return f"{labels.variant(found.address)} in {engine_title(found.engine).removesuffix(' host')}"
