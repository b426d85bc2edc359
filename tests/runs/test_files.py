"""A run's files at its link: for whoever has it, until it is revoked."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from playground.runs import routes
from playground.store import runs
from playground.store.schema import Run
from tests.fakes import catalog, exported_runs
from tests.fakes.engine import FakeEngine
from tests.fakes.site import serving

ELSEWHERE = {"X-Forwarded-For": "203.0.113.9"}  # through a proxy: a visitor


@pytest.fixture
def site(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[httpx.Client]:
    catalog.install(monkeypatch)
    with serving(FakeEngine()) as address, httpx.Client(base_url=address) as client:
        yield client


def test_each_form_for_visitors_too_until_it_is_revoked(site: httpx.Client) -> None:
    run = exported_runs.comparison()
    runs.add(run)
    for ending, media in (
        ("html", "text/html"),
        ("json", "application/json"),
        ("csv", "text/csv"),
        ("png", "image/png"),
    ):
        for headers in ({}, ELSEWHERE):
            found = site.get(f"/run/{run.id}.{ending}", headers=headers)
            assert found.status_code == 200 and found.headers["content-type"].startswith(media)
            assert found.headers["content-security-policy"].startswith("default-src 'none'; sandbox")
            assert found.headers["x-content-type-options"] == "nosniff"
            shown = "inline" if ending == "png" else "attachment"
            assert found.headers["content-disposition"].startswith(f'{shown}; filename="comparison-{run.id[:8]}.')
    runs.rename(run.id, "Another title")
    assert "Another title" in site.get(f"/run/{run.id}.html").text
    runs.revoke(run.id)
    gone = site.get(f"/run/{run.id}.html", headers=ELSEWHERE)
    never = site.get(f"/run/{'0' * 32}.html", headers=ELSEWHERE)
    assert gone.status_code == never.status_code == 404
    assert gone.text.replace(run.id, "") == never.text.replace("0" * 32, ""), "nobody can tell that there was one"
    assert site.get(f"/run/{run.id}.html").status_code == 200, "but for the owner"


def test_what_many_ask_for_at_once_is_made_once(site: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    run = exported_runs.comparison()
    runs.add(run)
    made: list[str] = []
    at_work = threading.Lock()

    def make(run: Run, title: str, note: str) -> bytes:
        assert at_work.acquire(blocking=False), "one at a time"
        made.append(run.id)
        time.sleep(0.2)
        at_work.release()
        return b"drawn"

    monkeypatch.setitem(routes.FORMS, "png", replace(routes.FORMS["png"], make=make))
    with ThreadPoolExecutor(8) as viewers:
        found = list(viewers.map(lambda _: site.get(f"/run/{run.id}.png"), range(8)))
    assert [(one.status_code, one.content) for one in found] == [(200, b"drawn")] * 8 and made == [run.id]


def test_nothing_else_is_there(site: httpx.Client) -> None:
    run = exported_runs.comparison()
    runs.add(run)
    for name in (f"{run.id}.exe", "..%2f..%2fetc%2fpasswd.json", "x.json", f"{run.id}%00.json"):
        assert site.get(f"/run/{name}").status_code in (400, 404), name
