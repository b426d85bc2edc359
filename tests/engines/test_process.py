"""What happens when the host dies, hangs, or loses its parent."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from playground import process
from playground.core import Finish, Generation, Progress, Sampling, Token
from playground.engines import http
from playground.engines.servers import ServerProcess, ServerSpec
from playground.engines.transformers import TransformersEngine
from playground.errors import Cancelled, EngineDied
from tests.engines.calls import LONG, eventually, load, never, quiet, run


@pytest.fixture
def engine(home: Path) -> Iterator[TransformersEngine]:
    engine = TransformersEngine()
    yield engine
    engine.close()


def test_killed_in_mid_stream_is_an_error_soon_and_the_next_run_works(engine: TransformersEngine, tiny: Path) -> None:
    variant = load(engine, str(tiny))
    process = engine.process
    assert process is not None
    ids = engine.prompt(variant, "The river").ids
    items = engine.generate(Generation(variant, ids, LONG))
    assert all(isinstance(next(items), Token) for _ in range(3)), "it streams"
    os.kill(process.pid, signal.SIGKILL)
    killed = time.monotonic()
    with pytest.raises(EngineDied, match="SIGKILL") as caught:
        list(items)
    assert time.monotonic() - killed < 2
    assert caught.value.hint
    assert not psutil.pid_exists(process.pid) or psutil.Process(process.pid).status() == psutil.STATUS_ZOMBIE
    assert load(engine, str(tiny)) == variant
    again, finish = run(engine, Generation(variant, ids, Sampling(max_tokens=4, ignore_eos=True)))
    assert len(again) == 4 and isinstance(finish, Finish)


def test_an_engine_that_cannot_start_says_why(home: Path) -> None:
    process = ServerProcess(ServerSpec("broken", "playground.no_such_module"))
    with pytest.raises(EngineDied, match="could not start") as caught:
        process.wait_ready(http.new_client())
    assert "no_such_module" in caught.value.log_tail


def test_close_leaves_no_process_behind(home: Path, tiny: Path) -> None:
    engine = TransformersEngine()
    load(engine, str(tiny))
    assert engine.process is not None
    family = [psutil.Process(engine.process.pid), *psutil.Process(engine.process.pid).children(recursive=True)]
    engine.close()
    gone, alive = psutil.wait_procs(family, timeout=3)
    assert not alive and len(gone) == len(family)


def test_the_host_ends_when_its_parent_is_killed(home: Path) -> None:
    """kill -9 of the app: nobody can clean up, the closed pipe has to."""
    script = (
        "import sys, time\n"
        "from playground.engines.transformers import TransformersEngine\n"
        "engine = TransformersEngine(); engine.start()\n"
        "print(engine.process.pid, flush=True); time.sleep(600)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert psutil.pid_exists(child)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    eventually(
        lambda: not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE,
        5,
        "the host is gone",
    )


ORPHAN = """
import subprocess, sys, time
from playground.process import note_process_group
engine = subprocess.Popen(["sleep", "600"], start_new_session=True)
print(engine.pid, note_process_group(engine.pid, "sleep"), flush=True)
time.sleep(600)
"""


@pytest.fixture
def noted(home: Path) -> Iterator[tuple[subprocess.Popen[str], psutil.Process, Path]]:
    """Another app of this home, the process group that it started, and the note of it."""
    app = subprocess.Popen([sys.executable, "-c", ORPHAN], stdout=subprocess.PIPE, text=True)
    assert app.stdout is not None
    pid, note = app.stdout.readline().split()
    engine = psutil.Process(int(pid))
    yield app, engine, Path(note)
    for child in (engine, app):
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()
    app.communicate()


def lives(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def test_engines_of_a_running_app_are_left_alone_whatever_the_clock_says(
    noted: tuple[subprocess.Popen[str], psutil.Process, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    app, engine, _ = noted
    boot = psutil.boot_time()
    for step in (1, 5, -5, 3600):
        monkeypatch.setattr("psutil._pslinux.boot_time", lambda step=step: boot + step)
        assert process.sweep_orphans() == [] and lives(engine)
    app.kill()
    app.wait()
    assert process.sweep_orphans() == ["sleep"] and not lives(engine)


@pytest.mark.parametrize("change", ["start", "boot"])
def test_a_process_that_only_has_the_number_of_an_engine_is_left_alone(
    noted: tuple[subprocess.Popen[str], psutil.Process, Path], change: str
) -> None:
    app, engine, note = noted
    app.kill()
    app.wait()
    body = json.loads(note.read_text())
    now = body["identity"]
    note.write_text(json.dumps(body | {"identity": f"{now}0" if change == "start" else f"x{now}"}))
    assert process.sweep_orphans() == [] and lives(engine) and not note.exists()


def test_the_host_gets_no_hub_token_and_no_network(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    engine = TransformersEngine()
    try:
        engine.start()
        assert engine.process is not None
        environment = psutil.Process(engine.process.pid).environ()
        assert "hf_secret" not in str(environment)
        assert environment["HF_HUB_OFFLINE"] == "1"
    finally:
        engine.close()


def test_stopping_a_load_leaves_the_engine_usable(engine: TransformersEngine, tiny: Path) -> None:
    stages: list[str] = []
    with pytest.raises(Cancelled):
        engine.load(str(tiny), lambda progress: stages.append(progress.stage), lambda: bool(stages))
    assert load(engine, str(tiny)) == str(tiny)
    assert engine.load(str(tiny), quiet, never).id == str(tiny)


DEAD = """
import sys
from playground.engines.host import __main__ as host, scheduler
scheduler.DecodeThread._serve = lambda self: 1 / 0
sys.argv = ["host", "--port", "0", "--stay"]
host.main()
"""


def test_a_host_whose_decode_thread_fails_ends_and_says_why(home: Path) -> None:
    done = subprocess.run([sys.executable, "-c", DEAD], capture_output=True, text=True, timeout=120)
    assert done.returncode == 1 and "ZeroDivisionError" in done.stderr


def test_no_process_that_loads_a_model_imports_sklearn(home: Path) -> None:
    code = (
        "import sys\n"
        "from playground.engines.host.imports import without_sklearn\n"
        "without_sklearn()\n"
        "from playground.engines.host import loading\n"
        "print('sklearn' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == "False"


def test_a_bar_of_transformers_tells_its_progress_and_a_stop_ends_it() -> None:
    from playground.engines.host.loading import _ReportingBar

    told: list[Progress] = []
    with _ReportingBar(told.append, total=3, desc="Loading weights: ") as bar:
        for _ in range(3):
            time.sleep(0.11)
            bar.update()
    assert told[-1] == Progress("Loading weights", 3, 3, "tensors")

    def stop(progress: Progress) -> None:
        if progress.done:
            raise Cancelled("Stopped.")

    slow = (time.sleep(0.11) for _ in range(9))
    with pytest.raises(Cancelled):
        list(_ReportingBar(stop, slow))
