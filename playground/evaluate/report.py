"""The report of an evaluation: which variant lost what, on which task, and how sure that is.

Its sentences, tables and plots. `divergence_report` has a run that measured divergence alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from playground import formatting
from playground.core import NOISE_FLOOR
from playground.evaluate import tables
from playground.evaluate.verdict import is_share, points, sentences
from playground.metrics.verdict import Verdict, look, read, words
from playground.report import plots
from playground.report.parts import (
    Caveats,
    Cell,
    Conditions,
    Heading,
    Interval,
    Note,
    Part,
    Picture,
    Plot,
    Sentence,
    Table,
    labels,
)
from playground.store.schema import Run

DIVERGENCE = (
    *("kld_mean", "kld_stderr", "kld_median", "kld_p90", "kld_p99", "kld_p999", "kld_max"),
    *("ppl", "ppl_ratio", "top1_agreement", "dp_mean", "dp_rms"),
)
COLUMNS = (
    *("variant", "label", "method", "scheme", "bytes", "bits_per_weight", "decode_tok_s", "engine"),
    *DIVERGENCE,
    *("task", "metric", "n", "score", "stderr", "recovery", "flips_lost", "flips_won", "mcnemar_p"),
    *("diff", "diff_low", "diff_high", "smallest_drop", "verdict", "truncated", "cut_prompts", "warnings"),
)
NUMBER_OF = ("rows", "divergence")
PICTURED = 3  # tasks in the small table
Row = Mapping[str, Any]
Z95 = 1.96


def parts(run: Run) -> tuple[Part, ...]:
    variants, tasks = named(run.variants), run.result.get("tasks") or []
    verdicts, moved = run.result.get("rows") or [], run.result.get("divergence") or []
    found = (
        scores(variants, tasks, verdicts),
        speeds(variants) if any(one.get("speed") for one in variants) else None,
        divergence_table(variants, moved) if moved else None,
    )
    return (
        *(
            Sentence(one["text"], one["kind"], one["rest"], one["note"])
            for one in sentences(variants, tasks, verdicts, moved)
        ),
        Caveats(_caveats(tasks)),
        *notes(run, variants),
        *figures(variants, tasks, verdicts, moved),
        *spread(variants, moved),
        *(table for table in found if table),
        Conditions(_conditions(run, tasks, variants)),
        Picture(summary(variants, tasks, verdicts, moved)),
    )


def terminal(run: Run) -> list[Part]:
    settings = left_out(named(run.variants))
    warnings_of = [str(warning["text"]) for warning in run.result["warnings"]]
    return [*tables.tables(run), *map(Sentence, warnings_of), *([Sentence(settings)] if settings else [])]


def number(result: Mapping[str, Any], names: Mapping[str, str]) -> tuple[str, str]:
    """The worst recovery; the largest divergence where no task has a verdict."""
    none = (None, Verdict.WITHHELD)
    said = [
        row
        for row in result.get("rows") or ()
        if row.get("recovery") is not None and read(row.get("verdict")) not in none
    ]
    if not said:
        return farthest(result.get("divergence") or (), names)
    worst = min(said, key=lambda row: float(row["recovery"]))
    name = names.get(str(worst["variant"]), str(worst["variant"]))
    return f"{worst['recovery']:.1f}%", f"worst recovery, {name} on {worst['task']}"


def farthest(rows: Sequence[Row], names: Mapping[str, str]) -> tuple[str, str]:
    """The largest mean KLD, and whose."""
    reference = next(iter(names), "")
    others = [row for row in rows if row["variant"] not in (NOISE_FLOOR, reference) and row.get("kld_mean") is not None]
    if not others:
        return "", ""
    worst = max(others, key=lambda row: float(row["kld_mean"]))
    name = names.get(str(worst["variant"]), str(worst["variant"]))
    return f"{worst['kld_mean']:.3g}", f"mean KLD in nats, {name}"


def rows(run: Run) -> list[dict[str, Any]]:
    """One line per variant and task; of a run without tasks, one per variant."""
    found: list[dict[str, Any]] = []
    moved = {one["variant"]: one for one in run.result.get("divergence") or ()}
    for variant in run.variants:
        here, speed = moved.get(variant["id"], {}), variant.get("speed") or {}
        facts = dict(variant) | {
            "variant": variant["id"],
            "decode_tok_s": speed.get("decode_tok_s"),
            "engine": speed.get("engine") or variant.get("engine"),
            **{name: here.get(name) for name in DIVERGENCE},
        }
        own = [one for one in run.result.get("rows") or () if one["variant"] == variant["id"]]
        for one in own or [{}]:
            low, high = one.get("diff_ci95") or (None, None)
            said = {"diff_low": low, "diff_high": high, "warnings": " ".join(one.get("warnings") or ())}
            found.append(facts | dict(one) | said)
    return found


def named(variants: Sequence[Row]) -> list[dict[str, Any]]:
    """With labels that tell them apart."""
    return [{**variant, "label": label} for variant, label in zip(variants, labels(variants), strict=True)]


def warnings(found: Sequence[Row], variants: Sequence[Row]) -> list[dict[str, Any]]:
    """Those that withhold a verdict first, each for itself; other doubts of one kind stand together."""
    names_of = {variant["id"]: variant["label"] for variant in variants}
    groups: dict[tuple[Any, ...], dict[str, Any]] = {}
    for one in found:
        names = [names_of.get(name, name) for name in one["variants"]]
        key = (one["code"], one.get("task"), *names) if one["withholds"] else (one["code"],)
        new: dict[str, Any] = {"withholds": bool(one["withholds"]), "tasks": [], "variants": [], "texts": []}
        group = groups.setdefault(key, new)
        group["texts"].append(one["text"])
        group["tasks"] += [one["task"]] if one.get("task") and one["task"] not in group["tasks"] else []
        group["variants"] += [name for name in names if name not in group["variants"]]
    return sorted(groups.values(), key=lambda group: not group["withholds"])


def conditions(settings: Row, tasks: Sequence[Row], variants: Sequence[Row] = ()) -> list[str]:
    """What every variant was asked under, as short phrases."""
    shots = sorted({task["few_shot"] for task in tasks})
    limit = settings.get("limit")
    said = [
        "" if not tasks else "all items" if limit is None else f"the first {limit:,} items of each task",
        f"{'/'.join(map(str, shots))}-shot" if shots else "",
        "chat template" if settings.get("chat_template") else "no chat template" if tasks else "",
        "examples as turns" if settings.get("multiturn") else "",
        "text after </think>" if settings.get("strip_thinking") else "",
        *(f"{name} {value}" for name, value in (settings.get("generation") or {}).items()),
        f"batch {settings['batch_size']}" if settings.get("batch_size") else "",
        "" if settings.get("seed") is None else f"seed {settings['seed']}",
        left_out(variants) if tasks else "",
    ]
    if found := settings.get("divergence"):
        said.append(f"divergence on {found['tokens']:,} tokens of {text_name(str(found['text']))}")
        said += [f"windows of {found['max_length']:,}"] if found.get("max_length") else []
    return [one for one in said if one]


def left_out(variants: Sequence[Row]) -> str:
    """ "generation_config.json not read (BF16: repetition_penalty 1.5)"; "" of a run that an older version made."""
    if not all("left_out" in variant for variant in variants) or not variants:
        return ""
    groups: dict[str, list[str]] = {}
    for variant in variants:
        settings = ", ".join(f"{name} {str(value)[:40]}" for name, value in (variant["left_out"] or {}).items())
        groups.setdefault(settings, []).append(str(variant["label"]))
    found = [f"{', '.join(labels)}: {settings}" for settings, labels in groups.items() if settings]
    return "generation_config.json not read" + (f" ({'; '.join(found)})" if found else "")


def text_name(source: str) -> str:
    return "the bundled prose" if source in ("bundled", "bundled prose") else source


def _caveats(tasks: Sequence[Row]) -> tuple[str, ...]:
    own = [str(task["name"]) for task in tasks if task.get("bundled")]
    sampled = [str(task["name"]) for task in tasks if task.get("sample")]
    found = []
    if own:
        found.append(f"tasks written for this project, not public benchmarks: {', '.join(own)}")
    if sampled:
        found.append(f"a sample of the items, not the whole benchmark’s score: {', '.join(sampled)}")
    return tuple(found)


def notes(run: Run, variants: Sequence[Row]) -> list[Note]:
    found = warnings(run.result.get("warnings") or (), variants)
    return [Note(tuple(one["texts"]), one["withholds"], tuple(one["tasks"])) for one in found]


def _conditions(run: Run, tasks: Sequence[Row], variants: Sequence[Row]) -> tuple[tuple[str, str], ...]:
    took = (run.result.get("seconds") or {}).get("total")
    found = [
        ("Conditions", ", ".join(conditions(run.settings, tasks, variants))),
        ("Time", formatting.seconds(took) if took else ""),
    ]
    return tuple((name, value) for name, value in found if value)


# Tables.


def share_of(task: Row, verdicts: Sequence[Row]) -> bool:
    """Whether the scores of a task are shares, which are shown in percent."""
    return all(is_share(row, task) for row in verdicts if row["task"] == task["name"])


def score_words(value: Any, share: bool) -> str:
    if not formatting.known(value):
        return formatting.UNKNOWN
    return f"{100 * value:.1f}" if share else f"{value:.4g}"


def row_of(rows: Sequence[Row], variant: Any, task: Any) -> Row | None:
    return next((row for row in rows if row["variant"] == variant and row.get("task") == task), None)


def moved_of(moved: Sequence[Row], variant: Any) -> Row:
    """The divergence of a variant, {} where it was not measured."""
    return next((row for row in moved if row["variant"] == variant), {})


def summary(variants: Sequence[Row], tasks: Sequence[Row], verdicts: Sequence[Row], moved: Sequence[Row]) -> Table:
    timed = any(one.get("speed") for one in variants)
    headings = [Heading("Variant", words=True), Heading("Size")]
    headings += [Heading("Decode", "tok/s")] if timed else []
    headings += [Heading("KLD", "nats")] if moved else []
    shown = list(tasks[:PICTURED])
    shares = {task["name"]: share_of(task, verdicts) for task in shown}
    headings += [
        Heading(str(task["name"]), f"{'%, ' if shares[task['name']] else ''}n = {task['n']:,}") for task in shown
    ]
    lines = []
    for number, variant in enumerate(variants):
        cells = [
            Cell(str(variant["label"]), kind="" if number else "reference"),
            Cell(formatting.size(variant.get("bytes"))),
        ]
        if timed:
            cells.append(Cell(formatting.figure((variant.get("speed") or {}).get("decode_tok_s"))))
        if moved:
            cells.append(Cell(formatting.nats(moved_of(moved, variant["id"]).get("kld_mean"))))
        for task in shown:
            row = row_of(verdicts, variant["id"], task["name"])
            share = shares[task["name"]]
            cells.append(
                Cell(formatting.UNKNOWN)
                if row is None
                else Cell(score_words(row["score"], share), _change(row, share), look(row["verdict"]))
            )
        lines.append(tuple(cells))
    return Table("", tuple(headings), tuple(lines))


def _change(row: Row, share: bool) -> str:
    """ "−3.1 points, worse"."""
    if read(row["verdict"]) in (None, Verdict.WITHHELD):
        return words(row["verdict"])
    by = signed_score(row["diff"], share) if formatting.known(row.get("diff")) else ""
    return ", ".join(filter(None, [by, row["verdict"]]))


def signed_score(difference: float, share: bool) -> str:
    return formatting.signed(difference, f"{abs(100 * difference):.1f}" if share else f"{abs(difference):.3g}")


def scores(variants: Sequence[Row], tasks: Sequence[Row], verdicts: Sequence[Row]) -> Table | None:
    """A row for each variant and task, grouped by task, the reference first."""
    if not verdicts:
        return None
    lines: list[tuple[Cell, ...]] = []
    for task in tasks:
        share = share_of(task, verdicts)
        own = [row for row in verdicts if row["task"] == task["name"]]
        chance = f"chance {score_words(task['chance'], share)}" if formatting.known(task.get("chance")) else ""
        unit = f"{task['metric']}, %" if share else str(task["metric"])
        lines.append((Cell(str(task["name"]), " · ".join(filter(None, [unit, f"n = {task['n']:,}", chance]))),))
        reach = max([abs(end) for row in own for end in row.get("diff_ci95") or ()] or [0.0])
        for number, variant in enumerate(variants):
            if (row := row_of(verdicts, variant["id"], task["name"])) is not None:
                lines.append(_score_line(task, variant, row, share, reach, number == 0))
    headings = (
        Heading("Variant", words=True), Heading("Score"), Heading("n"), Heading("Recovery", "%"),
        Heading("Difference", "95 %"), Heading("Flips", "lost, won"), Heading("p", "McNemar"),
        Heading("Verdict", words=True),
    )  # fmt: skip
    said = "score ± standard error, in percent where it is a share; differences and intervals from a paired bootstrap"
    return Table("Every number", headings, tuple(lines), said)


def _score_line(task: Row, variant: Row, row: Row, share: bool, reach: float, reference: bool) -> tuple[Cell, ...]:
    kind = look(row["verdict"])
    unit = "points" if share else str(row["metric"])
    ends = row.get("diff_ci95")
    change = Cell(formatting.UNKNOWN)
    if formatting.known(row.get("diff")) and not reference:
        between = f"{signed_score(ends[0], share)} to {signed_score(ends[1], share)}" if ends else ""
        interval = Interval(ends[0], row["diff"], ends[1], reach) if ends and reach else None
        change = Cell(f"{signed_score(row['diff'], share)} {unit}", between, kind, interval=interval)
    lost, won, chance = row.get("flips_lost"), row.get("flips_won"), row.get("mcnemar_p")
    cut = f"{row['truncated']:.0%} cut at the budget" if row.get("truncated") else ""
    drop = row.get("smallest_drop")
    sees = f"sees drops of {points(drop, row, task)} or more" if formatting.known(drop) else ""
    recovery = row.get("recovery")
    return (
        Cell(str(variant["label"]), kind=kind if reference else ""),
        Cell(formatting.plus_minus(score_words(row["score"], share), score_words(row.get("stderr"), share)), cut),
        Cell(f"{row['n']:,}"),
        Cell(
            f"{recovery:.1f}" if formatting.known(recovery) else formatting.UNKNOWN,
            share=min(1.0, max(0.0, recovery / 100)) if formatting.known(recovery) else None,
        ),
        change,
        Cell(f"−{lost} +{won}" if formatting.known(lost) else formatting.UNKNOWN),
        Cell(formatting.UNKNOWN if not formatting.known(chance) else "< 0.001" if chance < 0.001 else f"{chance:.3f}"),
        Cell(words(row["verdict"]), "" if reference else sees, kind),
    )


def speeds(variants: Sequence[Row]) -> Table:
    lines = []
    for number, variant in enumerate(variants):
        speed = variant.get("speed") or {}
        lines.append(
            (
                Cell(str(variant["label"]), str(variant["id"]), "" if number else "reference"),
                Cell(formatting.size(variant.get("bytes"))),
                Cell(formatting.figure(variant.get("bits_per_weight"))),
                Cell(
                    formatting.plus_minus(
                        formatting.figure(speed.get("decode_tok_s")), formatting.figure(speed.get("sd"))
                    )
                ),
                Cell(formatting.figure(speed.get("prefill_tok_s"))),
                Cell(str(speed.get("engine") or variant.get("engine") or formatting.UNKNOWN)),
            )
        )
    headings = (
        Heading("Variant", words=True), Heading("Size", "on disk"), Heading("Bits", "per weight"),
        Heading("Decode", "tok/s"), Heading("Prefill", "tok/s"), Heading("Engine", words=True),
    )  # fmt: skip
    return Table("Size and speed", headings, tuple(lines), "one generation at a time; mean ± standard deviation")


def divergence_table(variants: Sequence[Row], moved: Sequence[Row]) -> Table:
    names = {variant["id"]: str(variant["label"]) for variant in variants}
    floor = moved_of(moved, NOISE_FLOOR).get("kld_mean")
    lines = []
    for row in moved:
        noise = row["variant"] == NOISE_FLOOR
        reference = row["variant"] == (variants[0]["id"] if variants else None)
        within = not noise and not reference and formatting.known(floor) and row["kld_mean"] <= floor
        mean = formatting.plus_minus(formatting.nats(row["kld_mean"]), formatting.nats(row.get("kld_stderr") or None))
        cells = [
            Cell(
                "noise floor" if noise else names.get(row["variant"], str(row["variant"])),
                "the reference in another type" if noise else "within the noise" if within else "",
                "reference" if reference else "same" if noise else "",
            ),
            Cell("0" if reference else mean),
            *(Cell(formatting.nats(row.get(name))) for name in ("kld_median", "kld_p99", "kld_p999", "kld_max")),
            Cell(formatting.percent(row.get("top1_agreement"))),
            Cell(formatting.percent(row.get("dp_rms"), 2)),
            Cell(f"{row['ppl_ratio']:.4f}" if formatting.known(row.get("ppl_ratio")) else formatting.UNKNOWN),
            Cell(f"{row['tokens']:,}" if formatting.known(row.get("tokens")) else formatting.UNKNOWN),
        ]
        lines.append(tuple(cells))
    headings = (
        Heading("Variant", words=True), Heading("Mean KLD", "nats"), Heading("Median", "nats"), Heading("p99", "nats"),
        Heading("p99.9", "nats"), Heading("Max", "nats"), Heading("Same top token"), Heading("Δp", "RMS"),
        Heading("PPL ratio"), Heading("Tokens"),
    )  # fmt: skip
    return Table(
        "Divergence from the reference", headings, tuple(lines), "on the same tokens; ± standard error by document"
    )


# Plots.


def figures(variants: Sequence[Row], tasks: Sequence[Row], verdicts: Sequence[Row], moved: Sequence[Row]) -> list[Plot]:
    found = [mark] if moved and (mark := kld_mark(variants, moved)) else []
    for task in tasks:
        share = share_of(task, verdicts)
        bars = []
        reference = None
        for number, variant in enumerate(variants):
            row = row_of(verdicts, variant["id"], task["name"])
            if row is None or not formatting.known(row.get("score")):
                continue
            by = 100 if share else 1
            reference = by * row["score"] if number == 0 else reference
            shade = "ref" if number == 0 else look(row["verdict"])
            text = score_words(row["score"], share)
            said = formatting.plus_minus(text, score_words(row.get("stderr"), share))
            tip = f"{variant['label']}: {said}, {row['verdict']}"
            error = Z95 * by * (row.get("stderr") or 0.0)
            bars.append(plots.Bar(str(variant["label"]), by * row["score"], text, shade, error, tip))
        if bars:
            unit = f"{task['metric']}{', %' if share else ''}"
            low = min(0.0, *(bar.value for bar in bars))
            said = f"n = {task['n']:,}; whiskers ± 1.96 standard errors"
            found.append(plots.bars(str(task["name"]), bars, unit, said, low=low, reference=reference))
    return found


def kld_mark(variants: Sequence[Row], moved: Sequence[Row]) -> Plot | None:
    """What is gained against what is lost."""
    marks = []
    for number, variant in enumerate(variants):
        row, speed = moved_of(moved, variant["id"]), variant.get("speed") or {}
        if number == 0 or not variant.get("bytes") or not row.get("kld_mean"):
            continue
        tip = f"{variant['label']}: {formatting.size(variant['bytes'])}, KLD {formatting.nats(row['kld_mean'])} nats"
        error = Z95 * (row.get("kld_stderr") or 0.0)
        marks.append(
            plots.Mark(
                str(variant["label"]), variant["bytes"], row["kld_mean"], error, speed.get("decode_tok_s"), "v1", tip
            )
        )
    if not marks:
        return None
    faster = ", larger where faster" if any(mark.speed for mark in marks) else ""
    said = f"whiskers ± 1.96 standard errors{faster}"
    return plots.tradeoff("Size against divergence", marks, "mean KLD, nats (less is better)", said)


def spread(variants: Sequence[Row], moved: Sequence[Row]) -> list[Plot]:
    found = [
        (str(variant["label"]), row["histogram"], row["kld_mean"])
        for variant in variants[1:]
        if (row := moved_of(moved, variant["id"])).get("histogram") and row.get("kld_mean")
    ]
    if not found:
        return []
    floor = moved_of(moved, NOISE_FLOOR).get("histogram")
    return [plots.hills("How the divergence is spread", found, floor, "KLD of single tokens")]
