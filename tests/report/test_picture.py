"""The picture of a run: every figure is whole, and what is left out is said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from PIL import ImageDraw

from playground.evaluate.report import summary_table, with_labels
from playground.report import picture
from playground.report.parts import Table
from playground.runs.export import FORMS
from playground.store.schema import Run
from tests.fakes.evaluation_run import TASKS, VARIANTS, evaluation


def table_of(run: Run) -> Table:
    result = run.result
    return summary_table(with_labels(run.variants), result["tasks"], result["rows"], result["divergence"])


def drawn(run: Run) -> list[tuple[float, str]]:
    """The x and the text of everything that the picture says."""
    said: list[tuple[float, str]] = []
    real = ImageDraw.ImageDraw.text

    def text(self: Any, xy: Any, words: Any, *arguments: Any, **named: Any) -> None:
        said.append((xy[0], words))
        real(self, xy, words, *arguments, **named)

    with mock.patch.object(ImageDraw.ImageDraw, "text", text):
        FORMS["png"].make(run, run.title, "")
    return said


def test_all_four_default_tasks_are_shown_with_their_units(home: Path) -> None:
    run = evaluation()
    said = [words for _, words in drawn(run)]
    for task in TASKS:
        assert task.name in said
    for cell in [cell for row in table_of(run).rows for cell in row]:
        assert cell.text in said, "no figure is cut, and a size keeps its unit"
    assert "269 MB" in said and not any("more task" in words for words in said)
    lost = next(cell for cell in table_of(run).rows[-1] if cell.kind == "worse")
    assert lost.note.partition(",")[0] in said


def test_of_more_tasks_those_that_lost_most_are_shown_and_the_others_counted(home: Path) -> None:
    more = (*TASKS, *(replace(task, name=f"{task.name}_again") for task in TASKS[:2]))
    run = evaluation(VARIANTS, more)
    table = table_of(run)
    worst = min(
        (row for row in run.result["rows"] if row.get("recovery") is not None), key=lambda row: float(row["recovery"])
    )
    shown = [heading.name for heading in table.headings[-4:]]
    assert shown[0] == worst["task"] and len(set(shown)) == 4
    assert any("+ 2 more tasks" in words for _, words in drawn(run))


@pytest.mark.parametrize("label", ["a", "a variant whose name is far too long for any picture of this width"])
def test_columns_fill_the_width_and_only_a_name_gives_way(home: Path, label: str) -> None:
    variants = (VARIANTS[0], replace(VARIANTS[-1], label=label))
    table = table_of(evaluation(variants, TASKS))
    _, widths = picture._fitting(table, 38)
    assert sum(widths) == pytest.approx(picture.WIDTH - 2 * picture.MARGIN)
    assert all(width > 40 for width in widths)
