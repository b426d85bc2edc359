"""Child processes: how a job's threads wait (briefly, unless the user said how, and never in an engine that the job
starts), and that a child ends with its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from playground import process
from playground.engines import servers

BRIEFLY = {"GOMP_SPINCOUNT": "1000"}


@pytest.fixture(autouse=True)
def nobody_said(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(process, "_added_variables", {})
    before = {name: os.environ.pop(name, None) for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    yield
    for name, value in before.items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value


@pytest.mark.parametrize("said", [{"OMP_WAIT_POLICY": "ACTIVE"}, {"GOMP_SPINCOUNT": "7"}])
def test_what_the_user_said_stays(said: dict[str, str]) -> None:
    os.environ.update(said)
    process.wait_briefly()
    assert {name: os.environ.get(name) for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT") if name in os.environ} == said
    assert said.items() <= process.as_user_said(os.environ).items()


def test_a_job_waits_briefly_and_its_engines_as_the_pages_do() -> None:
    process.wait_briefly()
    assert os.environ["GOMP_SPINCOUNT"] == "1000"
    assert not {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & servers._environment("key").keys()


def test_asking_twice_is_asking_once() -> None:
    process.wait_briefly()
    process.wait_briefly()
    assert "GOMP_SPINCOUNT" not in process.as_user_said(os.environ)


@pytest.mark.skipif(sys.platform != "linux", reason="libgomp comes with torch on Linux")
def test_libgomp_understands_it() -> None:
    """It says what it read when it is loaded."""
    shown = subprocess.run(
        [sys.executable, "-c", "import torch"],
        env=os.environ | process.briefly({}) | {"OMP_DISPLAY_ENV": "VERBOSE"},
        capture_output=True,
        text=True,
        check=True,
    ).stderr
    assert "GOMP_SPINCOUNT = '1000'" in shown


def test_a_busy_child_ends_when_its_parent_is_gone() -> None:
    code = (
        "import time\n"
        "from playground.parent import end_with_parent\n"
        "end_with_parent()\n"
        "print('ready', flush=True)\n"
        "time.sleep(600)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], env=process.environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None and child.stdin is not None
        try:
            assert child.stdout.readline() == b"ready\n" and child.poll() is None
            child.stdin.close()
            assert child.wait(30) == -signal.SIGKILL
        finally:
            child.kill()
