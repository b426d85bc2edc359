"""The documented endpoints through gradio_client, and what stays private."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError

from playground.errors import PlaygroundError
from playground.evaluate.spec import DivergenceSpec
from playground.store import runs
from tests.fakes import catalog
from tests.fakes.engine import GRAVITY, FakeEngine
from tests.fakes.queue import FakeQueue
from tests.fakes.site import serving


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def client(home: Path, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    catalog.install(monkeypatch)
    with serving(engine) as url:
        yield Client(url, verbose=False)
    assert engine.closed


def test_models_lists_variants_as_documented(client: Client) -> None:
    rows: list[dict[str, Any]] = client.predict(api_name="/models")
    assert [row["id"] for row in rows] == ["fake", "fake:nf4", "fake:int8", "fake:fp4"]
    assert set(rows[0]) == {"id", "model", "method", "scheme", "path", "bytes", "bits_per_weight", "engines"}
    assert {row["path"] for row in rows} == {None}, "gradio_client takes a row with a path for a file to download"
    assert client.predict("fake", api_name="/models") == rows
    with pytest.raises(AppError, match=r"There is no model .nope.\. Known: fake\."):
        client.predict("nope", api_name="/models")


def test_generate_returns_the_documented_json(client: Client, engine: FakeEngine) -> None:
    made = client.predict(["fake", "fake:nf4"], "Hi", max_tokens=4, temperature=0.5, stop=["x"], api_name="/generate")
    assert set(made) == {"prompt_ids", "panes", "run"}
    assert [pane["text"] for pane in made["panes"]] == ["".join(GRAVITY[:4])] * 2
    assert {pane["finish_reason"] for pane in made["panes"]} == {"length"}
    sampling = engine.asked[0].sampling
    assert (sampling.max_tokens, sampling.temperature, sampling.stop) == (4, 0.5, ("x",))


def test_what_was_generated_is_a_run(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    made = client.predict(["fake", "fake:nf4"], "Hi", max_tokens=4, divergence=True, api_name="/generate")
    (stored,) = runs.latest("comparison")
    assert stored.id == made["run"]
    (shown,) = client.predict(stored.id, api_name="/runs")
    assert shown["id"] == stored.id

    def full(_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(runs, "add", full)
    unsaved = client.predict(["fake"], "Hi", max_tokens=4, api_name="/generate")
    assert unsaved["run"] is None and unsaved["panes"][0]["text"], "what was made is not lost to a full disk"


def test_generate_measures_the_divergence_when_asked(client: Client) -> None:
    made = client.predict(["fake", "fake:nf4"], "Hi", divergence=True, api_name="/generate")
    assert "divergence" not in made["panes"][0]
    assert set(made["panes"][1]["divergence"]) == {"kld_mean", "top1_agreement", "tokens"}


def test_a_wrong_request_is_a_sentence(client: Client) -> None:
    with pytest.raises(AppError, match=r"Max tokens is 0\. Allowed: 1 to 4096\."):
        client.predict(["fake"], "Hi", max_tokens=0, api_name="/generate")
    with pytest.raises(AppError, match=r"The prompt is empty\."):
        client.predict(["fake"], " ", api_name="/generate")
    with pytest.raises(AppError, match=r"variants is 'fake'\. Allowed: a list of texts\."):
        client.predict("fake", "Hi", api_name="/generate")
    with pytest.raises(AppError, match=r"seed is 'no'\."):
        client.predict(["fake"], "Hi", seed="no", api_name="/generate")
    with pytest.raises(AppError, match=r"Group size is 'many'\. Allowed: a whole number\."):
        client.predict("smollm2", "rtn", group_size="many", api_name="/quantize")


def test_quantize_queues_a_job_that_jobs_lists(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("playground.jobs.queue.best_device", lambda: "cpu")
    queue = FakeQueue()
    with serving(FakeEngine(), queue=queue) as url:
        client = Client(url, verbose=False)
        job = client.predict("smollm2", "gptq", scheme="W4A16", samples=8, keep=["re:.*down_proj$=W8A16"],
                             api_name="/quantize")  # fmt: skip
        assert (job["state"], job["spec"]["recipe"]["group_size"]) == ("queued", 64)
        assert job["spec"]["recipe"]["calibration"]["samples"] == 8
        stored = queue.jobs[job["id"]].spec["recipe"]["calibration"]
        stored |= {"source": "/secret/file.txt", "text": "pasted"}
        queue.start(job["id"])
        queue.end(job["id"], "done", result={"variant": "smollm2:x", "path": "/secret/x", "recipe_path": "/secret/y"})
        (row,) = client.predict(api_name="/jobs")
        assert row["state"] == "done" and row["result"] == {"variant": "smollm2:x", "path": None, "recipe_path": None}
        assert "secret" not in str(row) and "pasted" not in str(row)
        assert set(row) == {
            "id", "kind", "title", "device", "state", "created_at", "started_at", "ended_at", "spec", "error", "result",
        }  # fmt: skip
        with pytest.raises(AppError, match="There is no method 'magic'"):
            client.predict("smollm2", "magic", api_name="/quantize")
        with pytest.raises(AppError, match="no data set of the hub"):
            client.predict("smollm2", "gptq", calibration="/etc/passwd.txt", api_name="/quantize")
        stranger = Client(url, verbose=False, headers={"X-Forwarded-For": "10.0.0.1"})
        with pytest.raises(AppError, match="available to the owner only"):
            stranger.predict("smollm2", "rtn", api_name="/quantize")
    assert len(queue.jobs) == 1


def test_only_these_are_public_and_all_are_documented(client: Client) -> None:
    api = client.view_api(return_format="dict", print_info=False)
    named = set(api["named_endpoints"])
    assert named == {"/models", "/generate", "/quantize", "/jobs", "/evaluate", "/runs"}
    assert not api["unnamed_endpoints"]
    names = [parameter["parameter_name"] for parameter in api["named_endpoints"]["/generate"]["parameters"]]
    assert names == [
        "variants", "prompt", "system", "max_tokens", "temperature", "top_p", "top_k", "repetition_penalty", "seed",
        "stop", "raw", "at_once", "divergence",
    ]  # fmt: skip


# The routes that do the same.

PROXIED = {"X-Forwarded-For": "10.0.0.1"}


def refusal(answer: httpx.Response) -> tuple[int, str, str]:
    error = answer.json()["error"]
    return answer.status_code, error["code"], f"{error['message']} {error['hint']}".strip()


def test_models_and_generate_are_routes_too(client: Client, engine: FakeEngine) -> None:
    with httpx.Client(base_url=client.src, timeout=60) as http:
        assert http.get("/api/models").json() == client.predict(api_name="/models")
        assert len(http.get("/api/models", params={"every": "true"}).json()) == 4
        assert refusal(http.get("/api/models", params={"model": "nope"}))[:2] == (404, "unknown_model")
        sampling = {"max_tokens": 4, "temperature": 0.5, "stop": ["x"]}
        body = {"variants": ["fake", "fake:nf4"], "prompt": "Hi", "sampling": sampling}
        made = http.post("/api/generate", json=body).json()
        assert [pane["text"] for pane in made["panes"]] == ["".join(GRAVITY[:4])] * 2
        assert (engine.asked[0].sampling.max_tokens, engine.asked[0].sampling.stop) == (4, ("x",))
        assert http.get(f"/api/runs/{made['run']}/row").json()["result"]["panes"][0]["text"] == made["panes"][0]["text"]
        for wrong, sentence in (
            ({"prompt": " "}, "The prompt is empty."),
            ({"variants": []}, "0 variants were asked for."),
            ({"sampling": {"max_tokens": 0}}, "Max tokens is 0. Allowed: 1 to 4096."),
            ({"nothing": 1}, "There is no field 'nothing'."),
        ):
            status, code, words = refusal(http.post("/api/generate", json=body | wrong))
            assert (status, code) == (400, "invalid_request") and words.startswith(sentence), words


def test_visitors_have_their_limits_at_the_routes(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    catalog.install(monkeypatch)
    monkeypatch.setattr("playground.models.variants", lambda model: [catalog.fake_variant(model)])
    queue = FakeQueue()
    with serving(FakeEngine(), queue=queue) as url, httpx.Client(base_url=url, headers=PROXIED, timeout=60) as visitor:
        assert [row["id"] for row in visitor.get("/api/models", params={"every": "true"}).json()] == ["fake"]
        assert refusal(visitor.get("/api/models", params={"model": "other"}))[:2] == (403, "not_offered")
        body = {"variants": ["fake"], "prompt": "Hi"}
        assert visitor.post("/api/generate", json=body).status_code == 200
        many = refusal(visitor.post("/api/generate", json=body | {"sampling": {"max_tokens": 4000}}))
        assert many[:2] == (400, "invalid_request") and "Visitors get 256" in many[2]
        job = queue.submit(DivergenceSpec(variants=("fake", "fake:nf4")))
        for path in (f"/api/jobs/{job}", "/api/runs/rows"):
            assert refusal(visitor.get(path))[:2] == (403, "owner_only")
        monkeypatch.setenv("PLAYGROUND_PUBLIC", "view")
        assert refusal(visitor.post("/api/generate", json=body))[:2] == (403, "owner_only")


def test_one_job_says_how_far_it_is(home: Path) -> None:
    queue = FakeQueue()
    with serving(FakeEngine(), queue=queue) as url, httpx.Client(base_url=url) as http:
        first, second = (queue.submit(DivergenceSpec(variants=("/models/fake", f"fake:{n}"))) for n in ("nf4", "int8"))
        queue.start(first, ago=20.0)
        queue.stage(first, "measuring", 0, 100, "texts", at=10.0)
        queue.stage(first, "measuring", 25, 100, "texts", at=15.0)
        row = http.get(f"/api/jobs/{first}").json()
        assert row["card"]["stage"] == ["measuring", 25, 100, "texts"] and row["card"]["left_s"] == 15.0
        assert row["spec"]["variants"][0] == "fake", "no path of the server"
        assert {name: row[name] for name in row if name != "card"} == http.get("/api/jobs").json()[1]
        assert http.get(f"/api/jobs/{second}").json()["card"]["ahead"] == 1
        queue.logs[first] = "what the worker printed"
        queue.end(first, "failed", PlaygroundError("It failed."))
        failed = http.get(f"/api/jobs/{first}").json()
        assert failed["card"]["error"] == ["It failed.", ""] and failed["card"]["log"] == "what the worker printed"
        assert refusal(http.get("/api/jobs/none"))[:2] == (404, "unknown_job")


def test_quantize_starts_with_the_spec_of_a_job(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("playground.jobs.queue.best_device", lambda: "cpu")
    queue = FakeQueue()
    with serving(FakeEngine(), queue=queue) as url, httpx.Client(base_url=url, timeout=60) as http:
        recipe: dict[str, Any] = {"method": "gptq", "scheme": "W4A16", "calibration": {"samples": 8}}
        body = {"model": "smollm2", "recipe": recipe, "name": "mine"}
        job = http.post("/api/quantize/start", json=body).json()
        assert queue.jobs[job["id"]].spec["name"] == "mine"
        file = {"recipe": recipe | {"calibration": {"source": "/etc/passwd.txt"}}}
        for wrong, sentence in (({"out": "/tmp/x"}, "out is a folder"), (file, "is a file of the server")):  # noqa: S108
            status, _, words = refusal(http.post("/api/quantize/start", json=body | wrong))
            assert status == 400 and sentence in words
        assert refusal(http.post("/api/quantize/start", json={"recipe": recipe}))[2].startswith("model is missing")
        assert refusal(http.post("/api/quantize/start", json=body, headers=PROXIED))[:2] == (403, "owner_only")
    assert len(queue.jobs) == 1
