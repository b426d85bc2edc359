"""The data of every plot of every stored run, against what the hand-drawn plots of commit 2b8fad8 and after had.

`snapshots/HOME/plots.json` was written when plots were still drawn line by line; whatever draws them now has the same
values, names, tips and looks. Pictures themselves are free to change.
"""

from __future__ import annotations

from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

from playground.report.parts import Figure
from playground.runs import export
from playground.store import runs
from tests.net.test_net import held, home, named_runs

__all__ = ["held", "home"]


def data(figure: Figure) -> dict[str, Any]:
    """What a plot shows, whatever draws it."""
    kind, given = figure.draw.func.__name__, dict(figure.draw.keywords)  # type: ignore[attr-defined]
    match kind:
        case "lines":
            given["series"] = [asdict(one) for one in given["series"]]
        case "bars":
            given = {"low": 0.0, "reference": None, **given, "rows": [asdict(one) for one in given["rows"]]}
            for row in given["rows"]:
                row["tip"] = row["tip"] or f"{row['label']}: {row['text']}"
        case "tradeoff":
            given["marks"] = [asdict(one) for one in given["marks"]]
        case "hills":
            floor = given["floor_of"]
            given = {"rows": [[label, _shares(one), mean] for label, one, mean in given["rows"]]}
            given["floor"] = _shares(floor) if floor else []
    return {
        "kind": kind,
        "title": figure.title,
        "caption": figure.caption,
        "keys": figure.keys,
        "wide": figure.wide,
        **given,
    }


def _shares(histogram: dict[str, Any]) -> list[list[float]]:
    """From, to and share of the tokens, of each bin that has any."""
    total = sum(histogram["counts"]) or 1
    bins = zip(histogram["counts"], pairwise(histogram["edges"]), strict=True)
    return [[low, high, count / total] for count, (low, high) in bins if count]


def test_plots_have_the_figures_that_they_had(home: Path, held: Any) -> None:
    found = {
        name: [data(figure) for figure in export.account(runs.get(run_id, owner=True)).figures]
        for name, run_id in named_runs().items()
    }
    assert {plot["kind"] for plots in found.values() for plot in plots} == {
        *("lines", "bars", "tradeoff", "hills", "levels", "heat"),
    }
    held("plots", found)
