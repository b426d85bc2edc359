"""The data of every plot of every stored run, against what the hand-drawn plots of commit 2b8fad8 and after had.

`snapshots/HOME/plots.json` was written when plots were still drawn line by line; the specifications have the same
values, names, tips and looks. Pictures themselves are free to change.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from playground.report.parts import Plot
from playground.runs import export
from playground.store import runs
from tests.net.test_net import held, home, named_runs

__all__ = ["held", "home"]
Row = dict[str, Any]


def data(plot: Plot) -> Row:
    """What a plot shows, in the words of the snapshot."""
    rows = json.loads(json.dumps(plot.rows).replace("\\u200b", ""))
    axes = {name: one for layer in _layers(plot.spec) for name, one in layer.items() if "title" in one}
    kind, drawn = next((name, read(rows, axes, plot.spec)) for name, (field, read) in KINDS.items() if field in rows[0])
    head = {"title": plot.title, "caption": plot.caption, "keys": plot.keys, "wide": plot.wide}
    return {"kind": kind, **head, **drawn}


def _layers(spec: Any) -> Iterator[Row]:
    yield from (one["encoding"] for one in (spec, *spec.get("layer", ())) if "encoding" in one)


def _lines(rows: list[Row], axes: Row, spec: Any) -> Row:
    series: dict[str, Row] = {}
    for number, row in enumerate(rows):
        one = series.setdefault(row["label"], {"label": row["label"], "values": [], "look": row["look"]})
        one["values"].append(row["value"])
        assert row["token"] == len(one["values"]), f"row {number} is one token after the last"
    return {"series": list(series.values()), "unit": axes["y"]["title"], "across": axes["x"]["title"]}


def _bars(rows: list[Row], axes: Row, spec: Any) -> Row:
    names = ("label", "value", "text", "look", "error", "tip", "limit")
    for row in rows:
        ends = [row["value"] - row["error"], row["value"] + row["error"]] if row["error"] else [None, None]
        assert [row["least"], row["most"]] == ends
    rules = [one["x"]["datum"] for one in _layers(spec) if "datum" in one["x"]]
    return {
        "low": axes["x"]["scale"]["domain"][0], "reference": rules[0] if rules else None,
        "rows": [{name: row[name] for name in names} for row in rows], "unit": axes["x"]["title"],
    }  # fmt: skip


def _tradeoff(rows: list[Row], axes: Row, spec: Any) -> Row:
    names = ("label", "x", "y", "error", "speed", "look", "tip")
    marks = [{name: row[name] for name in names} for row in rows]
    return {"marks": marks, "unit": axes["y"]["title"], "log": axes["y"]["scale"]["type"] == "log"}


def _hills(rows: list[Row], axes: Row, spec: Any) -> Row:
    labels = list(dict.fromkeys(row["label"] for row in rows))

    def shares(label: str, kind: str) -> list[list[float]]:
        own = [row for row in rows if (row["label"], row["kind"]) == (label, kind)]
        return [[one["power"], after["power"], one["share"]] for one, after in pairwise(own) if one["share"]]

    means = {row["label"]: row["mean"] for row in rows if row["kind"] == "mean"}
    floors = [shares(label, "floor") for label in labels]
    assert all(one == floors[0] for one in floors)
    return {"rows": [[label, shares(label, "hill"), means[label]] for label in labels], "floor": floors[0]}


def _levels(rows: list[Row], axes: Row, spec: Any) -> Row:
    series: dict[str, list[Any]] = {}
    for row in rows:
        series.setdefault(row["label"], [row["label"], row["look"], []])[2].append([row["level"], row["value"]])
    return {"series": list(series.values()), "unit": axes["y"]["title"]}


def _heat(rows: list[Row], axes: Row, spec: Any) -> Row:
    return {"layers": [[row["layer"], row["kind"], row["error"], row["tip"]] for row in rows]}


KINDS = {
    "lines": ("token", _lines), "bars": ("text", _bars), "tradeoff": ("area", _tradeoff), "hills": ("power", _hills),
    "levels": ("level", _levels), "heat": ("projection", _heat),
}  # fmt: skip


def test_plots_have_the_figures_that_they_had(home: Path, held: Any) -> None:
    found = {
        name: [data(plot) for plot in export.report(runs.get(run_id, owner=True)).all(Plot)]
        for name, run_id in named_runs().items()
    }
    assert {plot["kind"] for plots in found.values() for plot in plots} == set(KINDS)
    held("plots", found)
