"""The body of a quantize job on tiny real models, through the real llm-compressor."""

from __future__ import annotations

import json
import queue
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from safetensors.torch import load_file

from playground.errors import (
    BrokenCheckpoint,
    Cancelled,
    InvalidRecipe,
    InvalidRequest,
    PlaygroundError,
    QuantizeFailed,
    ReloadMismatch,
)
from playground.jobs import progress as jobs_progress
from playground.methods.recipe import Recipe
from playground.metrics.weights import content_hash
from playground.models import checkpoint
from playground.quantize import compressor, probe, reload
from playground.quantize import job as quantize_job
from playground.quantize.recipes import complete
from playground.quantize.spec import QuantizeSpec
from playground.store import folders, runs, variants
from playground.texts import files
from tests.fakes import tiny_models

pytestmark = pytest.mark.filterwarnings("ignore")  # llm-compressor's and transformers' own
CALIBRATION = {"source": "bundled", "samples": 4, "max_length": 48, "seed": 0}
Job = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Each architecture is made once."""
    made: dict[str, Path] = {}
    base = tmp_path_factory.mktemp("models")

    def model(kind: str) -> Path:
        if kind not in made:
            made[kind] = tiny_models.make(base / kind.lower(), kind)
        return made[kind]

    return model


@pytest.fixture
def same_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check without the seconds that a fresh process takes to import torch; one test below has the real one."""
    monkeypatch.setattr(quantize_job, "in_fresh_process", reload.reload)


@pytest.fixture
def job(home: Path) -> Job:
    """Runs the body in the folder of a job."""

    def run(model: Path | str, recipe: Recipe, job_id: str = "job", **more: Any) -> dict[str, Any]:
        folder = folders.job(job_id)
        folder.mkdir(parents=True)
        told = jobs_progress.Report(folder)
        try:
            return quantize_job.run(QuantizeSpec(model=str(model), recipe=recipe, **more), folder, told)
        finally:
            told.close()

    return run


def events(name: str = "job") -> list[dict[str, Any]]:
    return jobs_progress.read(folders.job(name))[0]


def test_end_to_end_with_a_fresh_process(models: Callable[[str], Path], job: Job) -> None:
    source = models("Llama")
    result = job(source, Recipe(method="rtn", scheme="W4A16"))
    path = Path(result["path"])
    assert result["variant"] == f"{source}:rtn-w4a16-g128"
    assert path.parent == folders.variants()
    assert result["bytes_after"] < result["bytes_before"]
    assert result["content_hash"] == content_hash(path)
    assert result["reload"]["relative_logit_error"] < 0.01
    assert len(result["layers"]) == 14
    assert all(0.02 < row["relative_error"] < 0.3 and row["snr_db"] > 10 for row in result["layers"])
    run = runs.get(result.pop("run"))
    assert json.loads((path / folders.MARKER).read_text())["result"] == result
    assert (run.kind, run.job_id, run.result["row"]["bytes_after"]) == ("quantization", "job", result["bytes_after"])
    assert [one["content_hash"] for one in run.variants] == [content_hash(source), result["content_hash"]]
    assert run.result["layers"] == result["layers"] and run.result["card"]["path"] is None
    stored = variants.get(result["variant"])
    assert stored is not None
    assert (stored.path, stored.content_hash, stored.job_id) == (str(path), result["content_hash"], "job")
    assert stored.parent == {"id": str(source), "content_hash": content_hash(source)}
    assert (path / "tokenizer.json").read_bytes() == (source / "tokenizer.json").read_bytes()
    assert not folders.partial("job").exists()
    stages = [event["stage"] for event in events() if event["kind"] == "stage"]
    assert stages[0] == "loading the model"
    assert stages[-2:] == ["reloading it in a fresh process", "checksums"]


@pytest.mark.usefixtures("same_process")
@pytest.mark.parametrize(
    ("method", "scheme", "low", "high"),  # bounds of the mean relative weight error
    [
        ("gptq", "W4A16", 0.05, 0.3),
        ("awq", "W4A16_ASYM", 0.05, 0.2),
        ("smoothquant", "W8A8", 0.002, 0.02),
        ("fp8", "FP8_DYNAMIC", 0.01, 0.05),
        ("fp8", "FP8", 0.01, 0.05),
        ("fp8", "FP8_BLOCK", 0.01, 0.05),
        ("nvfp4", "NVFP4A16", 0.05, 0.2),
        ("nvfp4", "NVFP4", 0.05, 0.2),
        ("mxfp", "MXFP4", 0.05, 0.2),
        ("mxfp", "MXFP8A16", 0.01, 0.05),
        ("spinquant", "W4A16", 0.05, 0.2),
        ("rtn", "W2A16", 0.3, 0.8),
    ],
)
def test_every_method(
    models: Callable[[str], Path], job: Job, method: str, scheme: str, low: float, high: float
) -> None:
    result = job(models("Llama"), Recipe(method=method, scheme=scheme, calibration=CALIBRATION))
    assert low < sum(row["relative_error"] for row in result["layers"]) / 14 < high
    assert result["reload"]["top1_agreement"] > 0.9
    assert result["bytes_after"] < 0.7 * result["bytes_before"]
    stored = variants.get(result["variant"])
    assert stored is not None
    needs_text = method in ("gptq", "awq", "smoothquant") or scheme in ("FP8", "NVFP4")
    assert bool(stored.recipe["calibration"]) is needs_text
    if needs_text:
        assert len(stored.recipe["calibration"]["content_hash"]) == 64


@pytest.mark.usefixtures("same_process")
@pytest.mark.parametrize("kind", ["Qwen2", "Qwen3", "Gemma3Text", "Qwen3Moe"])
@pytest.mark.parametrize(("method", "scheme"), [("rtn", "W4A16"), ("fp8", "FP8_DYNAMIC")])
def test_architectures(models: Callable[[str], Path], job: Job, kind: str, method: str, scheme: str) -> None:
    result = job(models(kind), Recipe(method=method, scheme=scheme))
    assert result["reload"]["kld_mean"] < 1e-3
    assert len(result["layers"]) == (32 if kind == "Qwen3Moe" else 14)


@pytest.mark.parametrize(("kind", "differs"), [("Mistral", True), ("Gemma3Text", False)])
def test_a_window_that_llama_cpp_does_not_have_is_noted(
    models: Callable[[str], Path], job: Job, kind: str, differs: bool
) -> None:
    notes = " ".join(job(models(kind), Recipe(method="gguf", scheme="F16"))["notes"])
    assert ("llama.cpp answers otherwise past 64 tokens" in notes) is differs


@pytest.mark.usefixtures("same_process")
@pytest.mark.parametrize(("method", "scheme"), [("rtn", "W4A16"), ("fp8", "FP8_DYNAMIC")])
def test_the_router_of_a_mixture_stays_as_it_is(
    models: Callable[[str], Path], job: Job, method: str, scheme: str
) -> None:
    """AFMoE's is a layer inside the router's module: quantized, it could not be loaded again."""
    result = job(models("Afmoe"), Recipe(method=method, scheme=scheme))
    assert result["reload"]["kld_mean"] < 1e-2
    assert not [row["name"] for row in result["layers"] if "router" in row["name"]]


@pytest.mark.usefixtures("same_process")
def test_a_mixture_in_a_scheme_that_its_experts_cannot_have(models: Callable[[str], Path], job: Job) -> None:
    """What the refusal recommends: the experts in another one."""
    result = job(models("Qwen3Moe"), Recipe(method="nvfp4", scheme="NVFP4A16", keep=(("re:.*experts.*", "W8A16"),)))
    assert result["reload"]["kld_mean"] < 1e-3
    assert len(result["layers"]) == 32


@pytest.mark.usefixtures("same_process")
def test_mixtral_through_bitsandbytes(models: Callable[[str], Path], job: Job) -> None:
    """As the refusal of llm-compressor's methods recommends."""
    assert job(models("Mixtral"), Recipe(method="bitsandbytes", scheme="nf4"))["reload"]["kld_mean"] < 1e-6


@pytest.mark.usefixtures("same_process")
@pytest.mark.xfail(
    strict=True,
    raises=InvalidRecipe,
    reason="transformers cannot load these mixtures again: What people bring mends it",
)
@pytest.mark.parametrize(
    ("kind", "method", "scheme"),
    [
        ("Mixtral", "rtn", "W4A16"),
        ("Mixtral", "fp8", "FP8_DYNAMIC"),
        ("Qwen3Moe", "rtn", "W4A16_ASYM"),
        ("Qwen3Moe", "smoothquant", "W8A8"),
        ("Qwen3Moe", "nvfp4", "NVFP4A16"),
        ("Qwen3Moe", "mxfp", "MXFP8A16"),
    ],
)
def test_mixtures_that_are_refused(
    models: Callable[[str], Path], job: Job, kind: str, method: str, scheme: str
) -> None:
    assert job(models(kind), Recipe(method=method, scheme=scheme, calibration=CALIBRATION))["reload"]["kld_mean"] < 1e-2


@pytest.mark.usefixtures("same_process")
def test_qwen2_through_awq(models: Callable[[str], Path], job: Job) -> None:
    result = job(models("Qwen2"), Recipe(method="awq", scheme="W4A16_ASYM", calibration=CALIBRATION))
    assert result["reload"]["relative_logit_error"] < 0.01
    assert any(event.get("what") == "AWQ output error (MSE)" for event in events())
    done = [event["done"] for event in events() if event.get("stage") == "searching AWQ scales (1 of 2)"]
    assert done == sorted(done)
    assert len(set(done)) > 50  # each scale that is tried moves it, not only each layer


def test_what_was_decided_for_the_recipe_is_told_before_the_work(
    models: Callable[[str], Path], job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise Cancelled("Stopped.")

    monkeypatch.setattr(quantize_job, "_make", stop)
    recipe = Recipe(method="rtn", scheme="W4A16")
    with pytest.raises(Cancelled):
        job(models("Llama"), recipe)
    reasons = complete(checkpoint.from_path("llama", models("Llama")), recipe).reasons
    assert reasons and [event["text"] for event in events() if event["kind"] == "note"] == list(reasons)


@pytest.mark.usefixtures("same_process")
def test_gptq_tells_layers_losses_and_batches(models: Callable[[str], Path], job: Job) -> None:
    job(models("Llama"), Recipe(method="gptq", scheme="W4A16", calibration=CALIBRATION))
    losses = [event for event in events() if event.get("what") == "GPTQ loss"]
    assert len({event["name"] for event in losses}) == 14
    assert all(event["error"] > 0 for event in losses)
    progress = [event for event in events() if event.get("stage") == "quantizing with GPTQ" and event["total"]]
    done = [event["done"] for event in progress]
    assert done == sorted(done)
    assert done[-1] == progress[-1]["total"] == 3  # two layers, and what is after them


@pytest.mark.usefixtures("same_process")
@pytest.mark.parametrize(("method", "scheme", "layers"), [("gguf", "Q4_K_M", 15), ("bitsandbytes", "nf4", 14)])
def test_methods_that_write_by_themselves_tell_what_each_layer_lost(
    models: Callable[[str], Path], job: Job, method: str, scheme: str, layers: int
) -> None:
    result = job(models("Llama"), Recipe(method=method, scheme=scheme))
    assert len(result["layers"]) == layers
    assert all(0.001 < row["relative_error"] < 0.15 and row["snr_db"] > 16 for row in result["layers"])
    told = [event for event in events() if event["kind"] == "layer"]
    assert [event["name"] for event in told] == [row["name"] for row in result["layers"]]
    assert {event["what"] for event in told} == {"relative weight error"}
    answers = [note for note in result["notes"] if "llama.cpp loaded the file" in note]
    assert len(answers) == (method == "gguf")
    assert (result["llamacpp"] is None) is (method != "gguf")
    stored = variants.get(result["variant"])
    assert stored is not None and stored.card["layers"] == result["layers"]


@pytest.mark.usefixtures("same_process")
@pytest.mark.parametrize(
    ("method", "scheme", "most"),
    [("bitsandbytes", "nf4", 0.11), ("bitsandbytes", "int8", 0.01), ("gguf", "Q8_0", 0.01)],
)
def test_gpt2_keeps_its_projections_transposed(
    models: Callable[[str], Path], job: Job, method: str, scheme: str, most: float
) -> None:
    result = job(models("GPT2"), Recipe(method=method, scheme=scheme))
    errors = {row["name"]: row["relative_error"] for row in result["layers"]}
    assert len(errors) >= 8 and max(errors.values()) < most
    assert result["llamacpp"]["regret"] < 0.1 if method == "gguf" else result["reload"]["kld_mean"] < 1e-6


@pytest.mark.usefixtures("same_process")
def test_mixed_schemes_and_a_cache(models: Callable[[str], Path], job: Job) -> None:
    keep = (("re:.*down_proj$", "W8A16"), (r"re:.*layers\.0\.self_attn.*", "BF16"))
    recipe = Recipe(method="rtn", scheme="W4A16", keep=keep, kv_cache="FP8", calibration=CALIBRATION)
    result = job(models("Llama"), recipe)
    errors = {row["name"]: row["relative_error"] for row in result["layers"]}
    assert len(errors) == 10
    assert errors["model.layers.0.mlp.down_proj"] < 0.02 < errors["model.layers.0.mlp.up_proj"]
    config = json.loads((Path(result["path"]) / "config.json").read_text())["quantization_config"]
    assert config["kv_cache_scheme"]["num_bits"] == 8
    scales = {k: float(v) for k, v in load_file(Path(result["path"]) / "model.safetensors").items() if "v_scale" in k}
    assert len(scales) == 2 and all(1e-5 < scale < 1 for scale in scales.values()), "one that is left out is never set"


@pytest.mark.usefixtures("same_process")
def test_a_cache_scale_that_nothing_measured_is_refused(
    models: Callable[[str], Path], job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = compressor._oneshot

    def unset(model: Any, *arguments: Any) -> None:
        original(model, *arguments)
        model.model.layers[0].self_attn.k_scale.data.fill_(float("nan"))

    monkeypatch.setattr(compressor, "_oneshot", unset)
    with pytest.raises(QuantizeFailed, match="measured no KV-cache scale"):
        job(models("Llama"), Recipe(method="rtn", scheme="W4A16", kv_cache="FP8", calibration=CALIBRATION))


@pytest.mark.usefixtures("same_process")
@pytest.mark.parametrize(("method", "scheme"), [("rtn", "W4A16"), ("gptq", "W4A16"), ("awq", "W4A16_ASYM")])
def test_the_saved_recipe_gives_the_same_tensors_without_us(
    models: Callable[[str], Path], job: Job, tmp_path: Path, method: str, scheme: str
) -> None:
    """The bare script: `oneshot` with the saved recipe and the same samples."""
    from datasets import Dataset
    from llmcompressor import oneshot

    from playground import texts
    from playground.quantize.compressor import without_pinning
    from playground.quantize.tokens import tokenize

    source = models("Llama")
    ours = job(source, Recipe(method=method, scheme=scheme, calibration=CALIBRATION))
    asked = texts.Calibration.from_stored(CALIBRATION)
    tokens = tokenize(texts.samples(asked), compressor.tokenizer(source), 48, 4)
    data = {"dataset": Dataset.from_dict(tokens.columns()), "shuffle_calibration_samples": False}
    with without_pinning():
        oneshot(
            model=str(source),
            recipe=ours["recipe_path"],
            output_dir=str(tmp_path / "bare"),
            num_calibration_samples=4,
            max_seq_length=48,
            **({} if method == "rtn" else data),
        )
    assert content_hash(tmp_path / "bare") == ours["content_hash"]


SAMPLING = {"do_sample": False, "temperature": 0.9, "top_p": 0.6, "bos_token_id": 1, "eos_token_id": 2}


@pytest.mark.usefixtures("same_process")
@pytest.mark.parametrize(
    ("method", "scheme"),
    [("rtn", "W4A16"), ("gptq", "W4A16"), ("fp8", "FP8_DYNAMIC"), ("autoround", "W4A16"), ("bitsandbytes", "nf4")],
)
@pytest.mark.parametrize("defaults", [SAMPLING, {"top_k": 20, "eos_token_id": [2, 0]}, None], ids=str)
def test_generation_defaults_are_copied_as_they_are(
    job: Job, tmp_path: Path, method: str, scheme: str, defaults: dict[str, Any] | None
) -> None:
    """Also those that transformers refuses to save: sampling values without sampling."""
    source = tiny_models.make(tmp_path / "source", "Llama")
    file = source / "generation_config.json"
    file.unlink()
    if defaults is not None:
        file.write_text(json.dumps(defaults, indent=3))
    options = {"iters": 2} if method == "autoround" else {}
    made = Path(job(source, Recipe(method=method, scheme=scheme, calibration=CALIBRATION, options=options))["path"])
    if defaults is None:
        assert not (made / file.name).exists()
    else:
        assert (made / file.name).read_bytes() == file.read_bytes()


@pytest.mark.usefixtures("same_process")
@pytest.mark.parametrize(("method", "scheme"), [("gptq", "W4A16"), ("bitsandbytes", "nf4")])
def test_a_config_that_cannot_be_saved_is_refused_before_the_work(
    job: Job, tmp_path: Path, method: str, scheme: str
) -> None:
    source = tiny_models.make(tmp_path / "source", "Llama")
    config = json.loads((source / "config.json").read_text())
    (source / "config.json").write_text(json.dumps(config | {"output_attentions": True}))
    with pytest.raises(QuantizeFailed, match=r"refuses to save it: .*output_attentions") as caught:
        job(source, Recipe(method=method, scheme=scheme, calibration=CALIBRATION))
    assert "\n" not in caught.value.message
    assert not [event for event in events() if "quantizing with" in event.get("stage", "") or event["kind"] == "layer"]
    assert not folders.partial("job").exists() or not list(folders.partial("job").glob("*.safetensors"))


@pytest.mark.usefixtures("same_process")
def test_a_checkpoint_that_is_wrong_on_the_disk_is_refused(models: Callable[[str], Path], job: Job) -> None:
    """transformers does not apply SpinQuant's online rotations: right in memory, wrong once loaded."""
    with pytest.raises(ReloadMismatch, match="does not answer as the model in memory did"):
        job(models("Llama"), Recipe(method="spinquant", scheme="W4A16", options={"rotations": ["R1", "R4"]}))
    assert variants.all_variants() == []


def test_a_checkpoint_that_cannot_be_loaded_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reload.sys, "executable", "false")  # as a process that dies while it loads
    with pytest.raises(ReloadMismatch, match="cannot be loaded again"):
        reload.in_fresh_process(tmp_path / "nothing", tmp_path / "probe.safetensors")


@pytest.mark.usefixtures("same_process")
@pytest.mark.parametrize(("method", "scheme"), [("rtn", "W4A16"), ("bitsandbytes", "nf4"), ("gguf", "Q8_0")])
def test_a_checkpoint_that_lacks_a_weight_is_not_quantized(job: Job, tmp_path: Path, method: str, scheme: str) -> None:
    source = tiny_models.make(tmp_path / "source", "Llama", tie_word_embeddings=False)
    tiny_models.rewrite(source, lambda tensors: tensors.pop("lm_head.weight"))
    with pytest.raises(BrokenCheckpoint, match=r"^lm_head\.weight is missing from the checkpoint\. "):
        job(source, Recipe(method=method, scheme=scheme))
    assert variants.all_variants() == []


@pytest.mark.usefixtures("same_process")
@pytest.mark.parametrize(
    ("method", "scheme"),
    [("rtn", "W8A16"), ("gptq", "W4A16"), *(("bitsandbytes", one) for one in ("nf4", "int8"))]
    + [("gguf", one) for one in ("Q8_0", "Q4_K_M", "F16")],
)
@pytest.mark.parametrize(
    ("name", "value", "gguf_name"),
    [
        ("model.layers.1.mlp.down_proj.weight", float("nan"), "blk.1.ffn_down.weight"),
        ("model.layers.0.self_attn.q_proj.weight", float("inf"), "blk.0.attn_q.weight"),
        ("model.layers.1.input_layernorm.weight", float("nan"), ""),
    ],
)
def test_a_weight_that_is_not_finite_is_named(
    job: Job, tmp_path: Path, method: str, scheme: str, name: str, value: float, gguf_name: str
) -> None:
    source = tiny_models.make(tmp_path / "source", "Llama")
    tiny_models.rewrite(source, lambda tensors: tensors[name].view(-1)[:1].fill_(value))
    with pytest.raises(BrokenCheckpoint, match="holds NaN or infinite values") as caught:
        job(source, Recipe(method=method, scheme=scheme, calibration=CALIBRATION))
    named = gguf_name if method == "gguf" and scheme != "F16" and gguf_name else name
    assert caught.value.message.startswith(f"{named} holds")
    assert variants.all_variants() == []


@pytest.mark.usefixtures("same_process")
@pytest.mark.parametrize(("method", "scheme"), [("rtn", "W8A16"), ("bitsandbytes", "nf4"), ("gguf", "Q8_0")])
def test_a_model_whose_type_overflows_is_not_said_to_be_saved_wrong(
    job: Job, tmp_path: Path, method: str, scheme: str
) -> None:
    def overflow(tensors: dict[str, Any]) -> None:
        tensors |= {name: tensor.half() for name, tensor in tensors.items()}
        tensors["lm_head.weight"].fill_(6e4)

    source = tiny_models.make(tmp_path / "source", "Llama", tie_word_embeddings=False)
    tiny_models.rewrite(source, overflow)
    config = json.loads((source / "config.json").read_text())
    (source / "config.json").write_text(json.dumps(config | {"dtype": "float16"}))
    with pytest.raises(QuantizeFailed, match="not finite: its type overflows"):
        job(source, Recipe(method=method, scheme=scheme))


def test_the_check_of_what_was_saved_names_a_weight_that_is_missing(tmp_path: Path) -> None:
    saved = tiny_models.make(tmp_path / "saved", "Mixtral")
    probe.record(compressor.load(saved), compressor.tokenizer(saved), tmp_path / "probe.safetensors")
    tiny_models.rewrite(saved, lambda tensors: tensors.pop("model.layers.1.self_attn.k_proj.weight"))
    with pytest.raises(ReloadMismatch, match=r"loaded again: model\.layers\.1\.self_attn\.k_proj\.weight is missing"):
        reload.in_fresh_process(saved, tmp_path / "probe.safetensors")


def test_a_cancelled_job_ends_the_fresh_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow, note = tmp_path / "python", tmp_path / "pid"
    slow.write_text(f"#!/bin/sh\necho $$ > {note}\nexec sleep 600\n")
    slow.chmod(0o700)
    monkeypatch.setattr(reload.sys, "executable", str(slow))

    def cancel(*_: object) -> None:
        if note.exists() and note.read_text():
            raise Cancelled("The job was stopped.")

    before = signal.signal(signal.SIGALRM, cancel)
    signal.setitimer(signal.ITIMER_REAL, 0.1, 0.1)
    try:
        with pytest.raises(Cancelled):
            reload.in_fresh_process(tmp_path / "made", tmp_path / "probe.safetensors")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert not psutil.pid_exists(int(note.read_text()))


def test_a_job_that_fails_does_not_wait_for_the_hashes(
    models: Callable[[str], Path], job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed, threads = threading.Event(), queue.Queue[threading.Thread]()

    def slow(_: Path) -> str:
        threads.put(threading.current_thread())
        hashed.wait(60)
        return ""

    def cancelled(*_: Path) -> dict[str, object]:
        assert threads.get(timeout=60).daemon, "else Python waits for it at its end"
        raise Cancelled("The job was stopped.")

    monkeypatch.setattr(quantize_job, "content_hash", slow)
    monkeypatch.setattr(quantize_job, "in_fresh_process", cancelled)
    with pytest.raises(Cancelled):
        job(models("Llama"), Recipe(method="rtn", scheme="W4A16"))
    assert not hashed.is_set()
    hashed.set()


def test_refused_before_anything_is_written(models: Callable[[str], Path], job: Job) -> None:
    with pytest.raises(InvalidRecipe):
        job(models("Llama"), Recipe(method="rtn", scheme="W4A16", group_size=48))
    assert not folders.partial("job").exists()


def test_another_text_than_the_recipes_is_refused(models: Callable[[str], Path], job: Job) -> None:
    with pytest.raises(QuantizeFailed, match="its hash differs"):
        job(
            models("Llama"),
            Recipe(method="gptq", scheme="W4A16", calibration={**CALIBRATION, "content_hash": "0" * 64}),
        )


@pytest.mark.usefixtures("same_process")
def test_what_was_not_read_of_the_text_is_noted(
    models: Callable[[str], Path], job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "READ_LIMIT", 20_000)
    text = tmp_path / "text.jsonl"
    rows = [
        json.dumps({"text": f"The bridge number {n} was built of stone and carries a road. " * 9}) for n in range(90)
    ]
    text.write_text("\n".join(['{"text": "short"}', *rows]))
    job(models("Llama"), Recipe(method="gptq", scheme="W4A16", calibration={**CALIBRATION, "source": str(text)}))
    notes = " ".join(event["text"] for event in events() if event["kind"] == "note")
    assert "are left out: 1." in notes and "Only the first 0 MiB of text.jsonl" in notes


def test_what_llm_compressor_says_becomes_a_sentence(
    models: Callable[[str], Path], job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any) -> None:
        raise RuntimeError("something odd\nwith a second line")

    monkeypatch.setattr(compressor, "_oneshot", fails)
    with pytest.raises(PlaygroundError) as caught:
        job(models("Llama"), Recipe(method="rtn", scheme="W4A16"))
    assert caught.value.message == "RTN W4A16 failed on this model: something odd."
    assert "RTN" not in caught.value.hint, "what has just failed is not recommended"
    assert isinstance(caught.value.__cause__, RuntimeError)


@pytest.mark.usefixtures("same_process")
def test_where_it_goes(models: Callable[[str], Path], job: Job, tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "thesis.tex").touch()
    with pytest.raises(InvalidRequest, match="holds something else"):
        job(models("Llama"), Recipe(method="rtn", scheme="W8A16"), out=str(taken))
    out = tmp_path / "out"
    first = job(models("Llama"), Recipe(method="rtn", scheme="W8A16"), "one", out=str(out), name="mine")
    assert first["path"] == str(out)
    assert first["variant"].endswith(":mine")
    second = job(
        models("Llama"), Recipe(method="rtn", scheme="W4A16"), "two", out=str(out), name="mine"
    )  # its own: replaced
    assert content_hash(out) == second["content_hash"] != first["content_hash"]
    (stored,) = variants.all_variants()
    assert stored.job_id == "two"
    assert sorted(entry.name for entry in tmp_path.iterdir() if entry.name.startswith(".")) == []


@pytest.mark.slow
def test_the_bundled_model(job: Job) -> None:
    result = job("smollm2", Recipe(method="rtn", scheme="W4A16"))
    assert result["variant"] == "smollm2:rtn-w4a16-g64"
    assert result["bytes_before"] == 269_030_016
    assert 110e6 < result["bytes_after"] < 116e6
    assert result["reload"]["kld_mean"] < 1e-3
    assert any("hidden_size 576 is not divisible by 128" in reason for reason in result["reasons"])
