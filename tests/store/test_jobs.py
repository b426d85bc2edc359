"""Changes of a job's state happen once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from playground.errors import JobDied, UnknownJob, to_wire
from playground.store import database, jobs


def test_only_one_claims(home: Path) -> None:
    job = jobs.add("quantize", "a", {"model": "m"}, "cpu")
    with ThreadPoolExecutor(8) as pool:
        claims = list(pool.map(lambda pid: jobs.claim(job.id, pid, "one", 2, "two"), range(1, 17)))
    assert sum(claims) == 1
    assert jobs.get(job.id).pid == claims.index(True) + 1


def test_the_first_end_stands(home: Path) -> None:
    job = jobs.add("quantize", "a", {}, "cpu")
    assert not jobs.end(job.id, "done", result={"variant": "m:x"})  # nobody has started it
    jobs.claim(job.id, 1, "one", 2, "two")
    error = to_wire(JobDied("It died.", hint="Again."))
    error["error"]["log_tail"] = "last words"
    assert jobs.end(job.id, "failed", error=error)
    assert not jobs.end(job.id, "done", result={"variant": "m:x"})
    found = jobs.get(job.id)
    assert found.over and found.result is None and found.seconds is not None
    assert isinstance(found.failure, JobDied)
    assert (str(found.failure), found.failure.log_tail) == ("It died. Again.", "last words")


def test_a_queued_job_has_no_one_to_end_it(home: Path) -> None:
    job = jobs.add("quantize", "a", {}, "cpu")
    jobs.request_cancel(job.id)
    assert jobs.get(job.id).cancelled_at is None
    assert jobs.end(job.id, "cancelled", expected="queued")
    assert not jobs.claim(job.id, 1, "one", 2, "two")


def test_order_of_arrival(home: Path) -> None:
    made = [jobs.add("quantize", str(n), {}, device) for n, device in enumerate(("cpu", "cuda:0", "cpu"))]
    assert [job.id for job in jobs.all_jobs()] == [job.id for job in made]
    assert [job.title for job in jobs.all_jobs(device="cpu")] == ["0", "2"]
    jobs.claim(made[0].id, 1, "one", 2, "two")
    assert [job.title for job in jobs.all_jobs(("queued",), "cpu")] == ["2"]
    first = jobs.first("queued", "cpu")
    assert first is not None and first.title == "2"
    assert jobs.first("done", "cpu") is None


def test_an_unknown_job_is_said(home: Path) -> None:
    with pytest.raises(UnknownJob, match="no job 'nope'"):
        jobs.get("nope")


def test_homes_that_share_a_database_leave_each_other_s_jobs_alone(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their workers are on another machine: who cannot see them must not find them dead."""
    job, file = jobs.add("quantize", "a", {}, "cpu"), database.path()
    monkeypatch.setattr(database, "path", lambda: file)
    monkeypatch.setenv("PLAYGROUND_HOME", str(tmp_path / "other"))
    assert jobs.all_jobs() == [] and jobs.first("queued", "cpu") is None and jobs.get(job.id).title == "a"
    other = jobs.add("quantize", "b", {}, "cpu")
    assert [found.id for found in jobs.all_jobs()] == [other.id]
    monkeypatch.setenv("PLAYGROUND_HOME", str(home))
    assert [found.id for found in jobs.all_jobs()] == [job.id]
