"""The Speed page without a browser: what the form may send, what the answer says, and one measurement at a time."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from playground import machine
from playground.errors import EngineUnavailable, InvalidRequest, UnknownVariant
from playground.speed import page, report
from playground.speed.report import Labels
from playground.speed.session import Measurement, SpeedTabs
from playground.speed.spec import BenchRow, Plan
from playground.store import database, runs
from tests.fakes import catalog
from tests.fakes.catalog import fake_variant
from tests.fakes.engine import FakeEngine, Script
from tests.fakes.site import serving
from tests.fakes.visitor import Visitor

MANY = tuple(f"w{n}" for n in range(32))
FORM = {"prompt_tokens": "8", "output_tokens": "4", "depths": "0, 16", "runs": "2", "concurrency": ""}
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


def test_what_was_measured_is_a_run_when_the_page_says_so() -> None:
    """The page's value names it, and its rows are the run's; one that nothing was measured of is none."""
    measured = Measurement(engine(), ["fake"], SMALL, LABELS, threading.Lock())
    last = json.loads(list(measured.changes())[-1])
    assert last["state"] == "done" and last["run"] == measured.run_id != "" and last["error"] is None
    assert [row["test"] for row in runs.get(measured.run_id).result["rows"]] == ["tg4"]
    stopped = Measurement(engine(hold_at=0), ["fake"], SMALL, LABELS, threading.Lock())
    stopped.stop()
    assert json.loads(list(stopped.changes())[-1])["run"] == "" and runs.count() == 1


def test_a_store_that_fails_is_said_beside_the_rows() -> None:
    database.path().mkdir()
    last = json.loads(list(Measurement(engine(), ["fake"], SMALL, LABELS, threading.Lock()).changes())[-1])
    assert last["state"] == "done" and len(last["rows"]) == 1 and "not saved" in last["error"][0]


def test_the_form_becomes_addresses_and_a_plan() -> None:
    addresses, plan = page.plan_of({**FORM, "addresses": ["a", "b@vllm", "a", 3, " "], "concurrency": "1 2,4"})
    assert addresses == ["a", "b@vllm"]
    assert plan == Plan(prompt_tokens=8, output_tokens=4, depths=(0, 16), runs=2, concurrency=(1, 2, 4))


@pytest.mark.parametrize(
    "wrong",
    [
        {"addresses": []},
        {"addresses": "fake"},
        {"addresses": [f"v{n}" for n in range(100)]},
        {"runs": "0"},
        {"runs": "2, 3"},
        {"runs": {}},
        {"prompt_tokens": "1e3"},
        {"prompt_tokens": ""},
        {"depths": "-1"},
        {"concurrency": "9999"},
        {"output_tokens": "999999999"},
    ],
)
def test_nothing_that_the_browser_sends_is_trusted(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        page.plan_of({**FORM, "addresses": ["fake"], **wrong})


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


def test_form_lists_engines_with_their_reasons_and_holds_no_tag() -> None:
    value = page.form("<b>", [fake_variant("fake")], "<i>")
    assert "<" not in value
    (variant,) = json.loads(value)["variants"]
    assert variant["reference"] and {"engine", "title", "runs", "why", "do", "address"} <= set(variant["options"][0])


def test_a_measurement_tells_its_stages_and_its_end() -> None:
    fake = engine()
    fake.scripts["fake:nope"] = Script(load_error=UnknownVariant("fake has no variant 'nope'."))
    found = Measurement(fake, ["fake", "fake:nope"], SMALL, LABELS, threading.Lock())
    values = [json.loads(value) for value in found.changes()]
    last = values[-1]
    assert last["state"] == "done" and all(value["state"] == "running" and value["stage"] for value in values[:-1])
    assert [(row["label"], bool(row["error"])) for row in last["rows"]] == [("BF16", False), ("fake:nope", True)]
    assert "not measured" in last["rows"][0]["mbu_missing"]
    assert json.loads(last["files"]["json"])[0]["variant"] == "fake" and last["files"]["csv"].startswith("variant,")


def test_two_measurements_never_run_at_once() -> None:
    fake, tabs = engine(hold_at=2), SpeedTabs()
    first, second = (tabs.begin(key, fake, ["fake"], SMALL) for key in ("a", "b"))
    assert first and second and tabs.begin("a", fake, ["fake"], SMALL) is None
    until(lambda: bool(fake.active) and "another measurement" in first.value() + second.value())
    assert len(fake.active) == 1
    fake.go.set()
    until(lambda: not first.running and not second.running)
    assert [json.loads(one.value())["state"] for one in (first, second)] == ["done", "done"]


def test_leaving_ends_it_in_the_engine_and_frees_the_device() -> None:
    fake, tabs = engine(hold_at=2), SpeedTabs()
    left = tabs.begin("a", fake, ["fake"], SMALL)
    assert left and left.claim() and not left.claim(), "one stream tells the page"
    until(lambda: bool(fake.active))
    tabs.close("a")
    until(lambda: not left.running)
    assert not fake.active and json.loads(left.value())["state"] == "stopped"
    fake.go.set()
    after = tabs.begin("b", fake, ["fake"], SMALL)
    assert after
    until(lambda: not after.running)
    tabs.close_all()


def test_an_unexpected_failure_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = engine()
    monkeypatch.setattr(fake, "load", lambda *_, **__: 1 / 0)
    found = Measurement(fake, ["fake"], SMALL, LABELS, threading.Lock())
    until(lambda: not found.running)
    value = json.loads(found.value())
    assert value["state"] == "failed" and value["error"] == [
        "The measurement ended unexpectedly.",
        "Details are in the log.",
    ]


def test_the_tab_opens_with_its_form() -> None:
    with serving(FakeEngine()) as url:
        visitor = Visitor(url)
        form = visitor.component("pg-speed-form")["id"]
        fills = [one for one in visitor.config["dependencies"] if one["outputs"] == [form]]
        (opens,) = [one["id"] for one in fills if one["targets"][0][1] == "load"]
        (answer,) = visitor.predict(opens, []).json()["data"]
    assert json.loads(answer)["variants"]
