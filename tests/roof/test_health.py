"""/health answers while everything else is busy."""

from __future__ import annotations

import threading
from typing import Any

import httpx
import pytest
from gradio_client import Client

from tests.engines.calls import eventually
from tests.fakes import catalog
from tests.fakes.engine import FakeEngine, Script
from tests.fakes.site import serving


def test_it_answers_beside_more_generations_than_there_are_places(monkeypatch: pytest.MonkeyPatch) -> None:
    catalog.install(monkeypatch)
    engine = FakeEngine(scripts={"fake": Script(hold_at=2)})
    with serving(engine) as url:
        client = Client(url, verbose=False)
        jobs: list[Any] = [client.submit(["fake"], "Hi", api_name="/generate") for _ in range(6)]
        eventually(lambda: len(engine.active) == 6, 60, "all of them are at it")
        answers: list[httpx.Response] = []
        asking = [threading.Thread(target=lambda: answers.append(httpx.get(f"{url}health"))) for _ in range(20)]
        for thread in asking:
            thread.start()
        for thread in asking:
            thread.join(60)
        assert len(engine.active) == 6, "they were all still at it"
        engine.go.set()
        assert [len(job.result(60)["panes"]) for job in jobs] == [1] * 6
    assert [(answer.status_code, answer.json()) for answer in answers] == [(200, {"status": "ok"})] * 20
    assert {answer.headers["cache-control"] for answer in answers} == {"no-store"}
