"""`--server`: the commands ask a running server, print what they print without it, and say its refusals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from playground import client
from playground.errors import OutOfMemory, PlaygroundError, ServerUnreachable, TooMany
from playground.store import runs
from tests.fakes import catalog
from tests.fakes.command_line import playground
from tests.fakes.engine import GRAVITY, FakeEngine, Script
from tests.fakes.evaluation_run import divergence_run, evaluation
from tests.fakes.queue import FakeQueue
from tests.fakes.site import serving

TOKEN = "a-token-of-the-owner"
ASK = ("generate", "fake", "fake:nf4", "--prompt", "Hi", "--max-tokens", "24")


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> FakeQueue:
    monkeypatch.setattr("playground.jobs.queue.best_device", lambda: "cpu")
    monkeypatch.setattr(client, "POLL_S", 0.02)
    return FakeQueue()


@pytest.fixture
def server(home: Path, queue: FakeQueue) -> Iterator[str]:
    with serving(FakeEngine({"fake:nf4": Script(tokens=GRAVITY[:3])}), queue=queue) as url:
        yield url


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    catalog.install(monkeypatch)


def ask(server: str, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = playground(*words, "--server", server)
    assert done.returncode == code, done.stdout + done.stderr
    return done


def then(queue: FakeQueue, act: Callable[[str], object]) -> threading.Thread:
    """Act on the first job as soon as it is queued."""

    def wait() -> None:
        end = time.monotonic() + 60
        while not queue.jobs and time.monotonic() < end:
            time.sleep(0.02)
        act(next(iter(queue.jobs)))

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread


@pytest.mark.usefixtures("fake")
def test_models_are_those_of_the_server(server: str) -> None:
    rows = json.loads(ask(server, "models", "fake", "--json").stdout)
    local = json.loads(playground("models", "fake", "--json").stdout)
    assert rows == [row | {"path": None} for row in local] and len(rows) == 4
    assert ask(server, "models", "fake").stdout == playground("models", "fake").stdout
    everything = json.loads(ask(server, "models", "--json").stdout)
    assert [row["id"] for row in everything] == [row["id"] for row in local], "what cannot be opened is left out"


@pytest.mark.usefixtures("fake")
def test_generate_prints_json_as_without_a_server(server: str) -> None:
    done = ask(server, *ASK, "--divergence", "--json")
    made = json.loads(done.stdout)
    assert [pane["text"] for pane in made["panes"]] == ["".join(GRAVITY), "".join(GRAVITY[:3])]
    assert set(made["panes"][1]["divergence"]) == {"kld_mean", "top1_agreement", "tokens"}
    assert f"Saved as run {made['run']}" in done.stderr and runs.get(made["run"]).kind == "comparison"


@pytest.mark.usefixtures("fake")
def test_generate_prints_texts_and_a_verdict(server: str) -> None:
    said = ask(server, *ASK).stdout
    assert "".join(GRAVITY) in said.replace("\n", " ") and "tok/s" in said
    assert "diverge at token 4" in said.replace("\n", " ")


@pytest.mark.usefixtures("fake")
def test_a_failed_pane_is_a_failed_command(server: str) -> None:
    done = ask(server, "generate", "fake", "fake:nf5", "--prompt", "Hi", "--json", code=1)
    assert json.loads(done.stdout)["panes"][1]["error"]["code"] == "unknown_variant"
    assert "fake has no variant 'nf5'" in done.stderr


@pytest.mark.usefixtures("fake")
def test_answers_that_could_not_be_stored_are_shown(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(runs, "add", full)
    done = ask(server, *ASK)
    assert "".join(GRAVITY) in done.stdout.replace("\n", " ") and "not saved" in done.stderr


@pytest.mark.usefixtures("fake")
@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("models", "nope"), "There is no model 'nope'. Known: fake."),
        (("generate", "fake", "--prompt", " "), "The prompt is empty."),
        (("generate", "fake", "--prompt", "x", "--no-save"), "--no-save works on this machine only."),
        (("generate", "./fake", "--prompt", "x"), "'./fake' is a path of this machine."),
        (("quantize", "fake", "--method", "rtn", "--scheme", "W4A16", "--out", "x"), "--out works on this machine"),
        (("kld", "fake", "fake:nf4", "--text", "README.md"), "'README.md' is a path of this machine."),
        (("eval", "--search", "gsm"), "--search works on this machine only."),
        (("jobs", "show", "none"), "There is no job 'none'."),
        (("jobs", "cancel", "none"), "There is no job 'none'."),
        (("runs", "show", "none"), "There is no"),
        (("runs", "list", "--kind", "x"), "There is no kind of run 'x'."),
    ],
)
def test_a_refusal_is_its_sentence_and_status_1(server: str, words: tuple[str, ...], sentence: str) -> None:
    done = ask(server, *words, code=1)
    assert sentence in done.stderr.replace("\n", " ") and "Traceback" not in done.stderr and not done.stdout


def test_what_does_not_answer_is_one_sentence(home: Path, server: str) -> None:
    for url, sentence in (
        ("http://127.0.0.1:9", "http://127.0.0.1:9 does not answer"),
        ("127.0.0.1:9", "is no address of a server"),
        (f"{server}nothing/", "There is nothing here"),
        (f"{server}review", "status 404 and no JSON"),
    ):
        done = playground("jobs", "list", "--server", url)
        assert done.returncode == 1 and sentence in done.stderr.replace("\n", " "), done.stderr
        assert "Traceback" not in done.stderr


def test_the_environment_names_the_server_and_the_token(
    home: Path, queue: FakeQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLAYGROUND_OWNER_TOKEN", TOKEN)
    with serving(FakeEngine(), host="0.0.0.0", queue=queue) as url:  # noqa: S104 - public, so that a token is needed
        monkeypatch.setenv("PLAYGROUND_SERVER", url.replace("0.0.0.0", "127.0.0.1"))  # noqa: S104
        done = playground("jobs", "list", "--json")
        assert done.returncode == 1 and "owner only" in done.stderr.replace("\n", " ")
        monkeypatch.setenv("PLAYGROUND_TOKEN", TOKEN)
        assert json.loads(playground("jobs", "list", "--json").stdout) == []


def test_quantize_follows_the_job_at_the_server(server: str, queue: FakeQueue) -> None:
    card = {
        "variant": "smollm2:x", "path": "/secret", "recipe_path": "/secret/r", "bytes_before": 4, "bytes_after": 2,
        "bits_per_weight": 4.5, "seconds": 2.0, "peak_memory_bytes": 10**9, "layers": [],
    }  # fmt: skip

    def work(job: str) -> None:
        queue.start(job)
        queue.tell(job, "note", text="A note of the job.")
        queue.stage(job, "quantizing with RTN", 3, 30, "layers")
        time.sleep(0.5)
        queue.end(job, "done", result=card)

    thread = then(queue, work)
    words = ("--method", "gptq", "--scheme", "W4A16", "--samples", "8", "--keep", "re:.*down_proj$=W8A16")
    done = ask(server, "quantize", "smollm2", *words, "--json")
    thread.join()
    assert json.loads(done.stdout) == card | {"path": None, "recipe_path": None}
    assert "Expected: " in done.stderr and "of memory" in done.stderr
    assert "] quantizing with RTN" in done.stderr and done.stderr.count("A note of the job.") == 1
    recipe = queue.jobs["job1"].spec["recipe"]
    assert recipe["keep"] == [["re:.*down_proj$", "W8A16"]] and recipe["calibration"]["samples"] == 8
    shown = ask(server, "jobs", "show", "job1").stdout
    assert "smollm2 · gptq W4A16" in shown and "variant: smollm2:x" in shown
    row = json.loads(ask(server, "jobs", "show", "job1", "--json").stdout)
    assert row["folder"] is None and row["state"] == "done" and "card" not in row
    assert [job["id"] for job in json.loads(ask(server, "jobs", "list", "--json").stdout)] == ["job1"]


def test_a_job_that_fails_is_a_command_that_fails(server: str, queue: FakeQueue) -> None:
    then(queue, lambda job: queue.end(job, "failed", OutOfMemory("It does not fit.", hint="Close something.")))
    done = ask(server, "quantize", "smollm2", "--method", "rtn", "--scheme", "W4A16", code=1)
    assert "It does not fit." in done.stderr and "Close something." in done.stderr
    assert "It does not fit." in ask(server, "jobs", "show", "job1").stdout


def test_a_lost_connection_does_not_end_the_command_at_once(
    server: str, queue: FakeQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, ask_job = [0], client.Server.job

    def flaky(self: client.Server, job_id: str) -> Any:
        asked[0] += 1
        if asked[0] in (2, 3):
            raise ServerUnreachable("It does not answer.")
        return ask_job(self, job_id)

    monkeypatch.setattr(client.Server, "job", flaky)

    def work(job: str) -> None:
        while asked[0] < 4:
            time.sleep(0.02)
        queue.end(job, "failed", OutOfMemory("It does not fit."))

    then(queue, work)
    words = ("quantize", "smollm2", "--method", "rtn", "--scheme", "W4A16")
    assert "It does not fit." in ask(server, *words, code=1).stderr
    monkeypatch.setattr(client, "LOST_S", 0.0)
    asked[0] = 0
    assert "jobs show job2" in ask(server, *words, code=1).stderr.replace("\n", " ")


def test_interrupt_cancels_the_job_at_the_server(
    server: str, queue: FakeQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    follows, ask_job = threading.Event(), client.Server.job

    def asked(self: client.Server, job_id: str) -> Any:
        follows.set()
        return ask_job(self, job_id)

    monkeypatch.setattr(client.Server, "job", asked)

    def interrupt(job: str) -> None:
        queue.start(job)
        assert follows.wait(60)
        os.kill(os.getpid(), signal.SIGINT)
        while queue.jobs[job].cancelled_at is None:
            time.sleep(0.02)
        queue.end(job, "cancelled")

    thread = then(queue, interrupt)
    done = ask(server, "quantize", "smollm2", "--method", "rtn", "--scheme", "W4A16", code=130)
    thread.join(10)
    assert queue.jobs["job1"].state == "cancelled" and "Stopping it" in done.stderr and not done.stdout
    assert "job1 is cancelled." in ask(server, "jobs", "cancel", "job1").stdout


@pytest.mark.parametrize(
    ("words", "kind", "make"),
    [
        (("eval", "smollm2", "smollm2:nf4", "--tasks", "bundled", "--limit", "5"), "evaluate", evaluation),
        (("kld", "smollm2", "smollm2:nf4", "--tokens", "100"), "divergence", divergence_run),
    ],
)
def test_measurements_are_read_from_the_run(
    server: str, queue: FakeQueue, words: tuple[str, ...], kind: str, make: Callable[[], Any]
) -> None:
    made = make()
    runs.add(made)
    run = runs.latest()[0].id
    then(queue, lambda job: queue.end(job, "done", result={"run": run}))
    rows = json.loads(ask(server, *words, "--json").stdout)
    job = queue.jobs["job1"]
    assert job.kind == kind and job.spec["variants"] == ["smollm2", "smollm2:nf4"]
    assert rows == runs.get(run).result["rows"]


def test_runs_are_listed_and_shown_as_here(server: str) -> None:
    runs.add(evaluation())
    (stored,) = runs.latest()
    for words in (("runs", "list"), ("runs", "show", stored.id[:8]), ("runs", "list", "--text", "nothing")):
        assert ask(server, *words, "--json").stdout == playground(*words, "--json").stdout if words[1] else True
        assert ask(server, *words).stdout == playground(*words).stdout


def test_a_visitor_needs_the_whole_id_of_a_run(server: str) -> None:
    runs.add(evaluation())
    (stored,) = runs.latest()
    with client.Server(server) as here:
        assert here.run(stored.id[:8]).id == stored.id
        here._http.headers["X-Forwarded-For"] = "10.0.0.1"
        assert here.run(stored.id).run.result["rows"] == runs.get(stored.id).result["rows"]
        with pytest.raises(PlaygroundError, match="There is no run"):
            here.run(stored.id[:8])


def test_a_busy_server_says_so(server: str, queue: FakeQueue) -> None:
    queue.refusal = TooMany("Enough jobs wait.")
    done = ask(server, "quantize", "smollm2", "--method", "rtn", "--scheme", "W4A16", code=1)
    assert "Enough jobs wait." in done.stderr


def test_asking_a_server_loads_no_torch(server: str) -> None:
    code = (
        "import sys\nfrom playground import cli\n"
        f"sys.argv = ['playground', 'jobs', 'list', '--json', '--server', {server!r}]\n"
        "try:\n    cli.main()\nfinally:\n"
        "    heavy = {'torch', 'transformers'} & set(sys.modules)\n    assert not heavy, heavy\n"
    )
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert child.returncode == 0 and json.loads(child.stdout) == [], child.stderr
