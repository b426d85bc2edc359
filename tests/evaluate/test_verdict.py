"""Rows of the verdict table: the documented fields, joined items, verdicts that are withheld."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from playground.evaluate import items, verdict
from playground.evaluate.items import TrustWarning
from playground.metrics.stats import paired
from tests.fakes.evaluation import FACTS, MATH, NF4, chosen, generated, item, measured, scores

KEYS = [
    *("variant", "task", "metric", "n", "score", "stderr", "recovery", "flips_lost", "flips_won", "mcnemar_p", "diff"),
    *("diff_ci95", "discordance", "smallest_drop", "verdict", "truncated", "cut_prompts", "warnings"),
]
TASKS = {"math": MATH, "facts": FACTS}
BASE = replace(measured("m", []), tasks={"math": generated("m", scores(80, 20)), "facts": chosen(0, scores(50, 50))})
WORSE = replace(
    measured("m:nf4", [], NF4), tasks={"math": generated("nf4", scores(40, 60)), "facts": chosen(1, scores(49, 51))}
)


def test_every_row_has_the_documented_fields_and_is_json() -> None:
    rows = verdict.rows(BASE, [WORSE], TASKS, [])
    assert [(row["variant"], row["task"], row["verdict"]) for row in rows] == [
        ("m", "math", "reference"),
        ("m", "facts", "reference"),
        ("m:nf4", "math", "worse"),
        ("m:nf4", "facts", "not distinguishable"),
    ]
    assert all(list(row) == KEYS for row in rows)
    assert json.loads(json.dumps(rows, allow_nan=False)) == rows


def test_the_references_row_compares_nothing() -> None:
    row = verdict.rows(BASE, [], {"math": MATH}, [])[0]
    assert (row["n"], row["score"], row["recovery"]) == (100, 0.8, 100.0)
    assert row["stderr"] == pytest.approx(math.sqrt(0.8 * 0.2 / 99))
    nothing = ("flips_lost", "flips_won", "mcnemar_p", "diff", "diff_ci95", "discordance", "smallest_drop")
    assert [row[name] for name in nothing] == [None] * 7


def test_a_variants_row_holds_the_paired_comparison() -> None:
    row = verdict.rows(BASE, [WORSE], {"math": MATH}, [])[1]
    expected = paired(scores(80, 20), scores(40, 60))
    assert (row["flips_lost"], row["flips_won"], row["recovery"]) == (40, 0, 50)
    assert row["mcnemar_p"] == expected.mcnemar_p
    assert row["diff_ci95"] == list(expected.diff_ci95 or ())
    assert row["smallest_drop"] == expected.smallest_drop


def test_items_are_paired_by_document_whatever_their_order() -> None:
    random = np.random.default_rng(1)
    mixed = [WORSE.tasks["math"][n] for n in random.permutation(100)]
    shuffled = replace(WORSE, tasks={"math": mixed})
    expected = verdict.rows(BASE, [WORSE], {"math": MATH}, [])
    assert verdict.rows(BASE, [shuffled], {"math": MATH}, []) == expected


def test_a_document_that_occurs_twice_is_paired_copy_by_copy() -> None:
    one = [item(0, 1.0), item(1, 0.0, doc_hash="d0"), item(2, 1.0)]
    other = [item(0, 1.0), item(1, 1.0, doc_hash="d0"), item(2, 1.0)]
    assert [(a.doc_id, b.doc_id) for a, b in items.joined(one, other)] == [(0, 0), (1, 1), (2, 2)]
    assert items.joined(one, other[:1]) == [(one[0], other[0])]


def test_only_items_of_both_sides_are_compared() -> None:
    fewer = replace(WORSE, tasks={"math": WORSE.tasks["math"][:90]})
    row = verdict.rows(BASE, [fewer], {"math": MATH}, [])[1]
    assert row["n"] == 90
    assert row["recovery"] == pytest.approx(50)


def test_no_item_in_common_is_no_verdict() -> None:
    elsewhere = replace(WORSE, tasks={"math": [item(n, 1.0, doc_hash=f"e{n}") for n in range(10)]})
    row = verdict.rows(BASE, [elsewhere], {"math": MATH}, [])[1]
    assert (row["n"], row["score"], row["verdict"], row["recovery"], row["diff"]) == (10, 1, "withheld", None, None)


def test_a_warning_that_withholds_leaves_the_numbers_and_takes_the_word() -> None:
    warnings = [
        TrustWarning("same-answers", "Measured twice.", ("m:nf4",), "math", withholds=True),
        TrustWarning("sample", "A sample.", ("m", "m:nf4"), None),
    ]
    rows = verdict.rows(BASE, [WORSE], TASKS, warnings)
    assert [row["verdict"] for row in rows] == ["reference", "reference", "withheld", "not distinguishable"]
    assert [row["warnings"] for row in rows] == [["A sample."]] * 2 + [["Measured twice.", "A sample."], ["A sample."]]
    assert rows[2]["flips_lost"] == 40


def test_the_reference_stays_the_reference_when_its_task_is_withheld() -> None:
    warnings = [TrustWarning("floor", "Nothing right.", ("m", "m:nf4"), "math", withholds=True)]
    assert [row["verdict"] for row in verdict.rows(BASE, [WORSE], {"math": MATH}, warnings)] == [
        "reference",
        "withheld",
    ]


def test_graded_tasks_have_no_mcnemar_and_conversations_are_clusters() -> None:
    random = np.random.default_rng(2)

    def answers(shift: float) -> list[items.Item]:
        moved = np.repeat(random.normal(shift, 0.1, 25), 4)
        return [item(n, float(0.5 + by), cluster=f"story {n // 4}") for n, by in enumerate(moved)]

    base, other = measured("m", answers(0)), measured("m:nf4", answers(-0.02))
    row = verdict.rows(base, [other], {"math": replace(MATH, graded=True)}, [])[1]
    alone = [replace(one, cluster="") for one in other.tasks["math"]]
    single = verdict.rows(base, [measured("m:nf4", alone)], {"math": replace(MATH, graded=True)}, [])[1]
    assert row["mcnemar_p"] is None
    assert row["stderr"] > 1.8 * single["stderr"], "four equal answers of a story count once"


def test_items_without_a_cluster_stand_alone() -> None:
    assert items.clusters([item(0, 1.0), item(1, 1.0)]) is None
    named = items.clusters([item(0, 1.0, cluster="s"), item(1, 1.0), item(2, 1.0), item(3, 1.0, cluster="s")])
    assert named is not None
    assert named[0] == named[3] and len(set(named)) == 3


def test_truncated_is_a_share() -> None:
    cut = replace(WORSE, tasks={"math": [item(n, 1.0, truncated=n < 3) for n in range(100)]})
    assert [row["truncated"] for row in verdict.rows(BASE, [cut], {"math": MATH}, [])] == [0, 0.03]


def test_lower_is_better_turns_the_verdict() -> None:
    lower = {"math": replace(MATH, higher_is_better=False)}
    assert verdict.rows(BASE, [WORSE], lower, [])[1]["verdict"] == "better"


def test_a_task_that_a_variant_lacks_has_no_row() -> None:
    rows = verdict.rows(BASE, [replace(WORSE, tasks={"facts": WORSE.tasks["facts"]})], TASKS, [])
    assert [(row["variant"], row["task"]) for row in rows] == [("m", "math"), ("m", "facts"), ("m:nf4", "facts")]
