"""Facts of the machine, the limits of a container, and the measured bandwidth with its cache."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from playground import machine
from playground import process as process_module
from playground.errors import EngineUnavailable
from playground.machine import Probe

GIB = 2**30
PROBE = Probe("cpu", "a CPU", 16 * GIB, 8 * GIB, "2.13.0", 4, 25e9)


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_cgroup_v2_limit_of_a_parent_counts_and_page_cache_does_not(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        {
            "pod/memory.max": f"{4 * GIB}\n",
            "pod/memory.current": f"{3 * GIB}\n",
            "pod/memory.stat": f"anon 1\ninactive_file {GIB}\n",
            "pod/app/memory.max": "max\n",
            "pod/app/memory.current": "1\n",
        },
    )
    limits = machine.memory_limits({"": "/pod/app"}, root)
    assert limits == [(4 * GIB, 2 * GIB)]
    assert machine.tightest(16 * GIB, 12 * GIB, limits) == machine.Memory(4 * GIB, 2 * GIB, "cgroup")


def test_cgroup_v1_limit(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        {
            "memory/docker/x/memory.limit_in_bytes": str(2 * GIB),
            "memory/docker/x/memory.usage_in_bytes": str(GIB),
            "memory/memory.limit_in_bytes": "9223372036854771712",
            "memory/memory.usage_in_bytes": str(GIB),
        },
    )
    limits = machine.memory_limits({"memory": "/docker/x"}, root)
    assert machine.tightest(16 * GIB, 12 * GIB, limits) == machine.Memory(2 * GIB, GIB, "cgroup")


def test_no_limit_is_the_machine(tmp_path: Path) -> None:
    assert machine.memory_limits({}, tmp_path) == []
    assert machine.tightest(16, 12, [(2**63, 1)]) == machine.Memory(16, 12)


@given(
    total=st.integers(1, 2**50),
    available=st.integers(0, 2**50),
    limits=st.lists(st.tuples(st.integers(0, 2**63), st.integers(0, 2**63)), max_size=4),
)
def test_a_limit_never_adds_memory(total: int, available: int, limits: list[tuple[int, int]]) -> None:
    found = machine.tightest(total, min(total, available), limits)
    assert 0 <= found.available <= min(total, available)
    assert found.total <= total


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"cpu.max": "150000 100000"}, 1.5),
        ({"cpu.max": "max 100000"}, None),
        ({"cpu/cpu.cfs_quota_us": "50000", "cpu/cpu.cfs_period_us": "100000"}, 0.5),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
        ({}, None),
    ],
)
def test_cpu_quota(tmp_path: Path, files: dict[str, str], expected: float | None) -> None:
    assert machine.cpu_quota({}, write(tmp_path, files)) == expected


def test_a_quota_is_rounded_up_to_whole_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "cpu_quota", lambda _: 0.5)
    assert machine.cores() == 1
    monkeypatch.setattr(machine, "cpu_quota", lambda _: 10_000.0)
    assert 1 <= machine.cores() <= (os.cpu_count() or 1)


def test_this_machine() -> None:
    found = machine.memory()
    assert 0 < found.available <= found.total <= psutil.virtual_memory().total
    assert machine.cpu_name()
    versions = machine.versions(("torch", "no-such-package"))
    assert versions["torch"]
    assert versions["no-such-package"] is None


def test_the_key_names_hardware_and_torch_but_not_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    before = machine.key()
    monkeypatch.setattr("socket.gethostname", lambda: "elsewhere")
    monkeypatch.setattr("platform.node", lambda: "elsewhere")
    assert machine.key() == before
    monkeypatch.setattr(machine, "versions", lambda _: {"torch": "9.9"})
    assert machine.key() != before


def test_the_probe_is_asked_once(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(machine, "_ask_torch", lambda: asked.append(1) or PROBE)
    assert machine.bandwidth() is None
    assert machine.probe() == machine.probe() == PROBE
    assert len(asked) == 1
    assert machine.bandwidth() == PROBE.bandwidth


def test_a_busy_machine_does_not_lower_the_ceiling(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for measured, kept in ((20e9, 20e9), (12e9, 20e9), (28e9, 28e9), (None, 28e9)):
        monkeypatch.setattr(machine, "_ask_torch", lambda b=measured: replace(PROBE, bandwidth=b))
        assert machine.probe(again=True).bandwidth == kept


@pytest.mark.parametrize(
    "stored", ["", "[]", "{}", '{"key": "another machine", "probe": {}}', '{"key": KEY, "probe": 1}']
)
def test_a_foreign_or_broken_cache_is_not_believed(home: Path, stored: str) -> None:
    (home / "cache").mkdir()
    (home / "cache/machine.json").write_text(stored.replace("KEY", json.dumps(machine.key())))
    assert machine.known() is None


def test_a_home_that_cannot_be_written_still_answers(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "cache").write_text("a file where the folder should be")
    monkeypatch.setattr(machine, "_ask_torch", lambda: PROBE)
    assert machine.probe() == PROBE


@pytest.mark.parametrize("code", ["import no_such_module", "print('not json')", "raise SystemExit(3)", ""])
def test_a_torch_that_fails_is_one_sentence(
    home: Path, tmp_path: Path, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_probe.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(machine, "PROBE_MODULE", "broken_probe")
    with pytest.raises(EngineUnavailable, match="torch cannot be used here"):
        machine.probe()
    assert machine.known() is None


def numpy_read(size: int = 256 * 2**20, repeats: int = 5) -> float:
    """The same quantity by another road: one numpy reduction per core, in threads (numpy drops the lock)."""
    parts = np.array_split(np.ones(size // 8, dtype=np.int64), machine.cores())
    best = float("inf")
    for _ in range(repeats):
        threads = [threading.Thread(target=part.sum) for part in parts]
        began = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        best = min(best, time.perf_counter() - began)
    return size / best


def test_bandwidth_agrees_with_an_independent_read_loop(home: Path) -> None:
    found = machine.probe()
    if found.device != "cpu":
        pytest.skip("the read loop is for CPUs")
    assert found.bandwidth is not None
    expected = numpy_read()
    assert expected / 3 < found.bandwidth < expected * 3
    assert found.torch == machine.versions(("torch",))["torch"]
    assert found.memory_total == machine.memory().total


def test_what_children_hold_is_counted() -> None:
    before = machine.held_by_children()
    hold = "held = b'x' * (100 << 20); print(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout and child.stdout.readline()
        assert machine.held_by_children() - before > 90 << 20
        child.communicate(b"\n")


def test_a_process_is_known_by_when_it_began(monkeypatch: pytest.MonkeyPatch) -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        first = process_module.process_identity(process.pid)
        assert first and first != process_module.process_identity(os.getpid())
        monkeypatch.setattr("psutil._pslinux.boot_time", lambda: 0.0)
        assert process_module.process_identity(process.pid) == first, "setting the clock changes nothing"
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert process_module.process_identity(process.pid) == "", "it has ended, and nobody has collected it yet"
    assert process_module.process_identity(process.pid) == ""


def test_without_proc_the_date_of_its_start_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on macOS, whose kernel keeps that date; Linux's `ps` prints it in the same form."""
    monkeypatch.setattr(process_module, "process_table", lambda: "a boot")
    with subprocess.Popen(["sleep", "60"]) as process:
        monkeypatch.setenv("TZ", "UTC")
        told = process_module._identity_by_ps(process.pid)
        assert abs(time.mktime(time.strptime(told, "a boot %a %b %d %H:%M:%S %Y")) - time.mktime(time.gmtime())) < 60
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert process_module._identity_by_ps(process.pid) == ""
    assert process_module._identity_by_ps(process.pid) == ""
