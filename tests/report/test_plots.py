"""Plots: what their specifications hold, how they are drawn, and what an exported page shows where they are not."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import fromstring

import pytest

from playground import process
from playground.errors import EngineUnavailable
from playground.report import plots, svg, vega
from playground.report.parts import Plot
from playground.runs import export
from tests.fakes import exported_runs
from tests.fakes.evaluation_run import evaluation

EVIL = "<image href='http://evil.example/x.png'/>\0\ud83d {{7*7}} datum.look"
BARS = (plots.Bar(EVIL, 3.0, "3", "ref"), plots.Bar("nf4", 2.0, "2", "worse", error=0.5, limit=9.0))
SERIES = (plots.Series("BF16", (1.0, 2.0, 1.5), "ref"), plots.Series("nf4", (1.0, 4.0), "v1"))
HISTOGRAM = {"edges": [-3.0, -2.0, -1.0, 0.0], "counts": [1, 0, 3]}


def every() -> list[Plot]:
    marks = (
        plots.Mark("nf4", 1e8, 0.05, 0.01, 12.0, "v1", "nf4: 100 MB"),
        plots.Mark("W8", 2e8, 0.01, 0, None, "v1", ""),
    )
    layers = [(number, f"mlp.{name}", 0.1 + number / 10, f"layer {number}") for number in range(3) for name in "qk"]
    return [
        plots.lines("Lines", SERIES, "ms", "token"),
        plots.bars("Bars", BARS, "%", reference=2.5),
        plots.tradeoff("Tradeoff", marks, "KLD"),
        plots.hills("Hills", [(EVIL, HISTOGRAM, 0.1)], HISTOGRAM),
        plots.levels("Levels", [("BF16", "ref", [(1, 10.0), (2, 15.0), (4, 30.0), (8, 31.0)])], "tok/s"),
        plots.heat("Heat", layers),
    ]


def test_each_kind_is_drawn_for_both_themes_and_says_what_is_in_it(home: Path) -> None:
    drawn = svg.draw([(plot, width) for plot in every() for width in (492, 320)])
    for picture in drawn:
        assert picture.startswith("<svg ") and 'role="img" aria-label="' in picture
        colours = re.findall(r'(?:fill|stroke)="([^"]+)"', picture)
        assert colours and all(one == "none" or re.fullmatch(r"(rgb\()?var\(--[a-z]+\)\)?", one) for one in colours)
        assert "font-family" not in picture, "the page's own"
    assert drawn[2].index("&lt;image") < drawn[2].index(">nf4<"), "in their order"
    assert all(f">{level}</text>" in drawn[9] for level in (1, 2, 4, 8)), "every level that was measured"
    assert "<title>nf4: 2</title>" in drawn[2] and "<title>BF16, 4 at once: 30.0 tok/s</title>" in drawn[8]
    assert "mean 15.0%" not in drawn[10] and drawn[10].count("mean ") == 2 and "mean " not in drawn[11]


def test_a_text_of_a_run_is_a_text_in_the_picture(home: Path) -> None:
    for picture in svg.draw([(plots.bars("Bars", BARS, EVIL), 492), (every()[3], 492)]):
        nodes = list(fromstring(picture).iter())  # noqa: S314
        assert {node.tag for node in nodes} <= {"svg", "g", "line", "path", "rect", "text", "title"}
        assert not {name for node in nodes for name in node.attrib if "href" in name or name.startswith("on")}
        assert any(node.text and node.text.startswith("<image href='http://evil") for node in nodes)


@pytest.mark.parametrize(
    "more",
    [
        {"data": {"url": "file:///etc/hostname"}},
        {"layer": [{"data": {"url": "https://example.com/a.json"}, "mark": "point"}]},
        {"mark": {"type": "image", "url": "https://example.com/a.png"}},
        {"mark": "image"},
        {"encoding": {"href": {"field": "tip"}}},
        {"transform": [{"lookup": "a", "from": {"data": {"url": "a.json"}, "key": "a", "fields": ["b"]}}]},
    ],
)
def test_a_specification_that_would_load_something_is_refused(more: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"A plot has no (url|image|href)"):
        vega.draw({**every()[0].spec, "config": plots.theme(492), "width": 492, **more}, "")


def test_no_data_are_fetched_even_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vega, "_refuse_loading", lambda _: None)
    spec = {**every()[0].spec, "config": plots.theme(492), "width": 492, "data": {"url": "http://127.0.0.1:9/a.json"}}
    with pytest.raises(ValueError, match="not allowed"):
        vega.draw(spec, "")


def test_a_picture_is_made_once(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = [(every()[0], 492), (every()[1], 492)]
    first = svg.draw(asked)
    with monkeypatch.context() as patch:
        patch.setattr(svg, "_render", lambda _: pytest.fail("drawn again"))
        assert svg.draw(asked) == first and all(first)
    monkeypatch.setattr(svg, "MAX_FILES", 1)
    assert svg.draw([(every()[4], 320)])[0]
    assert len(list((home / "cache/plots").iterdir())) == 1, "the folder does not grow for ever"


def test_one_that_cannot_be_drawn_costs_the_others_nothing(home: Path) -> None:
    broken = Plot("Broken", {**every()[0].spec, "mark": "no such mark"})
    found = svg.draw([(broken, 492), (every()[0], 492)])
    assert found[0] == "" and found[1].startswith("<svg ")


@pytest.mark.parametrize("run", [exported_runs.comparison, exported_runs.bench, exported_runs.quantization, evaluation])
def test_without_a_renderer_the_figures_stand_in_a_table(
    home: Path, monkeypatch: pytest.MonkeyPatch, run: Callable[[], Any]
) -> None:
    def gone(*_: Any, **__: Any) -> None:
        raise EngineUnavailable("Plots were not drawn within 60 s.")

    monkeypatch.setattr(process, "ask", gone)
    text, shown = export.html(run()), export.report(run()).all(Plot)
    assert "<svg" not in text and shown
    assert text.count("The plot could not be drawn here; these are its figures.") == len(shown)
    for plot in shown:
        assert f'aria-label="{plot.title}"' in text
    assert not list((home / "cache").glob("plots/*"))


def test_a_machine_without_vl_convert_exports_all_the_same(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", version)
    monkeypatch.setattr(process, "command", lambda _: [sys.executable, "-c", "raise ImportError('vl_convert')"])
    assert svg.draw([(every()[0], 492)]) == [""]


# ---- how many rows


def test_many_tokens_are_thinned_to_their_highest_and_the_caption_says_so() -> None:
    values = tuple(float(number % 7) for number in range(9000))
    plot = plots.lines(
        "Gaps", [plots.Series("A", values, "ref"), plots.Series("B", (*values[1:], 99.0), "v1")], "ms", "token"
    )
    assert 2000 < len(plot.rows) <= plots.MAX_ROWS and plot.caption == "each point is the highest of 4 tokens"
    assert plot.rows[-1]["value"] == 99.0 and {row["value"] for row in plot.rows[:-1]} <= set(range(7))
    assert plots.lines("Gaps", SERIES, "ms", "token").caption == ""


def test_experts_of_a_layer_are_one_cell_with_the_worst_of_them() -> None:
    layers = [
        (layer, f"mlp.experts.{expert}.up_proj", 0.1 + expert / 1000, f"{layer}.{expert}")
        for layer in range(50)
        for expert in range(128)
    ]
    plot = plots.heat("Where it hurt", layers, "darker lost more")
    assert len(plot.rows) == 50 and all(row["tip"].endswith(".127") for row in plot.rows)
    assert "; of projections of one name in one layer" in plot.caption


def test_two_of_one_name_keep_their_own_rows(home: Path) -> None:
    plot = plots.bars("Bars", [plots.Bar("BF16", 1.0, "1"), plots.Bar("BF16", 2.0, "2")], "%")
    assert len({row["label"] for row in plot.rows}) == 2
    assert svg.draw([(plot, 492)])[0].count("BF16") >= 4, "a label and a title each"


def test_a_specification_is_json_and_has_no_text_of_a_run_in_an_expression() -> None:
    for plot in every():
        spec = json.loads(json.dumps({**plot.spec, "data": {}}, allow_nan=False))
        assert EVIL[:12] not in json.dumps({name: one for name, one in spec.items() if name != "layer"})
        assert "evil.example" not in "".join(re.findall(r'"expr": "[^"]*"', json.dumps(spec)))


def test_labels_of_marks_at_one_height_do_not_meet() -> None:
    marks = [plots.Mark(name, size, 0.1, 0.0, None, "v1", name) for name, size in (("one", 1e9), ("two", 1.01e9))]
    rows = plots.tradeoff("Tradeoff", marks, "KLD").spec["data"]["values"]
    assert rows[0]["y"] == rows[1]["y"] and rows[0]["at"] != rows[1]["at"]
