"""The queue with real workers: whatever happens to one of them, the next job goes on and nothing half-made stays.

Where it relies on the store (who takes a job, whose word of its end stands, what another process finds), the same
tests run on SQLite and on PostgreSQL; the rest is processes and folders, which know of no database.
"""

from __future__ import annotations

import contextlib
import itertools
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
from sqlalchemy import update

from playground import process
from playground.errors import (
    InvalidRequest,
    JobDied,
    JobError,
    JobInterrupted,
    OutOfDisk,
    OutOfMemory,
    UnknownJob,
)
from playground.jobs import ending
from playground.jobs.queue import JobQueue
from playground.store import database, folders, jobs, variants
from playground.store.schema import Job
from tests.fakes.job import WORKER, FakeSpec, steps, wait_for
from tests.fakes.postgres import on_both

ROOT = Path(__file__).parents[2]


@pytest.fixture
def queue(home: Path) -> Iterator[JobQueue]:
    with JobQueue(worker=WORKER, nice=0) as made:
        yield made
    assert not any(ending.members(job.id) for job in jobs.all_jobs()), "a worker outlived its queue"


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Where a job and its test leave each other signs."""
    folder = tmp_path / "signs"
    folder.mkdir()
    return folder


def over(job_id: str, seconds: float = 60.0) -> Job:
    """The job at its end."""
    return until(job_id, ("done", "failed", "cancelled", "interrupted"), seconds)


def until(job_id: str, states: tuple[str, ...], seconds: float = 60.0) -> Job:
    deadline = time.monotonic() + seconds
    while (job := jobs.get(job_id)).state not in states:
        assert time.monotonic() < deadline, f"still {job.state}; its log: {ending.log_tail(job_id)}"
        time.sleep(0.02)
    return job


def leftovers() -> list[str]:
    return [path.name for path in folders.variants().glob("*")] if folders.variants().exists() else []


def app(home: Path, code: str = "") -> subprocess.Popen[str]:
    """Another process with a queue on this home."""
    text = f"from playground.jobs.queue import JobQueue\nimport sys\nwith JobQueue(worker={WORKER!r}) as q:\n"
    text += f"    {code or 'pass'}\n    print('ready', flush=True)\n    sys.stdin.read()\n"
    process = subprocess.Popen(
        [sys.executable, "-c", text], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env=os.environ | {"PLAYGROUND_HOME": str(home), "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert process.stdout and process.stdout.readline() == "ready\n"
    return process


@contextlib.contextmanager
def other_app(home: Path) -> Iterator[subprocess.Popen[str]]:
    process = app(home)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@on_both
def test_a_job_from_beginning_to_end(queue: JobQueue) -> None:
    made = queue.submit(steps("layer a", "allocate 50000000", "partial 100000", "publish awq-w4", "layer b"))
    job = over(made)
    assert job.state == "done" and job.error is None and job.seconds is not None and job.seconds > 0
    assert job.result == {"steps": 5, "variant": "smollm2:awq-w4", "path": str(folders.variants() / "awq-w4")}
    assert leftovers() == ["awq-w4"] and variants.of_job(made) is not None
    events, position = queue.events(made)
    assert [event["name"] for event in events if event["kind"] == "layer"] == ["a", "b"]
    assert [event["stage"] for event in events if event["kind"] == "stage"][-1] == "layer"
    assert max(event["bytes"] for event in events if event["kind"] == "memory") > 50_000_000
    assert queue.events(made, position) == ([], position)


def test_jobs_run_in_order_of_arrival_one_at_a_time(queue: JobQueue) -> None:
    made = [queue.submit(steps(f"layer {n}")) for n in range(3)]
    ended = [over(job_id) for job_id in made]
    assert [job.state for job in ended] == ["done"] * 3
    for before, after in itertools.pairwise(ended):
        assert before.ended_at is not None and after.started_at is not None and before.ended_at <= after.started_at
    assert [job.id for job in queue.list()] == made[::-1]


def test_devices_do_not_wait_for_each_other(queue: JobQueue, files: Path) -> None:
    slow = queue.submit(steps(f"until {files / 'go'}"), "cpu")
    other = queue.submit(steps("layer a"), "cuda:0")
    assert over(other).state == "done"
    assert not jobs.get(slow).over
    (files / "go").touch()
    assert over(slow).state == "done"


@on_both
def test_kill_9_is_a_sentence_and_the_next_goes_on(queue: JobQueue, files: Path) -> None:
    first = queue.submit(steps("partial 100000", "child new", f"touch {files / 'here'}", f"until {files / 'never'}"))
    second = queue.submit(steps("layer a"))
    wait_for(files / "here")
    os.kill(jobs.get(first).pid or 0, signal.SIGKILL)
    job = over(first)
    assert job.state == "failed" and isinstance(job.failure, JobDied)
    assert "killed by SIGKILL" in str(job.failure)
    assert leftovers() == [] and ending.members(first) == []
    assert over(second).state == "done"


@pytest.mark.parametrize(
    ("what", "kind", "words"),
    [
        ("sentence", InvalidRequest, "A group of 128 does not divide 576. Take 64."),
        ("bug", JobError, "KeyError"),
        ("disk", OutOfDisk, "The disk is full"),
        ("memory", OutOfMemory, "more memory"),
        ("exit", JobDied, "exit code 3"),
    ],
)
def test_a_failure_is_a_sentence(queue: JobQueue, what: str, kind: type[Exception], words: str) -> None:
    job = over(queue.submit(steps("partial 100000", f"raise {what}")))
    assert job.state == "failed" and type(job.failure) is kind
    assert words in str(job.failure) and "Traceback" not in str(job.failure)
    assert leftovers() == []


def test_the_traceback_of_a_bug_is_in_the_log(queue: JobQueue) -> None:
    job = over(queue.submit(steps("raise bug")))
    assert "KeyError: 'model.layers.0'" in queue.log(job.id)


@pytest.mark.parametrize("words", [("child same",), ("stubborn -",), ("deaf -", "child new")], ids=" ".join)
def test_cancel_ends_everything(queue: JobQueue, files: Path, words: tuple[str, ...]) -> None:
    wait = () if words == ("stubborn -",) else (f"until {files / 'never'}",)
    made = queue.submit(steps("partial 100000", f"touch {files / 'here'}", *words, *wait))
    wait_for(files / "here")
    began = time.monotonic()
    queue.cancel(made)
    assert time.monotonic() - began < 5, "cancel waits"
    job = over(made, seconds=10)
    assert job.state == "cancelled" and job.error is None
    assert leftovers() == [] and ending.members(made) == []


@on_both
def test_cancel_of_a_queued_job(queue: JobQueue, files: Path) -> None:
    first = queue.submit(steps(f"until {files / 'go'}"))
    second = queue.submit(steps(f"touch {files / 'ran'}"))
    queue.cancel(second)
    assert jobs.get(second).state == "cancelled"
    (files / "go").touch()
    assert over(first).state == "done"
    queue.cancel(first)  # too late: it stays what it is
    assert jobs.get(first).state == "done" and not (files / "ran").exists()
    with pytest.raises(UnknownJob):
        queue.cancel("nope")


@on_both
def test_a_finished_variant_outlives_the_death_of_its_worker(queue: JobQueue) -> None:
    job = over(queue.submit(steps("partial 100000", "publish awq-w4", "kill SIGKILL")))
    assert job.state == "done" and job.result is not None
    assert (job.result["variant"], job.result["bytes_after"]) == ("smollm2:awq-w4", 112_000_000)


def test_a_folder_that_was_not_made_known_is_removed(queue: JobQueue, files: Path) -> None:
    (folders.variants() / "somebody-else").mkdir(parents=True)
    words = ("partial 100000", "publish awq-w4", "unregister awq-w4", "kill SIGKILL")
    assert over(queue.submit(steps(*words))).state == "failed"
    assert leftovers() == ["somebody-else"]
    assert over(queue.submit(steps(*words, out=str(files / "out")))).state == "failed"
    assert not (files / "out").exists()


def test_a_variant_that_was_moved_out_of_the_way_comes_back(queue: JobQueue, files: Path) -> None:
    place = folders.variants() / "awq-w4"
    made = queue.submit(steps("partial 100000", f"touch {files / 'here'}", f"until {files / 'never'}"))
    wait_for(files / "here")
    before = folders.set_aside(folders.partial(made))
    before.mkdir()
    folders.mark(before, {"job_id": "of long ago", "result": {"path": str(place)}})
    os.kill(jobs.get(made).pid or 0, signal.SIGKILL)
    assert over(made).state == "failed"
    assert leftovers() == ["awq-w4"] and (place / folders.MARKER).exists()


def test_a_destination_outside_the_home_is_tidied_too(queue: JobQueue, files: Path) -> None:
    job = over(queue.submit(steps("partial 100000", "kill SIGKILL", out=str(files / "mine"))))
    assert job.state == "failed"
    assert list(files.iterdir()) == []


def test_again_runs_the_same(queue: JobQueue) -> None:
    first = over(queue.submit(steps("raise memory")))
    second = over(queue.again(first.id))
    assert second.id != first.id
    assert (second.spec, second.title, second.state) == (first.spec, first.title, "failed")


def test_before_start_may_refuse(home: Path) -> None:
    seen = []

    def make_room(job: Job) -> None:
        seen.append(job.id)
        if len(seen) == 1:
            raise OutOfMemory("smollm2 is generating.", hint="Stop it.")
        if len(seen) == 2:
            raise KeyError("a bug of the app")

    with JobQueue(worker=WORKER, before_start=make_room) as queue:
        first, second, third = (queue.submit(steps("layer a")) for _ in range(3))
        assert over(third).state == "done"
    assert seen == [first, second, third]
    assert jobs.get(second).state == "failed" and isinstance(jobs.get(second).failure, JobError)
    job = jobs.get(first)
    assert job.state == "failed" and str(job.failure) == "smollm2 is generating. Stop it."


def test_a_worker_that_cannot_begin_fails_its_job(home: Path) -> None:
    with JobQueue(worker="tests.fakes.no_such_module") as queue:
        job = over(queue.submit(steps("layer a")))
    assert job.state == "failed" and isinstance(job.failure, JobDied)
    assert "exit code 1" in str(job.failure) and "no_such_module" in job.failure.log_tail


def test_a_kind_of_a_newer_version_is_refused(queue: JobQueue) -> None:
    job = over(queue.submit(FakeSpec(steps=(), kind="dream")))
    assert job.state == "failed" and "no kind of job 'dream'" in str(job.failure)


def test_closing_interrupts_and_leaves_the_queued_for_the_next(home: Path, files: Path) -> None:
    with JobQueue(worker=WORKER) as queue:
        first = queue.submit(steps("partial 100000", f"touch {files / 'here'}", f"until {files / 'go'}"))
        second = queue.submit(steps("layer a"))
        wait_for(files / "here")
    job = jobs.get(first)
    assert job.state == "interrupted" and isinstance(job.failure, JobInterrupted)
    assert "the app was closed" in str(job.failure) and "Run it again" in job.failure.hint
    assert leftovers() == [] and jobs.get(second).state == "queued"
    with JobQueue(worker=WORKER) as queue:
        assert over(second).state == "done"
        (files / "go").touch()
        assert over(queue.again(first)).state == "done"


@on_both
def test_the_app_is_killed_and_its_job_is_found_again(home: Path, files: Path) -> None:
    with other_app(home) as first:
        made = jobs.add(
            "fake",
            "t",
            steps(f"touch {files / 'here'}", f"until {files / 'go'}", "layer z").model_dump(mode="json"),
            "cpu",
        )
        wait_for(files / "here")
        first.kill()
        first.wait()
    with JobQueue(worker=WORKER) as queue:
        time.sleep(1.0)  # long enough to be mistaken for dead
        assert jobs.get(made.id).state == "running"
        (files / "go").touch()
        assert over(made.id).state == "done"
        assert queue.events(made.id)[0]


def test_an_adopted_job_can_be_cancelled_and_closed(home: Path, files: Path) -> None:
    with other_app(home) as first:
        spec = steps(f"touch {files / 'here'}", f"until {files / 'never'}").model_dump(mode="json")
        one, two = (jobs.add("fake", "t", spec, device) for device in ("cpu", "cuda:0"))
        wait_for(files / "here")
        until(one.id, ("running",)), until(two.id, ("running",))
        first.kill()
        first.wait()
    with JobQueue(worker=WORKER) as queue:
        queue.cancel(one.id)
        assert over(one.id, 10).state == "cancelled"
    assert jobs.get(two.id).state == "interrupted"
    assert ending.members(one.id) + ending.members(two.id) == []


@on_both
def test_app_and_worker_are_killed(home: Path, files: Path) -> None:
    with other_app(home) as first:
        words = ("partial 100000", f"touch {files / 'here'}", f"until {files / 'never'}")
        made = jobs.add("fake", "t", steps(*words).model_dump(mode="json"), "cpu")
        wait_for(files / "here")
        first.kill()
        first.wait()
        worker = jobs.get(made.id).pid or 0
        os.kill(worker, signal.SIGKILL)
        while process.process_identity(worker):  # the signal is on its way
            time.sleep(0.01)
    (folders.variants() / ".partial-of-long-ago").mkdir()
    with JobQueue(worker=WORKER) as queue:
        job = over(made.id)
        assert job.state == "interrupted" and isinstance(job.failure, JobInterrupted)
        assert over(queue.submit(steps("layer a"))).state == "done"
    assert leftovers() == []


@pytest.mark.parametrize("seconds", [1.0, 5.0])
def test_setting_the_clock_ends_no_job(
    home: Path, files: Path, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    with other_app(home):
        made = jobs.add(
            "fake", "t", steps(f"touch {files / 'here'}", f"until {files / 'go'}").model_dump(mode="json"), "cpu"
        )
        wait_for(files / "here")
        boot = psutil.boot_time()
        monkeypatch.setattr("psutil._pslinux.boot_time", lambda: boot + seconds)  # what a step of the clock does
        with JobQueue(worker=WORKER):
            time.sleep(0.5)
            assert jobs.get(made.id).state == "running"
            (files / "go").touch()
            assert over(made.id).state == "done"


def test_a_job_of_an_older_version_is_known_by_the_environment_of_its_worker(home: Path, files: Path) -> None:
    with other_app(home):
        made = jobs.add(
            "fake", "t", steps(f"touch {files / 'here'}", f"until {files / 'go'}").model_dump(mode="json"), "cpu"
        )
        wait_for(files / "here")
        with database.writing() as session:
            session.execute(update(Job).values(pid_identity=None, app_identity=None))
        with JobQueue(worker=WORKER):
            time.sleep(0.5)
            assert jobs.get(made.id).state == "running"
            (files / "go").touch()
            assert over(made.id).state == "done"
        gone = jobs.add("fake", "t", steps("layer a").model_dump(mode="json"), "cuda:0")
        with database.writing() as session:
            taken = update(Job).where(Job.id == gone.id).values(state="running", pid=os.getpid())
            session.execute(taken)
        with JobQueue(worker=WORKER):
            assert over(gone.id).state == "interrupted", "the number is another process's"


@pytest.mark.parametrize("change", ["start", "boot"])
def test_a_number_that_now_belongs_to_another_process_is_not_touched(home: Path, change: str) -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as bystander:
        made = jobs.add("fake", "t", steps("layer a").model_dump(mode="json"), "cpu")
        now = process.process_identity(bystander.pid)
        before = f"{now}0" if change == "start" else f"x{now}"
        jobs.claim(made.id, bystander.pid, before, bystander.pid, before)
        with JobQueue(worker=WORKER):
            assert over(made.id).state == "interrupted"
        assert bystander.poll() is None
        bystander.kill()


@on_both
def test_two_queues_on_one_home_run_each_job_once(home: Path, files: Path) -> None:
    count = 6
    with other_app(home), JobQueue(worker=WORKER) as queue:
        made = [queue.submit(steps(f"touch {files / str(n)}", "sleep 0.1")) for n in range(count)]
        ended = [over(job_id, 120) for job_id in made]
        assert [job.state for job in ended] == ["done"] * count, [str(job.failure) for job in ended]
        assert len({job.pid for job in ended}) == count
        for before, after in itertools.pairwise(ended):
            assert before.ended_at is not None and after.started_at is not None and before.ended_at <= after.started_at


@on_both
def test_closing_leaves_the_job_of_another_app_alone(home: Path, files: Path) -> None:
    with other_app(home):
        made = jobs.add(
            "fake", "t", steps(f"touch {files / 'here'}", f"until {files / 'go'}").model_dump(mode="json"), "cpu"
        )
        wait_for(files / "here")
        with JobQueue(worker=WORKER):
            time.sleep(0.5)
        assert jobs.get(made.id).state == "running"
        (files / "go").touch()
        assert over(made.id).state == "done"


def test_cancel_without_any_queue(home: Path, files: Path) -> None:
    with other_app(home) as first:
        made = jobs.add(
            "fake", "t", steps(f"touch {files / 'here'}", f"until {files / 'never'}").model_dump(mode="json"), "cpu"
        )
        wait_for(files / "here")
        first.kill()
        first.wait()
    ending.cancel(made.id)
    assert jobs.get(made.id).state == "cancelled" and ending.members(made.id) == []


def test_a_stop_from_outside_is_an_interruption(queue: JobQueue, files: Path) -> None:
    made = queue.submit(steps("partial 100000", f"touch {files / 'here'}", f"until {files / 'never'}"))
    wait_for(files / "here")
    os.kill(jobs.get(made).pid or 0, signal.SIGTERM)
    job = over(made)
    assert job.state == "interrupted" and "from outside" in str(job.failure)
    assert leftovers() == []


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home of 4 MB: the job fails with a sentence, its bytes are given back, the next job goes on."""
    home = tmp_path / "small"
    home.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(home)], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"may not mount: {mounted.stderr.strip()}")
    monkeypatch.setenv("PLAYGROUND_HOME", str(home))
    try:
        with JobQueue(worker=WORKER) as queue:
            job = over(queue.submit(steps("partial 100000000")))
            assert job.state == "failed" and isinstance(job.failure, OutOfDisk), job.failure
            assert leftovers() == []
            assert over(queue.submit(steps("partial 100000", "publish awq-w4"))).state == "done"
    finally:
        subprocess.run(["umount", "-l", str(home)], check=True)


def test_the_row_of_a_job(queue: JobQueue) -> None:
    row = over(queue.submit(steps("raise sentence"))).as_row()
    assert json.loads(json.dumps(row)) == row
    assert row["state"] == "failed" and row["error"]["code"] == "invalid_request"
