"""The endpoints panel over plain HTTP: who may change anything, and that a key comes back nowhere."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from playground.compare import endpoints as compare_endpoints
from playground.compare.endpoints import Trials, TrialThread
from playground.errors import CatalogError, InvalidRequest, OwnerOnly
from playground.models import endpoints as models_endpoints
from playground.models.endpoints import Endpoint
from playground.models.variants import models
from tests.fakes import catalog, endpoint
from tests.fakes.engine import FakeEngine
from tests.fakes.openai_server import MODEL
from tests.fakes.site import serving

KEY = "sk-never-to-be-seen-again-0123456789"
LAB = {"name": "lab", "url": "http://127.0.0.1:9", "model": "a/b", "key": KEY, "key_env": ""}


class Page:
    """The panel of one served page, driven as a browser or anybody else could drive it."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self.config = httpx.get(f"{self.url}/config").json()
        (self.panel,) = [
            one["id"] for one in self.config["components"] if one["props"].get("elem_id") == "pg-endpoints"
        ]
        self.seen: list[str] = [httpx.get(self.url + "/").text, json.dumps(self.config)]

    def send(self, event: str, data: Any, headers: dict[str, str] | None = None) -> dict[str, Any]:
        """The panel's value after one of its events."""
        (index,) = [
            one["id"] for one in self.config["dependencies"] if [self.panel, event] in map(list, one["targets"])
        ]
        body = {"data": [], "event_data": data, "fn_index": index, "session_hash": "one", "trigger_id": self.panel}
        answer = httpx.post(f"{self.url}/gradio_api/run/predict", json=body, headers=headers, timeout=30)
        self.seen.append(f"{answer.headers}{answer.text}")
        assert answer.status_code == 200, answer.text
        value: dict[str, Any] = json.loads(answer.json()["data"][0])
        return value


@pytest.fixture
def page(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Page]:
    catalog.install(monkeypatch)
    with serving(FakeEngine()) as url:
        yield Page(url)


def names() -> list[str]:
    return [one.name for one in models_endpoints.endpoints()]


def test_the_owner_adds_replaces_and_removes(page: Page) -> None:
    value = page.send("enter", LAB, {"Origin": page.url, "Sec-Fetch-Site": "same-origin"})
    assert value["said"][1:3] == [True, "lab is added: http://127.0.0.1:9/v1, key: set."] and not value["refused"]
    assert value["rows"] == [
        {
            "name": "lab",
            "url": "http://127.0.0.1:9/v1",
            "host": "127.0.0.1:9",
            "model": "a/b",
            "key": True,
            "caution": "",
        }
    ]
    assert models_endpoints.find("lab").key == KEY and "@lab/a/b" in models()
    value = page.send("enter", {**LAB, "key": "", "key_env": "LAB_KEY", "url": "http://10.0.0.5"})
    assert value["said"][2] == "lab is replaced: http://10.0.0.5/v1, key: set."
    assert "unencrypted" in value["said"][3] and models_endpoints.find("lab") == Endpoint(
        "lab", "http://10.0.0.5/v1", "", "LAB_KEY", "a/b"
    ), "a key that was stored for one address does not go to another"
    value = page.send("forget", {"name": "lab"})
    assert value["said"][2] == "lab is removed." and value["rows"] == [] and names() == []


def test_the_key_comes_back_nowhere(page: Page, home: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        page.send("enter", LAB)
        for wrong in ({"url": "nonsense"}, {"name": "No!"}, {"url": "http://169.254.169.254"}, {"key_env": "BOTH"}):
            assert page.send("enter", {**LAB, **wrong})["said"][1] is False
        assert page.send("enter", {**LAB, "key": f"{KEY} {KEY}"})["said"][1] is False
        page.send("ask", {"name": "lab"})
        page.send("look", {})
        page.send("look", {"key": KEY, "name": {"key": KEY}})
        page.send("forget", {"name": [KEY[:2]]})
    page.seen.append(httpx.get(f"{page.url}/config").text + httpx.get(page.url + "/").text)
    page.seen.append(httpx.get(f"{page.url}/gradio_api/info").text)
    assert not [text for text in page.seen if KEY in text], "a response holds the key"
    assert KEY not in caplog.text
    written = [path for path in home.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]
    assert written == [home / "endpoints.json"] and oct(written[0].stat().st_mode)[-3:] == "600"


@pytest.mark.parametrize(
    ("headers", "why"),
    [
        ({"X-Forwarded-For": "127.0.0.1"}, "proxy"),
        ({"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "https"}, "proxy"),
    ],
)
def test_nobody_else_changes_or_contacts_anything(page: Page, headers: dict[str, str], why: str) -> None:
    models_endpoints.add(Endpoint("mine", "http://127.0.0.1:9", model="x"))
    for event, data in (("enter", LAB), ("forget", {"name": "mine"}), ("ask", {"name": "mine"})):
        value = page.send(event, data, headers)
        assert value["said"][1] is False and why in value["said"][2]
        assert why in value["refused"][0] and "command line" in value["refused"][1]
        assert value["rows"] == [], "where the owner's servers are is the owner's business"
    assert names() == ["mine"]


def test_a_page_that_others_reach_has_no_owner(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    catalog.install(monkeypatch)
    models_endpoints.add(Endpoint("mine", "http://127.0.0.1:9", model="x"))
    with serving(FakeEngine(), host="0.0.0.0") as url:  # noqa: S104
        page = Page(url.replace("0.0.0.0", "127.0.0.1"))  # noqa: S104
        for event, data in (("enter", LAB), ("forget", {"name": "mine"}), ("ask", {"name": "mine"})):
            assert "served on 0.0.0.0" in page.send(event, data)["said"][2]
        assert names() == ["mine"] and "served on 0.0.0.0" in page.send("look", {})["refused"][0]


def test_a_damaged_file_shows_its_place_to_the_owner_alone(page: Page, home: Path) -> None:
    (home / "endpoints.json").write_text("{")
    assert str(home) in page.send("look", {})["trouble"][1]
    value = page.send("look", {}, {"X-Forwarded-For": "10.0.0.1"})
    assert value["refused"] and value["trouble"] is None and str(home) not in json.dumps(value)
    assert "cannot be read" in page.send("enter", LAB)["said"][2]


def test_what_cannot_be_written_is_a_sentence(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(models_endpoints, "write_whole", full)
    assert "cannot be written" in page.send("enter", LAB)["said"][2] and names() == []


@pytest.mark.parametrize("wrong", [{"key": 3}, {"name": ["x"]}, {"url": "x" * 100_000}])
def test_nothing_that_the_browser_sends_is_trusted(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        compare_endpoints.entered({**LAB, **wrong})


def test_the_sentences_are_the_catalogs(page: Page) -> None:
    for wrong in ({"name": "No!"}, {"url": "ftp://x"}, {"model": "a b"}, {"key_env": "1X", "key": ""}, {"key": "a\nb"}):
        entered = {**LAB, **wrong}
        with pytest.raises(CatalogError) as caught:
            models_endpoints.checked(compare_endpoints.entered(entered))
        value = page.send("enter", entered)
        assert value["said"][1:] == [False, caught.value.message, caught.value.hint]
    assert names() == []


def test_the_value_holds_no_tag(home: Path) -> None:
    models_endpoints.add(Endpoint("lab", "http://127.0.0.1:9", model="<b>"))
    error = OwnerOnly("<i>")
    value = compare_endpoints.panel({}, compare_endpoints.failure(error, 1), None)
    assert "<" not in compare_endpoints.panel({}, None, error)
    assert "<" not in value and json.loads(value)["rows"][0]["model"] == "<b>"


def finished(trial: TrialThread, seconds: float = 10.0) -> compare_endpoints.TrialState:
    end = time.monotonic() + seconds
    while trial.running:
        trial.wait(0.05)
        assert time.monotonic() < end, "it did not end"
    return trial.state()


def test_a_test_tells_what_it_finds(home: Path) -> None:
    with endpoint.serving("fine", KEY) as url:
        models_endpoints.add(Endpoint("lab", url, KEY))
        trials = Trials()
        trials.begin("lab")
        steps = sum(1 for _ in trials.changes())
        state = trials.by_name()["lab"].state()
    assert steps >= 2 and not state.running and state.error is None
    assert state.trial and state.trial.models == (MODEL,) and state.trial.loaded_text
    row = json.loads(compare_endpoints.panel(trials.by_name(), None, None))["rows"][0]
    assert row["said"] == "1 model" and row["models"] == [f"@lab/{MODEL}"] and row["stage"] is None


def test_a_test_ends_at_its_limit_and_when_it_is_stopped(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with endpoint.serving("hang") as url:
        models_endpoints.add(Endpoint("lab", url, model=MODEL))
        stopped = TrialThread("lab")
        stopped.stop()
        assert str(finished(stopped).error) == "Stopped. Test it again whenever you like."
        monkeypatch.setattr(compare_endpoints, "LIMIT_S", 0.2)
        error = finished(TrialThread("lab")).error
        assert error and error.message == "Endpoint lab has not answered within 0.2 s."


def test_every_running_test_is_watched_and_what_changed_is_forgotten(home: Path) -> None:
    with endpoint.serving("hang") as url:
        models_endpoints.add(Endpoint("lab", url, model=MODEL))
        trials = Trials()
        trials.begin("lab")
        watching = trials.changes()
        next(watching)
        assert list(trials.changes()) == [], "one stream tells the page"
        first = trials.by_name()["lab"]
        trials.begin("lab")
        assert trials.by_name()["lab"] is first, "it is running already"
        watching.close()
        again = trials.changes()
        next(again)
        trials.drop("lab")
        assert trials.by_name() == {} and not first.running
        assert len(list(again)) <= 1
