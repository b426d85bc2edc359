"""Variants that a job made are variants like the others; deleting removes what is ours and nothing else."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from playground import models
from playground.errors import BrokenCheckpoint, CatalogError, InvalidRequest, UnknownVariant
from playground.models import names, stored
from playground.store import database, folders, variants
from tests.fakes.gguf import write_gguf
from tests.fakes.job import stored as row_of
from tests.models.conftest import LLAMA, make_folder, write_safetensors

W4 = {
    "quantization_config": {
        "quant_method": "compressed-tensors",
        "format": "pack-quantized",
        "config_groups": {
            "group_0": {
                "targets": ["Linear"],
                "weights": {"num_bits": 4, "type": "int", "symmetric": False, "strategy": "group", "group_size": 64},
            }
        },
    }
}


def store(model: str, name: str = "awq-w4a16_asym-g64", place: Path | None = None) -> Path:
    """A stored variant with files: zeros under a W4A16 config."""
    place = place or folders.variants() / name
    make_folder(place, W4)
    variants.add(row_of(place, name, model=names.key(model)))
    return place


def test_a_stored_variant_is_a_variant(home: Path, llama: Path) -> None:
    model = str(llama)
    before = [variant.name for variant in models.variants(model)]
    place = store(model)
    found = models.variants(model)
    assert [variant.name for variant in found] == [*before, "awq-w4a16_asym-g64"]
    made = found[-1]
    assert made == models.variant(made.id) and made.id == f"{model}:awq-w4a16_asym-g64"
    assert (made.label, made.method, made.scheme, made.group_size) == ("AWQ W4A16_ASYM", "awq", "W4A16_ASYM", 64)
    assert made.engines == ("vllm", "transformers") and not made.bytes_are_estimated and made.quantize is None
    assert models.split(made.id) == (model, "awq-w4a16_asym-g64")
    spec = models.resolve(made.id)
    assert (spec.id, spec.path, spec.quantize) == (made.id, str(place), None)
    assert spec.weight_bytes >= (made.bytes or 0) > 0


def test_two_ways_to_write_a_model_are_one(home: Path, llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store(str(llama), "mine")
    monkeypatch.chdir(llama.parent)
    assert models.variants("./llama")[-1].id == "./llama:mine"
    assert models.variant("./llama:mine").model == "./llama"
    assert models.resolve("./llama:mine").id == "./llama:mine"
    (llama.parent / "link").symlink_to(llama)
    assert models.variant(f"{llama.parent / 'link'}:mine").name == "mine"


def test_variants_of_a_model_of_the_hub_need_no_hub(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLAYGROUND_OFFLINE", "1")
    place = store("owner/repo@main", "mine")
    assert models.split("owner/repo@main:mine") == ("owner/repo@main", "mine")
    assert models.resolve("owner/repo@main:mine").path == str(place)


def test_a_gguf_goes_to_llama_cpp(home: Path, llama: Path) -> None:
    place = folders.variants() / "q4"
    place.mkdir(parents=True)
    file = write_gguf(place / "model-Q4_0.gguf")
    variants.add(row_of(place, "gguf-q4_0", model=names.key(str(llama))))
    found = models.variant(f"{llama}:gguf-q4_0")
    assert found.engines[0] == "llamacpp"
    assert models.resolve(found.id).path == str(file)


def test_an_unknown_name_is_answered_with_the_stored_ones(home: Path, llama: Path) -> None:
    store(str(llama))
    with pytest.raises(UnknownVariant) as caught:
        models.variant(f"{llama}:awq-w4a16-g64")
    assert "Did you mean 'awq-w4a16_asym-g64'" in caught.value.hint
    assert "awq-w4a16_asym-g64" in caught.value.hint


def test_files_that_are_gone_are_a_sentence(home: Path, llama: Path) -> None:
    place = store(str(llama))
    shutil.rmtree(place)
    shown = models.variants(str(llama))[-1]
    assert "are gone" in shown.notes[0] and shown.engines
    for act in (models.variant, models.resolve):
        with pytest.raises(BrokenCheckpoint, match="are gone"):
            act(shown.id)
    place.mkdir()
    (place / "config.json").write_text("{")
    assert "cannot be used" in models.variants(str(llama))[-1].notes[0]


def test_without_a_store_nothing_is_written(home: Path, llama: Path) -> None:
    models.variants(str(llama))
    assert stored.disk_usage() == []
    assert list(home.iterdir()) == []


def test_a_broken_store_takes_its_variants_away_and_nothing_else(home: Path, llama: Path) -> None:
    database.path().write_bytes(b"no database" * 100)
    assert models.variants(str(llama))[0].is_reference
    assert models.split(f"{llama}:nf4") == (str(llama), "nf4")


def test_deleting_frees_what_it_says(home: Path, llama: Path) -> None:
    place, other = store(str(llama)), store(str(llama), "other")
    write_safetensors(other / "more.safetensors", {"a": ("F32", (100_000,))})
    usage = stored.disk_usage()
    assert [Path(used.path) for used in usage] == [other, place]
    assert usage[0].bytes == sum(file.stat().st_size for file in other.iterdir())
    assert stored.delete(usage[0].id) == usage[0].bytes
    assert not other.exists() and place.exists()
    assert [variant.name for variant in models.variants(str(llama))][-1] == "awq-w4a16_asym-g64"
    with pytest.raises(UnknownVariant):
        stored.delete(usage[0].id)


def test_only_our_folders_are_deleted(home: Path, llama: Path, tmp_path: Path) -> None:
    mine, theirs = tmp_path / "mine", tmp_path / "theirs"
    for place in (mine, theirs):
        store(str(llama), place.name, place)
    folders.mark(mine, {"job_id": "x"})
    assert stored.delete(f"{llama}:mine") > 0
    assert not mine.exists()
    with pytest.raises(CatalogError, match="not a folder that the playground made"):
        stored.delete(f"{llama}:theirs")
    assert (theirs / "config.json").exists() and models.variant(f"{llama}:theirs")
    sneaky = folders.variants() / "sneaky"
    sneaky.parent.mkdir(exist_ok=True)
    sneaky.symlink_to(theirs)
    variants.add(row_of(sneaky, "sneaky", model=names.key(str(llama))))
    with pytest.raises(CatalogError):
        stored.delete(f"{llama}:sneaky")
    assert (theirs / "config.json").exists()
    shutil.rmtree(theirs)
    assert stored.delete(f"{llama}:theirs") == 0


def test_the_models_own_variants_cannot_be_deleted(home: Path, llama: Path) -> None:
    for name in (str(llama), f"{llama}:nf4"):
        with pytest.raises(UnknownVariant):
            stored.delete(name)
    assert json.loads((llama / "config.json").read_text()) == LLAMA


@pytest.mark.parametrize("name", ["nf4", "q4_1", "a b", "a/b", "a:b", "", ".hidden", "-x", "x" * 81])
def test_names_that_a_variant_cannot_have(name: str) -> None:
    with pytest.raises(InvalidRequest):
        names.check_variant_name("smollm2", name)


def test_names_that_it_can() -> None:
    names.check_variant_name("smollm2", "awq-w4a16_asym-g64.v2")
