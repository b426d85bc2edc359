"""The JSON of two stored runs side by side: differences in their conditions, and their figures with the differences.

Variants are matched by id. Only stored intervals are shown: no test compares the two runs, and the page says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import takewhile
from typing import Any, Literal

from playground.compare.answer import Answer
from playground.compare.stored import Compared
from playground.core import NOISE_FLOOR
from playground.evaluate.report import with_labels
from playground.metrics.verdict import read
from playground.models.address import Address
from playground.report import paths
from playground.runs import page
from playground.runs.kinds import title
from playground.runs.titles import title_of
from playground.speed.report import engine_title
from playground.store.runs import Entry

Row = Mapping[str, Any]
Change = Literal["percent", "points", "plain"]
CLAIM = "The differences between the two runs are not tested for significance."


def view(first: Entry, second: Entry, *, owner: bool) -> dict[str, Any]:
    """The page's value: both heads, changed conditions, and tables of figures. For visitors it has no local path."""
    rows = [entry.run.as_row() if owner else paths.run(entry.run.as_row()) for entry in (first, second)]
    same = first.run.kind == second.run.kind
    return {
        "runs": [_head(entry, row) for entry, row in zip((first, second), rows, strict=True)],
        "same_kind": same,
        "changed": differences(*rows),
        "tables": tables(first.run.kind, *rows) if same else [],
        "answers": answers(*rows) if same and first.run.kind == "comparison" else [],
        "claim": CLAIM,
    }


def _head(entry: Entry, row: Row) -> dict[str, Any]:
    run = entry.run
    return {
        "id": run.id,
        "kind": run.kind,
        "kind_words": title(run.kind),
        "title": title_of(entry),
        "note": entry.note,
        "model": row["model"],
        "created": run.created_at,
    }


# ---- conditions
def differences(first: Row, second: Row) -> dict[str, Any]:
    """Groups of conditions: those that differ as [name, before, after], None where missing; how many are the same."""
    groups = []
    for name, facts in (("Settings", page.settings), ("Machine", _device), ("Versions", _versions)):
        groups.append(_group(name, dict(facts(first)), dict(facts(second))))
    groups.append(_group("Variants", *(_variants(row) for row in (first, second))))
    if (questions := [str(_question(row)) for row in (first, second)]) and any(questions):
        groups.append(_group("Prompt", {"prompt": questions[0]}, {"prompt": questions[1]}))
    return {"groups": groups}


def _device(row: Row) -> list[list[str]]:
    return page.device(row.get("device") or {})


def _versions(row: Row) -> list[list[str]]:
    return [[str(name), str(version)] for name, version in (row.get("versions") or {}).items()]


def _variants(row: Row) -> dict[str, str]:
    """A line that identifies each variant's weights, by id: method and scheme, size, engine, hash."""
    words = {}
    for variant in map(page.variant, row["variants"]):
        size = f"{variant['bytes']:,} bytes" if variant["bytes"] else ""
        weights = f"weights {variant['hash'][:12]}" if variant["hash"] else ""
        facts = (variant["made"], size, variant["engine"], variant["dtype"], weights)
        words[variant["id"]] = " · ".join(filter(None, facts)) or "there"
    return words


def _question(row: Row) -> str:
    answers = Compared.from_row(row).answers if row["kind"] == "comparison" else ()
    return answers[0].question if answers else ""


def _group(name: str, before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, Any]:
    keys = list(dict.fromkeys((*before, *after)))
    changed = [[key, before.get(key), after.get(key)] for key in keys if before.get(key) != after.get(key)]
    return {"name": name, "changed": changed, "same": len(keys) - len(changed)}


# ---- figures
def tables(kind: str, first: Row, second: Row) -> list[dict[str, Any]]:
    """The tables of a kind of run; their lines are the variants of both runs, also those that only one has."""
    match kind:
        case "comparison":
            return [_comparison(first, second)]
        case "bench":
            return [_bench(first, second)]
        case "quantization":
            return [_quantization(first, second)]
        case "evaluation":
            scores = [_scores(first, second)]
            divergences = [row["result"].get("divergence") for row in (first, second)]
            return scores + ([_divergence(first, second, *divergences)] if all(divergences) else [])
        case "divergence":
            return [_divergence(first, second, *(row["result"].get("rows") or [] for row in (first, second)))]
    return []


def cell(sides: Iterable[float | None], unit: str, change: Change, **more: Any) -> dict[str, Any]:
    """Both figures and their difference, None where one is missing. change: percent, points, or plain subtraction."""
    before, after = sides
    difference: float | None = None
    if before is not None and after is not None:
        difference = after - before
        if change == "percent":
            difference = 100 * difference / before if before else None
    return {"a": before, "b": after, "unit": unit, "moved": difference, "change": change, **more}


def _table(
    title: str, note: str, columns: Sequence[str], lines: Iterable[tuple[str, str, Sequence[Mapping[str, Any]]]]
) -> dict[str, Any]:
    """lines: name, id, and one cell a column."""
    return {
        "title": title,
        "note": note,
        "columns": list(columns),
        "lines": [{"name": name, "id": variant, "cells": list(cells)} for name, variant, cells in lines],
    }


def _names(*rows: Row) -> dict[str, str]:
    """Labels of both runs' variants, by id and by id without the engine. The second run's win."""
    labels = {str(variant["id"]): str(variant["label"]) for row in rows for variant in with_labels(row["variants"])}
    return {Address.parse(name).variant: label for name, label in labels.items()} | labels


def _comparison(first: Row, second: Row) -> dict[str, Any]:
    sides = [_answers(row) for row in (first, second)]
    names = {key: answer.label for side in sides for key, answer in side.items()}
    lines, shared = [], []
    for key in names:
        answers = [side.get(key) for side in sides]
        timings = [answer.timing().as_dict() if answer else {} for answer in answers]
        shared.append(same_answer(*answers))
        lines.append(
            (
                names[key],
                key[0],
                (
                    cell(_both(timings, "decode_tok_s"), "tok/s", "percent"),
                    cell(_both(timings, "ttft_s", 1e3), "ms", "percent"),
                    cell(_both(timings, "prefill_tok_s"), "tok/s", "percent"),
                    cell(_both(timings, "tpot_s", 1e3), "ms", "percent"),
                    cell(_both(timings, "itl_p99_s", 1e3), "ms", "percent"),
                    cell([answer.peak_memory_bytes if answer else None for answer in answers], "bytes", "percent"),
                    cell(_both(timings, "output_tokens"), "tokens", "plain"),
                ),
            )
        )
    columns = (
        "decode, tok/s",
        "TTFT, ms",
        "prefill, tok/s",
        "TPOT, ms",
        "ITL p99, ms",
        "peak memory",
        "tokens written",
    )
    table = _table("Speed and memory", "one answer each: this prompt only", columns, lines)
    for line, is_shared in zip(table["lines"], shared, strict=True):
        line["shared"] = is_shared
    return table


def same_answer(first: Answer | None, second: Answer | None) -> bool:
    """Return whether both runs hold one and the same measurement: no two have the same times to the last digit."""
    times = [[(token.id, token.time_s) for token in answer.tokens] if answer else [] for answer in (first, second)]
    return bool(times[0]) and times[0] == times[1]


def answers(first: Row, second: Row) -> list[dict[str, Any]]:
    """The texts of both runs by variant: how both begin, and how each goes on; None where a run has no such answer."""
    sides = [_answers(row) for row in (first, second)]
    texts = []
    for key in dict.fromkeys((*sides[0], *sides[1])):
        pair = [side.get(key) for side in sides]
        both = [answer.text for answer in pair if answer]
        begins = _common(*both) if len(both) == 2 else ""
        a, b = (answer.text[len(begins) :] if answer else None for answer in pair)
        label = next(answer.label for answer in pair if answer)
        texts.append({"name": label, "begins": begins, "a": a, "b": b, "shared": same_answer(*pair)})
    return texts


def _common(first: str, second: str) -> str:
    return "".join(a for a, _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, second, strict=False)))


def _answers(row: Row) -> dict[tuple[str, int], Answer]:
    """The answers by (variant id, number); the number counts panes with the same id."""
    answers: dict[tuple[str, int], Answer] = {}
    for answer, facts in zip(Compared.from_row(row).answers, row["variants"], strict=False):
        number = sum(name == facts["id"] for name, _ in answers)
        answers[str(facts["id"]), number] = answer
    return answers


def _both(sides: Sequence[Row], name: str, scale: float = 1) -> list[float | None]:
    """One figure of both sides, times `scale`; None where a side does not have it."""
    return [None if side.get(name) is None else scale * side[name] for side in sides]


def _bench(first: Row, second: Row) -> dict[str, Any]:
    sides = [_bench_rows(row) for row in (first, second)]
    names = _names(first, second)
    lines = []
    for key in dict.fromkeys((*sides[0], *sides[1])):
        a, b = pair = [side.get(key) or {} for side in sides]
        entry = a or b
        name = f"{names.get(str(entry['variant']), str(entry['variant']))} in {engine_title(str(entry['engine']))}"
        speed = cell(
            _both(pair, "tok_s_mean"), "tok/s", "percent",
            a_spread=a.get("tok_s_sd"), b_spread=b.get("tok_s_sd"),
        )  # fmt: skip
        lines.append((name, key[1], (speed, cell(_both(pair, "mbu", 100), "%", "points"))))
    note = "mean ± standard deviation over the repetitions"
    return _table("Speed", note, ("tokens per second", "MBU"), lines)


def _bench_rows(row: Row) -> dict[tuple[str, str], Row]:
    rows = [entry for entry in row["result"].get("rows") or () if not entry.get("error")]
    return {(str(entry.get("address") or entry["variant"]), str(entry["test"])): entry for entry in rows}


def _quantization(first: Row, second: Row) -> dict[str, Any]:
    sides = [row["result"].get("row") or {} for row in (first, second)]
    names = list(dict.fromkeys(str(side.get("variant") or "") for side in sides))
    errors = [_mean_error(row) for row in (first, second)]
    lines = []
    for name in names:
        pair = [side if side.get("variant") == name else {} for side in sides]
        lines.append(
            (
                name,
                "",
                (
                    cell(_both(pair, "bytes_after"), "bytes", "percent"),
                    cell(_both(pair, "bits_per_weight"), "bits", "plain"),
                    cell([error if side else None for error, side in zip(errors, pair, strict=True)], "%", "points"),
                    cell(_both(pair, "seconds"), "s", "percent"),
                    cell(_both(pair, "peak_memory_bytes"), "bytes", "percent"),
                ),
            )
        )
    columns = ("on disk", "bits per weight", "mean layer error", "to make", "peak memory")
    return _table("Size and error", "relative error of the weights, mean over the layers", columns, lines)


def _mean_error(row: Row) -> float | None:
    """Mean relative error of the layers, in percent of a weight's norm."""
    result = row["result"]
    layers = result.get("layers") or (result.get("row") or {}).get("layers") or ()
    errors = [float(layer["relative_error"]) for layer in layers]
    return 100 * sum(errors) / len(errors) if errors else None


def _scores(first: Row, second: Row) -> dict[str, Any]:
    """Scores of both runs, each with the stored difference from its own reference and its interval."""
    sides = [
        {(str(score["variant"]), str(score["task"])): score for score in row["result"].get("rows") or ()}
        for row in (first, second)
    ]
    names = _names(first, second)
    tasks = list(dict.fromkeys(key[1] for side in sides for key in side))
    variants = list(dict.fromkeys(key[0] for side in sides for key in side))
    lines = []
    for variant in variants:
        cells = []
        for task in tasks:
            a, b = (side.get((variant, task)) or {} for side in sides)
            share = all(0 <= score["score"] <= 1 for score in (a, b) if score.get("score") is not None)
            scale = 100 if share else 1
            cells.append(
                cell(
                    _both((a, b), "score", scale),
                    "%" if share else "",
                    "points",
                    **{f"{name}_own": _own_difference(score, scale) for name, score in (("a", a), ("b", b))},
                )
            )
        lines.append((names.get(variant, variant), variant, cells))
    note = "small: the difference from the run’s own reference with its 95% interval"
    return _table("Scores", note, tasks, lines)


def _own_difference(row: Row, scale: int) -> dict[str, Any] | None:
    """The stored difference of a score from its run's reference; None where there is none."""
    if row.get("diff") is None or read(row.get("verdict")) is None:
        return None
    interval = row.get("diff_ci95")
    return {
        "diff": scale * row["diff"],
        "interval": [scale * bound for bound in interval] if interval else None,
        "verdict": str(row.get("verdict") or ""),
        "n": row.get("n"),
    }


def _divergence(first: Row, second: Row, a_rows: Any, b_rows: Any) -> dict[str, Any]:
    sides = [{str(entry["variant"]): entry for entry in rows} for rows in (a_rows, b_rows)]
    names = {**_names(first, second), NOISE_FLOOR: "noise floor"}
    lines = []
    for variant in dict.fromkeys((*sides[0], *sides[1])):
        a, b = pair = [side.get(variant) or {} for side in sides]
        kld = cell(
            _both(pair, "kld_mean"), "nats", "plain",
            a_spread=a.get("kld_stderr"), b_spread=b.get("kld_stderr"),
        )  # fmt: skip
        tail = cell(_both(pair, "kld_p99"), "nats", "plain")
        top = cell(_both(pair, "top1_agreement", 100), "%", "points")
        lines.append((names.get(variant, variant), variant, (kld, tail, top, cell(_both(pair, "ppl"), "", "percent"))))
    note = "mean ± standard error; of each run against its own reference"
    return _table("Divergence", note, ("mean KLD, nats", "KLD p99, nats", "same top token", "perplexity"), lines)
