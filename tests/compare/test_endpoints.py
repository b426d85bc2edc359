"""The endpoints panel over plain HTTP: who may change anything, and that a key comes back nowhere."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from playground.compare import endpoints as compare_endpoints
from playground.compare.endpoints import AddSpec, Endpoints, Trials, TrialThread
from playground.errors import CatalogError, InvalidRequest
from playground.models import endpoints as models_endpoints
from playground.models.endpoints import Endpoint
from playground.models.variants import models
from playground.web.owner import Owner
from tests.fakes import catalog, endpoint
from tests.fakes.api import Page, Refused, serving
from tests.fakes.openai_server import MODEL
from tests.fakes.rows import until

KEY = "sk-never-to-be-seen-again-0123456789"
LAB = {"name": "lab", "url": "http://127.0.0.1:9", "model": "a/b", "key": KEY, "key_env": ""}


class Panel:
    """The panel of one served page, driven as a browser or anybody else could drive it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.seen: list[str] = []

    def send(self, verb: str, body: Any = None, headers: dict[str, str] | None = None) -> dict[str, Any]:
        """The panel after a request. Raises Refused."""
        url = f"{self.url}/api/compare/endpoints"
        if verb == "look":
            answer = httpx.get(url, params=body, headers=headers, timeout=30)
        else:
            answer = httpx.post(f"{url}/{verb}", json=body, headers=headers, timeout=30)
        self.seen.append(f"{answer.headers}{answer.text}")
        return Page.read(answer)


@contextmanager
def panel(address: str) -> Iterator[Panel]:
    owner = Owner(address)
    endpoints = Endpoints(owner)
    with serving(endpoints.router()) as url:
        yield Panel(url)
    endpoints.close_all()


@pytest.fixture
def page(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Panel]:
    catalog.install(monkeypatch)
    with panel("127.0.0.1") as made:
        yield made


def names() -> list[str]:
    return [one.name for one in models_endpoints.endpoints()]


def test_the_owner_adds_replaces_and_removes(page: Panel) -> None:
    value = page.send("add", LAB, {"Origin": page.url, "Sec-Fetch-Site": "same-origin"})
    assert value["said"][0] == "lab is added: http://127.0.0.1:9/v1, key: set." and not value["refused"]
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
    value = page.send("add", {**LAB, "key": "", "key_env": "LAB_KEY", "url": "http://10.0.0.5"})
    assert value["said"][0] == "lab is replaced: http://10.0.0.5/v1, key: set."
    assert "unencrypted" in value["said"][1] and models_endpoints.find("lab") == Endpoint(
        "lab", "http://10.0.0.5/v1", "", "LAB_KEY", "a/b"
    ), "a key that was stored for one address does not go to another"
    value = page.send("remove", {"name": "lab"})
    assert value["said"][0] == "lab is removed." and value["rows"] == [] and names() == []


def test_the_key_comes_back_nowhere(page: Panel, home: Path, caplog: pytest.LogCaptureFixture) -> None:
    wrong: list[dict[str, Any]] = [{"url": "nonsense"}, {"name": "No!"}, {"url": "http://169.254.169.254"}]
    wrong += [{"key_env": "BOTH"}, {"key": f"{KEY} {KEY}"}, {"key": KEY * 300}, {"key": {"key": KEY}}, {"keys": KEY}]
    with caplog.at_level(logging.DEBUG):
        page.send("add", LAB)
        for change in wrong:
            with pytest.raises(Refused):
                page.send("add", {**LAB, **change})
        page.send("test", {"name": "lab"})
        page.send("look", {"key": "x"})
        for name in ([KEY[:2]], {"key": KEY}):
            with pytest.raises(Refused):
                page.send("remove", {"name": name})
    assert not [text for text in page.seen if KEY in text], "a response holds the key"
    assert KEY not in caplog.text
    written = [path for path in home.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]
    assert written == [home / "endpoints.json"] and oct(written[0].stat().st_mode)[-3:] == "600"


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Forwarded-For": "127.0.0.1"},
        {"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "https"},
    ],
)
def test_nobody_else_changes_or_contacts_anything(page: Panel, headers: dict[str, str]) -> None:
    models_endpoints.add(Endpoint("mine", "http://127.0.0.1:9", model="x"))
    refused_to_others(page, headers)


def refused_to_others(page: Panel, headers: dict[str, str]) -> None:
    for verb, body in (
        ("add", LAB),
        ("remove", {"name": "mine"}),
        ("test", {"name": "mine"}),
        ("halt", {"name": "mine"}),
    ):
        with pytest.raises(Refused) as refused:
            page.send(verb, body, headers)
        assert (refused.value.status, refused.value.error["code"]) == (403, "owner_only")
    value = page.send("look", headers=headers)
    assert value["refused"][0] and value["rows"] == [], "where the owner's servers are is the owner's business"
    assert names() == ["mine"]


def test_a_page_that_others_reach_has_no_owner(home: Path) -> None:
    models_endpoints.add(Endpoint("mine", "http://127.0.0.1:9", model="x"))
    with panel("0.0.0.0") as page:  # noqa: S104
        refused_to_others(page, {})


def test_a_damaged_file_shows_its_place_to_the_owner_alone(page: Panel, home: Path) -> None:
    (home / "endpoints.json").write_text("{")
    assert str(home) in page.send("look")["trouble"][1]
    value = page.send("look", headers={"X-Forwarded-For": "10.0.0.1"})
    assert value["refused"] and value["trouble"] is None and str(home) not in json.dumps(value)
    with pytest.raises(Refused, match="cannot be read"):
        page.send("add", LAB)


def test_what_cannot_be_written_is_a_sentence(page: Panel, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(models_endpoints, "write_whole", full)
    with pytest.raises(Refused, match="cannot be written"):
        page.send("add", LAB)
    assert names() == []


@pytest.mark.parametrize("wrong", [{"key": 3}, {"name": ["x"]}, {"url": "x" * 100_000}, {"name": None}])
def test_nothing_that_the_browser_sends_is_trusted(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match="is no text or too long"):
        AddSpec.model_validate({**LAB, **wrong})


def test_the_sentences_are_the_catalogs(page: Panel) -> None:
    for wrong in ({"name": "No!"}, {"url": "ftp://x"}, {"model": "a b"}, {"key_env": "1X", "key": ""}, {"key": "a\nb"}):
        entered = {**LAB, **wrong}
        with pytest.raises(CatalogError) as caught:
            models_endpoints.checked(AddSpec.model_validate(entered).endpoint)
        with pytest.raises(Refused) as refused:
            page.send("add", entered)
        assert refused.value.error["message"] == caught.value.message
        assert refused.value.error["hint"] == caught.value.hint
    assert names() == []


def test_a_test_is_begun_watched_and_stopped(page: Panel) -> None:
    with endpoint.serving("hang") as url:
        models_endpoints.add(Endpoint("lab", url, model=MODEL))
        (row,) = page.send("test", {"name": "lab"})["rows"]
        assert row["stage"][0].startswith("Asking") and row["error"] is None
        (row,) = page.send("halt", {"name": "lab"})["rows"]
        assert row["stage"] is None and row["error"] == ["Stopped.", "Test it again whenever you like."]
        with pytest.raises(Refused) as refused:
            page.send("test", {"name": "nobody"})
        assert refused.value.status == 404


def finished(trial: TrialThread) -> compare_endpoints.TrialState:
    until(lambda: not trial.state().running)
    return trial.state()


def test_a_test_tells_what_it_finds(home: Path) -> None:
    with endpoint.serving("fine", KEY) as url:
        models_endpoints.add(Endpoint("lab", url, KEY))
        trials = Trials()
        trials.begin("lab")
        state = finished(trials.by_name()["lab"])
    assert state.error is None
    assert state.trial and state.trial.models == (MODEL,) and state.trial.loaded_text
    row = compare_endpoints.panel(trials.by_name(), None, None)["rows"][0]
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


def test_one_test_runs_and_that_of_what_changed_is_forgotten(home: Path) -> None:
    with endpoint.serving("hang") as url:
        models_endpoints.add(Endpoint("lab", url, model=MODEL))
        trials = Trials()
        trials.begin("lab")
        first = trials.by_name()["lab"]
        trials.begin("lab")
        assert trials.by_name()["lab"] is first, "it is running already"
        trials.drop("lab")
        assert trials.by_name() == {} and not first.running
