"""The divergence job: what it stores, what it warns of, what it refuses; the command line through a real worker."""

from __future__ import annotations

import json
import struct
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from playground import cli as cli_module
from playground import machine, models
from playground.engines.subjects import Subject
from playground.errors import (
    EvaluationError,
    InvalidRequest,
    PlaygroundError,
    UnknownModel,
    UnknownVariant,
)
from playground.evaluate import cli as evaluate_cli
from playground.evaluate import divergence, divergence_job, tables, trust
from playground.evaluate.spec import DivergenceSpec
from playground.jobs import kinds, progress
from playground.settings import settings
from playground.store import folders, jobs, runs, variants
from playground.store.schema import StoredVariant
from playground.texts import prose
from playground.texts.calibration import bundled as bundled_calibration
from tests.fakes.gguf import text_field, write_gguf
from tests.fakes.model import make_tiny

pytestmark = pytest.mark.filterwarnings("ignore")  # transformers' own, of GGUF files and tiny models
PROBE = machine.Probe("cpu", "a processor", 2**34, 2**33, "2.13.0", 2, 1e10)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(autouse=True)
def _no_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "probe", lambda: PROBE)


def run(spec: DivergenceSpec, job_id: str = "job") -> dict[str, Any]:
    """The body in the folder of a job."""
    folder = folders.job(job_id)
    folder.mkdir(parents=True)
    told = progress.Report(folder)
    try:
        return divergence_job.run(spec, folder, told)
    finally:
        told.close()


def store(model: Path, name: str, path: Path, **recipe: Any) -> str:
    """A variant as a quantize job leaves it."""
    row = StoredVariant(
        id=f"{model}:{name}", model=str(model), name=name, method="gptq", scheme="W4A16", group_size=32, path=str(path),
        bytes=1, bits_per_weight=4.5, parameters=1, content_hash="ab" * 32, recipe={"method": "gptq", **recipe},
        parent={"id": str(model), "content_hash": "cd"}, card={}, job_id=None, created_at=time.time(),
    )  # fmt: skip
    variants.add(row)
    return row.id


def test_a_run_is_stored_and_the_work_is_gone(home: Path, tiny: Path) -> None:
    spec = DivergenceSpec(variants=(str(tiny), f"{tiny}:fp32", f"{tiny}:nf4"), tokens=400, max_length=64)
    result = run(spec)
    found = runs.get(result["run"])
    assert (found.kind, found.model, found.job_id) == ("divergence", str(tiny), "job")
    assert found.settings == {"text": "bundled prose", "tokens": 400, "max_length": 64}
    own, floor, fp32, nf4 = found.result["rows"]
    assert [row["variant"] for row in found.result["rows"]] == [str(tiny), "noise-floor", f"{tiny}:fp32", f"{tiny}:nf4"]
    assert own["kld_mean"] == 0 and own["tokens"] == 400
    assert fp32["kld_mean"] == floor["kld_mean"] < nf4["kld_mean"]
    documents = found.result["text"]["documents"]
    assert found.result["text"] == {
        "name": "bundled prose", "hash": prose.text("bundled").hash, "documents": documents, "tokens": 400,
    }  # fmt: skip
    reference, cast, small = found.variants
    assert (reference["id"], reference["dtype"], cast["dtype"]) == (str(tiny), "bfloat16", "float32")
    assert small["loaded_bytes"] < reference["loaded_bytes"] < cast["loaded_bytes"]
    assert len({one["content_hash"] for one in found.variants}) == 3, "not the same weights, though of one file"
    assert {one["engine"] for one in found.variants} == {"transformers"} and small["kernel"]
    assert found.result["warnings"] == []
    assert set(found.result["seconds"]) == {"text", "variants", "divergence", "total"}
    assert found.device["name"] == "a processor" and found.versions["torch"]
    assert list((settings().cache / "evaluations").iterdir()) == []
    json.dumps(found.as_row(), allow_nan=False)


def test_it_goes_on_where_it_was_cut_off(
    home: Path, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"text": one.text[:200]} for one in prose.bundled()[:4]]
    (tmp_path / "short.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    spec = DivergenceSpec(
        variants=(str(tiny), f"{tiny}:nf4"), text=str(tmp_path / "short.jsonl"), tokens=0, max_length=64
    )
    expected = runs.get(run(spec, "whole")["run"]).result["rows"]
    write, left = divergence.DocumentFiles.write, [6]

    def ends(self: Any, number: int, document: Any) -> None:
        if not left[0]:
            raise MemoryError
        left[0] -= 1
        write(self, number, document)

    monkeypatch.setattr(divergence.DocumentFiles, "write", ends)
    with pytest.raises(MemoryError):
        run(spec, "cut")
    monkeypatch.setattr(divergence.DocumentFiles, "write", write)
    assert runs.of_job("cut") is None
    (place,) = (settings().cache / "evaluations").iterdir()
    assert len(list(place.rglob("*.npz"))) == 6
    assert runs.get(run(spec, "again")["run"]).result["rows"] == expected
    assert not place.exists()


@pytest.mark.slow
def test_a_gguf_file_is_unpacked_and_that_is_said(home: Path) -> None:
    """The bundled file itself: the reference was restored from it, so nothing diverges."""
    found = runs.get(run(DivergenceSpec(variants=("smollm2", "smollm2:q4_1"), tokens=60, max_length=32))["run"])
    (warning,) = found.result["warnings"]
    assert warning["variants"] == ["smollm2:q4_1"] and "without llama.cpp's own arithmetic" in warning["text"]
    assert found.result["rows"][2]["kld_max"] < 1e-5


def test_a_variant_that_was_calibrated_on_the_text_is_named(home: Path, tiny: Path, tmp_path: Path) -> None:
    rows = [{"text": one.plain} for one in bundled_calibration()][:3]
    (tmp_path / "text.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    used = {"source": str(tmp_path / "text.jsonl"), "text": "", "samples": 3, "max_length": 64, "seed": 0}
    gone = used | {"source": str(tmp_path / "gone.jsonl")}
    on_it = store(tiny, "on-it", tiny, calibration=used | {"content_hash": "ef"})
    lost = store(tiny, "lost", tiny, calibration=gone)
    apart = store(tiny, "apart", tiny, calibration={})
    asked = DivergenceSpec(
        variants=(str(tiny), on_it, lost, apart), text=str(tmp_path / "text.jsonl"), tokens=200, max_length=64
    )
    said = {tuple(one["variants"]): one["text"] for one in runs.get(run(asked)["run"]).result["warnings"]}
    assert set(said) == {(), (on_it,), (lost,)}
    assert "3 of the 3 documents of text.jsonl share text with the bundled calibration samples" in said[()]
    assert "3 of the 3 documents share" in said[on_it,]
    assert "cannot be compared" in said[lost,]
    elsewhere = Subject(f"{on_it}@vllm", "vllm", models.variant(on_it), None, "")
    (found,) = trust.warnings(prose.text(asked.text), [elsewhere])
    assert found.concerns(f"{on_it}@vllm", "gsm8k"), "by the name that its rows have"


def test_what_it_refuses(home: Path, tiny: Path) -> None:
    with pytest.raises(InvalidRequest, match="nothing to compare"):
        DivergenceSpec(variants=(str(tiny),))
    with pytest.raises(InvalidRequest, match="named twice"):
        DivergenceSpec(variants=("a", "b", "b"))
    for more in ({"tokens": -1}, {"tokens": True}, {"max_length": 8}, {"max_length": 10**6}):
        with pytest.raises(InvalidRequest, match="whole number"):
            DivergenceSpec(variants=("a", "b"), **more)
    with pytest.raises(EvaluationError, match="measured in transformers, not in vllm"):
        run(DivergenceSpec(variants=(str(tiny), f"{tiny}:nf4@vllm")), "vllm")
    with pytest.raises(PlaygroundError):
        run(DivergenceSpec(variants=(str(tiny), "@nowhere/model")), "remote")


def test_a_spec_comes_back_from_the_store() -> None:
    spec = DivergenceSpec(variants=("smollm2", "smollm2:nf4"), text="owner/name:test", tokens=0, max_length=256)
    assert DivergenceSpec.from_stored(json.loads(json.dumps(spec.model_dump(mode="json")))) == spec
    assert spec.title == "smollm2 · divergence of smollm2:nf4"
    assert kinds.kind(spec.kind).Spec.from_stored(spec.model_dump(mode="json")) == spec
    assert kinds.kind("divergence").run is divergence_job.run


def kld(*arguments: str) -> Any:
    done = CliRunner().invoke(cli_module.app, ["kld", *arguments], catch_exceptions=False, standalone_mode=False)
    if isinstance(done.exception, PlaygroundError):
        raise done.exception
    return done


def test_the_command_line_through_a_real_worker(
    home: Path, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    evil = "<img src=x onerror=alert(1)> [red]and the rest of what the visitor wrote into the form[/red]."
    (tmp_path / "[b]evil.txt").write_text(evil)
    monkeypatch.chdir(tmp_path)
    done = kld(str(tiny), f"{tiny}:fp32", "--text", "[b]evil.txt", "--max-length", "64", "--json")
    rows = json.loads(done.stdout)
    assert [row["variant"] for row in rows] == [str(tiny), "noise-floor", f"{tiny}:fp32"]
    assert {"tokens", "ppl", "ppl_ratio", "kld_mean", "kld_median", "kld_p99", "kld_max", "kld_stderr"} <= set(rows[0])
    (job,) = jobs.all_jobs()
    assert job.state == "done" and job.spec["text"] == str(tmp_path / "[b]evil.txt")
    assert "comparing noise-floor (1 of 2)" in done.stderr and "were asked for" in done.stderr
    stored = runs.get(job.result["run"] if job.result else "")
    evaluate_cli.out.print(tables.divergence_table(stored))
    assert "[b]evil.txt" in capfd.readouterr().out, "a name is no markup"
    assert evaluate_cli.noise_sentences(stored) == [
        f"noise-floor: {tiny} in float32 against itself in bfloat16.",
        f"{tiny}:fp32 is inside it: two ways to compute the reference differ as much.",
    ]


def test_what_is_wrong_is_said_before_anything_is_queued(home: Path, tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.txt").touch()
    (tmp_path / "noise.txt").write_bytes(bytes(range(256)))
    with pytest.raises(EvaluationError, match="is empty"):
        kld(str(tiny), f"{tiny}:nf4", "--text", str(tmp_path / "empty.txt"))
    with pytest.raises(EvaluationError, match="is not UTF-8 text"):
        kld(str(tiny), f"{tiny}:nf4", "--text", str(tmp_path / "noise.txt"))
    with pytest.raises(EvaluationError, match="does not exist"):
        kld(str(tiny), f"{tiny}:nf4", "--text", str(tmp_path / "none.txt"))
    with pytest.raises(UnknownVariant):
        kld(str(tiny), f"{tiny}:nf9")
    with pytest.raises(UnknownModel):
        kld("nobody", f"{tiny}:nf4")
    experts = text_field("llama.expert_count") + struct.pack("<II", 4, 8)
    file = write_gguf(tmp_path / "mixture.gguf", extra=experts, extra_fields=1)
    with pytest.raises(EvaluationError, match=r"its GGUF reader ignores expert_count \(8\)"):
        kld(str(tiny), str(file))
    assert not jobs.all_jobs()
