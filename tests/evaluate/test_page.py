"""The Evaluate page without a browser: what the form may send, what a run says, and who may do anything."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import gradio_client
import httpx
import pytest

from playground.errors import EvaluationError, InvalidRequest, MissingData, PlaygroundError
from playground.evaluate import board as evaluate_board
from playground.evaluate import estimate, items, tasks
from playground.evaluate import page as evaluate_page
from playground.evaluate.board import Board, view
from playground.evaluate.estimate import Expected
from playground.evaluate.items import Item, TaskFacts
from playground.evaluate.page import Evaluate, spec_of
from playground.evaluate.report import with_labels
from playground.evaluate.spec import Conditions, DivergenceSpec, EvaluateSpec, arguments
from playground.evaluate.verdict import points, sentences
from playground.report import paths
from playground.store import folders, runs
from playground.web.owner import Owner, Rules
from tests.fakes.engine import FakeEngine
from tests.fakes.evaluation_run import TASKS, VARIANTS, FakeVariant, divergence_run, evaluation
from tests.fakes.queue import FakeQueue
from tests.fakes.site import serving
from tests.web.test_owner import request

FORM: dict[str, Any] = {
    "model": "smollm2", "reference": "smollm2", "variants": ["smollm2:nf4", "smollm2:int8"], "tasks": ["gsm8k"],
    "limit": "50", "few_shot": "", "chat_template": False, "multiturn": True, "divergence": True, "text": "bundled",
    "tokens": "4096", "speed": False, "engine": "", "batch_size": "4", "seed": "", "generation": "",
    "strip_thinking": False,
}  # fmt: skip
EVIL = "<img src=x onerror=alert(1)>"


# ---- the form


def test_the_form_becomes_a_spec(home: Path) -> None:
    asked = spec_of(FORM | {"generation": "max_gen_toks=64, temperature=0.6, do_sample=true"})
    assert asked == EvaluateSpec(
        variants=("smollm2", "smollm2:nf4", "smollm2:int8"),
        conditions=Conditions(
            tasks=("gsm8k",),
            limit=50,
            batch_size=4,
            generation={"max_gen_toks": 64, "temperature": 0.6, "do_sample": True},
        ),
        divergence={"text": "bundled", "tokens": 4096},
    ), "examples become turns only with the chat template"
    assert spec_of(FORM | {"chat_template": True}).conditions.multiturn
    assert spec_of(FORM | {"divergence": False, "text": "/etc/passwd"}).divergence is None
    alone = spec_of(FORM | {"tasks": [], "limit": "many", "speed": True})
    assert alone == DivergenceSpec(variants=("smollm2", "smollm2:nf4", "smollm2:int8"), text="bundled", tokens=4096)


@pytest.mark.parametrize(
    "wrong",
    [
        {"reference": ""},
        {"reference": ["smollm2"]},
        {"variants": []},
        {"variants": ["smollm2"]},
        {"variants": ["smollm2:nope"]},
        {"variants": [f"smollm2:{n}" for n in range(40)]},
        {"tasks": [], "divergence": False},
        {"tasks": [], "text": "/etc/passwd"},
        {"tasks": "gsm8k"},
        {"tasks": [f"task{n}" for n in range(99)]},
        {"limit": "many"},
        {"limit": "0"},
        {"few_shot": "-1"},
        {"batch_size": "100000"},
        {"text": "/etc/passwd"},
        {"tokens": "100000000"},
        {"generation": "rm -rf"},
        {"generation": "__class__.x=1"},
    ],
)
def test_nothing_that_the_browser_sends_is_trusted(home: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(PlaygroundError):
        spec_of(FORM | wrong)


def test_a_variant_may_name_its_engine(home: Path) -> None:
    asked = spec_of(FORM | {"reference": "smollm2@vllm", "variants": ["smollm2", "smollm2:nf4@transformers"]})
    assert asked.variants == ("smollm2@vllm", "smollm2", "smollm2:nf4@transformers")


def test_arguments_of_generation_keep_their_types() -> None:
    assert arguments("a=1,\nb = 0.5 , c=false, until=END") == {"a": 1, "b": 0.5, "c": False, "until": "END"}
    assert arguments("") == {}
    with pytest.raises(InvalidRequest, match="no argument"):
        arguments("temperature")


def test_the_plan_says_what_it_takes_and_what_it_can_show(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    group = tasks.Row("bundled", "Bundled", None, ("one", "two"), group=True, bundled=True)
    monkeypatch.setattr(tasks, "bundled", lambda: {"bundled": group})
    tasked = Conditions(tasks=("gsm8k", "bundled", "somewhere_else"), limit=200)
    asked = EvaluateSpec(variants=("a", "b", "c", "d"), conditions=tasked, divergence={"text": "bundled", "tokens": 64})
    expected = Expected((60.0, 90.0), 70.0, ("Layers.",))
    plan = json.loads(evaluate_page.plan(3, asked, expected))
    assert plan["button"] == "Evaluate 4 variants on 4 tasks", "a bundled group is what it consists of"
    assert (plan["serial"], plan["items"], plan["answers"]) == (3, 800, 3200)
    assert plan["time"]["seconds"] == [60.0, 90.0] and plan["time"]["rests_on"] == ["Layers."]
    assert plan["text"] == {"name": "bundled", "tokens": 64, "alone": False}
    gsm8k = plan["tasks"][0]
    assert (gsm8k["n"], gsm8k["full"]) == (200, 1319)
    assert gsm8k["smallest_drop"] == pytest.approx(0.062, abs=0.001), "docs: 200 samples show 6.2 points"
    everything = EvaluateSpec(variants=("a", "b"), conditions=Conditions(tasks=("somewhere_else", "gsm8k")))
    all_items = json.loads(evaluate_page.plan(0, everything, expected))
    assert all_items["items"] is None and all_items["tasks"][0]["smallest_drop"] is None
    assert all_items["tasks"][1]["smallest_drop"] == pytest.approx(0.024, abs=0.001)
    assert estimate.tasks_of(everything) == [("somewhere_else", None), ("gsm8k", 1319)]
    alone = json.loads(evaluate_page.plan(1, DivergenceSpec(variants=("a", "b")), expected))
    assert alone["button"] == "Measure the divergence of 1 variant" and alone["text"]["alone"] and not alone["tasks"]


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
    assert "secret" in board.value(owner=True) and "secret" not in board.value(owner=False)


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
    with pytest.raises(EvaluationError, match="gone"):
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


# ---- over HTTP: who may do what


class Page:
    """The page of one served app, driven as a browser or anybody else could drive it."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self.config = httpx.get(f"{self.url}/config").json()

    def send(self, part: str, event: str, data: Any, headers: dict[str, str] | None = None) -> Any:
        wanted = f"pg-evaluate-{part}"
        (component,) = [one["id"] for one in self.config["components"] if one["props"].get("elem_id") == wanted]
        (index,) = [one["id"] for one in self.config["dependencies"] if [component, event] in map(list, one["targets"])]
        body = {"data": [], "event_data": data, "fn_index": index, "session_hash": "one", "trigger_id": component}
        answer = httpx.post(f"{self.url}/gradio_api/run/predict", json=body, headers=headers, timeout=60)
        assert answer.status_code == 200, answer.text
        assert "<" not in answer.json()["data"][0]
        return json.loads(answer.json()["data"][0])


@pytest.fixture
def queue(home: Path, monkeypatch: pytest.MonkeyPatch) -> FakeQueue:
    monkeypatch.setattr("playground.jobs.queue.best_device", lambda: "cpu")

    def expected(_asked: Any, _tasks: Any, *, measure: bool, busy: float) -> Expected:
        return Expected((60.0, 120.0), 90.0) if measure else Expected(None, measures=True)

    monkeypatch.setattr(estimate, "expected", expected)
    return FakeQueue()


@pytest.fixture
def page(queue: FakeQueue) -> Iterator[Page]:
    with serving(FakeEngine(), queue=queue) as url:
        yield Page(url)


def test_from_the_form_to_a_job_to_its_run(page: Page, queue: FakeQueue) -> None:
    form = page.send("form", "model", {"name": ""})
    assert form["model"] == "smollm2" and {one["id"] for one in form["variants"]} >= {"smollm2", "smollm2:nf4"}
    assert {"coqa", "gsm8k"} <= {one["name"] for one in form["tasks"]}
    plan = page.send("form", "plan", FORM | {"serial": 2})
    assert plan["button"] == "Evaluate 3 variants on 1 task" and plan["answers"] == 150
    assert plan["time"]["measures"] and plan["time"]["seconds"] is None
    assert page.send("form", "plan", FORM | {"variants": []})["error"][0] == "Only the reference is chosen."
    begun = page.send("form", "begin", FORM | {"serial": 4})
    (job,) = begun["jobs"]
    assert (job["state"], job["title"], job["words"]) == ("queued", "gsm8k", "50 items each · divergence")
    assert job["model"] == "smollm2 against nf4, int8"
    queue.start(job["id"])
    assert page.send("board", "cancel", {"id": job["id"]})["jobs"][0]["stopping"]
    run = evaluation(VARIANTS[:2], TASKS[2:3])
    queue.end(job["id"], "done", result={"run": run.id})
    board = page.send("board", "look", {"serial": 9})
    assert board["serial"] == 9 and not board["jobs"], "the run stands in the place of its job"
    assert [one["id"] for one in board["runs"]] == [run.id] and board["runs"][0]["labels"] == ["BF16", "nf4"]
    assert page.send("run", "open", {"id": run.id})["rows"][1]["variant"] == "smollm2:nf4"
    asked = {"id": run.id, "task": "bundled_facts", "variant": 1, "show": "flips", "offset": 0, "serial": 5}
    found = page.send("items", "browse", asked)
    assert found["serial"] == 5 and found["counts"]["all"] == 200 and len(found["items"]) <= evaluate_board.PAGE
    assert not page.send("board", "remove", {"id": run.id})["runs"] and not folders.run(run.id).exists()
    assert page.send("run", "open", {"id": run.id})["error"][0].startswith("There is no run")
    assert page.send("board", "remove", {"id": run.id})["error"][0].startswith("There is no run")


def test_a_divergence_alone_is_listed_and_opened_like_an_evaluation(page: Page, queue: FakeQueue) -> None:
    (job,) = page.send("form", "begin", FORM | {"tasks": [], "serial": 1})["jobs"]
    assert (job["title"], job["model"], job["words"]) == ("Divergence", "smollm2 against nf4, int8", "4,096 tokens")
    assert queue.jobs[job["id"]].kind == "divergence"
    evaluation(VARIANTS[:2], TASKS[2:3], created_at=1e9)
    run = divergence_run(VARIANTS[:3])
    queue.end(job["id"], "done", result={"run": run.id})
    board = page.send("board", "look", {"serial": 2})
    assert not board["jobs"] and board["runs"][0]["id"] == run.id and len(board["runs"]) == 2
    assert (board["runs"][0]["tasks"], board["runs"][0]["tokens"], board["runs"][1]["tokens"]) == ([], 8192, None)
    shown = page.send("run", "open", {"id": run.id})
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
    assert not page.send("board", "remove", {"id": run.id})["error"]


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


def test_the_pace_is_measured_for_the_owner_alone(queue: FakeQueue) -> None:
    """It takes seconds, so that it goes through gradio's queue: asked here without one."""
    events = Evaluate(mock.Mock(), queue, Rules(Owner("127.0.0.1")))
    asked: Any = SimpleNamespace(_data=FORM | {"serial": 3})
    timed = json.loads(events.pace(asked, request()))
    assert timed["time"]["seconds"] == [60.0, 120.0] and timed["serial"] == 3
    assert json.loads(events.pace(asked, request(x_forwarded_for="10.0.0.1")))["time"]["seconds"] is None


def test_a_task_that_nobody_knows_is_refused_before_a_job(
    page: Page, queue: FakeQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        tasks, "_indexed", lambda _: {"humaneval": tasks.Row("humaneval", "humaneval", None, unsafe=True)}
    )
    assert page.send("form", "begin", FORM | {"tasks": ["gsm9k"]})["error"][0] == "There is no task 'gsm9k'."
    assert "code that the model wrote" in page.send("form", "begin", FORM | {"tasks": ["humaneval"]})["error"][0]
    found = page.send("form", "search", {"text": "eval", "serial": 1})
    assert [one["name"] for one in found["tasks"]] == ["humaneval"] and found["tasks"][0]["unsafe"]
    assert not queue.jobs


@pytest.mark.parametrize("headers", [{"X-Forwarded-For": "10.0.0.1"}, {"Via": "1.1 proxy"}])
def test_nobody_else_starts_ends_or_deletes_anything(
    page: Page, queue: FakeQueue, home: Path, headers: dict[str, str]
) -> None:
    model = f"{home}/secret/tiny"
    local = queue.submit(EvaluateSpec(variants=(model, f"{model}:nf4"), conditions=Conditions(tasks=("gsm8k",))))
    queue.logs[local] = "a log"
    run = evaluation(VARIANTS[:2], TASKS[2:3])
    for part, event, data in (
        ("form", "begin", FORM),
        ("board", "cancel", {"id": local}),
        ("board", "again", {"id": local}),
        ("board", "remove", {"id": run.id}),
        ("form", "search", {"text": "gsm"}),
    ):
        assert page.send(part, event, data, headers)["error"][0].startswith("Only the owner may do this"), event
    assert page.send("form", "model", {"name": ""}, headers)["refusal"][0].startswith("Only the owner")
    queue.end(local, "failed", MissingData(f"There is nothing in {model}/data.", hint=f"Look into {home}."))
    seen, own = (page.send("board", "look", {"logs": [local]}, one) for one in (headers, None))
    assert own["jobs"][0]["log"] == "a log" and str(home) in json.dumps(own)
    assert str(home) not in json.dumps(seen) and "a log" not in json.dumps(seen) and not seen["owner"]
    assert seen["jobs"][0]["model"] == "tiny against nf4" and seen["runs"] == [], "a run is opened by its link"
    assert page.send("run", "open", {"id": run.id}, headers)["verdict"], "a result is for everyone"
    assert list(queue.jobs) == [local] and runs.get(run.id)


def test_no_prompt_answer_or_name_is_ever_a_tag(page: Page) -> None:
    evil = FakeVariant(f"smollm2:{EVIL}", EVIL, EVIL, EVIL, 10**8, 6.0, 3.0, 0.04)
    task = TaskFacts(EVIL, EVIL, EVIL, None, True, 0, 9, 9, False, False, False)
    run = evaluation((VARIANTS[0], evil), (task,), files=False, title=EVIL)
    folder = folders.items(run.id, EVIL)
    folder.mkdir(parents=True)
    for index in range(2):
        found = [item(0, float(index), prompt=EVIL, answer=EVIL, gold=EVIL, extracted=EVIL)]
        items.write(folder / f"{index}.jsonl", found)
    assert page.send("run", "open", {"id": run.id})["title"] == EVIL
    asked = {"id": run.id, "task": EVIL, "variant": 1, "show": "all", "offset": 0}
    assert page.send("items", "browse", asked)["items"][0]["gold"] == EVIL
    assert page.send("board", "look", {})["runs"][0]["tasks"] == [EVIL]


def test_the_documented_endpoints(page: Page, queue: FakeQueue, home: Path) -> None:
    client = gradio_client.Client(page.url, verbose=False)
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
