"""The hub: nothing but headers to describe, a pinned commit to load, one sentence when it cannot."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import pytest

from playground import models
from playground.core import Progress
from playground.errors import (
    BrokenCheckpoint,
    Cancelled,
    CatalogError,
    GatedModel,
    HubUnreachable,
    UnknownModel,
    UnsafeModel,
    UnsupportedModel,
)
from playground.models import bundled, names
from playground.models import hub as hub_module
from playground.models.variants import open_checkpoint
from tests.cases import checkpoints
from tests.fakes.hub import Hub
from tests.models.conftest import llama_tensors, make_folder, write_safetensors

NAME = "acme/tiny"


def test_describing_reads_headers_not_weights(hub: Hub, tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "m")
    write_safetensors(folder / "model.safetensors", {"model.embed_tokens.weight": ("BF16", (40_000, 64))})
    repo = hub.add(NAME, folder)
    found = models.variant(NAME)
    assert (found.label, found.bytes, found.parameters) == ("BF16", 5_120_000, 2_560_000)
    assert found.revision == repo.commit
    assert hub.served < 400_000


def test_the_end_of_an_answer_is_known_without_a_download(hub: Hub, tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "m", {"eos_token_id": 2})
    checkpoints.with_generation_config(folder, eos_token_id=[2, 40], repetition_penalty=1.1)
    hub.add(NAME, folder)
    found = open_checkpoint(NAME)
    assert (found.end_ids, found.generation_settings) == ((2, 40), {"repetition_penalty": 1.1})


def test_a_server_that_ignores_ranges_is_not_read_to_the_end(hub: Hub, tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "m")
    write_safetensors(folder / "model.safetensors", {"model.embed_tokens.weight": ("BF16", (300_000, 64))})
    hub.add(NAME, folder)
    hub.ranges = False
    assert models.variant(NAME).parameters == 19_200_000
    assert hub.served < 20_000_000


def test_shards_are_described_and_downloaded(hub: Hub, tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "m")
    (folder / "model.safetensors").unlink()
    tensors = llama_tensors()
    halves = [dict(list(tensors.items())[:9]), dict(list(tensors.items())[9:])]
    weight_map = {}
    for number, half in enumerate(halves, start=1):
        name = f"model-{number:05}-of-00002.safetensors"
        write_safetensors(folder / name, half)
        weight_map |= dict.fromkeys(half, name)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    hub.add(NAME, folder)
    assert models.variant(NAME).parameters == 80_192
    spec = models.resolve(NAME)
    assert sorted(path.name for path in Path(spec.path).glob("*.safetensors")) == sorted(set(weight_map.values()))
    assert spec.weight_bytes == 160_384


def test_download_takes_only_what_loads_at_the_pinned_commit(hub: Hub, llama: Path) -> None:
    for name in ("pytorch_model.bin", "run.py", "README.md", "original.pth", "onnx/model.onnx"):
        (llama / name).parent.mkdir(exist_ok=True)
        (llama / name).write_bytes(b"no")
    repo = hub.add(NAME, llama)
    seen: list[Progress] = []
    spec = models.resolve(f"{NAME}:nf4", seen.append)
    assert (spec.id, spec.quantize, spec.dtype) == (f"{NAME}:nf4", "nf4", "bfloat16")
    assert Path(spec.path).name == repo.commit
    expected = ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]
    assert sorted(path.name for path in Path(spec.path).iterdir()) == expected
    total = sum(len(repo.files[name]) for name in expected)
    assert (seen[-1].done, seen[-1].total, seen[-1].unit) == (total, total, "B")
    assert [progress.done for progress in seen] == sorted(progress.done for progress in seen)
    assert all(f"/{repo.commit}/" in path for _, path, _ in hub.requests if "/resolve/" in path)


def test_a_second_resolve_downloads_nothing(hub: Hub, llama: Path) -> None:
    hub.add(NAME, llama)
    models.resolve(NAME)
    before = len(hub.requests)
    assert models.resolve(NAME).path
    assert len(hub.requests) == before


def test_a_revision_is_followed(hub: Hub, llama: Path) -> None:
    repo = hub.add(NAME, llama)
    found = models.variant(f"{NAME}@{repo.commit}:int8")
    assert (found.id, found.revision) == (f"{NAME}@{repo.commit}:int8", repo.commit)
    with pytest.raises(UnknownModel, match="no revision nope"):
        models.variant(f"{NAME}@nope")


def test_the_cache_works_when_the_hub_is_down(hub: Hub, llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repo = hub.add(NAME, llama)
    path = models.resolve(NAME).path
    hub.status = 503
    for known in (hub_module._listings, hub_module._described):
        known.clear()
    begin = time.monotonic()
    assert models.variant(NAME).revision == repo.commit
    assert models.resolve(NAME).path == path
    assert time.monotonic() - begin < 2
    assert models.describe(NAME) == "hub, downloaded"
    monkeypatch.setenv("PLAYGROUND_OFFLINE", "1")
    asked = len(hub.requests)
    assert models.resolve(NAME).path == path
    assert len(hub.requests) == asked


@pytest.mark.parametrize("how", ["refused", "503", "offline"])
def test_unreachable_is_said_at_once(hub: Hub, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    if how == "refused":
        monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:1")
    elif how == "offline":
        monkeypatch.setenv("PLAYGROUND_OFFLINE", "1")
    else:
        hub.status = 503
    begin = time.monotonic()
    with pytest.raises(HubUnreachable) as caught:
        models.variant(NAME)
    assert caught.value.hint
    assert time.monotonic() - begin < 2
    assert len(hub.requests) <= 1


def test_an_incomplete_cache_is_not_a_model(hub: Hub, llama: Path) -> None:
    hub.add(NAME, llama)
    assert not hub_module.is_downloaded(names.parse(NAME))
    spec = models.resolve(NAME)
    assert hub_module.is_downloaded(names.parse(NAME))
    (Path(spec.path) / "model.safetensors").unlink()
    assert not hub_module.is_downloaded(names.parse(NAME))
    hub.status = 503
    hub_module._listings.clear()
    hub_module._described.clear()
    with pytest.raises(HubUnreachable):
        models.resolve(NAME)


def test_a_broken_cached_file_is_downloaded_again(hub: Hub, llama: Path) -> None:
    repo = hub.add(NAME, llama)
    weights = Path(models.resolve(NAME).path) / "model.safetensors"
    blob = weights.resolve()
    size = blob.stat().st_size
    blob.write_bytes(b"\xff" * size)
    assert models.resolve(NAME).path
    assert weights.read_bytes() == repo.files["model.safetensors"]


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"gated": True}, GatedModel, "accept its terms"),
        ({"private": True}, UnknownModel, "no model acme/tiny, or it is private"),
    ],
)
def test_gated_and_private(
    hub: Hub, llama: Path, options: dict[str, bool], error: type[CatalogError], words: str
) -> None:
    hub.add(NAME, llama, **options)
    with pytest.raises(error, match=words) as caught:
        models.variants(NAME)
    assert "hf auth login" in caught.value.hint


def test_a_token_of_the_environment_opens_a_gated_model(hub: Hub, llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add(NAME, llama, gated=True, token="hf_right")
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(GatedModel):
        models.resolve(NAME)
    monkeypatch.setenv("HF_TOKEN", "hf_right")
    assert models.resolve(NAME).path


def test_a_listing_that_lies_about_sizes(hub: Hub, llama: Path) -> None:
    hub.add(NAME, llama, sizes={"config.json": 10_000})
    with pytest.raises(BrokenCheckpoint, match=r"config\.json of acme/tiny is shorter"):
        models.variant(NAME)


def test_the_library_s_own_offline_switch(hub: Hub, llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    hub.add(NAME, llama)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(HubUnreachable):
        models.variant(NAME)
    assert hub.requests == []


def test_a_typo_of_a_known_repository_is_answered_with_it(hub: Hub) -> None:
    with pytest.raises(UnknownModel) as caught:
        models.variant("Qwen/Qwen2.5-0.5B-Instrukt")
    assert "Did you mean 'Qwen/Qwen2.5-0.5B-Instruct'?" in caught.value.hint


@pytest.mark.parametrize(
    ("files", "error", "words"),
    [
        ({"README.md": b""}, UnsupportedModel, "no config.json"),
        ({"adapter_config.json": b"{}", "adapter_model.safetensors": b""}, UnsupportedModel, "PEFT adapter"),
        ({"model_index.json": b"{}"}, UnsupportedModel, "diffusion"),
        ({"a.Q4_0.gguf": b""}, UnsupportedModel, "GGUF files"),
        ({"config.json": b"{}", "pytorch_model.bin": b""}, UnsafeModel, "only in pytorch_model.bin"),
        ({"config.json": b"{}"}, BrokenCheckpoint, "no weights"),
    ],
)
def test_listings_that_are_refused(hub: Hub, files: dict[str, bytes], error: type[CatalogError], words: str) -> None:
    hub.add(NAME, files)
    with pytest.raises(error, match=words):
        models.variant(NAME)
    assert [path for _, path, _ in hub.requests] == [f"/api/models/{NAME}"]


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json"])
def test_remote_code_is_refused_before_any_weight(hub: Hub, llama: Path, name: str) -> None:
    checkpoints.with_remote_code(llama, name)
    (llama / "evil.py").write_text("raise SystemExit")
    hub.add(NAME, llama)
    for act in (models.variant, models.variants, models.resolve):
        with pytest.raises(UnsafeModel, match=f"auto_map in {name}"):
            act(NAME)
    asked = {path.rsplit("/", 1)[-1] for _, path, _ in hub.requests if "/resolve/" in path}
    assert asked == {"config.json", "tokenizer_config.json"}


def test_a_missing_shard_is_named(hub: Hub, llama: Path) -> None:
    (llama / "model.safetensors").unlink()
    index = {"weight_map": {"a": "model-00001-of-00001.safetensors"}}
    (llama / "model.safetensors.index.json").write_text(json.dumps(index))
    hub.add(NAME, llama)
    with pytest.raises(BrokenCheckpoint, match="model-00001-of-00001"):
        models.variant(NAME)


def test_a_truncated_file_on_the_hub(hub: Hub, llama: Path) -> None:
    data = (llama / "model.safetensors").read_bytes()
    (llama / "model.safetensors").write_bytes(data[:-10])
    hub.add(NAME, llama)
    with pytest.raises(BrokenCheckpoint, match="not a complete safetensors"):
        models.variant(NAME)


def test_cancel_in_the_middle_of_a_file(hub: Hub, tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "m")
    write_safetensors(folder / "model.safetensors", {"model.embed_tokens.weight": ("BF16", (100_000, 64))})
    hub.add(NAME, folder, slow=frozenset({"model.safetensors"}))
    models.variant(NAME)
    stop, stopped_at = threading.Event(), []

    def watch(progress: Progress) -> None:
        if 20_000 < progress.done < progress.total and not stop.is_set():
            stop.set()
            stopped_at.append(time.monotonic())

    with pytest.raises(Cancelled):
        models.resolve(NAME, watch, stop.is_set)
    assert time.monotonic() - stopped_at[0] < 1.5
    store = hub_cache()
    assert not list(store.rglob("*.incomplete"))
    assert not list(store.rglob("model.safetensors"))


def hub_cache() -> Path:
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def test_cancelled_before_it_starts(hub: Hub, llama: Path) -> None:
    hub.add(NAME, llama)
    with pytest.raises(Cancelled):
        models.resolve(NAME, cancelled=lambda: True)
    assert hub.requests == []


def test_a_gguf_file_on_the_hub(hub: Hub, tmp_path: Path) -> None:
    from tests.models.test_gguf import write_gguf

    (tmp_path / "repo" / "sub").mkdir(parents=True)
    write_gguf(tmp_path / "repo" / "sub" / "m.gguf")
    repo = hub.add(NAME, tmp_path / "repo")
    name = f"{NAME}/sub/m.gguf"
    found = models.variant(name)
    assert (found.method, found.scheme, found.revision) == ("gguf", "Q4_0", repo.commit)
    spec = models.resolve(name)
    assert spec.path.endswith("/sub/m.gguf")
    assert Path(spec.path).read_bytes() == repo.files["sub/m.gguf"]
    with pytest.raises(UnknownModel, match=r"no file other\.gguf"):
        models.variant(f"{NAME}/other.gguf")


def test_without_its_package_smollm2_comes_from_the_hub(hub: Hub, llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundled, "gguf", lambda: None)
    assert not bundled.already_restored()
    repo = hub.add("HuggingFaceTB/SmolLM2-135M-Instruct", llama)
    assert "is not installed" in models.describe("smollm2")
    assert models.variant("smollm2").revision == repo.commit
    assert models.resolve("smollm2:fp32").dtype == "float32"
    hub.repos.clear()
    hub.status = 503
    hub_module._listings.clear()
    monkeypatch.setenv("HF_HUB_CACHE", "/nonexistent")
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", "/nonexistent")
    with pytest.raises(HubUnreachable) as caught:
        models.resolve("smollm2")
    assert bundled.INSTALL in caught.value.hint
