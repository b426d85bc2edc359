"""The push from the page without a browser: who may, what is refused, and where the token is afterwards."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from playground.core import Progress
from playground.errors import InvalidRequest, NoRights
from playground.push import Plan, Pushed
from playground.push import pushes as push_page
from playground.push.pushes import Pushes
from playground.store import jobs
from playground.store.schema import StoredVariant
from tests.fakes.engine import FakeEngine
from tests.fakes.hub import Hub
from tests.fakes.queue import FakeQueue
from tests.fakes.site import serving
from tests.fakes.variants import made
from tests.quantize.test_page import Page

TOKEN = "hf_secretSecretSecretSecret"


@pytest.fixture
def variant(hub: Hub) -> StoredVariant:
    hub.writes.tokens = {TOKEN: ("me",)}
    return made()


@pytest.fixture
def page(variant: StoredVariant) -> Iterator[Page]:
    with serving(FakeEngine(), queue=FakeQueue()) as url:
        client = Page(url)
        yield client
        client.http.close()


def until(condition: Callable[[], Any], seconds: float = 60) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return found


def look(page: Page, headers: dict[str, str] | None = None) -> Any:
    return page.get("quantize/board", headers)


def test_the_token_is_nowhere_afterwards(
    page: Page, hub: Hub, variant: StoredVariant, home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    asked = {"id": variant.id, "repository": "me/tiny"}
    shown = page.post("push/preview", asked)
    assert shown["card"].startswith("---\nbase_model") and shown["files"][0] == "README.md"
    answers = [page.post("push/start", asked | {"token": TOKEN, "private": True})]
    assert answers == [{"id": variant.id}]
    answers.append(look(page))
    assert answers[-1]["active"] and not answers[-1]["pushes"][variant.id]["over"]
    pushed = until(lambda: (answers.append(look(page)), answers[-1]["pushes"][variant.id]["url"])[1])
    assert pushed == f"{hub.url}/me/tiny" and hub.repos["me/tiny"].private
    assert not answers[-1]["active"] and answers[-1]["pushes"][variant.id]["private"]
    assert TOKEN not in str(answers) + caplog.text
    files = [path for path in home.rglob("*") if path.is_file()]
    assert files and not [path for path in files if TOKEN.encode() in path.read_bytes()]
    assert not jobs.all_jobs()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("push")]


@pytest.mark.parametrize(("route", "more"), [("preview", {}), ("start", {"token": TOKEN}), ("stop", {})])
def test_only_the_owner_may_push_preview_or_stop(
    page: Page, hub: Hub, variant: StoredVariant, route: str, more: dict[str, str]
) -> None:
    body = {"id": variant.id} | ({} if route == "stop" else {"repository": "me/tiny"}) | more
    for headers in ({"Via": "1.1 proxy"}, {"X-Forwarded-For": "10.0.0.1"}):
        assert page.post(f"push/{route}", body, headers)["error"]["code"] == "owner_only"
        assert look(page, headers)["pushes"] is None
    assert not hub.requests and look(page)["pushes"] == {}


def test_what_cannot_go_is_answered_at_once(page: Page, hub: Hub, variant: StoredVariant) -> None:
    for name in ("", "tiny", "../../etc", "me/<b>"):
        answer = page.post("push/start", {"id": variant.id, "repository": name, "token": TOKEN})
        assert "is not a repository name" in answer["error"]["message"]
    assert page.post("push/start", {"id": variant.id, "repository": "me/tiny"})["error"]["field"] == "token"
    missing = page.post("push/preview", {"id": "smollm2:nothing"})["error"]["message"]
    assert missing.startswith("smollm2 has no variant")
    assert not hub.requests


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch, home: Path) -> dict[str, threading.Event]:
    """A push that goes on until it is let go or stopped."""
    events = {"go": threading.Event()}

    def push(plan: Plan, token: str, **how: Any) -> Pushed:
        how["report"](Progress("uploading", 1, 2, "bytes"))
        while not events["go"].wait(0.01):
            if how["stop"]():
                raise NoRights(f"No rights for {plan.repository}.")
        return Pushed(plan.repository, "http://hub/x", "c" * 40, how["private"], 1, 1, 1)

    monkeypatch.setattr(push_page, "push", push)
    return events


def begin(pushes: Pushes, variant: StoredVariant) -> None:
    pushes.begin(variant.id, "me/tiny", TOKEN, private=True, replace=False)


def test_two_at_once_and_one_for_each_variant(slow: dict[str, threading.Event]) -> None:
    pushes, variants = Pushes(), [made(name) for name in ("a", "b", "c")]
    begin(pushes, variants[0])
    with pytest.raises(InvalidRequest, match="is being pushed"):
        begin(pushes, variants[0])
    begin(pushes, variants[1])
    with pytest.raises(InvalidRequest, match="2 variants are being pushed"):
        begin(pushes, variants[2])
    assert until(lambda: pushes.as_rows()[variants[0].id]["stage"] == ["uploading", 1, 2]) and pushes.active
    slow["go"].set()
    assert until(lambda: not pushes.active)
    begin(pushes, variants[2])
    assert until(lambda: pushes.as_rows()[variants[2].id]["url"] == "http://hub/x")


def test_the_end_of_the_app_is_the_end_of_its_pushes(slow: dict[str, threading.Event]) -> None:
    pushes, variant = Pushes(), made()
    begin(pushes, variant)
    pushes.close()
    shown = pushes.as_rows()[variant.id]
    assert shown["over"] and shown["error"][0] == "No rights for me/tiny." and shown["code"] == "no_rights"


def test_a_surprise_is_an_error_without_its_words(
    home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def push(*_: Any, **__: Any) -> Pushed:
        raise ValueError(f"odd: {TOKEN}")

    monkeypatch.setattr(push_page, "push", push)
    pushes, variant = Pushes(), made()
    begin(pushes, variant)
    assert until(lambda: pushes.as_rows()[variant.id]["error"]) == ["The push failed (ValueError).", "Push again."]
    assert TOKEN not in caplog.text
