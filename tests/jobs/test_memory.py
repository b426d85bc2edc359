"""The sampler of a worker's memory: rare enough to cost nothing, and exact at the end."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from playground.jobs import progress, worker
from playground.jobs.progress import Report
from playground.machine import resident
from tests.engines.calls import eventually


def test_the_last_sample_is_the_peak_of_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "resident", lambda _: 1)  # what else this process started is no business of the test
    told = Report(tmp_path)

    def sampled() -> list[int]:
        return [event["bytes"] for event in progress.read(tmp_path)[0] if event["kind"] == "memory"]

    with worker.Sampler(told, every_s=60):
        eventually(lambda: bool(sampled()), 10, "the first sample is there")
        held = bytes(64 << 20)
        del held
    told.close()
    found = sampled()
    assert len(found) == 2, "one at the beginning and one at the end, without waiting for the minute"
    assert found[0] == 1 and worker.peak_bytes() - (1 << 20) <= found[1] <= worker.peak_bytes()


def test_a_sample_counts_the_children_too() -> None:
    me = psutil.Process()
    before = resident(worker.tree(me))
    hold = "held = b'x' * (100 << 20); print(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout and child.stdout.readline()
        members = worker.tree(me)
        with_child = resident(members)
        child.communicate(b"\n")
    assert with_child - before > 90 << 20
    assert resident(members) < with_child - (90 << 20), "one that has ended meanwhile counts nothing"


def test_a_child_that_comes_later_is_found(tmp_path: Path) -> None:
    told = Report(tmp_path)
    hold = "held = b'x' * (100 << 20); print(flush=True); input()"

    def sampled() -> list[int]:
        return [event["bytes"] for event in progress.read(tmp_path)[0] if event["kind"] == "memory"]

    with worker.Sampler(told, every_s=0.01):
        eventually(lambda: bool(sampled()), 10, "the first sample is there")
        before = max(sampled())
        with subprocess.Popen([sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
            assert child.stdout and child.stdout.readline()
            eventually(lambda: max(sampled()) > before + (90 << 20), 10, "the child is in a sample")
            child.communicate(b"\n")
    told.close()


def test_a_machine_full_of_processes_is_looked_at_less_often(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []

    def slow(_: psutil.Process) -> list[psutil.Process]:
        time.sleep(0.05)
        return []

    monkeypatch.setattr(worker, "tree", slow)
    told = Report(tmp_path)
    sampler = worker.Sampler(told, every_s=0.01)
    monkeypatch.setattr(sampler._done, "wait", lambda seconds: (waited.append(seconds), sampler._done.set()))
    with sampler:
        sampler._thread.join()
    told.close()
    assert waited and min(waited) >= 0.05 / worker.SHARE
