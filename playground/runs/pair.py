"""Two stored runs side by side: what was done differently, and each number of both with the difference.

Variants are matched by id. Only intervals that were computed are shown: nothing tests one run against another, and the
page says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from playground.compare.answer import Answer
from playground.compare.stored import Compared
from playground.evaluate.board import NOISE
from playground.evaluate.report import named
from playground.metrics.verdict import read
from playground.models.address import Address
from playground.report import paths
from playground.runs import page
from playground.store.runs import Entry

Row = Mapping[str, Any]
Change = Literal["percent", "points", "plain"]
CLAIM = "No test was made between the two runs: a difference here is a difference of two numbers."


def view(first: Entry, second: Entry, *, owner: bool) -> dict[str, Any]:
    """Both heads, what changed around the measurement, and the numbers."""
    rows = [one.run.as_row() if owner else paths.run(one.run.as_row()) for one in (first, second)]
    same = first.run.kind == second.run.kind
    return {
        "runs": [_head(one, row) for one, row in zip((first, second), rows, strict=True)],
        "same_kind": same,
        "changed": differences(*rows),
        "tables": tables(first.run.kind, *rows) if same else [],
        "claim": CLAIM,
    }


def _head(entry: Entry, row: Row) -> dict[str, Any]:
    run = entry.run
    return {
        "id": run.id,
        "kind": run.kind,
        "kind_words": page.KINDS.get(run.kind, run.kind),
        "title": entry.title if entry.title != run.title else row["title"],
        "note": entry.note,
        "model": row["model"],
        "created": run.created_at,
    }


# ---- around the measurement
def differences(first: Row, second: Row) -> dict[str, Any]:
    """Groups of [name, before, after]; of each group how many are the same. None: it was not there."""
    groups = []
    for name, facts in (("Settings", page.settings), ("Machine", _device), ("Versions", _versions)):
        groups.append(_group(name, dict(_pairs(facts(first))), dict(_pairs(facts(second)))))
    groups.append(_group("Variants", *(_variants(row) for row in (first, second))))
    if (told := [str(_question(row)) for row in (first, second)]) and any(told):
        groups.append(_group("Prompt", {"prompt": told[0]}, {"prompt": told[1]}))
    return {"groups": groups}


def _pairs(found: Iterable[Sequence[str]]) -> Iterable[tuple[str, str]]:
    return ((one[0], one[1]) for one in found)


def _device(row: Row) -> list[list[str]]:
    return page.device(row.get("device") or {})


def _versions(row: Row) -> list[list[str]]:
    return [[str(name), str(version)] for name, version in (row.get("versions") or {}).items()]


def _variants(row: Row) -> dict[str, str]:
    """What a variant is, in one line: another hash is other weights."""
    shown = {}
    for one in map(page.variant, row["variants"]):
        size = f"{one['bytes']:,} bytes" if one["bytes"] else ""
        weights = f"weights {one['hash'][:12]}" if one["hash"] else ""
        shown[one["id"]] = " · ".join(filter(None, (one["made"], size, one["engine"], weights))) or "there"
    return shown


def _question(row: Row) -> str:
    answers = Compared.from_row(row).answers if row["kind"] == "comparison" else ()
    return answers[0].question if answers else ""


def _group(name: str, before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, Any]:
    keys = list(dict.fromkeys((*before, *after)))
    moved = [[key, before.get(key), after.get(key)] for key in keys if before.get(key) != after.get(key)]
    return {"name": name, "changed": moved, "same": len(keys) - len(moved)}


# ---- the numbers
def tables(kind: str, first: Row, second: Row) -> list[dict[str, Any]]:
    """One table of each kind of number; its lines are variants that both have, and those of one alone."""
    match kind:
        case "comparison":
            return [_comparison(first, second)]
        case "bench":
            return [_bench(first, second)]
        case "quantization":
            return [_quantization(first, second)]
        case "evaluation":
            scores = [_scores(first, second)]
            both = [one["result"].get("divergence") for one in (first, second)]
            return scores + ([_divergence(first, second, *both)] if all(both) else [])
        case "divergence":
            return [_divergence(first, second, *(one["result"].get("rows") or [] for one in (first, second)))]
    return []


def cell(both: Iterable[float | None], unit: str, change: Change, **more: Any) -> dict[str, Any]:
    """Both numbers, and how the second differs; None where one is missing."""
    before, after = both
    moved: float | None = None
    if before is not None and after is not None:
        moved = after - before
        if change == "percent":
            moved = 100 * moved / before if before else None
    return {"a": before, "b": after, "unit": unit, "moved": moved, "change": change, **more}


def _table(
    title: str, note: str, columns: Sequence[str], lines: Iterable[tuple[str, str, Sequence[Mapping[str, Any]]]]
) -> dict[str, Any]:
    """`lines`: name, what it is, one cell a column."""
    return {
        "title": title,
        "note": note,
        "columns": list(columns),
        "lines": [{"name": name, "id": small, "cells": list(cells)} for name, small, cells in lines],
    }


def _names(*rows: Row) -> dict[str, str]:
    """Labels of both runs, the second's where both have one: by id, and by that without its engine."""
    found = {str(one["id"]): str(one["label"]) for row in rows for one in named(row["variants"])}
    return {Address.parse(name).variant: label for name, label in found.items()} | found


def _comparison(first: Row, second: Row) -> dict[str, Any]:
    sides = [_answers(row) for row in (first, second)]
    names = {key: answer.label for side in sides for key, answer in side.items()}
    lines = []
    for key in names:
        found = [side.get(key) for side in sides]
        told = [one.timing().as_dict() if one else {} for one in found]
        lines.append(
            (
                names[key],
                key[0],
                (
                    cell(_both(told, "decode_tok_s"), "tok/s", "percent"),
                    cell(_both(told, "ttft_s", 1e3), "ms", "percent"),
                    cell(_both(told, "prefill_tok_s"), "tok/s", "percent"),
                    cell(_both(told, "tpot_s", 1e3), "ms", "percent"),
                    cell(_both(told, "itl_p99_s", 1e3), "ms", "percent"),
                    cell([one.peak_memory_bytes if one else None for one in found], "bytes", "percent"),
                    cell(_both(told, "output_tokens"), "tokens", "plain"),
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
    return _table("Speed and memory", "one answer each: this prompt only", columns, lines)


def _answers(row: Row) -> dict[tuple[str, int], Answer]:
    """By what was asked of the engines; one that stands there twice has a number."""
    found: dict[tuple[str, int], Answer] = {}
    for answer, facts in zip(Compared.from_row(row).answers, row["variants"], strict=False):
        number = sum(name == facts["id"] for name, _ in found)
        found[str(facts["id"]), number] = answer
    return found


def _both(sides: Sequence[Row], name: str, scale: float = 1) -> list[float | None]:
    """One number of both sides, None where a side does not have it."""
    return [None if side.get(name) is None else scale * side[name] for side in sides]


def _bench(first: Row, second: Row) -> dict[str, Any]:
    sides = [_bench_rows(row) for row in (first, second)]
    names = _names(first, second)
    lines = []
    for key in dict.fromkeys((*sides[0], *sides[1])):
        a, b = pair = [side.get(key) or {} for side in sides]
        one = a or b
        name = f"{names.get(str(one['variant']), str(one['variant']))} in {one['engine']}"
        speed = cell(
            _both(pair, "tok_s_mean"), "tok/s", "percent",
            a_spread=a.get("tok_s_sd"), b_spread=b.get("tok_s_sd"),
        )  # fmt: skip
        lines.append((name, key[1], (speed, cell(_both(pair, "mbu", 100), "%", "points"))))
    note = "mean ± standard deviation over the repetitions"
    return _table("Speed", note, ("tokens per second", "MBU"), lines)


def _bench_rows(row: Row) -> dict[tuple[str, str], Row]:
    found = [one for one in row["result"].get("rows") or () if not one.get("error")]
    return {(str(one.get("address") or one["variant"]), str(one["test"])): one for one in found}


def _quantization(first: Row, second: Row) -> dict[str, Any]:
    sides = [row["result"].get("row") or {} for row in (first, second)]
    names = list(dict.fromkeys(str(one.get("variant") or "") for one in sides))
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
                    cell([error if one else None for error, one in zip(errors, pair, strict=True)], "%", "points"),
                    cell(_both(pair, "seconds"), "s", "percent"),
                    cell(_both(pair, "peak_memory_bytes"), "bytes", "percent"),
                ),
            )
        )
    columns = ("on disk", "bits per weight", "mean layer error", "to make", "peak memory")
    return _table("Size and error", "relative error of the weights, mean over the layers", columns, lines)


def _mean_error(row: Row) -> float | None:
    """Percent of a weight's norm."""
    result = row["result"]
    layers = result.get("layers") or (result.get("row") or {}).get("layers") or ()
    found = [float(one["relative_error"]) for one in layers]
    return 100 * sum(found) / len(found) if found else None


def _scores(first: Row, second: Row) -> dict[str, Any]:
    """Scores of both, and under each the difference from its own reference with the interval that was computed."""
    sides = [
        {(str(one["variant"]), str(one["task"])): one for one in row["result"].get("rows") or ()}
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
            share = all(0 <= one["score"] <= 1 for one in (a, b) if one.get("score") is not None)
            scale = 100 if share else 1
            cells.append(
                cell(
                    _both((a, b), "score", scale),
                    "%" if share else "",
                    "points",
                    **{f"{name}_own_difference": _own_difference(one, scale) for name, one in (("a", a), ("b", b))},
                )
            )
        lines.append((names.get(variant, variant), variant, cells))
    note = "small: the difference from the run’s own reference with its 95 % interval"
    return _table("Scores", note, tasks, lines)


def _own_difference(row: Row, scale: int) -> dict[str, Any] | None:
    """What its own run found of it against its own reference."""
    if row.get("diff") is None or read(row.get("verdict")) is None:
        return None
    interval = row.get("diff_ci95")
    return {
        "diff": scale * row["diff"],
        "interval": [scale * one for one in interval] if interval else None,
        "verdict": str(row.get("verdict") or ""),
        "n": row.get("n"),
    }


def _divergence(first: Row, second: Row, a_rows: Any, b_rows: Any) -> dict[str, Any]:
    sides = [{str(one["variant"]): one for one in rows} for rows in (a_rows, b_rows)]
    names = {**_names(first, second), NOISE: "noise floor"}
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
