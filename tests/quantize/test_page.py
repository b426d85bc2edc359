"""The Quantize page without a browser: what the form may send, what the page says, and who may do anything."""

from __future__ import annotations

import io
import json
import shlex
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import typer

from playground import cli, machine
from playground.errors import InvalidCalibration, PlaygroundError
from playground.evaluate.spec import DivergenceSpec
from playground.methods import TABLE
from playground.methods.recipe import Recipe, command
from playground.methods.table import recommended, scheme_words
from playground.metrics.weights import error_summary
from playground.push.pushes import Pushes
from playground.quantize import api, files
from playground.quantize.board import Board
from playground.quantize.estimate import Facts, estimate
from playground.quantize.files import Uploads
from playground.quantize.form import as_spec, offer
from playground.quantize.machine_speed import Speed
from playground.quantize.recipes import open_original
from playground.quantize.spec import Draft, QuantizeSpec
from playground.store import variants
from playground.texts import Calibration, calibration
from playground.web.jobs import MAX_POINTS, View
from tests.fakes.engine import FakeEngine
from tests.fakes.queue import FakeQueue
from tests.fakes.site import serving
from tests.fakes.variants import layers, made

FORM: dict[str, Any] = {
    "model": "smollm2", "method": "awq", "scheme": "W4A16_ASYM",
    "calibration": {"source": "bundled", "samples": 32, "max_length": 256, "seed": 0},
}  # fmt: skip
EVIL = "<img src=x onerror=alert(1)>"


def calibrated(**values: Any) -> dict[str, Any]:
    return FORM | {"calibration": FORM["calibration"] | values}


def spec(form: dict[str, Any]) -> QuantizeSpec:
    return as_spec(Draft.model_validate(form))


# ---- the form


def test_the_form_becomes_a_recipe(home: Path) -> None:
    asked = spec(
        calibrated(samples=8, seed=3)
        | {"group_size": 32, "kv_cache": "FP8", "ignore": ["re:.*k_proj$", " lm_head "], "name": "mine"}
        | {"keep": ["re:.*down_proj$ = w8a16"], "options": {"n_grid": "5", "duo_scaling": "true"}}
    )
    assert (asked.model, asked.name) == ("smollm2", "mine")
    assert asked.recipe == Recipe(
        method="awq",
        scheme="W4A16_ASYM",
        group_size=32,
        ignore=("re:.*k_proj$", "lm_head"),
        keep=(("re:.*down_proj$", "W8A16"),),
        kv_cache="FP8",
        calibration={"source": "bundled", "text": "", "samples": 8, "max_length": 256, "seed": 3},
        options={"n_grid": 5},
    ), "what is the default is left out"


def test_text_is_asked_for_only_where_something_reads_it(home: Path) -> None:
    for more, reads in (
        ({"method": "rtn", "scheme": "W4A16"}, False),
        ({"method": "rtn", "scheme": "W4A16", "kv_cache": "FP8"}, True),
        ({"method": "fp8", "scheme": "FP8"}, True),
        ({"method": "fp8", "scheme": "FP8_DYNAMIC"}, False),
        ({"method": "gptq", "scheme": "W4A16"}, True),
    ):
        assert bool(spec(FORM | more).recipe.calibration) is reads, more


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"model": "nope nope"}, ""),
        ({"model": "smollm2:nf4"}, ""),
        ({"model": 3}, "model"),
        ({"method": "magic"}, ""),
        ({"group_size": "sixty"}, "group_size"),
        ({"kv_cache": "FP3"}, "kv_cache"),
        ({"name": "../../etc"}, ""),
        ({"name": "nf4"}, ""),
        ({"keep": ["re:.*down_proj$"]}, ""),
        ({"ignore": [f"layer{n}" for n in range(200)]}, "ignore"),
        ({"nonsense": 1}, "nonsense"),
        (calibrated(samples="many"), "samples"),
        (calibrated(samples=100_000), "samples"),
        (calibrated(source="/etc/passwd"), "source"),
        (calibrated(source="hub", hub="/etc/shadow.txt"), "hub"),
        (calibrated(source="hub"), "hub"),
        (calibrated(source="upload", upload="../../../etc/passwd.txt"), "upload"),
        (calibrated(source="pasted", text=["a"]), "text"),
        (calibrated(source="pasted", text=" "), "text"),
    ],
)
def test_nothing_that_the_browser_sends_is_trusted_and_an_error_names_its_field(
    home: Path, wrong: dict[str, Any], field: str
) -> None:
    with pytest.raises(PlaygroundError) as refused:
        open_original(spec(FORM | wrong).model)
    assert refused.value.field == field


def test_pasted_text_is_in_the_recipe_of_the_job(home: Path) -> None:
    form = calibrated(source="pasted", text="word " * 10_000)
    assert spec(form).recipe.calibration["text"] == "word " * 10_000


# ---- the methods on this machine


def on(monkeypatch: pytest.MonkeyPatch, device: str, capability: str | None = None) -> list[dict[str, Any]]:
    probe = machine.Probe(device, "x", 1, 1, "2", 2, None, capability)  # type: ignore[arg-type]
    monkeypatch.setattr(machine, "known", lambda: probe)
    monkeypatch.setattr(machine, "versions", lambda names: dict.fromkeys(names, "1"))
    shown = offer("smollm2", ["smollm2"])
    assert shown["default"] == shown["methods"][0]["name"]
    return list(shown["methods"])


def test_without_a_gpu_nothing_slow_is_preselected(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, *others = on(monkeypatch, "cpu")
    assert (first["name"], first["scheme"], first["calibration"]) == ("gguf", "Q4_K_M", "none")
    assert first["recommended"].startswith("llama.cpp runs it fast on a CPU")
    assert not [one["name"] for one in others if one["recommended"]]
    groups = [one["group"] for one in others]
    assert groups == sorted(groups, key=("plain", "calibrated").index), "those with a search come last"
    assert {one["name"] for one in others if one["group"] == "calibrated"} == {
        "gptq", "awq", "smoothquant", "autoround",
    }  # fmt: skip


def test_what_is_recommended_follows_the_gpu(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def names(capability: str) -> set[str]:
        return {one["name"] for one in on(monkeypatch, "cuda", capability) if one["recommended"]}

    assert names("8.0") == {"awq"} and names("8.9") == {"awq", "fp8"}
    assert set(recommended("cuda", "10.0")) == {"awq", "fp8"}, "compared as numbers, not as text"
    apple = on(monkeypatch, "mps")
    assert apple[0]["name"] == "gguf" and apple[-1]["group"] == "missing"
    assert apple[-1]["missing"].endswith("this device is mps.")


# ---- a file


LINES = "".join(
    json.dumps({"text": f"Sample {n}: " + "some words that are long enough. " * 3}) + "\n" for n in range(9)
)


def test_a_file_in_pieces_is_calibration_text(home: Path) -> None:
    uploads = Uploads()
    assert uploads.piece("a", "C:\\mine\\chat.JSONL", 0, False, LINES[:100].encode()) is None
    found = uploads.piece("a", "chat.jsonl", 1, True, LINES[100:].encode())
    assert found and (found.rows, found.skipped, found.bytes) == (9, 0, len(LINES))
    assert files.uploaded(found.token).read_text() == LINES
    asked = spec(calibrated(source="upload", upload=found.token, samples=9))
    assert asked.recipe.calibration["source"] == str(files.folder() / found.token)
    again = uploads.piece("b", "other.jsonl", 0, True, LINES.encode())
    assert again and again.token == found.token and len(list(files.folder().iterdir())) == 1


@pytest.mark.parametrize(
    ("name", "pieces", "said"),
    [
        ("weights.bin", [(0, "x")], "not a calibration file"),
        ("../x.txt/", [(0, "x")], "not a calibration file|is empty|usable"),
        ("a.jsonl", [(0, LINES), (2, LINES)], "part of the file is missing"),
        ("a.jsonl", [(1, LINES)], "part of the file is missing"),
        ("a.jsonl", [(0, LINES + "{broken\n")], "Line 10 of the file"),
        ("a.txt", [(0, " ")], "the file is empty"),
        ("a.txt", [(0, "\udcff\udcfe")], "not UTF-8"),
    ],
)
def test_a_file_that_cannot_be_used_says_so_and_leaves_nothing(
    home: Path, name: str, pieces: list[tuple[int, str]], said: str
) -> None:
    uploads = Uploads()
    *first, (number, text) = pieces
    for earlier, part in first:
        assert uploads.piece("a", name, earlier, False, part.encode()) is None
    with pytest.raises(InvalidCalibration, match=said):
        uploads.piece("a", name, number, True, text.encode(errors="surrogateescape"))
    assert not files.folder().exists() or not list(files.folder().iterdir())


def test_a_file_has_a_limit_and_so_has_their_number(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_BYTES", 1000)
    uploads = Uploads()
    uploads.piece("a", "a.txt", 0, False, b"x" * 900)
    with pytest.raises(InvalidCalibration, match="limit"):
        uploads.piece("a", "a.txt", 1, False, b"x" * 900)
    for key in range(files.MAX_OPEN):
        uploads.piece(str(key), "a.txt", 0, False, b"x")
    with pytest.raises(InvalidCalibration, match="Several"):
        uploads.piece("more", "a.txt", 0, False, b"x")
    monkeypatch.setattr(files, "STALE_S", 0.0)
    uploads.piece("more", "a.txt", 0, False, b"x")


# ---- words


def test_every_scheme_that_a_job_makes_is_said_in_words() -> None:
    for row in (row for row in TABLE if row.job):
        for scheme in row.schemes:
            assert scheme_words(scheme), (row.name, scheme)
    said = scheme_words
    assert said("W4A16_ASYM") == "4-bit integer weights with zero points, 16-bit activations"
    assert said("W8A8") == "8-bit integer weights, 8-bit activations, scaled while it runs"
    assert said("NVFP4") == ("4-bit floating-point weights in groups of 16, 4-bit activations, scales from calibration")
    assert said("Q4_K_M").startswith("4-bit weights, super-blocks") and said("no such scheme") == ""


def test_the_form_lists_every_method_and_says_what_is_missing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "versions", lambda names: dict.fromkeys(names))
    shown = offer("no such model", ["smollm2", "@mine/remote"])
    assert {one["name"] for one in shown["methods"]} == {row.name for row in TABLE if row.job}
    gptq = next(one for one in shown["methods"] if one["name"] == "gptq")
    assert gptq["missing"] == "llmcompressor not installed. Install it with: make setup"
    assert shown["calibration"]["bundled"] == len(list(calibration.bundled()))
    assert shown["error"]["code"] == "unknown_model" and shown["models"] == ["smollm2"]


def test_the_methods_are_described_in_the_fields_terms(home: Path) -> None:
    rows = {row.name: row for row in TABLE}
    assert rows["awq"].good_at.endswith("weights are not re-fitted.")
    assert rows["gguf"].good_at.endswith("computes directly on the quantized blocks.")
    assert rows["rtn"].hardware.endswith("no kernels for 3 and 2 bits: use only to study quality.")
    assert "Half the bytes" not in rows["fp8"].good_at and "the embedding keeps its 16 bits" in rows["fp8"].good_at
    speed = Speed(1.0, 10**8, 1e11, 1e11, 1e10, 1e-4, 1e-8, 1e8, 1e8)
    recipe = Recipe(method="rtn", scheme="W4A16")
    busy = estimate(open_original("smollm2"), recipe, Facts(speed, 10**11, 10**12, busy=3.3))
    assert "The machine is busy (3.3 other threads per core), so the upper time estimate is longer." in busy.reasons


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe(method="rtn", scheme="W4A16", group_size=64, ignore=("lm_head",)),
        Recipe(method="fp8", scheme="FP8_DYNAMIC"),
        Recipe(
            method="awq", scheme="W4A16_ASYM", group_size=32, ignore=("lm_head", "re:.*k_proj$"),
            keep=(("re:.*down_proj$", "W8A16"),), kv_cache="FP8", options={"n_grid": 5},
            calibration={"source": "owner/set:en:train", "text": "", "samples": 8, "max_length": 64, "seed": 5},
        ),
    ],
)  # fmt: skip
def test_the_command_is_one_that_the_command_line_takes(recipe: Recipe) -> None:
    line = command("smollm2", recipe, name="a b")
    words = shlex.split(line)
    assert words[:3] == ["python", "-m", "playground"]
    group = typer.main.get_command(cli.app)
    quantize = group.commands["quantize"]  # type: ignore[attr-defined]
    given = quantize.make_context("quantize", words[4:]).params
    assert (given["model"], given["method"], given["scheme"]) == ("smollm2", recipe.method, recipe.scheme)
    assert (given["group_size"], given["kv_cache"], given["name"]) == (recipe.group_size, recipe.kv_cache, "a b")
    assert list(given["ignore"] or ()) == [one for one in recipe.ignore if one != "lm_head"]
    assert list(given["keep"] or ()) == [f"{pattern}={scheme}" for pattern, scheme in recipe.keep]
    assert list(given["option"] or ()) == [f"{name}={value}" for name, value in recipe.options.items()]
    asked = recipe.calibration
    assert [given[key] for key in ("samples", "max_length", "seed")] == [
        asked.get(key) for key in ("samples", "max_length", "seed")
    ]
    assert given["calibration"] == asked.get("source")


def test_a_card_says_the_hash_of_what_the_method_read(home: Path) -> None:
    calibration = {**Calibration(samples=8).model_dump(mode="json"), "content_hash": "0123456789ab" + 52 * "c"}
    row = made(recipe={"method": "awq", "scheme": "W4A16_ASYM", "group_size": 64, "calibration": calibration})
    said = Board(FakeQueue(), Pushes()).state(cards=[row.id])["cards"][row.id]["calibration"]
    assert said == "8 samples of the bundled text, 256 tokens each, seed 0; sha256 of the token ids 0123456789ab…"


# ---- a job


def test_a_view_adds_up_what_the_worker_tells() -> None:
    view = View()
    view.take([{"at": 0.0, "kind": "stage", "stage": "loading", "done": 0, "total": 0, "unit": ""}], 1)
    assert view.left_s() is None
    stages = [{"at": at, "kind": "stage", "stage": "GPTQ", "done": done, "total": 30, "unit": "layers"}
              for at, done in ((10.0, 0), (30.0, 10))]  # fmt: skip
    told = [
        {"at": 31.0, "kind": "layer", "name": "a", "error": 0.5, "what": "GPTQ loss"},
        {"at": 31.0, "kind": "layer", "name": "a", "error": 0.1, "what": "relative weight error"},
        {"at": 31.0, "kind": "note", "text": "A sentence."},
        {"at": 31.0, "kind": "tomorrow's kind"},
    ]
    view.take([*stages, *told], 7)
    assert view.left_s() == pytest.approx(40.0)
    assert view.layers == {"GPTQ loss": [("a", 0.5)], "relative weight error": [("a", 0.1)]}
    assert (view.stages, view.notes, view.position) == (["loading", "GPTQ"], ["A sentence."], 7)


def test_a_memory_curve_stays_small_and_keeps_its_peak() -> None:
    view = View()
    for at in range(5000):
        view.take([{"at": float(at), "kind": "memory", "bytes": 9000 if at == 777 else at}], at)
    assert MAX_POINTS / 3 < len(view.memory) <= MAX_POINTS + 1 and view.peak == 9000
    assert view.memory[0][0] < 10 and view.memory[-1][0] > 4900
    times = [at for at, _ in view.memory]
    assert times == sorted(times)


def queued(queue: FakeQueue, method: str = "rtn", scheme: str = "W4A16", **more: Any) -> str:
    return queue.submit(QuantizeSpec(model="smollm2", recipe=Recipe(method=method, scheme=scheme), **more))


def test_the_board_lists_what_works_before_what_is_over(home: Path) -> None:
    queue = FakeQueue()
    failed, running, waiting, last = (queued(queue) for _ in range(4))
    queue.end(failed, "failed", InvalidCalibration("It broke.", hint="Mend it."))
    queue.start(running, ago=12)
    queue.stage(running, "saving", at=1.0)
    value = Board(queue, Pushes()).state()
    assert [(job["id"], job["state"], job["ahead"]) for job in value["jobs"]] == [
        (running, "running", 0),
        (waiting, "queued", 1),
        (last, "queued", 2),
        (failed, "failed", 0),
    ]
    assert value["active"] and 12 <= value["jobs"][0]["elapsed_s"] < 60
    assert value["jobs"][0]["stage"] == ["saving", 0, 0, ""]
    assert value["jobs"][3]["error"] == ["It broke.", "Mend it."]


def test_a_job_waits_for_those_of_other_pages_too(home: Path) -> None:
    queue = FakeQueue()
    queue.submit(DivergenceSpec(variants=("smollm2", "smollm2:nf4"), tokens=1024))
    queue.submit(DivergenceSpec(variants=("smollm2", "smollm2:nf4"), tokens=1024), "cuda")
    waiting = queued(queue)
    value = Board(queue, Pushes()).state()
    assert [(job["id"], job["ahead"]) for job in value["jobs"]] == [(waiting, 1)], "one device, one at a time"


def test_events_are_read_once_and_logs_only_where_they_are_open(home: Path) -> None:
    queue = FakeQueue()
    job, board = queued(queue), Board(queue, Pushes())
    queue.start(job)
    queue.logs[job] = "one\ntwo"
    asked: list[int] = []
    read = queue.events
    queue.events = lambda name, position=0: (asked.append(position), read(name, position))[1]  # type: ignore[method-assign]
    queue.tell(job, "memory", 1.0, bytes=5)
    assert board.state()["jobs"][0]["log"] is None
    queue.tell(job, "memory", 2.0, bytes=7)
    (shown,) = board.state(logs=[job, "nobody"])["jobs"]
    assert asked == [0, 1] and shown["memory"] == [(1.0, 5), (2.0, 7)] and shown["log"] == "one\ntwo"


def test_a_variant_takes_the_place_of_its_job(home: Path) -> None:
    queue = FakeQueue()
    job, row = queued(queue), made()
    queue.end(job, "done", result={"variant": row.id})
    value = Board(queue, Pushes()).state()
    assert not value["jobs"] and not value["active"] and not value["cards"]
    (shown,) = value["variants"]
    assert (shown["id"], shown["label"], shown["before"]) == (row.id, "AWQ W4A16_ASYM", 269_030_016)
    assert value["disk"]["used"] == shown["on_disk"] > 1_000_000
    variants.remove(row.id)
    assert [one["state"] for one in Board(queue, Pushes()).state()["jobs"]] == ["done"]


def test_a_card_has_recipe_command_and_where_it_hurt(home: Path) -> None:
    row = made()
    card = Board(FakeQueue(), Pushes()).state(cards=[row.id])["cards"][row.id]
    assert card["recipe"].startswith("default_stage:") and "--method awq" in card["command"]
    assert len(card["layers"]) == 9 and card["hurt"].startswith("down_proj loses most (6.1%")
    assert card["estimate"]["after"] == 113_928_096, "the estimate is exact"
    assert card["json"]["recipe"]["method"] == "awq"


def test_a_recipe_is_read_from_the_variants_own_folder_only(home: Path) -> None:
    secret = home / "secret.yaml"
    secret.write_text("secret: 1")
    row = made(card={"recipe_path": str(secret)})
    card = Board(FakeQueue(), Pushes()).state(cards=[row.id])["cards"][row.id]
    assert "secret" not in card["recipe"] and "method: awq" in card["recipe"]


def test_all_heat_maps_have_one_scale(home: Path) -> None:
    small = [one | {"relative_error": one["relative_error"] / 4} for one in layers()]
    low, high = made("low", card={"layers": small}), made("high")
    made("unmeasured", card={"layers": []})
    state = Board(FakeQueue(), Pushes()).state(cards=[low.id, high.id])
    domains = []
    for row in (low, high):
        heat = state["cards"][row.id]["heat"]
        assert heat["high"] == pytest.approx(0.062)
        (opacity,) = (mark["encoding"]["opacity"] for mark in heat["spec"]["layer"] if "opacity" in mark["encoding"])
        domains.append(opacity["scale"]["domain"])
    assert domains == [[0.0, pytest.approx(0.062)]] * 2
    worst = {one["name"]: one["worst"] for one in state["variants"]}
    assert worst["high"] == ("model.layers.2.mlp.down_proj", pytest.approx(0.062)) and worst["unmeasured"] is None


def test_where_it_hurt() -> None:
    rows = [[one["name"], one["relative_error"], one["snr_db"]] for one in layers()]
    assert error_summary(rows) == (
        "down_proj loses most (6.1% on average), q_proj least (2.1%). "
        "Worst in model.layers.2.mlp.down_proj: 6.2% of the weight’s norm."
    )
    same = [[name, 0.09 + error / 100, None] for name, error, _ in rows]
    assert error_summary(same).startswith("All kinds of layers lose about the same, 9.0% to 9.1% on average.")
    assert error_summary([]) == ""


# ---- over HTTP: who may do what


class Page:
    """A client of one served page."""

    def __init__(self, url: str) -> None:
        self.http = httpx.Client(base_url=url.rstrip("/"), timeout=60)

    def get(self, path: str, headers: dict[str, str] | None = None, **query: Any) -> Any:
        return self.http.get(f"/api/{path}", params=query, headers=headers).json()

    def post(self, path: str, body: Any, headers: dict[str, str] | None = None) -> Any:
        return self.http.post(f"/api/{path}", json=body, headers=headers).json()

    def upload(self, name: str, data: bytes, headers: dict[str, str] | None = None, **query: Any) -> Any:
        query = {"name": name, "upload": "one"} | query
        return self.http.post("/api/quantize/upload", params=query, content=data, headers=headers).json()


@pytest.fixture
def queue(home: Path, monkeypatch: pytest.MonkeyPatch) -> FakeQueue:
    monkeypatch.setattr("playground.jobs.queue.best_device", lambda: "cpu")
    return FakeQueue()


@pytest.fixture
def page(queue: FakeQueue) -> Iterator[Page]:
    with serving(FakeEngine(), queue=queue) as url:
        client = Page(url)
        yield client
        client.http.close()
    assert queue.closed


def test_from_the_form_to_a_job_to_its_end(page: Page, queue: FakeQueue) -> None:
    form = page.get("quantize/form")
    assert form["model"] == "smollm2" and form["methods"] and form["error"] is None
    cost = page.post("quantize/estimate", FORM)
    assert (cost["name"], cost["after"]) == ("smollm2:awq-w4a16_asym-g64", 113_928_096)
    assert cost["error"] is None and cost["exact"] and cost["group"].startswith("Group size 64")
    assert page.get("quantize/board")["jobs"] == []
    begun = page.post("quantize/start", FORM)
    assert begun["state"] == "queued" and begun["spec"]["recipe"]["group_size"] == 64
    (job,) = page.get("quantize/board")["jobs"]
    assert (job["id"], job["state"], job["title"]) == (begun["id"], "queued", "AWQ W4A16_ASYM")
    recipe = queue.jobs[job["id"]].spec["recipe"]
    assert recipe["group_size"] == 64 and recipe["ignore"] == ["lm_head"], "the job's recipe has nothing left open"
    queue.start(job["id"])
    page.post("jobs/cancel", {"id": job["id"]})
    assert page.get("quantize/board")["jobs"][0]["stopping"]
    queue.end(job["id"], "cancelled")
    page.post("jobs/again", {"id": job["id"]})
    assert [one["state"] for one in page.get("quantize/board")["jobs"]] == ["queued", "cancelled"]
    assert page.post("jobs/cancel", {"id": "nobody"})["error"]["message"] == "There is no job 'nobody'."


def test_what_cannot_work_is_refused_with_a_hint(page: Page, queue: FakeQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = page.post("quantize/estimate", FORM | {"method": "fp8", "scheme": "FP8_BLOCK"})["error"]
    assert refused["message"].startswith("FP8_BLOCK needs input dimensions divisible by 128")
    wrong = page.post("quantize/estimate", FORM | {"group_size": "many"})["error"]
    assert (wrong["message"], wrong["field"]) == ("Group size is 'many'.", "group_size")
    full = Facts(None, 10**12, 10**6)
    monkeypatch.setattr(api, "facts", lambda **_: full)
    monkeypatch.setattr("playground.quantize.job.facts", lambda *_, **__: full)
    cost = page.post("quantize/estimate", FORM)
    assert "the disk has 1 MB free" in cost["error"]["message"] and cost["after"]
    begun = page.post("quantize/start", FORM)
    assert "the disk has 1 MB free" in begun["error"]["message"] and not queue.jobs


def test_the_machine_is_only_measured_where_that_is_asked_for(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []
    monkeypatch.setattr(api, "facts", lambda *, measure: (asked.append(measure), Facts(None, 10**12, 10**12))[1])
    page.post("quantize/estimate", FORM)
    page.post("quantize/estimate", FORM | {"measure": True})
    assert asked == [False, True]


def test_a_file_arrives_in_pieces_of_plain_bytes(page: Page, queue: FakeQueue) -> None:
    data = LINES.encode()
    assert page.upload("chat.jsonl", data[:100], number=0, last=False) == {"number": 0}
    found = page.upload("chat.jsonl", data[100:], number=1, last=True)
    assert (found["rows"], found["skipped"]) == (9, 0)
    page.post("quantize/start", calibrated(source="upload", upload=found["token"], samples=9))
    (job,) = queue.list()
    assert Path(job.spec["recipe"]["calibration"]["source"]).read_bytes() == data
    large = page.upload("a.txt", b"x" * (files.PIECE_BYTES + 1))["error"]
    assert large["code"] == "invalid_calibration" and "several pieces" in large["hint"]
    assert page.upload("a.bin", b"x")["error"]["message"] == "'a.bin' is not a calibration file."


def test_only_an_upload_may_have_a_large_body(page: Page, queue: FakeQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLAYGROUND_MAX_PROMPT_CHARS", "10000")
    text = "word " * 100_000
    answer = page.http.post("/api/quantize/start", json=calibrated(source="pasted", text=text))
    assert answer.status_code == 413 and not queue.jobs
    assert page.upload("pasted.txt", text.encode())["rows"]


def test_deleting_removes_the_files_and_says_what_is_left(page: Page) -> None:
    row = made()
    before = page.get("quantize/board")["disk"]["used"]
    page.post("quantize/remove", {"id": row.id})
    after = page.get("quantize/board")
    assert before > 1_000_000 and after["disk"]["used"] == 0 and not after["variants"]
    assert not Path(row.path).exists()
    assert page.post("quantize/remove", {"id": row.id})["error"]["message"]


def test_a_store_that_cannot_be_read_says_so(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> list[Any]:
        raise OSError("disk")

    made()
    monkeypatch.setattr(variants, "all_variants", broken)
    answer = page.http.get("/api/quantize/board")
    assert answer.status_code == 503
    assert answer.json()["error"]["message"] == "The jobs and variants cannot be read."


def test_the_files_come_as_one_archive(page: Page) -> None:
    row = made()
    answer = page.http.get("/api/quantize/files", params={"variant": row.id})
    assert answer.status_code == 200 and int(answer.headers["content-length"]) == len(answer.content)
    with tarfile.open(fileobj=io.BytesIO(answer.content)) as archive:
        sizes = {Path(one.name).name: one.size for one in archive.getmembers()}
    assert sizes["model.safetensors"] == 1_000_000 and set(sizes) == {
        "model.safetensors",
        "recipe.yaml",
        "playground.json",
    }
    for nobody in ("nope", row.path, "../../etc", ""):
        assert page.http.get("/api/quantize/files", params={"variant": nobody}).status_code == 404


@pytest.mark.parametrize("headers", [{"X-Forwarded-For": "10.0.0.1"}, {"Via": "1.1 proxy"}])
def test_nobody_else_starts_ends_sends_or_deletes_anything(
    page: Page, queue: FakeQueue, headers: dict[str, str]
) -> None:
    row = made()
    job = queued(queue)
    for path, body in (
        ("quantize/start", FORM),
        ("quantize/estimate", FORM | {"measure": True}),
        ("quantize/estimate", FORM | {"ignore": ["re:(a+)+$"]}),
        ("jobs/cancel", {"id": job}),
        ("jobs/again", {"id": job}),
        ("quantize/remove", {"id": row.id}),
    ):
        refused = page.post(path, body, headers)["error"]
        assert refused["code"] == "owner_only", path
    assert page.upload("a.jsonl", LINES.encode(), headers)["error"]["code"] == "owner_only"
    recipe = row.recipe | {"calibration": {"source": "/secret/text.txt", "text": "my own words"}}
    made("other", recipe=recipe)
    queue.logs[job] = "a log"
    asked: dict[str, Any] = {"log": [job], "card": ["smollm2:other", row.id]}
    seen, own = page.get("quantize/board", headers, **asked), page.get("quantize/board", **asked)
    private = (str(Path(row.path).parent), "secret", "own words", "a log")
    assert not [word for word in private if word in json.dumps(seen)]
    assert len(seen["cards"]) == 2 and own["variants"][-1]["path"] == row.path and own["jobs"][0]["log"] == "a log"
    assert list(queue.jobs) == [job] and queue.jobs[job].state == "queued" and Path(row.path).exists()
    assert not files.folder().exists()
    assert page.http.get("/api/quantize/files", params={"variant": row.id}, headers=headers).status_code == 403
