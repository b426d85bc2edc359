"""The Speed page without a browser: what may be asked, what a measurement says, and one measurement at a time."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from playground import machine
from playground.errors import EngineUnavailable, UnknownVariant
from playground.report import plots
from playground.speed import report, session
from playground.speed.api import MeasureSpec
from playground.speed.report import Labels
from playground.speed.session import Measurement, Measurements
from playground.speed.spec import BenchRow, Plan
from playground.store import database, runs
from playground.web import stream
from tests.fakes import catalog
from tests.fakes.catalog import fake_variant
from tests.fakes.engine import FakeEngine, Script
from tests.fakes.site import serving

MANY = tuple(f"w{n}" for n in range(32))
PLAN = {"prompt_tokens": 8, "output_tokens": 4, "depths": [0, 16], "runs": 2, "concurrency": []}
LABELS = Labels({name: fake_variant(name) for name in ("fake", "fake:nf4")})
SMALL = Plan(prompt_tokens=0, output_tokens=4, runs=1)


@pytest.fixture(autouse=True)
def _no_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    catalog.install(monkeypatch)

    def missing(**_: object) -> machine.Probe:
        raise EngineUnavailable("torch cannot be used here.")

    monkeypatch.setattr(machine, "probe", missing)


def engine(**more: Any) -> FakeEngine:
    return FakeEngine({name: Script(tokens=MANY, step_s=0.001, first_s=0.001, **more) for name in ("fake", "fake:nf4")})


def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.005)


def measured(fake: FakeEngine, *addresses: str) -> Measurement:
    """A measurement that has ended."""
    found = Measurement(fake, addresses or ["fake"], SMALL, LABELS, threading.Lock())
    until(lambda: not found.working)
    return found


def told(found: Measurement, kind: str) -> list[Any]:
    return [value for name, value in (json.loads(row.text) for row in found.rows.after(0)) if name == kind]


def test_what_was_measured_is_a_run_when_the_page_says_so() -> None:
    found = measured(engine())
    (end,) = told(found, "end")
    assert end["state"] == "done" and end["run"] and end["error"] is None
    assert [row["test"] for row in runs.get(end["run"]).result["rows"]] == ["tg4"]
    stopped = Measurement(engine(hold_at=0), ["fake"], SMALL, LABELS, threading.Lock())
    stopped.stop()
    until(lambda: not stopped.working)
    assert told(stopped, "end")[0]["run"] == "" and runs.count() == 1


def test_a_store_that_fails_is_said_beside_the_rows() -> None:
    database.path().mkdir()
    found = measured(engine())
    (end,) = told(found, "end")
    assert end["state"] == "done" and len(told(found, "row")) == 1 and "not saved" in end["error"]["message"]


@pytest.fixture
def page() -> Any:
    with serving(engine()) as url, httpx.Client(base_url=url, timeout=30) as client:
        yield client


@pytest.mark.parametrize(
    "wrong",
    [
        {"addresses": []},
        {"addresses": [" "]},
        {"addresses": "fake"},
        {"addresses": [3]},
        {"addresses": [f"v{n}" for n in range(100)]},
        {"plan": PLAN | {"runs": 0}},
        {"plan": PLAN | {"runs": [2, 3]}},
        {"plan": PLAN | {"runs": None}},
        {"plan": PLAN | {"prompt_tokens": "1e3"}},
        {"plan": PLAN | {"depths": [-1]}},
        {"plan": PLAN | {"concurrency": [9999]}},
        {"plan": PLAN | {"output_tokens": 999999999}},
        {"other": 1},
    ],
)
def test_nothing_that_is_sent_is_trusted(page: httpx.Client, wrong: dict[str, Any]) -> None:
    for route in ("plan", "measure"):
        answer = page.post(f"/api/speed/{route}", json={"addresses": ["fake"], "plan": PLAN} | wrong)
        assert answer.status_code == 400, answer.text
        assert set(answer.json()["error"]) == {"code", "message", "hint", "field"}


def test_the_plan_counts_what_the_progress_counts(page: httpx.Client) -> None:
    asked = {"addresses": ["fake", "fake:nf4", "fake"], "plan": PLAN | {"concurrency": [2]}}
    planned = page.post("/api/speed/plan", json=asked).json()
    assert planned == {"variants": 2, "loads": 2, "generations": 2 * (3 + 3 + 3 + 6), "steps": 2 * 15 + 2}
    small = {"addresses": ["fake"], "plan": SMALL.model_dump(mode="json")}
    found = measured(engine())
    totals = {stage["total"] for stage in told(found, "stage")}
    assert totals == {page.post("/api/speed/plan", json=small).json()["steps"]}


def test_a_measurement_is_followed_as_a_stream_and_taken_up_again(page: httpx.Client) -> None:
    asked = {"addresses": ["fake"], "plan": SMALL.model_dump(mode="json")}
    name = page.post("/api/speed/measure", json=asked).json()["id"]

    def read(after: int) -> list[tuple[int, list[Any]]]:
        lines = page.get(f"/stream/{name}", params={"after": after}).text.split("\n\n")
        rows = [line.split("\n") for line in lines if line.startswith("id:")]
        return [(int(row[0][4:]), json.loads(row[1][6:])) for row in rows]

    first = read(0)
    assert first[-1][1][0] == "end" and first[-1][1][1]["state"] == "done"
    middle = first[len(first) // 2][0]
    assert read(middle) == [row for row in first if row[0] > middle], "nothing is lost or doubled"
    assert page.get("/stream/nobody").status_code == 404


def test_it_ends_when_nobody_follows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "DROPPED_S", 0.3)
    monkeypatch.setattr(session, "WATCH_S", 0.02)
    fake = engine(hold_at=2)
    found = Measurement(fake, ["fake"], SMALL, LABELS, threading.Lock())
    until(lambda: bool(fake.active))
    until(lambda: not found.working)
    assert not fake.active and told(found, "end")[0]["state"] == "stopped"


def test_a_reader_keeps_it_and_a_closed_page_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "DROPPED_S", 0.2)
    monkeypatch.setattr(stream, "LEFT_S", 0.2)
    monkeypatch.setattr(session, "WATCH_S", 0.02)
    fake = engine(hold_at=2)
    found = Measurement(fake, ["fake"], SMALL, LABELS, threading.Lock())
    reader = found.readers.join("page")
    until(lambda: bool(fake.active))
    time.sleep(0.5)
    assert found.working, "somebody reads"
    found.readers.leave("page")
    until(lambda: not found.working)
    found.readers.part(reader)
    assert not fake.active


def decode(address: str, engine: str, speed: float, **more: Any) -> BenchRow:
    return BenchRow(address.split("@")[0], engine, "tg64", speed, 0.1, 3, address=address, clock="engine", **more)


def test_the_answer_names_the_fastest_and_compares_it_with_the_reference_on_the_same_engine() -> None:
    rows = [
        decode("fake@transformers", "transformers", 20.0),
        decode("fake@vllm", "vllm", 40.0),
        decode("fake:nf4@vllm", "vllm", 60.0, mbu=0.5),
    ]
    said, caveats = report.headline(rows, LABELS)
    assert said == "nf4 in vLLM is the fastest here: 60 tok/s, 1.50× BF16 in vLLM."
    assert caveats == "50% of what this memory allows for its size"
    said, caveats = report.headline([rows[0], rows[2]], LABELS)
    assert said.endswith("3.00× BF16 in transformers.") and caveats.startswith("different engines")
    assert report.headline(rows[:1], LABELS)[0] == "BF16 in transformers decodes 20 tok/s."
    assert report.headline([BenchRow("fake", "vllm", "pp8", 5.0)], LABELS) == ("", "")


def test_the_form_lists_engines_with_their_reasons(page: httpx.Client) -> None:
    form = page.get("/api/speed/form").json()
    variant = form["variants"][0]
    assert variant["reference"] and {"engine", "title", "runs", "why", "do", "address"} <= set(variant["options"][0])
    assert form["latest"] == "" and form["model"] == "fake"
    assert page.get("/api/speed/form", params={"model": "nope"}).status_code == 404


def test_a_new_session_is_shown_the_newest_measurement(page: httpx.Client) -> None:
    found = measured(engine())
    (end,) = told(found, "end")
    assert page.get("/api/speed/form").json()["latest"] == end["run"]


def test_a_measurement_tells_its_stages_and_its_end() -> None:
    fake = engine()
    fake.scripts["fake:nope"] = Script(load_error=UnknownVariant("fake has no variant 'nope'."))
    found = measured(fake, "fake", "fake:nope")
    (end,) = told(found, "end")
    rows = told(found, "row")
    assert end["state"] == "done"
    assert [(row["label"], bool(row["error"])) for row in rows] == [("BF16", False), ("fake:nope", True)]
    assert "not measured" in rows[0]["mbu_missing"]
    assert json.loads(end["files"]["json"])[0]["variant"] == "fake" and end["files"]["csv"].startswith("variant,")
    assert len(told(found, "stage")) == 1, "of the stages only the last is kept"


def test_two_measurements_never_run_at_once() -> None:
    fake, all_of_them = engine(hold_at=2), Measurements()
    first, second = (all_of_them.begin(fake, ["fake"], SMALL, LABELS) for _ in range(2))
    until(lambda: bool(fake.active))
    until(lambda: "another measurement" in str(told(first, "stage") + told(second, "stage")))
    assert len(fake.active) == 1
    fake.go.set()
    until(lambda: not first.working and not second.working)
    assert [told(one, "end")[0]["state"] for one in (first, second)] == ["done", "done"]


def test_stopping_ends_it_in_the_engine_and_frees_the_device() -> None:
    fake, all_of_them = engine(hold_at=2), Measurements()
    left = all_of_them.begin(fake, ["fake"], SMALL, LABELS)
    until(lambda: bool(fake.active))
    all_of_them.close_all()
    until(lambda: not left.working)
    assert not fake.active and told(left, "end")[0]["state"] == "stopped"
    fake.go.set()
    after = all_of_them.begin(fake, ["fake"], SMALL, LABELS)
    until(lambda: not after.working)
    assert told(after, "end")[0]["state"] == "done"


def test_an_unexpected_failure_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = engine()
    monkeypatch.setattr(fake, "load", lambda *_, **__: 1 / 0)
    (end,) = told(measured(fake), "end")
    assert end["state"] == "failed" and end["error"]["message"] == "The measurement ended unexpectedly."


def test_the_limit_is_the_bandwidth_over_the_bytes() -> None:
    """Every point of the line is bandwidth / bytes, and a mark keeps its own figures."""
    spec = plots.roofline("Decode", [plots.Reading("BF16", 2e8, 50.0, "ref", "tip")], [2e10]).spec
    line, marks = spec["layer"][0]["data"]["values"], spec["data"]["values"]
    assert all(point["speed"] * point["read"] == pytest.approx(2e10) for point in line)
    assert (marks[0]["read"], marks[0]["speed"]) == (2e8, 50.0)


def test_the_spec_of_a_script_is_that_of_the_page() -> None:
    assert MeasureSpec(addresses=("a", "a", "b@vllm")).distinct == ["a", "b@vllm"]
