"""The Evaluate page without a browser: what a request may ask for, what a run says, and who may do anything."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio_client
import httpx
import pytest

from playground.errors import EvaluationError, InvalidRequest, MissingData, PlaygroundError
from playground.evaluate import board as evaluate_board
from playground.evaluate import estimate, figures, items, tasks
from playground.evaluate import form as evaluate_form
from playground.evaluate.board import Board, view
from playground.evaluate.estimate import Expected
from playground.evaluate.form import checked
from playground.evaluate.items import Item, TaskFacts
from playground.evaluate.report import with_labels
from playground.evaluate.spec import Conditions, DivergenceSpec, EvaluateSpec, Passage, PlanRequest, Request, arguments
from playground.evaluate.verdict import points, sentences
from playground.metrics.stats import smallest_drop
from playground.report import paths
from playground.store import folders, runs
from tests.fakes.engine import FakeEngine
from tests.fakes.evaluation_run import TASKS, VARIANTS, FakeVariant, divergence_run, evaluation
from tests.fakes.queue import FakeQueue
from tests.fakes.site import serving

SPEC: dict[str, Any] = {
    "variants": ["smollm2", "smollm2:nf4", "smollm2:int8"], "tasks": ["gsm8k"], "limit": 50, "batch_size": 4,
    "divergence": {"text": "bundled", "tokens": 4096},
}  # fmt: skip
ALONE: dict[str, Any] = {"variants": SPEC["variants"], "text": "bundled", "tokens": 4096}
EVIL = "<img src=x onerror=alert(1)>"


# ---- requests


def test_a_request_is_a_spec_as_a_job_stores_it(home: Path) -> None:
    asked = Request.model_validate({"kind": "evaluate", "spec": SPEC | {"generation": {"max_gen_toks": 64}}})
    assert asked.spec == EvaluateSpec(
        variants=("smollm2", "smollm2:nf4", "smollm2:int8"),
        conditions=Conditions(tasks=("gsm8k",), limit=50, batch_size=4, generation={"max_gen_toks": 64}),
        divergence=Passage(tokens=4096),
    )
    assert checked(asked.spec) == asked.spec
    again = Request.model_validate({"spec": asked.spec.model_dump(mode="json")})
    assert again.spec == asked.spec.changed(engine="transformers")
    alone = Request.model_validate({"kind": "divergence", "spec": ALONE})
    assert alone.spec == DivergenceSpec(variants=("smollm2", "smollm2:nf4", "smollm2:int8"), tokens=4096)


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        ("evaluate", {"variants": []}),
        ("evaluate", {"variants": ["smollm2"]}),
        ("evaluate", {"variants": ["smollm2", "smollm2"]}),
        ("evaluate", {"variants": "smollm2"}),
        ("evaluate", {"variants": [["smollm2"], "smollm2:nf4"]}),
        ("evaluate", {"variants": ["smollm2", "smollm2:nope"]}),
        ("evaluate", {"variants": ["smollm2", *(f"smollm2:{n}" for n in range(40))]}),
        ("evaluate", {"tasks": []}),
        ("evaluate", {"tasks": "gsm8k"}),
        ("evaluate", {"tasks": [f"task{n}" for n in range(99)]}),
        ("evaluate", {"limit": "50"}),
        ("evaluate", {"limit": 0}),
        ("evaluate", {"few_shot": -1}),
        ("evaluate", {"batch_size": 100_000}),
        ("evaluate", {"multiturn": True}),
        ("evaluate", {"divergence": {"text": "/etc/passwd"}}),
        ("evaluate", {"divergence": {"tokens": 9_000_000}}),
        ("evaluate", {"model": "smollm2"}),
        ("evaluate", {"generation": "rm -rf"}),
        ("divergence", {"text": "/etc/passwd"}),
        ("divergence", {"tokens": 9_000_000}),
        ("divergence", {"variants": ["smollm2"]}),
        ("divergence", {"speed": True}),
    ],
)
def test_nothing_that_a_client_sends_is_trusted(home: Path, kind: str, wrong: dict[str, Any]) -> None:
    with pytest.raises(PlaygroundError):
        checked(Request.model_validate({"kind": kind, "spec": (SPEC if kind == "evaluate" else ALONE) | wrong}).spec)


@pytest.mark.parametrize("body", [{}, {"spec": []}, {"spec": SPEC, "kind": "bench"}, {"spec": SPEC, "drop": 0}])
def test_a_request_that_is_none_says_so(home: Path, body: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        PlanRequest.model_validate(body)


def test_a_variant_may_name_its_engine(home: Path) -> None:
    variants = ("smollm2@vllm", "smollm2", "smollm2:nf4@transformers")
    assert checked(EvaluateSpec(variants=variants, conditions=Conditions(tasks=("gsm8k",)))).variants == variants


def test_arguments_of_generation_keep_their_types() -> None:
    assert arguments("a=1,\nb = 0.5 , c=false, until=END") == {"a": 1, "b": 0.5, "c": False, "until": "END"}
    assert arguments("") == {}
    with pytest.raises(InvalidRequest, match="no argument"):
        arguments("temperature")


# ---- the plan


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Estimates of a second per item of the limit."""

    def expected(spec: Any, _tasks: Any, *, measure: bool, busy: float) -> Expected:
        limit = float(spec.conditions.limit or 60) if isinstance(spec, EvaluateSpec) else 60.0
        return Expected((limit, 2 * limit), limit, ("Layers.",))

    monkeypatch.setattr(estimate, "expected", expected)


def test_the_plan_says_what_it_takes_and_what_it_can_detect(
    home: Path, monkeypatch: pytest.MonkeyPatch, timed: None
) -> None:
    group = tasks.Row("bundled", "Bundled", None, ("one", "two"), group=True, bundled=True)
    monkeypatch.setattr(tasks, "bundled", lambda: {"bundled": group})
    tasked = Conditions(tasks=("gsm8k", "bundled", "somewhere_else"), limit=200)
    asked = EvaluateSpec(variants=("a", "b", "c", "d"), conditions=tasked, divergence=Passage(tokens=64))
    plan = evaluate_form.plan(asked, measure=False)
    assert plan["button"] == "Evaluate 3 variants on 4 tasks", "the reference is not counted, a group is its members"
    assert (plan["items"], plan["answers"]) == (800, 3200)
    assert plan["time"]["seconds"] == [200.0, 400.0] and plan["time"]["rests_on"] == ["Layers."]
    assert plan["text"] == {"name": "bundled", "tokens": 64, "alone": False}
    gsm8k = plan["tasks"][0]
    assert (gsm8k["n"], gsm8k["full"]) == (200, 1319)
    assert gsm8k["smallest_drop"] == pytest.approx(0.062, abs=0.001), "docs: 200 samples show 6.2 points"
    everything = EvaluateSpec(variants=("a", "b"), conditions=Conditions(tasks=("somewhere_else", "gsm8k")))
    all_items = evaluate_form.plan(everything, measure=False)
    assert all_items["items"] is None and all_items["tasks"][0]["smallest_drop"] is None
    assert all_items["tasks"][1]["smallest_drop"] == pytest.approx(0.024, abs=0.001)
    assert estimate.tasks_of(everything) == [("somewhere_else", None), ("gsm8k", 1319)]
    alone = evaluate_form.plan(DivergenceSpec(variants=("a", "b")), measure=False)
    assert alone["button"] == "Measure the divergence of 1 variant" and alone["text"]["alone"] and not alone["tasks"]


def test_the_plan_says_how_many_items_detect_a_drop_and_how_long_they_take(home: Path, timed: None) -> None:
    asked = EvaluateSpec(variants=("a", "b"), conditions=Conditions(tasks=("gsm8k", "bundled_facts"), limit=100))
    power = evaluate_form.plan(asked, measure=False, drop=0.03)["power"]
    assert smallest_drop(power["items"], evaluate_form.DISCORDANCE) <= 0.03
    assert smallest_drop(power["items"] - 1, evaluate_form.DISCORDANCE) > 0.03
    assert power["seconds"] == [power["items"], 2 * power["items"]], "the time of that many items"
    assert power["short"] == ["bundled_facts"] and not power["enough"], "which has 240"
    large = EvaluateSpec(variants=("a", "b"), conditions=Conditions(tasks=("gsm8k",), limit=power["items"]))
    assert evaluate_form.plan(large, measure=False, drop=0.03)["power"]["enough"]
    assert evaluate_form.plan(asked, measure=False, drop=0.2)["power"]["enough"]


# ---- words


def row(variant: str, task: str, verdict: str, diff: float | None, **more: Any) -> dict[str, Any]:
    values = {
        "variant": variant,
        "task": task,
        "metric": "acc",
        "n": 200,
        "score": 0.4,
        "verdict": verdict,
        "diff": diff,
    }
    return values | more


def variant(name: str, size: int, speed: float | None = None, engine: str = "transformers") -> dict[str, Any]:
    measured = None if speed is None else {"decode_tok_s": speed, "engine": engine}
    return {"id": name, "label": name, "bytes": size, "speed": measured}


FACTS = [{"name": "facts", "higher_is_better": True}, {"name": "cloze", "higher_is_better": True}]


def test_losses_come_first_and_what_cannot_be_told_apart_is_called_so() -> None:
    variants = [variant("BF16", 1000, 20.0), *(variant(name, 400, 30.0) for name in ("nf4", "W4A16", "int8", "W3A16"))]
    rows = [
        row("nf4", "facts", "not distinguishable", -0.02), row("nf4", "cloze", "not distinguishable", 0.01, n=1500),
        row("W4A16", "facts", "worse", -0.06), row("W4A16", "cloze", "better", 0.035),
        row("int8", "facts", "withheld", 0.0), row("int8", "cloze", "not distinguishable", 0.0),
        row("W3A16", "facts", "worse", -0.1), row("W3A16", "cloze", "worse", -0.25, n=150),
    ]  # fmt: skip
    said = sentences(variants, FACTS, rows)
    assert [(one["kind"], one["text"], one["rest"]) for one in said] == [
        ("worse", "W3A16 loses 25 points on cloze (n = 150) and 10 on facts (n = 200).", ""),
        ("worse", "W4A16 loses 6 points on facts (n = 200). It gains 3.5 points on cloze (n = 200).", ""),
        (
            "withheld",
            "No verdict on int8 on facts: see the warning.",
            "Not distinguishable on the other task at n = 200.",
        ),
        ("same", "nf4 is not distinguishable from BF16 at n = 200 to 1,500.", ""),
    ]
    assert {one["note"] for one in said} == {"60% smaller · 1.50× decode speed"}
    other = [variants[0], variant("nf4", 1100, 30.0, "vllm")]
    assert sentences(other, FACTS, rows)[0]["note"] == "10% larger · 1.50× decode speed, different engines"


def test_a_difference_is_in_points_only_where_the_score_is_a_share() -> None:
    assert points(0.01, row("a", "facts", "worse", -0.01), FACTS[0]) == "1 point"
    perplexity = {"name": "wikitext", "higher_is_better": False}
    rose = row("nf4", "wikitext", "worse", 0.1234, metric="ppl", score=12.0)
    assert points(0.1234, rose, perplexity) == "0.123 ppl"
    variants = [variant("BF16", 1), variant("nf4", 1)]
    said = sentences(variants, [FACTS[0], perplexity], [rose, row("nf4", "facts", "worse", -0.02)])
    assert said[0]["text"] == ("nf4 loses 2 points on facts (n = 200). It is worse by 0.123 ppl on wikitext (n = 200).")


def test_without_tasks_the_sentence_is_about_the_distribution() -> None:
    moved = [
        {"variant": "nf4", "kld_mean": 0.0412, "top1_agreement": 0.91},
        {"variant": "W8A8", "kld_mean": 1e-5, "top1_agreement": 0.999},
        {"variant": "noise-floor", "kld_mean": 2e-5, "top1_agreement": 0.998},
    ]
    names = ("BF16", "nf4", "W8A8", "lost")
    said = sentences([variant(name, 1) for name in names], [], [], moved)
    assert [one["text"] for one in said] == [
        "nf4: mean KLD 0.0412 nats, the same top token in 91.0%.",
        "W8A8 lies within the noise floor.",
        "Nothing was measured of lost.",
    ]


# ---- a run


def test_a_run_is_shown_with_its_warnings_first(home: Path) -> None:
    shown = view(evaluation(), owner=True)
    assert [one["withholds"] for one in shown["warnings"]] == [True, False]
    assert len(shown["warnings"][1]["texts"]) == len(VARIANTS), "one doubt about many variants is one card"
    assert shown["warnings"][0]["variants"] == ["W8A8"], "by its label"
    assert shown["variants"][0]["label"] == "BF16"
    assert [one["variant"] for one in shown["divergence"]] == [one.id for one in VARIANTS]
    assert shown["floor"]["variant"] == "noise-floor" and shown["items"]
    assert shown["conditions"][:2] == ["all items", "0/5-shot"]
    assert all(task["share"] for task in shown["tasks"])
    assert any(one["kind"] == "withheld" for one in shown["verdict"])


def test_variants_of_one_label_are_told_apart() -> None:
    variants = [
        {"id": "m", "label": "BF16", "engine": "transformers"},
        {"id": "m@vllm", "label": "BF16", "engine": "vllm"},
        {"id": "m:g64", "label": "AWQ W4A16", "engine": "transformers"},
        {"id": "m:g128", "label": "AWQ W4A16", "engine": "transformers"},
        {"id": "m:nf4", "label": "nf4", "engine": "transformers"},
    ]
    found = [one["label"] for one in with_labels(variants)]
    assert found == ["BF16 in transformers", "BF16 in vllm", "m:g64", "m:g128", "nf4"]


def test_the_csv_has_a_line_for_each_variant_and_task_and_no_formula(home: Path) -> None:
    variants = (VARIANTS[0], replace(VARIANTS[1], label="=cmd|' /C calc'!A0"))
    text = view(evaluation(variants, TASKS[:2]), owner=True)["files"]["csv"]
    found = list(csv.DictReader(io.StringIO(text)))
    assert [(one["variant"], one["task"]) for one in found] == [
        (variant.id, task.name) for variant in variants for task in TASKS[:2]
    ]
    assert found[2]["label"].startswith("'=") and float(found[2]["kld_mean"]) > 0
    assert float(found[2]["diff_low"]) <= float(found[2]["diff"]) <= float(found[2]["diff_high"])
    assert found[0]["verdict"] == "reference" and found[0]["diff"] == ""


def test_a_local_model_keeps_its_folder_to_itself(home: Path) -> None:
    model = f"{home}/secret/place/tiny"
    variants = tuple(replace(one, id=one.id.replace("smollm2", model)) for one in VARIANTS[:2])
    run = evaluation(
        variants, TASKS[:1], model=model, settings={"divergence": {"text": "/srv/my/text.txt", "tokens": 9}}
    )
    own, other = (json.dumps(view(run, owner=owner)) for owner in (True, False))
    assert "secret/place" in own and "/srv/my" in own
    assert "secret" not in other and "/srv" not in other and str(home) not in other
    shown = json.loads(other)
    assert (shown["model"], shown["variants"][1]["id"], shown["rows"][1]["variant"]) == ("tiny", "tiny:nf4", "tiny:nf4")
    board = Board(FakeQueue())
    assert "secret" in json.dumps(board.value(owner=True)) and "secret" not in json.dumps(board.value(owner=False))


def test_paths_are_cut_wherever_they_stand() -> None:
    found = paths.without_paths({"/a/b": ["/a/b:nf4 and /a/b/c.txt", 3]}, ["/a/b:nf4", "owner/name"])
    assert found == {"b": ["b:nf4 and b/c.txt", 3]}
    assert paths.without_paths("owner/name", ["owner/name"]) == "owner/name"


# ---- items


def item(number: int, score: float, **more: Any) -> Item:
    values: dict[str, Any] = {
        "doc_id": number,
        "doc_hash": f"hash {number}",
        "prompt_hash": "same",
        "cluster": "",
        "prompt": f"Question {number}",
        "gold": "yes",
        "answer": "yes" if score else "no",
        "extracted": "",
        "score": score,
        "truncated": False,
    }
    return Item(**(values | more))


def stored(task: str, *sides: list[Item]) -> str:
    """The items of a run, as the job leaves them; its id."""
    run_id = runs.new_id()
    folder = folders.items(run_id, task)
    folder.mkdir(parents=True)
    for index, side in enumerate(sides):
        items.write(folder / f"{index}.jsonl", side)
    return run_id


def pages(run_id: str, show: str = "all", offset: int = 0, better: bool = True, count: int = 2) -> dict[str, Any]:
    return evaluate_board.page(run_id, {"facts": better}, "facts", count, 1, show, offset)


def test_items_are_joined_by_document_and_filtered_by_what_changed(home: Path) -> None:
    before = [item(n, float(n % 2)) for n in range(20)]
    after = [item(n, 0.0 if n == 3 else 1.0 if n in (4, 6) else float(n % 2)) for n in reversed(range(20))]
    run_id = stored("facts", before, after)
    found = pages(run_id)
    assert found["counts"] == {"all": 20, "flips": 3, "lost": 1, "won": 2}
    assert len(found["items"]) == evaluate_board.PAGE and found["items"][0]["doc"] == 0
    (lost,) = pages(run_id, "lost")["items"]
    assert (lost["doc"], lost["moved"], [side["answer"] for side in lost["sides"]]) == (3, "lost", ["yes", "no"])
    assert [one["doc"] for one in pages(run_id, "won")["items"]] == [4, 6]
    assert pages(run_id, "lost", better=False)["counts"]["lost"] == 2, "where less is better, more is a loss"
    last = pages(run_id, offset=1000)
    assert last["offset"] == 16 and [one["number"] for one in last["items"]] == [16, 17, 18, 19]


def test_another_prompt_is_shown_and_a_long_one_ends_with_its_question(home: Path) -> None:
    long = "example\n" * 10_000 + "the question"
    run_id = stored("facts", [item(0, 1.0, prompt=long)], [item(0, 1.0, prompt="other", prompt_hash="differs")])
    (found,) = pages(run_id)["items"]
    assert found["other_prompt"] == "other"
    assert found["prompt"].endswith("the question") and len(found["prompt"]) < 13_000


def test_ten_thousand_items_come_a_page_at_a_time(home: Path) -> None:
    sides = [[item(n, float((n + side) % 7 > 0), prompt="word " * 200) for n in range(10_000)] for side in range(2)]
    run_id = stored("facts", *sides)
    pages(run_id)
    read = evaluate_board._index.cache_info().misses
    found = pages(run_id, "flips", 1000)
    assert found["counts"]["all"] == 10_000 and len(json.dumps(found)) < 100_000
    assert evaluate_board._index.cache_info().misses == read, "the files are read once, then only a page's lines"


def test_a_run_whose_files_are_gone_or_broken_says_so(home: Path) -> None:
    run = evaluation(VARIANTS[:2], TASKS[2:3], files=False)
    assert not view(run, owner=True)["items"]
    better = {"bundled_facts": True}
    with pytest.raises(EvaluationError, match="no longer"):
        evaluate_board.page(run.id, better, "bundled_facts", 2, 1, "all", 0)
    path = folders.run(stored("facts", [item(0, 1.0)], [item(0, 0.0)])) / "items/facts"
    (path / "1.jsonl").write_text('{"doc_hash": 1')
    with pytest.raises(EvaluationError, match="cannot be read"):
        pages(path.parents[1].name)


@pytest.mark.parametrize("task", ["../../../etc", "/etc/passwd", "facts/../../..", ""])
def test_a_task_is_no_way_to_other_files(home: Path, task: str) -> None:
    run_id = stored("facts", [item(0, 1.0)], [item(0, 0.0)])
    with pytest.raises(EvaluationError):
        evaluate_board.page(run_id, {"facts": True}, task, 2, 1, "all", 0)
    with pytest.raises(EvaluationError):
        evaluate_board.page(run_id, {task: True}, task, 2, 1, "all", 0)


# ---- plots


def test_every_variant_has_one_colour_in_all_plots(home: Path) -> None:
    found = figures.of_run(evaluation())
    looks = {variant.label: "ref" if not number else f"variant{number}" for number, variant in enumerate(VARIANTS)}
    assert [one["key"] for one in found["tradeoff"]] == ["kld", *(task.name for task in TASKS)]
    for plot in [*(one["plot"] for one in found["tradeoff"]), *found["scores"]]:
        rows = plot["spec"]["data"]["values"]
        assert rows and {row["label"]: row["look"] for row in rows}.items() <= looks.items()
    assert dict(map(reversed, found["confidence"]["keys"])) == {
        **{label: look for label, look in looks.items() if look != "ref"},
        "noise floor": "ref",
    }
    json.dumps(found, allow_nan=False)


def test_the_frontier_is_said_in_words(home: Path) -> None:
    size = [replace(VARIANTS[0], bytes=300), replace(VARIANTS[1], bytes=100), replace(VARIANTS[2], bytes=200)]
    run = evaluation(tuple(size), TASKS[2:3])
    (kld, facts) = figures.of_run(run)["tradeoff"]
    assert kld["said"].startswith(("On the frontier: ", "Every variant is best on at least one axis (by mean)."))
    assert facts["plot"]["spec"]["data"]["values"][0]["label"] == "BF16", "the reference has a score, but no divergence"
    assert len(kld["plot"]["spec"]["data"]["values"]) == 2


def test_a_divergence_alone_has_no_scores_but_all_its_plots(home: Path) -> None:
    found = figures.of_run(divergence_run())
    assert found["scores"] == [] and [one["key"] for one in found["tradeoff"]] == ["kld"]
    groups = {row["group"].split("|")[0] for row in found["confidence"]["spec"]["data"]["values"]}
    assert len(groups) == 5 and found["spread"]["alt"]


# ---- over HTTP: who may do what


class Client:
    """A client of one served page, from this machine unless `headers` say otherwise."""

    def __init__(self, url: str) -> None:
        self.http = httpx.Client(base_url=url, timeout=60)

    def get(self, path: str, headers: dict[str, str] | None = None, **params: Any) -> Any:
        return _value(self.http.get(f"/api/evaluate/{path}", params=params, headers=headers))

    def post(self, path: str, body: Any, headers: dict[str, str] | None = None) -> Any:
        return _value(self.http.post(f"/api/evaluate/{path}", json=body, headers=headers))


def _value(response: httpx.Response) -> Any:
    """The JSON of a response; of a refusal its error with the status."""
    assert response.headers["content-type"] == "application/json"
    value = response.json()
    return value if response.is_success else value["error"] | {"status": response.status_code}


@pytest.fixture
def queue(home: Path, monkeypatch: pytest.MonkeyPatch) -> FakeQueue:
    monkeypatch.setattr("playground.jobs.queue.best_device", lambda: "cpu")

    def expected(_asked: Any, _tasks: Any, *, measure: bool, busy: float) -> Expected:
        return Expected((60.0, 120.0), 90.0) if measure else Expected(None, measures=True)

    monkeypatch.setattr(estimate, "expected", expected)
    return FakeQueue()


@pytest.fixture
def page(queue: FakeQueue) -> Iterator[str]:
    with serving(FakeEngine(), queue=queue) as url:
        yield url


@pytest.fixture
def client(page: str) -> Iterator[Client]:
    found = Client(page)
    with found.http:
        yield found


def test_from_the_form_to_a_job_to_its_run(client: Client, queue: FakeQueue) -> None:
    form = client.get("form")
    assert form["model"] == "smollm2" and {one["id"] for one in form["variants"]} >= {"smollm2", "smollm2:nf4"}
    assert {"coqa", "gsm8k"} <= {one["name"] for one in form["tasks"]}
    plan = client.post("plan", {"spec": SPEC})
    assert plan["button"] == "Evaluate 2 variants on 1 task" and plan["answers"] == 150
    assert plan["time"]["measures"] and plan["time"]["seconds"] is None
    assert client.post("plan", {"spec": SPEC, "measure": True})["time"]["seconds"] == [60.0, 120.0]
    refusal = client.post("plan", {"spec": SPEC | {"variants": ["smollm2"]}})
    assert refusal["message"] == "Only the reference is chosen." and refusal["status"] == 400
    begun = client.post("start", {"kind": "evaluate", "spec": SPEC})
    assert (begun["kind"], begun["state"], begun["spec"]["limit"]) == ("evaluate", "queued", 50)
    (job,) = client.get("board")["jobs"]
    assert (job["state"], job["title"], job["words"]) == ("queued", "gsm8k", "50 items each · divergence")
    assert job["model"] == "smollm2 against nf4, int8"
    run = evaluation(VARIANTS[:2], TASKS[2:3])
    queue.end(job["id"], "done", result={"run": run.id})
    board = client.get("board")
    assert not board["jobs"], "the run stands in the place of its job"
    assert [one["id"] for one in board["runs"]] == [run.id] and board["runs"][0]["labels"] == ["BF16", "nf4"]
    assert client.get("run", id=run.id)["rows"][1]["variant"] == "smollm2:nf4"
    assert client.get("plots", id=run.id)["scores"]
    found = client.get("items", id=run.id, task="bundled_facts", variant=1, show="flips", offset=0)
    assert found["counts"]["all"] == 200 and len(found["items"]) <= evaluate_board.PAGE
    assert client.post("remove", {"id": run.id}) == {"id": run.id} and not folders.run(run.id).exists()
    for gone in (client.get("run", id=run.id), client.post("remove", {"id": run.id}), client.get("plots", id=run.id)):
        assert gone["message"].startswith("There is no run") and gone["status"] == 404


def test_the_example_of_the_documentation_works_as_written(client: Client, queue: FakeQueue) -> None:
    text = (Path(__file__).parents[2] / "docs/api.md").read_text(encoding="utf-8")
    (body,) = re.findall(r"/api/evaluate/start.*?-d '(\{.*?\})'\n", text, re.DOTALL)
    assert client.post("start", json.loads(body))["spec"]["tasks"] == ["bundled"]
    assert len(queue.jobs) == 1


def test_a_divergence_alone_is_listed_and_opened_like_an_evaluation(client: Client, queue: FakeQueue) -> None:
    begun = client.post("start", {"kind": "divergence", "spec": ALONE})
    (job,) = client.get("board")["jobs"]
    assert (job["title"], job["model"], job["words"]) == ("Divergence", "smollm2 against nf4, int8", "4,096 tokens")
    assert queue.jobs[begun["id"]].kind == "divergence"
    evaluation(VARIANTS[:2], TASKS[2:3], created_at=1e9)
    run = divergence_run(VARIANTS[:3])
    queue.end(job["id"], "done", result={"run": run.id})
    board = client.get("board")
    assert not board["jobs"] and board["runs"][0]["id"] == run.id and len(board["runs"]) == 2
    assert (board["runs"][0]["tasks"], board["runs"][0]["tokens"], board["runs"][1]["tokens"]) == ([], 8192, None)
    shown = client.get("run", id=run.id)
    assert shown["tasks"] == shown["rows"] == [] and shown["floor"]["variant"] == "noise-floor"
    assert [one["variant"] for one in shown["divergence"]] == [one.id for one in VARIANTS[:3]]
    assert "divergence on 7,200 tokens of the bundled prose" in shown["conditions"]
    worst = max(shown["divergence"][1:], key=lambda row: row["kld_mean"])
    label = next(one.label for one in VARIANTS if one.id == worst["variant"])
    assert shown["verdict"][0]["text"].startswith(f"{label}: mean KLD"), "the worst first"
    lines = list(csv.DictReader(io.StringIO(shown["files"]["csv"])))
    names = [VARIANTS[0].id, "noise-floor", *(one.id for one in VARIANTS[1:3])]
    assert [one["variant"] for one in lines] == names and float(lines[2]["ppl_ratio"]) > 1
    assert json.loads(shown["files"]["json"])["kind"] == "divergence", "the file is the run as it is stored"


def test_the_text_of_a_divergence_keeps_its_folder_to_itself(home: Path) -> None:
    model = f"{home}/secret/tiny"
    variants = tuple(replace(one, id=one.id.replace("smollm2", model)) for one in VARIANTS[:2])
    settings = {"text": f"{home}/private/text.txt", "tokens": 9, "max_length": 64}
    run = divergence_run(variants, model=model, settings=settings)
    other = json.dumps(view(run, owner=False))
    assert "secret" not in other and "private" not in other
    job = FakeQueue()
    queued = job.get(job.submit(DivergenceSpec(variants=(model, f"{model}:nf4"), text=settings["text"])))  # type: ignore[arg-type]
    assert "secret" not in json.dumps(evaluate_board.measuring_job(queued, queued.as_row()))


def test_a_task_that_nobody_knows_is_refused_before_a_job(
    client: Client, queue: FakeQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        tasks, "_indexed", lambda _: {"humaneval": tasks.Row("humaneval", "humaneval", None, unsafe=True)}
    )
    assert client.post("start", {"spec": SPEC | {"tasks": ["gsm9k"]}})["message"] == "There is no task 'gsm9k'."
    assert "code that the model wrote" in client.post("start", {"spec": SPEC | {"tasks": ["humaneval"]}})["message"]
    found = client.get("tasks", search="eval")
    assert [one["name"] for one in found["tasks"]] == ["humaneval"] and found["tasks"][0]["unsafe"]
    assert not queue.jobs


@pytest.mark.parametrize("headers", [{"X-Forwarded-For": "10.0.0.1"}, {"Via": "1.1 proxy"}])
def test_nobody_else_starts_or_deletes_anything(
    client: Client, queue: FakeQueue, home: Path, headers: dict[str, str]
) -> None:
    model = f"{home}/secret/tiny"
    local = queue.submit(EvaluateSpec(variants=(model, f"{model}:nf4"), conditions=Conditions(tasks=("gsm8k",))))
    queue.logs[local] = "a log"
    run = evaluation(VARIANTS[:2], TASKS[2:3])
    for refusal in (
        client.post("start", {"spec": SPEC}, headers),
        client.post("plan", {"spec": SPEC, "measure": True}, headers),
        client.post("remove", {"id": run.id}, headers),
        client.get("tasks", headers, search="gsm"),
        client.get("form", headers),
    ):
        assert refusal["code"] == "owner_only" and refusal["status"] == 403
    queue.end(local, "failed", MissingData(f"There is nothing in {model}/data.", hint=f"Look into {home}."))
    seen, own = (client.get("board", one, log=local) for one in (headers, None))
    assert own["jobs"][0]["log"] == "a log" and str(home) in json.dumps(own)
    assert str(home) not in json.dumps(seen) and "a log" not in json.dumps(seen) and not seen["owner"]
    assert seen["jobs"][0]["model"] == "tiny against nf4" and seen["runs"] == [], "a run is opened by its link"
    assert client.get("run", headers, id=run.id)["verdict"], "a result is for everyone"
    runs.revoke(run.id)
    for path in ("run", "plots"):
        assert client.get(path, headers, id=run.id)["status"] == 404, "until its link is revoked"
        assert "status" not in client.get(path, id=run.id)
    assert list(queue.jobs) == [local] and runs.get(run.id, owner=True)


def test_the_store_that_cannot_be_read_is_a_refusal(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    evaluation(VARIANTS[:2], TASKS[2:3])

    def broken(*_: Any, **__: Any) -> None:
        raise OSError("disk")

    monkeypatch.setattr(runs, "latest", broken)
    assert client.get("board")["message"] == "The runs cannot be read."


def test_no_prompt_answer_or_name_is_changed_on_its_way(client: Client) -> None:
    evil = FakeVariant(f"smollm2:{EVIL}", EVIL, EVIL, EVIL, 10**8, 6.0, 3.0, 0.04)
    task = TaskFacts(EVIL, EVIL, EVIL, None, True, 0, 9, 9, False, False, False)
    run = evaluation((VARIANTS[0], evil), (task,), files=False, title=EVIL)
    folder = folders.items(run.id, EVIL)
    folder.mkdir(parents=True)
    for index in range(2):
        found = [item(0, float(index), prompt=EVIL, answer=EVIL, gold=EVIL, extracted=EVIL)]
        items.write(folder / f"{index}.jsonl", found)
    assert client.get("run", id=run.id)["title"] == EVIL
    assert client.get("items", id=run.id, task=EVIL, show="all")["items"][0]["gold"] == EVIL
    assert client.get("board")["runs"][0]["tasks"] == [EVIL]


def test_the_documented_functions(page: str, queue: FakeQueue, home: Path) -> None:
    client = gradio_client.Client(page, verbose=False)
    job = client.predict(["smollm2", "smollm2:nf4"], ["gsm8k"], limit=20, speed=True, api_name="/evaluate")
    assert (job["kind"], job["state"], job["spec"]["limit"], job["spec"]["speed"]) == ("evaluate", "queued", 20, True)
    assert client.predict(api_name="/jobs")[0]["spec"]["tasks"] == ["gsm8k"]
    with pytest.raises(Exception, match="Only the reference is chosen"):
        client.predict(["smollm2"], ["gsm8k"], api_name="/evaluate")
    assert client.predict(api_name="/runs") == []
    model = f"{home}/secret/tiny"
    run = evaluation(
        tuple(replace(one, id=one.id.replace("smollm2", model)) for one in VARIANTS[:2]), TASKS[:1], model=model
    )
    (listed,) = client.predict(kind="evaluation", api_name="/runs")
    assert listed["model"] == "tiny" and "result" not in listed
    (whole,) = client.predict(run.id, api_name="/runs")
    assert whole["result"]["rows"][1]["variant"] == "tiny:nf4" and "secret" not in json.dumps(whole)
    with pytest.raises(Exception, match="There is no run"):
        client.predict("nope", api_name="/runs")
    assert client.predict(kind="divergence", api_name="/runs") == []
