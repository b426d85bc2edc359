"""Serving: in a process of its own as `python app.py` does, within its budget of time and memory."""

from __future__ import annotations

import logging
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from tests.fakes import catalog
from tests.fakes.engine import FakeEngine
from tests.fakes.site import serving

ROOT = Path(__file__).parents[2]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.fixture
def served(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    port = free_port()
    monkeypatch.setenv("PLAYGROUND_PORT", str(port))
    monkeypatch.setenv("PLAYGROUND_PREWARM", "0")
    process = subprocess.Popen([sys.executable, "app.py"], cwd=ROOT, stdout=subprocess.PIPE)
    yield process, f"http://127.0.0.1:{port}"
    process.kill()
    process.communicate()


def answered(url: str, seconds: float) -> float:
    begin = time.monotonic()
    while time.monotonic() - begin < seconds:
        try:
            if httpx.get(url, timeout=1).status_code == 200:
                return time.monotonic() - begin
        except httpx.TransportError:
            time.sleep(0.05)
    raise AssertionError(f"no HTTP 200 within {seconds} s")


def test_the_process_answers_stays_small_loads_no_torch_and_ends_on_sigterm(
    served: tuple[subprocess.Popen[bytes], str],
) -> None:
    process, url = served
    answered(url, 30)
    here = psutil.Process(process.pid)
    assert here.memory_info().rss < 250_000_000
    assert not [entry.path for entry in here.memory_maps() if "/torch/" in entry.path]
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=10)
    assert process.returncode == 0
    assert said.decode().splitlines()[0].startswith("* Running on http://") and url.rpartition(":")[2] in said.decode()
    assert b"public link" not in said


def test_an_open_address_is_said_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    catalog.install(monkeypatch)
    with caplog.at_level(logging.WARNING, logger="playground"):
        with serving(FakeEngine(), host="0.0.0.0"):  # noqa: S104
            (record,) = caplog.records
            assert "0.0.0.0" in record.message and "PLAYGROUND_OWNER_TOKEN" in record.message  # noqa: S104
        caplog.clear()
        with serving(FakeEngine()):
            assert not caplog.records


def test_no_file_of_this_machine_can_be_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    catalog.install(monkeypatch)
    with serving(FakeEngine()) as url:
        for path in ("/etc/passwd", str(ROOT / "pyproject.toml"), "../pyproject.toml"):
            assert httpx.get(f"{url}gradio_api/file={path}").status_code in (403, 404)
        for size in (10, 10_000):
            assert httpx.post(f"{url}gradio_api/upload", files={"files": ("a.txt", b"x" * size)}).status_code == 404
