"""The report of an evaluation: sentences, tables and plots of what each variant lost on each task.

`divergence_report` is for a run that measured divergence alone.
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
MAX_PICTURED_TASKS = 4  # in the picture; of more, those that lost most
Row = Mapping[str, Any]
Z95 = 1.96  # standard errors of a 95 % interval


def parts(run: Run) -> tuple[Part, ...]:
    """Return the parts of the report: verdict, plots, tables, conditions and picture."""
    variants, tasks = with_labels(run.variants), run.result.get("tasks") or []
    verdicts, divergence = run.result.get("rows") or [], run.result.get("divergence") or []
    detail_tables = (
        score_table(variants, tasks, verdicts),
        speed_table(variants) if any(variant.get("speed") for variant in variants) else None,
        divergence_table(variants, divergence) if divergence else None,
    )
    return (
        *(
            Sentence(sentence["text"], sentence["kind"], sentence["rest"], sentence["note"])
            for sentence in sentences(variants, tasks, verdicts, divergence)
        ),
        Caveats(_caveats(tasks)),
        *notes(run, variants),
        *score_plots(variants, tasks, verdicts, divergence),
        *histogram_plots(variants, divergence),
        *(table for table in detail_tables if table),
        Conditions(_conditions(run, tasks, variants)),
        Picture(summary_table(variants, tasks, verdicts, divergence)),
    )


def terminal(run: Run) -> list[Part]:
    """Return the tables, warnings and unread settings for a terminal."""
    settings = unread_settings(with_labels(run.variants))
    warnings_of = [str(warning["text"]) for warning in run.result["warnings"]]
    return [*tables.tables(run), *map(Sentence, warnings_of), *([Sentence(settings)] if settings else [])]


def number(result: Mapping[str, Any], names: Mapping[str, str]) -> tuple[str, str]:
    """Return the worst recovery and its name; the largest divergence where no task has a verdict."""
    no_verdict = (None, Verdict.WITHHELD)
    measured = [
        row
        for row in result.get("rows") or ()
        if row.get("recovery") is not None and read(row.get("verdict")) not in no_verdict
    ]
    if not measured:
        return largest_divergence(result.get("divergence") or (), names)
    worst = min(measured, key=lambda row: float(row["recovery"]))
    name = names.get(str(worst["variant"]), str(worst["variant"]))
    return f"{worst['recovery']:.1f}%", f"worst recovery, {name} on {worst['task']}"


def largest_divergence(rows: Sequence[Row], names: Mapping[str, str]) -> tuple[str, str]:
    """Return the largest mean KLD and the variant's name; two empty texts without one."""
    reference = next(iter(names), "")
    others = [row for row in rows if row["variant"] not in (NOISE_FLOOR, reference) and row.get("kld_mean") is not None]
    if not others:
        return "", ""
    worst = max(others, key=lambda row: float(row["kld_mean"]))
    name = names.get(str(worst["variant"]), str(worst["variant"]))
    return f"{worst['kld_mean']:.3g}", f"mean KLD in nats, {name}"


def rows(run: Run) -> list[dict[str, Any]]:
    """Return one row per variant and task; for a run without tasks, one per variant."""
    table_rows: list[dict[str, Any]] = []
    divergence = {row["variant"]: row for row in run.result.get("divergence") or ()}
    for variant in run.variants:
        metrics, speed = divergence.get(variant["id"], {}), variant.get("speed") or {}
        facts = dict(variant) | {
            "variant": variant["id"],
            "decode_tok_s": speed.get("decode_tok_s"),
            "engine": speed.get("engine") or variant.get("engine"),
            **{name: metrics.get(name) for name in DIVERGENCE},
        }
        verdicts = [row for row in run.result.get("rows") or () if row["variant"] == variant["id"]]
        for verdict in verdicts or [{}]:
            low, high = verdict.get("diff_ci95") or (None, None)
            columns = {"diff_low": low, "diff_high": high, "warnings": " ".join(verdict.get("warnings") or ())}
            table_rows.append(facts | dict(verdict) | columns)
    return table_rows


def with_labels(variants: Sequence[Row]) -> list[dict[str, Any]]:
    """Return the variants with labels that tell them apart."""
    return [{**variant, "label": label} for variant, label in zip(variants, labels(variants), strict=True)]


def warnings(stored: Sequence[Row], variants: Sequence[Row]) -> list[dict[str, Any]]:
    """Return the warnings in groups: each that withholds a verdict alone and first, the others by their code."""
    names_of = {variant["id"]: variant["label"] for variant in variants}
    groups: dict[tuple[Any, ...], dict[str, Any]] = {}
    for warning in stored:
        names = [names_of.get(name, name) for name in warning["variants"]]
        key = (warning["code"], warning.get("task"), *names) if warning["withholds"] else (warning["code"],)
        empty: dict[str, Any] = {"withholds": bool(warning["withholds"]), "tasks": [], "variants": [], "texts": []}
        group = groups.setdefault(key, empty)
        group["texts"].append(warning["text"])
        group["tasks"] += [warning["task"]] if warning.get("task") and warning["task"] not in group["tasks"] else []
        group["variants"] += [name for name in names if name not in group["variants"]]
    return sorted(groups.values(), key=lambda group: not group["withholds"])


def conditions(settings: Row, tasks: Sequence[Row], variants: Sequence[Row] = ()) -> list[str]:
    """Return the settings of an evaluation as short phrases."""
    shots = sorted({task["few_shot"] for task in tasks})
    limit = settings.get("limit")
    phrases = [
        "" if not tasks else "all items" if limit is None else f"the first {limit:,} items of each task",
        f"{'/'.join(map(str, shots))}-shot" if shots else "",
        "chat template" if settings.get("chat_template") else "no chat template" if tasks else "",
        "examples as turns" if settings.get("multiturn") else "",
        "text after </think>" if settings.get("strip_thinking") else "",
        *(f"{name} {value}" for name, value in (settings.get("generation") or {}).items()),
        f"batch {settings['batch_size']}" if settings.get("batch_size") else "",
        "" if settings.get("seed") is None else f"seed {settings['seed']}",
        unread_settings(variants) if tasks else "",
    ]
    if divergence := settings.get("divergence"):
        phrases.append(f"divergence on {divergence['tokens']:,} tokens of {text_name(str(divergence['text']))}")
        phrases += [f"windows of {divergence['max_length']:,}"] if divergence.get("max_length") else []
    return [phrase for phrase in phrases if phrase]


def unread_settings(variants: Sequence[Row]) -> str:
    """Return "generation_config.json not read (BF16: repetition_penalty 1.5)"; "" for a run of an older version."""
    if not all("left_out" in variant for variant in variants) or not variants:
        return ""
    groups: dict[str, list[str]] = {}
    for variant in variants:
        settings = ", ".join(f"{name} {str(value)[:40]}" for name, value in (variant["left_out"] or {}).items())
        groups.setdefault(settings, []).append(str(variant["label"]))
    texts = [f"{', '.join(labels)}: {settings}" for settings, labels in groups.items() if settings]
    return "generation_config.json not read" + (f" ({'; '.join(texts)})" if texts else "")


def text_name(source: str) -> str:
    """Return the display name of the text of a divergence."""
    return "the bundled prose" if source in ("bundled", "bundled prose") else source


def _caveats(tasks: Sequence[Row]) -> tuple[str, ...]:
    bundled = [str(task["name"]) for task in tasks if task.get("bundled")]
    sampled = [str(task["name"]) for task in tasks if task.get("sample")]
    caveats = []
    if bundled:
        caveats.append(f"tasks written for this project, not public benchmarks: {', '.join(bundled)}")
    if sampled:
        caveats.append(f"a sample of the items, not the whole benchmark’s score: {', '.join(sampled)}")
    return tuple(caveats)


def notes(run: Run, variants: Sequence[Row]) -> list[Note]:
    """Return the warnings of a run as notes of its report."""
    groups = warnings(run.result.get("warnings") or (), variants)
    return [Note(tuple(group["texts"]), group["withholds"], tuple(group["tasks"])) for group in groups]


def _conditions(run: Run, tasks: Sequence[Row], variants: Sequence[Row]) -> tuple[tuple[str, str], ...]:
    seconds = (run.result.get("seconds") or {}).get("total")
    pairs = [
        ("Conditions", ", ".join(conditions(run.settings, tasks, variants))),
        ("Time", formatting.seconds(seconds) if seconds else ""),
    ]
    return tuple((name, value) for name, value in pairs if value)


# Tables.


def scores_are_shares(task: Row, verdicts: Sequence[Row]) -> bool:
    """Return whether the scores of a task are shares, which are shown in percent."""
    return all(is_share(row, task) for row in verdicts if row["task"] == task["name"])


def format_score(value: Any, share: bool) -> str:
    """Return a score, a share in percent."""
    if not formatting.known(value):
        return formatting.UNKNOWN
    return f"{100 * value:.1f}" if share else f"{value:.4g}"


def verdict_row(rows: Sequence[Row], variant: Any, task: Any) -> Row | None:
    """Return the verdict of a variant on a task; None where it has none."""
    return next((row for row in rows if row["variant"] == variant and row.get("task") == task), None)


def divergence_row(divergence: Sequence[Row], variant: Any) -> Row:
    """Return the divergence of a variant; {} where it was not measured."""
    return next((row for row in divergence if row["variant"] == variant), {})


def summary_table(
    variants: Sequence[Row], tasks: Sequence[Row], verdicts: Sequence[Row], divergence: Sequence[Row]
) -> Table:
    """Return the small table of the picture: size, speed, KLD, and all tasks or those that lost most."""
    timed = any(variant.get("speed") for variant in variants)
    headings = [Heading("Variant", words=True), Heading("Size")]
    headings += [Heading("Decode", "tok/s")] if timed else []
    headings += [Heading("KLD", "nats")] if divergence else []
    pictured = list(tasks) if len(tasks) <= MAX_PICTURED_TASKS else _worst_first(tasks, verdicts)[:MAX_PICTURED_TASKS]
    shares = {task["name"]: scores_are_shares(task, verdicts) for task in pictured}
    headings += [
        Heading(str(task["name"]), f"{'%, ' if shares[task['name']] else ''}n = {task['n']:,}") for task in pictured
    ]
    rows = []
    for number, variant in enumerate(variants):
        cells = [
            Cell(str(variant["label"]), kind="" if number else "reference"),
            Cell(formatting.size(variant.get("bytes"))),
        ]
        if timed:
            cells.append(Cell(formatting.figure((variant.get("speed") or {}).get("decode_tok_s"))))
        if divergence:
            cells.append(Cell(formatting.nats(divergence_row(divergence, variant["id"]).get("kld_mean"))))
        for task in pictured:
            row = verdict_row(verdicts, variant["id"], task["name"])
            share = shares[task["name"]]
            cells.append(
                Cell(formatting.UNKNOWN)
                if row is None
                else Cell(format_score(row["score"], share), _signed_verdict(row, share), look(row["verdict"]))
            )
        rows.append(tuple(cells))
    more = len(tasks) - len(pictured)
    caption = f"the tasks that lost most, + {more} more task{'' if more == 1 else 's'}" if more else ""
    return Table("", tuple(headings), tuple(rows), caption)


def _worst_first(tasks: Sequence[Row], verdicts: Sequence[Row]) -> list[Row]:
    """Return the tasks by the largest loss of any variant, in percent of the reference's score."""

    def recovery(task: Row) -> float:
        known = [row["recovery"] for row in verdicts if row["task"] == task["name"] and row.get("recovery") is not None]
        return min(known, default=100.0)

    return sorted(tasks, key=recovery)


def _signed_verdict(row: Row, share: bool) -> str:
    """Return "−3.1 points, worse"."""
    if read(row["verdict"]) in (None, Verdict.WITHHELD):
        return words(row["verdict"])
    difference = format_difference(row["diff"], share) if formatting.known(row.get("diff")) else ""
    return ", ".join(filter(None, [difference, row["verdict"]]))


def format_difference(difference: float, share: bool) -> str:
    """Return a signed difference of scores, of shares in percentage points."""
    return formatting.signed(difference, f"{abs(100 * difference):.1f}" if share else f"{abs(difference):.3g}")


def score_table(variants: Sequence[Row], tasks: Sequence[Row], verdicts: Sequence[Row]) -> Table | None:
    """Return a row for each variant and task, grouped by task, the reference first; None without verdicts."""
    if not verdicts:
        return None
    rows: list[tuple[Cell, ...]] = []
    for task in tasks:
        share = scores_are_shares(task, verdicts)
        task_rows = [row for row in verdicts if row["task"] == task["name"]]
        chance = f"chance {format_score(task['chance'], share)}" if formatting.known(task.get("chance")) else ""
        unit = f"{task['metric']}, %" if share else str(task["metric"])
        rows.append((Cell(str(task["name"]), " · ".join(filter(None, [unit, f"n = {task['n']:,}", chance]))),))
        reach = max([abs(end) for row in task_rows for end in row.get("diff_ci95") or ()] or [0.0])
        for number, variant in enumerate(variants):
            if (row := verdict_row(verdicts, variant["id"], task["name"])) is not None:
                rows.append(_score_line(task, variant, row, share, reach, number == 0))
    headings = (
        Heading("Variant", words=True), Heading("Score"), Heading("n"), Heading("Recovery", "%"),
        Heading("Difference", "95%"), Heading("Flips", "lost, won"), Heading("p", "McNemar"),
        Heading("Verdict", words=True),
    )  # fmt: skip
    caption = (
        "score ± standard error, in percent where it is a share; differences and intervals from a paired bootstrap"
    )
    return Table("Every number", headings, tuple(rows), caption)


def _score_line(task: Row, variant: Row, row: Row, share: bool, reach: float, reference: bool) -> tuple[Cell, ...]:
    kind = look(row["verdict"])
    unit = "points" if share else str(row["metric"])
    ends = row.get("diff_ci95")
    change = Cell(formatting.UNKNOWN)
    if formatting.known(row.get("diff")) and not reference:
        interval_text = f"{format_difference(ends[0], share)} to {format_difference(ends[1], share)}" if ends else ""
        interval = Interval(ends[0], row["diff"], ends[1], reach) if ends and reach else None
        change = Cell(f"{format_difference(row['diff'], share)} {unit}", interval_text, kind, interval=interval)
    lost, won, chance = row.get("flips_lost"), row.get("flips_won"), row.get("mcnemar_p")
    truncated = f"{row['truncated']:.0%} cut at the budget" if row.get("truncated") else ""
    drop = row.get("smallest_drop")
    sensitivity = f"smallest detectable drop: {points(drop, row, task)}" if formatting.known(drop) else ""
    recovery = row.get("recovery")
    return (
        Cell(str(variant["label"]), kind=kind if reference else ""),
        Cell(
            formatting.plus_minus(format_score(row["score"], share), format_score(row.get("stderr"), share)), truncated
        ),
        Cell(f"{row['n']:,}"),
        Cell(
            f"{recovery:.1f}" if formatting.known(recovery) else formatting.UNKNOWN,
            share=min(1.0, max(0.0, recovery / 100)) if formatting.known(recovery) else None,
        ),
        change,
        Cell(f"−{lost} +{won}" if formatting.known(lost) else formatting.UNKNOWN),
        Cell(formatting.UNKNOWN if not formatting.known(chance) else "< 0.001" if chance < 0.001 else f"{chance:.3f}"),
        Cell(words(row["verdict"]), "" if reference else sensitivity, kind),
    )


def speed_table(variants: Sequence[Row]) -> Table:
    """Return the table of size and speed, a row per variant."""
    rows = []
    for number, variant in enumerate(variants):
        speed = variant.get("speed") or {}
        rows.append(
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
    return Table("Size and speed", headings, tuple(rows), "one generation at a time; mean ± standard deviation")


def divergence_table(variants: Sequence[Row], divergence: Sequence[Row]) -> Table:
    """Return the table of divergence, a row per variant and one of the noise floor."""
    names = {variant["id"]: str(variant["label"]) for variant in variants}
    floor = divergence_row(divergence, NOISE_FLOOR).get("kld_mean")
    rows = []
    for row in divergence:
        is_noise_floor = row["variant"] == NOISE_FLOOR
        is_reference = row["variant"] == (variants[0]["id"] if variants else None)
        within_noise = not is_noise_floor and not is_reference and formatting.known(floor) and row["kld_mean"] <= floor
        mean = formatting.plus_minus(formatting.nats(row["kld_mean"]), formatting.nats(row.get("kld_stderr") or None))
        cells = [
            Cell(
                "noise floor" if is_noise_floor else names.get(row["variant"], str(row["variant"])),
                "the reference in another type" if is_noise_floor else "within the noise" if within_noise else "",
                "reference" if is_reference else "same" if is_noise_floor else "",
            ),
            Cell("0" if is_reference else mean),
            *(Cell(formatting.nats(row.get(name))) for name in ("kld_median", "kld_p99", "kld_p999", "kld_max")),
            Cell(formatting.percent(row.get("top1_agreement"))),
            Cell(formatting.percent(row.get("dp_rms"), 2)),
            Cell(f"{row['ppl_ratio']:.4f}" if formatting.known(row.get("ppl_ratio")) else formatting.UNKNOWN),
            Cell(f"{row['tokens']:,}" if formatting.known(row.get("tokens")) else formatting.UNKNOWN),
        ]
        rows.append(tuple(cells))
    headings = (
        Heading("Variant", words=True), Heading("Mean KLD", "nats"), Heading("Median", "nats"), Heading("p99", "nats"),
        Heading("p99.9", "nats"), Heading("Max", "nats"), Heading("Same top token"), Heading("Δp", "RMS"),
        Heading("PPL ratio"), Heading("Tokens"),
    )  # fmt: skip
    return Table(
        "Divergence from the reference", headings, tuple(rows), "on the same tokens; ± standard error by document"
    )


# Plots.


def score_plots(
    variants: Sequence[Row], tasks: Sequence[Row], verdicts: Sequence[Row], divergence: Sequence[Row]
) -> list[Plot]:
    """Return the plots of a run: size against divergence, and the scores of each task."""
    run_plots = [mark] if divergence and (mark := size_plot(variants, divergence)) else []
    for task in tasks:
        share = scores_are_shares(task, verdicts)
        bars = []
        reference = None
        for number, variant in enumerate(variants):
            row = verdict_row(verdicts, variant["id"], task["name"])
            if row is None or not formatting.known(row.get("score")):
                continue
            scale = 100 if share else 1
            reference = scale * row["score"] if number == 0 else reference
            look_name = "ref" if number == 0 else look(row["verdict"])
            text = format_score(row["score"], share)
            score = formatting.plus_minus(text, format_score(row.get("stderr"), share))
            tip = f"{variant['label']}: {score}, {row['verdict']}"
            error = Z95 * scale * (row.get("stderr") or 0.0)
            bars.append(plots.Bar(str(variant["label"]), scale * row["score"], text, look_name, error, tip))
        if bars:
            unit = f"{task['metric']}{', %' if share else ''}"
            low = min(0.0, *(bar.value for bar in bars))
            caption = f"n = {task['n']:,}; error bars: 95% confidence"
            run_plots.append(plots.bars(str(task["name"]), bars, unit, caption, low=low, reference=reference))
    return run_plots


def size_plot(variants: Sequence[Row], divergence: Sequence[Row]) -> Plot | None:
    """Return the plot of divergence over size on disk; None where no variant has both."""
    marks = []
    for number, variant in enumerate(variants):
        row, speed = divergence_row(divergence, variant["id"]), variant.get("speed") or {}
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
    caption = f"error bars: 95% confidence{faster}"
    return plots.tradeoff("Size against divergence", marks, "mean KLD, nats (less is better)", caption)


def histogram_plots(variants: Sequence[Row], divergence: Sequence[Row]) -> list[Plot]:
    """Return the plot of the KLD of single tokens; [] without a histogram."""
    histograms = [
        (str(variant["label"]), row["histogram"], row["kld_mean"])
        for variant in variants[1:]
        if (row := divergence_row(divergence, variant["id"])).get("histogram") and row.get("kld_mean")
    ]
    if not histograms:
        return []
    floor = divergence_row(divergence, NOISE_FLOOR).get("histogram")
    return [plots.hills("How the divergence is spread", histograms, floor, "KLD of single tokens")]
